//! Reading what the sync has made.

use serde::de::DeserializeOwned;

use super::Hub;
use crate::{
    activity::{Activity, Decision, spaces},
    error::Result,
    ids::{ConnectionId, TenantId},
    store::{Space, StateKey, StateQuery, StateRow},
    sync::rows::{QUARANTINE, QuarantineRow, decode},
};

/// A quarantined item as a host lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Its key at the service, or `sha256:…` where none was understood.
    pub key: String,
    /// Why it lies there.
    pub reason: String,
    /// Its size in bytes.
    pub size: usize,
}

impl Hub {
    /// Every activity of a tenant, in the order of their ids.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn activities(&self, tenant: &TenantId) -> Result<Vec<Activity>> {
        self.all(tenant, spaces::ACTIVITIES, String::new(), |row| decoded(spaces::ACTIVITIES, &row)).await
    }

    /// Every decision of a connection with the message's id.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn decisions(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Vec<(String, Decision)>> {
        let prefix = StateKey::new([id.as_str()]).below();
        self.all(tenant, spaces::DECISIONS, prefix, |row| Ok((last(&row.key), decoded(spaces::DECISIONS, &row)?))).await
    }

    /// What lies in quarantine for a connection.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn quarantined(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Vec<Quarantined>> {
        let prefix = StateKey::new([id.as_str()]).below();
        let item = |row: StateRow| {
            let stored: QuarantineRow = decoded(QUARANTINE, &row)?;
            Ok(Quarantined { key: last(&row.key), reason: stored.reason, size: stored.size })
        };
        self.all(tenant, QUARANTINE, prefix, item).await
    }

    pub(super) async fn all<T>(
        &self,
        tenant: &TenantId,
        space: Space,
        prefix: String,
        read: impl Fn(StateRow) -> Result<T> + Send,
    ) -> Result<Vec<T>>
    where
        T: Send,
    {
        const PAGE: usize = 1_000;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (tenant, prefix) = (tenant.clone(), prefix.clone());
            let query = StateQuery::Range { tenant, space, prefix, after, limit: PAGE };
            let rows = self.0.stores.sync.read(&query).await?;
            after = rows.last().map(|row| row.key.clone());
            let full = rows.len() == PAGE;
            for row in rows {
                found.push(read(row)?);
            }
            if !full {
                return Ok(found);
            }
        }
    }
}

pub(super) fn last(key: &StateKey) -> String {
    key.segments().pop().unwrap_or_default()
}

pub(super) fn decoded<T: DeserializeOwned>(space: Space, row: &StateRow) -> Result<T> {
    decode(space, &row.bytes)
}
