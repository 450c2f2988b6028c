//! The sequence of batches, for hosts on another database or driver.

use super::{Hub, read::decoded};
use crate::{
    activity::{BATCHES, Batch, BatchPage},
    error::{Error, ErrorKind, Result},
    event::{number_key, numbered},
    ids::TenantId,
    store::{StateQuery, StateWrite},
};

impl Hub {
    /// The tenant's batches after number `after` (0: from the oldest), at most `limit` and never more than 1,000: what the sink
    /// is given, kept in our store until it is acknowledged. Only with
    /// [`with_kept_batches`](super::HubBuilder::with_kept_batches).
    ///
    /// The host writes its rows and [`Batch::sequence`] in one transaction of its own, and asks for what comes after that
    /// number when it starts again: then each batch takes effect once, whatever is killed when.
    ///
    /// # Errors
    /// `Misconfigured` if batches are not kept; `Store`. Safe to repeat.
    pub async fn batches(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<BatchPage> {
        if self.0.sync.batches.is_none() {
            let message = "batches are not kept; build the hub with with_kept_batches";
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        let page = self.numbered(tenant, BATCHES, after, limit).await?;
        let batches: Vec<Batch> = page.rows.iter().map(|row| decoded(BATCHES, row)).collect::<Result<_>>()?;
        Ok(BatchPage { batches, next: page.next, reset: page.reset })
    }

    /// Forgets the batches up to and including `up_to`: they are durable at the host. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn acknowledge(&self, tenant: &TenantId, up_to: u64) -> Result<()> {
        const PAGE: usize = 500;
        loop {
            let (tenant_id, prefix) = (tenant.clone(), String::new());
            let query = StateQuery::Range { tenant: tenant_id, space: BATCHES, prefix, after: None, limit: PAGE };
            let rows = self.0.stores.sync.read(&query).await?;
            let done = rows.iter().take_while(|row| numbered(&row.key) <= up_to);
            let writes: Vec<StateWrite> =
                done.map(|row| StateWrite::delete(tenant, BATCHES, number_key(numbered(&row.key)))).collect();
            if !writes.is_empty() {
                self.write(&writes).await?;
            }
            if writes.len() < PAGE {
                return Ok(());
            }
        }
    }
}
