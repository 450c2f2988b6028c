//! Quotas as data: a table per connector.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who shares a limit. Keys follow the service's account, never our connection ids.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum QuotaScope {
    /// One account at the service, over all apps.
    Account,
    /// Everything that uses this app.
    App,
    /// One account through this app.
    AppAndAccount,
    /// Everything that uses this grant.
    Grant,
}

/// What a window counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuotaUnit {
    /// Calls, inner ones of a batch included.
    Calls,
    /// Units of the cost table.
    Units,
    /// Bytes that calls carry to the service, as they are told in [`Cost::uploaded`](super::Cost::uploaded).
    UploadedBytes,
}

/// At most `limit` within any `length` of time.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct QuotaWindow {
    /// Who shares it.
    pub scope: QuotaScope,
    /// What is counted.
    pub unit: QuotaUnit,
    /// How many.
    pub limit: u64,
    /// The sliding window.
    pub length: Duration,
}

impl QuotaWindow {
    /// At most `limit` of `unit` per `length`, shared by `scope`.
    #[must_use]
    pub const fn new(scope: QuotaScope, unit: QuotaUnit, limit: u64, length: Duration) -> Self {
        Self { scope, unit, limit, length }
    }
}

/// A connector's limits.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct QuotaTable {
    /// The preset's name ("mail-2026"), for documentation and logs; apps whose tables share it share their accounts' limits.
    pub name: String,
    /// All windows apply together.
    pub windows: Vec<QuotaWindow>,
    /// Calls in flight per app and account; `None` is unlimited.
    pub concurrency: Option<u32>,
    /// The share of each window that background work may use, paced evenly; 98 unless set.
    pub background_percent: u8,
}

impl QuotaTable {
    /// A table without limits.
    #[must_use]
    pub fn unlimited(name: impl Into<String>) -> Self {
        Self { name: name.into(), windows: Vec::new(), concurrency: None, background_percent: 98 }
    }

    /// Adds a window.
    #[must_use]
    pub fn with_window(mut self, window: QuotaWindow) -> Self {
        self.windows.push(window);
        self
    }

    /// The cap on calls at once that a complaint about `scope` lowers, if it is about what the cap counts.
    pub(super) fn cap_of(&self, scope: QuotaScope) -> Option<u32> {
        self.concurrency.filter(|_| scope == QuotaScope::AppAndAccount)
    }

    /// Caps the calls in flight per app and account.
    #[must_use]
    pub fn with_concurrency(mut self, slots: u32) -> Self {
        self.concurrency = Some(slots);
        self
    }
}
