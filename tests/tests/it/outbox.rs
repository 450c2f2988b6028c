//! What the outbox sends is in the service's own Sent folder exactly once, whatever goes wrong; and what comes back of it
//! is recognised.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    ErrorKind, Result,
    clock::{Clock, Random},
    connection::{Capability, Connection},
    email::{Address, Outgoing},
    event::{Event, EventKind, EventListener},
    http::{Body, Transport, TransportError, TransportErrorKind},
    hub::{DirectoryChange, Hub, Signal, SignalKind, SignalListener, SignalOptions, SignalState},
    ids::{AppId, ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    outbox::{Intent, IntentKey, IntentOptions, IntentState, enqueue},
    store::{
        CounterKey, LeaseGuard, MemoryStore, StateQuery, StateRow, StateWrite, StoreTransaction, Stores, SyncStore,
    },
    sync::{BundledScheduler, Job, JobOutcome, SchedulerOptions, Shutdown},
    testing::{SeededRandom, virtual_clock},
    vault::KeyRing,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, GmailSettings, ORIGIN, Sandbox, SandboxSettings};
use tokio::sync::Notify;

use crate::{
    worker::{KEY, tenant},
    world::Contacts,
};

const OWNER: &str = "ada@example.com";

/// What goes wrong with one call that sends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fate {
    CrashAfter,
    CrashBefore,
    FailsAfter,
    FailsBefore,
    Ok,
    ResetAfter,
    ResetBefore,
    TimeoutAfter,
    TimeoutBefore,
}

const FATES: [Fate; 9] = [
    Fate::CrashAfter,
    Fate::CrashBefore,
    Fate::FailsAfter,
    Fate::FailsBefore,
    Fate::Ok,
    Fate::ResetAfter,
    Fate::ResetBefore,
    Fate::TimeoutAfter,
    Fate::TimeoutBefore,
];

/// Decides what goes wrong, in the network and at commits; a crash ends the whole process.
#[derive(Debug)]
struct Trouble {
    random: SeededRandom,
    on: AtomicU64,
    met: Mutex<BTreeMap<Fate, u64>>,
    commits: AtomicU64,
    crash: Notify,
}

impl Trouble {
    fn new() -> Arc<Self> {
        let (random, on) = (SeededRandom::new(2_000), AtomicU64::new(0));
        Arc::new(Self { random, on, met: Mutex::default(), commits: AtomicU64::new(0), crash: Notify::new() })
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst) == 1
    }

    fn below(&self, number: u64) -> u64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % number
    }

    /// Two of three calls meet something.
    fn fate(&self) -> Fate {
        let draw = if self.is_on() { self.below(12) } else { 12 };
        let fate = usize::try_from(draw).ok().and_then(|draw| FATES.get(draw)).copied().unwrap_or(Fate::Ok);
        *self.met.lock().unwrap().entry(fate).or_default() += 1;
        fate
    }

    /// The process is gone: whoever holds this future drops it.
    async fn die(&self) -> ! {
        self.crash.notify_one();
        std::future::pending().await
    }

    /// One of forty commits is the last of its process, before or after it took effect.
    async fn commit(&self, commit: impl Future<Output = Result<()>> + Send) -> Result<()> {
        let draw = if self.is_on() { self.below(80) } else { 80 };
        if draw < 2 {
            self.commits.fetch_add(1, Ordering::SeqCst);
        }
        if draw == 0 {
            self.die().await;
        }
        let done = commit.await;
        if draw == 1 {
            self.die().await;
        }
        done
    }
}

#[derive(Debug)]
struct Troubled<T> {
    inner: T,
    trouble: Arc<Trouble>,
}

#[async_trait]
impl Transport for Troubled<Arc<dyn Transport>> {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        if !request.uri().path().ends_with("/messages/send") {
            return self.inner.execute(request).await;
        }
        let reset = || Err(TransportError::new(TransportErrorKind::Interrupted, "reset"));
        let fails = || Ok(http::Response::builder().status(503).body(Body::from(Bytes::new())).unwrap());
        match self.trouble.fate() {
            Fate::Ok => self.inner.execute(request).await,
            Fate::CrashBefore => self.trouble.die().await,
            Fate::FailsBefore => fails(),
            Fate::ResetBefore => reset(),
            Fate::TimeoutBefore => std::future::pending().await,
            after => {
                self.inner.execute(request).await?;
                match after {
                    Fate::CrashAfter => self.trouble.die().await,
                    Fate::FailsAfter => fails(),
                    Fate::ResetAfter => reset(),
                    _ => std::future::pending().await,
                }
            }
        }
    }
}

