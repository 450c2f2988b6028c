//! Tests of the layers, on virtual time.

mod admission;
mod breaker;
mod observed;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod session;
mod shared;
