//! Time and randomness, injected so that tests neither sleep nor guess.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Where the time comes from.
///
/// Waiting inside core (retry, admission, scheduling) goes through [`Clock::sleep`], so one implementation decides for
/// everything. Instants are UTC.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> DateTime<Utc>;

    /// Waits for `duration` of this clock's time.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock, with waits on the runtime's timer.
///
/// It reads the wall clock once and then follows the runtime's monotonic clock, so that a step of the machine's clock
/// never makes time run backwards inside a process, and a paused test runtime carries it along.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    wall: DateTime<Utc>,
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// Reads the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self { wall: Utc::now(), origin: tokio::time::Instant::now() }
    }

    /// A clock that starts at `wall`: with a paused runtime, a virtual clock.
    #[must_use]
    pub fn starting_at(wall: DateTime<Utc>) -> Self {
        Self { wall, origin: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = chrono::TimeDelta::from_std(self.origin.elapsed()).unwrap_or(chrono::TimeDelta::MAX);
        self.wall.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Where randomness comes from: tokens, state, jitter.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`. Implementations used outside tests must be cryptographically strong.
    fn fill(&self, bytes: &mut [u8]);

    /// A fraction in `0.0..1.0`, for jitter.
    fn fraction(&self) -> f64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        // 53 bits fill a double's mantissa exactly.
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `length` random bytes as unpadded URL-safe base64.
    fn token(&self, length: usize) -> String {
        use base64::Engine;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no token and no state would be safe: there is nothing sensible to go on with.
        getrandom::fill(bytes).expect("the operating system provides randomness");
    }
}
