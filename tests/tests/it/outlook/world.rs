//! A hub over the simulated Outlook in one process, on virtual time.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response};
use integration_core::{
    Error,
    activity::Directory,
    clock::{Clock, SystemClock},
    connection::{Capability, Connection, Connector},
    email::EmailProvider,
    http::{Body, LocalAdmission, ReqwestTransport, Transport, TransportError},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{MemoryStore, Stores},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
    testing::{SeededRandom, virtual_clock},
    vault::KeyRing,
};
use integration_microsoft::{Microsoft, OutlookQuota};
use integration_testing::{
    Consent, ORIGIN, Sandbox, SandboxSettings, Served,
    microsoft::graph::{Mailbox, Oddities},
};

use crate::{
    service,
    world::{Contacts, letter},
};

pub(crate) const OWNER: &str = "alex@example.com";

/// What somebody does before a call comes.
type Act = Box<dyn FnMut() + Send>;

/// The way to the service, on which somebody acts before each call about mail.
pub(crate) struct Between {
    inner: Arc<dyn Transport>,
    act: Mutex<Option<Act>>,
}

impl Between {
    fn new(inner: Arc<dyn Transport>) -> Arc<Self> {
        Arc::new(Self { inner, act: Mutex::default() })
    }

    /// This is done before each call, until somebody rests.
    pub(crate) fn act(&self, act: impl FnMut() + Send + 'static) {
        *self.act.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn rest(&self) {
        *self.act.lock().unwrap() = None;
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Between {
    async fn execute(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        if request.uri().path().starts_with("/v1.0/")
            && let Some(act) = self.act.lock().unwrap().as_mut()
        {
            act();
        }
        self.inner.execute(request).await
    }
}

/// A mailbox in a sandbox of its own, connected.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Hub,
    pub(crate) stores: Stores,
    pub(crate) tenant: TenantId,
    pub(crate) connection: Connection,
    pub(crate) between: Arc<Between>,
    served: Option<Served>,
}

impl World {
    /// In process and on virtual time.
    pub(crate) async fn new(settings: SandboxSettings, quota: OutlookQuota) -> Self {
        let clock: Arc<dyn Clock> = virtual_clock();
        let sandbox = Sandbox::google().with_clock(Arc::clone(&clock)).with_settings(settings).build();
        let transport = sandbox.transport();
        Self::at((sandbox, clock), (transport, ORIGIN), quota).await
    }

    /// Over HTTP, in real time.
    pub(crate) async fn served(settings: SandboxSettings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let sandbox = Sandbox::google().with_clock(Arc::clone(&clock)).with_settings(settings).build();
        let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let transport = Arc::new(ReqwestTransport::new().unwrap());
        let origin = format!("http://{}", served.addr());
        let world = Self::at((sandbox, clock), (transport, &origin), OutlookQuota::Off).await;
        Self { served: Some(served), ..world }
    }

    async fn at(
        (sandbox, clock): (Sandbox, Arc<dyn Clock>),
        (transport, origin): (Arc<dyn Transport>, &str),
        quota: OutlookQuota,
    ) -> Self {
        sandbox.microsoft().register_person(OWNER, "Alex Owner");
        let connector = Microsoft::new(service::microsoft(origin).with_quota(quota)).unwrap();
        let limits = LocalAdmission::new(Arc::clone(&clock))
            .with_table(connector.profile().app.clone(), connector.profile().quota.clone());
        let stores = Stores::from_one(Arc::new(MemoryStore::with_clock(Arc::clone(&clock))));
        let everybody = Contacts { everybody: true, ..Contacts::default() };
        let between = Between::new(transport);
        let hub = Hub::builder(stores.clone(), Arc::new(KeyRing::generate()))
            .with_connector(connector)
            .with_transport(Arc::clone(&between) as Arc<dyn Transport>)
            .with_admission(Arc::new(limits))
            .with_directory(Arc::new(everybody) as Arc<dyn Directory>)
            .with_clock(Arc::clone(&clock))
            .with_random(Arc::new(SeededRandom::new(7)))
            .build()
            .unwrap();
        let tenant = TenantId::new("tenant");
        let connection = connect(&hub, &sandbox, &tenant, OWNER).await;
        Self { sandbox, clock, hub, stores, tenant, connection, between, served: None }
    }

    /// Ends the server, if there is one.
    pub(crate) async fn shut_down(mut self) {
        if let Some(served) = self.served.take() {
            served.shutdown().await;
        }
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        self.sandbox.microsoft().graph().mailbox(OWNER)
    }

    pub(crate) async fn email(&self) -> Arc<dyn EmailProvider> {
        self.hub.email(&self.tenant, &self.connection.id).await.unwrap()
    }

    /// What is odd about the service from now on.
    pub(crate) fn odd(&self, change: impl FnOnce(&mut Oddities)) {
        self.sandbox.microsoft().graph().change_oddities(change);
    }

    /// A letter of a contact arrives in the inbox; gives its id.
    pub(crate) fn deliver(&self, number: usize) -> String {
        self.mailbox().deliver(letter(number, OWNER), self.sandbox.now(), "inbox")
    }

    /// The ids of the messages that were decided about.
    pub(crate) async fn decided(&self) -> BTreeSet<String> {
        let decisions = self.hub.decisions(&self.tenant, &self.connection.id).await.unwrap();
        decisions.into_iter().map(|(id, _)| id).collect()
    }

    /// The ids of what is in quarantine.
    pub(crate) async fn quarantined(&self) -> BTreeSet<String> {
        let items = self.hub.quarantined(&self.tenant, &self.connection.id).await.unwrap();
        items.into_iter().map(|item| item.key).collect()
    }

    /// One slice.
    pub(crate) async fn slice(&self) -> JobOutcome {
        self.hub.run(Job::sync_mail(&self.tenant, &self.connection.id), &Shutdown::default()).await
    }

    /// Slices of a connection until there is nothing to do at once; waits where the service asks for it.
    pub(crate) async fn sync(&self, connection: &Connection) {
        for error in self.sync_through(connection).await {
            assert!(error.retryable(), "{error:?}\n{}", self.sandbox.request_log());
        }
    }

    /// The same through whatever fails meanwhile, which it gives.
    pub(crate) async fn sync_through(&self, connection: &Connection) -> Vec<Error> {
        let (job, poll) = (Job::sync_mail(&self.tenant, &connection.id), SyncOptions::default().poll);
        let mut errors = Vec::new();
        for _ in 0..1_000 {
            let wait = match self.hub.run(job.clone(), &Shutdown::default()).await {
                JobOutcome::Continue => Duration::ZERO,
                JobOutcome::Done { again_in } => {
                    let wait = again_in.unwrap_or_default();
                    // A shorter wait than until the next poll is one within an enumeration.
                    if wait >= poll && self.hub.pending(&self.tenant, &connection.id).await.unwrap() == 0 {
                        return errors;
                    }
                    wait
                }
                JobOutcome::Failed { error, again_in } => {
                    errors.push(error);
                    again_in.unwrap_or_else(|| panic!("it is not tried again: {errors:?}"))
                }
                other => panic!("{other:?}"),
            };
            self.clock.sleep(wait).await;
        }
        panic!("never up to date: {errors:?}\n{}", self.sandbox.request_log());
    }
}

pub(crate) async fn connect(hub: &Hub, sandbox: &Sandbox, tenant: &TenantId, who: &str) -> Connection {
    let wanted = [Capability::Identity, Capability::MailRead, Capability::MailModify, Capability::MailSend];
    let ask = Authorise::new(wanted, "http://localhost/callback").with_login_hint(who);
    let authorisation = hub.authorise(tenant, &AppId::new("microsoft"), ask).await.unwrap();
    let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}
