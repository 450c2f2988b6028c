//! Microsoft's sign-in, end to end: the connector in a hub, against the sandbox, in process and on virtual time.

mod admin;
mod apps;
mod delegated;
mod pages;
mod policies;
mod trouble;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use integration_core::{
    clock::SystemClock,
    connection::{Capability, Connection, ConnectionStatus},
    error::{Actor, ErrorKind, Remedy},
    event::EventKind,
    health::ConnectionHealth,
    http::{Body, Transport, TransportError},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorisation, Authorise, BrowserBinding, CallbackQuery, Completion, ConnectOutcome},
    store::{MemoryStore, Stores},
    sync::{Job, JobOutcome, Shutdown},
    testing::virtual_clock,
    vault::KeyRing,
};
use integration_microsoft::{Cloud, Microsoft, MicrosoftConfig, MicrosoftEndpoints};
use integration_testing::{Consent, DEFAULT_APP, ORIGIN, Sandbox};
use url::Url;

use crate::world::Contacts;

const ADA: &str = "ada@example.com";
const APP: &str = "9b3c5a52-6f0f-4ac3-8a0c-3a7a6a0c9d10";
const BACK: &str = "http://localhost/callback";
const DAY: Duration = Duration::from_secs(24 * 3600);
const MAIL: [Capability; 2] = [Capability::Identity, Capability::MailRead];
/// After this no access token is good any more.
const NEXT_DAY: Duration = Duration::from_secs(29 * 3600);

type Form = BTreeMap<String, String>;

/// Keeps what the token endpoint was asked, and on which path.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Transport>,
    asked: Mutex<Vec<(String, Form)>>,
}

#[async_trait]
impl Transport for Watched {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        if let (true, Some(body)) = (request.uri().path().ends_with("/token"), request.body().as_bytes()) {
            let form = url::form_urlencoded::parse(body).into_owned().collect();
            self.asked.lock().unwrap().push((request.uri().path().to_owned(), form));
        }
        self.inner.execute(request).await
    }
}

/// A host with one app at Microsoft, and what outlives its process.
struct World {
    sandbox: Sandbox,
    clock: Arc<SystemClock>,
    stores: Stores,
    keys: Arc<KeyRing>,
    watched: Arc<Watched>,
    tenant: TenantId,
    hub: Hub,
}

impl World {
    fn new(config: MicrosoftConfig) -> Self {
        let clock = virtual_clock();
        let sandbox = Sandbox::google().with_clock(Arc::clone(&clock) as _).build();
        sandbox.microsoft().register_person(ADA, "Ada Example");
        let watched = Arc::new(Watched { inner: sandbox.transport(), asked: Mutex::default() });
        let stores = Stores::from_one(Arc::new(MemoryStore::with_clock(Arc::clone(&clock) as _)));
        let (keys, tenant) = (Arc::new(KeyRing::generate()), TenantId::new("tenant"));
        let hub = hub(&stores, &keys, (Arc::clone(&watched), Arc::clone(&clock)), config);
        Self { sandbox, clock, stores, keys, watched, tenant, hub }
    }

    /// With the app that is registered from the start.
    fn desktop() -> Self {
        Self::new(MicrosoftConfig::desktop(DEFAULT_APP))
    }

    /// The host starts again, configured anew.
    fn restart(&mut self, config: MicrosoftConfig) {
        let parts = (Arc::clone(&self.watched), Arc::clone(&self.clock));
        self.hub = hub(&self.stores, &self.keys, parts, config);
    }

    async fn begins(&self, ask: Authorise) -> Authorisation {
        self.hub.authorise(&self.tenant, &AppId::new("microsoft"), ask).await.unwrap()
    }

    /// The browser comes back with `url`; another one than it left in has another cookie.
    async fn returns(&self, url: &Url, binding: &BrowserBinding) -> Completion {
        let query = CallbackQuery::parse(url.query().unwrap_or_default()).unwrap();
        self.hub.complete(&query, binding).await.unwrap()
    }

    async fn signs_in(&self, ask: Authorise, consent: Consent<'_>) -> ConnectOutcome {
        let begun = self.begins(ask).await;
        let back = self.sandbox.consent(&begun.url, consent).unwrap();
        self.returns(&back, &begun.binding).await.outcome
    }

    /// Ada connects her mailbox.
    async fn connects(&self) -> Connection {
        granted(self.signs_in(ask(), Consent::As(ADA)).await).remove(0)
    }

