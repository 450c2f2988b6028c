//! Audits: is what the service has what we have?

use std::time::Duration;

use super::{Hub, read::decoded};
use crate::{
    error::Result,
    ids::{ConnectionId, TenantId},
    store::StateKey,
    sync::{AuditCost, AuditReport, Job, rows::AUDITS},
};

impl Hub {
    /// Queues a comparison of a mailbox with its service, item by item, and the repair of what does not agree. It runs as an
    /// enumeration, in the background, while changes are followed; one that runs already is not begun again. Audits also
    /// run by themselves ([`SyncOptions::audit_every`](crate::sync::SyncOptions)). Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Store`.
    pub async fn audit(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        self.known(tenant, id).await?;
        self.0.scheduler.schedule(&Job::audit(tenant, id), Duration::ZERO).await
    }

    /// What an audit of a mailbox will cost, from what is known now.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Store`.
    pub async fn audit_cost(&self, tenant: &TenantId, id: &ConnectionId) -> Result<AuditCost> {
        let (connection, grant) = self.known(tenant, id).await?;
        self.mail_sync(connection, &grant).await?.audit_cost().await
    }

    /// The latest finished audit of each partition of a mailbox.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn audit_reports(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Vec<AuditReport>> {
        let prefix = StateKey::new([id.as_str(), "mail"]).below();
        self.all(tenant, AUDITS, prefix, |row| decoded(AUDITS, &row)).await
    }
}
