//! What only a file can do wrong.

use std::{future::poll_fn, path::Path, process::Command, task::Poll};

use bytes::Bytes;
use sqlx::Row;
use tempfile::TempDir;

use super::*;
use crate::{
    ids::{GrantId, TenantId},
    store::{
        CounterKey, JobStore, LeaseKey, LeaseStore, MemoryStore, Saved, SealedRecord, StateKey, StateQuery, StateWrite,
        SyncStore, TokenStore, Version, read_one,
    },
};

fn tenant() -> TenantId {
    TenantId::new("tenant")
}

fn put(name: &str, bytes: impl Into<Bytes>) -> StateWrite {
    StateWrite::put(&tenant(), "test", StateKey::new([name]), bytes)
}

async fn text(store: &SqliteStore, name: &str) -> Option<String> {
    let row = read_one(store, &tenant(), "test", StateKey::new([name])).await.unwrap()?;
    Some(String::from_utf8(row.bytes.to_vec()).unwrap())
}

async fn write(store: &SqliteStore, rows: &[StateWrite]) {
    let mut tx = store.begin(None).await.unwrap();
    tx.write(rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteOptions::new(path).connect()).await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn numbers(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(connection).await.unwrap().try_get(0).unwrap()
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("store.db")
    }
}

#[tokio::test]
async fn a_database_of_the_previous_release_opens_with_its_rows() {
    let place = Place::new();
    let tables = Tables { prefix: Arc::from(DEFAULT_PREFIX) };
    let mut old = raw(&place.file()).await;
    migrate::migrate_to(&mut old, &tables, 1).await.unwrap();
    run(
        &mut old,
        "INSERT INTO integration_state VALUES ('tenant', 'test', 'a', 3, CAST('kept' AS BLOB));
         INSERT INTO integration_token VALUES ('tenant', 'g', 7, CAST('sealed' AS BLOB));
         INSERT INTO integration_counter VALUES ('tenant', 'batch', 41);
         INSERT INTO integration_job VALUES ('k',
            '{\"key\":\"k\",\"tenant\":\"tenant\",\"kind\":{\"kind\":\"keep_alive\",\"grant\":\"g\"}}', 5, 5, NULL, 0, NULL, 0);",
    )
    .await;
    old.close().await.unwrap();
    let store = SqliteStore::open(place.file()).await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
    let token = store.load(&tenant(), &GrantId::new("g")).await.unwrap().unwrap();
    assert_eq!(token, SealedRecord::loaded(Version(7), "sealed"));
    let mut tx = store.begin(None).await.unwrap();
    assert_eq!(tx.next(&CounterKey::new(tenant(), "batch")).await.unwrap(), 42);
    tx.commit().await.unwrap();
    assert_eq!(store.claim(5, Duration::from_secs(60)).await.unwrap()[0].job.key.as_str(), "k");
    let mut now = raw(&place.file()).await;
    assert_eq!(numbers(&mut now, "SELECT version FROM integration_schema").await, 2);
    assert_eq!(numbers(&mut now, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'integration_job_ready'").await, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::new();
    SqliteStore::open(place.file()).await.unwrap().close().await.unwrap();
    let mut newer = raw(&place.file()).await;
    run(&mut newer, "UPDATE integration_schema SET version = 99, readable_from = 3").await;
    let error = SqliteStore::open(place.file()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.message(), "the database has schema version 99, this release knows versions up to 2");
    assert!(error.remedy().is_some());
    assert_eq!(numbers(&mut newer, "SELECT version FROM integration_schema").await, 99);
}

#[tokio::test]
async fn the_previous_release_goes_on_beside_this_one_and_is_refused_only_where_it_must_be() {
    let place = Place::new();
    let tables = Tables { prefix: Arc::from(DEFAULT_PREFIX) };
    let mut old = raw(&place.file()).await;
    migrate::migrate_to(&mut old, &tables, 1).await.unwrap();
    let store = SqliteStore::open(place.file()).await.unwrap();
    // The older one was running, and is started again.
    for (key, again) in [("running", false), ("restarted", true)] {
        if again {
            old = raw(&place.file()).await;
            migrate::migrate_to(&mut old, &tables, 1).await.unwrap();
        }
        let put = format!(
            "INSERT INTO integration_state VALUES ('tenant', 'test', '{key}', 1, CAST('old' AS BLOB));
             INSERT INTO integration_job VALUES ('{key}',
                '{{\"key\":\"{key}\",\"tenant\":\"tenant\",\"kind\":{{\"kind\":\"keep_alive\",\"grant\":\"g\"}}}}', 5, 5, NULL, 0, NULL, 0)"
        );
        sqlx::raw_sql(AssertSqlSafe(put)).execute(&mut old).await.unwrap();
        assert_eq!(text(&store, key).await.as_deref(), Some("old"));
        assert_eq!(store.claim(5, Duration::from_secs(60)).await.unwrap()[0].job.key.as_str(), key);
    }
    write(&store, &[put("new", "new")]).await;
    assert_eq!(numbers(&mut old, "SELECT COUNT(*) FROM integration_state WHERE key = 'new'").await, 1);
    assert_eq!(numbers(&mut old, "SELECT version FROM integration_schema").await, 2, "it is not taken back");
    run(&mut old, "UPDATE integration_schema SET readable_from = 2").await;
    let error = migrate::migrate_to(&mut old, &tables, 1).await.unwrap_err();
    assert_eq!(error.message(), "the database has schema version 2, this release knows versions up to 1");
}

#[tokio::test]
async fn a_newer_schema_that_this_release_may_use_is_used_and_left_alone() {
    let place = Place::new();
    SqliteStore::open(place.file()).await.unwrap().close().await.unwrap();
    let mut newer = raw(&place.file()).await;
    run(&mut newer, "UPDATE integration_schema SET version = 3, readable_from = 2").await;
    let store = SqliteStore::open(place.file()).await.unwrap();
    write(&store, &[put("a", "side by side")]).await;
    assert_eq!(text(&store, "a").await.as_deref(), Some("side by side"));
    assert_eq!(numbers(&mut newer, "SELECT version FROM integration_schema").await, 3);
}

#[tokio::test]
async fn a_release_that_said_nothing_of_readers_is_read_by_itself_alone() {
    let place = Place::new();
    let tables = Tables { prefix: Arc::from(DEFAULT_PREFIX) };
    let mut old = raw(&place.file()).await;
    migrate::migrate_to(&mut old, &tables, 1).await.unwrap();
    run(&mut old, "ALTER TABLE integration_schema DROP COLUMN readable_from").await;
    SqliteStore::open(place.file()).await.unwrap();
    assert_eq!(numbers(&mut old, "SELECT readable_from FROM integration_schema WHERE version = 2").await, 1);
    run(&mut old, "ALTER TABLE integration_schema DROP COLUMN readable_from").await;
    run(&mut old, "UPDATE integration_schema SET version = 3").await;
    assert!(SqliteStore::open(place.file()).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_so() {
    let place = Place::new();
    std::fs::write(place.file(), "Dear diary, ".repeat(1_000)).unwrap();
    let error = SqliteStore::open(place.file()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.message(), "the file is not a SQLite database");
    assert!(!error.retryable());
}

#[tokio::test]
async fn a_damaged_file_is_named_so() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let rows: Vec<StateWrite> = (0..500).map(|n| put(&n.to_string(), vec![b'x'; 1_000])).collect();
    write(&store, &rows).await;
    store.close().await.unwrap();
    let mut bytes = std::fs::read(place.file()).unwrap();
    // The first page holds the list of tables: everything behind it is overwritten.
    bytes[4_096..].fill(0xa5);
    std::fs::write(place.file(), bytes).unwrap();
    let read = async {
        let store = SqliteStore::open(place.file()).await?;
        let tenant = tenant();
        store.read(&StateQuery::Range { tenant, space: "test", prefix: String::new(), after: None, limit: 9 }).await
    };
    let error = read.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.message(), "the database file is damaged");
}

#[tokio::test]
async fn a_locked_file_is_a_temporary_failure() {
    let place = Place::new();
    let options = SqliteOptions::new(place.file()).with_busy_timeout(Duration::from_millis(20));
    let store = SqliteStore::open_with(options).await.unwrap();
    let mut other = raw(&place.file()).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let error = store.begin(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.retryable());
    assert!(error.message().starts_with("the database is locked"), "{error}");
    let lease = store.acquire(&LeaseKey::new(["a"]), Duration::from_secs(1)).await.unwrap_err();
    assert!(lease.retryable());
    run(&mut other, "ROLLBACK").await;
    write(&store, &[put("a", "after")]).await;
    assert_eq!(text(&store, "a").await.as_deref(), Some("after"));
}

#[tokio::test]
async fn a_full_disk_loses_only_the_open_transaction() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    write(&store, &[put("a", "kept")]).await;
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("a", "lost")]).await.unwrap();
    // The smallest limit SQLite accepts is the file's present size.
    run(connection(&mut *tx).unwrap(), "PRAGMA max_page_count = 1").await;
    let error = tx.write(&[put("large", vec![0; 1 << 20])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.message().starts_with("the disk is full"), "{error}");
    assert!(tx.commit().await.is_err());
    let mut tx = store.begin(None).await.unwrap();
    run(connection(&mut *tx).unwrap(), "PRAGMA max_page_count = 1073741823").await;
    tx.write(&[put("large", vec![0; 1 << 20])]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_read_only_file_is_named_so() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let mut tx = store.begin(None).await.unwrap();
    run(connection(&mut *tx).unwrap(), "PRAGMA query_only = ON").await;
    let error = tx.write(&[put("a", "x")]).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Store, "the database file is read-only"));
}

