//! Erasing everything of a tenant.

use super::Erased;
use crate::{
    connection::Connection,
    error::{ErrorKind, Result},
    hub::Hub,
    ids::{GrantId, TenantId},
    oauth::{Disconnected, Forget, Revocation},
    store::{GrantKey, Space, StateWrite},
    sync::Job,
};

/// Every family of rows of a tenant (`docs/schema.md`).
const SPACES: [Space; 37] = [
    "activity",
    "admin_consent",
    "again",
    "audit",
    "authorisation",
    "batch",
    "connection",
    "decision",
    "event",
    "gone",
    "grant",
    "group",
    "health",
    "link",
    "link_back",
    "member",
    "message_id",
    "outbox",
    "outbox_body",
    "outbox_due",
    "outbox_order",
    "participant",
    "partition",
    "pending",
    "policy",
    "quarantine",
    "review",
    "sent",
    "sent_id",
    "signal",
    "signal_due",
    "stray",
    "subscription",
    "suggestion",
    "thread",
    "verdict",
    "walk",
];

impl Erased {
    pub(super) fn note(&mut self, ended: Disconnected) {
        self.tokens += u64::from(!matches!(ended.revocation, Revocation::StillUsed | Revocation::Nothing));
        self.not_revoked += u64::from(matches!(ended.revocation, Revocation::Failed | Revocation::Unsupported));
    }
}

impl Hub {
    pub(super) async fn erase_tenant(&self, tenant: &TenantId) -> Result<Erased> {
        let mut erased = Erased::default();
        let mut connections = self.connections(tenant).await?;
        for Connection { id, .. } in std::mem::take(&mut connections) {
            match self.end(tenant, &id, Forget::Everything).await {
                Ok((done, ended)) => {
                    erased.count("connection", 1);
                    erased.add(done);
                    erased.note(ended);
                }
                // Its connector is gone: nobody can revoke, everything goes all the same.
                Err(error) if error.kind() == ErrorKind::Misconfigured => {
                    erased.add(self.erase_connection(tenant, &id).await?);
                    erased.not_revoked += 1;
                }
                Err(error) => return Err(error),
            }
        }
        erased.tokens += self.erase_tokens(tenant).await?;
        self.0.scheduler.cancel(&Job::retention(tenant).key).await?;
        for space in SPACES {
            loop {
                let rows = self.page(tenant, space, String::new(), None).await?;
                let writes: Vec<StateWrite> =
                    rows.iter().map(|row| StateWrite::delete(tenant, space, row.key.clone())).collect();
                if writes.is_empty() {
                    break;
                }
                self.write(&writes).await?;
                erased.count(space, writes.len());
            }
        }
        let begun = self.0.sign_in.erase_authorisations(tenant).await?;
        erased.count("authorisation", usize::try_from(begun).unwrap_or(usize::MAX));
        let stores = &self.0.stores;
        // Last: a job or a lease of the tenant may have come while the rows went.
        erased.forgot("jobs", stores.jobs.forget_tenant(tenant).await)?;
        erased.forgot("leases", stores.leases.forget_tenant(tenant).await)?;
        erased.forgot("counters and fences", stores.sync.forget_tenant(tenant).await)?;
        Ok(erased)
    }

    /// Tokens of grants without a connection, and what a crash left.
    async fn erase_tokens(&self, tenant: &TenantId) -> Result<u64> {
        let mut count = 0;
        let mut after = GrantKey { tenant: tenant.clone(), grant: GrantId::new("") };
        loop {
            let found = self.0.stores.tokens.list(Some(&after), 100).await?;
            let mine: Vec<GrantKey> = found.iter().take_while(|key| key.tenant == *tenant).cloned().collect();
            for key in &mine {
                self.0.stores.tokens.delete(tenant, &key.grant).await?;
                count += 1;
            }
            match mine.last() {
                Some(last) if mine.len() == found.len() => after = last.clone(),
                _ => return Ok(count),
            }
        }
    }
}

impl Erased {
    fn forgot(&mut self, what: &'static str, done: Result<u64>) -> Result<()> {
        match done {
            Ok(count) => self.count(what, usize::try_from(count).unwrap_or(usize::MAX)),
            Err(error) if error.kind() == ErrorKind::Unsupported => self.left.push(what.to_owned()),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
