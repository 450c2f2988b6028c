//! Gmail for the integration crate family.
//!
//! [`Google`] is the connector; hand it to the hub. Scopes: reading needs `gmail.readonly` (restricted: an app for others
//! is reviewed by Google every year), sending `gmail.send`, labels `gmail.modify`.
//!
//! ```
//! use integration_google::{Google, GoogleConfig, GmailQuota};
//!
//! let google = Google::new(GoogleConfig::desktop("my-client-id").with_quota(GmailQuota::Gmail2026))?;
//! # let _ = google;
//! # Ok::<(), integration_core::Error>(())
//! ```

mod batch;
mod client;
mod config;
mod connector;
mod error;
pub mod gmail;
mod quota;

pub use config::{ClientKind, GoogleConfig, GoogleEndpoints};
pub use connector::Google;
pub use quota::GmailQuota;
