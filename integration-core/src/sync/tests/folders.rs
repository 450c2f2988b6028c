//! Many partitions: items move between them, and partitions come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    super::{
        Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Next, Partition, PartitionPage, Removal,
        Revision, SliceEnd, Window,
    },
    Rig, cursor, message, position,
};
use crate::{
    clock::SystemClock,
    email::{MailItem, Role},
    error::{Error, ErrorKind, Result},
    ids::{ItemKey, PartitionId, TenantId},
    store::{StateQuery, SyncStore},
};

/// Folders, each with a log of what came and left; the head is known only at the end of an enumeration.
#[derive(Debug, Default)]
struct Folders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    named: BTreeSet<String>,
    places: BTreeMap<String, String>,
    log: Vec<(String, String)>,
    deferred: bool,
    locked: BTreeSet<String>,
    /// How often somebody was not let in.
    refusals: usize,
    /// Folders below the deleted mail, and what is said of them.
    binned: BTreeSet<String>,
    silent: bool,
    /// The list of folders never ends.
    endless: bool,
    unreadable: usize,
    fetched: Vec<String>,
}

impl State {
    fn enter(&mut self, folder: &PartitionId) -> Result<()> {
        if !self.locked.contains(folder.as_str()) {
            return Ok(());
        }
        self.refusals += 1;
        Err(Error::new(ErrorKind::PermissionDenied, "nobody is let in"))
    }

    fn roles(&self, folder: &str) -> Vec<Role> {
        self.binned.contains(folder).then_some(Role::Trash).into_iter().collect()
    }

    fn letter(&self, item: &str) -> MailItem {
        let MailItem::Message(mut letter) = message(item, "known@one.example", item) else { panic!() };
        letter.flags.roles = self.places.get(item).map(|folder| self.roles(folder)).unwrap_or_default();
        MailItem::Message(letter)
    }

    fn told(&self, item: &str, folder: &str) -> Change<MailItem> {
        let key = ItemKey::new(item);
        if self.places.get(item).is_none_or(|place| place != folder) {
            return Change::Removed { key, how: Removal::LeftPartition };
        }
        let body = if self.deferred { Body::Deferred } else { Body::Inline(self.letter(item)) };
        Change::Upsert { key, group: None, revision: Revision::default(), body }
    }
}

impl Folders {
    fn with(named: &[&str]) -> Arc<Self> {
        let folders = Self::default();
        folders.0.lock().unwrap().named = named.iter().map(ToString::to_string).collect();
        Arc::new(folders)
    }

    /// It is in `folder` from now on; `None`: nowhere.
    fn put(&self, item: &str, folder: Option<&str>) {
        let mut state = self.0.lock().unwrap();
        let was = match folder {
            Some(folder) => state.places.insert(item.to_owned(), folder.to_owned()),
            None => state.places.remove(item),
        };
        for folder in was.into_iter().chain(folder.map(ToOwned::to_owned)) {
            state.log.push((folder, item.to_owned()));
        }
    }

    fn fetched(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().fetched)
    }
}

#[async_trait]
impl Feed for Folders {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(10, 1).with_at_once(2)
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        let state = self.0.lock().unwrap();
        let partition = |name: &String| {
            let partition = Partition::new(PartitionId::new(name), name);
            let inherited = MailItem::inherited(&state.roles(name));
            if state.silent { partition } else { partition.with_inherited(inherited) }
        };
        let partitions = state.named.iter().map(partition).collect();
        let next = state.endless.then(|| cursor(1));
        Ok(PartitionPage::new(partitions, next).with_unreadable(state.unreadable))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(None)
    }

    async fn snapshot(&self, folder: &PartitionId, _: &Window, _: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let mut state = self.0.lock().unwrap();
        state.enter(folder)?;
        let here = state.places.iter().filter(|(_, place)| *place == folder.as_str());
        let changes = here.map(|(item, place)| state.told(item, place)).collect();
        Ok(ChangePage::new(changes, Next::Done { head: Some(cursor(state.log.len())) }))
    }

    async fn changes(&self, folder: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let mut state = self.0.lock().unwrap();
        state.enter(folder)?;
        let since: usize = position(since).parse().unwrap();
        let here = state.log[since..].iter().filter(|(place, _)| place == folder.as_str());
        let changes = here.map(|(place, item)| state.told(item, place)).collect();
        Ok(ChangePage::new(changes, Next::Done { head: Some(cursor(state.log.len())) }))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let mut state = self.0.lock().unwrap();
        state.fetched.extend(keys.iter().map(ToString::to_string));
        let there = |key: &ItemKey| state.places.contains_key(key.as_str());
        let answer = |key: &ItemKey| {
            if !there(key) {
                return Fetched::Gone(key.clone());
            }
            Fetched::Present { key: key.clone(), revision: Revision::default(), item: state.letter(key.as_str()) }
        };
        Ok(keys.iter().map(answer).collect())
    }
}

