//! The service is asked as a client would ask it: by requests.

mod admin;
mod challenges;
mod consent;
mod mail;
mod tokens;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use integration_core::http::Body;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::{
    Consent, Sandbox,
    tests::{ADA, Seen, VERIFIER, code_of, form, get, parameter, sandbox, send},
};

const REDIRECT: &str = "http://localhost:7777/callback";
const WEB: &str = "9b3c5a52-6f0f-4ac3-8a0c-3a7a6a0c9d10";
const BACK: &str = "https://app.example/back";
const MAIL: &str = "openid profile offline_access Mail.Read";
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A sandbox in which Ada has an account of each kind that matters here: at work.
fn world() -> Sandbox {
    let sandbox = sandbox();
    sandbox.microsoft().register_person(ADA, "Ada Example");
    sandbox
}

/// The same with the confidential app.
fn world_with(app: EntraApp) -> Sandbox {
    let sandbox = world();
    sandbox.microsoft().register_app(app);
    sandbox
}

fn web() -> EntraApp {
    EntraApp::web(WEB, "s3~cr+et", BACK)
}

/// The authorisation URL for `scope` at `tenant`, with PKCE, and `more`.
fn ask_at(sandbox: &Sandbox, tenant: &str, scope: &str, more: &[(&str, &str)]) -> Url {
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    let mut pairs = vec![
        ("client_id", DEFAULT_APP),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", scope),
        ("state", "st&te"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    let mut url = sandbox.microsoft_urls().authorisation(tenant);
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

fn ask(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> Url {
    ask_at(sandbox, "common", scope, more)
}

/// A request of the token endpoint with these fields instead of, or beside, `usual`.
fn token_form(sandbox: &Sandbox, tenant: &str, usual: &[(&str, &str)], more: &[(&str, &str)]) -> http::Request<Body> {
    let kept = usual.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let fields: Vec<_> = kept.chain(more).copied().collect();
    form(sandbox.microsoft_urls().token(tenant), &fields)
}

fn redeem_at(sandbox: &Sandbox, tenant: &str, code: &str, more: &[(&str, &str)]) -> http::Request<Body> {
    let usual = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", DEFAULT_APP),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    token_form(sandbox, tenant, &usual, more)
}

fn redeem(sandbox: &Sandbox, code: &str) -> http::Request<Body> {
    redeem_at(sandbox, "common", code, &[])
}

fn refresh_at(sandbox: &Sandbox, tenant: &str, token: &str, more: &[(&str, &str)]) -> http::Request<Body> {
    let usual = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", DEFAULT_APP)];
    token_form(sandbox, tenant, &usual, more)
}

fn refresh(sandbox: &Sandbox, token: &str) -> http::Request<Body> {
    refresh_at(sandbox, "common", token, &[])
}

fn app_only(sandbox: &Sandbox, tenant: &str, more: &[(&str, &str)]) -> http::Request<Body> {
    let usual = [
        ("grant_type", "client_credentials"),
        ("client_id", WEB),
        ("client_secret", "s3~cr+et"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    token_form(sandbox, tenant, &usual, more)
}

/// A code for `scope`, everything granted.
fn code(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> String {
    code_of(&sandbox.consent(&ask(sandbox, scope, more), Consent::Grant).unwrap())
}

/// A token answer for `scope`, everything granted.
async fn tokens_with(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> Value {
    let answer = send(sandbox, redeem(sandbox, &code(sandbox, scope, more))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

async fn tokens(sandbox: &Sandbox, scope: &str) -> Value {
    tokens_with(sandbox, scope, &[]).await
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn words(answer: &Value) -> Vec<&str> {
    text(answer, "scope").split(' ').collect()
}

fn claims(answer: &Value) -> Value {
    let body = text(answer, "id_token").split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// The error and the AADSTS number that a token request is refused with.
async fn refused(sandbox: &Sandbox, request: http::Request<Body>) -> (String, u32) {
    let seen = send(sandbox, request).await;
    let body = seen.json();
    let number = body["error_codes"][0].as_u64().unwrap_or_default() as u32;
    assert!(!seen.status.is_success() && text(&body, "error_description").starts_with(&format!("AADSTS{number}: ")));
    (text(&body, "error").to_owned(), number)
}

fn is(error: &str, number: u32) -> (String, u32) {
    (error.to_owned(), number)
}

/// The error in a callback, and the beginning of its description.
fn error_in(url: &Url) -> (String, String) {
    let description = parameter(url, "error_description").unwrap_or_default();
    let number = description.split(':').next().unwrap_or_default().to_owned();
    (parameter(url, "error").unwrap_or_else(|| panic!("no error in {url}")), number)
}

fn me(sandbox: &Sandbox, token: &str) -> http::Request<Body> {
    get(sandbox.microsoft_urls().api("me").unwrap(), Some(token))
}

async fn graph(sandbox: &Sandbox, path: &str, token: &str) -> Seen {
    send(sandbox, get(sandbox.microsoft_urls().api(path).unwrap(), Some(token))).await
}
