//! Apps that an administrator has to allow first: asked for, waited for over months, answered in anybody's browser.
//!
//! The answer comes to the same address as every callback, often days later and in a browser that nobody knows. It is bound
//! by its state alone and authorises nothing: it marks the record, and the person's own sign-in proves it, if its
//! verified id token is of the organisation that the record is for. A record belongs to one tenant of ours: nobody else's
//! sign-in counts. Where nobody has said yet which organisation a record is for, no sign-in proves it: it waits for an
//! administrator's answer, which names one. A later refusal opens it again.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    authorise::{Pending, key as digest, pending_tenant, redirect},
    callback::CallbackQuery,
    complete::{SignInHost, remedy_of, shown_code},
    connection_store::{Stored, decode, put_at},
    engine::SignIn,
    outcome::{Completion, ConnectOutcome},
    settle::Target,
};
use crate::{
    connection::{
        AdminConsentEndpoint, Capability, Connector, Grant, Identity, TenantIssuers, TokenFailure, TokenFailureClass,
    },
    error::{Actor, Error, ErrorKind, Remedy, Result},
    ids::{AppId, TenantId},
    store::{Space, StateKey, StateQuery, read_one},
};

const RECORDS: Space = "admin_consent";
/// An administrator's answer does not say whose it is: where it goes lies beside the sign-ins under way.
pub(super) const ADDRESSES: Space = "admin_consent_state";
/// Others change a record rarely.
const TRIES: usize = 4;
const PAGE: usize = 200;

/// What to ask an administrator for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminConsentAsk {
    /// What people of the organisation are to be able to allow.
    pub capabilities: BTreeSet<Capability>,
    /// Where the service sends the administrator's browser back to: the address that callbacks come to.
    pub redirect_uri: String,
    /// The organisation at the service, by its id or domain. Absent: whichever the administrator belongs to.
    pub organisation: Option<String>,
}

impl AdminConsentAsk {
    /// Asks for `capabilities`.
    pub fn new(capabilities: impl IntoIterator<Item = Capability>, redirect_uri: impl Into<String>) -> Self {
        let capabilities = capabilities.into_iter().collect();
        Self { capabilities, redirect_uri: redirect_uri.into(), organisation: None }
    }

    /// Of this organisation.
    #[must_use]
    pub fn with_organisation(mut self, organisation: impl Into<String>) -> Self {
        self.organisation = Some(organisation.into());
        self
    }
}

/// How an administrator's consent stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminConsentState {
    /// Somebody came back from the service and says yes. Anybody can say so: a sign-in will show.
    Allowed,
    /// Nobody has answered.
    Awaiting,
    /// Somebody came back and says no. The address still works, should they think again.
    Declined,
    /// A sign-in of its organisation worked since.
    Proved,
}

/// An app that waits, or waited, for an administrator. One record for a tenant, an app and an organisation.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdminConsent {
    /// The app.
    pub app: AppId,
    /// The organisation at the service, or the service's word for any.
    pub organisation: String,
    /// What it is about.
    pub capabilities: BTreeSet<Capability>,
    /// Where callbacks come to.
    pub redirect_uri: String,
    /// Where the administrator allows it; to be handed on, by the person or the host.
    pub url: Url,
    /// Why, and what to do.
    pub remedy: Remedy,
    /// How it stands.
    pub state: AdminConsentState,
    /// The organisation that the answer named; not proved.
    #[serde(default)]
    pub claimed: Option<String>,
    /// The organisation that it is known to be for, as verified id tokens name it: that of the account which could not be
    /// reauthorised, or of the sign-in that proved it. `None` while that is not known.
    #[serde(default)]
    pub bound: Option<String>,
    /// When it was first asked for, or first again after it had been proved (UTC).
    pub requested_at: DateTime<Utc>,
    /// When it last changed (UTC).
    pub changed_at: DateTime<Utc>,
    /// Until when the address is good (UTC).
    pub expires_at: DateTime<Utc>,
}

