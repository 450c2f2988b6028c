//! Gmail for the integration crate family.
//!
//! [`Google`] is the connector; hand it to the hub. One [`GoogleConfig`] is one client registration, with every address
//! settable ([`GoogleEndpoints`]) and the quota as a preset ([`GmailQuota`]).
//!
//! Scopes: reading needs `gmail.readonly`, sending `gmail.send`, moving and labelling `gmail.modify`. All but sending are
//! *restricted* at Google: an app for other people's accounts is reviewed every year.
//!
//! ```
//! use integration_google::{GmailQuota, Google, GoogleConfig};
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
pub use quota::{GmailCosts, GmailQuota, GmailQuotaOverrides};
