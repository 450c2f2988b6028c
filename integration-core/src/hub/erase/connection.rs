//! Deleting what the sync made for a connection.

use std::time::Duration;

use super::{Erased, Hub};
use crate::{
    activity::{Activity, ActivityChange, Decision, Suggestion, participant_keys, policy_key, review, spaces},
    error::{Error, ErrorKind, Result, Retry},
    hub::{choices::put, read::decoded},
    ids::{ActivityId, ConnectionId, MessageId, TenantId},
    store::{Expect, LeaseGuard, StateKey, StateQuery, StateRow, StateWrite, read_one},
    sync::{
        publish::{Publication, Told, publish},
        sync_lease,
    },
};

/// The families of rows that a sync makes for one connection.
const SYNCED: [&str; 16] = [
    "again",
    "audit",
    "decision",
    "gone",
    "group",
    "health",
    "member",
    "message_id",
    "outbox_due",
    "outbox_order",
    "partition",
    "pending",
    "quarantine",
    "stray",
    "subscription",
    "thread",
];

impl Hub {
    /// Deletes what the sync made for a connection; the sink is told which activities went. Activities that other mailboxes
    /// saw too stay, without this one.
    pub(in crate::hub) async fn erase_connection(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Erased> {
        let guard = self.hold(tenant, id).await?;
        let erased = self.erase_alone(tenant, id, &guard).await;
        self.0.stores.leases.release(guard).await?;
        erased
    }

    /// The lease of the connection's sync: a slice that still runs elsewhere cannot commit after us.
    pub(in crate::hub) async fn hold(&self, tenant: &TenantId, id: &ConnectionId) -> Result<LeaseGuard> {
        const PAUSE: Duration = Duration::from_millis(200);
        let key = sync_lease(tenant, id, "mail");
        let patience = self.0.sync.slice + self.0.sync.lease * 2;
        let mut waited = Duration::ZERO;
        while waited < patience {
            if let Some(guard) = self.0.stores.leases.acquire(&key, self.0.sync.lease).await? {
                return Ok(guard);
            }
            self.0.clock.sleep(PAUSE).await;
            waited += PAUSE;
        }
        let message = "a worker still syncs the connection; try again";
        Err(Error::new(ErrorKind::Conflict, message).with_retry(Retry::Temporary))
    }

    async fn erase_alone(&self, tenant: &TenantId, id: &ConnectionId, guard: &LeaseGuard) -> Result<Erased> {
        const PAGE: usize = 1_000;
        let mut erased = Erased::default();
        let mut at = None;
        loop {
            let page = self.activities_page(tenant, at.as_ref()).await?;
            for activity in page.items.iter().filter(|activity| activity.sightings.contains_key(id)) {
                erased.count("activity", 1);
                self.strike(tenant, id, &activity.id, guard).await?;
                self.prolong(guard).await?;
            }
            at = page.next;
            if at.is_none() {
                break;
            }
        }
        self.erase_outbox(tenant, id).await?;
        self.write(&[
            StateWrite::delete(tenant, spaces::POLICIES, policy_key(Some(id))),
            StateWrite::delete(tenant, "walk", StateKey::new([id.as_str(), "mail"])),
        ])
        .await?;
        for space in SYNCED {
            loop {
                let prefix = StateKey::new([id.as_str()]).below();
                let query = StateQuery::Range { tenant: tenant.clone(), space, prefix, after: None, limit: PAGE };
                let rows = self.0.stores.sync.read(&query).await?;
                let mut writes = Vec::with_capacity(rows.len());
                for row in &rows {
                    if space == spaces::DECISIONS {
                        self.unlist(tenant, id, row, &mut writes).await?;
                    }
                    writes.push(StateWrite::delete(tenant, space, row.key.clone()));
                }
                self.publish(tenant, id, Some(guard), &writes, Vec::new()).await?;
                writes.iter().for_each(|write| erased.count(write.space, 1));
                self.prolong(guard).await?;
                if rows.len() < PAGE {
                    break;
                }
            }
        }
        Ok(erased)
    }

    pub(in crate::hub) async fn prolong(&self, guard: &LeaseGuard) -> Result<()> {
        if self.0.stores.leases.renew(guard, self.0.sync.lease).await? {
            return Ok(());
        }
        let message = "a worker took the connection over while it was erased; try again";
        Err(Error::new(ErrorKind::Conflict, message).with_retry(Retry::Temporary))
    }

    /// Takes a message out of the indexes and suggestions that lie under other keys.
    pub(super) async fn unlist(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        row: &StateRow,
        writes: &mut Vec<StateWrite>,
    ) -> Result<()> {
        let decision: Decision = decoded(spaces::DECISIONS, row)?;
        let message = row.key.segments().pop().unwrap_or_default();
        let keys = participant_keys(id, &message, &decision.summary);
        writes.extend(keys.into_iter().map(|key| StateWrite::delete(tenant, spaces::PARTICIPANTS, key)));
        for address in &decision.suggested {
            let key = StateKey::new([address]);
            self.change(tenant, spaces::SUGGESTIONS, &key, |suggestion: Option<Suggestion>| {
                let mut suggestion = suggestion.unwrap_or_default();
                suggestion.forget(id, &MessageId::new(&message));
                Ok((!suggestion.is_empty()).then_some(suggestion))
            })
            .await?;
        }
        Ok(())
    }

    /// Takes a connection's copies off one activity; another mailbox may be writing to it at the same time.
    async fn strike(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        activity: &ActivityId,
        guard: &LeaseGuard,
    ) -> Result<()> {
        const TRIES: u32 = 5;
        for attempt in 1.. {
            let key = StateKey::new([activity.as_str()]);
            let Some(row) = read_one(&*self.0.stores.sync, tenant, "activity", key.clone()).await? else { break };
            let mut left: Activity = decoded(spaces::ACTIVITIES, &row)?;
            left.sightings.remove(id);
            let (write, change) = if left.settle() {
                let write = put(tenant, spaces::ACTIVITIES, key, &left)?;
                let change = ActivityChange::Upserted { activity: Box::new(left) };
                (write, change)
            } else {
                (StateWrite::delete(tenant, "activity", key), ActivityChange::Removed { id: activity.clone() })
            };
            let shown = match &change {
                ActivityChange::Upserted { activity } => review(activity),
                ActivityChange::Removed { .. } => None,
            };
            let place = StateKey::new([activity.as_str()]);
            let entry = match shown {
                Some(review) => put(tenant, spaces::REVIEWS, place, &review)?,
                None => StateWrite::delete(tenant, spaces::REVIEWS, place),
            };
            let write = write.expecting(Expect::Version(row.version));
            match self.publish(tenant, id, Some(guard), &[write, entry], vec![change]).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < TRIES => {}
                done => return done,
            }
        }
        Ok(())
    }

    pub(in crate::hub) async fn publish(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        guard: Option<&LeaseGuard>,
        writes: &[StateWrite],
        activities: Vec<ActivityChange>,
    ) -> Result<()> {
        let to = Publication {
            store: &*self.0.stores.sync,
            sink: &*self.0.sink,
            tenant,
            connection,
            guard,
            patience: self.0.sync.lease,
            now: self.0.clock.now(),
            events: self.0.sync.events,
            batches: self.0.sync.batches,
        };
        publish(&to, &[writes], Told::activities(activities)).await
    }
}
