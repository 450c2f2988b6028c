//! From messages to activities and decisions.
//!
//! The result for a message depends only on the message, the directory, the policy, what somebody decided, and the messages
//! of its conversation, never on the order in which they came: a process that is killed and started again ends with the
//! same rows. (Of a conversation of more than 500 messages, the first 500 to come speak for it.)

mod rows;
mod standing;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::work::Work;
#[cfg(feature = "oauth")]
pub(crate) use self::work::{participant_keys, review};
use super::{
    directory::{Directory, DirectoryAnswer, DirectoryQuery},
    identify::{Identification, identify_with},
    lists::NameLists,
    matching::{AnswerIndex, Findings, question},
    model::SkipReason,
    policy::{Bulk, Logging, MailPolicy},
    summary::Summary,
};
use crate::{
    clock::Clock,
    contain::contained,
    email::{Direction, MailFlags, MailItem, MailKind, Role},
    error::Result,
    ids::{ActivityId, ConnectionId, ItemKey, TenantId},
    outbox::{Observed, Sight, observe},
    store::{Space, StateKey, StateQuery, SyncStore},
    sync::engine::{Applier, Effects, Input, Standing},
};

/// The families of rows of this room.
pub(crate) mod spaces {
    use crate::store::Space;

    pub(crate) const ACTIVITIES: Space = "activity";
    pub(crate) const DECISIONS: Space = "decision";
    /// Messages that are gone at the service: the answer to "why is it not on the timeline".
    pub(crate) const GONE: Space = "gone";
    /// `Message-ID` to the service's id.
    pub(crate) const MESSAGE_IDS: Space = "message_id";
    /// Address, domain or reference to the messages that have to be looked at when the directory changes there.
    pub(crate) const PARTICIPANTS: Space = "participant";
    pub(crate) const POLICIES: Space = "policy";
    pub(crate) const REVIEWS: Space = "review";
    pub(crate) const SUGGESTIONS: Space = "suggestion";
    pub(crate) const THREADS: Space = "thread";
    pub(crate) const VERDICTS: Space = "verdict";
}

/// Applies mail of one connection.
#[derive(Debug)]
pub(crate) struct MailApplier {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    pub(crate) own: Vec<String>,
    pub(crate) own_domains: Vec<String>,
    pub(crate) lists: Arc<NameLists>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) store: Arc<dyn SyncStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long the host's directory may take.
    pub(crate) patience: Duration,
    pub(crate) seen: Seen,
}

/// What is read once for a slice. A change meanwhile has everything that it touches decided anew after the slice.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    policy: OnceCell<MailPolicy>,
    has_verdicts: OnceCell<bool>,
}

/// The policy in force for a mailbox: its own, else the tenant's, else the default.
pub(crate) async fn policy_of(store: &dyn SyncStore, tenant: &TenantId, id: &ConnectionId) -> Result<MailPolicy> {
    let keys = vec![policy_key(None), policy_key(Some(id))];
    let query = StateQuery::Keys { tenant: tenant.clone(), space: spaces::POLICIES, keys };
    let mailbox = policy_key(Some(id));
    let rows = store.read(&query).await?;
    let row = rows.iter().find(|row| row.key == mailbox).or(rows.first());
    row.map_or_else(|| Ok(MailPolicy::default()), |row| crate::sync::rows::decode(spaces::POLICIES, &row.bytes))
}

/// Where a policy is stored: the tenant's, or a mailbox's own.
pub(crate) fn policy_key(mailbox: Option<&ConnectionId>) -> StateKey {
    mailbox.map_or_else(|| StateKey::new(["tenant"]), |id| StateKey::new(["mailbox", id.as_str()]))
}

/// The new truth about one message.
#[derive(Clone, Debug)]
struct Fact {
    summary: Summary,
    direct: Findings,
    suggested: BTreeSet<String>,
    purged: bool,
}

/// By message; `None`: it is gone.
type Facts = BTreeMap<String, Option<Fact>>;

