//! Mailboxes and the messages in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::answer::Refusal;
use super::changes::{CONTENT, Entry, Event};
use super::delta::Chain;
use super::folders::{self, Folder};
use super::ids::{Id, IdLetters, Kind, checksum, guid};
use super::quota::Quota;
use super::settings::{FolderCounts, GraphSettings, Oddities};
use super::stored::{Head, NewMail, Source, Stored};
use super::subscriptions::Subscription;
use super::upload::Upload;

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) quota: Quota,
    pub(super) oddities: Oddities,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    /// Numbers exchanges, uploads and message ids.
    pub(super) counter: u64,
    pub(super) folder_counts: FolderCounts,
}

impl State {
    pub(super) fn new(settings: &GraphSettings) -> Self {
        Self { folder_counts: settings.folder_counts, ..Self::default() }
    }

    /// The mailbox with that address, made if there is none.
    pub(super) fn account(&mut self, address: &str) -> &mut Account {
        let counts = self.folder_counts;
        self.accounts.entry(address.to_owned()).or_insert_with(|| Account::new(address, counts))
    }

    /// A number never given before.
    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The address of the mailbox with that id, address or principal name.
    pub(super) fn find_user(&self, who: &str) -> Option<&Account> {
        let lower = who.to_lowercase();
        self.accounts.get(&lower).or_else(|| self.accounts.values().find(|a| a.user_id == lower))
    }
}

/// One mailbox.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) address: String,
    pub(super) user_id: String,
    pub(super) display_name: String,
    /// A sign-in account without a mailbox.
    pub(super) disabled: bool,
    /// Who else may open it.
    pub(super) delegates: BTreeSet<String>,
    /// Apps without a person that may not open it.
    pub(super) closed_to: BTreeSet<String>,
    /// Addresses besides its own that it may send as.
    pub(super) send_as: BTreeSet<String>,
    pub(super) messages: BTreeMap<u64, Stored>,
    /// By received time, then number; without what can only be recovered.
    pub(super) order: BTreeSet<(i64, u64)>,
    pub(super) folders: BTreeMap<u64, Folder>,
    /// Folders that are gone, by the tick of their end.
    pub(super) gone_folders: BTreeMap<u64, u64>,
    /// Counts everything that happens.
    pub(super) tick: u64,
    pub(super) issued: u64,
    pub(super) issued_folders: u64,
    by_message_id: HashMap<String, u64>,
    by_subject: HashMap<String, u64>,
    pub(super) chains: BTreeMap<u64, Chain>,
    /// Messages loaded from files: number and checksum by name.
    pub(super) files: BTreeMap<String, (u64, u64)>,
    /// Sent messages whose copy is not to be seen yet, with the time when it will be.
    pub(super) lagging: Vec<(i64, Stored)>,
    folder_counts: FolderCounts,
}

impl Account {
    pub(super) fn new(address: &str, folder_counts: FolderCounts) -> Self {
        Self {
            address: address.to_owned(),
            user_id: guid(address),
            display_name: address.split('@').next().unwrap_or(address).to_owned(),
            disabled: false,
            delegates: BTreeSet::new(),
            closed_to: BTreeSet::new(),
            send_as: BTreeSet::new(),
            messages: BTreeMap::new(),
            order: BTreeSet::new(),
            folders: folders::well_known().map(|folder| (folder.number, folder)).collect(),
            gone_folders: BTreeMap::new(),
            tick: 1,
            issued: 0,
            issued_folders: 0,
            by_message_id: HashMap::new(),
            by_subject: HashMap::new(),
            chains: BTreeMap::new(),
            files: BTreeMap::new(),
            lagging: Vec::new(),
            folder_counts,
        }
    }

    pub(super) fn usable(&self) -> Result<(), Refusal> {
        if self.disabled { Err(Refusal::not_enabled()) } else { Ok(()) }
    }

