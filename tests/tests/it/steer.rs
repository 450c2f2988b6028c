//! Steering a connection through the hub: pause, resume, cancel, quarantine, disconnect.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use integration_core::{
    ErrorKind, Result,
    activity::{ActivityChange, Batch, Directory, DirectoryAnswer, DirectoryQuery, Person, Sink},
    connection::{Capability, Connection, ConnectionStatus},
    event::{Event, EventListener, Phase},
    hub::Hub,
    ids::{AppId, ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome, Forget, Revocation},
    store::{MemoryStore, StoreTransaction, Stores},
    sync::{Job, JobOutcome, Shutdown},
    vault::KeyRing,
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, Fault, FaultAction, ORIGIN, Sandbox};

const OWNER: &str = "ada@example.com";
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The ids on the host's timeline, told by batches alone.
#[derive(Debug, Default)]
struct Timeline(Mutex<BTreeSet<String>>);

#[async_trait]
impl Sink for Timeline {
    async fn apply(&self, batch: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        let mut shown = self.0.lock().unwrap();
        for change in &batch.activities {
            match change {
                ActivityChange::Upserted { activity } => drop(shown.insert(activity.id.to_string())),
                ActivityChange::Removed { id } => drop(shown.remove(id.as_str())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Knows everybody.
#[derive(Debug)]
struct Everybody;

#[async_trait]
impl Directory for Everybody {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        answer.people = ask.addresses.iter().map(|address| Person::new(address, address, address)).collect();
        Ok(answer)
    }
}

/// Keeps the progress.
#[derive(Debug, Default)]
struct Watcher(Mutex<Vec<integration_core::event::Progress>>);

impl EventListener for Watcher {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, event: &Event) {
        if let Event::Progress(progress) = event {
            self.0.lock().unwrap().push(*progress);
        }
    }
}

struct World {
    sandbox: Sandbox,
    hub: Hub,
    timeline: Arc<Timeline>,
    watcher: Arc<Watcher>,
    tenant: TenantId,
    connection: Connection,
}

impl World {
    async fn with_messages(count: usize) -> Self {
        let sandbox = Sandbox::google().build();
        sandbox.register_person(OWNER, "Ada");
        for number in 0..count {
            deliver(&sandbox, number, "INBOX");
        }
        let endpoints = GoogleEndpoints::below(&ORIGIN.parse().unwrap()).unwrap();
        let (timeline, watcher) = (Arc::new(Timeline::default()), Arc::new(Watcher::default()));
        let hub = Hub::builder(
            Stores::from_one(Arc::new(MemoryStore::default())),
            Arc::new(KeyRing::from_base64(KEY).unwrap()),
        )
        .with_connector(Google::new(GoogleConfig::desktop("sandbox-client").with_endpoints(endpoints)).unwrap())
        .with_transport(sandbox.transport())
        .with_directory(Arc::new(Everybody))
        .with_sink(Arc::clone(&timeline) as Arc<dyn Sink>)
        .with_events(Arc::clone(&watcher) as Arc<dyn EventListener>)
        .build()
        .unwrap();
        let tenant = TenantId::new("tenant");
        let connection = connect(&sandbox, &hub, &tenant).await;
        Self { sandbox, hub, timeline, watcher, tenant, connection }
    }

    /// Slices until there is nothing to do at once; the last outcome.
    async fn sync(&self) -> JobOutcome {
        let job = Job::sync_mail(&self.tenant, &self.connection.id);
        loop {
            match self.hub.run(job.clone(), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                end => return end,
            }
        }
    }

    fn shown(&self) -> usize {
        self.timeline.0.lock().unwrap().len()
    }

    async fn quarantined(&self) -> Vec<String> {
        let found = self.hub.quarantined(&self.tenant, &self.connection.id).await.unwrap();
        found.into_iter().map(|item| item.key).collect()
    }
}

fn deliver(sandbox: &Sandbox, number: usize, label: &str) -> String {
    let mail = format!(
        "From: Bob <bob{number}@acme.example>\r\nTo: {OWNER}\r\nSubject: Number {number}\r\n\
         Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nHello {number}\r\n"
    );
    sandbox.gmail().mailbox(OWNER).deliver(mail, sandbox.now(), &[label])
}

async fn connect(sandbox: &Sandbox, hub: &Hub, tenant: &TenantId) -> Connection {
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(tenant, &AppId::new("google"), ask).await.unwrap();
    let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_connection_rests_until_it_is_resumed() {
    let world = World::with_messages(3).await;
    world.hub.pause(&world.tenant, &world.connection.id).await.unwrap();
    let calls = world.sandbox.books().calls;
    assert!(matches!(world.sync().await, JobOutcome::Done { again_in: None }), "the schedule ends");
    assert_eq!((world.sandbox.books().calls, world.shown()), (calls, 0));
    world.hub.resume(&world.tenant, &world.connection.id).await.unwrap();
    world.sync().await;
    assert_eq!(world.shown(), 3);
    let known = world.hub.connections(&world.tenant).await.unwrap().remove(0);
    assert_eq!(known.status, ConnectionStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_running_slice_is_cancelled_at_its_next_safe_point_and_loses_nothing() {
    let world = World::with_messages(400).await;
    let delay = FaultAction::Delay { milliseconds: 200 };
    world.sandbox.script(Fault::new(delay).on_path("/batch").always());
    let (hub, job) = (world.hub.clone(), Job::sync_mail(&world.tenant, &world.connection.id));
    let slice = tokio::spawn(async move { hub.run(job, &Shutdown::default()).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.hub.cancel_sync(&world.tenant, &world.connection.id).await.unwrap();
    assert!(matches!(slice.await.unwrap(), JobOutcome::Done { again_in: None }));
    assert!((1..400).contains(&world.shown()), "{} before it stopped", world.shown());
    world.sync().await;
    assert_eq!(world.shown(), 400);
}

#[tokio::test(start_paused = true)]
async fn pausing_what_is_not_there_says_so() {
    let world = World::with_messages(0).await;
    let unknown = world.hub.pause(&world.tenant, &ConnectionId::new("nobody")).await.unwrap_err();
    let foreign = world.hub.pause(&TenantId::new("other"), &world.connection.id).await.unwrap_err();
    assert_eq!((unknown.kind(), foreign.kind()), (ErrorKind::NotFound, ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_item_is_kept_listed_opened_and_leaves_on_replay() {
    let world = World::with_messages(2).await;
    let broken = Fault::new(FaultAction::Status {
        status: 200,
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body: "{\"id\":7}".to_owned(),
    });
    // A mailbox of one more message: fetched by a call of its own, which answers nonsense once.
    world.sync().await;
    let id = deliver(&world.sandbox, 9, "INBOX");
    world.sandbox.script(broken.on_path(format!("/messages/{id}")));
    world.sync().await;
    assert_eq!((world.quarantined().await, world.shown()), (vec![id.clone()], 2));
    let kept = world.hub.open_quarantined(&world.tenant, &world.connection.id, &id).await.unwrap();
    assert_eq!(kept.expose(), b"{\"id\":7}");
    let foreign = world.hub.open_quarantined(&TenantId::new("other"), &world.connection.id, &id).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    let job = Job::replay_quarantine(&world.tenant, &world.connection.id);
    assert!(matches!(world.hub.run(job, &Shutdown::default()).await, JobOutcome::Done { again_in: None }));
    world.sync().await;
    assert_eq!((world.quarantined().await, world.shown()), (vec![], 3));
}

#[tokio::test(start_paused = true)]
async fn disconnecting_with_everything_takes_it_off_the_hosts_timeline() {
    let world = World::with_messages(5).await;
    world.sync().await;
    assert_eq!(world.shown(), 5);
    let id = &world.connection.id;
    let gone = world.hub.disconnect(&world.tenant, id, Forget::Everything).await.unwrap();
    assert_eq!((gone.revocation, world.shown()), (Revocation::Revoked, 0));
    assert_eq!(world.sandbox.live_refresh_tokens(OWNER), 0);
    assert!(world.hub.activities(&world.tenant).await.unwrap().is_empty());
    assert!(world.hub.decisions(&world.tenant, id).await.unwrap().is_empty());
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn progress_is_never_complete_early_and_names_the_time_that_is_left() {
    let world = World::with_messages(600).await;
    world.sync().await;
    let seen = world.watcher.0.lock().unwrap().clone();
    let end = seen.iter().position(|progress| progress.phase == Phase::UpToDate).unwrap();
    let (before, after) = seen.split_at(end);
    assert!(after.iter().all(|progress| progress.phase == Phase::UpToDate && progress.pending == 0), "{after:?}");
    assert!(before.iter().all(|progress| progress.pending > 0), "{before:?}");
    let named: Vec<_> = before.iter().filter(|progress| progress.phase == Phase::Fetching).collect();
    assert!(!named.is_empty() && named.iter().all(|progress| progress.eta.is_some()), "{named:?}");
    // 20 units a message, at 98 % of 6,000 units a minute.
    let (pending, eta) = (named[0].pending, named[0].eta.unwrap().as_secs());
    assert_eq!(eta, pending * 20 * 60 / (6_000 * 98 / 100));
}
