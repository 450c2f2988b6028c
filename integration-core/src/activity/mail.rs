//! From messages to activities and decisions.
//!
//! The result for a message depends only on the message, the directory and the messages of its conversation, never on the
//! order in which they came: a process that is killed and started again ends with the same rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    directory::Directory,
    matching::{Match, direct_matches, question, with_thread},
    model::{Activity, ActivityChange, Decision, Outcome, Sighting, SkipReason, Summary},
};
use crate::{
    email::{MailItem, Role},
    error::{Error, ErrorKind, Result},
    ids::{ActivityId, ConnectionId, TenantId},
    store::{Expect, Space, StateKey, StateQuery, StateWrite, SyncStore},
    sync::engine::{Applier, Effects, Input},
};

pub(crate) const DECISIONS: Space = "decision";
pub(crate) const ACTIVITIES: Space = "activity";
const THREADS: Space = "thread";

/// Conversations longer than this stop growing: what they match is known by then.
const THREAD_CAP: usize = 500;

/// Applies mail of one connection.
#[derive(Debug)]
pub(crate) struct MailApplier {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    pub(crate) own: Vec<String>,
    pub(crate) own_domains: Vec<String>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) store: Arc<dyn SyncStore>,
}

/// What each message of a conversation matches by itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
struct Thread(BTreeMap<String, Vec<Match>>);

impl Thread {
    fn union(&self) -> BTreeSet<&super::matching::MatchTarget> {
        self.0.values().flatten().map(|found| &found.target).collect()
    }
}

#[async_trait]
impl Applier<MailItem> for MailApplier {
    async fn prepare(&self, inputs: &[Input<MailItem>]) -> Result<Effects> {
        let mut work = Work::new(self);
        let keys: Vec<String> = inputs.iter().map(|input| input.key().as_str().to_owned()).collect();
        work.decisions.load(self, keys.iter().map(|key| self.decision_key(key))).await?;
        let facts = self.facts(&work, inputs).await?;
        work.regroup(self, &facts).await?;
        work.decide(self, &facts).await?;
        work.into_effects(self)
    }
}

/// The new truth about one message; `None`: it is gone.
type Facts = BTreeMap<String, Option<(Summary, Vec<Match>)>>;

impl MailApplier {
    fn decision_key(&self, message: &str) -> StateKey {
        StateKey::new([self.connection.as_str(), message])
    }

    fn thread_key(&self, summary: &Summary) -> Option<StateKey> {
        summary.thread.as_ref().map(|thread| StateKey::new([self.connection.as_str(), thread.as_str()]))
    }

    async fn facts(&self, work: &Work, inputs: &[Input<MailItem>]) -> Result<Facts> {
        let mut facts = Facts::new();
        let mut fresh = Vec::new();
        for input in inputs {
            let key = input.key().as_str().to_owned();
            let known = work.decisions.get(&self.decision_key(&key));
            match input {
                Input::Gone { .. } => {
                    facts.insert(key, None);
                }
                Input::Present { item: MailItem::Message(message), .. } => {
                    fresh.push((key, Summary::of(message, &self.own, &self.own_domains)));
                }
                Input::Present { item: MailItem::Flags(flags), .. } => {
                    // Unknown messages were made pending by the engine; nothing to mark here.
                    if let Some(known) = known {
                        let summary = Summary { roles: flags.roles.clone(), ..known.summary.clone() };
                        facts.insert(key, Some((summary, known.direct.clone())));
                    }
                }
            }
        }
        if !fresh.is_empty() {
            let ask = question(fresh.iter().map(|(_, summary)| summary));
            let answer = self.directory.look_up(&self.tenant, &ask).await?;
            for (key, summary) in fresh {
                let direct = direct_matches(&summary, &answer);
                facts.insert(key, Some((summary, direct)));
            }
        }
        Ok(facts)
    }
}

/// Why a message can be no activity whatever it matches.
fn barred(summary: &Summary) -> Option<SkipReason> {
    let by_role = summary.roles.iter().find_map(|role| match role {
        Role::Chat => Some(SkipReason::Chat),
        Role::Drafts => Some(SkipReason::Draft),
        Role::Junk => Some(SkipReason::Junk),
        Role::Trash => Some(SkipReason::Trash),
        Role::Inbox | Role::Sent => None,
    });
    by_role.or((!summary.external).then_some(SkipReason::Internal))
}

/// Rows read, changed in memory, and written together.
#[derive(Debug)]
struct Work {
    decisions: Rows<Decision>,
    threads: Rows<Thread>,
    activities: Rows<Activity>,
    affected: BTreeSet<String>,
}

impl Work {
    fn new(applier: &MailApplier) -> Self {
        let _ = applier;
        Self {
            decisions: Rows::new(DECISIONS),
            threads: Rows::new(THREADS),
            activities: Rows::new(ACTIVITIES),
            affected: BTreeSet::new(),
        }
    }

