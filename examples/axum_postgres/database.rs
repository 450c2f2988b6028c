//! The one database: the host's tables beside ours.

use std::{path::Path, sync::Arc};

use integration_core::{
    store::{Stores, postgres::PostgresStore},
    vault::{KeyProvider, KeyRing},
};
use integration_examples::keys;
use integration_testing::postgres::{self as testing, Postgres};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use crate::Failure;

/// The host's own tables. A real host has migrations of its own; they do not meet ours, which begin with `integration_`.
const TABLES: &str = include_str!("tables.sql");
const PEOPLE: &str = include_str!("../sample/people.csv");
pub(crate) const TENANT: &str = "acme";

/// Connections of the host's, our store, and the keys that seal what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) store: PostgresStore,
    pub(crate) keys: Arc<dyn KeyProvider>,
    /// A throw-away server ends with the last of us.
    _server: Option<Arc<(Postgres, testing::Database)>>,
}

impl Database {
    pub(crate) async fn open() -> Result<Self, Failure> {
        let (url, server) = server().await?;
        let pool = PgPoolOptions::new().max_connections(16).connect(&url).await?;
        // Several of these programs may start at the same time: one after the other.
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7331)").execute(&mut *tx).await?;
        for statement in TABLES.split(';').filter(|statement| !statement.trim().is_empty()) {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        for line in PEOPLE.lines().skip(1) {
            let [name, email, company, _deal] = line.split(',').collect::<Vec<_>>()[..] else { continue };
            let insert =
                "INSERT INTO crm_contact (tenant, email, name, company) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            sqlx::query(insert).bind(TENANT).bind(email).bind(name).bind(company).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        let store = PostgresStore::open(url).await?;
        let keys = match &server {
            Some(_) => KeyRing::generate(),
            None => keys::key_ring(Path::new("axum_postgres.db"), &store).await?,
        };
        Ok(Self { pool, store, keys: Arc::new(keys), _server: server.map(Arc::new) })
    }

    /// Our stores, all in it.
    pub(crate) fn stores(&self) -> Stores {
        self.store.clone().into()
    }
}

/// The named database, or an empty one on a server of our own.
async fn server() -> Result<(String, Option<(Postgres, testing::Database)>), Failure> {
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return Ok((url, None));
    }
    let server = Postgres::throw_away().await?;
    let database = server.database().await;
    Ok((database.url().to_owned(), Some((server, database))))
}
