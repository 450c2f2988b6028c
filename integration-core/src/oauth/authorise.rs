//! Beginning a sign-in.

use std::{collections::BTreeSet, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    admin_consent::{ADDRESSES, Address},
    claims,
    connection_store::{self, Stored},
    engine::SignIn,
    token_endpoint,
};
use crate::{
    connection::{AuthorisationStyle, Capability, Connection, Connector, Grant, GrantStatus},
    error::{Error, ErrorKind, Result},
    ids::{AppId, ConnectionId, TenantId},
    secret::{SecretBytes, SecretText},
    store::{Space, StateKey, StateQuery, StateWrite, forbid_reentry, read_one},
    vault::SealContext,
};

const AUTHORISATIONS: Space = "authorisation";
/// A callback does not say whose it is, so pending sign-ins are kept under a tenant of our own. Each row names its real
/// tenant, and what is secret in it is sealed for that one.
const PENDING: &str = "integration:sign-in";
/// For how long a used or expired sign-in is remembered, so that a late callback is told from an unknown one.
const REMEMBERED: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// What to ask the person for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authorise {
    /// What the host wants to do. Empty with `reconnect`: what the grant allowed so far.
    pub capabilities: BTreeSet<Capability>,
    /// Where the service sends the browser back to; exactly as it is registered there.
    pub redirect_uri: String,
    /// An address to preselect.
    pub login_hint: Option<String>,
    /// Reauthorise this connection: it keeps its id and its sync state.
    pub reconnect: Option<ConnectionId>,
    /// With `reconnect`: another account may be chosen; it then becomes a connection of its own.
    pub another_account_allowed: bool,
    /// Whatever the host wants back on completion (where to go next); stored in the clear.
    pub context: Option<String>,
    /// Show the consent page even if nothing new is asked for.
    pub force_consent: bool,
    /// A claims challenge ([`Remedy::claims`](crate::error::Remedy)) to meet; sent as `claims`. Absent with `reconnect`: what the
    /// grant's status holds.
    pub claims: Option<String>,
    /// Further accounts to connect, which the sign-in does not open by itself (shared ones), as the service knows them.
    pub accounts: Vec<String>,
    /// The binding this browser has already, so that sign-ins in two tabs do not disturb each other.
    pub binding: Option<BrowserBinding>,
}

impl Authorise {
    /// Asks for `capabilities`.
    pub fn new(capabilities: impl IntoIterator<Item = Capability>, redirect_uri: impl Into<String>) -> Self {
        Self {
            capabilities: capabilities.into_iter().collect(),
            redirect_uri: redirect_uri.into(),
            login_hint: None,
            reconnect: None,
            another_account_allowed: false,
            context: None,
            force_consent: false,
            claims: None,
            accounts: Vec::new(),
            binding: None,
        }
    }

    /// Reauthorises a connection.
    #[must_use]
    pub fn with_reconnect(mut self, connection: ConnectionId) -> Self {
        self.reconnect = Some(connection);
        self
    }

    /// Gives something along that [`Completion`](super::Completion) brings back.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Preselects an account.
    #[must_use]
    pub fn with_login_hint(mut self, hint: impl Into<String>) -> Self {
        self.login_hint = Some(hint.into());
        self
    }

    /// Lets the person choose another account than the one of `reconnect`.
    #[must_use]
    pub fn with_another_account_allowed(mut self) -> Self {
        self.another_account_allowed = true;
        self
    }

    /// Shows the consent page in any case.
    #[must_use]
    pub fn with_forced_consent(mut self) -> Self {
        self.force_consent = true;
        self
    }

    /// Meets a claims challenge.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// Connects a further account, which the sign-in does not open by itself.
    #[must_use]
    pub fn with_account(mut self, name: impl Into<String>) -> Self {
        self.accounts.push(name.into());
        self
    }

    /// Reuses the browser's binding.
    #[must_use]
    pub fn with_binding(mut self, binding: BrowserBinding) -> Self {
        self.binding = Some(binding);
        self
    }
}

/// What ties a sign-in to the browser that began it: put it into a cookie (`HttpOnly`, `SameSite=Lax`, `Secure`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BrowserBinding(SecretText);

impl BrowserBinding {
    /// The binding as the cookie brought it.
    pub fn from_cookie(value: impl Into<String>) -> Self {
        Self(SecretText::new(value.into()))
    }

