//! Killed at any moment (SIGKILL) and started again over the same database, an outbox sends each mail once: one process on a
//! SQLite file, and four on a server. `INTEGRATION_KILL_SENDS` sets how many mails the four send.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use integration_core::{
    connection::Capability,
    email::{Address, Depth, EmailProviderExt, MessageQuery, Outgoing},
    hub::Hub,
    ids::{ConnectionId, FolderId, MessageId},
    oauth::Authorise,
    outbox::{IntentKey, IntentOptions, IntentState, OutboxOptions, enqueue},
    store::SyncStore,
    sync::{Fetched, Job, JobOutcome, Shutdown},
};

use crate::{
    far::FarSandbox,
    outbox::stored,
    place::{Places, StoreUrl},
    service::Service,
    worker::{self, tenant},
};

const MAILS: usize = 40;
/// How long each call of the mail API takes: a send is under way at most moments.
const CALL: Duration = Duration::from_millis(20);

/// Set: the outbox of a process waits longer before it believes anything absent.
const PATIENT: &str = "INTEGRATION_TEST_PATIENT_OUTBOX";

/// Short enough for a test, and still longer than a killed worker's request can live on; a patient one also longer than a
/// living worker may be kept from going on while others, on a busy machine, take its work over.
pub(crate) fn quick() -> OutboxOptions {
    let mut options = OutboxOptions::default();
    if std::env::var_os(PATIENT).is_some() {
        options.attempt = Duration::from_secs(1);
        options.first_look_up = Duration::from_millis(400);
        options.first_wait = Duration::from_millis(100);
        options.absent_after = Duration::from_secs(6);
        options.lease = Duration::from_secs(1);
        return options;
    }
    options.attempt = Duration::from_millis(500);
    options.first_look_up = Duration::from_millis(100);
    options.first_wait = Duration::from_millis(100);
    options.absent_after = Duration::from_millis(1_500);
    options.lease = Duration::from_millis(400);
    options
}

fn key(number: usize) -> IntentKey {
    IntentKey::new(format!("offer-{number}"))
}

fn sending() -> Authorise {
    let asked = [Capability::Identity, Capability::MailRead, Capability::MailSend];
    Authorise::new(asked, Service::Google.callback())
}

