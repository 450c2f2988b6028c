//! From tokens to a grant and its connections.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    callback::CallbackQuery,
    complete::{Arrived, SignInHost, SignedIn, try_again},
    connection_store::{CONNECTIONS, GRANTS, Stored, grant_events, put},
    credentials::FixedCredentials,
    engine::SignIn,
    outcome::ConnectOutcome,
    token_set::TokenSet,
};
use crate::{
    connection::{
        AuthorisationStyle, Capability, Connection, ConnectionStatus, Connector, Grant, GrantKind, GrantStatus,
        RemoteAccount,
    },
    error::{Actor, Error, ErrorKind, Remedy, Result, Retry},
    event::EventKind,
    ids::{ConnectionId, GrantId, TenantId},
    store::{GrantKey, LeaseKey, Saved, StateWrite},
};

/// A refresh or the host's own change may come in between, but not this often.
const TRIES: usize = 10;

/// Where arrived tokens go.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) connector: &'a Arc<dyn Connector>,
    pub(super) reconnect: Option<&'a ConnectionId>,
    pub(super) another_account_allowed: bool,
}

impl SignIn {
    /// Finds the accounts and stores: tokens first, then grant and connections in one transaction.
    pub(super) async fn settle(
        &self,
        target: &Target<'_>,
        arrived: Arrived,
        callback: Option<&CallbackQuery>,
        host: &dyn SignInHost,
    ) -> Result<ConnectOutcome> {
        let table = &target.connector.profile().scopes;
        let before = match target.reconnect {
            Some(id) => self.engine.connections.load_connection(target.tenant, id).await?,
            None => None,
        };
        let scopes = self.granted_scopes(target, &arrived, before.as_ref()).await?;
        let allowed = table.allowed(&scopes);
        let missing: BTreeSet<Capability> = arrived.asked.difference(&allowed).copied().collect();
        let useful = allowed.iter().any(|capability| *capability != Capability::Identity);
        if !useful && !missing.is_empty() {
            return Ok(ConnectOutcome::Refused { missing });
        }
        let accounts = match self.find_accounts(target, &arrived, &scopes, callback, host).await {
            Ok(accounts) => self.under_first_keys(target, accounts).await?,
            Err(error) => return Ok(accounts_error(&error)),
        };
        if let Some(other) = other_account(target, before.as_ref(), &accounts) {
            return Ok(other);
        }
        // One at a time per tenant: two sign-ins for the same new account must not make two connections of it.
        let guard = self.engine.lease(&LeaseKey::new(["connect", target.tenant.as_str()])).await?;
        let arriving = Arriving { arrived, scopes, allowed, accounts };
        let stored = self.store(target, &arriving).await;
        self.engine.release(guard).await;
        let (grant, connections, lasts) = stored?;
        self.admin_proved(target, arriving.arrived.identity.as_ref()).await;
        Ok(if !lasts {
            ConnectOutcome::NeedsAttention { grant, connections, remedy: no_refresh_token() }
        } else if arriving.unopened() {
            ConnectOutcome::NeedsAttention { grant, connections, remedy: not_all_opened() }
        } else if missing.is_empty() {
            ConnectOutcome::Granted { grant, connections }
        } else {
            ConnectOutcome::GrantedInPart { grant, connections, missing }
        })
    }

    /// What was granted: the answer's scopes, or, where it names none, those that were asked for.
    async fn granted_scopes(
        &self,
        target: &Target<'_>,
        arrived: &Arrived,
        before: Option<&Stored<Connection>>,
    ) -> Result<BTreeSet<String>> {
        let profile = target.connector.profile();
        if let Some(scopes) = &arrived.answer.scopes {
            return Ok(profile.scopes.normalise(scopes.iter().map(String::as_str)));
        }
        let mut scopes = arrived.requested.clone();
        if let (AuthorisationStyle::Additive, Some(before)) = (profile.oauth.style, before) {
            let grant = self.engine.connections.load_grant(target.tenant, &before.value.grant).await?;
            scopes.extend(grant.into_iter().flat_map(|grant| grant.value.scopes));
        }
        Ok(scopes)
    }

