//! Who and what is registered, and what was granted: tenants, people, apps, consents, codes and tokens.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use integration_core::clock::Random;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    app::EntraApp,
    errors::Refusal,
    scopes,
    settings::{EntraSettings, RefreshAt},
    tenant::{self, PERSONAL_TENANT, Segment, Tenant, User},
};

/// Within what time uses of one refresh token count as a loop.
const LOOP: TimeDelta = TimeDelta::minutes(5);

/// What a token stands for. An app acting for itself has no `mail`, and its permissions are its `scopes`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Grant {
    pub(super) client_id: String,
    /// The tenant signed in to.
    pub(super) tenant: String,
    /// Whose it is: the home address.
    pub(super) mail: String,
    pub(super) scopes: BTreeSet<String>,
    /// The segment of the path that it was issued on.
    pub(super) segment: Segment,
    /// When the person signed in.
    pub(super) since: DateTime<Utc>,
    /// Did the client say that it can handle claims challenges?
    pub(super) capable: bool,
    /// The claims that were asked for.
    pub(super) claims: Value,
}

impl Grant {
    fn is_of(&self, client_id: &str, mail: &str) -> bool {
        self.client_id == client_id && self.mail == mail
    }

    pub(super) fn is_app_only(&self) -> bool {
        self.mail.is_empty()
    }
}

/// A code on its way from the browser to the token endpoint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect: String,
    /// The challenge and whether it is a hash.
    pub(super) challenge: Option<(String, bool)>,
    pub(super) nonce: Option<String>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) used: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct AccessToken {
    pub(super) grant: Grant,
    pub(super) issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct RefreshToken {
    grant: Grant,
    used_at: DateTime<Utc>,
    uses: Vec<DateTime<Utc>>,
}

/// What a person, or an administrator for a tenant, consented to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Consented {
    tenant: String,
    client_id: String,
    /// Absent: everybody in the tenant.
    mail: Option<String>,
    scopes: BTreeSet<String>,
    roles: BTreeSet<String>,
}

/// Everything that sign-in remembers.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Register {
    tenants: Vec<Tenant>,
    users: Vec<User>,
    apps: BTreeMap<String, EntraApp>,
    consents: Vec<Consented>,
    codes: BTreeMap<String, Code>,
    access: BTreeMap<String, AccessToken>,
    refresh: BTreeMap<String, RefreshToken>,
    /// Ids of assertions that were used, until they would have ended.
    assertions: BTreeMap<String, DateTime<Utc>>,
}

impl Register {
    pub(super) fn add_app(&mut self, app: EntraApp) {
        self.apps.insert(app.client_id.clone(), app);
    }

    pub(super) fn app(&self, client_id: &str) -> Option<&EntraApp> {
        self.apps.get(client_id)
    }

    pub(super) fn app_mut(&mut self, client_id: &str) -> Option<&mut EntraApp> {
        self.apps.get_mut(client_id)
    }

    pub(super) fn add_tenant(&mut self, tenant: Tenant) {
        self.tenants.retain(|known| known.id != tenant.id && known.domain != tenant.domain);
        self.tenants.push(tenant);
    }

    /// A tenant by id or domain.
    pub(super) fn tenant(&self, name: &str) -> Option<&Tenant> {
        let name = name.to_lowercase();
        self.tenants.iter().find(|tenant| tenant.is_called(&name))
    }

    pub(super) fn tenant_mut(&mut self, name: &str) -> Option<&mut Tenant> {
        let name = name.to_lowercase();
        self.tenants.iter_mut().find(|tenant| tenant.is_called(&name))
    }

    /// Gives a person an account: a personal one, or one in the tenant of the address's domain, which is made if needed.
    pub(super) fn add_user(&mut self, address: &str, name: &str) -> User {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        let home = if tenant::is_personal_address(address) {
            PERSONAL_TENANT.to_owned()
        } else {
            if self.tenant(domain).is_none() {
                self.add_tenant(Tenant::new(domain));
            }
            self.tenant(domain).map(|tenant| tenant.id.clone()).unwrap_or_default()
        };
        let user = User::new(address, name, &home);
        match self.users.iter_mut().find(|known| known.mail == user.mail) {
            Some(known) => known.name = user.name.clone(),
            None => self.users.push(user.clone()),
        }
        user
    }

    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    /// A person by address, user principal name or object id.
    pub(super) fn user(&self, hint: &str) -> Option<&User> {
        self.users.iter().find(|user| user.is_called(hint))
    }

