//! The host's tables in our transaction, and our rows in the host's.

use integration_core::{
    ErrorKind,
    conformance::{
        self,
        saboteur::{CursorFirst, LastWriteWins, Unfenced},
    },
    store::{
        CounterKey, Expect, MemoryStore, PostgresOptions, PostgresStore, StoreTransaction, SyncStore,
        postgres::{connection, enlist},
    },
};
use sqlx::Connection;

use super::{database, number, open, put, raw, run, tenant, text, write};

#[tokio::test]
async fn a_sink_writes_the_hosts_tables_in_our_transaction() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let mut host = raw(&database).await;
    run(&mut host, "CREATE TABLE contact (name TEXT)").await;
    let mut tx = store.begin(None).await.unwrap();
    run(connection(&mut *tx).unwrap(), "INSERT INTO contact VALUES ('dropped')").await;
    drop(tx);
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("cursor", "1")]).await.unwrap();
    run(connection(&mut *tx).unwrap(), "INSERT INTO contact VALUES ('kept')").await;
    assert_eq!(number(&mut host, "SELECT COUNT(*) FROM contact").await, 0);
    tx.commit().await.unwrap();
    assert_eq!(number(&mut host, "SELECT COUNT(*) FROM contact WHERE name = 'kept'").await, 1);
    assert_eq!(number(&mut host, "SELECT COUNT(*) FROM contact").await, 1);
}

#[tokio::test]
async fn another_stores_transaction_has_no_connection() {
    let mut tx = MemoryStore::new().begin(None).await.unwrap();
    assert!(connection(&mut *tx).is_none());
}

#[tokio::test]
async fn our_rows_join_the_hosts_own_transaction() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let mut host = raw(&database).await;
    run(&mut host, "CREATE TABLE deal (name TEXT)").await;
    for commits in [false, true] {
        let mut own = host.begin().await.unwrap();
        run(&mut own, "INSERT INTO deal VALUES ('won')").await;
        let mut tx: Box<dyn StoreTransaction + '_> = Box::new(enlist(&mut own));
        tx.write(&[put("intent", "send")]).await.unwrap();
        assert_eq!(tx.next(&CounterKey::new(tenant(), "batch")).await.unwrap(), 1);
        run(connection(&mut *tx).unwrap(), "INSERT INTO deal VALUES ('too')").await;
        tx.commit().await.unwrap();
        assert_eq!(text(&store, "intent").await, None, "the host has not committed yet");
        if commits {
            own.commit().await.unwrap()
        } else {
            own.rollback().await.unwrap()
        }
        assert_eq!(text(&store, "intent").await.is_some(), commits);
        assert_eq!(number(&mut host, "SELECT COUNT(*) FROM deal").await, if commits { 2 } else { 0 });
    }
}

#[tokio::test]
async fn an_enlisted_transaction_says_that_a_write_was_refused() {
    let Some(database) = database().await else { return };
    let options = PostgresOptions::new(database.url()).with_schema("mine").with_prefix("m_");
    let store = PostgresStore::open_with(options).await.unwrap();
    write(&store, &[put("a", "1")]).await.unwrap();
    let mut host = raw(&database).await;
    let mut own = host.begin().await.unwrap();
    let mut tx = Box::new(store.enlist(&mut own));
    let stale = put("a", "2").expecting(Expect::Absent);
    assert_eq!(tx.write(&[stale]).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn the_suites_notice_a_store_that_breaks_a_promise() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let broken = conformance::token_store::a_stale_save_changes_nothing(&LastWriteWins(store.clone())).await;
    assert_eq!(broken.unwrap_err().promise, "a stale save changes nothing");
    let broken = conformance::lease_store::fences_rise_with_every_acquisition(&Unfenced::new(store.clone())).await;
    assert_eq!(broken.unwrap_err().promise, "every acquisition gets a higher fence");
    let broken = conformance::sync_store::a_dropped_transaction_leaves_nothing(&CursorFirst(store)).await;
    assert_eq!(broken.unwrap_err().promise, "a transaction leaves everything or nothing");
}
