//! Are the rows of a decided message what its decision says? What an audit asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::{
    MailApplier, activity_of, spaces,
    work::{Thread, index_keys},
};
use crate::{
    activity::model::{Activity, Decision, Outcome, Sighting, SkipReason},
    error::Result,
    ids::ItemKey,
    store::{Space, StateKey, StateQuery},
    sync::{engine::Standing, rows::decode},
};

/// What was stored of some messages.
#[derive(Debug)]
struct Stored {
    activities: BTreeMap<StateKey, Activity>,
    threads: BTreeMap<StateKey, Thread>,
    indexed: BTreeSet<(Space, StateKey)>,
}

impl MailApplier {
    pub(super) async fn standings(&self, items: &[ItemKey]) -> Result<BTreeMap<ItemKey, Standing>> {
        let keys = items.iter().map(|item| self.decision_key(item.as_str())).collect();
        let decisions: BTreeMap<StateKey, Decision> = self.stored(spaces::DECISIONS, keys).await?;
        let item = |key: &StateKey| ItemKey::new(key.segments().pop().unwrap_or_default());
        let decisions: BTreeMap<ItemKey, Decision> =
            decisions.into_iter().map(|(key, decision)| (item(&key), decision)).collect();
        let stored = self.stored_of(&decisions).await?;
        let standing = |(item, decision): (ItemKey, Decision)| {
            let standing = self.standing_of(item.as_str(), &decision, &stored);
            (item, standing)
        };
        Ok(decisions.into_iter().map(standing).collect())
    }

    async fn stored_of(&self, decisions: &BTreeMap<ItemKey, Decision>) -> Result<Stored> {
        let threads = decisions.values().filter(|one| is_followed(one)).filter_map(|one| self.thread_key(&one.summary));
        let activities =
            decisions.values().filter(|one| is_shown(one)).map(|one| StateKey::new([activity_of(&one.summary)]));
        let mut wanted: BTreeMap<Space, Vec<StateKey>> = BTreeMap::new();
        for (item, decision) in decisions {
            for (space, key) in index_keys(&self.connection, item.as_str(), &decision.summary) {
                wanted.entry(space).or_default().push(key);
            }
        }
        let mut indexed = BTreeSet::new();
        for (space, keys) in wanted {
            let query = StateQuery::Keys { tenant: self.tenant.clone(), space, keys };
            indexed.extend(self.store.read(&query).await?.into_iter().map(|row| (space, row.key)));
        }
        Ok(Stored {
            activities: self.stored(spaces::ACTIVITIES, activities.collect()).await?,
            threads: self.stored(spaces::THREADS, threads.collect()).await?,
            indexed,
        })
    }

    async fn stored<T: DeserializeOwned>(
        &self,
        space: Space,
        keys: BTreeSet<StateKey>,
    ) -> Result<BTreeMap<StateKey, T>> {
        let query = StateQuery::Keys { tenant: self.tenant.clone(), space, keys: keys.into_iter().collect() };
        let rows = self.store.read(&query).await?;
        rows.into_iter().map(|row| Ok((row.key, decode(space, &row.bytes)?))).collect()
    }

    fn standing_of(&self, message: &str, decision: &Decision, stored: &Stored) -> Standing {
        let activity = stored.activities.get(&StateKey::new([activity_of(&decision.summary)]));
        if is_shown(decision) && !activity.is_some_and(|activity| self.agrees(activity, message, decision)) {
            return Standing::EffectLost;
        }
        let indexed = index_keys(&self.connection, message, &decision.summary);
        let thread = self.thread_key(&decision.summary).filter(|_| is_followed(decision));
        let follows = |key| stored.threads.get(&key).is_some_and(|thread: &Thread| thread.follows(message, decision));
        if !indexed.iter().all(|place| stored.indexed.contains(place)) || !thread.is_none_or(follows) {
            return Standing::IndexLost;
        }
        match decision.outcome {
            Outcome::Logged { .. } => Standing::Applied,
            Outcome::Skipped { .. } => Standing::Skipped,
        }
    }

    /// Does the activity show its copies, and this copy as it was decided?
    fn agrees(&self, activity: &Activity, message: &str, decision: &Decision) -> bool {
        let copy = activity.sightings.get(&self.connection).and_then(|copies| copies.get(message));
        let as_decided = |copy: &Sighting| copy.summary == decision.summary && copy.matches == decision.matches;
        let mut shown = activity.clone();
        copy.is_some_and(as_decided) && shown.settle() && shown == *activity
    }
}

/// Is it an activity's copy, the one that is shown or another one?
fn is_shown(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Logged { .. } | Outcome::Skipped { reason: SkipReason::Duplicate })
}

/// Does its conversation count it? What is barred whatever it matches does not.
fn is_followed(decision: &Decision) -> bool {
    is_shown(decision)
        || matches!(decision.outcome, Outcome::Skipped { reason: SkipReason::NoMatch | SkipReason::NoReply })
}
