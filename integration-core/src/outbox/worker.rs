//! Working off a connection's outbox: one slice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    effect::Effect,
    enqueue::OutboxParts,
    intent::{Intent, IntentKey},
    options::OutboxOptions,
    rows::{DueEntry, DueSubject, due_key, due_prefix, order_key, read_intent, spaces, subject_of},
};
use crate::{
    connection::{Connection, Connector},
    error::{Error, ErrorKind, Result},
    event::{Event, EventListener, EventRetention, append, kept_of, tell},
    http::Session,
    ids::TenantId,
    store::{Expect, LeaseGuard, LeaseKey, LeaseStore, StateKey, StateQuery, StateWrite, StoreClock},
    sync::{
        Shutdown,
        hold::{holding, taken_over},
    },
};

/// How long an entry is left alone that cannot be read.
const UNREADABLE: Duration = Duration::from_secs(3600);

/// Everything the outbox of one connection is made of. The hub makes one from its own parts.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// Rows, sealing, time and randomness.
    pub parts: OutboxParts,
    /// Which connection.
    pub connection: Connection,
    /// Its service.
    pub connector: Arc<dyn Connector>,
    /// Its authorised client.
    pub session: Session,
    /// Who works on what.
    pub leases: Arc<dyn LeaseStore>,
    /// Who wants to know.
    pub events: Arc<dyn EventListener>,
    /// How long what is told is kept in the tenant's stream.
    pub kept: EventRetention,
    /// What can be done, by kind.
    pub effects: BTreeMap<&'static str, Arc<dyn Effect>>,
    /// How it works.
    pub options: OutboxOptions,
}

/// What a step is about: under which lease, what reminded of it, and its place if it is ordered.
pub(super) struct About<'a> {
    pub(super) guard: &'a LeaseGuard,
    pub(super) stop: &'a Shutdown,
    pub(super) entry: &'a DueEntry,
    pub(super) place: Option<StateKey>,
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutboxEnd {
    /// Somebody else works on it.
    Busy,
    /// Nothing is due; the next is after this wait, `None`: nothing waits at all.
    Idle(Option<Duration>),
    /// There is more to do at once.
    More,
}

impl Outbox {
    /// Works for at most [`OutboxOptions::slice`]. Safe to call again at any time, from any process.
    ///
    /// # Errors
    /// `Store`; `Conflict` if another worker took over. What the service answers is kept with the intents.
    pub async fn slice(&self, stop: &Shutdown) -> Result<OutboxEnd> {
        let key = LeaseKey::new(["outbox", self.tenant().as_str(), self.connection.id.as_str()]);
        let me = self.by_the_stores_clock().await?;
        let Some(guard) = self.leases.acquire(&key, self.options.lease).await? else { return Ok(OutboxEnd::Busy) };
        let work = me.work(&guard, stop);
        holding((&*self.leases, &*self.parts.clock, self.options.lease), guard.clone(), work).await
    }

    /// The same, for a slice: what is due is decided by one clock for all processes.
    async fn by_the_stores_clock(&self) -> Result<Self> {
        let mut me = self.clone();
        me.parts.clock = Arc::new(StoreClock::of(&*self.parts.store, &self.parts.clock).await?);
        Ok(me)
    }

    async fn work(&self, guard: &LeaseGuard, stop: &Shutdown) -> Result<OutboxEnd> {
        // From here on no earlier holder can commit: whatever is `sending` was left behind.
        self.parts.store.begin(Some(guard)).await?.commit().await?;
        let ends = self.now() + TimeDelta::from_std(self.options.slice).unwrap_or_default();
        loop {
            if stop.stopping() || self.now() >= ends {
                return Ok(OutboxEnd::More);
            }
            let query = StateQuery::Range {
                tenant: self.tenant().clone(),
                space: spaces::DUE,
                prefix: due_prefix(&self.connection.id),
                after: None,
                limit: 1,
            };
            let Some(row) = self.parts.store.read(&query).await?.pop() else { return Ok(OutboxEnd::Idle(None)) };
            let entry = DueEntry::read(&row)?;
            if let Ok(wait) = (entry.at - self.now()).to_std()
                && !wait.is_zero()
            {
                return Ok(OutboxEnd::Idle(Some(wait)));
            }
            self.look((guard, stop), &entry).await?;
        }
    }

