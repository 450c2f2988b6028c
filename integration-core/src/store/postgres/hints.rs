//! A word between processes that a job is due now: only a hint, nothing depends on its arrival.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::Notify, task::AbortHandle};

use super::connections::Held;

/// How long to leave a server alone that does not let us listen.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Hints {
    options: PgConnectOptions,
    channel: String,
    heard: Arc<Notify>,
    /// Who listens; nobody before the first scheduler of this process waits.
    listener: Mutex<Option<AbortHandle>>,
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hints").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Hints {
    pub(super) fn new(options: PgConnectOptions, channel: String) -> Self {
        Self { options, channel, heard: Arc::default(), listener: Mutex::default() }
    }

    /// Tells everybody who listens. Apart from the job's own statement: a commit that notifies waits for every other such
    /// commit of the server.
    pub(super) async fn tell(&self, held: &mut Held) {
        if let Err(error) = held.execute(sqlx::query("SELECT pg_notify($1, '')").bind(self.channel.as_str())).await {
            tracing::debug!(%error, "other processes were not told of a job");
        }
    }

    /// Returns once somebody told, also if that was since the last call.
    pub(super) async fn heard(&self) {
        self.listen();
        self.heard.notified().await;
    }

    fn listen(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(AbortHandle::is_finished) {
            let listening = listen(self.options.clone(), self.channel.clone(), Arc::clone(&self.heard));
            *listener = Some(tokio::spawn(listening).abort_handle());
        }
    }

    pub(super) fn close(&self) {
        if let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listener.abort();
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(options: PgConnectOptions, channel: String, heard: Arc<Notify>) {
    // Of one connection, beside the store's own: the listener opens it again when it was lost.
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.connect_lazy_with(options);
    loop {
        let ended = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(&channel).await?;
            loop {
                // Something may have been said while nobody listened.
                heard.notify_one();
                while listener.try_recv().await?.is_some() {
                    heard.notify_one();
                }
            }
        };
        let ended: sqlx::Result<()> = ended.await;
        if let Err(error) = ended {
            tracing::debug!(%error, "no hints about due jobs for now; schedulers look by themselves");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
