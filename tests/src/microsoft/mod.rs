//! The simulated Microsoft: the identity platform, the directory, and Graph behind its tokens.
//!
//! Not imitated: passwords and second factors (conditional access is only their outcome), `form_post`, the device flow,
//! ID tokens of version 1, resources other than Graph, the propagation times of consents, rate limits of the sign-in
//! endpoints themselves, deletion of accounts.

mod access;
mod admin;
mod app;
mod ask;
mod client;
mod consent;
mod errors;
pub mod graph;
mod oauth;
mod oidc;
mod register;
mod scopes;
mod settings;
mod tenant;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
};

use chrono::{DateTime, TimeDelta, Utc};
use integration_core::clock::{Clock, Random};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use self::register::Register;
pub use self::{
    app::{Audience, ClientCertificate, ClientSecret, EntraApp},
    graph::{Graph, GraphSettings},
    settings::{Blocked, ChallengeAnswer, Cloud, EntraSettings, RefreshAt, Spelling},
    tenant::{ConditionalAccess, ConsentPolicy, PERSONAL_TENANT, Tenant, User},
};
use crate::{google::SigningKey, keys::KeyRing};

/// The client id that is registered from the start: a public app whose redirects are `http://localhost` and
/// `http://localhost/callback`, on any port.
pub const DEFAULT_APP: &str = "3f0c6c1e-5f0a-4d57-9a59-6f6d5a0c7b11";

/// Where everything is: two roots, and what is below them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MicrosoftUrls {
    /// The root below which sign-in has its paths (`{tenant}/oauth2/v2.0/token`, …).
    pub login: Url,
    /// The root below which Graph has its paths (`v1.0/…`).
    pub graph: Url,
}

impl MicrosoftUrls {
    /// The URLs below an origin such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn at(origin: &str) -> Option<Self> {
        let root = Url::parse(origin).ok()?.join("/").ok()?;
        Some(Self { login: root.clone(), graph: root })
    }

    fn below(&self, tenant: &str, path: &str) -> Url {
        let mut url = self.login.clone();
        url.set_path(&format!("/{tenant}/{path}"));
        url
    }

    /// Where a browser is sent.
    #[must_use]
    pub fn authorisation(&self, tenant: &str) -> Url {
        self.below(tenant, "oauth2/v2.0/authorize")
    }

    /// The token endpoint.
    #[must_use]
    pub fn token(&self, tenant: &str) -> Url {
        self.below(tenant, "oauth2/v2.0/token")
    }

    /// Where a browser signs out.
    #[must_use]
    pub fn logout(&self, tenant: &str) -> Url {
        self.below(tenant, "oauth2/v2.0/logout")
    }

    /// Where an administrator's browser is sent.
    #[must_use]
    pub fn admin_consent(&self, tenant: &str) -> Url {
        self.below(tenant, "v2.0/adminconsent")
    }

    /// The OIDC discovery document.
    #[must_use]
    pub fn discovery(&self, tenant: &str) -> Url {
        self.below(tenant, "v2.0/.well-known/openid-configuration")
    }

    /// The keys of id tokens.
    #[must_use]
    pub fn jwks(&self, tenant: &str) -> Url {
        self.below(tenant, "discovery/v2.0/keys")
    }

    /// OIDC userinfo.
    #[must_use]
    pub fn userinfo(&self) -> Url {
        let mut url = self.graph.clone();
        url.set_path("/oidc/userinfo");
        url
    }

    /// A path of Graph, such as `me/messages`.
    #[must_use]
    pub fn api(&self, path: &str) -> Option<Url> {
        self.graph.join(&format!("/v1.0/{path}")).ok()
    }
}

/// The simulated service. What is arranged here holds from the next request on.
pub struct Microsoft {
    register: Arc<Mutex<Register>>,
    keys: Mutex<KeyRing>,
    settings: Mutex<EntraSettings>,
    jwks_outage: AtomicBool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    graph: Graph,
}

