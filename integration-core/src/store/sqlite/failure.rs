//! What SQLite's errors mean, in one sentence each.

use crate::error::{Actor, Error, ErrorKind, Remedy, Retry};

pub(super) fn failed(error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    // The low byte is the primary code, the rest says more than anyone can act on.
    let told = match code.map(|code| code & 0xff) {
        Some(5 | 6) => return busy().with_source(error),
        Some(8) => with("the database file is read-only", "Make the file and its directory writable for this process."),
        Some(10) => with("the disk failed while the database file was read or written", "Check the disk."),
        Some(11) => {
            with("the database file is damaged", "Restore it from a backup, or recover it with SQLite's own tools.")
        }
        Some(13) => with("the disk is full, or the database file has reached its largest size", "Make room."),
        Some(14) => {
            with("the database file cannot be opened", "Check that it is a file this process may read and write.")
        }
        Some(26) => with("the file is not a SQLite database", "Check the configured path."),
        _ => Error::new(ErrorKind::Store, "the database refused a statement"),
    };
    told.with_source(error)
}

fn with(cause: &str, action: &str) -> Error {
    Error::new(ErrorKind::Store, cause).with_remedy(Remedy::new(format!("{cause}."), Actor::Operator, action))
}

pub(super) fn busy() -> Error {
    Error::new(
        ErrorKind::Store,
        "the database is locked by another process or connection for longer than the busy timeout",
    )
    .with_retry(Retry::Temporary)
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Store, "the store is closed")
}

/// A newer release wrote this file: its rows may mean something we do not know.
pub(super) fn newer(found: i64, known: i64) -> Error {
    let cause = format!("the database has schema version {found}, this release knows versions up to {known}");
    with(&cause, "Run the newer release, or open another file.")
}
