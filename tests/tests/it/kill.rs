//! Killed at any moment and started again, a sync ends with the rows of an undisturbed one.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    far::FarSandbox,
    worker::{self, tenant},
};

/// 80 messages in conversations, from people known and unknown, one of them broken.
fn mailbox(into: &Path) {
    for index in 0..80 {
        let from = match index % 4 {
            0 => "known@one.example".to_owned(),
            1 => format!("stranger{index}@two.example"),
            2 => "someone@acme.example".to_owned(),
            _ => format!("known{index}@three.example"),
        };
        let thread = index / 3 * 3;
        let reply = if index == thread {
            String::new()
        } else {
            format!("In-Reply-To: <m{thread}@mail.example>\r\nReferences: <m{thread}@mail.example>\r\n")
        };
        let text = format!(
            "From: {from}\r\nTo: alex@example.com\r\nSubject: about {thread}\r\nMessage-ID: <m{index}@mail.example>\r\n{reply}\
             Date: Mon, 02 Nov 2026 10:{:02}:{:02} +0000\r\n\r\nMessage {index}.\r\n",
            index / 60,
            index % 60
        );
        std::fs::write(into.join(format!("{index:03}.eml")), text).unwrap();
    }
}

/// Everything that must be the same, in order; the connection's id differs from database to database.
async fn dump(database: &Path, origin: &str) -> Vec<String> {
    let hub = worker::hub(database, origin).await;
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let mut lines = Vec::new();
    for activity in hub.activities(&tenant()).await.unwrap() {
        lines.push(serde_json::to_string(&activity).unwrap());
    }
    for decision in hub.decisions(&tenant(), &connection.id).await.unwrap() {
        lines.push(serde_json::to_string(&decision).unwrap());
    }
    for quarantined in hub.quarantined(&tenant(), &connection.id).await.unwrap() {
        lines.push(format!("{quarantined:?}"));
    }
    lines.into_iter().map(|line| line.replace(connection.id.as_str(), "C")).collect()
}

/// Calls that the sandbox has answered so far.
async fn calls(sandbox: &FarSandbox) -> u64 {
    sandbox.ask("GET", "books", "").await["calls"].as_u64().unwrap()
}

/// What a killed worker had left to do.
async fn phase(database: &Path, origin: &str) -> &'static str {
    let hub = worker::hub(database, origin).await;
    let Some(connection) = hub.connections(&tenant()).await.unwrap().pop() else { return "signing in" };
    let decided = hub.decisions(&tenant(), &connection.id).await.unwrap().len();
    match (hub.pending(&tenant(), &connection.id).await.unwrap(), decided) {
        (0, 0) => "before the listing",
        (0, _) => "nothing left",
        _ => "fetching",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sync_ends_like_an_undisturbed_one() {
    let runs: u64 = std::env::var("INTEGRATION_KILL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20);
    let place = tempfile::tempdir().unwrap();
    let mail = place.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    mailbox(&mail);
    let sandbox = FarSandbox::start(&mail);
    let whole = place.path().join("whole.db");
    assert!(worker::command("sync", &whole, &sandbox.origin).status().unwrap().success());
    let calls = calls(&sandbox).await;
    let expected = dump(&whole, &sandbox.origin).await;
    assert!(expected.len() > 80, "{} rows", expected.len());
    let mut phases: BTreeMap<&str, u64> = BTreeMap::new();
    for run in 0..runs {
        let database = place.path().join(format!("{run}.db"));
        let mut process = worker::command("sync", &database, &sandbox.origin).spawn().unwrap();
        // Spread over the calls that the undisturbed run made, its last one left out.
        let begun = self::calls(&sandbox).await;
        let target = 1 + run * (calls - 2) / runs;
        while self::calls(&sandbox).await < begun + target && process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        *phases.entry(phase(&database, &sandbox.origin).await).or_default() += 1;
        // Killed processes leave leases behind: the next one waits for them.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(worker::command("sync", &database, &sandbox.origin).status().unwrap().success());
        assert_eq!(dump(&database, &sandbox.origin).await, expected, "run {run}; phases so far {phases:?}");
    }
    println!("killed {runs} times: {phases:?}");
    let idle = phases.get("nothing left").copied().unwrap_or_default();
    assert!(idle * 5 <= runs, "most kills must meet work: {phases:?}");
}
