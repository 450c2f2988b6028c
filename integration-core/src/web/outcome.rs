//! A page for every way a sign-in can end.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use maud::{Markup, html};
use url::Url;

use super::{
    Web,
    connect::{APP, CLAIMS},
    layout::{Page, remedy},
    strings::{Strings, fill},
};
use crate::{
    connection::{Capability, Connection},
    error::Remedy,
    ids::ConnectionId,
    oauth::{Completion, ConnectOutcome},
};

/// Title, what is said below it, and the status for machines.
struct Told {
    title: String,
    text: Markup,
    status: StatusCode,
    next: Next,
}

/// Where a person goes from here.
enum Next {
    Accounts,
    /// The same account again, with these words.
    Again(ConnectionId, String),
    Begin,
    /// Once more, with the claims that the service demanded: this app, and its query for the page.
    Proving(String),
}

pub(super) fn page(web: &Web, strings: &Strings, completion: &Completion) -> Page<'static> {
    let told = tell(web, strings, completion);
    let body = html! {
        section.card {
            h1 { (told.title) }
            (told.text)
            (ways_on(web, strings, told.next))
        }
    };
    Page::new(told.title, body).with_status(told.status)
}

fn tell(web: &Web, strings: &Strings, completion: &Completion) -> Told {
    let offer = completion.app.as_ref().and_then(|app| web.options.offer(app));
    let service = offer.map_or(&*strings.the_service, |offer| &offer.name);
    let named = |text: &str| fill(text, &[("service", service)]);
    let plain = |title: &str, text: &str, status| Told {
        title: named(title),
        text: line(&named(text)),
        status,
        next: Next::Begin,
    };
    match &completion.outcome {
        ConnectOutcome::AdminAllowed => {
            plain(&strings.admin_allowed_title, &strings.admin_allowed_text, StatusCode::OK)
        }
        ConnectOutcome::AdminDeclined => {
            plain(&strings.admin_declined_title, &strings.admin_declined_text, StatusCode::OK)
        }
        ConnectOutcome::AwaitingAdminConsent { url, remedy: what, .. } => Told {
            text: html! { (remedy(strings, what)) (address(strings, url)) },
            ..plain(&strings.admin_wait_title, "", StatusCode::OK)
        },
        ConnectOutcome::Granted { connections, .. } => Told {
            title: fill(&strings.granted_title, &[("account", &labels(connections))]),
            text: line(&strings.granted_text),
            status: StatusCode::OK,
            next: Next::Accounts,
        },
        ConnectOutcome::GrantedInPart { connections, missing, .. } => in_part(strings, service, connections, missing),
        ConnectOutcome::NeedsAttention { connections, remedy: what, .. } => Told {
            title: fill(&strings.attention_title, &[("account", &labels(connections))]),
            text: remedy(strings, what),
            status: StatusCode::OK,
            next: Next::Accounts,
        },
        ConnectOutcome::Expired => plain(&strings.expired_title, &strings.expired_text, StatusCode::GONE),
        ConnectOutcome::Mismatched { reason } => Told {
            text: html! { p { (strings.mismatch(*reason)) } p { (strings.mismatched_text) } },
            ..plain(&strings.mismatched_title, "", StatusCode::BAD_REQUEST)
        },
        ConnectOutcome::OtherAccount { expected, chosen } => Told {
            text: line(&fill(&strings.other_account_text, &[("expected", expected), ("chosen", chosen)])),
            ..plain(&strings.other_account_title, "", StatusCode::CONFLICT)
        },
        ConnectOutcome::OtherBrowser => {
            plain(&strings.other_browser_title, &strings.other_browser_text, StatusCode::FORBIDDEN)
        }
        ConnectOutcome::Refused { .. } => plain(&strings.refused_title, &strings.refused_text, StatusCode::OK),
        ConnectOutcome::Replayed => Told {
            next: Next::Accounts,
            ..plain(&strings.replayed_title, &strings.replayed_text, StatusCode::CONFLICT)
        },
        ConnectOutcome::ServiceError { error, remedy: what } => Told {
            text: html! {
                (remedy(strings, what))
                p.muted { (fill(&strings.service_error_code, &[("code", error)])) }
            },
            next: proving(completion, what).unwrap_or(Next::Begin),
            ..plain(&strings.service_error_title, "", StatusCode::BAD_GATEWAY)
        },
    }
}

/// The service demanded a further proof at the first look: it is asked for when the person sets out again.
fn proving(completion: &Completion, what: &Remedy) -> Option<Next> {
    let (app, claims) = (completion.app.as_ref()?, what.claims.as_ref()?);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    Some(Next::Proving(query.append_pair(APP, app.as_str()).append_pair(CLAIMS, claims).finish()))
}

/// What a person hands on to an administrator.
pub(super) fn address(strings: &Strings, url: &Url) -> Markup {
    html! {
        p { (strings.admin_wait_text) }
        p {
            label { (strings.admin_wait_address) " " input type="text" readonly value=(url); }
        }
    }
}

fn in_part(strings: &Strings, service: &str, connections: &[Connection], missing: &BTreeSet<Capability>) -> Told {
    let named = |text: &str| fill(text, &[("service", service)]);
    let text = html! {
        p { (strings.part_missing) }
        ul { @for &one in missing { li { (strings.capability(one).0) } } }
        p { (named(&strings.part_again)) }
    };
    let again = connections.first().map(|first| Next::Again(first.id.clone(), named(&strings.part_button)));
    Told {
        title: fill(&strings.part_title, &[("account", &labels(connections))]),
        text,
        status: StatusCode::OK,
        next: again.unwrap_or(Next::Begin),
    }
}

/// Links only: the callback's page sends no referrer, and some browsers take a form without one for a foreign one.
fn ways_on(web: &Web, strings: &Strings, next: Next) -> Markup {
    let path = |page: &str| web.options.path(page);
    html! {
        p.actions {
            @match next {
                Next::Accounts => { a.button href=(path("status")) { (strings.to_accounts) } }
                Next::Again(id, words) => {
                    a.button href={ (path("reconnect")) "?connection=" (id) } { (words) }
                    a.button.quiet href=(path("status")) { (strings.to_accounts) }
                }
                Next::Begin => {
                    a.button href=(path("connect")) { (strings.begin_again) }
                    a.button.quiet href=(path("status")) { (strings.to_accounts) }
                }
                Next::Proving(query) => {
                    a.button href={ (path("connect")) "?" (query) } { (strings.begin_again) }
                    a.button.quiet href=(path("status")) { (strings.to_accounts) }
                }
            }
        }
    }
}

fn line(text: &str) -> Markup {
    html! { p { (text) } }
}

fn labels(connections: &[Connection]) -> String {
    let labels: Vec<&str> = connections.iter().map(|connection| connection.account.label.as_str()).collect();
    labels.join(", ")
}
