//! The authorisation endpoint: what it refuses, the page a person sees, and what the browser takes back.

use bytes::Bytes;
use chrono::TimeDelta;
use http::{Method, Request, StatusCode};
use serde_json::json;
use url::Url;

use super::{
    Microsoft,
    ask::{Ask, Stop, error_page, satisfies},
    errors::Refusal,
    register::{Code, Grant, Permissions, Register},
    scopes,
    settings::{Blocked, EntraSettings},
    tenant::{ConsentPolicy, PERSONAL_TENANT, User},
};
use crate::{
    answers::{document, escape, page, redirect},
    call::ApiAnswer,
    form::Form,
    google::{Consent, ErrorPage},
};

impl Microsoft {
    /// The URL that the browser would be sent back to, after a person did `consent` on the page at `url`: one of the
    /// authorisation endpoint, or of the endpoint for administrators' consent.
    ///
    /// [`Consent::Untick`] is not possible at this service, except with nothing to untick.
    ///
    /// # Errors
    /// The page that the service shows instead, without telling the app; "need admin approval" is one.
    pub fn consent(&self, url: &Url, consent: Consent<'_>) -> Result<Url, ErrorPage> {
        let done = match url.path().strip_suffix("/v2.0/adminconsent") {
            Some(segment) => self.administer(segment.trim_matches('/'), url.query().unwrap_or_default(), consent),
            None => self.answer_page(url, consent),
        };
        match done {
            Ok(url) | Err(Stop::Redirect(url)) => Ok(url),
            Err(Stop::Page(page)) => Err(page),
        }
    }

    fn answer_page(&self, url: &Url, consent: Consent<'_>) -> Result<Url, Stop> {
        let segment = url.path().trim_matches('/').split('/').next().unwrap_or_default();
        let (mut register, settings) = (self.register(), self.settings());
        let ask = Ask::parse(&register, &settings, segment, url.query().unwrap_or_default())?;
        let user = match consent {
            Consent::As(person) => find(&register, person)?,
            Consent::Untick(boxes) if !boxes.is_empty() => return Err(error_page(&Refusal::new(90023))),
            Consent::Grant | Consent::Refuse | Consent::Untick(_) => self.suggested(&register, &ask)?,
        };
        if matches!(consent, Consent::Refuse) {
            return Ok(ask.back().refused(&Refusal::new(65004)));
        }
        self.decide(&mut register, &settings, &ask, &user)
    }

    /// The authorisation endpoint over HTTP.
    pub(super) fn authorise(&self, segment: &str, request: &Request<Bytes>) -> ApiAnswer {
        let (mut register, settings) = (self.register(), self.settings());
        let done = if *request.method() == Method::POST {
            self.pressed(&mut register, &settings, segment, request.body())
        } else {
            self.shown(&mut register, &settings, segment, request)
        };
        as_answer(done)
    }

    fn shown(
        &self,
        register: &mut Register,
        settings: &EntraSettings,
        segment: &str,
        request: &Request<Bytes>,
    ) -> Result<ApiAnswer, Stop> {
        let query = request.uri().query().unwrap_or_default();
        let ask = Ask::parse(register, settings, segment, query)?;
        let user = self.suggested(register, &ask)?;
        let silent = ask.prompt.contains("none");
        let several = register.users().len() > 1 && ask.hint.is_none();
        let covered = ask.segment.admits(&user).is_some_and(|tenant| covered(register, &ask, &tenant, &user));
        if silent || (covered && !several && ask.prompt.is_empty()) {
            return self.decide(register, settings, &ask, &user).map(|url| redirect(&url));
        }
        let body = consent_page(register, &ask, &user, (request.uri().path(), query));
        Ok(page(StatusCode::OK, document("Permissions requested (sandbox)", &body)))
    }

    fn pressed(
        &self,
        register: &mut Register,
        settings: &EntraSettings,
        segment: &str,
        form: &[u8],
    ) -> Result<ApiAnswer, Stop> {
        let form = Form::parse(form);
        let ask = Ask::parse(register, settings, segment, form.one("request").unwrap_or_default())?;
        if form.one("decision") != Some("accept") {
            return Ok(redirect(&ask.back().refused(&Refusal::new(65004))));
        }
        let user = find(register, form.one("account").unwrap_or_default())?;
        self.decide(register, settings, &ask, &user).map(|url| redirect(&url))
    }

