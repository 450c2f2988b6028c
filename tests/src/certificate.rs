//! X.509 certificates, as little of them as sign-in with a certificate needs.

use aws_lc_rs::signature::RSA_PKCS1_SHA256;

use crate::keys::{SigningKey, der_element};

const SEQUENCE: u8 = 0x30;
const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const SHA256_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// The SubjectPublicKeyInfo (DER) in a certificate; its signature is not looked at.
pub(crate) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (SEQUENCE, body, _) = der_element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = der_element(body)? else { return None };
    // version (tagged, may be absent), serial number, signature, issuer, validity, subject
    let (first, _, after_version) = der_element(rest)?;
    if first == 0xa0 {
        rest = after_version;
    }
    for _ in 0..5 {
        (_, _, rest) = der_element(rest)?;
    }
    let (SEQUENCE, key, _) = der_element(rest)? else { return None };
    Some(element(SEQUENCE, &[key]))
}

impl SigningKey {
    /// A certificate for this key that it signed itself (DER), good from 2020 to 2049.
    #[must_use]
    pub fn to_certificate(&self, name: &str) -> Vec<u8> {
        let name = element(
            SEQUENCE,
            &[&element(0x31, &[&element(SEQUENCE, &[COMMON_NAME, &element(0x0c, &[name.as_bytes()])])])],
        );
        let life = element(SEQUENCE, &[&element(0x17, &[b"200101000000Z"]), &element(0x17, &[b"491231235959Z"])]);
        let algorithm = element(SEQUENCE, &[SHA256_WITH_RSA]);
        let key = element(SEQUENCE, &[&element(SEQUENCE, &[RSA_ENCRYPTION]), &bits(self.public_der())]);
        let version = element(0xa0, &[&element(0x02, &[&[2]])]);
        let serial = element(0x02, &[&[1]]);
        let body = element(SEQUENCE, &[&version, &serial, &algorithm, &name, &life, &name, &key]);
        let mark = bits(&self.mark(&RSA_PKCS1_SHA256, &body));
        element(SEQUENCE, &[&body, &algorithm, &mark])
    }
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    if length < 0x80 {
        der.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        der.push(0x80 | bytes.len() as u8);
        der.extend(bytes);
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::Assertion;

    #[test]
    fn the_key_in_a_certificate_verifies_what_its_owner_signed() {
        let key = SigningKey::generate();
        let certificate = key.to_certificate("an app");
        let public = public_key(&certificate).unwrap();
        let jwt = key.sign_jwt_as(&json!({"alg": "PS256"}), &json!({}));
        assert!(Assertion::parse(&jwt).unwrap().is_signed_by(&public));
        assert_eq!(public_key(&certificate[..40]), None);
    }
}
