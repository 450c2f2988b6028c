//! Pages that a host mounts in its own web server: connect, callback, status, reconnect, disconnect.
//!
//! ```
//! use std::sync::Arc;
//! use axum::http::request::Parts;
//! use integration_core::{hub::Hub, ids::{AppId, TenantId}, connection::Capability};
//! use integration_core::web::{self, Offer, Refusal, Visitor, WebHost, WebOptions};
//!
//! #[derive(Debug)]
//! struct Crm;
//!
//! #[async_trait::async_trait]
//! impl WebHost for Crm {
//!     async fn visitor(&self, request: &Parts) -> Result<Visitor, Refusal> {
//!         // Whoever the host's own session cookie says: never what a query says.
//!         match request.headers.get("cookie") {
//!             Some(_) => Ok(Visitor::new(TenantId::new("tenant-1"), "ada").with_name("Ada Example")),
//!             None => Err(Refusal::SignIn(Some("/login".to_owned()))),
//!         }
//!     }
//! }
//!
//! fn pages(hub: Hub) -> integration_core::Result<axum::Router> {
//!     let public = "https://crm.example/accounts".parse().expect("an address");
//!     let options = WebOptions::new(public)
//!         .with_offer(Offer::new(AppId::new("mail"), "Example Mail", [Capability::Identity, Capability::MailRead]))
//!         .with_variable("--integration-accent", "#7a1fa2")
//!         .with_home("/", "Back to the CRM");
//!     Ok(axum::Router::new().nest("/accounts", web::router(hub, Arc::new(Crm), options)?))
//! }
//! ```
//!
//! | path | what it is |
//! |---|---|
//! | `GET connect`, `POST connect` | the services to choose, what each will ask and why; on to the service |
//! | `POST administrator` | makes the address for an administrator, where the service has such a consent; the status page shows it |
//! | `GET callback` | where the service sends the browser back to; a page for every way it can end |
//! | `GET status` | the accounts and how they are; keeps itself up to date while something is syncing |
//! | `GET status.json` | the same as [`Status`] |
//! | `GET reconnect`, `POST reconnect` | the same account again; it keeps what was synced |
//! | `GET disconnect`, `POST disconnect` | asks what is to be forgotten; forgets it |
//! | `GET healthz`, `GET readyz` | is the process there; does its store answer. For machines: nobody is asked who they are |
//!
//! **Whose pages they are** is decided by the host alone ([`WebHost::visitor`]). A sign-in is tied to the browser *and* the
//! person it was begun by, a form to the browser and the person it was shown to; both hold over several processes on one
//! store. Everything that changes something is a form with such a code, and is refused from other sites.
//!
//! **Browsers** are told to load nothing from anywhere, to run no script but the one that keeps the status page fresh (without
//! scripts it reloads), to show the pages in nobody's frame ([`WebOptions::with_embedder`]), and to keep nothing.
//!
//! **Words and looks**: [`Strings`] for every text, in English and German, and more by [`WebOptions::with_strings`]; CSS
//! variables ([`WebOptions::with_variable`]), light and dark. The pages work by keyboard and without scripts.

mod callback;
mod connect;
mod cookies;
mod disconnect;
mod forms;
mod host;
mod layout;
mod options;
mod outcome;
mod problem;
mod request;
mod status;
mod strings;

use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::FutureExt;

pub use host::{Refusal, Visitor, WebHost};
pub use options::{Offer, WebOptions};
pub use status::{AccountStatus, AwaitingAdmin, Status};
pub use strings::{Strings, Text};

use self::{
    cookies::Cookies,
    forms::Forms,
    layout::Sheet,
    problem::Problem,
    request::{Spoken, wanted_language},
};
use crate::{contain::contained, error::Result, hub::Hub};

/// What the pages are made of.
struct Web {
    hub: Hub,
    host: Arc<dyn WebHost>,
    options: WebOptions,
    forms: Forms,
    cookies: Cookies,
    sheet: Sheet,
}

type Shared = Arc<Web>;

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("host", &self.host).field("options", &self.options).finish_non_exhaustive()
    }
}

/// The pages, to be nested where [`WebOptions::new`] says that browsers reach them.
///
/// # Errors
/// [`Misconfigured`](crate::ErrorKind::Misconfigured), naming what is wrong with the options.
pub fn router(hub: Hub, host: Arc<dyn WebHost>, options: WebOptions) -> Result<Router> {
    options.check(&hub)?;
    let web = Arc::new(Web {
        sheet: Sheet::new(&options, &hub)?,
        cookies: Cookies::new(options.is_secure()),
        forms: Forms::new(hub.clone()),
        hub,
        host,
        options,
    });
    Ok(Router::new()
        .route("/", get(home))
        .route("/connect", get(connect::choose).post(connect::begin))
        .route("/administrator", post(connect::ask_administrator))
        .route("/callback", get(callback::end))
        .route("/reconnect", get(connect::choose_again).post(connect::begin_again))
        .route("/disconnect", get(disconnect::ask).post(disconnect::carry_out))
        .route("/status", get(status::show))
        .route("/status.json", get(status::json))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::NoSuchMethod)
        .layer(middleware::from_fn_with_state(Arc::clone(&web), finish))
        .with_state(web))
}

async fn home(State(web): State<Shared>) -> Redirect {
    Redirect::to(&web.options.path("status"))
}

async fn alive() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Says no more than whether the store answers: everybody can ask.
async fn ready(State(web): State<Shared>) -> Response {
    match contained("store", web.options.patience, web.hub.ready()).await {
        Ok(()) => Json(serde_json::json!({ "status": "ok" })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready: the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({ "status": "unavailable" }))).into_response()
        }
    }
}

/// What every answer goes through: no panic gets past it, what went wrong becomes a page (or a word, for those who read no
/// pages), and the rules for browsers are put on.
async fn finish(State(web): State<Shared>, mut request: Request, next: Next) -> Response {
    let (spoken, wanted) = (Spoken::default(), wanted_language(request.headers()));
    request.extensions_mut().insert(spoken.clone());
    let reads_json = request.uri().path().ends_with(".json");
    let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a page panicked");
        Problem::Failed.into_response()
    });
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = match reads_json {
            true => Json(serde_json::json!({ "error": problem.word() })).into_response(),
            false => web.problem_page(&problem, spoken.0.get().unwrap_or(&wanted)).into_response(),
        };
        let (parts, body) = body.into_parts();
        *response.body_mut() = body;
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        response.headers_mut().insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("text/html")));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    web.sheet.harden(response.headers_mut());
    response
}
