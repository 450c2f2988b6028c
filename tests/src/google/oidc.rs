//! OpenID Connect: id tokens, discovery, keys, userinfo, tokeninfo.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{
    Request, StatusCode,
    header::{CACHE_CONTROL, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    ApiAnswer, Google, GoogleUrls, answers,
    register::{Grant, Person},
    scopes,
};
use crate::form::Form;

impl Google {
    /// An id token for a grant, signed with the newest key.
    pub(super) fn id_token(
        &self,
        grant: &Grant,
        person: &Person,
        nonce: Option<&str>,
        access: &str,
        now: DateTime<Utc>,
    ) -> String {
        let settings = self.settings();
        let half = &digest(&SHA256, access.as_bytes()).as_ref()[..16].to_vec();
        let issued = now.timestamp();
        let mut claims = json!({
            "iss": settings.issuer, "azp": grant.client_id, "aud": grant.client_id, "sub": person.subject,
            "at_hash": URL_SAFE_NO_PAD.encode(half), "iat": issued, "exp": issued + 3600,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        about(&mut claims, person, grant);
        crate::lock(&self.keys).current().sign_jwt(&claims)
    }

    pub(super) fn discovery(&self, origin: &str) -> ApiAnswer {
        let Some(urls) = GoogleUrls::at(origin) else { return answers::nowhere() };
        let mut answer = answers::json(
            StatusCode::OK,
            &json!({
                "issuer": self.settings().issuer,
                "authorization_endpoint": urls.authorisation,
                "token_endpoint": urls.token,
                "userinfo_endpoint": urls.userinfo,
                "revocation_endpoint": urls.revocation,
                "jwks_uri": urls.jwks,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "profile"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "claims_supported": [
                    "aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss", "name", "sub"
                ],
                "code_challenge_methods_supported": ["plain", "S256"],
                "grant_types_supported": ["authorization_code", "refresh_token", super::JWT_BEARER],
                "authorization_response_iss_parameter_supported": self.settings().answers_issuer,
            }),
        );
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        answer
    }

    pub(super) fn jwks(&self) -> ApiAnswer {
        if self.jwks_outage.load(std::sync::atomic::Ordering::Relaxed) {
            return answers::page(StatusCode::SERVICE_UNAVAILABLE, "<title>Error 503</title>".to_owned());
        }
        let mut answer = answers::json(StatusCode::OK, &crate::lock(&self.keys).to_jwks());
        let life = self.settings().jwks_max_age.as_secs();
        let value = HeaderValue::from_str(&format!("public, max-age={life}, must-revalidate, no-transform"));
        answer.headers_mut().insert(CACHE_CONTROL, value.unwrap_or_else(|_| HeaderValue::from_static("public")));
        answer
    }

    /// The OIDC userinfo endpoint.
    pub(super) fn userinfo(&self, grant: Option<&Grant>) -> ApiAnswer {
        let refused = || answers::refused(StatusCode::UNAUTHORIZED, "invalid_request", "Invalid Credentials");
        let register = self.register();
        let Some((grant, person)) = grant.and_then(|grant| Some((grant, register.person(&grant.address)?))) else {
            return refused();
        };
        let mut body = json!({"sub": person.subject});
        about(&mut body, person, grant);
        answers::json(StatusCode::OK, &body)
    }

    /// The older userinfo API, version 2.
    pub(super) fn userinfo_v2(&self, grant: Option<&Grant>) -> ApiAnswer {
        let register = self.register();
        let Some((grant, person)) = grant.and_then(|grant| Some((grant, register.person(&grant.address)?))) else {
            return answers::unauthenticated();
        };
        if !grant.scopes.iter().any(|scope| scopes::is_sign_in(scope)) {
            let text = "Request had insufficient authentication scopes.";
            return answers::api_error(StatusCode::FORBIDDEN, text, "insufficientPermissions", "PERMISSION_DENIED");
        }
        let mut body = json!({"id": person.subject});
        about(&mut body, person, grant);
        if let Some(verified) = body.as_object_mut().and_then(|fields| fields.remove("email_verified")) {
            body["verified_email"] = verified;
        }
        answers::json(StatusCode::OK, &body)
    }

    pub(super) fn tokeninfo(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> ApiAnswer {
        let query = Form::parse(request.uri().query().unwrap_or_default().as_bytes());
        let register = self.register();
        let Some(token) = query.one("access_token").and_then(|text| register.access(text, now)) else {
            return answers::refused(StatusCode::BAD_REQUEST, "invalid_token", "Invalid Value");
        };
        let mut body = json!({
            "azp": token.grant.client_id, "aud": token.grant.client_id, "scope": scopes::join(&token.grant.scopes),
            "exp": token.expires_at.timestamp().to_string(),
            "expires_in": (token.expires_at - now).num_seconds().to_string(),
        });
        if scopes::tells_email(&token.grant.scopes) {
            body["email"] = token.grant.address.clone().into();
            body["email_verified"] = "true".into();
        }
        answers::json(StatusCode::OK, &body)
    }
}

/// Adds what the scopes allow to be told about a person.
fn about(claims: &mut Value, person: &Person, grant: &Grant) {
    if let Some(domain) = person.hosted_domain() {
        claims["hd"] = domain.into();
    }
    if scopes::tells_email(&grant.scopes) {
        claims["email"] = person.address.clone().into();
        claims["email_verified"] = true.into();
    }
    if scopes::tells_profile(&grant.scopes) {
        claims["name"] = person.name.clone().into();
        let (given, family) = person.name.split_once(' ').unwrap_or((&person.name, ""));
        claims["given_name"] = given.into();
        claims["family_name"] = family.into();
    }
}