    pub(super) fn user_mut(&mut self, hint: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.is_called(hint))
    }

    /// What a segment of the path means here.
    pub(super) fn segment(&self, text: &str, settings: &EntraSettings) -> Result<Segment, Refusal> {
        Ok(match text.to_lowercase().as_str() {
            "common" => Segment::Common,
            "organizations" => Segment::Organizations,
            "consumers" | PERSONAL_TENANT => Segment::Consumers,
            name => {
                let tenant = self.tenant(name).ok_or_else(|| Refusal::new(90002))?;
                if tenant.cloud != settings.cloud {
                    return Err(Refusal::new(90038));
                }
                Segment::Tenant(tenant.id.clone())
            }
        })
    }

    /// Remembers a consent: a person's, or with no `mail` an administrator's for the tenant.
    pub(super) fn consent(&mut self, tenant: &str, client_id: &str, mail: Option<&str>, add: Permissions) {
        let is_it = |known: &&mut Consented| {
            known.tenant == tenant && known.client_id == client_id && known.mail.as_deref() == mail
        };
        match self.consents.iter_mut().find(is_it) {
            Some(known) => {
                known.scopes.extend(add.scopes);
                known.roles.extend(add.roles);
            }
            None => self.consents.push(Consented {
                tenant: tenant.to_owned(),
                client_id: client_id.to_owned(),
                mail: mail.map(str::to_owned),
                scopes: add.scopes,
                roles: add.roles,
            }),
        }
    }

    /// The delegated scopes that a person of a tenant, or an administrator for everybody there, consented to.
    pub(super) fn consented(&self, tenant: &str, client_id: &str, mail: &str) -> BTreeSet<String> {
        let ours = self.consents.iter().filter(|known| known.tenant == tenant && known.client_id == client_id);
        let mine = ours.filter(|known| known.mail.as_deref().is_none_or(|owner| owner == mail));
        mine.flat_map(|known| known.scopes.iter().cloned()).collect()
    }

    /// The application permissions in a tenant; absent if no administrator let the app in.
    pub(super) fn roles(&self, tenant: &str, client_id: &str) -> Option<BTreeSet<String>> {
        let known = self
            .consents
            .iter()
            .find(|known| known.tenant == tenant && known.client_id == client_id && known.mail.is_none())?;
        Some(known.roles.clone())
    }

    /// Takes back what a person consented to; with no `mail`, what an administrator did.
    pub(super) fn withdraw(&mut self, tenant: &str, client_id: &str, mail: Option<&str>) {
        self.consents
            .retain(|known| !(known.tenant == tenant && known.client_id == client_id && known.mail.as_deref() == mail));
    }

    pub(super) fn add_code(&mut self, random: &dyn Random, code: Code) -> String {
        self.codes.retain(|_, old| old.expires_at + TimeDelta::days(1) > code.expires_at);
        let text = format!("1.{}", random.token(48));
        self.codes.insert(text.clone(), code);
        text
    }

    pub(super) fn code(&mut self, text: &str) -> Option<&mut Code> {
        self.codes.get_mut(text)
    }

    /// A new access token for a grant, and the seconds it lives.
    pub(super) fn issue_access(
        &mut self,
        grant: &Grant,
        random: &dyn Random,
        now: DateTime<Utc>,
        settings: &EntraSettings,
    ) -> (String, u64) {
        self.access.retain(|_, token| token.expires_at > now);
        let text = format!("eyJ0.{}", random.token(90));
        let life = if grant.capable { settings.capable_token_life } else { settings.token_life };
        let expires_at = now + TimeDelta::from_std(life).unwrap_or(TimeDelta::MAX);
        self.access.insert(text.clone(), AccessToken { grant: grant.clone(), issued_at: now, expires_at });
        (text, life.as_secs())
    }

    pub(super) fn issue_refresh(&mut self, grant: &Grant, random: &dyn Random, now: DateTime<Utc>) -> String {
        let text = format!("1.A{}", random.token(90));
        self.refresh.insert(text.clone(), RefreshToken { grant: grant.clone(), used_at: now, uses: Vec::new() });
        text
    }

    /// Uses a refresh token, which stays good.
    pub(super) fn use_refresh(
        &mut self,
        text: &str,
        client_id: &str,
        now: DateTime<Utc>,
        settings: &EntraSettings,
    ) -> Result<Grant, Refusal> {
        let idle = TimeDelta::from_std(settings.refresh_idle_life).unwrap_or(TimeDelta::MAX);
        let token = self.refresh.get_mut(text).filter(|token| token.grant.client_id == client_id);
        let token = token.ok_or_else(|| Refusal::new(70000))?;
        if now - token.used_at >= idle {
            return Err(Refusal::new(700082));
        }
        token.uses.retain(|used| now - *used < LOOP);
        if settings.loop_limit.is_some_and(|most| token.uses.len() >= most) {
            return Err(Refusal::new(50196));
        }
        token.used_at = now;
        token.uses.push(now);
        Ok(token.grant.clone())
    }

    /// The access token while it is good.
    pub(super) fn access(&self, text: &str, now: DateTime<Utc>) -> Option<&AccessToken> {
        self.access.get(text).filter(|token| token.expires_at > now)
    }

    pub(super) fn expire_access_tokens(&mut self) {
        self.access.clear();
    }

    /// Forgets everything that came of a person's sign-ins to an app.
    pub(super) fn forget(&mut self, client_id: &str, mail: &str) {
        self.codes.retain(|_, code| !code.grant.is_of(client_id, mail));
        self.refresh.retain(|_, token| !token.grant.is_of(client_id, mail));
    }

    /// Refresh tokens that would be accepted from this person now, over all apps.
    pub(super) fn live_refresh_tokens(&self, mail: &str, now: DateTime<Utc>, idle: TimeDelta) -> usize {
        let live = |token: &&RefreshToken| {
            token.grant.mail == mail && now - token.used_at < idle && self.standing(&token.grant).is_ok()
        };
        self.refresh.values().filter(live).count()
    }

    /// Remembers an assertion's id; false if it was used before.
    pub(super) fn first_use(&mut self, id: String, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.assertions.retain(|_, end| *end > now);
        self.assertions.insert(id, until).is_none()
    }

    /// Does what a grant rests on still stand: the account, its sessions, the consent, the policies?
    pub(super) fn standing(&self, grant: &Grant) -> Result<(), Refusal> {
        if self.apps.get(&grant.client_id).is_some_and(|app| app.disabled) {
            return Err(Refusal::new(7000112));
        }
        let user = self.user(&grant.mail).ok_or_else(|| Refusal::new(50034).with_error("invalid_grant"))?;
        if user.disabled {
            return Err(Refusal::new(50057));
        }
        if user.sessions_from > grant.since {
            return Err(Refusal::new(50173));
        }
        if let Some(access) = &user.access {
            return Err(Refusal::new(access.number).with_claims(access.claims.clone()));
        }
        let consented = self.consented(&grant.tenant, &grant.client_id, &grant.mail);
        if !grant.scopes.iter().any(|scope| consented.contains(scope)) {
            return Err(Refusal::new(65001));
        }
        Ok(())
    }

    /// The scopes that a token of a grant has now: those of signing in that were asked for, and everything consented to.
    pub(super) fn effective(&self, grant: &Grant, settings: &EntraSettings) -> BTreeSet<String> {
        let asked = grant.scopes.iter().filter(|scope| scopes::is_oidc(scope)).cloned();
        let consented = self.consented(&grant.tenant, &grant.client_id, &grant.mail).into_iter();
        let all = asked.chain(consented.filter(|scope| !scopes::is_oidc(scope)));
        all.filter(|scope| !settings.dropped_scopes.contains(scope)).collect()
    }
}

/// What a consent adds.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    pub(super) scopes: BTreeSet<String>,
    pub(super) roles: BTreeSet<String>,
}

impl Grant {
    /// Is a refresh token of this grant accepted on a segment of the path?
    pub(super) fn may_refresh_at(&self, segment: &Segment, settings: &EntraSettings) -> bool {
        let there = settings.refresh_at == RefreshAt::SameOrTenant && segment.tenant() == Some(&self.tenant);
        *segment == self.segment || there
    }
}
