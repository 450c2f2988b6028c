//! The status page follows the sync; probes; how long a page takes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::http::StatusCode;
use integration_core::{
    Error, ErrorKind, Result,
    hub::Hub,
    ids::{ConnectionId, TenantId},
    oauth::SignInSettings,
    store::{LeaseGuard, StateQuery, StateRow, StoreTransaction, Stores, SyncStore, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown},
};
use integration_testing::Consent;

use super::world::{ADA, World, options};
use crate::world::deliver;

/// Works on a mailbox until nothing is left, or until it fails.
async fn sync(hub: &Hub, connection: &str) {
    let job = || Job::sync_mail(&TenantId::new("tenant-1"), &ConnectionId::new(connection));
    while let JobOutcome::Continue = hub.run(job(), &Shutdown::default()).await {}
}

#[tokio::test]
async fn the_status_follows_the_sync_to_its_end_and_then_stops_asking() {
    let world = World::new();
    let mut ada = world.person(ADA);
    (0..30).for_each(|number| drop(deliver(&world.sandbox, number, "INBOX")));
    world.connect(&mut ada, Consent::Grant).await;
    let id = ada.accounts().await.remove(0);
    assert_eq!(ada.json().await["accounts"][0]["phase"], serde_json::Value::Null);
    sync(&world.hub, &id).await;
    let status = ada.json().await;
    let account = &status["accounts"][0];
    assert_eq!((&account["state"], &account["pending"]), (&"up_to_date".into(), &0.into()), "{status}");
    assert!(account["last_success"].is_string() && account["phase"] == "up_to_date", "{status}");
    let page = ada.get("/accounts/status").await;
    assert!(page.has("Up to date") && page.has("last answered"), "{}", page.text);
    assert!(!page.has("http-equiv") && !page.has("<script") && !page.has("data-busy"), "{}", page.text);
}

#[tokio::test]
async fn a_revoked_account_says_who_has_to_do_what_in_the_persons_language() {
    let world = World::new();
    let mut ada = world.person(ADA);
    world.connect(&mut ada, Consent::Grant).await;
    let id = ada.accounts().await.remove(0);
    world.sandbox.revoke_grants("ada@example.com");
    sync(&world.hub, &id).await;
    let status = ada.json().await;
    let account = &status["accounts"][0];
    assert_eq!(
        (&account["state"], &account["remedy"]["actor"]),
        (&"needs_attention".into(), &"person".into()),
        "{status}"
    );
    assert!(account["since"].is_string(), "{status}");
    let page = ada.get("/accounts/status").await;
    assert!(page.has("Needs attention") && page.has("You can fix this yourself."), "{}", page.text);
    let page = world.person("tenant-1:ada:Ada:de").get("/accounts/status").await;
    assert!(page.has("Braucht Aufmerksamkeit") && page.has("Das können Sie selbst beheben."), "{}", page.text);
    let connection = ConnectionId::new(id);
    world.hub.pause(&TenantId::new("tenant-1"), &connection).await.unwrap();
    assert_eq!(ada.json().await["accounts"][0]["state"], "paused");
}

/// A store that is out of reach.
#[derive(Debug)]
struct Gone;

#[async_trait]
impl SyncStore for Gone {
    async fn read(&self, _: &StateQuery) -> Result<Vec<StateRow>> {
        Err(Error::new(ErrorKind::Store, "the database at db.internal is gone"))
    }

    async fn begin(&self, _: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Err(Error::new(ErrorKind::Store, "the database at db.internal is gone"))
    }
}

#[tokio::test]
async fn probes_ask_nobody_who_they_are_and_tell_nobody_more_than_yes_or_no() {
    let world = World::new();
    let mut stranger = world.person("");
    for probe in ["/accounts/healthz", "/accounts/readyz"] {
        let answer = stranger.get(probe).await;
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "{\"status\":\"ok\"}"));
    }
    let mut stores = Stores::memory();
    stores.sync = Arc::new(Gone);
    let world = World::over(stores, options(), SignInSettings::default());
    let mut stranger = world.person("");
    assert_eq!(stranger.get("/accounts/healthz").await.status, StatusCode::OK);
    let answer = stranger.get("/accounts/readyz").await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"unavailable\"}"));
    let page = world.person(ADA).get("/accounts/status").await;
    assert_eq!((page.status, page.h1()), (StatusCode::SERVICE_UNAVAILABLE, "This does not work right now"));
    assert!(!page.has("db.internal") && page.header("retry-after") == "60", "{}", page.text);
}

#[tokio::test]
async fn many_accounts_are_shown_page_by_page() {
    let world = World::new();
    let mut ada = world.person(ADA);
    for number in 0..51 {
        let address = format!("box{number:02}@example.com");
        world.sandbox.register_person(&address, "Box");
        world.connect(&mut ada, Consent::As(&address)).await;
    }
    let first = ada.json().await;
    assert_eq!((first["accounts"].as_array().unwrap().len(), &first["pages"]), (50, &2.into()));
    let last = ada.get("/accounts/status?page=2").await;
    assert!(last.has("Page 2 of 2") && last.has("?page=1") && !last.has("?page=3"), "{}", last.text);
    assert_eq!(ada.get("/accounts/status?page=3").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ada.get("/accounts/status?page=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_is_there_long_before_anybody_notices() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("pages.db")).await.unwrap();
    let world = World::over(Stores::from_one(Arc::new(store)), options(), SignInSettings::default());
    let mut ada = world.person(ADA);
    world.connect(&mut ada, Consent::Grant).await;
    world.connect(&mut ada, Consent::As("sam@example.com")).await;
    for path in ["/accounts/status", "/accounts/connect", "/accounts/status.json"] {
        let mut times = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            assert_eq!(ada.get(path).await.status, StatusCode::OK);
            times.push(began.elapsed());
        }
        times.sort();
        println!("{path}: median {:?}, 95th of a hundred {:?}", times[100], times[190]);
        assert!(times[100] < Duration::from_millis(200), "{path}: {:?}", times[100]);
    }
}
