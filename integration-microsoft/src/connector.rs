//! Microsoft as a connector: endpoints, scopes, accounts.

use std::sync::Arc;

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    connection::{
        AdminConsentEndpoint, Capability, ClientAuthentication, Connector, ConnectorProfile, Identity, OAuthEndpoints,
        OAuthSettings, RemoteAccount, ScopeRule, ScopeTable, TenantIssuers, TokenFailure, TokenFailureClass,
    },
    email::EmailProvider,
    error::{Actor, Remedy},
    http::{Failure, GrantSession, HttpFailure, Session},
    oauth::CallbackQuery,
    push::PushSource,
};
use serde::Deserialize;
use url::Url;

use crate::{
    client::{Client, Root},
    config::{
        ClientKind, Cloud, ContinuousAccess, Credential, MicrosoftConfig, MicrosoftEndpoints, SharedMailboxes,
        TenantKind,
    },
    error,
    outlook::{Outlook, OutlookPush},
    who::Who,
};

/// The organisation that all personal accounts are in.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The detail of an account that names its mailbox, where it is not the signed-in person's own.
pub(crate) const MAILBOX: &str = "mailbox";
const READ: &str = "Mail.Read";
const READ_SHARED: &str = "Mail.Read.Shared";
const SEND: &str = "Mail.Send";
const SEND_SHARED: &str = "Mail.Send.Shared";
const WRITE: &str = "Mail.ReadWrite";
const WRITE_SHARED: &str = "Mail.ReadWrite.Shared";
const USER: &str = "User.Read";
/// What answers need not name although it was granted.
const SIGN_IN: [&str; 4] = ["email", "offline_access", "openid", "profile"];
/// Tells the service that challenges are met.
const CHALLENGES_ARE_MET: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

/// One Microsoft client registration.
#[derive(Clone, Debug)]
pub struct Microsoft {
    profile: ConnectorProfile,
    who: Who,
    client: Client,
    kind: ClientKind,
    tenant: TenantKind,
    cloud: Cloud,
}

impl Microsoft {
    /// A connector of its configuration.
    ///
    /// # Errors
    /// `Misconfigured`, naming the field that is wrong; a certificate and its key are read and held against each other.
    pub fn new(config: MicrosoftConfig) -> Result<Self> {
        config.check()?;
        let endpoints = config.endpoints();
        let quota = config.quota.table_with(&config.quota_overrides);
        let concurrency = quota.concurrency;
        let oauth = oauth(&config, &endpoints)?;
        oauth.authentication.check().map_err(|error| error.with_service("microsoft"))?;
        let profile = ConnectorProfile::new(
            config.app,
            "microsoft",
            oauth,
            scopes(config.kind, config.shared_mailboxes, &endpoints),
            quota,
        )
        .with_host(&endpoints.graph)
        .with_host(&endpoints.uploads);
        let who = Who::new(&endpoints.graph);
        let client = Client::new(&endpoints.graph, config.batch_size, concurrency).named(&endpoints.resource);
        Ok(Self { profile, who, client, kind: config.kind, tenant: config.tenant, cloud: config.cloud })
    }
}

/// Source: <https://learn.microsoft.com/graph/permissions-reference>.
fn scopes(kind: ClientKind, shared: SharedMailboxes, endpoints: &MicrosoftEndpoints) -> ScopeTable {
    let alone = [
        ScopeRule::new(Capability::MailRead, &[READ], &[WRITE]),
        // What is sent is a draft first, so that it can be found again.
        ScopeRule::new(Capability::MailSend, &[SEND, WRITE], &[]),
        ScopeRule::new(Capability::MailModify, &[WRITE], &[]),
    ];
    let mut sending = ScopeRule::new(Capability::MailSend, &[SEND, SEND_SHARED, WRITE, WRITE_SHARED], &[]);
    sending.any_of.push([SEND, WRITE].map(str::to_owned).to_vec());
    let with_others = [
        ScopeRule::new(Capability::MailRead, &[READ, READ_SHARED], &[READ, WRITE]),
        sending,
        ScopeRule::new(Capability::MailModify, &[WRITE, WRITE_SHARED], &[WRITE]),
    ];
    let mut rules = match (kind, shared) {
        // What an administrator grants to an app covers every mailbox as it is.
        (ClientKind::AppOnly, _) => return ScopeTable::new(alone.to_vec()),
        (_, SharedMailboxes::None) => alone.to_vec(),
        (_, SharedMailboxes::Included) => with_others.to_vec(),
    };
    rules.insert(0, ScopeRule::new(Capability::Identity, &[USER], &[]));
    let named = [READ, READ_SHARED, SEND, SEND_SHARED, WRITE, WRITE_SHARED, USER];
    let table = ScopeTable::new(rules).with_always(&["openid", "profile", "offline_access", USER]);
    let table = table.with_unanswered(&SIGN_IN);
    named.iter().fold(table, |table, scope| table.with_alias(&format!("{}/{scope}", endpoints.resource), scope))
}

/// Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>.
fn oauth(config: &MicrosoftConfig, at: &MicrosoftEndpoints) -> Result<OAuthSettings> {
    let page = |path: &str| at.sign_in(&config.tenant, path);
    let mut endpoints = OAuthEndpoints::new(page("oauth2/v2.0/authorize")?, page("oauth2/v2.0/token")?);
    endpoints.discovery = Some(page("v2.0/.well-known/openid-configuration")?);
    endpoints.tenant_issuers = Some(issuers(config, at));
    endpoints.admin_consent = admin_consent(config, at);
    let authentication = match &config.credential {
        Some(Credential::Certificate { certificate, private_key }) => {
            let (certificate, private_key) = (certificate.clone(), private_key.clone());
            ClientAuthentication::Certificate { certificate, private_key }
        }
        Some(Credential::Secret(secret)) => ClientAuthentication::SecretInBody(secret.clone()),
        None => ClientAuthentication::None,
    };
    let mut settings = OAuthSettings::new(endpoints, &config.client_id, authentication);
    // No `prompt=consent`: it would ask the person again for what only an administrator may allow.
    settings.login_hint = Some("login_hint".to_owned());
    // `sub` differs from app to app; these two name the account.
    settings.subject = vec!["tid".to_owned(), "oid".to_owned()];
    settings.claims = (config.continuous_access == ContinuousAccess::On).then(|| CHALLENGES_ARE_MET.to_owned());
    settings.app_scope = (config.kind == ClientKind::AppOnly).then(|| format!("{}/.default", at.resource));
    Ok(settings)
}

/// Source: <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>.
fn issuers(config: &MicrosoftConfig, at: &MicrosoftEndpoints) -> TenantIssuers {
    let templates = at.issuers.iter().map(|root| format!("{root}/{{tenantid}}/v2.0"));
    let issuers = TenantIssuers::new(templates, "{tenantid}", "tid")
        .with_personal(PERSONAL)
        .with_allowed(config.allowed_tenants.iter().cloned());
    match &config.tenant {
        TenantKind::Consumers => issuers.with_allowed([PERSONAL]),
        // A domain's id is not known here: there the discovery document names the one issuer.
        TenantKind::Tenant(id) if !id.contains('.') => issuers.with_allowed([id.as_str()]),
        TenantKind::Common | TenantKind::Organizations | TenantKind::Tenant(_) => issuers,
    }
}

/// Source: <https://learn.microsoft.com/entra/identity-platform/v2-admin-consent>.
fn admin_consent(config: &MicrosoftConfig, at: &MicrosoftEndpoints) -> Option<AdminConsentEndpoint> {
    let any = match &config.tenant {
        TenantKind::Common | TenantKind::Organizations => "organizations",
        TenantKind::Consumers => return None,
        TenantKind::Tenant(name) => name,
    };
    let root = at.login.as_str().trim_end_matches('/');
    Some(AdminConsentEndpoint::new(format!("{root}/{{tenant}}/v2.0/adminconsent"), any))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: Option<String>,
    display_name: Option<String>,
    mail: Option<String>,
    user_principal_name: Option<String>,
}

