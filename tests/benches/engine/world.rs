//! A mailbox, a hub that is signed in, and the recording of its first sync.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use integration_core::{
    activity::Directory,
    clock::SystemClock,
    connection::{Capability, Connector},
    http::Transport,
    hub::{Hub, HubBuilder},
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{SqliteStore, StateKey, StateQuery, Stores, SyncStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_microsoft::{Cloud, Microsoft, MicrosoftConfig, MicrosoftEndpoints, OutlookQuota};
use integration_testing::{Consent, DEFAULT_APP, DEFAULT_CLIENT, ORIGIN, Sandbox};

use crate::{
    amplify,
    people::Known,
    recorded::RecordedConnector,
    recording::{Recorder, Trace},
};

pub(crate) const OWNER: &str = "alex@example.com";
/// Any 32 bytes: what is sealed lives as long as the bench.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const SPACES: [&str; 9] =
    ["activity", "decision", "member", "message_id", "participant", "partition", "pending", "quarantine", "thread"];

pub(crate) fn tenant() -> TenantId {
    TenantId::new("tenant")
}

/// Whose mailbox is synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    Google,
    Microsoft,
}

impl Service {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "google" => Some(Self::Google),
            "microsoft" => Some(Self::Microsoft),
            _ => None,
        }
    }

    fn app(self) -> AppId {
        AppId::new(match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
        })
    }

    fn connector(self) -> Arc<dyn Connector> {
        match self {
            Self::Google => Arc::new(google()),
            Self::Microsoft => Arc::new(microsoft()),
        }
    }

    /// Where a sign-in comes back to.
    fn redirect(self) -> &'static str {
        match self {
            Self::Google => "http://127.0.0.1:1/callback",
            Self::Microsoft => "http://localhost/callback",
        }
    }

    fn fill(self, sandbox: &Sandbox, letters: Vec<amplify::Letter>) {
        match self {
            Self::Google => {
                sandbox.register_person(OWNER, "Alex Example");
                let mailbox = sandbox.gmail().mailbox(OWNER);
                letters
                    .into_iter()
                    .for_each(|letter| drop(mailbox.deliver(letter.raw, letter.at, &["INBOX", "UNREAD"])));
            }
            Self::Microsoft => {
                sandbox.microsoft().register_person(OWNER, "Alex Example");
                let mailbox = sandbox.microsoft().graph().mailbox(OWNER);
                letters.into_iter().for_each(|letter| drop(mailbox.deliver(letter.raw, letter.at, "Inbox")));
            }
        }
    }
}

fn microsoft() -> Microsoft {
    let endpoints = MicrosoftEndpoints::below(&ORIGIN.parse().unwrap(), Cloud::Global).unwrap();
    let config = MicrosoftConfig::desktop(DEFAULT_APP).with_endpoints(endpoints).with_quota(OutlookQuota::Off);
    Microsoft::new(config).unwrap()
}

fn google() -> Google {
    let endpoints = GoogleEndpoints::below(&ORIGIN.parse().unwrap()).unwrap();
    Google::new(GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(endpoints).with_quota(GmailQuota::Off)).unwrap()
}

pub(crate) fn stores(store: &Arc<SqliteStore>) -> Stores {
    Stores::from_one(Arc::clone(store))
}

/// What both arms begin with.
pub(crate) struct World {
    service: Service,
    sandbox: Sandbox,
    /// A database with one connection that has not synced yet.
    signed_in: PathBuf,
    pub(crate) directory: Arc<dyn Directory>,
}

impl World {
    /// A mailbox of `messages`, and a database that is signed in to it.
    pub(crate) async fn sign_in(service: Service, place: &Path, messages: usize) -> Self {
        // Without the descriptions: exchanges are validated elsewhere, and here they only take time.
        let sandbox = Sandbox::google().with_descriptions(place).with_clock(Arc::new(SystemClock::new())).build();
        service.fill(&sandbox, amplify::letters(messages));
        let world = Self { service, sandbox, signed_in: place.join("signed-in.db"), directory: Arc::new(Known::new()) };
        let store = Arc::new(SqliteStore::open(&world.signed_in).await.unwrap());
        let hub = world.hub(stores(&store), world.sandbox.transport());
        let ask = Authorise::new([Capability::Identity, Capability::MailRead], service.redirect());
        let authorisation = hub.authorise(&tenant(), &service.app(), ask.with_login_hint(OWNER)).await.unwrap();
        let back = world.sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
        let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
        let completion = hub.complete(&query, &authorisation.binding).await.unwrap();
        assert!(matches!(completion.outcome, ConnectOutcome::Granted { .. }), "{:?}", completion.outcome);
        store.close().await.unwrap();
        world
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.service.connector()
    }

