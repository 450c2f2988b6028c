//! One call: the request, what it costs, and whether it may be repeated.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

crate::opaque_id! {
    /// A key by which a service recognises a repeated call.
    IdempotencyKey
}

/// What a call takes from the quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// Units of the service's cost table.
    pub units: u32,
    /// Calls as the service counts them: for a batch, the inner ones.
    pub calls: u32,
    /// Concurrency slots it occupies while in flight: for a batch, the inner calls.
    pub slots: u32,
    /// Bytes that it carries, for services that limit those; 0 unless set.
    pub uploaded: u64,
}

impl Cost {
    /// One call of `units`.
    #[must_use]
    pub const fn units(units: u32) -> Self {
        Self { units, calls: 1, slots: 1, uploaded: 0 }
    }

    /// A batch of `calls` inner calls of `units` each.
    #[must_use]
    pub const fn batch(calls: u32, units: u32) -> Self {
        Self { units: calls * units, calls, slots: calls, uploaded: 0 }
    }

    /// Carries so many bytes.
    #[must_use]
    pub const fn with_uploaded(mut self, bytes: u64) -> Self {
        self.uploaded = bytes;
        self
    }
}

/// Who goes first when quota is short.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Priority {
    /// A person waits for the answer.
    Interactive,
    /// New items: the head of a feed.
    Live,
    /// History: paced evenly below the quota, so that the other two always find room.
    #[default]
    Background,
}

/// Whether repeating the call is safe; an input, never guessed from the HTTP method.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Repeat {
    /// It may have taken effect: never repeat after the request could have arrived.
    #[default]
    Never,
    /// Repeating changes nothing.
    Safe,
    /// Repeating with this key changes nothing; the key is in the request already.
    SafeWithKey(IdempotencyKey),
}

/// A call to a service.
#[derive(Clone)]
pub struct Call {
    pub(crate) operation: &'static str,
    pub(crate) request: http::Request<Bytes>,
    pub(crate) cost: Cost,
    pub(crate) repeat: Repeat,
    pub(crate) priority: Option<Priority>,
    pub(crate) response_cap: usize,
    pub(crate) authorised: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<u32>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Queries, headers and bodies hold tokens and mail.
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("method", self.request.method())
            .field("cost", &self.cost)
            .field("repeat", &self.repeat)
            .field("body_bytes", &self.request.body().len())
            .finish_non_exhaustive()
    }
}

/// What an answer may weigh unless the call says otherwise.
const DEFAULT_RESPONSE_CAP: usize = 32 * 1024 * 1024;

impl Call {
    /// A call named `operation` (`mail.messages.get`), for spans, metrics and errors.
    #[must_use]
    pub fn new(operation: &'static str, request: http::Request<Bytes>, cost: Cost, repeat: Repeat) -> Self {
        Self {
            operation,
            request,
            cost,
            repeat,
            priority: None,
            response_cap: DEFAULT_RESPONSE_CAP,
            authorised: true,
            timeout: None,
            attempts: None,
        }
    }

    /// Overrides the session's priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The largest answer accepted, in bytes after decompression; 32 MiB unless set.
    #[must_use]
    pub fn with_response_cap(mut self, bytes: usize) -> Self {
        self.response_cap = bytes;
        self
    }

    /// Sends no `Authorization` header (pre-signed upload URLs). The host must be in the connector's profile all the same.
    #[must_use]
    pub fn without_auth(mut self) -> Self {
        self.authorised = false;
        self
    }

    /// The time one attempt may take; 60 s unless set.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives up after so many attempts that were given up before their end ([`Error::was_given_up`]), where the session's
    /// policy would make more; being told to wait, and a connection that breaks, are repeated as ever. For callers that ask
    /// for less instead: what fails so is not held against the connection.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The name of the operation.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The request as built.
    #[must_use]
    pub fn request(&self) -> &http::Request<Bytes> {
        &self.request
    }

    /// What it takes from the quota.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether it may be repeated.
    #[must_use]
    pub fn repeat(&self) -> &Repeat {
        &self.repeat
    }
}

/// A successful answer (2xx), its body whole and within the cap.
#[derive(Clone)]
#[non_exhaustive]
pub struct Response {
    /// The operation it answers.
    pub operation: &'static str,
    /// Whose answer it is, for errors; `None`: nobody said.
    pub service: Option<&'static str>,
    /// The status, 2xx (or 304, 308 where a protocol uses them).
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("operation", &self.operation)
            .field("status", &self.status.as_u16())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Response {
    /// An answer from its parts; for tests and for transports of one's own.
    #[must_use]
    pub fn new(operation: &'static str, status: http::StatusCode, headers: http::HeaderMap, body: Bytes) -> Self {
        Self { operation, service: None, status, headers, body }
    }

    /// Says whose answer it is.
    #[must_use]
    pub fn with_service(mut self, service: &'static str) -> Self {
        self.service = Some(service);
        self
    }

    /// Decodes the body as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] with the position, never with the text.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("the answer is not the expected JSON (line {line}, column {column})");
            let error = Error::new(ErrorKind::Validation, message).with_operation(self.operation);
            self.service.into_iter().fold(error, Error::with_service)
        })
    }
}
