//! Ending a sign-in: the callback.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

use super::{
    authorise::{BrowserBinding, Pending},
    callback::CallbackQuery,
    connection_store::Stored,
    engine::SignIn,
    id_token,
    outcome::{Completion, ConnectOutcome, MismatchReason},
    settle::Target,
    token_endpoint::{TokenAnswer, TokenCallError, TokenEndpoint},
    token_set::Assertion,
};
use crate::{
    connection::{
        Capability, Connector, ConnectorProfile, Grant, GrantKind, Identity, RemoteAccount, TokenFailure,
        TokenFailureClass,
    },
    error::{Actor, ErrorKind, Remedy, Result},
    http::Credentials,
    ids::AppId,
    store::forbid_reentry,
};

/// What of a refusal's description is looked at.
const LONGEST_DESCRIPTION: usize = 300;

/// What completing a sign-in needs of the hub.
#[async_trait]
pub trait SignInHost: Send + Sync {
    /// The connector of an app.
    ///
    /// # Errors
    /// `Misconfigured` if there is none (any more).
    fn connector(&self, app: &AppId) -> Result<Arc<dyn Connector>>;

    /// The accounts a fresh grant opens: makes a [`GrantSession`](crate::http::GrantSession) with `credentials` and what is
    /// `known`, and asks [`Connector::accounts`]. `grant` is not stored yet.
    ///
    /// # Errors
    /// What the connector reports.
    async fn accounts(
        &self,
        connector: &Arc<dyn Connector>,
        grant: &Grant,
        credentials: Arc<dyn Credentials>,
        known: &SignedIn<'_>,
    ) -> Result<Vec<RemoteAccount>>;
}

/// What is known of a sign-in before its accounts are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignedIn<'a> {
    /// What the service's redirect brought back; `None` for an app that acts on its own.
    pub callback: Option<&'a CallbackQuery>,
    /// Who signed in, from the verified id token.
    pub identity: Option<Identity>,
    /// The accounts that the host named.
    pub named: Vec<String>,
}

/// A callback as it arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Callback {
    /// Its query.
    pub query: CallbackQuery,
    /// What the browser's cookie held.
    pub binding: Option<BrowserBinding>,
    /// The address it came to, without the query, if the host knows it as the outside does.
    pub redirect_uri: Option<String>,
}

impl Callback {
    /// A callback with the browser's binding.
    #[must_use]
    pub fn new(query: CallbackQuery, binding: Option<BrowserBinding>) -> Self {
        Self { query, binding, redirect_uri: None }
    }

    /// Checks the address as well.
    #[must_use]
    pub fn with_redirect_uri(mut self, address: impl Into<String>) -> Self {
        self.redirect_uri = Some(address.into());
        self
    }
}

/// Tokens that arrived for somebody, on their way into the store.
pub(super) struct Arrived {
    pub(super) kind: GrantKind,
    pub(super) subject: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) named: Vec<String>,
    pub(super) asked: BTreeSet<Capability>,
    pub(super) requested: BTreeSet<String>,
    pub(super) assertion: Option<Assertion>,
    pub(super) answer: TokenAnswer,
}

impl SignIn {
    /// Ends a sign-in. Whatever a browser or a service can bring about is an outcome; nothing is stored unless it is one
    /// of the three that carry a grant.
    ///
    /// # Errors
    /// `Store`, `Misconfigured` (no such connector, no usable key): the host's own troubles.
    pub async fn complete(&self, callback: &Callback, host: &dyn SignInHost) -> Result<Completion> {
        forbid_reentry("completing a sign-in")?;
        let foreign = |outcome| Completion { outcome, tenant: None, app: None, context: None };
        let mismatched = |reason| ConnectOutcome::Mismatched { reason };
        // States are 43 characters: anything longer is not one of ours.
        let state = callback.query.get("state").filter(|state| state.len() <= 64);
        let Some(state) = state else { return Ok(foreign(mismatched(MismatchReason::State))) };
        self.engine.ask_time().await?;
        let Some(row) = self.pending(state).await? else {
            // An administrator comes in a browser of their own: what it brings back is looked at, and authorises nothing.
            let consent = self.admin_answered(state, &callback.query, host).await?;
            return Ok(consent.unwrap_or_else(|| foreign(mismatched(MismatchReason::State))));
        };
        let pending = &row.value;
        if !callback.binding.as_ref().is_some_and(|binding| same(&binding.digest(), &pending.binding)) {
            // The sign-in stays open for the browser that began it.
            return Ok(foreign(ConnectOutcome::OtherBrowser));
        }
        let outcome = self.complete_own(state, &row, callback, host).await?;
        metrics::counter!("integration_sign_ins_total", "outcome" => outcome.word()).increment(1);
        Ok(Completion {
            outcome,
            tenant: Some(pending.tenant.clone()),
            app: Some(pending.app.clone()),
            context: pending.context.clone(),
        })
    }

