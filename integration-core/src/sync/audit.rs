//! The result of comparing a feed with its service, item by item.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{ItemKey, PartitionId};

/// How many keys a class names; the counts go on.
const NAMED: usize = 1_000;

/// What an audit found in one partition.
///
/// `listed` = `applied` + `skipped` + `quarantined` + `pending` + the four classes of gaps: what the service has is what we
/// have exactly if there are no gaps.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AuditReport {
    /// Which partition.
    pub partition: Option<PartitionId>,
    /// When it began (UTC).
    pub begun: Option<DateTime<Utc>>,
    /// When it ended; `None` while it runs.
    pub ended: Option<DateTime<Utc>>,
    /// What the service has.
    pub listed: u64,
    /// On the timeline.
    pub applied: u64,
    /// Decided against.
    pub skipped: u64,
    /// In quarantine.
    pub quarantined: u64,
    /// Known and waiting to be fetched already.
    pub pending: u64,
    /// The service has it, we never heard of it: fetched.
    pub missing: Gap,
    /// It was fetched once, but nothing says what became of it: fetched again.
    pub undecided: Gap,
    /// It should be on the timeline, and was not, or not as it was decided: decided anew from what is stored.
    pub effect_lost: Gap,
    /// It was decided, but not listed under its people, its conversation or its `Message-ID`, so that a change there would
    /// not have reached it: listed again, and decided anew from what is stored.
    pub index_lost: Gap,
    /// We have it, the service did not list it: looked for, and gone only if the service says so.
    pub unlisted: Gap,
}

/// One class of what did not agree.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gap {
    /// How many.
    pub count: u64,
    /// Which; the first thousand.
    pub keys: BTreeSet<ItemKey>,
}

impl Gap {
    pub(crate) fn note(&mut self, key: &ItemKey) {
        self.count += 1;
        if self.keys.len() < NAMED {
            self.keys.insert(key.clone());
        }
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        let room = NAMED.saturating_sub(self.keys.len());
        self.keys.extend(other.keys.iter().take(room).cloned());
    }

    /// It came by the ordinary way meanwhile: it was no gap.
    pub(crate) fn retract(&mut self, key: &ItemKey) {
        if self.keys.remove(key) {
            self.count -= 1;
        }
    }
}

impl AuditReport {
    pub(crate) fn of(partition: &PartitionId) -> Self {
        Self { partition: Some(partition.clone()), ..Self::default() }
    }

    /// What audits found in several partitions, as one: begun with the first and ended with the last of them (`None` while one
    /// runs, and without any). Of no partition in particular.
    #[must_use]
    pub fn total(parts: &[Self]) -> Self {
        let mut total = Self::default();
        for part in parts {
            total.listed += part.listed;
            total.applied += part.applied;
            total.skipped += part.skipped;
            total.quarantined += part.quarantined;
            total.pending += part.pending;
            total.missing.join(&part.missing);
            total.undecided.join(&part.undecided);
            total.effect_lost.join(&part.effect_lost);
            total.index_lost.join(&part.index_lost);
            total.unlisted.join(&part.unlisted);
        }
        total.begun = parts.iter().filter_map(|part| part.begun).min();
        let all_ended = parts.iter().all(|part| part.ended.is_some());
        total.ended = parts.iter().filter_map(|part| part.ended).max().filter(|_| all_ended);
        total
    }

    /// What the service has and we did not have in its place.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.missing.count + self.undecided.count + self.effect_lost.count + self.index_lost.count
    }

    /// Is what the service has what we have, item by item? What waits to be fetched is known, and counts as had.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended.is_some() && self.gaps() == 0
    }
}

/// What an audit will cost, known beforehand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditCost {
    /// Items that we know of now.
    pub items: u64,
    /// Calls for the listing.
    pub calls: u64,
    /// Units of the quota for the listing; repairs are extra, each as much as fetching one item.
    pub units: u64,
}
