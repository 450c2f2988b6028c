//! Messages as they lie in a mailbox.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub(super) use crate::source::Source;

use super::ids::{Id, IdLetters, Kind, STAYS};
use super::mail::{Attachment, message_ids};
use super::settings::Oddity;
use crate::mime;

/// One message of a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) number: u64,
    /// How often it changed folders.
    pub(super) moves: u32,
    pub(super) folder: u64,
    pub(super) received_ms: i64,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    /// The tick of its last change.
    pub(super) version: u64,
    pub(super) draft: bool,
    pub(super) read: bool,
    pub(super) flag: String,
    pub(super) categories: Vec<String>,
    pub(super) importance: String,
    pub(super) inference: String,
    pub(super) conversation: u64,
    /// How many messages of the conversation came before.
    pub(super) depth: u32,
    /// Single-value extended properties by id.
    pub(super) extended: BTreeMap<String, String>,
    /// Attachments that are not in the raw message.
    pub(super) extra: Vec<Extra>,
    pub(super) oddities: BTreeSet<Oddity>,
    pub(super) source: Source,
    pub(super) head: Option<Arc<Head>>,
}

/// An attachment beside the raw message.
#[derive(Clone)]
pub(super) struct Extra {
    pub(super) shape: Attachment,
    pub(super) size: u64,
    pub(super) content: Option<Arc<dyn Fn() -> Bytes + Send + Sync>>,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extra").field("name", &self.shape.name).field("size", &self.size).finish_non_exhaustive()
    }
}

/// The headers that conversations and filters look at.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) from: String,
    pub(super) subject: String,
    /// With angle brackets.
    pub(super) message_id: String,
    pub(super) references: Vec<String>,
}

impl Head {
    pub(super) fn read(raw: &[u8]) -> Self {
        let (headers, _) = mime::parse_headers(raw);
        let first = |name: &str| {
            let found = headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            found.map(|h| h.value.trim().to_owned()).unwrap_or_default()
        };
        let mut references = message_ids(&first("references"));
        references.extend(message_ids(&first("in-reply-to")));
        let from = mime::addresses(&first("from")).into_iter().next().unwrap_or_default();
        Self { from, subject: first("subject"), message_id: first("message-id"), references }
    }
}

impl Stored {
    /// A message that belongs to no mailbox.
    pub(super) fn loose(raw: Bytes) -> Self {
        Self {
            number: 0,
            moves: 0,
            folder: 0,
            received_ms: 0,
            created_ms: 0,
            modified_ms: 0,
            version: 0,
            draft: false,
            read: true,
            flag: "notFlagged".to_owned(),
            categories: Vec::new(),
            importance: "normal".to_owned(),
            inference: "focused".to_owned(),
            conversation: 0,
            depth: 0,
            extended: BTreeMap::new(),
            extra: Vec::new(),
            oddities: BTreeSet::new(),
            source: Source::Kept(raw),
            head: None,
        }
    }

    /// Its headers, read again each time if the message is made on demand.
    pub(super) fn head(&self) -> Arc<Head> {
        self.head.as_ref().map_or_else(|| Arc::new(Head::read(&self.source.bytes())), Arc::clone)
    }

    /// The id as a client sees it.
    pub(super) fn id(&self, owner: &str, immutable: bool, letters: IdLetters) -> String {
        message_id(owner, self.number, if immutable { None } else { Some(self.moves) }, letters)
    }
}

/// The id of a message that was moved so often; without moves, the one that stays.
pub(super) fn message_id(owner: &str, number: u64, moves: Option<u32>, letters: IdLetters) -> String {
    let kind = if moves.is_some() { Kind::Mutable } else { Kind::Immutable };
    Id::new(kind, owner, number, moves.unwrap_or(STAYS)).text(letters)
}

/// A message about to enter a mailbox.
#[derive(Debug)]
pub(super) struct NewMail {
    pub(super) source: Source,
    pub(super) folder: u64,
    pub(super) received_ms: i64,
    pub(super) now_ms: i64,
    pub(super) read: bool,
    pub(super) draft: bool,
}
