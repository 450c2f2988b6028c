//! The token endpoint.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Microsoft,
    app::EntraApp,
    ask::{claims, expand, is_capable, satisfies, wanted},
    client::{Presented, authenticate},
    errors::Refusal,
    register::{Grant, Register},
    scopes,
    settings::{ChallengeAnswer, EntraSettings, Spelling},
    tenant::Segment,
};
use crate::{
    answers::{json, page, uncached},
    call::ApiAnswer,
    form::{Form, is_form, verifies},
};

/// A request on its way through the endpoint.
struct Asked<'a> {
    settings: EntraSettings,
    segment: Segment,
    app: EntraApp,
    form: &'a Form,
    origin: &'a str,
    now: DateTime<Utc>,
}

impl Microsoft {
    /// The token endpoint; `origin` is where the sandbox is reached.
    pub(super) fn token(&self, segment: &str, request: &Request<Bytes>, origin: &str) -> ApiAnswer {
        if *request.method() != Method::POST {
            return page(StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        let now = self.now();
        match self.try_token(segment, request, origin) {
            Ok(body) => uncached(json(StatusCode::OK, &body)),
            Err(refusal) => {
                let given = request.headers().get("client-request-id").and_then(|id| id.to_str().ok());
                let correlation = given.map_or_else(|| self.guid(), str::to_owned);
                refusal.into_answer(&self.guid(), &correlation, now)
            }
        }
    }

    fn try_token(&self, segment: &str, request: &Request<Bytes>, origin: &str) -> Result<Value, Refusal> {
        if !is_form(request) {
            return Err(Refusal::new(900144));
        }
        let (mut register, settings, now) = (self.register(), self.settings(), self.now());
        let form = Form::parse(request.body());
        let segment = register.segment(segment, &settings)?;
        let named = segment.tenant().and_then(|id| register.tenant(id));
        if let Some(number) = named.and_then(|tenant| tenant.trouble) {
            return Err(Refusal::new(number));
        }
        let endpoint = format!("{origin}{}", request.uri().path());
        let presented = Presented { request, form: &form, endpoint: &endpoint, now };
        let app = authenticate(&mut register, &settings, &presented)?;
        let asked = Asked { settings, segment, app, form: &form, origin, now };
        match form.one("grant_type") {
            Some("authorization_code") => self.redeem(&mut register, &asked),
            Some("refresh_token") => self.refresh(&mut register, &asked),
            Some("client_credentials") => self.app_only(&mut register, &asked),
            Some(_) => Err(Refusal::new(70003)),
            None => Err(Refusal::new(900144)),
        }
    }

    fn redeem(&self, register: &mut Register, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let text = asked.required("code")?.to_owned();
        let redirect = asked.required("redirect_uri")?;
        let code = register.code(&text).filter(|code| code.grant.client_id == asked.app.client_id);
        let code = code.ok_or_else(|| Refusal::new(70000))?;
        if code.grant.segment != asked.segment {
            return Err(Refusal::new(700005));
        }
        if code.used {
            return Err(Refusal::new(54005));
        }
        if code.expires_at <= asked.now {
            return Err(Refusal::new(70008));
        }
        if code.redirect != redirect {
            return Err(Refusal::new(50011).with_error("invalid_grant"));
        }
        let verifier = asked.form.one("code_verifier");
        if code.challenge.as_ref().is_some_and(|challenge| !verifier.is_some_and(|text| verifies(text, challenge))) {
            return Err(Refusal::new(501481));
        }
        let (grant, nonce) = (code.grant.clone(), code.nonce.clone());
        code.used = true;
        register.standing(&grant)?;
        self.tokens(register, asked, grant, nonce.as_deref())
    }

    fn refresh(&self, register: &mut Register, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let text = asked.required("refresh_token")?;
        let grant = register.use_refresh(text, &asked.app.client_id, asked.now, &asked.settings)?;
        if !grant.may_refresh_at(&asked.segment, &asked.settings) {
            return Err(Refusal::new(700005));
        }
        let trouble = register.tenant(&grant.tenant).and_then(|tenant| tenant.trouble);
        trouble.map_or(Ok(()), |number| Err(Refusal::new(number)))?;
        register.standing(&grant)?;
        self.tokens(register, asked, grant, None)
    }

    /// The answer for a grant that stands.
    fn tokens(
        &self,
        register: &mut Register,
        asked: &Asked<'_>,
        mut grant: Grant,
        nonce: Option<&str>,
    ) -> Result<Value, Refusal> {
        let all = register.effective(&grant, &asked.settings);
        let mut access = grant.clone();
        access.scopes = match asked.form.one("scope") {
            Some(list) => subset(expand(wanted(list)?, &asked.app), &all, &asked.settings)?,
            None => all,
        };
        asked.add_claims(register, &mut access)?;
        // What the client can handle, and what was proved by signing in, stays with the sign-in.
        (grant.capable, grant.claims) = (access.capable, access.claims.clone());
        let (token, life) = register.issue_access(&access, &*self.random, asked.now, &asked.settings);
        let mut body = json!({
            "token_type": "Bearer", "scope": asked.settings.spelled(&access), "expires_in": life,
            "ext_expires_in": life, "access_token": token,
        });
        if grant.scopes.contains("offline_access") {
            body["refresh_token"] = register.issue_refresh(&grant, &*self.random, asked.now).into();
        }
        if access.scopes.contains("openid")
            && let Some(user) = register.user(&grant.mail)
        {
            let about = super::oidc::About { grant: &access, user, nonce, origin: asked.origin };
            body["id_token"] = self.id_token(&about, asked.now).into();
        }
        Ok(body)
    }

    fn app_only(&self, register: &mut Register, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let Segment::Tenant(tenant) = &asked.segment else { return Err(Refusal::new(9001023)) };
        if !asked.app.is_confidential() {
            return Err(Refusal::new(7000218));
        }
        let scope = asked.required("scope")?;
        if scope != format!("{}{}", scopes::GRAPH, scopes::DEFAULT) {
            return Err(Refusal::new(70011));
        }
        let roles = register.roles(tenant, &asked.app.client_id).ok_or_else(|| Refusal::new(700016))?;
        let mut grant = Grant {
            client_id: asked.app.client_id.clone(),
            tenant: tenant.clone(),
            mail: String::new(),
            scopes: roles,
            segment: asked.segment.clone(),
            since: asked.now,
            capable: false,
            claims: json!({}),
        };
        asked.add_claims(register, &mut grant)?;
        let (token, life) = register.issue_access(&grant, &*self.random, asked.now, &asked.settings);
        Ok(json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}))
    }
}

