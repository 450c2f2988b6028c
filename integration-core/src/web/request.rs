//! What arrives: parsed at the border, with the person known and forms checked before any page sees it.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts},
    http::{HeaderMap, Request, header, request::Parts},
};

use super::{
    Shared, Web,
    cookies::Cookie,
    host::{Refusal, Visitor},
    problem::Problem,
    strings::Strings,
};
use crate::{connection::Connection, contain::contained, ids::ConnectionId};

/// What a query may weigh; browsers and services stay far below.
const LARGEST_QUERY: usize = 32 * 1024;
/// What a form may weigh: ours carry a few words.
const LARGEST_FORM: usize = 16 * 1024;
const MOST_PARAMETERS: usize = 64;
/// The field of a form that holds its code.
pub(super) const CODE: &str = "code";

/// The parameters of a query or a form.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Each name at most once, all of it readable.
    fn parse(text: &[u8]) -> Result<Self, Problem> {
        if text.len() > LARGEST_QUERY {
            return Err(Problem::TooLarge);
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            let damaged = [&name, &value].iter().any(|part| part.contains([char::REPLACEMENT_CHARACTER, '\0']));
            let doubled = parameters.insert(name.into_owned(), value.into_owned()).is_some();
            if damaged || doubled || parameters.len() > MOST_PARAMETERS {
                return Err(Problem::BadRequest);
            }
        }
        Ok(Self(parameters))
    }

    /// A parameter; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or(Problem::BadRequest)
    }
}

/// The person's language, once it is known: left for whoever has to say that something went wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoken(pub(super) Arc<OnceLock<String>>);

/// A person asks for a page.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) web: Shared,
    pub(super) visitor: Visitor,
    pub(super) query: Parameters,
    /// The query as it came.
    pub(super) raw_query: String,
    /// What ties forms to this browser.
    pub(super) browser: String,
    /// What ties a sign-in to this browser, if it has begun one.
    pub(super) binding: Option<String>,
    language: String,
}

/// A person sends a form: theirs, from this browser, from our own page.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) visit: Visit,
    pub(super) form: Parameters,
}

impl Visit {
    async fn read(parts: &Parts, web: &Shared) -> Result<Self, Problem> {
        let raw_query = parts.uri.query().unwrap_or_default();
        let query = Parameters::parse(raw_query.as_bytes())?;
        let visitor = web.visitor(parts).await?;
        let browser = web.cookies.read(&parts.headers, Cookie::Browser);
        let language = visitor.language.clone().unwrap_or_else(|| wanted_language(&parts.headers));
        if let Some(spoken) = parts.extensions.get::<Spoken>() {
            let _ = spoken.0.set(language.clone());
        }
        Ok(Self {
            web: Shared::clone(web),
            query,
            raw_query: raw_query.to_owned(),
            browser: browser.unwrap_or_else(|| web.hub.fresh_token()),
            binding: web.cookies.read(&parts.headers, Cookie::Binding),
            language,
            visitor,
        })
    }

    pub(super) fn strings(&self) -> &Strings {
        self.web.options.catalogues.choose(&self.language)
    }

    /// The code for this page's forms.
    pub(super) async fn form_code(&self) -> Result<String, Problem> {
        Ok(self.web.forms.code(&self.browser, &self.visitor).await?)
    }

    /// The connections of the person's tenant that the host shows to them.
    pub(super) async fn connections(&self) -> Result<Vec<Connection>, Problem> {
        let mut all = self.web.hub.connections(&self.visitor.tenant).await?;
        let host = &*self.web.host;
        let shown = AssertUnwindSafe(|| all.retain(|connection| host.shows(&self.visitor, connection)));
        std::panic::catch_unwind(shown).map_err(|_| {
            tracing::error!("the host panicked when asked what a person may see");
            Problem::Unavailable
        })?;
        Ok(all)
    }

    /// One of those connections.
    pub(super) async fn connection(&self, id: &str) -> Result<Connection, Problem> {
        let id = ConnectionId::new(id);
        self.connections().await?.into_iter().find(|connection| connection.id == id).ok_or(Problem::NotFound)
    }
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Problem> {
        Self::read(parts, web).await
    }
}

impl FromRequest<Shared> for Submission {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, web: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !web.is_own_page(&parts.headers) {
            return Err(Problem::OtherSite);
        }
        let is_form = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !is_form.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return Err(Problem::BadRequest);
        }
        let body = axum::body::to_bytes(body, LARGEST_FORM).await.map_err(|_| Problem::TooLarge)?;
        let form = Parameters::parse(&body)?;
        let visit = Visit::read(&parts, web).await?;
        // Without the cookie the fresh value that `read` made up fits no code.
        let code = form.get(CODE).ok_or(Problem::StaleForm)?;
        match web.forms.accepts(code, &visit.browser, &visit.visitor).await? {
            true => Ok(Self { visit, form }),
            false => Err(Problem::StaleForm),
        }
    }
}

impl Web {
    /// Asks the host who this is, whatever the host does.
    async fn visitor(&self, parts: &Parts) -> Result<Visitor, Problem> {
        let ask = async { Ok(self.host.visitor(parts).await) };
        match contained("answer to who is at the browser", self.options.patience, ask).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => {
                tracing::error!(%error, "a page was not shown");
                Err(Refusal::Unavailable.into())
            }
        }
    }

    /// Does this come from a page of ours? Browsers say so; a request that says nothing is left to the form's code.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        match (said("sec-fetch-site"), said("origin")) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => origin == self.options.origin(),
            (None, None) => true,
        }
    }
}

/// What the browser asks for.
pub(super) fn wanted_language(headers: &HeaderMap) -> String {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    wanted.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_doubled_damaged_or_too_long_is_refused() {
        let many: String = (0..=MOST_PARAMETERS).map(|number| format!("p{number}=1&")).collect();
        for (query, problem) in [
            ("state=a&state=b", Problem::BadRequest),
            ("state=%ff%fe", Problem::BadRequest),
            ("st%c3ate=x", Problem::BadRequest),
            ("state=a%00b", Problem::BadRequest),
            (many.as_str(), Problem::BadRequest),
            (&"x".repeat(LARGEST_QUERY + 1), Problem::TooLarge),
        ] {
            assert_eq!(Parameters::parse(query.as_bytes()).unwrap_err(), problem);
        }
    }

    #[test]
    fn an_ordinary_query_is_read() {
        let query = Parameters::parse(b"connection=c%2D1&empty=&umlaut=%C3%BC").unwrap();
        assert_eq!((query.get("connection"), query.get("empty"), query.get("umlaut")), (Some("c-1"), None, Some("ü")));
    }
}