    /// Updates conversations; whoever is in one whose matches changed is decided again.
    async fn regroup(&mut self, applier: &MailApplier, facts: &Facts) -> Result<()> {
        let mut touched: Vec<(String, Option<StateKey>, Option<StateKey>)> = Vec::new();
        for (key, fact) in facts {
            let before =
                self.decisions.get(&applier.decision_key(key)).and_then(|old| applier.thread_key(&old.summary));
            let after = fact.as_ref().filter(|(summary, _)| barred(summary).is_none());
            let after = after.and_then(|(summary, _)| applier.thread_key(summary));
            touched.push((key.clone(), before, after));
            self.affected.insert(key.clone());
        }
        let threads = touched.iter().flat_map(|(_, before, after)| before.iter().chain(after)).cloned();
        self.threads.load(applier, threads.collect::<Vec<_>>()).await?;
        for (key, before, after) in touched {
            for thread in before.iter().chain(&after) {
                let mut row = self.threads.get(thread).cloned().unwrap_or_default();
                let old = row.clone();
                if after.as_ref() == Some(thread) && row.0.len() < THREAD_CAP {
                    let direct = facts.get(&key).and_then(Option::as_ref).map(|(_, direct)| direct.clone());
                    row.0.insert(key.clone(), direct.unwrap_or_default());
                } else {
                    row.0.remove(&key);
                }
                if row.union() != old.union() {
                    self.affected.extend(row.0.keys().cloned());
                }
                self.threads.set(thread.clone(), (!row.0.is_empty()).then_some(row));
            }
        }
        let keys: Vec<StateKey> = self.affected.iter().map(|key| applier.decision_key(key)).collect();
        self.decisions.load(applier, keys).await
    }

    async fn decide(&mut self, applier: &MailApplier, facts: &Facts) -> Result<()> {
        let affected: Vec<String> = self.affected.iter().cloned().collect();
        let mut activities = BTreeSet::new();
        for key in &affected {
            let old = self.decisions.get(&applier.decision_key(key)).map(|old| old.summary.identity.clone());
            let new = facts.get(key).and_then(Option::as_ref).map(|(summary, _)| summary.identity.clone());
            activities.extend(old.into_iter().chain(new));
        }
        self.activities.load(applier, activities.iter().map(|id| StateKey::new([id])).collect::<Vec<_>>()).await?;
        for key in &affected {
            self.settle(applier, key, facts.get(key));
        }
        self.elect(applier, &activities).await
    }

    /// Decides one message and enters it into, or strikes it from, its activity.
    fn settle(&mut self, applier: &MailApplier, key: &str, fact: Option<&Option<(Summary, Vec<Match>)>>) {
        let row = applier.decision_key(key);
        let old = self.decisions.get(&row).cloned();
        if let Some(old) = &old {
            self.strike(applier, key, &old.summary.identity);
        }
        let Some((summary, direct)) = fact.map_or_else(|| old.map(|old| (old.summary, old.direct)), Clone::clone)
        else {
            self.decisions.set(row, None);
            return;
        };
        let barred = barred(&summary);
        // Only members of a conversation follow it: a barred message would keep what matched when it was last looked at.
        let thread = applier.thread_key(&summary).filter(|_| barred.is_none()).and_then(|key| self.threads.get(&key));
        let matches = with_thread(&direct, thread.iter().flat_map(|thread| thread.0.values().flatten()));
        let reason = barred.or_else(|| matches.is_empty().then_some(SkipReason::NoMatch));
        let outcome = match reason {
            Some(reason) => Outcome::Skipped { reason },
            None => {
                let id = ActivityId::new(summary.identity.clone());
                self.enter(applier, key, &summary, &matches);
                Outcome::Logged { activity: id }
            }
        };
        self.decisions.set(row, Some(Decision { outcome, summary, direct, matches }));
    }

    fn strike(&mut self, applier: &MailApplier, key: &str, identity: &str) {
        let row = StateKey::new([identity]);
        let Some(activity) = self.activities.get_mut(&row) else { return };
        if let Some(copies) = activity.sightings.get_mut(&applier.connection) {
            copies.remove(key);
            if copies.is_empty() {
                activity.sightings.remove(&applier.connection);
            }
        }
    }

    fn enter(&mut self, applier: &MailApplier, key: &str, summary: &Summary, matches: &[Match]) {
        let row = StateKey::new([&summary.identity]);
        let activity = self.activities.get_or_insert_with(row, || Activity {
            id: ActivityId::new(summary.identity.clone()),
            summary: summary.clone(),
            matches: Vec::new(),
            sightings: BTreeMap::new(),
        });
        let sighting = Sighting { summary: summary.clone(), matches: matches.to_vec() };
        activity.sightings.entry(applier.connection.clone()).or_default().insert(key.to_owned(), sighting);
    }