    pub(crate) fn hub(&self, stores: Stores, transport: Arc<dyn Transport>) -> Hub {
        let builder = self.builder(stores, transport);
        let builder = match self.service {
            Service::Google => builder.with_connector(google()),
            Service::Microsoft => builder.with_connector(microsoft()),
        };
        builder.build().unwrap()
    }

    fn builder(&self, stores: Stores, transport: Arc<dyn Transport>) -> HubBuilder {
        let mut options = SyncOptions::default();
        // One slice: how often a new one looks at the head would depend on how fast the machine is.
        options.slice = Duration::from_secs(24 * 3600);
        Hub::builder(stores, Arc::new(KeyRing::from_base64(KEY).unwrap()))
            .with_transport(transport)
            .with_directory(Arc::clone(&self.directory))
            .with_sync(options)
    }

    /// A fresh copy of the signed-in database.
    pub(crate) async fn open_copy(&self, at: &Path) -> Arc<SqliteStore> {
        std::fs::copy(&self.signed_in, at).unwrap();
        Arc::new(SqliteStore::open(at).await.unwrap())
    }

    /// A whole sync with the simulator answering.
    pub(crate) async fn record(&self) -> Trace {
        let database = self.signed_in.with_file_name("record.db");
        let (recorder, store) = (Recorder::default(), self.open_copy(&database).await);
        let mut recorded = stores(&store);
        recorded.sync = recorder.store(Arc::clone(&store) as Arc<dyn SyncStore>);
        let connector = RecordedConnector { inner: self.connector(), recorder: recorder.clone() };
        let builder = self.builder(recorded, recorder.transport(self.sandbox.transport()));
        let hub = builder.with_connector(connector).build().unwrap();
        sync(&hub).await;
        store.close().await.unwrap();
        recorder.finish()
    }

    /// Every row that a sync wrote. What is sealed differs each time: of such rows only the key.
    pub(crate) async fn rows(&self, database: &Path) -> Vec<(&'static str, String, u64, Vec<u8>)> {
        let store = SqliteStore::open(database).await.unwrap();
        let mut all = Vec::new();
        for space in SPACES {
            let mut after: Option<StateKey> = None;
            loop {
                let (tenant, prefix) = (tenant(), String::new());
                let query = StateQuery::Range { tenant, space, prefix, after, limit: 2_000 };
                let rows = store.read(&query).await.unwrap();
                after = rows.last().map(|row| row.key.clone());
                // Seals are never the same twice, and a partition says when it was last compared.
                let same = !matches!(space, "quarantine" | "partition");
                let bytes = |bytes: &[u8]| if same { bytes.to_vec() } else { Vec::new() };
                all.extend(rows.iter().map(|row| (space, row.key.to_string(), row.version, bytes(&row.bytes))));
                if after.is_none() {
                    break;
                }
            }
        }
        store.close().await.unwrap();
        all
    }
}

/// Runs the job until nothing waits.
pub(crate) async fn sync(hub: &Hub) {
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let job = Job::sync_mail(&tenant(), &connection.id);
    loop {
        match hub.run(job.clone(), &Shutdown::default()).await {
            JobOutcome::Continue => {}
            JobOutcome::Done { .. } => return,
            outcome => panic!("{outcome:?}"),
        }
    }
}

pub(crate) async fn assert_done(hub: &Hub, messages: usize) {
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    assert_eq!(hub.pending(&tenant(), &connection.id).await.unwrap(), 0);
    let decided = hub.decisions(&tenant(), &connection.id).await.unwrap().len();
    let quarantined = hub.quarantined(&tenant(), &connection.id).await.unwrap().len();
    assert_eq!(decided + quarantined, messages);
}
