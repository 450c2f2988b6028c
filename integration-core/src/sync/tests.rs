//! The engine against a small mailbox, with failures at every commit.

mod audit;
mod folders;
mod groups;
mod walks;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Body, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Next, Partition, PartitionPage,
    Reason, Removal, Revision, Shutdown, SyncOptions, Window,
    engine::{Engine, SliceEnd},
    rows::Keys,
};
use crate::{
    activity::{
        ActivityChange, Batch, Company, Directory, DirectoryAnswer, DirectoryQuery, MailApplier, NoSink, Person, Sink,
    },
    clock::SystemClock,
    email::{Address, MailFlags, MailItem, Message, Role},
    error::{Error, ErrorKind, Result},
    event::NoListener,
    ids::{ConnectionId, ItemKey, PartitionId, TenantId, ThreadId},
    secret::SecretBytes,
    store::{CounterKey, LeaseGuard, MemoryStore, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore},
    vault::{SealContext, Sealer},
};

/// A mailbox with a change log.
#[derive(Debug, Default)]
struct Mailbox {
    now: i64,
    messages: BTreeMap<String, (i64, MailItem)>,
    log: Vec<(i64, String)>,
    oldest: i64,
    broken: Vec<String>,
    /// Never to be had, although they are there.
    stuck: Vec<String>,
    /// Whose turn does not come.
    unasked: Vec<String>,
    /// Not even answered for.
    silent: Vec<String>,
    /// Whatever they are asked for with is refused for good.
    refused: Vec<String>,
    fetches: usize,
}

impl Mailbox {
    fn put(&mut self, key: &str, item: MailItem) {
        self.now += 1;
        self.messages.insert(key.to_owned(), (self.now, item));
        self.log.push((self.now, key.to_owned()));
    }

    fn remove(&mut self, key: &str) {
        self.now += 1;
        self.messages.remove(key);
        self.log.push((self.now, key.to_owned()));
    }
}

/// Two items a page; flags come inline, messages are deferred.
#[derive(Clone, Debug, Default)]
struct TestFeed(Arc<Mutex<Mailbox>>);

fn cursor(position: impl ToString) -> Cursor {
    Cursor::new(1, Fingerprint::default(), position.to_string())
}

fn position(cursor: &Cursor) -> String {
    cursor.position(1, &Fingerprint::default()).unwrap().to_owned()
}

#[async_trait]
impl Feed for TestFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(3, 1).with_anchor_first().with_newest_first()
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        Ok(PartitionPage::new(vec![Partition::new(PartitionId::new("all"), "all")], None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(Some(cursor(self.0.lock().unwrap().now)))
    }

    async fn snapshot(&self, _: &PartitionId, _: &Window, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let mailbox = self.0.lock().unwrap();
        let after = at.map(position);
        let rest = mailbox.messages.keys().rev().filter(|key| after.as_ref().is_none_or(|after| *key < after));
        let page: Vec<String> = rest.take(2).cloned().collect();
        let next = page.last().filter(|_| page.len() == 2).map(|last| Next::More(cursor(last)));
        let upsert = |key: String| Change::Upsert {
            key: ItemKey::new(key),
            group: None,
            revision: Revision::default(),
            body: Body::Deferred,
        };
        Ok(ChangePage::new(page.into_iter().map(upsert).collect(), next.unwrap_or(Next::Done { head: None })))
    }

    async fn changes(&self, _: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let mailbox = self.0.lock().unwrap();
        let since: i64 = position(since).parse().unwrap();
        if since < mailbox.oldest {
            return Err(Error::new(ErrorKind::CursorExpired, "too old"));
        }
        let page: Vec<(i64, String)> = mailbox.log.iter().filter(|(at, _)| *at > since).take(2).cloned().collect();
        let last = page.last().map_or(since, |(at, _)| *at);
        let done = last == mailbox.now;
        let change = |(at, key): (i64, String)| match mailbox.messages.get(&key) {
            None => Change::Removed { key: ItemKey::new(key), how: Removal::Gone },
            Some(_) => Change::Upsert {
                key: ItemKey::new(key),
                group: None,
                revision: Revision::ordered(at),
                body: Body::Deferred,
            },
        };
        let next = if done { Next::Done { head: Some(cursor(last)) } } else { Next::More(cursor(last)) };
        Ok(ChangePage::new(page.into_iter().map(change).collect(), next))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let mut mailbox = self.0.lock().unwrap();
        mailbox.fetches += 1;
        if keys.iter().any(|key| mailbox.refused.iter().any(|refused| refused == key.as_str())) {
            return Err(Error::new(ErrorKind::InvalidInput, "no such request is answered"));
        }
        let fetched = |key: &ItemKey| match mailbox.messages.get(key.as_str()) {
            None => Fetched::Gone(key.clone()),
            Some(_) if mailbox.stuck.iter().any(|stuck| stuck == key.as_str()) => {
                Fetched::NotYet(key.clone(), Arc::new(Error::new(ErrorKind::Unavailable, "a server error")))
            }
            Some(_) if mailbox.unasked.iter().any(|unasked| unasked == key.as_str()) => {
                let error = Error::new(ErrorKind::Timeout, "the time for this work is over").with_never_sent(true);
                Fetched::NotYet(key.clone(), Arc::new(error))
            }
            Some(_) if mailbox.broken.iter().any(|broken| broken == key.as_str()) => Fetched::Malformed {
                key: key.clone(),
                raw: Bytes::from_static(b"rubbish"),
                reason: Reason::new("no message"),
            },
            Some((at, item)) => {
                Fetched::Present { key: key.clone(), revision: Revision::ordered(*at), item: item.clone() }
            }
        };
        Ok(keys.iter().filter(|key| !mailbox.silent.iter().any(|silent| silent == key.as_str())).map(fetched).collect())
    }
}

