//! Keeping up with a mailbox: snapshots and changes.

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;

use super::{MANY, MailboxFixture, letter, letters};
use crate::{
    conformance::{Broken, Kept, ensure, same},
    email::{MailItem, Role},
    ids::{ItemKey, MessageId, PartitionId},
    sync::{Body, Change, Cursor, Feed, Fetched, Next, Removal, Window},
};

pub(super) const LOST: &str = "no change is lost over a page's border";
const ENDS: &str = "a walk ends";

/// A cursor as it comes back from a store.
pub(super) fn stored(cursor: &Cursor) -> Result<Cursor, Broken> {
    let unreadable =
        |error: serde_json::Error| Broken { promise: "a cursor survives being stored", detail: error.to_string() };
    serde_json::from_str(&serde_json::to_string(cursor).map_err(unreadable)?).map_err(unreadable)
}

/// A feed and where each of its partitions stands.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) feed: Arc<dyn Feed<Item = MailItem>>,
    pub(super) heads: BTreeMap<PartitionId, Cursor>,
}

impl Follower {
    /// Stands at "now": by the anchor, or by a finished snapshot where only that yields it.
    pub(super) async fn now(fixture: &dyn MailboxFixture) -> Result<Self, Broken> {
        const PROMISE: &str = "the head is told before the snapshot or at its end";
        let feed = fixture.provider().feed();
        let mut heads = BTreeMap::new();
        for partition in partitions(&*feed).await? {
            let anchor = feed.anchor(&partition).await?;
            same(&anchor.is_some(), &feed.capabilities().anchor_first, "an anchor is there exactly if it is claimed")?;
            let head = match anchor {
                Some(anchor) => anchor,
                None => {
                    let (_, head) = snapshot(&*feed, &partition, &Window::default()).await?;
                    head.ok_or(Broken { promise: PROMISE, detail: "neither".to_owned() })?
                }
            };
            heads.insert(partition, stored(&head)?);
        }
        Ok(Self { feed, heads })
    }

    /// Everything that changed since, and stands behind it.
    pub(super) async fn follow(&mut self) -> Result<Vec<Change<MailItem>>, Broken> {
        let mut all = Vec::new();
        for (partition, head) in &mut self.heads {
            all.extend(changes(&*self.feed, partition, head).await?);
        }
        Ok(all)
    }

    /// Every change of a snapshot of every partition.
    pub(super) async fn snapshot(&self, window: &Window) -> Result<Vec<Change<MailItem>>, Broken> {
        let mut all = Vec::new();
        for partition in self.heads.keys() {
            all.extend(snapshot(&*self.feed, partition, window).await?.0);
        }
        Ok(all)
    }
}

pub(super) async fn partitions(feed: &dyn Feed<Item = MailItem>) -> Result<Vec<PartitionId>, Broken> {
    let (mut ids, mut at) = (Vec::new(), None);
    for _ in 0..MANY {
        let page = feed.partitions(at.as_ref()).await?;
        ids.extend(page.partitions.into_iter().map(|partition| partition.id));
        at = page.next;
        if at.is_none() {
            let distinct: std::collections::BTreeSet<&PartitionId> = ids.iter().collect();
            same(&distinct.len(), &ids.len(), "every partition is named once")?;
            return Ok(ids);
        }
    }
    Err(Broken { promise: ENDS, detail: "the list of partitions did not".to_owned() })
}

async fn snapshot(
    feed: &dyn Feed<Item = MailItem>,
    partition: &PartitionId,
    window: &Window,
) -> Result<(Vec<Change<MailItem>>, Option<Cursor>), Broken> {
    let (mut all, mut at) = (Vec::new(), None);
    for _ in 0..MANY {
        let page = feed.snapshot(partition, window, at.as_ref()).await?;
        all.extend(page.changes);
        match page.next {
            Next::More(next) => at = Some(stored(&next)?),
            Next::Done { head } => {
                if let Some(total) = page.total {
                    same(&total, &(all.len() as u64), "a total that is told is exact")?;
                }
                return Ok((all, head));
            }
        }
    }
    Err(Broken { promise: ENDS, detail: "the snapshot did not".to_owned() })
}

pub(super) async fn changes(
    feed: &dyn Feed<Item = MailItem>,
    partition: &PartitionId,
    head: &mut Cursor,
) -> Result<Vec<Change<MailItem>>, Broken> {
    let mut all = Vec::new();
    for _ in 0..MANY {
        let page = feed.changes(partition, head).await?;
        all.extend(page.changes);
        match page.next {
            Next::More(next) => *head = stored(&next)?,
            Next::Done { head: end } => {
                if let Some(end) = end {
                    *head = stored(&end)?;
                }
                return Ok(all);
            }
        }
    }
    Err(Broken { promise: ENDS, detail: "the changes did not".to_owned() })
}