    async fn reconnects(&self, connection: &Connection) -> ConnectOutcome {
        self.signs_in(again(connection), Consent::As(ADA)).await
    }

    /// Slices until there is nothing to do at once; the last outcome.
    async fn sync(&self, connection: &Connection) -> JobOutcome {
        loop {
            match self.hub.run(Job::sync_mail(&self.tenant, &connection.id), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                end => return end,
            }
        }
    }

    /// A message arrives, is synced and is on the timeline: the connection works.
    async fn works(&self, connection: &Connection) {
        let before = self.shown().await;
        self.arrives(&connection.account.addresses[0]);
        let end = self.sync(connection).await;
        assert!(matches!(end, JobOutcome::Done { again_in: Some(_) }), "{end:?}\n{}", self.sandbox.request_log());
        assert_eq!(self.shown().await, before + 1);
    }

    /// The sync fails; the error's kind, its remedy and when it is tried again.
    async fn fails(&self, connection: &Connection) -> (ErrorKind, Option<Remedy>, Option<Duration>) {
        match self.sync(connection).await {
            JobOutcome::Failed { error, again_in } => (error.kind(), error.remedy().cloned(), again_in),
            other => panic!("not failed: {other:?}\n{}", self.sandbox.request_log()),
        }
    }

    fn arrives(&self, address: &str) {
        let number = self.sandbox.books().calls;
        let mail = format!(
            "From: Bob <bob@acme.example>\r\nTo: {address}\r\nSubject: Number {number}\r\n\
             Message-ID: <{address}-{number}@acme.example>\r\nDate: Mon, 02 Mar 2026 10:00:00 +0000\r\n\r\nHello\r\n"
        );
        self.sandbox.microsoft().graph().mailbox(address).deliver(mail, self.sandbox.now(), "inbox");
    }

    async fn shown(&self) -> usize {
        self.hub.activities(&self.tenant).await.unwrap().len()
    }

    async fn health(&self, connection: &Connection) -> ConnectionHealth {
        self.hub.health(&self.tenant, &connection.id).await.unwrap()
    }

    /// What the connection's status is, and whether its health asks for somebody.
    async fn status(&self, connection: &Connection) -> (ConnectionStatus, Option<Actor>) {
        let all = self.hub.connections(&self.tenant).await.unwrap();
        let status = all.into_iter().find(|known| known.id == connection.id).unwrap().status;
        (status, self.health(connection).await.remedy.map(|remedy| remedy.actor))
    }

    /// Whom the durable events called for.
    async fn called(&self) -> Vec<Actor> {
        let page = self.hub.events(&self.tenant, 0, 1_000).await.unwrap();
        let actors = page.events.into_iter().filter_map(|event| match event.what {
            EventKind::NeedsAttention { remedy, .. } => Some(remedy.actor),
            _ => None,
        });
        actors.collect()
    }

    /// Requests of the token endpoint with this grant type.
    fn asked(&self, grant_type: &str) -> Vec<Form> {
        let all = self.watched.asked.lock().unwrap();
        let these = all.iter().filter(|(_, form)| form.get("grant_type").is_some_and(|kind| kind == grant_type));
        these.map(|(_, form)| form.clone()).collect()
    }
}

fn hub(
    stores: &Stores,
    keys: &Arc<KeyRing>,
    (transport, clock): (Arc<Watched>, Arc<SystemClock>),
    config: MicrosoftConfig,
) -> Hub {
    let endpoints = MicrosoftEndpoints::below(&ORIGIN.parse().unwrap(), Cloud::Global).unwrap();
    Hub::builder(stores.clone(), Arc::clone(keys) as _)
        .with_connector(Microsoft::new(config.with_endpoints(endpoints)).unwrap())
        .with_transport(transport)
        .with_clock(clock)
        .with_directory(Arc::new(Contacts { everybody: true, ..Contacts::default() }))
        .build()
        .unwrap()
}

fn ask() -> Authorise {
    Authorise::new(MAIL, BACK)
}

fn again(connection: &Connection) -> Authorise {
    Authorise::new([], BACK).with_reconnect(connection.id.clone())
}

fn granted(outcome: ConnectOutcome) -> Vec<Connection> {
    match outcome {
        ConnectOutcome::Granted { connections, .. } => connections,
        other => panic!("not granted: {other:?}"),
    }
}

/// A query parameter of a URL.
fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
