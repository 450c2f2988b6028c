//! Keeping a lease while something goes on.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};

use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    store::{LeaseGuard, LeaseStore},
};

pub(crate) fn taken_over() -> Error {
    Error::new(ErrorKind::Conflict, "another worker took over this connection")
        .with_retry(crate::error::Retry::Temporary)
}

/// Keeps the lease while `work` goes on, however long one call of it takes, and gives it back.
pub(crate) async fn holding<T>(
    (leases, clock, ttl): (&dyn LeaseStore, &dyn Clock, Duration),
    guard: LeaseGuard,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let lost = async {
        loop {
            clock.sleep(ttl / 3).await;
            // A store that does not answer may answer next time; the commit decides in the end.
            if let Ok(false) = leases.renew(&guard, ttl).await {
                return taken_over();
            }
        }
    };
    let result = match select(pin!(work), pin!(lost)).await {
        Either::Left((done, _)) => done,
        Either::Right((error, _)) => Err(error),
    };
    if let Err(error) = leases.release(guard.clone()).await {
        tracing::warn!(error = %error, "a lease could not be given back; it runs out");
    }
    result
}
