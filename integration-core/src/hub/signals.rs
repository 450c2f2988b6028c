//! What the host tells us: durable, id-keyed, handed to whoever listens.

use std::{collections::BTreeSet, fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{DirectoryChange, Hub, choices::put, read::decoded};
use crate::{
    clock::Clock as _,
    contain::contained,
    error::{Error, ErrorKind, Result},
    event::{Event, append, kept_of, tell},
    ids::{ConnectionId, TenantId},
    outbox::{
        OutboxEnd,
        rows::{later, whole},
    },
    page::{Page, PageToken},
    store::{
        Expect, LeaseGuard, LeaseKey, Space, StateKey, StateQuery, StateWrite, StoreClock, StoreTransaction, read_one,
    },
    sync::{Job, Shutdown, hold::holding},
};

pub(super) const SIGNALS: Space = "signal";
/// What is to be looked at when: instant, id.
const DUE: Space = "signal_due";
/// The longest id, in bytes.
const MAX_ID: usize = 200;
/// The largest signal, in bytes as JSON.
const MAX_BYTES: usize = 64 * 1024;
/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(3600);
/// The name of what the hub itself does with a signal.
const REMATCH: &str = "rematch";

/// Something that happened at the host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signal {
    /// The host's id of what happened: the same id is the same event, however often it is told.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: SignalKind,
}

impl Signal {
    /// A signal.
    pub fn new(id: impl Into<String>, kind: SignalKind) -> Self {
        Self { id: id.into(), kind }
    }
}

/// What happened at the host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "data")]
#[non_exhaustive]
pub enum SignalKind {
    /// A contact, company or deal is another one: what it touches is matched again.
    ContactChanged(DirectoryChange),
    /// Contacts became one: the addresses of all of them; what they touch is matched again.
    ContactsMerged(DirectoryChange),
    /// A deal was won.
    DealWon {
        /// The host's id of it.
        deal: String,
    },
    /// A kind of the host's own.
    Own {
        /// Its name.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
}

impl SignalKind {
    /// The name that listeners choose by: `contact_changed`, `contacts_merged`, `deal_won`, or the host's own.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ContactChanged(_) => "contact_changed",
            Self::ContactsMerged(_) => "contacts_merged",
            Self::DealWon { .. } => "deal_won",
            Self::Own { name, .. } => name,
        }
    }
}

/// Whoever wants to know what happened at the host.
#[async_trait]
pub trait SignalListener: fmt::Debug + Send + Sync + 'static {
    /// Its name, the same for good: what it has taken is remembered under it.
    fn name(&self) -> &'static str;

    /// Does it want signals of this kind ([`SignalKind::name`])?
    fn wants(&self, kind: &str) -> bool;

    /// Takes a signal: at least once, so that what it does must be safe to repeat for the same [`Signal::id`].
    ///
    /// # Errors
    /// Whatever hinders it; it is called again, less and less often, and the signal is parked in the end.
    async fn on_signal(&self, tenant: &TenantId, signal: &Signal) -> Result<()>;
}

/// How signals are handed out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignalOptions {
    /// How long a listener may take. 30 s unless set.
    pub patience: Duration,
    /// Tries before a signal is parked. 10 unless set.
    pub tries: u32,
    /// The wait after the first try that failed; it doubles up to an hour. 5 s unless set.
    pub first_wait: Duration,
    /// How long the ids of finished signals are kept, so that one told again does nothing. 30 days unless set.
    pub keep: Duration,
}

impl Default for SignalOptions {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            tries: 10,
            first_wait: Duration::from_secs(5),
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// A signal, as stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignalRecord {
    /// The signal.
    #[serde(flatten)]
    pub signal: Signal,
    /// How far it is.
    pub state: SignalState,
    /// When it was told.
    pub told_at: DateTime<Utc>,
    /// Who has taken it.
    #[serde(default)]
    pub taken: BTreeSet<String>,
    /// How often it was handed out without everybody taking it.
    #[serde(default)]
    pub tries: u32,
    /// The latest error of a listener, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    due: DateTime<Utc>,
}

