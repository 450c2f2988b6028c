//! The door to the network.

use std::fmt;

use async_trait::async_trait;

use super::body::Body;

/// Sends one request and returns the answer's head with its body unread.
///
/// Implementations follow no redirects, keep no cookies, decompress transparently or not at all, and never log headers
/// or bodies. The bundled one is [`ReqwestTransport`](super::ReqwestTransport) (feature `reqwest`); the sandbox has one that
/// needs no socket.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request`. Dropping the future abandons the call; it may still have taken effect.
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError>;
}

/// How a transport failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The request cannot have reached the service (no address, refused, TLS).
    Connect,
    /// The connection broke after the request may have arrived.
    Interrupted,
    /// The request itself could not be sent (bad URL, bad header).
    Request,
    /// No answer in time; the request may have arrived.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
}

/// A transport's failure; says whether the request may have taken effect, and names no URL.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TransportError {
    /// A failure of `kind`.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the cause. It must not carry a URL with secrets in it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// May the request have taken effect at the service?
    #[must_use]
    pub fn may_have_taken_effect(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Interrupted | TransportErrorKind::Timeout | TransportErrorKind::TooLarge
        )
    }
}
