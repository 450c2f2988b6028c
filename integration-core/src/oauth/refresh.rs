//! Refreshing: once per grant, whoever asks, wherever.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    claims,
    engine::Engine,
    token_endpoint::{TokenAnswer, TokenCallError},
    token_set::{Intent, Refused, TokenSet, Trouble, TroubleKind},
};
use crate::{
    connection::{Connector, GrantStatus, TokenFailureClass},
    error::{Actor, Error, ErrorKind, Remedy, Result, Retry},
    http::AccessToken,
    secret::SecretText,
    store::{GrantKey, LeaseGuard, LeaseKey, Saved, Version},
};

const OPERATION: &str = "oauth.refresh";
/// An administrator does not change a policy by the minute.
const POLICY_PAUSE: Duration = Duration::from_secs(3600);
/// After giving up, and at most for what `Retry-After` asks.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// An answer in hand is worth more than one try to save it.
const SAVE_PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// How far back another grant's refresh shows that an app works.
const JUST_NOW: TimeDelta = TimeDelta::minutes(10);
/// Likewise, if it came after this one's first failure.
const LATELY: TimeDelta = TimeDelta::hours(2);

/// What a process remembers of one grant.
#[derive(Debug)]
pub(super) struct Slot {
    /// One task at a time goes to the store and the service.
    pub(super) flight: Arc<tokio::sync::Mutex<()>>,
    /// Where between its bounds this process refreshes ahead: spreads grants and processes.
    jitter: f64,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    cached: Option<(AccessToken, DateTime<Utc>)>,
    /// An answer the store would not take: saved first thing, or superseded.
    unsaved: Option<(Version, TokenSet)>,
    /// The refusal is in the grant's row.
    marked: bool,
}

impl Slot {
    pub(super) fn new(jitter: f64) -> Self {
        Self { flight: Arc::default(), jitter, state: Mutex::default() }
    }

    pub(super) fn clear(&self) {
        *self.state() = SlotState::default();
    }

    /// The remembered token, if it serves.
    pub(super) fn cached(&self, need: &Need, now: DateTime<Utc>) -> Option<AccessToken> {
        let state = self.state();
        let (token, refresh_at) = state.cached.as_ref()?;
        (now < *refresh_at && need.allows(&token.token)).then(|| token.clone())
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kind of token is needed.
#[derive(Clone, Debug)]
pub(super) enum Need {
    /// Another than this one, that meets the service's claims challenge.
    Meeting(SecretText, String),
    /// One obtained after this instant.
    NewerThan(DateTime<Utc>),
    /// Another than this one, which the service refused.
    Other(SecretText),
    /// Any that is good.
    Usable,
}

impl Need {
    fn allows(&self, token: &SecretText) -> bool {
        match self {
            Self::NewerThan(_) => false,
            Self::Meeting(rejected, _) | Self::Other(rejected) => rejected != token,
            Self::Usable => true,
        }
    }

    fn met_by(&self, set: &TokenSet) -> bool {
        match self {
            Self::NewerThan(instant) => set.refreshed_at > *instant,
            Self::Meeting(..) | Self::Other(_) | Self::Usable => self.allows(&set.access),
        }
    }

    fn claims(&self) -> Option<&str> {
        if let Self::Meeting(_, claims) = self { Some(claims) } else { None }
    }
}

enum Next {
    Fail(Error),
    Give(AccessToken),
    Refresh,
}

/// Under what circumstances the service was asked.
struct Asked<'a> {
    need: &'a Need,
    /// An earlier holder's answer may have been lost.
    interrupted: bool,
}

/// One refresh of one grant.
pub(super) struct Refresher {
    pub(super) engine: Arc<Engine>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) key: GrantKey,
    pub(super) slot: Arc<Slot>,
}

