//! What was asked, went over the wire and into the store, in order; and a transport that says it again.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Result,
    http::{Body, Transport, TransportError, TransportErrorKind},
    ids::{ItemKey, PartitionId},
    store::{CounterKey, LeaseGuard, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore},
    sync::{Cursor, Window},
};

/// Larger than any answer.
const CAP: usize = 1 << 30;

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Path and query.
    pub(crate) target: String,
    /// The request's body; a boundary in it differs from time to time, its length does not.
    pub(crate) asked: Bytes,
    answer: http::Response<Bytes>,
}

/// What the engine asked the feed for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Anchor(PartitionId),
    Changes(PartitionId, Cursor),
    Fetch(Vec<ItemKey>),
    Partitions(Option<Cursor>),
    Snapshot(PartitionId, Window, Option<Cursor>),
}

/// What happened next.
#[derive(Debug)]
pub(crate) enum Step {
    Ask(Ask),
    Call(Arc<Exchange>),
    /// A transaction: its rows, and whether it took a number.
    Commit(Vec<StateWrite>, Vec<CounterKey>),
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Step>,
}

impl Trace {
    /// The same answers; to what is asked several times, in the same order.
    pub(crate) fn replay(&self) -> Arc<dyn Transport> {
        let mut exchanges: HashMap<_, VecDeque<_>> = HashMap::new();
        for exchange in self.exchanges() {
            let asked = Asked { target: exchange.target.clone(), length: exchange.asked.len() };
            exchanges.entry(asked).or_default().push_back(Arc::clone(exchange));
        }
        Arc::new(Replay { exchanges: Mutex::new(exchanges) })
    }

    fn exchanges(&self) -> impl Iterator<Item = &Arc<Exchange>> {
        self.steps.iter().filter_map(|step| match step {
            Step::Call(exchange) => Some(exchange),
            Step::Ask(_) | Step::Commit(..) => None,
        })
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.exchanges().map(|exchange| exchange.answer.body().len()).sum();
        let commits = self.steps.iter().filter_map(|step| match step {
            Step::Commit(writes, _) => Some(writes.len()),
            Step::Ask(_) | Step::Call(_) => None,
        });
        let (calls, transactions, rows) = (self.exchanges().count(), commits.clone().count(), commits.sum::<usize>());
        write!(f, "recorded: {calls} answers of {} MB, {rows} writes in {transactions} transactions", bytes / 1_000_000)
    }
}

/// Where steps are written down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Step>>>);

impl Recorder {
    pub(crate) fn transport(&self, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(RecordingTransport { inner, recorder: self.clone() })
    }

    pub(crate) fn store(&self, inner: Arc<dyn SyncStore>) -> Arc<dyn SyncStore> {
        Arc::new(RecordingStore { inner, recorder: self.clone() })
    }

    pub(crate) fn finish(self) -> Trace {
        Trace { steps: std::mem::take(&mut *self.0.lock().unwrap()) }
    }

    pub(crate) fn write(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

#[derive(Debug)]
struct RecordingTransport {
    inner: Arc<dyn Transport>,
    recorder: Recorder,
}

#[async_trait]
impl Transport for RecordingTransport {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        let target = target(&request);
        let (head, body) = request.into_parts();
        let asked = body.collect(CAP).await?;
        let answer = self.inner.execute(http::Request::from_parts(head, Body::from(asked.clone()))).await?;
        let (head, body) = answer.into_parts();
        let answer = http::Response::from_parts(head, body.collect(CAP).await?);
        let exchange = Exchange { target, asked, answer };
        let answer = again(&exchange);
        self.recorder.write(Step::Call(Arc::new(exchange)));
        Ok(answer)
    }
}

fn target(request: &http::Request<Body>) -> String {
    request.uri().path_and_query().map(ToString::to_string).unwrap_or_default()
}

fn again(exchange: &Exchange) -> http::Response<Body> {
    let mut answer = http::Response::new(Body::from(exchange.answer.body().clone()));
    *answer.status_mut() = exchange.answer.status();
    *answer.headers_mut() = exchange.answer.headers().clone();
    answer
}

#[derive(Debug)]
struct Replay {
    /// Partitions are asked at the same time, in no order of their own.
    exchanges: Mutex<HashMap<Asked, VecDeque<Arc<Exchange>>>>,
}

/// What tells requests apart.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Asked {
    target: String,
    /// Of the body.
    length: usize,
}

#[async_trait]
impl Transport for Replay {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        let length = request.body().as_bytes().map_or(0, Bytes::len);
        let asked = Asked { target: target(&request), length };
        let exchange = self.exchanges.lock().unwrap().get_mut(&asked).and_then(VecDeque::pop_front);
        exchange.map(|exchange| again(&exchange)).ok_or_else(|| {
            let message = format!("not what was recorded: {}", target(&request));
            TransportError::new(TransportErrorKind::Request, message)
        })
    }
}

#[derive(Debug)]
struct RecordingStore {
    inner: Arc<dyn SyncStore>,
    recorder: Recorder,
}

#[async_trait]
impl SyncStore for RecordingStore {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.inner.read(query).await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        let inner = self.inner.begin(guard).await?;
        Ok(Box::new(RecordingTransaction {
            inner,
            recorder: self.recorder.clone(),
            writes: Vec::new(),
            numbered: Vec::new(),
        }))
    }
}

struct RecordingTransaction {
    inner: Box<dyn StoreTransaction>,
    recorder: Recorder,
    writes: Vec<StateWrite>,
    numbered: Vec<CounterKey>,
}

#[async_trait]
impl StoreTransaction for RecordingTransaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        self.writes.extend_from_slice(rows);
        self.inner.write(rows).await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        self.numbered.push(counter.clone());
        self.inner.next(counter).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, recorder, writes, numbered } = *self;
        inner.commit().await?;
        recorder.write(Step::Commit(writes, numbered));
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self.inner.as_any_mut()
    }
}
