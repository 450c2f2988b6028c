//! Two thousand idle connections in one process (of Outlook eighty): small, and each polled in time, whatever others do.
//!
//! Everything is in one process and on virtual time: sandbox, memory store, hub, bundled scheduler. So the memory counted
//! for a connection contains what the simulator and the store keep for it, and is an upper bound of the hub's.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use integration_core::{
    connection::Connection,
    http::{Body, Transport, TransportError},
    hub::Hub,
    ids::TenantId,
    oauth::{CallbackQuery, ConnectOutcome},
    store::Stores,
    sync::{BundledScheduler, JobRunner, SchedulerOptions, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_testing::{CallRecord, Consent, ORIGIN, Sandbox, SandboxSettings};

use crate::{
    service::{self, Service},
    worker::KEY,
};

const CROWD: &str = "INTEGRATION_TEST_CROWD";
/// How long every call of the mail API takes.
const LATENCY: Duration = Duration::from_millis(200);
/// How long the failing service keeps its callers waiting before it fails.
const SLOW: Duration = Duration::from_secs(5);

/// What there is of a crowd at a service.
impl Service {
    fn connections(self) -> usize {
        match self {
            Self::Google => 2_000,
            Self::Microsoft => 80,
        }
    }

    /// Connected before memory is read: whatever is there once is there by then.
    fn first(self) -> usize {
        match self {
            Self::Google => 50,
            Self::Microsoft => 20,
        }
    }

    /// How large an idle connection is at most; each folder has rows of its own.
    fn most_bytes(self) -> u64 {
        match self {
            Self::Google => 50_000,
            Self::Microsoft => 150_000,
        }
    }

    /// The end of the path of a poll's first call.
    fn poll(self) -> &'static str {
        match self {
            Self::Google => "/history",
            Self::Microsoft => "/mailFolders/delta",
        }
    }

    /// How many kinds of calls an idle poll makes.
    fn kinds_of_calls(self) -> usize {
        match self {
            Self::Google => 1,
            // The list of folders, and each folder.
            Self::Microsoft => 2,
        }
    }
}

fn address(index: usize) -> String {
    format!("person{index}@customer{}.example", index / 10)
}

fn tenant(index: usize) -> TenantId {
    TenantId::new(format!("tenant{}", index / 10))
}

/// Lets one account's calls fail slowly; remembers the latest token, by which accounts can be told apart.
#[derive(Debug)]
struct Gate {
    inner: Arc<dyn Transport>,
    latest: Mutex<Option<HeaderValue>>,
    failing: Mutex<Option<HeaderValue>>,
    failed: Mutex<u64>,
}

#[async_trait]
impl Transport for Gate {
    async fn execute(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let token = request.headers().get(AUTHORIZATION).cloned();
        if token.is_some() {
            self.latest.lock().unwrap().clone_from(&token);
        }
        if token.is_some() && token == *self.failing.lock().unwrap() {
            *self.failed.lock().unwrap() += 1;
            tokio::time::sleep(SLOW).await;
            return Ok(Response::builder().status(503).body(Body::default()).unwrap());
        }
        self.inner.execute(request).await
    }
}

/// Resident memory of this process; `None` where nobody says.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

struct Crowd {
    service: Service,
    sandbox: Sandbox,
    gate: Arc<Gate>,
    hub: Hub,
    stores: Stores,
    poll: Duration,
}

impl Crowd {
    fn new(service: Service) -> Self {
        let settings = SandboxSettings { latency: LATENCY, ..SandboxSettings::default() };
        // Looking every exchange up in the service's description is other tests' business, and most of the time here.
        let sandbox = Sandbox::google().with_settings(settings).with_descriptions("nowhere").build();
        let gate = Arc::new(Gate {
            inner: sandbox.transport(),
            latest: Mutex::default(),
            failing: Mutex::default(),
            failed: Mutex::default(),
        });
        let stores = Stores::memory();
        let hub = Hub::builder(stores.clone(), Arc::new(KeyRing::from_base64(KEY).unwrap()));
        let hub = service::join(hub, ORIGIN, Default::default())
            .with_transport(Arc::clone(&gate) as Arc<dyn Transport>)
            .build()
            .unwrap();
        Self { service, sandbox, gate, hub, stores, poll: SyncOptions::default().poll }
    }

