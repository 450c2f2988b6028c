//! A transport that answers from a script.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::http::{Body, Transport, TransportError, TransportErrorKind};

/// A request as it reached the transport.
#[derive(Clone)]
#[non_exhaustive]
pub struct SeenRequest {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl SeenRequest {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

type Matcher = Box<dyn Fn(&SeenRequest) -> bool + Send + Sync>;

enum Reply {
    Answer(StatusCode, HeaderMap, Vec<Result<Bytes, TransportErrorKind>>),
    Fail(TransportErrorKind),
    Hang,
}

/// One expected request and what comes back: 200 without a body unless set.
pub struct Step {
    method: Method,
    path: String,
    matchers: Vec<Matcher>,
    headers: HeaderMap,
    reply: Reply,
    delay: Duration,
}

impl Step {
    /// Expects `method` on `path` (without the query).
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            matchers: Vec::new(),
            headers: HeaderMap::new(),
            reply: Reply::Answer(StatusCode::OK, HeaderMap::new(), Vec::new()),
            delay: Duration::ZERO,
        }
    }

    /// Expects a GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Expects a POST.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    /// Expects more of the request.
    #[must_use]
    pub fn matching(mut self, matcher: impl Fn(&SeenRequest) -> bool + Send + Sync + 'static) -> Self {
        self.matchers.push(Box::new(matcher));
        self
    }

    /// Expects a query parameter.
    #[must_use]
    pub fn with_query(self, name: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.matching(move |seen| seen.query(name).as_deref() == Some(&value))
    }

    /// Answers with a status and a body.
    #[must_use]
    pub fn answers(mut self, status: u16, body: impl Into<Bytes>) -> Self {
        self.reply = Reply::Answer(status_code(status), HeaderMap::new(), vec![Ok(body.into())]);
        self
    }

    /// Answers with a status and JSON.
    #[must_use]
    pub fn answers_json(self, status: u16, body: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_else(|error| panic!("the script's JSON: {error}"));
        self.answers(status, body).with_header("content-type", "application/json")
    }

    /// Answers with a body in pieces; an `Err` breaks it there.
    #[must_use]
    pub fn answers_pieces(mut self, status: u16, pieces: Vec<Result<Bytes, TransportErrorKind>>) -> Self {
        self.reply = Reply::Answer(status_code(status), HeaderMap::new(), pieces);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or_else(|_| panic!("the script's header {name}"));
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// Fails instead of answering.
    #[must_use]
    pub fn fails(mut self, kind: TransportErrorKind) -> Self {
        self.reply = Reply::Fail(kind);
        self
    }

    /// Never answers.
    #[must_use]
    pub fn hangs(mut self) -> Self {
        self.reply = Reply::Hang;
        self
    }

    /// Waits before it answers, on the runtime's clock.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn expects(&self, seen: &SeenRequest) -> bool {
        self.method == seen.method && self.path == seen.url.path() && self.matchers.iter().all(|matcher| matcher(seen))
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or_else(|_| panic!("the script's status {status}"))
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Answers requests from a script, in order, and remembers them. A request that is not next in the script panics, in the
/// task that sent it and again in [`finish`](Self::finish).
#[derive(Debug, Default)]
pub struct ScriptedTransport {
    state: Mutex<State>,
    any_order: bool,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    seen: Vec<SeenRequest>,
    unexpected: Vec<String>,
}

impl ScriptedTransport {
    /// A script.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let state = State { steps: steps.into_iter().collect(), ..State::default() };
        Self { state: Mutex::new(state), any_order: false }
    }

    /// Takes the first matching step instead of the next one; for calls made at the same time.
    #[must_use]
    pub fn in_any_order(mut self) -> Self {
        self.any_order = true;
        self
    }

    /// Adds a step.
    pub fn push(&self, step: Step) {
        self.lock().steps.push_back(step);
    }

    /// What was sent so far.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.lock().seen.clone()
    }

    /// Checks that the whole script was played and nothing else was sent.
    ///
    /// # Panics
    /// If not.
    pub fn finish(&self) {
        let state = self.lock();
        assert!(state.unexpected.is_empty(), "requests outside the script: {:?}", state.unexpected);
        assert!(state.steps.is_empty(), "never requested: {:?}", state.steps);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, seen: SeenRequest) -> Step {
        let mut state = self.lock();
        let range = if self.any_order { state.steps.len() } else { state.steps.len().min(1) };
        let at = state.steps.iter().take(range).position(|step| step.expects(&seen));
        if let Some(step) = at.and_then(|at| state.steps.remove(at)) {
            state.seen.push(seen);
            return step;
        }
        let next = state.steps.front().map_or_else(|| "nothing".to_owned(), |step| format!("{step:?}"));
        let message = format!("{seen:?} where the script expects {next}");
        state.unexpected.push(message.clone());
        drop(state);
        panic!("{message}");
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())
            .map_err(|_| TransportError::new(TransportErrorKind::Request, "the URL is not absolute"))?;
        let body = body.collect(usize::MAX).await?;
        let step = self.take(SeenRequest { method: head.method, url, headers: head.headers, body });
        if !step.delay.is_zero() {
            tokio::time::sleep(step.delay).await;
        }
        match step.reply {
            Reply::Hang => std::future::pending().await,
            Reply::Fail(kind) => Err(TransportError::new(kind, "scripted failure")),
            Reply::Answer(status, mut headers, mut pieces) => {
                headers.extend(step.headers);
                let body = match pieces.as_mut_slice() {
                    [] => Body::default(),
                    [Ok(whole)] => Body::from(std::mem::take(whole)),
                    _ => {
                        let broken = |kind| TransportError::new(kind, "scripted break");
                        Body::stream(futures_util::stream::iter(pieces).map(move |piece| piece.map_err(broken)))
                    }
                };
                let mut response = http::Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Ok(response)
            }
        }
    }
}
