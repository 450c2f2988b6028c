//! After an erasure nothing of the person, connection or tenant is in any row of any table.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use integration_core::{
    ErrorKind,
    activity::{ActivityChange, BatchRetention},
    email::{Address, Outgoing},
    event::EventKind,
    hub::{Afterwards, Erase, ErasePerson, Erased, Signal, SignalKind},
    ids::TenantId,
    outbox::{self, IntentKey, IntentOptions, IntentState, SEND_MAIL},
    store::{MemoryStore, StateQuery, Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    service::Service,
    world::{Contacts, OWNER, World},
};

const BOB: &str = "bob@acme.example";

/// Every value of every row of every table, as text.
async fn scan(database: &Path) -> Vec<(String, String)> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&mut database).await;
    let mut found = Vec::new();
    for table in tables.unwrap() {
        let table: String = table.get(0);
        let columns = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
        for column in columns.fetch_all(&mut database).await.unwrap() {
            let column: String = column.get(0);
            let values = format!("SELECT CAST({column} AS TEXT) FROM {table} WHERE {column} IS NOT NULL");
            for value in sqlx::query(sqlx::AssertSqlSafe(values)).fetch_all(&mut database).await.unwrap() {
                let bytes: Vec<u8> = value.get_unchecked(0);
                found.push((format!("{table}.{column}"), String::from_utf8_lossy(&bytes).to_lowercase()));
            }
        }
    }
    assert!(!found.is_empty(), "not even the version of the tables");
    found
}

/// Where a word stands.
async fn places(database: &Path, word: &str) -> Vec<(String, String)> {
    let word = word.to_lowercase();
    scan(database).await.into_iter().filter(|(_, value)| value.contains(&word)).collect()
}

struct Place {
    world: World,
    folder: tempfile::TempDir,
}

