//! The sign-in engine: what it is made of, and what its parts share.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::{Either, select};

use super::{
    connection_store::ConnectionStore, key_cache::KeyCache, refresh::Slot, token_endpoint::TokenEndpoint,
    token_set::TokenSet,
};
use crate::{
    clock::{Clock, Random},
    error::{Error, ErrorKind, Result, Retry},
    http::Transport,
    ids::{AppId, GrantId, TenantId},
    store::{GrantKey, LeaseGuard, LeaseKey, Saved, SealedRecord, SharedClock, Stores, Version},
    vault::{Sealer, token_context},
};

/// Everything sign-in is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OAuthParts {
    /// Tokens, leases, and the rows of grants and connections.
    pub stores: Stores,
    /// Seals tokens and verifiers.
    pub sealer: Arc<dyn Sealer>,
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Time: its pace; which instant it is, the store's clock decides.
    pub clock: Arc<dyn Clock>,
    /// State, verifiers, ids, jitter.
    pub random: Arc<dyn Random>,
    /// Durations.
    pub settings: SignInSettings,
}

impl OAuthParts {
    /// Parts with the default settings.
    pub fn new(
        stores: Stores,
        sealer: Arc<dyn Sealer>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { stores, sealer, transport, clock, random, settings: SignInSettings::default() }
    }

    /// Other durations.
    #[must_use]
    pub fn with_settings(mut self, settings: SignInSettings) -> Self {
        self.settings = settings;
        self
    }
}

/// Durations of sign-in and refresh.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SignInSettings {
    /// How long a person may take to consent; 10 minutes.
    pub authorisation_lifetime: Duration,
    /// How long an administrator may take to allow an app; 180 days.
    pub admin_consent_lifetime: Duration,
    /// How long one request to a sign-in endpoint may take, but never longer than four fifths of the lease; 20 s.
    pub request_timeout: Duration,
    /// How long a refresh holds its lease; 30 s. A holder stopped for longer is replaced.
    pub lease_ttl: Duration,
    /// How often a process that waits for another one's refresh looks; 50 ms.
    pub poll_interval: Duration,
    /// A token is refreshed at a random moment between this long …; 5 minutes.
    pub refresh_ahead_most: Duration,
    /// … and this long before it ends; 2 minutes. Never earlier than half of its life.
    pub refresh_ahead_least: Duration,
    /// How long a failed refresh is left alone; 30 s, doubled with each failure in a row.
    pub cool_down: Duration,
    /// The longest a failed refresh is left alone; 15 minutes.
    pub cool_down_most: Duration,
    /// On how many different days refreshing may fail before it is given up (and tried once a day); 7.
    pub give_up_days: usize,
    /// A grant that was not refreshed for this long is refreshed by [`SignIn::keep_alive`]; 1 day.
    pub idle_after: Duration,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            authorisation_lifetime: Duration::from_secs(600),
            admin_consent_lifetime: Duration::from_secs(180 * 24 * 3600),
            request_timeout: Duration::from_secs(20),
            lease_ttl: Duration::from_secs(30),
            poll_interval: Duration::from_millis(50),
            refresh_ahead_most: Duration::from_secs(300),
            refresh_ahead_least: Duration::from_secs(120),
            cool_down: Duration::from_secs(30),
            cool_down_most: Duration::from_secs(900),
            give_up_days: 7,
            idle_after: Duration::from_secs(24 * 3600),
        }
    }
}

impl SignInSettings {
    /// Another lease (tests set a short one).
    #[must_use]
    pub fn with_lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl;
        self
    }

    pub(super) fn token_timeout(&self) -> Duration {
        self.request_timeout.min(self.lease_ttl.mul_f64(0.8))
    }
}

/// Sign-in for every connector. Cheap to clone; clones share their caches, so make one per process.
#[derive(Clone)]
pub struct SignIn {
    pub(super) engine: Arc<Engine>,
}

impl SignIn {
    /// An engine of its parts.
    #[must_use]
    pub fn new(parts: OAuthParts) -> Self {
        let connections = ConnectionStore::new(Arc::clone(&parts.stores.sync));
        let (keys, clock) = (KeyCache::default(), SharedClock::new(Arc::clone(&parts.clock)));
        let (slots, renewed) = (Mutex::default(), Mutex::default());
        Self { engine: Arc::new(Engine { parts, clock, connections, keys, slots, renewed }) }
    }

    /// The rows of grants and connections.
    #[must_use]
    pub fn connections(&self) -> &ConnectionStore {
        &self.engine.connections
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("settings", &self.engine.parts.settings).finish_non_exhaustive()
    }
}

/// A grant, and when it was renewed.
type Renewed = (GrantKey, DateTime<Utc>);

/// What all parts of sign-in share.
pub(super) struct Engine {
    pub(super) parts: OAuthParts,
    /// What is stored with an instant by one process is judged by another: all go by the store's clock.
    clock: SharedClock,
    pub(super) connections: ConnectionStore,
    pub(super) keys: KeyCache,
    slots: Mutex<HashMap<GrantKey, Arc<Slot>>>,
    /// The grants of each app that this process renewed last: two, so that one of them is another than any.
    renewed: Mutex<HashMap<AppId, Vec<Renewed>>>,
}

