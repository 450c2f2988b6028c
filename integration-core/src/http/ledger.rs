//! The exact books of one limit: what is in flight, what still counts, and when background work may go next.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Entries that expire within this part of a window are merged, so that a day's ledger stays as small as a minute's.
const GRAIN: u32 = 1024;

/// What one request asks of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// How much, in the window's unit.
    pub(super) amount: u64,
    /// The window's limit.
    pub(super) limit: u64,
    /// The window.
    pub(super) length: Duration,
    /// The share of the limit for background work.
    pub(super) background_limit: u64,
    /// `Some` for background work: the time this request takes at the background pace.
    pub(super) pace: Option<Duration>,
}

/// When a demand that does not fit now may fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    Now,
    /// Not before this instant.
    At(Instant),
    /// Once something in flight is back.
    AfterRelease,
}

/// One sliding window of one holder.
///
/// A call counts from its admission until a whole window after it is back: wherever in between the service books it, the
/// service's own count of any window of that length is never larger than ours.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    in_flight: u64,
    settled: VecDeque<Settled>,
    settled_sum: u64,
    /// When the background pace is free again.
    paced_until: Option<Instant>,
    /// Until then room is kept for interactive work, because some came lately.
    reserve_until: Option<Instant>,
}

/// What is back and still counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) opened: Instant,
    pub(super) expires: Instant,
    pub(super) amount: u64,
}

/// A ledger without what is in flight.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// In the order in which they expire.
    pub(super) settled: Vec<Settled>,
    pub(super) paced_until: Option<Instant>,
    pub(super) reserve_until: Option<Instant>,
}

impl Ledger {
    /// What counts now.
    pub(super) fn used(&mut self, now: Instant) -> u64 {
        while let Some(oldest) = self.settled.front().filter(|oldest| oldest.expires <= now) {
            self.settled_sum -= oldest.amount;
            self.settled.pop_front();
        }
        self.in_flight + self.settled_sum
    }

    /// A person waits: for a window's length, background work also leaves the rest of the window free for the next ones.
    pub(super) fn expect_interactive(&mut self, now: Instant, length: Duration) {
        self.reserve_until = Some(now + length);
    }

    /// Does the demand fit now, and if not, when?
    pub(super) fn fit(&mut self, demand: &Demand, now: Instant) -> Fit {
        let mut cap = demand.limit;
        if demand.pace.is_some() {
            // A second's worth ahead absorbs callers that ask a little late, without making the pace uneven.
            let ahead = Duration::from_secs(1).min(demand.length / 4);
            if let Some(due) = self.paced_until.and_then(|until| until.checked_sub(ahead)).filter(|due| *due > now) {
                return Fit::At(due);
            }
            if self.reserve_until.is_some_and(|until| until > now) {
                // A single call larger than the share still has to pass one day: when nothing else counts.
                cap = demand.background_limit.max(demand.amount);
            }
        }
        let mut used = self.used(now);
        if used + demand.amount <= cap {
            return Fit::Now;
        }
        for entry in &self.settled {
            used -= entry.amount;
            if used + demand.amount <= cap {
                return Fit::At(entry.expires);
            }
        }
        Fit::AfterRelease
    }

    /// Writes an admitted call in.
    pub(super) fn admit(&mut self, demand: &Demand, now: Instant) {
        self.in_flight += demand.amount;
        if let Some(pace) = demand.pace {
            let from = self.paced_until.map_or(now, |until| until.max(now));
            self.paced_until = Some(from + pace);
        }
    }

    /// The call is back: it counts for one window more.
    pub(super) fn settle(&mut self, demand: &Demand, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(demand.amount);
        self.settled_sum += demand.amount;
        let expires = now + demand.length;
        let grain = demand.length / GRAIN;
        match self.settled.back_mut().filter(|last| now.saturating_duration_since(last.opened) < grain) {
            // Expiring a little late errs on the safe side.
            Some(last) => {
                last.expires = expires;
                last.amount += demand.amount;
            }
            None => self.settled.push_back(Settled { opened: now, expires, amount: demand.amount }),
        }
    }

    /// The books as they are kept elsewhere: what settled, the pace, the reserve. What is in flight is told apart.
    pub(super) fn restored(kept: Kept, in_flight: u64) -> Self {
        let settled: VecDeque<Settled> = kept.settled.into_iter().collect();
        let settled_sum = settled.iter().map(|entry| entry.amount).sum();
        let (paced_until, reserve_until) = (kept.paced_until, kept.reserve_until);
        Self { in_flight, settled, settled_sum, paced_until, reserve_until }
    }

    /// What to keep elsewhere.
    pub(super) fn keep(&mut self, now: Instant) -> Kept {
        self.used(now);
        let settled = self.settled.iter().copied().collect();
        Kept { settled, paced_until: self.paced_until, reserve_until: self.reserve_until }
    }

    /// Adds what counts until `expires`, in an order of its own; entries within `grain` are merged.
    pub(super) fn count(&mut self, amount: u64, expires: Instant, grain: Duration, now: Instant) {
        self.settled_sum += amount;
        let after = self.settled.partition_point(|entry| entry.expires < expires);
        let near = after.checked_sub(1).and_then(|index| self.settled.get_mut(index));
        match near
            .filter(|entry| expires.saturating_duration_since(entry.expires) < grain && entry.opened + grain > now)
        {
            Some(entry) => {
                entry.expires = expires;
                entry.amount += amount;
            }
            None => self.settled.insert(after, Settled { opened: now, expires, amount }),
        }
    }

    /// The call was never sent: as if it had not been admitted.
    pub(super) fn refund(&mut self, demand: &Demand) {
        self.in_flight = self.in_flight.saturating_sub(demand.amount);
        if let (Some(pace), Some(until)) = (demand.pace, self.paced_until) {
            self.paced_until = until.checked_sub(pace);
        }
    }

    /// Whether forgetting it changes nothing.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        let past = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        self.used(now) == 0 && past(self.paced_until) && past(self.reserve_until)
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.settled.len()
    }
}
