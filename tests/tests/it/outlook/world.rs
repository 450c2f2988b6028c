//! A hub over the simulated Outlook in one process, on virtual time.

use std::sync::Arc;

use integration_core::{
    activity::Directory,
    clock::Clock,
    connection::{Capability, Connection, Connector},
    email::EmailProvider,
    http::LocalAdmission,
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::Stores,
    sync::{Job, JobOutcome, Shutdown},
    testing::{SeededRandom, virtual_clock},
    vault::KeyRing,
};
use integration_microsoft::{Cloud, Microsoft, MicrosoftConfig, MicrosoftEndpoints, OutlookQuota};
use integration_testing::{Consent, DEFAULT_APP, ORIGIN, Sandbox, SandboxSettings, microsoft::graph::Mailbox};

use crate::world::Contacts;

pub(crate) const OWNER: &str = "alex@example.com";

/// A mailbox in a sandbox of its own, connected.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Hub,
    pub(crate) stores: Stores,
    pub(crate) tenant: TenantId,
    pub(crate) connection: Connection,
}

impl World {
    pub(crate) async fn new(settings: SandboxSettings, quota: OutlookQuota) -> Self {
        let (clock, random): (Arc<dyn Clock>, _) = (virtual_clock(), Arc::new(SeededRandom::new(7)));
        let sandbox = Sandbox::google().with_clock(Arc::clone(&clock)).with_settings(settings).build();
        sandbox.microsoft().register_person(OWNER, "Alex Owner");
        let connector = connector(quota);
        let limits = LocalAdmission::new(Arc::clone(&clock))
            .with_table(connector.profile().app.clone(), connector.profile().quota.clone());
        let (stores, everybody) = (Stores::memory(), Contacts { everybody: true, ..Contacts::default() });
        let hub = Hub::builder(stores.clone(), Arc::new(KeyRing::generate()))
            .with_connector(connector)
            .with_transport(sandbox.transport())
            .with_admission(Arc::new(limits))
            .with_directory(Arc::new(everybody) as Arc<dyn Directory>)
            .with_clock(Arc::clone(&clock))
            .with_random(random)
            .build()
            .unwrap();
        let tenant = TenantId::new("tenant");
        let connection = connect(&hub, &sandbox, &tenant, OWNER).await;
        Self { sandbox, clock, hub, stores, tenant, connection }
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        self.sandbox.microsoft().graph().mailbox(OWNER)
    }

    pub(crate) async fn email(&self) -> Arc<dyn EmailProvider> {
        self.hub.email(&self.tenant, &self.connection.id).await.unwrap()
    }

    /// Slices of a connection until there is nothing to do at once; waits where the service asks for it.
    pub(crate) async fn sync(&self, connection: &Connection) {
        let job = Job::sync_mail(&self.tenant, &connection.id);
        for _ in 0..1_000 {
            match self.hub.run(job.clone(), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                JobOutcome::Done { again_in } => match self.hub.pending(&self.tenant, &connection.id).await.unwrap() {
                    0 => return,
                    _ => self.clock.sleep(again_in.unwrap_or_default()).await,
                },
                JobOutcome::Failed { error, again_in } => {
                    assert!(error.retryable(), "{error:?}\n{}", self.sandbox.request_log());
                    self.clock.sleep(again_in.unwrap_or_default()).await;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("never up to date\n{}", self.sandbox.request_log());
    }
}

pub(crate) fn connector(quota: OutlookQuota) -> Microsoft {
    let endpoints = MicrosoftEndpoints::below(&ORIGIN.parse().unwrap(), Cloud::Global).unwrap();
    let config = MicrosoftConfig::desktop(DEFAULT_APP).with_endpoints(endpoints).with_quota(quota);
    Microsoft::new(config).unwrap()
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