    /// The cookie's value: letters, digits, `-` and `_`.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub(super) fn digest(&self) -> String {
        hashed("binding", self.0.expose())
    }
}

/// A sign-in that was begun.
#[derive(Clone)]
#[non_exhaustive]
pub struct Authorisation {
    /// Where to send the browser.
    pub url: Url,
    /// What to put into its cookie.
    pub binding: BrowserBinding,
    /// Until when the callback has to come, by the store's clock.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Authorisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query holds the state, and perhaps an address: only where it leads is shown.
        f.debug_struct("Authorisation")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("binding", &self.binding)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// A sign-in as it is stored while the person is away. The state itself is not: only its digest, as the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) tenant: TenantId,
    pub(super) app: AppId,
    pub(super) asked: BTreeSet<Capability>,
    pub(super) requested: BTreeSet<String>,
    pub(super) redirect_uri: String,
    pub(super) reconnect: Option<ConnectionId>,
    pub(super) another_account_allowed: bool,
    pub(super) context: Option<String>,
    #[serde(default)]
    pub(super) accounts: Vec<String>,
    pub(super) binding: String,
    /// PKCE verifier and nonce, sealed.
    sealed: Vec<u8>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) used_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, Deserialize)]
struct Secrets {
    verifier: String,
    nonce: String,
}

impl SignIn {
    /// Begins a sign-in: stores a single-use request and says where to send the browser.
    ///
    /// # Errors
    /// `InvalidInput` if the redirect is no absolute HTTPS (or loopback) address; `NotFound` if the connection to
    /// reauthorise is unknown; `Unsupported` if the app signs in without a person; `Store`.
    pub async fn authorise(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        ask: &Authorise,
    ) -> Result<Authorisation> {
        forbid_reentry("beginning a sign-in")?;
        let profile = connector.profile();
        if profile.oauth.acts_alone() {
            let message = "this app acts on its own: it connects without a browser";
            return Err(Error::new(ErrorKind::Unsupported, message).with_service(profile.service));
        }
        let redirect = redirect(&ask.redirect_uri)?;
        self.engine.ask_time().await?;
        let before = self.reconnected(tenant, connector, ask).await?;
        let plan = Plan::new(&**connector, ask, before.as_ref());
        let random = &self.engine.parts.random;
        let (state, verifier, nonce) = (random.token(32), random.token(32), random.token(32));
        let binding = ask.binding.clone().unwrap_or_else(|| BrowserBinding::from_cookie(random.token(32)));
        let expires_at = self.engine.now() + self.engine.parts.settings.authorisation_lifetime;
        let url = plan.url(&**connector, redirect, &state, &PkceCodeVerifier::new(verifier.clone()), &nonce);
        let pending = Pending {
            tenant: tenant.clone(),
            app: profile.app.clone(),
            asked: plan.asked,
            requested: plan.requested,
            redirect_uri: ask.redirect_uri.clone(),
            reconnect: ask.reconnect.clone(),
            another_account_allowed: ask.another_account_allowed,
            context: ask.context.clone(),
            accounts: named(ask, before.as_ref()),
            binding: binding.digest(),
            sealed: self.seal(tenant, &state, Secrets { verifier, nonce }).await?,
            expires_at,
            used_at: None,
        };
        let row = connection_store::put(&pending_tenant(), AUTHORISATIONS, &key(&state), &pending, None)?;
        self.engine.connections.commit(&[row]).await?;
        Ok(Authorisation { url, binding, expires_at })
    }

