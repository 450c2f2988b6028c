//! The floor: decode, convert, match, write; nothing is found out, looked up or kept in order.
//!
//! Decoding and conversion are reached through the provider, since the service crates have no public functions for them; its
//! session has fixed tokens and an open gate. Rows of decisions, activities and conversations are turned into bytes each time, as
//! anybody would have to; those of the engine's own bookkeeping are written as they were recorded.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use integration_core::{
    activity::{
        Activity, AnswerIndex, Decision, Directory, Findings, Match, NameLists, Summary, direct_matches, question,
    },
    email::{MailItem, Message},
    http::Session,
    ids::ItemKey,
    store::{
        CounterKey, Expect, LeaseGuard, LeaseKey, LeaseStore, Space, SqliteStore, StateKey, StateWrite, SyncStore,
    },
    sync::{Body, Change, ChangePage, Feed, Fetched},
    testing::test_session,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    recording::{Ask, Step, Trace},
    world::{OWNER, World, tenant},
};

/// What the loop does next.
#[derive(Debug)]
pub(crate) enum Work {
    Ask(Ask),
    Commit(Vec<Row>, Vec<CounterKey>),
}

/// A row to write.
#[derive(Debug)]
pub(crate) enum Row {
    Ready(StateWrite),
    Activity(Place, Box<Activity>),
    Decision(Place, Box<Decision>),
    Thread(Place, BTreeMap<String, Member>),
}

/// A message of a conversation.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Member {
    matches: Vec<Match>,
    outbound: bool,
}

/// Where it goes.
#[derive(Debug)]
pub(crate) struct Place {
    space: Space,
    key: StateKey,
    expect: Expect,
}

impl Place {
    fn write(&self, bytes: Vec<u8>) -> StateWrite {
        StateWrite::put(&tenant(), self.space, self.key.clone(), bytes).expecting(self.expect)
    }
}

impl Row {
    fn of(write: &StateWrite) -> Self {
        let place = Place { space: write.space, key: write.key.clone(), expect: write.expect };
        let Some(bytes) = &write.bytes else { return Self::Ready(write.clone()) };
        let row = match write.space {
            "activity" => Self::Activity(place, unmarked(bytes)),
            "decision" => Self::Decision(place, unmarked(bytes)),
            "thread" => Self::Thread(place, unmarked(bytes)),
            _ => Self::Ready(write.clone()),
        };
        assert_eq!(row.write().bytes.as_ref(), Some(bytes), "a row is not what was recorded");
        row
    }

    fn write(&self) -> StateWrite {
        match self {
            Self::Ready(write) => write.clone(),
            Self::Activity(place, activity) => place.write(marked(activity)),
            Self::Decision(place, decision) => place.write(marked(decision)),
            Self::Thread(place, thread) => place.write(marked(thread)),
        }
    }
}

/// What a stored row carries in front of its fields: its format.
const MARK: &str = r#"{"v":1,"#;

fn unmarked<T: DeserializeOwned>(bytes: &[u8]) -> T {
    let fields = bytes.strip_prefix(MARK.as_bytes()).expect("a row carries its format");
    serde_json::from_slice(&[b"{", fields].concat()).unwrap()
}

fn marked<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = MARK.as_bytes().to_vec();
    serde_json::to_writer(&mut bytes, row).unwrap();
    // The mark opens the row.
    bytes.remove(MARK.len());
    bytes
}

/// The recording as work to do.
pub(crate) fn prepare(trace: &Trace) -> Vec<Work> {
    let work = trace.steps.iter().filter_map(|step| match step {
        Step::Ask(ask) => Some(Work::Ask(ask.clone())),
        Step::Call(_) => None,
        Step::Commit(writes, numbered) => Some(Work::Commit(writes.iter().map(Row::of).collect(), numbered.clone())),
    });
    work.collect()
}

/// What was found out about a message.
pub(crate) type Found = (ItemKey, Summary, Findings);

/// The loop and what it needs.
pub(crate) struct Floor {
    feed: Arc<dyn Feed<Item = MailItem>>,
    directory: Arc<dyn Directory>,
    store: Arc<SqliteStore>,
    guard: LeaseGuard,
    own: Vec<String>,
    lists: NameLists,
}

