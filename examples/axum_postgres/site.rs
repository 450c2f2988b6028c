//! The host's own pages, and who is at the browser.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use integration_core::{
    Error, Result,
    clock::{Random, SystemRandom},
    connection::{Capability, Connection, ConnectionStatus},
    hub::Hub,
    ids::TenantId,
    web::{Refusal, Visitor, WebHost},
};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use crate::{
    database::{Database, TENANT},
    outgoing::{self, Letter, Shown},
    timeline::lost,
};

/// What the pages work with.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) hub: Hub,
    pub(crate) database: Database,
}

/// Who is signed in. A real host has passwords and sessions; this one believes its cookie.
fn signed_in(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "crm_user").map(|(_, user)| user.to_owned())
}

#[async_trait]
impl WebHost for Site {
    async fn visitor(&self, request: &Parts) -> Result<Visitor, Refusal> {
        let user = signed_in(&request.headers).ok_or_else(|| Refusal::SignIn(Some("/login?as=ada".to_owned())))?;
        Ok(Visitor::new(TenantId::new(TENANT), &user).with_name(user))
    }

    async fn connected(&self, visitor: &Visitor, connections: &[Connection]) -> Result<()> {
        for connection in connections {
            let note = "INSERT INTO crm_owner (tenant, connection, owner) VALUES ($1, $2, $3) \
                        ON CONFLICT (tenant, connection) DO UPDATE SET owner = $3";
            let note = sqlx::query(note).bind(visitor.tenant.as_str()).bind(connection.id.as_str()).bind(&visitor.user);
            note.execute(&self.database.pool).await.map_err(lost)?;
        }
        Ok(())
    }
}

/// The host's routes.
pub(crate) fn router(site: Arc<Site>) -> Router {
    Router::new().route("/", get(home)).route("/login", get(log_in)).route("/send", post(send)).with_state(site)
}

/// What went wrong, for the person; the reason is for the log.
struct Trouble(Error);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        eprintln!("a page failed: {}", self.0);
        let body = html! { (DOCTYPE) title { "Not now" } h1 { "That did not work" } p { (self.0.kind()) } };
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}

#[derive(Debug, Deserialize)]
struct Login {
    r#as: String,
}

async fn log_in(Query(login): Query<Login>) -> Response {
    let user: String = login.r#as.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let cookie = format!("crm_user={user}; HttpOnly; SameSite=Lax; Path=/");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

type Entry = (String, String, Vec<String>);

async fn home(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Trouble> {
    let Some(user) = signed_in(&headers) else { return Ok(Redirect::to("/login?as=ada").into_response()) };
    let (tenant, pool) = (TenantId::new(TENANT), &site.database.pool);
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM crm_activity WHERE tenant = $1")
        .bind(TENANT)
        .fetch_one(pool)
        .await
        .map_err(lost)?;
    let select =
        "SELECT author, subject, contacts FROM crm_activity WHERE tenant = $1 ORDER BY at DESC NULLS LAST, id LIMIT 15";
    let entries: Vec<Entry> = sqlx::query_as(select).bind(TENANT).fetch_all(pool).await.map_err(lost)?;
    let letters = outgoing::latest(&site.database, &site.hub, &tenant).await?;
    let health = site.hub.tenant_health(&tenant, None).await?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Timeline" }
                style { "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:1rem auto;padding:0 1rem}label{display:block;margin:.5rem 0}input,textarea{width:100%;font:inherit}" }
            }
            body {
                main {
                    h1 { "Timeline of " (user) }
                    p { a href="/accounts/status" { "Connected accounts" } ": " (health.total) ", of which "
                        (health.needing_attention) " need attention" }
                    p id="count" { (count) " activities" }
                    ol { @for (author, subject, contacts) in &entries {
                        li { strong { (subject) } " – " (author) @if !contacts.is_empty() { " (" (contacts.join(", ")) ")" } }
                    } }
                    (mail(&letters))
                }
            }
        }
    }
    .into_response())
}

fn mail(letters: &[Shown]) -> Markup {
    html! {
        h2 { "Write" }
        form method="post" action="/send" {
            input type="hidden" name="key" value=(SystemRandom.token(18));
            label { "To" input name="to" type="email" required; }
            label { "Subject" input name="subject" required; }
            label { "Text" textarea name="text" rows="4" {} }
            button { "Send" }
        }
        h2 { "Sent from here" }
        ul id="sent" { @for letter in letters {
            li { (letter.subject) " to " (letter.to) ": " strong { (letter.state) } }
        } }
    }
}

#[derive(Debug, Deserialize)]
struct Written {
    key: String,
    to: String,
    subject: String,
    text: String,
}

async fn send(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Form(form): Form<Written>,
) -> Result<Response, Trouble> {
    let foreign = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin");
    let Some(user) = signed_in(&headers).filter(|_| !foreign) else {
        return Ok(StatusCode::FORBIDDEN.into_response());
    };
    let tenant = TenantId::new(TENANT);
    let Some(from) = own_mailbox(&site, &tenant, &user).await? else {
        return Ok(Redirect::to("/accounts/connect").into_response());
    };
    let letter = Letter { key: form.key, to: form.to, subject: form.subject, text: form.text };
    outgoing::write(&site.database, &site.hub, (&tenant, &from.id), &letter).await?;
    Ok(Redirect::to("/").into_response())
}

/// The mailbox that this person connected and that can send: nobody writes in another's name.
async fn own_mailbox(site: &Site, tenant: &TenantId, user: &str) -> Result<Option<Connection>> {
    let select = "SELECT connection FROM crm_owner WHERE tenant = $1 AND owner = $2";
    let own: Vec<String> = sqlx::query_scalar(select)
        .bind(tenant.as_str())
        .bind(user)
        .fetch_all(&site.database.pool)
        .await
        .map_err(lost)?;
    let sends = |one: &Connection| {
        let ready = one.status == ConnectionStatus::Active && one.capabilities.contains(&Capability::MailSend);
        ready && own.iter().any(|id| id == one.id.as_str())
    };
    Ok(site.hub.connections(tenant).await?.into_iter().find(sends))
}
