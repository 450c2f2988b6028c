//! A hub over the sandbox in one process, on virtual time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use integration_core::{
    Result,
    activity::{ActivityChange, Batch, Directory, DirectoryAnswer, DirectoryQuery, Person, Sink},
    connection::{Capability, Connection},
    event::{Event, EventListener},
    hub::Hub,
    ids::{ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{MemoryStore, StoreTransaction, Stores, SyncStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_testing::{Consent, DEFAULT_APP, Fault, FaultAction, ORIGIN, Sandbox, microsoft::graph::Oddity};

use crate::service::{self, Service};

pub(crate) const OWNER: &str = "ada@example.com";
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The ids on the host's timeline, told by batches alone.
#[derive(Debug, Default)]
pub(crate) struct Timeline(pub(crate) Mutex<BTreeSet<String>>);

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

/// The host's contacts, which a test changes; `everybody`: whoever is asked for is a contact.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    pub(crate) everybody: bool,
    pub(crate) known: Mutex<DirectoryAnswer>,
    pub(crate) asked: Mutex<usize>,
    /// How long a look-up takes.
    pub(crate) slow: std::time::Duration,
}

#[async_trait]
impl Directory for Contacts {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        *self.asked.lock().unwrap() += ask.addresses.len();
        tokio::time::sleep(self.slow).await;
        if self.everybody {
            let mut answer = DirectoryAnswer::default();
            answer.people = ask.addresses.iter().map(|address| Person::new(address, address, address)).collect();
            return Ok(answer);
        }
        Ok(self.known.lock().unwrap().clone())
    }
}

/// Keeps the progress, and why items went into quarantine.
#[derive(Debug, Default)]
pub(crate) struct Watcher(pub(crate) Mutex<Vec<integration_core::event::Progress>>, pub(crate) Mutex<Vec<String>>);

impl EventListener for Watcher {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, event: &Event) {
        match event {
            Event::Progress(progress) => self.0.lock().unwrap().push(*progress),
            Event::Quarantined { reason, .. } => self.1.lock().unwrap().push(reason.clone()),
            _ => {}
        }
    }
}

pub(crate) struct World {
    /// Where the mailbox is; the sandbox has all services.
    pub(crate) service: Service,
    pub(crate) sandbox: Sandbox,
    pub(crate) hub: Hub,
    pub(crate) timeline: Arc<Timeline>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) contacts: Arc<Contacts>,
    pub(crate) store: Arc<dyn SyncStore>,
    pub(crate) tenant: TenantId,
    pub(crate) connection: Connection,
}

impl World {
    /// A mailbox with `count` messages of contacts.
    pub(crate) async fn with_messages(count: usize) -> Self {
        Self::of(Service::Google, count).await
    }

    /// The same at another service.
    pub(crate) async fn of(service: Service, count: usize) -> Self {
        let everybody = Contacts { everybody: true, ..Contacts::default() };
        let stores = Stores::from_one(Arc::new(MemoryStore::default()));
        let world = Self::at(service, stores, everybody, SyncOptions::default()).await;
        for number in 0..count {
            world.deliver(number);
        }
        world
    }

    /// An empty mailbox, connected.
    pub(crate) async fn new(contacts: Contacts, options: SyncOptions) -> Self {
        Self::over(Stores::from_one(Arc::new(MemoryStore::default())), contacts, options).await
    }

    /// The same over other stores.
    pub(crate) async fn over(stores: Stores, contacts: Contacts, options: SyncOptions) -> Self {
        Self::at(Service::Google, stores, contacts, options).await
    }

    /// An empty mailbox of a service, connected.
    pub(crate) async fn empty(service: Service, contacts: Contacts, options: SyncOptions) -> Self {
        Self::at(service, Stores::from_one(Arc::new(MemoryStore::default())), contacts, options).await
    }

    /// The same over other stores.
    pub(crate) async fn at(service: Service, stores: Stores, contacts: Contacts, options: SyncOptions) -> Self {
        let sandbox = Sandbox::google().build();
        sandbox.register_person(OWNER, "Ada");
        sandbox.microsoft().register_person(OWNER, "Ada");
        let (contacts, store) = (Arc::new(contacts), Arc::clone(&stores.sync));
        let (timeline, watcher) = (Arc::new(Timeline::default()), Arc::new(Watcher::default()));
        let hub = Hub::builder(stores, Arc::new(KeyRing::from_base64(KEY).unwrap()));
        let hub = service::join(hub, ORIGIN, Default::default())
            .with_transport(sandbox.transport())
            .with_directory(Arc::clone(&contacts) as Arc<dyn Directory>)
            .with_sync(options)
            .with_sink(Arc::clone(&timeline) as Arc<dyn Sink>)
            .with_events(Arc::clone(&watcher) as Arc<dyn EventListener>)
            .build()
            .unwrap();
        let tenant = TenantId::new("tenant");
        let connection = connect_at(service, &sandbox, &hub, &tenant).await;
        Self { service, sandbox, hub, timeline, watcher, contacts, store, tenant, connection }
    }

    /// Slices until there is nothing to do at once; the last outcome.
    pub(crate) async fn sync(&self) -> JobOutcome {
        let job = Job::sync_mail(&self.tenant, &self.connection.id);
        loop {
            match self.hub.run(job.clone(), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                end => return end,
            }
        }
    }

    /// Runs a job until it is done.
    pub(crate) async fn run(&self, job: Job) {
        while let JobOutcome::Continue = self.hub.run(job.clone(), &Shutdown::default()).await {}
    }

