//! What a service crate hands in.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use url::Url;

use super::{
    capability::{Capability, ScopeTable},
    model::RemoteAccount,
    organisation::{AdminConsentEndpoint, TenantIssuers},
};
use crate::{
    email::EmailProvider,
    error::{Error, ErrorKind, Remedy, Result},
    http::{Failure, GrantSession, HttpFailure, QuotaTable, Session},
    ids::AppId,
    oauth::CallbackQuery,
    push::PushSource,
    secret::SecretText,
};

/// Our code for one service, one value per app.
///
/// A new kind of provider is a new provided method, so older connectors keep compiling.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Endpoints, scopes, capabilities and quotas; constant for the life of the value.
    fn profile(&self) -> &ConnectorProfile;

    /// The one error map: what an answer that is not a success means.
    fn classify(&self, failure: &HttpFailure<'_>) -> Failure;

    /// The error map of the token endpoint, which answers in a form of its own.
    fn classify_token(&self, failure: &TokenFailure<'_>) -> TokenFailureClass {
        TokenFailureClass::standard(failure)
    }

    /// The accounts a fresh grant opens. Who signed in, and which accounts the host named, is in the session
    /// ([`GrantSession::identity`], [`GrantSession::named`]); an account that was named carries its name
    /// ([`RemoteAccount::named`]), and one that cannot be opened is left out.
    ///
    /// # Errors
    /// What the service answers; `NotFound` if there is none.
    async fn accounts(&self, session: &GrantSession, callback: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>>;

    /// The page at the service where a person takes back what was allowed; for services that cannot be told to.
    fn removal_page(&self, account: &RemoteAccount) -> Option<Url> {
        let _ = account;
        None
    }

    /// Mail on a connection.
    ///
    /// # Errors
    /// `Unsupported` unless the connector has it.
    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        let _ = session;
        Err(Error::new(ErrorKind::Unsupported, "this connector has no mail").with_service(self.profile().service))
    }

    /// Being told of changes on a connection.
    ///
    /// # Errors
    /// `Unsupported` unless the connector has it, and where it has it not for this account.
    fn push(&self, session: Session) -> Result<Arc<dyn PushSource>> {
        let _ = session;
        let message = "this connector is not told of changes; it asks for them";
        Err(Error::new(ErrorKind::Unsupported, message).with_service(self.profile().service))
    }
}

/// A connector's data: no behaviour.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectorProfile {
    /// The app.
    pub app: AppId,
    /// The service's name in lower case, for logs and errors.
    pub service: &'static str,
    /// The hosts its sessions may reach; a call to any other is refused.
    pub hosts: BTreeSet<String>,
    /// Sign-in.
    pub oauth: OAuthSettings,
    /// Which scopes allow what.
    pub scopes: ScopeTable,
    /// What the connector can do at all.
    pub capabilities: BTreeSet<Capability>,
    /// The quota table in force.
    pub quota: QuotaTable,
}

impl ConnectorProfile {
    /// A profile of its parts; `hosts` starts with the hosts of the sign-in endpoints.
    #[must_use]
    pub fn new(app: AppId, service: &'static str, oauth: OAuthSettings, scopes: ScopeTable, quota: QuotaTable) -> Self {
        let capabilities = scopes.rules.iter().map(|rule| rule.capability).collect();
        Self { app, service, hosts: BTreeSet::new(), oauth, scopes, capabilities, quota }
    }

    /// Allows the host (and port) of `url`.
    #[must_use]
    pub fn with_host(mut self, url: &Url) -> Self {
        self.hosts.extend(authority(url));
        self
    }

    /// May sessions of this connector reach `url`?
    #[must_use]
    pub fn allows(&self, url: &Url) -> bool {
        authority(url).is_some_and(|authority| self.hosts.contains(&authority))
    }
}

/// Scheme, host and port of a URL, so that plain HTTP to the same name is a different place.
fn authority(url: &Url) -> Option<String> {
    Some(format!("{}://{}:{}", url.scheme(), url.host_str()?, url.port_or_known_default()?))
}

