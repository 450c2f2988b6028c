//! When to try again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::error::{Error, ErrorKind};

/// What a policy may look at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryState {
    /// The attempt that failed, from 1.
    pub attempt: u32,
    /// Time since the call began.
    pub elapsed: Duration,
    /// Whether repeating is safe now: the call says so, or the request cannot have arrived.
    pub repeatable: bool,
    /// The wait the service asked for.
    pub asked: Option<Duration>,
    /// A fraction in `0.0..1.0` for jitter.
    pub jitter: f64,
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Try again after this wait.
    After(Duration),
    /// It was temporary, but the budget is spent.
    Exhausted,
    /// Repeating will not help or is not safe.
    Permanent,
}

/// Decides after a failure.
pub trait RetryPolicy: fmt::Debug + Send + Sync + 'static {
    /// A call begins: its first attempt is about to be made.
    fn on_call(&self) {}

    /// What to do after `error`.
    fn on_error(&self, state: &RetryState, error: &Error) -> RetryDecision;
}

/// Keeps retries a small share of all calls, however many fail: a token bucket that calls fill and retries empty.
#[derive(Debug)]
pub struct RetryBudget {
    /// In hundredths of a retry.
    tokens: AtomicU64,
    per_call: u64,
    full: u64,
}

const RETRY: u64 = 100;

impl RetryBudget {
    /// Allows `percent` retries per hundred calls; starts with `reserve` retries and saves up to ten times that.
    #[must_use]
    pub fn new(percent: u8, reserve: u32) -> Self {
        let reserve = u64::from(reserve) * RETRY;
        Self { tokens: AtomicU64::new(reserve), per_call: percent.into(), full: reserve.saturating_mul(10) }
    }

    /// A call begins.
    pub fn deposit(&self) {
        let add = |tokens: u64| Some((tokens + self.per_call).min(self.full));
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes one retry, if there is one.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(RETRY)).is_ok()
    }
}

impl Default for RetryBudget {
    /// 20 %, with 10 in reserve.
    fn default() -> Self {
        Self::new(20, 10)
    }
}

/// The bundled policy: exponential waits with jitter, a wait the service asked for wins, and three budgets: attempts, time,
/// and the share of retries in all calls.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StandardRetry {
    /// Attempts in all; 5 unless set.
    pub attempts: u32,
    /// The time from the first attempt to the start of the last one, waiting for quota not counted; 60 s unless set.
    pub time: Duration,
    /// The first wait; 1 s unless set. It doubles.
    pub first: Duration,
    /// The longest wait; 32 s unless set.
    pub longest: Duration,
    /// Shared by everyone who uses this policy.
    pub budget: Arc<RetryBudget>,
}

impl Default for StandardRetry {
    fn default() -> Self {
        Self {
            attempts: 5,
            time: Duration::from_secs(60),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(32),
            budget: Arc::default(),
        }
    }
}

impl StandardRetry {
    /// The bundled values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many attempts there are in all.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the time budget.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// The wait before the attempt after `attempt`, between half and all of the exponential one: never at once, and never
    /// all callers together.
    fn wait(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

impl RetryPolicy for StandardRetry {
    fn on_call(&self) {
        self.budget.deposit();
    }

    fn on_error(&self, state: &RetryState, error: &Error) -> RetryDecision {
        if !state.repeatable || !error.retryable() {
            return RetryDecision::Permanent;
        }
        let wait = state.asked.unwrap_or_else(|| self.wait(state.attempt, state.jitter));
        let in_time = state.elapsed.checked_add(wait).is_some_and(|end| end <= self.time);
        if state.attempt >= self.attempts || !in_time {
            return RetryDecision::Exhausted;
        }
        // Waits for quota hold everyone who shares it, so they cannot turn into a storm.
        if error.kind() != ErrorKind::RateLimited && !self.budget.withdraw() {
            return RetryDecision::Exhausted;
        }
        RetryDecision::After(wait)
    }
}