#[tokio::test]
async fn a_missing_directory_or_file_is_named() {
    let place = Place::new();
    let error = SqliteStore::open(place.0.path().join("no/where.db")).await.unwrap_err();
    assert!(error.message().ends_with("/no does not exist; create it first"), "{error}");
    let options = SqliteOptions::new(place.file()).with_create(false);
    let error = SqliteStore::open_with(options).await.unwrap_err();
    assert!(error.message().ends_with("store.db does not exist and was not to be created"), "{error}");
    let error = SqliteStore::open(place.0.path()).await.unwrap_err();
    assert_eq!(error.message(), "the database file cannot be opened");
}

#[tokio::test]
async fn an_unusable_prefix_is_refused() {
    let place = Place::new();
    for prefix in ["", "1a", "a; DROP TABLE b", "A", "sqlite_x", &"a".repeat(33)] {
        let error = SqliteStore::open_with(SqliteOptions::new(place.file()).with_prefix(prefix)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{prefix:?}");
    }
}

#[tokio::test]
async fn two_prefixes_share_a_file_without_meeting() {
    let place = Place::new();
    let one = SqliteStore::open(place.file()).await.unwrap();
    let two = SqliteStore::open_with(SqliteOptions::new(place.file()).with_prefix("other_")).await.unwrap();
    write(&one, &[put("a", "one")]).await;
    assert_eq!(text(&two, "a").await, None);
}

#[tokio::test]
async fn a_sink_writes_the_hosts_tables_in_our_transaction() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let mut host = raw(&place.file()).await;
    run(&mut host, "CREATE TABLE contact (name TEXT)").await;
    let mut tx = store.begin(None).await.unwrap();
    run(connection(&mut *tx).unwrap(), "INSERT INTO contact VALUES ('dropped')").await;
    drop(tx);
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("cursor", "1")]).await.unwrap();
    run(connection(&mut *tx).unwrap(), "INSERT INTO contact VALUES ('kept')").await;
    assert_eq!(numbers(&mut host, "SELECT COUNT(*) FROM contact").await, 0);
    tx.commit().await.unwrap();
    assert_eq!(numbers(&mut host, "SELECT COUNT(*) FROM contact WHERE name = 'kept'").await, 1);
    assert_eq!(numbers(&mut host, "SELECT COUNT(*) FROM contact").await, 1);
}

