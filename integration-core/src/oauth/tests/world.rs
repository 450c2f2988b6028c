//! A host with one connector, and a browser.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use url::Url;

use super::{service::Service, store::TestStore};
use crate::{
    Result,
    clock::{Clock, SystemClock, SystemRandom},
    connection::{
        Capability, ClientAuthentication, Connection, Connector, ConnectorProfile, Grant, GrantStatus, Identity,
        OAuthEndpoints, OAuthSettings, RemoteAccount, ScopeRule, ScopeTable, TokenFailure, TokenFailureClass,
    },
    error::{Actor, Remedy},
    http::{Credentials, Failure, GrantSession, HttpFailure, QuotaTable},
    ids::{AppId, GrantId, TenantId},
    oauth::{
        Authorisation, Authorise, Callback, CallbackQuery, Completion, ConnectOutcome, GrantCredentials, OAuthParts,
        SignIn, SignInHost, SignInSettings, SignedIn,
    },
    secret::SecretText,
    store::Stores,
    vault::{KeyRing, Vault},
};

/// The number with which this service says so.
pub(super) const ASK_AN_ADMINISTRATOR: u64 = 77;
/// The number with which this service says that it does not know the app here.
pub(super) const NO_SUCH_APP: u64 = 78;
pub(super) const REDIRECT: &str = "https://app.example/callback";

#[derive(Debug)]
pub(super) struct TestConnector {
    profile: ConnectorProfile,
    pub(super) ages: Mutex<Vec<Option<Duration>>>,
}

#[async_trait]
impl Connector for TestConnector {
    fn profile(&self) -> &ConnectorProfile {
        &self.profile
    }

    fn classify(&self, _: &HttpFailure<'_>) -> Failure {
        Failure::Transient(crate::Error::new(crate::ErrorKind::Unavailable, "not asked here"))
    }

    fn classify_token(&self, failure: &TokenFailure<'_>) -> TokenFailureClass {
        self.ages.lock().unwrap().push(failure.grant_age);
        let by_number = failure.codes.contains(&ASK_AN_ADMINISTRATOR);
        if by_number || failure.description.is_some_and(|text| text.contains("ask an administrator")) {
            let remedy = Remedy::new("Only an administrator may allow it.", Actor::Administrator, "Allow it.");
            return TokenFailureClass::AdminConsent(remedy);
        }
        if failure.codes.contains(&NO_SUCH_APP) {
            let remedy = |actor| Remedy::new("The app is not known here.", actor, "Let it in.");
            let (administrator, operator) = (remedy(Actor::Administrator), remedy(Actor::Operator));
            return TokenFailureClass::AppRefused { administrator, operator };
        }
        TokenFailureClass::standard(failure)
    }

    async fn accounts(&self, _: &GrantSession, _: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        Ok(Vec::new())
    }
}

pub(super) fn settings() -> OAuthSettings {
    let url = |path: &str| Url::parse(&format!("https://id.example/{path}")).unwrap();
    let mut endpoints = OAuthEndpoints::new(url("authorise"), url("token"));
    endpoints.revocation = Some(url("revoke"));
    let authentication = ClientAuthentication::SecretInBody(SecretText::new("app-secret"));
    let mut oauth = OAuthSettings::new(endpoints, "app-1", authentication);
    oauth.extra = vec![("access_type".into(), "offline".into())];
    oauth.consent = vec![("prompt".into(), "consent".into())];
    oauth.login_hint = Some("login_hint".into());
    oauth.incremental = vec![("add".into(), "true".into())];
    oauth
}

pub(super) fn with_oidc(mut oauth: OAuthSettings) -> OAuthSettings {
    oauth.endpoints.discovery = Some(Url::parse("https://id.example/discovery").unwrap());
    oauth.endpoints.issuers = vec!["https://id.example".to_owned()];
    oauth
}