/// Why a message can be no activity whatever it matches, and by which rule.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) reason: SkipReason,
    pub(super) rule: Option<String>,
}

#[async_trait]
impl Applier<MailItem> for MailApplier {
    async fn prepare(&self, inputs: &[Input<MailItem>]) -> Result<Effects> {
        // What is decided anew because of a change must see that change, whenever in the slice it came.
        let again = inputs.iter().any(|input| matches!(input, Input::Again { .. } | Input::Restored { .. }));
        let (fresh, kept) = (Seen::default(), &self.seen);
        let seen = if again { &fresh } else { kept };
        let policy = self.policy(seen).await?;
        let mut work = Work::new(self, policy, self.has_verdicts(seen).await?);
        let keys: Vec<String> = inputs.iter().map(|input| input.key().as_str().to_owned()).collect();
        work.load_decisions(keys.iter().map(String::as_str)).await?;
        work.restore(inputs);
        let mut facts = self.facts(&work, policy, inputs).await?;
        let seen = self.sent(inputs, &mut facts).await?;
        work.regroup(&facts).await?;
        work.decide(&facts).await?;
        let mut effects = work.into_effects()?;
        effects.writes.extend(seen.writes);
        effects.told = seen.told;
        Ok(effects)
    }

    fn decided(&self) -> Space {
        spaces::DECISIONS
    }

    async fn standing(&self, items: &[ItemKey]) -> Result<BTreeMap<ItemKey, Standing>> {
        self.standings(items).await
    }
}

impl MailApplier {
    async fn policy<'a>(&self, seen: &'a Seen) -> Result<&'a MailPolicy> {
        seen.policy.get_or_try_init(|| policy_of(&*self.store, &self.tenant, &self.connection)).await
    }

    /// Was anything decided by a person at all?
    async fn has_verdicts(&self, seen: &Seen) -> Result<bool> {
        let count = async || {
            let (tenant, prefix) = (self.tenant.clone(), String::new());
            let any = StateQuery::Range { tenant, space: spaces::VERDICTS, prefix, after: None, limit: 1 };
            Ok(!self.store.read(&any).await?.is_empty())
        };
        seen.has_verdicts.get_or_try_init(count).await.copied()
    }

    fn decision_key(&self, message: &str) -> StateKey {
        StateKey::new([self.connection.as_str(), message])
    }

    fn thread_key(&self, summary: &Summary) -> Option<StateKey> {
        summary.thread.as_ref().map(|thread| StateKey::new([self.connection.as_str(), thread.as_str()]))
    }

    async fn facts(&self, work: &Work<'_>, policy: &MailPolicy, inputs: &[Input<MailItem>]) -> Result<Facts> {
        let mut facts = Facts::new();
        let mut fresh: Vec<(String, Summary, bool)> = Vec::new();
        for input in inputs {
            let key = input.key().as_str().to_owned();
            let known = work.decision(&key);
            match input {
                Input::Gone { .. } => drop(facts.insert(key, None)),
                Input::Present { item: MailItem::Message(message), .. } => {
                    fresh.push((key, Summary::of(message, &self.own, &self.own_domains), false));
                }
                // Unknown messages were made pending by the engine; nothing to mark here.
                Input::Present { item: MailItem::Flags(MailFlags { roles, .. }) | MailItem::Roles(roles), .. } => {
                    let Some(known) = known else { continue };
                    let summary = Summary { roles: roles.clone(), ..known.summary.clone() };
                    if barred(&summary, policy).map(|bar| bar.reason)
                        == barred(&known.summary, policy).map(|bar| bar.reason)
                    {
                        let (direct, suggested) = (known.direct.clone(), known.suggested.clone());
                        facts.insert(key, Some(Fact { summary, direct, suggested, purged: known.purged }));
                    } else {
                        fresh.push((key, summary, known.purged));
                    }
                }
                // What came with it says more.
                Input::Restored { key } if came(inputs, key) => {}
                Input::Again { .. } | Input::Restored { .. } => {
                    let Some(known) = known else { continue };
                    let mut summary = known.summary.clone();
                    summary.separate(&self.own, &self.own_domains);
                    fresh.push((key, summary, known.purged));
                }
            }
        }
        if !fresh.is_empty() {
            let answer = self.look_up(&question(fresh.iter().map(|(_, summary, _)| summary))).await?;
            let index = AnswerIndex::new(&answer);
            for (key, summary, purged) in fresh {
                facts.insert(key, Some(self.fact(summary, purged, policy, &answer, &index)));
            }
        }
        Ok(facts)
    }

    /// What of a batch the outbox sent, or answers that.
    async fn sent(&self, inputs: &[Input<MailItem>], facts: &mut Facts) -> Result<Observed> {
        let sights: Vec<Sight<'_>> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Present { key, item: MailItem::Message(message) } => {
                    let fact = facts.get(key.as_str())?.as_ref()?;
                    Some((key.as_str(), &**message, &fact.summary))
                }
                _ => None,
            })
            .collect();
        let place = (&*self.store, &self.tenant);
        let seen = observe(place, &self.connection, &sights, self.clock.now()).await?;
        for (message, intent) in &seen.ours {
            if let Some(Some(fact)) = facts.get_mut(message) {
                fact.summary.intent = Some(intent.clone());
            }
        }
        Ok(seen)
    }

    async fn look_up(&self, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        contained("directory", self.patience, self.directory.look_up(&self.tenant, ask)).await
    }

    fn fact(
        &self,
        mut summary: Summary,
        purged: bool,
        policy: &MailPolicy,
        answer: &DirectoryAnswer,
        index: &AnswerIndex<'_>,
    ) -> Fact {
        if !policy.never_log.erased.is_empty() {
            summary.blank(|address| policy.never_log.is_erased(address));
        }
        let Identification { findings, suggested, skip, .. } =
            identify_with(&summary, answer, index, policy, &self.lists);
        let forbidden = skip == Some(SkipReason::NeverLog);
        if forbidden {
            summary.purge();
        }
        summary.trim(policy.keep, policy.suggest);
        Fact { summary, direct: findings, suggested, purged: purged || forbidden }
    }
}

