//! What the service knows: mailboxes, messages, threads and their history.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::labels::Label;
use super::quota::Quota;
use super::upload::Session;
use crate::mime::{self, Header};
pub(super) use crate::source::Source;

/// Labels that every mailbox has; their ids are their names.
pub(super) const SYSTEM_LABELS: [&str; 14] = [
    "CHAT",
    "SENT",
    "INBOX",
    "IMPORTANT",
    "TRASH",
    "DRAFT",
    "SPAM",
    "CATEGORY_FORUMS",
    "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL",
    "CATEGORY_PROMOTIONS",
    "CATEGORY_SOCIAL",
    "STARRED",
    "UNREAD",
];
const FIRST_HISTORY_ID: u64 = 987_000;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) quota: Quota,
    pub(super) accounts: BTreeMap<String, Account>,
    /// Resumable uploads under way; forgotten when the state is exported.
    pub(super) uploads: BTreeMap<String, Session>,
    pub(super) counter: u64,
}

impl State {
    /// The mailbox, created if there is none.
    pub(super) fn account(&mut self, address: &str) -> &mut Account {
        self.accounts.entry(address.to_owned()).or_insert_with(|| Account::new(address))
    }

    /// A number never given before.
    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

/// One mailbox.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) address: String,
    /// A sign-in account without Gmail.
    pub(super) disabled: bool,
    pub(super) messages: BTreeMap<u64, Stored>,
    /// By received time, then id: the order of listing, read backwards.
    pub(super) order: BTreeSet<(i64, u64)>,
    pub(super) threads: BTreeMap<u64, BTreeSet<u64>>,
    by_message_id: HashMap<String, u64>,
    by_subject: HashMap<String, u64>,
    pub(super) history: VecDeque<Record>,
    /// The newest history id.
    pub(super) head: u64,
    /// History is known after this id only.
    pub(super) floor: u64,
    pub(super) labels: BTreeMap<String, Label>,
    pub(super) drafts: BTreeMap<String, u64>,
    /// Messages loaded from files: id and checksum by name.
    pub(super) files: BTreeMap<String, (u64, u64)>,
    /// Topic and end of the running watch.
    pub(super) watch: Option<(String, i64)>,
    pub(super) sent_at: VecDeque<i64>,
    pub(super) issued: u64,
}

/// One message of a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: u64,
    pub(super) thread: u64,
    pub(super) labels: BTreeSet<String>,
    pub(super) received_ms: i64,
    pub(super) history_id: u64,
    /// How often it was read in full: attachment ids are made from it.
    pub(super) reads: u64,
    pub(super) source: Source,
    head: Option<Arc<Head>>,
}

/// The headers that search and threading look at.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cc: String,
    pub(super) bcc: String,
    pub(super) subject: String,
    /// Without angle brackets.
    pub(super) message_id: String,
    references: Vec<String>,
}

