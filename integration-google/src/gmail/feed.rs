//! The mailbox as a feed: head from `historyId`, snapshot by listing.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/sync>.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, MailItem},
    ids::{ItemKey, PartitionId},
    sync::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Next, Partition, PartitionPage,
        Reason, Removal, Revision, Window,
    },
};
use serde::{Deserialize, Serialize};

use super::{Gmail, convert, fetch, query, wire};
use crate::client::{PAGE, Query};

/// The format of both kinds of cursor.
const VERSION: u16 = 1;
const PARTITION: &str = "mailbox";

#[derive(Clone, Debug)]
pub(super) struct GmailFeed(pub(super) Gmail);

/// A position in the history.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct HistoryAt {
    /// Everything up to here is known.
    pub(super) start: u64,
    /// The next page of a walk that began at `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<String>,
    /// What the walk will have covered when it ends.
    #[serde(default)]
    pub(super) reached: u64,
}

impl HistoryAt {
    pub(super) fn cursor(&self) -> Result<Cursor> {
        let text = serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Validation, "a position cannot be written").with_service("google").with_source(error)
        })?;
        Ok(Cursor::new(VERSION, history_fingerprint(), text))
    }

    pub(super) fn read(cursor: &Cursor) -> Result<Self> {
        let text = cursor.position(VERSION, &history_fingerprint())?;
        let unreadable = |_| Error::new(ErrorKind::CursorExpired, "the position cannot be read").with_service("google");
        serde_json::from_str(text).map_err(unreadable)
    }
}

/// The walk has no filter: a filter by label would hide deletions.
fn history_fingerprint() -> Fingerprint {
    Fingerprint::of(["history", "500"])
}

#[async_trait]
impl Feed for GmailFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        let client = &self.0.client;
        FeedCapabilities::new(client.batch_size, client.costs.messages_get)
            .with_anchor_first()
            .with_newest_first()
            .with_listing(PAGE as usize, client.costs.messages_list)
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        Ok(PartitionPage::new(vec![Partition::new(PartitionId::new(PARTITION), "Mailbox")], None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        let profile: wire::Profile = self.0.session.send(self.0.client.profile()?).await?.json()?;
        let missing = || Error::new(ErrorKind::Validation, "the profile has no history id").with_service("google");
        let start = profile.history_id.ok_or_else(missing)?;
        HistoryAt { start, ..HistoryAt::default() }.cursor().map(Some)
    }

    async fn snapshot(&self, _: &PartitionId, window: &Window, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let terms = query::window_terms(window);
        let made_for = Fingerprint::of(["list", &terms]);
        let page = at.map(|at| at.position(VERSION, &made_for)).transpose()?;
        // Junk and trash are left out: what moves there or comes back from there is told by the history.
        let mut parameters: Query<'_> = vec![("maxResults", PAGE.to_string().into())];
        if !terms.is_empty() {
            parameters.push(("q", terms.as_str().into()));
        }
        parameters.extend(page.map(|page| ("pageToken", page.into())));
        let list: wire::MessageList = match self.0.session.send(self.0.client.list(parameters)?).await {
            Ok(response) => response.json()?,
            // With everything else unchanged, only the token can be what the service does not accept.
            Err(error) if error.kind() == ErrorKind::InvalidInput && page.is_some() => {
                let expired = Error::new(ErrorKind::CursorExpired, "the listing cannot be continued");
                return Err(expired.with_service("google").with_source(error));
            }
            Err(error) => return Err(error),
        };
        let next = list.next_page_token.filter(|token| !token.is_empty());
        let changes: Vec<_> = list.messages.iter().map(|stub| listed(stub.get())).collect();
        // The service's own estimate is useless; one page that is the whole listing is exact.
        let total = (page.is_none() && next.is_none()).then_some(changes.len() as u64);
        let next = match next {
            Some(token) => Next::More(Cursor::new(VERSION, made_for, token)),
            None => Next::Done { head: None },
        };
        let mut page = ChangePage::new(changes, next);
        page.total = total;
        Ok(page)
    }

    async fn changes(&self, _: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let mut at = HistoryAt::read(since)?;
        let list = match self.history(&at).await {
            Err(error) if error.kind() == ErrorKind::CursorExpired && at.page.is_some() => {
                // The page's token may be what has run out; the walk can begin again where it began.
                at = HistoryAt { start: at.start, ..HistoryAt::default() };
                self.history(&at).await?
            }
            other => other?,
        };
        let (changes, largest) = history_changes(&list.history);
        let next = next_position(&at, &list, largest);
        let cursor = next.cursor()?;
        let more = next.page.is_some();
        Ok(ChangePage::new(changes, if more { Next::More(cursor) } else { Next::Done { head: Some(cursor) } }))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let ids = keys.iter().map(ItemKey::as_str);
        fetch::fetch(&self.0, ids, Depth::Full, |message| MailItem::Message(Box::new(message))).await
    }
}

