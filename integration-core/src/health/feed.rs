//! How one feed of a connection is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rows::FailureRow;
use crate::{
    error::Remedy,
    event::{Gaps, Phase},
    ids::PartitionId,
};

/// How one feed of a connection is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeedHealth {
    /// Which: `mail`.
    pub feed: String,
    /// What its sync is doing; `None` before its first slice.
    pub phase: Option<Phase>,
    /// The last time that the service was asked and answered, true to a minute.
    pub last_success: Option<DateTime<Utc>>,
    /// How long ago that is.
    pub age_seconds: Option<u64>,
    /// When it is asked next; in the past if it is overdue. `None` if nothing is planned.
    pub next_due: Option<DateTime<Utc>>,
    /// What is left to do.
    pub backlog: Backlog,
    /// How long the waiting items take within the quota, once everything is listed.
    pub eta_seconds: Option<u64>,
    /// The latest failure, also if it is over.
    pub last_failure: Option<FailureHealth>,
    /// The latest finished comparison with the service; `None` before the first.
    pub audit: Option<AuditHealth>,
    /// Parts of the feed that the service lets nobody into; the others are followed.
    #[serde(default)]
    pub resting: Vec<RestingHealth>,
}

/// A part of a feed (a folder, say) that the service lets nobody into.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestingHealth {
    /// Which, as the service knows it.
    pub partition: PartitionId,
    /// Since when (UTC).
    pub since: DateTime<Utc>,
    /// When it is asked again (UTC).
    pub again_at: DateTime<Utc>,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backlog {
    /// Items known of the service.
    pub known: u64,
    /// Items listed so far in a running enumeration.
    pub listed: u64,
    /// Items known and waiting to be fetched: `pending_live` + `pending_history`.
    pub pending: u64,
    /// Of these, what is new.
    pub pending_live: u64,
    /// Of these, what the enumeration found.
    pub pending_history: u64,
    /// Messages that wait to be decided anew; nothing is fetched for them.
    pub undecided: u64,
    /// Items that could not be understood.
    pub quarantined: u64,
}

impl Backlog {
    pub(crate) fn classes(&self) -> [(&'static str, u64); 4] {
        [
            ("pending_live", self.pending_live),
            ("pending_history", self.pending_history),
            ("undecided", self.undecided),
            ("quarantined", self.quarantined),
        ]
    }
}

/// A failure of a slice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureHealth {
    /// When.
    pub at: DateTime<Utc>,
    /// When the first of this row of failures was.
    pub since: DateTime<Utc>,
    /// How many in a row.
    pub in_a_row: u64,
    /// It has worked since.
    pub over: bool,
    /// A stable word ([`ErrorKind::as_str`](crate::ErrorKind::as_str)).
    pub kind: String,
    /// One line; no secret, address or body.
    pub message: String,
    /// The call that failed, if it was one.
    pub operation: Option<String>,
    /// The service's request id, for its support.
    pub request_id: Option<String>,
    /// Who has to act and how, if anybody.
    pub remedy: Option<Remedy>,
    /// When it is tried again; `None`: when somebody has acted.
    pub again_at: Option<DateTime<Utc>>,
}

impl From<FailureRow> for FailureHealth {
    fn from(row: FailureRow) -> Self {
        Self {
            at: row.at,
            since: row.since,
            in_a_row: row.in_a_row,
            over: row.over,
            kind: row.kind,
            message: row.message,
            operation: row.operation,
            request_id: row.request_id,
            remedy: row.remedy,
            again_at: row.again_at,
        }
    }
}

/// What the latest finished comparison of a feed with its service found: `had` of `listed`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditHealth {
    /// When the earliest of the partitions' comparisons began.
    pub begun: Option<DateTime<Utc>>,
    /// When the latest ended.
    pub ended: Option<DateTime<Utc>>,
    /// Partitions compared.
    pub partitions: u64,
    /// What the service had.
    pub listed: u64,
    /// What of it was in its place here: on the timeline, decided against, in quarantine, or known and waiting.
    pub had: u64,
    /// What did not agree, by class.
    pub gaps: Gaps,
    /// How many of the gaps are repaired by now.
    pub repaired: u64,
    /// One comparison is running.
    pub running: bool,
}
