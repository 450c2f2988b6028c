//! Configuration: client, endpoints, quota preset.

use integration_core::{Error, ErrorKind, Result, ids::AppId, secret::SecretText};
use serde::Deserialize;
use url::Url;

use crate::quota::{GmailQuota, GmailQuotaOverrides};

/// Who signs Google's id tokens; both spellings occur.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// Google allows 100 inner calls of a batch.
const LARGEST_BATCH: usize = 100;

/// Where Google is. Every address can be set, so that a sandbox or a recording proxy fits in between.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GoogleEndpoints {
    /// Where the person is sent.
    pub authorisation: Url,
    /// Where codes, refresh tokens and assertions are exchanged.
    pub token: Url,
    /// Where grants are revoked.
    pub revocation: Url,
    /// The OIDC discovery document.
    pub discovery: Url,
    /// OIDC userinfo.
    pub userinfo: Url,
    /// The root of the Gmail API; its paths begin with `gmail/v1/`, `upload/gmail/v1/` and `batch/gmail/v1`.
    pub gmail: Url,
    /// The issuers accepted in id tokens and callbacks; Google's own unless set.
    #[serde(default = "google_issuers")]
    pub issuers: Vec<String>,
}

impl GoogleEndpoints {
    /// The real ones.
    #[must_use]
    pub fn live() -> Self {
        // Literals, checked by a test.
        let fixed = |text: &str| Url::parse(text).expect("the addresses below are URLs");
        Self {
            authorisation: fixed("https://accounts.google.com/o/oauth2/v2/auth"),
            token: fixed("https://oauth2.googleapis.com/token"),
            revocation: fixed("https://oauth2.googleapis.com/revoke"),
            discovery: fixed("https://accounts.google.com/.well-known/openid-configuration"),
            userinfo: fixed("https://openidconnect.googleapis.com/v1/userinfo"),
            gmail: fixed("https://gmail.googleapis.com/"),
            issuers: google_issuers(),
        }
    }

    /// Google's paths below one origin: a sandbox, or a proxy in front of all of Google's hosts.
    ///
    /// A sandbox is its own issuer, a proxy passes Google's on: both are accepted.
    ///
    /// # Errors
    /// `InvalidInput` if `origin` cannot have paths.
    pub fn below(origin: &Url) -> Result<Self> {
        let at = |path: &str| {
            let message = "the origin of the endpoints cannot have paths";
            let url = (!origin.cannot_be_a_base()).then(|| origin.join(path).ok()).flatten();
            url.ok_or_else(|| Error::new(ErrorKind::InvalidInput, message).with_service("google"))
        };
        let mut issuers = vec![origin.origin().ascii_serialization()];
        issuers.extend(google_issuers());
        Ok(Self {
            authorisation: at("/o/oauth2/v2/auth")?,
            token: at("/token")?,
            revocation: at("/revoke")?,
            discovery: at("/.well-known/openid-configuration")?,
            userinfo: at("/v1/userinfo")?,
            gmail: at("/")?,
            issuers,
        })
    }
}

impl Default for GoogleEndpoints {
    fn default() -> Self {
        Self::live()
    }
}

fn google_issuers() -> Vec<String> {
    ISSUERS.map(str::to_owned).to_vec()
}

/// What kind of client is registered.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientKind {
    /// A desktop app: loopback redirects; grants do not add up.
    Desktop,
    /// A service account with domain-wide delegation; no browser.
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
    /// The client id; for a service account its numeric one.
    pub client_id: String,
    /// The client secret; desktop clients may do without.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
    /// What kind of client it is.
    pub kind: ClientKind,
    /// Where Google is; the real one unless set.
    #[serde(default)]
    pub endpoints: GoogleEndpoints,
    /// The quota preset; the newer one unless set, since it is within every project's limits.
    #[serde(default)]
    pub quota: GmailQuota,
    /// Single limits in place of the preset's.
    #[serde(default)]
    pub quota_overrides: GmailQuotaOverrides,
    /// Messages fetched in one batch; 9 unless set, at most 100, and never more than the mailbox's concurrency.
    #[serde(default = "default_batch")]
    pub batch_size: usize,
}

