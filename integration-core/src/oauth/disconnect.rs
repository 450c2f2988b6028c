//! Ending a connection: revoked at the service, then forgotten.

use std::sync::Arc;

use url::Url;

use super::{
    connection_store::{CONNECTIONS, GRANTS, Stored, put},
    engine::SignIn,
    token_endpoint::{client_header, form_request},
    token_set::TokenSet,
};
use crate::{
    connection::{Connection, ConnectionStatus, Connector, GrantStatus, OAuthSettings},
    error::{Error, ErrorKind, Result},
    ids::{ConnectionId, GrantId, TenantId},
    push::Subscription,
    store::{LeaseKey, StateKey, StateWrite, forbid_reentry},
};

/// A person waits: a service that is down does not keep anybody from disconnecting.
const TRIES: usize = 2;

/// How much of a connection is forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forget {
    /// The rows of connection and grant as well. (What was synced is the caller's to erase.)
    Everything,
    /// The tokens; connection and grant stay as `Disconnected` and `Revoked`, and can be reconnected.
    SecretsOnly,
}

/// What a disconnection did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Disconnected {
    /// The connection as it was.
    pub connection: Connection,
    /// What became of the grant at the service.
    pub revocation: Revocation,
    /// Where the person can take back at the service what was allowed; absent where that has been done, or there is no such
    /// page. The app keeps its rights there until then, but here nothing is left to use them with.
    pub remove_at: Option<Url>,
    /// What the service goes on telling until it ends by itself, because it could not be asked to stop; notifications that
    /// name it are to be passed over. Absent: there was none, or it is ended.
    pub left_subscription: Option<Subscription>,
}

/// What became of a grant at its service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Revocation {
    /// The service did not know it any more.
    AlreadyDead,
    /// The service could not be asked; the tokens are deleted here all the same.
    Failed,
    /// There was nothing to revoke: no tokens, or an app without a person.
    Nothing,
    /// The service no longer accepts it.
    Revoked,
    /// Other connections live on the same grant: it stays.
    StillUsed,
    /// The service has no revocation: the person takes it back there ([`Disconnected::remove_at`]).
    Unsupported,
}

impl SignIn {
    /// Ends a connection. The grant is revoked at the service, and its tokens deleted, with its last connection.
    ///
    /// # Errors
    /// `NotFound` if there is no such connection; `Conflict` if this process was held up for so long that another one went on
    /// (it can be called again); `Store`. A service that cannot be reached is not an error.
    pub async fn disconnect(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        id: &ConnectionId,
        forget: Forget,
    ) -> Result<Disconnected> {
        forbid_reentry("disconnecting an account")?;
        let guard = self.engine.lease(&LeaseKey::new(["connect", tenant.as_str()])).await?;
        // Two slow calls may take longer than a lease lasts.
        self.engine.holding(guard, self.disconnect_alone(tenant, connector, id, forget)).await
    }

    async fn disconnect_alone(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        id: &ConnectionId,
        forget: Forget,
    ) -> Result<Disconnected> {
        let store = &self.engine.connections;
        let row = store.load_connection(tenant, id).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such connection"))?;
        let connection = row.value.clone();
        let siblings = store.connections_of_grant(tenant, &connection.grant).await?;
        let live =
            |other: &Stored<Connection>| other.value.id != *id && other.value.status != ConnectionStatus::Disconnected;
        let last = !siblings.iter().any(live);
        let revocation = if last {
            let revocation = self.revoke(tenant, connector, &connection.grant).await?;
            self.engine.parts.stores.tokens.delete(tenant, &connection.grant).await?;
            self.engine.forget(tenant, &connection.grant);
            revocation
        } else {
            Revocation::StillUsed
        };
        self.write_down(row, &siblings, last, forget).await?;
        let stands = matches!(revocation, Revocation::Failed | Revocation::Unsupported);
        let remove_at = stands.then(|| connector.removal_page(&connection.account)).flatten();
        Ok(Disconnected { connection, revocation, remove_at, left_subscription: None })
    }

    /// Revokes a grant at the service; what is stored here stays as it is.
    ///
    /// # Errors
    /// `Store` if the storage fails; `Validation` or `Misconfigured` if the tokens cannot be opened.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        connector: &Arc<dyn Connector>,
        grant: &GrantId,
    ) -> Result<Revocation> {
        forbid_reentry("revoking a grant")?;
        let Some((_, set)) = self.engine.load_tokens(tenant, grant).await? else { return Ok(Revocation::Nothing) };
        if set.assertion.is_some() {
            return Ok(Revocation::Nothing);
        }
        Ok(self.revoke_at(&connector.profile().oauth, &set).await)
    }

    async fn revoke_at(&self, oauth: &OAuthSettings, set: &TokenSet) -> Revocation {
        let Some(url) = &oauth.endpoints.revocation else { return Revocation::Unsupported };
        // The refresh token takes the access tokens with it.
        let token = set.refresh.as_ref().unwrap_or(&set.access);
        for _ in 0..TRIES {
            let body =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token.expose()).finish();
            let mut request = form_request(url.as_str(), body);
            // Services that want the client here get it in the form they get it in elsewhere: the header.
            if let Some(header) = client_header(oauth) {
                request.headers_mut().insert(http::header::AUTHORIZATION, header);
            }
            match self.endpoint().send(request).await {
                Ok(response) if response.status().is_success() => return Revocation::Revoked,
                Ok(response) if response.status() == http::StatusCode::BAD_REQUEST => {
                    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap_or_default();
                    let dead = matches!(body["error"].as_str(), Some("invalid_token" | "invalid_grant"));
                    return if dead { Revocation::AlreadyDead } else { Revocation::Failed };
                }
                Ok(response) if response.status().is_client_error() => return Revocation::Failed,
                Ok(_) | Err(_) => {}
            }
        }
        tracing::warn!("a grant could not be revoked at the service; its tokens are deleted here");
        Revocation::Failed
    }

    async fn write_down(
        &self,
        row: Stored<Connection>,
        siblings: &[Stored<Connection>],
        last: bool,
        forget: Forget,
    ) -> Result<()> {
        let store = &self.engine.connections;
        let (tenant, id, grant) = (&row.value.tenant, &row.value.id, &row.value.grant);
        match forget {
            Forget::SecretsOnly => {
                store
                    .update_connection(tenant, id, |connection| connection.status = ConnectionStatus::Disconnected)
                    .await?;
                if last {
                    let revoked = |grant: &mut crate::connection::Grant| grant.status = GrantStatus::Revoked;
                    store.update_grant((tenant, grant), self.engine.now(), revoked).await?;
                }
                Ok(())
            }
            Forget::Everything => {
                let mut writes = vec![StateWrite::delete(tenant, CONNECTIONS, StateKey::new([id]))];
                // Connections that were disconnected before keep their grant's row, and can be reconnected.
                if last && siblings.len() <= 1 {
                    writes.push(StateWrite::delete(tenant, GRANTS, StateKey::new([grant])));
                } else if last && let Some(mut row) = store.load_grant(tenant, grant).await? {
                    row.value.status = GrantStatus::Revoked;
                    writes.push(put(tenant, GRANTS, grant.as_str(), &row.value, Some(row.version))?);
                }
                store.commit(&writes).await
            }
        }
    }
}
