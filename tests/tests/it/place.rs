//! Where the rows of a test's processes are: a file of SQLite's, or a database of PostgreSQL's.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use integration_core::{
    conformance::saboteur::LastWriteWins,
    store::{PostgresStore, Stores, TokenStore, sqlite::SqliteStore},
};
#[cfg(unix)]
use integration_testing::postgres::{Database, Postgres};

/// `sqlite:path` or `postgres://...`, as it is handed from process to process.
#[derive(Clone, Debug)]
pub(crate) struct StoreUrl(String);

impl From<&Path> for StoreUrl {
    fn from(path: &Path) -> Self {
        Self(format!("sqlite:{}", path.display()))
    }
}

impl From<&PathBuf> for StoreUrl {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&Self> for StoreUrl {
    fn from(url: &Self) -> Self {
        url.clone()
    }
}

impl From<String> for StoreUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl StoreUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The file, for what only a file can do.
    pub(crate) fn file(&self) -> &Path {
        Path::new(self.0.strip_prefix("sqlite:").unwrap())
    }

    pub(crate) async fn open(&self) -> Opened {
        match self.0.strip_prefix("sqlite:") {
            Some(path) => Opened::Sqlite(SqliteStore::open(path).await.unwrap()),
            None => Opened::Postgres(open(self.0.as_str()).await),
        }
    }

    pub(crate) async fn stores(&self) -> Stores {
        self.open().await.stores()
    }
}

/// A host that starts while its database is away tries again.
async fn open(url: &str) -> PostgresStore {
    let began = std::time::Instant::now();
    loop {
        match PostgresStore::open(url).await {
            Ok(store) => return store,
            Err(error) if error.retryable() && began.elapsed().as_secs() < 60 => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) enum Opened {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Opened {
    pub(crate) fn stores(&self) -> Stores {
        match self {
            Self::Sqlite(store) => store.clone().into(),
            Self::Postgres(store) => store.clone().into(),
        }
    }

    /// Its token sets, in the hands of a saboteur.
    pub(crate) fn last_write_wins(self) -> Arc<dyn TokenStore> {
        match self {
            Self::Sqlite(store) => Arc::new(LastWriteWins(store)),
            Self::Postgres(store) => Arc::new(LastWriteWins(store)),
        }
    }
}

/// Where a test makes its databases.
#[cfg(unix)]
pub(crate) enum Places {
    Files(tempfile::TempDir),
    Server(&'static Postgres, Mutex<Vec<Database>>),
}

#[cfg(unix)]
impl Places {
    pub(crate) fn files() -> Self {
        Self::Files(tempfile::tempdir().unwrap())
    }

    /// `None` where there is no server, which has been said.
    pub(crate) async fn server() -> Option<Self> {
        Some(Self::Server(Postgres::shared().await?, Mutex::default()))
    }

    /// An empty one.
    pub(crate) async fn fresh(&self, name: &str) -> StoreUrl {
        match self {
            Self::Files(directory) => (&directory.path().join(format!("{name}.db"))).into(),
            Self::Server(server, made) => {
                let database = server.database().await;
                let url = StoreUrl(database.url().to_owned());
                made.lock().unwrap().push(database);
                url
            }
        }
    }
}
