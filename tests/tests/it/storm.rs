//! A thousand tasks in four processes need a token at once: one request.

use std::{process::Child, time::Duration};

use integration_core::store::SealedRecord;

use crate::{
    far::FarSandbox,
    place::{Places, StoreUrl},
    service::Service,
    worker::{self, tenant},
};

fn repeats() -> usize {
    std::env::var("INTEGRATION_STORM_REPEATS").ok().and_then(|repeats| repeats.parse().ok()).unwrap_or(5)
}

/// A database with a sign-in whose access token has just ended; new ones live long.
pub(crate) async fn ended_token(sandbox: &FarSandbox, database: impl Into<StoreUrl>) {
    sandbox.ask("POST", "token_delay?milliseconds=0", "").await;
    let (hub, service) = (worker::hub(database, &sandbox.origin).await, sandbox.service);
    // On a busy machine the token may end before the sign-in does: then another one lives longer.
    let mut life = 1;
    loop {
        sandbox.ask("POST", &service.token_life(life), "").await;
        match worker::try_sign_in(&hub, &sandbox.origin, service, service.read_mail()).await {
            Ok(_) => break,
            Err(other) if life >= 16 => panic!("not granted: {other:?}"),
            Err(_) => life *= 2,
        }
    }
    assert_eq!(hub.connections(&tenant()).await.unwrap().len(), 1);
    drop(hub);
    tokio::time::sleep(Duration::from_millis(life * 1_000 + 100)).await;
    sandbox.ask("POST", &service.token_life(3_600), "").await;
}

/// The one sealed token set of a database; its version counts the saves.
pub(crate) async fn token_record(database: impl Into<StoreUrl>) -> SealedRecord {
    let store = database.into().stores().await.tokens;
    let grants = store.list(None, 10).await.unwrap();
    let [grant] = &grants[..] else { panic!("one grant: {grants:?}") };
    store.load(&grant.tenant, &grant.grant).await.unwrap().unwrap()
}

/// With Google's refresh tokens as they are, or rotating.
async fn storm(places: &Places, rotating: bool) {
    let mail = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::start(mail.path());
    sandbox.ask("POST", &format!("rotation?on={rotating}"), "").await;
    storm_on(&sandbox, places, if rotating { "rotating" } else { "plain" }).await;
}

async fn storm_on(sandbox: &FarSandbox, places: &Places, tokens: &str) {
    for repeat in 0..repeats() {
        let database = places.fresh(&format!("storm{repeat}")).await;
        ended_token(sandbox, &database).await;
        sandbox.ask("POST", "token_delay?milliseconds=300", "").await;
        let before = sandbox.refreshes().await;
        let processes: Vec<Child> = (0..4).map(|_| sandbox.worker("storm", &database).spawn().unwrap()).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success(), "repeat {repeat}");
        }
        assert_eq!(sandbox.refreshes().await - before, 1, "repeat {repeat}");
        // The sign-in, one intent, one answer.
        assert_eq!(token_record(&database).await.version.0, 3, "repeat {repeat}");
    }
    println!("storm, {tokens} refresh tokens: {} repeats, 1 token request and 1 saved token set each", repeats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_in_four_processes_refresh_once() {
    storm(&Places::files(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_refresh_tokens_survive_the_storm_too() {
    storm(&Places::files(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_in_four_processes_refresh_once_where_refresh_tokens_always_rotate() {
    let mail = tempfile::tempdir().unwrap();
    let sandbox = FarSandbox::of(Service::Microsoft, mail.path());
    storm_on(&sandbox, &Places::files(), "Microsoft's").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_in_four_processes_on_one_server_refresh_once() {
    let Some(places) = Places::server().await else { return };
    storm(&places, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_refresh_tokens_survive_the_storm_on_one_server_too() {
    let Some(places) = Places::server().await else { return };
    storm(&places, true).await;
}