impl Head {
    fn read(raw: &[u8]) -> Self {
        let (headers, _) = mime::parse_headers(raw);
        let all = |name: &str| {
            let same = |h: &&Header| h.name.eq_ignore_ascii_case(name);
            headers.iter().filter(same).map(|h| h.value.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut references = message_ids(&all("references"));
        references.extend(message_ids(&all("in-reply-to")));
        let message_id = message_ids(&all("message-id")).into_iter().next().unwrap_or_default();
        let (from, to, cc, bcc, subject) = (all("from"), all("to"), all("cc"), all("bcc"), all("subject"));
        Self { from, to, cc, bcc, subject, message_id, references }
    }
}

fn message_ids(value: &str) -> Vec<String> {
    let words = value.split(|c: char| c.is_whitespace() || c == ',' || c == '<' || c == '>');
    words.filter(|w| w.contains('@') || (w.len() > 3 && !w.contains('('))).map(str::to_owned).collect()
}

impl Stored {
    /// A message whose bytes are still to come.
    pub(super) fn bare(
        id: u64,
        thread: u64,
        labels: BTreeSet<String>,
        received_ms: i64,
        history_id: u64,
        reads: u64,
    ) -> Self {
        Self { id, thread, labels, received_ms, history_id, reads, source: Source::Kept(Bytes::new()), head: None }
    }

    /// Its headers, read again each time if the message is made on demand.
    pub(super) fn head(&self) -> Arc<Head> {
        self.head.as_ref().map_or_else(|| Arc::new(Head::read(&self.source.bytes())), Arc::clone)
    }

    pub(super) fn hex(&self) -> String {
        hex(self.id)
    }
}

/// One entry of a mailbox's history.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) at_ms: i64,
    pub(super) event: Event,
    pub(super) message: u64,
    pub(super) thread: u64,
    /// The message's labels after the event.
    pub(super) labels: Vec<String>,
    /// The labels that the event was about.
    pub(super) changed: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Event {
    LabelsAdded,
    LabelsRemoved,
    MessageAdded,
    MessageDeleted,
}

/// A message about to enter a mailbox.
#[derive(Debug)]
pub(super) struct NewMail {
    pub(super) source: Source,
    pub(super) labels: BTreeSet<String>,
    pub(super) received_ms: i64,
    pub(super) now: DateTime<Utc>,
    pub(super) thread: Option<u64>,
}

impl Account {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            disabled: false,
            messages: BTreeMap::new(),
            order: BTreeSet::new(),
            threads: BTreeMap::new(),
            by_message_id: HashMap::new(),
            by_subject: HashMap::new(),
            history: VecDeque::new(),
            head: FIRST_HISTORY_ID,
            floor: FIRST_HISTORY_ID - 1,
            labels: BTreeMap::new(),
            drafts: BTreeMap::new(),
            files: BTreeMap::new(),
            watch: None,
            sent_at: VecDeque::new(),
            issued: 0,
        }
    }

    pub(super) fn usable(&self) -> Result<(), Refusal> {
        if self.disabled { Err(Refusal::failed_precondition("Mail service not enabled")) } else { Ok(()) }
    }

    fn next_message_id(&mut self) -> u64 {
        self.issued += 1;
        let owner = checksum(self.address.as_bytes()) & 0xffff;
        let spread = checksum(&self.issued.to_be_bytes()) & 0xfff;
        0x1900_0000_0000_0000 | owner << 40 | self.issued << 12 | spread
    }

    /// The next history id; they grow with gaps.
    fn next_history_id(&mut self) -> u64 {
        self.head += 1 + checksum(&self.head.to_be_bytes()) % 3;
        self.head
    }

    fn record(&mut self, event: Event, stored: &Stored, changed: Vec<String>, now: DateTime<Utc>) -> u64 {
        let id = self.next_history_id();
        let labels = stored.labels.iter().cloned().collect();
        let (message, thread) = (stored.id, stored.thread);
        self.history.push_back(Record { id, at_ms: now.timestamp_millis(), event, message, thread, labels, changed });
        id
    }

    /// Takes a message in; gives its id.
    pub(super) fn deliver(&mut self, mail: NewMail) -> u64 {
        let id = self.next_message_id();
        let head = match &mail.source {
            Source::Kept(raw) => Some(Arc::new(Head::read(raw))),
            Source::OnDemand(..) => None,
        };
        let found = || self.thread_for(head.as_deref()?, mail.received_ms);
        let thread = mail.thread.or_else(found).unwrap_or(id);
        let NewMail { source, labels, received_ms, now, .. } = mail;
        let mut stored = Stored { id, thread, labels, received_ms, history_id: 0, reads: 0, source, head };
        stored.history_id = self.record(Event::MessageAdded, &stored, Vec::new(), now);
        self.put(stored);
        id
    }

    /// Puts a message into all indexes.
    pub(super) fn put(&mut self, stored: Stored) {
        self.order.insert((stored.received_ms, stored.id));
        self.threads.entry(stored.thread).or_default().insert(stored.id);
        if let Some(head) = &stored.head {
            self.by_message_id.entry(head.message_id.clone()).or_insert(stored.id);
            self.by_subject.insert(bare_subject(&head.subject).0, stored.thread);
        }
        self.messages.insert(stored.id, stored);
    }

    /// Rebuilds a message from saved parts.
    pub(super) fn restore(&mut self, raw: Bytes, mut stored: Stored) {
        stored.head = Some(Arc::new(Head::read(&raw)));
        stored.source = Source::Kept(raw);
        self.put(stored);
    }