/// Where an answer goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) tenant: TenantId,
    app: AppId,
    organisation: String,
    pub(super) expires_at: DateTime<Utc>,
}

/// Why a record is asked for.
enum Because {
    /// The host wants it in time.
    Asked,
    /// The service has just refused a sign-in for lack of it; whose organisation that is, if it is known.
    Refused(Remedy, Option<String>),
}

impl SignIn {
    /// Asks for an administrator's consent: makes the record and its address, or gives the one there is. Nothing is sent to
    /// anybody; the address is for whoever can hand it on.
    ///
    /// # Errors
    /// `Unsupported` if the service has no such consent; `InvalidInput` for a redirect or an organisation that is none; `Store`.
    pub async fn request_admin_consent(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        ask: &AdminConsentAsk,
    ) -> Result<AdminConsent> {
        self.engine.ask_time().await?;
        self.admin_consent(tenant, &**connector, ask, &Because::Asked).await
    }

    /// Every administrator's consent that a tenant asked for, by app and organisation.
    ///
    /// # Errors
    /// `Store` if the storage fails; `Validation` if a row cannot be read.
    pub async fn admin_consents(&self, tenant: &TenantId) -> Result<Vec<AdminConsent>> {
        Ok(self.records(tenant, None).await?.into_iter().map(|row| row.value).collect())
    }

    /// A sign-in was refused because an administrator has to allow the app first.
    pub(super) async fn await_admin(
        &self,
        connector: &dyn Connector,
        pending: &Pending,
        remedy: Remedy,
    ) -> Result<ConnectOutcome> {
        if connector.profile().oauth.endpoints.admin_consent.is_none() {
            return Ok(ConnectOutcome::ServiceError { error: "admin_consent_required".to_owned(), remedy });
        }
        let ask = AdminConsentAsk::new(pending.asked.iter().copied(), &pending.redirect_uri);
        let because = Because::Refused(remedy, self.organisation_of(connector, pending).await?);
        let record = self.admin_consent(&pending.tenant, connector, &ask, &because).await?;
        let AdminConsent { url, remedy, expires_at, .. } = record;
        Ok(ConnectOutcome::AwaitingAdminConsent { url, remedy, expires_at })
    }

    /// The organisation of the account that was to be reauthorised; a refused sign-in itself says nothing about it.
    async fn organisation_of(&self, connector: &dyn Connector, pending: &Pending) -> Result<Option<String>> {
        let (connections, tenant) = (&self.engine.connections, &pending.tenant);
        let Some(id) = &pending.reconnect else { return Ok(None) };
        let Some(connection) = connections.load_connection(tenant, id).await? else { return Ok(None) };
        let grant = connections.load_grant(tenant, &connection.value.grant).await?;
        Ok(grant.and_then(|grant| organisation_in(connector, &grant.value).map(ToOwned::to_owned)))
    }

    async fn admin_consent(
        &self,
        tenant: &TenantId,
        connector: &dyn Connector,
        ask: &AdminConsentAsk,
        because: &Because,
    ) -> Result<AdminConsent> {
        let (profile, endpoint) = (connector.profile(), admin_endpoint(connector)?);
        redirect(&ask.redirect_uri)?;
        let organisation = ask.organisation.as_deref().unwrap_or(&endpoint.any_tenant);
        let record = StateKey::new([profile.app.as_str(), organisation]);
        for _ in 0..TRIES {
            let before = self.record(tenant, &record).await?;
            let expect = before.as_ref().map(|row| row.version);
            let before = before.map(|row| row.value);
            let (value, state) = self.next_record(connector, ask, because, before.as_ref())?;
            if before.as_ref() == Some(&value) {
                return Ok(value);
            }
            let mut writes = vec![put_at(tenant, RECORDS, record.clone(), &value, expect)?];
            if let Some(state) = state {
                let (app, organisation) = (value.app.clone(), value.organisation.clone());
                let address = Address { tenant: tenant.clone(), app, organisation, expires_at: value.expires_at };
                writes.push(put_at(&pending_tenant(), ADDRESSES, StateKey::new([digest(&state)]), &address, None)?);
            }
            match self.engine.connections.commit(&writes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done.map(|()| value),
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "the record of an administrator's consent changed each time it was written",
        ))
    }

