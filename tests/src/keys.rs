//! RSA keys: signing id tokens, publishing them as a key set, and checking the assertions of service accounts.

use std::{fmt, sync::OnceLock};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{self, KeyPair as _, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// One RSA key pair with its id.
pub struct SigningKey {
    id: String,
    pair: KeyPair,
}

impl SigningKey {
    /// A fresh 2048-bit key.
    #[must_use]
    pub fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be generated");
        Self::of(pair)
    }

    /// The key in a PKCS#8 document, as [`SigningKey::to_pkcs8`] writes it.
    #[must_use]
    pub fn from_pkcs8(base64: &str) -> Option<Self> {
        let der = STANDARD.decode(base64).ok()?;
        KeyPair::from_pkcs8(&der).ok().map(Self::of)
    }

    fn of(pair: KeyPair) -> Self {
        let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_key().as_ref());
        Self { id: hex::encode(&print.as_ref()[..20]), pair }
    }

    /// The key's id (`kid`), derived from its public part.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The private key as base64 of its PKCS#8 document.
    #[must_use]
    pub fn to_pkcs8(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().expect("a usable key can be written down");
        STANDARD.encode(der.as_ref())
    }

    /// The private key as PEM, as key files of service accounts carry it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let text = self.to_pkcs8();
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// The public key (PKCS#1, DER).
    #[must_use]
    pub fn public_der(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// A compact JWT over `claims`, RS256.
    #[must_use]
    pub fn sign_jwt(&self, claims: &Value) -> String {
        self.sign_jwt_as(&json!({"alg": "RS256", "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A compact JWT with this header, signed as its `alg` says: `PS256`, else RS256.
    #[must_use]
    pub fn sign_jwt_as(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mark = if header["alg"] == "PS256" {
            self.mark(&signature::RSA_PSS_SHA256, signed.as_bytes())
        } else {
            self.mark(&signature::RSA_PKCS1_SHA256, signed.as_bytes())
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
    }

    pub(crate) fn mark(&self, how: &'static dyn signature::RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut mark = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(how, &SystemRandom::new(), message, &mut mark).expect("a usable key signs");
        mark
    }

    /// The public key as a member of a key set.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let (modulus, exponent) = public_numbers(self.public_der()).unwrap_or_default();
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys that sign id tokens: the newest signs, the one before it stays published until the next rotation.
///
/// The first key is made when it is first needed, because making one costs a moment that most tests can save.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    current: OnceLock<SigningKey>,
    previous: Option<SigningKey>,
}

impl KeyRing {
    pub(crate) fn restored(current: Option<SigningKey>, previous: Option<SigningKey>) -> Self {
        let ring = Self { current: OnceLock::new(), previous };
        if let Some(key) = current {
            let _ = ring.current.set(key);
        }
        ring
    }

    pub(crate) fn current(&self) -> &SigningKey {
        self.current.get_or_init(SigningKey::generate)
    }

    /// The PKCS#8 documents of the current and the previous key, as far as there are any.
    pub(crate) fn export(&self) -> (Option<String>, Option<String>) {
        (self.current.get().map(SigningKey::to_pkcs8), self.previous.as_ref().map(SigningKey::to_pkcs8))
    }

    pub(crate) fn rotate(&mut self) {
        let old = std::mem::take(&mut self.current).into_inner();
        self.previous = old;
        let _ = self.current.set(SigningKey::generate());
    }

    /// Rotates, after there was a key: one that nobody has seen yet would not be worth rotating away from.
    pub(crate) fn advance(&mut self) {
        self.current();
        self.rotate();
    }

    pub(crate) fn to_jwks(&self) -> Value {
        let keys: Vec<Value> =
            std::iter::once(self.current()).chain(self.previous.as_ref()).map(SigningKey::to_jwk).collect();
        json!({ "keys": keys })
    }
}

/// Modulus and exponent of a PKCS#1 public key, without the sign bytes of their DER form.
fn public_numbers(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (0x30, body, _) = der_element(der)? else { return None };
    let (0x02, modulus, rest) = der_element(body)? else { return None };
    let (0x02, exponent, _) = der_element(rest)? else { return None };
    let unsigned = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    Some((unsigned(modulus), unsigned(exponent)))
}

/// The first element of `der`: its tag, its content, and what follows it.
pub(crate) fn der_element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let length = rest.get(..count)?.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        (length, rest.get(count..)?)
    };
    Some((*tag, rest.get(..length)?, rest.get(length..)?))
}

/// A JWT taken apart, its signature unchecked.
#[derive(Debug)]
pub(crate) struct Assertion<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: &'a str,
    mark: Vec<u8>,
}

impl<'a> Assertion<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (signed, mark) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self { header: json(header)?, claims: json(claims)?, signed, mark: URL_SAFE_NO_PAD.decode(mark).ok()? })
    }

    /// Did the holder of `public_der` (PKCS#1 or SubjectPublicKeyInfo) sign it, with RS256 or PS256?
    pub(crate) fn is_signed_by(&self, public_der: &[u8]) -> bool {
        let how: &'static signature::RsaParameters = match self.header["alg"].as_str() {
            Some("RS256") => &signature::RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &signature::RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        UnparsedPublicKey::new(how, public_der).verify(self.signed.as_bytes(), &self.mark).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_verified_by_its_own_key_and_by_no_other() {
        let (key, other) = (SigningKey::generate(), SigningKey::generate());
        let jwt = key.sign_jwt(&json!({"sub": "1"}));
        let assertion = Assertion::parse(&jwt).unwrap();
        assert!(assertion.is_signed_by(key.public_der()));
        assert!(!assertion.is_signed_by(other.public_der()));
    }

    #[test]
    fn a_token_is_signed_as_its_header_says() {
        let key = SigningKey::generate();
        let jwt = key.sign_jwt_as(&json!({"alg": "PS256"}), &json!({"sub": "1"}));
        assert!(Assertion::parse(&jwt).unwrap().is_signed_by(key.public_der()));
        let plain = key.sign_jwt_as(&json!({"alg": "RS256"}), &json!({"sub": "1"}));
        let (head, _) = jwt.split_once('.').unwrap();
        let mixed = format!("{head}.{}", plain.split_once('.').unwrap().1);
        assert!(!Assertion::parse(&mixed).unwrap().is_signed_by(key.public_der()));
    }

    #[test]
    fn a_key_survives_being_written_down() {
        let key = SigningKey::generate();
        let again = SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(again.to_jwk(), key.to_jwk());
    }

    #[test]
    fn a_published_key_has_a_full_modulus_and_the_usual_exponent() {
        let jwk = SigningKey::generate().to_jwk();
        assert_eq!(URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap().len(), 256);
        assert_eq!(jwk["e"], "AQAB");
    }

    #[test]
    fn rotation_keeps_the_key_before_the_newest() {
        let mut ring = KeyRing::default();
        let old = ring.current().id().to_owned();
        ring.rotate();
        let keys = ring.to_jwks();
        assert_eq!(keys["keys"][1]["kid"], old.as_str());
        assert_ne!(keys["keys"][0]["kid"], old.as_str());
    }
}
