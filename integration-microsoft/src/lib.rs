//! Outlook for the integration crate family, over Microsoft Graph.
//!
//! [`Microsoft`] is the connector; hand it to the hub. One [`MicrosoftConfig`] is one client registration in one [`Cloud`],
//! with every address settable ([`MicrosoftEndpoints`]), the people it is for ([`TenantKind`]) and the quota as a preset
//! ([`OutlookQuota`]).
//!
//! Scopes: reading needs `Mail.Read`, moving and drafts `Mail.ReadWrite`, sending `Mail.Send` and `Mail.ReadWrite`. In organisations that let
//! Microsoft manage consent (all new ones), people cannot allow the reading ones by themselves: an administrator has to allow
//! the app first (`Hub::request_admin_consent`).
//!
//! ```
//! use integration_microsoft::{Microsoft, MicrosoftConfig, TenantKind};
//!
//! let config = MicrosoftConfig::web("my-client-id", "my-secret").with_tenant(TenantKind::Organizations);
//! let microsoft = Microsoft::new(config)?;
//! # let _ = microsoft;
//! # Ok::<(), integration_core::Error>(())
//! ```

mod batch;
mod client;
mod config;
mod connector;
mod error;
pub mod outlook;
mod quota;
mod who;

pub use config::{
    ClientKind, Cloud, ContinuousAccess, Credential, MicrosoftConfig, MicrosoftEndpoints, SharedMailboxes, TenantKind,
};
pub use connector::Microsoft;
pub use quota::{OutlookQuota, OutlookQuotaOverrides};
