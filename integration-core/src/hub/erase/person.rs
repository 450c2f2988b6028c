//! Erasing somebody who wrote, was written to, or is mentioned.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::{Afterwards, ErasePerson, Erased, mention::Mentions};
use crate::{
    activity::{
        Activity, ActivityChange, BATCHES, Batch, Decision, Findings, MailPolicy, Outcome, SkipReason,
        participant_keys, policy_key, review, spaces,
    },
    error::{ErrorKind, Result},
    hub::{Hub, choices::put, read::decoded},
    ids::{ConnectionId, TenantId},
    store::{Expect, LeaseGuard, Space, StateKey, StateQuery, StateRow, StateWrite, read_one},
    sync::{
        Job,
        engine::WalkRow,
        rows::{MEMBERS, MemberRow, QUARANTINE, QuarantineRow, WALKS},
    },
    vault::SealContext,
};

/// Rows looked at in one step: one transaction each.
const PAGE: usize = 200;
/// Families without a form of their own in here: a row whose key names the person goes, others are blanked.
const PLAIN: [Space; 10] = [
    "authorisation",
    "health",
    spaces::MESSAGE_IDS,
    spaces::PARTICIPANTS,
    spaces::REVIEWS,
    spaces::SUGGESTIONS,
    spaces::THREADS,
    spaces::VERDICTS,
    crate::event::EVENTS,
    "sent",
];

impl Hub {
    pub(super) async fn erase_person(&self, tenant: &TenantId, person: &ErasePerson) -> Result<Erased> {
        let mentions = Mentions::of(person);
        let mut erased = Erased::default();
        if mentions.addresses().is_empty() {
            return Ok(erased);
        }
        // First of all, so that nothing comes in behind us.
        self.keep_out(tenant, &mentions, person.afterwards, &mut erased).await?;
        let connections: Vec<ConnectionId> =
            self.connections(tenant).await?.into_iter().map(|connection| connection.id).collect();
        for id in &connections {
            let guard = self.hold(tenant, id).await?;
            let done = self.erase_from(tenant, id, &guard, &mentions).await;
            self.0.stores.leases.release(guard).await?;
            erased.add(done?);
        }
        self.withdraw(tenant, &mentions, &mut erased).await?;
        for space in PLAIN {
            self.blank_plain(tenant, space, &mentions, &mut erased).await?;
        }
        self.blank_batches(tenant, &mentions, &mut erased).await?;
        self.erase_intents(tenant, &mentions, &mut erased).await?;
        self.erase_signals(tenant, &mentions, &mut erased).await?;
        // What depended on the person (a conversation that the person made match) is decided anew.
        for id in &connections {
            self.write(&[put(tenant, WALKS, StateKey::new([id.as_str(), "mail"]), &WalkRow::default())?]).await?;
            self.0.scheduler.schedule(&Job::decide_again(tenant, id), std::time::Duration::ZERO).await?;
        }
        Ok(erased)
    }

    /// The policies name the person by digest alone, if at all.
    async fn keep_out(
        &self,
        tenant: &TenantId,
        mentions: &Mentions,
        afterwards: Afterwards,
        erased: &mut Erased,
    ) -> Result<()> {
        let mut keys: Vec<StateKey> = self.all(tenant, spaces::POLICIES, String::new(), |row| Ok(row.key)).await?;
        if afterwards == Afterwards::KeepOut && !keys.contains(&policy_key(None)) {
            keys.push(policy_key(None));
        }
        for key in keys {
            self.change(tenant, spaces::POLICIES, &key, |policy: Option<MailPolicy>| {
                let mut policy = policy.unwrap_or_default();
                let before = policy.never_log.addresses.len();
                policy.never_log.addresses.retain(|address| !mentions.is(address));
                if afterwards == Afterwards::KeepOut || policy.never_log.addresses.len() < before {
                    mentions.addresses().iter().for_each(|address| policy.never_log.forget(address));
                }
                Ok(Some(policy))
            })
            .await?;
            erased.count(spaces::POLICIES, 1);
        }
        Ok(())
    }

    async fn erase_from(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        guard: &LeaseGuard,
        mentions: &Mentions,
    ) -> Result<Erased> {
        let mut erased = Erased::default();
        let mut after = None;
        loop {
            let rows = self.page(tenant, spaces::DECISIONS, StateKey::new([id.as_str()]).below(), after).await?;
            let mut writes = Vec::new();
            let named: Vec<&StateRow> = rows.iter().filter(|row| mentions.in_bytes(&row.bytes)).collect();
            let mut threads: BTreeMap<StateKey, BTreeMap<String, serde_json::Value>> = BTreeMap::new();
            for row in &named {
                let thread = self.blank_decision(tenant, id, row, mentions, &mut writes).await?;
                if let Some((thread, message)) = thread {
                    self.leave_thread(tenant, thread, &message, &mut threads).await?;
                }
            }
            for (key, members) in threads {
                writes.push(match members.is_empty() {
                    true => StateWrite::delete(tenant, spaces::THREADS, key),
                    false => put(tenant, spaces::THREADS, key, &members)?,
                });
            }
            // Indexes and conversations that go with the decisions.
            writes.iter().filter(|write| write.bytes.is_none()).for_each(|write| erased.count(write.space, 1));
            if !writes.is_empty() {
                self.publish(tenant, id, Some(guard), &writes, Vec::new()).await?;
            }
            self.prolong(guard).await?;
            erased.count(spaces::DECISIONS, named.len());
            after = rows.last().map(|row| row.key.clone());
            if rows.len() < PAGE {
                break;
            }
        }
        self.erase_quarantined(tenant, id, mentions, &mut erased).await?;
        Ok(erased)
    }