    /// Looks at what an entry reminds of. Each time something changes: the intent, or the entry.
    async fn look(&self, (guard, stop): (&LeaseGuard, &Shutdown), entry: &DueEntry) -> Result<()> {
        let (key, place) = match &entry.subject {
            DueSubject::Intent(key) => (key.clone(), None),
            DueSubject::Order(order) => match self.first_of(order).await? {
                Some((key, place)) => (key, Some(place)),
                None => return self.commit(guard, &[self.strike(entry)]).await.map(drop),
            },
        };
        let found = match read_intent(&*self.parts.store, self.tenant(), &key).await {
            Err(error) if !error.retryable() => {
                tracing::error!(connection = %self.connection.id, intent = %key, error = %error, "an intent cannot be read");
                return self.postpone(guard, entry).await;
            }
            found => found?,
        };
        let about = About { guard, stop, entry, place };
        match found {
            Some((intent, version)) if !intent.state.is_finished() => {
                if intent.due <= self.now() {
                    return self.step(&about, intent, version).await;
                }
                let writes = [self.strike(entry), self.remind(&intent)];
                self.commit(guard, &writes).await.map(drop)
            }
            // Finished by others, or erased.
            Some(_) | None => self.commit(guard, &[self.leave(&about)]).await.map(drop),
        }
    }

    /// The first of an order, and its place.
    async fn first_of(&self, order: &str) -> Result<Option<(IntentKey, StateKey)>> {
        let prefix = order_key(&self.connection.id, order).below();
        let tenant = self.tenant().clone();
        let query = StateQuery::Range { tenant, space: spaces::ORDER, prefix, after: None, limit: 1 };
        let row = self.parts.store.read(&query).await?.pop();
        Ok(row.and_then(|row| Some((IntentKey::new(row.key.segments().pop()?), row.key))))
    }

    /// What is left to do once an intent is finished: the next of its order is looked at by the same entry.
    pub(super) fn leave(&self, about: &About<'_>) -> StateWrite {
        let place = about.place.clone().map(|place| StateWrite::delete(self.tenant(), spaces::ORDER, place));
        place.unwrap_or_else(|| self.strike(about.entry))
    }

    /// The entry that reminds of an intent when it is due.
    pub(super) fn remind(&self, intent: &Intent) -> StateWrite {
        let at = due_key(&self.connection.id, intent.due, &subject_of(intent));
        StateWrite::put(self.tenant(), spaces::DUE, at, "1")
    }

    async fn postpone(&self, guard: &LeaseGuard, entry: &DueEntry) -> Result<()> {
        let at = self.now() + TimeDelta::from_std(UNREADABLE).unwrap_or_default();
        let put = StateWrite::put(self.tenant(), spaces::DUE, due_key(&self.connection.id, at, &entry.subject), "1");
        self.commit(guard, &[self.strike(entry), put]).await.map(drop)
    }

    /// Takes an entry off the list, unless somebody put it there anew.
    pub(super) fn strike(&self, entry: &DueEntry) -> StateWrite {
        let key: StateKey = entry.key.clone();
        StateWrite::delete(self.tenant(), spaces::DUE, key).expecting(Expect::Version(entry.version))
    }

    /// False if a row is no longer as it was read: look again.
    pub(super) async fn commit(&self, guard: &LeaseGuard, writes: &[StateWrite]) -> Result<bool> {
        self.commit_telling(guard, writes, &[]).await
    }

    /// As [`Outbox::commit`], and what it means is kept in the tenant's stream by the same transaction, then told.
    pub(super) async fn commit_telling(
        &self,
        guard: &LeaseGuard,
        writes: &[StateWrite],
        events: &[Event],
    ) -> Result<bool> {
        let mut tx = self.parts.store.begin(Some(guard)).await?;
        let done = async {
            tx.write(writes).await?;
            let kept = events.iter().filter_map(kept_of).map(|event| (Some(self.connection.id.clone()), event));
            append(&mut *tx, self.tenant(), (self.now(), self.kept.count), kept.collect::<Vec<_>>()).await?;
            tx.commit().await
        };
        match done.await {
            Ok(()) => {
                events.iter().for_each(|event| tell(&*self.events, self.tenant(), &self.connection.id, event));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                match self.leases.renew(guard, self.options.lease).await? {
                    true => Ok(false),
                    false => Err(taken_over()),
                }
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.connection.tenant
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    pub(super) fn effect(&self, kind: &str) -> Result<&Arc<dyn Effect>> {
        self.effects.get(kind).ok_or_else(|| {
            let message = format!("nothing is registered that can do {kind}; add it with with_effect");
            Error::new(ErrorKind::Misconfigured, message)
        })
    }
}
