//! Admission: quota, concurrency and priority in one gate.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    call::{Cost, Priority},
    quota::QuotaScope,
};
use crate::{error::Result, ids::AppId};

/// Whose ledger a call is written into: follows the service's account, never our connection ids.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct AdmissionKey {
    /// The app whose quota it is.
    pub app: AppId,
    /// The account at the service, as the connector names it; `None` before it is known.
    pub account: Option<String>,
    /// The grant, for limits per grant.
    pub grant: Option<String>,
}

impl AdmissionKey {
    /// A key of its parts.
    #[must_use]
    pub fn new(app: AppId, account: Option<String>, grant: Option<String>) -> Self {
        Self { app, account, grant }
    }
}

/// What is asked of the gate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmissionRequest {
    /// Whose ledgers.
    pub key: AdmissionKey,
    /// What the call costs.
    pub cost: Cost,
    /// Who goes first.
    pub priority: Priority,
}

impl AdmissionRequest {
    /// A request of its parts.
    #[must_use]
    pub fn new(key: AdmissionKey, cost: Cost, priority: Priority) -> Self {
        Self { key, cost, priority }
    }
}

/// The gate in front of a service: an exact ledger of the sliding windows, shared by everyone who shares the quota.
#[async_trait]
pub trait Admission: fmt::Debug + Send + Sync + 'static {
    /// Waits until the call fits every window and a slot is free. Dropping the future gives the place back.
    ///
    /// # Errors
    /// `InvalidInput` if the cost can never fit.
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit>;

    /// The service complained: nobody in `scope` goes before `until`.
    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>);

    /// How full the tightest window is.
    async fn usage(&self, key: &AdmissionKey) -> Usage;
}

/// The right to send one call; hand it back by dropping it when the answer is in.
pub struct Permit(Option<Box<dyn FnOnce() + Send>>);

impl Permit {
    /// A permit that runs `release` when dropped.
    pub fn new(release: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The state of an account's quota.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Units used in the tightest window.
    pub used: u64,
    /// Its limit; `None` without limits.
    pub limit: Option<u64>,
    /// Units per second that background work gets in the long run; `None` without limits.
    pub background_rate: Option<f64>,
    /// Nobody goes before this instant.
    pub blocked_until: Option<DateTime<Utc>>,
}

/// The bundled gate: within one process.
#[derive(Debug)]
pub struct LocalAdmission {}