    /// Deletes sign-ins that were used or expired more than a day ago, and administrators' addresses likewise, and says how
    /// many; for the host's daily upkeep.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn forget_old_authorisations(&self) -> Result<u64> {
        self.engine.ask_time().await?;
        let limit = self.engine.now() - REMEMBERED;
        let sign_ins = self.forget_where(AUTHORISATIONS, |row: Pending| row.expires_at < limit).await?;
        Ok(sign_ins + self.forget_where(ADDRESSES, |row: Address| row.expires_at < limit).await?)
    }

    /// Deletes the sign-ins that a tenant began: they lie apart, because a callback does not say whose it is.
    pub(crate) async fn erase_authorisations(&self, tenant: &TenantId) -> Result<u64> {
        let sign_ins = self.forget_where(AUTHORISATIONS, |row: Pending| row.tenant == *tenant).await?;
        Ok(sign_ins + self.forget_where(ADDRESSES, |row: Address| row.tenant == *tenant).await?)
    }

    async fn forget_where<T: DeserializeOwned>(
        &self,
        space: Space,
        gone: impl Fn(T) -> bool + Send + Sync,
    ) -> Result<u64> {
        let (mut deleted, mut after) = (0, None);
        loop {
            let query = StateQuery::Range { tenant: pending_tenant(), space, prefix: String::new(), after, limit: 200 };
            let page = self.engine.parts.stores.sync.read(&query).await?;
            let old = |bytes| connection_store::decode::<T>(space, bytes).is_ok_and(&gone);
            let writes: Vec<StateWrite> = page
                .iter()
                .filter(|row| old(&row.bytes))
                .map(|row| StateWrite::delete(&pending_tenant(), space, row.key.clone()))
                .collect();
            deleted += writes.len() as u64;
            if !writes.is_empty() {
                self.engine.connections.commit(&writes).await?;
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(deleted) };
            after = Some(last.key);
        }
    }

    pub(super) async fn pending(&self, state: &str) -> Result<Option<Stored<Pending>>> {
        let store = &*self.engine.parts.stores.sync;
        let row = read_one(store, &pending_tenant(), AUTHORISATIONS, StateKey::new([key(state)])).await?;
        let decode = |row: crate::store::StateRow| {
            Ok(Stored { value: connection_store::decode(AUTHORISATIONS, &row.bytes)?, version: row.version })
        };
        row.map(decode).transpose()
    }

    /// Marks a sign-in as used. False if somebody was faster.
    pub(super) async fn use_up(&self, state: &str, pending: &Stored<Pending>) -> Result<bool> {
        let used = Pending { used_at: Some(self.engine.now()), ..pending.value.clone() };
        let expect = Some(pending.version);
        let row = connection_store::put(&pending_tenant(), AUTHORISATIONS, &key(state), &used, expect)?;
        match self.engine.connections.commit(&[row]).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The PKCE verifier and the nonce.
    pub(super) async fn secrets(&self, state: &str, pending: &Pending) -> Result<(SecretText, String)> {
        let plain = self.engine.parts.sealer.open(&seal_context(&pending.tenant, state), &pending.sealed).await?;
        let unreadable = |_| Error::new(ErrorKind::Validation, "a stored sign-in cannot be read");
        let secrets: Secrets = serde_json::from_slice(plain.expose()).map_err(unreadable)?;
        Ok((SecretText::new(secrets.verifier), secrets.nonce))
    }

    async fn seal(&self, tenant: &TenantId, state: &str, secrets: Secrets) -> Result<Vec<u8>> {
        let unwritable = |_| Error::new(ErrorKind::Validation, "a sign-in cannot be written");
        let plain = SecretBytes::new(serde_json::to_vec(&secrets).map_err(unwritable)?);
        Ok(self.engine.parts.sealer.seal(&seal_context(tenant, state), plain.expose()).await?.to_vec())
    }

    async fn reconnected(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        ask: &Authorise,
    ) -> Result<Option<(Connection, Option<Grant>)>> {
        let Some(id) = &ask.reconnect else { return Ok(None) };
        let store = &self.engine.connections;
        let row = store.load_connection(tenant, id).await?;
        let row = row.filter(|row| row.value.app == connector.profile().app);
        let missing = || Error::new(ErrorKind::NotFound, "there is no such connection to reauthorise with this app");
        let connection = row.ok_or_else(missing)?.value;
        let grant = store.load_grant(tenant, &connection.grant).await?;
        Ok(Some((connection, grant.map(|row| row.value))))
    }
}

/// What goes into the URL.
struct Plan {
    asked: BTreeSet<Capability>,
    requested: BTreeSet<String>,
    hint: Option<String>,
    claims: Option<String>,
    incremental: bool,
    consent: bool,
}