fn default_app() -> AppId {
    AppId::new("google")
}

/// One less than the mailbox's places, so that a person's call need not wait for a batch; and whole batches of ten together
/// with the looks at the head fill no more than 96.9 % of a minute of the newer quota.
fn default_batch() -> usize {
    9
}

impl GoogleConfig {
    /// A client of `kind`, at the real Google.
    pub fn new(client_id: impl Into<String>, kind: ClientKind) -> Self {
        Self {
            app: default_app(),
            client_id: client_id.into(),
            client_secret: None,
            kind,
            endpoints: GoogleEndpoints::live(),
            quota: GmailQuota::default(),
            quota_overrides: GmailQuotaOverrides::default(),
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

    /// Sets single limits in place of the preset's.
    #[must_use]
    pub fn with_quota_overrides(mut self, overrides: GmailQuotaOverrides) -> Self {
        self.quota_overrides = overrides;
        self
    }

    /// Sets the app's id in the host.
    #[must_use]
    pub fn with_app(mut self, app: AppId) -> Self {
        self.app = app;
        self
    }

    /// Sets how many messages one batch fetches.
    #[must_use]
    pub fn with_batch_size(mut self, messages: usize) -> Self {
        self.batch_size = messages;
        self
    }

    /// # Errors
    /// `Misconfigured`, naming the field.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Misconfigured, message).with_service("google"));
        if self.client_id.trim().is_empty() {
            return wrong("`client_id` is empty: copy it from the client's page in the Google Cloud console");
        }
        if self.app.as_str().is_empty() {
            return wrong("`app` is empty: give the client registration a name");
        }
        if matches!(self.kind, ClientKind::Web) && self.client_secret.is_none() {
            return wrong("`client_secret` is missing: a web client has one");
        }
        if !(1..=LARGEST_BATCH).contains(&self.batch_size) {
            return wrong("`batch_size` is not between 1 and 100");
        }
        if self.endpoints.gmail.cannot_be_a_base() {
            return wrong("`endpoints.gmail` cannot have paths");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientKind, GoogleConfig, GoogleEndpoints, Url};

    #[test]
    fn a_minimal_configuration_means_the_real_google() {
        let config: GoogleConfig = serde_json::from_str(r#"{"client_id":"c","kind":"desktop"}"#).unwrap();
        assert_eq!(config.endpoints, GoogleEndpoints::live());
        assert_eq!((config.app.as_str(), config.batch_size), ("google", 9));
        config.check().unwrap();
    }

    #[test]
    fn a_misspelt_field_is_refused_by_name() {
        let error = serde_json::from_str::<GoogleConfig>(r#"{"client_id":"c","kind":"web","cleint_secret":"s"}"#);
        assert!(error.unwrap_err().to_string().contains("cleint_secret"));
    }

    #[test]
    fn endpoints_below_an_origin_keep_googles_paths() {
        let below = GoogleEndpoints::below(&Url::parse("http://127.0.0.1:4000/ignored?x").unwrap()).unwrap();
        let live = GoogleEndpoints::live();
        let paths = |all: &GoogleEndpoints| {
            [&all.authorisation, &all.token, &all.revocation, &all.discovery, &all.userinfo, &all.gmail]
                .map(|url| (url.path().to_owned(), url.query().map(str::to_owned)))
        };
        assert_eq!(paths(&below), paths(&live));
        assert_eq!(below.issuers[0], "http://127.0.0.1:4000");
        assert!(GoogleEndpoints::below(&Url::parse("mailto:a@example.com").unwrap()).is_err());
    }

    #[test]
    fn what_a_client_lacks_is_named() {
        let lacking = [
            (GoogleConfig::desktop(" "), "client_id"),
            (GoogleConfig::new("c", ClientKind::Web), "client_secret"),
            (GoogleConfig::desktop("c").with_batch_size(101), "batch_size"),
        ];
        for (config, field) in lacking {
            assert!(config.check().unwrap_err().message().contains(field), "{field}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", GoogleConfig::web("client", "hush-hush"));
        assert!(!shown.contains("hush-hush"), "{shown}");
    }
}
