//! A sandbox in this process, a hub on it, and both on one clock: nothing waits for a socket or a disk, so a paused
//! runtime's time is true.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    Result,
    activity::{Company, Directory, DirectoryAnswer, DirectoryQuery, Outcome},
    clock::Clock,
    connection::{Capability, Connection, Connector},
    email::EmailProvider,
    event::{Event, EventListener},
    http::{
        Admission, AdmissionKey, AdmissionRequest, Body, LocalAdmission, Permit, QuotaScope, Transport, TransportError,
        Usage,
    },
    hub::Hub,
    ids::{AppId, ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{MemoryStore, Stores},
    sync::{BundledScheduler, SchedulerOptions, Shutdown},
    testing::virtual_clock,
    vault::KeyRing,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{
    Consent, DEFAULT_CLIENT, GmailSettings, Sandbox, SandboxSettings,
    google::gmail::{Generator, GmailBooks, Mailbox, QuotaPreset},
};

use crate::worker::tenant;

const OWNER: &str = "alex@example.com";
/// Any 32 bytes: what is sealed lives as long as the test.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// How long every call of the mail API takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(100);

/// What both sides keep to.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// What the client believes.
    pub(crate) client: GmailQuota,
    /// What the service enforces.
    pub(crate) service: QuotaPreset,
    /// Units by method in place of the service's.
    pub(crate) costs: BTreeMap<String, u64>,
}

impl Terms {
    pub(crate) fn new(client: GmailQuota, service: QuotaPreset) -> Self {
        Self { client, service, costs: BTreeMap::new() }
    }
}

/// A hub with one connected mailbox.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Hub,
    pub(crate) connection: Connection,
    pub(crate) meter: Arc<Meter>,
    decided: Arc<Decided>,
    stores: Stores,
}

impl Near {
    /// Without a socket, on the runtime's paused clock; the service takes [`LATENCY`] for each call.
    pub(crate) async fn start(terms: &Terms) -> Self {
        let clock: Arc<dyn Clock> = virtual_clock();
        let sandbox = sandbox(terms, Arc::clone(&clock), LATENCY);
        let (origin, transport) = (integration_testing::ORIGIN.to_owned(), sandbox.transport());
        Self::connect(terms, sandbox, clock, &origin, transport).await
    }

    /// Signs in at `sandbox`, which is reached at `origin` through `transport`.
    pub(crate) async fn connect(
        terms: &Terms,
        sandbox: Sandbox,
        clock: Arc<dyn Clock>,
        origin: &str,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let endpoints = GoogleEndpoints::below(&origin.parse().unwrap()).unwrap();
        let config = GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(endpoints).with_quota(terms.client);
        let connector = Google::new(config).unwrap();
        let gate = LocalAdmission::new(Arc::clone(&clock))
            .with_table(connector.profile().app.clone(), connector.profile().quota.clone());
        let stores = Stores::from_one(Arc::new(MemoryStore::with_clock(Arc::clone(&clock))));
        let meter = Arc::new(Meter::default());
        let decided = Arc::new(Decided { clock: Arc::clone(&clock), when: Mutex::default() });
        let hub = Hub::builder(stores.clone(), Arc::new(KeyRing::from_base64(KEY).unwrap()))
            .with_transport(Arc::new(Metered { inner: transport, meter: Arc::clone(&meter) }))
            .with_admission(Arc::new(Metered { inner: gate, meter: Arc::clone(&meter) }))
            .with_directory(Arc::new(TwoCompanies))
            .with_events(Arc::clone(&decided) as Arc<dyn EventListener>)
            .with_clock(Arc::clone(&clock))
            .with_connector(connector)
            .build()
            .unwrap();
        let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
        let authorisation = hub.authorise(&tenant(), &AppId::new("google"), ask).await.unwrap();
        let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
        let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
        let completion = hub.complete(&query, &authorisation.binding).await.unwrap();
        let ConnectOutcome::Granted { mut connections, .. } = completion.outcome else {
            panic!("not granted: {:?}", completion.outcome)
        };
        let connection = connections.pop().unwrap();
        Self { sandbox, clock, hub, connection, meter, decided, stores }
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        self.sandbox.gmail().mailbox(OWNER)
    }

    /// The mailbox simulator's own count.
    pub(crate) fn books(&self) -> GmailBooks {
        self.sandbox.gmail().books()
    }

    /// What a person in front of the host's screen uses.
    pub(crate) async fn email(&self) -> Arc<dyn EmailProvider> {
        self.hub.email(&tenant(), &self.connection.id).await.unwrap()
    }

    /// Starts the bundled scheduler; what it works off was queued by signing in.
    pub(crate) fn run(&self) -> Running {
        let jobs = Arc::clone(&self.stores.jobs);
        let scheduler = BundledScheduler::new(jobs, Arc::clone(&self.clock), SchedulerOptions::default());
        let (hub, stop) = (Arc::new(self.hub.clone()), Shutdown::default());
        let until = stop.clone();
        let task = tokio::spawn(async move { scheduler.work(hub, &until).await });
        Running { stop, task }
    }

    pub(crate) async fn minutes(&self, minutes: u64) {
        self.seconds(60 * minutes).await;
    }

    pub(crate) async fn seconds(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) async fn pending(&self) -> u64 {
        self.hub.pending(&tenant(), &self.connection.id).await.unwrap()
    }

