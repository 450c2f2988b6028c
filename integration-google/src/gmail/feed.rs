//! The mailbox as a feed: head from `historyId`, snapshot by listing.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/sync>.

use std::collections::BTreeMap;

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, MailItem},
    ids::{ItemKey, MessageId, PartitionId},
    sync::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Next, Partition, PartitionPage,
        Removal, Revision, Window,
    },
};
use serde::{Deserialize, Serialize};

use super::{Gmail, convert, wire};
use crate::quota::cost;

const VERSION: u16 = 1;
const PARTITION: &str = "mailbox";

/// A position: where history begins, or the page of a listing.
#[derive(Debug, Serialize, Deserialize)]
struct At {
    start: String,
    page: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct GmailFeed(pub(super) Gmail);

impl At {
    fn cursor(&self, made_for: Fingerprint) -> Result<Cursor> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::new(ErrorKind::Validation, "a position cannot be written").with_source(error))?;
        Ok(Cursor::new(VERSION, made_for, text))
    }

    fn read(cursor: &Cursor, made_for: &Fingerprint) -> Result<Self> {
        let text = cursor.position(VERSION, made_for)?;
        serde_json::from_str(text)
            .map_err(|error| Error::new(ErrorKind::CursorExpired, "the position cannot be read").with_source(error))
    }
}

fn history() -> Fingerprint {
    Fingerprint::of(["history"])
}

fn listing(window: &Window) -> (Fingerprint, Option<String>) {
    let mut terms = Vec::new();
    // Dates would mean midnight Pacific time: seconds mean what they say.
    terms.extend(window.since.map(|since| format!("after:{}", since.timestamp())));
    terms.extend(window.until.map(|until| format!("before:{}", until.timestamp())));
    let query = (!terms.is_empty()).then(|| terms.join(" "));
    (Fingerprint::of(["list", query.as_deref().unwrap_or_default()]), query)
}

#[async_trait]
impl Feed for GmailFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(self.0.client.batch_size, cost::GET).with_anchor_first().with_newest_first()
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        Ok(PartitionPage::new(vec![Partition::new(PartitionId::new(PARTITION), "Mailbox")], None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        let profile: wire::Profile = self.0.session.send(self.0.client.profile()?).await?.json()?;
        At { start: profile.history_id, page: None }.cursor(history()).map(Some)
    }

    async fn snapshot(&self, _: &PartitionId, window: &Window, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let (made_for, terms) = listing(window);
        // Junk and trash too: a message moved out of them later is known then.
        let mut query = vec![("maxResults", "500".to_owned()), ("includeSpamTrash", "true".to_owned())];
        query.extend(terms.map(|terms| ("q", terms)));
        if let Some(at) = at {
            query.extend(At::read(at, &made_for)?.page.map(|page| ("pageToken", page)));
        }
        let list: wire::MessageList = self.0.session.send(self.0.client.list(&query)?).await?.json()?;
        let next = match list.next_page_token.filter(|token| !token.is_empty()) {
            Some(page) => Next::More(At { start: String::new(), page: Some(page) }.cursor(made_for)?),
            None => Next::Done { head: None },
        };
        let deferred = |stub: wire::Stub| upsert(stub.id, Revision::default(), Body::Deferred);
        Ok(ChangePage::new(list.messages.into_iter().map(deferred).collect(), next))
    }

    async fn changes(&self, _: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let at = At::read(since, &history())?;
        let call = self.0.client.history(&at.start, at.page.as_deref())?;
        let list: wire::HistoryList = self.0.session.send(call).await?.json()?;
        let next = match (list.next_page_token.filter(|token| !token.is_empty()), list.history_id) {
            // The start stays until the last page: only then is the answer's own id good to begin from.
            (Some(page), _) => Next::More(At { start: at.start, page: Some(page) }.cursor(history())?),
            (None, Some(id)) => Next::Done { head: Some(At { start: id, page: None }.cursor(history())?) },
            (None, None) => Next::Done { head: None },
        };
        Ok(ChangePage::new(changes(list.history), next))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let ids: Vec<MessageId> = keys.iter().map(|key| MessageId::new(key.as_str())).collect();
        let fetched = self.0.get(&ids, Depth::Full).await?;
        Ok(fetched.into_iter().map(|(one, revision)| item(one, revision)).collect())
    }
}

fn item(one: Fetched<integration_core::email::Message>, revision: Revision) -> Fetched<MailItem> {
    match one {
        Fetched::Gone(key) => Fetched::Gone(key),
        Fetched::Malformed { key, raw, reason } => Fetched::Malformed { key, raw, reason },
        Fetched::NotYet(key, error) => Fetched::NotYet(key, error),
        Fetched::Present { key, item, .. } => {
            Fetched::Present { key, revision, item: MailItem::Message(Box::new(item)) }
        }
        // The type may grow; what is not known here is tried again later.
        _ => unreachable_answer(),
    }
}

fn unreachable_answer() -> Fetched<MailItem> {
    let error = Error::new(ErrorKind::Unsupported, "an unknown kind of answer");
    Fetched::NotYet(ItemKey::new(""), std::sync::Arc::new(error))
}

fn upsert(id: String, revision: Revision, body: Body<MailItem>) -> Change<MailItem> {
    Change::Upsert { key: ItemKey::new(id), group: None, revision, body }
}

/// One change a message: the last one of the page wins, but an arrival within the page stays one.
pub(super) fn changes(history: Vec<wire::History>) -> Vec<Change<MailItem>> {
    enum Last {
        Arrived,
        Deleted,
        Marked(Vec<String>),
    }
    let mut last: BTreeMap<String, (Revision, Last)> = BTreeMap::new();
    for record in history {
        let revision = convert::revision(Some(&record.id));
        for added in record.messages_added {
            last.insert(added.message.id, (revision.clone(), Last::Arrived));
        }
        for marked in record.labels_added.into_iter().chain(record.labels_removed) {
            let entry = last.entry(marked.message.id).or_insert_with(|| (revision.clone(), Last::Marked(Vec::new())));
            entry.0 = revision.clone();
            if !matches!(entry.1, Last::Arrived) {
                entry.1 = Last::Marked(marked.message.label_ids);
            }
        }
        for deleted in record.messages_deleted {
            last.insert(deleted.message.id, (revision.clone(), Last::Deleted));
        }
    }
    let change = |(id, (revision, last)): (String, (Revision, Last))| match last {
        Last::Arrived => upsert(id, revision, Body::Deferred),
        Last::Deleted => Change::Removed { key: ItemKey::new(id), how: Removal::Gone },
        Last::Marked(labels) => upsert(id, revision, Body::Inline(MailItem::Flags(convert::flags(&labels)))),
    };
    last.into_iter().filter(|(id, _)| !id.is_empty()).map(change).collect()
}
