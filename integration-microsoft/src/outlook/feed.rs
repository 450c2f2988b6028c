//! The mailbox as a feed: a delta walk per folder, whose end is where changes begin.
//! Source: <https://learn.microsoft.com/graph/delta-query-messages>.
//!
//! A folder is a partition. Folders are asked for afresh each time, because one may come or go at any time. The walk of a
//! folder names everything in it, texts included; its last link, asked again, names what changed since. Links age with
//! every use: only the newest is kept, and one that is no longer known is a new walk.

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, MailItem},
    http::Call,
    ids::{ItemKey, PartitionId},
    sync::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Next, Partition, PartitionPage,
        Reason, Removal, Window,
    },
};

use super::{
    Outlook,
    convert::{self, Extent},
    error, fetch,
    folders::{self, Places},
    wire,
};
use crate::client::{PAGE, operation};

/// The format of every kind of cursor: a link, as the service gave it, without the address.
const VERSION: u16 = 1;

/// How many folders are asked at the same time. The service runs four calls at once for a mailbox; one is left to people.
const AT_ONCE: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct OutlookFeed(pub(super) Outlook);

/// Both kinds of walk remember what they were asked for; the call of a walk's beginning says all of it.
fn fingerprint(kind: &str, first: &Call, window: &Window) -> Fingerprint {
    let uri = first.request().uri();
    // Not the host: behind another address it is the same mailbox, and the links are checked by themselves.
    let asked = uri.path_and_query().map_or("", |asked| asked.as_str());
    let limit = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.to_rfc3339()).unwrap_or_default();
    Fingerprint::of([kind, asked, &limit(window.since), &limit(window.until)])
}

fn head_fingerprint(first: &Call) -> Fingerprint {
    fingerprint("changes", first, &Window::default())
}

#[async_trait]
impl Feed for OutlookFeed {
    type Item = MailItem;

    /// No anchor: the service tells where changes begin only at the end of a walk.
    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(self.0.client.batch_size, 1)
            .with_newest_first()
            .with_listing(PAGE as usize, 1)
            .with_at_once(AT_ONCE)
    }

    async fn partitions(&self, at: Option<&Cursor>) -> Result<PartitionPage> {
        let made_for = Fingerprint::of(["folders"]);
        let link = at.map(|at| at.position(VERSION, &made_for)).transpose()?;
        let places = self.0.places().await?;
        let (folders, next) = folders::page(&self.0, link).await.map_err(|error| expired(error, link.is_some()))?;
        let followed = folders.into_iter().filter(|folder| places.is_followed(folder));
        let partitions = followed.map(|folder| Partition::new(PartitionId::new(folder.id), folder.display_name));
        Ok(PartitionPage::new(partitions.collect(), next.map(|link| Cursor::new(VERSION, made_for, link))))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(None)
    }

    /// A window saves no calls: the service's own filter by time ends a walk after 5,000 messages, and would then follow
    /// only what it let through. What lies outside is left out here.
    async fn snapshot(
        &self,
        folder: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        let first = self.0.client.delta(folder.as_str())?;
        let (made_for, head) = (fingerprint("snapshot", &first, window), head_fingerprint(&first));
        let call = match at {
            Some(at) => self.0.client.delta_link(at.position(VERSION, &made_for)?)?,
            None => first,
        };
        let mut page = self.page(call).await.map_err(|error| expired(error, at.is_some()))?;
        let places = self.0.places().await?;
        let inside = |entry: &Entry| entry.is_within(window);
        let entries: Vec<Entry> = page.value.iter().map(|entry| Entry::read(entry.get())).filter(inside).collect();
        let changes: Vec<_> = last_of_each(entries)
            .into_iter()
            // What an earlier page named may leave before the walk ends.
            .map(|entry| entry.change(&places, folder))
            .collect();
        let next = self.next(&mut page, &made_for, &head)?;
        Ok(ChangePage::new(changes, next))
    }

    async fn changes(&self, folder: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let made_for = head_fingerprint(&self.0.client.delta(folder.as_str())?);
        let call = self.0.client.delta_link(since.position(VERSION, &made_for)?)?;
        let page = self.page(call).await.map_err(|error| expired(error, true));
        if page.as_ref().is_err_and(|error| error.kind() == ErrorKind::CursorExpired) {
            self.0.client.known.forget(&self.0.session, &self.0.client.root);
        }
        let mut page = page?;
        let entries: Vec<Entry> = page.value.iter().map(|entry| Entry::read(entry.get())).collect();
        let mut changes = Vec::with_capacity(entries.len());
        if !entries.is_empty() {
            let places = self.0.places().await?;
            changes.extend(last_of_each(entries).into_iter().map(|entry| anew(entry.change(&places, folder))));
        }
        let next = self.next(&mut page, &made_for, &made_for)?;
        Ok(ChangePage::new(changes, next))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let ids = keys.iter().map(ItemKey::as_str);
        fetch::fetch(&self.0, ids, Depth::Full, |message| MailItem::Message(Box::new(message))).await
    }
}