async fn follow(rig: &Rig, feed: &Arc<Folders>) {
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(feed) as Arc<_>, Arc::clone(feed) as Arc<_>);
    engine.slice(&super::Shutdown::default()).await.unwrap();
}

/// Enumerates everything again and compares.
async fn audit(rig: &Rig, feed: &Arc<Folders>) {
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(feed) as Arc<_>, Arc::clone(feed) as Arc<_>);
    assert!(engine.begin_audit().await.unwrap());
    engine.slice(&super::Shutdown::default()).await.unwrap();
}

/// The folders that hold a row of the item.
async fn homes(rig: &Rig, item: &str) -> Vec<String> {
    let (tenant, prefix) = (TenantId::new("t"), String::new());
    let query = StateQuery::Range { tenant, space: "member", prefix, after: None, limit: 100 };
    let rows = rig.store.read(&query).await.unwrap();
    let segments = rows.iter().map(|row| row.key.segments()).filter(|segments| segments[3] == item);
    segments.map(|segments| segments[2].clone()).collect()
}

async fn count(rig: &Rig, space: &'static str) -> usize {
    rig.rows(space).await.len()
}

async fn two_folders() -> (Rig, Arc<Folders>) {
    let (rig, feed) = (Rig::new(), Folders::with(&["archive", "inbox"]));
    for item in ["a", "b", "c"] {
        feed.put(item, Some("inbox"));
    }
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, feed.fetched()), (3, vec![]));
    (rig, feed)
}

#[tokio::test(start_paused = true)]
async fn what_moved_is_proved_once_and_left_to_its_new_folder_when_the_old_one_is_enumerated() {
    let (rig, feed) = two_folders().await;
    feed.put("a", Some("archive"));
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched(), count(&rig, "activity").await), (vec!["a".to_owned()], 3));
    assert_eq!(homes(&rig, "a").await, ["archive", "inbox"], "until the old folder is looked through");
    audit(&rig, &feed).await;
    assert_eq!((feed.fetched(), homes(&rig, "a").await), (vec![], vec!["archive".to_owned()]));
    let reports = rig.rows("audit").await;
    assert!(!reports.is_empty() && reports.iter().all(|(_, report)| report.contains(r#""unlisted":{"count":0"#)));
}

#[tokio::test(start_paused = true)]
async fn what_moved_and_was_deleted_there_is_gone() {
    let (rig, feed) = two_folders().await;
    feed.put("a", Some("archive"));
    follow(&rig, &feed).await;
    feed.put("a", None);
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, homes(&rig, "a").await), (2, vec!["inbox".to_owned()]));
    audit(&rig, &feed).await;
    assert_eq!(homes(&rig, "a").await, Vec::<String>::new(), "the service was asked about the old row");
}

#[tokio::test(start_paused = true)]
async fn what_left_and_came_back_is_a_member_as_before() {
    let (rig, feed) = two_folders().await;
    feed.put("a", Some("archive"));
    feed.put("a", Some("inbox"));
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, homes(&rig, "a").await), (3, vec!["inbox".to_owned()]));
    let inbox = rig.rows("member").await;
    assert!(inbox.iter().all(|(_, row)| !row.contains("left")), "{inbox:?}");
}

