//! Several partitions walked through at the same time, by a service that fails, is slow, or whose pages have no end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    super::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Next, Partition, PartitionPage, Revision,
        Shutdown, SliceEnd, Window,
    },
    Rig, cursor, message, position,
};
use crate::{
    clock::SystemClock,
    email::MailItem,
    error::{Error, ErrorKind, Result},
    ids::{ItemKey, PartitionId},
};

/// Pages that an untroubled walk has.
const PAGES: u64 = 3;

/// What is wrong with a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    /// Each of its pages names a new position, and all have the same item.
    EverNew,
    Failing(ErrorKind),
    /// Its page names itself as the next one.
    Standing,
}

/// Every walk has three pages of one item each, "a0", "a1" and "a2" of partition "a"; a head's are "a-new0" and so on.
#[derive(Debug)]
struct Pages {
    named: &'static [&'static str],
    trouble: Mutex<BTreeMap<(&'static str, String), Trouble>>,
    calls: Mutex<Vec<String>>,
    /// How long an answer takes.
    slow: Duration,
    tag: Mutex<String>,
    clock: Arc<SystemClock>,
    fetched: Mutex<Vec<String>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::of(&["a", "b"])
    }
}

impl Pages {
    fn of(named: &'static [&'static str]) -> Self {
        Self {
            named,
            trouble: Mutex::default(),
            calls: Mutex::default(),
            slow: Duration::ZERO,
            tag: Mutex::default(),
            clock: Arc::default(),
            fetched: Mutex::default(),
        }
    }

    fn trouble(&self, walk: &'static str, partition: &str, trouble: Trouble) {
        self.trouble.lock().unwrap().insert((walk, partition.to_owned()), trouble);
    }

    /// The calls since the last look.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn revision(&self) -> Revision {
        Revision { tag: self.tag.lock().unwrap().clone(), order: Some(7) }
    }

    async fn page(&self, walk: &'static str, partition: &str, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let at: u64 = at.map_or(0, |at| position(at).parse().unwrap());
        self.calls.lock().unwrap().push(format!("{walk} {partition}{at}"));
        tokio::time::sleep(self.slow).await;
        let trouble = self.trouble.lock().unwrap().get(&(walk, partition.to_owned())).copied();
        let item = |index: u64| Change::Upsert {
            key: ItemKey::new(format!("{partition}{}{index}", if walk == "head" { "-new" } else { "" })),
            group: None,
            revision: self.revision(),
            body: Body::Deferred,
        };
        let (index, next) = match trouble {
            Some(Trouble::Failing(kind)) => return Err(Error::new(kind, "it does not work")),
            Some(Trouble::EverNew) => (0, Next::More(cursor(at + 1))),
            Some(Trouble::Standing) => (at, Next::More(cursor(at))),
            None if at + 1 < PAGES => (at, Next::More(cursor(at + 1))),
            None => (at.min(PAGES - 1), Next::Done { head: Some(cursor(if walk == "head" { PAGES } else { 0 })) }),
        };
        Ok(ChangePage::new(vec![item(index)], next))
    }
}

#[async_trait]
impl Feed for Pages {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(10, 1).with_at_once(2)
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        let named = self.named.iter().map(|name| Partition::new(PartitionId::new(*name), *name));
        Ok(PartitionPage::new(named.collect(), None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(None)
    }

    async fn snapshot(&self, of: &PartitionId, _: &Window, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        self.page("list", of.as_str(), at).await
    }

    async fn changes(&self, of: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        self.page("head", of.as_str(), Some(since)).await
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        self.fetched.lock().unwrap().extend(keys.iter().map(ToString::to_string));
        let letter = |key: &ItemKey| message(key.as_str(), "known@one.example", key.as_str());
        let answer =
            |key: &ItemKey| Fetched::Present { key: key.clone(), revision: self.revision(), item: letter(key) };
        Ok(keys.iter().map(answer).collect())
    }
}

async fn slice(rig: &Rig, feed: &Arc<Pages>) -> Result<SliceEnd> {
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(feed) as Arc<_>, Arc::clone(feed) as Arc<_>);
    engine.clock = Arc::clone(&feed.clock) as Arc<_>;
    engine.slice(&Shutdown::default()).await
}

/// Slices until one has nothing more to do at once.
async fn slices(rig: &Rig, feed: &Arc<Pages>) -> Result<SliceEnd> {
    for _ in 0..1_000 {
        match slice(rig, feed).await {
            Ok(SliceEnd::More) => {}
            end => return end,
        }
    }
    panic!("no end");
}

async fn shown(rig: &Rig) -> usize {
    rig.rows("activity").await.len()
}

fn counted(calls: &[String], of: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(of)).count()
}

/// What may be the matter with one partition alone.
const OF_ONE: [ErrorKind; 6] = [
    ErrorKind::InvalidInput,
    ErrorKind::Timeout,
    ErrorKind::Transport,
    ErrorKind::Unavailable,
    ErrorKind::Unsupported,
    ErrorKind::Validation,
];

