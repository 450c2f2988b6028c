//! Deciding a batch: conversations, decisions, activities and what is derived from them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Bar, Fact, Facts, MailApplier, activity_of, barred,
    rows::{Rows, put},
    spaces,
};
use crate::{
    activity::{
        matching::{Findings, Match, MatchTarget, domain, settled, strongest, without_tag},
        model::{Activity, ActivityChange, Decision, Outcome, Sighting, SkipReason},
        policy::{Logging, MailPolicy},
        review::{Review, ReviewSubject, Verdicts},
        suggestion::Suggestion,
        summary::Summary,
    },
    email::{Direction, MailItem},
    error::Result,
    ids::{ActivityId, ConnectionId, MessageId, TenantId},
    store::{Space, StateKey, StateWrite, SyncStore},
    sync::engine::{Effects, Input},
};

/// Conversations longer than this stop growing: what they match is known by then.
const THREAD_CAP: usize = 500;

/// What each message of a conversation matches by itself, and whether the owner wrote it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Thread(BTreeMap<String, ThreadMember>);

#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
struct ThreadMember {
    matches: Vec<Match>,
    outbound: bool,
}

impl Thread {
    /// Does it count the message as it was decided, or is it too long to count it?
    pub(super) fn follows(&self, message: &str, decision: &Decision) -> bool {
        let outbound = decision.summary.direction == Some(Direction::Outbound);
        self.0.get(message).map_or(self.0.len() >= THREAD_CAP, |member| {
            member.outbound == outbound && member.matches == decision.direct.matches
        })
    }

    /// What the others of the conversation depend on.
    fn essence(&self) -> (BTreeSet<&MatchTarget>, bool) {
        (self.matches().map(|found| &found.target).collect(), self.has_outbound())
    }

    fn matches(&self) -> impl Iterator<Item = &Match> {
        self.0.values().flat_map(|member| &member.matches)
    }

    fn has_outbound(&self) -> bool {
        self.0.values().any(|member| member.outbound)
    }
}

/// Rows read, changed in memory, and written together.
#[derive(Debug)]
pub(super) struct Work<'a> {
    applier: &'a MailApplier,
    policy: &'a MailPolicy,
    /// Did a person decide anything at all?
    has_verdicts: bool,
    decisions: Rows<Decision>,
    threads: Rows<Thread>,
    activities: Rows<Activity>,
    suggestions: Rows<Suggestion>,
    verdicts: Rows<Verdicts>,
    affected: BTreeSet<String>,
    gone: Vec<String>,
    /// Messages all of whose index rows are written, changed or not.
    restored: BTreeSet<String>,
}

impl<'a> Work<'a> {
    pub(super) fn new(applier: &'a MailApplier, policy: &'a MailPolicy, has_verdicts: bool) -> Self {
        Self {
            applier,
            policy,
            has_verdicts,
            decisions: Rows::new(spaces::DECISIONS),
            threads: Rows::new(spaces::THREADS),
            activities: Rows::new(spaces::ACTIVITIES),
            suggestions: Rows::new(spaces::SUGGESTIONS),
            verdicts: Rows::new(spaces::VERDICTS),
            affected: BTreeSet::new(),
            gone: Vec::new(),
            restored: BTreeSet::new(),
        }
    }

    pub(super) fn restore(&mut self, inputs: &[Input<MailItem>]) {
        let restored = inputs.iter().filter(|input| matches!(input, Input::Restored { .. }));
        self.restored.extend(restored.map(|input| input.key().as_str().to_owned()));
    }

    fn place(&self) -> (&'a dyn SyncStore, &'a TenantId) {
        (&*self.applier.store, &self.applier.tenant)
    }

    pub(super) fn decision(&self, message: &str) -> Option<&Decision> {
        self.decisions.get(&self.applier.decision_key(message))
    }

    pub(super) async fn load_decisions(&mut self, messages: impl Iterator<Item = &str> + Send) -> Result<()> {
        let (place, applier) = (self.place(), self.applier);
        let keys: Vec<StateKey> = messages.map(|message| applier.decision_key(message)).collect();
        self.decisions.load(place, keys).await
    }

