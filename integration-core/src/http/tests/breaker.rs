use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    http::{Breaker, BreakerSettings, ServiceBreaker},
    ids::ConnectionId,
};

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_442_000, 0).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

fn fail(breaker: &Arc<Breaker>, now: DateTime<Utc>) {
    breaker.enter(now).unwrap().failed(now);
}

fn opened() -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::default());
    for _ in 0..5 {
        fail(&breaker, at(0));
    }
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_for_thirty_seconds() {
    let breaker = Arc::new(Breaker::default());
    for _ in 0..4 {
        fail(&breaker, at(0));
    }
    assert!(!breaker.is_open(at(0)));
    fail(&breaker, at(0));
    assert_eq!(breaker.enter(at(10)).unwrap_err(), Duration::from_secs(20));
}

#[test]
fn an_answer_in_between_starts_the_count_again() {
    let breaker = Arc::new(Breaker::default());
    for _ in 0..10 {
        fail(&breaker, at(0));
        fail(&breaker, at(0));
        breaker.enter(at(0)).unwrap().answered();
    }
    assert!(!breaker.is_open(at(0)));
}

#[test]
fn one_probe_goes_through_when_the_time_is_up_and_nobody_beside_it() {
    let breaker = opened();
    let probe = breaker.enter(at(30)).unwrap();
    assert!(breaker.enter(at(30)).is_err());
    probe.answered();
    assert!(breaker.enter(at(30)).is_ok());
}

#[test]
fn an_abandoned_probe_lets_the_next_one_try() {
    let breaker = opened();
    drop(breaker.enter(at(30)).unwrap());
    assert!(breaker.enter(at(30)).is_ok());
}

#[test]
fn every_failed_probe_doubles_the_wait_up_to_five_minutes() {
    let breaker = opened();
    let mut now = 30;
    for expected in [60, 120, 240, 300, 300] {
        fail(&breaker, at(now));
        assert_eq!(breaker.enter(at(now)).unwrap_err(), Duration::from_secs(expected));
        now += i64::try_from(expected).unwrap();
    }
}

#[test]
fn calls_that_were_under_way_when_it_opened_do_not_prolong_it() {
    let breaker = Arc::new(Breaker::default());
    let late = breaker.enter(at(0)).unwrap();
    for _ in 0..5 {
        fail(&breaker, at(0));
    }
    late.failed(at(20));
    assert_eq!(breaker.enter(at(20)).unwrap_err(), Duration::from_secs(10));
}

#[test]
fn the_service_opens_only_when_many_connections_fail() {
    let service = Arc::new(ServiceBreaker::new(3, Duration::from_secs(60)));
    let one = BreakerSettings { failures: 1, ..BreakerSettings::default() };
    let of = |name: &str| Arc::new(Breaker::new(one).with_service(Arc::clone(&service), ConnectionId::new(name)));
    let (a, b, c, healthy) = (of("a"), of("b"), of("c"), of("d"));
    for now in [0, 30] {
        fail(&a, at(now));
    }
    fail(&b, at(30));
    assert!(healthy.enter(at(30)).is_ok(), "two failing connections stop only themselves");
    fail(&c, at(40));
    assert_eq!(healthy.enter(at(40)).unwrap_err(), Duration::from_secs(50));
    assert!(healthy.enter(at(90)).is_ok());
}

#[test]
fn what_fails_by_itself_is_held_against_the_service_only_where_it_was_to_find_out_about_it() {
    let breaker = Arc::new(Breaker::default());
    for _ in 0..9 {
        breaker.enter(at(0)).unwrap().failed_by_itself(at(0));
    }
    assert!(!breaker.is_open(at(0)));
    let breaker = opened();
    breaker.enter(at(30)).unwrap().failed_by_itself(at(30));
    assert_eq!(breaker.enter(at(30)).unwrap_err(), Duration::from_secs(60), "as any probe");
}