    /// Who the page suggests. With `prompt=none` there is no page: it is this person now, or an error.
    fn suggested(&self, register: &Register, ask: &Ask) -> Result<User, Stop> {
        let hinted = ask.hint.as_deref().and_then(|hint| register.user(hint));
        let welcome = || register.users().iter().find(|user| ask.segment.admits(user).is_some());
        let user = hinted.or_else(welcome).cloned();
        let silent = ask.prompt.contains("none");
        let Some(user) = user else {
            let refusal = Refusal::new(if silent { 50058 } else { 50034 });
            return Err(if silent { Stop::Redirect(ask.back().refused(&refusal)) } else { error_page(&refusal) });
        };
        if !silent {
            return Ok(user);
        }
        let tenant = ask.segment.admits(&user).unwrap_or_default();
        let refusal = match &user.access {
            Some(access) => Refusal::new(access.number).with_error("interaction_required"),
            None if !covered(register, ask, &tenant, &user) => Refusal::new(65001).with_error("consent_required"),
            None => return Ok(user),
        };
        Err(Stop::Redirect(ask.back().refused(&refusal)))
    }

    /// Remembers the consent and makes the code.
    fn decide(&self, register: &mut Register, settings: &EntraSettings, ask: &Ask, user: &User) -> Result<Url, Stop> {
        let tenant = admitted(ask, user)?;
        self.check_policies(register, ask, user)?;
        if !covered(register, ask, &tenant, user) || ask.prompt.contains("consent") {
            if needs_approval(register, ask, user, &tenant) {
                return Err(unapproved(settings.blocked, ask));
            }
            let add = Permissions { scopes: ask.scopes.clone(), ..Permissions::default() };
            register.consent(&tenant, &ask.app.client_id, Some(&user.mail), add);
        }
        let now = self.now();
        let grant = Grant {
            client_id: ask.app.client_id.clone(),
            tenant,
            mail: user.mail.clone(),
            scopes: ask.scopes.clone(),
            segment: ask.segment.clone(),
            since: now,
            capable: ask.is_capable(),
            claims: ask.claims.clone(),
        };
        let code = Code {
            grant,
            redirect: ask.redirect_text.clone(),
            challenge: ask.challenge.clone(),
            nonce: ask.nonce.clone(),
            expires_at: now + TimeDelta::from_std(settings.code_life).unwrap_or(TimeDelta::MAX),
            used: false,
        };
        let code = register.add_code(&*self.random, code);
        Ok(ask.back().with(&[("code", &code), ("session_state", &self.guid())]))
    }

    /// Conditional access at the page: a sign-in with the demanded claims solves what can be solved.
    fn check_policies(&self, register: &mut Register, ask: &Ask, user: &User) -> Result<(), Stop> {
        let Some(access) = &user.access else { return Ok(()) };
        if !access.solvable {
            let refusal = Refusal::new(access.number).with_error("access_denied");
            return Err(Stop::Redirect(ask.back().refused(&refusal)));
        }
        let solved = access.claims.as_ref().is_none_or(|demanded| satisfies(&ask.claims, demanded));
        if let Some(known) = register.user_mut(&user.mail).filter(|_| solved) {
            known.access = None;
        }
        Ok(())
    }
}

pub(super) fn as_answer(done: Result<ApiAnswer, Stop>) -> ApiAnswer {
    match done {
        Ok(answer) => answer,
        Err(Stop::Redirect(url)) => redirect(&url),
        Err(Stop::Page(shown)) => {
            let status = StatusCode::from_u16(shown.status).unwrap_or(StatusCode::BAD_REQUEST);
            let title = if shown.error == APPROVAL { "Need admin approval" } else { "Sorry, but we're having trouble" };
            let text = format!("<h1>{title}</h1>\n<p>{}</p>", escape(&shown.message));
            page(status, document(title, &text))
        }
    }
}

/// The name of the page for people who may not consent.
const APPROVAL: &str = "need_admin_approval";

pub(super) fn find(register: &Register, person: &str) -> Result<User, Stop> {
    register.user(person).cloned().ok_or_else(|| error_page(&Refusal::new(50034)))
}