    async fn find_accounts(
        &self,
        target: &Target<'_>,
        arrived: &Arrived,
        scopes: &BTreeSet<String>,
        callback: Option<&CallbackQuery>,
        host: &dyn SignInHost,
    ) -> Result<Vec<RemoteAccount>> {
        let app = target.connector.profile().app.clone();
        let id = GrantId::new(self.engine.fresh_id("grant"));
        let mut grant = Grant::new(id, target.tenant.clone(), app, arrived.kind.clone(), self.engine.now());
        grant.scopes.clone_from(scopes);
        grant.subject.clone_from(&arrived.subject);
        let token = TokenSet::granted(&arrived.answer, scopes.clone(), self.engine.now()).token();
        let credentials = Arc::new(FixedCredentials(token));
        let known = SignedIn { callback, identity: arrived.identity.clone(), named: arrived.named.clone() };
        let accounts = host.accounts(target.connector, &grant, credentials, &known).await?;
        if accounts.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "the sign-in opens no account"));
        }
        Ok(accounts)
    }

    /// An account that was connected under another of its keys keeps that one.
    async fn under_first_keys(
        &self,
        target: &Target<'_>,
        mut accounts: Vec<RemoteAccount>,
    ) -> Result<Vec<RemoteAccount>> {
        let known = self.engine.connections.list_connections(target.tenant).await?;
        let app = &target.connector.profile().app;
        let known: Vec<&RemoteAccount> =
            known.iter().filter(|row| row.value.app == *app).map(|row| &row.value.account).collect();
        for at in 0..accounts.len() {
            let account = &accounts[at];
            let by_itself = known.iter().any(|known| known.id == account.id);
            let Some(first) = known.iter().find(|known| account.goes_by(known)).filter(|_| !by_itself) else {
                continue;
            };
            if accounts.iter().any(|other| other.id == first.id) {
                continue;
            }
            let account = &mut accounts[at];
            let mut kept = std::mem::replace(account, RemoteAccount::new(&first.id, ""));
            let latest = std::mem::replace(&mut kept.id, first.id.clone());
            *account = first.known_as.iter().fold(kept.with_known_as(latest), RemoteAccount::with_known_as);
        }
        Ok(accounts)
    }

    /// Stores everything. The last part of the answer: will it last without the person?
    async fn store(&self, target: &Target<'_>, arriving: &Arriving) -> Result<(GrantId, Vec<Connection>, bool)> {
        let fresh_id = GrantId::new(self.engine.fresh_id("grant"));
        for _ in 0..TRIES {
            let known = self.engine.connections.list_connections(target.tenant).await?;
            let grant = self.target_grant(target, arriving, &known).await?;
            let (id, expect) = match &grant {
                Some(row) => (row.value.id.clone(), Some(row.version)),
                None => (fresh_id.clone(), None),
            };
            let lasts = self.store_tokens(target.tenant, &id, arriving).await?;
            let before = grant.as_ref().map(|row| row.value.clone());
            let mut value = match grant {
                Some(row) => row.value,
                None => self.fresh_grant(target, arriving, id.clone()),
            };
            value.kind = arriving.arrived.kind.clone();
            value.scopes.clone_from(&arriving.scopes);
            value.status = GrantStatus::Active;
            if arriving.arrived.subject.is_some() {
                value.subject.clone_from(&arriving.arrived.subject);
            }
            let mut writes = vec![put(target.tenant, GRANTS, id.as_str(), &value, expect)?];
            let mut events = grant_events(before.as_ref(), &value, known.iter().map(|row| &row.value));
            let lost = known.iter().filter(|row| arriving.loses(&row.value, &value));
            events.extend(lost.map(|row| {
                let remedy = crate::connection::no_longer_opened();
                (Some(row.value.id.clone()), EventKind::NeedsAttention { grant: Some(value.id.clone()), remedy })
            }));
            let connections = self.connection_rows(target, arriving, &value, known, &mut writes)?;
            let stamp = (target.tenant, self.engine.now());
            match self.engine.connections.commit_telling(stamp, &writes, events).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done.map(|()| (id, connections, lasts)),
            }
        }
        Err(busy())
    }

    fn fresh_grant(&self, target: &Target<'_>, arriving: &Arriving, id: GrantId) -> Grant {
        let app = target.connector.profile().app.clone();
        Grant::new(id, target.tenant.clone(), app, arriving.arrived.kind.clone(), self.engine.now())
    }

    /// The grant that is given anew: the reauthorised one, or the same person's for one of the same accounts.
    async fn target_grant(
        &self,
        target: &Target<'_>,
        arriving: &Arriving,
        known: &[Stored<Connection>],
    ) -> Result<Option<Stored<Grant>>> {
        let app = &target.connector.profile().app;
        let matching = known.iter().filter(|row| row.value.app == *app && arriving.opens(&row.value.account.id));
        let (reauthorised, others): (Vec<_>, Vec<_>) =
            matching.partition(|row| target.reconnect.is_some_and(|id| row.value.id == *id));
        for row in reauthorised.iter().chain(&others) {
            let Some(grant) = self.engine.connections.load_grant(target.tenant, &row.value.grant).await? else {
                continue;
            };
            let same_person = match (&grant.value.subject, &arriving.arrived.subject) {
                (Some(before), Some(now)) => before == now,
                _ => true,
            };
            // The person may have changed on purpose (a colleague reconnects the company's ledger).
            if same_person || target.reconnect == Some(&row.value.id) {
                return Ok(Some(grant));
            }
        }
        self.own_grant(target, arriving).await
    }

    /// An app has one grant of its own for whom it acts for, however many accounts it is given one after the other.
    async fn own_grant(&self, target: &Target<'_>, arriving: &Arriving) -> Result<Option<Stored<Grant>>> {
        if arriving.arrived.kind == GrantKind::Delegated {
            return Ok(None);
        }
        let (app, kind) = (&target.connector.profile().app, &arriving.arrived.kind);
        let grants = self.engine.connections.list_grants(target.tenant).await?;
        Ok(grants.into_iter().find(|row| row.value.app == *app && row.value.kind == *kind))
    }

    /// Seals and stores the tokens. A refresh that is under way elsewhere loses: these are newer.
    async fn store_tokens(&self, tenant: &TenantId, grant: &GrantId, arriving: &Arriving) -> Result<bool> {
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        for _ in 0..TRIES {
            let before = self.engine.load_tokens(tenant, grant).await?;
            let mut set = TokenSet::granted(&arriving.arrived.answer, arriving.scopes.clone(), self.engine.now());
            set.assertion.clone_from(&arriving.arrived.assertion);
            // No new refresh token: the old one stands, unless it was refused already.
            let kept = before.as_ref().filter(|(_, old)| set.refresh.is_none() && old.refused.is_none());
            if let Some((_, old)) = kept {
                set.refresh.clone_from(&old.refresh);
                set.refresh_expires_at = old.refresh_expires_at;
            }
            let lasts = set.refresh.is_some() || set.assertion.is_some();
            let expect = before.map(|(version, _)| version);
            if matches!(self.engine.save_tokens(&key, expect, &set).await?, Saved::Stored(_)) {
                self.engine.forget(tenant, grant);
                return Ok(lasts);
            }
        }
        Err(busy())
    }

    /// The connections to write: known accounts keep their ids; what the grant no longer opens needs somebody.
    fn connection_rows(
        &self,
        target: &Target<'_>,
        arriving: &Arriving,
        grant: &Grant,
        known: Vec<Stored<Connection>>,
        writes: &mut Vec<StateWrite>,
    ) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for account in &arriving.accounts {
            let found = known.iter().find(|row| row.value.app == grant.app && row.value.account.id == account.id);
            let mut connection = match found {
                Some(row) => row.value.clone(),
                None => {
                    let id = ConnectionId::new(self.engine.fresh_id("connection"));
                    let mut fresh = Connection::new(id, grant, account.clone(), BTreeSet::new());
                    fresh.created_at = self.engine.now();
                    fresh
                }
            };
            connection.grant = grant.id.clone();
            connection.account = account.clone();
            connection.capabilities.clone_from(&arriving.allowed);
            if connection.status != ConnectionStatus::Paused {
                connection.status = ConnectionStatus::Active;
            }
            let expect = found.map(|row| row.version);
            writes.push(put(target.tenant, CONNECTIONS, connection.id.as_str(), &connection, expect)?);
            connections.push(connection);
        }
        for mut row in known {
            let lost = arriving.loses(&row.value, grant);
            if lost || arriving.revives(&row.value, grant) {
                row.value.status = if lost { ConnectionStatus::NeedsAttention } else { ConnectionStatus::Active };
                writes.push(put(target.tenant, CONNECTIONS, row.value.id.as_str(), &row.value, Some(row.version))?);
            }
        }
        Ok(connections)
    }
}

