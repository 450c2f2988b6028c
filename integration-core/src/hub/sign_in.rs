//! Connecting and disconnecting.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument;

use super::{Erased, Hub};
use crate::{
    connection::{Connection, Connector, Grant, RemoteAccount},
    error::{Error, ErrorKind, Result},
    http::{Breaker, BreakerSettings, Credentials, GrantSession, Priority},
    ids::{AppId, ConnectionId, GrantId, TenantId},
    oauth::{
        AdminConsent, AdminConsentAsk, AppOnly, Authorisation, Authorise, BrowserBinding, Callback, CallbackQuery,
        Completion, ConnectOutcome, Disconnected, Forget, Revocation, SignInHost, SignedIn,
    },
    store::{StateKey, StateQuery},
    sync::Job,
};

impl Hub {
    /// Begins a sign-in: the URL to send the browser to, and the binding to put into its cookie.
    ///
    /// # Errors
    /// `Misconfigured` for an unknown app; `InvalidInput` for a redirect that is no URL; `Store`.
    pub async fn authorise(&self, tenant: &TenantId, app: &AppId, ask: Authorise) -> Result<Authorisation> {
        self.0.sign_in.authorise(tenant, self.connector(app)?, &ask).await
    }

    /// Ends a sign-in. Whatever a browser or a service can bring about is an outcome; `Err` is our own failure. The first
    /// syncs of granted connections are queued.
    ///
    /// # Errors
    /// `Store` or `Misconfigured`.
    pub async fn complete(&self, callback: &CallbackQuery, binding: &BrowserBinding) -> Result<Completion> {
        let (hub, callback) = (self.clone(), Callback::new(callback.clone(), Some(binding.clone())));
        // A task of its own: a browser that is closed must not cut off what a used code has already brought.
        let complete = async move {
            let completion = hub.0.sign_in.complete(&callback, &hub).await?;
            if let Some(tenant) = &completion.tenant {
                hub.queue_first(tenant, &completion.outcome).await?;
            }
            Ok(completion)
        };
        tokio::spawn(complete.in_current_span())
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the sign-in was cut short; begin it again")))
    }

    /// Connects accounts with the app's own key (service accounts): no browser.
    ///
    /// # Errors
    /// `Misconfigured` without a usable key; `Store`.
    pub async fn connect_app_only(&self, tenant: &TenantId, app: &AppId, ask: AppOnly) -> Result<Completion> {
        let completion = self.0.sign_in.connect_app_only(tenant, self.connector(app)?, &ask, self).await?;
        self.queue_first(tenant, &completion.outcome).await?;
        Ok(completion)
    }

    /// Asks for an administrator's consent: the record, with the address to hand on. The answer comes to [`Hub::complete`],
    /// in anybody's browser; a sign-in that is refused for lack of it makes the same record by itself.
    ///
    /// # Errors
    /// `Misconfigured` for an unknown app; `Unsupported` if the service has no such consent; `InvalidInput`; `Store`.
    pub async fn request_admin_consent(
        &self,
        tenant: &TenantId,
        app: &AppId,
        ask: &AdminConsentAsk,
    ) -> Result<AdminConsent> {
        self.0.sign_in.request_admin_consent(tenant, self.connector(app)?, ask).await
    }