impl Engine {
    /// By the store's clock, as far as it was asked.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Sets our time by the store's: before anything is stored with an instant, or judged by a stored one.
    pub(super) async fn ask_time(&self) -> Result<()> {
        self.clock.ask(&*self.parts.stores.sync).await
    }

    /// As [`Self::ask_time`], where the tokens may lie elsewhere: what was known before has to do.
    pub(super) async fn try_ask_time(&self) {
        if let Err(error) = self.ask_time().await {
            tracing::warn!(error = %error, "the store does not say what time it is; it goes on from what it said last");
        }
    }

    /// The service's sign-in endpoints, through our transport.
    pub(super) fn endpoint(&self) -> TokenEndpoint<'_> {
        let parts = &self.parts;
        TokenEndpoint {
            transport: &*parts.transport,
            clock: &self.clock,
            random: &*parts.random,
            timeout: parts.settings.token_timeout(),
        }
    }

    /// The one slot of a grant in this process.
    pub(super) fn slot(&self, tenant: &TenantId, grant: &GrantId) -> Arc<Slot> {
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_insert_with(|| Arc::new(Slot::new(self.parts.random.fraction()))))
    }

    pub(super) fn note_renewed(&self, app: &AppId, key: &GrantKey) {
        let (mut renewed, now) = (self.renewed.lock().unwrap_or_else(PoisonError::into_inner), self.now());
        let latest = renewed.entry(app.clone()).or_default();
        latest.retain(|(known, _)| known != key);
        latest.insert(0, (key.clone(), now));
        latest.truncate(2);
    }

    /// Was another grant of the app renewed since?
    pub(super) fn renews_others(&self, app: &AppId, key: &GrantKey, since: DateTime<Utc>) -> bool {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.get(app).is_some_and(|latest| latest.iter().any(|(known, at)| known != key && *at >= since))
    }

    /// Forgets what this process remembers of a grant's tokens.
    pub(super) fn forget(&self, tenant: &TenantId, grant: &GrantId) {
        self.slot(tenant, grant).clear();
    }

    pub(super) async fn load_tokens(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<(Version, TokenSet)>> {
        let Some(record) = self.parts.stores.tokens.load(tenant, grant).await? else { return Ok(None) };
        let plain = self.parts.sealer.open(&token_context(tenant, grant, record.version), &record.bytes).await?;
        Ok(Some((record.version, TokenSet::decode(&plain)?)))
    }

    pub(super) async fn save_tokens(&self, key: &GrantKey, expect: Option<Version>, set: &TokenSet) -> Result<Saved> {
        let plain = set.encode()?;
        let next = Version::after(expect);
        let context = token_context(&key.tenant, &key.grant, next);
        let sealed = SealedRecord::new(self.parts.sealer.seal(&context, plain.expose()).await?);
        let saved = self.parts.stores.tokens.save(&key.tenant, &key.grant, expect, &sealed).await?;
        if !matches!(saved, Saved::Stale) && saved != Saved::Stored(next) {
            let message = "the token store does not count saves as it should; hold it against the conformance suite";
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        Ok(saved)
    }

    /// Waits for a lease for up to twice its time.
    pub(super) async fn lease(&self, key: &LeaseKey) -> Result<LeaseGuard> {
        let settings = &self.parts.settings;
        let begun = self.now();
        loop {
            if let Some(guard) = self.parts.stores.leases.acquire(key, settings.lease_ttl).await? {
                return Ok(guard);
            }
            if (self.now() - begun).to_std().unwrap_or_default() > settings.lease_ttl * 2 {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "another process has been connecting accounts for too long",
                ));
            }
            self.parts.clock.sleep(settings.poll_interval).await;
        }
    }

    /// Does the work of a lease's holder and gives the lease back. The lease is prolonged for as long as the work takes;
    /// work whose lease is lost all the same (a process that was stopped) is given up.
    pub(super) async fn holding<T>(
        &self,
        guard: LeaseGuard,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let ttl = self.parts.settings.lease_ttl;
        let lost = async {
            loop {
                self.parts.clock.sleep(ttl / 3).await;
                // A store that does not answer may answer next time.
                if let Ok(false) = self.parts.stores.leases.renew(&guard, ttl).await {
                    let message = "another process took over while this one was held up; try again";
                    return Error::new(ErrorKind::Conflict, message).with_retry(Retry::Temporary);
                }
            }
        };
        let result = match select(pin!(work), pin!(lost)).await {
            Either::Left((done, _)) => done,
            Either::Right((error, _)) => Err(error),
        };
        self.release(guard).await;
        result
    }

    pub(super) async fn release(&self, guard: LeaseGuard) {
        if let Err(error) = self.parts.stores.leases.release(guard).await {
            // It runs out by itself.
            tracing::warn!(error = %error, "a lease could not be released");
        }
    }

    /// A fresh id; `prefix` tells a person what kind of thing it names.
    pub(super) fn fresh_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.parts.random.token(16))
    }
}
