//! The durable stream: one per tenant, numbered without gaps.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Event, Progress};
use crate::{
    error::{Remedy, Result},
    ids::{ActivityId, ConnectionId, GrantId, PartitionId, TenantId},
    outbox::{IntentFailure, IntentKey},
    store::{CounterKey, Space, StateKey, StateWrite, StoreTransaction},
    sync::{AuditReport, rows::encode},
};

pub(crate) const EVENTS: Space = "event";

/// An event of a tenant's stream. Holds ids, counts and plain sentences of ours: no secret, no address, no mail text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its place in the tenant's stream, from 1, without gaps.
    pub number: u64,
    /// When it was written (UTC).
    pub at: DateTime<Utc>,
    /// The connection it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum EventKind {
    /// The timeline changed: one event for each transaction that changed it.
    Activities {
        /// They are new.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<ActivityId>,
        /// They were there before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed: Vec<ActivityId>,
        /// They are no longer shown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withdrawn: Vec<ActivityId>,
    },
    /// A comparison with the service found what did not agree; it is repaired.
    AuditGap {
        /// In which partition.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionId>,
        /// How much of what.
        gaps: Gaps,
    },
    /// An intent of the outbox happened at the service.
    IntentDone {
        /// Which.
        intent: IntentKey,
    },
    /// An intent of the outbox was refused, or is out of tries.
    IntentFailed {
        /// Which.
        intent: IntentKey,
        /// Why, and who can do what about it.
        failure: IntentFailure,
    },
    /// A mail of the outbox did not reach somebody, or not yet; the sent item says whom.
    MailBounced {
        /// The intent that sent it.
        intent: IntentKey,
        /// The mail system has given up for a lasting reason.
        hard: bool,
    },
    /// Somebody answered a mail of the outbox; the sent item says who.
    MailReplied {
        /// The intent that sent it.
        intent: IntentKey,
        /// A program answered: out of office and the like.
        automatic: bool,
    },
    /// Somebody has to act before the connection, or what its grant opens, works again.
    NeedsAttention {
        /// The grant, where it is the sign-in that fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
        /// Who, and what to do.
        remedy: Remedy,
    },
    /// An unknown outcome is known now.
    OutcomeResolved {
        /// Of which intent.
        intent: IntentKey,
        /// It happened; otherwise it is proved absent, and tried again.
        happened: bool,
    },
    /// A write to the service may or may not have taken effect; it is looked up before anything is repeated.
    OutcomeUnknown {
        /// Of which intent.
        intent: IntentKey,
    },
    /// The service lets nobody into a part of the feed (a folder, say): it is left alone for longer and longer, the others go on.
    /// Told once, until it works again.
    PartitionResting {
        /// Which.
        partition: PartitionId,
        /// Who can do what about it, where the service says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<Remedy>,
    },
    /// The service tells again of a part of the feed that nobody was let into.
    PartitionResumed {
        /// Which.
        partition: PartitionId,
    },
    /// How far a sync is: when its phase changes, and every few seconds meanwhile.
    Progress(Progress),
    /// An item could not be understood and lies in quarantine.
    Quarantined {
        /// Its key, if that much was understood.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Why.
        reason: String,
    },
    /// What needed attention works again.
    Recovered {
        /// The grant, where it was the sign-in that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
    },
    /// What was kept longer, or took more room, than the host's limits allow was deleted.
    Retired {
        /// Quarantined items.
        #[serde(default)]
        quarantined: u64,
        /// Texts of messages; the activities stay without them.
        #[serde(default)]
        texts: u64,
        /// Finished intents of the outbox.
        #[serde(default)]
        intents: u64,
    },
    /// A host signal that a listener could not take, also not later.
    SignalParked {
        /// The signal's id.
        id: String,
        /// Who could not take it.
        listener: String,
    },
    /// An event of a newer release.
    #[serde(other)]
    Unknown,
}

/// What a comparison found, by class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gaps {
    /// It should be on the timeline, and was not, or not as it was decided.
    pub effect_lost: u64,
    /// It was decided, but not listed where changes would look for it.
    pub index_lost: u64,
    /// The service has it, we never heard of it.
    pub missing: u64,
    /// Nothing said what became of it.
    pub undecided: u64,
    /// We have it, the service did not list it.
    pub unlisted: u64,
}

