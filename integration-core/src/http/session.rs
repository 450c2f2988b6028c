//! Sessions: authorised, rate-limited, observed clients.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;

use super::{
    admission::{Admission, AdmissionKey},
    attempt::{Answer, Labels, Payload, Run, guarded},
    body::ByteStream,
    breaker::Breaker,
    call::{Call, Priority, Response},
    failure::{Failure, HttpFailure},
    retry::RetryPolicy,
    transport::Transport,
};
use crate::{
    clock::{Clock, Random},
    connection::{Connector, Identity, RemoteAccount},
    error::{Actor, Error, ErrorKind, Remedy, Result},
    ids::{AppId, ConnectionId, GrantId, TenantId},
    secret::SecretText,
    store::forbid_reentry,
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

    /// A token in place of `rejected` that meets the service's claims challenge. Absent: only a new authorisation meets one.
    ///
    /// # Errors
    /// `NeedsConsent`, the claims in its remedy, where the person has to meet it; otherwise as [`Credentials::access`].
    async fn meet(&self, rejected: &AccessToken, claims: &str) -> Result<AccessToken> {
        let _ = rejected;
        Err(consent_needed(claims))
    }
}

/// A challenge that only a new authorisation meets.
pub(super) fn consent_needed(claims: &str) -> Error {
    let cause = "The service asks for a further proof before it goes on.";
    let remedy = Remedy::new(cause, Actor::Person, "Connect the account again.").with_claims(claims);
    Error::new(ErrorKind::NeedsConsent, "the service asks for a new authorisation").with_remedy(remedy)
}

/// Everything a session is made of.
#[derive(Clone)]
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

impl SessionParts {
    /// Whose quota calls of this session are written to.
    #[must_use]
    pub fn admission_key(&self) -> AdmissionKey {
        let account = self.connection.as_ref().map(|(_, account)| account.id.clone());
        AdmissionKey::new(self.app.clone(), account, Some(self.grant.as_str().to_owned()))
    }
}

impl fmt::Debug for SessionParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Accounts carry addresses, and whatever makes tokens is better not asked to describe itself.
        f.debug_struct("SessionParts")
            .field("tenant", &self.tenant)
            .field("app", &self.app)
            .field("grant", &self.grant)
            .field("connection", &self.connection.as_ref().map(|(connection, _)| connection))
            .field("service", &self.connector.profile().service)
            .field("priority", &self.priority)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// An authorised, rate-limited, observed client for one connection; what providers are built on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Session {
    parts: Arc<SessionParts>,
    request_id_headers: Arc<[&'static str]>,
}

/// Where most services put their request id.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-request-id", "request-id"];

/// What one attempt may take unless the call says otherwise.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

