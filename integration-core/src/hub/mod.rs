//! The hub: what a host holds. Concrete, cheap to clone; everything pluggable is behind it.

mod audit;
mod batches;
mod builder;
mod choices;
mod control;
mod erase;
mod events;
mod health;
mod jobs;
mod outbox;
mod push;
mod read;
mod retention;
mod sign_in;
mod signals;
#[cfg(feature = "axum")]
mod web;
mod why;

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};

pub use builder::HubBuilder;
pub use choices::DirectoryChange;
pub use erase::{Afterwards, Erase, ErasePerson, Erased};
pub use read::Quarantined;
pub use retention::Retention;
pub use signals::{PreparedSignal, Signal, SignalKind, SignalListener, SignalOptions, SignalRecord, SignalState};
#[cfg(feature = "axum")]
pub(crate) use web::FormKey;
pub use why::Why;

use crate::{
    activity::{Directory, Sink},
    clock::{Clock, Random},
    connection::{Capability, Connection, ConnectionStatus, Connector, Grant},
    email::EmailProvider,
    error::{Actor, Error, ErrorKind, Remedy, Result},
    event::EventListener,
    http::{
        Admission, Breaker, BreakerSettings, Credentials, Priority, RetryPolicy, ServiceBreaker, Session, SessionParts,
        Transport,
    },
    ids::{AppId, ConnectionId, TenantId},
    oauth::SignIn,
    outbox::{Effect, OutboxOptions},
    store::Stores,
    sync::{Scheduler, Shutdown, SyncOptions},
    vault::Sealer,
};

/// Connects, syncs and acts. Made by [`Hub::builder`].
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    stores: Stores,
    sealer: Arc<dyn Sealer>,
    connectors: BTreeMap<AppId, Arc<dyn Connector>>,
    directory: Arc<dyn Directory>,
    sink: Arc<dyn Sink>,
    scheduler: Arc<dyn Scheduler>,
    transport: Arc<dyn Transport>,
    admission: Arc<dyn Admission>,
    retry: Arc<dyn RetryPolicy>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    events: Arc<dyn EventListener>,
    /// Pokes readers of the streams when something was told in this process.
    wake: Arc<tokio::sync::Notify>,
    sync: SyncOptions,
    outbox: OutboxOptions,
    /// What the outbox can do, by kind.
    effects: BTreeMap<&'static str, Arc<dyn Effect>>,
    signals: SignalOptions,
    listeners: Vec<Arc<dyn SignalListener>>,
    retention: Retention,
    sign_in: SignIn,
    /// One per app: opens only when many distinct connections find the service failing at the same time.
    services: BTreeMap<AppId, Arc<ServiceBreaker>>,
    /// A breaker per connection, so that a failing one is left alone while others go on.
    breakers: std::sync::Mutex<BTreeMap<ConnectionId, Arc<Breaker>>>,
    /// The slices that run in this process; several of one connection while all but one are turned away.
    running: std::sync::Mutex<BTreeMap<(TenantId, ConnectionId, u64), Shutdown>>,
    runs: std::sync::atomic::AtomicU64,
    /// When this process last saw to it that what a tenant keeps is looked at daily.
    retiring: std::sync::Mutex<BTreeMap<TenantId, DateTime<Utc>>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("apps", &self.0.connectors.keys()).finish_non_exhaustive()
    }
}

impl Hub {
    /// The mailbox of a connection, for calls that a person waits for.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `MissingScope` if mail was not granted, with what to ask for;
    /// `ReauthorisationNeeded` if somebody has to act first.
    pub async fn email(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Arc<dyn EmailProvider>> {
        let (connection, grant) = self.usable(tenant, id).await?;
        let connector = self.connector(&connection.app)?;
        if ![Capability::MailRead, Capability::MailSend].iter().any(|kind| connection.capabilities.contains(kind)) {
            return Err(missing(&**connector, Capability::MailRead));
        }
        connector.email(self.session_of(&connection, &grant, Priority::Interactive)?)
    }

    /// The authorised client of a connection: the way to what is not unified.
    ///
    /// # Errors
    /// As [`Hub::email`], whatever was granted.
    pub async fn session(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Session> {
        let (connection, grant) = self.usable(tenant, id).await?;
        self.session_of(&connection, &grant, Priority::Interactive)
    }

    async fn usable(&self, tenant: &TenantId, id: &ConnectionId) -> Result<(Connection, Grant)> {
        let (connection, grant) = self.known(tenant, id).await?;
        match connection.status {
            ConnectionStatus::Disconnected => {
                Err(Error::new(ErrorKind::ReauthorisationNeeded, "the connection was disconnected"))
            }
            ConnectionStatus::Active | ConnectionStatus::NeedsAttention | ConnectionStatus::Paused => {
                Ok((connection, grant))
            }
        }
    }

    fn connector(&self, app: &AppId) -> Result<&Arc<dyn Connector>> {
        self.0.connectors.get(app).ok_or_else(|| {
            let message = format!("no connector is registered for the app {app}; add it with with_connector");
            Error::new(ErrorKind::Misconfigured, message)
        })
    }

    fn session_of(&self, connection: &Connection, grant: &Grant, priority: Priority) -> Result<Session> {
        let about = Some((connection.id.clone(), connection.account.clone()));
        let breaker = self.breaker(connection);
        Ok(Session::new(self.parts(grant, about, breaker, priority, self.credentials(grant)?)?))
    }

    fn breaker(&self, connection: &Connection) -> Arc<Breaker> {
        // A panic while the map is held leaves nothing half done: the map is still good.
        let mut breakers = self.0.breakers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = || {
            let breaker = Breaker::new(BreakerSettings::default());
            match self.0.services.get(&connection.app) {
                Some(service) => breaker.with_service(Arc::clone(service), connection.id.clone()),
                None => breaker,
            }
        };
        Arc::clone(breakers.entry(connection.id.clone()).or_insert_with(|| Arc::new(fresh())))
    }

    fn parts(
        &self,
        grant: &Grant,
        connection: Option<(ConnectionId, crate::connection::RemoteAccount)>,
        breaker: Arc<Breaker>,
        priority: Priority,
        credentials: Arc<dyn Credentials>,
    ) -> Result<SessionParts> {
        let inner = &self.0;
        Ok(SessionParts {
            tenant: grant.tenant.clone(),
            app: grant.app.clone(),
            grant: grant.id.clone(),
            connection,
            connector: Arc::clone(self.connector(&grant.app)?),
            credentials,
            transport: Arc::clone(&inner.transport),
            admission: Arc::clone(&inner.admission),
            breaker,
            retry: Arc::clone(&inner.retry),
            clock: Arc::clone(&inner.clock),
            random: Arc::clone(&inner.random),
            priority,
            deadline: None,
        })
    }
}

fn missing(connector: &dyn Connector, capability: Capability) -> Error {
    let profile = connector.profile();
    let scopes: Vec<String> = profile.scopes.request(&[capability].into()).into_iter().collect();
    let action = format!("Connect the account again and allow: {}.", scopes.join(", "));
    Error::new(ErrorKind::MissingScope, "this was not granted").with_service(profile.service).with_remedy(Remedy::new(
        "The person did not allow this.",
        Actor::Person,
        action,
    ))
}
