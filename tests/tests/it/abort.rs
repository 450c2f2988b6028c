//! Aborted right before or right after a write, a process leaves a database from which the next one ends like an
//! undisturbed run: at every commit of a sync, and around every save of a refreshed token set.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    far::FarSandbox,
    mailbox::{self, OWNER},
    service::{Change, Service},
    storm::{ended_token, token_record},
    worker::{self, dump},
};

const SIGABRT: i32 = 6;

fn messages() -> u64 {
    std::env::var("INTEGRATION_ABORT_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(25)
}

/// A process whose leases run out soon.
fn command(role: &str, database: &Path, sandbox: &FarSandbox) -> Command {
    let mut command = sandbox.worker(role, database);
    command.env(worker::LEASE, "300").env(worker::SIGN_IN_LEASE, "3");
    command
}

/// True if the process met its fate, false if it came to its end before.
fn aborted(role: &str, database: &Path, sandbox: &FarSandbox, fate: &str) -> bool {
    let mut command = command(role, database, sandbox);
    command.env(worker::FATE, fate).stderr(Stdio::null());
    let status = command.status().unwrap();
    assert!(status.success() || status.signal() == Some(SIGABRT), "{fate}: {status}");
    !status.success()
}

fn sync(database: &Path, sandbox: &FarSandbox) {
    assert!(command("sync", database, sandbox).status().unwrap().success());
}

/// A copy of a database that nobody has open, with what is not in its main file yet.
fn copy(from: &Path, to: PathBuf) -> PathBuf {
    let beside = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(from, &to).unwrap();
    if beside(from).exists() {
        std::fs::copy(beside(from), beside(&to)).unwrap();
    }
    to
}

/// Aborts before and after the first write, the second, and so on until a run ends by itself; gives the count of writes.
async fn at_every_write(sandbox: &FarSandbox, fresh: impl Fn(&str) -> PathBuf, expected: &[String]) -> u64 {
    for number in 1.. {
        for when in ["before", "after"] {
            let fate = format!("writes {number} {when}");
            let database = fresh(&fate);
            if !aborted("sync", &database, sandbox, &fate) {
                assert_eq!(when, "before", "{fate}: the write itself was reached");
                return number - 1;
            }
            sync(&database, sandbox);
            assert_eq!(dump(&database, &sandbox.origin).await, expected, "{fate}");
            worker::assert_alive(&database, &sandbox.origin).await;
        }
    }
    unreachable!("a sync has an end")
}

/// Some of everything that a head can bring.
async fn change(sandbox: &FarSandbox, count: u64) {
    let ids = sandbox.messages(OWNER).await;
    let deleted = [Change::Delete; 3];
    for (change, id) in
        [Change::Star, Change::Trash, Change::Read].into_iter().zip(&ids).chain(deleted.into_iter().zip(&ids[4..]))
    {
        sandbox.ask("POST", &sandbox.service.change(change, OWNER, id), "").await;
    }
    for index in count..count + count / 2 {
        sandbox.steer("POST", &format!("deliver?account={OWNER}"), &mailbox::message(index)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_at_every_commit_a_sync_ends_like_an_undisturbed_one() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    mailbox::fill(&at("mail"), messages());
    let sandbox = FarSandbox::start(&at("mail"));
    let whole = at("whole.db");
    sync(&whole, &sandbox);
    let expected = dump(&whole, &sandbox.origin).await;
    let writes = at_every_write(&sandbox, |fate| at(&format!("{fate}.db")), &expected).await;
    println!("aborted before and after each of {writes} writes of a whole sync of {} messages: all equal", messages());
    assert!(writes >= 8, "{writes} writes");

    change(&sandbox, messages()).await;
    let base = copy(&whole, at("base.db"));
    sync(&whole, &sandbox);
    let after = dump(&whole, &sandbox.origin).await;
    assert_ne!(after, expected, "the changes can be seen");
    let fresh = |fate: &str| copy(&base, at(&format!("follow {fate}.db")));
    let writes = at_every_write(&sandbox, fresh, &after).await;
    println!("aborted before and after each of {writes} writes while the head was followed: all equal");
    assert!(writes >= 2, "{writes} writes");
    sandbox.conforms().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_commits_the_way_before_the_effects_is_found_out() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    mailbox::fill(&at("mail"), messages());
    let sandbox = FarSandbox::start(&at("mail"));
    sync(&at("whole.db"), &sandbox);
    let expected = dump(&at("whole.db"), &sandbox.origin).await;
    for number in 5.. {
        let database = at(&format!("{number}.db"));
        let mut command = command("sync", &database, &sandbox);
        command.env(worker::SABOTAGE, "rows").env(worker::FATE, format!("writes {number} after")).stderr(Stdio::null());
        assert!(!command.status().unwrap().success(), "no abort of a sabotaged sync was noticed");
        sync(&database, &sandbox);
        let found = dump(&database, &sandbox.origin).await.len();
        if found != expected.len() {
            println!(
                "control: aborted after write {number}, a sabotaged sync ends with {found} rows of {}",
                expected.len()
            );
            return;
        }
    }
}

/// Aborts a refresh around its saves (the first holds the intent, the second the answer); gives what the next process
/// said of its call, and the token requests of both.
async fn interrupted_refresh(sandbox: &FarSandbox, database: &Path, fate: &str) -> (Value, u64) {
    ended_token(sandbox, database).await;
    let before = sandbox.refreshes().await;
    assert!(aborted("call", database, sandbox, fate), "{fate}");
    let next = command("call", database, sandbox).stdout(Stdio::piped()).output().unwrap();
    (worker::outcome(&next), sandbox.refreshes().await - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_aborted_around_its_saves_leaves_the_grant_alive() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    for (tokens, rotation) in [("plain", "on=false"), ("rotating with grace", "on=true&grace_milliseconds=60000")] {
        sandbox.ask("POST", &format!("rotation?{rotation}"), "").await;
        around_the_saves(&sandbox, place.path(), tokens).await;
    }
}

async fn around_the_saves(sandbox: &FarSandbox, place: &Path, tokens: &str) {
    // Saved before the question: nothing was asked. Saved before the answer: asked twice. Saved: no more questions.
    let fates = [("tokens 1 before", 1), ("tokens 1 after", 1), ("tokens 2 before", 2), ("tokens 2 after", 1)];
    for (fate, requests) in fates {
        let database = place.join(format!("{tokens} {fate}.db"));
        let (outcome, asked) = interrupted_refresh(sandbox, &database, fate).await;
        assert_eq!((outcome, asked), (Value::Null, requests), "{tokens}, {fate}");
        worker::assert_alive(&database, &sandbox.origin).await;
    }
    println!("aborted around the saves of a refresh with {tokens} tokens, {} ways: grant alive each time", fates.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_aborted_around_its_saves_leaves_the_grant_alive_where_refresh_tokens_always_rotate() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::of(Service::Microsoft, place.path());
    around_the_saves(&sandbox, place.path(), "Microsoft's").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_an_answer_lost_before_its_save_is_named_as_the_cause() {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    sandbox.ask("POST", "rotation?on=true", "").await;
    for fate in ["tokens 1 before", "tokens 1 after", "tokens 2 after"] {
        let database = place.path().join(format!("{fate}.db"));
        assert_eq!(interrupted_refresh(&sandbox, &database, fate).await, (Value::Null, 1), "{fate}");
        worker::assert_alive(&database, &sandbox.origin).await;
    }
    let database = place.path().join("lost.db");
    let (outcome, requests) = interrupted_refresh(&sandbox, &database, "tokens 2 before").await;
    let cause = outcome["cause"].as_str().unwrap();
    assert!(cause.contains("was interrupted before its answer was stored"), "{cause}");
    assert_eq!((outcome["kind"].as_str(), requests), (Some("reauthorisation_needed"), 2));
    let before = token_record(&database).await;

    let hub = worker::hub(&database, &sandbox.origin).await;
    let connection = hub.connections(&worker::tenant()).await.unwrap().pop().unwrap();
    let ask = sandbox.service.read_mail().with_reconnect(connection.id.clone());
    let again = worker::sign_in(&hub, &sandbox.origin, sandbox.service, ask).await;
    assert_eq!(again.id, connection.id);
    assert!(token_record(&database).await.version > before.version);
    worker::assert_alive(&database, &sandbox.origin).await;
    println!("aborted between answer and save without grace: the cause says so, signing in again repairs it");
}
