//! A PostgreSQL server for tests and examples (feature `postgres`, Unix only).
//!
//! ```no_run
//! # async fn sample() {
//! use integration_testing::postgres::Postgres;
//!
//! let Some(server) = Postgres::shared().await else { return };  // it has said why; with `CI` set it panics instead
//! let database = server.database().await;                       // empty, and this test's alone
//! println!("{}", database.url());
//! # }
//! ```
//!
//! With `DATABASE_URL` set, databases are made on that server (its user must be allowed to) and dropped with their
//! [`Database`]. Otherwise a throw-away server is started from the PostgreSQL binaries found on the machine, on a Unix
//! socket in a directory of its own; started by root, it runs as the user `postgres` or `nobody`. It ends with this
//! process, also when that is killed.
//!
//! A [`Link`] is a loopback proxy in front of a database that can be cut, silenced and restored.

mod binaries;
mod link;
mod server;

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;
use url::Url;

use self::server::Server;
pub use self::{binaries::binaries, link::Link};

/// Why there is no server, in one line that says what to do.
#[derive(Clone, Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

impl From<std::io::Error> for Unavailable {
    fn from(error: std::io::Error) -> Self {
        Self(format!("no PostgreSQL server could be started: {error}"))
    }
}

/// A server on which databases can be made.
#[derive(Debug)]
pub struct Postgres {
    url: Url,
    /// Absent: somebody else's server.
    own: Option<Server>,
}

static SHARED: OnceCell<Option<Postgres>> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server that `DATABASE_URL` names, or a new one.
    ///
    /// # Errors
    /// One line that says what is missing and how to install it.
    pub async fn start() -> Result<Self, Unavailable> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => {
                let url = url.parse().map_err(|error| Unavailable(format!("DATABASE_URL is not a URL: {error}")))?;
                Ok(Self { url, own: None })
            }
            _ => Self::throw_away().await,
        }
    }

    /// A new server, whatever the environment says.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn throw_away() -> Result<Self, Unavailable> {
        let server = tokio::task::spawn_blocking(Server::start).await.map_err(std::io::Error::other)??;
        let url = server.url();
        let this = Self { url, own: Some(server) };
        this.ready().await?;
        Ok(this)
    }

    /// This process's one server. `None` where there are no binaries: it says so once, and tests pass without it.
    ///
    /// # Panics
    /// If there is none and the environment has `CI`.
    pub async fn shared() -> Option<&'static Self> {
        let server = SHARED.get_or_init(|| async {
            match Self::start().await {
                Ok(server) => Some(server),
                Err(error) => {
                    assert!(std::env::var_os("CI").is_none(), "{error}");
                    eprintln!("skipped what needs PostgreSQL: {error}");
                    None
                }
            }
        });
        server.await.as_ref()
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// If the server does not let us make one.
    pub async fn database(&self) -> Database {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("integration_test_{}_{number}", std::process::id());
        let made = run(&self.url, format!("CREATE DATABASE {name}")).await;
        made.unwrap_or_else(|error| panic!("no database could be made: {error}"));
        let mut url = self.url.clone();
        url.set_path(&name);
        Database { url, server: self.url.clone(), name, drop: self.own.is_none() }
    }

    /// Shuts a throw-away server down; databases stay on disk until it is dropped.
    ///
    /// # Panics
    /// If the server is not ours.
    pub fn stop(&self) {
        self.own().stop();
    }

    /// Starts it again after [`Postgres::stop`].
    ///
    /// # Panics
    /// If the server is not ours or does not come up.
    pub async fn restart(&self) {
        self.own().restart();
        self.ready().await.unwrap_or_else(|error| panic!("{error}"));
    }

    fn own(&self) -> &Server {
        self.own.as_ref().unwrap_or_else(|| panic!("the server that DATABASE_URL names is not ours to stop"))
    }

    /// Waits until the server answers.
    async fn ready(&self) -> Result<(), Unavailable> {
        let mut last = String::new();
        for _ in 0..600 {
            match run(&self.url, "SELECT 1".to_owned()).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let log = self.own.as_ref().map(Server::log).unwrap_or_default();
        Err(Unavailable(format!("the throw-away PostgreSQL server does not answer: {last}; its log: {log}")))
    }
}

async fn run(url: &Url, sql: String) -> sqlx::Result<()> {
    let options = url.as_str().parse::<PgConnectOptions>()?.disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// A database of one test. On a server that is not ours it is dropped with this value.
#[derive(Debug)]
pub struct Database {
    url: Url,
    server: Url,
    name: String,
    drop: bool,
}

impl Database {
    /// Where it is, with the user that owns it.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// A proxy in front of it, on a free port of the loopback interface.
    ///
    /// # Panics
    /// If no port can be opened.
    pub async fn link(&self) -> Link {
        Link::to(&self.url).await.unwrap_or_else(|error| panic!("no proxy: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.drop {
            return;
        }
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A runtime of its own: this one may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&server, sql)).map_err(std::io::Error::other)
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}