    /// A callback of the browser that began the sign-in.
    async fn complete_own(
        &self,
        state: &str,
        row: &Stored<Pending>,
        callback: &Callback,
        host: &dyn SignInHost,
    ) -> Result<ConnectOutcome> {
        let pending = &row.value;
        if pending.used_at.is_some() {
            return Ok(ConnectOutcome::Replayed);
        }
        if self.engine.now() >= pending.expires_at {
            return Ok(ConnectOutcome::Expired);
        }
        let connector = host.connector(&pending.app)?;
        if callback.redirect_uri.as_ref().is_some_and(|address| *address != pending.redirect_uri) {
            return Ok(ConnectOutcome::Mismatched { reason: MismatchReason::RedirectUri });
        }
        if !self.issuer_matches(connector.profile(), &callback.query).await {
            return Ok(ConnectOutcome::Mismatched { reason: MismatchReason::Issuer });
        }
        // From here on it is used up, whatever comes of it: of two callbacks at once only one gets past this.
        if !self.use_up(state, row).await? {
            return Ok(ConnectOutcome::Replayed);
        }
        if let Some(error) = callback.query.get("error") {
            return match refused_at_consent(&*connector, error, callback.query.get("error_description"), pending) {
                Refusal::Said(outcome) => Ok(outcome),
                Refusal::AdminConsent(remedy) => self.await_admin(&*connector, pending, remedy).await,
            };
        }
        let Some(code) = callback.query.get("code") else {
            return Ok(ConnectOutcome::Mismatched { reason: MismatchReason::State });
        };
        let arrived = match self.redeem(&*connector, state, pending, code).await? {
            Ok(arrived) => arrived,
            Err(outcome) => return Ok(outcome),
        };
        let target = Target {
            tenant: &pending.tenant,
            connector: &connector,
            reconnect: pending.reconnect.as_ref(),
            another_account_allowed: pending.another_account_allowed,
        };
        self.settle(&target, arrived, Some(&callback.query), host).await
    }

    /// What a code brings, and whose it is; the inner error is how the sign-in ends otherwise.
    async fn redeem(
        &self,
        connector: &dyn Connector,
        state: &str,
        pending: &Pending,
        code: &str,
    ) -> Result<Result<Arrived, ConnectOutcome>> {
        let (verifier, nonce) = self.secrets(state, pending).await?;
        let oauth = &connector.profile().oauth;
        let answer = match self.endpoint().exchange(oauth, code, &pending.redirect_uri, &verifier).await {
            Ok(answer) => answer,
            Err(error) => {
                return Ok(Err(match error.classify(connector, None) {
                    TokenFailureClass::AdminConsent(remedy) => self.await_admin(connector, pending, remedy).await?,
                    _ => service_error(connector, &error),
                }));
            }
        };
        let identity = self.identity(connector.profile(), pending, &answer, &nonce).await;
        Ok(identity.map(|identity| Arrived {
            kind: GrantKind::Delegated,
            subject: identity.as_ref().map(|identity| identity.subject.clone()),
            identity,
            named: pending.accounts.clone(),
            asked: pending.asked.clone(),
            requested: pending.requested.clone(),
            assertion: None,
            answer,
        }))
    }

    /// RFC 9207: an issuer that answers must be the one that was asked; one that promises to name itself must do so.
    async fn issuer_matches(&self, profile: &ConnectorProfile, query: &CallbackQuery) -> bool {
        let endpoints = &profile.oauth.endpoints;
        if !endpoints.has_oidc() {
            return true;
        }
        if let Some(issuer) = query.get("iss") {
            return endpoints.knows_issuer(issuer);
        }
        let Some(discovery) = &endpoints.discovery else { return true };
        // Out of reach: then the id token, which names its issuer too, has to do.
        let document = self.engine.keys.discovery(&self.endpoint(), discovery).await;
        !document.is_ok_and(|document| document.authorization_response_iss_parameter_supported)
    }