    /// Every administrator's consent that the tenant waits for, or waited for.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn admin_consents(&self, tenant: &TenantId) -> Result<Vec<AdminConsent>> {
        self.0.sign_in.admin_consents(tenant).await
    }

    /// Revokes at the service (with the last connection of a grant) and forgets: the secrets, or everything synced too; the
    /// sink is told which activities went. Interrupted, it can be called again.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Conflict` while a worker that cannot be stopped from here still
    /// syncs it: try again; `Store`.
    pub async fn disconnect(&self, tenant: &TenantId, id: &ConnectionId, data: Forget) -> Result<Disconnected> {
        self.end(tenant, id, data).await.map(|(_, disconnected)| disconnected)
    }

    /// As [`Hub::disconnect`], with what was erased.
    pub(super) async fn end(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        data: Forget,
    ) -> Result<(Erased, Disconnected)> {
        let (connection, _) = self.known(tenant, id).await?;
        let connector = Arc::clone(self.connector(&connection.app)?);
        self.cancel_sync(tenant, id).await?;
        for job in [Job::audit(tenant, id), Job::decide_again(tenant, id), Job::replay_quarantine(tenant, id)] {
            self.0.scheduler.cancel(&job.key).await?;
        }
        // While its token works.
        let left = self.end_subscription(tenant, id).await?;
        // The connection's row goes last: whoever is interrupted can call again.
        let mut disconnected = self.0.sign_in.disconnect(tenant, &connector, id, Forget::SecretsOnly).await?;
        // From here on nobody can subscribe it; whoever did so in between is told of too.
        disconnected.left_subscription = left.or(self.end_subscription(tenant, id).await?);
        let mut erased = Erased::default();
        if data == Forget::Everything {
            erased = self.erase_connection(tenant, id).await?;
            self.0.sign_in.disconnect(tenant, &connector, id, Forget::Everything).await?;
        }
        if disconnected.revocation != Revocation::StillUsed {
            let grant = &disconnected.connection.grant;
            self.0.scheduler.cancel(&Job::keep_alive(tenant, grant).key).await?;
        }
        self.0.breakers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
        Ok((erased, disconnected))
    }

    /// Every connection of a tenant.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>> {
        let rows = self.0.sign_in.connections().list_connections(tenant).await?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// How many items of a connection are known and wait to be fetched.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn pending(&self, tenant: &TenantId, id: &ConnectionId) -> Result<u64> {
        let prefix = StateKey::new([id.as_str()]).below();
        let query = StateQuery::Count { tenant: tenant.clone(), space: "pending", prefix };
        Ok(self.0.stores.sync.read(&query).await?.first().map_or(0, |row| row.version))
    }

    pub(super) async fn known(&self, tenant: &TenantId, id: &ConnectionId) -> Result<(Connection, Grant)> {
        let unknown = || Error::new(ErrorKind::NotFound, "this tenant has no such connection");
        let rows = self.0.sign_in.connections();
        let connection = rows.load_connection(tenant, id).await?.ok_or_else(unknown)?.value;
        let grant = rows.load_grant(tenant, &connection.grant).await?.ok_or_else(unknown)?.value;
        Ok((connection, grant))
    }

    pub(super) fn credentials(&self, grant: &Grant) -> Result<Arc<dyn Credentials>> {
        let connector = self.connector(&grant.app)?;
        Ok(Arc::new(self.0.sign_in.credentials(&grant.tenant, &grant.id, connector)))
    }

    pub(super) async fn keep_alive(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        let unknown = || Error::new(ErrorKind::NotFound, "this tenant has no such grant");
        let row = self.0.sign_in.connections().load_grant(tenant, grant).await?.ok_or_else(unknown)?;
        self.0.sign_in.keep_alive(tenant, grant, self.connector(&row.value.app)?).await?;
        Ok(())
    }

    async fn queue_first(&self, tenant: &TenantId, outcome: &ConnectOutcome) -> Result<()> {
        let (ConnectOutcome::Granted { grant, connections }
        | ConnectOutcome::GrantedInPart { grant, connections, .. }
        | ConnectOutcome::NeedsAttention { grant, connections, .. }) = outcome
        else {
            return Ok(());
        };
        for connection in connections {
            self.sync_now(tenant, &connection.id).await?;
            if !super::outbox::is_synced(connection) {
                self.outbox_changed(tenant, &connection.id).await?;
            }
        }
        self.0.scheduler.schedule(&Job::retention(tenant), super::retention::DAILY).await?;
        self.0.scheduler.schedule(&Job::keep_alive(tenant, grant), super::jobs::KEEP_ALIVE).await
    }
}

#[async_trait]
impl SignInHost for Hub {
    fn connector(&self, app: &AppId) -> Result<Arc<dyn Connector>> {
        Self::connector(self, app).cloned()
    }

    async fn accounts(
        &self,
        connector: &Arc<dyn Connector>,
        grant: &Grant,
        credentials: Arc<dyn Credentials>,
        known: &SignedIn<'_>,
    ) -> Result<Vec<RemoteAccount>> {
        let breaker = Arc::new(Breaker::new(BreakerSettings::default()));
        let session = GrantSession::new(self.parts(grant, None, breaker, Priority::Interactive, credentials)?)
            .with_identity(known.identity.clone())
            .with_named(known.named.clone());
        connector.accounts(&session, known.callback).await
    }
}
