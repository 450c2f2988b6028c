//! Apps that act without a person: service accounts and their signed assertions (RFC 7523).

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose};
use chrono::{DateTime, Utc};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    complete::{Arrived, SignInHost, service_error},
    engine::SignIn,
    outcome::Completion,
    settle::Target,
    token_endpoint::TokenEndpoint,
    token_set::Assertion,
};
use crate::{
    connection::{Capability, ClientAuthentication, Connector, GrantKind, OAuthSettings},
    error::{Actor, Error, ErrorKind, Remedy, Result},
    ids::TenantId,
    secret::SecretText,
    store::forbid_reentry,
};

/// The longest life an assertion may have.
const ASSERTION_LIFE: i64 = 3600;

/// What an app asks for on its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppOnly {
    /// Whom it acts for (an address); `None`: for itself.
    pub subject: Option<String>,
    /// What it wants to do.
    pub capabilities: BTreeSet<Capability>,
}

impl AppOnly {
    /// For `subject`, with `capabilities`.
    pub fn new(subject: impl Into<String>, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self { subject: Some(subject.into()), capabilities: capabilities.into_iter().collect() }
    }
}

impl SignIn {
    /// Connects accounts with a service account's key: no browser, no refresh token, a new assertion for each token.
    ///
    /// # Errors
    /// `Misconfigured` if the connector has no service account or its key is unusable; `Store`. What the service says
    /// is an outcome.
    pub async fn connect_app_only(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        ask: &AppOnly,
        host: &dyn SignInHost,
    ) -> Result<Completion> {
        forbid_reentry("connecting an account")?;
        let profile = connector.profile();
        let assertion = Assertion { subject: ask.subject.clone(), scopes: profile.scopes.request(&ask.capabilities) };
        let parts = &self.engine.parts;
        let endpoint = TokenEndpoint {
            transport: &*parts.transport,
            clock: &*parts.clock,
            timeout: parts.settings.token_timeout(),
        };
        let signed = sign(&profile.oauth, &assertion, self.engine.now())?;
        let completion = |outcome| Completion {
            outcome,
            tenant: Some(tenant.clone()),
            app: Some(profile.app.clone()),
            context: None,
        };
        let answer = match endpoint.assert(&profile.oauth, signed.expose()).await {
            Ok(answer) => answer,
            Err(error) => return Ok(completion(service_error(&**connector, &error))),
        };
        let arrived = Arrived {
            kind: GrantKind::AppOnly { subject: ask.subject.clone() },
            subject: ask.subject.clone(),
            asked: ask.capabilities.clone(),
            requested: assertion.scopes.clone(),
            assertion: Some(assertion),
            answer,
        };
        let target = Target { tenant, connector, reconnect: None, another_account_allowed: false };
        let outcome = self.settle(&target, arrived, None, host).await?;
        Ok(completion(outcome))
    }
}

/// A signed assertion, good for an hour.
pub(super) fn sign(oauth: &OAuthSettings, assertion: &Assertion, now: DateTime<Utc>) -> Result<SecretText> {
    let ClientAuthentication::ServiceAccount { issuer, key_id, private_key } = &oauth.authentication else {
        return Err(Error::new(ErrorKind::Misconfigured, "the app has no service account"));
    };
    let issued = now.timestamp();
    let scopes: Vec<&str> = assertion.scopes.iter().map(String::as_str).collect();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": key_id });
    let mut claims = json!({
        "iss": issuer,
        "scope": scopes.join(" "),
        "aud": oauth.endpoints.token.as_str(),
        "iat": issued,
        "exp": issued + ASSERTION_LIFE,
    });
    if let Some(subject) = &assertion.subject {
        claims["sub"] = subject.as_str().into();
    }
    let encode = |bytes: &[u8]| general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let mut token = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let key = key_pair(private_key)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).map_err(|_| unusable_key())?;
    token.push('.');
    general_purpose::URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    Ok(SecretText::new(token))
}

fn key_pair(pem: &SecretText) -> Result<KeyPair> {
    let lines = pem.expose().lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let base64 = Zeroizing::new(lines.collect::<String>());
    let der = Zeroizing::new(general_purpose::STANDARD.decode(&*base64).map_err(|_| unusable_key())?);
    KeyPair::from_pkcs8(&der).map_err(|_| unusable_key())
}

fn unusable_key() -> Error {
    let remedy = Remedy::new(
        "The service account's private key cannot be used.",
        Actor::Operator,
        "Set the RSA key of the service account (PKCS#8 in PEM, as the service hands it out).",
    );
    Error::new(ErrorKind::Misconfigured, "the service account's private key is not RSA PKCS#8 in PEM")
        .with_remedy(remedy)
}
