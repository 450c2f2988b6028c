//! What is kept for how long: quarantined items, the words of messages, finished intents, events.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Hub, choices::put, read::decoded, signals::SIGNALS};
use crate::{
    activity::{Activity, ActivityChange, Decision, Keep, Suggest, Summary, spaces},
    error::{ErrorKind, Result},
    event::{EVENTS, EventKind, StoredEvent, append, numbered},
    ids::{ConnectionId, TenantId},
    outbox::{
        Intent,
        rows::{later, spaces as outbox},
    },
    store::{Expect, StateKey, StateQuery, StateRow, StateWrite},
    sync::{
        Job,
        rows::{QUARANTINE, QuarantineRow},
    },
};

/// How often the limits are looked at.
pub(super) const DAILY: Duration = Duration::from_secs(24 * 3600);
/// Rows looked at in one step.
const PAGE: usize = 200;

/// For how long, and how much. Looked at once a day, by [`JobKind::Retention`](crate::sync::JobKind::Retention); what went is
/// counted in an event.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// How long an item lies in quarantine; 90 days unless set, `None`: until it is replayed or discarded.
    pub quarantine_age: Option<Duration>,
    /// How many items of a connection lie in quarantine at most, the oldest go first; 10,000 unless set.
    pub quarantine_count: usize,
    /// How many bytes of a connection (sealed, as stored) lie in quarantine at most; 256 MiB unless set.
    pub quarantine_bytes: usize,
    /// How long the words of a message are kept, counted from the message's own date; subject, people and dates stay. `None`
    /// unless set: for as long as the message.
    pub text_age: Option<Duration>,
    /// How many bytes of words of a connection's messages are kept at most, the oldest go first; `None` unless set.
    pub text_bytes: Option<usize>,
    /// How long an intent of the outbox is kept that is done, cancelled or has failed, with its sent item, what still answers
    /// to it, and its links; 365 days unless set, `None`: until its connection is erased. Its key is unknown afterwards:
    /// enqueued again, it is a new intent.
    pub intent_age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            quarantine_age: Some(Duration::from_secs(90 * 24 * 3600)),
            quarantine_count: 10_000,
            quarantine_bytes: 256 << 20,
            text_age: None,
            text_bytes: None,
            intent_age: Some(Duration::from_secs(365 * 24 * 3600)),
        }
    }
}

/// Something kept: when it came, its size, its row.
type Kept = (Option<DateTime<Utc>>, usize, StateKey);

impl Hub {
    /// Deletes what the limits do not allow. Safe to repeat.
    pub(super) async fn retire(&self, tenant: &TenantId) -> Result<()> {
        let mut failed = Ok(());
        for connection in self.connections(tenant).await? {
            // One that cannot be looked through, or is busy, is in nobody's way.
            failed = failed.and(self.retire_from(tenant, connection.id).await);
        }
        failed = failed.and(self.retire_intents(tenant).await);
        self.retire_events(tenant).await?;
        failed
    }

    /// When the limits are to be looked at again; never for a tenant of whom nothing is left.
    pub(super) async fn retire_again(&self, tenant: &TenantId) -> Result<Option<Duration>> {
        if !self.connections(tenant).await?.is_empty() {
            return Ok(Some(DAILY));
        }
        for space in [EVENTS, outbox::INTENTS, SIGNALS, spaces::ACTIVITIES] {
            let (tenant, prefix) = (tenant.clone(), String::new());
            let any = StateQuery::Range { tenant, space, prefix, after: None, limit: 1 };
            if !self.0.stores.sync.read(&any).await?.is_empty() {
                return Ok(Some(DAILY));
            }
        }
        Ok(None)
    }

    /// Once a day, whatever became of the job that a sign-in queued: a host's queue may lose one, and a tenant may be older
    /// than the job. The earlier due time stands.
    pub(super) async fn keep_retiring(&self, tenant: &TenantId) {
        let now = self.0.clock.now();
        let queued = {
            // A panic while the map is held leaves nothing half done: the map is still good.
            let retiring = self.0.retiring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            retiring.get(tenant).copied()
        };
        if queued.is_some_and(|at| now < later(at, DAILY)) {
            return;
        }
        match self.0.scheduler.schedule(&Job::retention(tenant), DAILY).await {
            Ok(()) => {
                let mut retiring = self.0.retiring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                retiring.insert(tenant.clone(), now);
            }
            Err(error) => tracing::warn!(error = %error, "the daily look at what is kept could not be queued"),
        }
    }

