//! The authorisation endpoint: what it refuses, the page a person sees, and what the browser takes back.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, StatusCode};
use url::Url;

use super::{
    ApiAnswer, Google,
    answers::{self, document, escape},
    register::{AppRegistration, Code, Grant, Register},
    scopes,
};

/// What a person does on the consent page.
#[derive(Clone, Copy, Debug)]
pub enum Consent<'a> {
    /// Grants everything, as this person instead of the one the page suggests.
    As(&'a str),
    /// Grants everything.
    Grant,
    /// Presses Cancel.
    Refuse,
    /// Grants, but unticks these scopes.
    Untick(&'a [&'a str]),
}

/// An error that is shown to the person and never reaches the app.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorPage {
    /// The page's HTTP status.
    pub status: u16,
    /// The error's name as the page shows it (`redirect_uri_mismatch`).
    pub error: &'static str,
    /// What it says.
    pub message: String,
}

impl fmt::Display for ErrorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service shows its own page: {} {} ({})", self.status, self.error, self.message)
    }
}

impl std::error::Error for ErrorPage {}

fn error_page(status: StatusCode, error: &'static str, message: impl Into<String>) -> Stop {
    Stop::Page(ErrorPage { status: status.as_u16(), error, message: message.into() })
}

/// Why no consent page is shown.
#[derive(Debug)]
enum Stop {
    Page(ErrorPage),
    Redirect(Url),
}

/// An authorisation request that holds together.
#[derive(Debug)]
struct Ask {
    app: AppRegistration,
    redirect: Url,
    redirect_text: String,
    scopes: BTreeSet<String>,
    state: Option<String>,
    offline: bool,
    prompt: BTreeSet<String>,
    adds_up: bool,
    hint: Option<String>,
    challenge: Option<(String, bool)>,
    nonce: Option<String>,
}

struct Query<'a>(&'a str);

impl Query<'_> {
    fn one(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    }

    fn all(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    fn required(&self, name: &str) -> Result<String, Stop> {
        self.one(name).ok_or_else(|| {
            error_page(StatusCode::BAD_REQUEST, "invalid_request", format!("Missing required parameter: {name}"))
        })
    }
}

impl Ask {
    fn parse(register: &Register, query: &str) -> Result<Self, Stop> {
        let query = Query(query);
        let client_id = query.required("client_id")?;
        let Some(app) = register.app(&client_id) else {
            return Err(error_page(StatusCode::UNAUTHORIZED, "invalid_client", "The OAuth client was not found."));
        };
        let redirect_text = query.required("redirect_uri")?;
        let redirect = registered_redirect(app, &redirect_text).ok_or_else(|| {
            error_page(StatusCode::BAD_REQUEST, "redirect_uri_mismatch", "The redirect URI is not registered.")
        })?;
        if query.required("response_type")? != "code" {
            return Err(error_page(StatusCode::BAD_REQUEST, "invalid_request", "Only the code flow is offered."));
        }
        let challenge = challenge(&query)?;
        let prompt: BTreeSet<String> =
            query.one("prompt").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let ask = Self {
            scopes: scopes::parse(&query.required("scope")?),
            app: app.clone(),
            redirect,
            redirect_text,
            state: query.one("state"),
            offline: app.desktop || query.one("access_type").as_deref() == Some("offline"),
            prompt,
            adds_up: !app.desktop && query.one("include_granted_scopes").as_deref() == Some("true"),
            hint: query.one("login_hint"),
            challenge,
            nonce: query.one("nonce"),
        };
        if ask.scopes.is_empty() || !ask.scopes.iter().all(|scope| scopes::is_known(scope)) {
            return Err(Stop::Redirect(ask.back(&[("error", "invalid_scope")])));
        }
        Ok(ask)
    }

    /// The redirect with `pairs` and the state.
    fn back(&self, pairs: &[(&str, &str)]) -> Url {
        let mut url = self.redirect.clone();
        if let Some(state) = &self.state {
            url.query_pairs_mut().append_pair("state", state);
        }
        url.query_pairs_mut().extend_pairs(pairs);
        url
    }

    /// Scopes that get a tick box.
    fn optional(&self) -> impl Iterator<Item = &String> {
        self.scopes.iter().filter(|scope| !scopes::is_sign_in(scope))
    }
}

