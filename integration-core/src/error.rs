//! The one error type of the crate family.
//!
//! An [`Error`] says what kind of failure it is, where it happened, whether the same call may succeed later, and —
//! where somebody has to act — who and how ([`Remedy`]). No token, body or address is ever part of its text.

use std::{error::Error as StdError, fmt, time::Duration};

/// A result with the family's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words every service shares.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An administrator's policy at the service forbids it.
    AdminPolicy,
    /// The stored or remote version is not the expected one; read again and decide.
    Conflict,
    /// The service no longer accepts this cursor; a new snapshot is needed.
    CursorExpired,
    /// What was to be created exists already.
    Duplicate,
    /// The caller's input was refused before or by the service.
    InvalidInput,
    /// The host's or the app's configuration is wrong; users can do nothing about it.
    Misconfigured,
    /// The grant does not cover the scope this call needs.
    MissingScope,
    /// The person (or an administrator) has to consent first.
    NeedsConsent,
    /// The service has no such thing (any more).
    NotFound,
    /// The call may or may not have taken effect.
    OutcomeUnknown,
    /// The service says that this account may not do this.
    PermissionDenied,
    /// A long-term quota (a day, a month) is used up.
    QuotaExhausted,
    /// Too many calls for now.
    RateLimited,
    /// The grant is definitely dead; the person has to sign in again.
    ReauthorisationNeeded,
    /// The host's storage failed.
    Store,
    /// No answer in time.
    Timeout,
    /// The connection to the service failed.
    Transport,
    /// The service failed or is down.
    Unavailable,
    /// This provider, feed or connector does not do that.
    Unsupported,
    /// An answer or an item could not be understood.
    Validation,
}

impl ErrorKind {
    /// A stable lower-case word for logs, metrics and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminPolicy => "admin_policy",
            Self::Conflict => "conflict",
            Self::CursorExpired => "cursor_expired",
            Self::Duplicate => "duplicate",
            Self::InvalidInput => "invalid_input",
            Self::Misconfigured => "misconfigured",
            Self::MissingScope => "missing_scope",
            Self::NeedsConsent => "needs_consent",
            Self::NotFound => "not_found",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::PermissionDenied => "permission_denied",
            Self::QuotaExhausted => "quota_exhausted",
            Self::RateLimited => "rate_limited",
            Self::ReauthorisationNeeded => "reauthorisation_needed",
            Self::Store => "store",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Validation => "validation",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().replace('_', " "))
    }
}

/// May the same call succeed later without anyone acting?
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Retry {
    /// It was temporary, and our own attempts are spent: leave the next try to the schedule.
    Exhausted,
    /// No: something has to change first.
    Never,
    /// Yes.
    Temporary,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// An administrator of the account's organisation at the service.
    Administrator,
    /// Nobody: it passes by itself.
    Nobody,
    /// Whoever runs the host and registered the app.
    Operator,
    /// The person whose account it is.
    Person,
}

/// Why something stopped, who acts, and what to do.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Remedy {
    /// The cause, in one plain sentence.
    pub cause: String,
    /// Who has to act.
    pub actor: Actor,
    /// What that one does, in one plain sentence.
    pub action: String,
    /// The service's claims challenge, where it made one: to be passed on with the new authorisation, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
}

/// A longer challenge fits into no address.
const CLAIMS_CAP: usize = 4096;

impl Remedy {
    /// A remedy from its three parts.
    pub fn new(cause: impl Into<String>, actor: Actor, action: impl Into<String>) -> Self {
        Self { cause: cause.into(), actor, action: action.into(), claims: None }
    }

    /// With a claims challenge; an empty one, or one too long for an address, is left out.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into()).filter(|claims| (1..=CLAIMS_CAP).contains(&claims.len()));
        self
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cause, self.action)
    }
}

/// A failure, small and without secrets.
///
/// `Display` is one line (`send at example: rate limited (retry after 30s)`); causes go through
/// [`source`](StdError::source) and are not repeated in the text.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: Option<&'static str>,
    service: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    given_up: bool,
    never_sent: bool,
    remedy: Option<Remedy>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message that names what is wrong and, where possible, what to do.
    ///
    /// Whether it is retryable follows from the kind; [`Error::with_retry`] overrides that.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::RateLimited | ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Unavailable => {
                Retry::Temporary
            }
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            retry,
            operation: None,
            service: None,
            request_id: None,
            retry_after: None,
            given_up: false,
            never_sent: false,
            remedy: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Names the operation (`mail.messages.get`).
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Names the service or app.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<String>) -> Self {
        self.0.service = Some(service.into());
        self
    }

    /// Keeps the service's request id, for its support.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Overrides whether it is worth repeating.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Keeps the wait the service asked for.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Says whether the call was given up before its end.
    #[must_use]
    pub(crate) fn with_given_up(mut self, given_up: bool) -> Self {
        self.0.given_up = given_up;
        self
    }

    /// Says whether the call was never let go.
    #[must_use]
    pub(crate) fn with_never_sent(mut self, never_sent: bool) -> Self {
        self.0.never_sent = never_sent;
        self
    }

    /// Says who has to act and how.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.remedy = Some(remedy);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// May the same call succeed later without anyone acting? False once our own retries are spent.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.retry == Retry::Temporary
    }

    /// The three-valued form of [`Error::retryable`].
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The wait the service asked for, if it named one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Was the call given up before its end: by a gateway of the service (502, 503, 504), or by us after all the time that
    /// an attempt has? What asks for less may come through then. Never true where we did not let the call go at all: past
    /// our own deadline, behind an open breaker, without a token, or where the service said how long to wait (429, 503).
    #[must_use]
    pub fn was_given_up(&self) -> bool {
        self.0.given_up
    }

    /// Was the call never let go: because the time for the work was over, the breaker open, or no token there? It says nothing
    /// about what was to be asked for then, had no effect, and is safe to repeat.
    #[must_use]
    pub fn was_never_sent(&self) -> bool {
        self.0.never_sent
    }

    /// The operation that failed, if known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The service or app it happened at, if any.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.0.service.as_deref()
    }

    /// The service's request id, if it gave one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Who has to act and how, if anyone.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy.as_ref()
    }

    /// The message alone, without operation, service and kind.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.operation, self.0.service.as_deref()) {
            (Some(operation), Some(service)) => write!(f, "{operation} at {service}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(service)) => write!(f, "{service}: ")?,
            (None, None) => {}
        }
        write!(f, "{}", self.0.kind)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        if let Some(wait) = self.0.retry_after {
            write!(f, " (retry after {}s)", wait.as_secs())?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