    pub(crate) fn decided(&self) -> usize {
        self.decided.when.lock().unwrap().len()
    }

    /// Waits until `count` messages are decided.
    pub(crate) async fn until_decided(&self, count: usize) {
        for _ in 0..100_000 {
            if self.decided() >= count {
                return;
            }
            self.clock.sleep(Duration::from_millis(100)).await;
        }
        panic!("{} of {count} decided\n{}", self.decided(), self.sandbox.request_log());
    }

    /// When the head was looked at so far.
    fn polls(&self) -> Vec<DateTime<Utc>> {
        let calls = self.sandbox.calls().into_iter().filter(|call| call.path.ends_with("/history"));
        calls.map(|call| call.at).collect()
    }

    /// Waits until the head has just been looked at: the worst moment for something new to arrive.
    pub(crate) async fn just_polled(&self) {
        let before = self.polls().len();
        for _ in 0..10_000 {
            if self.polls().len() > before {
                return;
            }
            self.clock.sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody looks at the head\n{}", self.sandbox.request_log());
    }

    /// A hundred messages arrive now; waits until the last one is on the timeline.
    pub(crate) async fn hundred_new(&self) -> Arrival {
        let arrived = self.clock.now();
        let letter = letters();
        let first = self.mailbox().ids().len() as u64;
        let raw = (first..first + 100).map(|number| letter(number));
        let ids: Vec<String> = raw.map(|raw| self.mailbox().deliver(raw, arrived, &["INBOX", "UNREAD"])).collect();
        for _ in 0..10_000 {
            let visible: Option<Vec<DateTime<Utc>>> = {
                let when = self.decided.when.lock().unwrap();
                ids.iter().map(|id| when.get(id).copied()).collect()
            };
            if let Some(last) = visible.and_then(|all| all.into_iter().max()) {
                let polled = self.polls().into_iter().find(|at| *at >= arrived).unwrap();
                return Arrival { since_delivery: last - arrived, since_poll: last - polled };
            }
            self.clock.sleep(Duration::from_millis(100)).await;
        }
        panic!("never visible\n{}", self.sandbox.request_log());
    }
}

/// How long it took until all of some new messages were on the timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) since_delivery: TimeDelta,
    /// Since the first look at the head that could see them.
    pub(crate) since_poll: TimeDelta,
}

/// The scheduler at work.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Shutdown,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.stop();
        self.task.await.unwrap().unwrap();
    }
}

/// A sandbox on `clock` that is as strict as the service may be.
pub(crate) fn sandbox(terms: &Terms, clock: Arc<dyn Clock>, latency: Duration) -> Sandbox {
    let gmail = GmailSettings {
        quota: terms.service,
        costs: terms.costs.clone(),
        calendar_minutes: true,
        concurrency: Some(10),
        ..GmailSettings::default()
    };
    let settings = SandboxSettings { gmail, latency, ..SandboxSettings::default() };
    let sandbox = Sandbox::google().with_clock(clock).with_settings(settings).build();
    sandbox.register_person(OWNER, "Alex Example");
    sandbox
}

/// Short messages from people of one company.
pub(crate) fn letters() -> Generator {
    Arc::new(|number| {
        Bytes::from(format!(
            "From: Buyer {number} <buyer{number}@acme.example>\r\nTo: {OWNER}\r\nSubject: Order {number}\r\n\
             Message-ID: <order-{number}@acme.example>\r\nDate: Mon, 02 Feb 2026 10:00:00 +0000\r\n\r\n\
             We take {number} of them.\r\n"
        ))
    })
}

/// When each message was decided first.
#[derive(Debug)]
struct Decided {
    clock: Arc<dyn Clock>,
    when: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl EventListener for Decided {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, event: &Event) {
        let Event::Decided(decided) = event else { return };
        let now = self.clock.now();
        let mut when = self.when.lock().unwrap();
        for (message, outcome) in decided {
            assert!(matches!(outcome, Some(Outcome::Logged { .. })), "{message}: {outcome:?}");
            when.entry(message.clone()).or_insert(now);
        }
    }
}

#[derive(Debug)]
struct TwoCompanies;

#[async_trait]
impl Directory for TwoCompanies {
    async fn look_up(&self, _: &TenantId, _: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        answer.companies =
            vec![Company::new("acme", "Acme", "acme.example"), Company::new("files", "Files", "example.net")];
        Ok(answer)
    }
}

/// The client's own books: requests sent and units admitted, by attempt.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    counted: Mutex<(u64, u64)>,
}

impl Meter {
    pub(crate) fn requests(&self) -> u64 {
        self.counted.lock().unwrap().0
    }

    pub(crate) fn units(&self) -> u64 {
        self.counted.lock().unwrap().1
    }
}

/// A transport or a gate that counts.
#[derive(Debug)]
struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
}

#[async_trait]
impl Transport for Metered<Arc<dyn Transport>> {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        self.meter.counted.lock().unwrap().0 += 1;
        self.inner.execute(request).await
    }
}

#[async_trait]
impl Admission for Metered<LocalAdmission> {
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit> {
        let units = u64::from(request.cost.units);
        let permit = self.inner.admit(request).await?;
        self.meter.counted.lock().unwrap().1 += units;
        Ok(permit)
    }

    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>) {
        self.inner.throttled(key, scope, until).await;
    }

    async fn usage(&self, key: &AdmissionKey) -> Usage {
        self.inner.usage(key).await
    }
}