/// Is the item itself among what is to be applied?
fn came(inputs: &[Input<MailItem>], key: &ItemKey) -> bool {
    inputs
        .iter()
        .any(|input| matches!(input, Input::Present { key: other, .. } | Input::Gone { key: other } if other == key))
}

/// Why a message can be no activity whatever it matches.
pub(super) fn barred(summary: &Summary, policy: &MailPolicy) -> Option<Bar> {
    let bar = |reason, rule: Option<String>| Some(Bar { reason, rule });
    for role in &summary.roles {
        match role {
            Role::Chat => return bar(SkipReason::Chat, None),
            Role::Drafts => return bar(SkipReason::Draft, None),
            Role::Junk => return bar(SkipReason::Junk, None),
            Role::Trash => return bar(SkipReason::Trash, None),
            Role::Inbox | Role::Sent => {}
        }
    }
    // Where nobody is named at all nothing says that it is only among our own.
    if !summary.external && !summary.people.is_empty() {
        return bar(SkipReason::Internal, None);
    }
    if let Some(rule) = policy.never_log.rule(&summary.others) {
        return bar(SkipReason::NeverLog, Some(rule));
    }
    if policy.logging == Logging::Off {
        return bar(SkipReason::LoggingOff, Some("logging:off".to_owned()));
    }
    let inbound = summary.direction != Some(Direction::Outbound);
    if policy.bulk == Bulk::Skip && inbound && summary.is_bulk() {
        let evidence = summary.kinds.get(&MailKind::Bulk).or(summary.kinds.get(&MailKind::List));
        return bar(SkipReason::Bulk, evidence.map(|evidence| format!("bulk:{evidence}")));
    }
    None
}

/// What an activity is called that a message belongs to.
fn activity_of(summary: &Summary) -> ActivityId {
    ActivityId::new(summary.identity.clone())
}
