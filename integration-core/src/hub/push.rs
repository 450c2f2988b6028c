//! The subscription of a connection: stored before anybody is told, renewed before it ends, ended with the connection.
//!
//! Nothing here runs by itself: whoever receives notifications calls [`Hub::subscribe`] once and
//! [`Hub::renew_subscription`] often.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Hub, choices::put, missing, read::decoded};
use crate::{
    connection::Capability,
    error::{Error, ErrorKind, Result, Retry},
    http::Priority,
    ids::{ConnectionId, TenantId},
    push::{PushCapabilities, PushSource, PushTarget, Subscribe, Subscription},
    secret::{SecretBytes, SecretText},
    store::{LeaseKey, Space, StateKey, StateWrite, read_one},
    sync::hold::holding,
    vault::SealContext,
};

const SUBSCRIPTIONS: Space = "subscription";
const FIELD: &str = "client_state";

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
    /// process dies, or the storage or the scheduler fails, between the service's answer and its being stored, a second
    /// subscription may tell until it ends by itself.
    ///
    /// # Errors
    /// As [`PushSource::subscribe`] and [`Hub::push`]; `Conflict` while another worker subscribes the connection; `Store`.
    pub async fn subscribe(&self, tenant: &TenantId, id: &ConnectionId, target: &PushTarget) -> Result<Subscription> {
        let source = self.push(tenant, id).await?;
        self.alone(tenant, id, async {
            let row = match self.subscription_row(tenant, id).await? {
                Some(row) if row.target == *target => row,
                Some(old) => {
                    if let Some(subscription) = &old.subscription {
                        source.unsubscribe(subscription).await?;
                    }
                    self.fresh_row(tenant, id, target).await?
                }
                None => self.fresh_row(tenant, id, target).await?,
            };
            self.live(tenant, id, &*source, row).await
        })
        .await
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
        let source = self.push(tenant, id).await?;
        self.alone(tenant, id, async {
            match self.subscription_row(tenant, id).await? {
                Some(row) => self.live(tenant, id, &*source, row).await.map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    /// Ends the subscription of a connection, if it has one. Safe to repeat.
    ///
    /// # Errors
    /// As [`PushSource::unsubscribe`] and [`Hub::push`]; `Conflict` while another worker subscribes the connection; `Store`.
    pub async fn unsubscribe(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        if self.subscription_row(tenant, id).await?.is_none() {
            return Ok(());
        }
        self.alone(tenant, id, async {
            let row = self.subscription_row(tenant, id).await?;
            if let Some(subscription) = row.and_then(|row| row.subscription) {
                self.push(tenant, id).await?.unsubscribe(&subscription).await?;
            }
            self.write(&[StateWrite::delete(tenant, SUBSCRIPTIONS, place(id))]).await
        })
        .await
    }

    /// The subscription of a connection, if it has one.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn subscription(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Subscription>> {
        Ok(self.subscription_row(tenant, id).await?.and_then(|row| row.subscription))
    }

    /// The secret that notifications about a connection prove themselves with, also while its subscription is only being
    /// asked for; `None` if it has none. Comparing two [`SecretText`]s takes the same time wherever they differ.
    ///
    /// # Errors
    /// `Validation` if it cannot be opened with the keys at hand; `Store`.
    pub async fn client_state(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<SecretText>> {
        match self.subscription_row(tenant, id).await? {
            Some(row) => self.opened(tenant, id, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends it for a connection that is being disconnected. A service that cannot be reached is no reason to stay: what it
    /// still has ends by itself. A worker that is renewing it at this very moment may still store what it is answered.
    pub(super) async fn end_subscription(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        if self.subscription_row(tenant, id).await?.is_none() {
            return Ok(());
        }
        if let Err(error) = self.unsubscribe(tenant, id).await {
            tracing::warn!(error = %error, connection = %id, "a subscription could not be ended; it ends by itself");
        }
        self.write(&[StateWrite::delete(tenant, SUBSCRIPTIONS, place(id))]).await
    }

    /// One worker at a time: two that renew at once make two of one.
    async fn alone<T>(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let (leases, ttl) = (&self.0.stores.leases, self.0.sync.lease);
        let key = LeaseKey::new(["push", tenant.as_str(), id.as_str()]);
        let busy = || Error::new(ErrorKind::Conflict, "another worker subscribes this connection");
        let guard = leases.acquire(&key, ttl).await?.ok_or_else(|| busy().with_retry(Retry::Temporary))?;
        holding((&**leases, &*self.0.clock, ttl), guard, work).await
    }

    async fn subscription_row(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<SubscriptionRow>> {
        let row = read_one(&*self.0.stores.sync, tenant, SUBSCRIPTIONS, place(id)).await?;
        row.map(|row| decoded(SUBSCRIPTIONS, &row)).transpose()
    }

    /// Stored before the service knows of it: its first notification may come before its answer.
    async fn fresh_row(&self, tenant: &TenantId, id: &ConnectionId, target: &PushTarget) -> Result<SubscriptionRow> {
        let mut bytes = [0_u8; 32];
        self.0.random.fill(&mut bytes);
        let secret = SecretBytes::new(URL_SAFE_NO_PAD.encode(bytes).into_bytes());
        let sealed = self.0.sealer.seal(&context(tenant, id), secret.expose()).await?;
        let sealed = URL_SAFE_NO_PAD.encode(sealed);
        let row = SubscriptionRow { target: target.clone(), sealed, subscription: None, renew_at: None };
        self.write(&[put(tenant, SUBSCRIPTIONS, place(id), &row)?]).await?;
        Ok(row)
    }

    async fn opened(&self, tenant: &TenantId, id: &ConnectionId, row: &SubscriptionRow) -> Result<SecretText> {
        let damaged = || Error::new(ErrorKind::Validation, "a stored subscription is damaged");
        let sealed = URL_SAFE_NO_PAD.decode(&row.sealed).map_err(|error| damaged().with_source(error))?;
        let secret = self.0.sealer.open(&context(tenant, id), &sealed).await?;
        let text = std::str::from_utf8(secret.expose()).map_err(|error| damaged().with_source(error))?;
        Ok(SecretText::new(text))
    }

    /// The subscription of a row, as it is if nothing is due.
    async fn live(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        source: &dyn PushSource,
        mut row: SubscriptionRow,
    ) -> Result<Subscription> {
        let now = self.0.clock.now();
        if let (Some(subscription), Some(at)) = (&row.subscription, row.renew_at)
            && now < at
        {
            return Ok(subscription.clone());
        }
        let ask = Subscribe::new(row.target.clone(), self.opened(tenant, id, &row).await?);
        let renewed = match &row.subscription {
            Some(old) => source.renew(old, &ask).await,
            None => source.subscribe(&ask).await,
        };
        let subscription = match renewed {
            Err(error) if error.kind() == ErrorKind::NotFound && row.subscription.is_some() => {
                let fresh = source.subscribe(&ask).await?;
                // Nobody told what happened in between.
                self.sync_now(tenant, id).await?;
                fresh
            }
            renewed => renewed?,
        };
        row.renew_at = Some(renew_at(source.capabilities(), now, subscription.expires_at, self.0.random.fraction()));
        row.subscription = Some(subscription.clone());
        self.write(&[put(tenant, SUBSCRIPTIONS, place(id), &row)?]).await?;
        Ok(subscription)
    }
}

fn place(id: &ConnectionId) -> StateKey {
    StateKey::new([id.as_str(), "mail"])
}

fn context(tenant: &TenantId, id: &ConnectionId) -> SealContext {
    SealContext::new(tenant.clone(), place(id).as_str().to_owned(), FIELD)
}

/// In good time, but not all at the same time; at half of a life that is shorter than it should be.
fn renew_at(capabilities: &PushCapabilities, now: DateTime<Utc>, ends: DateTime<Utc>, fraction: f64) -> DateTime<Utc> {
    let life = (ends - now).to_std().unwrap_or_default();
    let wait = life.checked_sub(capabilities.renew_before).filter(|wait| !wait.is_zero()).unwrap_or(life / 2);
    let early: Duration = wait.mul_f64(fraction.clamp(0.0, 1.0) / 10.0);
    now + TimeDelta::from_std(wait - early).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::PushTransport;

    #[test]
    fn a_subscription_is_renewed_in_good_time_whatever_life_the_service_gives_it() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let capabilities = PushCapabilities::new(PushTransport::Webhook, DAY * 7, DAY * 3);
        let after =
            |life: Duration, fraction| (renew_at(&capabilities, now, now + life, fraction) - now).to_std().unwrap();
        assert_eq!(after(DAY * 7, 0.0), DAY * 4);
        assert_eq!(after(DAY * 7, 1.0), DAY * 4 * 9 / 10);
        assert_eq!(after(DAY * 2, 0.0), DAY, "shorter than the margin: at its half");
        assert_eq!(after(Duration::ZERO, 0.5), Duration::ZERO);
    }
}
