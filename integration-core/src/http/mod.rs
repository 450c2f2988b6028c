//! Calls to services: one stack, in one order, written down here.
//!
//! ```text
//! trace → deadline → retry → breaker → admission (quota, concurrency, priority) → auth → attempt timeout → transport
//! ```
//!
//! A provider builds a [`Call`] and hands it to its [`Session`]; it can neither skip a layer nor see a token. What a call
//! costs and whether it may be repeated are inputs, never guessed from the HTTP method.

mod admission;
mod attempt;
mod body;
mod breaker;
mod call;
mod damp;
mod failure;
mod gate;
mod ledger;
mod quota;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod retry;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod transport;

pub use admission::{Admission, AdmissionKey, AdmissionRequest, LocalAdmission, Permit, Usage};
pub use body::{Body, ByteStream};
pub use breaker::{Breaker, BreakerPass, BreakerSettings, ServiceBreaker};
pub use call::{Call, Cost, IdempotencyKey, Priority, Repeat, Response};
pub use failure::{AuthAction, Failure, HttpFailure};
pub use quota::{QuotaScope, QuotaTable, QuotaUnit, QuotaWindow};
#[cfg(feature = "reqwest")]
pub use reqwest_transport::ReqwestTransport;
pub use retry::{RetryBudget, RetryDecision, RetryPolicy, RetryState, StandardRetry};
pub use session::{AccessToken, Credentials, GrantSession, Session, SessionParts};
pub use shared::{SharedAdmission, SharedLimits};
pub use transport::{Transport, TransportError, TransportErrorKind};