    /// Carries out what was asked to be decided anew.
    pub(crate) async fn decide_again(&self) {
        self.run(Job::decide_again(&self.tenant, &self.connection.id)).await;
    }

    /// A message arrives: its header fields and its text. The labels are Gmail's; elsewhere they say the folder.
    pub(crate) fn arrives(&self, head: &str, text: &str, labels: &[&str]) -> String {
        let mail = format!("{}\r\n\r\n{text}\r\n", head.replace('\n', "\r\n"));
        self.arrived(mail, self.sandbox.now(), labels)
    }

    /// A message arrived then.
    pub(crate) fn arrived(&self, mail: String, at: DateTime<Utc>, labels: &[&str]) -> String {
        let folder = if labels.contains(&"SENT") { "sentitems" } else { "inbox" };
        match self.service {
            Service::Google => self.sandbox.gmail().mailbox(OWNER).deliver(mail, at, labels),
            Service::Microsoft => self.outlook().deliver(mail, at, folder),
        }
    }

    /// The ids of what is in the mailbox, newest first.
    pub(crate) fn ids(&self) -> Vec<String> {
        match self.service {
            Service::Google => self.sandbox.gmail().mailbox(OWNER).ids(),
            Service::Microsoft => self.outlook().ids(),
        }
    }

    /// A message arrives that is shown as nonsense the first time.
    pub(crate) fn nonsense(&self, head: &str) -> String {
        let id = self.arrives(head, "x", &["INBOX"]);
        match self.service {
            Service::Google => {
                let headers = [("content-type".to_owned(), "application/json".to_owned())].into();
                let body = serde_json::json!({ "id": 7, "of": head }).to_string();
                let nonsense = FaultAction::Status { status: 200, headers, body };
                // The only new one: fetched by a call of its own.
                self.sandbox.script(Fault::new(nonsense).on_path(format!("/messages/{id}")));
            }
            Service::Microsoft => assert!(self.outlook().spoil(&id, Oddity::WrongTypes)),
        }
        id
    }

    /// What was nonsense is none any more.
    pub(crate) fn mend(&self, id: &str) {
        if self.service == Service::Microsoft {
            assert!(self.outlook().mend(id));
        }
    }

    /// Whoever signed in takes it back; the next call is refused.
    pub(crate) fn withdraw(&self) {
        match self.service {
            Service::Google => {
                self.sandbox.revoke_grants(OWNER);
                self.sandbox.expire_access_tokens();
            }
            Service::Microsoft => {
                self.sandbox.microsoft().withdraw_consent(OWNER, DEFAULT_APP);
                self.sandbox.microsoft().expire_access_tokens();
            }
        }
    }

    /// The person allows sending as well.
    pub(crate) async fn may_send(&self) -> Connection {
        let asked = [Capability::Identity, Capability::MailRead, Capability::MailSend];
        let ask = Authorise::new(asked, self.service.callback());
        connect_for((self.service, ask), &self.sandbox, &self.hub, &self.tenant).await
    }

    /// The same person signs in once more.
    pub(crate) async fn connect_again(&self) -> Connection {
        connect_at(self.service, &self.sandbox, &self.hub, &self.tenant).await
    }

    /// A message of a contact arrives in the inbox; gives its id.
    pub(crate) fn deliver(&self, number: usize) -> String {
        match self.service {
            Service::Google => deliver(&self.sandbox, number, "INBOX"),
            Service::Microsoft => self.outlook().deliver(letter(number, OWNER), self.sandbox.now(), "inbox"),
        }
    }

    /// What the service tells of changes leaves this message out.
    pub(crate) fn hide(&self, id: &str) {
        match self.service {
            Service::Google => self.sandbox.gmail().mailbox(OWNER).hide_from_history(id),
            Service::Microsoft => self.outlook().hide_from_delta(id),
        }
    }

    /// A message is deleted for good.
    pub(crate) fn remove(&self, id: &str) {
        let removed = match self.service {
            Service::Google => self.sandbox.gmail().mailbox(OWNER).remove(id, self.sandbox.now()),
            Service::Microsoft => self.outlook().remove(id),
        };
        assert!(removed);
    }

    pub(crate) fn outlook(&self) -> integration_testing::microsoft::graph::Mailbox {
        self.sandbox.microsoft().graph().mailbox(OWNER)
    }

    pub(crate) fn shown(&self) -> usize {
        self.timeline.0.lock().unwrap().len()
    }

    pub(crate) async fn quarantined(&self) -> Vec<String> {
        let found = self.hub.quarantined(&self.tenant, &self.connection.id).await.unwrap();
        found.into_iter().map(|item| item.key).collect()
    }
}

/// A letter of a contact.
pub(crate) fn letter(number: usize, to: &str) -> String {
    format!(
        "From: Bob <bob{number}@acme.example>\r\nTo: {to}\r\nSubject: Number {number}\r\n\
         Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nHello {number}\r\n"
    )
}

pub(crate) fn deliver(sandbox: &Sandbox, number: usize, label: &str) -> String {
    sandbox.gmail().mailbox(OWNER).deliver(letter(number, OWNER), sandbox.now(), &[label])
}

pub(crate) async fn connect_at(service: Service, sandbox: &Sandbox, hub: &Hub, tenant: &TenantId) -> Connection {
    connect_for((service, service.read_mail()), sandbox, hub, tenant).await
}

async fn connect_for(
    (service, ask): (Service, Authorise),
    sandbox: &Sandbox,
    hub: &Hub,
    tenant: &TenantId,
) -> Connection {
    let authorisation = hub.authorise(tenant, &service.app(), ask).await.unwrap();
    let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}
