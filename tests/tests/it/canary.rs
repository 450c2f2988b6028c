//! Nothing secret and nothing personal in what a process tells: not in spans, events, metrics or the HTTP libraries' own
//! log at the finest level, not in errors and panics, not in `Debug`.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, Once},
};

use async_trait::async_trait;
use http::{Request, Response};
use integration_core::{
    Error, Result,
    connection::{Capability, Connection},
    email::{Address, Depth, MessageQuery, Outgoing, SendOptions},
    http::{Body, Call, Cost, Repeat, ReqwestTransport, Transport, TransportError},
    hub::Hub,
    ids::{AppId, MessageId},
    oauth::{Authorisation, Authorise, CallbackQuery, Completion, ConnectOutcome, Forget},
    store::{Stores, sqlite::SqliteStore},
    vault::KeyRing,
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::{
    far::{self, FarSandbox},
    service::Service,
    worker::{self, KEY, Known, tenant},
};

/// Set: the process ends by telling everything it should not.
const LEAK: &str = "INTEGRATION_TEST_LEAK";
const OWNER: &str = "zqowner@zqownerdomain.example";
const FRIEND: &str = "known-zqfriend@zqfrienddomain.example";
/// Words that occur in mail, configuration, queries and answers, and nowhere else. Tokens and the like join them.
const WORDS: [&str; 12] = [
    "zqowner",
    "zqownerdomain",
    "zqfriend",
    "zqfrienddomain",
    "zqsubject",
    "zqbody",
    "zqfile",
    "zqbroken",
    "zqsecret",
    "zqcallback",
    "zqquery",
    "zqanswer",
];

// ---- telling everything ---------------------------------------------------------------------------------------------

/// Writes spans, events, the log and the metrics of this process to its standard output, at the finest level.
pub(crate) fn tell_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_span_events(FmtSpan::FULL);
        let lines = lines.with_ansi(false).with_writer(std::io::stdout).finish();
        tracing::subscriber::set_global_default(lines).unwrap();
        log::set_logger(&LogLines).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        metrics::set_global_recorder(MetricLines).unwrap();
    });
}

struct LogLines;