/// How far a signal is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalState {
    /// Everybody has taken it.
    Done,
    /// A listener could not take it, also not later; it is kept until it is tried again.
    Parked,
    /// It is to be handed out.
    Waiting,
}

/// A signal that is ready to be enqueued; nothing is stored yet.
#[derive(Clone, Debug)]
pub struct PreparedSignal {
    tenant: TenantId,
    record: SignalRecord,
    known: bool,
}

impl PreparedSignal {
    /// Was it told before? Enqueuing then does nothing.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Writes the signal within a transaction: ours or the host's own that the store was enlisted in. It is handed out
    /// exactly if that transaction commits.
    ///
    /// # Errors
    /// `Conflict` if another transaction told it meanwhile: roll back and prepare again. `Store` if the storage fails.
    pub async fn enqueue(&self, tx: &mut dyn StoreTransaction) -> Result<()> {
        if self.known {
            return Ok(());
        }
        let row = put(&self.tenant, SIGNALS, key(&self.record.signal.id), &self.record)?;
        let remind = StateWrite::put(&self.tenant, DUE, due_key(&self.record), "1");
        tx.write(&[row.expecting(Expect::Absent), remind]).await
    }
}

fn key(id: &str) -> StateKey {
    StateKey::new([id])
}

fn due_key(record: &SignalRecord) -> StateKey {
    due_at(record.due, &record.signal.id)
}

fn due_at(at: DateTime<Utc>, id: &str) -> StateKey {
    StateKey::new([format!("{:020}", at.timestamp_millis().max(0)), id.to_owned()])
}