impl Plan {
    fn new(connector: &dyn Connector, ask: &Authorise, before: Option<&(Connection, Option<Grant>)>) -> Self {
        let profile = connector.profile();
        let grant = before.and_then(|(_, grant)| grant.as_ref());
        let had = grant.map(|grant| grant.scopes.clone()).unwrap_or_default();
        let works =
            grant.is_some_and(|grant| matches!(grant.status, GrantStatus::Active | GrantStatus::Degraded { .. }));
        let mut asked = ask.capabilities.clone();
        if asked.is_empty() {
            asked = profile.scopes.allowed(&had);
        }
        let wanted = profile.scopes.request(&asked);
        let missing = profile.scopes.missing(&wanted, &had);
        let incremental = works && !missing.is_empty();
        let requested = match profile.oauth.style {
            AuthorisationStyle::Additive if incremental => {
                missing.into_iter().chain(profile.scopes.always.clone()).collect()
            }
            AuthorisationStyle::Additive | AuthorisationStyle::Standalone => wanted.union(&had).cloned().collect(),
        };
        let consent = ask.force_consent || !works || incremental;
        let standing = grant.and_then(|grant| match &grant.status {
            GrantStatus::NeedsAttention { remedy, .. } => remedy.claims.clone(),
            _ => None,
        });
        let claims = ask.claims.as_deref().or(standing.as_deref());
        let claims = claims::merged(profile.oauth.claims.as_deref(), claims);
        let address = before.and_then(|(connection, _)| connection.account.addresses.first());
        let hint = ask.login_hint.clone().or_else(|| address.cloned());
        Self { asked, requested, hint, claims, incremental, consent }
    }

    fn url(
        &self,
        connector: &dyn Connector,
        redirect: RedirectUrl,
        state: &str,
        verifier: &PkceCodeVerifier,
        nonce: &str,
    ) -> Url {
        let oauth = &connector.profile().oauth;
        let mut extra: Vec<(&str, &str)> = Vec::new();
        let mut set = |name, value| {
            extra.retain(|(other, _)| *other != name);
            extra.push((name, value));
        };
        let pairs = |list: &'_ [(String, String)]| -> Vec<(String, String)> { list.to_vec() };
        let consent = if self.consent { pairs(&oauth.consent) } else { Vec::new() };
        let additive = self.incremental && oauth.style == AuthorisationStyle::Additive;
        let incremental = if additive { pairs(&oauth.incremental) } else { Vec::new() };
        for (name, value) in oauth.extra.iter().chain(&incremental).chain(&consent) {
            set(name, value);
        }
        if let (Some(name), Some(hint)) = (&oauth.login_hint, &self.hint) {
            set(name, hint);
        }
        if let Some(claims) = &self.claims {
            set("claims", claims);
        }
        if oauth.endpoints.has_oidc() {
            set("nonce", nonce);
        }
        let client = token_endpoint::client(oauth).set_redirect_uri(redirect);
        let mut request = client
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .add_scopes(self.requested.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(verifier));
        for (name, value) in &extra {
            request = request.add_extra_param(*name, *value);
        }
        request.url().0
    }
}

/// The accounts the host names now, and the one to reauthorise if it was named.
fn named(ask: &Authorise, before: Option<&(Connection, Option<Grant>)>) -> Vec<String> {
    let again = before.and_then(|(connection, _)| connection.account.named.clone());
    let mut names = ask.accounts.clone();
    names.extend(again.filter(|again| !ask.accounts.contains(again)));
    names
}

/// Checks the redirect and keeps it as it was given: services compare it byte by byte.
pub(super) fn redirect(text: &str) -> Result<RedirectUrl> {
    let wrong = |why: &str| Error::new(ErrorKind::InvalidInput, format!("the redirect address {why}"));
    let url = Url::parse(text).map_err(|_| wrong("is not an absolute URL"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("has no host")),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(wrong("must be https (or http on loopback)"));
    }
    if url.fragment().is_some() {
        return Err(wrong("must have no fragment"));
    }
    RedirectUrl::new(text.to_owned()).map_err(|_| wrong("is not an absolute URL"))
}

pub(super) fn pending_tenant() -> TenantId {
    TenantId::new(PENDING)
}

pub(super) fn key(state: &str) -> String {
    hashed("state", state)
}

fn seal_context(tenant: &TenantId, state: &str) -> SealContext {
    SealContext::new(tenant.clone(), key(state), "authorisation")
}

fn hashed(purpose: &str, text: &str) -> String {
    hex::encode(Sha256::new().chain_update(purpose).chain_update([0]).chain_update(text).finalize())
}