    pub(super) fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Shows copies of sent messages whose time has come.
    pub(super) fn settle(&mut self, now_ms: i64) {
        let (due, later) = std::mem::take(&mut self.lagging).into_iter().partition(|(at, _)| *at <= now_ms);
        self.lagging = later;
        let due: Vec<(i64, Stored)> = due;
        for (_, stored) in due {
            self.put(stored);
        }
    }

    /// Takes a message in; gives its number.
    pub(super) fn deliver(&mut self, mail: NewMail) -> u64 {
        let stored = self.make(mail);
        let number = stored.number;
        self.put(stored);
        number
    }

    /// A message that is not in any folder yet.
    pub(super) fn make(&mut self, mail: NewMail) -> Stored {
        self.issued += 1;
        let number = self.issued;
        let NewMail { source, folder, received_ms, now_ms, read, draft } = mail;
        let head = match &source {
            Source::Kept(raw) => Some(Arc::new(Head::read(raw))),
            Source::OnDemand(..) => None,
        };
        let conversation = head.as_deref().and_then(|head| self.conversation_for(head)).unwrap_or(number);
        let depth = if conversation == number { 0 } else { self.conversation_depth(conversation) };
        let loose = Stored::loose(Bytes::new());
        let (created_ms, modified_ms) = (now_ms, now_ms);
        Stored {
            number,
            folder,
            received_ms,
            created_ms,
            modified_ms,
            draft,
            read,
            conversation,
            depth,
            source,
            head,
            ..loose
        }
    }

    fn conversation_depth(&self, conversation: u64) -> u32 {
        // Only for the index of the conversation: no need to count beyond what it can hold.
        let count = self.messages.range(conversation..).take(5_000).filter(|(_, m)| m.conversation == conversation);
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    /// Puts a message into its folder.
    pub(super) fn put(&mut self, mut stored: Stored) {
        self.index(&stored);
        stored.version = self.note(&stored, Event::Came, CONTENT);
        let key = (stored.received_ms, stored.number);
        if stored.folder != folders::RECOVERABLE {
            self.order.insert(key);
        }
        if let Some(folder) = self.folders.get_mut(&stored.folder) {
            folder.order.insert(key);
            folder.unread += u64::from(!stored.read);
        }
        self.count(stored.folder);
        self.messages.insert(stored.number, stored);
    }

    /// Puts a message where it was when its mailbox was exported.
    pub(super) fn restore(&mut self, mut stored: Stored) {
        if let Source::Kept(raw) = &stored.source {
            stored.head = Some(Arc::new(Head::read(raw)));
        }
        self.index(&stored);
        let key = (stored.received_ms, stored.number);
        if stored.folder != folders::RECOVERABLE {
            self.order.insert(key);
        }
        if let Some(folder) = self.folders.get_mut(&stored.folder) {
            folder.order.insert(key);
        }
        self.messages.insert(stored.number, stored);
    }

    /// Makes the message known to conversations.
    fn index(&mut self, stored: &Stored) {
        if let Some(head) = &stored.head {
            self.by_message_id.entry(head.message_id.clone()).or_insert(stored.conversation);
            self.by_subject.insert(bare_subject(&head.subject).0, stored.conversation);
        }
    }

    /// Writes into the log of the message's folder.
    fn note(&mut self, stored: &Stored, event: Event, mask: u16) -> u64 {
        let tick = self.next_tick();
        let entry = Entry { tick, message: stored.number, moves: stored.moves, event, mask };
        if let Some(folder) = self.folders.get_mut(&stored.folder) {
            folder.log.push(entry);
        }
        tick
    }

    fn count(&mut self, folder: u64) {
        if self.folder_counts == FolderCounts::AreChanges {
            self.touch_folder(folder);
        }
    }

    /// Takes a message out of its folder.
    fn take(&mut self, number: u64, event: Event) -> Option<Stored> {
        let stored = self.messages.remove(&number)?;
        let key = (stored.received_ms, stored.number);
        self.order.remove(&key);
        if let Some(folder) = self.folders.get_mut(&stored.folder) {
            folder.order.remove(&key);
            folder.unread = folder.unread.saturating_sub(u64::from(!stored.read));
        }
        self.note(&stored, event, 0);
        self.count(stored.folder);
        Some(stored)
    }

    /// Removes a message for good; false if there is none.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        self.take(number, Event::Deleted).is_some()
    }

