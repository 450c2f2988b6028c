//! Killed at any moment (SIGKILL) and started again over the same SQLite file, an outbox sends each mail once.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, path::Path, time::Duration};

use futures_util::TryStreamExt;
use integration_core::{
    connection::Capability,
    email::{Address, Depth, EmailProviderExt, MessageQuery, Outgoing},
    hub::Hub,
    ids::{FolderId, MessageId},
    oauth::Authorise,
    outbox::{IntentKey, IntentOptions, IntentState, OutboxOptions, enqueue},
    store::{SyncStore, sqlite::SqliteStore},
    sync::{Fetched, Job, JobOutcome, Shutdown},
};

use crate::{
    far::FarSandbox,
    service::Service,
    worker::{self, tenant},
};

const MAILS: usize = 40;
/// How long each call of the mail API takes: a send is under way at most moments.
const CALL: Duration = Duration::from_millis(20);

/// Short enough for a test, and still longer than a killed worker's request can live on.
pub(crate) fn quick() -> OutboxOptions {
    let mut options = OutboxOptions::default();
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

/// What a process does: enqueues what is to be sent, as often as it is started, and works until all of it is finished.
pub(crate) async fn work(hub: &Hub, database: &Path, origin: &str) {
    let ask =
        Authorise::new([Capability::Identity, Capability::MailRead, Capability::MailSend], Service::Google.callback());
    let connection = match hub.connections(&tenant()).await.unwrap().pop() {
        Some(connection) => connection,
        None => worker::sign_in(hub, origin, Service::Google, ask).await,
    };
    let store = SqliteStore::open(database).await.unwrap();
    for number in 0..MAILS {
        let mut mail = Outgoing::default();
        mail.to = vec![Address::new("buyer@acme.example")];
        mail.subject = format!("Offer {number}");
        mail.text = Some("As promised.".to_owned());
        let options = IntentOptions::default().with_key(key(number));
        let prepared = hub.prepare_send(&tenant(), &connection.id, &mail, options).await.unwrap();
        let mut tx = store.begin(None).await.unwrap();
        enqueue(&prepared, &mut *tx).await.unwrap();
        tx.commit().await.unwrap();
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

/// How often each subject is in the Sent folder.
async fn sent(hub: &Hub) -> BTreeMap<String, usize> {
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let provider = hub.email(&tenant(), &connection.id).await.unwrap();
    let mut query = MessageQuery::default();
    query.folder = Some(FolderId::new("SENT"));
    let ids: Vec<MessageId> = provider.messages(query).map_ok(|stub| stub.id).try_collect().await.unwrap();
    let mut subjects = BTreeMap::new();
    for fetched in provider.fetch(&ids, Depth::Headers).await.unwrap() {
        let Fetched::Present { item, .. } = fetched else { panic!("{fetched:?}") };
        *subjects.entry(item.subject).or_default() += 1;
    }
    subjects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_whose_process_is_killed_again_and_again_sends_each_mail_once() {
    let place = tempfile::tempdir().unwrap();
    let database = place.path().join("host.db");
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
    let (mut unknown, mut attempts) = (0, 0);
    for number in 0..MAILS {
        let intent = hub.intent(&tenant(), &key(number)).await.unwrap().unwrap();
        assert!(matches!(intent.state, IntentState::Done { .. }), "{intent:?}");
        (unknown, attempts) = (unknown + intent.times_unknown, attempts + intent.attempts);
    }
    println!("killed {killed} times: {MAILS} mails, {attempts} attempts, {unknown} outcomes unknown and found out");
    let sent = sent(&hub).await;
    assert_eq!(sent.len(), MAILS);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    assert!(killed >= 3 && unknown >= 1, "killed {killed}, unknown {unknown}");
    sandbox.conforms().await;
}
