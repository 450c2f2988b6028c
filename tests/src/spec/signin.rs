//! Sign-in endpoints and the batch envelope: the table that stands in for a discovery document.

use bytes::Bytes;
use http::Request;

use crate::microsoft;

/// Fields of a token endpoint: grant type, required, optional.
type Grant = (&'static str, &'static [&'static str], &'static [&'static str]);

/// One endpoint of the table.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// Parameters in the query.
    Query { verbs: &'static [&'static str], required: &'static [&'static str], optional: &'static [&'static str] },
    /// Parameters in a form body, by `grant_type`.
    Token(&'static [Grant]),
    /// One token in a form body.
    Revocation,
    /// A `multipart/mixed` body of HTTP requests.
    Batch,
}

const AUTHORISATION: Endpoint = Endpoint::Query {
    // POST is the page's own button.
    verbs: &["GET", "POST"],
    required: &["client_id", "redirect_uri", "response_type", "scope"],
    optional: &[
        "access_type",
        "code_challenge",
        "code_challenge_method",
        "enable_granular_consent",
        "hd",
        "include_granted_scopes",
        "login_hint",
        "nonce",
        "prompt",
        "state",
    ],
};
const READ: Endpoint = Endpoint::Query { verbs: &["GET"], required: &[], optional: &[] };
const USERINFO: Endpoint = Endpoint::Query { verbs: &["GET", "POST"], required: &[], optional: &[] };
const TOKENINFO: Endpoint =
    Endpoint::Query { verbs: &["GET", "POST"], required: &[], optional: &["access_token", "id_token"] };

const GRANTS: [Grant; 3] = [
    ("authorization_code", &["code", "redirect_uri"], &["client_id", "client_secret", "code_verifier"]),
    ("refresh_token", &["refresh_token"], &["client_id", "client_secret", "scope"]),
    ("urn:ietf:params:oauth:grant-type:jwt-bearer", &["assertion"], &[]),
];

const ENTRA_AUTHORISATION: Endpoint = Endpoint::Query {
    verbs: &["GET", "POST"],
    required: &["client_id", "redirect_uri", "response_type", "scope"],
    optional: &[
        "claims",
        "code_challenge",
        "code_challenge_method",
        "domain_hint",
        "login_hint",
        "nonce",
        "prompt",
        "response_mode",
        "state",
    ],
};
const ADMIN_CONSENT: Endpoint = Endpoint::Query {
    verbs: &["GET", "POST"],
    required: &["client_id", "redirect_uri", "scope"],
    optional: &["state"],
};
const LOGOUT: Endpoint = Endpoint::Query {
    verbs: &["GET"],
    required: &[],
    optional: &["id_token_hint", "logout_hint", "post_logout_redirect_uri", "state"],
};

const ENTRA_GRANTS: [Grant; 3] = [
    (
        "authorization_code",
        &["code", "redirect_uri"],
        &[
            "claims",
            "client_assertion",
            "client_assertion_type",
            "client_id",
            "client_secret",
            "code_verifier",
            "scope",
        ],
    ),
    (
        "refresh_token",
        &["refresh_token"],
        &["claims", "client_assertion", "client_assertion_type", "client_id", "client_secret", "scope"],
    ),
    (
        "client_credentials",
        &["scope"],
        &["claims", "client_assertion", "client_assertion_type", "client_id", "client_secret"],
    ),
];

/// The most inner calls a batch may have.
const BATCH_LIMIT: usize = 100;

/// The endpoint at `path`, with the name its calls have in the books.
pub(super) fn endpoint(path: &str) -> Option<(&'static str, &'static Endpoint)> {
    if let Some((kind, _)) = microsoft::sign_in(path) {
        return Some(match kind {
            microsoft::Endpoint::AdminConsent => ("oauth.adminconsent", &ADMIN_CONSENT),
            microsoft::Endpoint::Authorise => ("oauth.authorise", &ENTRA_AUTHORISATION),
            microsoft::Endpoint::Discovery => ("oidc.discovery", &READ),
            microsoft::Endpoint::Keys => ("oidc.keys", &READ),
            microsoft::Endpoint::Logout => ("oauth.logout", &LOGOUT),
            microsoft::Endpoint::Token => ("oauth.token", &Endpoint::Token(&ENTRA_GRANTS)),
        });
    }
    Some(match path {
        "/oidc/userinfo" => ("oidc.userinfo", &USERINFO),
        "/o/oauth2/v2/auth" => ("oauth.authorise", &AUTHORISATION),
        "/token" => ("oauth.token", &Endpoint::Token(&GRANTS)),
        "/revoke" => ("oauth.revoke", &Endpoint::Revocation),
        "/tokeninfo" => ("oauth.tokeninfo", &TOKENINFO),
        "/.well-known/openid-configuration" => ("oidc.discovery", &READ),
        "/oauth2/v3/certs" => ("oidc.keys", &READ),
        "/v1/userinfo" => ("oidc.userinfo", &USERINFO),
        "/batch/gmail/v1" => ("gmail.batch", &Endpoint::Batch),
        _ => return None,
    })
}

