//! Keeps the host's code from waiting for our own open transaction.

use crate::error::{Error, ErrorKind, Result};

tokio::task_local! {
    static OPEN: ();
}

/// Runs a host's callback in the knowledge that our transaction is open: whatever would wait for that transaction, or for
/// the network, fails inside `callback` instead.
pub async fn inside_transaction<F: Future>(callback: F) -> F::Output {
    OPEN.scope((), callback).await
}

/// Refuses to go on inside [`inside_transaction`]; called first by everything that writes or goes to the network.
///
/// # Errors
/// [`ErrorKind::Misconfigured`], saying what was tried and what to do instead.
pub fn forbid_reentry(what: &'static str) -> Result<()> {
    if OPEN.try_with(|()| ()).is_err() {
        return Ok(());
    }
    let message = format!(
        "{what} was called inside the sync transaction; use the transaction handed to the sink, or do it afterwards"
    );
    Err(Error::new(ErrorKind::Misconfigured, message))
}
