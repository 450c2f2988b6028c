//! Ties and doubtful matches, and what somebody decided about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::matching::{Match, MatchTarget};
use crate::ids::ActivityId;

/// What a verdict is about.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum ReviewSubject {
    /// One entry of the timeline, in every mailbox.
    Activity(ActivityId),
    /// Every message with this address (lower case).
    Address(String),
}

impl ReviewSubject {
    pub(crate) fn key(&self) -> [&str; 2] {
        match self {
            Self::Activity(id) => ["activity", id.as_str()],
            Self::Address(address) => ["address", address],
        }
    }
}

/// What was decided about a subject: what it is about, and what not. Survives every sync and every change of the directory.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(MatchTarget, bool)>", into = "Vec<(MatchTarget, bool)>")]
pub struct Verdicts(BTreeMap<MatchTarget, bool>);

impl From<Vec<(MatchTarget, bool)>> for Verdicts {
    fn from(list: Vec<(MatchTarget, bool)>) -> Self {
        Self(list.into_iter().collect())
    }
}

impl From<Verdicts> for Vec<(MatchTarget, bool)> {
    fn from(verdicts: Verdicts) -> Self {
        verdicts.0.into_iter().collect()
    }
}

impl Verdicts {
    /// Accepts or rejects.
    pub fn set(&mut self, target: MatchTarget, accepted: bool) {
        self.0.insert(target, accepted);
    }

    /// Takes a verdict back.
    pub fn undo(&mut self, target: &MatchTarget) {
        self.0.remove(target);
    }

    /// Nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was accepted.
    pub fn accepted(&self) -> impl Iterator<Item = &MatchTarget> {
        self.0.iter().filter(|(_, accepted)| **accepted).map(|(target, _)| target)
    }

    /// Was it rejected?
    #[must_use]
    pub fn rejects(&self, target: &MatchTarget) -> bool {
        self.0.get(target) == Some(&false)
    }

    /// Was anything decided about it?
    #[must_use]
    pub fn decides(&self, target: &MatchTarget) -> bool {
        self.0.contains_key(target)
    }

    /// What is said in `other` too; `self`, about something narrower, goes first.
    pub(crate) fn widen(&mut self, other: &Self) {
        for (target, accepted) in &other.0 {
            self.0.entry(target.clone()).or_insert(*accepted);
        }
    }
}

/// An entry of the review list: gone once every candidate is decided.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Review {
    /// The entry of the timeline it is about.
    pub activity: ActivityId,
    /// Its subject, to show.
    pub subject: String,
    /// Whose messages it is about (lower case): a verdict may be given for one of them at once.
    pub addresses: Vec<String>,
    /// What it may be about, each with reason and confidence.
    pub candidates: Vec<Match>,
}
