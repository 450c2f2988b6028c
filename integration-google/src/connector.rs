//! Google as a connector: endpoints, scopes, accounts.

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
    push::PushSource,
};
use serde::Deserialize;

use crate::{
    client::Client,
    config::{ClientKind, GoogleConfig},
    error,
    gmail::{Gmail, GmailPush},
};

pub(crate) const MAIL: &str = "https://mail.google.com/";
pub(crate) const COMPOSE: &str = "https://www.googleapis.com/auth/gmail.compose";
pub(crate) const MODIFY: &str = "https://www.googleapis.com/auth/gmail.modify";
pub(crate) const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";
pub(crate) const SEND: &str = "https://www.googleapis.com/auth/gmail.send";

/// One Google client registration.
#[derive(Clone, Debug)]
pub struct Google {
    profile: ConnectorProfile,
    client: Client,
    signs_in: bool,
}

impl Google {
    /// A connector of its configuration.
    ///
    /// # Errors
    /// `Misconfigured`, naming the field that is wrong.
    pub fn new(config: GoogleConfig) -> Result<Self> {
        config.check()?;
        let quota = config.quota.table_with(&config.quota_overrides);
        let client = Client::new(&config, quota.concurrency);
        let signs_in = !matches!(config.kind, ClientKind::ServiceAccount { .. });
        let (app, endpoints) = (config.app.clone(), config.endpoints.clone());
        let profile = ConnectorProfile::new(app, "google", oauth(config), scopes(signs_in), quota)
            .with_host(&endpoints.userinfo)
            .with_host(&endpoints.gmail);
        Ok(Self { profile, client, signs_in })
    }
}

/// Source: <https://developers.google.com/workspace/gmail/api/auth/scopes>.
fn scopes(signs_in: bool) -> ScopeTable {
    let mut rules = vec![
        ScopeRule::new(Capability::MailRead, &[READ], &[MODIFY, MAIL]),
        ScopeRule::new(Capability::MailSend, &[SEND], &[MODIFY, COMPOSE, MAIL]),
        ScopeRule::new(Capability::MailModify, &[MODIFY], &[MAIL]),
    ];
    if !signs_in {
        // A service account has nobody to identify, and every scope must be delegated by an administrator.
        return ScopeTable::new(rules);
    }
    rules.insert(0, ScopeRule::new(Capability::Identity, &["openid", "email"], &[]));
    ScopeTable::new(rules)
        .with_alias("https://www.googleapis.com/auth/userinfo.email", "email")
        .with_alias("https://www.googleapis.com/auth/userinfo.profile", "profile")
        .with_always(&["openid", "email"])
}

/// Source: <https://developers.google.com/identity/protocols/oauth2/web-server>.
fn oauth(config: GoogleConfig) -> OAuthSettings {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut endpoints = OAuthEndpoints::new(config.endpoints.authorisation, config.endpoints.token);
    endpoints.revocation = Some(config.endpoints.revocation);
    endpoints.discovery = Some(config.endpoints.discovery);
    endpoints.issuers = config.endpoints.issuers;
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
        // Only web clients' grants add up; an installed app has to ask for everything again.
        settings.style = AuthorisationStyle::Additive;
        settings.incremental = vec![pair("include_granted_scopes", "true")];
    }
    settings
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mailbox {
    email_address: String,
}

impl Google {
    /// The mailbox's address; `None` without a scope that shows it, or without a mailbox.
    async fn mailbox(&self, session: &GrantSession) -> Result<Option<String>> {
        match session.send(self.client.profile()?).await {
            Ok(response) => Ok(Some(response.json::<Mailbox>()?.email_address).filter(|address| !address.is_empty())),
            Err(error) if matches!(error.kind(), ErrorKind::MissingScope | ErrorKind::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }
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
        if !self.signs_in {
            let none =
                || Error::new(ErrorKind::NotFound, "the service account opens no mailbox").with_service("google");
            let address = self.mailbox(session).await?.ok_or_else(none)?;
            return Ok(vec![RemoteAccount::new(address.to_lowercase(), &address).with_address(&address)]);
        }
        let user: UserInfo = session.send(self.client.userinfo()?).await?.json()?;
        let mailbox = self.mailbox(session).await?;
        let label = user.email.as_deref().or(mailbox.as_deref()).unwrap_or(&user.sub);
        let mut account = RemoteAccount::new(&user.sub, label);
        for address in [&user.email, &mailbox].into_iter().flatten() {
            if !account.addresses.contains(&address.to_lowercase()) {
                account = account.with_address(address);
            }
        }
        Ok(vec![account])
    }

    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        Ok(Arc::new(Gmail::new(session, self.client.clone())))
    }

    fn push(&self, session: Session) -> Result<Arc<dyn PushSource>> {
        Ok(Arc::new(GmailPush::new(session, self.client.clone())))
    }
}

#[cfg(test)]
mod tests;
