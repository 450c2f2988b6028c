//! Sealing every stored token set with the primary key, while the host runs.

use super::{sealer::SealContext, vault::Vault};
use crate::{
    error::{ErrorKind, Result},
    ids::{GrantId, TenantId},
    store::{GrantKey, Saved, SealedRecord, TokenStore, Version},
};

/// The field under which token sets are sealed.
pub(crate) const TOKENS_FIELD: &str = "tokens";

/// What a version of a grant's token set is bound to: stores count saves, so it is known before it is saved.
pub(crate) fn token_context(tenant: &TenantId, grant: &GrantId, version: Version) -> SealContext {
    SealContext::new(tenant.clone(), grant.as_str(), TOKENS_FIELD).at_version(version.0)
}

const PAGE: usize = 100;
/// A refresh in between costs one try; nothing refreshes a grant this often in a row.
const TRIES: usize = 5;

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rotation {
    /// Token sets looked at.
    pub checked: u64,
    /// Token sets sealed anew.
    pub resealed: u64,
    /// Token sets that changed each time they were about to be saved; run it once more.
    pub busy: u64,
    /// Token sets that no key of the ring opens; they were left as they are.
    pub unreadable: u64,
}

/// Seals every stored token set anew under the primary key, unless it is already.
///
/// Safe while the host works: each record is saved by compare-and-set, so a refresh in between wins and is looked at
/// again. Interrupted, it is simply run again. Once a run reports neither `busy` nor `unreadable`, older keys can go.
///
/// # Errors
/// `Store` if the storage fails; temporary if the key provider is out of reach.
pub async fn rotate(tokens: &dyn TokenStore, vault: &Vault) -> Result<Rotation> {
    let mut done = Rotation::default();
    let mut after: Option<GrantKey> = None;
    loop {
        let page = tokens.list(after.as_ref(), PAGE).await?;
        for key in &page {
            done.checked += 1;
            match rotate_one(tokens, vault, key).await? {
                One::Busy => done.busy += 1,
                One::Resealed => done.resealed += 1,
                One::Unreadable => done.unreadable += 1,
                One::UpToDate => {}
            }
        }
        // A short page may still be followed by others: only an empty one is the end.
        let Some(last) = page.into_iter().next_back() else { return Ok(done) };
        after = Some(last);
    }
}

enum One {
    Busy,
    Resealed,
    Unreadable,
    UpToDate,
}

async fn rotate_one(tokens: &dyn TokenStore, vault: &Vault, key: &GrantKey) -> Result<One> {
    for _ in 0..TRIES {
        let Some(record) = tokens.load(&key.tenant, &key.grant).await? else { return Ok(One::UpToDate) };
        match vault.needs_resealing(&record.bytes) {
            Ok(false) => return Ok(One::UpToDate),
            Ok(true) => {}
            Err(_) => return Ok(One::Unreadable),
        }
        let context = |version| token_context(&key.tenant, &key.grant, version);
        let next = context(Version::after(Some(record.version)));
        let bytes = match vault.reseal(&context(record.version), &next, &record.bytes).await {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::Misconfigured | ErrorKind::Validation) => {
                return Ok(One::Unreadable);
            }
            Err(error) => return Err(error),
        };
        let saved = tokens.save(&key.tenant, &key.grant, Some(record.version), &SealedRecord::new(bytes)).await?;
        if matches!(saved, Saved::Stored(_)) {
            return Ok(One::Resealed);
        }
    }
    Ok(One::Busy)
}
