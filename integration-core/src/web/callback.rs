//! Where the service sends the browser back to.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};

use super::{forms, host::Visitor, outcome, problem::Problem, request::Visit};
use crate::{
    connection::Connection,
    contain::contained,
    oauth::{BrowserBinding, CallbackQuery, ConnectOutcome},
};

/// Ends a sign-in and says how it ended.
///
/// The address of this page holds a code. It is used up before the page is shown, the page leads nowhere that would be told
/// the address, and nobody keeps it.
pub(super) async fn end(visit: Visit) -> Result<Response, Problem> {
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
    let mut response = visit.page(outcome::page(&visit, &completion));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

async fn tell_host(visit: &Visit, visitor: &Visitor, connections: &[Connection]) {
    let call = visit.web.host.connected(visitor, connections);
    if let Err(error) = contained("note of who connected an account", visit.web.options.patience, call).await {
        tracing::error!(%error, "an account was connected, but the host did not take note");
    }
}