/// Where sign-in happens. Every one can be set, so that a sandbox or a proxy fits in between.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OAuthEndpoints {
    /// Where the person is sent.
    pub authorisation: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token: Url,
    /// Where grants are revoked, if the service can.
    pub revocation: Option<Url>,
    /// The OIDC discovery document, if the service has one: issuer and key set come from it.
    pub discovery: Option<Url>,
    /// The issuers that are accepted in id tokens and callbacks. Empty, without `tenant_issuers`: the service has no OIDC.
    pub issuers: Vec<String>,
    /// Issuers that are spelt differently for each organisation at the service.
    pub tenant_issuers: Option<TenantIssuers>,
    /// Where an administrator allows the app for an organisation, if the service has such a page.
    pub admin_consent: Option<AdminConsentEndpoint>,
}

impl OAuthEndpoints {
    /// The two every service has.
    #[must_use]
    pub fn new(authorisation: Url, token: Url) -> Self {
        Self {
            authorisation,
            token,
            revocation: None,
            discovery: None,
            issuers: Vec::new(),
            tenant_issuers: None,
            admin_consent: None,
        }
    }

    /// Does the service say who signed in?
    #[must_use]
    pub fn has_oidc(&self) -> bool {
        !self.issuers.is_empty() || self.tenant_issuers.is_some()
    }

    /// Is `issuer` accepted, before it is known whose token it is?
    #[must_use]
    pub fn knows_issuer(&self, issuer: &str) -> bool {
        let per_tenant = self.tenant_issuers.as_ref();
        self.issuers.iter().any(|known| known == issuer) || per_tenant.is_some_and(|tenants| tenants.knows(issuer))
    }
}

/// How the app proves itself at the token endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// A certificate: every request carries a signed assertion (RFC 7523, PS256), good for some minutes.
    Certificate {
        /// The certificate in PEM; the service knows its hash (`x5t#S256`). Of several the first counts.
        certificate: String,
        /// Its RSA key in PEM.
        private_key: SecretText,
    },
    /// A public client: PKCE alone.
    None,
    /// Secret in the form body.
    SecretInBody(SecretText),
    /// Secret in the `Authorization` header.
    SecretInHeader(SecretText),
    /// A service account's key: signs assertions (JWT bearer grant); no browser.
    ServiceAccount {
        /// The account's address (`iss`).
        issuer: String,
        /// The key's id.
        key_id: String,
        /// The RSA key, PKCS#8 in PEM.
        private_key: SecretText,
    },
}

/// How grants of several authorisations relate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthorisationStyle {
    /// The service adds new scopes to what was granted before: ask for what is missing.
    Additive,
    /// Each authorisation stands alone: ask for the union.
    #[default]
    Standalone,
}

/// How an app signs people in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OAuthSettings {
    /// The endpoints.
    pub endpoints: OAuthEndpoints,
    /// The client id.
    pub client_id: String,
    /// How the client proves itself.
    pub authentication: ClientAuthentication,
    /// Whether grants add up.
    pub style: AuthorisationStyle,
    /// Further parameters of every authorisation (`access_type=offline`).
    pub extra: Vec<(String, String)>,
    /// Further parameters when the person has to see the consent page again (`prompt=consent`).
    pub consent: Vec<(String, String)>,
    /// The parameter that preselects an account, if any (`login_hint`).
    pub login_hint: Option<String>,
    /// Further parameters when scopes are added to a grant (`include_granted_scopes=true`).
    pub incremental: Vec<(String, String)>,
    /// The claims of the id token that make up a person's stable id; `sub` unless set.
    pub subject: Vec<String>,
    /// A claims request (JSON) that goes with every authorisation and refresh; a challenge is merged into it.
    pub claims: Option<String>,
    /// Set: nobody signs in; the app acts on its own by the client credentials grant with this scope, and on the accounts
    /// that the host names.
    pub app_scope: Option<String>,
}

