//! A sign-in service in memory, behind the transport.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::http::{Body, Transport, TransportError, TransportErrorKind};

pub(super) type Form = BTreeMap<String, String>;

/// One scripted answer of the token endpoint.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Json(u16, Value),
    RetryAfter(u16, &'static str),
    Raw(u16, &'static str),
    Broken(TransportErrorKind),
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Forms received by the token endpoint.
    pub(super) tokens: Vec<Form>,
    pub(super) revocations: Vec<Form>,
    pub(super) discoveries: usize,
    pub(super) key_requests: usize,
    /// Answers before the usual ones.
    pub(super) script: VecDeque<Answer>,
    /// How long the next token answers take; the last one stays.
    pub(super) delays: VecDeque<Duration>,
    /// A refresh gives a new refresh token and ends the old one.
    pub(super) rotating: bool,
    pub(super) current_refresh: String,
    /// What the code exchange adds or replaces; null removes.
    pub(super) exchange: Value,
    pub(super) life: u64,
    pub(super) revoke_status: u16,
    pub(super) revoke_body: &'static str,
    pub(super) revoke_delay: Duration,
    pub(super) names_issuer: bool,
    pub(super) issuer: &'static str,
    pub(super) keys_down: bool,
    pub(super) keys: Value,
    pub(super) keys_life: u64,
    issued: usize,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) state: Mutex<State>,
}

impl Service {
    pub(super) fn new() -> Self {
        let state = State {
            life: 3600,
            revoke_status: 200,
            keys_life: 3600,
            exchange: json!({}),
            issuer: "https://id.example",
            ..State::default()
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(super) fn refreshes(&self) -> usize {
        self.with(|state| state.tokens.iter().filter(|form| form["grant_type"] == "refresh_token").count())
    }

    /// The usual answer to a token request; what it changes takes effect at once.
    fn usual(&self, form: &Form) -> Answer {
        self.with(|state| {
            state.issued += 1;
            let access = format!("access-{}", state.issued);
            match form["grant_type"].as_str() {
                "authorization_code" => {
                    state.current_refresh = format!("refresh-{}", state.issued);
                    let mut body = json!({
                        "access_token": access, "refresh_token": state.current_refresh,
                        "expires_in": state.life, "token_type": "Bearer",
                    });
                    for (name, value) in state.exchange.as_object().unwrap() {
                        body[name] = value.clone();
                    }
                    Answer::Json(200, body)
                }
                "refresh_token" if form["refresh_token"] != state.current_refresh => {
                    Answer::Json(400, json!({ "error": "invalid_grant" }))
                }
                "refresh_token" => {
                    let mut body = json!({ "access_token": access, "expires_in": state.life, "token_type": "Bearer" });
                    if state.rotating {
                        state.current_refresh = format!("refresh-{}", state.issued);
                        body["refresh_token"] = state.current_refresh.clone().into();
                    }
                    Answer::Json(200, body)
                }
                _ => Answer::Json(200, json!({ "access_token": access, "expires_in": state.life })),
            }
        })
    }

    async fn token(&self, form: Form) -> Result<http::Response<Body>, TransportError> {
        let (scripted, delay) = self.with(|state| {
            state.tokens.push(form.clone());
            let delay = if state.delays.len() > 1 { state.delays.pop_front() } else { state.delays.front().copied() };
            (state.script.pop_front(), delay.unwrap_or_default())
        });
        let answer = scripted.unwrap_or_else(|| self.usual(&form));
        tokio::time::sleep(delay).await;
        match answer {
            Answer::Json(status, body) => Ok(respond(status, body.to_string())),
            Answer::Raw(status, body) => Ok(respond(status, body.to_owned())),
            Answer::RetryAfter(status, wait) => {
                let mut response = respond(status, "<html>slow down</html>".to_owned());
                response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static(wait));
                Ok(response)
            }
            Answer::Broken(kind) => Err(TransportError::new(kind, "scripted")),
        }
    }
}

#[async_trait]
impl Transport for Service {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        let (head, body) = request.into_parts();
        let body = body.collect(1 << 20).await?;
        let form: Form = url::form_urlencoded::parse(&body).into_owned().collect();
        match head.uri.path() {
            "/token" => self.token(form).await,
            "/revoke" => {
                tokio::time::sleep(self.with(|state| state.revoke_delay)).await;
                Ok(self.with(|state| {
                    state.revocations.push(form);
                    respond(state.revoke_status, state.revoke_body.to_owned())
                }))
            }
            "/discovery" => Ok(self.with(|state| {
                state.discoveries += 1;
                let body = json!({
                    "issuer": state.issuer, "jwks_uri": "https://id.example/keys",
                    "authorization_response_iss_parameter_supported": state.names_issuer,
                });
                respond(200, body.to_string())
            })),
            "/keys" => Ok(self.with(|state| {
                state.key_requests += 1;
                if state.keys_down {
                    return respond(503, String::new());
                }
                let mut response = respond(200, json!({ "keys": state.keys }).to_string());
                let control = format!("public, max-age={}", state.keys_life);
                response.headers_mut().insert(http::header::CACHE_CONTROL, control.parse().unwrap());
                response
            })),
            path => panic!("nobody asks for {path}"),
        }
    }
}

fn respond(status: u16, body: String) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

/// A key that signs id tokens.
pub(super) struct Signer {
    id: String,
    key: Key,
}

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl Signer {
    pub(super) fn new(id: &str) -> Self {
        let key = Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        Self { id: id.to_owned(), key }
    }

    pub(super) fn rsa(id: &str) -> Self {
        let key = Key::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap());
        Self { id: id.to_owned(), key }
    }

    pub(super) fn public(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y })
            }
            Key::Rsa(key) => {
                let n = encode(key.public_key().modulus().big_endian_without_leading_zero());
                let e = encode(key.public_key().exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "use": "sig", "kid": self.id, "n": n, "e": e })
            }
        }
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let algorithm = if matches!(self.key, Key::Ec(_)) { "ES256" } else { "RS256" };
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.id });
        let text = format!("{}.{}", encode(&header), encode(claims));
        let signature = match &self.key {
            Key::Ec(key) => key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
