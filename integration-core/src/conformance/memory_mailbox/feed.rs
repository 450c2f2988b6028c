//! The mailbox as a feed.

use async_trait::async_trait;

use super::{
    MemoryMailbox, Partitions,
    state::{Entry, FOLDERS, State, Stored, folder, id, role},
};
use crate::{
    email::{Depth, EmailProvider, MailItem, Message, Role},
    error::{Error, ErrorKind, Result},
    ids::{FolderId, ItemKey, MessageId, PartitionId},
    sync::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Next, Partition, PartitionPage,
        Removal, Revision, Window,
    },
};

const VERSION: u16 = 1;
const WHOLE: &str = "mailbox";

#[derive(Clone, Debug)]
pub(super) struct MemoryFeed(pub(super) MemoryMailbox);

impl MemoryFeed {
    /// The folder that a partition is; `None` for the whole mailbox.
    fn place(&self, partition: &PartitionId) -> Result<Option<Role>> {
        let unknown = || Error::new(ErrorKind::NotFound, "there is no such partition");
        match self.0.partitions {
            Partitions::Whole if partition.as_str() == WHOLE => Ok(None),
            Partitions::Whole => Err(unknown()),
            Partitions::Folders => role(&FolderId::new(partition.as_str())).map(Some).ok_or_else(unknown),
        }
    }

    fn head(partition: &PartitionId, position: usize) -> Cursor {
        Cursor::new(VERSION, head_of(partition), position.to_string())
    }
}

fn head_of(partition: &PartitionId) -> Fingerprint {
    Fingerprint::of(["head", partition.as_str()])
}

fn snapshot_of(partition: &PartitionId, window: &Window) -> Fingerprint {
    Fingerprint::of(["snapshot", partition.as_str(), &format!("{window:?}")])
}

fn expired() -> Error {
    Error::new(ErrorKind::CursorExpired, "the position is too old")
}

/// Where a snapshot stands: the head when it began, and the last message told.
fn read_snapshot(position: &str) -> Option<(usize, u64)> {
    let (head, last) = position.split_once(':')?;
    Some((head.parse().ok()?, last.parse().ok()?))
}

#[async_trait]
impl Feed for MemoryFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        let capabilities = FeedCapabilities::new(self.0.page, 1).with_newest_first();
        match self.0.partitions {
            Partitions::Folders => capabilities,
            Partitions::Whole => capabilities.with_anchor_first(),
        }
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        let partitions = match self.0.partitions {
            Partitions::Whole => vec![Partition::new(PartitionId::new(WHOLE), "Mailbox")],
            Partitions::Folders => {
                FOLDERS.map(|(role, name)| Partition::new(PartitionId::new(folder(role).as_str()), name)).into()
            }
        };
        Ok(PartitionPage::new(partitions, None))
    }

    async fn anchor(&self, partition: &PartitionId) -> Result<Option<Cursor>> {
        let whole = self.place(partition)?.is_none();
        let head = self.0.call()?.head();
        Ok(whole.then(|| Self::head(partition, head)))
    }

    async fn snapshot(
        &self,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        let (place, made_for) = (self.place(partition)?, snapshot_of(partition, window));
        let position = at.map(|at| at.position(VERSION, &made_for)).transpose()?;
        let at = position.map(|position| read_snapshot(position).ok_or_else(expired)).transpose()?;
        let state = self.0.call()?;
        let within = |stored: &Stored| {
            place.is_none_or(|place| place == stored.place)
                && window.since.is_none_or(|since| stored.received_at >= since)
                && window.until.is_none_or(|until| stored.received_at <= until)
        };
        let all: Vec<u64> = state.newest_first().filter(|(_, s)| within(s)).map(|(number, _)| number).collect();
        let begun = at.map_or(state.head(), |(head, _)| head);
        let rest = match at {
            // What was told last may be gone by now: then nobody knows where to go on.
            Some((_, last)) => &all[1 + all.iter().position(|number| *number == last).ok_or_else(expired)?..],
            None => &all[..],
        };
        let (page, more) = rest.split_at(rest.len().min(self.0.page));
        let upserts = page.iter().map(|number| upsert(*number, Revision::default(), Body::Deferred));
        let next = match page.last().filter(|_| !more.is_empty()) {
            Some(last) => Next::More(Cursor::new(VERSION, made_for, format!("{begun}:{last}"))),
            None => Next::Done { head: place.map(|_| Self::head(partition, begun)) },
        };
        let mut page = ChangePage::new(upserts.collect(), next);
        page.total = Some(all.len() as u64);
        Ok(page)
    }

    async fn changes(&self, partition: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let place = self.place(partition)?;
        let since: usize = since.position(VERSION, &head_of(partition))?.parse().map_err(|_| expired())?;
        let state = self.0.call()?;
        let known = since.checked_sub(state.base).filter(|known| *known <= state.log.len()).ok_or_else(expired)?;
        let mut changes = Vec::new();
        for (entry, at) in state.log[known..].iter().zip(since + 1..) {
            let Some(change) = told(&state, place, *entry, at) else { continue };
            if changes.len() == self.0.page {
                return Ok(ChangePage::new(changes, Next::More(Self::head(partition, at - 1))));
            }
            changes.push(change);
        }
        let head = Some(Self::head(partition, state.head()));
        Ok(ChangePage::new(changes, Next::Done { head }))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let ids: Vec<MessageId> = keys.iter().map(|key| MessageId::new(key.as_str())).collect();
        let fetched = EmailProvider::fetch(&self.0, &ids, Depth::Full).await?;
        Ok(fetched.into_iter().map(item).collect())
    }
}

/// What a partition tells of a change; nothing if it does not concern it.
fn told(state: &State, place: Option<Role>, entry: Entry, at: usize) -> Option<Change<MailItem>> {
    let key = || ItemKey::new(id(entry.number));
    let (was, is) = match place {
        None => (entry.from.is_some(), entry.to.is_some()),
        Some(_) => (entry.from == place, entry.to == place),
    };
    let revision = Revision::ordered(i64::try_from(at).unwrap_or(i64::MAX));
    match (was, is) {
        (false, false) => None,
        (false, true) => Some(upsert(entry.number, revision, Body::Deferred)),
        (true, false) => {
            let how = if entry.to.is_none() { Removal::Gone } else { Removal::LeftPartition };
            Some(Change::Removed { key: key(), how })
        }
        (true, true) => Some(match state.get(entry.number) {
            Some(stored) => upsert(entry.number, revision, Body::Inline(MailItem::Flags(stored.flags()))),
            None => Change::Removed { key: key(), how: Removal::Gone },
        }),
    }
}

fn upsert(number: u64, revision: Revision, body: Body<MailItem>) -> Change<MailItem> {
    Change::Upsert { key: ItemKey::new(id(number)), group: None, revision, body }
}

fn item(fetched: Fetched<Message>) -> Fetched<MailItem> {
    match fetched {
        Fetched::Gone(key) => Fetched::Gone(key),
        Fetched::Malformed { key, raw, reason } => Fetched::Malformed { key, raw, reason },
        Fetched::NotYet(key, error) => Fetched::NotYet(key, error),
        Fetched::Present { key, revision, item } => {
            Fetched::Present { key, revision, item: MailItem::Message(Box::new(item)) }
        }
    }
}