    /// Updates conversations; whoever is in one whose essence changed is decided again.
    pub(super) async fn regroup(&mut self, facts: &Facts) -> Result<()> {
        let applier = self.applier;
        let mut touched: Vec<(String, Option<StateKey>, Option<StateKey>)> = Vec::new();
        for (key, fact) in facts {
            let before = self.decision(key).and_then(|old| applier.thread_key(&old.summary));
            let after = fact.as_ref().filter(|fact| barred(&fact.summary, self.policy).is_none());
            let after = after.and_then(|fact| applier.thread_key(&fact.summary));
            touched.push((key.clone(), before, after));
            self.affected.insert(key.clone());
            self.gone.extend(fact.is_none().then(|| key.clone()));
        }
        let threads = touched.iter().flat_map(|(_, before, after)| before.iter().chain(after)).cloned();
        self.threads.load(self.place(), threads.collect::<Vec<_>>()).await?;
        for (key, before, after) in touched {
            for thread in before.iter().chain(&after) {
                let mut row = self.threads.get(thread).cloned().unwrap_or_default();
                let old = row.clone();
                if after.as_ref() == Some(thread) && (row.0.len() < THREAD_CAP || row.0.contains_key(&key)) {
                    row.0.insert(key.clone(), facts.get(&key).and_then(Option::as_ref).map(member).unwrap_or_default());
                } else {
                    row.0.remove(&key);
                }
                if row.essence() != old.essence() {
                    self.affected.extend(row.0.keys().cloned());
                }
                self.threads.set(thread.clone(), (!row.0.is_empty()).then_some(row));
            }
        }
        let keys: Vec<StateKey> = self.affected.iter().map(|key| applier.decision_key(key)).collect();
        self.decisions.load(self.place(), keys).await
    }

    pub(super) async fn decide(&mut self, facts: &Facts) -> Result<()> {
        let affected: Vec<String> = self.affected.iter().cloned().collect();
        self.load_related(&affected, facts).await?;
        let mut activities = BTreeSet::new();
        for key in &affected {
            let old = self.decision(key).map(|old| activity_of(&old.summary));
            let new = facts.get(key).and_then(Option::as_ref).map(|fact| activity_of(&fact.summary));
            activities.extend(old.into_iter().chain(new));
        }
        let keys: Vec<StateKey> = activities.iter().map(|id| StateKey::new([id])).collect();
        self.activities.load(self.place(), keys).await?;
        for key in &affected {
            self.settle(key, facts.get(key));
        }
        self.elect(&activities).await
    }

    /// What was decided about the messages and their people, and the suggestions they touch.
    async fn load_related(&mut self, affected: &[String], facts: &Facts) -> Result<()> {
        let (mut verdicts, mut suggestions) = (BTreeSet::new(), BTreeSet::new());
        for key in affected {
            let old = self.decision(key);
            suggestions.extend(old.into_iter().flat_map(|old| &old.suggested).cloned());
            let fact = facts.get(key).and_then(Option::as_ref);
            suggestions.extend(fact.into_iter().flat_map(|fact| &fact.suggested).cloned());
            let summary = fact.map(|fact| &fact.summary).or(old.map(|old| &old.summary));
            if let Some(summary) = summary {
                verdicts.insert(StateKey::new(ReviewSubject::Activity(activity_of(summary)).key()));
                let addresses = summary.others.iter().map(|one| ReviewSubject::Address(one.clone()));
                verdicts.extend(addresses.map(|subject| StateKey::new(subject.key())));
            }
        }
        if self.has_verdicts {
            self.verdicts.load(self.place(), verdicts).await?;
        }
        self.suggestions.load(self.place(), suggestions.into_iter().map(|one| StateKey::new([one]))).await
    }

    fn verdicts_on(&self, summary: &Summary) -> Verdicts {
        let on = |subject: ReviewSubject| self.verdicts.get(&StateKey::new(subject.key()));
        let mut all = on(ReviewSubject::Activity(activity_of(summary))).cloned().unwrap_or_default();
        for verdicts in summary.others.iter().filter_map(|one| on(ReviewSubject::Address(one.clone()))) {
            all.widen(verdicts);
        }
        all
    }

    /// Decides one message and enters it into, or strikes it from, its activity.
    fn settle(&mut self, key: &str, fact: Option<&Option<Fact>>) {
        let row = self.applier.decision_key(key);
        let old = self.decisions.get(&row).cloned();
        if let Some(old) = &old {
            self.strike(key, &old.summary.identity);
        }
        let again = |old: Decision| Fact {
            summary: old.summary,
            direct: old.direct,
            suggested: old.suggested,
            purged: old.purged,
        };
        let before = old.as_ref().map(|old| old.suggested.clone()).unwrap_or_default();
        let Some(fact) = fact.map_or_else(|| old.map(again), Clone::clone) else {
            self.suggest(key, &before, None);
            self.decisions.set(row, None);
            return;
        };
        self.suggest(key, &before, Some(&fact));
        let (bar, findings) = self.judge(&fact);
        let outcome = match &bar {
            Some(bar) => Outcome::Skipped { reason: bar.reason },
            None => {
                self.enter(key, &fact.summary, &findings);
                Outcome::Logged { activity: activity_of(&fact.summary) }
            }
        };
        let Fact { summary, direct, suggested, purged } = fact;
        let (rule, matches) = (bar.and_then(|bar| bar.rule), findings.matches);
        let decision = Decision { outcome, rule, duplicate_of: None, purged, summary, suggested, direct, matches };
        self.decisions.set(row, Some(decision));
    }

