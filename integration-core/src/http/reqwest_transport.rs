//! The bundled transport.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::{
    body::Body,
    transport::{Transport, TransportError, TransportErrorKind},
};
use crate::error::{Error, ErrorKind, Result};

/// Some services compress only for clients that say "gzip" here as well.
const USER_AGENT: &str = "integration/0.1 (gzip)";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/1.1 and HTTP/2 over rustls, on `reqwest`.
///
/// Follows no redirects (credentials never travel to another host), keeps no cookies, sends no referer, retries nothing by
/// itself. Answers are decompressed as they are read, so that a cap on the body is a cap on what it unpacks to.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: reqwest::Client,
}

impl ReqwestTransport {
    /// A transport with its own connection pool; share it.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if the platform's TLS cannot be set up.
    pub fn new() -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| {
                Error::new(
                    ErrorKind::Misconfigured,
                    "the HTTP client could not be built; are CA certificates installed?",
                )
                .with_source(error.without_url())
            })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        let (head, body) = request.into_parts();
        let url = reqwest::Url::parse(&head.uri.to_string())
            .map_err(|_| TransportError::new(TransportErrorKind::Request, "the URL is not absolute"))?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        *request.body_mut() = outgoing(body);
        let answer = self.client.execute(request).await.map_err(failure)?;
        let mut response = http::Response::new(Body::default());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = Body::stream(answer.bytes_stream().map_err(failure));
        Ok(response)
    }
}

fn outgoing(body: Body) -> Option<reqwest::Body> {
    if body.is_empty() {
        return None;
    }
    Some(match body.as_bytes() {
        Some(bytes) => bytes.clone().into(),
        None => reqwest::Body::wrap_stream(body.into_stream()),
    })
}

fn failure(error: reqwest::Error) -> TransportError {
    let (kind, message) = if error.is_builder() {
        (TransportErrorKind::Request, "the request could not be built")
    } else if error.is_connect() {
        (TransportErrorKind::Connect, "no connection to the service")
    } else if error.is_timeout() {
        (TransportErrorKind::Timeout, "no answer in time")
    } else if error.is_decode() {
        (TransportErrorKind::Interrupted, "the answer could not be unpacked, or broke off")
    } else {
        (TransportErrorKind::Interrupted, "the connection broke")
    };
    TransportError::new(kind, message).with_source(error.without_url())
}
