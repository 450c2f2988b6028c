//! Activities and decisions as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    matching::{Findings, Match, strongest},
    policy::Visibility,
    summary::Summary,
};
use crate::ids::{ActivityId, ConnectionId};

/// Why a message is not on the timeline. A closed list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A newsletter or other mail sent to many, under [`Bulk::Skip`](super::Bulk::Skip).
    Bulk,
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
    /// The policy logs nothing of this mailbox.
    LoggingOff,
    /// Somebody on the never-log list takes part.
    NeverLog,
    /// Nobody in the directory takes part, nor in its conversation.
    NoMatch,
    /// The policy logs only conversations in which the owner wrote, and this is none.
    NoReply,
    /// Deleted, not yet gone.
    Trash,
}

impl SkipReason {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Chat => "chat",
            Self::Draft => "draft",
            Self::Duplicate => "duplicate",
            Self::Internal => "internal",
            Self::Junk => "junk",
            Self::LoggingOff => "logging_off",
            Self::NeverLog => "never_log",
            Self::NoMatch => "no_match",
            Self::NoReply => "no_reply",
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
    /// The rule that decided, where one did: "never_log:@acme.example", "bulk:List-Unsubscribe", "logging:off".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The id of the copy that is shown instead of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// What was said in it was deleted, because of a rule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purged: bool,
    /// The message.
    pub summary: Summary,
    /// Whom it suggests as contacts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub suggested: BTreeSet<String>,
    /// What it matches by itself.
    pub direct: Findings,
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

impl Activity {
    /// Who may see it: as wide as the widest of its copies.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        self.sightings.values().flat_map(BTreeMap::values).map(|copy| copy.visibility).min().unwrap_or_default()
    }

    /// Shows the first copy, and what any copy matches; false if no copy is left.
    pub(crate) fn settle(&mut self) -> bool {
        let copies = || self.sightings.values().flat_map(BTreeMap::values);
        let Some(first) = copies().next() else { return false };
        let summary = first.summary.clone();
        self.matches = strongest(copies().flat_map(|copy| copy.matches.iter().cloned()).collect());
        self.summary = summary;
        true
    }
}

/// One copy of the message behind an activity.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sighting {
    /// As this mailbox sees it.
    pub summary: Summary,
    /// What it matches here.
    pub matches: Vec<Match>,
    /// What it may match here: see [`Review`](super::Review).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<Match>,
    /// Who may see it because of this copy.
    #[serde(default)]
    pub visibility: Visibility,
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