impl log::Log for LogLines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("log {} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

struct MetricLines;

impl MetricLines {
    fn tell(key: &Key) {
        println!("metric {key}");
    }
}

impl Recorder for MetricLines {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Self::tell(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Self::tell(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Self::tell(key);
        Histogram::noop()
    }
}

// ---- knowing what must not be told ----------------------------------------------------------------------------------

/// Passes everything on and remembers what went to and came from the token endpoint.
#[derive(Debug)]
struct Watch {
    inner: ReqwestTransport,
    seen: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Watch {
    /// Remembers the part of a value that no encoding changes.
    fn note(&self, kind: &str, value: &str) {
        let parts: Vec<&str> = if kind == "id_token" { value.split('.').skip(1).collect() } else { vec![value] };
        for part in parts {
            let part = part.rsplit('/').next().unwrap_or_default().to_owned();
            self.seen.lock().unwrap().entry(kind.to_owned()).or_default().insert(part);
        }
    }
}

#[async_trait]
impl Transport for Watch {
    async fn execute(&self, request: Request<Body>) -> std::result::Result<Response<Body>, TransportError> {
        if request.uri().path() != "/token" {
            return self.inner.execute(request).await;
        }
        let (head, body) = request.into_parts();
        let body = body.collect(1 << 20).await?;
        for (name, value) in url::form_urlencoded::parse(&body) {
            if ["code", "code_verifier", "client_secret", "refresh_token"].contains(&&*name) {
                self.note(&name, &value);
            }
        }
        let (head, body) = self.inner.execute(Request::from_parts(head, Body::from(body))).await?.into_parts();
        let body = body.collect(1 << 20).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        for name in ["access_token", "refresh_token", "id_token"] {
            if let Some(value) = answer[name].as_str() {
                self.note(name, value);
            }
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }
}

// ---- the process ----------------------------------------------------------------------------------------------------

/// Shows an error in every way a host might, and panics with it.
async fn show(what: &str, error: Error) {
    println!("{what}: {error}\n{error:?}");
    let mut source = error.source();
    while let Some(deeper) = source {
        println!("because: {deeper}\n{deeper:?}");
        source = deeper.source();
    }
    if let Some(remedy) = error.remedy() {
        println!("{remedy}\n{remedy:?}");
    }
    tokio::spawn(async move { fail_with(&error) }).await.unwrap_err();
}

/// What a host does that expects no failure.
fn fail_with(error: &Error) {
    panic!("called `unwrap` on {error:?}");
}

struct Host {
    hub: Hub,
    watch: Arc<Watch>,
    origin: String,
    database: PathBuf,
}

impl Host {
    async fn new(database: &Path, origin: &str, key: &str) -> Self {
        let watch = Arc::new(Watch { inner: ReqwestTransport::new().unwrap(), seen: Mutex::default() });
        let endpoints = GoogleEndpoints::below(&origin.parse().unwrap()).unwrap();
        let config = GoogleConfig::web("web-client", "zqsecret").with_endpoints(endpoints);
        println!("{config:?}");
        let store = Arc::new(SqliteStore::open(database).await.unwrap());
        let hub = Hub::builder(Stores::from_one(store), Arc::new(KeyRing::from_base64(key).unwrap()))
            .with_connector(Google::new(config).unwrap())
            .with_directory(Arc::new(Known))
            .with_transport(Arc::clone(&watch) as Arc<dyn Transport>);
        println!("{hub:?}");
        let hub = hub.build().unwrap();
        println!("{hub:?}");
        Self { hub, watch, origin: origin.to_owned(), database: database.to_owned() }
    }

    /// A sign-in up to the moment at which the browser comes back.
    async fn callback(&self, decision: &str) -> (Authorisation, CallbackQuery) {
        let ask = Authorise::new(
            [Capability::Identity, Capability::MailRead, Capability::MailSend],
            Service::Google.callback(),
        );
        let authorisation = self.hub.authorise(&tenant(), &AppId::new("google"), ask).await.unwrap();
        println!("{authorisation:?}");
        for (name, value) in authorisation.url.query_pairs() {
            if ["state", "nonce"].contains(&&*name) {
                self.watch.note(&name, &value);
            }
        }
        self.watch.note("binding", authorisation.binding.expose());
        let mut press = json!({ "url": authorisation.url, "decision": decision });
        if decision == "grant" {
            press["as"] = OWNER.into();
        }
        let back = far::ask(&self.origin, "POST", "consent", &press.to_string()).await;
        let back: url::Url = back["url"].as_str().unwrap().parse().unwrap();
        let query = CallbackQuery::parse(back.query().unwrap()).unwrap();
        println!("{query:?}");
        (authorisation, query)
    }

    /// Callbacks that end badly, one of them with a description that a service might put an address into.
    async fn bad_callbacks(&self) {
        let (authorisation, query) = self.callback("refuse").await;
        println!("{:?}", self.hub.complete(&query, &authorisation.binding).await.unwrap());
        println!("{:?}", self.hub.complete(&query, &authorisation.binding).await.unwrap());
        let (authorisation, query) = self.callback("grant").await;
        let state = query.get("state").unwrap();
        let failed = format!("state={state}&error=server_error&error_description=zqcallback+of+{OWNER}");
        let failed = CallbackQuery::parse(&failed).unwrap();
        println!("{:?}", self.hub.complete(&failed, &authorisation.binding).await.unwrap());
        let (_, query) = self.callback("grant").await;
        println!("{:?}", self.hub.complete(&query, &authorisation.binding).await.unwrap());
        let unknown = CallbackQuery::parse("state=zqcallback&code=zqcallback").unwrap();
        println!("{:?}", self.hub.complete(&unknown, &authorisation.binding).await.unwrap());
    }

    async fn sign_in(&self) -> Connection {
        let (authorisation, query) = self.callback("grant").await;
        let Completion { outcome, .. } = self.hub.complete(&query, &authorisation.binding).await.unwrap();
        match outcome {
            ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
            _ => panic!("not granted"),
        }
    }

    /// What a mailbox is used for, a refresh included.
    async fn use_mail(&self, connection: &Connection) -> Result<()> {
        far::ask(&self.origin, "POST", "expire_access_tokens", "").await;
        let email = self.hub.email(&tenant(), &connection.id).await?;
        println!("{email:?}");
        let mut query = MessageQuery::default();
        query.text = Some("zqsubject".to_owned());
        let found = email.search(&query, None).await?;
        assert!(!found.items.is_empty(), "the search finds something");
        let ids: Vec<MessageId> = found.items.iter().map(|stub| stub.id.clone()).collect();
        assert_eq!(email.fetch(&ids, Depth::Full).await?.len(), ids.len());
        email.send(&letter(), &SendOptions::default()).await?;
        Ok(())
    }

    /// Calls that fail in every place where something might be quoted.
    async fn troubles(&self, connection: &Connection) {
        let email = self.hub.email(&tenant(), &connection.id).await.unwrap();
        let session = self.hub.session(&tenant(), &connection.id).await.unwrap();
        println!("{session:?}");
        let url = format!("{}/gmail/v1/users/me/messages/zqquery?format=zqquery", self.origin);
        let request = http::Request::get(url).header("x-note", "zqquery").body("zqbody".into()).unwrap();
        let call = Call::new("gmail.users.messages.get", request, Cost::units(1), Repeat::Safe);
        println!("{call:?}");
        show("a wrong call", session.send(call).await.unwrap_err()).await;
        let raw = email.raw(&MessageId::new("zqquery")).await.unwrap_err();
        show("a message that is not there", raw).await;
        let refused = json!({ "error": { "code": 403, "message": "zqanswer", "errors": [{ "reason": "forbidden", "message": "zqanswer" }] } });
        self.fault(json!({ "times": 1, "path": "gmail/v1", "action": { "status": { "status": 403, "body": refused.to_string() } } })).await;
        show("a refusal", email.search(&MessageQuery::default(), None).await.unwrap_err()).await;
        self.fault(json!({ "times": 1, "path": "send", "action": "reset_after" })).await;
        show("an unknown outcome", email.send(&letter(), &SendOptions::default()).await.unwrap_err()).await;
        let mut bad = letter();
        bad.to = vec![Address::new("zqfriend at zqfrienddomain")];
        show("a letter to nobody", email.send(&bad, &SendOptions::default()).await.unwrap_err()).await;
        self.other_key(connection).await;
        let wrong = json!({ "error": "invalid_request", "error_description": format!("zqanswer {OWNER}") }).to_string();
        self.fault(json!({ "times": 1, "path": "token", "action": { "status": { "status": 400, "body": wrong } } }))
            .await;
        far::ask(&self.origin, "POST", "expire_access_tokens", "").await;
        show("a refused refresh", email.search(&MessageQuery::default(), None).await.unwrap_err()).await;
    }

    /// The same database, opened with a key that fits nothing in it.
    async fn other_key(&self, connection: &Connection) {
        let other = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=";
        let host = Box::pin(Self::new(&self.database, &self.origin, other)).await;
        let session = host.hub.session(&tenant(), &connection.id).await.unwrap();
        show("another key", session.send(Service::Google.profile(&self.origin)).await.unwrap_err()).await;
    }

    async fn fault(&self, fault: Value) {
        far::ask(&self.origin, "POST", "faults", &fault.to_string()).await;
    }
}

fn letter() -> Outgoing {
    let mut letter = Outgoing::default();
    letter.to = vec![Address::new(FRIEND).with_name("zqfriend")];
    letter.subject = "zqsubject of a letter".to_owned();
    letter.text = Some("zqbody of a letter".to_owned());
    letter
}

/// The process whose output is searched. What must not be in it is written beside its database.
pub(crate) async fn work(database: &Path, origin: &str) {
    tell_everything();
    let host = Host::new(database, origin, KEY).await;
    host.bad_callbacks().await;
    let connection = host.sign_in().await;
    worker::sync(&host.hub, origin).await;
    assert_eq!(host.hub.quarantined(&tenant(), &connection.id).await.unwrap().len(), 1);
    assert!(host.hub.activities(&tenant()).await.unwrap().len() >= 2);
    host.use_mail(&connection).await.unwrap();
    host.troubles(&connection).await;
    host.hub.disconnect(&tenant(), &connection.id, Forget::SecretsOnly).await.unwrap();
    show("disconnected", host.hub.email(&tenant(), &connection.id).await.unwrap_err()).await;
    let seen = host.watch.seen.lock().unwrap().clone();
    if std::env::var_os(LEAK).is_some() {
        for told in seen.values().flatten().map(String::as_str).chain(WORDS) {
            tracing::trace!(told, "what must not be told");
        }
    }
    std::fs::write(database.with_extension("json"), serde_json::to_vec(&seen).unwrap()).unwrap();
}

// ---- the search -----------------------------------------------------------------------------------------------------

/// A process's whole output, and what must not be in it, by kind.
struct Told {
    text: String,
    canaries: BTreeMap<String, BTreeSet<String>>,
}

impl Told {
    async fn by_a_process(leak: bool) -> Self {
        let place = tempfile::tempdir().unwrap();
        let sandbox = FarSandbox::start(place.path());
        let app = json!({
            "client_id": "web-client", "client_secret": "zqsecret", "redirect_uris": [Service::Google.callback()], "desktop": false,
            "testing": false,
        });
        sandbox.ask("POST", "apps", &app.to_string()).await;
        sandbox.ask("POST", &format!("people?account={OWNER}&name=zqowner"), "").await;
        for mail in mails() {
            sandbox.ask("POST", &format!("deliver?account={OWNER}"), &mail).await;
        }
        let database = place.path().join("canary.db");
        let mut command = worker::command("canary", &database, &sandbox.origin);
        if leak {
            command.env(LEAK, "1");
        }
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let seen = std::fs::read(database.with_extension("json")).unwrap();
        let mut canaries: BTreeMap<String, BTreeSet<String>> = serde_json::from_slice(&seen).unwrap();
        canaries.insert("words".to_owned(), WORDS.map(str::to_owned).into());
        Self { text: text.to_lowercase(), canaries }
    }

    /// The lines that tell something, with what they tell; those that libraries below ours write to `log` too.
    fn hits(&self) -> Vec<String> {
        let all = || self.canaries.iter().flat_map(|(kind, values)| values.iter().map(move |value| (kind, value)));
        let lowered: Vec<(&String, String)> = all().map(|(kind, value)| (kind, value.to_lowercase())).collect();
        let found = self.text.lines().flat_map(|line| {
            let hit = lowered.iter().filter(move |(_, value)| line.contains(value.as_str()));
            hit.map(move |(kind, value)| format!("{kind} {value} in: {line}"))
        });
        found.collect()
    }

    fn count(&self) -> usize {
        self.canaries.values().map(BTreeSet::len).sum()
    }
}

fn mails() -> [String; 3] {
    let head = format!("From: zqfriend <{FRIEND}>\r\nTo: {OWNER}\r\nSubject: zqsubject");
    let date = "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n";
    [
        format!("{head} one\r\nMessage-ID: <1@zqfrienddomain.example>\r\n{date}\r\nzqbody one\r\n"),
        format!(
            "{head} two\r\nMessage-ID: <2@zqfrienddomain.example>\r\n{date}Content-Type: multipart/mixed; boundary=cut\r\n\r\n\
             --cut\r\nContent-Type: text/html\r\n\r\n<p>zqbody two\r\n--cut\r\nContent-Type: text/plain; name=zqfile.txt\r\n\
             Content-Disposition: attachment; filename=zqfile.txt\r\n\r\nzqbody\r\n--cut--\r\n"
        ),
        "\r\nzqbroken: no header field at all\r\n".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_tells_nothing_secret_or_personal_at_the_finest_level() {
    let told = Told::by_a_process(false).await;
    for kind in
        ["access_token", "binding", "client_secret", "code", "code_verifier", "id_token", "refresh_token", "state"]
    {
        let values = told.canaries.get(kind).unwrap_or_else(|| panic!("no {kind} was seen"));
        assert!(values.iter().all(|value| value.len() >= 8), "a {kind} too short to search for");
    }
    // It did tell something: of the calls, the refresh, the libraries, the metrics, the errors and the panics.
    for part in
        ["trace", "gmail.messages.send", "token refresh", "log ", "metric key(integration_", "because: ", "panicked at"]
    {
        assert!(told.text.contains(part), "{part} in\n{}", told.text);
    }
    let hits = told.hits();
    println!("{} lines searched for {} canaries: {} hits", told.text.lines().count(), told.count(), hits.len());
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_search_finds_every_canary_that_is_told() {
    let told = Told::by_a_process(true).await;
    let hits = told.hits();
    for (kind, value) in told.canaries.iter().flat_map(|(kind, values)| values.iter().map(move |value| (kind, value))) {
        let beginning = format!("{kind} {} in: ", value.to_lowercase());
        assert!(hits.iter().any(|hit| hit.starts_with(&beginning)), "{kind} {value} was not found");
    }
    println!("control: {} canaries told, all found", told.count());
}
