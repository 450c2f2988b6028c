//! Grants and connections as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::capability::Capability;
use crate::{
    error::Remedy,
    ids::{AppId, ConnectionId, GrantId, TenantId},
};

/// An account at a service: a mailbox, an organisation, a company.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemoteAccount {
    /// The service's stable key, for comparing and for quota ledgers. Never an address where the service has better.
    pub id: String,
    /// What a person recognises: the address, the organisation's name.
    pub label: String,
    /// The account's own addresses, lower case; own mail is recognised by them.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What the connector keeps about it (base URL, region, realm).
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// How the host named it, where a grant opens what the host names; absent for what a sign-in opens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Other keys that the same account may go by, where the service tells the best one only to some grants. A connection
    /// that is known by one of them stays that connection, under the key it had first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_as: Vec<String>,
}

impl RemoteAccount {
    /// An account with the service's key and a label.
    pub fn new(id: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            addresses: Vec::new(),
            details: BTreeMap::new(),
            named: None,
            known_as: Vec::new(),
        }
    }

    /// Adds one of the account's own addresses.
    #[must_use]
    pub fn with_address(mut self, address: &str) -> Self {
        self.addresses.push(address.to_lowercase());
        self
    }

    /// Keeps something the connector has to know about it.
    #[must_use]
    pub fn with_detail(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// Adds another key that it may go by.
    #[must_use]
    pub fn with_known_as(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        if key != self.id && !self.known_as.contains(&key) {
            self.known_as.push(key);
        }
        self
    }

    /// Is it the account that `known` was, by another of its keys?
    #[cfg(feature = "oauth")]
    pub(crate) fn goes_by(&self, known: &Self) -> bool {
        self.known_as.contains(&known.id) || known.known_as.contains(&self.id)
    }

    /// Keeps how the host named it.
    #[must_use]
    pub fn with_named(mut self, name: impl Into<String>) -> Self {
        self.named = Some(name.into());
        self
    }
}

/// How a grant came to be.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantKind {
    /// The app acts on its own, for this subject (service account, client credentials).
    AppOnly {
        /// Whom it impersonates.
        subject: Option<String>,
    },
    /// A person signed in and consented.
    Delegated,
}

/// Whether a grant's tokens work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum GrantStatus {
    /// They do, as far as known.
    Active,
    /// Refreshing has failed for a while; it is tried again, less often.
    Degraded {
        /// Since when.
        since: DateTime<Utc>,
        /// What is the matter.
        remedy: Remedy,
    },
    /// Definitely not: somebody has to act.
    NeedsAttention {
        /// Since when.
        since: DateTime<Utc>,
        /// Who and how.
        remedy: Remedy,
    },
    /// Disconnected by us.
    Revoked,
}

/// What one person or administrator consented to with one app. Its tokens are in the [`TokenStore`](crate::store::TokenStore).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// Our id.
    pub id: GrantId,
    /// Whose.
    pub tenant: TenantId,
    /// With which app.
    pub app: AppId,
    /// How.
    pub kind: GrantKind,
    /// The signed-in person's stable id at the service (`sub`), if known.
    pub subject: Option<String>,
    /// The granted scopes, normalised: the truth about what is allowed.
    pub scopes: BTreeSet<String>,
    /// Whether its tokens work.
    pub status: GrantStatus,
    /// When it was first given.
    pub created_at: DateTime<Utc>,
}

/// Whether a connection is worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// Synced.
    Active,
    /// Forgotten, with or without its data.
    Disconnected,
    /// Its grant needs somebody.
    NeedsAttention,
    /// Stopped by the host.
    Paused,
}

/// One account reached through a grant. Keeps its id and sync state when reauthorised.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connection {
    /// Our id.
    pub id: ConnectionId,
    /// Whose.
    pub tenant: TenantId,
    /// With which app.
    pub app: AppId,
    /// Through which grant.
    pub grant: GrantId,
    /// The account.
    pub account: RemoteAccount,
    /// What the granted scopes allow.
    pub capabilities: BTreeSet<Capability>,
    /// Whether it is worked on.
    pub status: ConnectionStatus,
    /// When it was first made.
    pub created_at: DateTime<Utc>,
}

impl Grant {
    /// A fresh, active grant.
    #[must_use]
    pub fn new(id: GrantId, tenant: TenantId, app: AppId, kind: GrantKind, created_at: DateTime<Utc>) -> Self {
        let (subject, scopes, status) = (None, BTreeSet::new(), GrantStatus::Active);
        Self { id, tenant, app, kind, subject, scopes, status, created_at }
    }
}

impl Connection {
    /// A fresh, active connection of `grant` to `account`.
    #[must_use]
    pub fn new(id: ConnectionId, grant: &Grant, account: RemoteAccount, capabilities: BTreeSet<Capability>) -> Self {
        Self {
            id,
            tenant: grant.tenant.clone(),
            app: grant.app.clone(),
            grant: grant.id.clone(),
            account,
            capabilities,
            status: ConnectionStatus::Active,
            created_at: grant.created_at,
        }
    }
}

/// What to do about a connection that its grant opened once and does not open any more.
#[cfg(feature = "oauth")]
pub(crate) fn no_longer_opened() -> Remedy {
    let cause = "The sign-in no longer opens this account.";
    Remedy::new(cause, crate::error::Actor::Person, "Connect the account again, and choose it when you sign in.")
}
