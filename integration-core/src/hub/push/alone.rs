//! One worker at a time on a connection's subscription: two that renew at once make two of one.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Known, SUBSCRIPTIONS, SubscriptionRow, context, place};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    hub::{Hub, choices::put},
    ids::{ConnectionId, TenantId},
    push::{PushCapabilities, PushSource, PushTarget, Subscribe, Subscription},
    secret::SecretBytes,
    store::{Expect, LeaseGuard, LeaseKey, StateWrite},
    sync::hold::holding,
};

/// Whoever holds the lease. What it writes is refused once a later holder has written, or the row is another than was read.
pub(super) struct Alone<'a> {
    hub: &'a Hub,
    tenant: &'a TenantId,
    id: &'a ConnectionId,
    guard: LeaseGuard,
}

impl<'a> Alone<'a> {
    pub(super) async fn begin(hub: &'a Hub, tenant: &'a TenantId, id: &'a ConnectionId) -> Result<Self> {
        let key = LeaseKey::new(["push", tenant.as_str(), id.as_str()]);
        let busy = || Error::new(ErrorKind::Conflict, "another worker subscribes this connection");
        let guard = hub.0.stores.leases.acquire(&key, hub.0.sync.lease).await?;
        Ok(Self { hub, tenant, id, guard: guard.ok_or_else(|| busy().with_retry(Retry::Temporary))? })
    }

    /// Keeps the lease while `work` goes on, and gives it back.
    pub(super) async fn while_held<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let inner = &self.hub.0;
        holding((&*inner.stores.leases, &*inner.clock, inner.sync.lease), self.guard.clone(), work).await
    }

    pub(super) async fn write(&self, write: StateWrite) -> Result<()> {
        let mut tx = self.hub.0.stores.sync.begin(Some(&self.guard)).await?;
        tx.write(&[write]).await?;
        tx.commit().await
    }

    fn put(&self, row: &SubscriptionRow, expect: Expect) -> Result<StateWrite> {
        Ok(put(self.tenant, SUBSCRIPTIONS, place(self.id), row)?.expecting(expect))
    }

    /// Stored before the service knows of it: its first notification may come before its answer.
    pub(super) async fn fresh(&self, target: &PushTarget, before: Option<&Known>) -> Result<Known> {
        let mut bytes = [0_u8; 32];
        self.hub.0.random.fill(&mut bytes);
        let secret = SecretBytes::new(URL_SAFE_NO_PAD.encode(bytes).into_bytes());
        let sealed = self.hub.0.sealer.seal(&context(self.tenant, self.id), secret.expose()).await?;
        let sealed = URL_SAFE_NO_PAD.encode(sealed);
        let row = SubscriptionRow { target: target.clone(), sealed, subscription: None, renew_at: None };
        let expect = before.map_or(Expect::Absent, |before| Expect::Version(before.version));
        self.write(self.put(&row, expect)?).await?;
        let gone = || Error::new(ErrorKind::Conflict, "a subscription was ended while it was asked for");
        let stored = self.hub.subscription_row(self.tenant, self.id).await?;
        stored.ok_or_else(|| gone().with_retry(Retry::Temporary))
    }

    /// The subscription of a row, as it is if nothing is due.
    pub(super) async fn live(&self, source: &dyn PushSource, known: Known) -> Result<Subscription> {
        let (mut row, now) = (known.row, self.hub.0.clock.now());
        if let (Some(subscription), Some(at)) = (&row.subscription, row.renew_at)
            && now < at
        {
            return Ok(subscription.clone());
        }
        let ask = Subscribe::new(row.target.clone(), self.hub.opened(self.tenant, self.id, &row).await?);
        let renewed = match &row.subscription {
            Some(old) => source.renew(old, &ask).await,
            None => source.subscribe(&ask).await,
        };
        let (subscription, lost) = match renewed {
            Err(error) if error.kind() == ErrorKind::NotFound && row.subscription.is_some() => {
                (source.subscribe(&ask).await?, true)
            }
            renewed => (renewed?, false),
        };
        row.renew_at =
            Some(renew_at(source.capabilities(), now, subscription.expires_at, self.hub.0.random.fraction()));
        row.subscription = Some(subscription.clone());
        if let Err(error) = self.write(self.put(&row, Expect::Version(known.version))?).await {
            self.give_up(source, &subscription).await;
            return Err(error);
        }
        if lost {
            // Nobody told what happened in between.
            self.hub.sync_now(self.tenant, self.id).await?;
        }
        Ok(subscription)
    }

    /// What could not be stored is ended, unless the row that stands is of it: nobody else would ever end it.
    async fn give_up(&self, source: &dyn PushSource, subscription: &Subscription) {
        let stands = self.hub.subscription(self.tenant, self.id).await;
        if !stands.is_ok_and(|stands| stands.is_none_or(|stands| stands.id != subscription.id)) {
            return;
        }
        if let Err(error) = source.unsubscribe(subscription).await {
            tracing::warn!(error = %error, connection = %self.id, "a subscription without a row ends by itself");
        }
    }
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
