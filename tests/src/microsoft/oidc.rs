//! OpenID Connect: id tokens, discovery, keys, userinfo.

use chrono::{DateTime, Utc};
use http::{StatusCode, header::CACHE_CONTROL};
use serde_json::{Value, json};

use super::{
    Microsoft, MicrosoftUrls,
    register::Grant,
    tenant::{Segment, User},
};
use crate::{
    answers::{json as answer, page, with_header},
    call::ApiAnswer,
};

/// What an id token is about.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub(super) grant: &'a Grant,
    pub(super) user: &'a User,
    pub(super) nonce: Option<&'a str>,
    /// Where the sandbox is reached.
    pub(super) origin: &'a str,
}

impl Microsoft {
    fn issuer(&self, tenant: &str, origin: &str) -> String {
        let settings = self.settings();
        let host = settings.issuer_origin.as_deref().unwrap_or(origin).trim_end_matches('/');
        format!("{host}/{tenant}/v2.0")
    }

    /// An id token, signed with the newest key.
    pub(super) fn id_token(&self, about: &About<'_>, now: DateTime<Utc>) -> String {
        let (grant, user, issued) = (about.grant, about.user, now.timestamp());
        let mut claims = json!({
            "iss": self.issuer(&grant.tenant, about.origin), "aud": grant.client_id, "ver": "2.0", "tid": grant.tenant,
            "sub": user.subject(&grant.tenant, &grant.client_id), "iat": issued, "nbf": issued, "exp": issued + 3600,
            "uti": self.guid(),
        });
        if let Some(nonce) = about.nonce {
            claims["nonce"] = nonce.into();
        }
        if grant.scopes.contains("profile") {
            claims["oid"] = user.oid_in(&grant.tenant).into();
            claims["name"] = user.name.clone().into();
            claims["preferred_username"] = user.upn.clone().into();
        }
        if grant.scopes.contains("email") {
            claims["email"] = user.mail.clone().into();
        }
        crate::lock(&self.keys).current().sign_jwt(&claims)
    }

    pub(super) fn discovery(&self, segment: &str, origin: &str) -> ApiAnswer {
        let known = self.register().segment(segment, &self.settings());
        let (segment_kind, urls) = match (known, MicrosoftUrls::at(origin)) {
            (Ok(kind), Some(urls)) => (kind, urls),
            (Err(refusal), _) => return refusal.into_answer(&self.guid(), &self.guid(), self.now()),
            (_, None) => return nowhere(),
        };
        // Where anybody signs in, the issuer has a hole for the tenant of whoever does.
        let tenant = match &segment_kind {
            Segment::Common | Segment::Organizations => "{tenantid}",
            named => named.tenant().unwrap_or_default(),
        };
        let document = json!({
            "issuer": self.issuer(tenant, origin),
            "authorization_endpoint": urls.authorisation(segment),
            "token_endpoint": urls.token(segment),
            "userinfo_endpoint": urls.userinfo(),
            "end_session_endpoint": urls.logout(segment),
            "jwks_uri": urls.jwks(segment),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver", "email"
            ],
            "tenant_region_scope": null,
            "msgraph_host": urls.graph.host_str(),
        });
        with_header(answer(StatusCode::OK, &document), CACHE_CONTROL, "max-age=86400, private")
    }

    pub(super) fn jwks(&self) -> ApiAnswer {
        if self.jwks_outage.load(std::sync::atomic::Ordering::Relaxed) {
            return page(StatusCode::SERVICE_UNAVAILABLE, "<title>Service unavailable</title>".to_owned());
        }
        let life = self.settings().jwks_max_age.as_secs();
        let keys = answer(StatusCode::OK, &crate::lock(&self.keys).to_jwks());
        with_header(keys, CACHE_CONTROL, &format!("max-age={life}, private"))
    }

    /// The OIDC userinfo endpoint.
    pub(super) fn userinfo(&self, grant: Option<&Grant>) -> ApiAnswer {
        let register = self.register();
        let known = grant.filter(|grant| grant.scopes.contains("openid"));
        let Some((grant, user)) = known.and_then(|grant| Some((grant, register.user(&grant.mail)?))) else {
            return self.invalid_token("Access token is empty or not for this endpoint.");
        };
        let mut body = json!({"sub": user.subject(&grant.tenant, &grant.client_id)});
        if grant.scopes.contains("profile") {
            let (given, family) = user.name.split_once(' ').unwrap_or((&user.name, ""));
            body["name"] = user.name.clone().into();
            body["given_name"] = given.into();
            body["family_name"] = family.into();
        }
        if grant.scopes.contains("email") {
            body["email"] = user.mail.clone().into();
        }
        answer(StatusCode::OK, &body)
    }
}

/// What the front end answers where nothing is.
pub(super) fn nowhere() -> ApiAnswer {
    page(StatusCode::NOT_FOUND, "<title>404 - File or directory not found.</title>".to_owned())
}

/// A person as Graph tells of them.
pub(super) fn person(user: &User, tenant: &str) -> Value {
    json!({
        "id": user.oid_in(tenant), "displayName": user.name, "mail": user.mail, "userPrincipalName": user.upn,
    })
}