impl Gaps {
    pub(crate) fn add(&mut self, report: &AuditReport) {
        self.effect_lost += report.effect_lost.count;
        self.index_lost += report.index_lost.count;
        self.missing += report.missing.count;
        self.undecided += report.undecided.count;
        self.unlisted += report.unlisted.count;
    }

    pub(crate) fn of(report: &AuditReport) -> Self {
        let mut gaps = Self::default();
        gaps.add(report);
        gaps
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.effect_lost + self.index_lost + self.missing + self.undecided + self.unlisted
    }
}

/// A part of a tenant's stream.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// In the order of their numbers.
    pub events: Vec<StoredEvent>,
    /// What to pass as `after` next time; the same again if nothing came.
    pub next: u64,
    /// Set if events between `after` and the first one here are not kept any more: read the present state, then go on from
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<EventReset>,
}

/// A reader came too late.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventReset {
    /// The number it had.
    pub after: u64,
    /// The oldest number that can still be read from here on.
    pub oldest: u64,
}

/// How long a tenant's events are kept. The newest one always is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventRetention {
    /// At most so many; 10,000 unless set.
    pub count: u64,
    /// At most this long, looked at once a day; 30 days unless set.
    pub age: Duration,
}

impl Default for EventRetention {
    fn default() -> Self {
        Self { count: 10_000, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

impl EventRetention {
    /// Keeps at most so many; at least one.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = count.max(1);
        self
    }

    /// Keeps them at most this long.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// The key of a numbered row: the order of the text is the order of the numbers.
pub(crate) fn number_key(number: u64) -> StateKey {
    StateKey::new([format!("{number:020}")])
}

/// The number of a numbered row.
#[cfg(feature = "oauth")]
pub(crate) fn numbered(key: &StateKey) -> u64 {
    key.as_str().parse().unwrap_or_default()
}

/// Writes events into the open transaction that does what they tell. The last thing before the commit: the tenant's counter
/// is locked from here on.
pub(crate) async fn append(
    tx: &mut dyn StoreTransaction,
    tenant: &TenantId,
    stamp: (DateTime<Utc>, u64),
    events: impl IntoIterator<Item = (Option<ConnectionId>, EventKind)> + Send,
) -> Result<()> {
    let (at, keep) = stamp;
    let counter = CounterKey::new(tenant.clone(), "event");
    let events: Vec<_> = events.into_iter().collect();
    for (connection, what) in events {
        let number = tx.next(&counter).await?;
        let event = StoredEvent { number, at, connection, what };
        let bytes = encode(EVENTS, &event)?;
        let mut writes = vec![StateWrite::put(tenant, EVENTS, number_key(number), bytes)];
        // Each new one pushes one out: the stream is bounded without anybody counting it.
        let outlived = number.checked_sub(keep).filter(|outlived| *outlived > 0);
        writes.extend(outlived.map(|outlived| StateWrite::delete(tenant, EVENTS, number_key(outlived))));
        tx.write(&writes).await?;
    }
    Ok(())
}

/// What of a live event is kept.
pub(crate) fn kept_of(event: &Event) -> Option<EventKind> {
    let kept = match event {
        Event::Decided(_) | Event::NeedsAttention(_) | Event::Progress(_) | Event::SliceFailed(_) => return None,
        Event::IntentDone { intent, .. } => EventKind::IntentDone { intent: intent.clone() },
        Event::IntentFailed { intent, failure } => {
            EventKind::IntentFailed { intent: intent.clone(), failure: failure.clone() }
        }
        Event::MailBounced { intent, hard, .. } => EventKind::MailBounced { intent: intent.clone(), hard: *hard },
        Event::MailReplied { intent, automatic, .. } => {
            EventKind::MailReplied { intent: intent.clone(), automatic: *automatic }
        }
        Event::OutcomeResolved { intent, happened } => {
            EventKind::OutcomeResolved { intent: intent.clone(), happened: *happened }
        }
        Event::OutcomeUnknown { intent } => EventKind::OutcomeUnknown { intent: intent.clone() },
        Event::Quarantined { key, reason } => EventKind::Quarantined { key: key.clone(), reason: reason.clone() },
        Event::SignalParked { id, listener, .. } => {
            EventKind::SignalParked { id: id.clone(), listener: listener.clone() }
        }
    };
    Some(kept)
}
