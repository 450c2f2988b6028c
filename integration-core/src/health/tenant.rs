//! How a tenant's connections are, taken together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{HealthState, number};
use crate::{
    error::Remedy,
    ids::{AppId, ConnectionId, TenantId},
    page::PageToken,
};

/// How a tenant's connections are; a page of them, the worst first.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TenantHealth {
    /// [`FORMAT`](super::FORMAT).
    pub format: u16,
    /// When it was looked at.
    pub checked_at: DateTime<Utc>,
    /// All connections, whatever their state.
    pub total: u64,
    /// How many are in which state; every state is named.
    pub counts: BTreeMap<HealthState, u64>,
    /// How many need somebody.
    pub needing_attention: u64,
    /// The last success of the connection that has waited longest, of those that are worked on.
    pub oldest_success: Option<DateTime<Utc>>,
    /// How long ago that is.
    pub oldest_age_seconds: Option<u64>,
    /// This page of connections, the worst first, then those that have waited longest.
    pub connections: Vec<ConnectionSummary>,
    /// What to pass for the next page.
    pub next: Option<PageToken>,
}

/// One line about a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionSummary {
    /// Which.
    pub connection: ConnectionId,
    /// With which app.
    pub app: AppId,
    /// What a person recognises the account by.
    pub account: String,
    /// In one word.
    pub state: HealthState,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// Who has to act and how, if anybody.
    pub remedy: Option<Remedy>,
    /// The last time that the service was asked and answered, true to a minute.
    pub last_success: Option<DateTime<Utc>>,
}

impl TenantHealth {
    /// Sets the gauges `integration_connections` (by state) and `integration_oldest_success_age_seconds` from these values.
    pub fn record(&self, tenant: &TenantId) {
        for (state, count) in &self.counts {
            let tenant = tenant.to_string();
            metrics::gauge!("integration_connections", "tenant" => tenant, "state" => state.as_str())
                .set(number(*count));
        }
        if let Some(age) = self.oldest_age_seconds {
            metrics::gauge!("integration_oldest_success_age_seconds", "tenant" => tenant.to_string()).set(number(age));
        }
    }
}
