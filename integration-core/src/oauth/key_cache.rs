//! Discovery documents and signing keys: cached as long as the service allows, and through its outages.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use url::Url;

use super::token_endpoint::{TokenCallError, TokenEndpoint};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Body,
};

const USUAL_LIFE: Duration = Duration::from_secs(3600);
const LEAST_LIFE: Duration = Duration::from_secs(60);
const MOST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// For how long after its life a document still serves while its endpoint is down.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// Unknown key ids (made up by anyone) and failures do not make us ask more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What of a discovery document matters here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Discovery {
    pub(super) issuer: String,
    pub(super) jwks_uri: Url,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Default)]
pub(super) struct KeyCache {
    discovery: Documents<Discovery>,
    keys: Documents<JwkSet>,
}

impl KeyCache {
    pub(super) async fn discovery(&self, endpoint: &TokenEndpoint<'_>, url: &Url) -> Result<Arc<Discovery>> {
        self.discovery.get(endpoint, url, |_| true).await
    }

    /// The key `id` of a key set; asks again for an unknown one, as it may be new.
    pub(super) async fn key(&self, endpoint: &TokenEndpoint<'_>, url: &Url, id: Option<&str>) -> Result<Option<Jwk>> {
        let find = |set: &JwkSet| match id {
            Some(id) => set.find(id).cloned(),
            // Without an id there is no choice to make, or none that could be made.
            None if set.keys.len() == 1 => set.keys.first().cloned(),
            None => None,
        };
        let set = self.keys.get(endpoint, url, |set| find(set).is_some()).await?;
        Ok(find(&set))
    }
}

/// Documents by address, each fetched by one task at a time.
struct Documents<T>(std::sync::Mutex<HashMap<Url, Arc<tokio::sync::Mutex<Entry<T>>>>>);

struct Entry<T> {
    document: Option<(Arc<T>, DateTime<Utc>)>,
    asked_at: Option<DateTime<Utc>>,
}

impl<T: for<'de> Deserialize<'de> + Send + Sync> Documents<T> {
    /// The document; fetched if it is too old or does not `suffice`.
    async fn get(
        &self,
        endpoint: &TokenEndpoint<'_>,
        url: &Url,
        suffices: impl Fn(&T) -> bool + Send,
    ) -> Result<Arc<T>> {
        let entry = {
            let mut entries = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(
                entries
                    .entry(url.clone())
                    .or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Entry { document: None, asked_at: None }))),
            )
        };
        let mut entry = entry.lock().await;
        let now = endpoint.clock.now();
        let asked_lately = entry.asked_at.is_some_and(|at| now < at + ASK_AGAIN);
        if let Some((document, until)) = &entry.document
            && ((now < *until && suffices(document)) || (asked_lately && now < *until + GRACE))
        {
            return Ok(Arc::clone(document));
        }
        entry.asked_at = Some(now);
        match fetch(endpoint, url).await {
            Ok((document, life)) => {
                let document = Arc::new(document);
                entry.document = Some((Arc::clone(&document), now + life));
                Ok(document)
            }
            Err(error) => match &entry.document {
                Some((document, until)) if now < *until + GRACE => {
                    tracing::warn!(error = %error, "a sign-in document could not be fetched; the old one serves");
                    Ok(Arc::clone(document))
                }
                _ => Err(error),
            },
        }
    }
}

async fn fetch<T: for<'de> Deserialize<'de>>(endpoint: &TokenEndpoint<'_>, url: &Url) -> Result<(T, Duration)> {
    let unreachable = |error: TokenCallError| {
        Error::new(ErrorKind::Unavailable, "the service's sign-in keys could not be fetched").with_source(error)
    };
    let mut request = http::Request::new(Body::default());
    *request.uri_mut() = url.as_str().parse().unwrap_or_default();
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
    let response = endpoint.send(request).await.map_err(unreachable)?;
    if !response.status().is_success() {
        let message =
            format!("the service's sign-in keys could not be fetched (status {})", response.status().as_u16());
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let document = serde_json::from_slice(response.body())
        .map_err(|_| Error::new(ErrorKind::Unavailable, "the service's sign-in keys could not be read"))?;
    Ok((document, life(response.headers())))
}

fn life(headers: &http::HeaderMap) -> Duration {
    let control = headers.get(http::header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let age = control.split(',').find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse().ok())?
    });
    age.map_or(USUAL_LIFE, Duration::from_secs).clamp(LEAST_LIFE, MOST_LIFE)
}

impl<T> Default for Documents<T> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache")
    }
}
