//! Stateful simulators of the services, and harnesses: for tests, examples and hosts' own tests.
//!
//! ```
//! use integration_testing::{Consent, Sandbox};
//!
//! let sandbox = Sandbox::google().build();
//! sandbox.register_person("ada@example.com", "Ada Example");
//! let transport = sandbox.transport();                 // in process, without a socket
//! # let _ = (transport, Consent::Grant);
//! ```
//!
//! | I want to …                                   | start at                                             |
//! |-----------------------------------------------|------------------------------------------------------|
//! | drive a client against it, on virtual time    | [`Sandbox::transport`]                               |
//! | run it as a server                            | [`Sandbox::serve`], or the program `sandbox` ([`program`]) |
//! | press the buttons of the consent page         | [`Sandbox::consent`]                                 |
//! | make things go wrong                          | [`Sandbox::script`] with a [`Fault`]                 |
//! | count calls, tokens and units                 | [`Sandbox::books`]                                   |
//! | know whether both sides kept to the service's description | [`Sandbox::assert_conforms`]             |
//! | have a PostgreSQL server for a test           | `postgres::Postgres` (feature `postgres`)            |
//! | look at pages as a person does               | [`browser::Browser`]                                 |
//! | steer a sandbox in another process            | the paths below `/sandbox/` of [`control`]           |
//!
//! [`Sandbox::google`] is the way in for both services: [`Sandbox::urls`] and [`Sandbox::gmail`] are Google's,
//! [`Sandbox::microsoft_urls`] and [`Sandbox::microsoft`] Microsoft's; both are at one origin.
//!
//! The simulators are written from the services' own descriptions and share no wire type with any client.
//!
//! Not imitated of Google's sign-in: verification classes and their warning pages, test-user lists, passwords and second
//! factors, the device flow, cross-account protection, rate limits of the sign-in endpoints themselves.

mod answers;
pub mod books;
#[cfg(unix)]
pub mod browser;
pub mod call;
mod certificate;
pub mod control;
mod exchange;
pub mod faults;
mod form;
pub mod google;
mod keys;
pub mod mail;
pub mod microsoft;
pub mod mime;
#[cfg(all(unix, feature = "postgres"))]
pub mod postgres;
pub mod program;
mod server;
mod source;
pub mod spec;
mod state;
mod transport;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use integration_core::{
    clock::{Clock, Random, SystemClock, SystemRandom},
    http::Transport,
};
use serde_json::Value;
use url::Url;

pub use crate::{
    books::{Books, CallRecord, ServiceSums},
    faults::{Fault, FaultAction},
    google::{
        AppRegistration, Consent, DEFAULT_CLIENT, ErrorPage, GmailSettings, GoogleUrls, OauthSettings, ServiceAccount,
        SigningKey,
    },
    microsoft::{DEFAULT_APP, EntraSettings, GraphSettings, Microsoft, MicrosoftUrls},
    server::Served,
    spec::{Side, Validation, Violation},
    state::PersistentSandboxBuilder,
};

/// The origin of a sandbox that is reached through [`Sandbox::transport`].
pub const ORIGIN: &str = "http://sandbox.test";

/// How a sandbox behaves.
#[derive(Clone, Debug, Default)]
pub struct SandboxSettings {
    /// Google's sign-in.
    pub oauth: OauthSettings,
    /// Google's mail.
    pub gmail: GmailSettings,
    /// Microsoft's sign-in.
    pub entra: EntraSettings,
    /// Microsoft's mail.
    pub graph: GraphSettings,
    /// How long every call of a mail API takes, by the sandbox's clock, while it occupies its places; none.
    pub latency: Duration,
}

/// Makes a [`Sandbox`].
#[derive(Debug)]
pub struct SandboxBuilder {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: SandboxSettings,
    descriptions: PathBuf,
}