impl Refresher {
    /// A token that meets `need`; called with the slot's flight held.
    pub(super) async fn run(&self, need: &Need) -> Result<AccessToken> {
        let settings = &self.engine.parts.settings;
        let lease = LeaseKey::new(["refresh", self.key.tenant.as_str(), self.key.grant.as_str()]);
        let patience = settings.lease_ttl * 2 + settings.request_timeout;
        self.engine.try_ask_time().await;
        let begun = self.engine.now();
        self.save_unsaved().await?;
        loop {
            let (_, set) = self.load().await?;
            match self.next(&set, need) {
                Next::Fail(error) => {
                    self.mark(&set).await;
                    return Err(error);
                }
                Next::Give(token) => return Ok(token),
                Next::Refresh => {}
            }
            if let Some(guard) = self.engine.parts.stores.leases.acquire(&lease, settings.lease_ttl).await? {
                let done = self.as_holder(&guard, need).await;
                self.engine.release(guard).await;
                if let Some(token) = done? {
                    return Ok(token);
                }
                // Somebody saved in between: what is stored counts.
            } else if let Some(token) = self.spare(&set, need) {
                // Another process is at it, and ours is still good.
                return Ok(token);
            } else {
                self.engine.parts.clock.sleep(settings.poll_interval).await;
            }
            if (self.engine.now() - begun).to_std().unwrap_or_default() > patience {
                return Err(
                    self.error(ErrorKind::Timeout, "another process has been refreshing this grant for too long")
                );
            }
        }
    }

    /// With the lease: looks again, writes the intent down, asks, and stores the answer. `None` if somebody else saved.
    async fn as_holder(&self, guard: &LeaseGuard, need: &Need) -> Result<Option<AccessToken>> {
        let (version, mut set) = self.load().await?;
        match self.next(&set, need) {
            Next::Fail(error) => return Err(error),
            Next::Give(token) => return Ok(Some(token)),
            Next::Refresh => {}
        }
        // An intent that is still here was left by a holder that never came to save: its answer may be lost.
        let interrupted = set.intent.is_some();
        set.intent = Some(Intent { fence: guard.fence, at: self.engine.now() });
        let Saved::Stored(version) = self.engine.save_tokens(&self.key, Some(version), &set).await? else {
            return Ok(None);
        };
        match self.ask(&set, need).await? {
            Ok(answer) => self.keep(version, set, &answer).await,
            Err(error) => self.failed(version, set, &error, Asked { need, interrupted }).await,
        }
    }

    async fn ask(&self, set: &TokenSet, need: &Need) -> Result<Result<TokenAnswer, TokenCallError>> {
        let (endpoint, oauth) = (self.engine.endpoint(), &self.connector.profile().oauth);
        let claims = claims::merged(oauth.claims.as_deref(), need.claims());
        if let Some(assertion) = &set.assertion {
            return Ok(endpoint.alone(oauth, assertion, claims.as_deref()).await);
        }
        let Some(refresh) = &set.refresh else { return Err(self.no_refresh_token()) };
        Ok(endpoint.refresh(oauth, refresh, claims.as_deref()).await)
    }

    /// Stores an answer; only then is its token handed out.
    async fn keep(&self, version: Version, mut set: TokenSet, answer: &TokenAnswer) -> Result<Option<AccessToken>> {
        let was_troubled = set.trouble.is_some();
        set.take(answer, self.engine.now());
        let scopes = answer
            .scopes
            .as_ref()
            .map(|scopes| self.connector.profile().scopes.normalise(scopes.iter().map(String::as_str)));
        let scopes = scopes.filter(|scopes| *scopes != set.scopes);
        if let Some(scopes) = &scopes {
            set.scopes.clone_from(scopes);
        }
        if !self.save_answer(version, &set).await? {
            return Ok(None);
        }
        self.count("refreshed");
        self.engine.note_renewed(&self.connector.profile().app, &self.key);
        if was_troubled || scopes.is_some() {
            self.update_rows(GrantStatus::Active, scopes).await;
        }
        Ok(Some(self.remember(&set)))
    }

    /// True if it is durable, false if somebody saved before. What the store refuses is kept for the next try.
    async fn save_answer(&self, version: Version, set: &TokenSet) -> Result<bool> {
        let mut pauses = SAVE_PAUSES.iter();
        loop {
            match self.engine.save_tokens(&self.key, Some(version), set).await {
                Ok(saved) => return Ok(matches!(saved, Saved::Stored(_))),
                Err(error) => match pauses.next() {
                    Some(pause) => self.engine.parts.clock.sleep(*pause).await,
                    None => {
                        self.slot.state().unsaved = Some((version, set.clone()));
                        return Err(error.with_operation(OPERATION));
                    }
                },
            }
        }
    }

    async fn save_unsaved(&self) -> Result<()> {
        let unsaved = self.slot.state().unsaved.take();
        let Some((version, set)) = unsaved else { return Ok(()) };
        self.save_answer(version, &set).await.map(|_| ())
    }