impl Session {
    /// A session of its parts.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        Self { parts: Arc::new(parts), request_id_headers: Arc::new(REQUEST_ID_HEADERS) }
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
        Self { parts: Arc::new(parts), request_id_headers: Arc::clone(&self.request_id_headers) }
    }

    /// The same session; nothing is begun after `deadline`. `None` takes a deadline away.
    #[must_use]
    pub fn with_deadline(&self, deadline: Option<DateTime<Utc>>) -> Self {
        let mut parts = (*self.parts).clone();
        parts.deadline = deadline;
        Self { parts: Arc::new(parts), request_id_headers: Arc::clone(&self.request_id_headers) }
    }

    /// The same session reading the service's request id from the first of `headers` (lower case) that an answer has;
    /// `x-request-id` and `request-id` unless set.
    #[must_use]
    pub fn with_request_id_headers(mut self, headers: &[&'static str]) -> Self {
        self.request_id_headers = headers.into();
        self
    }

    /// Sends a call through the whole stack and returns the answer, whole.
    ///
    /// # Errors
    /// What the connector's error map makes of the answer; see the module for the order of the layers.
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if a call that must not be repeated may have taken effect.
    pub async fn send(&self, call: Call) -> Result<Response> {
        let answer = self.run(&call, false).await?;
        let Payload::Whole(body) = answer.payload else {
            return Err(Error::new(ErrorKind::Validation, "the answer was not read").with_operation(call.operation));
        };
        let service = self.parts.connector.profile().service;
        Ok(Response::new(call.operation, answer.status, answer.headers, body).with_service(service))
    }

    /// Tells the gate about a refused inner answer of a batch, and what the connector makes of it.
    pub async fn report(&self, inner: &HttpFailure<'_>) -> Failure {
        let failure = self.parts.connector.classify(inner);
        let held = match &failure {
            Failure::Throttled { until, scope, .. } => {
                Some((until.unwrap_or_else(|| self.parts.clock.now() + BATCH_BACKOFF), *scope))
            }
            Failure::Overloaded { until, scope, .. } => Some((*until, *scope)),
            _ => None,
        };
        if let Some((until, scope)) = held {
            self.parts.admission.throttled(&self.parts.admission_key(), scope, until).await;
        }
        failure
    }

    /// Sends a call and returns the answer's body as it arrives; repeated only before the first byte.
    ///
    /// The call keeps its concurrency slot until the stream ends or is dropped. The call's response cap holds for the whole
    /// stream, its timeout for every piece.
    ///
    /// # Errors
    /// As [`Session::send`]; a break in the middle comes through the stream.
    pub async fn stream(&self, call: Call) -> Result<ByteStream> {
        let answer = self.run(&call, true).await?;
        let timeout = call.timeout.unwrap_or(ATTEMPT_TIMEOUT);
        Ok(match answer.payload {
            Payload::Whole(body) => Box::pin(futures_util::stream::iter([Ok(body)])),
            Payload::Stream(body, permit) => {
                let labels = Labels { operation: call.operation, service: self.parts.connector.profile().service };
                guarded(body, permit, call.response_cap, timeout, Arc::clone(&self.parts.clock), labels)
            }
        })
    }

    /// The time an attempt may take by default.
    #[must_use]
    pub fn attempt_timeout(&self) -> Duration {
        ATTEMPT_TIMEOUT
    }

    async fn run(&self, call: &Call, streamed: bool) -> Result<Answer> {
        forbid_reentry("a call to a service")?;
        let parts = &*self.parts;
        let span = tracing::info_span!(
            "service_call",
            service = parts.connector.profile().service,
            connection = parts.connection.as_ref().map(|(connection, _)| connection.as_str()),
            operation = call.operation,
            attempt = tracing::field::Empty,
            request_id = tracing::field::Empty,
            status = tracing::field::Empty,
            cause = tracing::field::Empty,
        );
        let timeout = call.timeout.unwrap_or(ATTEMPT_TIMEOUT);
        let run = Run::new(parts, call, &self.request_id_headers, streamed, timeout);
        run.finish().instrument(span).await
    }
}

/// How long a batch's refused inner calls hold everyone, when the service names no time.
const BATCH_BACKOFF: TimeDelta = TimeDelta::seconds(2);

/// A session of a grant, before its accounts are known.
#[derive(Clone, Debug)]
pub struct GrantSession {
    session: Session,
    identity: Option<Identity>,
    named: Vec<String>,
}

impl GrantSession {
    /// A grant's session; `parts.connection` is `None`.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        Self { session: Session::new(parts), identity: None, named: Vec::new() }
    }

    /// With who signed in.
    #[must_use]
    pub fn with_identity(mut self, identity: Option<Identity>) -> Self {
        self.identity = identity;
        self
    }

    /// With the accounts that the host named.
    #[must_use]
    pub fn with_named(mut self, names: Vec<String>) -> Self {
        self.named = names;
        self
    }

    /// Who signed in, from the verified id token; `None` where nobody did, or the service has none.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The accounts that the host named, besides what the sign-in opens by itself; as it wrote them.
    #[must_use]
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &SessionParts {
        self.session.parts()
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn send(&self, call: Call) -> Result<Response> {
        self.session.send(call).await
    }
}
