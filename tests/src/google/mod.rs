//! The simulated Google: sign-in, and the APIs behind its tokens.

mod answers;
pub mod call;
mod consent;
pub mod gmail;
mod oauth;
mod oidc;
mod register;
mod scopes;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Request;
use integration_core::clock::{Clock, Random};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

pub(crate) use self::oauth::JWT_BEARER;
pub use self::{
    call::{ApiAnswer, ApiCall},
    consent::{Consent, ErrorPage},
    gmail::{Gmail, GmailSettings},
    register::{AppRegistration, Person, ServiceAccount},
};
use self::{
    gmail::{Bearer, Validator},
    register::{Grant, Register},
};
pub use crate::keys::SigningKey;
use crate::{
    exchange::{Arrived, Service},
    form,
    keys::KeyRing,
};

/// The client id that is registered from the start: an installed app without a secret.
pub const DEFAULT_CLIENT: &str = "sandbox-client";

/// Where everything is, all below one origin.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GoogleUrls {
    /// Where a browser is sent.
    pub authorisation: Url,
    /// The token endpoint.
    pub token: Url,
    /// The revocation endpoint.
    pub revocation: Url,
    /// The OIDC discovery document.
    pub discovery: Url,
    /// OIDC userinfo.
    pub userinfo: Url,
    /// The keys of id tokens.
    pub jwks: Url,
    /// The root below which the mail API has its paths (`gmail/v1/…`, `upload/gmail/v1/…`, `batch/gmail/v1`).
    pub gmail: Url,
}

impl GoogleUrls {
    /// The URLs below an origin such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn at(origin: &str) -> Option<Self> {
        let root = Url::parse(origin).ok()?;
        let at = |path: &str| root.join(path).ok();
        Some(Self {
            authorisation: at("/o/oauth2/v2/auth")?,
            token: at("/token")?,
            revocation: at("/revoke")?,
            discovery: at("/.well-known/openid-configuration")?,
            userinfo: at("/v1/userinfo")?,
            jwks: at("/oauth2/v3/certs")?,
            gmail: at("/")?,
        })
    }
}

/// How sign-in behaves; the default is what the service does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OauthSettings {
    /// How long access tokens live; 3599 s.
    pub token_life: Duration,
    /// How long a code can be exchanged; ten minutes.
    pub code_life: Duration,
    /// After how long without use a refresh token dies; about six months.
    pub refresh_idle_life: Duration,
    /// Does every refresh bring a new refresh token? At the real service it does not.
    pub rotate_refresh_tokens: bool,
    /// How long a replaced refresh token is still accepted; not at all.
    pub rotation_grace: Duration,
    /// The issuer of id tokens and callbacks.
    pub issuer: String,
    /// Do callbacks name the issuer?
    pub answers_issuer: bool,
    /// How long the key set may be cached.
    pub jwks_max_age: Duration,
}

impl Default for OauthSettings {
    fn default() -> Self {
        Self {
            token_life: Duration::from_secs(3_599),
            code_life: Duration::from_secs(600),
            refresh_idle_life: Duration::from_secs(183 * 24 * 3_600),
            rotate_refresh_tokens: false,
            rotation_grace: Duration::ZERO,
            issuer: "https://accounts.google.com".to_owned(),
            answers_issuer: true,
            jwks_max_age: Duration::from_secs(6 * 3_600),
        }
    }
}

/// The simulated service.
pub(crate) struct Google {
    register: Arc<Mutex<Register>>,
    keys: Mutex<KeyRing>,
    settings: Mutex<OauthSettings>,
    jwks_outage: AtomicBool,
    random: Arc<dyn Random>,
    gmail: Gmail,
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Google").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Google {
    pub(crate) fn new(
        settings: OauthSettings,
        mut gmail: GmailSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        validate: Validator,
    ) -> Self {
        let register = Arc::new(Mutex::new(Register::default()));
        crate::lock(&register).add_app(AppRegistration::desktop(DEFAULT_CLIENT));
        let tokens = Arc::clone(&register);
        gmail.validate.get_or_insert(validate);
        gmail.bearer.get_or_insert_with(|| {
            Arc::new(move |token: &str| {
                let register = crate::lock(&tokens);
                let grant = &register.access(token, clock.now())?.grant;
                Some(Bearer {
                    account: grant.address.clone(),
                    app: grant.client_id.clone(),
                    scopes: grant.scopes.clone(),
                })
            })
        });
        Self {
            register,
            keys: Mutex::default(),
            settings: Mutex::new(settings),
            jwks_outage: AtomicBool::new(false),
            random,
            gmail: Gmail::new(gmail),
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        crate::lock(&self.register)
    }

    fn settings(&self) -> OauthSettings {
        crate::lock(&self.settings).clone()
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut OauthSettings)) {
        change(&mut crate::lock(&self.settings));
    }