fn challenge(query: &Query<'_>) -> Result<Option<(String, bool)>, Stop> {
    let Some(challenge) = query.one("code_challenge") else { return Ok(None) };
    match query.one("code_challenge_method").as_deref() {
        Some("S256") => Ok(Some((challenge, true))),
        None | Some("plain") => Ok(Some((challenge, false))),
        Some(_) => {
            Err(error_page(StatusCode::BAD_REQUEST, "invalid_request", "Invalid code_challenge_method parameter."))
        }
    }
}

/// The redirect as a URL if it is a registered one.
fn registered_redirect(app: &AppRegistration, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let loopback = url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let known = app.redirect_uris.iter().any(|registered| registered == text);
    (known || (app.desktop && loopback)).then_some(url)
}

impl Google {
    /// What a person's browser is sent back with after `consent` on the page at `url`.
    pub(crate) fn consent(&self, url: &Url, consent: Consent<'_>, now: DateTime<Utc>) -> Result<Url, ErrorPage> {
        let mut register = self.register();
        let done = (|| {
            let ask = Ask::parse(&register, url.query().unwrap_or_default())?;
            let suggested = self.suggested(&register, &ask, now)?;
            let (address, granted) = match consent {
                Consent::Refuse => return Err(Stop::Redirect(self.refusal(&ask))),
                Consent::As(person) => (person.to_lowercase(), ask.scopes.clone()),
                Consent::Grant => (suggested, ask.scopes.clone()),
                Consent::Untick(unticked) => {
                    let unticked: BTreeSet<String> = unticked.iter().map(|scope| scopes::normalise(scope)).collect();
                    (suggested, ask.scopes.difference(&unticked).cloned().collect())
                }
            };
            self.decide(&mut register, &ask, &address, granted, now)
        })();
        match done {
            Ok(url) | Err(Stop::Redirect(url)) => Ok(url),
            Err(Stop::Page(page)) => Err(page),
        }
    }

    /// The authorisation endpoint over HTTP.
    pub(super) fn authorise(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> ApiAnswer {
        let mut register = self.register();
        let done = if *request.method() == Method::POST {
            self.pressed(&mut register, &String::from_utf8_lossy(request.body()), now)
        } else {
            self.shown(&mut register, request.uri().query().unwrap_or_default(), now)
        };
        match done {
            Ok(answer) => answer,
            Err(Stop::Redirect(url)) => answers::redirect(&url),
            Err(Stop::Page(page)) => {
                let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::BAD_REQUEST);
                let text = format!(
                    "<h1>Access blocked</h1><p>{}</p><p>Error {status}: {}</p>",
                    escape(&page.message),
                    page.error
                );
                answers::page(status, document("Access blocked", &text))
            }
        }
    }

    fn shown(&self, register: &mut Register, query: &str, now: DateTime<Utc>) -> Result<ApiAnswer, Stop> {
        let ask = Ask::parse(register, query)?;
        let address = self.suggested(register, &ask, now)?;
        let asks_again = ask.prompt.contains("consent") || ask.prompt.contains("select_account");
        let several = register.people().len() > 1 && ask.hint.is_none();
        if !asks_again && !several && covered(register, &ask, &address) {
            let granted = ask.scopes.clone();
            return self.decide(register, &ask, &address, granted, now).map(|url| answers::redirect(&url));
        }
        Ok(answers::page(StatusCode::OK, consent_page(register, &ask, &address, query)))
    }

    fn pressed(&self, register: &mut Register, form: &str, now: DateTime<Utc>) -> Result<ApiAnswer, Stop> {
        let form = Query(form);
        let ask = Ask::parse(register, &form.required("request")?)?;
        if form.one("decision").as_deref() != Some("allow") {
            return Ok(answers::redirect(&self.refusal(&ask)));
        }
        let ticked: BTreeSet<String> = form.all("ticked").into_iter().collect();
        let granted = ask.scopes.iter().filter(|scope| scopes::is_sign_in(scope) || ticked.contains(*scope));
        let granted = granted.cloned().collect();
        let address = form.required("account")?.to_lowercase();
        self.decide(register, &ask, &address, granted, now).map(|url| answers::redirect(&url))
    }