    /// Chooses which copy an activity shows, and marks this mailbox's other copies as duplicates.
    async fn elect(&mut self, applier: &MailApplier, identities: &BTreeSet<String>) -> Result<()> {
        for identity in identities {
            let row = StateKey::new([identity]);
            let Some(activity) = self.activities.get_mut(&row) else { continue };
            if !activity.settle() {
                self.activities.set(row, None);
                continue;
            }
            let id = activity.id.clone();
            let here: Vec<String> =
                activity.sightings.get(&applier.connection).into_iter().flatten().map(|(key, _)| key.clone()).collect();
            self.decisions.load(applier, here.iter().map(|key| applier.decision_key(key)).collect::<Vec<_>>()).await?;
            for (index, key) in here.iter().enumerate() {
                let at = applier.decision_key(key);
                let Some(decision) = self.decisions.get_mut(&at) else { continue };
                decision.outcome = if index == 0 {
                    Outcome::Logged { activity: id.clone() }
                } else {
                    Outcome::Skipped { reason: SkipReason::Duplicate }
                };
            }
        }
        Ok(())
    }

    fn into_effects(self, applier: &MailApplier) -> Result<Effects> {
        let mut effects = Effects::default();
        for (key, decision) in self.decisions.changed() {
            let message = key.segments().pop().unwrap_or_default();
            effects.outcomes.push((message, decision.map(|decision| decision.outcome.clone())));
        }
        // Activities belong to all mailboxes of the tenant: another one may have written meanwhile.
        self.activities.write(applier, true, &mut effects.writes)?;
        self.decisions.write(applier, false, &mut effects.writes)?;
        self.threads.write(applier, false, &mut effects.writes)?;
        for (key, activity) in self.activities.into_changed() {
            let id = ActivityId::new(key.segments().pop().unwrap_or_default());
            effects.changes.push(match activity {
                Some(activity) => ActivityChange::Upserted { activity: Box::new(activity) },
                None => ActivityChange::Removed { id },
            });
        }
        Ok(effects)
    }
}

/// A row as read, and as it is to be.
#[derive(Debug)]
struct Row<T> {
    version: Option<u64>,
    before: Option<T>,
    now: Option<T>,
}

/// Rows of one space.
#[derive(Debug)]
struct Rows<T> {
    space: Space,
    rows: BTreeMap<StateKey, Row<T>>,
}

impl<T: Clone + PartialEq + Serialize + DeserializeOwned> Rows<T> {
    fn new(space: Space) -> Self {
        Self { space, rows: BTreeMap::new() }
    }

    async fn load(&mut self, applier: &MailApplier, keys: impl IntoIterator<Item = StateKey> + Send) -> Result<()> {
        let keys: BTreeSet<StateKey> = keys.into_iter().filter(|key| !self.rows.contains_key(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let wanted = keys.iter().cloned().collect();
        let query = StateQuery::Keys { tenant: applier.tenant.clone(), space: self.space, keys: wanted };
        for row in applier.store.read(&query).await? {
            let value: T = serde_json::from_slice(&row.bytes).map_err(|error| unreadable(self.space, error))?;
            let entry = Row { version: Some(row.version), before: Some(value.clone()), now: Some(value) };
            self.rows.insert(row.key, entry);
        }
        for key in keys {
            self.rows.entry(key).or_insert(Row { version: None, before: None, now: None });
        }
        Ok(())
    }

    fn get(&self, key: &StateKey) -> Option<&T> {
        self.rows.get(key).and_then(|row| row.now.as_ref())
    }

    fn get_mut(&mut self, key: &StateKey) -> Option<&mut T> {
        self.rows.get_mut(key).and_then(|row| row.now.as_mut())
    }

    fn get_or_insert_with(&mut self, key: StateKey, value: impl FnOnce() -> T) -> &mut T {
        let row = self.rows.entry(key).or_insert(Row { version: None, before: None, now: None });
        row.now.get_or_insert_with(value)
    }

    fn set(&mut self, key: StateKey, value: Option<T>) {
        self.rows.entry(key).or_insert(Row { version: None, before: None, now: None }).now = value;
    }

    fn changed(&self) -> impl Iterator<Item = (&StateKey, Option<&T>)> {
        self.rows.iter().filter(|(_, row)| row.before != row.now).map(|(key, row)| (key, row.now.as_ref()))
    }

    fn into_changed(self) -> impl Iterator<Item = (StateKey, Option<T>)> {
        self.rows.into_iter().filter(|(_, row)| row.before != row.now).map(|(key, row)| (key, row.now))
    }

    fn write(&self, applier: &MailApplier, guarded: bool, into: &mut Vec<StateWrite>) -> Result<()> {
        for (key, row) in self.rows.iter().filter(|(_, row)| row.before != row.now) {
            let write = match &row.now {
                None => StateWrite::delete(&applier.tenant, self.space, key.clone()),
                Some(value) => {
                    let bytes = serde_json::to_vec(value).map_err(|error| unreadable(self.space, error))?;
                    StateWrite::put(&applier.tenant, self.space, key.clone(), bytes)
                }
            };
            let expect = row.version.map_or(Expect::Absent, Expect::Version);
            into.push(if guarded { write.expecting(expect) } else { write });
        }
        Ok(())
    }
}

fn unreadable(space: Space, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Store, format!("a stored row of {space} cannot be read; was it written by another version?"))
        .with_source(error)
}