/// The tenant that the person signs in to, if person, app and segment go together.
fn admitted(ask: &Ask, user: &User) -> Result<String, Stop> {
    let tenant = ask.segment.admits(user).ok_or_else(|| error_page(&Refusal::new(50020)))?;
    let home = match tenant.as_str() {
        PERSONAL_TENANT => super::tenant::Segment::Consumers,
        id => super::tenant::Segment::Tenant(id.to_owned()),
    };
    if !ask.app.audience.allows(&home) {
        return Err(error_page(&Refusal::new(50020)));
    }
    if user.disabled {
        return Err(error_page(&Refusal::new(50057)));
    }
    if tenant == PERSONAL_TENANT && ask.scopes.iter().any(|scope| scopes::is_for_work(scope)) {
        return Err(Stop::Redirect(ask.back().refused(&Refusal::new(70011))));
    }
    Ok(tenant)
}

/// Was all of it consented to before?
fn covered(register: &Register, ask: &Ask, tenant: &str, user: &User) -> bool {
    ask.scopes.is_subset(&register.consented(tenant, &ask.app.client_id, &user.mail))
}

/// Does the tenant leave this consent to its administrators?
fn needs_approval(register: &Register, ask: &Ask, user: &User, tenant: &str) -> bool {
    if tenant == PERSONAL_TENANT || (user.admin && tenant == user.tenant) {
        return false;
    }
    // A page that is asked for decides about everything anew, also about what was consented to.
    let known = register.consented(tenant, &ask.app.client_id, &user.mail);
    let anew = ask.prompt.contains("consent");
    let mut new = ask.scopes.iter().filter(|scope| anew || !known.contains(*scope));
    let policy = register.tenant(tenant).map(|tenant| tenant.policy).unwrap_or_default();
    new.any(|scope| {
        scopes::needs_admin(scope)
            || match policy {
                ConsentPolicy::Anyone => false,
                ConsentPolicy::MicrosoftManaged => scopes::is_managed(scope),
                ConsentPolicy::Nobody => true,
                ConsentPolicy::VerifiedPublishers => !ask.app.verified_publisher,
            }
    })
}

fn unapproved(blocked: Blocked, ask: &Ask) -> Stop {
    let refusal = Refusal::new(if blocked == Blocked::Requested { 90095 } else { 90094 });
    match blocked {
        Blocked::NeverReturns => Stop::Page(ErrorPage { status: 200, error: APPROVAL, message: refusal.text() }),
        Blocked::ConsentRequired => Stop::Redirect(ask.back().refused(&refusal)),
        Blocked::AccessDenied | Blocked::Requested => {
            Stop::Redirect(ask.back().refused(&refusal.with_error("access_denied")))
        }
    }
}

fn consent_page(register: &Register, ask: &Ask, suggested: &User, (path, query): (&str, &str)) -> String {
    let scopes: String = ask.scopes.iter().map(|scope| format!("<li>{}</li>", escape(scope))).collect();
    let body = buttons(path, query, &account_choice(register.users().iter(), suggested));
    format!("<h1>{} requests permissions</h1>\n<ul>{scopes}</ul>\n{body}", escape(&ask.app.client_id))
}

/// The field where a person is chosen.
pub(super) fn account_choice<'a>(users: impl Iterator<Item = &'a User>, suggested: &User) -> String {
    let options: String = users
        .map(|user| {
            let selected = if user.mail == suggested.mail { " selected" } else { "" };
            let (mail, name) = (escape(&user.mail), escape(&user.name));
            format!("<option value=\"{mail}\"{selected}>{name} ({mail})</option>")
        })
        .collect();
    format!("<p><label>Account <select name=\"account\">{options}</select></label></p>")
}

/// The form of a page: what it is about, who answers, and the two buttons.
pub(super) fn buttons(path: &str, query: &str, choice: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{}\">\n<input type=\"hidden\" name=\"request\" value=\"{}\">\n{choice}\n\
         <button name=\"decision\" value=\"cancel\">Cancel</button>\n\
         <button name=\"decision\" value=\"accept\">Accept</button>\n</form>",
        escape(path),
        escape(query)
    )
}

/// Signing out in the browser: it goes where it is asked to, and no token ends.
pub(super) fn logout(request: &Request<Bytes>) -> ApiAnswer {
    let query = Form::query(request);
    match query.one("post_logout_redirect_uri").and_then(|to| Url::parse(to).ok()) {
        Some(to) => redirect(&to),
        None => page(StatusCode::OK, document("Signed out", "<h1>You signed out of your account</h1>")),
    }
}

/// The claims that a sign-in has to bring to end a state that Graph complained about.
pub(super) fn newer_session(since: chrono::DateTime<chrono::Utc>) -> serde_json::Value {
    json!({"access_token": {"nbf": {"essential": true, "value": since.timestamp().to_string()}}})
}