/// What is about to be stored.
struct Arriving {
    arrived: Arrived,
    scopes: BTreeSet<String>,
    allowed: BTreeSet<Capability>,
    accounts: Vec<RemoteAccount>,
}

impl Arriving {
    fn opens(&self, account: &str) -> bool {
        self.accounts.iter().any(|known| known.id == account)
    }

    /// Does a working connection of the grant no longer open? What was not named this time was not tried.
    fn loses(&self, connection: &Connection, grant: &Grant) -> bool {
        self.untouched(connection, grant) && self.tried(connection) && connection.status == ConnectionStatus::Active
    }

    /// Does a connection that was not tried follow its grant, which lives again?
    fn revives(&self, connection: &Connection, grant: &Grant) -> bool {
        let waits = connection.status == ConnectionStatus::NeedsAttention;
        self.untouched(connection, grant) && !self.tried(connection) && waits
    }

    fn untouched(&self, connection: &Connection, grant: &Grant) -> bool {
        connection.grant == grant.id && connection.app == grant.app && !self.opens(&connection.account.id)
    }

    fn tried(&self, connection: &Connection) -> bool {
        connection.account.named.as_ref().is_none_or(|name| self.arrived.named.contains(name))
    }

    /// Was an account named that is not among those that open?
    fn unopened(&self) -> bool {
        let opened = |name: &String| self.accounts.iter().any(|account| account.named.as_ref() == Some(name));
        !self.arrived.named.iter().all(opened)
    }
}

