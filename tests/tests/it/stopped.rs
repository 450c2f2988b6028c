//! A process that is stopped past its lease in the middle of a refresh (SIGSTOP), replaced, and woken again.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use integration_core::store::SealedRecord;
use serde_json::{Value, json};

use crate::{
    far::FarSandbox,
    place::{Places, StoreUrl},
    service::Service,
    storm::{ended_token, token_record},
    worker::{self, tenant},
};

fn signal(process: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())]).status().unwrap();
    assert!(sent.success(), "SIG{name} could not be sent");
}

/// How both processes fared.
struct Story {
    /// What the second process and the woken one said of their calls.
    second: Value,
    woken: Value,
    requests: u64,
    /// The token set as the second process left it, and after the first one woke.
    record: SealedRecord,
    at_the_end: SealedRecord,
}

impl Story {
    /// The first process asks for a token and is stopped before the answer comes; the second takes over; then the first
    /// is woken.
    async fn play(sandbox: &FarSandbox, database: &StoreUrl, sabotage: &str) -> Self {
        ended_token(sandbox, database).await;
        sandbox.ask("POST", "token_delay?milliseconds=700", "").await;
        let before = sandbox.refreshes().await;
        let caller = || {
            let mut command = sandbox.worker("call", database);
            command.env(worker::SIGN_IN_LEASE, "3").env(worker::SABOTAGE, sabotage);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let first = caller();
        while sandbox.refreshes().await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        signal(&first, "STOP");
        // The sign-in and the first one's intent: it was stopped before it could save.
        assert_eq!(token_record(database).await.version.0, 2);
        sandbox.ask("POST", "token_delay?milliseconds=0", "").await;
        // It waits for the lease to run out.
        let second = worker::outcome(&caller().wait_with_output().unwrap());
        let record = token_record(database).await;
        signal(&first, "CONT");
        let woken = worker::outcome(&first.wait_with_output().unwrap());
        let requests = sandbox.refreshes().await - before;
        Self { second, woken, requests, record, at_the_end: token_record(database).await }
    }

    async fn ends_well(sandbox: &FarSandbox, places: &Places, what: &str) {
        let database = places.fresh("stopped").await;
        let story = Self::play(sandbox, &database, "no").await;
        assert_eq!(story.at_the_end, story.record, "the woken holder changes nothing");
        assert_eq!((&story.second, &story.woken), (&Value::Null, &Value::Null), "both calls are answered");
        // The sign-in, two intents, one token set.
        assert_eq!((story.requests, story.record.version.0), (2, 4));
        worker::assert_alive(&database, &sandbox.origin).await;
        println!("stopped past its lease, {what}: {} token requests, 1 saved token set, grant alive", story.requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_stopped_past_its_lease_is_replaced_and_changes_nothing_when_it_wakes() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    Story::ends_well(&sandbox, &Places::files(), "plain refresh tokens").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_stopped_past_its_lease_is_replaced_where_refresh_tokens_always_rotate() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::of(Service::Microsoft, place.path());
    Story::ends_well(&sandbox, &Places::files(), "Microsoft's refresh tokens").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_server_too_a_stopped_holder_is_replaced_and_changes_nothing_when_it_wakes() {
    let Some(places) = Places::server().await else { return };
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    Story::ends_well(&sandbox, &places, "plain refresh tokens, PostgreSQL").await;
    sandbox.ask("POST", "rotation?on=true&grace_milliseconds=60000", "").await;
    Story::ends_well(&sandbox, &places, "rotating refresh tokens with grace, PostgreSQL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_with_grace_survives_a_stopped_holder() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    sandbox.ask("POST", "rotation?on=true&grace_milliseconds=60000", "").await;
    Story::ends_well(&sandbox, &Places::files(), "rotating refresh tokens with grace").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_the_cause_names_the_interruption_and_signing_in_again_repairs_it() {
    let place = tempfile::tempdir().unwrap();
    let (sandbox, places) = (FarSandbox::start(place.path()), Places::files());
    let database = places.fresh("stopped").await;
    sandbox.ask("POST", "rotation?on=true", "").await;
    let story = Story::play(&sandbox, &database, "no").await;
    assert_eq!(story.at_the_end, story.record, "the woken holder changes nothing");
    let cause = story.second["cause"].as_str().unwrap();
    assert!(cause.contains("was interrupted before its answer was stored"), "{cause}");
    assert_eq!(story.second, json!({ "kind": "reauthorisation_needed", "cause": cause }));
    assert_eq!(story.woken, story.second);
    // The sign-in, two intents, the refusal.
    assert_eq!((story.requests, story.record.version.0), (2, 4));
    let store = database.stores().await.sync;
    let grant = String::from_utf8(worker::rows(&*store, "grant").await[0].bytes.to_vec()).unwrap();
    assert!(grant.contains("needs_attention") && grant.contains(cause), "the grant's row says why: {grant}");

    let hub = worker::hub(&database, &sandbox.origin).await;
    let before = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let ask = sandbox.service.read_mail().with_reconnect(before.id.clone());
    let again = worker::sign_in(&hub, &sandbox.origin, sandbox.service, ask).await;
    assert_eq!(again.id, before.id);
    worker::assert_alive(&database, &sandbox.origin).await;
    println!("stopped past its lease, rotating without grace: {} token requests, cause: {cause}", story.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_which_the_last_write_wins_is_found_out_by_the_woken_holder() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    let places = Places::files();
    let story = Story::play(&sandbox, &places.fresh("stopped").await, "tokens").await;
    assert!(story.at_the_end.version > story.record.version, "the woken holder writes over what is there");
    println!("control: where the last write wins, the woken holder overwrites the second one's token set");
}