/// Knows the people whose address begins with `known`.
#[derive(Debug)]
struct TestDirectory;

#[async_trait]
impl Directory for TestDirectory {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        crate::store::forbid_reentry("a look-up")?;
        let known = ask.addresses.iter().filter(|address| address.starts_with("known"));
        let people = known.map(|address| Person::new(address, address, address)).collect();
        Ok(DirectoryAnswer {
            people,
            companies: vec![Company::new("acme", "Acme", "acme.example")],
            ..DirectoryAnswer::default()
        })
    }
}

#[derive(Debug)]
struct NoSeal;

#[async_trait]
impl Sealer for NoSeal {
    async fn seal(&self, _: &SealContext, plain: &[u8]) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(plain))
    }

    async fn open(&self, _: &SealContext, sealed: &[u8]) -> Result<SecretBytes> {
        Ok(SecretBytes::new(sealed))
    }
}

/// Fails the commit when its counter reaches zero: half of the time before, half of the time after it took effect.
#[derive(Clone, Debug)]
struct Unplugged {
    store: MemoryStore,
    commits_left: Arc<AtomicI64>,
}

struct UnpluggedTransaction {
    inner: Box<dyn StoreTransaction>,
    commits_left: Arc<AtomicI64>,
}

#[async_trait]
impl SyncStore for Unplugged {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.store.read(query).await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        let inner = self.store.begin(guard).await?;
        Ok(Box::new(UnpluggedTransaction { inner, commits_left: Arc::clone(&self.commits_left) }))
    }
}

#[async_trait]
impl StoreTransaction for UnpluggedTransaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        self.inner.write(rows).await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        self.inner.next(counter).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let left = self.commits_left.fetch_sub(1, Ordering::SeqCst);
        if left == 1 {
            return Err(Error::new(ErrorKind::Store, "unplugged before the commit"));
        }
        self.inner.commit().await?;
        if left == 2 {
            self.commits_left.store(0, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Store, "unplugged after the commit"));
        }
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self.inner.as_any_mut()
    }
}

struct Rig {
    feed: TestFeed,
    store: Unplugged,
    sink: Arc<dyn Sink>,
}

impl Rig {
    fn new() -> Self {
        let store = Unplugged { store: MemoryStore::default(), commits_left: Arc::new(AtomicI64::new(i64::MAX)) };
        Self { feed: TestFeed::default(), store, sink: Arc::new(NoSink) }
    }

