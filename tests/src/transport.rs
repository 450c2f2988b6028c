//! The way in without a socket.

use async_trait::async_trait;
use http::{Request, Response};
use integration_core::http::{Body, Transport, TransportError, TransportErrorKind};

use crate::{Sandbox, exchange::Delivery};

/// The largest request that is taken in.
pub(crate) const REQUEST_CAP: usize = 64 << 20;

/// Hands requests to a sandbox in the same process.
#[derive(Debug)]
pub(crate) struct SandboxTransport(Sandbox);

impl SandboxTransport {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self(sandbox)
    }
}

#[async_trait]
impl Transport for SandboxTransport {
    async fn execute(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let (parts, body) = request.into_parts();
        let body = body.collect(REQUEST_CAP).await?;
        let broken = || TransportError::new(TransportErrorKind::Interrupted, "the connection broke");
        match self.0.exchange(Request::from_parts(parts, body)).await {
            Delivery::Broken => Err(broken()),
            Delivery::Whole(answer) => Ok(answer.map(Body::from)),
            Delivery::Truncated(answer, length) => {
                Ok(answer
                    .map(|body| Body::stream(futures_util::stream::iter([Ok(body.slice(..length)), Err(broken())]))))
            }
        }
    }
}