impl Asked<'_> {
    fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.form.one(name).ok_or_else(|| Refusal::new(900144))
    }

    /// Takes the claims of this request into the grant, unless a human has to bring them.
    fn add_claims(&self, register: &Register, grant: &mut Grant) -> Result<(), Refusal> {
        let asked = claims(self.form)?;
        grant.capable |= is_capable(&asked);
        let demanded = register.user(&grant.mail).and_then(|user| user.demanded.clone());
        let missing = demanded.filter(|demanded| !satisfies(&grant.claims, demanded));
        if missing.is_some() && self.settings.challenge_answer == ChallengeAnswer::Interaction {
            return Err(Refusal::new(50076).with_claims(missing));
        }
        merge(&mut grant.claims, asked);
        Ok(())
    }
}

/// The scopes of a token for which a request names some; what was not consented to needs a human.
fn subset(
    asked: std::collections::BTreeSet<String>,
    all: &std::collections::BTreeSet<String>,
    settings: &EntraSettings,
) -> Result<std::collections::BTreeSet<String>, Refusal> {
    let mut missing = asked.iter().filter(|scope| !all.contains(*scope) && !settings.dropped_scopes.contains(*scope));
    // Signing in again costs nothing, so its scopes are not held against a refresh.
    if missing.any(|scope| !scopes::is_oidc(scope)) {
        return Err(Refusal::new(65001));
    }
    let resource = asked.iter().any(|scope| !scopes::is_oidc(scope));
    Ok(if resource { all.intersection(&asked).cloned().collect() } else { all.clone() })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from,
    }
}

impl EntraSettings {
    /// The scopes of a grant as an answer lists them.
    fn spelled(&self, grant: &Grant) -> String {
        let told = grant.scopes.iter().filter(|scope| self.answers_offline_access || *scope != "offline_access");
        let spelled = told.map(|scope| match self.spelling {
            Spelling::Full => scopes::in_full(scope),
            Spelling::Short => scope.clone(),
        });
        spelled.collect::<Vec<_>>().join(" ")
    }
}
