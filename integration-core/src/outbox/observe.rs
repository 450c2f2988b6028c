//! What the sync sees of mail that the outbox sent: the mail itself, answers and bounces.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    intent::{Intent, IntentKey, IntentState},
    link::{Link, Origin, Ours, Theirs},
    mail::SEND_KEY_HEADER,
    rows::{intent_key, put, spaces},
    sent::{Answer, SentItem},
};
use crate::{
    activity::Summary,
    email::{Direction, MailKind, Message, Sent},
    error::Result,
    event::Event,
    ids::{ConnectionId, MessageId, TenantId},
    store::{Expect, Space, StateKey, StateQuery, StateWrite, SyncStore},
    sync::rows::decode,
};

/// A message of a batch, and what the timeline keeps of it.
pub(crate) type Sight<'a> = (&'a str, &'a Message, &'a Summary);

/// What a batch means for what was sent.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) writes: Vec<StateWrite>,
    pub(crate) told: Vec<Event>,
    /// By message of the batch: the intent that sent it.
    pub(crate) ours: BTreeMap<String, IntentKey>,
}

/// Finds what of a batch concerns mail that was sent. Reads only; what is to be written expects what was read.
pub(crate) async fn observe(
    (store, tenant): (&dyn SyncStore, &TenantId),
    connection: &ConnectionId,
    batch: &[Sight<'_>],
    now: DateTime<Utc>,
) -> Result<Observed> {
    // Most tenants send nothing through us: one look tells.
    let (whose, prefix) = (tenant.clone(), String::new());
    let any = StateQuery::Range { tenant: whose, space: spaces::SENT_IDS, prefix, after: None, limit: 1 };
    if batch.is_empty() || store.read(&any).await?.is_empty() {
        return Ok(Observed::default());
    }
    let ids: BTreeSet<&str> = batch.iter().flat_map(|sight| named(sight)).collect();
    let keys: Vec<StateKey> = ids.iter().map(|id| StateKey::new([id])).collect();
    let index: BTreeMap<String, IntentKey> = read(store, tenant, spaces::SENT_IDS, keys)
        .await?
        .into_iter()
        .map(|row| (last(&row.key), IntentKey::new(String::from_utf8_lossy(&row.bytes).into_owned())))
        .collect();
    if index.is_empty() {
        return Ok(Observed::default());
    }
    let wanted: BTreeSet<&IntentKey> = index.values().collect();
    let keys: Vec<StateKey> = wanted.iter().map(|key| intent_key(key)).collect();
    let items = rows(read(store, tenant, spaces::SENT, keys.clone()).await?, spaces::SENT)?;
    let intents = rows(read(store, tenant, spaces::INTENTS, keys).await?, spaces::INTENTS)?;
    let mut look = Look { tenant, connection, now, index, items, intents, observed: Observed::default() };
    for sight in batch {
        look.at(sight)?;
    }
    look.finish()
}

/// Every id by which a message may concern something sent: its own, those it answers, those it reports on.
fn named<'a>((_, message, summary): &'a Sight<'_>) -> BTreeSet<&'a str> {
    let own = message.message_id.as_deref().into_iter().chain(message.headers.get(SEND_KEY_HEADER));
    let answered = message.in_reply_to.iter().chain(&message.references).map(String::as_str);
    own.chain(answered).chain(reported(summary)).collect()
}

#[cfg(feature = "mail")]
fn reported(summary: &Summary) -> impl Iterator<Item = &str> {
    summary.bounces.iter().filter_map(|bounce| bounce.original_id.as_deref())
}

#[cfg(not(feature = "mail"))]
fn reported(_: &Summary) -> impl Iterator<Item = &str> {
    std::iter::empty()
}

/// A row as read, its version, and whether it changed.
struct Read<T> {
    row: T,
    version: u64,
    changed: bool,
}

type Rows<T> = BTreeMap<IntentKey, Read<T>>;

struct Look<'a> {
    tenant: &'a TenantId,
    connection: &'a ConnectionId,
    now: DateTime<Utc>,
    index: BTreeMap<String, IntentKey>,
    items: Rows<SentItem>,
    intents: Rows<Intent>,
    observed: Observed,
}

