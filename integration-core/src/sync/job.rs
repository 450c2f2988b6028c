//! Slices of background work.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    ids::{ActivityId, ConnectionId, GrantId, TenantId},
};

crate::opaque_id! {
    /// Identifies a job: one key has at most one pending job.
    JobKey
}

/// One slice of background work: serialisable, so that a host's queue can carry it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Its key.
    pub key: JobKey,
    /// Whose.
    pub tenant: TenantId,
    /// What to do.
    pub kind: JobKind,
}

/// What a job does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum JobKind {
    /// Begin to compare a connection's mail with its service.
    Audit {
        /// Which.
        connection: ConnectionId,
    },
    /// Decide stored mail anew: the directory, a policy or a verdict changed.
    DecideAgain {
        /// Which.
        connection: ConnectionId,
    },
    /// Look once more for messages that a change of the directory touches: some were being decided when it was told.
    DirectoryChanged {
        /// Addresses, `@domains` and `#references`, lower case.
        names: Vec<String>,
    },
    /// Refresh an idle grant before the service forgets it.
    KeepAlive {
        /// Which.
        grant: GrantId,
    },
    /// Work off a connection's outbox.
    Outbox {
        /// Which.
        connection: ConnectionId,
    },
    /// Try again what lies in a connection's quarantine.
    ReplayQuarantine {
        /// Which.
        connection: ConnectionId,
    },
    /// Delete what the host's limits do not allow to be kept any longer.
    Retention,
    /// Hand the host's signals to those who listen.
    Signals,
    /// Sync a connection's mail: head changes, then pending work, then the snapshot.
    SyncMail {
        /// Which.
        connection: ConnectionId,
    },
    /// Look once more for copies of a message that a verdict was given on: some were being decided when it was given.
    VerdictGiven {
        /// The entry of the timeline it is about.
        activity: ActivityId,
    },
}

impl Job {
    /// The job that syncs a connection's mail.
    #[must_use]
    pub fn sync_mail(tenant: &TenantId, connection: &ConnectionId) -> Self {
        let key = JobKey::new(format!("sync-mail/{tenant}/{connection}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::SyncMail { connection: connection.clone() } }
    }

    /// The job that begins an audit of a connection's mail.
    #[must_use]
    pub fn audit(tenant: &TenantId, connection: &ConnectionId) -> Self {
        let key = JobKey::new(format!("audit/{tenant}/{connection}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::Audit { connection: connection.clone() } }
    }

    /// The job that decides stored mail anew.
    #[must_use]
    pub fn decide_again(tenant: &TenantId, connection: &ConnectionId) -> Self {
        let key = JobKey::new(format!("decide-again/{tenant}/{connection}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::DecideAgain { connection: connection.clone() } }
    }

    /// The job that works off a connection's outbox.
    #[must_use]
    pub fn outbox(tenant: &TenantId, connection: &ConnectionId) -> Self {
        let key = JobKey::new(format!("outbox/{tenant}/{connection}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::Outbox { connection: connection.clone() } }
    }

    /// The job that hands a tenant's signals to those who listen.
    #[must_use]
    pub fn signals(tenant: &TenantId) -> Self {
        Self { key: JobKey::new(format!("signals/{tenant}")), tenant: tenant.clone(), kind: JobKind::Signals }
    }

    /// The job that tries again what lies in a connection's quarantine.
    #[must_use]
    pub fn replay_quarantine(tenant: &TenantId, connection: &ConnectionId) -> Self {
        let key = JobKey::new(format!("replay-quarantine/{tenant}/{connection}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::ReplayQuarantine { connection: connection.clone() } }
    }

    /// The job that looks once more for what a change of the directory touches: addresses, `@domains` and `#references`, lower
    /// case.
    #[must_use]
    pub fn directory_changed(tenant: &TenantId, names: Vec<String>) -> Self {
        use sha2::Digest;
        let digest = hex::encode(&sha2::Sha256::digest(names.join("\n"))[..16]);
        let key = JobKey::new(format!("directory-changed/{tenant}/{digest}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::DirectoryChanged { names } }
    }

    /// The job that looks once more for copies of a message that a verdict was given on.
    #[must_use]
    pub fn verdict_given(tenant: &TenantId, activity: &ActivityId) -> Self {
        let key = JobKey::new(format!("verdict-given/{tenant}/{activity}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::VerdictGiven { activity: activity.clone() } }
    }

    /// The daily job that deletes what the host's limits do not allow to be kept any longer.
    #[must_use]
    pub fn retention(tenant: &TenantId) -> Self {
        let key = JobKey::new(format!("retention/{tenant}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::Retention }
    }

    /// The job that keeps a grant alive.
    #[must_use]
    pub fn keep_alive(tenant: &TenantId, grant: &GrantId) -> Self {
        let key = JobKey::new(format!("keep-alive/{tenant}/{grant}"));
        Self { key, tenant: tenant.clone(), kind: JobKind::KeepAlive { grant: grant.clone() } }
    }
}

/// What became of a slice.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobOutcome {
    /// There is more to do at once: run the job again.
    Continue,
    /// Done; run it again after this wait.
    Done {
        /// When the schedule wants it again; `None`: never.
        again_in: Option<Duration>,
    },
    /// It failed; run it again after this wait. `None`: only when somebody has acted.
    Failed {
        /// Why.
        error: crate::error::Error,
        /// When to try again.
        again_in: Option<Duration>,
    },
}

/// Who runs jobs: the bundled one, or the host's own queue.
///
/// The contract: a job handed to [`Scheduler::schedule`] is given to `Hub::run` once it is due, at least once; one key has
/// at most one pending job (the earlier due time stands); what `Hub::run` returns says when to run it again.
#[async_trait]
pub trait Scheduler: fmt::Debug + Send + Sync + 'static {
    /// Asks for `job` to be run after `due_in`.
    ///
    /// # Errors
    /// `Store` if it cannot be kept.
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()>;

    /// Forgets what is pending under `key`.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn cancel(&self, key: &crate::sync::JobKey) -> Result<()>;
}