    /// Why a message is not shown, if it is not, and what it matches.
    fn judge(&self, fact: &Fact) -> (Option<Bar>, Findings) {
        let bar = barred(&fact.summary, self.policy);
        // Only members of a conversation follow it: a barred message would keep what matched when it was last looked at.
        let thread = self.applier.thread_key(&fact.summary).filter(|_| bar.is_none());
        let thread = thread.and_then(|key| self.threads.get(&key));
        let inherited = thread.into_iter().flat_map(Thread::matches);
        let findings = settled(&fact.direct, inherited, &self.verdicts_on(&fact.summary));
        let outbound = fact.summary.direction == Some(Direction::Outbound);
        let answered = outbound || thread.is_some_and(Thread::has_outbound);
        let bar = bar.or_else(|| {
            if findings.matches.is_empty() {
                return Some(Bar { reason: SkipReason::NoMatch, rule: None });
            }
            let alone = self.policy.logging == Logging::RepliesOnly && !answered;
            alone.then(|| Bar { reason: SkipReason::NoReply, rule: Some("logging:replies_only".to_owned()) })
        });
        (bar, findings)
    }

    fn suggest(&mut self, key: &str, before: &BTreeSet<String>, fact: Option<&Fact>) {
        let (connection, message) = (&self.applier.connection, MessageId::new(key));
        let now = fact.map(|fact| fact.suggested.clone()).unwrap_or_default();
        for address in before.union(&now) {
            let row = StateKey::new([address]);
            let mut suggestion = self.suggestions.get(&row).cloned().unwrap_or_default();
            match fact.filter(|_| now.contains(address)) {
                Some(fact) => suggestion.meet(address, &fact.summary, connection, key),
                None => suggestion.forget(connection, &message),
            }
            self.suggestions.set(row, (!suggestion.is_empty()).then_some(suggestion));
        }
    }

    fn strike(&mut self, key: &str, identity: &str) {
        let row = StateKey::new([identity]);
        let Some(activity) = self.activities.get_mut(&row) else { return };
        if let Some(copies) = activity.sightings.get_mut(&self.applier.connection) {
            copies.remove(key);
            if copies.is_empty() {
                activity.sightings.remove(&self.applier.connection);
            }
        }
    }

    fn enter(&mut self, key: &str, summary: &Summary, findings: &Findings) {
        let row = StateKey::new([&summary.identity]);
        let activity = self.activities.get_or_insert_with(row, || Activity {
            id: activity_of(summary),
            summary: summary.clone(),
            matches: Vec::new(),
            sightings: BTreeMap::new(),
        });
        let sighting = Sighting {
            summary: summary.clone(),
            matches: findings.matches.clone(),
            doubtful: findings.doubtful.clone(),
            visibility: self.policy.visibility,
        };
        let connection: ConnectionId = self.applier.connection.clone();
        activity.sightings.entry(connection).or_default().insert(key.to_owned(), sighting);
    }

    /// Chooses which copy an activity shows, and marks this mailbox's other copies as duplicates.
    async fn elect(&mut self, identities: &BTreeSet<ActivityId>) -> Result<()> {
        for identity in identities {
            let row = StateKey::new([identity]);
            let Some(activity) = self.activities.get_mut(&row) else { continue };
            if !activity.settle() {
                self.activities.set(row, None);
                continue;
            }
            let copies = activity.sightings.get(&self.applier.connection).into_iter().flatten();
            let here: Vec<String> = copies.map(|(key, _)| key.clone()).collect();
            self.load_decisions(here.iter().map(String::as_str)).await?;
            for (index, key) in here.iter().enumerate() {
                let at = self.applier.decision_key(key);
                let Some(decision) = self.decisions.get_mut(&at) else { continue };
                decision.outcome = if index == 0 {
                    Outcome::Logged { activity: identity.clone() }
                } else {
                    Outcome::Skipped { reason: SkipReason::Duplicate }
                };
                decision.duplicate_of = here.first().filter(|_| index > 0).cloned();
            }
        }
        Ok(())
    }