impl GmailFeed {
    async fn history(&self, at: &HistoryAt) -> Result<wire::HistoryList> {
        self.0.session.send(self.0.client.history(at.start, at.page.as_deref())?).await?.json()
    }
}

fn listed(stub: &str) -> Change<MailItem> {
    match serde_json::from_str::<wire::Stub>(stub) {
        Ok(stub) if !stub.id.is_empty() => upsert(stub.id, Revision::default(), Body::Deferred),
        _ => malformed(stub, "an entry of the listing has no id"),
    }
}

/// Where to go on after a page.
///
/// The head is what the *first* page's answer names, or the largest record seen: what happened while the walk went on is
/// then told again rather than lost. It never moves back.
pub(super) fn next_position(at: &HistoryAt, list: &wire::HistoryList, largest: u64) -> HistoryAt {
    let named = if at.page.is_none() { list.history_id.unwrap_or_default() } else { 0 };
    let reached = at.reached.max(named).max(largest).max(at.start);
    match list.next_page_token.as_ref().filter(|token| !token.is_empty()) {
        Some(token) => HistoryAt { start: at.start, page: Some(token.clone()), reached },
        None => HistoryAt { start: reached, ..HistoryAt::default() },
    }
}

/// What a message's records of a page come to.
enum Fate {
    Arrived,
    Deleted,
    Marked(Vec<String>),
}

/// One change a message, in the order of their first records; and the largest record id.
pub(super) fn history_changes(records: &[Box<serde_json::value::RawValue>]) -> (Vec<Change<MailItem>>, u64) {
    let mut changes = Vec::new();
    let mut history: Vec<wire::History> = Vec::with_capacity(records.len());
    for record in records {
        match serde_json::from_str(record.get()) {
            Ok(read) => history.push(read),
            Err(_) => changes.push(malformed(record.get(), "a history record cannot be read")),
        }
    }
    // Promised to ascend, and said not to always.
    history.sort_by_key(|record| record.id);
    let largest = history.iter().filter_map(|record| record.id).max().unwrap_or_default();
    let mut fates = Fates::default();
    for record in history {
        for added in record.messages_added {
            fates.note(added.message, record.id, |_| Fate::Arrived);
        }
        for marked in record.labels_added.into_iter().chain(record.labels_removed) {
            fates.note(marked.message, record.id, Fate::Marked);
        }
        for deleted in record.messages_deleted {
            fates.note(deleted.message, record.id, |_| Fate::Deleted);
        }
    }
    changes.extend(fates.0.into_iter().map(|(id, revision, fate)| match fate {
        Fate::Arrived => upsert(id, revision, Body::Deferred),
        Fate::Deleted => Change::Removed { key: ItemKey::new(id), how: Removal::Gone },
        Fate::Marked(labels) => upsert(id, revision, Body::Inline(MailItem::Flags(convert::flags(&labels)))),
    }));
    (changes, largest)
}

#[derive(Default)]
struct Fates(Vec<(String, Revision, Fate)>, HashMap<String, usize>);

impl Fates {
    fn note(&mut self, message: wire::Stub, record: Option<u64>, fate: impl FnOnce(Vec<String>) -> Fate) {
        if message.id.is_empty() {
            return;
        }
        let (revision, fate) = (convert::revision(record), fate(message.label_ids));
        let Some(known) = self.1.get(&message.id).and_then(|at| self.0.get_mut(*at)) else {
            self.1.insert(message.id.clone(), self.0.len());
            self.0.push((message.id, revision, fate));
            return;
        };
        known.1 = revision;
        known.2 = match (&known.2, fate) {
            // It has to be fetched anyway, with all its labels; and what is deleted for good stays so.
            (Fate::Arrived, Fate::Marked(_)) => Fate::Arrived,
            (Fate::Deleted, Fate::Marked(_)) => Fate::Deleted,
            (_, fate) => fate,
        };
    }
}

fn upsert(id: String, revision: Revision, body: Body<MailItem>) -> Change<MailItem> {
    Change::Upsert { key: ItemKey::new(id), group: None, revision, body }
}

fn malformed(raw: &str, reason: &str) -> Change<MailItem> {
    Change::Malformed { key: None, raw: Bytes::copy_from_slice(raw.as_bytes()), reason: Reason::new(reason) }
}
