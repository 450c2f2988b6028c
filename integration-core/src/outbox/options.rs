//! How an outbox works.

use std::time::Duration;

/// How an outbox works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxOptions {
    /// How long one attempt may take, its retries within the HTTP stack included; none begins later. 60 s unless set.
    pub attempt: Duration,
    /// Attempts that may end without the effect before the intent has failed. 20 unless set: about half a day.
    pub attempts: u32,
    /// How long after its first attempt it is still tried; what waits for its turn loses no time. 24 h unless set.
    pub give_up: Duration,
    /// The wait after the first attempt that failed for now; it doubles up to an hour. 30 s unless set.
    pub first_wait: Duration,
    /// The wait before the first look-up of an unknown outcome; it doubles up to an hour. 15 s unless set: a service's search
    /// lags behind.
    pub first_look_up: Duration,
    /// Look-ups that must not find it before it is believed absent. 4 unless set.
    pub look_ups: u32,
    /// Time that must have passed as well. 5 min unless set; never less than two attempts and two leases, so that a worker
    /// that was stopped in the middle cannot send any more.
    pub absent_after: Duration,
    /// How long the look-up may take that is to prove it absent: it may have to read thousands of records within the
    /// account's quota. The connection's other intents wait meanwhile. 20 min unless set.
    pub proof: Duration,
    /// The largest content, in bytes before sealing. 48 MiB unless set.
    pub max_bytes: usize,
    /// How long the lease on a connection's outbox lasts without renewal. 30 s unless set.
    pub lease: Duration,
    /// How long a slice works before it yields. 5 s unless set.
    pub slice: Duration,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(60),
            attempts: 20,
            give_up: Duration::from_secs(24 * 3600),
            first_wait: Duration::from_secs(30),
            first_look_up: Duration::from_secs(15),
            look_ups: 4,
            absent_after: Duration::from_secs(300),
            proof: Duration::from_secs(20 * 60),
            max_bytes: 48 * 1024 * 1024,
            lease: Duration::from_secs(30),
            slice: Duration::from_secs(5),
        }
    }
}

impl OutboxOptions {
    /// How long an intent must have been unknown before it can be believed absent.
    pub(super) fn doubt(&self) -> Duration {
        self.absent_after.max(self.patience() + self.lease * 2)
    }

    /// How long an attempt is waited for: what began in time may take as long again.
    pub(super) fn patience(&self) -> Duration {
        self.attempt * 2
    }

    /// The wait after the attempt `number` (from 1) failed for now.
    pub(super) fn retry_wait(&self, number: u32) -> Duration {
        doubled(self.first_wait, number.saturating_sub(1))
    }

    /// The wait before the look-up that follows `made` of them.
    pub(super) fn look_up_wait(&self, made: u32) -> Duration {
        doubled(self.first_look_up, made)
    }
}

/// Never at once, never longer than an hour.
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(Duration::from_secs(3600)).max(Duration::from_millis(1))
}