impl Floor {
    pub(crate) async fn new(world: &World, trace: &Trace, store: &Arc<SqliteStore>) -> Self {
        let connector = world.connector();
        let session: Session = test_session(trace.replay(), Arc::clone(&connector)).build();
        let guard = store.acquire(&LeaseKey::new(["floor"]), Duration::from_secs(24 * 3600)).await.unwrap().unwrap();
        Self {
            feed: connector.email(session).unwrap().feed(),
            directory: Arc::clone(&world.directory),
            store: Arc::clone(store),
            guard,
            own: vec![OWNER.to_owned()],
            lists: NameLists::default(),
        }
    }

    pub(crate) async fn run(&self, work: &[Work]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for work in work {
            match work {
                Work::Ask(ask) => self.ask(ask, &mut found).await,
                Work::Commit(rows, numbered) => self.commit(rows, numbered).await,
            }
        }
        found
    }

    async fn ask(&self, ask: &Ask, found: &mut Vec<Found>) {
        let items = match ask {
            Ask::Anchor(partition) => return drop(self.feed.anchor(partition).await.unwrap()),
            Ask::Partitions(at) => return drop(self.feed.partitions(at.as_ref()).await.unwrap()),
            Ask::Changes(partition, since) => inline(self.feed.changes(partition, since).await.unwrap()),
            Ask::Snapshot(partition, window, at) => {
                inline(self.feed.snapshot(partition, window, at.as_ref()).await.unwrap())
            }
            Ask::Fetch(keys) => present(self.feed.fetch(keys).await.unwrap()),
        };
        if !items.is_empty() {
            self.match_up(items, found).await;
        }
    }

    async fn match_up(&self, items: Vec<(ItemKey, Box<Message>)>, found: &mut Vec<Found>) {
        let mut summaries = Vec::with_capacity(items.len());
        for (key, message) in items {
            let mut summary = Summary::of(&message, &self.own, &[]);
            // The default policy keeps no more of the text than the snippet, and suggests nobody.
            summary.text = None;
            summary.signature.clear();
            summaries.push((key, summary));
        }
        let ask = question(summaries.iter().map(|(_, summary)| summary));
        let answer = self.directory.look_up(&tenant(), &ask).await.unwrap();
        let (index, lists) = (AnswerIndex::new(&answer), &self.lists);
        for (key, summary) in summaries {
            let matches = direct_matches(&summary, &index, lists);
            found.push((key, summary, matches));
        }
    }

    async fn commit(&self, rows: &[Row], numbered: &[CounterKey]) {
        let writes: Vec<StateWrite> = rows.iter().map(Row::write).collect();
        let mut tx = self.store.begin(Some(&self.guard)).await.unwrap();
        tx.write(&writes).await.unwrap();
        for counter in numbered {
            tx.next(counter).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Messages that a page carries.
fn inline(page: ChangePage<MailItem>) -> Vec<(ItemKey, Box<Message>)> {
    let carried = |change| match change {
        Change::Upsert { key, body: Body::Inline(MailItem::Message(message)), .. } => Some((key, message)),
        _ => None,
    };
    page.changes.into_iter().filter_map(carried).collect()
}

fn present(fetched: Vec<Fetched<MailItem>>) -> Vec<(ItemKey, Box<Message>)> {
    let message = |fetched| match fetched {
        Fetched::Present { key, item: MailItem::Message(message), .. } => Some((key, message)),
        _ => None,
    };
    fetched.into_iter().filter_map(message).collect()
}

/// The loop did the same work: what it found out is what was recorded.
pub(crate) fn check(found: &[Found], work: &[Work]) {
    let mut decisions = BTreeMap::new();
    for row in work.iter().filter_map(|work| if let Work::Commit(rows, _) = work { Some(rows) } else { None }).flatten()
    {
        if let Row::Decision(place, decision) = row {
            decisions.insert(place.key.segments().pop().unwrap_or_default(), decision);
        }
    }
    assert_eq!(found.len(), decisions.len());
    for (key, summary, matches) in found {
        let decision = decisions[key.as_str()];
        assert_eq!((summary, matches), (&decision.summary, &decision.direct), "{key}");
    }
}
