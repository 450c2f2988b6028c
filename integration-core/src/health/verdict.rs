//! From what is known of a connection to its state.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    HealthState,
    rows::{FailureRow, SuccessRow},
};
use crate::{
    connection::{Connection, ConnectionStatus, Grant, GrantStatus},
    error::Remedy,
    event::Phase,
};

/// What a verdict about a connection needs to know.
pub(crate) struct Facts<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) grant: Option<&'a Grant>,
    pub(crate) success: Option<&'a SuccessRow>,
    pub(crate) failure: Option<&'a FailureRow>,
    pub(crate) now: DateTime<Utc>,
    /// Without a success for so long, a connection is stale.
    pub(crate) patience: TimeDelta,
}

/// A state, since when, and what to do.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) state: HealthState,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) remedy: Option<Remedy>,
}

impl Facts<'_> {
    pub(crate) fn verdict(&self) -> Verdict {
        let plain = |state| Verdict { state, since: None, remedy: None };
        match self.connection.status {
            ConnectionStatus::Disconnected => return plain(HealthState::Disconnected),
            ConnectionStatus::Paused => return plain(HealthState::Paused),
            ConnectionStatus::Active | ConnectionStatus::NeedsAttention => {}
        }
        self.attention().or_else(|| self.stale()).or_else(|| self.failing()).unwrap_or_else(|| {
            let progress = self.success.and_then(|success| success.progress);
            let settled = progress.is_some_and(|progress| progress.phase == Phase::UpToDate);
            plain(if settled { HealthState::UpToDate } else { HealthState::Loading })
        })
    }

    fn current_failure(&self) -> Option<&FailureRow> {
        self.failure.filter(|failure| !failure.over)
    }

    fn attention(&self) -> Option<Verdict> {
        let state = HealthState::NeedsAttention;
        if let Some(GrantStatus::NeedsAttention { since, remedy }) = self.grant.map(|grant| &grant.status) {
            return Some(Verdict { state, since: Some(*since), remedy: Some(remedy.clone()) });
        }
        if let Some(failure) = self.current_failure().filter(|failure| failure.needs_somebody()) {
            return Some(Verdict { state, since: Some(failure.since), remedy: failure.remedy.clone() });
        }
        let lost = self.connection.status == ConnectionStatus::NeedsAttention;
        lost.then(|| Verdict { state, since: None, remedy: Some(crate::connection::no_longer_opened()) })
    }

    fn stale(&self) -> Option<Verdict> {
        let known = self.success.map_or(self.connection.created_at, |success| success.at.max(success.due));
        // What failed is tried again at a time of its own.
        let known = self.current_failure().and_then(|failure| failure.again_at).map_or(known, |again| known.max(again));
        (self.now - known > self.patience).then(|| Verdict {
            state: HealthState::Stale,
            since: Some(known),
            remedy: self.current_failure().and_then(|failure| failure.remedy.clone()),
        })
    }

    fn failing(&self) -> Option<Verdict> {
        let failure = self.current_failure()?;
        let (since, remedy) = (Some(failure.since), failure.remedy.clone());
        Some(Verdict { state: HealthState::Failing, since, remedy })
    }
}
