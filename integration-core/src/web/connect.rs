//! Choosing a service, and setting out for it.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};

use super::{
    Shared,
    cookies::Cookie,
    forms,
    layout::Page,
    options::Offer,
    problem::Problem,
    request::{CODE, Submission, Visit},
    strings::fill,
};
use crate::{
    ids::{AppId, TenantId},
    oauth::{AdminConsentAsk, Authorise, BrowserBinding},
};

/// The app that is meant, in forms and queries.
pub(super) const APP: &str = "app";
/// What its service demanded to be proved: came with a sign-in that ended for lack of it, and goes with the next one.
pub(super) const CLAIMS: &str = "claims";
/// Whoever can make somebody open an address chooses what is in it: a challenge of a service is small, and JSON.
const LONGEST_CLAIMS: usize = 4096;

/// The services there are, with what each will ask for.
pub(super) async fn choose(visit: Visit) -> Result<Response, Problem> {
    let (strings, code) = (visit.strings(), visit.form_code().await?);
    let offers = &visit.web.options.offers;
    let body = html! {
        h1 { (strings.connect_title) }
        @if offers.is_empty() { p.card { (strings.connect_none) } } @else { p { (strings.connect_lead) } }
        @for offer in offers {
            section.card aria-labelledby={ "offer-" (offer.app) } {
                h2 id={ "offer-" (offer.app) } { (offer.name) }
                (asks(&visit, offer))
                form method="post" action=(visit.web.options.path("connect")) target=[visit.web.sheet.target()] {
                    (hidden(&[(CODE, &code), (APP, offer.app.as_str())]))
                    @if let Some(claims) = visit.query.get(CLAIMS).filter(|_| visit.query.get(APP) == Some(offer.app.as_str())) {
                        (hidden(&[(CLAIMS, claims)]))
                    }
                    button { (fill(&strings.connect_button, &[("service", &offer.name)])) }
                }
                @if visit.web.hub.asks_administrators(&offer.app) { (for_administrators(&visit, offer, &code)) }
            }
        }
    };
    Ok(visit.page(Page::new(&*strings.connect_title, body).with_current("connect")))
}

/// Whose organisation keeps people from allowing the app often never comes back from the service: the way on is here.
fn for_administrators(visit: &Visit, offer: &Offer, code: &str) -> Markup {
    let strings = visit.strings();
    html! {
        form method="post" action=(visit.web.options.path("administrator")) {
            (hidden(&[(CODE, code), (APP, offer.app.as_str())]))
            p.muted { (fill(&strings.admin_ask_text, &[("service", &offer.name)])) }
            button.quiet { (strings.admin_ask_button) }
        }
    }
}

/// Makes the address for an administrator, which the status page then shows.
pub(super) async fn ask_administrator(submission: Submission) -> Result<Response, Problem> {
    let Submission { visit, form } = submission;
    let (web, app) = (&visit.web, AppId::new(form.required(APP)?));
    let offer = web.options.offer(&app).filter(|_| web.hub.asks_administrators(&app)).ok_or(Problem::NotFound)?;
    let ask = AdminConsentAsk::new(offer.capabilities.iter().copied(), web.options.callback());
    web.hub.request_admin_consent(&visit.visitor.tenant, &app, &ask).await?;
    Ok(Redirect::to(&web.options.path("status")).into_response())
}

/// The same account once more.
pub(super) async fn choose_again(visit: Visit) -> Result<Response, Problem> {
    let connection = visit.connection(visit.query.required("connection")?).await?;
    let offer = visit.web.options.offer(&connection.app).ok_or(Problem::NotFound)?;
    let (strings, code) = (visit.strings(), visit.form_code().await?);
    let account = [("account", connection.account.label.as_str())];
    let title = fill(&strings.reconnect_title, &account);
    let body = html! {
        section.card {
            h1 { (title) }
            p { (fill(&strings.reconnect_lead, &account)) }
            (asks(&visit, offer))
            form method="post" action=(visit.web.options.path("reconnect")) target=[visit.web.sheet.target()] {
                (hidden(&[(CODE, &code), ("connection", connection.id.as_str())]))
                div.actions {
                    button { (fill(&strings.connect_button, &[("service", &offer.name)])) }
                    a.button.quiet href=(visit.web.options.path("status")) { (strings.cancel) }
                }
            }
        }
    };
    Ok(visit.page(Page::new(title, body)))
}

/// Off to the service.
pub(super) async fn begin(submission: Submission) -> Result<Response, Problem> {
    let Submission { visit, form } = submission;
    let offer = visit.web.options.offer(&AppId::new(form.required(APP)?)).ok_or(Problem::NotFound)?;
    let mut ask = Authorise::new(offer.capabilities.iter().copied(), visit.web.options.callback());
    ask.claims = form.get(CLAIMS).map(demanded).transpose()?;
    set_out(&visit, offer, ask).await
}

/// Off to the service, to connect the same account again. The consent page is shown even if nothing new is asked for: whoever
/// left something out wants to see the boxes.
pub(super) async fn begin_again(State(web): State<Shared>, submission: Submission) -> Result<Response, Problem> {
    let Submission { visit, form } = submission;
    let connection = visit.connection(form.required("connection")?).await?;
    let offer = web.options.offer(&connection.app).ok_or(Problem::NotFound)?;
    let ask = Authorise::new(offer.capabilities.iter().copied(), web.options.callback());
    set_out(&visit, offer, ask.with_reconnect(connection.id.clone()).with_forced_consent()).await
}

fn demanded(claims: &str) -> Result<String, Problem> {
    let is_challenge = claims.len() <= LONGEST_CLAIMS
        && serde_json::from_str::<serde_json::Value>(claims).is_ok_and(|claims| claims.is_object());
    if is_challenge { Ok(claims.to_owned()) } else { Err(Problem::BadRequest) }
}

async fn set_out(visit: &Visit, offer: &Offer, ask: Authorise) -> Result<Response, Problem> {
    let web = &visit.web;
    let cookie = visit.binding.clone().unwrap_or_else(|| web.hub.fresh_token());
    let binding = BrowserBinding::from_cookie(forms::binding(&cookie, &visit.visitor));
    let tenant: &TenantId = &visit.visitor.tenant;
    let authorisation = web.hub.authorise(tenant, &offer.app, ask.with_binding(binding)).await?;
    let mut response = Redirect::to(authorisation.url.as_str()).into_response();
    // `None` only for a cookie that was not read or made as ours.
    let set = web.cookies.set(Cookie::Binding, &cookie).ok_or(Problem::Failed)?;
    response.headers_mut().append(header::SET_COOKIE, set);
    Ok(response)
}

/// What will be asked, and why.
fn asks(visit: &Visit, offer: &Offer) -> Markup {
    let (strings, service) = (visit.strings(), [("service", offer.name.as_str())]);
    html! {
        p { (fill(&strings.connect_asks, &service)) }
        ul.asks {
            @for (what, why) in offer.capabilities.iter().map(|&one| strings.capability(one)) {
                li { (what) " " span { "– " (why) } }
            }
        }
        p.muted { (fill(&strings.connect_undo, &service)) }
    }
}

/// Fields that a person does not see.
pub(super) fn hidden(fields: &[(&str, &str)]) -> Markup {
    html! { @for (name, value) in fields { input type="hidden" name=(name) value=(value); } }
}