impl OAuthSettings {
    /// Settings with endpoints, client id and its proof.
    #[must_use]
    pub fn new(endpoints: OAuthEndpoints, client_id: impl Into<String>, authentication: ClientAuthentication) -> Self {
        Self {
            endpoints,
            client_id: client_id.into(),
            authentication,
            style: AuthorisationStyle::default(),
            extra: Vec::new(),
            consent: Vec::new(),
            login_hint: None,
            incremental: Vec::new(),
            subject: vec!["sub".to_owned()],
            claims: None,
            app_scope: None,
        }
    }

    /// Does the app act without a person who signs in?
    #[must_use]
    pub fn acts_alone(&self) -> bool {
        self.app_scope.is_some() || matches!(self.authentication, ClientAuthentication::ServiceAccount { .. })
    }
}

/// A refusal of the token endpoint.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenFailure<'a> {
    /// The status.
    pub status: http::StatusCode,
    /// The `error` code, if the body was the OAuth form.
    pub error: Option<&'a str>,
    /// The description.
    pub description: Option<&'a str>,
    /// The service's finer code (`error_subtype`, `suberror`).
    pub subtype: Option<&'a str>,
    /// The service's numbers (`error_codes`).
    pub codes: &'a [u64],
    /// How long ago the grant was given, for patterns such as "dies after 7 days".
    pub grant_age: Option<std::time::Duration>,
}

impl<'a> TokenFailure<'a> {
    /// A failure with only its status; fill in what is known.
    #[must_use]
    pub fn new(status: http::StatusCode, error: Option<&'a str>, description: Option<&'a str>) -> Self {
        Self { status, error, description, subtype: None, codes: &[], grant_age: None }
    }
}

/// What a refusal of the token endpoint means.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenFailureClass {
    /// An administrator has to allow the app first.
    AdminConsent(Remedy),
    /// An administrator forbids it.
    AdminPolicy(Remedy),
    /// The app is unknown or switched off where this grant is at home. Its administrator acts if the app works elsewhere,
    /// which is seen from other grants' refreshes; otherwise it is as [`Misconfigured`](Self::Misconfigured).
    AppRefused {
        /// For the administrator of the grant's organisation.
        administrator: Remedy,
        /// For whoever runs the host.
        operator: Remedy,
    },
    /// The app's own registration is wrong: the operator's alarm, never the person's.
    Misconfigured(Remedy),
    /// Consent (again) is needed.
    NeedsConsent(Remedy),
    /// Revoked or expired: the person has to sign in again.
    Revoked(Remedy),
    /// Too many token requests.
    Throttled,
    /// It may pass.
    Transient,
}

impl TokenFailureClass {
    /// RFC 6749's codes; a connector refines what its service says more precisely.
    #[must_use]
    pub fn standard(failure: &TokenFailure<'_>) -> Self {
        use crate::error::Actor;
        let operator = |cause: &str| {
            Self::Misconfigured(Remedy::new(cause, Actor::Operator, "Check the app's client id, secret and redirect."))
        };
        match failure.error {
            _ if failure.status.as_u16() == 429 => Self::Throttled,
            _ if failure.status.is_server_error() => Self::Transient,
            Some("invalid_grant") => {
                let cause = "The service no longer accepts this sign-in: it was revoked or has expired.";
                Self::Revoked(Remedy::new(cause, Actor::Person, "Connect the account again."))
            }
            Some("invalid_client") => operator("The service does not know the app or refuses its secret."),
            Some("unauthorized_client") => operator("The app may not use this kind of sign-in."),
            Some("invalid_scope") => operator("The app asks for a scope that it may not have."),
            Some("invalid_request" | "unsupported_grant_type") => {
                operator("The service did not understand the request.")
            }
            Some("access_denied") => {
                let cause = "The service refuses this account.";
                Self::AdminPolicy(Remedy::new(cause, Actor::Administrator, "Allow the app for this account."))
            }
            Some("consent_required" | "interaction_required" | "login_required") => Self::NeedsConsent(Remedy::new(
                "The service asks for consent again.",
                Actor::Person,
                "Connect the account again.",
            )),
            _ => Self::Transient,
        }
    }
}