#[tokio::test]
async fn another_stores_transaction_has_no_connection() {
    let store = MemoryStore::new();
    let mut tx = store.begin(None).await.unwrap();
    assert!(connection(&mut *tx).is_none());
}

#[tokio::test]
async fn our_rows_join_the_hosts_own_transaction() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let mut host = raw(&place.file()).await;
    run(&mut host, "CREATE TABLE deal (name TEXT)").await;
    for (end, count) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        run(&mut host, "BEGIN IMMEDIATE; INSERT INTO deal VALUES ('won')").await;
        let mut tx: Box<dyn StoreTransaction + '_> = Box::new(enlist(&mut host));
        tx.write(&[put("intent", "send")]).await.unwrap();
        assert_eq!(tx.next(&CounterKey::new(tenant(), "batch")).await.unwrap(), 1);
        run(connection(&mut *tx).unwrap(), "INSERT INTO deal VALUES ('too')").await;
        tx.commit().await.unwrap();
        assert_eq!(text(&store, "intent").await, None, "the host has not committed yet");
        run(&mut host, end).await;
        assert_eq!(text(&store, "intent").await.is_some(), count == 1);
        assert_eq!(numbers(&mut host, "SELECT COUNT(*) FROM deal").await, 2 * count);
    }
}

#[tokio::test]
async fn an_enlisted_transaction_says_that_a_write_was_refused() {
    let place = Place::new();
    let store = SqliteStore::open_with(SqliteOptions::new(place.file()).with_prefix("mine_")).await.unwrap();
    write(&store, &[put("a", "1")]).await;
    let mut host = raw(&place.file()).await;
    run(&mut host, "BEGIN IMMEDIATE").await;
    let mut tx = Box::new(store.enlist(&mut host));
    let stale = put("a", "2").expecting(crate::store::Expect::Absent);
    assert_eq!(tx.write(&[stale]).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_transaction_open() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    for polls in 1..6 {
        let mut given_up = store.begin(None);
        for _ in 0..polls {
            let done = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context).is_ready())).await;
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(given_up);
        write(&store, &[put("a", polls.to_string())]).await;
        assert_eq!(text(&store, "a").await, Some(polls.to_string()));
    }
}