#[tokio::test(start_paused = true)]
async fn what_came_back_untold_is_applied_again_when_its_folder_is_enumerated() {
    let (rig, feed) = two_folders().await;
    feed.0.lock().unwrap().deferred = true;
    feed.put("a", Some("archive"));
    follow(&rig, &feed).await;
    feed.fetched();
    {
        let mut state = feed.0.lock().unwrap();
        state.places.insert("a".to_owned(), "inbox".to_owned());
        state.log.push(("archive".to_owned(), "a".to_owned()));
    }
    follow(&rig, &feed).await;
    assert_eq!(feed.fetched(), ["a"], "it left the archive, and nobody said where to");
    audit(&rig, &feed).await;
    assert_eq!((feed.fetched(), homes(&rig, "a").await), (vec!["a".to_owned()], vec!["inbox".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_moved_and_was_deleted_before_its_new_folder_told_of_it_is_gone() {
    let (rig, feed) = two_folders().await;
    {
        // The old folder tells that it left; when the new one is asked next, it is not there any more.
        let mut state = feed.0.lock().unwrap();
        state.places.insert("a".to_owned(), "archive".to_owned());
        state.log.push(("inbox".to_owned(), "a".to_owned()));
    }
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched(), count(&rig, "activity").await), (vec!["a".to_owned()], 3));
    feed.put("a", None);
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched(), count(&rig, "activity").await), (vec!["a".to_owned()], 2));
    assert_eq!(homes(&rig, "a").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_moved_into_a_folder_that_was_deleted_before_it_told_of_it_is_gone() {
    let (rig, feed) = two_folders().await;
    {
        let mut state = feed.0.lock().unwrap();
        state.places.insert("a".to_owned(), "archive".to_owned());
        state.log.push(("inbox".to_owned(), "a".to_owned()));
    }
    follow(&rig, &feed).await;
    assert_eq!(
        (feed.fetched(), count(&rig, "activity").await, count(&rig, "stray").await),
        (vec!["a".to_owned()], 3, 1)
    );
    {
        let mut state = feed.0.lock().unwrap();
        state.named.remove("archive");
        state.places.remove("a");
    }
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!(
        (feed.fetched(), count(&rig, "activity").await, count(&rig, "stray").await),
        (vec!["a".to_owned()], 2, 0)
    );
    assert_eq!(homes(&rig, "a").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_left_and_is_listed_nowhere_is_asked_about_five_times_and_then_by_audits_only() {
    let (rig, feed) = two_folders().await;
    {
        let mut state = feed.0.lock().unwrap();
        state.places.insert("a".to_owned(), "nowhere".to_owned());
        state.log.push(("inbox".to_owned(), "a".to_owned()));
    }
    for _ in 0..10 {
        follow(&rig, &feed).await;
    }
    assert_eq!((feed.fetched().len(), count(&rig, "activity").await, count(&rig, "stray").await), (6, 3, 0));
    feed.put("a", Some("inbox"));
    follow(&rig, &feed).await;
    assert!(rig.rows("member").await.iter().all(|(_, row)| !row.contains("strayed")), "it is counted anew next time");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_gone_takes_its_messages_along_but_not_those_that_were_moved_out_before() {
    let (rig, feed) = two_folders().await;
    feed.put("a", Some("archive"));
    for item in ["b", "c"] {
        feed.put(item, None);
    }
    feed.0.lock().unwrap().named.remove("inbox");
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched(), count(&rig, "activity").await), (vec!["b".to_owned(), "c".to_owned()], 1));
    assert_eq!((count(&rig, "partition").await, count(&rig, "member").await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_vanished_folder_that_are_nowhere_listed_stay_and_are_asked_about_again() {
    let (rig, feed) = two_folders().await;
    feed.0.lock().unwrap().named.remove("inbox");
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched().len(), count(&rig, "activity").await, count(&rig, "partition").await), (6, 3, 2));
    feed.put("a", None);
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(&feed) as Arc<_>, Arc::clone(&feed) as Arc<_>);
    engine.options.audit_every = Some(Duration::ZERO);
    engine.slice(&super::Shutdown::default()).await.unwrap();
    assert_eq!((feed.fetched().len(), count(&rig, "activity").await), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_named_again_is_enumerated_again() {
    let (rig, feed) = two_folders().await;
    feed.0.lock().unwrap().named.remove("inbox");
    follow(&rig, &feed).await;
    feed.0.lock().unwrap().named.insert("inbox".to_owned());
    feed.put("d", Some("inbox"));
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, homes(&rig, "d").await), (4, vec!["inbox".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn two_folders_may_wait_for_the_same_item() {
    let (rig, feed) = (Rig::new(), Folders::with(&["archive", "inbox"]));
    feed.0.lock().unwrap().deferred = true;
    follow(&rig, &feed).await;
    feed.put("x", Some("inbox"));
    follow(&rig, &feed).await;
    // Each folder's next place in the queue has the same number.
    feed.put("a", Some("archive"));
    feed.put("a", Some("inbox"));
    feed.put("a", Some("archive"));
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "pending").await, count(&rig, "activity").await), (0, 2));
    let waiting = rig.rows("member").await;
    assert!(waiting.iter().all(|(_, row)| row.contains(r#""pending":null"#)), "{waiting:?}");
}

fn lock(feed: &Folders, folders: &[&str]) {
    feed.0.lock().unwrap().locked = folders.iter().map(ToString::to_string).collect();
}

/// How often the kind of event was told.
async fn told(rig: &Rig, kind: &str) -> usize {
    rig.rows("event").await.iter().filter(|(_, event)| event.contains(&format!(r#""kind":"{kind}""#))).count()
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_lets_nobody_in_rests_for_longer_and_longer_is_told_once_and_the_others_go_on() {
    let (rig, feed) = two_folders().await;
    let clock = Arc::new(SystemClock::new());
    let slice = async || {
        let mut engine = rig.engine();
        (engine.live, engine.backfill) = (Arc::clone(&feed) as Arc<_>, Arc::clone(&feed) as Arc<_>);
        engine.clock = Arc::clone(&clock) as Arc<_>;
        engine.slice(&super::Shutdown::default()).await
    };
    let refusals = || std::mem::take(&mut feed.0.lock().unwrap().refusals);
    lock(&feed, &["archive"]);
    feed.put("d", Some("inbox"));
    feed.put("e", Some("archive"));
    assert_eq!(slice().await.unwrap(), SliceEnd::UpToDate);
    assert_eq!((refusals(), count(&rig, "activity").await, told(&rig, "partition_resting").await), (1, 4, 1));
    for minutes in [1, 2, 4, 8] {
        tokio::time::sleep(Duration::from_secs(minutes * 60 - 1)).await;
        assert_eq!((slice().await.unwrap(), refusals()), (SliceEnd::UpToDate, 0), "{minutes}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((slice().await.unwrap(), refusals()), (SliceEnd::UpToDate, 1), "{minutes}");
    }
    assert_eq!((told(&rig, "partition_resting").await, told(&rig, "partition_resumed").await), (1, 0));
    lock(&feed, &[]);
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    for _ in 0..2 {
        assert_eq!(slice().await.unwrap(), SliceEnd::UpToDate);
    }
    assert_eq!((count(&rig, "activity").await, told(&rig, "partition_resumed").await), (5, 1));
    assert!(rig.rows("partition").await.iter().all(|(_, row)| !row.contains("refused")));
    lock(&feed, &["archive"]);
    slice().await.unwrap();
    assert_eq!(told(&rig, "partition_resting").await, 2, "another time");
}

#[tokio::test(start_paused = true)]
async fn where_no_folder_lets_anybody_in_it_is_the_account_that_fails() {
    let (rig, feed) = two_folders().await;
    lock(&feed, &["archive", "inbox"]);
    for _ in 0..3 {
        let mut engine = rig.engine();
        (engine.live, engine.backfill) = (Arc::clone(&feed) as Arc<_>, Arc::clone(&feed) as Arc<_>);
        let refused = engine.slice(&super::Shutdown::default()).await.unwrap_err();
        assert_eq!((refused.kind(), told(&rig, "partition_resting").await), (ErrorKind::PermissionDenied, 0));
    }
    assert_eq!(feed.0.lock().unwrap().refusals, 6, "neither rests");
}

#[tokio::test(start_paused = true)]
async fn a_locked_folder_that_was_never_enumerated_rests_too() {
    let (rig, feed) = (Rig::new(), Folders::with(&["archive", "inbox"]));
    lock(&feed, &["archive"]);
    feed.put("a", Some("inbox"));
    for _ in 0..3 {
        follow(&rig, &feed).await;
    }
    assert_eq!((count(&rig, "activity").await, feed.0.lock().unwrap().refusals), (1, 1));
}

fn bin(feed: &Folders, folder: &str, binned: bool) {
    let mut state = feed.0.lock().unwrap();
    if binned {
        state.binned.insert(folder.to_owned())
    } else {
        state.binned.remove(folder)
    };
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_becomes_deleted_mail_takes_its_messages_along_and_brings_them_back_without_a_fetch() {
    let (rig, feed) = two_folders().await;
    feed.put("d", Some("archive"));
    follow(&rig, &feed).await;
    bin(&feed, "inbox", true);
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, feed.fetched()), (1, vec![]), "what lies elsewhere stays");
    bin(&feed, "inbox", false);
    follow(&rig, &feed).await;
    assert_eq!((count(&rig, "activity").await, feed.fetched()), (4, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_left_the_folder_before_it_was_deleted_stays() {
    let (rig, feed) = two_folders().await;
    feed.put("a", Some("archive"));
    bin(&feed, "inbox", true);
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!(count(&rig, "activity").await, 1);
}

/// A slice whose store fails at one of its commits; what a worker remembers is lost with it.
async fn cut_short(rig: &Rig, feed: &Arc<Folders>, commits: i64) {
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(feed) as Arc<_>, Arc::clone(feed) as Arc<_>);
    rig.store.commits_left.store(commits, Ordering::SeqCst);
    let cut = engine.slice(&super::Shutdown::default()).await;
    rig.store.commits_left.store(i64::MAX, Ordering::SeqCst);
    assert!(cut.is_ok() || cut.is_err_and(|error| error.kind() == ErrorKind::Store));
}

#[tokio::test(start_paused = true)]
async fn a_large_folder_goes_on_where_it_was_cut_short_and_begins_anew_when_it_is_moved_meanwhile() {
    let (rig, feed) = (Rig::new(), Folders::with(&["inbox"]));
    for at in 0..250 {
        feed.put(&format!("m{at:03}"), Some("inbox"));
    }
    follow(&rig, &feed).await;
    let mut between = BTreeSet::new();
    for commits in 1..9 {
        for (binned, left) in [(true, 0), (false, 250)] {
            bin(&feed, "inbox", binned);
            cut_short(&rig, &feed, commits).await;
            between.insert(count(&rig, "activity").await);
            // Back and forth while it is under way: what was done already is undone.
            bin(&feed, "inbox", !binned);
            cut_short(&rig, &feed, commits).await;
            bin(&feed, "inbox", binned);
            follow(&rig, &feed).await;
            assert_eq!(count(&rig, "activity").await, left, "{commits} {binned}");
        }
    }
    assert!(between.is_superset(&[50, 100, 150, 200].into()), "{between:?}");
    assert_eq!(feed.fetched(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_said_of_a_folder_changes_nothing() {
    let (rig, feed) = two_folders().await;
    bin(&feed, "inbox", true);
    follow(&rig, &feed).await;
    bin(&feed, "inbox", false);
    feed.0.lock().unwrap().silent = true;
    follow(&rig, &feed).await;
    assert_eq!(count(&rig, "activity").await, 0);
    feed.0.lock().unwrap().silent = false;
    follow(&rig, &feed).await;
    assert_eq!(count(&rig, "activity").await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_was_away_and_comes_back_restores_what_is_only_named_again() {
    let (rig, feed) = two_folders().await;
    bin(&feed, "inbox", true);
    feed.0.lock().unwrap().named.remove("inbox");
    for _ in 0..2 {
        follow(&rig, &feed).await;
    }
    assert_eq!((count(&rig, "activity").await, feed.fetched().len()), (0, 6), "asked twice where they are now");
    bin(&feed, "inbox", false);
    {
        let mut state = feed.0.lock().unwrap();
        state.named.insert("inbox".to_owned());
        // As a listing tells what was not changed itself.
        state.deferred = true;
    }
    for _ in 0..3 {
        follow(&rig, &feed).await;
    }
    assert_eq!(count(&rig, "activity").await, 3);
}

#[tokio::test(start_paused = true)]
async fn while_a_folder_cannot_be_read_none_is_taken_for_gone_and_those_known_are_followed() {
    let (rig, feed) = two_folders().await;
    {
        let mut state = feed.0.lock().unwrap();
        state.named.remove("inbox");
        state.unreadable = 1;
    }
    feed.put("d", Some("inbox"));
    follow(&rig, &feed).await;
    follow(&rig, &feed).await;
    assert_eq!((feed.fetched(), count(&rig, "activity").await, count(&rig, "partition").await), (vec![], 4, 2));
    feed.0.lock().unwrap().unreadable = 0;
    follow(&rig, &feed).await;
    assert_eq!(feed.fetched().len(), 4, "now it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_folders_without_an_end_is_an_error_and_takes_nothing_away() {
    let (rig, feed) = two_folders().await;
    {
        let mut state = feed.0.lock().unwrap();
        state.named.remove("inbox");
        state.endless = true;
    }
    let mut engine = rig.engine();
    (engine.live, engine.backfill) = (Arc::clone(&feed) as Arc<_>, Arc::clone(&feed) as Arc<_>);
    let refused = engine.slice(&super::Shutdown::default()).await.unwrap_err();
    assert_eq!((refused.kind(), count(&rig, "partition").await), (ErrorKind::Validation, 2));
    assert_eq!(feed.fetched(), Vec::<String>::new());
}