    fn engine(&self) -> Engine<MailItem> {
        let (tenant, connection) = (TenantId::new("t"), ConnectionId::new("c"));
        let applier = MailApplier {
            tenant: tenant.clone(),
            connection: connection.clone(),
            own: vec!["me@own.example".to_owned()],
            own_domains: vec!["own.example".to_owned()],
            lists: Arc::default(),
            patience: std::time::Duration::from_secs(30),
            seen: crate::activity::Seen::default(),
            directory: Arc::new(TestDirectory),
            store: Arc::new(self.store.clone()),
            clock: Arc::new(SystemClock::new()),
        };
        Engine {
            keys: Keys { tenant, connection, kind: "mail" },
            live: Arc::new(self.feed.clone()),
            backfill: Arc::new(self.feed.clone()),
            applier: Arc::new(applier),
            store: Arc::new(self.store.clone()),
            leases: Arc::new(self.store.store.clone()),
            sealer: Arc::new(NoSeal),
            sink: Arc::clone(&self.sink),
            clock: Arc::new(SystemClock::new()),
            events: Arc::new(NoListener),
            options: SyncOptions::default(),
            units_per_second: None,
        }
    }

    async fn sync(&self) {
        for _ in 0..1_000 {
            if let Ok(SliceEnd::UpToDate) = self.engine().slice(&Shutdown::default()).await {
                return;
            }
        }
        panic!("never up to date");
    }

    async fn rows(&self, space: &'static str) -> Vec<(String, String)> {
        let (tenant, prefix) = (TenantId::new("t"), String::new());
        let query = StateQuery::Range { tenant, space, prefix, after: None, limit: 10_000 };
        let rows = self.store.read(&query).await.unwrap();
        rows.into_iter().map(|row| (row.key.to_string(), String::from_utf8(row.bytes.to_vec()).unwrap())).collect()
    }

    async fn dump(&self) -> Vec<Vec<(String, String)>> {
        let mut dump = Vec::new();
        for space in ["activity", "decision", "quarantine", "thread", "pending"] {
            dump.push(self.rows(space).await);
        }
        // When an item came into quarantine differs from run to run.
        for (_, row) in &mut dump[2] {
            let mut fields: serde_json::Value = serde_json::from_str(row).unwrap();
            assert!(fields.as_object_mut().unwrap().remove("at").is_some());
            *row = fields.to_string();
        }
        dump
    }

    fn mailbox(&self) -> std::sync::MutexGuard<'_, Mailbox> {
        self.feed.0.lock().unwrap()
    }
}

/// Names the first rows that differ: whole dumps are too long to read.
fn same(left: &[Vec<(String, String)>], right: &[Vec<(String, String)>], when: &str) {
    for (left, right) in left.iter().zip(right) {
        let only =
            |of: &[(String, String)], other: &[(String, String)]| of.iter().find(|row| !other.contains(row)).cloned();
        assert_eq!(only(left, right), only(right, left), "{when}");
    }
}

fn message(id: &str, from: &str, thread: &str) -> MailItem {
    let message = Message {
        id: id.to_owned(),
        message_id: Some(format!("{id}@mail.example")),
        thread: Some(ThreadId::new(thread)),
        from: vec![Address::new(from)],
        to: vec![Address::new("me@own.example")],
        subject: format!("about {thread}"),
        ..Message::default()
    };
    MailItem::Message(Box::new(message))
}

fn believable(mailbox: &mut Mailbox) {
    for index in 0..17 {
        let from = match index % 4 {
            0 => "known@one.example".to_owned(),
            1 => format!("stranger{index}@two.example"),
            2 => "colleague@own.example".to_owned(),
            _ => "someone@acme.example".to_owned(),
        };
        mailbox.put(&format!("m{index:02}"), message(&format!("m{index:02}"), &from, &format!("t{}", index / 3)));
    }
    mailbox.broken.push("m05".to_owned());
}

