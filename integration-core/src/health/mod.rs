//! How connections are: for a status page, for alerts, and for whoever is asked why nothing arrives.
//!
//! The JSON of [`ConnectionHealth`] and [`TenantHealth`] is described in `docs/health.md` and, field by field, in
//! `docs/health.schema.json`. Instants are UTC; durations are whole seconds.

mod feed;
pub(crate) mod rows;
mod state;
mod tenant;
#[cfg(feature = "oauth")]
mod verdict;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use feed::{AuditHealth, Backlog, FailureHealth, FeedHealth, RestingHealth};
pub use state::HealthState;
pub use tenant::{ConnectionSummary, TenantHealth};
#[cfg(feature = "oauth")]
pub(crate) use verdict::Facts;

use crate::{
    error::Remedy,
    http::Usage,
    ids::{AppId, ConnectionId, GrantId},
};

/// The version of the JSON; it changes when a field is renamed or goes.
pub const FORMAT: u16 = 1;

/// How one connection is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionHealth {
    /// [`FORMAT`].
    pub format: u16,
    /// When it was looked at.
    pub checked_at: DateTime<Utc>,
    /// Which connection.
    pub connection: ConnectionId,
    /// With which app.
    pub app: AppId,
    /// Through which grant.
    pub grant: GrantId,
    /// What a person recognises the account by: an address, an organisation's name.
    pub account: String,
    /// In one word.
    pub state: HealthState,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// Who has to act and how, if anybody.
    pub remedy: Option<Remedy>,
    /// What is synced of it.
    pub feeds: Vec<FeedHealth>,
    /// What is left of its quota, where it has one.
    pub quota: Option<QuotaHealth>,
}

/// What is left of the quota of a connection's account, in the tightest of its windows.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuotaHealth {
    /// Units used.
    pub used: u64,
    /// Units allowed.
    pub limit: u64,
    /// Units left.
    pub left: u64,
    /// Nobody goes before this instant: the service asked for a pause.
    pub blocked_until: Option<DateTime<Utc>>,
}

impl QuotaHealth {
    /// What the gate says; `None` without a limit.
    #[must_use]
    pub fn of(usage: &Usage) -> Option<Self> {
        let limit = usage.limit?;
        let (used, blocked_until) = (usage.used, usage.blocked_until);
        Some(Self { used, limit, left: limit.saturating_sub(used), blocked_until })
    }
}

impl ConnectionHealth {
    /// Sets the gauges `integration_feed_age_seconds`, `integration_feed_backlog`, `integration_feed_audit_gaps` and
    /// `integration_quota_left_units` from these values.
    pub fn record(&self) {
        let connection = self.connection.to_string();
        for feed in &self.feeds {
            let name = feed.feed.clone();
            if let Some(age) = feed.age_seconds {
                let gauge = metrics::gauge!("integration_feed_age_seconds", "connection" => connection.clone(), "feed" => name.clone());
                gauge.set(number(age));
            }
            for (class, count) in feed.backlog.classes() {
                metrics::gauge!(
                    "integration_feed_backlog",
                    "connection" => connection.clone(), "feed" => name.clone(), "class" => class
                )
                .set(number(count));
            }
            if let Some(audit) = &feed.audit {
                let gaps = audit.gaps.total().saturating_sub(audit.repaired);
                metrics::gauge!("integration_feed_audit_gaps", "connection" => connection.clone(), "feed" => name)
                    .set(number(gaps));
            }
        }
        if let Some(quota) = &self.quota {
            metrics::gauge!("integration_quota_left_units", "connection" => connection).set(number(quota.left));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn number(value: u64) -> f64 {
    value as f64
}
