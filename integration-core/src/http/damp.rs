//! Fewer calls at once for a while, after the service complained of too many.

use std::time::Duration;

use tokio::time::Instant;

/// How long without a complaint until one more call may go at once.
const QUIET: Duration = Duration::from_secs(60);

/// By how many calls at once an account stays below its cap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Damped {
    pub(super) off: u32,
    /// When the account was free to go on; it grows back from there.
    pub(super) since: Instant,
}

impl Damped {
    /// After one more complaint, which blocks until `until`; at least one call at a time remains of `cap`.
    pub(super) fn after(known: Option<Self>, cap: u32, until: Instant, now: Instant) -> Self {
        let off = known.map_or(0, |known| known.now(now)).saturating_add(1).min(cap.saturating_sub(1));
        Self { off, since: until }
    }

    /// What is left of it.
    pub(super) fn now(&self, now: Instant) -> u32 {
        let grown = now.saturating_duration_since(self.since).as_secs() / QUIET.as_secs();
        self.off.saturating_sub(u32::try_from(grown).unwrap_or(u32::MAX))
    }

    /// What two processes know of the same account: the greater part counts.
    pub(super) fn with(self, other: Option<Self>, now: Instant) -> Self {
        other.filter(|other| (other.now(now), other.since) > (self.now(now), self.since)).unwrap_or(self)
    }
}
