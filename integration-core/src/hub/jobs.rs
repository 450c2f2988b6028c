//! Running jobs: the door for every scheduler.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::FutureExt;

use super::Hub;
use crate::{
    connection::{Connection, ConnectionStatus, Grant, GrantStatus},
    error::{Error, ErrorKind, Result, Retry},
    event::{Event, tell},
    http::Priority,
    ids::{ConnectionId, TenantId},
    outbox::OutboxEnd,
    sync::{Job, JobKind, JobOutcome, JobRunner, MailSync, Shutdown, SliceEnd},
};

/// How long another worker's lease is waited for before asking again. A lease ends shortly after the claim that a killed
/// process had beside it: what it left is taken over within a second.
const BUSY: Duration = Duration::from_millis(250);
/// How long a failed slice waits.
const RETRY: Duration = Duration::from_secs(60);
/// How long it waits where somebody else than the person has to act.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long calls of a slice may go on after its time: a long block of the quota must not hold a worker.
const GRACE: Duration = Duration::from_secs(60);
/// How often an idle grant is refreshed, so that no service forgets it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Hub {
    /// Runs one slice of a job: what a host's scheduler calls; the bundled one does too. Safe to run again at any time.
    ///
    /// A panic of a connector or of a host's part is a failed slice that is tried again: it does not reach the caller.
    pub async fn run(&self, job: Job, stop: &Shutdown) -> JobOutcome {
        AssertUnwindSafe(self.run_job(job, stop)).catch_unwind().await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Store, "a job panicked; what it did not commit was rolled back");
            JobOutcome::Failed { error: error.with_retry(Retry::Temporary), again_in: Some(RETRY) }
        })
    }

    async fn run_job(&self, job: Job, stop: &Shutdown) -> JobOutcome {
        let tenant = &job.tenant;
        if !matches!(job.kind, JobKind::Retention) {
            self.keep_retiring(tenant).await;
        }
        match &job.kind {
            JobKind::SyncMail { connection } => {
                self.notice(tenant, connection).await;
                self.synced(tenant, connection, self.sync_mail(tenant, connection, stop).await).await
            }
            JobKind::Outbox { connection } => match self.work_outbox(tenant, connection, stop).await {
                Ok(None) => JobOutcome::Done { again_in: None },
                Ok(Some(OutboxEnd::Idle(next))) => {
                    JobOutcome::Done { again_in: self.outbox_again(tenant, connection, next).await }
                }
                Ok(Some(end)) => at_work(end),
                Err(error) => self.failed(tenant, connection, error).await,
            },
            JobKind::Signals => match self.work_signals(tenant, stop).await {
                Ok(end) => at_work(end),
                Err(error) => JobOutcome::Failed { error, again_in: Some(RETRY) },
            },
            JobKind::Audit { connection } => match self.begin_audit(tenant, connection).await {
                Ok(true) => JobOutcome::Done { again_in: None },
                Ok(false) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error).await,
            },
            JobKind::DecideAgain { connection } => match self.decide_again(tenant, connection, stop).await {
                Ok(Some(true)) => JobOutcome::Done { again_in: None },
                Ok(Some(false)) => JobOutcome::Continue,
                Ok(None) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error).await,
            },
            JobKind::DirectoryChanged { names } => match self.queue_touched(tenant, names).await {
                Ok(_) => JobOutcome::Done { again_in: None },
                Err(error) => JobOutcome::Failed { error, again_in: Some(RETRY) },
            },
            JobKind::VerdictGiven { activity } => match self.queue_copies(tenant, activity).await {
                Ok(()) => JobOutcome::Done { again_in: None },
                Err(error) => JobOutcome::Failed { error, again_in: Some(RETRY) },
            },
            JobKind::Retention => match self.retire(tenant).await.and(self.retire_again(tenant).await) {
                Ok(again_in) => JobOutcome::Done { again_in },
                Err(error) => JobOutcome::Failed { error, again_in: Some(PATIENCE) },
            },
            JobKind::ReplayQuarantine { connection } => match self.replay(tenant, connection).await {
                Ok(Some(_)) => JobOutcome::Done { again_in: None },
                Ok(None) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error).await,
            },
            JobKind::KeepAlive { grant } => match self.keep_alive(tenant, grant).await {
                Ok(()) => JobOutcome::Done { again_in: Some(KEEP_ALIVE) },
                // Nothing to keep alive: the next sign-in queues it again.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ReauthorisationNeeded) => {
                    JobOutcome::Failed { error, again_in: None }
                }
                Err(error) => JobOutcome::Failed { error, again_in: Some(Duration::from_secs(24 * 3600)) },
            },
        }
    }

    async fn synced(&self, tenant: &TenantId, id: &ConnectionId, end: Result<Option<SliceEnd>>) -> JobOutcome {
        match end {
            Ok(None) => JobOutcome::Done { again_in: None },
            Ok(Some(SliceEnd::More)) => JobOutcome::Continue,
            Ok(Some(SliceEnd::Busy)) => JobOutcome::Done { again_in: Some(BUSY) },
            Ok(Some(SliceEnd::Wait(wait))) => JobOutcome::Done { again_in: Some(wait) },
            Ok(Some(SliceEnd::UpToDate)) => JobOutcome::Done { again_in: Some(self.0.sync.poll) },
            Err(error) => self.failed(tenant, id, error).await,
        }
    }

    /// Whatever was enqueued without a hint is noticed here.
    async fn notice(&self, tenant: &TenantId, id: &ConnectionId) {
        for noticed in [self.notice_outbox(tenant, id).await, self.notice_signals(tenant).await] {
            if let Err(error) = noticed {
                tracing::warn!(connection = %id, error = %error, "it could not be seen whether anything is to be done");
            }
        }
    }

    /// Queues the syncs of a connection, at once.
    ///
    /// # Errors
    /// `Store` if it cannot be kept.
    pub async fn sync_now(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<()> {
        self.0.scheduler.schedule(&Job::sync_mail(tenant, connection), Duration::ZERO).await
    }

    /// A schedule ends only where a person has to sign in, which queues it again, or where the connection is gone.
    /// Everything else is tried again.
    async fn failed(&self, tenant: &TenantId, connection: &ConnectionId, error: Error) -> JobOutcome {
        let ended = match error.kind() {
            ErrorKind::MissingScope | ErrorKind::NeedsConsent | ErrorKind::ReauthorisationNeeded => true,
            ErrorKind::NotFound => {
                self.known(tenant, connection).await.is_err_and(|known| known.kind() == ErrorKind::NotFound)
            }
            _ => false,
        };
        let patient = matches!(error.kind(), ErrorKind::AdminPolicy | ErrorKind::Misconfigured | ErrorKind::NotFound);
        let wait = error.retry_after().unwrap_or(if patient { PATIENCE } else { RETRY });
        if error.kind() == ErrorKind::NeedsConsent {
            self.note_challenge(tenant, connection, &error).await;
        }
        let again_in = (!ended).then_some(wait);
        self.note_failure(tenant, connection, &error, again_in).await;
        if let Some(remedy) = error.remedy() {
            tell(&*self.0.events, tenant, connection, &Event::NeedsAttention(remedy.clone()));
        }
        let event = Event::SliceFailed(error);
        tell(&*self.0.events, tenant, connection, &event);
        let Event::SliceFailed(error) = event else { unreachable!("it was made as one") };
        JobOutcome::Failed { error, again_in }
    }

    /// A challenge of the service itself is not seen by the refresh: it is kept with the grant, for the new authorisation.
    async fn note_challenge(&self, tenant: &TenantId, connection: &ConnectionId, error: &Error) {
        let Some(remedy) = error.remedy().filter(|remedy| remedy.claims.is_some()) else { return };
        let status = GrantStatus::NeedsAttention { since: self.0.clock.now(), remedy: remedy.clone() };
        let Ok((connection, _)) = self.known(tenant, connection).await else { return };
        let change = |grant: &mut Grant| {
            let known = matches!(&grant.status, GrantStatus::NeedsAttention { remedy: before, .. } if before == remedy);
            if !known && grant.status != GrantStatus::Revoked {
                grant.status = status.clone();
            }
        };
        if let Err(error) =
            self.0.sign_in.connections().update_grant((tenant, &connection.grant), self.0.clock.now(), change).await
        {
            tracing::warn!(error = %error, "a service's challenge could not be stored");
        }
    }

    /// One slice; `None` for a connection that is not to be worked on.
    async fn sync_mail(&self, tenant: &TenantId, id: &ConnectionId, stop: &Shutdown) -> Result<Option<SliceEnd>> {
        let (connection, grant) = self.usable(tenant, id).await?;
        if connection.status == ConnectionStatus::Paused {
            return Ok(None);
        }
        let sync = self.mail_sync(connection, &grant).await?;
        let running = self.begin_run(tenant, id, stop);
        let end = sync.slice(&running.stop).await?;
        let cancelled = running.stop.stopping() && !stop.stopping();
        Ok(if cancelled { None } else { Some(end) })
    }

    async fn replay(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<u64>> {
        let (connection, grant) = self.usable(tenant, id).await?;
        let queued = self.mail_sync(connection, &grant).await?.replay().await?;
        if queued.is_some_and(|queued| queued > 0) {
            self.sync_now(tenant, id).await?;
        }
        Ok(queued)
    }

    async fn begin_audit(&self, tenant: &TenantId, id: &ConnectionId) -> Result<bool> {
        let (connection, grant) = self.usable(tenant, id).await?;
        let begun = self.mail_sync(connection, &grant).await?.begin_audit().await?;
        if begun {
            self.sync_now(tenant, id).await?;
        }
        Ok(begun)
    }

    /// Needs no service: a mailbox that is paused or has to be connected again obeys its policy all the same.
    async fn decide_again(&self, tenant: &TenantId, id: &ConnectionId, stop: &Shutdown) -> Result<Option<bool>> {
        let (connection, grant) = self.known(tenant, id).await?;
        self.mail_sync(connection, &grant).await?.decide_again(stop).await
    }

    pub(super) async fn mail_sync(&self, connection: Connection, grant: &Grant) -> Result<MailSync> {
        let inner = &self.0;
        let time = TimeDelta::from_std(inner.sync.slice + GRACE).unwrap_or(TimeDelta::MAX);
        let session = self.session_of(&connection, grant, Priority::Live)?;
        let session = session.with_deadline(inner.clock.now().checked_add_signed(time));
        let connector = self.connector(&connection.app)?;
        let usage = self.0.admission.usage(&session.parts().admission_key()).await;
        let live = connector.email(session.clone())?.feed();
        let backfill = connector.email(session.with_priority(Priority::Background))?.feed();
        Ok(MailSync {
            tenant: connection.tenant,
            connection: connection.id,
            own: connection.account.addresses,
            live,
            backfill,
            directory: Arc::clone(&inner.directory),
            store: Arc::clone(&inner.stores.sync),
            leases: Arc::clone(&inner.stores.leases),
            sealer: Arc::clone(&inner.sealer),
            sink: Arc::clone(&inner.sink),
            clock: Arc::clone(&inner.clock),
            events: Arc::clone(&inner.events),
            options: inner.sync.clone(),
            units_per_second: usage.background_rate,
        })
    }
}

fn at_work(end: OutboxEnd) -> JobOutcome {
    match end {
        OutboxEnd::Busy => JobOutcome::Done { again_in: Some(BUSY) },
        OutboxEnd::Idle(again_in) => JobOutcome::Done { again_in },
        OutboxEnd::More => JobOutcome::Continue,
    }
}

#[async_trait]
impl JobRunner for Hub {
    async fn run(&self, job: Job, stop: &Shutdown) -> JobOutcome {
        Self::run(self, job, stop).await
    }
}
