//! A service that keeps a book, what goes wrong with it, and a store whose process can be killed.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};

use crate::{
    clock::Clock,
    connection::{Connection, Connector, Grant, GrantKind, RemoteAccount},
    email::LookUp,
    error::{Actor, Error, ErrorKind, Remedy, Result},
    event::{Event, EventListener, EventRetention},
    ids::{AppId, ConnectionId, GrantId, TenantId},
    outbox::{
        Effect, EffectCall, Intent, IntentKey, IntentOptions, Outbox, OutboxEnd, OutboxOptions, OutboxParts, Performed,
        PreparedIntent, SEND_MAIL, SendMail, enqueue, rows,
    },
    secret::SecretBytes,
    store::{
        CounterKey, LeaseGuard, MemoryStore, StateKey, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore,
    },
    sync::Shutdown,
    testing::{PlainConnector, ScriptedTransport, SeededRandom, test_session, virtual_clock},
    vault::{SealContext, Sealer},
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// Not now; nothing happened.
    Busy,
    /// It happened; the answer cannot be read.
    Garbled,
    /// It happened; the answer is lost.
    LostAfter,
    /// It did not happen, and nobody is told.
    LostBefore,
    /// Somebody has to sign in.
    NeedsPerson,
    /// It happened, then our own code panicked.
    Panics,
    /// Never.
    Refused,
    /// It happens, after a while.
    Slow,
}

/// The service: what happened, in order.
#[derive(Debug, Default)]
pub(super) struct Service {
    book: Mutex<Vec<(String, String, Instant)>>,
    fates: Mutex<BTreeMap<String, VecDeque<Fate>>>,
    lag: Mutex<Duration>,
    blind: Mutex<Option<(u32, ErrorKind)>>,
    look_ups: AtomicU32,
    proof: Mutex<Duration>,
    /// What the look-ups that were to prove something were told.
    proofs: Mutex<Vec<Proof>>,
}

/// Where a look-up that is to prove something has to look, and how long it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) age: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) time: Duration,
}

impl Service {
    pub(super) fn fate(&self, what: &str, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().insert(what.to_owned(), fates.into_iter().collect());
    }

    /// How long its search takes to see what happened.
    pub(super) fn lag(&self, lag: Duration) {
        *self.lag.lock().unwrap() = lag;
    }

    /// So many look-ups fail with this.
    pub(super) fn blind(&self, times: u32, kind: ErrorKind) {
        *self.blind.lock().unwrap() = Some((times, kind));
    }

    /// How long a look-up takes that is to prove something.
    pub(super) fn proof_takes(&self, time: Duration) {
        *self.proof.lock().unwrap() = time;
    }

    pub(super) fn proofs(&self) -> Vec<Proof> {
        self.proofs.lock().unwrap().clone()
    }

    pub(super) fn look_ups(&self) -> u32 {
        self.look_ups.load(Ordering::SeqCst)
    }

    fn happen(&self, what: &str, token: &str) -> Performed {
        self.book.lock().unwrap().push((what.to_owned(), token.to_owned(), Instant::now()));
        Performed::new("entry", token).with_version("1")
    }
}

#[derive(Debug)]
struct Write {
    service: Arc<Service>,
    kill: Arc<Kill>,
}