impl Hub {
    /// Tells what happened at the host. Durable once it returns; the same id again does nothing. Whoever listens is called
    /// by a job, soon after.
    ///
    /// # Errors
    /// `Conflict` if the id was used for something else; `InvalidInput` for an id without, or with more than 200 bytes, and
    /// for more than 64 KiB; `Store`.
    pub async fn signal(&self, tenant: &TenantId, signal: Signal) -> Result<()> {
        const TRIES: usize = 3;
        for attempt in 1.. {
            let prepared = self.prepare_signal(tenant, signal.clone()).await?;
            let done = async {
                let mut tx = self.0.stores.sync.begin(None).await?;
                prepared.enqueue(&mut *tx).await?;
                tx.commit().await
            };
            match done.await {
                // Somebody told it at the same time.
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < TRIES => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.signals_changed(tenant).await
    }

    /// Prepares a signal to be enqueued in a transaction of the host's own. Nothing is stored. Safe to repeat.
    ///
    /// # Errors
    /// As [`Hub::signal`].
    pub async fn prepare_signal(&self, tenant: &TenantId, signal: Signal) -> Result<PreparedSignal> {
        let size = serde_json::to_vec(&signal).map_or(usize::MAX, |bytes| bytes.len());
        if signal.id.is_empty() || signal.id.len() > MAX_ID || size > MAX_BYTES {
            let message = "a signal has an id of 1 to 200 bytes, and at most 64 KiB in all";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let known = self.signal_record(tenant, &signal.id).await?;
        if known.as_ref().is_some_and(|known| known.signal != signal) {
            return Err(Error::new(ErrorKind::Conflict, "this id was used for another signal"));
        }
        let now = self.0.stores.sync.now().await?;
        let fresh = SignalRecord {
            signal,
            state: SignalState::Waiting,
            told_at: now,
            taken: BTreeSet::new(),
            tries: 0,
            error: None,
            due: whole(now),
        };
        let (is_known, record) = (known.is_some(), known.unwrap_or(fresh));
        Ok(PreparedSignal { tenant: tenant.clone(), record, known: is_known })
    }

    /// Tells that a signal was committed: it is handed out at once. Only a hint; without it the next slice of any sync of
    /// the tenant notices. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if it cannot be kept.
    pub async fn signals_changed(&self, tenant: &TenantId) -> Result<()> {
        self.0.scheduler.schedule(&Job::signals(tenant), Duration::ZERO).await
    }

    /// A page of a tenant's signals, in the order of their ids; up to 500.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn signals(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<Page<SignalRecord>> {
        self.page_of((tenant, SIGNALS, String::new()), page, |row| decoded(SIGNALS, &row)).await
    }

    /// One signal; `None` if it was never told, or is finished for longer than it is kept.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn signal_record(&self, tenant: &TenantId, id: &str) -> Result<Option<SignalRecord>> {
        let row = read_one(&*self.0.stores.sync, tenant, SIGNALS, key(id)).await?;
        row.map(|row| decoded(SIGNALS, &row)).transpose()
    }

    /// Hands a parked signal out again, to those who have not taken it. Nothing happens to one that is not parked.
    ///
    /// # Errors
    /// `NotFound` if there is none of this id; `Store`.
    pub async fn retry_signal(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let row = read_one(&*self.0.stores.sync, tenant, SIGNALS, key(id)).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::NotFound, "this tenant has no such signal"))?;
        let mut record: SignalRecord = decoded(SIGNALS, &row)?;
        if record.state != SignalState::Parked {
            return Ok(());
        }
        (record.state, record.tries, record.due) = (SignalState::Waiting, 0, whole(self.0.stores.sync.now().await?));
        let write = put(tenant, SIGNALS, key(id), &record)?.expecting(Expect::Version(row.version));
        self.write(&[write, StateWrite::put(tenant, DUE, due_key(&record), "1")]).await?;
        self.signals_changed(tenant).await
    }

    /// Hands out what is due for at most a slice.
    pub(super) async fn work_signals(&self, tenant: &TenantId, stop: &Shutdown) -> Result<OutboxEnd> {
        let (leases, ttl) = (&*self.0.stores.leases, self.0.sync.lease);
        let lease = LeaseKey::new(["signals", tenant.as_str()]);
        let clock = StoreClock::of(&*self.0.stores.sync, &self.0.clock).await?;
        let Some(guard) = leases.acquire(&lease, ttl).await? else { return Ok(OutboxEnd::Busy) };
        let work = self.hand_out_due((tenant, &clock), &guard, stop);
        holding((leases, &*self.0.clock, ttl), guard.clone(), work).await
    }

    /// By the store's clock, so that all processes agree on what is due.
    async fn hand_out_due(
        &self,
        (tenant, clock): (&TenantId, &StoreClock),
        guard: &LeaseGuard,
        stop: &Shutdown,
    ) -> Result<OutboxEnd> {
        let ends = later(clock.now(), self.0.sync.slice);
        loop {
            let now = clock.now();
            if stop.stopping() || now >= ends {
                return Ok(OutboxEnd::More);
            }
            let Some((entry, at, id)) = self.first_due_signal(tenant).await? else { return Ok(OutboxEnd::Idle(None)) };
            if let Ok(wait) = (at - now).to_std()
                && !wait.is_zero()
            {
                return Ok(OutboxEnd::Idle(Some(wait)));
            }
            let strike = StateWrite::delete(tenant, DUE, entry);
            let row = read_one(&*self.0.stores.sync, tenant, SIGNALS, key(&id)).await?;
            let mut writes = vec![strike];
            let mut told = Vec::new();
            if let Some(row) = row {
                match decoded::<SignalRecord>(SIGNALS, &row) {
                    Ok(record) => {
                        writes.extend(self.settle_signal((tenant, clock), record, row.version, &mut told).await?);
                    }
                    // A newer release's, which may work beside us: in the way of no other.
                    Err(error) => {
                        tracing::error!(signal = %id, error = %error, "a signal cannot be read");
                        writes.push(StateWrite::put(tenant, DUE, due_at(later(now, LONGEST), &id), "1"));
                    }
                }
            }
            let mut tx = self.0.stores.sync.begin(Some(guard)).await?;
            tx.write(&writes).await?;
            let kept: Vec<_> = told.iter().filter_map(kept_of).map(|event| (None, event)).collect();
            append(&mut *tx, tenant, (now, self.0.sync.events.count), kept).await?;
            tx.commit().await?;
            for event in told {
                tell(&*self.0.events, tenant, &ConnectionId::new(""), &event);
            }
        }
    }

    async fn first_due_signal(&self, tenant: &TenantId) -> Result<Option<(StateKey, DateTime<Utc>, String)>> {
        let (tenant, prefix) = (tenant.clone(), String::new());
        let query = StateQuery::Range { tenant, space: DUE, prefix, after: None, limit: 1 };
        let Some(row) = self.0.stores.sync.read(&query).await?.pop() else { return Ok(None) };
        let form = || Error::new(ErrorKind::Store, "a row of the signals' due list has a key of another form");
        let [at, id]: [String; 2] = row.key.segments().try_into().map_err(|_| form())?;
        let at = at.parse().ok().and_then(DateTime::from_timestamp_millis).ok_or_else(form)?;
        Ok(Some((row.key, at, id)))
    }

    /// Hands one signal to those who have not taken it, and says what to write.
    async fn settle_signal(
        &self,
        (tenant, clock): (&TenantId, &StoreClock),
        mut record: SignalRecord,
        version: u64,
        told: &mut Vec<Event>,
    ) -> Result<Vec<StateWrite>> {
        let place = key(&record.signal.id);
        let (now, options) = (clock.now(), &self.0.signals);
        if record.state == SignalState::Done {
            let due = record.due <= now;
            let gone = StateWrite::delete(tenant, SIGNALS, place).expecting(Expect::Version(version));
            return Ok(if due { vec![gone] } else { vec![StateWrite::put(tenant, DUE, due_key(&record), "1")] });
        }
        let failed = self.hand_out(tenant, &mut record).await;
        let wait = match &failed {
            None => {
                (record.state, record.error) = (SignalState::Done, None);
                Some(options.keep)
            }
            Some((listener, error)) => {
                record.tries += 1;
                record.error = Some(format!("{listener}: {error}"));
                let wait = options.first_wait.saturating_mul(1 << record.tries.saturating_sub(1).min(16)).min(LONGEST);
                (record.tries < options.tries).then_some(wait)
            }
        };
        let mut writes = Vec::new();
        match (wait, failed) {
            (Some(wait), _) => {
                record.due = whole(later(clock.now(), wait));
                writes.push(StateWrite::put(tenant, DUE, due_key(&record), "1"));
            }
            (None, failed) => {
                record.state = SignalState::Parked;
                let (listener, error) = failed.unwrap_or_default();
                told.push(Event::SignalParked { id: record.signal.id.clone(), listener, error });
            }
        }
        writes.push(put(tenant, SIGNALS, place, &record)?.expecting(Expect::Version(version)));
        Ok(writes)
    }

    /// The first listener that could not take it, and why; the others are called all the same.
    async fn hand_out(&self, tenant: &TenantId, record: &mut SignalRecord) -> Option<(String, String)> {
        let (mut failed, signal) = (None, record.signal.clone());
        if let SignalKind::ContactChanged(change) | SignalKind::ContactsMerged(change) = &signal.kind
            && !record.taken.contains(REMATCH)
        {
            match self.directory_changed(tenant, change).await {
                Ok(_) => drop(record.taken.insert(REMATCH.to_owned())),
                Err(error) => failed = Some((REMATCH.to_owned(), error.to_string())),
            }
        }
        for listener in &self.0.listeners {
            let name = listener.name();
            if record.taken.contains(name) || !listener.wants(signal.kind.name()) {
                continue;
            }
            let call = listener.on_signal(tenant, &signal);
            match contained("signal listener", self.0.signals.patience, call).await {
                Ok(()) => drop(record.taken.insert(name.to_owned())),
                Err(error) => failed = failed.or_else(|| Some((name.to_owned(), error.to_string()))),
            }
        }
        failed
    }

    /// Schedules the signals of a tenant if one is due: what was enqueued without a hint.
    pub(super) async fn notice_signals(&self, tenant: &TenantId) -> Result<()> {
        match self.first_due_signal(tenant).await? {
            Some((_, at, _)) if at <= self.0.stores.sync.now().await? => self.signals_changed(tenant).await,
            _ => Ok(()),
        }
    }
}
