//! One writing connection, several reading ones.
//!
//! No pool: a pool's timeouts would fire at once under a test's paused clock, while SQLite's own thread is busy.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::failure::{closed, failed};
use crate::error::Result;

pub(super) struct Connections {
    writer: Arc<Mutex<Writer>>,
    readers: Vec<Arc<Mutex<Option<SqliteConnection>>>>,
    next: AtomicUsize,
}

pub(super) struct Writer {
    connection: Option<SqliteConnection>,
    /// A transaction was begun and has not ended, as far as we know.
    open: bool,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(writer: SqliteConnection, readers: Vec<SqliteConnection>) -> Self {
        let writer = Writer { connection: Some(writer), open: false };
        let readers = readers.into_iter().map(|reader| Arc::new(Mutex::new(Some(reader)))).collect();
        Self { writer: Arc::new(Mutex::new(writer)), readers, next: AtomicUsize::new(0) }
    }

    /// Waits for the turn to write.
    pub(super) async fn write(&self) -> Result<Turn> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        // Whoever left it open was dropped outside a runtime, or with it.
        roll_back(&mut writer).await;
        Ok(Turn { writer: Some(writer) })
    }

    /// A reading connection: a free one, or the next in turn.
    pub(super) async fn read(&self) -> Reading {
        for reader in &self.readers {
            if let Ok(free) = Arc::clone(reader).try_lock_owned() {
                return Reading::Reader(free);
            }
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        Reading::Reader(Arc::clone(&self.readers[index]).lock_owned().await)
    }

    /// A connection for a short look: the writing one if nobody needs it. What it wrote is still in its cache, while a
    /// reading one has to get every page again after each commit of another.
    pub(super) async fn glance(&self) -> Reading {
        match Arc::clone(&self.writer).try_lock_owned() {
            Ok(writer) if !writer.open => Reading::Writer(writer),
            _ => self.read().await,
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        for reader in &self.readers {
            let taken = reader.lock().await.take();
            if let Some(reader) = taken {
                reader.close().await.map_err(failed)?;
            }
        }
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        roll_back(&mut writer).await;
        let Some(connection) = writer.connection.take() else { return Ok(()) };
        // The last one to leave moves the write-ahead file into the main file.
        connection.close().await.map_err(failed)
    }
}

async fn roll_back(writer: &mut Writer) {
    if !writer.open {
        return;
    }
    if let Some(connection) = &mut writer.connection {
        // It fails if SQLite has rolled back by itself (a full disk) or a cancelled commit went through: both are fine.
        let _ = sqlx::query("ROLLBACK").execute(connection).await;
    }
    writer.open = false;
}

pub(super) enum Reading {
    Reader(OwnedMutexGuard<Option<SqliteConnection>>),
    Writer(OwnedMutexGuard<Writer>),
}

impl Reading {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection> {
        match self {
            Self::Reader(reader) => reader.as_mut(),
            Self::Writer(writer) => writer.connection.as_mut(),
        }
        .ok_or_else(closed)
    }
}

/// The turn to write. Dropped with an open transaction, it is passed on only after that was rolled back.
pub(super) struct Turn {
    /// `None` only while being dropped.
    writer: Option<OwnedMutexGuard<Writer>>,
}

impl Turn {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.writer.as_mut().and_then(|writer| writer.connection.as_mut()).ok_or_else(closed)
    }

    pub(super) async fn begin(&mut self) -> Result<()> {
        let Some(Writer { connection, open }) = self.writer.as_deref_mut() else { return Err(closed()) };
        let connection = connection.as_mut().ok_or_else(closed)?;
        // Marked first: the statement may take effect even when nobody waits for it any more.
        *open = true;
        // The write lock at once: a lock taken later fails whenever another process wrote in between.
        sqlx::query("BEGIN IMMEDIATE").execute(connection).await.map_err(failed)?;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        sqlx::query("COMMIT").execute(self.connection()?).await.map_err(failed)?;
        if let Some(writer) = &mut self.writer {
            writer.open = false;
        }
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take().filter(|writer| writer.open) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { roll_back(&mut writer).await });
        }
    }
}
