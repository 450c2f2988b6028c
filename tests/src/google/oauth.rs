//! The token endpoint and revocation.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{
    ApiAnswer, Google, answers,
    register::{Grant, Issued, Register},
    scopes,
};
use crate::{
    form::{Form, credentials, is_form, verifies},
    keys::Assertion,
};

/// The grant type of service accounts.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The audience that service accounts name at the real service.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// Seconds an assertion may live.
const ASSERTION_LIFE: i64 = 3_600;
/// Seconds by which clocks may differ.
const SKEW: i64 = 300;

/// The endpoint says no.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str, &'static str);

impl Refusal {
    fn into_answer(self) -> ApiAnswer {
        answers::refused(self.0, self.1, self.2)
    }
}

fn bad_request(description: &'static str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "invalid_request", description)
}

fn invalid_grant(description: &'static str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "invalid_grant", description)
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Refusal> {
    form.one(name).ok_or_else(|| bad_request("A required parameter is missing."))
}

/// The client's id, if it is who it says.
fn authenticate(register: &Register, request: &Request<Bytes>, form: &Form) -> Result<String, Refusal> {
    let (id, secret) = credentials(request, form);
    let id = id.ok_or_else(|| bad_request("Could not determine client ID from request."))?;
    let refused = |text: &'static str| Refusal(StatusCode::UNAUTHORIZED, "invalid_client", text);
    let app = register.app(&id).ok_or_else(|| refused("The OAuth client was not found."))?;
    match (&app.client_secret, secret) {
        (None, _) => Ok(id),
        (Some(_), None) => Err(bad_request("client_secret is missing.")),
        (Some(known), Some(given)) if *known == given => Ok(id),
        (Some(_), Some(_)) => Err(refused("The provided client secret is invalid.")),
    }
}

impl Google {
    /// The token endpoint; `origin` is where the sandbox is reached.
    pub(super) fn token(&self, request: &Request<Bytes>, origin: &str, now: DateTime<Utc>) -> ApiAnswer {
        if *request.method() != Method::POST {
            return answers::nowhere();
        }
        if !is_form(request) {
            return bad_request("The request body is not a form.").into_answer();
        }
        let form = Form::parse(request.body());
        let answer = match form.one("grant_type") {
            Some("authorization_code") => self.exchange_code(request, &form, now),
            Some("refresh_token") => self.refresh(request, &form, now),
            Some(JWT_BEARER) => self.exchange_assertion(&form, origin, now),
            Some(_) => Err(Refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", "Invalid grant_type")),
            None => required(&form, "grant_type").map(|_| Value::Null),
        };
        match answer {
            Ok(body) => answers::uncached(answers::json(StatusCode::OK, &body)),
            Err(refusal) => refusal.into_answer(),
        }
    }

    fn exchange_code(&self, request: &Request<Bytes>, form: &Form, now: DateTime<Utc>) -> Result<Value, Refusal> {
        let mut register = self.register();
        let client_id = authenticate(&register, request, form)?;
        let text = required(form, "code")?.to_owned();
        let redirect = required(form, "redirect_uri")?;
        let code = register.code(&text).ok_or_else(|| invalid_grant("Malformed auth code."))?;
        if code.grant.client_id != client_id {
            return Err(invalid_grant("Malformed auth code."));
        }
        if let Some(issued) = code.used.clone() {
            // Somebody else holds the code too: nothing that came of it can be trusted any more.
            register.withdraw(&issued);
            return Err(invalid_grant("Bad Request"));
        }
        if code.expires_at <= now {
            return Err(invalid_grant("Bad Request"));
        }
        if code.redirect != redirect {
            return Err(Refusal(StatusCode::BAD_REQUEST, "redirect_uri_mismatch", "Bad Request"));
        }
        check_verifier(code.challenge.as_ref(), form.one("code_verifier"))?;
        let (grant, nonce, offline) = (code.grant.clone(), code.nonce.clone(), code.offline);
        let refresh = offline.then(|| register.issue_refresh(&grant, &*self.random, now));
        let mut body = self.access_body(&mut register, &grant, nonce.as_deref(), now);
        let access = body["access_token"].as_str().unwrap_or_default().to_owned();
        if let Some(code) = register.code(&text) {
            code.used = Some(Issued { access, refresh: refresh.clone() });
        }
        if let Some(refresh) = refresh {
            body["refresh_token"] = refresh.into();
        }
        Ok(body)
    }

    fn refresh(&self, request: &Request<Bytes>, form: &Form, now: DateTime<Utc>) -> Result<Value, Refusal> {
        let mut register = self.register();
        let client_id = authenticate(&register, request, form)?;
        let text = required(form, "refresh_token")?;
        let settings = self.settings();
        let (mut grant, next) = register
            .use_refresh(text, &client_id, &*self.random, now, &settings)
            .ok_or_else(|| invalid_grant("Token has been expired or revoked."))?;
        if let Some(wanted) = form.one("scope").map(scopes::parse) {
            if !wanted.is_subset(&grant.scopes) {
                return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_scope", "Bad Request"));
            }
            grant.scopes = wanted;
        }
        let mut body = self.access_body(&mut register, &grant, None, now);
        if let Some(next) = next {
            body["refresh_token"] = next.into();
        }
        Ok(body)
    }

    /// A token answer for `grant`, without a refresh token.
    fn access_body(&self, register: &mut Register, grant: &Grant, nonce: Option<&str>, now: DateTime<Utc>) -> Value {
        let settings = self.settings();
        let access = register.issue_access(grant, &*self.random, now, &settings);
        let mut body = json!({
            "access_token": access, "expires_in": settings.token_life.as_secs(),
            "scope": scopes::join(&grant.scopes), "token_type": "Bearer",
        });
        if grant.scopes.contains("openid")
            && let Some(person) = register.person(&grant.address)
        {
            body["id_token"] = self.id_token(grant, person, nonce, &access, now).into();
        }
        body
    }

    fn exchange_assertion(&self, form: &Form, origin: &str, now: DateTime<Utc>) -> Result<Value, Refusal> {
        let assertion = Assertion::parse(required(form, "assertion")?)
            .ok_or_else(|| invalid_grant("Invalid JWT: it cannot be decoded."))?;
        let mut register = self.register();
        let claims = &assertion.claims;
        let text = |name: &str| claims[name].as_str().unwrap_or_default();
        let account = register
            .service_account(text("iss"))
            .ok_or_else(|| invalid_grant("Invalid grant: account not found"))?
            .clone();
        let key = STANDARD.decode(&account.public_key).unwrap_or_default();
        let other_key = assertion.header["kid"].as_str().is_some_and(|kid| kid != account.key_id);
        if other_key || !assertion.is_signed_by(&key) {
            return Err(invalid_grant("Invalid JWT Signature."));
        }
        let audience = text("aud");
        if audience != AUDIENCE && audience.strip_prefix(origin) != Some("/token") {
            return Err(invalid_grant("Invalid JWT: Failed audience check."));
        }
        check_times(claims, now)?;
        let scopes = scopes::parse(text("scope"));
        if scopes.is_empty() || !scopes.iter().all(|scope| scopes::is_known(scope)) {
            return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_scope", "Invalid OAuth scope."));
        }
        let address = match claims["sub"].as_str() {
            None => account.address.clone(),
            Some(subject) => {
                let person = register.person(subject).filter(|person| person.hosted_domain().is_some());
                person.ok_or_else(|| invalid_grant("Invalid email or User ID"))?.address.clone()
            }
        };
        if claims["sub"].is_string() && !scopes.is_subset(&account.scopes) {
            let text = "Client is unauthorized to retrieve access tokens using this method.";
            return Err(Refusal(StatusCode::UNAUTHORIZED, "unauthorized_client", text));
        }
        let grant = Grant { client_id: account.client_id, address, scopes };
        let settings = self.settings();
        let access = register.issue_access(&grant, &*self.random, now, &settings);
        Ok(json!({"access_token": access, "expires_in": settings.token_life.as_secs(), "token_type": "Bearer"}))
    }

    /// The revocation endpoint.
    pub(super) fn revocation(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> ApiAnswer {
        if *request.method() != Method::POST {
            return answers::nowhere();
        }
        let (form, query) =
            (Form::parse(request.body()), Form::parse(request.uri().query().unwrap_or_default().as_bytes()));
        match form.one("token").or_else(|| query.one("token")) {
            None => bad_request("A required parameter is missing.").into_answer(),
            Some(token) if self.register().revoke_token(token, now) => answers::json(StatusCode::OK, &json!({})),
            Some(_) => answers::refused(StatusCode::BAD_REQUEST, "invalid_token", "Token expired or revoked"),
        }
    }
}

fn check_verifier(challenge: Option<&(String, bool)>, verifier: Option<&str>) -> Result<(), Refusal> {
    let Some(challenge) = challenge else { return Ok(()) };
    let verifier = verifier.ok_or_else(|| invalid_grant("Missing code verifier."))?;
    verifies(verifier, challenge).then_some(()).ok_or_else(|| invalid_grant("Invalid code verifier."))
}

fn check_times(claims: &Value, now: DateTime<Utc>) -> Result<(), Refusal> {
    let (issued, ends, now) = (claims["iat"].as_i64(), claims["exp"].as_i64(), now.timestamp());
    let sound = issued.zip(ends).is_some_and(|(issued, ends)| {
        issued <= now + SKEW && ends > now - SKEW && ends > issued && ends - issued <= ASSERTION_LIFE
    });
    sound.then_some(()).ok_or_else(|| {
        invalid_grant(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
             Check your iat and exp values in the JWT claim.",
        )
    })
}