    /// A person with two messages signs in; the first sync is queued by that.
    async fn connect(&self, index: usize) -> Connection {
        let address = address(index);
        match self.service {
            Service::Google => self.sandbox.register_person(&address, "Somebody"),
            Service::Microsoft => drop(self.sandbox.microsoft().register_person(&address, "Somebody")),
        }
        for number in 0..2 {
            let mail = format!(
                "From: a@b.example\r\nTo: {address}\r\nSubject: {number}\r\nMessage-ID: <{number}@b>\r\n\r\nHi\r\n"
            );
            let now = self.sandbox.now();
            match self.service {
                Service::Google => self.sandbox.gmail().mailbox(&address).deliver(mail, now, &["INBOX"]),
                Service::Microsoft => self.sandbox.microsoft().graph().mailbox(&address).deliver(mail, now, "inbox"),
            };
        }
        let (app, ask) = (self.service.app(), self.service.read_mail());
        let authorisation = self.hub.authorise(&tenant(index), &app, ask).await.unwrap();
        let back = self.sandbox.consent(&authorisation.url, Consent::As(&address)).unwrap();
        let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
        match self.hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
            ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Very many letters with files are found in a mailbox.
    fn fill(&self, address: &str) {
        let (count, generator) = (20_000, integration_testing::mail::with_attachment(100));
        match self.service {
            Service::Google => drop(self.sandbox.gmail().mailbox(address).on_demand(count, &generator)),
            Service::Microsoft => {
                drop(self.sandbox.microsoft().graph().mailbox(address).on_demand(count, &generator));
            }
        }
    }

    /// Lets the bundled scheduler work for so many poll intervals; gives the calls the service saw meanwhile.
    async fn work(&self, intervals: u32) -> Vec<CallRecord> {
        let stop = Shutdown::default();
        let (jobs, clock) = (Arc::clone(&self.stores.jobs), Arc::new(integration_core::clock::SystemClock::new()));
        let scheduler = BundledScheduler::new(jobs, clock, SchedulerOptions::default());
        let (runner, signal) = (Arc::new(self.hub.clone()) as Arc<dyn JobRunner>, stop.clone());
        let working = tokio::spawn(async move { scheduler.work(runner, &signal).await });
        let (mut calls, begun) = (BTreeMap::new(), self.sandbox.now());
        for _ in 0..intervals {
            tokio::time::sleep(self.poll).await;
            self.read(begun, &mut calls);
        }
        stop.stop();
        working.await.unwrap().unwrap();
        self.read(begun, &mut calls);
        calls.into_values().collect()
    }

    /// The log holds the latest 20,000 calls: it is read before it forgets. A call is written down when it ends.
    fn read(&self, begun: DateTime<Utc>, into: &mut BTreeMap<(DateTime<Utc>, Option<String>, String), CallRecord>) {
        for call in self.sandbox.calls().into_iter().filter(|call| call.at >= begun) {
            into.insert((call.at, call.account.clone(), call.path.clone()), call);
        }
    }
}

/// When each account was polled.
fn polls(service: Service, calls: &[CallRecord]) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let mut polls: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.path.ends_with(service.poll())) {
        polls.entry(call.account.clone().unwrap_or_default()).or_default().push(call.at);
    }
    polls
}

/// The longest time between two polls of one account, and whose.
fn longest(polls: &BTreeMap<String, Vec<DateTime<Utc>>>) -> (Duration, String) {
    let gaps = polls.iter().flat_map(|(account, times)| {
        times.windows(2).map(move |pair| ((pair[1] - pair[0]).to_std().unwrap_or_default(), account.clone()))
    });
    gaps.max().unwrap_or_default()
}

