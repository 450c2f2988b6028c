//! Running jobs: the door for every scheduler.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::Hub;
use crate::{
    connection::{Connection, ConnectionStatus, Grant},
    error::{Error, ErrorKind, Result},
    event::Event,
    http::Priority,
    ids::{ConnectionId, TenantId},
    sync::{Job, JobKind, JobOutcome, JobRunner, MailSync, Shutdown, SliceEnd},
};

/// How long another worker's lease is waited for before asking again.
const BUSY: Duration = Duration::from_secs(5);
/// How often an idle grant is refreshed, so that no service forgets it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Hub {
    /// Runs one slice of a job: what a host's scheduler calls; the bundled one does too. Safe to run again at any time.
    pub async fn run(&self, job: Job, stop: &Shutdown) -> JobOutcome {
        let tenant = &job.tenant;
        match &job.kind {
            JobKind::SyncMail { connection } => match self.sync_mail(tenant, connection, stop).await {
                Ok(None) => JobOutcome::Done { again_in: None },
                Ok(Some(SliceEnd::More)) => JobOutcome::Continue,
                Ok(Some(SliceEnd::Busy)) => JobOutcome::Done { again_in: Some(BUSY) },
                Ok(Some(SliceEnd::Wait(wait))) => JobOutcome::Done { again_in: Some(wait) },
                Ok(Some(SliceEnd::UpToDate)) => JobOutcome::Done { again_in: Some(self.0.sync.poll) },
                Err(error) => self.failed(tenant, connection, error),
            },
            JobKind::Audit { connection } => match self.begin_audit(tenant, connection).await {
                Ok(true) => JobOutcome::Done { again_in: None },
                Ok(false) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error),
            },
            JobKind::DecideAgain { connection } => match self.decide_again(tenant, connection, stop).await {
                Ok(Some(true)) => JobOutcome::Done { again_in: None },
                Ok(Some(false)) => JobOutcome::Continue,
                Ok(None) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error),
            },
            JobKind::DirectoryChanged { names } => match self.queue_touched(tenant, names).await {
                Ok(_) => JobOutcome::Done { again_in: None },
                Err(error) => JobOutcome::Failed { error, again_in: Some(Duration::from_secs(60)) },
            },
            JobKind::ReplayQuarantine { connection } => match self.replay(tenant, connection).await {
                Ok(Some(_)) => JobOutcome::Done { again_in: None },
                Ok(None) => JobOutcome::Done { again_in: Some(BUSY) },
                Err(error) => self.failed(tenant, connection, error),
            },
            JobKind::KeepAlive { grant } => match self.keep_alive(tenant, grant).await {
                Ok(()) => JobOutcome::Done { again_in: Some(KEEP_ALIVE) },
                Err(error) => JobOutcome::Failed { error, again_in: Some(Duration::from_secs(24 * 3600)) },
            },
        }
    }

    /// Queues the syncs of a connection, at once.
    ///
    /// # Errors
    /// `Store` if it cannot be kept.
    pub async fn sync_now(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<()> {
        self.0.scheduler.schedule(&Job::sync_mail(tenant, connection), Duration::ZERO).await
    }

    /// Whoever must act ends the schedule until they have; everything else is tried again, later and later.
    fn failed(&self, tenant: &TenantId, connection: &ConnectionId, error: Error) -> JobOutcome {
        let person = matches!(
            error.kind(),
            ErrorKind::AdminPolicy
                | ErrorKind::MissingScope
                | ErrorKind::NeedsConsent
                | ErrorKind::NotFound
                | ErrorKind::ReauthorisationNeeded
        );
        if let Some(remedy) = error.remedy() {
            self.0.events.on_event(tenant, connection, &Event::NeedsAttention(remedy.clone()));
        }
        let wait = error.retry_after().unwrap_or(Duration::from_secs(60));
        JobOutcome::Failed { error, again_in: (!person).then_some(wait) }
    }

    /// One slice; `None` for a connection that is not to be worked on.
    async fn sync_mail(&self, tenant: &TenantId, id: &ConnectionId, stop: &Shutdown) -> Result<Option<SliceEnd>> {
        let (connection, grant) = self.usable(tenant, id).await?;
        if connection.status == ConnectionStatus::Paused {
            return Ok(None);
        }
        let sync = self.mail_sync(connection, &grant).await?;
        let running = self.begin_run(id, stop);
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
        let session = self.session_of(&connection, grant, Priority::Live)?;
        let connector = self.connector(&connection.app)?;
        let usage = self.0.admission.usage(&session.parts().admission_key()).await;
        let live = connector.email(session.clone())?.feed();
        let backfill = connector.email(session.with_priority(Priority::Background))?.feed();
        let inner = &self.0;
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

#[async_trait]
impl JobRunner for Hub {
    async fn run(&self, job: Job, stop: &Shutdown) -> JobOutcome {
        Self::run(self, job, stop).await
    }
}
