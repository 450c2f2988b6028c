//! What the mailbox holds, and what changed in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    email::{MailFlags, Message, MessageQuery, Role, parse},
    ids::FolderId,
};

pub(super) const FOLDERS: [(Role, &str); 5] = [
    (Role::Inbox, "inbox"),
    (Role::Drafts, "drafts"),
    (Role::Sent, "sent"),
    (Role::Junk, "junk"),
    (Role::Trash, "trash"),
];

pub(super) fn folder(role: Role) -> FolderId {
    let named = FOLDERS.iter().find(|(known, _)| *known == role);
    FolderId::new(named.map_or("inbox", |(_, name)| name))
}

pub(super) fn role(folder: &FolderId) -> Option<Role> {
    FOLDERS.iter().find(|(_, name)| *name == folder.as_str()).map(|(role, _)| *role)
}

pub(super) fn id(number: u64) -> String {
    format!("m{number}")
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) raw: Bytes,
    pub(super) place: Role,
    pub(super) read: bool,
    pub(super) received_at: DateTime<Utc>,
    pub(super) thread: u64,
    pub(super) revision: i64,
}

impl Stored {
    pub(super) fn flags(&self) -> MailFlags {
        MailFlags { folders: vec![folder(self.place)], roles: vec![self.place], read: self.read, flagged: false }
    }

    pub(super) fn matches(&self, query: &MessageQuery) -> bool {
        let hidden = matches!(self.place, Role::Junk | Role::Trash);
        let here = match &query.folder {
            Some(wanted) => *wanted == folder(self.place),
            None => !hidden || query.include_junk_and_trash,
        };
        here && query.since.is_none_or(|since| self.received_at >= since)
            && query.until.is_none_or(|until| self.received_at < until)
            && self.content_matches(query)
    }

    fn content_matches(&self, query: &MessageQuery) -> bool {
        if query.text.is_none() && query.participant.is_none() && query.message_id.is_none() {
            return true;
        }
        let Ok(message) = parse::message(&self.raw) else { return false };
        let has = |words: &String| {
            let text = format!("{}\n{}", message.subject, message.text).to_lowercase();
            words.split_whitespace().all(|word| text.contains(&word.to_lowercase()))
        };
        let is_with = |who: &String| message.participants().any(|one| one.normalised() == who.to_lowercase());
        query.text.as_ref().is_none_or(has)
            && query.participant.as_ref().is_none_or(is_with)
            && query.message_id.as_ref().is_none_or(|id| message.message_id.as_ref() == Some(id))
    }

    pub(super) fn was_sent_as(&self, key: &str) -> bool {
        let carries = |message: Message| message.message_id.as_deref() == Some(key);
        self.place == Role::Sent && parse::message(&self.raw).is_ok_and(carries)
    }
}

/// A change: where the message lay before and after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) from: Option<Role>,
    pub(super) to: Option<Role>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    messages: BTreeMap<u64, Stored>,
    /// The changes that are remembered; those before have been forgotten.
    pub(super) log: Vec<Entry>,
    /// The position of the first remembered change.
    pub(super) base: usize,
    last: u64,
    pub(super) calls: u64,
    pub(super) throttled: bool,
    /// What is there, and never given out.
    pub(super) refused: BTreeSet<String>,
}

impl State {
    /// The id that the next message will get.
    pub(super) fn next_id(&self) -> String {
        id(self.last + 1)
    }

    /// The position after everything that happened.
    pub(super) fn head(&self) -> usize {
        self.base + self.log.len()
    }

    pub(super) fn find(&self, id: &str) -> Option<(u64, &Stored)> {
        let number = id.strip_prefix('m')?.parse().ok()?;
        Some((number, self.messages.get(&number)?))
    }

    pub(super) fn get(&self, number: u64) -> Option<&Stored> {
        self.messages.get(&number)
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (u64, &Stored)> {
        let mut all: Vec<(u64, &Stored)> = self.messages.iter().map(|(number, stored)| (*number, stored)).collect();
        all.sort_by_key(|(number, stored)| (stored.received_at, *number));
        all.into_iter()
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u64, &Stored)> {
        let all: Vec<(u64, &Stored)> = self.oldest_first().collect();
        all.into_iter().rev()
    }

    pub(super) fn put(&mut self, raw: Bytes, place: Role, read: bool, received_at: DateTime<Utc>) -> String {
        self.last += 1;
        let number = self.last;
        let thread = self.thread_of(&raw).unwrap_or(number);
        self.messages.insert(number, Stored { raw, place, read, received_at, thread, revision: 0 });
        self.note(Entry { number, from: None, to: Some(place) });
        id(number)
    }

    /// The conversation of whichever message it refers to.
    fn thread_of(&self, raw: &[u8]) -> Option<u64> {
        let message = parse::message(raw).ok()?;
        let referred: Vec<&String> = message.in_reply_to.iter().chain(&message.references).collect();
        if referred.is_empty() {
            return None;
        }
        let is_meant = |stored: &&Stored| {
            let id = parse::message(&stored.raw).ok().and_then(|message| message.message_id);
            id.is_some_and(|id| referred.contains(&&id))
        };
        self.messages.values().find(is_meant).map(|stored| stored.thread)
    }

    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut Stored)) {
        let Some(stored) = self.messages.get_mut(&number) else { return };
        let from = Some(stored.place);
        change(stored);
        let to = Some(stored.place);
        self.note(Entry { number, from, to });
    }

    pub(super) fn delete(&mut self, id: &str) {
        let Some((number, stored)) = self.find(id) else { return };
        let from = Some(stored.place);
        self.messages.remove(&number);
        self.note(Entry { number, from, to: None });
    }

    fn note(&mut self, entry: Entry) {
        self.log.push(entry);
        let head = i64::try_from(self.head()).unwrap_or(i64::MAX);
        if let Some(stored) = self.messages.get_mut(&entry.number) {
            stored.revision = head;
        }
    }

    /// Makes every position given so far too old.
    pub(super) fn forget(&mut self) {
        self.base = self.head() + 1;
        self.log.clear();
    }
}
