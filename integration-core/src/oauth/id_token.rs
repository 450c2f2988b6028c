//! Who signed in: validation of id tokens (OpenID Connect Core 3.1.3.7).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::{key_cache::KeyCache, token_endpoint::TokenEndpoint};
use crate::{
    connection::{ConnectorProfile, Identity, OAuthEndpoints, OAuthSettings},
    error::{Actor, Error, ErrorKind, Remedy, Result},
};

/// How far our clock and the service's may differ, in seconds.
const SKEW: i64 = 60;
/// No sign-in takes a day: an older token was kept from somewhere else.
const OLDEST: i64 = 24 * 3600;
/// No id and no address is longer; whatever is, is left out.
const LONGEST_CLAIM: usize = 255;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Many(Vec<String>),
    One(String),
}

/// The signed-in person, if the token is genuine, current, ours, and for this very sign-in.
///
/// # Errors
/// `Validation` if it is not; `Unavailable` if the keys are out of reach; `Misconfigured` without a discovery document.
pub(super) async fn verify(
    keys: &KeyCache,
    endpoint: &TokenEndpoint<'_>,
    profile: &ConnectorProfile,
    token: &str,
    nonce: &str,
) -> Result<Identity> {
    let oauth = &profile.oauth;
    let discovery = oauth.endpoints.discovery.as_ref().ok_or_else(|| {
        let remedy = Remedy::new(
            "The connector accepts id tokens but names no discovery document.",
            Actor::Operator,
            "Set the connector's discovery address.",
        );
        Error::new(ErrorKind::Misconfigured, "there is no discovery document").with_remedy(remedy)
    })?;
    let document = keys.discovery(endpoint, discovery).await?;
    if !oauth.endpoints.knows_issuer(&document.issuer) {
        return Err(refused("the discovery document names another issuer"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| refused("it is not a signed token"))?;
    // Symmetric algorithms and `none` are never accepted: the key set is public.
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(refused("it is signed with another algorithm than RS256 or ES256"));
    }
    let key = keys.key(endpoint, &document.jwks_uri, header.kid.as_deref()).await?;
    let key = key.ok_or_else(|| refused("it is signed with an unknown key"))?;
    let claims =
        signed_claims(token, header.alg, &DecodingKey::from_jwk(&key).map_err(|_| refused("its key is unusable"))?)?;
    if !issued_by(&claims, &oauth.endpoints, &document.issuer) {
        return Err(refused("it comes from another issuer"));
    }
    check(&claims, &oauth.client_id, nonce, endpoint.clock.now())?;
    identity(claims, oauth)
}

/// One of the plain issuers, or the one of the token's own organisation; of that alone, if the document is of one alone.
fn issued_by(claims: &Claims, endpoints: &OAuthEndpoints, document: &str) -> bool {
    if endpoints.issuers.contains(&claims.iss) {
        return true;
    }
    let Some(tenants) = &endpoints.tenant_issuers else { return false };
    let organisation = claims.others.get(&tenants.claim).and_then(Value::as_str);
    let templated = tenants.templates.iter().any(|template| template == document);
    (templated || claims.iss == document) && organisation.is_some_and(|id| tenants.vouches(&claims.iss, id))
}

fn identity(claims: Claims, oauth: &OAuthSettings) -> Result<Identity> {
    let texts = claims.others.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    let mut texts: BTreeMap<String, String> = texts.filter(|(_, text)| text.len() <= LONGEST_CLAIM).collect();
    texts.insert("sub".to_owned(), claims.sub);
    texts.insert("iss".to_owned(), claims.iss);
    let identity = Identity { subject: String::new(), claims: texts };
    let parts = oauth.subject.iter().map(|name| identity.claim(name));
    let parts: Option<Vec<&str>> = parts.collect();
    let subject = parts.filter(|parts| !parts.is_empty()).ok_or_else(|| refused("it names nobody"))?.join("/");
    Ok(Identity { subject, ..identity })
}

/// Checks the signature only: every claim is checked by [`check`], by our own clock.
fn signed_claims(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Claims> {
    // A host may have switched on a second provider as well; then the crate does not choose one by itself.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let data = jsonwebtoken::decode::<Claims>(token, key, &validation);
    Ok(data.map_err(|_| refused("its signature or form is wrong"))?.claims)
}

fn check(claims: &Claims, client: &str, nonce: &str, now: DateTime<Utc>) -> Result<()> {
    let now = now.timestamp();
    let (for_us, several) = match &claims.aud {
        Audience::Many(all) => (all.iter().any(|audience| audience == client), all.len() > 1),
        Audience::One(audience) => (audience == client, false),
    };
    let authorised = claims.azp.as_deref().map_or(!several, |party| party == client);
    if !for_us || !authorised {
        Err(refused("it is meant for another app"))
    } else if claims.exp.saturating_add(SKEW) <= now {
        Err(refused("it has expired"))
    } else if claims.iat > now.saturating_add(SKEW) || claims.iat < now.saturating_sub(OLDEST) {
        Err(refused("it was issued at another time"))
    } else if claims.nonce.as_deref() != Some(nonce) {
        Err(refused("it belongs to another sign-in"))
    } else if claims.sub.is_empty() || claims.sub.len() > LONGEST_CLAIM {
        Err(refused("it names nobody"))
    } else {
        Ok(())
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Validation, format!("the id token was refused: {why}"))
}
