//! What slices leave behind for whoever asks how a connection is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    error::Remedy,
    event::Progress,
    ids::ConnectionId,
    store::{Space, StateKey},
};

pub(crate) const HEALTH: Space = "health";

/// The latest slice that came to its end. Not written by every idle poll: true to a minute.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SuccessRow {
    pub(crate) at: DateTime<Utc>,
    /// When the next one was due.
    pub(crate) due: DateTime<Utc>,
    pub(crate) progress: Option<Progress>,
}

/// The latest slice that failed.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FailureRow {
    pub(crate) at: DateTime<Utc>,
    /// When the first of this row of failures was.
    pub(crate) since: DateTime<Utc>,
    pub(crate) in_a_row: u64,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) operation: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) remedy: Option<Remedy>,
    /// `None`: somebody has to act first.
    pub(crate) again_at: Option<DateTime<Utc>>,
    /// A slice has come to its end since.
    pub(crate) over: bool,
    /// An event said that somebody has to act.
    pub(crate) told: bool,
}

#[cfg(feature = "oauth")]
impl FailureRow {
    /// `error` after what was noted `before`.
    pub(crate) fn new(error: &crate::Error, before: Option<&Self>, now: DateTime<Utc>) -> Self {
        let before = before.filter(|before| !before.over);
        Self {
            at: now,
            since: before.map_or(now, |before| before.since),
            in_a_row: before.map_or(1, |before| before.in_a_row.saturating_add(1)),
            kind: error.kind().as_str().to_owned(),
            message: error.message().to_owned(),
            operation: error.operation().map(str::to_owned),
            request_id: error.request_id().map(str::to_owned),
            remedy: error.remedy().cloned(),
            again_at: None,
            over: false,
            told: false,
        }
    }

    /// Does it last until somebody acts?
    pub(crate) fn needs_somebody(&self) -> bool {
        let somebody = self.remedy.as_ref().is_some_and(|remedy| remedy.actor != crate::error::Actor::Nobody);
        somebody || self.again_at.is_none()
    }
}

pub(crate) fn success_key(connection: &ConnectionId, feed: &str) -> StateKey {
    StateKey::new([connection.as_str(), feed, "success"])
}

pub(crate) fn failure_key(connection: &ConnectionId, feed: &str) -> StateKey {
    StateKey::new([connection.as_str(), feed, "failure"])
}