    /// Blanks a decision. Where the person takes part, nothing but the message's own identity stays; which conversation it
    /// leaves.
    async fn blank_decision(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        row: &StateRow,
        mentions: &Mentions,
        writes: &mut Vec<StateWrite>,
    ) -> Result<Option<(StateKey, String)>> {
        let mut decision: Decision = decoded(spaces::DECISIONS, row)?;
        let message = row.key.segments().pop().unwrap_or_default();
        let takes_part = decision.summary.people.keys().chain(&decision.summary.author).any(|one| mentions.is(one));
        if !takes_part {
            writes.push(StateWrite::put(tenant, spaces::DECISIONS, row.key.clone(), mentions.blanked(&row.bytes)));
            return Ok(None);
        }
        self.unlist(tenant, id, row, writes).await?;
        if let Some(message_id) = decision.summary.message_id.take() {
            let key = StateKey::new([id.as_str(), &message_id, &message]);
            writes.push(StateWrite::delete(tenant, spaces::MESSAGE_IDS, key));
        }
        let thread = decision.summary.thread.as_ref().map(|thread| StateKey::new([id.as_str(), thread.as_str()]));
        decision.summary.blank(|address| mentions.is(address));
        decision.summary.purge();
        decision.outcome = Outcome::Skipped { reason: SkipReason::NeverLog };
        decision.rule = Some("never_log:erased".to_owned());
        decision.purged = true;
        (decision.direct, decision.matches, decision.duplicate_of) = (Findings::default(), Vec::new(), None);
        decision.suggested.clear();
        let keys = participant_keys(id, &message, &decision.summary);
        writes.extend(keys.into_iter().map(|key| StateWrite::put(tenant, spaces::PARTICIPANTS, key, "1")));
        let blank = put(tenant, spaces::DECISIONS, row.key.clone(), &decision)?;
        let bytes = mentions.blanked(blank.bytes.as_deref().unwrap_or_default());
        writes.push(StateWrite::put(tenant, spaces::DECISIONS, row.key.clone(), bytes));
        Ok(thread.map(|thread| (thread, message)))
    }

    async fn leave_thread(
        &self,
        tenant: &TenantId,
        thread: StateKey,
        message: &str,
        threads: &mut BTreeMap<StateKey, BTreeMap<String, serde_json::Value>>,
    ) -> Result<()> {
        if !threads.contains_key(&thread) {
            let row = read_one(&*self.0.stores.sync, tenant, spaces::THREADS, thread.clone()).await?;
            threads.insert(
                thread.clone(),
                row.as_ref().map(|row| decoded(spaces::THREADS, row)).transpose()?.unwrap_or_default(),
            );
        }
        if let Some(members) = threads.get_mut(&thread) {
            members.remove(message);
        }
        Ok(())
    }

