//! The subscription of a connection: stored before anybody is told, renewed before it ends, ended with the connection.
//!
//! Nothing here runs by itself: whoever receives notifications calls [`Hub::subscribe`] once and
//! [`Hub::renew_subscription`] often.

mod alone;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::alone::Alone;
use super::{Hub, missing, read::decoded};
use crate::{
    connection::Capability,
    error::{Error, ErrorKind, Result},
    http::Priority,
    ids::{ConnectionId, TenantId},
    push::{PushSource, PushTarget, Subscription},
    secret::SecretText,
    store::{Space, StateKey, StateRow, StateWrite, read_one},
    vault::SealContext,
};

const SUBSCRIPTIONS: Space = "subscription";
const FIELD: &str = "client_state";
/// How often a disconnection looks whether the worker before it has come to its end.
const PAUSE: Duration = Duration::from_millis(250);

/// What is stored of a subscription; without one: it is being asked for, and notifications may come already.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SubscriptionRow {
    target: PushTarget,
    sealed: String,
    #[serde(default)]
    subscription: Option<Subscription>,
    #[serde(default)]
    renew_at: Option<DateTime<Utc>>,
}

/// A row as it was read.
#[derive(Clone, Debug)]
struct Known {
    row: SubscriptionRow,
    version: u64,
}

impl Hub {
    /// The subscriptions of a connection at its service: the way to what [`Hub::subscribe`] does not do.
    ///
    /// # Errors
    /// As [`Hub::email`]; `Unsupported` where the connector cannot be told anything.
    pub async fn push(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Arc<dyn PushSource>> {
        let (connection, grant) = self.usable(tenant, id).await?;
        let connector = self.connector(&connection.app)?;
        if !connection.capabilities.contains(&Capability::MailRead) {
            return Err(missing(&**connector, Capability::MailRead));
        }
        connector.push(self.session_of(&connection, &grant, Priority::Live)?)
    }

    /// Has the service tell `target` when something changes on a connection; polling goes on. A connection has one
    /// subscription: another target replaces it, the same one is renewed where that is due. Safe to repeat; only where the
    /// process dies, or the storage fails, between the service's answer and its being stored, a second subscription may tell
    /// until it ends by itself.
    ///
    /// # Errors
    /// As [`PushSource::subscribe`] and [`Hub::push`]; `Conflict` while another worker subscribes the connection; `Store`.
    pub async fn subscribe(&self, tenant: &TenantId, id: &ConnectionId, target: &PushTarget) -> Result<Subscription> {
        self.push(tenant, id).await?;
        let alone = Alone::begin(self, tenant, id).await?;
        let work = async {
            // Again, now that nobody else is at it: it may have been disconnected meanwhile.
            let source = self.push(tenant, id).await?;
            let known = self.subscription_row(tenant, id).await?;
            if let Some(known) = known.as_ref().filter(|known| known.row.target == *target) {
                return alone.live(&*source, known.clone()).await;
            }
            if let Some(old) = known.as_ref().and_then(|known| known.row.subscription.as_ref()) {
                source.unsubscribe(old).await?;
            }
            let fresh = alone.fresh(target, known.as_ref()).await?;
            alone.live(&*source, fresh).await
        };
        alone.while_held(work).await
    }

    /// Renews the subscription of a connection where that is due, and asks for a new one where the service lost it: what was
    /// not told meanwhile is synced then. `None` if the connection has none. Costs no call until it is due; safe to repeat.
    ///
    /// # Errors
    /// As [`Hub::subscribe`].
    pub async fn renew_subscription(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Subscription>> {
        if self.subscription_row(tenant, id).await?.is_none() {
            return Ok(None);
        }
        self.push(tenant, id).await?;
        let alone = Alone::begin(self, tenant, id).await?;
        let work = async {
            let Some(known) = self.subscription_row(tenant, id).await? else { return Ok(None) };
            let source = self.push(tenant, id).await?;
            alone.live(&*source, known).await.map(Some)
        };
        alone.while_held(work).await
    }

    /// Ends the subscription of a connection, if it has one. Safe to repeat.
    ///
    /// # Errors
    /// As [`PushSource::unsubscribe`] and [`Hub::push`]; `Conflict` while another worker subscribes the connection; `Store`.
    pub async fn unsubscribe(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        if self.subscription_row(tenant, id).await?.is_none() {
            return Ok(());
        }
        let alone = Alone::begin(self, tenant, id).await?;
        let work = async {
            let known = self.subscription_row(tenant, id).await?;
            if let Some(subscription) = known.and_then(|known| known.row.subscription) {
                self.push(tenant, id).await?.unsubscribe(&subscription).await?;
            }
            alone.write(StateWrite::delete(tenant, SUBSCRIPTIONS, place(id))).await
        };
        alone.while_held(work).await
    }

    /// The subscription of a connection, if it has one.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn subscription(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Subscription>> {
        Ok(self.subscription_row(tenant, id).await?.and_then(|known| known.row.subscription))
    }

    /// The secret that notifications about a connection prove themselves with, also while its subscription is only being
    /// asked for; `None` if it has none. Comparing two [`SecretText`]s takes the same time wherever they differ.
    ///
    /// # Errors
    /// `Validation` if it cannot be opened with the keys at hand; `Store`.
    pub async fn client_state(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<SecretText>> {
        match self.subscription_row(tenant, id).await? {
            Some(known) => self.opened(tenant, id, &known.row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends it for a connection that is being disconnected, and waits for a worker that is renewing it. A service that cannot be
    /// reached is no reason to stay, nor is a worker that does not come to an end: the subscription is given back, which the
    /// service still has until it ends by itself.
    pub(super) async fn end_subscription(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Subscription>> {
        if self.subscription_row(tenant, id).await?.is_none() {
            return Ok(None);
        }
        let mut pauses = self.0.sync.lease.as_millis().div_ceil(PAUSE.as_millis());
        let error = loop {
            match self.unsubscribe(tenant, id).await {
                Ok(()) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Conflict && pauses > 0 => pauses -= 1,
                Err(error) => break error,
            }
            self.0.clock.sleep(PAUSE).await;
        };
        tracing::warn!(error = %error, connection = %id, "a subscription could not be ended; it ends by itself");
        let left = self.subscription(tenant, id).await?;
        // Whoever renews it at this very moment finds no row to write what it is answered to, and ends it.
        self.write(&[StateWrite::delete(tenant, SUBSCRIPTIONS, place(id))]).await?;
        Ok(left)
    }

    async fn subscription_row(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Known>> {
        let row = read_one(&*self.0.stores.sync, tenant, SUBSCRIPTIONS, place(id)).await?;
        let known = |row: StateRow| Ok(Known { row: decoded(SUBSCRIPTIONS, &row)?, version: row.version });
        row.map(known).transpose()
    }

    async fn opened(&self, tenant: &TenantId, id: &ConnectionId, row: &SubscriptionRow) -> Result<SecretText> {
        let damaged = || Error::new(ErrorKind::Validation, "a stored subscription is damaged");
        let sealed = URL_SAFE_NO_PAD.decode(&row.sealed).map_err(|error| damaged().with_source(error))?;
        let secret = self.0.sealer.open(&context(tenant, id), &sealed).await?;
        let text = std::str::from_utf8(secret.expose()).map_err(|error| damaged().with_source(error))?;
        Ok(SecretText::new(text))
    }
}

fn place(id: &ConnectionId) -> StateKey {
    StateKey::new([id.as_str(), "mail"])
}

fn context(tenant: &TenantId, id: &ConnectionId) -> SealContext {
    SealContext::new(tenant.clone(), place(id).as_str().to_owned(), FIELD)
}
