use std::time::Duration;

use crate::{
    error::{Error, ErrorKind},
    http::{RetryBudget, RetryDecision, RetryPolicy, RetryState, StandardRetry},
};

fn state(attempt: u32, jitter: f64) -> RetryState {
    RetryState { attempt, elapsed: Duration::ZERO, repeatable: true, asked: None, jitter }
}

fn failure() -> Error {
    Error::new(ErrorKind::Unavailable, "down")
}

fn wait(state: &RetryState) -> Duration {
    match StandardRetry::new().with_attempts(100).on_error(state, &failure()) {
        RetryDecision::After(wait) => wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn waits_double_from_one_second_to_thirty_two() {
    let whole: Vec<u64> = (1..=8).map(|attempt| wait(&state(attempt, 1.0)).as_secs()).collect();
    assert_eq!(whole, [1, 2, 4, 8, 16, 32, 32, 32]);
}

#[test]
fn jitter_spreads_a_wait_between_its_half_and_its_whole() {
    assert_eq!(wait(&state(3, 0.0)), Duration::from_secs(2));
    assert_eq!(wait(&state(3, 0.5)), Duration::from_secs(3));
    assert_eq!(wait(&state(3, 1.0)), Duration::from_secs(4));
}

#[test]
fn the_asked_wait_wins() {
    let asked = RetryState { asked: Some(Duration::from_secs(17)), ..state(1, 0.0) };
    assert_eq!(wait(&asked), Duration::from_secs(17));
}

#[test]
fn an_asked_wait_beyond_the_time_budget_is_not_waited_for() {
    let asked = RetryState { asked: Some(Duration::from_secs(61)), ..state(1, 0.0) };
    assert_eq!(StandardRetry::new().on_error(&asked, &failure()), RetryDecision::Exhausted);
    let late = RetryState { elapsed: Duration::from_secs(59), ..state(2, 1.0) };
    assert_eq!(StandardRetry::new().on_error(&late, &failure()), RetryDecision::Exhausted);
}

#[test]
fn the_fifth_attempt_is_the_last() {
    let policy = StandardRetry::new();
    assert!(matches!(policy.on_error(&state(4, 0.0), &failure()), RetryDecision::After(_)));
    assert_eq!(policy.on_error(&state(5, 0.0), &failure()), RetryDecision::Exhausted);
}

#[test]
fn what_is_not_repeatable_or_not_temporary_is_permanent() {
    let policy = StandardRetry::new();
    let unsafe_now = RetryState { repeatable: false, ..state(1, 0.0) };
    assert_eq!(policy.on_error(&unsafe_now, &failure()), RetryDecision::Permanent);
    let gone = Error::new(ErrorKind::NotFound, "gone");
    assert_eq!(policy.on_error(&state(1, 0.0), &gone), RetryDecision::Permanent);
}

#[test]
fn retries_stay_a_fifth_of_the_calls_in_the_long_run() {
    let budget = RetryBudget::new(20, 10);
    let allowed = (0..1000).filter(|_| {
        budget.deposit();
        budget.withdraw()
    });
    assert_eq!(allowed.count(), 210);
}

#[test]
fn a_policy_without_budget_left_gives_up_but_still_waits_for_quota() {
    let policy = StandardRetry::new();
    while policy.budget.withdraw() {}
    assert_eq!(policy.on_error(&state(1, 0.0), &failure()), RetryDecision::Exhausted);
    let limited = Error::new(ErrorKind::RateLimited, "slow down");
    assert!(matches!(policy.on_error(&state(1, 0.0), &limited), RetryDecision::After(_)));
}