    pub(super) fn into_effects(self) -> Result<Effects> {
        let (applier, mut effects) = (self.applier, Effects::default());
        for (key, before, now) in self.decisions.changed() {
            let message = key.segments().pop().unwrap_or_default();
            effects.writes.extend(index_writes(applier, &message, before, now));
            effects.outcomes.push((message, now.map(|decision| decision.outcome.clone())));
        }
        effects.writes.extend(self.relisted(&effects.writes));
        let tenant = &applier.tenant;
        let tombstone = |message: &String| StateKey::new([applier.connection.as_str(), message]);
        let gone = self.gone.iter().map(|message| StateWrite::put(tenant, spaces::GONE, tombstone(message), "1"));
        effects.writes.extend(gone);
        // Activities and suggestions belong to all mailboxes of the tenant: another one may have written meanwhile.
        self.activities.write(tenant, true, &mut effects.writes)?;
        for (key, before, now) in self.activities.changed() {
            // An activity has an entry on the review list exactly if its copies say so: its row guards both.
            let (old, new) = (before.and_then(review), now.and_then(review));
            if old != new {
                effects.writes.push(match new {
                    Some(review) => put(tenant, spaces::REVIEWS, key.clone(), &review)?,
                    None => StateWrite::delete(tenant, spaces::REVIEWS, key.clone()),
                });
            }
        }
        self.suggestions.write(tenant, true, &mut effects.writes)?;
        self.decisions.write(tenant, false, &mut effects.writes)?;
        self.threads.write(tenant, false, &mut effects.writes)?;
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

impl Work<'_> {
    /// The index rows of what is restored that are not written anyway.
    fn relisted(&self, writes: &[StateWrite]) -> Vec<StateWrite> {
        let written: BTreeSet<(Space, &StateKey)> = writes.iter().map(|write| (write.space, &write.key)).collect();
        let decided = self.restored.iter().filter_map(|message| Some((message, self.decision(message)?)));
        let keys = decided.flat_map(|(message, one)| index_keys(&self.applier.connection, message, &one.summary));
        let lost = keys.filter(|(space, key)| !written.contains(&(*space, key)));
        lost.map(|(space, key)| StateWrite::put(&self.applier.tenant, space, key, "1")).collect()
    }
}

fn member(fact: &Fact) -> ThreadMember {
    let outbound = fact.summary.direction == Some(Direction::Outbound);
    ThreadMember { matches: fact.direct.matches.clone(), outbound }
}

/// What there is to decide about an activity, over all its copies.
pub(crate) fn review(activity: &Activity) -> Option<Review> {
    let copies = || activity.sightings.values().flat_map(BTreeMap::values);
    let candidates = strongest(copies().flat_map(|copy| copy.doubtful.iter().cloned()).collect());
    let addresses: BTreeSet<String> = copies().flat_map(|copy| copy.summary.others.iter().cloned()).collect();
    (!candidates.is_empty()).then(|| Review {
        activity: activity.id.clone(),
        subject: activity.summary.subject.clone(),
        addresses: addresses.into_iter().collect(),
        candidates,
    })
}

/// Keeps the indexes of a message in step with its decision.
fn index_writes(
    applier: &MailApplier,
    message: &str,
    before: Option<&Decision>,
    now: Option<&Decision>,
) -> Vec<StateWrite> {
    let keys = |decision: Option<&Decision>| {
        decision.map(|decision| participant_keys(&applier.connection, message, &decision.summary)).unwrap_or_default()
    };
    let (old, new) = (keys(before), keys(now));
    let tenant = &applier.tenant;
    let gone = old.difference(&new).map(|key| StateWrite::delete(tenant, spaces::PARTICIPANTS, key.clone()));
    let come = new.difference(&old).map(|key| StateWrite::put(tenant, spaces::PARTICIPANTS, key.clone(), "1"));
    let mut writes: Vec<StateWrite> = gone.chain(come).collect();
    let id = |decision: Option<&Decision>| decision.and_then(|decision| decision.summary.message_id.clone());
    if let Some(id) = id(now).filter(|_| id(before) != id(now)) {
        let key = StateKey::new([applier.connection.as_str(), &id, message]);
        writes.push(StateWrite::put(tenant, spaces::MESSAGE_IDS, key, "1"));
    }
    writes
}

/// Where a message is listed: for a directory's changes, and by its `Message-ID`.
pub(super) fn index_keys(connection: &ConnectionId, message: &str, summary: &Summary) -> Vec<(Space, StateKey)> {
    let people = participant_keys(connection, message, summary).into_iter().map(|key| (spaces::PARTICIPANTS, key));
    let id = summary.message_id.as_ref().map(|id| StateKey::new([connection.as_str(), id, message]));
    people.chain(id.map(|key| (spaces::MESSAGE_IDS, key))).collect()
}

/// What of a directory's changes concerns a message.
pub(crate) fn participant_keys(connection: &ConnectionId, message: &str, summary: &Summary) -> BTreeSet<StateKey> {
    let mut names: BTreeSet<String> = summary.tokens.iter().map(|token| format!("#{token}")).collect();
    for address in &summary.others {
        names.extend(without_tag(address));
        names.extend(domain(address).map(|domain| format!("@{domain}")));
        names.insert(address.clone());
    }
    names.iter().map(|name| StateKey::new([name.as_str(), connection.as_str(), message])).collect()
}
