//! A web server on loopback, for the examples that are one side of a browser or of a service.

use std::{convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

/// What a request may weigh.
const LARGEST_REQUEST: usize = 1 << 20;

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens on `addr` (port 0 takes a free one) and answers every request with `handler`.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start<H, F>(addr: SocketAddr, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handler = handler.clone();
                let service = service_fn(move |request| answer(handler.clone(), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, task })
    }

    /// Its origin, `http://127.0.0.1:PORT/`.
    ///
    /// # Panics
    /// Never: a socket's address makes a URL.
    #[must_use]
    pub fn origin(&self) -> Url {
        Url::parse(&format!("http://{}/", self.addr)).expect("a socket's address makes a URL")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer<H, F>(handler: H, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (parts, body) = request.into_parts();
    let answer = match Limited::new(body, LARGEST_REQUEST).collect().await {
        Ok(body) => handler(Request::from_parts(parts, body.to_bytes())).await,
        Err(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
    };
    Ok(answer.map(Full::new))
}

/// An answer without a body.
#[must_use]
pub fn status(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// An answer with a body of this media type.
#[must_use]
pub fn content(code: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = status(code).map(|_| body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Sends the browser to `url`.
#[must_use]
pub fn redirect(url: &Url) -> Response<Bytes> {
    let mut answer = status(StatusCode::FOUND);
    if let Ok(url) = HeaderValue::from_str(url.as_str()) {
        answer.headers_mut().insert(header::LOCATION, url);
    }
    answer
}

/// The first value of a parameter in a query or a form.
#[must_use]
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
