//! The endpoint where an administrator lets an app into a tenant.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use url::Url;

use super::{
    Microsoft,
    ask::{Back, Stop, app_of, error_page, wanted},
    consent::{account_choice, as_answer, buttons, find},
    errors::Refusal,
    register::{Permissions, Register},
    scopes,
    settings::EntraSettings,
    tenant::{Segment, User},
};
use crate::{
    answers::{document, escape, page, redirect},
    call::ApiAnswer,
    form::Form,
    google::Consent,
};

/// A request that holds together.
#[derive(Debug)]
struct AdminAsk {
    segment: Segment,
    client_id: String,
    add: Permissions,
    back: Back,
}

impl AdminAsk {
    fn parse(register: &Register, settings: &EntraSettings, segment: &str, query: &str) -> Result<Self, Stop> {
        let query = Form::parse(query.as_bytes());
        let segment = register.segment(segment, settings).map_err(|refusal| error_page(&refusal))?;
        if matches!(segment, Segment::Common | Segment::Consumers) {
            return Err(error_page(&Refusal::new(90023)));
        }
        let app = app_of(register, &query, &segment)?;
        let back = Back::of(app, &query)?;
        let asked = query.one("scope").ok_or_else(|| Refusal::new(900144)).and_then(wanted);
        let mut scopes = asked.map_err(|refusal| refused(&back, &refusal))?;
        let mut add = Permissions::default();
        // Application permissions come with everything that is registered, and in no other way.
        if scopes.remove(scopes::DEFAULT) {
            scopes.extend(app.scopes.iter().cloned());
            add.roles.extend(app.roles.iter().cloned());
        }
        add.scopes = scopes;
        Ok(Self { segment, client_id: app.client_id.clone(), add, back })
    }

    /// May this person decide here?
    fn is_for(&self, user: &User) -> bool {
        user.admin && !user.is_personal() && self.segment.tenant().is_none_or(|tenant| user.tenant == tenant)
    }
}

fn refused(back: &Back, refusal: &Refusal) -> Stop {
    let text = refusal.text();
    Stop::Redirect(back.with(&[("admin_consent", "True"), ("error", refusal.error()), ("error_description", &text)]))
}

impl Microsoft {
    /// What the browser is sent back with after an administrator's decision.
    pub(super) fn administer(&self, segment: &str, query: &str, consent: Consent<'_>) -> Result<Url, Stop> {
        let mut register = self.register();
        let ask = AdminAsk::parse(&register, &self.settings(), segment, query)?;
        let who = match consent {
            Consent::As(person) => find(&register, person)?,
            _ => suggested(&register, &ask)?,
        };
        if matches!(consent, Consent::Refuse) {
            return Err(refused(&ask.back, &Refusal::new(65004)));
        }
        decide(&mut register, ask, &who)
    }

    /// The endpoint over HTTP.
    pub(super) fn admin_consent(&self, segment: &str, request: &Request<Bytes>) -> ApiAnswer {
        if *request.method() == Method::POST {
            return as_answer(self.admin_pressed(segment, request.body()));
        }
        let query = request.uri().query().unwrap_or_default();
        let register = self.register();
        as_answer(AdminAsk::parse(&register, &self.settings(), segment, query).and_then(|ask| {
            let who = suggested(&register, &ask)?;
            let listed = ask.add.scopes.iter().chain(&ask.add.roles);
            let listed: String = listed.map(|name| format!("<li>{}</li>", escape(name))).collect();
            let choice = account_choice(register.users().iter().filter(|user| user.admin), &who);
            let form = buttons(request.uri().path(), query, &choice);
            let client = escape(&ask.client_id);
            let body =
                format!("<h1>{client} requests permissions for your organisation</h1>\n<ul>{listed}</ul>\n{form}");
            Ok(page(StatusCode::OK, document("Permissions requested (sandbox)", &body)))
        }))
    }

    fn admin_pressed(&self, segment: &str, form: &[u8]) -> Result<ApiAnswer, Stop> {
        let form = Form::parse(form);
        let consent = match (form.one("decision"), form.one("account")) {
            (Some("accept"), Some(account)) => Consent::As(account),
            _ => Consent::Refuse,
        };
        self.administer(segment, form.one("request").unwrap_or_default(), consent).map(|url| redirect(&url))
    }
}

fn suggested(register: &Register, ask: &AdminAsk) -> Result<User, Stop> {
    let admin = register.users().iter().find(|user| ask.is_for(user));
    admin.cloned().ok_or_else(|| error_page(&Refusal::new(90094)))
}

fn decide(register: &mut Register, ask: AdminAsk, who: &User) -> Result<Url, Stop> {
    if !ask.is_for(who) {
        return Err(error_page(&Refusal::new(90094)));
    }
    let scopes: Vec<String> = ask.add.scopes.iter().map(|scope| scopes::in_full(scope)).collect();
    let url = ask.back.with(&[("admin_consent", "True"), ("tenant", &who.tenant), ("scope", &scopes.join(" "))]);
    register.consent(&who.tenant, &ask.client_id, None, ask.add);
    Ok(url)
}
