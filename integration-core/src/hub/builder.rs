//! Building a hub: what is required is an argument, everything else has a default.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Hub, Inner, Retention, SignalListener, SignalOptions, events::Waking};
use crate::{
    activity::{BatchRetention, Directory, EmptyDirectory, NoSink, Sink},
    clock::{Clock, Random, SystemClock, SystemRandom},
    connection::Connector,
    error::{Error, ErrorKind, Result},
    event::{EventListener, NoListener},
    http::{
        Admission, LocalAdmission, QuotaTable, RetryPolicy, ServiceBreaker, SharedAdmission, SharedLimits,
        StandardRetry, Transport,
    },
    ids::AppId,
    oauth::{OAuthParts, SignIn, SignInSettings},
    outbox::{Effect, OutboxOptions},
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
    shared_limits: Option<SharedLimits>,
    clock: Option<Arc<dyn Clock>>,
    random: Arc<dyn Random>,
    events: Arc<dyn EventListener>,
    sync: SyncOptions,
    batches: Option<BatchRetention>,
    outbox: OutboxOptions,
    effects: BTreeMap<&'static str, Arc<dyn Effect>>,
    signals: SignalOptions,
    listeners: Vec<Arc<dyn SignalListener>>,
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
            shared_limits: None,
            clock: None,
            random: Arc::new(SystemRandom),
            events: Arc::new(NoListener),
            sync: SyncOptions::default(),
            batches: None,
            outbox: OutboxOptions::default(),
            effects: super::outbox::bundled(),
            signals: SignalOptions::default(),
            listeners: Vec::new(),
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

    /// Keeps the limits of the connectors' quota tables together with all other processes of the store. Absent: each process
    /// keeps them for itself, which is exact as long as there is one. [`HubBuilder::with_admission`] goes first.
    #[must_use]
    pub fn with_shared_limits(mut self, limits: SharedLimits) -> Self {
        self.shared_limits = Some(limits);
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

    /// How the outbox works.
    #[must_use]
    pub fn with_outbox(mut self, options: OutboxOptions) -> Self {
        self.outbox = options;
        self
    }

    /// Adds a kind of write that the outbox can do. Sending mail is there already; one of the same kind replaces it.
    #[must_use]
    pub fn with_effect(mut self, effect: Arc<dyn Effect>) -> Self {
        self.effects.insert(effect.kind(), effect);
        self
    }

    /// How the host's signals are handed out.
    #[must_use]
    pub fn with_signals(mut self, options: SignalOptions) -> Self {
        self.signals = options;
        self
    }

    /// Adds somebody who wants to know what happened at the host. Absent: changes of contacts are matched again all the
    /// same, everything else is only kept.
    #[must_use]
    pub fn with_signal_listener(mut self, listener: Arc<dyn SignalListener>) -> Self {
        self.listeners.push(listener);
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
        let mut tables = Vec::new();
        for connector in self.connectors {
            let profile = connector.profile();
            let app = profile.app.clone();
            tables.push((app.clone(), profile.quota.clone()));
            if connectors.insert(app.clone(), connector).is_some() {
                return Err(Error::new(ErrorKind::Misconfigured, format!("two connectors have the app id {app}")));
            }
        }
        let gate = || gate(&self.stores, &clock, &*self.random, self.shared_limits.clone(), tables);
        let admission = self.admission.clone().unwrap_or_else(gate);
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
            admission,
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
            outbox: self.outbox,
            effects: self.effects,
            signals: self.signals,
            listeners: self.listeners,
            retention: self.retention,
            services,
            breakers: std::sync::Mutex::default(),
            running: std::sync::Mutex::default(),
            runs: std::sync::atomic::AtomicU64::default(),
            retiring: std::sync::Mutex::default(),
        })))
    }
}

/// The gate of this process, or of all processes.
fn gate(
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    random: &dyn Random,
    shared: Option<SharedLimits>,
    tables: Vec<(AppId, QuotaTable)>,
) -> Arc<dyn Admission> {
    match shared {
        Some(limits) => {
            let gate = SharedAdmission::new(Arc::clone(&stores.sync), Arc::clone(clock), random, limits);
            Arc::new(tables.into_iter().fold(gate, |gate, (app, table)| gate.with_table(app, table)))
        }
        None => {
            let gate = LocalAdmission::new(Arc::clone(clock));
            Arc::new(tables.into_iter().fold(gate, |gate, (app, table)| gate.with_table(app, table)))
        }
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
