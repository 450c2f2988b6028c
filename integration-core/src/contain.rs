//! The host's callbacks, kept from taking us down.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use crate::error::{Error, ErrorKind, Result, Retry};

/// Waits for a host's callback: a panic and a hang become errors that are tried again later.
pub(crate) async fn contained<T>(
    what: &'static str,
    patience: Duration,
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let failed = |happened: &str| {
        let message = format!("the host's {what} {happened}; what depended on it is tried again");
        Err(Error::new(ErrorKind::Store, message).with_retry(Retry::Temporary))
    };
    match tokio::time::timeout(patience, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => failed("panicked"),
        Err(_) => failed("did not come back in time"),
    }
}
