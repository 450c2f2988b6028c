//! What left, and what came back of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    intent::IntentKey,
    rows::{put, spaces},
};
use crate::{
    email::Sent,
    error::Result,
    ids::{ConnectionId, MessageId, TenantId, ThreadId},
    store::{StateKey, StateWrite},
};

/// Answers, and bounces, that are kept of one mail; more are counted nowhere.
const MOST: usize = 50;

/// A mail of the outbox, and what became of it. There from the moment its intent is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SentItem {
    /// The intent it came from.
    pub intent: IntentKey,
    /// The mailbox that sends it.
    pub connection: ConnectionId,
    /// The `Message-ID` we chose, without angle brackets.
    pub message_id: String,
    /// The `Message-ID` it left with, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_message_id: Option<String>,
    /// The addresses of whoever sends it, lower case: what comes from there answers nothing.
    #[serde(default)]
    pub senders: Vec<String>,
    /// Whom it goes to, lower case, each once.
    pub recipients: Vec<String>,
    /// When it was known to have left; `None`: not yet.
    #[serde(default)]
    pub sent_at: Option<DateTime<Utc>>,
    /// Its id in the mailbox.
    #[serde(default)]
    pub message: Option<MessageId>,
    /// Its conversation in the mailbox.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// The sync has seen it in the mailbox.
    #[serde(default)]
    pub seen: bool,
    /// Answers of people; the first fifty to come, earliest first.
    #[serde(default)]
    pub replies: Vec<Answer>,
    /// Answers of programs: out of office and the like.
    #[serde(default)]
    pub auto_replies: Vec<Answer>,
    /// Recipients it did not reach, or not yet.
    #[serde(default)]
    pub bounces: Vec<SentBounce>,
}

/// An answer to a mail of ours.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// When it came.
    pub at: Option<DateTime<Utc>>,
    /// Who wrote it, lower case.
    pub by: String,
    /// Its `Message-ID`, or the service's id where it has none: the same answer seen in two mailboxes is one.
    pub message: String,
}

/// A recipient that a mail of ours did not reach.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SentBounce {
    /// When we were told.
    pub at: Option<DateTime<Utc>>,
    /// Who, lower case.
    pub recipient: String,
    /// The mail system has given up for a lasting reason; otherwise it is still trying, or a later try may succeed.
    pub hard: bool,
    /// The enhanced status ("5.1.1"), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl SentItem {
    pub(super) fn new(
        intent: IntentKey,
        connection: ConnectionId,
        message_id: String,
        (senders, recipients): (Vec<String>, Vec<String>),
    ) -> Self {
        Self {
            intent,
            connection,
            message_id,
            sent_message_id: None,
            senders,
            recipients,
            sent_at: None,
            message: None,
            thread: None,
            seen: false,
            replies: Vec::new(),
            auto_replies: Vec::new(),
            bounces: Vec::new(),
        }
    }

    /// Has a person answered?
    #[must_use]
    pub fn is_replied(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Has it not reached somebody, for a lasting reason?
    #[must_use]
    pub fn is_bounced(&self) -> bool {
        self.bounces.iter().any(|bounce| bounce.hard)
    }

    /// Notes where it is. An id it really left with is kept beside the one we chose.
    pub(super) fn found(&mut self, sent: &Sent, at: DateTime<Utc>) {
        self.sent_at.get_or_insert(at);
        self.message = Some(sent.id.clone());
        self.thread = sent.thread.clone().or(self.thread.take());
        let other = sent.message_id.as_ref().filter(|id| **id != self.message_id);
        self.sent_message_id = other.cloned().or(self.sent_message_id.take());
    }

    /// Notes an answer; false if it is known.
    pub(super) fn answered(&mut self, answer: Answer, automatic: bool) -> bool {
        let list = if automatic { &mut self.auto_replies } else { &mut self.replies };
        if list.len() >= MOST || list.iter().any(|known| known.message == answer.message) {
            return false;
        }
        list.push(answer);
        list.sort();
        true
    }

    /// Notes a bounce; false if nothing new is in it. A delay that became a failure is one record.
    #[cfg(feature = "mail")]
    pub(super) fn bounced(&mut self, bounce: SentBounce) -> bool {
        match self.bounces.iter().position(|known| known.recipient == bounce.recipient) {
            Some(known) if self.bounces[known].hard || !bounce.hard => return false,
            Some(known) => self.bounces[known] = bounce,
            None if self.bounces.len() >= MOST => return false,
            None => self.bounces.push(bounce),
        }
        true
    }

    pub(super) fn row(&self, tenant: &TenantId) -> Result<StateWrite> {
        put(tenant, spaces::SENT, StateKey::new([&self.intent]), self)
    }

    /// The index rows that find it by any of its ids.
    pub(super) fn index(&self, tenant: &TenantId) -> Vec<StateWrite> {
        let ids = [Some(&self.message_id), self.sent_message_id.as_ref()];
        let row = |id: &String| {
            StateWrite::put(tenant, spaces::SENT_IDS, StateKey::new([id]), self.intent.as_str().as_bytes().to_vec())
        };
        ids.into_iter().flatten().map(row).collect()
    }
}
