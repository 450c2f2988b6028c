//! The connections of one process, kept open between calls.
//!
//! No pool of the driver's: it asks the server twice more for every call, and cannot promise that a read inside an open
//! transaction finds a connection.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    Connection, PgConnection, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{busy, closed, failed, gone, lost, no_answer};
use crate::error::Result;

/// A connection that was left alone for so long is asked whether it still stands before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// How long putting a connection in order may take once its user is gone.
const TIDY: Duration = Duration::from_secs(5);
/// How much longer than the server's own timeout we wait for an answer: a server that is cut off says nothing.
const GRACE: Duration = Duration::from_secs(5);

/// Patience, in three ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) connect: Duration,
    pub(super) statement: Duration,
}

#[derive(Clone)]
pub(super) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    options: PgConnectOptions,
    limits: Limits,
    all: Arc<Semaphore>,
    /// One fewer: whatever transactions are open, a read finds a connection.
    transactions: Arc<Semaphore>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(options: PgConnectOptions, limits: Limits) -> Self {
        let all = limits.connections.max(2);
        let (all, transactions) = (Arc::new(Semaphore::new(all)), Arc::new(Semaphore::new(all - 1)));
        Self { shared: Arc::new(Shared { options, limits, all, transactions, idle: Mutex::default() }) }
    }

    /// A connection for single statements.
    pub(super) async fn get(&self) -> Result<Held> {
        self.shared.hold(Vec::new()).await
    }

    /// A connection with an open transaction.
    pub(super) async fn begin(&self) -> Result<Held> {
        let turn = self.shared.permit(&self.shared.transactions).await?;
        let mut held = self.shared.hold(vec![turn]).await?;
        // Marked first: the statement may take effect even when nobody waits for it any more.
        held.open = true;
        held.run("BEGIN").await?;
        Ok(held)
    }

    /// Closes what is idle; whatever is in use closes when it is given back.
    pub(super) async fn close(&self) {
        self.shared.all.close();
        self.shared.transactions.close();
        for (connection, _) in self.shared.take_idle() {
            let _ = tokio::time::timeout(TIDY, connection.close()).await;
        }
    }
}

impl Shared {
    async fn permit(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
        let waiting = Arc::clone(of).acquire_owned();
        let permit = tokio::time::timeout(self.limits.statement, waiting).await.map_err(|_| busy())?;
        permit.map_err(|_| closed())
    }

    async fn hold(self: &Arc<Self>, mut permits: Vec<OwnedSemaphorePermit>) -> Result<Held> {
        permits.push(self.permit(&self.all).await?);
        let connection = match self.standing().await {
            Some(standing) => standing,
            None => self.connect().await?,
        };
        Ok(Held { connection: Some(connection), open: false, clean: true, permits, shared: Arc::clone(self) })
    }

    /// An idle connection that still stands.
    async fn standing(&self) -> Option<PgConnection> {
        let (mut connection, since) = self.lock().pop()?;
        if since.elapsed() < FRESH || within(self.limits.connect, connection.ping()).await.is_ok() {
            return Some(connection);
        }
        // The others went with it.
        drop(self.take_idle());
        None
    }

    async fn connect(&self) -> Result<PgConnection> {
        let connecting = PgConnection::connect_with(&self.options);
        let mut connection = within(self.limits.connect, connecting).await.map_err(failed)?;
        let milliseconds = self.limits.statement.as_millis().to_string();
        let setting = sqlx::query(SESSION).bind(milliseconds).fetch_one(&mut connection);
        within(self.limits.connect, setting).await.map_err(failed)?;
        Ok(connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Vec<(PgConnection, Instant)> {
        mem::take(&mut *self.lock())
    }

    fn put_back(&self, connection: PgConnection) {
        if !self.all.is_closed() {
            self.lock().push((connection, Instant::now()));
        }
    }
}

/// A process that is stopped must not hold its locks for ever; plans are made for the tables as they are now, not as they
/// were when they were empty; and a commit is on disk when it returns.
const SESSION: &str = "SELECT set_config('statement_timeout', $1, false), \
    set_config('idle_in_transaction_session_timeout', $1, false), \
    set_config('default_transaction_isolation', 'read committed', false), \
    set_config('plan_cache_mode', 'force_custom_plan', false), \
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
        ELSE current_setting('synchronous_commit') END, false)";

pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(no_answer()))
}

/// A connection in use. Dropped with an open transaction, it is passed on only after that was rolled back.
pub(super) struct Held {
    connection: Option<PgConnection>,
    /// A transaction was begun and has not ended, as far as we know.
    open: bool,
    /// No statement is under way.
    clean: bool,
    permits: Vec<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Held {
    /// For statements of the host's own, and for several statements in a transaction.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.connection.as_mut().ok_or_else(gone)
    }

    /// How long one call may take altogether.
    pub(super) fn limit(&self) -> Duration {
        self.shared.limits.statement + GRACE
    }

    pub(super) async fn fetch_all(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>> {
        let limit = self.limit();
        self.clean = false;
        let rows = within(limit, query.fetch_all(self.connection()?)).await;
        self.end(rows)
    }

    /// How many rows it affected.
    pub(super) async fn execute(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<u64> {
        let limit = self.limit();
        self.clean = false;
        let done = within(limit, query.execute(self.connection()?)).await;
        Ok(self.end(done)?.rows_affected())
    }

    /// Closes the connection instead of giving it back: its state is not known.
    pub(super) fn discard(mut self) {
        drop(self.connection.take());
    }

    async fn run(&mut self, sql: &'static str) -> Result<()> {
        let limit = self.limit();
        self.clean = false;
        let done = within(limit, sqlx::raw_sql(sql).execute(self.connection()?)).await;
        self.end(done).map(drop)
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        // A transaction in which a statement of the host failed is refused by the first, where COMMIT alone rolls back and
        // says that all is well.
        self.run("SELECT 1; COMMIT").await?;
        self.open = false;
        Ok(())
    }

    /// After an answer the connection can be used again; after anything else neither it nor the idle ones can.
    fn end<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T> {
        let broken = match &result {
            Ok(_) => false,
            Err(sqlx::Error::Database(error)) => error.code().is_some_and(|code| lost(&code)),
            Err(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)) => true,
            Err(_) => false,
        };
        if broken {
            drop(self.connection.take());
            drop(self.shared.take_idle());
        }
        self.clean = true;
        result.map_err(failed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.clean && !self.open {
            return self.shared.put_back(connection);
        }
        // Without a runtime the connection just closes, and the server rolls back.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (open, shared, permits) = (self.open, Arc::clone(&self.shared), mem::take(&mut self.permits));
        runtime.spawn(async move {
            match tidy(connection, open).await {
                Some(connection) => shared.put_back(connection),
                // The others will not stand either.
                None => drop(shared.take_idle()),
            }
            drop(permits);
        });
    }
}

/// Rolls back, or waits for the end of a statement that nobody waits for any more.
async fn tidy(mut connection: PgConnection, open: bool) -> Option<PgConnection> {
    let done = if open {
        within(TIDY, sqlx::raw_sql("ROLLBACK").execute(&mut connection)).await.map(drop)
    } else {
        within(TIDY, connection.ping()).await
    };
    done.ok().map(|()| connection)
}
