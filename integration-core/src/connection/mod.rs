//! Who is connected: connector, grant, connection, and what the granted scopes allow.

mod capability;
mod connector;
mod model;

pub use capability::{Capability, ScopeRule, ScopeTable};
pub use connector::{
    AuthorisationStyle, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, TokenFailure,
    TokenFailureClass,
};
#[cfg(feature = "oauth")]
pub(crate) use model::no_longer_opened;
pub use model::{Connection, ConnectionStatus, Grant, GrantKind, GrantStatus, RemoteAccount};