#[tokio::test(start_paused = true)]
async fn every_message_becomes_an_activity_a_stated_skip_or_a_quarantine_entry() {
    let rig = Rig::new();
    believable(&mut rig.mailbox());
    rig.sync().await;
    let (decided, quarantined) = (rig.rows("decision").await.len(), rig.rows("quarantine").await.len());
    assert_eq!((decided, quarantined, rig.rows("pending").await.len()), (16, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_commit_ends_with_the_same_rows() {
    let whole = Rig::new();
    believable(&mut whole.mailbox());
    whole.sync().await;
    let expected = whole.dump().await;
    for at in 1..60 {
        let rig = Rig::new();
        believable(&mut rig.mailbox());
        rig.store.commits_left.store(at, Ordering::SeqCst);
        rig.sync().await;
        same(&rig.dump().await, &expected, &format!("unplugged at commit {at}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_arrival_does_not_matter_for_a_conversation() {
    let mut dumps = Vec::new();
    for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
        let rig = Rig::new();
        for key in order {
            let from = if key == "b" { "known@one.example" } else { "stranger@two.example" };
            rig.mailbox().put(key, message(key, from, "thread"));
            rig.sync().await;
        }
        assert_eq!(rig.rows("activity").await.len(), 3, "strangers of a matched conversation are shown");
        dumps.push([rig.rows("activity").await, rig.rows("decision").await]);
    }
    assert!(dumps.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(start_paused = true)]
async fn the_same_message_twice_is_one_activity_and_a_duplicate() {
    let rig = Rig::new();
    let copy = message("x", "known@one.example", "t");
    rig.mailbox().put("b", copy.clone());
    rig.mailbox().put("a", copy);
    rig.sync().await;
    let decisions = rig.rows("decision").await;
    assert_eq!(rig.rows("activity").await.len(), 1);
    assert!(decisions[0].1.contains("logged") && decisions[1].1.contains("duplicate"), "{decisions:?}");
    rig.mailbox().remove("a");
    rig.sync().await;
    assert!(rig.rows("decision").await[0].1.contains("logged"), "the other copy takes its place");
}

#[tokio::test(start_paused = true)]
async fn an_expired_cursor_is_repaired_by_an_enumeration_and_a_sweep() {
    let rig = Rig::new();
    believable(&mut rig.mailbox());
    rig.sync().await;
    rig.mailbox().remove("m00");
    rig.mailbox().put("m99", message("m99", "known@one.example", "new"));
    let now = rig.mailbox().now;
    rig.mailbox().oldest = now + 1;
    rig.mailbox().now += 1;
    rig.sync().await;
    let fresh = Rig::new();
    believable(&mut fresh.mailbox());
    fresh.mailbox().remove("m00");
    fresh.mailbox().put("m99", message("m99", "known@one.example", "new"));
    fresh.sync().await;
    same(&rig.dump().await, &fresh.dump().await, "after the sweep");
}

#[tokio::test(start_paused = true)]
async fn moving_to_the_trash_takes_it_off_the_timeline_and_back_again() {
    let rig = Rig::new();
    rig.mailbox().put("a", message("a", "known@one.example", "t"));
    rig.sync().await;
    let MailItem::Message(mut binned) = message("a", "known@one.example", "t") else { unreachable!() };
    binned.flags = MailFlags { roles: vec![Role::Trash], ..MailFlags::default() };
    rig.mailbox().put("a", MailItem::Message(binned));
    rig.sync().await;
    assert!(rig.rows("activity").await.is_empty() && rig.rows("decision").await[0].1.contains("trash"));
    rig.mailbox().put("a", message("a", "known@one.example", "t"));
    rig.sync().await;
    assert_eq!(rig.rows("activity").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn junk_and_chat_are_decided_against_as_such() {
    for (role, reason) in [(Role::Junk, "junk"), (Role::Chat, "chat"), (Role::Drafts, "draft")] {
        let rig = Rig::new();
        let MailItem::Message(mut lies) = message("a", "known@one.example", "t") else { unreachable!() };
        lies.flags = MailFlags { roles: vec![role], ..MailFlags::default() };
        rig.mailbox().put("a", MailItem::Message(lies));
        rig.sync().await;
        assert!(rig.rows("activity").await.is_empty() && rig.rows("decision").await[0].1.contains(reason), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn items_that_never_come_stop_nothing_and_end_in_quarantine() {
    let rig = Rig::new();
    believable(&mut rig.mailbox());
    rig.mailbox().stuck = vec!["m16".to_owned(), "m15".to_owned()];
    rig.mailbox().silent = vec!["m14".to_owned()];
    rig.sync().await;
    // The broken one and the three that never come; everything else is decided.
    assert_eq!((rig.rows("quarantine").await.len(), rig.rows("decision").await.len()), (4, 13));
    rig.mailbox().stuck.clear();
    rig.mailbox().silent.clear();
    rig.engine().replay().await.unwrap();
    rig.sync().await;
    assert_eq!((rig.rows("quarantine").await.len(), rig.rows("decision").await.len()), (1, 16));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_spoils_the_call_for_all_ends_in_quarantine_and_the_others_come() {
    let rig = Rig::new();
    believable(&mut rig.mailbox());
    rig.mailbox().refused = vec!["m16".to_owned(), "m03".to_owned()];
    rig.sync().await;
    let quarantined = rig.rows("quarantine").await;
    assert_eq!((quarantined.len(), rig.rows("decision").await.len()), (3, 14));
    assert_eq!(quarantined.iter().filter(|(_, row)| row.contains("times: invalid_input")).count(), 2);
    assert!(rig.mailbox().fetches < 60, "{}", rig.mailbox().fetches);
}

#[tokio::test(start_paused = true)]
async fn a_lone_item_that_is_refused_for_good_ends_in_quarantine_with_its_reason() {
    let rig = Rig::new();
    rig.mailbox().put("a", message("a", "known@one.example", "t"));
    rig.mailbox().refused = vec!["a".to_owned()];
    rig.sync().await;
    let quarantined = rig.rows("quarantine").await;
    assert!(quarantined[0].1.contains("12 times: invalid_input"), "{quarantined:?}");
    assert!(rig.rows("pending").await.is_empty());
    assert_eq!(rig.mailbox().fetches, 12);
    rig.mailbox().refused.clear();
    rig.engine().replay().await.unwrap();
    rig.sync().await;
    assert_eq!((rig.rows("quarantine").await.len(), rig.rows("activity").await.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_never_asked_for_is_not_blamed_however_often_its_turn_does_not_come() {
    let rig = Rig::new();
    for item in ["a", "b"] {
        rig.mailbox().put(item, message(item, "known@one.example", "t"));
    }
    rig.mailbox().unasked = vec!["a".to_owned()];
    for _ in 0..130 {
        rig.engine().slice(&Shutdown::default()).await.unwrap();
    }
    assert!(rig.mailbox().fetches > 120, "{}", rig.mailbox().fetches);
    assert_eq!((rig.rows("quarantine").await.len(), rig.rows("pending").await.len()), (0, 1));
    rig.mailbox().unasked.clear();
    rig.sync().await;
    assert_eq!((rig.rows("pending").await.len(), rig.rows("activity").await.len()), (0, 2));
}

/// Keeps what it was given; calls back into the store first, which must fail and not wait.
#[derive(Debug, Default)]
struct Curious {
    store: MemoryStore,
    refused: Mutex<Option<ErrorKind>>,
    seen: Mutex<Vec<(u64, usize)>>,
}

#[async_trait]
impl Sink for Curious {
    async fn apply(&self, batch: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        *self.refused.lock().unwrap() = self.store.begin(None).await.err().map(|error| error.kind());
        let upserts = batch.activities.iter().filter(|change| matches!(change, ActivityChange::Upserted { .. }));
        self.seen.lock().unwrap().push((batch.sequence, upserts.count()));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_gets_numbered_batches_and_cannot_deadlock() {
    let mut rig = Rig::new();
    let sink = Arc::new(Curious { store: rig.store.store.clone(), ..Curious::default() });
    rig.sink = Arc::clone(&sink) as Arc<dyn Sink>;
    believable(&mut rig.mailbox());
    rig.sync().await;
    assert_eq!(*sink.refused.lock().unwrap(), Some(ErrorKind::Misconfigured));
    let numbers: Vec<u64> = sink.seen.lock().unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

/// Panics at its first call.
#[derive(Debug, Default)]
struct Panics(AtomicI64);

#[async_trait]
impl Sink for Panics {
    async fn apply(&self, _: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the host's bug");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_sink_loses_nothing() {
    let mut rig = Rig::new();
    rig.sink = Arc::new(Panics::default());
    believable(&mut rig.mailbox());
    rig.sync().await;
    let calm = Rig::new();
    believable(&mut calm.mailbox());
    calm.sync().await;
    same(&rig.dump().await, &calm.dump().await, "after the panic");
}
