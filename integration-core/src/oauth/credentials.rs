//! A grant's credentials, as sessions use them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tracing::Instrument;

use super::{
    engine::{Engine, SignIn},
    refresh::{Need, Refresher, Slot},
};
use crate::{
    connection::Connector,
    error::{Error, ErrorKind, Result},
    http::{AccessToken, Credentials},
    ids::{GrantId, TenantId},
    store::{GrantKey, forbid_reentry},
};

/// The access tokens of one grant: never an ended one, refreshed ahead, one refresh at a time over all processes.
#[derive(Clone)]
pub struct GrantCredentials {
    engine: Arc<Engine>,
    connector: Arc<dyn Connector>,
    key: GrantKey,
    slot: Arc<Slot>,
}

/// What [`SignIn::keep_alive`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeptAlive {
    /// It was refreshed recently: nothing was asked.
    Fresh,
    /// It was refreshed now.
    Renewed,
}

impl SignIn {
    /// The credentials of a grant; what they remember is shared with every other value for the same grant.
    #[must_use]
    pub fn credentials(&self, tenant: &TenantId, grant: &GrantId, connector: &Arc<dyn Connector>) -> GrantCredentials {
        GrantCredentials {
            engine: Arc::clone(&self.engine),
            connector: Arc::clone(connector),
            key: GrantKey { tenant: tenant.clone(), grant: grant.clone() },
            slot: self.engine.slot(tenant, grant),
        }
    }

    /// Refreshes a grant that was not refreshed for [`SignInSettings::idle_after`](super::SignInSettings::idle_after):
    /// some services let unused sign-ins lapse.
    ///
    /// # Errors
    /// As [`Credentials::access`].
    pub async fn keep_alive(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        connector: &Arc<dyn Connector>,
    ) -> Result<KeptAlive> {
        forbid_reentry("keeping a grant alive")?;
        self.engine.try_ask_time().await;
        let limit = self.engine.now() - self.engine.parts.settings.idle_after;
        let loaded = self.engine.load_tokens(tenant, grant).await?;
        if loaded.is_some_and(|(_, set)| set.refreshed_at > limit && set.refused.is_none()) {
            return Ok(KeptAlive::Fresh);
        }
        self.credentials(tenant, grant, connector).obtain(Need::NewerThan(limit)).await?;
        Ok(KeptAlive::Renewed)
    }
}

impl GrantCredentials {
    async fn obtain(&self, need: Need) -> Result<AccessToken> {
        if let Some(token) = self.slot.cached(&need, self.engine.now()) {
            return Ok(token);
        }
        forbid_reentry("refreshing a token")?;
        let flight = Arc::clone(&self.slot.flight).lock_owned().await;
        if let Some(token) = self.slot.cached(&need, self.engine.now()) {
            return Ok(token);
        }
        let refresher = Refresher {
            engine: Arc::clone(&self.engine),
            connector: Arc::clone(&self.connector),
            key: self.key.clone(),
            slot: Arc::clone(&self.slot),
        };
        // A task of its own: whoever asked may give up at any await, but an answer on its way must still be stored.
        let refresh = async move {
            let _flight = flight;
            refresher.run(&need).await
        };
        tokio::spawn(refresh.in_current_span()).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, "a refresh was cut short").with_operation("oauth.refresh"))
        })
    }
}

#[async_trait]
impl Credentials for GrantCredentials {
    async fn access(&self, rejected: Option<&AccessToken>) -> Result<AccessToken> {
        let need = rejected.map_or(Need::Usable, |rejected| Need::Other(rejected.token.clone()));
        self.obtain(need).await
    }

    async fn meet(&self, rejected: &AccessToken, claims: &str) -> Result<AccessToken> {
        self.obtain(Need::Meeting(rejected.token.clone(), claims.to_owned())).await
    }
}

impl fmt::Debug for GrantCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantCredentials").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The one token of a sign-in that is being completed: nothing is stored yet, so nothing can be refreshed.
#[derive(Debug)]
pub(super) struct FixedCredentials(pub(super) AccessToken);

#[async_trait]
impl Credentials for FixedCredentials {
    async fn access(&self, rejected: Option<&AccessToken>) -> Result<AccessToken> {
        match rejected {
            None => Ok(self.0.clone()),
            Some(_) => Err(Error::new(ErrorKind::PermissionDenied, "the service refuses the token it has just given")),
        }
    }
}
