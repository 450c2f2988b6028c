//! The accounts and how they are.

mod cards;

use std::collections::BTreeSet;

use axum::{Json, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use url::Url;

use super::{layout::Page, problem::Problem, request::Visit};
use crate::{
    connection::{Capability, Connection},
    error::{Remedy, Result},
    event::Phase,
    health::HealthState,
    hub::Hub,
    ids::{AppId, ConnectionId},
    oauth::AdminConsentState,
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
    /// Apps that an administrator has to allow first; on the first page, left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awaiting: Vec<AwaitingAdmin>,
}

/// An app that an administrator has to allow before somebody can connect.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AwaitingAdmin {
    /// The app.
    pub app: AppId,
    /// What people call the service; absent if the app is no longer offered.
    pub service: Option<String>,
    /// How it stands.
    pub state: AdminConsentState,
    /// Where an administrator allows it.
    pub url: Url,
    /// Why, and what to do; in English.
    pub remedy: Remedy,
    /// Until when the address is good (RFC 3339, UTC).
    pub expires_at: DateTime<Utc>,
}

/// How one account is: what [`Hub::health`] says, as far as it concerns a person.
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
    pub state: HealthState,
    /// Since when, where that is known (RFC 3339, UTC).
    pub since: Option<DateTime<Utc>>,
    /// Why somebody has to act, who, and how; in English.
    pub remedy: Option<Remedy>,
    /// What its sync is doing; absent before anything was looked at.
    pub phase: Option<Phase>,
    /// Items listed so far by the running enumeration.
    pub listed: u64,
    /// Items that are known and wait to be fetched.
    pub pending: u64,
    /// Items that could not be understood and are kept aside.
    pub quarantined: u64,
    /// How long the waiting items take within the quota, once everything is listed.
    pub eta_seconds: Option<u64>,
    /// When the service last answered (RFC 3339, UTC), true to a minute.
    pub last_success: Option<DateTime<Utc>>,
    /// What the person allowed.
    pub allowed: BTreeSet<Capability>,
    /// What is offered and was not allowed.
    pub not_allowed: BTreeSet<Capability>,
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
    let mut accounts = Vec::new();
    for connection in shown {
        let offer = visit.web.options.offer(&connection.app);
        let mut account = status_of(&visit.web.hub, &connection).await?;
        account.service = offer.map(|offer| offer.name.clone());
        let offered = offer.map(|offer| offer.capabilities.clone()).unwrap_or_default();
        account.not_allowed = offered.difference(&account.allowed).copied().collect();
        accounts.push(account);
    }
    let busy = accounts.iter().any(|account| account.state == HealthState::Loading);
    let awaiting = if page == 1 { awaiting(visit).await? } else { Vec::new() };
    Ok(Status { version: 1, accounts, busy, page, pages, awaiting })
}

/// What is neither proved nor over.
async fn awaiting(visit: &Visit) -> Result<Vec<AwaitingAdmin>, Problem> {
    let (web, now) = (&visit.web, visit.web.hub.now());
    let records = web.hub.admin_consents(&visit.visitor.tenant).await?.into_iter();
    let open = records.filter(|record| record.state != AdminConsentState::Proved && now < record.expires_at);
    let shown = open.map(|record| AwaitingAdmin {
        service: web.options.offer(&record.app).map(|offer| offer.name.clone()),
        app: record.app,
        state: record.state,
        url: record.url,
        remedy: record.remedy,
        expires_at: record.expires_at,
    });
    Ok(shown.collect())
}

/// The one place that turns what the hub knows of a connection into what the pages say of it. Asks no service.
async fn status_of(hub: &Hub, connection: &Connection) -> Result<AccountStatus> {
    let health = hub.health(&connection.tenant, &connection.id).await?;
    let feeds = &health.feeds;
    // The feed that is furthest behind speaks for the account.
    let phase = feeds.iter().filter_map(|feed| feed.phase).min_by_key(|phase| match phase {
        Phase::Listing => 0,
        Phase::Fetching => 1,
        Phase::UpToDate => 2,
    });
    Ok(AccountStatus {
        id: connection.id.clone(),
        app: connection.app.clone(),
        service: None,
        label: health.account,
        state: health.state,
        since: health.since,
        remedy: health.remedy,
        phase,
        listed: feeds.iter().map(|feed| feed.backlog.listed).sum(),
        pending: feeds.iter().map(|feed| feed.backlog.pending).sum(),
        quarantined: feeds.iter().map(|feed| feed.backlog.quarantined).sum(),
        eta_seconds: feeds.iter().filter_map(|feed| feed.eta_seconds).max(),
        last_success: feeds.iter().filter_map(|feed| feed.last_success).min(),
        allowed: connection.capabilities.clone(),
        not_allowed: BTreeSet::new(),
    })
}