impl Place {
    /// Bob writes, is written to, is copied, is quoted by Carol, lies in quarantine, is suggested and never logged once.
    async fn full_of_bob(service: Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("it.db")).await.unwrap();
        Self::over(service, folder, Stores::from_one(Arc::new(store))).await
    }

    /// The same in memory, where time can be moved.
    async fn in_memory() -> Self {
        Self::over(Service::Google, tempfile::tempdir().unwrap(), Stores::from_one(Arc::new(MemoryStore::default())))
            .await
    }

    async fn over(service: Service, folder: tempfile::TempDir, stores: Stores) -> Self {
        let mut options = SyncOptions::default();
        options.batches = Some(BatchRetention::default());
        let contacts = Contacts { everybody: true, ..Contacts::default() };
        let world = World::at(service, stores, contacts, options).await;
        let place = Self { world, folder };
        place.deliver();
        place.world.sync().await;
        place.quarantine().await;
        place
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("it.db")
    }

    fn deliver(&self) {
        let carol = "From: Carol <carol@other.example>\nTo: ada@example.com";
        let date = "Date: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID:";
        for (head, text) in [
            (format!("From: Bob B <{BOB}>\nTo: {OWNER}\nSubject: one\n{date} <1@acme.example>"), "Hello."),
            (format!("From: Ada <{OWNER}>\nTo: Bob <{BOB}>\nSubject: two\n{date} <2@example.com>"), "Dear Bob."),
            (format!("{carol}\nCc: Bob+x <bob+x@acme.example>\nSubject: three\n{date} <3@other.example>"), "All."),
            (format!("{carol}\nSubject: ask {BOB}\n{date} <4@other.example>"), "Ask BOB@acme.example about it."),
            (format!("{carol}\nSubject: five\n{date} <5@other.example>"), "Nothing of him, but joanbob@acme.example."),
        ] {
            self.world.arrives(&head, text, &["INBOX"]);
        }
    }

    /// An item of Bob's that cannot be understood.
    async fn quarantine(&self) {
        let head = format!("From: {BOB}\nTo: {OWNER}\nSubject: six\nMessage-ID: <6@acme.example>");
        let id = self.world.nonsense(&head);
        self.world.sync().await;
        assert_eq!(self.world.quarantined().await, [id]);
    }

    async fn erase(&self, what: &Erase) -> Erased {
        self.world.hub.erase(&self.world.tenant, what).await.unwrap()
    }

    async fn subjects(&self) -> Vec<String> {
        let activities = self.world.hub.activities(&self.world.tenant).await.unwrap();
        let mut subjects: Vec<String> = activities.into_iter().map(|one| one.summary.subject).collect();
        subjects.sort();
        subjects
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_is_in_no_row_and_stays_out() {
    erases_a_person(Service::Google).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_of_an_outlook_mailbox_is_in_no_row_and_stays_out() {
    erases_a_person(Service::Microsoft).await;
}

async fn erases_a_person(service: Service) {
    let place = Place::full_of_bob(service).await;
    let world = &place.world;
    assert!(!places(&place.database(), BOB).await.is_empty(), "the scan finds what is there");
    assert_eq!(place.subjects().await.len(), 5);
    let erased = place.erase(&Erase::Person(ErasePerson::new(["Bob@Acme.example"]))).await;
    println!("{erased:?}");
    for space in ["activity", "batch", "decision", "participant", "policy", "quarantine"] {
        assert!(erased.rows[space] > 0, "{space} in {erased:?}");
    }
    let left = |word: &'static str| async { places(&place.database(), word).await };
    assert_eq!(left(" bob@acme.example").await, []);
    let named: Vec<_> =
        left(BOB).await.into_iter().filter(|(_, text)| text.replace("joanbob@", "").contains(BOB)).collect();
    assert_eq!((named, left("bob+x@").await, left("bob b").await), (vec![], vec![], vec![]));
    assert_eq!(place.subjects().await, ["ask erased", "five"]);
    assert_eq!(world.shown(), 2, "the sink was told");
    // Decided anew, synced again, compared with the service, and written to again: nobody comes back.
    world.decide_again().await;
    world.run(Job::audit(&world.tenant, &world.connection.id)).await;
    let head = format!("From: Bob B <{BOB}>\nTo: {OWNER}\nSubject: seven\nMessage-ID: <7@acme.example>");
    world.arrives(&head, "Seven.", &["INBOX"]);
    world.sync().await;
    assert_eq!((place.subjects().await, world.shown()), (vec!["ask erased".to_owned(), "five".to_owned()], 2));
    let named: Vec<_> =
        left(BOB).await.into_iter().filter(|(_, text)| text.replace("joanbob@", "").contains(BOB)).collect();
    assert_eq!(named, [], "not even in the decision about the new one");
    let again = place.erase(&Erase::Person(ErasePerson::new([BOB]))).await;
    assert_eq!((again.rows.get("activity"), again.rows.get("decision")), (None, None), "nothing is left to erase");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_host_still_wants_done_about_a_person_stays_and_is_said_and_goes_once_it_is_finished() {
    let place = Place::full_of_bob(Service::Google).await;
    let World { hub, tenant, connection, store, .. } = &place.world;
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new(BOB)];
    let key = IntentKey::new("offer-7");
    let content = serde_json::to_vec(&mail).unwrap();
    let options = IntentOptions::default().with_key(key.clone());
    let refused = hub.prepare_intent(tenant, &connection.id, (SEND_MAIL, &content), options.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MissingScope, "only reading was granted: {refused}");
    place.world.may_send().await;
    let prepared = hub.prepare_intent(tenant, &connection.id, (SEND_MAIL, &content), options).await.unwrap();
    let mut tx = store.begin(None).await.unwrap();
    outbox::enqueue(&prepared, &mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let told = SignalKind::Own { name: "met".to_owned(), data: serde_json::json!({ "whom": BOB }) };
    hub.signal(tenant, Signal::new("s1", told)).await.unwrap();

    let erased = place.erase(&Erase::Person(ErasePerson::new([BOB]))).await;
    assert_eq!(erased.left.len(), 2, "an intent and a signal: {erased:?}");
    assert_eq!(hub.intent(tenant, &key).await.unwrap().unwrap().state, IntentState::Waiting);
    hub.cancel_intent(tenant, &key).await.unwrap();
    place.world.run(Job::signals(tenant)).await;
    let erased = place.erase(&Erase::Person(ErasePerson::new([BOB]))).await;
    assert_eq!((&erased.left, erased.rows.get("signal")), (&Vec::new(), Some(&1)));
    let named = places(&place.database(), " bob@acme.example").await;
    assert_eq!((named, places(&place.database(), &format!("\"{BOB}")).await), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_may_return_if_the_host_says_so() {
    let place = Place::full_of_bob(Service::Google).await;
    let world = &place.world;
    let person = ErasePerson::new([BOB]).with_afterwards(Afterwards::MayReturn);
    place.erase(&Erase::Person(person)).await;
    assert_eq!(place.subjects().await, ["ask erased", "five"]);
    let head = format!("From: Bob B <{BOB}>\nTo: {OWNER}\nSubject: seven\nMessage-ID: <7@acme.example>");
    world.arrives(&head, "Seven.", &["INBOX"]);
    world.sync().await;
    assert_eq!(place.subjects().await, ["ask erased", "five", "seven"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_tenant_is_in_no_row_of_any_table() {
    erases_a_tenant(Service::Google).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_tenant_with_an_outlook_mailbox_is_in_no_row_of_any_table() {
    erases_a_tenant(Service::Microsoft).await;
}

async fn erases_a_tenant(service: Service) {
    let place = Place::full_of_bob(service).await;
    let world = &place.world;
    world
        .hub
        .directory_changed(&world.tenant, &integration_core::hub::DirectoryChange::of_addresses([BOB]))
        .await
        .unwrap();
    let words = [world.tenant.as_str(), world.connection.id.as_str(), world.connection.grant.as_str(), OWNER, BOB];
    for word in words {
        assert!(!places(&place.database(), word).await.is_empty(), "{word} is there before");
    }
    let live = world.sandbox.live_refresh_tokens(OWNER);
    let erased = place.erase(&Erase::Tenant).await;
    println!("{erased:?}");
    // Microsoft has no page where an app could give its tokens back: that is said.
    let not_revoked = u64::from(service == Service::Microsoft);
    if service == Service::Google {
        assert_eq!((live, world.sandbox.live_refresh_tokens(OWNER)), (1, 0), "revoked");
    }
    assert_eq!((erased.tokens, erased.not_revoked, erased.left.len()), (1, not_revoked, 0));
    for word in words {
        let left: Vec<_> = places(&place.database(), word)
            .await
            .into_iter()
            .filter(|(table, _)| !table.starts_with("sqlite_"))
            .collect();
        assert_eq!(left, [], "{word}");
    }
    assert_eq!(world.shown(), 0, "the sink was told");
    let again = place.erase(&Erase::Tenant).await;
    assert_eq!(again.total(), again.rows.get("leases").copied().unwrap_or_default(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_connection_leaves_nothing_of_itself() {
    let place = Place::full_of_bob(Service::Google).await;
    let id = place.world.connection.id.clone();
    let erased = place.erase(&Erase::Connection(id.clone())).await;
    assert_eq!((erased.rows["activity"], erased.rows["connection"]), (5, 1));
    let left: BTreeMap<String, String> = places(&place.database(), id.as_str()).await.into_iter().collect();
    let allowed = ["integration_fence.key", "integration_lease.key", "integration_state.bytes"];
    assert!(left.keys().all(|column| allowed.contains(&column.as_str())), "{left:?}");
    let unknown = place.world.hub.erase(&place.world.tenant, &Erase::Connection(id)).await.unwrap_err();
    assert_eq!(unknown.kind(), integration_core::ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn erasing_a_tenant_leaves_its_neighbour_alone() {
    let store = Arc::new(MemoryStore::default());
    let world = World::over(
        Stores::from_one(store),
        Contacts { everybody: true, ..Contacts::default() },
        SyncOptions::default(),
    )
    .await;
    crate::world::deliver(&world.sandbox, 1, "INBOX");
    world.sync().await;
    let erased = world.hub.erase(&TenantId::new("tenan"), &Erase::Tenant).await.unwrap();
    assert_eq!(erased.total(), 0, "{erased:?}");
    assert_eq!(world.hub.activities(&world.tenant).await.unwrap().len(), 1);
    world.sync().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_or_too_much_is_retired_and_counted() {
    let place = Place::in_memory().await;
    let world = &place.world;
    let job = Job::retention(&world.tenant);
    let stop = Shutdown::default();
    let run = || world.hub.run(job.clone(), &stop);
    assert!(matches!(run().await, JobOutcome::Done { again_in: Some(_) }));
    assert_eq!(world.quarantined().await.len(), 1, "not yet");
    tokio::time::advance(std::time::Duration::from_secs(91 * 24 * 3600)).await;
    run().await;
    assert_eq!(world.quarantined().await.len(), 0);
    let page = world.hub.events(&world.tenant, 0, 1_000).await.unwrap();
    let retired: Vec<_> =
        page.events.iter().filter(|event| matches!(event.what, EventKind::Retired { quarantined: 1, .. })).collect();
    assert_eq!(retired.len(), 1, "{page:?}");
    assert!(page.reset.is_some() && page.events.len() == 1, "what is older than thirty days went: {page:?}");
    let (tenant, prefix) = (world.tenant.clone(), String::new());
    let query = StateQuery::Range { tenant, space: "event", prefix, after: None, limit: 10 };
    assert_eq!(world.store.read(&query).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn batches_are_kept_until_they_are_acknowledged() {
    let place = Place::in_memory().await;
    let (hub, tenant) = (&place.world.hub, &place.world.tenant);
    let page = hub.batches(tenant, 0, 1_000).await.unwrap();
    assert_eq!((page.reset, page.next), (None, page.batches.len() as u64));
    let upserts = page.batches.iter().flat_map(|batch| &batch.activities);
    assert_eq!(upserts.filter(|change| matches!(change, ActivityChange::Upserted { .. })).count(), 5);
    hub.acknowledge(tenant, page.next).await.unwrap();
    hub.acknowledge(tenant, page.next).await.unwrap();
    let rest = hub.batches(tenant, page.next, 1_000).await.unwrap();
    assert_eq!((rest.batches.len(), rest.next, rest.reset), (0, page.next, None));
    crate::world::deliver(&place.world.sandbox, 9, "INBOX");
    place.world.sync().await;
    let late = hub.batches(tenant, 0, 1_000).await.unwrap();
    assert_eq!((late.reset.unwrap().oldest, late.batches.len()), (page.next + 1, 1), "acknowledged ones are gone");
    let plain = World::with_messages(1).await;
    let refused = plain.hub.batches(&plain.tenant, 0, 10).await.unwrap_err();
    assert_eq!(refused.kind(), integration_core::ErrorKind::Misconfigured);
}