    /// The thread that a message belongs to: that of a message it refers to, if the subject is the same; or, for
    /// an answer without references, that of the latest message with its subject within a week.
    fn thread_for(&self, head: &Head, received_ms: i64) -> Option<u64> {
        let (subject, answers) = bare_subject(&head.subject);
        let parent = head.references.iter().rev().filter_map(|r| self.messages.get(self.by_message_id.get(r)?));
        let mut parents = parent.filter(|m| m.head.as_ref().is_some_and(|h| bare_subject(&h.subject).0 == subject));
        if let Some(parent) = parents.next() {
            return Some(parent.thread);
        }
        if !answers || !head.references.is_empty() || subject.is_empty() {
            return None;
        }
        let thread = *self.by_subject.get(&subject)?;
        let newest =
            self.threads.get(&thread)?.iter().filter_map(|id| self.messages.get(id)).map(|m| m.received_ms).max();
        newest.filter(|newest| (received_ms - newest).abs() < WEEK_MS).map(|_| thread)
    }

    /// Removes a message for good; false if there is none.
    pub(super) fn remove(&mut self, id: u64, now: DateTime<Utc>) -> bool {
        let Some(stored) = self.messages.remove(&id) else { return false };
        self.order.remove(&(stored.received_ms, id));
        if let Some(members) = self.threads.get_mut(&stored.thread) {
            members.remove(&id);
            if members.is_empty() {
                self.threads.remove(&stored.thread);
            }
        }
        if let Some(head) = &stored.head
            && self.by_message_id.get(&head.message_id) == Some(&id)
        {
            self.by_message_id.remove(&head.message_id);
        }
        self.drafts.retain(|_, message| *message != id);
        self.record(Event::MessageDeleted, &stored, Vec::new(), now);
        true
    }

    /// Adds and removes labels; only what really changes enters the history. False if there is no such message.
    pub(super) fn relabel(&mut self, id: u64, add: &[String], remove: &[String], now: DateTime<Utc>) -> bool {
        let Some(mut stored) = self.messages.get(&id).cloned() else { return false };
        let added: Vec<String> = add.iter().filter(|l| stored.labels.insert((*l).clone())).cloned().collect();
        if !added.is_empty() {
            stored.history_id = self.record(Event::LabelsAdded, &stored, added, now);
        }
        let removed: Vec<String> = remove.iter().filter(|l| stored.labels.remove(*l)).cloned().collect();
        if !removed.is_empty() {
            stored.history_id = self.record(Event::LabelsRemoved, &stored, removed, now);
        }
        self.messages.insert(id, stored);
        true
    }

    /// Forgets history older than `before_ms`.
    pub(super) fn forget_history(&mut self, before_ms: i64) {
        while let Some(oldest) = self.history.front().filter(|r| r.at_ms < before_ms) {
            self.floor = oldest.id;
            self.history.pop_front();
        }
    }

    /// Makes every history id given so far too old.
    pub(super) fn expire_history(&mut self) {
        self.history.clear();
        self.next_history_id();
        self.floor = self.head;
    }

    pub(super) fn knows_label(&self, id: &str) -> bool {
        SYSTEM_LABELS.contains(&id) || self.labels.contains_key(id)
    }
}

/// The subject without the marks of answers and forwards, lower case, and whether there was a mark of an answer.
fn bare_subject(subject: &str) -> (String, bool) {
    let mut rest = subject.trim();
    let mut answers = false;
    while let Some((mark, after)) = rest.split_once(':') {
        match mark.trim().to_ascii_lowercase().as_str() {
            "re" | "aw" | "sv" | "antw" => answers = true,
            "fwd" | "fw" | "wg" => {}
            _ => break,
        }
        rest = after.trim_start();
    }
    (rest.to_lowercase(), answers)
}

/// An id as the API writes it.
pub(super) fn hex(id: u64) -> String {
    format!("{id:016x}")
}

/// Reads an id; one that cannot be any is refused, as the service does.
pub(super) fn parse_id(text: &str) -> Result<u64, Refusal> {
    let fits = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|_| fits);
    id.ok_or_else(|| Refusal::invalid("Invalid id value"))
}

/// FNV-1a: spreads ids and binds tokens to what they were given for; no protection against anyone.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
