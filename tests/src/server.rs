//! The way in over real HTTP/1.1.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, HeaderMap},
};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::{GoogleUrls, MicrosoftUrls, Sandbox, exchange::Delivery, transport::REQUEST_CAP};

/// A body as hyper sends it; an error in it breaks the connection.
type Outgoing = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// A sandbox that listens. Dropping it, or [`Served::shutdown`], closes every connection.
#[derive(Debug)]
pub struct Served {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Google's URLs.
    #[must_use]
    pub fn base_urls(&self) -> GoogleUrls {
        GoogleUrls::at(&format!("http://{}", self.addr)).expect("a socket address makes a URL")
    }

    /// Microsoft's URLs.
    #[must_use]
    pub fn microsoft_urls(&self) -> MicrosoftUrls {
        MicrosoftUrls::at(&format!("http://{}", self.addr)).expect("a socket address makes a URL")
    }

    /// Stops listening and waits until every connection is closed.
    pub async fn shutdown(mut self) {
        self.stop.take();
        let _ = (&mut self.task).await;
    }
}

impl Sandbox {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn serve(&self, addr: SocketAddr) -> io::Result<Served> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(self.clone(), listener, stopped));
        Ok(Served { addr, stop: Some(stop), task })
    }
}

/// Ends when the other half of `stopped` is dropped; connections end with it.
async fn accept(sandbox: Sandbox, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(sandbox.clone(), stream));
                }
                // For instance out of file descriptors: others may free some.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(sandbox: Sandbox, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(sandbox.clone(), request));
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(sandbox: Sandbox, request: Request<Incoming>) -> io::Result<Response<Outgoing>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_CAP).collect().await.map_err(io::Error::other)?.to_bytes();
    let broken = || io::Error::new(io::ErrorKind::ConnectionReset, "scripted");
    let (answer, frames) = match sandbox.exchange(Request::from_parts(parts, body)).await {
        Delivery::Broken => return Err(broken()),
        Delivery::Whole(answer) => {
            let frame = (!answer.body().is_empty()).then(|| Ok(Frame::data(answer.body().clone())));
            (answer, stream::iter(frame).boxed())
        }
        Delivery::Truncated(answer, length) => {
            let half = stream::iter([Ok(Frame::data(answer.body().slice(..length)))]);
            let end = stream::once(async move {
                // The server only writes what it has once the body makes it wait.
                tokio::task::yield_now().await;
                Err(broken())
            });
            (answer, half.chain(end).boxed())
        }
    };
    let (mut parts, body) = answer.into_parts();
    if parts.status != StatusCode::NO_CONTENT {
        declare_length(&mut parts.headers, body.len());
    }
    Ok(Response::from_parts(parts, StreamBody::new(frames)))
}

fn declare_length(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}
