//! Where the service sends the browser back to.

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    Shared, forms,
    host::Visitor,
    outcome,
    problem::Problem,
    request::{Visit, wanted_language},
};
use crate::{
    connection::Connection,
    contain::contained,
    oauth::{BrowserBinding, CallbackQuery, ConnectOutcome},
};

/// Ends a sign-in and says how it ended.
///
/// The address of this page holds a code. It is used up before the page is shown, the page leads nowhere that would be told
/// the address, and nobody keeps it.
pub(super) async fn end(
    State(web): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    visit: Result<Visit, Problem>,
) -> Result<Response, Problem> {
    let mut response = match visit {
        Ok(visit) => end_own(visit).await?,
        Err(problem @ (Problem::Forbidden | Problem::SignIn(_))) => {
            let answered = of_an_administrator(&web, &query.unwrap_or_default(), &headers).await?;
            answered.ok_or(problem)?
        }
        Err(problem) => return Err(problem),
    };
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

async fn end_own(visit: Visit) -> Result<Response, Problem> {
    let query = CallbackQuery::parse(&visit.raw_query)?;
    // Who has no cookie began nothing here: an empty one fits no sign-in.
    let cookie = visit.binding.as_deref().unwrap_or_default();
    let binding = BrowserBinding::from_cookie(forms::binding(cookie, &visit.visitor));
    let completion = visit.web.hub.complete(&query, &binding).await?;
    if let ConnectOutcome::Granted { connections, .. }
    | ConnectOutcome::GrantedInPart { connections, .. }
    | ConnectOutcome::NeedsAttention { connections, .. } = &completion.outcome
    {
        tell_host(&visit, &visit.visitor, connections).await;
    }
    Ok(visit.page(outcome::page(&visit.web, visit.strings(), &completion)))
}

/// An administrator who allows an app at the service is often nobody whom the host knows. `None` for everybody else: without a
/// binding nothing of a sign-in is used up, whoever brings its state.
async fn of_an_administrator(web: &Shared, query: &str, headers: &HeaderMap) -> Result<Option<Response>, Problem> {
    let (query, nobody) = (CallbackQuery::parse(query)?, BrowserBinding::from_cookie(""));
    let completion = web.hub.complete(&query, &nobody).await?;
    if completion.app.is_none() {
        return Ok(None);
    }
    let strings = web.options.catalogues.choose(&wanted_language(headers));
    let page = outcome::page(web, strings, &completion);
    Ok(Some((page.status, web.document(strings, None, &page)).into_response()))
}

async fn tell_host(visit: &Visit, visitor: &Visitor, connections: &[Connection]) {
    let call = visit.web.host.connected(visitor, connections);
    if let Err(error) = contained("note of who connected an account", visit.web.options.patience, call).await {
        tracing::error!(%error, "an account was connected, but the host did not take note");
    }
}

#[cfg(test)]
mod tests;