impl SandboxBuilder {
    /// Takes the time, and waits, from `clock`. Absent: the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes codes and tokens from `random`. Absent: the operating system's.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Behaves as `settings` say. Absent: as the service does, without quotas.
    #[must_use]
    pub fn with_settings(mut self, settings: SandboxSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Looks for the services' descriptions in this folder of shared facts. Absent: [`spec::shared_folder`].
    #[must_use]
    pub fn with_descriptions(mut self, folder: impl Into<PathBuf>) -> Self {
        self.descriptions = folder.into();
        self
    }

    /// Goes on from the state in `path`, if the file exists, and keeps it there.
    #[must_use]
    pub fn with_state_file(self, path: impl Into<PathBuf>) -> PersistentSandboxBuilder {
        PersistentSandboxBuilder::new(self, path.into())
    }

    /// The sandbox.
    #[must_use]
    pub fn build(self) -> Sandbox {
        self.build_at(None)
    }

    fn build_at(self, state: Option<PathBuf>) -> Sandbox {
        let validator = Arc::new(spec::Validator::load(&self.descriptions));
        let hook = || {
            let validator = Arc::clone(&validator);
            Arc::new(move |request: &http::Request<bytes::Bytes>, answer: &call::ApiAnswer| {
                validator.check(request, Some(answer))
            })
        };
        let (clock, random) = (|| Arc::clone(&self.clock), || Arc::clone(&self.random));
        let google = google::Google::new(self.settings.oauth, self.settings.gmail, clock(), random(), hook());
        let microsoft = Microsoft::new(self.settings.entra, self.settings.graph, clock(), random(), hook());
        Sandbox {
            inner: Arc::new(Inner {
                clock: self.clock,
                google,
                microsoft,
                validator,
                ledger: books::Ledger::default(),
                script: faults::Script::default(),
                latency: self.settings.latency,
                token_delay: Mutex::default(),
                state,
                changed: AtomicBool::new(false),
            }),
        }
    }
}

/// The simulated services with their state. Cheap to clone; clones are the same sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    google: google::Google,
    microsoft: Microsoft,
    validator: Arc<spec::Validator>,
    ledger: books::Ledger,
    script: faults::Script,
    latency: Duration,
    token_delay: Mutex<Duration>,
    state: Option<PathBuf>,
    changed: AtomicBool,
}

impl Sandbox {
    /// A sandbox of Google and Microsoft. Their apps [`DEFAULT_CLIENT`] and [`DEFAULT_APP`] are registered; people are not.
    #[must_use]
    pub fn google() -> SandboxBuilder {
        SandboxBuilder {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            settings: SandboxSettings::default(),
            descriptions: spec::shared_folder(),
        }
    }