#[test]
fn a_transaction_dropped_with_its_runtime_is_rolled_back() {
    let place = Place::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let store = first.block_on(SqliteStore::open(place.file())).unwrap();
    let mut tx = first.block_on(store.begin(None)).unwrap();
    first.block_on(tx.write(&[put("a", "lost")])).unwrap();
    drop(first);
    drop(tx);
    runtime().block_on(async {
        write(&store, &[put("b", "kept")]).await;
        assert_eq!(text(&store, "a").await, None);
    });
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_make_anything_time_out() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let tx = store.begin(None).await.unwrap();
    let waiting = async { write(&store, &[put("a", "1")]).await };
    let committing = async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        tx.commit().await.unwrap();
    };
    tokio::join!(waiting, committing);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn lazy_durability_still_saves_tokens() {
    let place = Place::new();
    let options = SqliteOptions::new(place.file()).with_synchronous(Synchronous::Normal);
    let store = SqliteStore::open_with(options).await.unwrap();
    let saved = store.save(&tenant(), &GrantId::new("g"), None, &SealedRecord::new("x")).await.unwrap();
    assert_eq!(saved, Saved::Stored(Version(1)));
    let mut tx = store.begin(None).await.unwrap();
    assert_eq!(numbers(connection(&mut *tx).unwrap(), "PRAGMA synchronous").await, 1);
}

#[tokio::test]
async fn a_job_of_a_newer_release_does_not_block_the_others() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    let job = crate::sync::Job::keep_alive(&tenant(), &GrantId::new("g"));
    store.put(&job, Duration::ZERO).await.unwrap();
    let mut other = raw(&place.file()).await;
    run(&mut other, "INSERT INTO integration_job VALUES ('new', '{\"kind\":\"unheard of\"}', 1, 1, NULL, 0, NULL, 0)")
        .await;
    let claims = store.claim(5, Duration::from_secs(60)).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].job, job);
    assert_eq!(numbers(&mut other, "SELECT COUNT(*) FROM integration_job").await, 2);
}

#[tokio::test]
async fn a_checkpoint_empties_the_write_ahead_file() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    write(&store, &[put("a", "1")]).await;
    store.checkpoint().await.unwrap();
    let log = place.0.path().join("store.db-wal");
    assert_eq!(std::fs::metadata(log).map_or(0, |file| file.len()), 0);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let place = Place::new();
    let store = SqliteStore::open(place.file()).await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.begin(None).await.unwrap_err().message(), "the store is closed");
    assert_eq!(store.next_due().await.unwrap_err().message(), "the store is closed");
}

const CHILD_FILE: &str = "INTEGRATION_TEST_STORE_FILE";

/// Does something only when started by the test below.
#[tokio::test]
async fn a_child_process_adds_its_numbers() {
    let Ok(path) = std::env::var(CHILD_FILE) else { return };
    let store = SqliteStore::open(path).await.unwrap();
    for _ in 0..40 {
        let mut tx = store.begin(None).await.unwrap();
        let number = tx.next(&CounterKey::new(tenant(), "batch")).await.unwrap();
        tx.write(&[put(&number.to_string(), "").expecting(crate::store::Expect::Absent)]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn several_processes_share_one_file() {
    let place = Place::new();
    let child = || {
        let name = "store::sqlite::tests::a_child_process_adds_its_numbers";
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--quiet"])
            .env(CHILD_FILE, place.file())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    // All at once, so that they also race for creating the tables.
    let children = [child(), child(), child()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = SqliteStore::open(place.file()).await.unwrap();
    let mut tx = store.begin(None).await.unwrap();
    assert_eq!(tx.next(&CounterKey::new(tenant(), "batch")).await.unwrap(), 121);
    let count = StateQuery::Count { tenant: tenant(), space: "test", prefix: String::new() };
    assert_eq!(store.read(&count).await.unwrap()[0].version, 120);
}
