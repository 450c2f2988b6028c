//! What core needs of a vault.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{error::Result, ids::TenantId, secret::SecretBytes};

/// What a sealed value is bound to: opened anywhere else, it does not open.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SealContext {
    /// Whose.
    pub tenant: TenantId,
    /// Which record (a grant's id, a quarantined item's key).
    pub record: String,
    /// Which field of it ("tokens", "quarantine").
    pub field: &'static str,
    /// Which version of the record, where the caller knows it: an older value, put back, does not open. `None` for records
    /// that are written once.
    pub version: Option<u64>,
}

impl SealContext {
    /// A context of its parts, for a record without versions.
    pub fn new(tenant: TenantId, record: impl Into<String>, field: &'static str) -> Self {
        Self { tenant, record: record.into(), field, version: None }
    }

    /// The same for one version of the record.
    #[must_use]
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }
}

/// Seals and opens. The bundled one is `Vault` (feature `crypto`).
#[async_trait]
pub trait Sealer: fmt::Debug + Send + Sync + 'static {
    /// Encrypts `plain`, bound to `context`.
    ///
    /// # Errors
    /// `Misconfigured` without a usable key; temporary where a key service is out of reach.
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Bytes>;

    /// Decrypts what [`Sealer::seal`] made for the same context.
    ///
    /// # Errors
    /// `Validation` if it was altered, moved or made with another context; `Misconfigured` if its key is missing.
    async fn open(&self, context: &SealContext, sealed: &[u8]) -> Result<SecretBytes>;
}
