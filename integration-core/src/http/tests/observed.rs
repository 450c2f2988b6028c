//! What logs and metrics say about a call, and what they must not say.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tracing_subscriber::fmt::MakeWriter;
use url::Url;

use crate::{
    connection::RemoteAccount,
    http::{Call, Cost, Repeat, Session},
    testing::{PlainConnector, ScriptedTransport, Step, test_session},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const BASE: &str = "https://api.example";

impl Lines {
    /// Everything said on this thread from now on, at the finest level.
    async fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        // A place in the code that another test's thread meets for the first time in this very moment could miss that
        // somebody listens now, and stay silent: what is to be heard has been met before.
        session(script(), BASE).send(call(BASE)).await.unwrap_err();
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let guard = tracing::subscriber::set_default(subscriber.with_writer(lines.clone()).finish());
        tracing::callsite::rebuild_interest_cache();
        (lines, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn call(base: &str) -> Call {
    let request = http::Request::post(format!("{base}/items?pageToken=canary-query"));
    let request = request.header("x-secret", "canary-header").body(Bytes::from_static(b"canary-body")).unwrap();
    Call::new("plain.items.list", request, Cost::units(5), Repeat::Safe)
}

fn session(transport: Arc<dyn crate::http::Transport>, base: &str) -> Session {
    let account = RemoteAccount::new("account", "canary@customer.example").with_address("canary@customer.example");
    let connector = PlainConnector::new(&Url::parse(base).unwrap());
    test_session(transport, Arc::new(connector)).with_account("connection-9", account).build()
}

fn nothing_secret_in(text: &str) {
    for secret in ["canary", "token-1", "token-2", "Bearer"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

fn script() -> Arc<ScriptedTransport> {
    Arc::new(ScriptedTransport::new([
        Step::post("/items").answers(503, "canary-answer"),
        Step::post("/items").answers(404, "canary-answer").with_header("x-request-id", "r-42"),
    ]))
}

#[tokio::test(start_paused = true)]
async fn the_log_explains_a_failed_call_on_its_own_and_tells_no_secret() {
    let (lines, _guard) = Lines::capture().await;
    session(script(), BASE).send(call(BASE)).await.unwrap_err();
    let text = lines.text();
    let last = text.lines().last().unwrap();
    for part in [
        "service=\"plain\"",
        "connection=\"connection-9\"",
        "operation=\"plain.items.list\"",
        "attempt=2",
        "status=404",
        "request_id=\"r-42\"",
        "cause=\"not_found\"",
    ] {
        assert!(last.contains(part), "{part} in\n{text}");
    }
    nothing_secret_in(&text);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_bundled_transport_tells_no_secret_at_the_finest_level_either() {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(404).set_body_string("canary-answer").insert_header("x-a", "canary-answer");
    Mock::given(path("/items")).respond_with(answer).expect(1).mount(&server).await;
    let transport = Arc::new(crate::http::ReqwestTransport::new().unwrap());
    let session = session(transport, &server.uri());
    let (lines, _guard) = Lines::capture().await;
    let error = session.send(call(&server.uri())).await.unwrap_err();
    let text = lines.text();
    assert!(text.contains("TRACE") && text.contains("plain.items.list"), "nothing was captured:\n{text}");
    nothing_secret_in(&format!("{text} {error} {error:?}"));
}

/// Counts by name and labels.
#[derive(Clone, Debug, Default)]
struct Books(Arc<Mutex<BTreeMap<String, f64>>>);

struct Entry(Books, String);

impl Entry {
    fn add(&self, amount: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += amount;
    }
}

impl CounterFn for Entry {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Entry {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Books {
    fn entry(&self, key: &Key) -> Arc<Entry> {
        let labels: Vec<_> = key.labels().map(metrics::Label::value).collect();
        Arc::new(Entry(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }
}

impl Recorder for Books {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.entry(key))
    }
}

#[tokio::test(start_paused = true)]
async fn the_metrics_count_calls_retries_waits_and_units() {
    let books = Books::default();
    let _guard = metrics::set_default_local_recorder(&books);
    session(script(), BASE).send(call(BASE)).await.unwrap_err();
    let books = books.0.lock().unwrap();
    let expected = [
        ("integration_http_calls_total plain plain.items.list not_found", 1.0),
        ("integration_http_retries_total plain plain.items.list", 1.0),
        ("integration_quota_units_total plain", 10.0),
        ("integration_quota_wait_seconds plain", 2.0),
    ];
    let seen: Vec<_> = books.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(seen, expected);
}