    /// The record as it is to be, with a fresh state where its address has to change.
    fn next_record(
        &self,
        connector: &dyn Connector,
        ask: &AdminConsentAsk,
        because: &Because,
        before: Option<&AdminConsent>,
    ) -> Result<(AdminConsent, Option<String>)> {
        let now = self.engine.now();
        let serves = |before: &&AdminConsent| {
            let enough = before.capabilities.is_superset(&ask.capabilities);
            enough && before.redirect_uri == ask.redirect_uri && now < before.expires_at
        };
        if let Some(before) = before.filter(serves) {
            let mut value = before.clone();
            if let Because::Refused(remedy, organisation) = because {
                if before.state == AdminConsentState::Proved {
                    // Of another organisation, or taken back: what was proved says nothing about this one.
                    (value.claimed, value.bound, value.requested_at) = (None, None, now);
                }
                // Whatever was claimed since: the service does not see it.
                (value.state, value.remedy) = (AdminConsentState::Awaiting, remedy.clone());
                value.bound = organisation.clone().or(value.bound);
            }
            if value != *before {
                value.changed_at = now;
            }
            return Ok((value, None));
        }
        let mut capabilities = ask.capabilities.clone();
        capabilities.extend(before.iter().flat_map(|before| &before.capabilities));
        let state = self.engine.parts.random.token(32);
        let url = admin_page(connector, ask, &capabilities, &state)?;
        let lifetime = TimeDelta::from_std(self.engine.parts.settings.admin_consent_lifetime).unwrap_or(TimeDelta::MAX);
        let (remedy, organisation) = match because {
            Because::Refused(remedy, organisation) => (remedy.clone(), organisation.clone()),
            Because::Asked => (hand_on(), None),
        };
        let open = before.filter(|before| before.state != AdminConsentState::Proved);
        let value = AdminConsent {
            app: connector.profile().app.clone(),
            organisation: ask.organisation.clone().unwrap_or_else(|| any_organisation(connector).to_owned()),
            capabilities,
            redirect_uri: ask.redirect_uri.clone(),
            url,
            remedy,
            state: AdminConsentState::Awaiting,
            claimed: None,
            bound: organisation.or_else(|| open?.bound.clone()),
            requested_at: open.map_or(now, |before| before.requested_at),
            changed_at: now,
            expires_at: now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC),
        };
        Ok((value, Some(state)))
    }

    /// What an administrator's browser brings back; `None` if the state is none of ours.
    pub(super) async fn admin_answered(
        &self,
        state: &str,
        query: &CallbackQuery,
        host: &dyn SignInHost,
    ) -> Result<Option<Completion>> {
        let key = StateKey::new([digest(state)]);
        let Some(row) = read_one(&*self.engine.parts.stores.sync, &pending_tenant(), ADDRESSES, key).await? else {
            return Ok(None);
        };
        let address: Address = decode(ADDRESSES, &row.bytes)?;
        let completion =
            |outcome| Some(Completion { outcome, tenant: None, app: Some(address.app.clone()), context: None });
        if self.engine.now() >= address.expires_at {
            return Ok(completion(ConnectOutcome::Expired));
        }
        let connector = host.connector(&address.app)?;
        let (outcome, state) = match query.get("error") {
            None => (ConnectOutcome::AdminAllowed, Some(AdminConsentState::Allowed)),
            Some(error) => declined(&*connector, error, query.get("error_description")),
        };
        if let Some(state) = state {
            let claimed = query.get("tenant").filter(|named| named.len() <= 64).map(shown_code);
            let change = |record: &mut AdminConsent| {
                // What a sign-in has proved is not for anybody to say.
                if record.state != AdminConsentState::Proved {
                    (record.state, record.claimed) = (state, claimed.clone());
                }
            };
            let record = StateKey::new([address.app.as_str(), &address.organisation]);
            self.change_record(&address.tenant, &record, change).await?;
        }
        metrics::counter!("integration_sign_ins_total", "outcome" => outcome.word()).increment(1);
        Ok(completion(outcome))
    }

    /// A sign-in worked: what it waited for is there. A record that stays as it was is put right by the next one.
    pub(super) async fn admin_proved(&self, target: &Target<'_>, who: Option<&Identity>) {
        let profile = target.connector.profile();
        let Some(endpoint) = &profile.oauth.endpoints.admin_consent else { return };
        let claim = profile.oauth.endpoints.tenant_issuers.as_ref().map(|tenants| tenants.claim.as_str());
        let organisation = claim.and_then(|claim| who?.claim(claim));
        if let Err(error) = self.mark_proved(target, endpoint, organisation).await {
            tracing::warn!(error = %error, "an administrator's consent was proved, but not written down");
        }
    }

    async fn mark_proved(
        &self,
        target: &Target<'_>,
        endpoint: &AdminConsentEndpoint,
        organisation: Option<&str>,
    ) -> Result<()> {
        let app = &target.connector.profile().app;
        for row in self.records(target.tenant, Some(app)).await? {
            let record = row.value;
            let issuers = target.connector.profile().oauth.endpoints.tenant_issuers.as_ref();
            if record.state != AdminConsentState::Proved && is_for(&record, organisation, (endpoint, issuers)) {
                let key = StateKey::new([record.app.as_str(), &record.organisation]);
                let proved = |record: &mut AdminConsent| {
                    record.state = AdminConsentState::Proved;
                    record.bound = organisation.map(ToOwned::to_owned);
                };
                self.change_record(target.tenant, &key, proved).await?;
            }
        }
        Ok(())
    }

    async fn change_record(
        &self,
        tenant: &TenantId,
        key: &StateKey,
        change: impl Fn(&mut AdminConsent) + Send + Sync,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some(mut row) = self.record(tenant, key).await? else { return Ok(()) };
            let before = row.value.clone();
            change(&mut row.value);
            if row.value == before {
                return Ok(());
            }
            row.value.changed_at = self.engine.now();
            let write = put_at(tenant, RECORDS, key.clone(), &row.value, Some(row.version))?;
            match self.engine.connections.commit(&[write]).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "the record of an administrator's consent changed each time it was written",
        ))
    }

    async fn record(&self, tenant: &TenantId, key: &StateKey) -> Result<Option<Stored<AdminConsent>>> {
        let row = read_one(&*self.engine.parts.stores.sync, tenant, RECORDS, key.clone()).await?;
        row.map(|row| Ok(Stored { value: decode(RECORDS, &row.bytes)?, version: row.version })).transpose()
    }

    async fn records(&self, tenant: &TenantId, app: Option<&AppId>) -> Result<Vec<Stored<AdminConsent>>> {
        let prefix = app.map(|app| StateKey::new([app.as_str()]).below()).unwrap_or_default();
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (tenant, space, prefix) = (tenant.clone(), RECORDS, prefix.clone());
            let query = StateQuery::Range { tenant, space, prefix, after, limit: PAGE };
            let page = self.engine.parts.stores.sync.read(&query).await?;
            for row in &page {
                all.push(Stored { value: decode(RECORDS, &row.bytes)?, version: row.version });
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(all) };
            after = Some(last.key);
        }
    }
}

