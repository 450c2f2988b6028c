//! Reading what the sync has made.

use serde::de::DeserializeOwned;

use super::Hub;
use crate::{
    activity::{Activity, Decision, spaces},
    error::Result,
    ids::{ConnectionId, TenantId},
    page::{Page, PageToken},
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

    /// A page of a tenant's activities, in the order of their ids: up to 500 after where the previous one ended. What is added
    /// meanwhile may or may not be met.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn activities_page(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<Page<Activity>> {
        self.page_of((tenant, spaces::ACTIVITIES, String::new()), page, |row| decoded(spaces::ACTIVITIES, &row)).await
    }

    /// Every decision of a connection with the message's id.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn decisions(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Vec<(String, Decision)>> {
        let prefix = StateKey::new([id.as_str()]).below();
        self.all(tenant, spaces::DECISIONS, prefix, |row| Ok((last(&row.key), decoded(spaces::DECISIONS, &row)?))).await
    }

    /// A page of a connection's decisions with the messages' ids, as [`Hub::activities_page`].
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn decisions_page(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        page: Option<&PageToken>,
    ) -> Result<Page<(String, Decision)>> {
        let prefix = StateKey::new([id.as_str()]).below();
        let read = |row: StateRow| Ok((last(&row.key), decoded(spaces::DECISIONS, &row)?));
        self.page_of((tenant, spaces::DECISIONS, prefix), page, read).await
    }

    /// What lies in quarantine for a connection.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn quarantined(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Vec<Quarantined>> {
        let prefix = StateKey::new([id.as_str()]).below();
        self.all(tenant, QUARANTINE, prefix, quarantined).await
    }

    /// A page of what lies in quarantine for a connection, as [`Hub::activities_page`].
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn quarantined_page(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        page: Option<&PageToken>,
    ) -> Result<Page<Quarantined>> {
        let prefix = StateKey::new([id.as_str()]).below();
        self.page_of((tenant, QUARANTINE, prefix), page, quarantined).await
    }

    /// A page of a space, in key order.
    pub(super) async fn page_of<T: Send>(
        &self,
        (tenant, space, prefix): (&TenantId, Space, String),
        page: Option<&PageToken>,
        read: impl Fn(StateRow) -> Result<T> + Send,
    ) -> Result<Page<T>> {
        const PAGE: usize = 500;
        let after = page.map(|page| StateKey::from_stored(page.as_str()));
        let query = StateQuery::Range { tenant: tenant.clone(), space, prefix, after, limit: PAGE };
        let rows = self.0.stores.sync.read(&query).await?;
        let next = rows.last().filter(|_| rows.len() == PAGE).map(|row| PageToken::new(row.key.as_str()));
        Ok(Page::new(rows.into_iter().map(read).collect::<Result<_>>()?, next))
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

fn quarantined(row: StateRow) -> Result<Quarantined> {
    let stored: QuarantineRow = decoded(QUARANTINE, &row)?;
    Ok(Quarantined { key: last(&row.key), reason: stored.reason, size: stored.size })
}

pub(super) fn last(key: &StateKey) -> String {
    key.segments().pop().unwrap_or_default()
}

pub(super) fn decoded<T: DeserializeOwned>(space: Space, row: &StateRow) -> Result<T> {
    decode(space, &row.bytes)
}