pub(super) struct World {
    pub(super) store: Arc<TestStore>,
    pub(super) service: Arc<Service>,
    pub(super) sign_in: SignIn,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) test_connector: Arc<TestConnector>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenant: TenantId,
    pub(super) accounts: Mutex<Vec<RemoteAccount>>,
    /// What was known when accounts were asked for.
    pub(super) known: Mutex<Vec<(Option<Identity>, Vec<String>)>>,
    ring: KeyRing,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(oauth: OAuthSettings) -> Self {
        let rules = vec![
            ScopeRule::new(Capability::MailRead, &["mail.read"], &["mail.all"]),
            ScopeRule::new(Capability::MailSend, &["mail.send"], &["mail.all"]),
        ];
        let scopes = ScopeTable::new(rules).with_alias("MAIL.READ", "mail.read").with_always(&["profile"]);
        let profile = ConnectorProfile::new(AppId::new("app"), "example", oauth, scopes, QuotaTable::unlimited("none"));
        let test_connector = Arc::new(TestConnector { profile, ages: Mutex::default() });
        let start: DateTime<Utc> = "2026-03-02T10:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(start));
        let store = Arc::new(TestStore::new(Arc::clone(&clock)));
        let (service, ring) = (Arc::new(Service::new()), KeyRing::generate());
        let sign_in = process(&store, &service, &ring, Arc::clone(&clock));
        let connector: Arc<dyn Connector> = Arc::<TestConnector>::clone(&test_connector);
        let accounts =
            Mutex::new(vec![RemoteAccount::new("account-1", "ann@example.com").with_address("ann@example.com")]);
        let (tenant, known) = (TenantId::new("t"), Mutex::default());
        Self { store, service, sign_in, connector, test_connector, clock, tenant, accounts, known, ring }
    }

    /// Another process on the same stores.
    pub(super) fn another_process(&self, clock: Arc<dyn Clock>) -> SignIn {
        process(&self.store, &self.service, &self.ring, clock)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) async fn authorise(&self, ask: &Authorise) -> Authorisation {
        self.sign_in.authorise(&self.tenant, &self.connector, ask).await.unwrap()
    }

    /// The service sends the browser back with a code.
    pub(super) fn callback(&self, authorisation: &Authorisation) -> Callback {
        let state = &parameters(&authorisation.url)["state"];
        Callback::new(query(&[("state", state), ("code", "code-1")]), Some(authorisation.binding.clone()))
    }

    pub(super) async fn complete(&self, callback: &Callback) -> Completion {
        self.sign_in.complete(callback, self).await.unwrap()
    }

    pub(super) async fn outcome(&self, ask: &Authorise) -> ConnectOutcome {
        let authorisation = self.authorise(ask).await;
        self.complete(&self.callback(&authorisation)).await.outcome
    }

    /// A connected mailbox.
    pub(super) async fn connected(&self) -> Connection {
        match self.outcome(&ask()).await {
            ConnectOutcome::Granted { mut connections, .. } => connections.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn credentials(&self, grant: &GrantId) -> GrantCredentials {
        self.sign_in.credentials(&self.tenant, grant, &self.connector)
    }

    pub(super) async fn grant(&self, id: &GrantId) -> Grant {
        self.sign_in.connections().load_grant(&self.tenant, id).await.unwrap().unwrap().value
    }

    pub(super) async fn status(&self, id: &GrantId) -> GrantStatus {
        self.grant(id).await.status
    }

    pub(super) async fn connection(&self, of: &Connection) -> Connection {
        self.sign_in.connections().load_connection(&self.tenant, &of.id).await.unwrap().unwrap().value
    }
}

fn process(store: &Arc<TestStore>, service: &Arc<Service>, ring: &KeyRing, clock: Arc<dyn Clock>) -> SignIn {
    let random = Arc::new(SystemRandom);
    let vault = Arc::new(Vault::new(Arc::new(ring.clone()), Arc::<SystemRandom>::clone(&random)));
    let parts =
        OAuthParts::new(Stores::from_one(Arc::clone(store)), vault, Arc::<Service>::clone(service), clock, random);
    SignIn::new(parts.with_settings(SignInSettings::default()))
}

#[async_trait]
impl SignInHost for World {
    fn connector(&self, app: &AppId) -> Result<Arc<dyn Connector>> {
        assert_eq!(app.as_str(), "app");
        Ok(Arc::clone(&self.connector))
    }

    async fn accounts(
        &self,
        _: &Arc<dyn Connector>,
        _: &Grant,
        credentials: Arc<dyn Credentials>,
        known: &SignedIn<'_>,
    ) -> Result<Vec<RemoteAccount>> {
        credentials.access(None).await?;
        self.known.lock().unwrap().push((known.identity.clone(), known.named.clone()));
        Ok(self.accounts.lock().unwrap().clone())
    }
}

/// A clock that runs as it should but whose waits take for ever: a process that is stopped never sees its timers fire.
#[derive(Debug)]
pub(super) struct StoppedTimers(pub(super) Arc<dyn Clock>);

#[async_trait]
impl Clock for StoppedTimers {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

pub(super) fn ask() -> Authorise {
    Authorise::new([Capability::MailRead], REDIRECT)
}

pub(super) fn parameters(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

pub(super) fn query(pairs: &[(&str, &str)]) -> CallbackQuery {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    CallbackQuery::parse(&text).unwrap()
}