fn admin_endpoint(connector: &dyn Connector) -> Result<&AdminConsentEndpoint> {
    let profile = connector.profile();
    profile.oauth.endpoints.admin_consent.as_ref().ok_or_else(|| {
        let message = "administrators allow nothing in advance at this service";
        Error::new(ErrorKind::Unsupported, message).with_service(profile.service)
    })
}

/// Is the record for the organisation that a verified sign-in is of? Only something known of the record says so.
fn is_for(
    record: &AdminConsent,
    organisation: Option<&str>,
    (endpoint, issuers): (&AdminConsentEndpoint, Option<&TenantIssuers>),
) -> bool {
    let of_any = record.organisation == endpoint.any_tenant;
    let Some(organisation) = organisation else {
        // A service that knows no organisations, or a sign-in that does not say whose it is.
        return of_any && issuers.is_none();
    };
    // Whatever an answer claims: people of no organisation have no administrator.
    if issuers.is_some_and(|issuers| issuers.is_personal(organisation)) {
        return false;
    }
    if record.organisation.eq_ignore_ascii_case(organisation) {
        return true;
    }
    match record.bound.as_ref().or(record.claimed.as_ref()) {
        Some(known) => known.eq_ignore_ascii_case(organisation),
        None => of_any && issuers.is_some_and(|issuers| issuers.is_only(organisation)),
    }
}

