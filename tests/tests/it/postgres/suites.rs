//! The suites, each case on a database of its own.

use std::{ops::Deref, sync::Arc};

use integration_core::store::PostgresStore;
use integration_testing::postgres::{Database, Postgres};

/// A store and the database it lives in.
struct Place {
    store: PostgresStore,
    database: Arc<Database>,
}

impl Deref for Place {
    type Target = PostgresStore;

    fn deref(&self) -> &PostgresStore {
        &self.store
    }
}

async fn fresh(_: &str) -> Option<Place> {
    let database = Arc::new(Postgres::shared().await?.database().await);
    Some(Place { store: PostgresStore::open(database.url()).await.unwrap(), database })
}

async fn reopen(place: &Place) -> Place {
    Place { store: PostgresStore::open(place.database.url()).await.unwrap(), database: Arc::clone(&place.database) }
}

mod tokens {
    integration_core::token_store_conformance!(optional super::fresh, super::reopen);
}
mod leases {
    integration_core::lease_store_conformance!(optional super::fresh, super::reopen);
}
mod sync {
    integration_core::sync_store_conformance!(optional super::fresh, super::reopen);
}
mod jobs {
    integration_core::job_store_conformance!(optional super::fresh, super::reopen);
}
