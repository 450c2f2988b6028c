//! An intent inside a transaction of the host's own database connection.

use std::sync::Arc;

use sqlx::{ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    outbox::{IntentKey, IntentOptions, OutboxOptions, OutboxParts, enqueue, rows, tests::world},
    store::{
        StoreTransaction, SyncStore,
        sqlite::{SqliteStore, enlist},
    },
    testing::{SeededRandom, virtual_clock},
};

async fn run(host: &mut SqliteConnection, statement: &'static str) {
    host.execute(statement).await.unwrap();
}

#[tokio::test]
async fn an_intent_exists_exactly_if_the_hosts_own_transaction_commits() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("host.db");
    let store = SqliteStore::open(&file).await.unwrap();
    let mut host = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    run(&mut host, "CREATE TABLE deal (name TEXT)").await;
    let shared: Arc<dyn SyncStore> = Arc::new(store.clone());
    let parts = OutboxParts::new(shared, Arc::new(world::Plain), virtual_clock(), Arc::new(SeededRandom::new(1)));
    let connection = world::connection(&parts);
    let key = IntentKey::new("won");
    for (end, there) in [("ROLLBACK", false), ("COMMIT", true)] {
        let options = IntentOptions::default().with_key(key.clone()).with_order("line");
        let limits = OutboxOptions::default();
        let prepared = parts.prepare((&connection, "write"), "token", b"a", (options, &limits)).await.unwrap();
        run(&mut host, "BEGIN IMMEDIATE; INSERT INTO deal VALUES ('won')").await;
        let mut tx: Box<dyn StoreTransaction + '_> = Box::new(enlist(&mut host));
        enqueue(&prepared, &mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(rows::read_intent(&store, &connection.tenant, &key).await.unwrap().is_none(), "not committed yet");
        run(&mut host, end).await;
        let found = rows::read_intent(&store, &connection.tenant, &key).await.unwrap();
        assert_eq!(found.is_some(), there, "{end}");
        assert!(found.is_none_or(|(intent, _)| intent.sequence == Some(1)), "a number rolled back is given again");
    }
}
