//! Steering the sync of a connection: pause, resume, cancel, and what lies in quarantine.

use super::Hub;
use crate::{
    connection::{ConnectionStatus, GrantStatus},
    email::MailItem,
    error::{Error, ErrorKind, Result},
    ids::{ConnectionId, TenantId},
    secret::SecretBytes,
    store::{StateKey, StateWrite, read_one},
    sync::{
        Job, Shutdown,
        rows::{MEMBERS, MemberRow, QUARANTINE, QuarantineRow},
    },
    vault::SealContext,
};

/// A slice that runs in this process.
pub(super) struct Running {
    hub: Hub,
    key: (TenantId, ConnectionId, u64),
    pub(super) stop: Shutdown,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hub.running().remove(&self.key);
    }
}

impl Hub {
    /// Stops working on a connection until [`Hub::resume`]: its schedule ends, a slice that runs in this process stops at
    /// its next safe point, one in another process with the slice. What was synced stays. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant, `Conflict` for a disconnected one; `Store`.
    pub async fn pause(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        self.set_status(tenant, id, |_| ConnectionStatus::Paused).await?;
        self.cancel_sync(tenant, id).await
    }

    /// Goes on where [`Hub::pause`] stopped; the sync is queued at once. Safe to repeat.
    ///
    /// # Errors
    /// As [`Hub::pause`].
    pub async fn resume(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        let (_, grant) = self.known(tenant, id).await?;
        let attention = matches!(grant.status, GrantStatus::NeedsAttention { .. });
        let status = if attention { ConnectionStatus::NeedsAttention } else { ConnectionStatus::Active };
        let resumed = |now| if now == ConnectionStatus::Paused { status } else { now };
        self.set_status(tenant, id, resumed).await?;
        self.sync_now(tenant, id).await
    }

    /// Ends the schedule of a connection's sync, and a slice that runs in this process at its next safe point. Nothing is
    /// lost: [`Hub::sync_now`] goes on from there. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Store`.
    pub async fn cancel_sync(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        self.known(tenant, id).await?;
        self.0.scheduler.cancel(&Job::sync_mail(tenant, id).key).await?;
        let place = |number| (tenant.clone(), id.clone(), number);
        for (_, stop) in self.running().range(place(0)..=place(u64::MAX)) {
            stop.stop();
        }
        Ok(())
    }

    /// Queues another try at everything in a connection's quarantine: it is fetched again, and leaves the quarantine once
    /// it can be understood, or once the service says that it is gone. What came without a key stays
    /// ([`Hub::open_quarantined`]), and so does what a newer release put there: told again as
    /// [`Event::Quarantined`](crate::event::Event), with that reason. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Store`.
    pub async fn replay_quarantine(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        self.known(tenant, id).await?;
        self.0.scheduler.schedule(&Job::replay_quarantine(tenant, id), std::time::Duration::ZERO).await
    }

    /// What is kept of a quarantined item, as it came; only its beginning if it was above the cap.
    ///
    /// # Errors
    /// `NotFound` if it is not there; `Validation` if it cannot be opened with the keys at hand, or if a newer release
    /// put it there; `Store`.
    pub async fn open_quarantined(&self, tenant: &TenantId, id: &ConnectionId, key: &str) -> Result<SecretBytes> {
        use base64::Engine;
        let unknown = || Error::new(ErrorKind::NotFound, "no such item lies in quarantine");
        let place = StateKey::new([id.as_str(), "mail", key]);
        let row = read_one(&*self.0.stores.sync, tenant, QUARANTINE, place).await?.ok_or_else(unknown)?;
        let stored: QuarantineRow = super::read::decoded(QUARANTINE, &row)?;
        if let Some(reason) = stored.unknown::<MailItem>() {
            return Err(Error::new(ErrorKind::Validation, reason));
        }
        let sealed = base64::engine::general_purpose::STANDARD
            .decode(&stored.sealed)
            .map_err(|error| Error::new(ErrorKind::Validation, "the quarantined item is damaged").with_source(error))?;
        let context = SealContext::new(tenant.clone(), row.key.as_str().to_owned(), "quarantine");
        self.0.sealer.open(&context, &sealed).await
    }

    /// Throws a quarantined item away: somebody looked at it. It comes back if the service names it anew, and with the next
    /// audit if it still cannot be understood.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn discard_quarantined(&self, tenant: &TenantId, id: &ConnectionId, key: &str) -> Result<()> {
        let place = StateKey::new([id.as_str(), "mail", key]);
        let Some(row) = read_one(&*self.0.stores.sync, tenant, QUARANTINE, place.clone()).await? else {
            return Ok(());
        };
        let stored: QuarantineRow = super::read::decoded(QUARANTINE, &row)?;
        if let Some(partition) = &stored.partition {
            let member = StateKey::new([id.as_str(), "mail", partition.as_str(), key]);
            self.change(tenant, MEMBERS, &member, |member: Option<MemberRow>| {
                Ok(member.map(|member| MemberRow { quarantined: false, ..member }))
            })
            .await?;
        }
        self.write(&[StateWrite::delete(tenant, QUARANTINE, place)]).await
    }

    /// Notes that a slice runs here, so that it can be cancelled.
    pub(super) fn begin_run(&self, tenant: &TenantId, id: &ConnectionId, stop: &Shutdown) -> Running {
        let number = self.0.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (key, stop) = ((tenant.clone(), id.clone(), number), stop.child());
        self.running().insert(key.clone(), stop.clone());
        Running { hub: self.clone(), key, stop }
    }

    fn running(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(TenantId, ConnectionId, u64), Shutdown>> {
        // A panic while the map is held leaves nothing half done: the map is still good.
        self.0.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn set_status(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        status: impl Fn(ConnectionStatus) -> ConnectionStatus + Send + Sync,
    ) -> Result<()> {
        let change = |connection: &mut crate::connection::Connection| {
            if connection.status != ConnectionStatus::Disconnected {
                connection.status = status(connection.status);
            }
        };
        match self.0.sign_in.connections().update_connection(tenant, id, change).await? {
            None => Err(Error::new(ErrorKind::NotFound, "this tenant has no such connection")),
            Some(connection) if connection.status == ConnectionStatus::Disconnected => {
                Err(Error::new(ErrorKind::Conflict, "the connection was disconnected; connect the account again"))
            }
            Some(_) => Ok(()),
        }
    }
}
