//! A thousand tasks in four processes need a token at once: one request.

use std::{process::Child, time::Duration};

use crate::{
    far::FarSandbox,
    worker::{self, tenant},
};

fn repeats() -> usize {
    std::env::var("INTEGRATION_STORM_REPEATS").ok().and_then(|repeats| repeats.parse().ok()).unwrap_or(5)
}

async fn storm(rotating: bool) {
    let place = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(place.path());
    sandbox.ask("POST", &format!("rotation?on={rotating}"), "").await;
    let database = place.path().join("storm.db");
    for repeat in 0..repeats() {
        // Each repeat begins with a token that has ended.
        let _ = std::fs::remove_file(&database);
        for tail in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(place.path().join(format!("storm.db{tail}")));
        }
        sandbox.ask("POST", "token_life?seconds=1", "").await;
        sandbox.ask("POST", "token_delay?milliseconds=0", "").await;
        let hub = worker::hub(&database, &sandbox.origin).await;
        worker::connect(&hub, &sandbox.origin).await;
        assert_eq!(hub.connections(&tenant()).await.unwrap().len(), 1);
        drop(hub);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        sandbox.ask("POST", "token_life?seconds=3600", "").await;
        sandbox.ask("POST", "token_delay?milliseconds=300", "").await;
        let before = sandbox.refreshes().await;
        let processes: Vec<Child> =
            (0..4).map(|_| worker::command("storm", &database, &sandbox.origin).spawn().unwrap()).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success(), "repeat {repeat}");
        }
        assert_eq!(sandbox.refreshes().await - before, 1, "repeat {repeat}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_in_four_processes_refresh_once() {
    storm(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_refresh_tokens_survive_the_storm_too() {
    storm(true).await;
}
