//! Who is connected: connector, grant, connection, and what the granted scopes allow.

mod capability;
mod connector;
mod model;

pub use capability::{Capability, ScopeRule, ScopeTable};
pub use connector::{
    AuthorisationStyle, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, TokenFailure,
    TokenFailureClass,
};
pub use model::{Connection, ConnectionStatus, Grant, GrantKind, GrantStatus, RemoteAccount};
