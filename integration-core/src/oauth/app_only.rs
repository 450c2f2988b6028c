//! Apps that act without a person: service accounts and their signed assertions, and the client credentials grant.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    complete::{Arrived, SignInHost, service_error},
    engine::SignIn,
    outcome::Completion,
    settle::Target,
    token_endpoint::TokenCallError,
    token_set::Assertion,
};
use crate::{
    connection::{Capability, Connector, GrantKind},
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::forbid_reentry,
};

/// What an app asks for on its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppOnly {
    /// Whom it acts for (an address); `None`: for itself.
    pub subject: Option<String>,
    /// What it wants to do.
    pub capabilities: BTreeSet<Capability>,
    /// The accounts to connect, as the service knows them (a user name, an id), for grants that reach many. Accounts that
    /// were named before stay connected.
    pub accounts: Vec<String>,
}

impl AppOnly {
    /// For `subject`, with `capabilities`.
    pub fn new(subject: impl Into<String>, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self { subject: Some(subject.into()), capabilities: capabilities.into_iter().collect(), ..Self::default() }
    }

    /// For the app itself, on `accounts`, with `capabilities`.
    pub fn naming<S: Into<String>>(
        accounts: impl IntoIterator<Item = S>,
        capabilities: impl IntoIterator<Item = Capability>,
    ) -> Self {
        let accounts = accounts.into_iter().map(Into::into).collect();
        Self { subject: None, capabilities: capabilities.into_iter().collect(), accounts }
    }
}

impl SignIn {
    /// Connects accounts with the app's own key or secret: no browser, no refresh token, a new request for each token.
    ///
    /// What an administrator granted to an app is not told with its token: what was asked for counts as granted until the
    /// service says otherwise. Each account is proved with a call before it is connected.
    ///
    /// # Errors
    /// `Misconfigured` if the app does not act on its own, or its key is unusable; `Store`. What the service says is an outcome.
    pub async fn connect_app_only(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        ask: &AppOnly,
        host: &dyn SignInHost,
    ) -> Result<Completion> {
        forbid_reentry("connecting an account")?;
        let profile = connector.profile();
        if !profile.oauth.acts_alone() {
            let message = "this app signs people in: it does not act on its own";
            return Err(Error::new(ErrorKind::Misconfigured, message).with_service(profile.service));
        }
        self.engine.ask_time().await?;
        let assertion = Assertion { subject: ask.subject.clone(), scopes: profile.scopes.request(&ask.capabilities) };
        let completion = |outcome| Completion {
            outcome,
            tenant: Some(tenant.clone()),
            app: Some(profile.app.clone()),
            context: None,
        };
        let standing = profile.oauth.claims.as_deref();
        let answer = match self.engine.endpoint().alone(&profile.oauth, &assertion, standing).await {
            Ok(answer) => answer,
            Err(TokenCallError::Unproved(error)) => return Err(error.with_service(profile.service)),
            Err(error) => return Ok(completion(service_error(&**connector, &error))),
        };
        let arrived = Arrived {
            kind: GrantKind::AppOnly { subject: ask.subject.clone() },
            subject: ask.subject.clone(),
            identity: None,
            named: ask.accounts.clone(),
            asked: ask.capabilities.clone(),
            requested: assertion.scopes.clone(),
            assertion: Some(assertion),
            answer,
        };
        let target = Target { tenant, connector, reconnect: None, another_account_allowed: false };
        let outcome = self.settle(&target, arrived, None, host).await?;
        Ok(completion(outcome))
    }
}