/// The keys of everything told to be there, in order, repeated as told.
pub(super) fn upserted(changes: &[Change<MailItem>]) -> Vec<MessageId> {
    let key = |change: &Change<MailItem>| match change {
        Change::Upsert { key, .. } | Change::Malformed { key: Some(key), .. } => Some(MessageId::new(key.as_str())),
        _ => None,
    };
    changes.iter().filter_map(key).collect()
}

/// Is each of `wanted` told?
pub(super) fn tells_all(told: &[MessageId], wanted: &[MessageId], promise: &'static str) -> Kept {
    let told: std::collections::BTreeSet<&MessageId> = told.iter().collect();
    let missing: Vec<&MessageId> = wanted.iter().filter(|id| !told.contains(id)).collect();
    let first = missing.first().map(|id| id.as_str()).unwrap_or_default();
    ensure(missing.is_empty(), promise, format_args!("{} of {} missing: {first}…", missing.len(), wanted.len()))
}

/// None, one, a page, one more, and more than two pages.
pub async fn a_snapshot_lists_every_message_once(fixture: &dyn MailboxFixture) -> Kept {
    let follower = Follower::now(fixture).await?;
    let page = fixture.feed_page();
    let mut wanted: Vec<MessageId> = Vec::new();
    for count in [0, 1, page, page + 1, page * 2 + 1] {
        let more = count.saturating_sub(wanted.len());
        wanted.extend(letters(fixture, &format!("n{count}"), more).await);
        let told = upserted(&follower.snapshot(&Window::default()).await?);
        tells_all(&told, &wanted, "a snapshot lists every message")?;
        same(&told.len(), &wanted.len(), "a snapshot lists no message twice")?;
    }
    Ok(())
}

/// All of it; what lies a day beside it is not part of it.
pub async fn a_snapshot_keeps_to_its_window(fixture: &dyn MailboxFixture) -> Kept {
    let follower = Follower::now(fixture).await?;
    let first = fixture.now() - TimeDelta::days(10);
    let mut ids = Vec::new();
    for days in 0..6 {
        let at = first + TimeDelta::days(days);
        ids.push(fixture.deliver(letter(fixture, &format!("day-{days}")).with_received_at(at)).await);
    }
    let half = TimeDelta::hours(12);
    let cases: [(Option<i64>, Option<i64>, std::ops::Range<usize>); 3] =
        [(Some(3), None, 3..6), (Some(1), Some(3), 1..4), (None, Some(2), 0..3)];
    for (since, until, wanted) in cases {
        let since = since.map(|days| first + TimeDelta::days(days) - half);
        let until = until.map(|days| first + TimeDelta::days(days) + half);
        let mut told = upserted(&follower.snapshot(&Window { since, until }).await?);
        told.sort();
        let mut wanted = ids[wanted].to_vec();
        wanted.sort();
        same(&told, &wanted, "a snapshot keeps to its window")?;
    }
    Ok(())
}

/// Both what arrives before the snapshot begins and while it goes on.
pub async fn what_arrives_after_the_head_was_taken_is_reported(fixture: &dyn MailboxFixture) -> Kept {
    let old = letters(fixture, "old", 2).await;
    let mut follower = Follower::now(fixture).await?;
    let mut new = letters(fixture, "new", 2).await;
    let listed = upserted(&follower.snapshot(&Window::default()).await?);
    tells_all(&listed, &old, "a snapshot lists every message")?;
    new.extend(letters(fixture, "newer", 1).await);
    let told = upserted(&follower.follow().await?);
    tells_all(&told, &new, "what arrives after the head was taken is reported")?;
    let quiet = follower.follow().await?;
    ensure(quiet.is_empty(), "what was reported is not reported again", format_args!("{quiet:?}"))
}

/// Even if more happens between two pages.
pub async fn no_arrival_is_lost_over_a_pages_border(fixture: &dyn MailboxFixture) -> Kept {
    let mut follower = Follower::now(fixture).await?;
    let mut wanted = letters(fixture, "first", fixture.feed_page() * 2 + 1).await;
    let mut told = Vec::new();
    for (partition, head) in &mut follower.heads {
        for number in 0..3 {
            let page = follower.feed.changes(partition, head).await?;
            told.extend(upserted(&page.changes));
            wanted.push(fixture.deliver(letter(fixture, &format!("between-{partition}-{number}"))).await);
            match page.next {
                Next::More(next) => *head = stored(&next)?,
                Next::Done { head: Some(next) } => *head = stored(&next)?,
                Next::Done { head: None } => {}
            }
        }
    }
    told.extend(upserted(&follower.follow().await?));
    tells_all(&told, &wanted, LOST)
}

