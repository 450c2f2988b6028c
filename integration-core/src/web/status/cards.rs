//! The status page's body.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{AccountStatus, AwaitingAdmin, Status};
use crate::{
    connection::Capability,
    event::Phase,
    health::HealthState,
    oauth::AdminConsentState,
    web::{
        layout::remedy,
        outcome::address,
        request::Visit,
        strings::{Strings, fill},
    },
};

pub(super) fn body(visit: &Visit, status: &Status) -> Markup {
    let strings = visit.strings();
    html! {
        h1 { (strings.status_title) }
        @if let Some(notice) = notice(visit) { p.notice role="status" { (notice) } }
        @for waiting in &status.awaiting { section.card { (awaiting(strings, waiting)) } }
        div id="accounts" data-busy=[status.busy.then_some("yes")] {
            @if status.accounts.is_empty() {
                p.card { (strings.status_empty) }
            } @else {
                ul.cards { @for account in &status.accounts { li.card { (card(visit, account)) } } }
            }
        }
        p.muted role="status" id="summary" { @if status.busy { (strings.status_updates) } }
        @if status.pages > 1 { (pages(visit, status)) }
        p.actions { a.button href=(visit.web.options.path("connect")) { (strings.navigation_connect) } }
    }
}

/// An app that an administrator has to allow first.
fn awaiting(strings: &Strings, waiting: &AwaitingAdmin) -> Markup {
    let service = [("service", waiting.service.as_deref().unwrap_or(&strings.the_service))];
    html! {
        h2 { (strings.admin_wait_title) @if let Some(name) = &waiting.service { " " span.muted { "(" (name) ")" } } }
        @match waiting.state {
            AdminConsentState::Allowed => { p { (fill(&strings.admin_claimed, &service)) } }
            AdminConsentState::Declined => { p { (fill(&strings.admin_refused, &service)) } (address(strings, &waiting.url)) }
            AdminConsentState::Awaiting | AdminConsentState::Proved => {
                (remedy(strings, &waiting.remedy)) (address(strings, &waiting.url))
            }
        }
    }
}

/// Only words of our own: what a link says is never shown.
fn notice(visit: &Visit) -> Option<&str> {
    match visit.query.get("notice") {
        Some("disconnected") => Some(&visit.strings().notice_disconnected),
        Some("erased") => Some(&visit.strings().notice_erased),
        _ => None,
    }
}

fn card(visit: &Visit, account: &AccountStatus) -> Markup {
    let (strings, id) = (visit.strings(), &account.id);
    let page = |page: &str| format!("{}?connection={id}", visit.web.options.path(page));
    html! {
        div.top {
            h2 id={ "name-" (id) } { (account.label) @if let Some(service) = &account.service { " " span.muted { "(" (service) ")" } } }
            p class={ "state " (account.state.as_str()) } { (state(strings, account.state)) }
        }
        @if let Some(what) = &account.remedy { (remedy(strings, what)) }
        (doing(strings, account))
        (allowances(strings, account))
        p.actions {
            @if visit.web.options.offer(&account.app).is_some() {
                a.button.quiet[account.state != HealthState::NeedsAttention] id={ "reconnect-" (id) }
                    aria-labelledby={ "reconnect-" (id) " name-" (id) } href=(page("reconnect")) {
                    (strings.reconnect_button)
                }
            }
            a.button.quiet id={ "disconnect-" (id) } aria-labelledby={ "disconnect-" (id) " name-" (id) }
                href=(page("disconnect")) {
                (if account.state == HealthState::Disconnected { &strings.erase_button } else { &strings.disconnect_button })
            }
        }
    }
}

fn state(strings: &Strings, state: HealthState) -> &str {
    match state {
        HealthState::Disconnected => &strings.state_disconnected,
        HealthState::Failing => &strings.state_failing,
        HealthState::Loading => &strings.state_loading,
        HealthState::NeedsAttention => &strings.state_needs_attention,
        HealthState::Paused => &strings.state_paused,
        HealthState::Stale => &strings.state_stale,
        HealthState::UpToDate => &strings.state_up_to_date,
    }
}

/// What is going on, in a sentence. Nothing claims a share of a whole that is not known.
fn doing(strings: &Strings, account: &AccountStatus) -> Markup {
    let (listed, pending) = (account.listed.to_string(), account.pending.to_string());
    let text = match (account.state, account.phase) {
        (HealthState::Disconnected, _) => &strings.disconnected_text,
        (HealthState::Failing, _) => &strings.failing_text,
        (HealthState::Paused, _) => &strings.paused_text,
        (HealthState::Stale, _) => &strings.stale_text,
        (HealthState::Loading, Some(Phase::Listing)) => &strings.phase_listing,
        (HealthState::Loading, Some(Phase::Fetching)) => &strings.phase_fetching,
        // The first slice has not come to its end yet, but has found something.
        (HealthState::Loading, _) if account.pending > 0 => &strings.phase_fetching,
        (HealthState::Loading, _) => &strings.phase_starting,
        (HealthState::NeedsAttention | HealthState::UpToDate, _) => "",
    };
    let loading = account.state == HealthState::Loading;
    let minutes = account.eta_seconds.filter(|_| loading).map(|seconds| seconds.div_ceil(60).to_string());
    html! {
        @if !text.is_empty() { p { (fill(text, &[("listed", &listed), ("pending", &pending)]))
            @if let Some(minutes) = minutes { " " (fill(&strings.eta, &[("minutes", &minutes)])) } } }
        @if loading { progress aria-label=(strings.state_loading) {} }
        @if let Some(at) = account.last_success {
            p.muted { (fill(&strings.last_success, &[("when", &at.format("%Y-%m-%d %H:%M UTC").to_string())])) }
        }
        @if account.quarantined > 0 {
            p.muted { (fill(&strings.quarantined, &[("count", &account.quarantined.to_string())])) }
        }
    }
}

fn allowances(strings: &Strings, account: &AccountStatus) -> Markup {
    let words = |these: &BTreeSet<Capability>| {
        these.iter().map(|&one| strings.capability(one).0).collect::<Vec<_>>().join(", ")
    };
    html! {
        @if !account.allowed.is_empty() && account.state != HealthState::Disconnected { p.muted { (strings.allowed) " " (words(&account.allowed)) } }
        @if !account.not_allowed.is_empty() && account.state != HealthState::Disconnected {
            p { strong { (strings.not_allowed) } " " (words(&account.not_allowed)) }
        }
    }
}

fn pages(visit: &Visit, status: &Status) -> Markup {
    let (strings, path) = (visit.strings(), visit.web.options.path("status"));
    let (page, last) = (status.page.to_string(), status.pages.to_string());
    let words = fill(&strings.page_of, &[("page", &page), ("pages", &last)]);
    html! {
        nav aria-label=(words) {
            p.actions {
                span { (words) }
                @if status.page > 1 { a href={ (path) "?page=" (status.page - 1) } { (strings.page_before) } }
                @if status.page < status.pages { a href={ (path) "?page=" (status.page + 1) } { (strings.page_after) } }
            }
        }
    }
}
