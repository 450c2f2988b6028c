//! Several processes of one host on one database: killed, stopped, and cut off from it.

use std::{
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::database;
use crate::{
    far::FarSandbox,
    mailbox,
    place::StoreUrl,
    worker::{self, dump, rows},
};

/// Messages in the mailbox.
const MESSAGES: u64 = 400;
/// How long each call of the mail API takes: work is under way for a while.
const CALL: Duration = Duration::from_millis(40);

/// A host of four processes; whatever is left of them is killed at the end.
struct Host {
    processes: Vec<Child>,
    url: StoreUrl,
    origin: String,
}

impl Host {
    /// Somebody has signed in, which makes the first job; then four processes work.
    async fn start(direct: &StoreUrl, through: StoreUrl, sandbox: &FarSandbox) -> Self {
        let hub = worker::hub(direct, &sandbox.origin).await;
        worker::connect(&hub, &sandbox.origin).await;
        let mut host = Self { processes: Vec::new(), url: through, origin: sandbox.origin.clone() };
        for _ in 0..4 {
            let process = host.process();
            host.processes.push(process);
        }
        host
    }

    fn process(&self) -> Child {
        worker::command("work", &self.url, &self.origin).env(worker::LEASE, "700").spawn().unwrap()
    }

    fn all_work(&mut self) -> bool {
        self.processes.iter_mut().all(|process| process.try_wait().unwrap().is_none())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())]).status().unwrap();
    assert!(sent.success(), "SIG{name} could not be sent");
}

async fn complete(url: &StoreUrl) -> bool {
    let store = &*url.stores().await.sync;
    let partitions = rows(store, "partition").await;
    let complete = |row: &integration_core::store::StateRow| {
        serde_json::from_slice::<Value>(&row.bytes).is_ok_and(|row| row["complete"] == true)
    };
    !partitions.is_empty() && partitions.iter().all(complete) && rows(store, "pending").await.is_empty()
}

async fn until_complete(url: &StoreUrl) {
    let began = Instant::now();
    while !complete(url).await {
        assert!(began.elapsed() < Duration::from_secs(120), "never up to date");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A mailbox, and the rows that a sync which nothing disturbs makes of it, in SQLite.
async fn prepare(place: &Path) -> (FarSandbox, Vec<String>) {
    let mail = place.join("mail");
    mailbox::fill(&mail, MESSAGES);
    let sandbox = FarSandbox::start(&mail);
    let whole = StoreUrl::from(&place.join("whole.db"));
    assert!(worker::command("sync", &whole, &sandbox.origin).status().unwrap().success());
    let expected = dump(&whole, &sandbox.origin).await;
    assert!(expected.len() as u64 > MESSAGES, "{} rows", expected.len());
    sandbox.slow_down(CALL).await;
    (sandbox, expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_that_are_killed_and_stopped_end_like_one_that_is_not() {
    let Some(database) = database().await else { return };
    let place = tempfile::tempdir().unwrap();
    let (sandbox, expected) = prepare(place.path()).await;
    let url = StoreUrl::from(database.url().to_owned());
    let mut host = Host::start(&url, url.clone(), &sandbox).await;
    let mut busy = 0;
    let began = sandbox.calls().await;
    // Once each of the four was killed and each was stopped past its lease, they may come to the end.
    for round in 0..8 {
        let seen = sandbox.calls().await;
        while sandbox.calls().await < seen + 2 && !complete(&url).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        busy += u64::from(!complete(&url).await);
        let chosen = round % 4;
        if round < 4 {
            host.processes[chosen].kill().unwrap();
            host.processes[chosen].wait().unwrap();
            host.processes[chosen] = host.process();
        } else {
            signal(&host.processes[chosen], "STOP");
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            signal(&host.processes[chosen], "CONT");
        }
    }
    until_complete(&url).await;
    assert!(host.all_work());
    assert_eq!(dump(&url, &sandbox.origin).await, expected);
    sandbox.conforms().await;
    assert!(busy >= 6, "work was left at {busy} of 8 kills and stops");
    println!("4 processes, 4 kills, 4 stops: equal rows after {} calls", sandbox.calls().await - began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_the_database_that_is_cut_for_seconds_loses_nothing() {
    let Some(database) = database().await else { return };
    let place = tempfile::tempdir().unwrap();
    let (sandbox, expected) = prepare(place.path()).await;
    let link = database.link().await;
    let direct = StoreUrl::from(database.url().to_owned());
    let mut host = Host::start(&direct, StoreUrl::from(link.url().to_owned()), &sandbox).await;
    for (cut, calls) in [(true, 4), (false, 3)] {
        let seen = sandbox.calls().await;
        while sandbox.calls().await < seen + calls {
            assert!(!complete(&direct).await && host.all_work(), "the cut came too late");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if cut {
            link.cut()
        } else {
            link.silence()
        }
        tokio::time::sleep(super::away()).await;
        assert!(!complete(&direct).await, "work was left when the network failed");
        link.restore();
    }
    until_complete(&direct).await;
    assert!(host.all_work(), "no process ended");
    assert_eq!(dump(&direct, &sandbox.origin).await, expected);
    sandbox.conforms().await;
}
