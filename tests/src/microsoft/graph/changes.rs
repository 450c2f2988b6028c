//! What happened in a folder, in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing that happened to a message in a folder.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) tick: u64,
    pub(super) message: u64,
    /// How often it had been moved when it was in this folder.
    pub(super) moves: u32,
    pub(super) event: Event,
    /// Which of [`PROPERTIES`] changed.
    pub(super) mask: u16,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Event {
    Changed,
    Came,
    Deleted,
    Left,
}

/// Properties that can change by themselves, each a bit of a mask; a mask with [`CONTENT`] means the whole message.
pub(super) const PROPERTIES: [&str; 5] = ["isRead", "flag", "categories", "importance", "inferenceClassification"];
pub(super) const READ: u16 = 1;
pub(super) const FLAG: u16 = 2;
pub(super) const CATEGORIES: u16 = 4;
pub(super) const IMPORTANCE: u16 = 8;
pub(super) const INFERENCE: u16 = 16;
pub(super) const CONTENT: u16 = 1 << 15;

/// What is to be told of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    pub(super) message: u64,
    pub(super) moves: u32,
    /// When it was last different.
    pub(super) tick: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// Is there and was not before.
    Came,
    /// These properties are different.
    Changed(u16),
    Deleted,
    Left,
}

/// Whom a change is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// Ids do not change with moves.
    pub(super) immutable: bool,
    /// A message that left and came back is told as gone.
    pub(super) loses_returned: bool,
}

#[derive(Debug)]
struct Story {
    first: Event,
    last: Entry,
    came: bool,
    mask: u16,
}

/// What is to be told of the entries after `since`, each message once, in the order of its last change.
pub(super) fn verdicts(log: &[Entry], since: u64, listener: Listener) -> Vec<Verdict> {
    let start = log.partition_point(|entry| entry.tick <= since);
    let mut stories: BTreeMap<(u64, u32), Story> = BTreeMap::new();
    for entry in &log[start..] {
        let key = (entry.message, if listener.immutable { 0 } else { entry.moves });
        let new = || Story { first: entry.event, last: *entry, came: false, mask: 0 };
        let story = stories.entry(key).or_insert_with(new);
        story.last = *entry;
        story.came |= entry.event == Event::Came;
        story.mask |= entry.mask;
    }
    let mut found: Vec<Verdict> = stories.values().map(|story| story.verdict(listener)).collect();
    found.sort_by_key(|verdict| verdict.tick);
    found
}

impl Story {
    fn verdict(&self, listener: Listener) -> Verdict {
        let returned = self.came && self.first != Event::Came;
        let what = match self.last.event {
            Event::Deleted => What::Deleted,
            Event::Left => What::Left,
            _ if returned && listener.immutable && listener.loses_returned => What::Left,
            _ if self.came || self.mask & CONTENT != 0 => What::Came,
            _ => What::Changed(self.mask),
        };
        Verdict { message: self.last.message, moves: self.last.moves, tick: self.last.tick, what }
    }
}