    /// Writes down what a failure means. `None` if somebody else saved.
    async fn failed(
        &self,
        version: Version,
        mut set: TokenSet,
        error: &TokenCallError,
        Asked { need, interrupted }: Asked<'_>,
    ) -> Result<Option<AccessToken>> {
        let now = self.engine.now();
        let age = (now - set.granted_at).to_std().ok();
        let class = self.whose(error.classify(&*self.connector, age), &set);
        self.count(word(&class));
        if error.gave_nothing() && !interrupted {
            set.intent = None;
        }
        match class {
            TokenFailureClass::Revoked(remedy) => {
                self.refuse(&mut set, unmet(remedy, need), need.claims().is_some(), interrupted);
            }
            TokenFailureClass::AdminConsent(remedy) | TokenFailureClass::NeedsConsent(remedy) => {
                self.refuse(&mut set, unmet(remedy, need), true, interrupted);
            }
            TokenFailureClass::AdminPolicy(remedy) => {
                self.trouble(&mut set, TroubleKind::AdminPolicy, Some(remedy), Some(POLICY_PAUSE));
            }
            TokenFailureClass::Misconfigured(remedy) | TokenFailureClass::AppRefused { operator: remedy, .. } => {
                let service = self.connector.profile().service;
                tracing::error!(service, code = error.code(), remedy = %remedy, "the app's sign-in is misconfigured");
                self.trouble(&mut set, TroubleKind::Misconfigured, Some(remedy), None);
            }
            TokenFailureClass::Throttled => self.trouble(&mut set, TroubleKind::Throttled, None, error.retry_after()),
            TokenFailureClass::Transient => self.trouble(&mut set, TroubleKind::Transient, None, error.retry_after()),
        }
        if matches!(self.engine.save_tokens(&self.key, Some(version), &set).await?, Saved::Stale) {
            return Ok(None);
        }
        self.mark(&set).await;
        match self.spare(&set, need) {
            Some(token) => Ok(Some(token)),
            None => Err(self.standing_error(&set)),
        }
    }

    /// Whose business an app is that is refused for this grant: where others go through, that of its own administrator. What
    /// went through before this grant failed says so only for a short while.
    fn whose(&self, class: TokenFailureClass, set: &TokenSet) -> TokenFailureClass {
        let TokenFailureClass::AppRefused { administrator, operator } = class else { return class };
        let now = self.engine.now();
        let begun = set.trouble.as_ref().map_or(now, |trouble| trouble.since);
        let since = begun.min(now - JUST_NOW).max(now - LATELY);
        match self.engine.renews_others(&self.connector.profile().app, &self.key, since) {
            true => TokenFailureClass::AdminPolicy(administrator),
            false => TokenFailureClass::Misconfigured(operator),
        }
    }

    /// What the stored set means for `need`.
    fn next(&self, set: &TokenSet, need: &Need) -> Next {
        let now = self.engine.now();
        if set.refused.is_some() {
            return Next::Fail(self.standing_error(set));
        }
        if need.met_by(set) && now < self.refresh_at(set) {
            return Next::Give(self.remember(set));
        }
        if set.refresh.is_none() && set.assertion.is_none() {
            return self.spare(set, need).map_or_else(|| Next::Fail(self.no_refresh_token()), Next::Give);
        }
        match &set.trouble {
            Some(trouble) if now < trouble.retry_at => {
                self.spare(set, need).map_or_else(|| Next::Fail(self.standing_error(set)), Next::Give)
            }
            _ => Next::Refresh,
        }
    }

    /// The stored token, if it is still good although it is time for another.
    fn spare(&self, set: &TokenSet, need: &Need) -> Option<AccessToken> {
        (set.refused.is_none() && need.met_by(set) && set.usable(self.engine.now())).then(|| set.token())
    }

    /// Ahead of the end by a share of its own per process and grant, so that they do not all come at once.
    fn refresh_at(&self, set: &TokenSet) -> DateTime<Utc> {
        let settings = &self.engine.parts.settings;
        let (least, most) = (settings.refresh_ahead_least, settings.refresh_ahead_most);
        let ahead = least + most.saturating_sub(least).mul_f64(self.slot.jitter);
        set.expires_at - ahead.min(set.lifetime() / 2)
    }

    fn remember(&self, set: &TokenSet) -> AccessToken {
        let token = set.token();
        let mut state = self.slot.state();
        state.cached = Some((token.clone(), self.refresh_at(set)));
        // The grant lives: a later refusal is a new one.
        state.marked = false;
        token
    }

