//! Mail, calendars and ledgers behind one set of traits.
pub mod activity;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connection;
mod contain;
pub mod email;
pub mod error;
pub mod event;
pub mod health;
pub mod http;
#[cfg(feature = "oauth")]
pub mod hub;
pub mod ids;
pub mod oauth;
pub mod outbox;
pub mod page;
pub mod push;
pub mod secret;
pub mod store;
pub mod sync;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod vault;
#[cfg(feature = "axum")]
pub mod web;

pub use crate::error::{Error, ErrorKind, Result};
