//! How apps prove who they are at the token endpoint.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;

use super::{
    app::{ClientCertificate, EntraApp},
    errors::Refusal,
    register::Register,
    settings::EntraSettings,
};
use crate::{
    form::{Form, credentials},
    keys::Assertion,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion may live.
const LIFE: TimeDelta = TimeDelta::minutes(10);
/// By how much clocks may differ.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// A request of the token endpoint, with what it takes to judge it.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    pub(super) request: &'a Request<Bytes>,
    pub(super) form: &'a Form,
    /// The URL of the token endpoint as it was asked.
    pub(super) endpoint: &'a str,
    pub(super) now: DateTime<Utc>,
}

/// The app, if it is who it says.
pub(super) fn authenticate(
    register: &mut Register,
    settings: &EntraSettings,
    presented: &Presented<'_>,
) -> Result<EntraApp, Refusal> {
    let (id, secret) = credentials(presented.request, presented.form);
    let assertion = presented.form.one("client_assertion");
    let named = id.or_else(|| assertion.and_then(issuer)).ok_or_else(|| Refusal::new(900144))?;
    let app = register.app(&named).cloned().ok_or_else(|| Refusal::new(700016))?;
    if app.disabled {
        return Err(Refusal::new(7000112));
    }
    match (app.is_confidential(), secret, assertion) {
        (false, None, None) => {}
        (false, ..) => return Err(Refusal::new(700025)),
        (true, None, None) => return Err(Refusal::new(7000218)),
        (true, Some(secret), _) => check_secret(&app, &secret, presented.now)?,
        (true, None, Some(text)) => check_assertion(register, settings, &app, text, presented)?,
    }
    Ok(app)
}

fn issuer(assertion: &str) -> Option<String> {
    Assertion::parse(assertion)?.claims["iss"].as_str().map(str::to_owned)
}

fn check_secret(app: &EntraApp, given: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
    let known = app.secrets.iter().find(|secret| secret.value == given).ok_or_else(|| Refusal::new(7000215))?;
    if known.expires_at.is_some_and(|end| end <= now) {
        return Err(Refusal::new(7000222));
    }
    Ok(())
}

fn check_assertion(
    register: &mut Register,
    settings: &EntraSettings,
    app: &EntraApp,
    text: &str,
    presented: &Presented<'_>,
) -> Result<(), Refusal> {
    if presented.form.one("client_assertion_type") != Some(JWT_BEARER) {
        return Err(Refusal::new(900144));
    }
    let refused = || Refusal::new(700027);
    let assertion = Assertion::parse(text).ok_or_else(refused)?;
    let certificate = certificate(app, settings, &assertion).ok_or_else(refused)?;
    let key = STANDARD.decode(&certificate.public_key).unwrap_or_default();
    let claims = &assertion.claims;
    let own = claims["iss"] == app.client_id.as_str() && claims["sub"] == app.client_id.as_str();
    if !assertion.is_signed_by(&key) || !own || claims["aud"] != presented.endpoint {
        return Err(refused());
    }
    let end = check_times(claims, presented.now)?;
    let id = claims["jti"].as_str().filter(|id| !id.is_empty()).ok_or_else(refused)?;
    if !register.first_use(format!("{} {id}", app.client_id), end + SKEW, presented.now) {
        return Err(refused());
    }
    Ok(())
}

/// The certificate that an assertion names, if it does so in a form that is accepted.
fn certificate<'a>(
    app: &'a EntraApp,
    settings: &EntraSettings,
    assertion: &Assertion<'_>,
) -> Option<&'a ClientCertificate> {
    let header = &assertion.header;
    let is_it = |certificate: &&ClientCertificate| match header["alg"].as_str() {
        Some("PS256") => header["x5t#S256"] == certificate.thumbprint.as_str(),
        Some("RS256") => settings.accepts_old_assertions && header["x5t"] == certificate.old_thumbprint.as_str(),
        _ => false,
    };
    app.certificates.iter().find(is_it)
}

fn check_times(claims: &serde_json::Value, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let time = |name: &str| claims[name].as_i64().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let (from, end) = (time("nbf").unwrap_or(now), time("exp"));
    let sound = |end: &DateTime<Utc>| from <= now + SKEW && *end > now - SKEW && *end - from <= LIFE;
    end.filter(sound).ok_or_else(|| Refusal::new(50013))
}
