//! A connector without a service.

use async_trait::async_trait;
use url::Url;

use crate::{
    connection::{
        ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, RemoteAccount, ScopeTable,
    },
    error::{Error, ErrorKind, Result},
    http::{AuthAction, Failure, GrantSession, HttpFailure, QuotaScope, QuotaTable},
    ids::AppId,
    oauth::CallbackQuery,
};

/// A connector that knows one host and the plain meaning of every status.
#[derive(Clone, Debug)]
pub struct PlainConnector {
    profile: ConnectorProfile,
}

impl PlainConnector {
    /// A connector of the app "app" that may reach `base`.
    #[must_use]
    pub fn new(base: &Url) -> Self {
        let endpoints = OAuthEndpoints::new(base.clone(), base.clone());
        let oauth = OAuthSettings::new(endpoints, "client", ClientAuthentication::None);
        let quota = QuotaTable::unlimited("none");
        let profile = ConnectorProfile::new(AppId::new("app"), "plain", oauth, ScopeTable::default(), quota);
        Self { profile: profile.with_host(base) }
    }

    /// With another profile.
    #[must_use]
    pub fn with_profile(mut self, profile: ConnectorProfile) -> Self {
        self.profile = profile;
        self
    }
}

#[async_trait]
impl Connector for PlainConnector {
    fn profile(&self) -> &ConnectorProfile {
        &self.profile
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        let error = |kind| Error::new(kind, format!("status {}", failure.status.as_u16()));
        match failure.status.as_u16() {
            400 => Failure::Final(error(ErrorKind::InvalidInput)),
            401 => Failure::Unauthorised(error(ErrorKind::ReauthorisationNeeded), challenge(failure)),
            403 => Failure::Final(error(ErrorKind::PermissionDenied)),
            404 => Failure::Final(error(ErrorKind::NotFound)),
            409 | 412 => Failure::Final(error(ErrorKind::Conflict)),
            410 => Failure::Final(error(ErrorKind::CursorExpired)),
            429 => Failure::Throttled {
                error: error(ErrorKind::RateLimited),
                until: failure.retry_after(),
                scope: QuotaScope::AppAndAccount,
            },
            503 if let Some(until) = failure.retry_after() => {
                Failure::Overloaded { error: error(ErrorKind::Unavailable), until, scope: QuotaScope::AppAndAccount }
            }
            500..=599 => Failure::Transient(error(ErrorKind::Unavailable)),
            _ => Failure::Final(error(ErrorKind::Validation)),
        }
    }

    async fn accounts(&self, _: &GrantSession, _: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        Ok(vec![RemoteAccount::new("account", "Account")])
    }
}

fn challenge(failure: &HttpFailure<'_>) -> AuthAction {
    match failure.headers.get("x-claims").and_then(|claims| claims.to_str().ok()) {
        Some(claims) => AuthAction::Challenge(claims.to_owned()),
        None => AuthAction::Refresh,
    }
}
