//! A service resets a group and emits it anew: what does not come again is looked for, and only then gone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::{
    super::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Next, Partition, PartitionPage, Removal,
        Revision, Window,
    },
    Rig, cursor, message,
};
use crate::{
    email::MailItem,
    error::Result,
    ids::{GroupKey, ItemKey, PartitionId},
};

/// Answers the head with scripted pages; whatever is in `present` can be fetched.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pages: Mutex<VecDeque<Vec<Change<MailItem>>>>,
    present: Mutex<BTreeMap<String, MailItem>>,
    fetched: Mutex<Vec<String>>,
}

#[async_trait]
impl Feed for Scripted {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(10, 1).with_anchor_first()
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        Ok(PartitionPage::new(vec![Partition::new(PartitionId::new("all"), "all")], None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(Some(cursor(0)))
    }

    async fn snapshot(&self, _: &PartitionId, _: &Window, _: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        Ok(ChangePage::new(Vec::new(), Next::Done { head: None }))
    }

    async fn changes(&self, _: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let page = self.pages.lock().unwrap().pop_front().unwrap_or_default();
        Ok(ChangePage::new(page, Next::Done { head: Some(since.clone()) }))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let present = self.present.lock().unwrap();
        self.fetched.lock().unwrap().extend(keys.iter().map(ToString::to_string));
        let answer = |key: &ItemKey| match present.get(key.as_str()) {
            None => Fetched::Gone(key.clone()),
            Some(item) => Fetched::Present { key: key.clone(), revision: Revision::default(), item: item.clone() },
        };
        Ok(keys.iter().map(answer).collect())
    }
}

impl Scripted {
    fn has(&self, id: &str, subject: &str) -> Change<MailItem> {
        let item = message(id, "known@one.example", subject);
        self.present.lock().unwrap().insert(id.to_owned(), item.clone());
        let (key, group) = (ItemKey::new(id), Some(GroupKey::new("series")));
        Change::Upsert { key, group, revision: Revision::tagged(subject), body: Body::Inline(item) }
    }

    fn told(&self, page: Vec<Change<MailItem>>) {
        self.pages.lock().unwrap().push_back(page);
    }
}

async fn follow(rig: &Rig, feed: &Arc<Scripted>) {
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(feed) as Arc<_>, Arc::clone(feed) as Arc<_>);
    engine.slice(&super::Shutdown::default()).await.unwrap();
}

async fn series() -> (Rig, Arc<Scripted>) {
    let (rig, feed) = (Rig::new(), Arc::new(Scripted::default()));
    follow(&rig, &feed).await;
    feed.told(vec![feed.has("a", "first"), feed.has("b", "first"), feed.has("c", "first")]);
    follow(&rig, &feed).await;
    assert_eq!(rig.rows("activity").await.len(), 3);
    (rig, feed)
}

#[tokio::test(start_paused = true)]
async fn what_a_reset_group_does_not_emit_again_is_gone_once_the_service_says_so() {
    let (rig, feed) = series().await;
    feed.present.lock().unwrap().remove("c");
    feed.told(vec![Change::GroupReset { group: GroupKey::new("series") }, feed.has("a", "second")]);
    follow(&rig, &feed).await;
    assert_eq!(*feed.fetched.lock().unwrap(), ["b", "c"], "what came again needs no proof");
    let rows = rig.rows("activity").await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().any(|(_, row)| row.contains("about second")), "{rows:?}");
    assert!(rig.rows("pending").await.is_empty());
    assert_eq!(rig.rows("group").await.len(), 2, "the index follows");
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_an_unknown_group_changes_nothing() {
    let (rig, feed) = series().await;
    let before = rig.dump().await;
    feed.told(vec![Change::GroupReset { group: GroupKey::new("another") }]);
    follow(&rig, &feed).await;
    super::same(&rig.dump().await, &before, "after the reset");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_moves_to_another_group_is_not_reset_with_the_old_one() {
    let (rig, feed) = series().await;
    let Change::Upsert { key, revision, body, .. } = feed.has("a", "moved") else { unreachable!() };
    let moved = Change::Upsert { key, group: Some(GroupKey::new("other")), revision, body };
    feed.told(vec![moved, Change::GroupReset { group: GroupKey::new("series") }]);
    follow(&rig, &feed).await;
    let again = feed.fetched.lock().unwrap().clone();
    assert!(again.contains(&"b".to_owned()) && again.contains(&"c".to_owned()), "{again:?}");
    feed.fetched.lock().unwrap().clear();
    feed.told(vec![Change::GroupReset { group: GroupKey::new("series") }]);
    follow(&rig, &feed).await;
    assert_eq!(*feed.fetched.lock().unwrap(), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn leaving_a_partition_is_only_a_suspicion() {
    let (rig, feed) = series().await;
    feed.present.lock().unwrap().remove("b");
    let left = |id: &str| Change::Removed { key: ItemKey::new(id), how: Removal::LeftPartition };
    feed.told(vec![left("a"), left("b"), left("unknown")]);
    follow(&rig, &feed).await;
    assert_eq!(rig.rows("activity").await.len(), 2, "a is still there, b is not");
}