#[async_trait]
impl SyncStore for Troubled<Arc<dyn SyncStore>> {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.inner.read(query).await
    }

    async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>> {
        self.inner.now().await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        let (inner, trouble) = (self.inner.begin(guard).await?, Arc::clone(&self.trouble));
        Ok(Box::new(TroubledTransaction { inner, trouble }))
    }
}

struct TroubledTransaction {
    inner: Box<dyn StoreTransaction>,
    trouble: Arc<Trouble>,
}

#[async_trait]
impl StoreTransaction for TroubledTransaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        self.inner.write(rows).await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        self.inner.next(counter).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, trouble } = *self;
        trouble.commit(inner.commit()).await
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self.inner.as_any_mut()
    }
}

/// What was told, by intent.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl EventListener for Told {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, event: &Event) {
        let line = match event {
            Event::IntentDone { intent, .. } => format!("done {intent}"),
            Event::IntentFailed { intent, .. } => format!("failed {intent}"),
            Event::MailBounced { intent, recipient, hard } => format!("bounced {intent} {recipient} {hard}"),
            Event::MailReplied { intent, by, automatic, .. } => format!("replied {intent} {by} {automatic}"),
            Event::OutcomeResolved { intent, happened } => format!("resolved {intent} {happened}"),
            Event::OutcomeUnknown { intent } => format!("unknown {intent}"),
            Event::SignalParked { id, listener, .. } => format!("parked {id} {listener}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Told {
    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(what)).count()
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A sandbox and a database that outlive the processes on them, on one virtual clock.
pub(crate) struct Rig {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stores: Stores,
    trouble: Arc<Trouble>,
    told: Arc<Told>,
    pub(crate) connection: ConnectionId,
    listener: Option<Arc<dyn SignalListener>>,
}

impl Rig {
    pub(crate) async fn new(gmail: GmailSettings) -> Self {
        let clock: Arc<dyn Clock> = virtual_clock();
        let settings = SandboxSettings { gmail, latency: Duration::from_millis(50), ..SandboxSettings::default() };
        let sandbox = Sandbox::google().with_clock(Arc::clone(&clock)).with_settings(settings).build();
        sandbox.register_person(OWNER, "Ada");
        let (trouble, told, listener) = (Trouble::new(), Arc::default(), None);
        let memory = Arc::new(MemoryStore::with_clock(Arc::clone(&clock)));
        let (stores, connection) = (Stores::from_one(memory), ConnectionId::new(""));
        let mut rig = Self { sandbox, clock, stores, trouble, told, connection, listener };
        let hub = rig.process();
        rig.connection = rig.connect(&hub).await.id;
        rig
    }

    /// A process of the host.
    pub(crate) fn process(&self) -> Hub {
        self.process_with(GmailQuota::Off, (Arc::clone(&self.clock), Arc::clone(&self.stores.sync)))
    }

    /// A process that keeps these limits, with a clock and a view of the store of its own.
    pub(crate) fn process_with(&self, quota: GmailQuota, (clock, sync): (Arc<dyn Clock>, Arc<dyn SyncStore>)) -> Hub {
        let endpoints = GoogleEndpoints::below(&ORIGIN.parse().unwrap()).unwrap();
        let config = GoogleConfig::desktop("sandbox-client").with_endpoints(endpoints).with_quota(quota);
        let trouble = || Arc::clone(&self.trouble);
        let mut stores = self.stores.clone();
        stores.sync = Arc::new(Troubled { inner: sync, trouble: trouble() });
        let everybody = Contacts { everybody: true, ..Contacts::default() };
        let mut signals = SignalOptions::default();
        signals.tries = 3;
        let mut hub = Hub::builder(stores, Arc::new(KeyRing::from_base64(KEY).unwrap()))
            .with_connector(Google::new(config).unwrap())
            .with_transport(Arc::new(Troubled { inner: self.sandbox.transport(), trouble: trouble() }))
            .with_directory(Arc::new(everybody))
            .with_clock(clock)
            .with_signals(signals)
            .with_events(Arc::clone(&self.told) as Arc<dyn EventListener>);
        if let Some(listener) = &self.listener {
            hub = hub.with_signal_listener(Arc::clone(listener));
        }
        hub.build().unwrap()
    }

    async fn connect(&self, hub: &Hub) -> Connection {
        let asked = [Capability::Identity, Capability::MailRead, Capability::MailSend];
        let ask = Authorise::new(asked, "http://127.0.0.1:1/callback");
        let authorisation = hub.authorise(&tenant(), &AppId::new("google"), ask).await.unwrap();
        let back = self.sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
        let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
        match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
            ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Enqueues mails in one transaction, without a hint.
    pub(crate) async fn enqueue(
        &self,
        hub: &Hub,
        numbers: std::ops::Range<usize>,
        options: impl Fn(usize) -> IntentOptions,
    ) {
        let mut prepared = Vec::new();
        for number in numbers {
            let options = options(number).with_key(key(number));
            prepared.push(hub.prepare_send(&tenant(), &self.connection, &mail(number), options).await.unwrap());
        }
        let mut tx = self.stores.sync.begin(None).await.unwrap();
        for prepared in &prepared {
            enqueue(prepared, &mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn intents(&self, hub: &Hub) -> Vec<Intent> {
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let found = hub.outbox(&tenant(), page.as_ref()).await.unwrap();
            all.extend(found.items);
            match found.next {
                Some(next) => page = Some(next),
                None => return all,
            }
        }
    }

    /// Processes come and go until every intent is finished; how many were killed.
    async fn until_finished(&self) -> u64 {
        let mut killed = 0;
        loop {
            let hub = self.process();
            let options = SchedulerOptions::default();
            let scheduler = BundledScheduler::new(Arc::clone(&self.stores.jobs), Arc::clone(&self.clock), options);
            let stop = Shutdown::default();
            let finished = async {
                while self.waits().await {
                    self.clock.sleep(Duration::from_secs(30)).await;
                }
            };
            tokio::select! {
                biased;
                () = self.trouble.crash.notified() => killed += 1,
                () = finished => return killed,
                _ = scheduler.work(Arc::new(hub.clone()), &stop) => unreachable!("nobody stops it"),
            }
        }
    }

    /// Is there anything that the outbox is reminded of?
    async fn waits(&self) -> bool {
        let (space, prefix) = ("outbox_due", String::new());
        let query = StateQuery::Range { tenant: tenant(), space, prefix, after: None, limit: 1 };
        !self.stores.sync.read(&query).await.unwrap().is_empty()
    }

    /// How often each subject is in the service's own Sent folder.
    pub(crate) fn sent(&self) -> BTreeMap<String, usize> {
        let mailbox = self.sandbox.gmail().mailbox(OWNER);
        let mut found = BTreeMap::new();
        for message in mailbox.ids().iter().filter_map(|id| mailbox.message(id)) {
            if message.labels.contains("SENT") {
                let raw = String::from_utf8_lossy(&message.raw).into_owned();
                let subject = raw.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
                *found.entry(subject.trim().to_owned()).or_default() += 1;
            }
        }
        found
    }

    /// Runs a job until it has nothing to do at once.
    pub(crate) async fn run(&self, hub: &Hub, job: Job) -> JobOutcome {
        loop {
            match hub.run(job.clone(), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                end => return end,
            }
        }
    }

    pub(crate) async fn sync(&self, hub: &Hub) {
        self.run(hub, Job::sync_mail(&tenant(), &self.connection)).await;
    }

    pub(crate) async fn send(&self, hub: &Hub) {
        self.run(hub, Job::outbox(&tenant(), &self.connection)).await;
    }

    fn arrives(&self, head: &str, text: &str) {
        let raw = format!("{}\r\n\r\n{text}\r\n", head.replace('\n', "\r\n"));
        self.sandbox.gmail().mailbox(OWNER).deliver(raw, self.sandbox.now(), &["INBOX"]);
    }
}

pub(crate) fn key(number: usize) -> IntentKey {
    IntentKey::new(format!("mail-{number:04}"))
}

pub(crate) fn mail(number: usize) -> Outgoing {
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new(format!("buyer{number}@acme.example"))];
    mail.subject = format!("Offer {number}");
    mail.text = Some(format!("This is offer {number}."));
    mail
}

pub(crate) fn plain(_: usize) -> IntentOptions {
    IntentOptions::default()
}

/// How many sends the great test makes.
fn sends() -> usize {
    std::env::var("INTEGRATION_SENDS").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// Unknown outcomes in the tenant's stream, and their ends.
pub(crate) async fn stored(hub: &Hub) -> (usize, usize) {
    let (mut after, mut unknown, mut resolved) = (0, 0, 0);
    loop {
        let page = hub.events(&tenant(), after, 1_000).await.unwrap();
        assert!(page.reset.is_none(), "the stream has forgotten some");
        for event in &page.events {
            unknown += usize::from(matches!(event.what, EventKind::OutcomeUnknown { .. }));
            resolved += usize::from(matches!(event.what, EventKind::OutcomeResolved { .. }));
        }
        if page.next == after {
            return (unknown, resolved);
        }
        after = page.next;
    }
}

async fn through_all_troubles(rewrite: bool, count: usize) {
    let rig = Rig::new(GmailSettings { rewrite_message_ids: rewrite, ..GmailSettings::default() }).await;
    let hub = rig.process();
    // Every twentieth belongs to one of two orders.
    let options = |number: usize| match number % 20 {
        0 => IntentOptions::default().with_order(format!("line {}", number % 40)),
        _ => IntentOptions::default(),
    };
    let mut killed = 0;
    // A hundred at a time, hours apart: proving that one was not sent reads everything sent since it was first tried.
    for first in (0..count).step_by(100) {
        rig.enqueue(&hub, first..(first + 100).min(count), options).await;
        rig.trouble.on.store(1, Ordering::SeqCst);
        killed += rig.until_finished().await;
        rig.trouble.on.store(0, Ordering::SeqCst);
        rig.clock.sleep(Duration::from_secs(2 * 3600)).await;
    }
    let intents = rig.intents(&hub).await;
    let unknown: u32 = intents.iter().map(|intent| intent.times_unknown).sum();
    let attempts: u32 = intents.iter().map(|intent| intent.attempts).sum();
    let told = rig.told.count("unknown");
    let (stored, resolved) = stored(&hub).await;
    let (met, commits) = (rig.trouble.met.lock().unwrap().clone(), rig.trouble.commits.load(Ordering::SeqCst));
    println!("{count} sends, {attempts} attempts: {met:?}");
    println!("processes killed {killed} times, of these {commits} around a commit");
    println!(
        "outcomes unknown {unknown}: {stored} in the stream and {resolved} resolved there, {told} told to a live process"
    );
    let undone: Vec<&Intent> =
        intents.iter().filter(|intent| !matches!(intent.state, IntentState::Done { .. })).collect();
    assert!(undone.is_empty(), "{undone:?}");
    let sent = rig.sent();
    assert_eq!(sent.len(), count);
    assert!(sent.values().all(|times| *times == 1), "{:?}", sent.iter().filter(|(_, times)| **times > 1));
    // Written with what they tell, whatever was killed when.
    assert_eq!((stored, resolved), (unknown as usize, unknown as usize));
    // A process that is killed right after its commit takes with it what it would have told its listener.
    assert!(unknown as usize - told <= killed as usize, "{unknown} {told} {killed}");
    rig.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn sends_through_all_troubles_are_each_sent_once() {
    through_all_troubles(false, sends()).await;
}

#[tokio::test(start_paused = true)]
async fn sends_whose_message_id_the_service_replaces_are_each_sent_once() {
    through_all_troubles(true, sends() / 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_sent_comes_back_as_one_activity_and_is_answered() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    rig.sync(&hub).await;
    rig.enqueue(&hub, 7..8, plain).await;
    rig.send(&hub).await;
    rig.sync(&hub).await;
    let activities = hub.activities(&tenant()).await.unwrap();
    assert_eq!(activities.len(), 1, "its own mail is one activity");
    assert_eq!(activities[0].summary.intent, Some(key(7)));
    let item = hub.sent_item(&tenant(), &key(7)).await.unwrap().unwrap();
    assert!(item.seen && item.sent_at.is_some());
    rig.arrives(
        &format!(
            "From: Bo <buyer7@acme.example>\nTo: {OWNER}\nSubject: Re: Offer 7\nMessage-ID: <yes@acme.example>\n\
             In-Reply-To: <{0}>\nReferences: <{0}>",
            item.message_id
        ),
        "We take it.",
    );
    rig.sync(&hub).await;
    let item = hub.sent_item(&tenant(), &key(7)).await.unwrap().unwrap();
    assert_eq!(item.replies.len(), 1);
    assert_eq!(item.replies[0].by, "buyer7@acme.example");
    assert_eq!(rig.told.lines(), ["done mail-0007", "replied mail-0007 buyer7@acme.example false"]);
    assert!(rig.sent().values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_bounce_is_noted_in_the_transaction_of_its_activity() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    rig.enqueue(&hub, 1..2, plain).await;
    rig.send(&hub).await;
    let item = hub.sent_item(&tenant(), &key(1)).await.unwrap().unwrap();
    let report = format!(
        "From: Mail Delivery Subsystem <mailer-daemon@acme.example>\nTo: {OWNER}\nSubject: Undelivered\n\
         Message-ID: <b@acme.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b"
    );
    let body = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; acme.example\r\n\r\nFinal-Recipient: rfc822; buyer1@acme.example\r\nAction: failed\r\n\
         Status: 5.1.1\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{}>\r\n\r\n--b--",
        item.message_id
    );
    rig.arrives(&report, &body);
    rig.sync(&hub).await;
    let item = hub.sent_item(&tenant(), &key(1)).await.unwrap().unwrap();
    assert!(item.is_bounced() && !item.is_replied(), "{item:?}");
    assert_eq!(rig.told.count("bounced mail-0001 buyer1@acme.example true"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_the_sync_notices_what_is_due() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    rig.enqueue(&hub, 0..1, plain).await;
    let began = rig.clock.now();
    rig.until_finished().await;
    assert!(rig.clock.now() - began <= chrono::TimeDelta::seconds(60));
    assert_eq!(rig.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_can_be_taken_back_and_what_is_done_cannot() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    let tomorrow = rig.clock.now() + chrono::TimeDelta::days(1);
    rig.enqueue(&hub, 0..2, |number| match number {
        0 => IntentOptions::default().with_not_before(tomorrow),
        _ => IntentOptions::default(),
    })
    .await;
    rig.send(&hub).await;
    hub.cancel_intent(&tenant(), &key(0)).await.unwrap();
    hub.cancel_intent(&tenant(), &key(0)).await.unwrap();
    assert_eq!(hub.cancel_intent(&tenant(), &key(1)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(hub.cancel_intent(&tenant(), &key(9)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(hub.cancel_intent(&TenantId::new("other"), &key(0)).await.unwrap_err().kind(), ErrorKind::NotFound);
    rig.clock.sleep(Duration::from_secs(2 * 24 * 3600)).await;
    rig.send(&hub).await;
    assert_eq!(rig.sent().keys().collect::<Vec<_>>(), ["Offer 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_refuses_fails_and_can_be_tried_again() {
    use integration_testing::{Fault, FaultAction};
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    let refusal = r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#;
    rig.sandbox.script(Fault::new(FaultAction::status(400, refusal)).on_path("/messages/send"));
    rig.enqueue(&hub, 0..1, plain).await;
    rig.send(&hub).await;
    let intent = hub.intent(&tenant(), &key(0)).await.unwrap().unwrap();
    assert!(
        matches!(&intent.state, IntentState::Failed { failure, .. } if failure.kind == "invalid_input"),
        "{intent:?}"
    );
    hub.retry_failed(&tenant(), &key(0)).await.unwrap();
    rig.send(&hub).await;
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.told.lines(), ["failed mail-0000", "done mail-0000"]);
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_cannot_be_sent_is_refused_before_it_is_stored() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    let mut nobody = mail(0);
    nobody.to.clear();
    let mut injected = mail(0);
    injected.subject = "a\r\nBcc: eve@evil.example".to_owned();
    let mut ours = mail(0);
    ours.headers = vec![("x-integration-send-key".to_owned(), "mine".to_owned())];
    for refused in [nobody, injected, ours] {
        let error = hub.prepare_send(&tenant(), &rig.connection, &refused, plain(0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let other = TenantId::new("other");
    let error = hub.prepare_send(&other, &rig.connection, &mail(0), plain(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Takes what it is given, or not.
#[derive(Debug, Default)]
struct Listener {
    refuses: AtomicU64,
    heard: Mutex<Vec<String>>,
}

#[async_trait]
impl SignalListener for Listener {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wants(&self, kind: &str) -> bool {
        kind != "contact_changed"
    }

    async fn on_signal(&self, _: &TenantId, signal: &Signal) -> Result<()> {
        self.heard.lock().unwrap().push(signal.id.clone());
        if self.refuses.load(Ordering::SeqCst) > 0 {
            self.refuses.fetch_sub(1, Ordering::SeqCst);
            panic!("as the test asks");
        }
        Ok(())
    }
}

fn won(id: &str) -> Signal {
    Signal::new(id, SignalKind::DealWon { deal: "7".to_owned() })
}

#[tokio::test(start_paused = true)]
async fn a_signal_told_twice_is_heard_once_and_forgotten_after_a_month() {
    let mut rig = Rig::new(GmailSettings::default()).await;
    let listener = Arc::new(Listener::default());
    rig.listener = Some(Arc::clone(&listener) as Arc<dyn SignalListener>);
    let hub = rig.process();
    let signals = Job::signals(&tenant());
    for _ in 0..2 {
        hub.signal(&tenant(), won("s1")).await.unwrap();
        rig.run(&hub, signals.clone()).await;
    }
    let own = SignalKind::Own { name: "shipped".to_owned(), data: serde_json::json!({"parcel": 9}) };
    hub.signal(&tenant(), Signal::new("s2", own.clone())).await.unwrap();
    rig.run(&hub, signals.clone()).await;
    assert_eq!(*listener.heard.lock().unwrap(), ["s1", "s2"]);
    assert_eq!(hub.signal(&tenant(), Signal::new("s1", own)).await.unwrap_err().kind(), ErrorKind::Conflict);
    rig.clock.sleep(Duration::from_secs(31 * 24 * 3600)).await;
    rig.run(&hub, signals.clone()).await;
    assert!(hub.signals(&tenant(), None).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_is_called_again_and_the_signal_parked_in_the_end() {
    let mut rig = Rig::new(GmailSettings::default()).await;
    let listener = Arc::new(Listener::default());
    rig.listener = Some(Arc::clone(&listener) as Arc<dyn SignalListener>);
    listener.refuses.store(4, Ordering::SeqCst);
    let hub = rig.process();
    hub.signal(&tenant(), won("s1")).await.unwrap();
    for _ in 0..10 {
        rig.run(&hub, Job::signals(&tenant())).await;
        rig.clock.sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(listener.heard.lock().unwrap().len(), 3);
    let record = hub.signal_record(&tenant(), "s1").await.unwrap().unwrap();
    assert_eq!(record.state, SignalState::Parked);
    assert_eq!(rig.told.lines(), ["parked s1 test"]);
    hub.retry_signal(&tenant(), "s1").await.unwrap();
    for _ in 0..3 {
        rig.run(&hub, Job::signals(&tenant())).await;
        rig.clock.sleep(Duration::from_secs(60)).await;
    }
    let record = hub.signal_record(&tenant(), "s1").await.unwrap().unwrap();
    assert_eq!(record.state, SignalState::Done);
    assert_eq!(listener.heard.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_changed_contact_is_matched_again_by_a_signal() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    rig.arrives(&format!("From: bo@acme.example\nTo: {OWNER}\nSubject: Hi\nMessage-ID: <1@acme.example>"), "Hello");
    rig.sync(&hub).await;
    let change = DirectoryChange::of_addresses(["bo@acme.example"]);
    hub.signal(&tenant(), Signal::new("c1", SignalKind::ContactChanged(change))).await.unwrap();
    rig.run(&hub, Job::signals(&tenant())).await;
    let prefix = String::new();
    let query = StateQuery::Range { tenant: tenant(), space: "again", prefix, after: None, limit: 10 };
    assert_eq!(rig.stores.sync.read(&query).await.unwrap().len(), 1, "queued to be decided anew");
}
