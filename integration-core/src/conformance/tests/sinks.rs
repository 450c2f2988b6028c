use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    activity::{ActivityChange, Batch, NoSink, Sink},
    conformance::{
        saboteur::{OwnTable, Reentrant},
        sink::{self as suite, SinkFixture},
    },
    error::Result,
    ids::{ActivityId, TenantId},
    store::{MemoryStore, StateKey, StateQuery, StateWrite, StoreTransaction, SyncStore, read_one},
};

/// A host's rows in a space of its own: works in the transaction of any store.
#[derive(Debug)]
struct RowSink(MemoryStore);

#[derive(Serialize, Deserialize)]
struct Line {
    id: ActivityId,
    subject: String,
}

fn line_key(id: &ActivityId) -> StateKey {
    StateKey::new([id.as_str()])
}

fn last_key() -> StateKey {
    StateKey::new(["last"])
}

#[async_trait]
impl Sink for RowSink {
    async fn apply(&self, batch: &Batch, tx: &mut dyn StoreTransaction) -> Result<()> {
        let tenant = &batch.tenant;
        let mut rows = vec![StateWrite::put(tenant, "host_batch", last_key(), batch.sequence.to_string().into_bytes())];
        rows.extend(batch.activities.iter().map(|change| match change {
            ActivityChange::Removed { id } => StateWrite::delete(tenant, "host_timeline", line_key(id)),
            ActivityChange::Upserted { activity } => {
                let line = Line { id: activity.id.clone(), subject: activity.summary.subject.clone() };
                let bytes = serde_json::to_vec(&line).unwrap();
                StateWrite::put(tenant, "host_timeline", line_key(&line.id), bytes)
            }
        }));
        tx.write(&rows).await
    }
}

#[async_trait]
impl SinkFixture for RowSink {
    fn sink(&self) -> &dyn Sink {
        self
    }

    fn store(&self) -> &dyn SyncStore {
        &self.0
    }

    async fn shown(&self, tenant: &TenantId) -> BTreeMap<ActivityId, String> {
        let (tenant, prefix) = (tenant.clone(), String::new());
        let query = StateQuery::Range { tenant, space: "host_timeline", prefix, after: None, limit: 10_000 };
        let lines = self.0.read(&query).await.unwrap().into_iter();
        lines.map(|row| serde_json::from_slice::<Line>(&row.bytes).unwrap()).map(|l| (l.id, l.subject)).collect()
    }

    async fn sequence(&self, tenant: &TenantId) -> Option<u64> {
        let row = read_one(&self.0, tenant, "host_batch", last_key()).await.unwrap()?;
        std::str::from_utf8(&row.bytes).unwrap().parse().ok()
    }
}

mod memory {
    use super::*;

    async fn fresh(_: &str) -> Box<RowSink> {
        Box::new(RowSink(MemoryStore::new()))
    }

    crate::sink_conformance!(fresh);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::{SqliteStore, connection};

    /// A host's own tables in the file of the store.
    #[derive(Debug)]
    struct TableSink {
        store: SqliteStore,
        _directory: TempDir,
    }

    const TABLES: &str = "CREATE TABLE timeline (tenant TEXT, id TEXT, subject TEXT, PRIMARY KEY (tenant, id));
        CREATE TABLE batch (tenant TEXT PRIMARY KEY, sequence INTEGER)";

    impl TableSink {
        async fn host(&self) -> SqliteConnection {
            let options = SqliteConnectOptions::new().filename(self.store.path());
            SqliteConnection::connect_with(&options).await.unwrap()
        }
    }

    #[async_trait]
    impl Sink for TableSink {
        async fn apply(&self, batch: &Batch, tx: &mut dyn StoreTransaction) -> Result<()> {
            let host = connection(tx).expect("the store is a SQLite store");
            let tenant = batch.tenant.as_str();
            for change in &batch.activities {
                let query = match change {
                    ActivityChange::Removed { id } => {
                        sqlx::query("DELETE FROM timeline WHERE tenant = ? AND id = ?").bind(tenant).bind(id.as_str())
                    }
                    ActivityChange::Upserted { activity } => {
                        sqlx::query("INSERT OR REPLACE INTO timeline VALUES (?, ?, ?)")
                            .bind(tenant)
                            .bind(activity.id.as_str())
                            .bind(activity.summary.subject.as_str())
                    }
                };
                query.execute(&mut *host).await.unwrap();
            }
            let query = sqlx::query("INSERT OR REPLACE INTO batch VALUES (?, ?)").bind(tenant);
            query.bind(i64::try_from(batch.sequence).unwrap()).execute(host).await.unwrap();
            Ok(())
        }
    }

