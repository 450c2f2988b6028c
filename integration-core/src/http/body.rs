//! Request and response bodies: whole, or as a stream.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt};

use super::transport::{TransportError, TransportErrorKind};
use crate::error::Error;

/// A stream of bytes whose failures are the family's errors.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// A body on its way through a [`Transport`](super::Transport).
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Chunks),
}

impl Body {
    /// A body that arrives piece by piece.
    pub fn stream(chunks: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(chunks)))
    }

    /// Is there nothing in it, as far as known before reading?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kind::Empty)
    }

    /// The whole body if it is in memory already, without copying.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Full(bytes) => Some(bytes),
            Kind::Empty | Kind::Stream(_) => None,
        }
    }

    /// The body as pieces.
    #[must_use]
    pub fn into_stream(self) -> Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>> {
        match self.0 {
            Kind::Empty => futures_util::stream::empty().boxed(),
            Kind::Full(bytes) => futures_util::stream::iter([Ok(bytes)]).boxed(),
            Kind::Stream(chunks) => chunks,
        }
    }

    /// Reads the whole body, up to `cap` bytes.
    ///
    /// # Errors
    /// [`TransportErrorKind::TooLarge`] once more than `cap` bytes came; otherwise what the transport reports.
    pub async fn collect(self, cap: usize) -> Result<Bytes, TransportError> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(bytes) if bytes.len() <= cap => Ok(bytes),
            Kind::Full(_) => Err(TransportError::too_large(cap)),
            Kind::Stream(mut chunks) => {
                let mut whole = Vec::new();
                while let Some(chunk) = chunks.try_next().await? {
                    if whole.len() + chunk.len() > cap {
                        return Err(TransportError::too_large(cap));
                    }
                    whole.extend_from_slice(&chunk);
                }
                Ok(whole.into())
            }
        }
    }
}

impl TransportError {
    fn too_large(cap: usize) -> Self {
        Self::new(TransportErrorKind::TooLarge, format!("the body is larger than {cap} bytes"))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::default() } else { Self(Kind::Full(bytes)) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold mail and tokens: only their size is ever shown.
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}