    /// What lies in quarantine is sealed: it is opened to see whether the person is in it.
    async fn erase_quarantined(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        mentions: &Mentions,
        erased: &mut Erased,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.page(tenant, QUARANTINE, StateKey::new([id.as_str()]).below(), after).await?;
            for row in &rows {
                let stored: QuarantineRow = decoded(QUARANTINE, row)?;
                if mentions.in_text(&stored.reason) || self.sealed_mentions(tenant, row, &stored, mentions).await {
                    self.drop_quarantined(tenant, row, &stored).await?;
                    erased.count(QUARANTINE, 1);
                }
            }
            after = rows.last().map(|row| row.key.clone());
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// What cannot be opened any more cannot be looked into: it goes as well.
    async fn sealed_mentions(
        &self,
        tenant: &TenantId,
        row: &StateRow,
        stored: &QuarantineRow,
        mentions: &Mentions,
    ) -> bool {
        let Ok(sealed) = base64::engine::general_purpose::STANDARD.decode(&stored.sealed) else { return true };
        let context = SealContext::new(tenant.clone(), row.key.as_str().to_owned(), QUARANTINE);
        match self.0.sealer.open(&context, &sealed).await {
            Ok(item) => mentions.in_bytes(item.expose()),
            Err(_) => true,
        }
    }

    pub(in crate::hub) async fn drop_quarantined(
        &self,
        tenant: &TenantId,
        row: &StateRow,
        stored: &QuarantineRow,
    ) -> Result<()> {
        let mut place = row.key.segments();
        if let (Some(partition), Some(item)) = (&stored.partition, place.pop()) {
            place.extend([partition.as_str().to_owned(), item]);
            self.change(tenant, MEMBERS, &StateKey::new(place), |member: Option<MemberRow>| {
                Ok(member.map(|member| MemberRow { quarantined: false, ..member }))
            })
            .await?;
        }
        self.write(&[StateWrite::delete(tenant, QUARANTINE, row.key.clone())]).await
    }

    /// Activities in which the person takes part go, others that mention the person are blanked; the sink is told.
    async fn withdraw(&self, tenant: &TenantId, mentions: &Mentions, erased: &mut Erased) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.page(tenant, spaces::ACTIVITIES, String::new(), after.clone()).await?;
            let named: Vec<&StateRow> = rows.iter().filter(|row| mentions.in_bytes(&row.bytes)).collect();
            match self.withdraw_page(tenant, &named, mentions).await {
                // Another mailbox wrote to one of them: the page is read again.
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                done => done?,
            }
            erased.count(spaces::ACTIVITIES, named.len());
            after = rows.last().map(|row| row.key.clone());
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn withdraw_page(&self, tenant: &TenantId, rows: &[&StateRow], mentions: &Mentions) -> Result<()> {
        let (mut writes, mut changes, mut through) = (Vec::new(), Vec::new(), None);
        for row in rows {
            let mut activity: Activity = decoded(spaces::ACTIVITIES, row)?;
            through = through.or_else(|| activity.sightings.keys().next().cloned());
            for copies in activity.sightings.values_mut() {
                copies.retain(|_, copy| !copy.summary.people.keys().any(|one| mentions.is(one)));
            }
            activity.sightings.retain(|_, copies| !copies.is_empty());
            let left = if activity.settle() { Some(blank(&activity, mentions)?) } else { None };
            let entry = left.as_ref().and_then(review);
            let (id, key) = (activity.id, row.key.clone());
            let write = match &left {
                Some(activity) => put(tenant, spaces::ACTIVITIES, key.clone(), activity)?,
                None => StateWrite::delete(tenant, spaces::ACTIVITIES, key.clone()),
            };
            writes.push(write.expecting(Expect::Version(row.version)));
            writes.push(match entry {
                Some(entry) => put(tenant, spaces::REVIEWS, key, &entry)?,
                None => StateWrite::delete(tenant, spaces::REVIEWS, key),
            });
            changes.push(match left {
                Some(activity) => ActivityChange::Upserted { activity: Box::new(activity) },
                None => ActivityChange::Removed { id },
            });
        }
        let Some(through) = through else { return Ok(()) };
        self.publish(tenant, &through, None, &writes, changes).await
    }

    async fn blank_plain(
        &self,
        tenant: &TenantId,
        space: Space,
        mentions: &Mentions,
        erased: &mut Erased,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.page(tenant, space, String::new(), after.clone()).await?;
            let mut writes = Vec::new();
            for row in &rows {
                let named = mentions.in_text(row.key.as_str()) || row.key.segments().iter().any(|one| mentions.is(one));
                let write = if named {
                    StateWrite::delete(tenant, space, row.key.clone())
                } else if mentions.in_bytes(&row.bytes) {
                    StateWrite::put(tenant, space, row.key.clone(), mentions.blanked(&row.bytes))
                } else {
                    continue;
                };
                writes.push(write.expecting(Expect::Version(row.version)));
            }
            match self.write(&writes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                done => done?,
            }
            erased.count(space, writes.len());
            after = rows.last().map(|row| row.key.clone());
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Batches that the host has not taken yet say that the activity goes, and nothing else of it.
    async fn blank_batches(&self, tenant: &TenantId, mentions: &Mentions, erased: &mut Erased) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.page(tenant, BATCHES, String::new(), after).await?;
            let mut writes = Vec::new();
            for row in rows.iter().filter(|row| mentions.in_bytes(&row.bytes)) {
                let mut batch: Batch = decoded(BATCHES, row)?;
                for change in &mut batch.activities {
                    let ActivityChange::Upserted { activity } = change else { continue };
                    if mentions.in_bytes(&serde_json::to_vec(activity).unwrap_or_default()) {
                        *change = ActivityChange::Removed { id: activity.id.clone() };
                    }
                }
                writes.push(put(tenant, BATCHES, row.key.clone(), &batch)?);
            }
            self.write(&writes).await?;
            erased.count(BATCHES, writes.len());
            after = rows.last().map(|row| row.key.clone());
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    pub(in crate::hub) async fn page(
        &self,
        tenant: &TenantId,
        space: Space,
        prefix: String,
        after: Option<StateKey>,
    ) -> Result<Vec<StateRow>> {
        let tenant = tenant.clone();
        self.0.stores.sync.read(&StateQuery::Range { tenant, space, prefix, after, limit: PAGE }).await
    }
}

fn blank(activity: &Activity, mentions: &Mentions) -> Result<Activity> {
    let text = serde_json::to_vec(activity).unwrap_or_default();
    decoded(spaces::ACTIVITIES, &StateRow::new(StateKey::new([&activity.id]), 0, mentions.blanked(&text)))
}