    /// Who signed in, by the id token; `None` where the service has none.
    async fn identity(
        &self,
        profile: &ConnectorProfile,
        pending: &Pending,
        answer: &TokenAnswer,
        nonce: &str,
    ) -> Result<Option<Identity>, ConnectOutcome> {
        if !profile.oauth.endpoints.has_oidc() {
            return Ok(None);
        }
        let Some(token) = &answer.id_token else {
            if !pending.requested.contains("openid") {
                return Ok(None);
            }
            let cause = "The service did not say who signed in.";
            let remedy = Remedy::new(cause, Actor::Operator, "Check the app's sign-in scopes at the service.");
            return Err(ConnectOutcome::ServiceError { error: "id_token_missing".to_owned(), remedy });
        };
        let verified = id_token::verify(&self.engine.keys, &self.endpoint(), profile, token.expose(), nonce).await;
        verified.map(Some).map_err(|error| {
            tracing::warn!(service = profile.service, error = %error, "a sign-in was refused");
            match error.kind() {
                ErrorKind::Validation => ConnectOutcome::Mismatched { reason: MismatchReason::IdToken },
                kind => {
                    let remedy = error.remedy().cloned().unwrap_or_else(try_again);
                    ConnectOutcome::ServiceError { error: kind.as_str().to_owned(), remedy }
                }
            }
        })
    }

    pub(super) fn endpoint(&self) -> TokenEndpoint<'_> {
        self.engine.endpoint()
    }
}

impl ConnectOutcome {
    /// A stable lower-case word for logs, metrics and pages: the `outcome` of the JSON form.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::AdminAllowed => "admin_allowed",
            Self::AdminDeclined => "admin_declined",
            Self::AwaitingAdminConsent { .. } => "awaiting_admin_consent",
            Self::Expired => "expired",
            Self::Granted { .. } => "granted",
            Self::GrantedInPart { .. } => "granted_in_part",
            Self::Mismatched { .. } => "mismatched",
            Self::NeedsAttention { .. } => "needs_attention",
            Self::OtherAccount { .. } => "other_account",
            Self::OtherBrowser => "other_browser",
            Self::Refused { .. } => "refused",
            Self::Replayed => "replayed",
            Self::ServiceError { .. } => "service_error",
        }
    }
}

/// Why a browser came back with an error instead of a code.
enum Refusal {
    AdminConsent(Remedy),
    Said(ConnectOutcome),
}

/// Anyone can write this query: only what looks like a code is shown, and the description never is.
fn refused_at_consent(connector: &dyn Connector, error: &str, description: Option<&str>, pending: &Pending) -> Refusal {
    let error = shown_code(error);
    let description: Option<String> = description.map(|text| text.chars().take(LONGEST_DESCRIPTION).collect());
    let class = |description| {
        connector.classify_token(&TokenFailure::new(http::StatusCode::BAD_REQUEST, Some(&error), description))
    };
    let (plain, full) = (class(None), class(description.as_deref()));
    match full {
        TokenFailureClass::AdminConsent(remedy) => Refusal::AdminConsent(remedy),
        // Unless the description says more than that somebody said no.
        full if error == "access_denied" && full == plain => {
            Refusal::Said(ConnectOutcome::Refused { missing: pending.asked.clone() })
        }
        full => Refusal::Said(ConnectOutcome::ServiceError { error, remedy: remedy_of(full) }),
    }
}

/// What of an `error` in a query may be shown.
pub(super) fn shown_code(error: &str) -> String {
    let shown = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    error.chars().filter(shown).take(64).collect()
}

/// The token endpoint did not give tokens.
pub(super) fn service_error(connector: &dyn Connector, error: &TokenCallError) -> ConnectOutcome {
    let class = error.classify(connector, None);
    let service = connector.profile().service;
    tracing::warn!(service, code = error.code(), error = %error, "a sign-in was not completed");
    let remedy = match class {
        // It was the code that was refused, not a sign-in that had lasted for a while.
        TokenFailureClass::Revoked(_) => Remedy::new(
            "The service did not accept this sign-in: it took too long or was used before.",
            Actor::Person,
            "Connect the account again.",
        ),
        class => remedy_of(class),
    };
    ConnectOutcome::ServiceError { error: error.code().to_owned(), remedy }
}

pub(super) fn remedy_of(class: TokenFailureClass) -> Remedy {
    match class {
        TokenFailureClass::AdminConsent(remedy)
        | TokenFailureClass::AdminPolicy(remedy)
        | TokenFailureClass::AppRefused { operator: remedy, .. }
        | TokenFailureClass::Misconfigured(remedy)
        | TokenFailureClass::NeedsConsent(remedy)
        | TokenFailureClass::Revoked(remedy) => remedy,
        TokenFailureClass::Throttled | TokenFailureClass::Transient => try_again(),
    }
}

pub(super) fn try_again() -> Remedy {
    Remedy::new("The service did not answer as it should.", Actor::Person, "Connect the account again in a moment.")
}

fn same(one: &str, other: &str) -> bool {
    use subtle::ConstantTimeEq;
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