#[async_trait]
impl Effect for Write {
    fn kind(&self) -> &'static str {
        "write"
    }

    async fn perform(&self, call: &EffectCall) -> Result<Performed> {
        let what = String::from_utf8_lossy(&call.content).into_owned();
        let fate = self.service.fates.lock().unwrap().get_mut(&what).and_then(VecDeque::pop_front);
        let refused = |kind, text: &str| Err(Error::new(kind, text));
        let happen = || self.service.happen(&what, &call.token);
        self.kill.boundary().await;
        match fate {
            Some(Fate::Busy) => refused(ErrorKind::Unavailable, "not now"),
            Some(Fate::LostBefore) => refused(ErrorKind::OutcomeUnknown, "no answer"),
            Some(Fate::NeedsPerson) => refused(ErrorKind::ReauthorisationNeeded, "sign in"),
            Some(Fate::Refused) => {
                let remedy = Remedy::new("It is not allowed.", Actor::Operator, "Ask for less.");
                Err(Error::new(ErrorKind::InvalidInput, "no").with_remedy(remedy))
            }
            Some(Fate::LostAfter) => {
                happen();
                refused(ErrorKind::OutcomeUnknown, "no answer")
            }
            Some(Fate::Garbled) => {
                happen();
                refused(ErrorKind::Validation, "what?")
            }
            Some(Fate::Panics) => {
                happen();
                panic!("as the test asks")
            }
            Some(Fate::Slow) => {
                tokio::time::sleep(Duration::from_secs(100)).await;
                Ok(happen())
            }
            None => {
                let done = happen();
                self.kill.boundary().await;
                Ok(done)
            }
        }
    }

    async fn find(&self, call: &EffectCall) -> Result<Option<Performed>> {
        self.service.look_ups.fetch_add(1, Ordering::SeqCst);
        if let Some((left, kind)) = self.service.blind.lock().unwrap().as_mut().filter(|(left, _)| *left > 0) {
            *left -= 1;
            return Err(Error::new(*kind, "cannot say"));
        }
        if call.look_up == LookUp::Proof {
            let parts = call.session.parts();
            let time = parts.deadline.map(|deadline| (deadline - parts.clock.now()).to_std().unwrap());
            let proof = Proof { age: call.age, ended: call.ended, time: time.unwrap() };
            self.service.proofs.lock().unwrap().push(proof);
            let takes = *self.service.proof.lock().unwrap();
            tokio::time::sleep(takes).await;
        }
        let lag = *self.service.lag.lock().unwrap();
        let book = self.service.book.lock().unwrap();
        let seen = book.iter().any(|(_, token, at)| *token == call.token && at.elapsed() >= lag);
        Ok(seen.then(|| Performed::new("entry", call.token.clone()).with_version("1")))
    }
}

/// Ends the "process" at a boundary: whatever runs waits for ever, and is dropped by who started it.
#[derive(Debug)]
struct Kill {
    left: AtomicI64,
    /// What is begun is not written down: the sabotage that the tests must notice.
    forgetful: AtomicBool,
    killed: Notify,
}

impl Kill {
    async fn boundary(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug)]
struct Mortal {
    store: MemoryStore,
    kill: Arc<Kill>,
}

#[async_trait]
impl SyncStore for Mortal {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.store.read(query).await
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        self.store.now().await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Ok(Box::new(MortalTransaction { inner: self.store.begin(guard).await?, kill: Arc::clone(&self.kill) }))
    }
}

struct MortalTransaction {
    inner: Box<dyn StoreTransaction>,
    kill: Arc<Kill>,
}

#[async_trait]
impl StoreTransaction for MortalTransaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        let begins = |row: &&StateWrite| {
            let text = row.bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            row.space == "outbox" && text.contains(r#""state":"sending""#)
        };
        if self.kill.forgetful.load(Ordering::SeqCst) && rows.iter().any(|row| begins(&row)) {
            return Ok(());
        }
        self.inner.write(rows).await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        self.inner.next(counter).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, kill } = *self;
        kill.boundary().await;
        let done = inner.commit().await;
        kill.boundary().await;
        done
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self.inner.as_any_mut()
    }
}

/// Not secret, but bound to its record.
#[derive(Debug)]
pub(super) struct Plain;

#[async_trait]
impl Sealer for Plain {
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Bytes> {
        Ok([context.record.as_bytes(), b"|", plain].concat().into())
    }

