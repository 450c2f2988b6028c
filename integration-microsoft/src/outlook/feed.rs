//! The mailbox as a feed: a delta walk per folder, whose end is where changes begin.
//! Source: <https://learn.microsoft.com/graph/delta-query-messages>.
//!
//! A folder is a partition. Folders are asked for afresh each time, because one may come or go at any time. The walk of a
//! folder names everything in it, texts included; its last link, asked again, names what changed since. Links age with
//! every use: only the newest is kept, and one that is no longer known is a new walk.

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    ErrorKind, Result,
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
    folders::Places,
    pages, wire,
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

    /// All of them at once: what a folder is depends on those above it.
    async fn partitions(&self, at: Option<&Cursor>) -> Result<PartitionPage> {
        if at.is_some() {
            let message = "the folders are told in one page; nothing follows it";
            return Err(error(ErrorKind::CursorExpired, message).with_operation(operation::FOLDERS));
        }
        let (places, listing) = self.0.look().await?;
        let followed = listing.folders.into_iter().filter(|folder| places.is_followed(folder));
        let partitions = followed.map(|folder| {
            let roles = places.roles(&folder.id);
            let partition = Partition::new(PartitionId::new(folder.id), folder.display_name.unwrap_or_default());
            match roles {
                Some(roles) => partition.with_inherited(MailItem::inherited(&roles)),
                None => partition,
            }
        });
        Ok(PartitionPage::new(partitions.collect(), None).with_unreadable(listing.nameless))
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
        let first = self.0.client.delta(folder.as_str(), PAGE)?;
        let (made_for, head) = (fingerprint("snapshot", &first, window), head_fingerprint(&first));
        let mut page = match at {
            Some(at) => self.page_by_link(folder, at.position(VERSION, &made_for)?).await?,
            None => pages::ask(&self.0, PAGE, |size| self.0.client.delta(folder.as_str(), size)).await?.json()?,
        };
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
        let made_for = head_fingerprint(&self.0.client.delta(folder.as_str(), PAGE)?);
        let page = self.page_by_link(folder, since.position(VERSION, &made_for)?).await;
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
    /// A page by its link. Where the service knows the folder, but nothing at the end of the link, only the link can be
    /// what is lost: so it is after a mailbox moved to another server.
    async fn page_by_link(&self, folder: &PartitionId, link: &str) -> Result<wire::Page> {
        let error = match pages::ask(&self.0, PAGE, |size| self.0.client.delta_link(link, size)).await {
            Ok(response) => return response.json(),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::NotFound || !self.is_there(folder).await {
            return Err(error);
        }
        let message = "the walk cannot be continued from this link";
        Err(self::error(ErrorKind::CursorExpired, message).with_operation(operation::DELTA).with_source(error))
    }

    async fn is_there(&self, folder: &PartitionId) -> bool {
        let Ok(path) = self.0.client.folder_path(folder.as_str()) else { return false };
        let replies = fetch::ask(&self.0, operation::FOLDERS, &[path]).await.unwrap_or_default();
        matches!(replies.first(), Some(fetch::Reply::Body(_)))
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
