//! The accounts and how they are.

mod cards;

use std::collections::BTreeSet;

use axum::{Json, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{layout::Page, problem::Problem, request::Visit};
use crate::{
    connection::{Capability, Connection, ConnectionStatus, GrantStatus},
    error::{Actor, Remedy, Result},
    hub::Hub,
    ids::{AppId, ConnectionId},
};

/// So many accounts are shown at once.
const PAGE: usize = 50;

/// What `status.json` says. Fields are only ever added.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The form of this answer: 1.
    pub version: u16,
    /// The accounts of this page, by connection id: at most 50.
    pub accounts: Vec<AccountStatus>,
    /// Is anything on this page still being synced?
    pub busy: bool,
    /// Which page this is, from 1: the parameter `page`.
    pub page: usize,
    /// How many pages there are; at least 1.
    pub pages: usize,
}

/// How one account is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AccountStatus {
    /// The connection.
    pub id: ConnectionId,
    /// The app it was connected with.
    pub app: AppId,
    /// What people call the service; absent if the app is no longer offered.
    pub service: Option<String>,
    /// What people call the account.
    pub label: String,
    /// How it is.
    pub state: AccountState,
    /// What its sync is doing, while the state is `syncing`.
    pub phase: Option<AccountPhase>,
    /// Items listed so far by the running enumeration.
    pub listed: u64,
    /// Items that are known and wait to be fetched.
    pub pending: u64,
    /// When everything was last compared with the service (RFC 3339, UTC).
    pub compared_at: Option<DateTime<Utc>>,
    /// Since when somebody has to act (RFC 3339, UTC).
    pub attention_since: Option<DateTime<Utc>>,
    /// Why somebody has to act, who, and how; in English.
    pub remedy: Option<Remedy>,
    /// What the person allowed.
    pub allowed: BTreeSet<Capability>,
    /// What is offered and was not allowed.
    pub not_allowed: BTreeSet<Capability>,
}

/// How an account is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountState {
    /// It was disconnected; what was synced may still be there.
    Disconnected,
    /// Somebody has to act: see the remedy.
    NeedsAttention,
    /// The host has paused it.
    Paused,
    /// Something is waiting to be listed or fetched.
    Syncing,
    /// Nothing is waiting.
    UpToDate,
}

/// What the sync of an account is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountPhase {
    /// Everything is listed; the waiting items are fetched.
    Fetching,
    /// Finding out what there is, fetching meanwhile.
    Listing,
    /// Nothing has been looked at yet.
    Starting,
}

impl AccountState {
    /// A stable lower-case word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::NeedsAttention => "needs_attention",
            Self::Paused => "paused",
            Self::Syncing => "syncing",
            Self::UpToDate => "up_to_date",
        }
    }
}

/// The page for people.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let status = read(&visit).await?;
    let body = cards::body(&visit, &status);
    let mut page = Page::new(&*visit.strings().status_title, body).with_current("status");
    page.live = status.busy;
    Ok(visit.page(page))
}

/// The same for programs.
pub(super) async fn json(visit: Visit) -> Result<Json<Status>, Problem> {
    read(&visit).await.map(Json)
}

async fn read(visit: &Visit) -> Result<Status, Problem> {
    let connections = visit.connections().await?;
    let pages = connections.len().div_ceil(PAGE).max(1);
    let page = match visit.query.get("page") {
        Some(page) => page.parse().map_err(|_| Problem::BadRequest)?,
        None => 1,
    };
    if !(1..=pages).contains(&page) {
        return Err(Problem::NotFound);
    }
    let shown = connections.into_iter().skip((page - 1) * PAGE).take(PAGE);
    let grants = visit.web.hub.grant_statuses(&visit.visitor.tenant).await?;
    let mut accounts = Vec::new();
    for connection in shown {
        let offer = visit.web.options.offer(&connection.app);
        let grant = grants.get(&connection.grant);
        let mut account = status_of(&visit.web.hub, &connection, grant).await?;
        account.service = offer.map(|offer| offer.name.clone());
        let offered = offer.map(|offer| offer.capabilities.clone()).unwrap_or_default();
        account.not_allowed = offered.difference(&account.allowed).copied().collect();
        accounts.push(account);
    }
    let busy = accounts.iter().any(|account| account.state == AccountState::Syncing);
    Ok(Status { version: 1, accounts, busy, page, pages })
}

/// The one place that turns what the hub knows of a connection into what the pages say of it. Asks no service.
async fn status_of(hub: &Hub, connection: &Connection, grant: Option<&GrantStatus>) -> Result<AccountStatus> {
    let (walks, pending) = (hub.walks(connection).await?, hub.pending(&connection.tenant, &connection.id).await?);
    let (attention_since, remedy) = attention(connection, grant);
    let phase = match (walks.begun, walks.listing, pending) {
        (false, ..) => Some(AccountPhase::Starting),
        (true, true, _) => Some(AccountPhase::Listing),
        (true, false, 1..) => Some(AccountPhase::Fetching),
        (true, false, 0) => None,
    };
    let state = match connection.status {
        ConnectionStatus::Disconnected => AccountState::Disconnected,
        ConnectionStatus::Paused => AccountState::Paused,
        ConnectionStatus::NeedsAttention => AccountState::NeedsAttention,
        ConnectionStatus::Active if remedy.is_some() => AccountState::NeedsAttention,
        ConnectionStatus::Active if phase.is_some() => AccountState::Syncing,
        ConnectionStatus::Active => AccountState::UpToDate,
    };
    Ok(AccountStatus {
        id: connection.id.clone(),
        app: connection.app.clone(),
        service: None,
        label: connection.account.label.clone(),
        state,
        phase: phase.filter(|_| state == AccountState::Syncing),
        listed: walks.listed,
        pending,
        compared_at: walks.compared_at,
        attention_since,
        remedy: remedy.filter(|_| state == AccountState::NeedsAttention),
        allowed: connection.capabilities.clone(),
        not_allowed: BTreeSet::new(),
    })
}

/// Since when, and why, somebody has to act.
fn attention(connection: &Connection, grant: Option<&GrantStatus>) -> (Option<DateTime<Utc>>, Option<Remedy>) {
    match grant {
        Some(GrantStatus::Degraded { since, remedy } | GrantStatus::NeedsAttention { since, remedy }) => {
            (Some(*since), Some(remedy.clone()))
        }
        _ if connection.status == ConnectionStatus::NeedsAttention => {
            let cause = "The sign-in no longer opens this account.";
            (None, Some(Remedy::new(cause, Actor::Person, "Connect the account again.")))
        }
        _ => (None, None),
    }
}
