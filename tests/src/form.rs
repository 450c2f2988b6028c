//! What sign-in requests carry: forms, client credentials, code verifiers.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{
    Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

/// A form body, or a query.
#[derive(Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The query of a request.
    pub(crate) fn query(request: &Request<Bytes>) -> Self {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// A field that is there and not empty.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The same as an owned text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.one(name).map(str::to_owned)
    }
}

/// Does the request say that its body is a form?
pub(crate) fn is_form(request: &Request<Bytes>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}

/// A client's id and secret, out of the form or the `Authorization` header.
pub(crate) fn credentials(request: &Request<Bytes>, form: &Form) -> (Option<String>, Option<String>) {
    let basic = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let pair = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    if let Some((id, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
        let decode = |text: &str| {
            // Both halves are form-encoded before they are joined (RFC 6749, 2.3.1).
            url::form_urlencoded::parse(format!("v={text}").as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        return (decode(id), decode(secret));
    }
    (form.text("client_id"), form.text("client_secret"))
}

/// The access token in a request's `Authorization` header.
pub(crate) fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Does a code verifier belong to a challenge (the text, and whether it is a hash)?
pub(crate) fn verifies(verifier: &str, (challenge, hashed): &(String, bool)) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let shown =
        if *hashed { URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) } else { verifier.to_owned() };
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(allowed) && shown == *challenge
}

/// A segment of a path without its percent signs.
pub(crate) fn decode(segment: &str) -> String {
    // A form turns `+` into a space, a path does not.
    let text = format!("v={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
