//! An outbox over a service that keeps a book, with failures at every boundary.

#[cfg(feature = "sqlite")]
mod enlisted;
mod mail;
mod proof;
mod world;

use std::time::Duration;

use self::world::{Fate, World};
use super::{IntentKey, IntentOptions, IntentState, Link, Links, Origin, Ours, OutboxEnd, Theirs};
use crate::{error::ErrorKind, ids::ConnectionId};

fn key(name: &str) -> IntentOptions {
    IntentOptions::default().with_key(IntentKey::new(name))
}

#[tokio::test(start_paused = true)]
async fn an_intent_happens_once_and_leaves_a_link() {
    let world = World::new();
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    let links = Links::new(&*world.store, &world.tenant).of_ours(&Ours::new("intent", "a")).await.unwrap();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].origin, Origin::Ours);
    assert!(links[0].is_echo(Some("1")) && !links[0].is_echo(Some("2")));
    let back = Links::new(&*world.store, &world.tenant).of_theirs(&links[0].theirs).await.unwrap();
    assert_eq!(back, links);
    assert!(world.rows("outbox_body").await.is_empty(), "content is not kept longer than it is needed");
    assert!(world.rows("outbox_due").await.is_empty());
    assert_eq!(world.told(), ["done a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_an_intent_with_its_remedy() {
    let world = World::new();
    world.service.fate("a", [Fate::Refused]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert!(world.book().is_empty());
    let IntentState::Failed { failure, .. } = world.intent("a").await.state else { panic!("it was refused") };
    assert_eq!(failure.kind, "invalid_input");
    assert!(failure.remedy.is_some());
    assert_eq!(world.rows("outbox_body").await.len(), 1, "somebody may try again");
    assert_eq!(world.told(), ["failed a"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_now_is_tried_again_later_and_later() {
    let world = World::new();
    world.service.fate("a", [Fate::Busy, Fate::Busy, Fate::Busy]);
    world.enqueue("a", key("a")).await;
    let began = tokio::time::Instant::now();
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.intent("a").await.attempts, 4);
    let took = began.elapsed().as_secs();
    assert!((210..230).contains(&took), "30 + 60 + 120 seconds, not {took}");
}

#[tokio::test(start_paused = true)]
async fn an_intent_out_of_tries_has_failed_and_is_kept() {
    let world = World::new();
    world.service.fate("a", vec![Fate::Busy; 20]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    let intent = world.intent("a").await;
    assert!(matches!(intent.state, IntentState::Failed { .. }), "{intent:?}");
    assert_eq!(intent.attempts, world.options.attempts);
}

#[tokio::test(start_paused = true)]
async fn who_has_to_be_asked_is_waited_for_until_the_time_is_over() {
    let world = World::new();
    world.service.fate("a", vec![Fate::NeedsPerson; 1_000]);
    world.enqueue("a", key("a")).await;
    let began = tokio::time::Instant::now();
    world.until_finished().await;
    assert!(began.elapsed() >= world.options.give_up, "{:?}", began.elapsed());
    assert!(matches!(world.intent("a").await.state, IntentState::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_that_took_effect_is_found_and_not_repeated() {
    for fate in [Fate::LostAfter, Fate::Garbled, Fate::Panics] {
        let world = World::new();
        world.service.fate("a", [fate]);
        world.enqueue("a", key("a")).await;
        world.until_finished().await;
        assert_eq!(world.book(), ["a"], "{fate:?}");
        assert_eq!(world.told(), ["unknown a", "happened a", "done a"], "{fate:?}");
        assert_eq!(world.intent("a").await.times_unknown, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_without_effect_is_repeated_once_it_is_proved_absent() {
    let world = World::new();
    world.service.fate("a", [Fate::LostBefore]);
    world.enqueue("a", key("a")).await;
    let began = tokio::time::Instant::now();
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.told(), ["unknown a", "absent a", "done a"]);
    assert!(began.elapsed() >= world.options.absent_after, "{:?}", began.elapsed());
    assert!(world.service.look_ups() >= world.options.look_ups);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_lags_behind_does_not_lead_to_a_repeat() {
    let world = World::new();
    world.service.lag(Duration::from_secs(200));
    world.service.fate("a", [Fate::LostAfter]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_for_now_proves_nothing() {
    let world = World::new();
    world.service.blind(30, ErrorKind::Unavailable);
    world.service.fate("a", [Fate::LostAfter]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.told(), ["unknown a", "happened a", "done a"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_look_up_is_never_repeated() {
    let world = World::new();
    world.service.blind(u32::MAX, ErrorKind::MissingScope);
    world.service.fate("a", [Fate::LostBefore]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert!(world.book().is_empty());
    let IntentState::Failed { failure, .. } = world.intent("a").await.state else { panic!("it can never be known") };
    assert_eq!(failure.kind, "outcome_unknown");
    assert!(failure.remedy.is_some_and(|remedy| remedy.action.contains("account")));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_kept_while_its_first_waits_to_be_tried_again() {
    let world = World::new();
    world.service.fate("a", [Fate::Busy, Fate::LostBefore]);
    world.service.fate("b", [Fate::LostAfter]);
    for name in ["a", "b", "c"] {
        world.enqueue(name, key(name).with_order("line")).await;
    }
    world.enqueue("x", key("x")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["x", "a", "b", "c"]);
    assert!(world.rows("outbox_order").await.is_empty() && world.rows("outbox_due").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_loses_no_time() {
    let world = World::new();
    world.service.fate("a", vec![Fate::NeedsPerson; 1_000]);
    for name in ["a", "b"] {
        world.enqueue(name, key(name).with_order("line")).await;
    }
    world.until_finished().await;
    assert_eq!(world.book(), ["b"], "the first waited for a whole day");
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_erased_one_does_not_hold_its_order() {
    let world = World::new();
    world.service.fate("a", [Fate::Refused]);
    for name in ["a", "b", "c"] {
        world.enqueue(name, key(name).with_order("line")).await;
    }
    world.forget("b").await;
    world.until_finished().await;
    assert_eq!(world.book(), ["c"]);
    world.enqueue("d", key("d").with_order("line")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_intent_waits_for_its_instant() {
    let world = World::new();
    let at = world.now() + chrono::TimeDelta::hours(3);
    world.enqueue("a", key("a").with_not_before(at)).await;
    assert_eq!(world.slice().await, OutboxEnd::Idle(Some(Duration::from_secs(3 * 3600))));
    assert!(world.book().is_empty());
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_the_same_intent_unless_it_means_something_else() {
    let world = World::new();
    world.enqueue("a", key("k")).await;
    let again = world.prepare("a", key("k")).await.unwrap();
    assert!(again.is_known());
    world.write(&again).await.unwrap();
    world.until_finished().await;
    world.write(&world.prepare("a", key("k")).await.unwrap()).await.unwrap();
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.prepare("b", key("k")).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_race_for_a_key_one_is_told() {
    let world = World::new();
    let (one, other) = (world.prepare("a", key("k")).await.unwrap(), world.prepare("a", key("k")).await.unwrap());
    world.write(&one).await.unwrap();
    assert_eq!(world.write(&other).await.unwrap_err().kind(), ErrorKind::Conflict);
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_intent_of_a_transaction_that_was_rolled_back_never_was() {
    let world = World::new();
    let prepared = world.prepare("a", key("a")).await.unwrap();
    let mut tx = world.store.begin(None).await.unwrap();
    super::enqueue(&prepared, &mut *tx).await.unwrap();
    drop(tx);
    assert_eq!(world.slice().await, OutboxEnd::Idle(None));
    assert!(world.book().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_workers_do_not_meet() {
    let world = World::new();
    world.service.fate("a", [Fate::Slow]);
    world.enqueue("a", key("a")).await;
    let (one, other) = tokio::join!(world.slice(), async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        world.slice().await
    });
    assert_eq!(other, OutboxEnd::Busy, "a call longer than the lease keeps it");
    assert_eq!(one, OutboxEnd::More);
    assert_eq!(world.book(), ["a"]);
}

/// Ends the worker at the boundary `number`, starts another, and so on; gives whether there was such a boundary.
async fn killed_at(number: u64, fate: Option<Fate>, order: bool) -> bool {
    let world = World::new();
    for name in ["a", "b"] {
        world.service.fate(name, fate);
        world.enqueue(name, if order { key(name).with_order("line") } else { key(name) }).await;
    }
    world.kill_at(number);
    let killed = world.until_finished().await;
    let mut book = world.book();
    if !order {
        book.sort();
    }
    assert_eq!(
        book,
        ["a", "b"],
        "killed at boundary {number}, {fate:?}, {}",
        if order { "ordered" } else { "unordered" }
    );
    for name in ["a", "b"] {
        let intent = world.intent(name).await;
        assert!(matches!(intent.state, IntentState::Done { .. }), "{number} {intent:?}");
    }
    for space in ["outbox_due", "outbox_order", "outbox_body"] {
        assert!(world.rows(space).await.is_empty(), "{space} after {number}");
    }
    killed
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_at_any_boundary_does_nothing_twice_and_loses_nothing() {
    let mut boundaries = 0;
    for fate in [None, Some(Fate::Busy), Some(Fate::LostBefore), Some(Fate::LostAfter)] {
        for order in [false, true] {
            for number in 1.. {
                if !killed_at(number, fate, order).await {
                    break;
                }
                boundaries += 1;
            }
        }
    }
    println!("killed at {boundaries} boundaries");
    assert!(boundaries > 60, "{boundaries}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_write_down_what_it_begins_is_found_out() {
    for number in 1..20 {
        let world = World::new();
        world.enqueue("a", key("a")).await;
        world.forget_beginnings();
        world.kill_at(number);
        let killed = world.until_killed().await;
        world.until_killed().await;
        if killed && world.book().len() > 1 {
            println!("control: killed at boundary {number}, it happens twice");
            return;
        }
    }
    panic!("nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn links_are_found_from_both_sides_and_taken_away() {
    let world = World::new();
    let links = Links::new(&*world.store, &world.tenant);
    let theirs = |id: &str| Theirs::new(ConnectionId::new("c"), "event", id);
    let ours = Ours::new("meeting", "7");
    let one = Link::new(ours.clone(), theirs("x"), Origin::Theirs).with_seen(Some("v1".to_owned()));
    let other = Link::new(ours.clone(), theirs("y"), Origin::Ours);
    let mut tx = world.store.begin(None).await.unwrap();
    links.put(&one, &mut *tx).await.unwrap();
    links.put(&other, &mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(links.of_ours(&ours).await.unwrap(), [one.clone(), other.clone()]);
    assert_eq!(links.of_theirs(&theirs("y")).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(links.of_both(&ours, &theirs("x")).await.unwrap(), Some(one.clone()));
    let mut tx = world.store.begin(None).await.unwrap();
    links.remove(&one, &mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(links.of_ours(&ours).await.unwrap(), [other]);
    assert!(links.of_theirs(&theirs("x")).await.unwrap().is_empty());
}
