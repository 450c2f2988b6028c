//! What is to be done at a service, and how far it is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Remedy},
    ids::ConnectionId,
};

crate::opaque_id! {
    /// Identifies an intent within its tenant: the host's own key, or one made by us.
    IntentKey
}

/// How to act; the default acts as soon as possible, in no order, under a key of ours.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IntentOptions {
    /// The host's key: the same key with the same content is the same intent. Absent: one is made.
    pub key: Option<IntentKey>,
    /// Not before this instant, by the store's clock. Absent: at once.
    pub not_before: Option<DateTime<Utc>>,
    /// Intents of one connection with the same order are carried out strictly one after the other, in the order in which
    /// they were enqueued: the next begins once the one before is done, has failed or was cancelled. Absent: in no order.
    pub order: Option<String>,
}

impl IntentOptions {
    /// Sets the host's key.
    #[must_use]
    pub fn with_key(mut self, key: IntentKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Delays it.
    #[must_use]
    pub fn with_not_before(mut self, at: DateTime<Utc>) -> Self {
        self.not_before = Some(at);
        self
    }

    /// Puts it in order with others.
    #[must_use]
    pub fn with_order(mut self, order: impl Into<String>) -> Self {
        self.order = Some(order.into());
        self
    }
}

/// An intent, as stored; its content lies sealed beside it until it is finished. Instants are by the store's clock.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Intent {
    /// Its key.
    pub key: IntentKey,
    /// Which connection acts.
    pub connection: ConnectionId,
    /// What is done (`send_mail`).
    pub kind: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: IntentState,
    /// The key under which the service, or a look-up at it, knows this write; a mail's `Message-ID` without angle brackets.
    pub token: String,
    /// When it was prepared.
    pub created_at: DateTime<Utc>,
    /// When it is first, or next, to be looked at.
    pub due: DateTime<Utc>,
    /// After this it is not tried any more; `None` before its first attempt.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// When the service was first asked to do it in a way that may have had an effect; `None`: it was not asked, or it is
    /// certain that nothing came of it. A look-up begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt: Option<DateTime<Utc>>,
    /// How often the service was asked to do it.
    #[serde(default)]
    pub attempts: u32,
    /// How often its outcome was unknown.
    #[serde(default)]
    pub times_unknown: u32,
    /// Why the latest attempt was not the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setback: Option<IntentFailure>,
    /// Its order, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Its place in that order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What the content's digest was made with.
    #[serde(default)]
    pub(super) salt: String,
    #[serde(default)]
    pub(super) digest: String,
}

/// How far an intent is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum IntentState {
    /// It was taken back before it began.
    Cancelled {
        /// When.
        at: DateTime<Utc>,
    },
    /// It happened.
    Done {
        /// When we knew.
        at: DateTime<Utc>,
    },
    /// It was refused, or out of tries; somebody may try again.
    Failed {
        /// When.
        at: DateTime<Utc>,
        /// Why, and who can do what about it.
        failure: IntentFailure,
    },
    /// The service is being asked.
    Sending {
        /// Since when.
        since: DateTime<Utc>,
        /// The lease under which.
        fence: u64,
    },
    /// It may have happened: it is being looked up.
    Unknown {
        /// Since when.
        since: DateTime<Utc>,
        /// How many look-ups did not find it.
        look_ups: u32,
    },
    /// It has not begun, or is to be tried again.
    Waiting,
}

impl IntentState {
    /// Will nothing more happen by itself?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ended().is_some()
    }

    /// Since when nothing more happens by itself.
    #[must_use]
    pub fn ended(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Cancelled { at } | Self::Done { at } | Self::Failed { at, .. } => Some(*at),
            Self::Sending { .. } | Self::Unknown { .. } | Self::Waiting => None,
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IntentFailure {
    /// The kind, as [`ErrorKind::as_str`](crate::ErrorKind::as_str) says it.
    pub kind: String,
    /// The error in one line, without secrets and addresses.
    pub message: String,
    /// Who has to act and how, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

impl IntentFailure {
    pub(super) fn of(error: &Error) -> Self {
        Self { kind: error.kind().as_str().to_owned(), message: error.to_string(), remedy: error.remedy().cloned() }
    }
}
