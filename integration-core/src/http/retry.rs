//! When to try again.

use std::{fmt, time::Duration};

use crate::error::Error;

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
    /// What to do after `error`.
    fn on_error(&self, state: &RetryState, error: &Error) -> RetryDecision;
}

/// Attempts, time and a token bucket.
#[derive(Debug)]
pub struct RetryBudget {}
/// The bundled policy.
#[derive(Debug)]
pub struct StandardRetry {}