/// The organisation in a grant's subject, which was put together from the claims of a verified id token.
fn organisation_in<'a>(connector: &dyn Connector, grant: &'a Grant) -> Option<&'a str> {
    let oauth = &connector.profile().oauth;
    let claim = &oauth.endpoints.tenant_issuers.as_ref()?.claim;
    let place = oauth.subject.iter().position(|name| name == claim)?;
    grant.subject.as_deref()?.split('/').nth(place)
}

fn any_organisation(connector: &dyn Connector) -> &str {
    connector.profile().oauth.endpoints.admin_consent.as_ref().map_or("", |endpoint| &endpoint.any_tenant)
}

fn admin_page(
    connector: &dyn Connector,
    ask: &AdminConsentAsk,
    capabilities: &BTreeSet<Capability>,
    state: &str,
) -> Result<Url> {
    let (profile, endpoint) = (connector.profile(), admin_endpoint(connector)?);
    let mut page = endpoint.page(ask.organisation.as_deref()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the organisation is neither an id nor a domain")
            .with_service(profile.service)
    })?;
    let scope = match &profile.oauth.app_scope {
        Some(scope) => scope.clone(),
        None => profile.scopes.request(capabilities).into_iter().collect::<Vec<_>>().join(" "),
    };
    page.query_pairs_mut()
        .append_pair("client_id", &profile.oauth.client_id)
        .append_pair("redirect_uri", &ask.redirect_uri)
        .append_pair("scope", &scope)
        .append_pair("state", state);
    Ok(page)
}

/// An administrator came back with an error. What is wrong with the app is no answer, and changes nothing.
fn declined(
    connector: &dyn Connector,
    error: &str,
    description: Option<&str>,
) -> (ConnectOutcome, Option<AdminConsentState>) {
    use TokenFailureClass::{AdminConsent, NeedsConsent};
    let error = shown_code(error);
    let description: Option<String> = description.map(|text| text.chars().take(300).collect());
    let failure = TokenFailure::new(http::StatusCode::BAD_REQUEST, Some(&error), description.as_deref());
    let class = connector.classify_token(&failure);
    if error == "access_denied" || matches!(class, AdminConsent(_) | NeedsConsent(_)) {
        return (ConnectOutcome::AdminDeclined, Some(AdminConsentState::Declined));
    }
    (ConnectOutcome::ServiceError { error, remedy: remedy_of(class) }, None)
}

fn hand_on() -> Remedy {
    let cause = "An administrator of the organisation has to allow the app before people can connect.";
    Remedy::new(cause, Actor::Administrator, "Open the address for administrators, sign in and allow the app.")
}
