//! The look-up that decides: where it has to look, and how long it may.

use std::time::Duration;

use super::key;
use crate::{
    error::ErrorKind,
    outbox::{
        IntentState,
        tests::world::{Fate, World},
    },
    sync::Shutdown,
};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_proof_that_takes_many_minutes_of_quota_ends_with_a_verdict() {
    let world = World::new();
    world.service.fate("a", [Fate::LostBefore]);
    world.service.proof_takes(15 * MINUTE);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.told(), ["unknown a", "absent a", "done a"]);
    let [proof] = world.service.proofs()[..] else { panic!("one look-up decides: {:?}", world.service.proofs()) };
    assert!(proof.time >= world.options.proof, "{proof:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_to_end_does_not_wait_for_a_proof() {
    let world = World::new();
    world.service.fate("a", [Fate::LostBefore]);
    world.service.proof_takes(15 * MINUTE);
    world.enqueue("a", key("a")).await;
    tokio::select! {
        () = async { while world.service.proofs().is_empty() { tokio::time::sleep(MINUTE / 60).await } } => {}
        _ = world.until_finished() => panic!("it was to be interrupted"),
    }
    tokio::time::sleep(world.options.lease).await;
    let before = format!("{:?}", world.intent("a").await);
    let (stop, began) = (Shutdown::default(), tokio::time::Instant::now());
    tokio::join!(world.slice_until(&stop), async {
        tokio::time::sleep(MINUTE).await;
        stop.stop();
    });
    assert!(began.elapsed() < 2 * MINUTE, "{:?}", began.elapsed());
    assert!(matches!(world.intent("a").await.state, IntentState::Unknown { .. }));
    assert_eq!(format!("{:?}", world.intent("a").await), before, "that a worker ends says nothing of the mail");
    world.until_finished().await;
    assert_eq!(world.book(), ["a"]);
    assert_eq!(world.service.proofs().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_proof_looks_only_where_an_attempt_may_have_left_something() {
    let world = World::new();
    let refused_for_hours = std::iter::repeat_n(Fate::NeedsPerson, 15);
    world.service.fate("a", refused_for_hours.chain([Fate::LostBefore, Fate::Busy, Fate::LostBefore]));
    world.enqueue("a", key("a")).await;
    let began = tokio::time::Instant::now();
    world.until_finished().await;
    assert!(began.elapsed() > Duration::from_secs(3 * 3600), "{:?}", began.elapsed());
    assert_eq!(world.book(), ["a"]);
    let proofs = world.service.proofs();
    assert_eq!(proofs.len(), 2);
    for proof in proofs {
        assert!(proof.age < 10 * MINUTE, "{proof:?}");
        let span = proof.age - proof.ended.expect("nobody can send any more");
        assert!(span < 6 * MINUTE, "{proof:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_certain_to_have_had_no_effect_is_not_looked_for_later() {
    let world = World::new();
    world.service.fate("a", [Fate::LostBefore, Fate::Refused]);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    let refused = world.intent("a").await;
    assert!(matches!(refused.state, IntentState::Failed { .. }));
    assert_eq!((refused.times_unknown, refused.first_attempt), (1, None), "it was proved absent, then refused");

    let world = World::new();
    world.service.fate("a", [Fate::LostBefore]);
    world.service.blind(u32::MAX, ErrorKind::MissingScope);
    world.enqueue("a", key("a")).await;
    world.until_finished().await;
    let unknown = world.intent("a").await;
    assert!(matches!(unknown.state, IntentState::Failed { .. }));
    assert!(unknown.first_attempt.is_some(), "nobody knows, and a later look-up has to reach back to it");
}