    async fn open(&self, context: &SealContext, sealed: &[u8]) -> Result<SecretBytes> {
        let plain = sealed.strip_prefix([context.record.as_bytes(), b"|"].concat().as_slice());
        plain.map(SecretBytes::new).ok_or_else(|| Error::new(ErrorKind::Validation, "of another record"))
    }
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl EventListener for Told {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, event: &Event) {
        let line = match event {
            Event::IntentDone { intent, .. } => format!("done {intent}"),
            Event::IntentFailed { intent, .. } => format!("failed {intent}"),
            Event::OutcomeResolved { intent, happened: true } => format!("happened {intent}"),
            Event::OutcomeResolved { intent, happened: false } => format!("absent {intent}"),
            Event::OutcomeUnknown { intent } => format!("unknown {intent}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

/// An account of a tenant.
pub(super) fn connection(parts: &OutboxParts) -> Connection {
    let (tenant, grant) = (TenantId::new("t"), GrantId::new("g"));
    let grant =
        Grant::new(grant, tenant.clone(), AppId::new("app"), GrantKind::AppOnly { subject: None }, parts.clock.now());
    let account = RemoteAccount::new("account", "Account").with_address("me@own.example");
    Connection::new(ConnectionId::new("c"), &grant, account, [].into())
}

/// One connection's outbox at that service.
pub(super) struct World {
    pub(super) store: Arc<dyn SyncStore>,
    pub(super) tenant: TenantId,
    pub(super) service: Arc<Service>,
    pub(super) options: OutboxOptions,
    memory: MemoryStore,
    kill: Arc<Kill>,
    told: Arc<Told>,
    parts: OutboxParts,
    connection: Connection,
}

impl World {
    pub(super) fn new() -> Self {
        let kill =
            Arc::new(Kill { left: AtomicI64::new(i64::MAX), forgetful: AtomicBool::new(false), killed: Notify::new() });
        let clock: Arc<dyn Clock> = virtual_clock();
        let memory = MemoryStore::with_clock(Arc::clone(&clock));
        let store: Arc<dyn SyncStore> = Arc::new(Mortal { store: memory.clone(), kill: Arc::clone(&kill) });
        let parts = OutboxParts::new(Arc::clone(&store), Arc::new(Plain), clock, Arc::new(SeededRandom::new(7)));
        let connection = connection(&parts);
        let tenant = connection.tenant.clone();
        let options = OutboxOptions::default();
        let (service, told) = (Arc::default(), Arc::default());
        Self { store, tenant, service, options, memory, kill, told, parts, connection }
    }

    fn outbox(&self) -> Outbox {
        let base = "https://service.example".parse().unwrap();
        let connector: Arc<dyn Connector> = Arc::new(PlainConnector::new(&base));
        let write: Arc<dyn Effect> =
            Arc::new(Write { service: Arc::clone(&self.service), kill: Arc::clone(&self.kill) });
        Outbox {
            parts: self.parts.clone(),
            connection: self.connection.clone(),
            session: test_session(Arc::new(ScriptedTransport::new([])), Arc::clone(&connector)).build(),
            connector,
            leases: Arc::new(self.memory.clone()),
            events: Arc::clone(&self.told) as Arc<dyn EventListener>,
            kept: EventRetention::default(),
            effects: BTreeMap::from([("write", write), (SEND_MAIL, Arc::new(SendMail) as Arc<dyn Effect>)]),
            options: self.options.clone(),
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    pub(super) async fn prepare(&self, what: &str, options: IntentOptions) -> Result<PreparedIntent> {
        let kind = (&self.connection, "write");
        let token = self.parts.random.token(9);
        self.parts.prepare(kind, &token, what.as_bytes(), (options, &self.options)).await
    }

    pub(super) async fn write(&self, prepared: &PreparedIntent) -> Result<()> {
        let mut tx = self.store.begin(None).await?;
        enqueue(prepared, &mut *tx).await?;
        tx.commit().await
    }

    pub(super) async fn enqueue(&self, what: &str, options: IntentOptions) {
        let prepared = self.prepare(what, options).await.unwrap();
        self.write(&prepared).await.unwrap();
    }

    pub(super) async fn slice(&self) -> OutboxEnd {
        self.slice_until(&Shutdown::default()).await
    }

    pub(super) async fn slice_until(&self, stop: &Shutdown) -> OutboxEnd {
        self.outbox().slice(stop).await.unwrap()
    }

    /// The process ends at the boundary `number` from now.
    pub(super) fn kill_at(&self, number: u64) {
        self.kill.left.store(i64::try_from(number).unwrap(), Ordering::SeqCst);
    }

    /// From now on nobody writes down what is begun.
    pub(super) fn forget_beginnings(&self) {
        self.kill.forgetful.store(true, Ordering::SeqCst);
    }

    /// Slices until nothing waits any more; true if the process was killed on the way.
    pub(super) async fn until_finished(&self) -> bool {
        let mut killed = false;
        for _ in 0..10_000 {
            let end = tokio::select! {
                biased;
                () = self.kill.killed.notified() => None,
                end = self.slice() => Some(end),
            };
            match end {
                None => killed = true,
                Some(OutboxEnd::Idle(None)) => return killed,
                Some(OutboxEnd::Idle(Some(wait))) => tokio::time::sleep(wait).await,
                Some(OutboxEnd::Busy) => tokio::time::sleep(Duration::from_secs(5)).await,
                Some(OutboxEnd::More) => {}
            }
        }
        panic!("never finished: {:?}", self.told());
    }

    /// One slice, or what of it comes before the process is killed; true if it was.
    pub(super) async fn until_killed(&self) -> bool {
        let killed = tokio::select! {
            biased;
            () = self.kill.killed.notified() => true,
            _ = self.slice() => false,
        };
        tokio::time::sleep(self.options.lease).await;
        killed
    }

    pub(super) fn book(&self) -> Vec<String> {
        self.service.book.lock().unwrap().iter().map(|(what, ..)| what.clone()).collect()
    }

    pub(super) fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }

    pub(super) async fn intent(&self, key: &str) -> Intent {
        rows::read_intent(&*self.store, &self.tenant, &IntentKey::new(key)).await.unwrap().unwrap().0
    }

    /// As if it had been erased.
    pub(super) async fn forget(&self, key: &str) {
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&[StateWrite::delete(&self.tenant, "outbox", StateKey::new([key]))]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn rows(&self, space: &'static str) -> Vec<StateRow> {
        let (tenant, prefix) = (self.tenant.clone(), String::new());
        self.store.read(&StateQuery::Range { tenant, space, prefix, after: None, limit: 10_000 }).await.unwrap()
    }
}

/// What the sync of the same mailbox, or of a colleague's, sees of mail.
impl World {
    /// Prepares and enqueues a mail to `to`; its `Message-ID`.
    pub(super) async fn mail(&self, key: &str, to: &str) -> String {
        let mut mail = crate::email::Outgoing::default();
        (mail.to, mail.subject) = (vec![crate::email::Address::new(to)], "Offer".to_owned());
        mail.text = Some("Hello".to_owned());
        let options = IntentOptions::default().with_key(IntentKey::new(key));
        let prepared =
            crate::outbox::prepare_mail(&self.parts, &self.connection, &mail, options, &self.options).await.unwrap();
        self.write(&prepared).await.unwrap();
        prepared.intent().token.clone()
    }

    /// The sync of `connection`, whose owner is `own`, meets a message; what is told of it, and the intent that sent it.
    pub(super) async fn sees(
        &self,
        (connection, own): (&str, &str),
        id: &str,
        message: &crate::email::Message,
    ) -> (Vec<Event>, Option<IntentKey>) {
        let summary = crate::activity::Summary::of(message, &[own.to_owned()], &[]);
        let place = (&*self.store, &self.tenant);
        let sights = [(id, message, &summary)];
        let mut seen =
            crate::outbox::observe(place, &ConnectionId::new(connection), &sights, self.now()).await.unwrap();
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&seen.writes).await.unwrap();
        tx.commit().await.unwrap();
        (seen.told, seen.ours.remove(id))
    }

    pub(super) async fn item(&self, key: &str) -> crate::outbox::SentItem {
        let found = rows::read_row(&*self.store, &self.tenant, "sent", StateKey::new([key])).await.unwrap();
        found.unwrap().0
    }

    /// The intent is in this state, as a worker would have left it.
    pub(super) async fn put_state(&self, key: &str, state: crate::outbox::IntentState) {
        let mut intent = self.intent(key).await;
        (intent.state, intent.attempts) = (state, 1);
        let row = rows::put(&self.tenant, "outbox", StateKey::new([key]), &intent).unwrap();
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&[row]).await.unwrap();
        tx.commit().await.unwrap();
    }
}