impl User {
    /// Its addresses, the one that people know first. A guest's user name here is none.
    fn addresses(&self) -> Vec<String> {
        let both = [&self.mail, &self.user_principal_name].into_iter().flatten();
        let mut addresses: Vec<String> = Vec::new();
        for address in both.map(|one| one.to_lowercase()) {
            if address.contains('@') && !address.contains("#ext#") && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    fn account(&self, id: &str, otherwise: &str) -> RemoteAccount {
        let addresses = self.addresses();
        let label = self.mail.as_deref().or(addresses.first().map(String::as_str)).or(self.display_name.as_deref());
        let account = RemoteAccount::new(id, label.unwrap_or(otherwise));
        addresses.iter().fold(account, |account, address| account.with_address(address))
    }
}

impl Microsoft {
    /// The signed-in person's own mailbox, if there is one.
    async fn own(&self, session: &GrantSession, who: &Identity) -> Result<RemoteAccount> {
        let user: User = session.send(self.who.me()?).await?.json()?;
        match session.send(self.who.inbox(None)?).await {
            Ok(_) => {}
            // A grant without mail, or without reading it, still has its account.
            Err(error) if is_refusal(&error) && !error::is_no_mailbox(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(user.account(&who.subject, &who.subject))
    }

    /// A mailbox that the host named: proved with a call, as nothing else says that the grant reaches it.
    async fn named(&self, session: &GrantSession, name: &str) -> Result<RemoteAccount> {
        let user = match session.send(self.who.user(name)?).await {
            Ok(response) => Some(response.json::<User>()?),
            // Not every grant may read who people are.
            Err(error) if is_refusal(&error) => None,
            Err(error) => return Err(error),
        };
        let known = user.as_ref().and_then(|user| user.id.clone()).filter(|id| !id.is_empty());
        let mailbox = known.unwrap_or_else(|| name.to_lowercase());
        session.send(self.who.inbox(Some(&mailbox))?).await?;
        let organisation = session.identity().and_then(|who| who.claim("tid"));
        let organisation = organisation.map_or_else(|| self.tenant.to_string(), str::to_owned);
        let id = format!("{organisation}/{mailbox}");
        let account = match user {
            Some(user) => user.account(&id, name),
            None if name.contains('@') => RemoteAccount::new(id, name).with_address(name),
            None => RemoteAccount::new(id, name),
        };
        // Who may not read who people are knows the mailbox by its name alone, and may do so later, or no more.
        let by_name = format!("{organisation}/{}", name.to_lowercase());
        Ok(account.with_named(name).with_known_as(by_name).with_detail(MAILBOX, mailbox))
    }
}

#[async_trait]
impl Connector for Microsoft {
    fn profile(&self) -> &ConnectorProfile {
        &self.profile
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        error::classify(failure)
    }

    fn classify_token(&self, failure: &TokenFailure<'_>) -> TokenFailureClass {
        error::classify_token(failure)
    }

    async fn accounts(&self, session: &GrantSession, _: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        let (mut accounts, mut why): (Vec<RemoteAccount>, _) = (Vec::new(), None);
        if self.kind != ClientKind::AppOnly {
            let who = session.identity().ok_or_else(nobody)?;
            match self.own(session, who).await {
                Ok(account) => accounts.push(account),
                // Who has none of their own may still work in the team's.
                Err(error) if error::is_no_mailbox(&error) && !session.named().is_empty() => why = Some(error),
                Err(error) => return Err(error),
            }
        }
        for name in session.named() {
            match self.named(session, name).await {
                Ok(account) => match accounts.iter_mut().find(|known| known.id == account.id) {
                    Some(known) => known.named = account.named,
                    None => accounts.push(account),
                },
                Err(error) if is_refusal(&error) => why = why.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if accounts.is_empty() { Err(why.unwrap_or_else(none_named)) } else { Ok(accounts) }
    }

    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        let root = root_of(&session);
        Ok(Arc::new(Outlook::new(session, self.client.clone().at(root))))
    }

    fn push(&self, session: Session) -> Result<Arc<dyn PushSource>> {
        let root = root_of(&session);
        if self.kind != ClientKind::AppOnly && root != Root::Own {
            let message =
                "of a mailbox that others share the service tells only what an administrator's app asks it to";
            return Err(Error::new(ErrorKind::Unsupported, message).with_service("microsoft"));
        }
        Ok(Arc::new(OutlookPush::new(session, self.client.clone().at(root))))
    }

    fn removal_page(&self, account: &RemoteAccount) -> Option<Url> {
        let page = match self.cloud {
            Cloud::Global if account.id.starts_with(PERSONAL) => "https://account.live.com/consent/Manage",
            Cloud::Global => "https://myapps.microsoft.com/",
            Cloud::China | Cloud::UsGovernmentL4 | Cloud::UsGovernmentL5 => return None,
        };
        // The person takes back what was granted to a person; what an app has, an administrator does.
        Url::parse(page).ok().filter(|_| self.kind != ClientKind::AppOnly)
    }
}

/// The mailbox of a session's account.
fn root_of(session: &Session) -> Root {
    let account = session.parts().connection.as_ref().map(|(_, account)| account);
    let named = account.and_then(|account| account.details.get(MAILBOX));
    named.map_or(Root::Own, |mailbox| Root::Mailbox(mailbox.clone()))
}

/// The service says that it does not let the grant in there, or that there is nothing.
fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{InvalidInput, MissingScope, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidInput | MissingScope | NotFound | PermissionDenied)
}

fn nobody() -> Error {
    Error::new(ErrorKind::Validation, "the sign-in names nobody").with_service("microsoft")
}

fn none_named() -> Error {
    let cause = "No mailbox was named, and an app that acts on its own has none.";
    let remedy = Remedy::new(cause, Actor::Operator, "Name the mailboxes to connect, by user name or id.");
    Error::new(ErrorKind::InvalidInput, "no mailbox was named").with_service("microsoft").with_remedy(remedy)
}

#[cfg(test)]
mod tests;