    /// The way in without a socket; safe on virtual time. Hosts do not matter, so the service's real URLs work too.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(transport::SandboxTransport::new(self.clone()))
    }

    /// Google's URLs to use with [`Sandbox::transport`].
    #[must_use]
    pub fn urls(&self) -> GoogleUrls {
        GoogleUrls::at(ORIGIN).expect("the fixed origin is a URL")
    }

    /// Microsoft's URLs to use with [`Sandbox::transport`].
    #[must_use]
    pub fn microsoft_urls(&self) -> MicrosoftUrls {
        MicrosoftUrls::at(ORIGIN).expect("the fixed origin is a URL")
    }

    /// The simulated Microsoft, to arrange tenants, people, apps and mailboxes.
    #[must_use]
    pub fn microsoft(&self) -> &Microsoft {
        self.touch();
        &self.inner.microsoft
    }

    /// Google's mail simulator, to arrange mailboxes.
    #[must_use]
    pub fn gmail(&self) -> &google::Gmail {
        self.touch();
        self.inner.google.gmail()
    }

    /// Gives a person an account and a mailbox at Google.
    pub fn register_person(&self, address: &str, name: &str) {
        self.touch();
        self.inner.google.register_person(address, name);
    }

    /// Everybody with an account at Google; the first is whom the consent page suggests.
    #[must_use]
    pub fn people(&self) -> Vec<google::Person> {
        self.inner.google.people()
    }

    /// Registers a client at Google, or replaces its registration.
    pub fn register_app(&self, app: AppRegistration) {
        self.touch();
        self.inner.google.register_app(app);
    }

    /// Registers a service account with domain-wide delegation, or replaces it.
    pub fn register_service_account(&self, account: ServiceAccount) {
        self.touch();
        self.inner.google.register_service_account(account);
    }

    /// The URL that the browser would be sent back to, after a person did `consent` on the page at `url`, which may be of
    /// either service; at Microsoft see [`Microsoft::consent`].
    ///
    /// # Errors
    /// The page that the service shows instead, without telling the app.
    pub fn consent(&self, url: &Url, consent: Consent<'_>) -> Result<Url, ErrorPage> {
        self.touch();
        if let Ok(request) = http::Request::get(url.as_str()).body(bytes::Bytes::new()) {
            self.inner.validator.check(&request, None);
        }
        if microsoft::owns(url.path()) {
            return self.inner.microsoft.consent(url, consent);
        }
        self.inner.google.consent(url, consent, self.inner.clock.now())
    }

    /// Ends every access token of Google's now.
    pub fn expire_access_tokens(&self) {
        self.touch();
        self.inner.google.expire_access_tokens();
    }

    /// Takes back everything a person granted, as on the page of their account.
    pub fn revoke_grants(&self, address: &str) {
        self.touch();
        self.inner.google.revoke_grants(address);
    }

    /// Takes one scope back from everything a person granted.
    pub fn withdraw_scope(&self, address: &str, scope: &str) {
        self.touch();
        self.inner.google.withdraw_scope(address, scope);
    }

    /// How many refresh tokens of a person would be accepted now.
    #[must_use]
    pub fn live_refresh_tokens(&self, address: &str) -> usize {
        self.inner.google.live_refresh_tokens(address, self.inner.clock.now())
    }

    /// Holds every answer of the token endpoints back, after it took effect.
    pub fn set_token_delay(&self, delay: Duration) {
        *lock(&self.inner.token_delay) = delay;
    }

    /// Changes how Google's sign-in behaves from now on.
    pub fn change_oauth(&self, change: impl FnOnce(&mut OauthSettings)) {
        self.inner.google.change_settings(change);
    }

    /// Signs id tokens with a new key; the one before stays published.
    pub fn rotate_keys(&self) {
        self.touch();
        self.inner.google.rotate_keys();
    }

    /// Makes the key endpoint unavailable, or available again.
    pub fn jwks_outage(&self, on: bool) {
        self.inner.google.set_jwks_outage(on);
    }

    /// Adds a fault to the script.
    pub fn script(&self, fault: Fault) {
        self.inner.script.add(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.inner.script.clear();
    }

    /// The sums of all calls so far.
    #[must_use]
    pub fn books(&self) -> Books {
        let mut books = self.inner.ledger.sums();
        books.gmail = serde_json::to_value(self.inner.google.gmail().books()).unwrap_or(Value::Null);
        books.graph = serde_json::to_value(self.inner.microsoft.graph().books()).unwrap_or(Value::Null);
        books
    }

    /// The latest calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.inner.ledger.log()
    }

    /// The latest calls as text, for the output of a failing test.
    #[must_use]
    pub fn request_log(&self) -> String {
        self.inner.ledger.render()
    }

    /// Are exchanges held against Google's descriptions?
    #[must_use]
    pub fn validation(&self) -> &Validation {
        self.inner.validator.validation()
    }

    /// Are exchanges held against Graph's description?
    #[must_use]
    pub fn graph_validation(&self) -> Validation {
        self.inner.validator.graph_validation()
    }

    /// What departed from the services' descriptions so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.inner.validator.violations()
    }

    /// Fails a test unless every exchange kept to the services' descriptions; says so where they were not found.
    ///
    /// # Panics
    /// With the violations and the latest calls.
    pub fn assert_conforms(&self) {
        for validation in [self.validation().clone(), self.graph_validation()] {
            if let Validation::Off { looked_at } = validation {
                println!("API exchanges were not validated: no descriptions at {}", looked_at.display());
            }
        }
        let violations: Vec<String> = self.violations().iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{}\n\ncalls:\n{}", violations.join("\n"), self.request_log());
    }

    /// The present instant of the sandbox.
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.inner.clock.now()
    }

    /// Something may be different from what the state file holds.
    fn touch(&self) {
        self.inner.changed.store(true, std::sync::atomic::Ordering::Release);
    }
}

/// A lock whose data is whole even if a holder panicked: every change under it is made in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
