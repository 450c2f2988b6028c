//! The one word for a connection's state, and how bad each is.

use serde::{Deserialize, Serialize};

/// How a connection is, in one word.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthState {
    /// Disconnected: nothing is expected of it.
    Disconnected,
    /// The latest try failed; it is tried again by itself.
    Failing,
    /// It works; not everything is here yet.
    Loading,
    /// Somebody has to act: the remedy says who and how.
    NeedsAttention,
    /// Stopped by the host.
    Paused,
    /// Nothing has happened for too long: is the scheduler running?
    Stale,
    /// It works, and everything is here.
    UpToDate,
}

impl HealthState {
    /// Every state, the worst first.
    pub const WORST_FIRST: [Self; 7] = [
        Self::NeedsAttention,
        Self::Stale,
        Self::Failing,
        Self::Loading,
        Self::Paused,
        Self::UpToDate,
        Self::Disconnected,
    ];

    /// Its place in [`HealthState::WORST_FIRST`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::WORST_FIRST.iter().position(|state| *state == self).unwrap_or(Self::WORST_FIRST.len())
    }

    /// The word used in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Failing => "failing",
            Self::Loading => "loading",
            Self::NeedsAttention => "needs_attention",
            Self::Paused => "paused",
            Self::Stale => "stale",
            Self::UpToDate => "up_to_date",
        }
    }
}