    pub(crate) fn gmail(&self) -> &Gmail {
        &self.gmail
    }

    pub(crate) fn rotate_keys(&self) {
        crate::lock(&self.keys).advance();
    }

    pub(crate) fn set_jwks_outage(&self, on: bool) {
        self.jwks_outage.store(on, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn register_app(&self, app: AppRegistration) {
        self.register().add_app(app);
    }

    pub(crate) fn register_person(&self, address: &str, name: &str) {
        self.register().add_person(address, name);
        self.gmail.mailbox(address);
    }

    pub(crate) fn people(&self) -> Vec<Person> {
        self.register().people().to_vec()
    }

    pub(crate) fn register_service_account(&self, account: ServiceAccount) {
        self.register().add_service_account(account);
    }

    pub(crate) fn expire_access_tokens(&self) {
        self.register().expire_access_tokens();
    }

    pub(crate) fn revoke_grants(&self, address: &str) {
        self.register().revoke_person(address);
    }

    pub(crate) fn withdraw_scope(&self, address: &str, scope: &str) {
        self.register().withdraw_scope(address, scope);
    }

    pub(crate) fn live_refresh_tokens(&self, address: &str, now: DateTime<Utc>) -> usize {
        self.register().live_refresh_tokens(address, now)
    }

    /// Answers everything except the mail API.
    fn answer_sign_in(&self, request: &Request<Bytes>, arrived: &Arrived<'_, Self>) -> ApiAnswer {
        let (origin, now) = (arrived.origin, arrived.now);
        let grant = arrived.caller.map(|caller| &caller.0);
        match request.uri().path() {
            "/o/oauth2/v2/auth" => self.authorise(request, now),
            "/token" => self.token(request, origin, now),
            "/revoke" => self.revocation(request, now),
            "/tokeninfo" => self.tokeninfo(request, now),
            "/.well-known/openid-configuration" => self.discovery(origin),
            "/oauth2/v3/certs" => self.jwks(),
            "/v1/userinfo" => self.userinfo(grant),
            "/oauth2/v2/userinfo" | "/userinfo/v2/me" => self.userinfo_v2(grant),
            _ => answers::nowhere(),
        }
    }

    pub(crate) fn export(&self) -> Value {
        let (current, previous) = crate::lock(&self.keys).export();
        json!({
            "register": &*self.register(), "key": current, "previous_key": previous, "gmail": self.gmail.export(),
        })
    }

    pub(crate) fn import(&self, saved: &Value) -> Result<(), String> {
        let mut register: Register =
            serde_json::from_value(saved["register"].clone()).map_err(|error| error.to_string())?;
        if register.app(DEFAULT_CLIENT).is_none() {
            register.add_app(AppRegistration::desktop(DEFAULT_CLIENT));
        }
        self.gmail.import(&saved["gmail"])?;
        let key = |name: &str| saved[name].as_str().and_then(SigningKey::from_pkcs8);
        *crate::lock(&self.keys) = KeyRing::restored(key("key"), key("previous_key"));
        *self.register() = register;
        Ok(())
    }
}

/// The holder of a good access token.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Grant);

impl Service for Google {
    const NAME: &'static str = "google";
    type Caller = Caller;
    type Held = gmail::InFlight;

    fn caller(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Option<Caller> {
        let token = form::bearer(request)?;
        self.register().access(token, now).map(|token| Caller(token.grant.clone()))
    }

    fn account<'a>(&self, caller: &'a Caller) -> &'a str {
        &caller.0.address
    }

    fn is_mail(&self, path: &str) -> bool {
        ["/gmail/v1/", "/upload/gmail/v1/", "/resumable/upload/gmail/v1/"].iter().any(|base| path.starts_with(base))
            || path == "/batch/gmail/v1"
    }

    fn is_token_endpoint(&self, path: &str) -> bool {
        path == "/token"
    }

    fn enter(&self, caller: &Caller, request: &Request<Bytes>) -> Option<gmail::InFlight> {
        self.gmail.enter(&caller.0.address, self.gmail.slots(request))
    }

    fn answer(&self, request: &Request<Bytes>, arrived: &Arrived<'_, Self>) -> ApiAnswer {
        if !self.is_mail(request.uri().path()) {
            return self.answer_sign_in(request, arrived);
        }
        let Some(Caller(grant)) = arrived.caller else { return answers::unauthenticated() };
        let (account, app) = (&grant.address, &grant.client_id);
        let call = ApiCall { account, app, scopes: &grant.scopes, now: arrived.now, request };
        match arrived.held {
            Some(held) => self.gmail.answer_holding(&call, held),
            None => self.gmail.too_many_concurrent(&call),
        }
    }
}

#[cfg(test)]
mod tests;