    /// Who the page suggests. With `prompt=none` there is no page: it is this person now, or an error.
    fn suggested(&self, register: &Register, ask: &Ask, _now: DateTime<Utc>) -> Result<String, Stop> {
        let silent = ask.prompt.contains("none");
        let hinted = ask.hint.as_deref().and_then(|hint| register.person(hint));
        let Some(person) = hinted.or_else(|| register.people().first()) else {
            return Err(if silent {
                Stop::Redirect(ask.back(&[("error", "login_required")]))
            } else {
                error_page(StatusCode::BAD_REQUEST, "invalid_request", "Nobody has an account in this sandbox.")
            });
        };
        if silent && !covered(register, ask, &person.address) {
            return Err(Stop::Redirect(ask.back(&[("error", "consent_required")])));
        }
        Ok(person.address.clone())
    }

    fn refusal(&self, ask: &Ask) -> Url {
        let issuer = self.settings().issuer;
        let mut pairs = vec![("error", "access_denied")];
        if self.settings().answers_issuer {
            pairs.push(("iss", issuer.as_str()));
        }
        ask.back(&pairs)
    }

    /// Remembers the consent and makes the code.
    fn decide(
        &self,
        register: &mut Register,
        ask: &Ask,
        address: &str,
        mut granted: BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Result<Url, Stop> {
        let Some(person) = register.person(address) else {
            return Err(error_page(StatusCode::BAD_REQUEST, "invalid_request", "Couldn't find this account."));
        };
        let address = person.address.clone();
        if granted.is_empty() {
            return Ok(self.refusal(ask));
        }
        let settings = self.settings();
        // A page that shows nothing new gives no new refresh token, except to installed apps.
        let was_asked = ask.prompt.contains("consent") || !covered(register, ask, &address);
        let offline = ask.offline && (was_asked || ask.app.desktop);
        if ask.adds_up {
            granted.extend(register.consented(&ask.app.client_id, &address));
        }
        let scope = scopes::join(&granted);
        let grant = Grant { client_id: ask.app.client_id.clone(), address, scopes: granted };
        register.consent(&grant);
        let code = Code {
            grant,
            redirect: ask.redirect_text.clone(),
            challenge: ask.challenge.clone(),
            nonce: ask.nonce.clone(),
            offline,
            expires_at: now + TimeDelta::from_std(settings.code_life).unwrap_or(TimeDelta::MAX),
            used: None,
        };
        let code = register.add_code(&*self.random, code);
        let prompt = if was_asked { "consent" } else { "none" };
        let mut pairs = vec![("code", code.as_str()), ("scope", &scope), ("authuser", "0"), ("prompt", prompt)];
        if settings.answers_issuer {
            pairs.insert(0, ("iss", &settings.issuer));
        }
        Ok(ask.back(&pairs))
    }
}

/// Did the person grant all of it before?
fn covered(register: &Register, ask: &Ask, address: &str) -> bool {
    ask.scopes.is_subset(&register.consented(&ask.app.client_id, address))
}

fn consent_page(register: &Register, ask: &Ask, suggested: &str, query: &str) -> String {
    let mut form = format!("<input type=\"hidden\" name=\"request\" value=\"{}\">\n<p><label>Account ", escape(query));
    form.push_str("<select name=\"account\">");
    for person in register.people() {
        let selected = if person.address == suggested { " selected" } else { "" };
        let (address, name) = (escape(&person.address), escape(&person.name));
        form.push_str(&format!("<option value=\"{address}\"{selected}>{name} ({address})</option>"));
    }
    form.push_str("</select></label></p>\n");
    for scope in ask.optional() {
        let scope = escape(scope);
        form.push_str(&format!(
            "<p><label><input type=\"checkbox\" name=\"ticked\" value=\"{scope}\" checked> {scope}</label></p>\n"
        ));
    }
    let client = escape(&ask.app.client_id);
    let body = format!(
        "<h1>{client} wants access to your account</h1>\n<form method=\"post\" action=\"/o/oauth2/v2/auth\">\n{form}\
         <button name=\"decision\" value=\"cancel\">Cancel</button>\n\
         <button name=\"decision\" value=\"allow\">Allow</button>\n</form>"
    );
    document("Sign in (sandbox)", &body)
}
