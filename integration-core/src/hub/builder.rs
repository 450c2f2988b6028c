//! Building a hub: what is required is an argument, everything else has a default.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Hub, Inner, Retention, events::Waking};
use crate::{
    activity::{BatchRetention, Directory, EmptyDirectory, NoSink, Sink},
    clock::{Clock, Random, SystemClock, SystemRandom},
    connection::Connector,
    error::{Error, ErrorKind, Result},
    event::{EventListener, NoListener},
    http::{Admission, LocalAdmission, RetryPolicy, ServiceBreaker, StandardRetry, Transport},
    ids::AppId,
    oauth::{OAuthParts, SignIn, SignInSettings},
    store::Stores,
    sync::{BundledScheduler, Scheduler, SchedulerOptions, SyncOptions},
    vault::{KeyProvider, Vault},
};

/// So many distinct connections with an open breaker say that the service itself is down.
const SERVICE_FAILING: usize = 20;
/// Within this time; and it is left alone for as long.
const SERVICE_OPEN: Duration = Duration::from_secs(30);

/// Collects what a hub is made of.
#[derive(Debug)]
pub struct HubBuilder {
    stores: Stores,
    keys: Arc<dyn KeyProvider>,
    connectors: Vec<Arc<dyn Connector>>,
    directory: Arc<dyn Directory>,
    sink: Arc<dyn Sink>,
    scheduler: Option<Arc<dyn Scheduler>>,
    transport: Option<Arc<dyn Transport>>,
    admission: Option<Arc<dyn Admission>>,
    clock: Option<Arc<dyn Clock>>,
    random: Arc<dyn Random>,
    events: Arc<dyn EventListener>,
    sync: SyncOptions,
    batches: Option<BatchRetention>,
    retention: Retention,
    sign_in: SignInSettings,
}

impl Hub {
    /// A hub over `stores`, sealing secrets with `keys`: both are required, without a key there is no hub.
    pub fn builder(stores: Stores, keys: Arc<dyn KeyProvider>) -> HubBuilder {
        HubBuilder {
            stores,
            keys,
            connectors: Vec::new(),
            directory: Arc::new(EmptyDirectory),
            sink: Arc::new(NoSink),
            scheduler: None,
            transport: None,
            admission: None,
            clock: None,
            random: Arc::new(SystemRandom),
            events: Arc::new(NoListener),
            sync: SyncOptions::default(),
            batches: None,
            retention: Retention::default(),
            sign_in: SignInSettings::default(),
        }
    }
}

impl HubBuilder {
    /// Adds a service; one connector per app.
    #[must_use]
    pub fn with_connector(mut self, connector: impl Connector) -> Self {
        self.connectors.push(Arc::new(connector));
        self
    }

    /// The host's contacts. Absent: nobody is known, nothing matches.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = directory;
        self
    }

    /// Where the host receives activities. Absent: it reads them from the store.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = sink;
        self
    }

    /// Who runs jobs. Absent: they are kept in the job store, for a [`BundledScheduler`] to work off.
    #[must_use]
    pub fn with_scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.scheduler = Some(scheduler);
        self
    }

    /// The network. Absent: the bundled transport (feature `reqwest`).
    #[must_use]
    pub fn with_transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The gate. Absent: one for this process, from the connectors' quota tables.
    #[must_use]
    pub fn with_admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.admission = Some(admission);
        self
    }

    /// Time. Absent: the machine's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Randomness. Absent: the operating system's.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Who wants to know what happens. Absent: nobody.
    #[must_use]
    pub fn with_events(mut self, events: Arc<dyn EventListener>) -> Self {
        self.events = events;
        self
    }

    /// Keeps every batch until it is acknowledged, for a host on another database or driver
    /// ([`Hub::batches`](Hub::batches)). Absent: batches go to the sink alone.
    #[must_use]
    pub fn with_kept_batches(mut self, retention: BatchRetention) -> Self {
        self.batches = Some(retention);
        self
    }

    /// How long quarantined items and the words of messages are kept.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How connections are synced.
    #[must_use]
    pub fn with_sync(mut self, options: SyncOptions) -> Self {
        self.sync = options;
        self
    }

    /// Durations of sign-in and refresh.
    #[must_use]
    pub fn with_sign_in(mut self, settings: SignInSettings) -> Self {
        self.sign_in = settings;
        self
    }

    /// Builds the hub.
    ///
    /// # Errors
    /// `Misconfigured` if two connectors share an app, or if there is no transport.
    pub fn build(self) -> Result<Hub> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let mut connectors: BTreeMap<AppId, Arc<dyn Connector>> = BTreeMap::new();
        let mut gate = LocalAdmission::new(Arc::clone(&clock));
        for connector in self.connectors {
            let profile = connector.profile();
            let app = profile.app.clone();
            gate = gate.with_table(app.clone(), profile.quota.clone());
            if connectors.insert(app.clone(), connector).is_some() {
                return Err(Error::new(ErrorKind::Misconfigured, format!("two connectors have the app id {app}")));
            }
        }
        let transport = self.transport.map_or_else(bundled_transport, Ok)?;
        let sealer = Arc::new(Vault::new(self.keys, Arc::clone(&self.random)));
        let parts = OAuthParts::new(
            self.stores.clone(),
            Arc::clone(&sealer) as Arc<dyn crate::vault::Sealer>,
            Arc::clone(&transport),
            Arc::clone(&clock),
            Arc::clone(&self.random),
        );
        let service = |app: &AppId| (app.clone(), Arc::new(ServiceBreaker::new(SERVICE_FAILING, SERVICE_OPEN)));
        let services = connectors.keys().map(service).collect();
        let jobs = Arc::clone(&self.stores.jobs);
        let own = || {
            let scheduler = BundledScheduler::new(jobs, Arc::clone(&clock), SchedulerOptions::default());
            Arc::new(scheduler) as Arc<dyn Scheduler>
        };
        let (mut sync, wake) = (self.sync, Arc::new(tokio::sync::Notify::new()));
        sync.batches = self.batches.or(sync.batches);
        Ok(Hub(Arc::new(Inner {
            scheduler: self.scheduler.unwrap_or_else(own),
            admission: self.admission.unwrap_or_else(|| Arc::new(gate)),
            retry: Arc::new(StandardRetry::default()) as Arc<dyn RetryPolicy>,
            sign_in: SignIn::new(parts.with_settings(self.sign_in)),
            stores: self.stores,
            sealer,
            connectors,
            directory: self.directory,
            sink: self.sink,
            transport,
            clock,
            random: self.random,
            events: Arc::new(Waking { inner: self.events, wake: Arc::clone(&wake) }),
            wake,
            sync,
            retention: self.retention,
            services,
            breakers: std::sync::Mutex::default(),
            running: std::sync::Mutex::default(),
            runs: std::sync::atomic::AtomicU64::default(),
        })))
    }
}

#[cfg(feature = "reqwest")]
fn bundled_transport() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(crate::http::ReqwestTransport::new()?))
}

#[cfg(not(feature = "reqwest"))]
fn bundled_transport() -> Result<Arc<dyn Transport>> {
    let message = "without the feature reqwest a hub needs with_transport";
    Err(Error::new(ErrorKind::Misconfigured, message))
}
