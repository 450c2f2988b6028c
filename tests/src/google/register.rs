//! Who and what is registered, and what was granted: apps, people, consents, codes and tokens.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use integration_core::clock::Random;
use serde::{Deserialize, Serialize};

use super::{OauthSettings, scopes};

/// Live refresh tokens per account and client; one more and the oldest dies without a word.
const REFRESH_TOKENS: usize = 100;
/// How long refresh tokens live while an app's publishing status is "Testing".
const TESTING_DAYS: i64 = 7;

/// One client registration.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AppRegistration {
    /// The client id.
    pub client_id: String,
    /// The secret; absent: nobody checks it.
    pub client_secret: Option<String>,
    /// Where browsers may be sent back to, byte for byte.
    pub redirect_uris: Vec<String>,
    /// An installed app: any loopback port is a registered redirect, a refresh token always comes, grants never add up.
    pub desktop: bool,
    /// Publishing status "Testing": refresh tokens die after seven days.
    pub testing: bool,
}

impl AppRegistration {
    /// An installed app without a secret.
    #[must_use]
    pub fn desktop(client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self { client_id, client_secret: None, redirect_uris: Vec::new(), desktop: true, testing: false }
    }

    /// A web application.
    #[must_use]
    pub fn web(client_id: impl Into<String>, secret: impl Into<String>, redirect: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: Some(secret.into()),
            redirect_uris: vec![redirect.into()],
            desktop: false,
            testing: false,
        }
    }

    /// The same app in publishing status "Testing".
    #[must_use]
    pub fn in_testing(mut self) -> Self {
        self.testing = true;
        self
    }
}

/// A person with an account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Person {
    /// The address, in lower case.
    pub address: String,
    /// The full name.
    pub name: String,
    /// The stable subject.
    pub subject: String,
}

impl Person {
    fn new(address: &str, name: &str) -> Self {
        let address = address.to_lowercase();
        let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, address.as_bytes());
        let number = print.as_ref().iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Self { subject: format!("1{number:020}"), address, name: name.to_owned() }
    }

    /// The Workspace domain, unless the address is a consumer's.
    pub(super) fn hosted_domain(&self) -> Option<&str> {
        let (_, domain) = self.address.rsplit_once('@')?;
        (!matches!(domain, "gmail.com" | "googlemail.com")).then_some(domain)
    }
}

/// A service account with domain-wide delegation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceAccount {
    /// Its address: the assertion's `iss`.
    pub address: String,
    /// Its client id, to which scopes are delegated.
    pub client_id: String,
    /// The id of its key.
    pub key_id: String,
    /// Its public key (PKCS#1 or SubjectPublicKeyInfo), base64 of the DER form.
    pub public_key: String,
    /// The scopes an administrator delegated.
    pub scopes: BTreeSet<String>,
}

impl ServiceAccount {
    /// A service account that signs with `key`.
    #[must_use]
    pub fn new(address: &str, client_id: &str, key: &super::SigningKey, scopes: &[&str]) -> Self {
        Self {
            address: address.to_lowercase(),
            client_id: client_id.to_owned(),
            key_id: key.id().to_owned(),
            public_key: STANDARD.encode(key.public_der()),
            scopes: scopes.iter().map(|scope| scopes::normalise(scope)).collect(),
        }
    }
}

/// Who granted what to whom.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) address: String,
    pub(super) scopes: BTreeSet<String>,
}

impl Grant {
    fn is_of(&self, client_id: &str, address: &str) -> bool {
        self.client_id == client_id && self.address == address
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
    /// Does a refresh token come with it?
    pub(super) offline: bool,
    pub(super) expires_at: DateTime<Utc>,
    /// What was issued for it, once used.
    pub(super) used: Option<Issued>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct AccessToken {
    pub(super) grant: Grant,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RefreshToken {
    pub(super) grant: Grant,
    number: u64,
    used_at: DateTime<Utc>,
    /// When it ends by the status of its app.
    expires_at: Option<DateTime<Utc>>,
    /// When it ends because another took its place.
    replaced_at: Option<DateTime<Utc>>,
}

/// What a request of the token endpoint gave out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Issued {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
}

/// Everything that sign-in remembers.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Register {
    apps: BTreeMap<String, AppRegistration>,
    people: Vec<Person>,
    service_accounts: BTreeMap<String, ServiceAccount>,
    consents: Vec<Grant>,
    codes: BTreeMap<String, Code>,
    access: BTreeMap<String, AccessToken>,
    refresh: BTreeMap<String, RefreshToken>,
    issued: u64,
}

impl Register {
    pub(super) fn add_app(&mut self, app: AppRegistration) {
        self.apps.insert(app.client_id.clone(), app);
    }