/// Is the account to be reauthorised missing from what was signed in to?
fn other_account(
    target: &Target<'_>,
    before: Option<&Stored<Connection>>,
    accounts: &[RemoteAccount],
) -> Option<ConnectOutcome> {
    let expected = &before?.value.account;
    if target.another_account_allowed || accounts.iter().any(|account| account.id == expected.id) {
        return None;
    }
    let chosen = accounts.first().map(|account| account.label.clone()).unwrap_or_default();
    Some(ConnectOutcome::OtherAccount { expected: expected.label.clone(), chosen })
}

fn accounts_error(error: &Error) -> ConnectOutcome {
    tracing::warn!(error = %error, "the accounts of a sign-in could not be found");
    let remedy = error.remedy().cloned().unwrap_or_else(|| match error.kind() {
        ErrorKind::NotFound => {
            let cause = "The sign-in worked, but there is no account behind it that can be connected.";
            Remedy::new(cause, Actor::Person, "Sign in with an account that has what is to be connected.")
        }
        _ => try_again(),
    });
    ConnectOutcome::ServiceError { error: error.kind().as_str().to_owned(), remedy }
}

fn no_refresh_token() -> Remedy {
    let cause = "The service gave access for a short time only (no refresh token).";
    Remedy::new(cause, Actor::Operator, "Let the app ask for offline access, then connect the account again.")
}

fn not_all_opened() -> Remedy {
    let cause = "Not every account that was named can be opened with this sign-in.";
    Remedy::new(cause, Actor::Administrator, "Check the names of those that are missing, and the rights to them.")
}

fn busy() -> Error {
    let message = "the stored sign-in changed each time it was about to be written";
    Error::new(ErrorKind::Conflict, message).with_retry(Retry::Temporary)
}
