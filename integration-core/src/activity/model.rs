//! Activities and decisions as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::matching::Match;
use crate::{
    email::{Direction, Message, Role},
    ids::{ActivityId, ConnectionId, ThreadId},
};

/// What of a message is needed to decide and to show it, without its body.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// When: the service's receive time, else `Date`.
    pub at: Option<DateTime<Utc>>,
    /// Who wrote it, as shown.
    pub from: String,
    /// The subject.
    pub subject: String,
    /// One line of the text.
    pub snippet: String,
    /// Everybody but the owner and the own domains, lower case, each once.
    pub others: BTreeSet<String>,
    /// Whether anybody else takes part at all.
    pub external: bool,
    /// From the owner's point of view.
    pub direction: Option<Direction>,
    /// The conversation in this mailbox.
    pub thread: Option<ThreadId>,
    /// The identity over all mailboxes.
    pub identity: String,
    /// Where it lies.
    pub roles: Vec<Role>,
    /// How many files are attached.
    pub attachments: usize,
}

impl Summary {
    /// What of `message` matters to a mailbox with these own addresses and domains (lower case).
    #[must_use]
    pub fn of(message: &Message, own: &[String], own_domains: &[String]) -> Self {
        let is_own = |address: &str| {
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            own.iter().any(|mine| mine == address) || own_domains.iter().any(|mine| mine == domain)
        };
        let everybody: BTreeSet<String> =
            message.participants().map(super::super::email::Address::normalised).collect();
        let others: BTreeSet<String> = everybody.into_iter().filter(|one| one.contains('@') && !is_own(one)).collect();
        let from = message.from.first().or(message.sender.as_ref());
        let outbound = message.flags.has(Role::Sent) || from.is_some_and(|from| own.contains(&from.normalised()));
        Self {
            at: message.received_at.or(message.date),
            from: from.map(|from| from.name.clone().unwrap_or_else(|| from.address.clone())).unwrap_or_default(),
            subject: message.subject.clone(),
            snippet: message.snippet.clone(),
            external: !others.is_empty(),
            others,
            direction: Some(if outbound { Direction::Outbound } else { Direction::Inbound }),
            thread: message.thread.clone(),
            identity: identity(message),
            roles: message.flags.roles.clone(),
            attachments: message.attachments.len(),
        }
    }
}

/// Message-ID, normalised From and Date: the same in every mailbox that got the message.
fn identity(message: &Message) -> String {
    use sha2::Digest;
    let from = message.from.first().map(super::super::email::Address::normalised).unwrap_or_default();
    let date = message.date.map(|date| date.timestamp().to_string()).unwrap_or_default();
    // Without a Message-ID nothing says that two messages are the same: the service's own id keeps them apart.
    let id = message.message_id.clone().unwrap_or_else(|| format!("{}\u{1f}{}", message.id, message.subject));
    let mut digest = sha2::Sha256::new();
    for part in [&id, &from, &date] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex::encode(&digest.finalize()[..16])
}

/// Why a message is not on the timeline. A closed list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A chat line kept among the mail.
    Chat,
    /// A draft.
    Draft,
    /// The same message is there under another id of this mailbox.
    Duplicate,
    /// Only own people take part.
    Internal,
    /// Junk.
    Junk,
    /// Nobody in the directory takes part, nor in its conversation.
    NoMatch,
    /// Deleted, not yet gone.
    Trash,
}

impl SkipReason {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Draft => "draft",
            Self::Duplicate => "duplicate",
            Self::Internal => "internal",
            Self::Junk => "junk",
            Self::NoMatch => "no_match",
            Self::Trash => "trash",
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It is on the timeline.
    Logged {
        /// As this.
        activity: ActivityId,
    },
    /// It is not.
    Skipped {
        /// Because of this.
        reason: SkipReason,
    },
}

/// The stored answer to "why is this (not) on the timeline".
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decision {
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The message.
    pub summary: Summary,
    /// What its own participants match.
    pub direct: Vec<Match>,
    /// What it matches in all.
    pub matches: Vec<Match>,
}

/// One entry of the timeline.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Activity {
    /// Its id: follows from the message's identity, so that every mailbox names the same.
    pub id: ActivityId,
    /// The message.
    pub summary: Summary,
    /// Contacts, companies and deals, with reasons.
    pub matches: Vec<Match>,
    /// Where it was seen: per connection the message ids that carry it, the first one shown.
    pub sightings: BTreeMap<ConnectionId, BTreeMap<String, Sighting>>,
}

/// One copy of the message behind an activity.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sighting {
    /// As this mailbox sees it.
    pub summary: Summary,
    /// What it matches here.
    pub matches: Vec<Match>,
}

/// What happened to an activity in one batch.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
#[non_exhaustive]
pub enum ActivityChange {
    /// No mailbox has it any more, or it is not to be shown any more.
    Removed {
        /// Which.
        id: ActivityId,
    },
    /// It is new or has changed.
    Upserted {
        /// In full.
        activity: Box<Activity>,
    },
}