    async fn load(&self) -> Result<(Version, TokenSet)> {
        let loaded = self.engine.load_tokens(&self.key.tenant, &self.key.grant).await;
        loaded.map_err(|error| error.with_operation(OPERATION))?.ok_or_else(|| {
            let remedy = Remedy::new("The account was disconnected.", Actor::Person, "Connect the account again.");
            self.error(ErrorKind::ReauthorisationNeeded, "there are no tokens for this grant").with_remedy(remedy)
        })
    }

    fn refuse(&self, set: &mut TokenSet, mut remedy: Remedy, consent: bool, interrupted: bool) {
        // Assertions are signed anew each time: with them nothing can be lost.
        if interrupted && !consent && set.assertion.is_none() {
            remedy.cause =
                "A renewal of this sign-in was interrupted before its answer was stored, and the service does \
                            not accept the same refresh token a second time."
                    .to_owned();
        }
        set.refused = Some(Refused { at: self.engine.now(), consent, remedy });
        self.slot.state().cached = None;
    }

    fn trouble(&self, set: &mut TokenSet, kind: TroubleKind, remedy: Option<Remedy>, wait: Option<Duration>) {
        let (now, settings) = (self.engine.now(), &self.engine.parts.settings);
        let before = set.trouble.take();
        let since = before.as_ref().map_or(now, |trouble| trouble.since);
        let in_a_row = before.as_ref().map_or(1, |trouble| trouble.in_a_row.saturating_add(1));
        let mut days = before.map(|trouble| trouble.days).unwrap_or_default();
        if days.len() < settings.give_up_days {
            days.insert(now.date_naive());
        }
        let doubled = settings.cool_down.saturating_mul(1 << (in_a_row - 1).min(16)).min(settings.cool_down_most);
        let gave_up = days.len() >= settings.give_up_days;
        let pause = if gave_up { DAY } else { doubled.mul_f64(1.0 + self.engine.parts.random.fraction() / 5.0) };
        let pause = pause.max(wait.unwrap_or_default()).min(DAY);
        set.trouble = Some(Trouble { kind, since, days, in_a_row, retry_at: now + pause, remedy });
    }

    /// Carries a standing failure over to the grant's row. The app's own misconfiguration is not the person's.
    pub(super) async fn mark(&self, set: &TokenSet) {
        let status = match (&set.refused, &set.trouble) {
            (Some(_), _) if self.slot.state().marked => return,
            (Some(refused), _) => GrantStatus::NeedsAttention { since: refused.at, remedy: refused.remedy.clone() },
            (None, Some(trouble)) => match self.trouble_status(set, trouble) {
                Some(status) => status,
                None => return,
            },
            (None, None) => return,
        };
        let refused = set.refused.is_some();
        if self.update_rows(status, None).await && refused {
            self.slot.state().marked = true;
        }
    }

    fn trouble_status(&self, set: &TokenSet, trouble: &Trouble) -> Option<GrantStatus> {
        let since = trouble.since;
        let gave_up = trouble.days.len() >= self.engine.parts.settings.give_up_days;
        match trouble.kind {
            TroubleKind::Misconfigured => None,
            TroubleKind::AdminPolicy => {
                let remedy = trouble.remedy.clone().unwrap_or_else(unavailable);
                Some(GrantStatus::NeedsAttention { since, remedy })
            }
            _ if gave_up => {
                let cause = format!("Renewing this sign-in has failed on {} different days.", trouble.days.len());
                let action = "Check whether the service can be reached; it is tried again once a day.";
                Some(GrantStatus::NeedsAttention { since, remedy: Remedy::new(cause, Actor::Operator, action) })
            }
            // One failure while the old token is good is nobody's concern.
            _ if trouble.in_a_row < 3 && set.usable(self.engine.now()) => None,
            _ => Some(GrantStatus::Degraded { since, remedy: unavailable() }),
        }
    }

    /// True if the rows say so now. Tokens never wait for this: what is stored with them is the truth.
    async fn update_rows(&self, status: GrantStatus, scopes: Option<std::collections::BTreeSet<String>>) -> bool {
        let table = &self.connector.profile().scopes;
        let allowed = scopes.as_ref().map(|scopes| table.allowed(scopes));
        let change = |grant: &mut crate::connection::Grant| {
            if !(matches!(grant.status, GrantStatus::Revoked) || same_kind(&grant.status, &status)) {
                grant.status = status.clone();
            }
            if let Some(scopes) = &scopes {
                grant.scopes.clone_from(scopes);
            }
        };
        let store = &self.engine.connections;
        let mut done = store.update_grant((&self.key.tenant, &self.key.grant), self.engine.now(), change).await;
        if let (Ok(()), Some(allowed)) = (&done, &allowed) {
            done = self.narrow_connections(allowed).await;
        }
        if let Err(error) = &done {
            tracing::warn!(grant = %self.key.grant, error = %error, "a grant's status could not be stored");
        }
        done.is_ok()
    }

