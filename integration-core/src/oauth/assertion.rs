//! What an app signs with its own key: service accounts' assertions, and certificates in place of a secret (RFC 7523).

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::token_set::Assertion;
use crate::{
    clock::Random,
    connection::{ClientAuthentication, OAuthSettings},
    error::{Actor, Error, ErrorKind, Remedy, Result},
    secret::SecretText,
};

/// The longest life a service account's assertion may have, in seconds.
const ASSERTION_LIFE: i64 = 3600;
/// A client's assertion is used at once; the rest is for clocks that differ.
const CLIENT_ASSERTION_LIFE: i64 = 300;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a token request carries besides its own fields.
pub(super) type Proof = Vec<(&'static str, SecretText)>;

impl ClientAuthentication {
    /// Can the app prove itself with this? A certificate and its key are read, and must belong together; whether the service
    /// knows them is only seen there.
    ///
    /// # Errors
    /// `Misconfigured`, with a remedy for the operator.
    pub fn check(&self) -> Result<()> {
        let Self::Certificate { certificate, private_key } = self else { return Ok(()) };
        let (der, key) = (certificate_der(certificate)?, key_pair(private_key)?);
        // The key's own encoding is a part of the certificate's.
        let public = key.public_key().as_ref();
        if der.windows(public.len()).any(|part| part == public) {
            return Ok(());
        }
        Err(unusable("the certificate belongs to another private key"))
    }
}

/// A service account's signed assertion, good for an hour.
pub(super) fn for_service_account(
    oauth: &OAuthSettings,
    assertion: &Assertion,
    now: DateTime<Utc>,
) -> Result<SecretText> {
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
    jwt(&header, &claims, private_key, &RSA_PKCS1_SHA256)
}

/// The signed assertion of an app with a certificate, for one request; nothing for other apps.
pub(super) fn for_client(oauth: &OAuthSettings, now: DateTime<Utc>, random: &dyn Random) -> Result<Proof> {
    let ClientAuthentication::Certificate { certificate, private_key } = &oauth.authentication else {
        return Ok(Vec::new());
    };
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(certificate_der(certificate)?));
    let issued = now.timestamp();
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": hash });
    let claims = json!({
        "aud": oauth.endpoints.token.as_str(),
        "iss": oauth.client_id,
        "sub": oauth.client_id,
        "jti": random.token(16),
        "nbf": issued,
        "iat": issued,
        "exp": issued + CLIENT_ASSERTION_LIFE,
    });
    let signed = jwt(&header, &claims, private_key, &RSA_PSS_SHA256)?;
    Ok(vec![("client_assertion_type", SecretText::new(ASSERTION_TYPE)), ("client_assertion", signed)])
}

fn jwt(header: &Value, claims: &Value, key: &SecretText, algorithm: &'static dyn RsaEncoding) -> Result<SecretText> {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let mut token = format!("{}.{}", encode(header), encode(claims));
    let key = key_pair(key)?;
    let mut signature = vec![0; key.public_modulus_len()];
    let signed = key.sign(algorithm, &SystemRandom::new(), token.as_bytes(), &mut signature);
    signed.map_err(|_| unusable("the private key does not sign"))?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    Ok(SecretText::new(token))
}

/// PKCS#8 ("PRIVATE KEY"), or the older form of RSA alone ("RSA PRIVATE KEY").
fn key_pair(pem: &SecretText) -> Result<KeyPair> {
    let wrong = || unusable("the private key is not RSA in PEM (PKCS#8)");
    for (label, read) in [
        ("PRIVATE KEY", KeyPair::from_pkcs8 as fn(&[u8]) -> Result<KeyPair, _>),
        ("RSA PRIVATE KEY", KeyPair::from_der),
    ] {
        if let Some(der) = pem_block(pem.expose(), label) {
            return read(&der).map_err(|_| wrong());
        }
    }
    Err(wrong())
}

fn certificate_der(pem: &str) -> Result<Zeroizing<Vec<u8>>> {
    pem_block(pem, "CERTIFICATE").ok_or_else(|| unusable("the certificate is not PEM"))
}

/// The first block of a kind.
fn pem_block(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (block, _) = text.split_once(&begin)?.1.split_once(&end)?;
    let base64: Zeroizing<String> = Zeroizing::new(block.split_whitespace().collect());
    STANDARD.decode(&*base64).ok().map(Zeroizing::new)
}

fn unusable(message: &str) -> Error {
    let remedy = Remedy::new(
        "The key that the app signs with cannot be used.",
        Actor::Operator,
        "Set the app's RSA key in PEM (PKCS#8), and the certificate that belongs to it where there is one.",
    );
    Error::new(ErrorKind::Misconfigured, message).with_remedy(remedy)
}