/// What is wrong with a request to `endpoint`.
pub(super) fn check(endpoint: &Endpoint, request: &Request<Bytes>) -> Vec<String> {
    match endpoint {
        Endpoint::Query { verbs, .. } if !verbs.contains(&request.method().as_str()) => {
            vec!["the method is unknown here".into()]
        }
        // What the consent page itself posts is between the page and the sandbox.
        Endpoint::Query { .. } if request.method() == http::Method::POST => Vec::new(),
        Endpoint::Query { required, optional, .. } => {
            names(request.uri().query().unwrap_or_default().as_bytes(), required, optional)
        }
        Endpoint::Token(grants) => form(request).map_or_else(|wrong| vec![wrong], |body| token(body, grants)),
        Endpoint::Revocation => match request.uri().query() {
            Some(query) => names(query.as_bytes(), &["token"], &[]),
            None => form(request).map_or_else(|wrong| vec![wrong], |body| names(body, &["token"], &[])),
        },
        Endpoint::Batch => batch(request),
    }
}

fn form(request: &Request<Bytes>) -> Result<&[u8], String> {
    if request.method() != http::Method::POST {
        return Err("the method is unknown here".into());
    }
    if request.uri().query().is_some() {
        return Err("parameters belong into the body".into());
    }
    if !super::content_type(request.headers()).starts_with("application/x-www-form-urlencoded") {
        return Err("the body is not declared as a form".into());
    }
    Ok(request.body())
}

fn token(body: &[u8], grants: &[Grant]) -> Vec<String> {
    let grant_type = url::form_urlencoded::parse(body).find(|(name, _)| name == "grant_type").map(|(_, value)| value);
    let Some(grant_type) = grant_type else { return vec!["the parameter grant_type is missing".into()] };
    match grants.iter().find(|(name, ..)| *name == grant_type) {
        Some((_, required, optional)) => {
            let required: Vec<&str> = required.iter().copied().chain(["grant_type"]).collect();
            names(body, &required, optional)
        }
        None => vec!["the parameter grant_type has an unknown value".into()],
    }
}

fn names(text: &[u8], required: &[&str], optional: &[&str]) -> Vec<String> {
    let given: Vec<String> = url::form_urlencoded::parse(text).map(|(name, _)| name.into_owned()).collect();
    let mut found = Vec::new();
    for (index, name) in given.iter().enumerate() {
        if !required.contains(&name.as_str()) && !optional.contains(&name.as_str()) {
            found.push(format!("the parameter {name} is unknown"));
        }
        if given[..index].contains(name) {
            found.push(format!("the parameter {name} is given more than once"));
        }
    }
    let missing = required.iter().filter(|name| !given.iter().any(|one| one == *name));
    found.extend(missing.map(|name| format!("the parameter {name} is missing")));
    found
}

fn batch(request: &Request<Bytes>) -> Vec<String> {
    if request.method() != http::Method::POST {
        return vec!["the method is unknown here".into()];
    }
    let declared = super::content_type(request.headers());
    let boundary = declared.split(';').skip(1).find_map(|part| part.trim().strip_prefix("boundary="));
    let Some(boundary) = boundary.filter(|_| declared.starts_with("multipart/mixed")) else {
        return vec!["the body is not declared as multipart/mixed with a boundary".into()];
    };
    let text = String::from_utf8_lossy(request.body());
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut parts: Vec<&str> = text.split(delimiter.as_str()).skip(1).collect();
    let mut found = Vec::new();
    if !parts.pop().is_some_and(|end| end.starts_with("--")) {
        found.push("the closing boundary is missing".to_owned());
    }
    if parts.len() > BATCH_LIMIT {
        found.push(format!("the batch has more than {BATCH_LIMIT} calls"));
    }
    let mut ids = std::collections::BTreeSet::new();
    for part in parts {
        found.extend(batch_part(part, &mut ids));
    }
    found
}

fn batch_part(part: &str, ids: &mut std::collections::BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let part = part.trim_start_matches(['\r', '\n']);
    let (head, inner) = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n")).unwrap_or((part, ""));
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    if header("content-type") != Some("application/http") {
        found.push("a part is not declared as application/http".to_owned());
    }
    match header("content-id") {
        Some(id) if !ids.insert(id.to_owned()) => found.push("two parts have the same Content-ID".to_owned()),
        Some(_) => {}
        None => found.push("a part has no Content-ID".to_owned()),
    }
    let mut line = inner.lines().next().unwrap_or_default().split(' ');
    if !line.nth(1).is_some_and(|target| target.starts_with('/')) {
        found.push("an inner request names a host, or no path".to_owned());
    }
    found
}