/// Enqueues the mail of this number; nothing happens if it is known.
async fn put(hub: &Hub, store: &dyn SyncStore, (from, number): (&ConnectionId, usize)) {
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new("buyer@acme.example")];
    mail.subject = format!("Offer {number}");
    mail.text = Some("As promised.".to_owned());
    let options = IntentOptions::default().with_key(key(number));
    let prepared = hub.prepare_send(&tenant(), from, &mail, options).await.unwrap();
    let mut tx = store.begin(None).await.unwrap();
    enqueue(&prepared, &mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// What a process does: enqueues what is to be sent, as often as it is started, and works until all of it is finished.
pub(crate) async fn work(hub: &Hub, database: &StoreUrl, origin: &str) {
    let connection = match hub.connections(&tenant()).await.unwrap().pop() {
        Some(connection) => connection,
        None => worker::sign_in(hub, origin, Service::Google, sending()).await,
    };
    let store = database.stores().await.sync;
    for number in 0..MAILS {
        put(hub, &*store, (&connection.id, number)).await;
    }
    let job = Job::outbox(&tenant(), &connection.id);
    loop {
        match hub.run(job.clone(), &Shutdown::default()).await {
            JobOutcome::Continue => {}
            JobOutcome::Done { again_in: None } => return,
            JobOutcome::Done { again_in: Some(wait) } => tokio::time::sleep(wait.min(Duration::from_millis(100))).await,
            JobOutcome::Failed { error, .. } => panic!("{error}"),
            _ => unreachable!("no other outcome is known"),
        }
    }
}

/// How often each subject is in the Sent folders.
async fn sent(hub: &Hub) -> BTreeMap<String, usize> {
    let mut subjects = BTreeMap::new();
    for connection in hub.connections(&tenant()).await.unwrap() {
        let provider = hub.email(&tenant(), &connection.id).await.unwrap();
        let mut query = MessageQuery::default();
        query.folder = Some(FolderId::new("SENT"));
        let ids: Vec<MessageId> = provider.messages(query).map_ok(|stub| stub.id).try_collect().await.unwrap();
        for fetched in provider.fetch(&ids, Depth::Headers).await.unwrap() {
            let Fetched::Present { item, .. } = fetched else { panic!("{fetched:?}") };
            *subjects.entry(item.subject).or_default() += 1;
        }
    }
    subjects
}

/// Each mail is done and in a Sent folder once, and each outcome that was unknown was told and found out; how many were, and
/// how many attempts there were.
async fn assert_once(hub: &Hub, mails: usize) -> (u32, u32) {
    let (mut unknown, mut attempts) = (0, 0);
    for number in 0..mails {
        let intent = hub.intent(&tenant(), &key(number)).await.unwrap().unwrap();
        assert!(matches!(intent.state, IntentState::Done { .. }), "{intent:?}");
        (unknown, attempts) = (unknown + intent.times_unknown, attempts + intent.attempts);
    }
    let sent = sent(hub).await;
    assert_eq!(sent.len(), mails);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert_eq!(stored(hub).await, (unknown as usize, unknown as usize), "told and found out");
    (unknown, attempts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_whose_process_is_killed_again_and_again_sends_each_mail_once() {
    let place = tempfile::tempdir().unwrap();
    let database = StoreUrl::from(&place.path().join("host.db"));
    std::fs::create_dir_all(place.path().join("mail")).unwrap();
    let sandbox = FarSandbox::start(&place.path().join("mail"));
    sandbox.slow_down(CALL).await;
    let start = || worker::command("send", &database, &sandbox.origin).spawn().unwrap();
    let (mut killed, mut runs) = (0, 0);
    loop {
        let mut process = start();
        let target = sandbox.calls().await + 5 + runs % 7;
        while sandbox.calls().await < target && process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(CALL.mul_f64((runs % 5) as f64 / 5.0)).await;
        process.kill().unwrap();
        let status = process.wait().unwrap();
        runs += 1;
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{status}");
        killed += 1;
        assert!(runs < 100, "it gets nowhere");
    }
    let hub = worker::hub(&database, &sandbox.origin).await;
    let (unknown, attempts) = assert_once(&hub, MAILS).await;
    println!("killed {killed} times: {MAILS} mails, {attempts} attempts, {unknown} outcomes unknown and found out");
    assert!(killed >= 3 && unknown >= 1, "killed {killed}, unknown {unknown}");
    sandbox.conforms().await;
}

const PROCESSES: usize = 4;

/// Processes that work off all jobs of one database; whatever is left of them is killed at the end.
struct Senders {
    processes: Vec<Child>,
    url: StoreUrl,
    sandbox: FarSandbox,
    hub: Hub,
    store: Arc<dyn SyncStore>,
    mails: usize,
}

impl Drop for Senders {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Senders {
    /// As many mailboxes as processes, so that each has one to send from.
    async fn new(url: StoreUrl, mail: &std::path::Path, mails: usize) -> Self {
        let sandbox = FarSandbox::start(mail);
        let hub = worker::hub(&url, &sandbox.origin).await;
        let mut connections = Vec::new();
        for index in 0..PROCESSES {
            let address = format!("seller{index}@example.com");
            connections.push(worker::connect_somebody((&hub, &sandbox), &tenant(), &address, sending()).await.id);
        }
        let store = url.stores().await.sync;
        for number in 0..mails {
            put(&hub, &*store, (&connections[number % PROCESSES], number)).await;
        }
        for connection in &connections {
            hub.outbox_changed(&tenant(), connection).await.unwrap();
        }
        Self { processes: Vec::new(), url, sandbox, hub, store, mails }
    }

    fn start(&self) -> Child {
        let mut command = worker::command("work", &self.url, &self.sandbox.origin);
        command.env(worker::LEASE, "700").env(PATIENT, "1").spawn().unwrap()
    }

    async fn left(&self) -> usize {
        worker::rows(&*self.store, "outbox_due").await.len()
    }

    /// Kills one after the other, each after some more calls, for as long as mail is left; how often.
    async fn kill_while_sending(&mut self) -> usize {
        let (mut kills, began) = (0, Instant::now());
        while self.left().await > self.mails / 10 {
            let target = self.sandbox.calls().await + 3 + kills as u64 % 7;
            while self.sandbox.calls().await < target && self.left().await > 0 {
                assert!(began.elapsed() < Duration::from_secs(300), "it gets nowhere");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let chosen = kills % PROCESSES;
            self.processes[chosen].kill().unwrap();
            assert_eq!(self.processes[chosen].wait().unwrap().signal(), Some(9), "it ended by itself");
            self.processes[chosen] = self.start();
            kills += 1;
        }
        kills
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_of_four_processes_on_one_server_that_are_killed_in_turn_sends_each_mail_once() {
    let Some(places) = Places::server().await else { return };
    let mails = std::env::var("INTEGRATION_KILL_SENDS").map_or(60, |count| count.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let mut senders = Senders::new(places.fresh("outbox").await, place.path(), mails).await;
    senders.sandbox.slow_down(CALL * 4).await;
    senders.processes = (0..PROCESSES).map(|_| senders.start()).collect();
    let kills = senders.kill_while_sending().await;
    let began = Instant::now();
    while senders.left().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "mail is left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (unknown, attempts) = assert_once(&senders.hub, mails).await;
    println!(
        "{PROCESSES} processes, {kills} kills: {mails} mails, {attempts} attempts, {unknown} outcomes unknown, told and found out"
    );
    assert!(kills >= PROCESSES && unknown >= 1, "{kills} kills, {unknown} unknown");
    senders.sandbox.conforms().await;
}
