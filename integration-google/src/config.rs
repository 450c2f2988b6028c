//! Configuration: client, endpoints, quota preset.

use integration_core::{Error, ErrorKind, Result, ids::AppId, secret::SecretText};
use serde::Deserialize;
use url::Url;

use crate::quota::GmailQuota;

/// Where Google is. Every address can be set, so that a sandbox or a recording proxy fits in between.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GoogleEndpoints {
    /// Where the person is sent.
    pub authorisation: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token: Url,
    /// Where grants are revoked.
    pub revocation: Url,
    /// The OIDC discovery document.
    pub discovery: Url,
    /// OIDC userinfo.
    pub userinfo: Url,
    /// The root of the Gmail API; its paths begin with `gmail/v1/`, `upload/gmail/v1/` and `batch/gmail/v1`.
    pub gmail: Url,
}

impl GoogleEndpoints {
    /// The real ones.
    #[must_use]
    pub fn live() -> Self {
        let fixed = |text: &str| Url::parse(text).expect("the addresses below are URLs");
        Self {
            authorisation: fixed("https://accounts.google.com/o/oauth2/v2/auth"),
            token: fixed("https://oauth2.googleapis.com/token"),
            revocation: fixed("https://oauth2.googleapis.com/revoke"),
            discovery: fixed("https://accounts.google.com/.well-known/openid-configuration"),
            userinfo: fixed("https://openidconnect.googleapis.com/v1/userinfo"),
            gmail: fixed("https://gmail.googleapis.com/"),
        }
    }

    /// The same paths below one origin.
    ///
    /// # Errors
    /// `InvalidInput` if `origin` cannot have paths.
    pub fn below(origin: &Url) -> Result<Self> {
        let at = |path: &str| {
            let message = format!("{origin} cannot be the origin of the endpoints");
            origin.join(path).map_err(|error| Error::new(ErrorKind::InvalidInput, message).with_source(error))
        };
        Ok(Self {
            authorisation: at("/o/oauth2/v2/auth")?,
            token: at("/token")?,
            revocation: at("/revoke")?,
            discovery: at("/.well-known/openid-configuration")?,
            userinfo: at("/v1/userinfo")?,
            gmail: at("/")?,
        })
    }
}

/// What kind of client is registered.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientKind {
    /// A desktop app: loopback redirects; grants do not add up.
    Desktop,
    /// A service account with domain-wide delegation.
    ServiceAccount {
        /// Its address.
        issuer: String,
        /// Its key's id.
        key_id: String,
        /// Its RSA key, PKCS#8 in PEM.
        private_key: SecretText,
    },
    /// A web app: a registered redirect; grants add up.
    Web,
}

/// One client registration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GoogleConfig {
    /// The app's id in the host; `google` unless set.
    #[serde(default = "default_app")]
    pub app: AppId,
    /// The client id.
    pub client_id: String,
    /// The client secret; desktop clients may do without.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
    /// What kind of client it is.
    pub kind: ClientKind,
    /// Where Google is; the real one unless set.
    #[serde(default = "GoogleEndpoints::live")]
    pub endpoints: GoogleEndpoints,
    /// The quota preset; the newer one unless set, since it fits every project.
    #[serde(default)]
    pub quota: GmailQuota,
    /// Messages fetched in one batch; 10 unless set. More than the mailbox's concurrency is refused by the service.
    #[serde(default = "default_batch")]
    pub batch_size: usize,
}

fn default_app() -> AppId {
    AppId::new("google")
}

fn default_batch() -> usize {
    10
}

impl GoogleConfig {
    fn new(client_id: impl Into<String>, kind: ClientKind) -> Self {
        Self {
            app: default_app(),
            client_id: client_id.into(),
            client_secret: None,
            kind,
            endpoints: GoogleEndpoints::live(),
            quota: GmailQuota::default(),
            batch_size: default_batch(),
        }
    }

    /// A desktop client.
    pub fn desktop(client_id: impl Into<String>) -> Self {
        Self::new(client_id, ClientKind::Desktop)
    }

    /// A web client with its secret.
    pub fn web(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::new(client_id, ClientKind::Web).with_client_secret(client_secret)
    }

    /// Sets the client secret.
    #[must_use]
    pub fn with_client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = Some(SecretText::new(secret));
        self
    }

    /// Sets the endpoints.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: GoogleEndpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Sets the quota preset.
    #[must_use]
    pub fn with_quota(mut self, quota: GmailQuota) -> Self {
        self.quota = quota;
        self
    }

    /// Sets the app's id in the host.
    #[must_use]
    pub fn with_app(mut self, app: AppId) -> Self {
        self.app = app;
        self
    }
}