impl OutlookFeed {
    async fn page(&self, call: Call) -> Result<wire::Page> {
        self.0.session.send(call).await?.json()
    }

    /// A page without any link would end the walk nowhere; one with a link to elsewhere must not be stored.
    fn next(&self, page: &mut wire::Page, walk: &Fingerprint, head: &Fingerprint) -> Result<Next> {
        let position = |link: String, made_for: &Fingerprint| {
            let kept = self.0.client.kept(&link, operation::DELTA)?;
            Ok(Cursor::new(VERSION, made_for.clone(), kept))
        };
        if let Some(link) = page.next() {
            return Ok(Next::More(position(link, walk)?));
        }
        let missing =
            || error(ErrorKind::Validation, "the page says not where to go on").with_operation(operation::DELTA);
        let link = page.delta().ok_or_else(missing)?;
        Ok(Next::Done { head: Some(position(link, head)?) })
    }
}

/// What a refused link means. With everything else unchanged, only the link can be what the service does not accept: too
/// old, or of a mailbox that moved to another server.
fn expired(error: Error, by_link: bool) -> Error {
    if by_link && matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) {
        let message = "the walk cannot be continued from this link";
        return self::error(ErrorKind::CursorExpired, message).with_operation(operation::DELTA).with_source(error);
    }
    error
}

/// An entry of a page.
pub(super) enum Entry {
    Broken(Option<String>, Bytes, &'static str),
    Read(Box<wire::Message>, Bytes),
}

impl Entry {
    pub(super) fn read(json: &str) -> Self {
        let raw = Bytes::copy_from_slice(json.as_bytes());
        match serde_json::from_str::<wire::Message>(json) {
            Ok(wire) if wire.id.is_empty() => Self::Broken(None, raw, "an entry has no id"),
            Ok(wire) => Self::Read(Box::new(wire), raw),
            Err(_) => {
                let named = serde_json::from_str::<wire::Named>(json).ok().filter(|named| !named.id.is_empty());
                Self::Broken(named.map(|named| named.id), raw, "an entry cannot be read as a message")
            }
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Broken(id, ..) => id.as_deref(),
            Self::Read(wire, _) => Some(&wire.id),
        }
    }

    /// What says nothing of its time is never left out.
    fn is_within(&self, window: &Window) -> bool {
        let Self::Read(wire, _) = self else { return true };
        let Some(at) = convert::instant(wire.received_date_time.as_deref()) else { return true };
        window.since.is_none_or(|since| at >= since) && window.until.is_none_or(|until| at < until)
    }

    pub(super) fn change(self, places: &Places, folder: &PartitionId) -> Change<MailItem> {
        let (wire, raw) = match self {
            Self::Broken(id, raw, reason) => {
                return Change::Malformed { key: id.map(ItemKey::new), raw, reason: Reason::new(reason) };
            }
            Self::Read(wire, raw) => (wire, raw),
        };
        let key = ItemKey::new(&wire.id);
        if wire.removed.is_some() {
            // Whatever the service gives as its reason: with ids that stay, it calls deleted what left and came back.
            return Change::Removed { key, how: Removal::LeftPartition };
        }
        let revision = convert::revision(&wire);
        let body = match convert::extent(&wire) {
            Extent::Marks => Body::Inline(MailItem::Flags(convert::flags(&wire, places, Some(folder.as_str())))),
            // The rest is in the raw text or in a list of its own: a fetch brings it.
            Extent::Whole if convert::lack(&wire).is_none() => match convert::message(&wire, places, Vec::new()) {
                Ok(message) => Body::Inline(MailItem::Message(Box::new(message))),
                Err(reason) => return Change::Malformed { key: Some(key), raw, reason },
            },
            Extent::Part | Extent::Whole => Body::Deferred,
        };
        Change::Upsert { key, group: None, revision, body }
    }
}

/// A change that has to be fetched is fetched, whatever is known: times of changes are whole seconds, and a second change
/// within one must not be taken for the first.
fn anew(mut change: Change<MailItem>) -> Change<MailItem> {
    if let Change::Upsert { revision, body: Body::Deferred, .. } = &mut change {
        revision.order = None;
    }
    change
}

/// The service may tell the same message several times, in any order but the last word: that one counts.
fn last_of_each(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Entry> =
        entries.into_iter().rev().filter(|entry| entry.id().is_none_or(|id| seen.insert(id.to_owned()))).collect();
    kept.reverse();
    kept
}
