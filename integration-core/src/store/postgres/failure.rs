//! What PostgreSQL's errors mean, in one sentence each.

use std::io;

use crate::error::{Actor, Error, ErrorKind, Remedy, Retry};

pub(super) fn failed(error: sqlx::Error) -> Error {
    let told = match &error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(code) => state(code),
            None => refused(),
        },
        sqlx::Error::Io(cause) => io_error(cause),
        sqlx::Error::Tls(_) => {
            with("no encrypted connection to the database could be made", "Check `sslmode` and the certificates.")
        }
        sqlx::Error::Protocol(_) => temporary("the connection to the database was disturbed"),
        sqlx::Error::Configuration(_) => {
            misconfigured("the database's URL cannot be used", "Check the configured URL.")
        }
        _ => refused(),
    };
    told.with_source(error)
}

fn io_error(cause: &io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::TimedOut => temporary("the database did not answer in time"),
        _ => temporary("the connection to the database failed"),
    }
}

/// By SQLSTATE; the first two letters are its class.
fn state(code: &str) -> Error {
    match code {
        "25006" => with("the database is read-only", "Connect to the primary server.").with_retry(Retry::Temporary),
        "25P03" => temporary("the server ended a transaction in which nothing happened for too long"),
        "28000" | "28P01" => {
            misconfigured("the database refused the user or its password", "Check the configured URL.")
        }
        "3D000" => misconfigured("the database does not exist", "Create it, or check the configured URL."),
        "42501" => with(
            "the database user lacks a right on the store's schema or tables",
            "Grant it, or open the store once as a user that may create tables.",
        ),
        "3F000" | "42P01" => with(
            "a table or the schema of the store is missing",
            "Check the configured schema and prefix, and open the store again: it creates what is missing only while it opens.",
        ),
        "42703" => with("a table of the store's name has other columns", "Choose another prefix or schema."),
        "53100" => with("the database's disk is full", "Make room."),
        "53300" => temporary("the database has too many connections"),
        "54000" => {
            with("a key or value is larger than the database takes", "Report it: such a key should have been cut.")
        }
        "55P03" => temporary("the database is locked by another transaction for too long"),
        "57014" => temporary("a statement took longer than the statement timeout"),
        "40001" | "40P01" => temporary("the transaction met another one and was rolled back"),
        "58030" => with("the disk failed while the database was read or written", "Check the server's disk."),
        "XX001" | "XX002" => with("the database is damaged", "Restore it from a backup."),
        _ if lost(code) || code.starts_with("53") => temporary("the database server is not available"),
        _ => refused(),
    }
}

/// States after which the connection is of no use: connection errors, and the server going down or not being up yet.
pub(super) fn lost(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
}

fn refused() -> Error {
    Error::new(ErrorKind::Store, "the database refused a statement")
}

fn temporary(cause: &str) -> Error {
    Error::new(ErrorKind::Store, cause).with_retry(Retry::Temporary)
}

pub(super) fn with(cause: &str, action: &str) -> Error {
    Error::new(ErrorKind::Store, cause).with_remedy(Remedy::new(format!("{cause}."), Actor::Operator, action))
}

pub(super) fn misconfigured(cause: &str, action: &str) -> Error {
    let remedy = Remedy::new(format!("{cause}."), Actor::Operator, action);
    Error::new(ErrorKind::Misconfigured, cause).with_remedy(remedy)
}

pub(super) fn busy() -> Error {
    temporary("all connections of the store were in use for too long")
}

pub(super) fn gone() -> Error {
    temporary("the connection of this transaction was lost")
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Store, "the store is closed")
}

/// A newer release wrote these tables: their rows may mean something we do not know.
pub(super) fn newer(found: i64, known: i64) -> Error {
    let cause = format!("the database has schema version {found}, this release knows versions up to {known}");
    with(&cause, "Run the newer release, or open another database, schema or prefix.")
}

/// A client-side deadline has passed: the same to callers as a socket's own.
pub(super) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_temporary_and_the_rest_says_what_to_do() {
        for code in ["08006", "57P01", "57P03", "53300", "40P01", "40001", "57014", "55P03", "25006", "25P03"] {
            assert!(state(code).retryable(), "{code}");
        }
        for code in ["28P01", "3D000", "42501", "42P01", "3F000", "53100", "XX001"] {
            let error = state(code);
            assert!(!error.retryable() && error.remedy().is_some(), "{code}");
        }
        assert!(failed(no_answer()).retryable());
    }
}