impl fmt::Debug for Microsoft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Microsoft").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn default_app() -> EntraApp {
    EntraApp::desktop(DEFAULT_APP).with_redirect("http://localhost/callback")
}

impl Microsoft {
    pub(crate) fn new(
        settings: EntraSettings,
        mut graph: GraphSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        validate: graph::Validator,
    ) -> Self {
        let register = Arc::new(Mutex::new(Register::default()));
        crate::lock(&register).add_app(default_app());
        graph.validate.get_or_insert(validate);
        Self {
            register,
            keys: Mutex::default(),
            settings: Mutex::new(settings),
            jwks_outage: AtomicBool::new(false),
            clock,
            random,
            graph: Graph::new(graph),
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        crate::lock(&self.register)
    }

    fn settings(&self) -> EntraSettings {
        crate::lock(&self.settings).clone()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn guid(&self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        tenant::format_guid(bytes)
    }

    /// The mail simulator, to arrange mailboxes.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Changes how sign-in behaves from now on.
    pub fn change_settings(&self, change: impl FnOnce(&mut EntraSettings)) {
        change(&mut crate::lock(&self.settings));
    }

    /// Adds a tenant, or replaces the one with the same id or domain.
    pub fn register_tenant(&self, tenant: Tenant) {
        self.register().add_tenant(tenant);
    }

    /// Gives a person an account and a mailbox: a personal account at `outlook.com` and its like, else one in the tenant of
    /// the address's domain, which is made with [`Tenant::new`] if there is none.
    pub fn register_person(&self, address: &str, name: &str) -> User {
        let user = self.register().add_user(address, name);
        self.graph.register_user(&user.mail, &user.oid, &user.name);
        user
    }

    /// The same for somebody who may consent for the whole tenant.
    pub fn register_admin(&self, address: &str, name: &str) -> User {
        self.register_person(address, name);
        self.change(address, |user| user.admin = true)
    }

    /// Changes what is known of a person, who is created if there is none: `disabled`, `upn`, `access`, `demanded`, ….
    pub fn change(&self, address: &str, change: impl FnOnce(&mut User)) -> User {
        if self.register().user(address).is_none() {
            self.register_person(address, "Somebody");
        }
        let mut register = self.register();
        let Some(user) = register.user_mut(address) else { return User::default() };
        change(user);
        user.clone()
    }

    /// Everybody with an account; the first is whom the page suggests.
    #[must_use]
    pub fn people(&self) -> Vec<User> {
        self.register().users().to_vec()
    }

    /// A tenant by id or domain.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<Tenant> {
        self.register().tenant(name).cloned()
    }

    /// Makes a person a guest of another tenant, by id or domain.
    pub fn invite(&self, address: &str, tenant: &str) {
        let id = self.tenant(tenant).map(|tenant| tenant.id);
        self.change(address, |user| user.guest_of.extend(id));
    }

    /// Registers an app, or replaces its registration.
    ///
    /// # Panics
    /// If the service would refuse the registration; says why.
    pub fn register_app(&self, app: EntraApp) {
        self.try_register_app(app).unwrap_or_else(|wrong| panic!("the app cannot be registered: {wrong}"));
    }

    /// Registers an app, or replaces its registration.
    ///
    /// # Errors
    /// What the service would refuse the registration for.
    pub fn try_register_app(&self, app: EntraApp) -> Result<(), String> {
        app.wrong().map_or(Ok(()), Err)?;
        self.register().add_app(app);
        Ok(())
    }

    /// Changes an app's registration: secrets, certificates, `disabled`, ….
    pub fn change_app(&self, client_id: &str, change: impl FnOnce(&mut EntraApp)) {
        if let Some(app) = self.register().app_mut(client_id) {
            change(app);
        }
    }

    /// Makes a tenant's token endpoint unavailable with this AADSTS number (90033, 90055, …), or available again.
    pub fn set_trouble(&self, tenant: &str, number: Option<u32>) {
        if let Some(tenant) = self.register().tenant_mut(tenant) {
            tenant.trouble = number;
        }
    }

    /// Takes back what a person consented to, as on the page of their account. Access tokens live on.
    pub fn withdraw_consent(&self, address: &str, client_id: &str) {
        let mut register = self.register();
        let Some(user) = register.user(address).cloned() else { return };
        for tenant in user.guest_of.iter().chain([&user.tenant]) {
            register.withdraw(tenant, client_id, Some(&user.mail));
        }
    }

    /// Takes back what an administrator consented to for a tenant.
    pub fn withdraw_admin_consent(&self, tenant: &str, client_id: &str) {
        let mut register = self.register();
        if let Some(id) = register.tenant(tenant).map(|tenant| tenant.id.clone()) {
            register.withdraw(&id, client_id, None);
        }
    }

    /// Revokes a person's sessions: refresh tokens from before end, and tokens of capable clients are challenged.
    pub fn revoke_sessions(&self, address: &str) {
        // Sign-ins of this very moment count as before.
        let from = self.now() + TimeDelta::milliseconds(1);
        self.change(address, |user| user.sessions_from = from);
    }

    /// Removes a person's refresh tokens and codes of one app, so that they are unknown.
    pub fn forget_tokens(&self, address: &str, client_id: &str) {
        self.register().forget(client_id, &address.to_lowercase());
    }

    /// How many refresh tokens of a person would be accepted now.
    #[must_use]
    pub fn live_refresh_tokens(&self, address: &str) -> usize {
        let idle = TimeDelta::from_std(self.settings().refresh_idle_life).unwrap_or(TimeDelta::MAX);
        self.register().live_refresh_tokens(&address.to_lowercase(), self.now(), idle)
    }

    /// Ends every access token now.
    pub fn expire_access_tokens(&self) {
        self.register().expire_access_tokens();
    }

    /// Signs id tokens with a new key; the one before stays published.
    pub fn rotate_keys(&self) {
        crate::lock(&self.keys).advance();
    }

    /// Makes the key endpoint unavailable, or available again.
    pub fn jwks_outage(&self, on: bool) {
        self.jwks_outage.store(on, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn export(&self) -> Value {
        let (current, previous) = crate::lock(&self.keys).export();
        json!({
            "register": &*self.register(), "key": current, "previous_key": previous, "graph": self.graph.export(),
        })
    }

    pub(crate) fn import(&self, saved: &Value) -> Result<(), String> {
        let mut register: Register =
            serde_json::from_value(saved["register"].clone()).map_err(|error| error.to_string())?;
        if register.app(DEFAULT_APP).is_none() {
            register.add_app(default_app());
        }
        self.graph.import(&saved["graph"])?;
        let key = |name: &str| saved[name].as_str().and_then(SigningKey::from_pkcs8);
        *crate::lock(&self.keys) = KeyRing::restored(key("key"), key("previous_key"));
        *self.register() = register;
        Ok(())
    }
}

/// Does a path belong to this service?
pub(crate) fn owns(path: &str) -> bool {
    path.starts_with("/v1.0/") || Graph::is_upload(path) || path == "/oidc/userinfo" || sign_in(path).is_some()
}

/// An endpoint of signing in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Endpoint {
    AdminConsent,
    Authorise,
    Discovery,
    Keys,
    Logout,
    Token,
}

/// The endpoint at a path, and the segment that stands for the tenant.
pub(crate) fn sign_in(path: &str) -> Option<(Endpoint, &str)> {
    let (segment, rest) = path.strip_prefix('/')?.split_once('/')?;
    let endpoint = match rest {
        "oauth2/v2.0/authorize" => Endpoint::Authorise,
        "oauth2/v2.0/token" => Endpoint::Token,
        "oauth2/v2.0/logout" => Endpoint::Logout,
        "v2.0/adminconsent" => Endpoint::AdminConsent,
        "v2.0/.well-known/openid-configuration" => Endpoint::Discovery,
        "discovery/v2.0/keys" => Endpoint::Keys,
        _ => return None,
    };
    (!segment.is_empty()).then_some((endpoint, segment))
}

#[cfg(test)]
mod tests;