    async fn narrow_connections(
        &self,
        allowed: &std::collections::BTreeSet<crate::connection::Capability>,
    ) -> Result<()> {
        let store = &self.engine.connections;
        for row in store.connections_of_grant(&self.key.tenant, &self.key.grant).await? {
            let change = |connection: &mut crate::connection::Connection| connection.capabilities.clone_from(allowed);
            store.update_connection(&self.key.tenant, &row.value.id, change).await?;
        }
        Ok(())
    }

    /// The error that a stored failure means for whoever asks now.
    fn standing_error(&self, set: &TokenSet) -> Error {
        if let Some(refused) = &set.refused {
            let kind = if refused.consent { ErrorKind::NeedsConsent } else { ErrorKind::ReauthorisationNeeded };
            return self.error(kind, "the service refuses to renew this sign-in").with_remedy(refused.remedy.clone());
        }
        let Some(trouble) = &set.trouble else {
            return self.error(ErrorKind::Unavailable, "there is no usable access token at the moment");
        };
        let (kind, message) = match trouble.kind {
            TroubleKind::AdminPolicy => (ErrorKind::AdminPolicy, "an administrator's policy forbids this sign-in"),
            TroubleKind::Misconfigured => (ErrorKind::Misconfigured, "the app's sign-in is misconfigured"),
            TroubleKind::Throttled => (ErrorKind::RateLimited, "the service limits how often sign-ins are renewed"),
            TroubleKind::Transient => (ErrorKind::Unavailable, "the service does not renew sign-ins at the moment"),
        };
        let wait = (trouble.retry_at - self.engine.now()).to_std().unwrap_or_default();
        let error = self.error(kind, message).with_retry_after(wait);
        match &trouble.remedy {
            Some(remedy) => error.with_remedy(remedy.clone()),
            None => error,
        }
    }

    fn no_refresh_token(&self) -> Error {
        let cause = "The service gave no refresh token, and the access token has ended.";
        let remedy = Remedy::new(cause, Actor::Person, "Connect the account again.");
        self.error(ErrorKind::ReauthorisationNeeded, "there is no refresh token").with_remedy(remedy)
    }

    fn error(&self, kind: ErrorKind, message: &str) -> Error {
        let error = Error::new(kind, message).with_operation(OPERATION).with_service(self.connector.profile().service);
        // The session must not hammer: the cool-down says when it is worth another try.
        if error.retryable() && kind != ErrorKind::Timeout { error.with_retry(Retry::Exhausted) } else { error }
    }

    fn count(&self, outcome: &'static str) {
        let service = self.connector.profile().service;
        metrics::counter!("integration_token_refreshes_total", "service" => service, "outcome" => outcome).increment(1);
        tracing::debug!(service, grant = %self.key.grant, outcome, "token refresh");
    }
}

fn unavailable() -> Remedy {
    let cause = "The service does not renew this sign-in at the moment.";
    Remedy::new(cause, Actor::Nobody, "Nothing needs to be done; it is tried again.")
}

/// The time and wording of a standing status are kept as they were first.
fn same_kind(one: &GrantStatus, other: &GrantStatus) -> bool {
    match (one, other) {
        (GrantStatus::NeedsAttention { remedy: one, .. }, GrantStatus::NeedsAttention { remedy: other, .. }) => {
            one == other
        }
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// What was refused was a challenge: the person meets it with the same claims, unless the service named others.
fn unmet(remedy: Remedy, need: &Need) -> Remedy {
    match need.claims() {
        Some(claims) if remedy.claims.is_none() => remedy.with_claims(claims),
        _ => remedy,
    }
}

fn word(class: &TokenFailureClass) -> &'static str {
    match class {
        TokenFailureClass::AdminConsent(_) => "admin_consent",
        TokenFailureClass::AdminPolicy(_) => "admin_policy",
        TokenFailureClass::AppRefused { .. } | TokenFailureClass::Misconfigured(_) => "misconfigured",
        TokenFailureClass::NeedsConsent(_) => "needs_consent",
        TokenFailureClass::Revoked(_) => "revoked",
        TokenFailureClass::Throttled => "throttled",
        TokenFailureClass::Transient => "transient",
    }
}