/// Everything in order: memory, then polling, then polling beside a failing and a backfilling connection.
#[tokio::test(start_paused = true)]
async fn the_crowd() {
    if std::env::var_os(CROWD).is_none() {
        return;
    }
    let service = Service::told();
    let connections = service.connections();
    // Whatever fails says so.
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).init();
    let crowd = Crowd::new(service);
    let failing = crowd.connect(0).await;
    let failing_token = crowd.gate.latest.lock().unwrap().clone();
    for index in 1..service.first() {
        crowd.connect(index).await;
    }
    crowd.work(3).await;
    let before = resident();
    for index in service.first()..connections {
        crowd.connect(index).await;
    }
    // The first syncs, at the pace that the project's units of a day allow (twenty a second), then some polls.
    crowd.work(6).await;
    memory(service, before, resident());

    let calls = crowd.work(3).await;
    let by_account = polls(service, &calls);
    let (gap, whose) = longest(&by_account);
    println!(
        "{} connections polled, longest time between two polls: {gap:?} ({whose}); interval {:?}",
        by_account.len(),
        crowd.poll
    );
    assert_eq!(by_account.len(), connections);
    assert!(gap <= crowd.poll * 2, "{gap:?}");
    let mut paths: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &calls {
        // Each folder has an address of its own.
        let is_folder = call.path.ends_with("/messages/delta");
        *paths.entry(if is_folder { "/messages/delta" } else { &call.path }).or_default() += 1;
    }
    assert_eq!(paths.len(), service.kinds_of_calls(), "what an idle poll costs: {paths:?}");

    beside_a_failing_and_a_backfilling_one(&crowd, &failing, failing_token).await;
}

fn memory(service: Service, before: Option<u64>, after: Option<u64>) {
    let (Some(before), Some(after)) = (before, after) else {
        println!("resident memory is not known on this system");
        return;
    };
    let (first, connections) = (service.first(), service.connections());
    let each = after.saturating_sub(before) / (connections - first) as u64;
    println!("resident: {before} B with {first} connections, {after} B with {connections}: {each} B each");
    assert!(each < service.most_bytes(), "{each} B for an idle connection");
}

async fn beside_a_failing_and_a_backfilling_one(crowd: &Crowd, failing: &Connection, token: Option<HeaderValue>) {
    crowd.gate.failing.lock().unwrap().clone_from(&token);
    let connections = crowd.service.connections();
    let backfilling = crowd.connect(connections).await;
    crowd.fill(&address(connections));
    let calls = crowd.work(5).await;
    let mut by_account = polls(crowd.service, &calls);
    let fetched = crowd.hub.decisions(&tenant(connections), &backfilling.id).await.unwrap().len();
    let waiting = crowd.hub.pending(&tenant(connections), &backfilling.id).await.unwrap();
    let attempts = *crowd.gate.failed.lock().unwrap();
    for one in [&failing.account, &backfilling.account] {
        for own in &one.addresses {
            by_account.remove(own);
        }
    }
    let (gap, whose) = longest(&by_account);
    println!(
        "beside a failing connection ({attempts} calls of {SLOW:?} each) and a backfilling one ({fetched} messages \
         settled, {waiting} waiting): longest time between two polls of the other {}: {gap:?} ({whose})",
        by_account.len()
    );
    assert_eq!(by_account.len(), connections - 1);
    assert!(gap <= crowd.poll * 2, "{gap:?}");
    assert!(attempts >= 2, "the failing one is tried again, and slowly: {attempts}");
    assert!(fetched > 100 && waiting > 0, "the backfilling one is at it: {fetched} settled, {waiting} waiting");
}

/// In a process of its own: nobody else's memory is counted.
fn crowd_at(service: Service) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "many::the_crowd", "--nocapture"]).env(CROWD, "1");
    assert!(service.hand_to(&mut process).status().unwrap().success());
}

#[test]
fn two_thousand_idle_connections_are_small_and_each_is_polled_in_time() {
    crowd_at(Service::Google);
}

#[test]
fn eighty_idle_connections_of_many_folders_are_small_and_each_is_polled_in_time() {
    crowd_at(Service::Microsoft);
}