#[tokio::test(start_paused = true)]
async fn a_partition_whose_listing_fails_for_ever_is_told_and_the_others_are_read_to_the_end() {
    for kind in OF_ONE {
        let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
        feed.trouble("list", "a", Trouble::Failing(kind));
        assert_eq!(slices(&rig, &feed).await.unwrap_err().kind(), kind);
        let calls = feed.calls();
        assert_eq!((counted(&calls, "list a"), counted(&calls, "list b"), shown(&rig).await), (1, 3, 3), "{kind}");
        for _ in 0..2 {
            assert_eq!(slices(&rig, &feed).await.unwrap_err().kind(), kind, "it is told as long as it lasts");
        }
        assert_eq!((counted(&feed.calls(), "head b"), shown(&rig).await), (4, 6), "what is new elsewhere comes");
        feed.trouble.lock().unwrap().clear();
        for _ in 0..2 {
            assert_eq!(slices(&rig, &feed).await.unwrap(), SliceEnd::UpToDate);
        }
        assert_eq!((counted(&feed.calls(), "list b"), shown(&rig).await), (0, 12));
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_head_fails_for_ever_is_told_and_the_others_are_followed() {
    for kind in OF_ONE {
        let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
        slices(&rig, &feed).await.unwrap();
        feed.calls();
        feed.trouble("head", "a", Trouble::Failing(kind));
        assert_eq!(slices(&rig, &feed).await.unwrap_err().kind(), kind);
        let calls = feed.calls();
        assert_eq!((counted(&calls, "head a"), counted(&calls, "head b"), shown(&rig).await), (1, 3, 9), "{kind}");
        feed.trouble.lock().unwrap().clear();
        assert_eq!(slices(&rig, &feed).await.unwrap(), SliceEnd::UpToDate);
        assert_eq!(shown(&rig).await, 12);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_for_none_of_those_asked_at_once_is_asked_nothing_more() {
    let (rig, feed) = (Rig::new(), Arc::new(Pages::of(&["a", "b", "c"])));
    for partition in ["a", "b"] {
        feed.trouble("list", partition, Trouble::Failing(ErrorKind::Unavailable));
    }
    assert_eq!(slices(&rig, &feed).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(feed.calls(), ["list a0", "list b0"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_matter_with_the_connection_ends_the_slice_at_once() {
    for kind in [ErrorKind::ReauthorisationNeeded, ErrorKind::RateLimited, ErrorKind::QuotaExhausted] {
        let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
        feed.trouble("list", "a", Trouble::Failing(kind));
        assert_eq!(slices(&rig, &feed).await.unwrap_err().kind(), kind);
        assert_eq!(feed.calls(), ["list a0", "list b0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_came_are_kept_when_the_time_of_the_slice_is_up() {
    let (rig, feed) = (Rig::new(), Arc::new(Pages { slow: Duration::from_secs(10), ..Pages::default() }));
    for _ in 0..4 {
        slice(&rig, &feed).await.unwrap();
    }
    let before = feed.calls();
    assert_eq!((counted(&before, "list a"), counted(&before, "list b")), (3, 3), "{before:?}");
    for _ in 0..3 {
        slice(&rig, &feed).await.unwrap();
    }
    let calls: Vec<String> = [before, feed.calls()].concat();
    for page in 0..PAGES {
        assert_eq!(counted(&calls, &format!("head b{page}")), 1, "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_whose_pages_have_no_end_is_told_rests_and_holds_up_nothing_else() {
    for trouble in [Trouble::EverNew, Trouble::Standing] {
        let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
        feed.trouble("list", "a", trouble);
        let told = slices(&rig, &feed).await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Validation);
        assert!(told.message().contains("the pages of partition a have no end"), "{told}");
        assert_eq!(shown(&rig).await, 4, "the other partition, and what the pages without end had");
        let calls = counted(&feed.calls(), "list a");
        assert!(calls <= 202, "{calls} calls");
        for _ in 0..5 {
            slices(&rig, &feed).await.unwrap_err();
        }
        assert_eq!(counted(&feed.calls(), "list a"), 0, "it rests");
        feed.trouble.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(601)).await;
        assert_eq!(slices(&rig, &feed).await.unwrap(), SliceEnd::UpToDate);
        assert!(feed.calls().contains(&"list a0".to_owned()), "from the beginning");
        assert_eq!(slices(&rig, &feed).await.unwrap(), SliceEnd::UpToDate);
        assert_eq!(shown(&rig).await, 12);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_whose_pages_have_no_end_is_told_rests_and_holds_up_nothing_else() {
    for trouble in [Trouble::EverNew, Trouble::Standing] {
        let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
        feed.trouble("head", "a", trouble);
        let told = match slices(&rig, &feed).await {
            // The heads are known at the end of the enumeration.
            Ok(_) => slices(&rig, &feed).await.unwrap_err(),
            Err(told) => told,
        };
        assert!(told.message().contains("the pages of partition a have no end"), "{told}");
        assert_eq!(shown(&rig).await, 10, "all but what lies behind the pages without end");
        let calls = counted(&feed.calls(), "head a");
        assert!((1..=203).contains(&calls), "{calls} calls");
        for _ in 0..5 {
            slices(&rig, &feed).await.unwrap_err();
        }
        assert_eq!(counted(&feed.calls(), "head a"), 0, "it rests");
        feed.trouble.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(601)).await;
        assert_eq!(slices(&rig, &feed).await.unwrap(), SliceEnd::UpToDate);
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_with_the_same_order_and_another_tag_is_read_again() {
    let (rig, feed) = (Rig::new(), Arc::new(Pages::default()));
    for _ in 0..2 {
        slices(&rig, &feed).await.unwrap();
    }
    feed.fetched.lock().unwrap().clear();
    slices(&rig, &feed).await.unwrap();
    assert!(feed.fetched.lock().unwrap().is_empty(), "nothing changed");
    *feed.tag.lock().unwrap() = "another".to_owned();
    slices(&rig, &feed).await.unwrap();
    assert_eq!(*feed.fetched.lock().unwrap(), ["a-new2", "b-new2"]);
}
