//! What a service's refusal means: decided once per connector, before any provider code runs.

use std::fmt;

use chrono::{DateTime, Utc};

use super::quota::QuotaScope;
use crate::error::Error;

/// An answer that is not a success, as a connector's error map sees it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct HttpFailure<'a> {
    /// The operation that was called; some statuses mean different things for different operations.
    pub operation: &'static str,
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: &'a http::HeaderMap,
    /// The body, capped; not necessarily JSON.
    pub body: &'a [u8],
    /// When it arrived.
    pub at: DateTime<Utc>,
}

impl fmt::Debug for HttpFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFailure")
            .field("operation", &self.operation)
            .field("status", &self.status.as_u16())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'a> HttpFailure<'a> {
    /// A failure from its parts.
    #[must_use]
    pub fn new(
        operation: &'static str,
        status: http::StatusCode,
        headers: &'a http::HeaderMap,
        body: &'a [u8],
        at: DateTime<Utc>,
    ) -> Self {
        Self { operation, status, headers, body, at }
    }

    /// The instant until which `Retry-After` asks to wait: seconds or an HTTP date.
    #[must_use]
    pub fn retry_after(&self) -> Option<DateTime<Utc>> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return self.at.checked_add_signed(chrono::TimeDelta::seconds(seconds.into()));
        }
        DateTime::parse_from_rfc2822(text).ok().map(|date| date.with_timezone(&Utc)).filter(|until| *until > self.at)
    }
}

/// What to do about a failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Repeating will not help.
    Final(Error),
    /// The service has more to do than it can, and says until when: everyone who shares the scope waits. Unlike
    /// [`Failure::Throttled`], the call may have taken effect.
    Overloaded {
        /// What to report when the attempts are spent.
        error: Error,
        /// Until when.
        until: DateTime<Utc>,
        /// Who has to wait.
        scope: QuotaScope,
    },
    /// Too much: wait, with everyone who shares the scope. Without `until`, back off.
    Throttled {
        /// What to report when the attempts are spent.
        error: Error,
        /// Until when, if the service said so.
        until: Option<DateTime<Utc>>,
        /// Who has to wait.
        scope: QuotaScope,
    },
    /// It may pass.
    Transient(Error),
    /// The credentials were not accepted.
    Unauthorised(Error, AuthAction),
}

/// What may mend refused credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthAction {
    /// The person has to meet a further condition; carries the service's claims for the new authorisation.
    Challenge(String),
    /// A fresh access token, then once more.
    Refresh,
}
