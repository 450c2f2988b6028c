//! What happened, for the host's interface and alerts.
//!
//! Twice: [`Event`]s are told to a listener of this process, at once and only once; [`StoredEvent`]s are kept in one numbered
//! stream per tenant, written in the transaction that did what they tell, and read by number from any process
//! (`Hub::events`).

mod stored;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

#[cfg(feature = "oauth")]
pub(crate) use stored::{EVENTS, numbered};
pub use stored::{EventKind, EventPage, EventReset, EventRetention, Gaps, StoredEvent};
pub(crate) use stored::{append, kept_of, number_key};

use crate::{
    activity::Outcome,
    error::{Error, Remedy},
    ids::{ConnectionId, TenantId},
    outbox::{IntentFailure, IntentKey},
};

/// An event of one connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// These messages were decided; `None`: gone. One entry a message.
    Decided(Vec<(String, Option<Outcome>)>),
    /// An intent of the outbox happened at the service.
    IntentDone {
        /// Which.
        intent: IntentKey,
        /// What kind of record it is at the service.
        kind: String,
        /// The record's id there.
        id: String,
    },
    /// An intent of the outbox was refused, or is out of tries.
    IntentFailed {
        /// Which.
        intent: IntentKey,
        /// Why, and who can do what about it.
        failure: IntentFailure,
    },
    /// A mail of the outbox did not reach somebody, or not yet.
    MailBounced {
        /// The intent that sent it.
        intent: IntentKey,
        /// Whom it did not reach.
        recipient: String,
        /// The mail system has given up for a lasting reason.
        hard: bool,
    },
    /// Somebody answered a mail of the outbox.
    MailReplied {
        /// The intent that sent it.
        intent: IntentKey,
        /// Who answered: a person, or a program in that person's name.
        by: String,
        /// The answer's `Message-ID`, or the service's id where it has none.
        message: String,
        /// A program answered: out of office and the like.
        automatic: bool,
    },
    /// Somebody has to act.
    NeedsAttention(Remedy),
    /// An unknown outcome is known now.
    OutcomeResolved {
        /// Of which intent.
        intent: IntentKey,
        /// It happened; otherwise it is proved absent, and tried again.
        happened: bool,
    },
    /// An intent of the outbox may or may not have happened; it is looked up before any repeat.
    OutcomeUnknown {
        /// Which.
        intent: IntentKey,
    },
    /// How far the sync is.
    Progress(Progress),
    /// An item could not be understood and lies in quarantine.
    Quarantined {
        /// Its key, if that much was understood.
        key: Option<String>,
        /// Why.
        reason: String,
    },
    /// A host signal that a listener could not take, also not later. Of no connection: the id is empty.
    SignalParked {
        /// The signal's id.
        id: String,
        /// Who could not take it.
        listener: String,
        /// Its latest error in one line.
        error: String,
    },
    /// A slice failed; it is tried again.
    SliceFailed(Error),
}

/// How far a sync is. Honest: without a known total there is no percentage, and it never says 100 % early.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Items listed so far in this enumeration.
    pub listed: u64,
    /// Items known and waiting to be fetched.
    pub pending: u64,
    /// Items settled in this run.
    pub settled: u64,
    /// The time the waiting ones take within the quota, once everything is listed; in JSON whole seconds.
    #[serde(default, rename = "eta_seconds", with = "seconds", skip_serializing_if = "Option::is_none")]
    pub eta: Option<Duration>,
}

/// A time in whole seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "as serde asks")]
    pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_secs))
    }
}

/// What a sync is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Everything is listed; the waiting items are fetched.
    Fetching,
    /// Finding out what there is, fetching meanwhile.
    Listing,
    /// Nothing is waiting.
    UpToDate,
}

/// Whoever wants to know. Called between transactions; must not block.
pub trait EventListener: fmt::Debug + Send + Sync + 'static {
    /// Something happened on a connection.
    fn on_event(&self, tenant: &TenantId, connection: &ConnectionId, event: &Event);
}

/// Tells a listener; what it does wrong is its own affair.
pub(crate) fn tell(listener: &dyn EventListener, tenant: &TenantId, connection: &ConnectionId, event: &Event) {
    let call = std::panic::AssertUnwindSafe(|| listener.on_event(tenant, connection, event));
    if std::panic::catch_unwind(call).is_err() {
        tracing::error!(%connection, "the host's event listener panicked");
    }
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoListener;

impl EventListener for NoListener {
    fn on_event(&self, _: &TenantId, _: &ConnectionId, _: &Event) {}
}