    /// Finished intents go by age.
    async fn retire_intents(&self, tenant: &TenantId) -> Result<()> {
        let Some(before) = self.before(self.0.retention.intent_age).await? else { return Ok(()) };
        let old = |row: StateRow| {
            // One that cannot be read may be a newer release's: it stays.
            let intent = decoded::<Intent>(outbox::INTENTS, &row).ok();
            let ended = intent.filter(|intent| intent.state.ended().is_some_and(|at| at < before));
            Ok(ended.map(|intent| (intent.key, row.version)))
        };
        let mut intents = 0;
        for (key, version) in self.all(tenant, outbox::INTENTS, String::new(), old).await?.into_iter().flatten() {
            match self.forget_intent(tenant, &key, Expect::Version(version)).await {
                Ok(()) => intents += 1,
                // It is being tried again, or answered at this moment: the next look decides.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        self.tell_retired(tenant, None, EventKind::Retired { quarantined: 0, texts: 0, intents }).await
    }

    /// What went is counted in an event, if anything did.
    async fn tell_retired(&self, tenant: &TenantId, about: Option<ConnectionId>, event: EventKind) -> Result<()> {
        if matches!(event, EventKind::Retired { quarantined: 0, texts: 0, intents: 0 }) {
            return Ok(());
        }
        let now = self.0.stores.sync.now().await?;
        let mut tx = self.0.stores.sync.begin(None).await?;
        append(&mut *tx, tenant, (now, self.0.sync.events.count), [(about, event)]).await?;
        tx.commit().await
    }

    async fn retire_from(&self, tenant: &TenantId, id: ConnectionId) -> Result<()> {
        let quarantined = self.retire_quarantined(tenant, &id).await?;
        let texts = self.retire_texts(tenant, &id).await?;
        self.tell_retired(tenant, Some(id), EventKind::Retired { quarantined, texts, intents: 0 }).await
    }

    /// By the store's clock, which stamped the rows: that of a process may be wrong by years.
    async fn before(&self, age: Option<Duration>) -> Result<Option<DateTime<Utc>>> {
        let Some(age) = age.and_then(|age| TimeDelta::from_std(age).ok()) else { return Ok(None) };
        Ok(self.0.stores.sync.now().await?.checked_sub_signed(age))
    }

    async fn retire_quarantined(&self, tenant: &TenantId, id: &ConnectionId) -> Result<u64> {
        let limits = &self.0.retention;
        let prefix = StateKey::new([id.as_str()]).below();
        let kept: Vec<Kept> = self
            .all(tenant, QUARANTINE, prefix, |row| {
                Ok((decoded::<QuarantineRow>(QUARANTINE, &row)?.at, row.bytes.len(), row.key))
            })
            .await?;
        let limit = Limit {
            before: self.before(limits.quarantine_age).await?,
            count: limits.quarantine_count,
            bytes: limits.quarantine_bytes,
        };
        let mut gone = 0;
        for key in limit.surplus(kept) {
            let row = crate::store::read_one(&*self.0.stores.sync, tenant, QUARANTINE, key).await?;
            let Some(row) = row else { continue };
            self.drop_quarantined(tenant, &row, &decoded(QUARANTINE, &row)?).await?;
            gone += 1;
        }
        Ok(gone)
    }

    /// The words of old messages go from decisions and activities; the sink is told.
    async fn retire_texts(&self, tenant: &TenantId, id: &ConnectionId) -> Result<u64> {
        let limits = &self.0.retention;
        if limits.text_age.is_none() && limits.text_bytes.is_none() {
            return Ok(0);
        }
        let prefix = StateKey::new([id.as_str()]).below();
        let kept = |row: StateRow| {
            let summary = decoded::<Decision>(spaces::DECISIONS, &row)?.summary;
            Ok((summary.at, words(&summary), row.key))
        };
        let mut kept: Vec<Kept> = self.all(tenant, spaces::DECISIONS, prefix, kept).await?;
        kept.retain(|(_, bytes, _)| *bytes > 0);
        let bytes = limits.text_bytes.unwrap_or(usize::MAX);
        let limit = Limit { before: self.before(limits.text_age).await?, count: usize::MAX, bytes };
        let surplus = limit.surplus(kept);
        let guard = if surplus.is_empty() { return Ok(0) } else { self.hold(tenant, id).await? };
        let mut done = Ok(());
        for keys in surplus.chunks(PAGE) {
            done = self.silence(tenant, id, &guard, keys).await;
            if done.is_err() {
                break;
            }
        }
        self.0.stores.leases.release(guard).await?;
        done.map(|()| surplus.len() as u64)
    }

    async fn silence(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        guard: &crate::store::LeaseGuard,
        decisions: &[StateKey],
    ) -> Result<()> {
        self.prolong(guard).await?;
        loop {
            let (mut writes, mut activities) = (Vec::new(), std::collections::BTreeMap::new());
            for row in self.rows(tenant, spaces::DECISIONS, decisions.to_vec()).await? {
                let mut decision: Decision = decoded(spaces::DECISIONS, &row)?;
                decision.summary.trim(Keep::Metadata, Suggest::Nobody);
                let message = row.key.segments().pop().unwrap_or_default();
                activities.insert(StateKey::new([&decision.summary.identity]), message);
                writes.push(put(tenant, spaces::DECISIONS, row.key, &decision)?);
            }
            let mut changes = Vec::new();
            for row in self.rows(tenant, spaces::ACTIVITIES, activities.keys().cloned().collect()).await? {
                let mut activity: Activity = decoded(spaces::ACTIVITIES, &row)?;
                let copies = activity.sightings.get_mut(id);
                let copy = copies.zip(activities.get(&row.key)).and_then(|(copies, message)| copies.get_mut(message));
                let Some(copy) = copy else { continue };
                copy.summary.trim(Keep::Metadata, Suggest::Nobody);
                activity.settle();
                let write = put(tenant, spaces::ACTIVITIES, row.key, &activity)?;
                writes.push(write.expecting(Expect::Version(row.version)));
                changes.push(ActivityChange::Upserted { activity: Box::new(activity) });
            }
            match self.publish(tenant, id, Some(guard), &writes, changes).await {
                // Another mailbox wrote to one of the activities.
                Err(error) if error.kind() == ErrorKind::Conflict => self.prolong(guard).await?,
                done => return done,
            }
        }
    }

    async fn rows(&self, tenant: &TenantId, space: &'static str, keys: Vec<StateKey>) -> Result<Vec<StateRow>> {
        self.0.stores.sync.read(&crate::store::StateQuery::Keys { tenant: tenant.clone(), space, keys }).await
    }

    /// Events go by age and number, the newest never.
    async fn retire_events(&self, tenant: &TenantId) -> Result<()> {
        let before = self.before(Some(self.0.sync.events.age)).await?;
        let (mut newest, mut old) = (0, Vec::new());
        for row in self.all(tenant, EVENTS, String::new(), Ok).await? {
            newest = numbered(&row.key);
            if before.is_some_and(|before| decoded::<StoredEvent>(EVENTS, &row).is_ok_and(|event| event.at < before)) {
                old.push(newest);
            }
        }
        let first = newest.saturating_sub(self.0.sync.events.count) + 1;
        // What is old is a beginning of the stream, or readers would meet holes.
        let first = old.last().map_or(first, |last| first.max(last + 1)).min(newest);
        let keys = self.all(tenant, EVENTS, String::new(), |row| Ok(row.key)).await?;
        let gone: Vec<StateWrite> = keys
            .into_iter()
            .filter(|key| numbered(key) < first)
            .map(|key| StateWrite::delete(tenant, EVENTS, key))
            .collect();
        for writes in gone.chunks(500) {
            self.write(writes).await?;
        }
        Ok(())
    }
}

struct Limit {
    before: Option<DateTime<Utc>>,
    count: usize,
    bytes: usize,
}

impl Limit {
    /// What is too old, and the oldest of what is too much.
    fn surplus(&self, mut kept: Vec<Kept>) -> Vec<StateKey> {
        // What nobody knows the age of counts as the oldest.
        kept.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.2.cmp(&right.2)));
        let (mut count, mut bytes) = (0_usize, 0_usize);
        let mut surplus = Vec::new();
        for (at, size, key) in kept {
            (count, bytes) = (count + 1, bytes.saturating_add(size));
            let too_old = self.before.is_some_and(|before| at.is_some_and(|at| at < before));
            if too_old || count > self.count || bytes > self.bytes {
                surplus.push(key);
            }
        }
        surplus
    }
}

fn words(summary: &Summary) -> usize {
    summary.snippet.len() + summary.text.as_ref().map_or(0, String::len) + summary.signature.len()
}