    pub(super) fn app(&self, client_id: &str) -> Option<&AppRegistration> {
        self.apps.get(client_id)
    }

    pub(super) fn add_person(&mut self, address: &str, name: &str) {
        let person = Person::new(address, name);
        match self.people.iter_mut().find(|known| known.address == person.address) {
            Some(known) => *known = person,
            None => self.people.push(person),
        }
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    /// A person by address or subject, as hints name them.
    pub(super) fn person(&self, hint: &str) -> Option<&Person> {
        let address = hint.to_lowercase();
        self.people.iter().find(|person| person.address == address || person.subject == hint)
    }

    pub(super) fn add_service_account(&mut self, account: ServiceAccount) {
        self.service_accounts.insert(account.address.clone(), account);
    }

    pub(super) fn service_account(&self, address: &str) -> Option<&ServiceAccount> {
        self.service_accounts.get(&address.to_lowercase())
    }

    /// Everything the person ever granted to the client and did not take back.
    pub(super) fn consented(&self, client_id: &str, address: &str) -> BTreeSet<String> {
        let grant = self.consents.iter().find(|grant| grant.is_of(client_id, address));
        grant.map(|grant| grant.scopes.clone()).unwrap_or_default()
    }

    /// Remembers a consent.
    pub(super) fn consent(&mut self, grant: &Grant) {
        match self.consents.iter_mut().find(|known| known.is_of(&grant.client_id, &grant.address)) {
            Some(known) => known.scopes.extend(grant.scopes.iter().cloned()),
            None => self.consents.push(grant.clone()),
        }
    }

    pub(super) fn add_code(&mut self, random: &dyn Random, code: Code) -> String {
        self.codes.retain(|_, old| old.expires_at + TimeDelta::days(1) > code.expires_at);
        let text = format!("4/0{}", random.token(36));
        self.codes.insert(text.clone(), code);
        text
    }

    pub(super) fn code(&mut self, text: &str) -> Option<&mut Code> {
        self.codes.get_mut(text)
    }

    /// A new access token for a grant.
    pub(super) fn issue_access(
        &mut self,
        grant: &Grant,
        random: &dyn Random,
        now: DateTime<Utc>,
        settings: &OauthSettings,
    ) -> String {
        self.access.retain(|_, token| token.expires_at > now);
        let text = format!("ya29.a0{}", random.token(60));
        let expires_at = now + TimeDelta::from_std(settings.token_life).unwrap_or(TimeDelta::MAX);
        self.access.insert(text.clone(), AccessToken { grant: grant.clone(), expires_at });
        text
    }

    /// A new refresh token for a grant; the oldest of the account at this client dies if there are too many.
    pub(super) fn issue_refresh(&mut self, grant: &Grant, random: &dyn Random, now: DateTime<Utc>) -> String {
        let testing = self.apps.get(&grant.client_id).is_some_and(|app| app.testing);
        let exempt = grant.scopes.iter().all(|scope| scopes::is_sign_in(scope));
        let expires_at = (testing && !exempt).then(|| now + TimeDelta::days(TESTING_DAYS));
        let text = self.insert_refresh(grant, random, now, expires_at);
        let mut live: Vec<(u64, String)> = self
            .refresh
            .iter()
            .filter(|(_, token)| token.grant.is_of(&grant.client_id, &grant.address) && token.replaced_at.is_none())
            .map(|(text, token)| (token.number, text.clone()))
            .collect();
        live.sort_unstable();
        for (_, text) in live.iter().rev().skip(REFRESH_TOKENS) {
            self.refresh.remove(text);
        }
        text
    }

    fn insert_refresh(
        &mut self,
        grant: &Grant,
        random: &dyn Random,
        now: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
    ) -> String {
        self.issued += 1;
        let text = format!("1//0{}", random.token(48));
        let token =
            RefreshToken { grant: grant.clone(), number: self.issued, used_at: now, expires_at, replaced_at: None };
        self.refresh.insert(text.clone(), token);
        text
    }

    /// Uses a refresh token: its grant, and the token that takes its place if tokens rotate.
    pub(super) fn use_refresh(
        &mut self,
        text: &str,
        client_id: &str,
        random: &dyn Random,
        now: DateTime<Utc>,
        settings: &OauthSettings,
    ) -> Option<(Grant, Option<String>)> {
        let idle = TimeDelta::from_std(settings.refresh_idle_life).unwrap_or(TimeDelta::MAX);
        let token = self.refresh.get_mut(text).filter(|token| token.grant.client_id == client_id)?;
        let ended = token.expires_at.is_some_and(|end| end <= now)
            || token.replaced_at.is_some_and(|end| end <= now)
            || now - token.used_at >= idle;
        if ended {
            self.refresh.remove(text);
            return None;
        }
        token.used_at = now;
        let (grant, expires_at) = (token.grant.clone(), token.expires_at);
        if !settings.rotate_refresh_tokens {
            return Some((grant, None));
        }
        let grace = TimeDelta::from_std(settings.rotation_grace).unwrap_or(TimeDelta::MAX);
        token.replaced_at.get_or_insert(now + grace);
        let next = self.insert_refresh(&grant, random, now, expires_at);
        Some((grant, Some(next)))
    }

    /// The access token's grant and end, while it is good.
    pub(super) fn access(&self, text: &str, now: DateTime<Utc>) -> Option<&AccessToken> {
        self.access.get(text).filter(|token| token.expires_at > now)
    }

    pub(super) fn expire_access_tokens(&mut self) {
        self.access.clear();
    }

    /// Takes back what was issued for a code that came a second time.
    pub(super) fn withdraw(&mut self, issued: &Issued) {
        self.access.remove(&issued.access);
        if let Some(refresh) = &issued.refresh {
            self.refresh.remove(refresh);
        }
    }

    /// Revokes the whole grant that a token belongs to; false if no live token is called so.
    pub(super) fn revoke_token(&mut self, text: &str, now: DateTime<Utc>) -> bool {
        let access = self.access(text, now).map(|token| &token.grant);
        let Some(grant) = access.or_else(|| self.refresh.get(text).map(|token| &token.grant)).cloned() else {
            return false;
        };
        self.revoke(|other| other.is_of(&grant.client_id, &grant.address));
        true
    }

    /// Revokes everything a person granted, to whomever.
    pub(super) fn revoke_person(&mut self, address: &str) {
        let address = address.to_lowercase();
        self.revoke(|grant| grant.address == address);
    }

    fn revoke(&mut self, is_meant: impl Fn(&Grant) -> bool) {
        self.consents.retain(|grant| !is_meant(grant));
        self.codes.retain(|_, code| !is_meant(&code.grant));
        self.access.retain(|_, token| !is_meant(&token.grant));
        self.refresh.retain(|_, token| !is_meant(&token.grant));
    }

    /// The person takes one scope back, as the account's page allows.
    pub(super) fn withdraw_scope(&mut self, address: &str, scope: &str) {
        let (address, scope) = (address.to_lowercase(), scopes::normalise(scope));
        let grants = self
            .consents
            .iter_mut()
            .chain(self.access.values_mut().map(|token| &mut token.grant))
            .chain(self.refresh.values_mut().map(|token| &mut token.grant));
        for grant in grants.filter(|grant| grant.address == address) {
            grant.scopes.remove(&scope);
        }
    }

    /// Refresh tokens that would be accepted from this person now, over all clients.
    pub(super) fn live_refresh_tokens(&self, address: &str, now: DateTime<Utc>) -> usize {
        let address = address.to_lowercase();
        let live = |token: &&RefreshToken| {
            token.grant.address == address
                && token.expires_at.is_none_or(|end| end > now)
                && token.replaced_at.is_none_or(|end| end > now)
        };
        self.refresh.values().filter(live).count()
    }
}
