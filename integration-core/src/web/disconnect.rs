//! Ending a connection: what is to be forgotten, and forgetting it.

use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::{
    connect::hidden,
    layout::Page,
    problem::Problem,
    request::{CODE, Submission, Visit},
    strings::fill,
};
use crate::{connection::ConnectionStatus, oauth::Forget};

/// Asks once more, and what is to happen to what was synced.
pub(super) async fn ask(visit: Visit) -> Result<Response, Problem> {
    let connection = visit.connection(visit.query.required("connection")?).await?;
    let (strings, code) = (visit.strings(), visit.form_code().await?);
    let offer = visit.web.options.offer(&connection.app);
    let service = [("service", offer.map_or(&*strings.the_service, |offer| &offer.name))];
    let title = fill(&strings.disconnect_title, &[("account", &connection.account.label)]);
    let choices = [
        ("keep", &strings.disconnect_keep, &strings.disconnect_keep_text),
        ("erase", &strings.disconnect_erase, &strings.disconnect_erase_text),
    ];
    // Of an account that was disconnected before, there is only what was synced left to decide about.
    let chosen = if connection.status == ConnectionStatus::Disconnected { "erase" } else { "keep" };
    let body = html! {
        section.card {
            h1 { (title) }
            @match visit.web.hub.removal_page(&connection) {
                Some(page) => {
                    p { (fill(&strings.disconnect_by_hand, &service)) }
                    p { a href=(page) rel="noreferrer" target="_blank" { (fill(&strings.disconnect_page, &service)) } }
                }
                None => { p { (fill(&strings.disconnect_lead, &service)) } }
            }
            form method="post" action=(visit.web.options.path("disconnect")) {
                (hidden(&[(CODE, &code), ("connection", connection.id.as_str())]))
                fieldset {
                    legend { (strings.disconnect_choice) }
                    @for (value, words, text) in choices {
                        div.choice {
                            input type="radio" name="data" id=(value) value=(value) checked[value == chosen]
                                aria-describedby={ (value) "-text" };
                            label for=(value) { (words) }
                            p id={ (value) "-text" } { (fill(text, &service)) }
                        }
                    }
                }
                div.actions {
                    button { (strings.disconnect_confirm) }
                    a.button.quiet href=(visit.web.options.path("status")) { (strings.cancel) }
                }
            }
        }
    };
    Ok(visit.page(Page::new(title, body)))
}

/// Carries it out, also if the browser does not wait for the end.
pub(super) async fn carry_out(submission: Submission) -> Result<Response, Problem> {
    let Submission { visit, form } = submission;
    let (forget, notice) = match form.required("data")? {
        "keep" => (Forget::SecretsOnly, "disconnected"),
        "erase" => (Forget::Everything, "erased"),
        _ => return Err(Problem::BadRequest),
    };
    let id = visit.connection(form.required("connection")?).await?.id;
    let (hub, tenant) = (visit.web.hub.clone(), visit.visitor.tenant.clone());
    let done = tokio::spawn(async move { hub.disconnect(&tenant, &id, forget).await }).await;
    done.map_err(|_| Problem::Unavailable)??;
    Ok(Redirect::to(&format!("{}?notice={notice}", visit.web.options.path("status"))).into_response())
}
