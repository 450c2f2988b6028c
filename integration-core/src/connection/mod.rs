//! Who is connected: connector, grant, connection, and what the granted scopes allow.

mod capability;
mod connector;
mod identity;
mod model;
mod organisation;

pub use capability::{Capability, ScopeRule, ScopeTable};
pub use connector::{
    AuthorisationStyle, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, TokenFailure,
    TokenFailureClass,
};
pub use identity::Identity;
#[cfg(feature = "oauth")]
pub(crate) use model::no_longer_opened;
pub use model::{Connection, ConnectionStatus, Grant, GrantKind, GrantStatus, RemoteAccount};
pub use organisation::{AdminConsentEndpoint, TenantIssuers};