impl Look<'_> {
    fn at(&mut self, sight: &Sight<'_>) -> Result<()> {
        let (key, message, summary) = sight;
        let own = message.message_id.as_deref().into_iter().chain(message.headers.get(SEND_KEY_HEADER));
        let own = own.filter_map(|id| self.index.get(id)).find(|intent| self.is_from_us(intent, summary)).cloned();
        if let Some(intent) = own {
            self.observed.ours.insert((*key).to_owned(), intent.clone());
            return self.came_back(&intent, key, message, summary);
        }
        if summary.kinds.contains_key(&MailKind::Bounce) {
            self.bounced(summary);
            return Ok(());
        }
        let machine = [MailKind::Complaint, MailKind::Receipt];
        if !machine.iter().any(|kind| summary.kinds.contains_key(kind)) {
            self.answered(key, message, summary);
        }
        Ok(())
    }

    /// A stranger may write any header.
    fn is_from_us(&self, intent: &IntentKey, summary: &Summary) -> bool {
        let Some(item) = self.items.get(intent) else { return false };
        let ours = |author: &String| item.row.senders.contains(author);
        summary.direction == Some(Direction::Outbound) || summary.author.as_ref().is_some_and(ours)
    }

    /// Our own mail, in the mailbox that sent it: no stranger's, and the proof that it left.
    fn came_back(&mut self, key: &IntentKey, id: &str, message: &Message, summary: &Summary) -> Result<()> {
        let Some(item) = self.items.get_mut(key) else { return Ok(()) };
        let here = item.row.connection == *self.connection && summary.direction == Some(Direction::Outbound);
        if !here || item.row.seen && item.row.message.is_some() {
            return Ok(());
        }
        let sent = Sent::new(MessageId::new(id), message.thread.clone(), message.message_id.clone());
        item.row.found(&sent, summary.at.unwrap_or(self.now));
        (item.row.seen, item.changed) = (true, true);
        let theirs = Theirs::new(self.connection.clone(), "message", id);
        let link = Link::new(Ours::new("intent", key.as_str()), theirs, Origin::Ours);
        self.observed.writes.extend(link.writes(self.tenant)?);
        let Some(intent) = self.intents.get_mut(key) else { return Ok(()) };
        // Also one that was believed absent, or given up: trying it again would send it twice.
        if matches!(intent.row.state, IntentState::Failed { .. } | IntentState::Unknown { .. }) {
            (intent.row.state, intent.changed) = (IntentState::Done { at: self.now }, true);
            self.observed.writes.push(StateWrite::delete(self.tenant, spaces::BODIES, intent_key(key)));
            let (intent, kind, id) = (key.clone(), "message".to_owned(), id.to_owned());
            self.observed.told.push(Event::OutcomeResolved { intent: intent.clone(), happened: true });
            self.observed.told.push(Event::IntentDone { intent, kind, id });
        }
        Ok(())
    }

    /// Somebody else answered one of ours.
    fn answered(&mut self, key: &str, message: &Message, summary: &Summary) {
        let Some(by) = summary.author.clone().filter(|_| summary.direction == Some(Direction::Inbound)) else { return };
        let answered = message.in_reply_to.iter().chain(message.references.iter().rev());
        let Some(intent) = answered.filter_map(|id| self.index.get(id)).next().cloned() else { return };
        let Some(item) = self.items.get_mut(&intent).filter(|item| !item.row.senders.contains(&by)) else { return };
        let automatic =
            summary.kinds.contains_key(&MailKind::Automatic) || summary.kinds.contains_key(&MailKind::AutoReply);
        let message = message.message_id.clone().unwrap_or_else(|| key.to_owned());
        let answer = Answer { at: summary.at, by: by.clone(), message: message.clone() };
        if item.row.answered(answer, automatic) {
            item.changed = true;
            self.observed.told.push(Event::MailReplied { intent, by, message, automatic });
        }
    }

    #[cfg(feature = "mail")]
    fn bounced(&mut self, summary: &Summary) {
        for bounce in &summary.bounces {
            let intent = bounce.original_id.as_ref().and_then(|id| self.index.get(id)).cloned();
            let Some((item, intent)) = intent.and_then(|key| Some((self.items.get_mut(&key)?, key))) else { continue };
            let recipient = bounce.original_recipient.as_ref().unwrap_or(&bounce.recipient).to_lowercase();
            let (hard, status) = (bounce.hard, bounce.status.clone());
            let record = super::sent::SentBounce { at: summary.at, recipient: recipient.clone(), hard, status };
            if item.row.bounced(record) {
                item.changed = true;
                self.observed.told.push(Event::MailBounced { intent, recipient, hard });
            }
        }
    }

    #[cfg(not(feature = "mail"))]
    fn bounced(&mut self, _: &Summary) {}

    fn finish(self) -> Result<Observed> {
        let Self { tenant, items, intents, mut observed, .. } = self;
        for item in items.into_values().filter(|item| item.changed) {
            observed.writes.push(item.row.row(tenant)?.expecting(Expect::Version(item.version)));
            observed.writes.extend(item.row.index(tenant));
        }
        for intent in intents.into_values().filter(|intent| intent.changed) {
            let write = put(tenant, spaces::INTENTS, intent_key(&intent.row.key), &intent.row)?;
            observed.writes.push(write.expecting(Expect::Version(intent.version)));
        }
        Ok(observed)
    }
}

async fn read(
    store: &dyn SyncStore,
    tenant: &TenantId,
    space: Space,
    keys: Vec<StateKey>,
) -> Result<Vec<crate::store::StateRow>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    store.read(&StateQuery::Keys { tenant: tenant.clone(), space, keys }).await
}

fn rows<T: serde::de::DeserializeOwned>(read: Vec<crate::store::StateRow>, space: Space) -> Result<Rows<T>> {
    let row = |row: crate::store::StateRow| {
        let read = Read { row: decode(space, &row.bytes)?, version: row.version, changed: false };
        Ok((IntentKey::new(last(&row.key)), read))
    };
    read.into_iter().map(row).collect()
}

fn last(key: &StateKey) -> String {
    key.segments().pop().unwrap_or_default()
}