    /// The message out of its folder, to be put elsewhere.
    pub(super) fn take_out(&mut self, number: u64) -> Option<Stored> {
        self.take(number, Event::Left)
    }

    /// Moves a message; false if there is none. Into the folder where it is, too: the service then gives new ids as well.
    pub(super) fn relocate(&mut self, number: u64, folder: u64, now_ms: i64) -> bool {
        self.shift(number, folder, now_ms, Event::Left)
    }

    /// Moves a message because it was deleted.
    pub(super) fn recycle(&mut self, number: u64, folder: u64, now_ms: i64) -> bool {
        self.shift(number, folder, now_ms, Event::Deleted)
    }

    fn shift(&mut self, number: u64, folder: u64, now_ms: i64, event: Event) -> bool {
        let Some(mut stored) = self.take(number, event) else { return false };
        stored.folder = folder;
        stored.moves += 1;
        stored.modified_ms = now_ms;
        self.put(stored);
        true
    }

    /// A second message like it; gives its number.
    pub(super) fn copy(&mut self, number: u64, folder: u64, now_ms: i64) -> Option<u64> {
        let mut twin = self.messages.get(&number)?.clone();
        self.issued += 1;
        twin.number = self.issued;
        twin.moves = 0;
        twin.folder = folder;
        twin.created_ms = now_ms;
        twin.modified_ms = now_ms;
        self.put(twin);
        Some(self.issued)
    }

    /// Changes a message where it is. `mask` says what is different; zero changes nothing.
    pub(super) fn change(&mut self, number: u64, now_ms: i64, change: impl FnOnce(&mut Stored) -> u16) -> bool {
        let Some(mut stored) = self.messages.get(&number).cloned() else { return false };
        let unread = u64::from(!stored.read);
        let mask = change(&mut stored);
        if mask == 0 {
            return true;
        }
        stored.modified_ms = now_ms;
        stored.version = self.note(&stored, Event::Changed, mask);
        if let Some(folder) = self.folders.get_mut(&stored.folder) {
            folder.unread = folder.unread.saturating_sub(unread) + u64::from(!stored.read);
        }
        self.count(stored.folder);
        self.messages.insert(number, stored);
        true
    }

    /// The message that an id names now.
    pub(super) fn find(&self, id: &str) -> Result<&Stored, Refusal> {
        let id = Id::parse(id)?;
        let stays = match id.kind {
            Kind::Immutable => true,
            Kind::Mutable => false,
            _ => return Err(Refusal::malformed_id()),
        };
        let found = self.messages.get(&id.number).filter(|m| id.is_of(&self.address) && (stays || m.moves == id.moves));
        found.ok_or_else(Refusal::item_not_found)
    }

    /// The conversation of a message that it refers to; or, for an answer without references, that of the latest
    /// message with its subject.
    fn conversation_for(&self, head: &Head) -> Option<u64> {
        let parent = head.references.iter().rev().find_map(|id| self.by_message_id.get(id));
        if let Some(conversation) = parent {
            return Some(*conversation);
        }
        let (subject, answers) = bare_subject(&head.subject);
        if !answers || !head.references.is_empty() || subject.is_empty() {
            return None;
        }
        self.by_subject.get(&subject).copied()
    }

    pub(super) fn conversation_id(&self, conversation: u64, letters: IdLetters) -> String {
        let first = checksum(format!("{}/{conversation}", self.address).as_bytes());
        Id::new(Kind::Conversation, &self.address, first, 0).text(letters)
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