    #[async_trait]
    impl SinkFixture for TableSink {
        fn sink(&self) -> &dyn Sink {
            self
        }

        fn store(&self) -> &dyn SyncStore {
            &self.store
        }

        async fn shown(&self, tenant: &TenantId) -> BTreeMap<ActivityId, String> {
            let query = sqlx::query("SELECT id, subject FROM timeline WHERE tenant = ?").bind(tenant.as_str());
            let rows = query.fetch_all(&mut self.host().await).await.unwrap().into_iter();
            rows.map(|row| (ActivityId::new(row.get::<String, _>(0)), row.get(1))).collect()
        }

        async fn sequence(&self, tenant: &TenantId) -> Option<u64> {
            let query = sqlx::query("SELECT sequence FROM batch WHERE tenant = ?").bind(tenant.as_str());
            let row = query.fetch_optional(&mut self.host().await).await.unwrap()?;
            u64::try_from(row.get::<i64, _>(0)).ok()
        }
    }

    async fn fresh(name: &str) -> Box<TableSink> {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(directory.path().join(name)).await.unwrap();
        let sink = TableSink { store, _directory: directory };
        sqlx::raw_sql(TABLES).execute(&mut sink.host().await).await.unwrap();
        Box::new(sink)
    }

    crate::sink_conformance!(fresh);
}

#[tokio::test]
async fn the_suite_notices_effects_that_survive_the_rollback() {
    let own = || OwnTable::new(Arc::new(MemoryStore::new()));
    let broken = suite::effects_are_rolled_back_with_the_transaction(&own()).await.unwrap_err();
    assert_eq!(broken.promise, "effects are rolled back with the transaction");
    let broken = suite::effects_are_shown_with_the_commit(&own()).await.unwrap_err();
    assert_eq!(broken.promise, "effects are shown with the commit, and not before");
    suite::an_upsert_replaces(&own()).await.unwrap();
}

#[tokio::test]
async fn the_suite_notices_a_sink_that_begins_a_transaction_of_its_own() {
    let broken = suite::an_empty_batch_is_fine(&Reentrant(Arc::new(MemoryStore::new()))).await.unwrap_err();
    assert_eq!(broken.promise, WITHIN);
}

const WITHIN: &str = "a sink writes through the transaction it is handed, and calls neither hub nor store";

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_refuses_a_transaction_within_a_transaction_too() {
    let directory = tempfile::TempDir::new().unwrap();
    let store = crate::store::SqliteStore::open(directory.path().join("store.db")).await.unwrap();
    let broken = suite::an_empty_batch_is_fine(&Reentrant(Arc::new(store))).await.unwrap_err();
    assert_eq!(broken.promise, WITHIN);
}

/// Beside a table that nobody writes.
#[derive(Debug)]
struct Deaf(MemoryStore);

#[async_trait]
impl SinkFixture for Deaf {
    fn sink(&self) -> &dyn Sink {
        &NoSink
    }

    fn store(&self) -> &dyn SyncStore {
        &self.0
    }

    async fn shown(&self, _: &TenantId) -> BTreeMap<ActivityId, String> {
        BTreeMap::new()
    }

    async fn sequence(&self, _: &TenantId) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn the_suite_notices_a_sink_that_keeps_nothing() {
    let broken = suite::effects_are_shown_with_the_commit(&Deaf(MemoryStore::new())).await.unwrap_err();
    assert_eq!(broken.promise, "effects are shown with the commit, and not before");
    let broken = suite::sequence_numbers_are_kept(&Deaf(MemoryStore::new())).await.unwrap_err();
    assert_eq!(broken.promise, "the number of the latest batch is kept with its rows");
}