/// A process that died between two pages goes on from the cursor it had stored.
pub async fn a_walk_goes_on_from_any_stored_cursor(fixture: &dyn MailboxFixture) -> Kept {
    let mut follower = Follower::now(fixture).await?;
    for death in 0..3 {
        let wanted: Vec<MessageId> = letters(fixture, &format!("{death}"), fixture.feed_page() * 2 + 1).await;
        let mut told = Vec::new();
        for (partition, head) in &mut follower.heads {
            told.extend(walk_that_dies(&*follower.feed, partition, head, death).await?);
        }
        tells_all(&told, &wanted, LOST)?;
    }
    Ok(())
}

/// What a walk tells whose page `death` was answered and not stored. An older cursor than the stored one is never used.
async fn walk_that_dies(
    feed: &dyn Feed<Item = MailItem>,
    partition: &PartitionId,
    head: &mut Cursor,
    death: usize,
) -> Result<Vec<MessageId>, Broken> {
    let mut told = Vec::new();
    for number in 0..MANY {
        let mut page = feed.changes(partition, head).await?;
        if number == death {
            let lost = upserted(&page.changes);
            page = feed.changes(partition, head).await?;
            tells_all(&upserted(&page.changes), &lost, "a cursor answers the same when it is used again")?;
        }
        told.extend(upserted(&page.changes));
        match page.next {
            Next::More(next) => *head = stored(&next)?,
            Next::Done { head: next } => {
                *head = next.map_or_else(|| Ok(head.clone()), |next| stored(&next))?;
                return Ok(told);
            }
        }
    }
    Err(Broken { promise: ENDS, detail: "the walk did not".to_owned() })
}

/// Where the change itself brings flags, they are the new ones.
pub async fn marks_are_reported(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message that was marked is reported with its new marks";
    let ids = letters(fixture, "a", 2).await;
    let mut follower = Follower::now(fixture).await?;
    fixture.mark_read(&ids[0]).await;
    let all = follower.follow().await?;
    tells_all(&upserted(&all), &ids[..1], PROMISE)?;
    for change in &all {
        let flags = match change {
            Change::Upsert { body: Body::Inline(MailItem::Flags(flags)), .. } => flags,
            Change::Upsert { body: Body::Inline(MailItem::Message(message)), .. } => &message.flags,
            _ => continue,
        };
        ensure(flags.read && flags.has(Role::Inbox), PROMISE, format_args!("{change:?}"))?;
    }
    Ok(())
}

/// And a fetch proves it.
pub async fn removals_are_reported_and_proved(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message deleted for good is reported as removed";
    let ids = letters(fixture, "a", 2).await;
    let mut follower = Follower::now(fixture).await?;
    fixture.delete(&ids[0]).await;
    let all = follower.follow().await?;
    let key = ItemKey::new(ids[0].as_str());
    let told = all.iter().any(|change| matches!(change, Change::Removed { key: removed, .. } if *removed == key));
    ensure(told, PROMISE, format_args!("{all:?}"))?;
    let fetched = follower.feed.fetch(std::slice::from_ref(&key)).await?;
    ensure(
        matches!(&fetched[..], [Fetched::Gone(gone)] if *gone == key),
        "a fetch proves a removal",
        format_args!("{fetched:?}"),
    )?;
    let listed = upserted(&follower.snapshot(&Window::default()).await?);
    same(&listed, &ids[1..].to_vec(), "a snapshot does not list what is gone")
}

/// A suspicion at most: it is somewhere else.
pub async fn a_message_that_moved_is_not_called_gone(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message that only moved is not reported as gone";
    if !fixture.provider().capabilities().stable_ids {
        return Ok(());
    }
    let ids = letters(fixture, "a", 1).await;
    let mut follower = Follower::now(fixture).await?;
    fixture.move_to(&ids[0], Role::Trash).await;
    let all = follower.follow().await?;
    ensure(!all.is_empty(), "a move is reported", "nothing was")?;
    for change in &all {
        let gone = matches!(change, Change::Removed { how: Removal::Gone, .. });
        ensure(!gone, PROMISE, format_args!("{change:?}"))?;
    }
    let fetched = follower.feed.fetch(&[ItemKey::new(ids[0].as_str())]).await?;
    let there = matches!(&fetched[..], [Fetched::Present { item: MailItem::Message(message), .. }] if message.flags.has(Role::Trash));
    ensure(there, "what moved is fetched with its new place", format_args!("{fetched:?}"))
}
