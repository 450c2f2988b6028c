//! A contact gains an address: only the messages it touches are decided anew, however many are stored.

use std::{collections::BTreeMap, sync::Arc};

use integration_core::{
    activity::Person,
    hub::DirectoryChange,
    store::{StateKey, StateQuery, StateRow, StateWrite, Stores, SyncStore, sqlite::SqliteStore},
    sync::SyncOptions,
};

use crate::{
    service::Service,
    world::{Contacts, OWNER, World},
};

/// How many messages are stored; one in a thousand is from the address.
fn stored() -> usize {
    std::env::var("INTEGRATION_REMATCH_STORED").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

async fn rows(store: &dyn SyncStore, world: &World, space: &'static str) -> Vec<StateRow> {
    let (tenant, prefix) = (world.tenant.clone(), String::new());
    store.read(&StateQuery::Range { tenant, space, prefix, after: None, limit: usize::MAX >> 1 }).await.unwrap()
}

async fn versions(world: &World, space: &'static str) -> BTreeMap<String, u64> {
    rows(&*world.store, world, space).await.into_iter().map(|row| (row.key.to_string(), row.version)).collect()
}

/// Stores copies of a message that nobody matched, each under an id, a sender and an identity of its own.
async fn multiply(world: &World, count: usize) -> usize {
    let mut touched = 0;
    let templates =
        [rows(&*world.store, world, "decision").await, rows(&*world.store, world, "participant").await].concat();
    for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
        let mut writes = Vec::new();
        for number in chunk {
            let from =
                if number % 1_000 == 0 { "new@far.example".to_owned() } else { format!("p{number}@far.example") };
            touched += usize::from(number % 1_000 == 0);
            for row in &templates {
                let space = if row.bytes.len() > 10 { "decision" } else { "participant" };
                let mut segments = row.key.segments();
                let place = segments.len() - 1;
                segments[place] = format!("m{number}");
                segments[0] = segments[0].replace("template@far.example", &from);
                let text = String::from_utf8(row.bytes.to_vec()).unwrap();
                let text = text.replace("template@far.example", &from).replace("IDENTITY", &format!("{number:08}"));
                writes.push(StateWrite::put(&world.tenant, space, StateKey::new(segments), text));
            }
        }
        let mut tx = world.store.begin(None).await.unwrap();
        tx.write(&writes).await.unwrap();
        tx.commit().await.unwrap();
    }
    touched
}

/// The template's identity is a digest: give it a mark that copies replace.
async fn mark(world: &World) {
    let row = rows(&*world.store, world, "decision").await.remove(0);
    let mut decision: serde_json::Value = serde_json::from_slice(&row.bytes).unwrap();
    decision["summary"]["identity"] = "IDENTITY".into();
    decision["summary"]["thread"] = serde_json::Value::Null;
    let write = StateWrite::put(&world.tenant, "decision", row.key, serde_json::to_vec(&decision).unwrap());
    let mut tx = world.store.begin(None).await.unwrap();
    tx.write(&[write]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn touches_only_its_own(service: Service, stored: usize) {
    let place = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(place.path().join("rematch.db")).await.unwrap());
    let world = World::at(service, Stores::from_one(store), Contacts::default(), SyncOptions::default()).await;
    world.arrives(&format!("From: template@far.example\nTo: {OWNER}"), "hello", &["INBOX"]);
    world.sync().await;
    mark(&world).await;
    let touched = multiply(&world, stored).await;
    let before = versions(&world, "decision").await;
    world.contacts.known.lock().unwrap().people = vec![Person::new("new", "New", "new@far.example")];
    let begun = std::time::Instant::now();
    let change = DirectoryChange::of_addresses(["new@far.example"]);
    let queued = world.hub.directory_changed(&world.tenant, &change).await.unwrap();
    world.decide_again().await;
    let took = begun.elapsed();
    let after = versions(&world, "decision").await;
    let changed = after.iter().filter(|(key, version)| before.get(*key) != Some(version)).count();
    println!("{} stored, {queued} touched by the change, {changed} rows rewritten, {took:?}", before.len());
    assert_eq!(
        (queued as usize, changed, world.hub.activities(&world.tenant).await.unwrap().len()),
        (touched, touched, touched)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_gains_an_address_touches_only_its_own_messages() {
    touches_only_its_own(Service::Google, stored()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_gains_an_address_touches_only_its_own_messages_of_an_outlook_mailbox() {
    touches_only_its_own(Service::Microsoft, stored().min(2_000)).await;
}
