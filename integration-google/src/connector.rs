//! Google as a connector.

use std::sync::Arc;

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    connection::{
        AuthorisationStyle, Capability, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints,
        OAuthSettings, RemoteAccount, ScopeRule, ScopeTable, TokenFailure, TokenFailureClass,
    },
    email::EmailProvider,
    http::{Failure, GrantSession, HttpFailure, Session},
    oauth::CallbackQuery,
};
use serde::Deserialize;

use crate::{
    client::Client,
    config::{ClientKind, GoogleConfig},
    error,
    gmail::Gmail,
};

const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";
const MODIFY: &str = "https://www.googleapis.com/auth/gmail.modify";
const SEND: &str = "https://www.googleapis.com/auth/gmail.send";
const COMPOSE: &str = "https://www.googleapis.com/auth/gmail.compose";
const FULL: &str = "https://mail.google.com/";

/// The connector for one client registration.
#[derive(Clone, Debug)]
pub struct Google {
    profile: ConnectorProfile,
    client: Client,
}

impl Google {
    /// Checks the configuration.
    ///
    /// # Errors
    /// `Misconfigured`, naming the field.
    pub fn new(config: GoogleConfig) -> Result<Self> {
        if config.client_id.is_empty() && !matches!(config.kind, ClientKind::ServiceAccount { .. }) {
            return Err(Error::new(ErrorKind::Misconfigured, "client_id is empty").with_service("google"));
        }
        if !(1..=50).contains(&config.batch_size) {
            return Err(Error::new(ErrorKind::Misconfigured, "batch_size must be 1 to 50").with_service("google"));
        }
        let client = Client::new(&config.endpoints, config.batch_size);
        let (endpoints, app, quota) = (config.endpoints.clone(), config.app.clone(), config.quota.table());
        let profile = ConnectorProfile::new(app, "google", oauth(config), scopes(), quota)
            .with_host(&endpoints.gmail)
            .with_host(&endpoints.userinfo);
        Ok(Self { profile, client })
    }
}

fn scopes() -> ScopeTable {
    ScopeTable::new(vec![
        ScopeRule::new(Capability::Identity, &["openid", "email"], &[]),
        ScopeRule::new(Capability::MailRead, &[READ], &[MODIFY, FULL]),
        ScopeRule::new(Capability::MailSend, &[SEND], &[COMPOSE, MODIFY, FULL]),
        ScopeRule::new(Capability::MailModify, &[MODIFY], &[FULL]),
    ])
    .with_alias("https://www.googleapis.com/auth/userinfo.email", "email")
    .with_alias("https://www.googleapis.com/auth/userinfo.profile", "profile")
    .with_always(&["openid", "email"])
}

fn oauth(config: GoogleConfig) -> OAuthSettings {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut endpoints = OAuthEndpoints::new(config.endpoints.authorisation, config.endpoints.token);
    endpoints.revocation = Some(config.endpoints.revocation);
    // A sandbox is its own issuer, and says so in its discovery document.
    let origin = config.endpoints.discovery.origin().ascii_serialization();
    endpoints.issuers = match origin.as_str() {
        "https://accounts.google.com" => vec![origin, "accounts.google.com".to_owned()],
        _ => vec![origin, "https://accounts.google.com".to_owned(), "accounts.google.com".to_owned()],
    };
    endpoints.discovery = Some(config.endpoints.discovery);
    let web = matches!(config.kind, ClientKind::Web);
    let authentication = match (config.kind, config.client_secret) {
        (ClientKind::ServiceAccount { issuer, key_id, private_key }, _) => {
            ClientAuthentication::ServiceAccount { issuer, key_id, private_key }
        }
        (_, Some(secret)) => ClientAuthentication::SecretInBody(secret),
        (_, None) => ClientAuthentication::None,
    };
    let mut settings = OAuthSettings::new(endpoints, config.client_id, authentication);
    settings.extra = vec![pair("access_type", "offline")];
    // Without the consent page somebody who granted before gets no refresh token.
    settings.consent = vec![pair("prompt", "consent")];
    settings.login_hint = Some("login_hint".to_owned());
    if web {
        settings.style = AuthorisationStyle::Additive;
        settings.incremental = vec![pair("include_granted_scopes", "true")];
    }
    settings
}

#[async_trait]
impl Connector for Google {
    fn profile(&self) -> &ConnectorProfile {
        &self.profile
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        error::classify(failure)
    }

    fn classify_token(&self, failure: &TokenFailure<'_>) -> TokenFailureClass {
        error::classify_token(failure)
    }

    async fn accounts(&self, session: &GrantSession, _: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        #[derive(Deserialize)]
        struct UserInfo {
            sub: String,
            email: Option<String>,
        }
        let user: UserInfo = session.send(self.client.userinfo()?).await?.json()?;
        let account = RemoteAccount::new(&user.sub, user.email.as_deref().unwrap_or(&user.sub));
        Ok(vec![match user.email {
            Some(address) => account.with_address(&address),
            None => account,
        }])
    }

    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        Ok(Arc::new(Gmail::new(session, self.client.clone())))
    }
}
