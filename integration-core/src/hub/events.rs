//! Reading a tenant's durable stream of events.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{
    future::{Either, select},
    stream::{self, BoxStream},
};
use tokio::sync::Notify;

use super::{Hub, read::decoded};
use crate::{
    error::Result,
    event::{EVENTS, Event, EventListener, EventPage, EventReset, StoredEvent, number_key, numbered},
    ids::{ConnectionId, TenantId},
    store::{Space, StateQuery, StateRow, read_one},
};

/// How often a stream looks for what other processes wrote.
const LOOK: Duration = Duration::from_secs(1);
/// The most that one page holds.
const MOST: usize = 1_000;

/// A listener that also pokes readers of the stored stream.
pub(super) struct Waking {
    pub(super) inner: Arc<dyn EventListener>,
    pub(super) wake: Arc<Notify>,
}

impl fmt::Debug for Waking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl EventListener for Waking {
    fn on_event(&self, tenant: &TenantId, connection: &ConnectionId, event: &Event) {
        self.wake.notify_waiters();
        self.inner.on_event(tenant, connection, event);
    }
}

/// A page of numbered rows.
pub(super) struct Numbered {
    pub(super) rows: Vec<StateRow>,
    pub(super) next: u64,
    pub(super) reset: Option<EventReset>,
}

impl Hub {
    /// The tenant's events after number `after` (0: from the oldest), at most `limit` and never more than 1,000. Numbers are
    /// given in the transactions that write the events, in commit order: whoever goes on from [`EventPage::next`] misses none.
    /// Where events after `after` are not kept any more the page says so ([`EventPage::reset`]) and goes on from the oldest.
    ///
    /// # Errors
    /// `Store` if the storage fails. Safe to repeat.
    pub async fn events(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<EventPage> {
        let page = self.numbered(tenant, EVENTS, after, limit).await?;
        let events: Vec<StoredEvent> = page.rows.iter().map(|row| decoded(EVENTS, row)).collect::<Result<_>>()?;
        Ok(EventPage { events, next: page.next, reset: page.reset })
    }

    /// The same as a stream that does not end: each page as soon as it is there, what other processes wrote within a second.
    /// It ends after its first error; go on with a new one after the last number seen.
    #[must_use]
    pub fn event_stream(&self, tenant: &TenantId, after: u64) -> BoxStream<'static, Result<EventPage>> {
        let at = (self.clone(), tenant.clone(), Some(after));
        Box::pin(stream::unfold(at, |(hub, tenant, after)| async move {
            let after = after?;
            let page = hub.next_events(&tenant, after).await;
            let next = page.as_ref().ok().map(|page| page.next);
            Some((page, (hub, tenant, next)))
        }))
    }

    async fn next_events(&self, tenant: &TenantId, after: u64) -> Result<EventPage> {
        loop {
            // Before reading: what is told meanwhile wakes us.
            let woken = std::pin::pin!(self.0.wake.notified());
            let page = self.events(tenant, after, MOST).await?;
            if !page.events.is_empty() || page.reset.is_some() {
                return Ok(page);
            }
            let look = std::pin::pin!(self.0.clock.sleep(LOOK));
            match select(woken, look).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    /// Rows whose keys are numbers given without gaps: a gap is what is not kept any more.
    pub(super) async fn numbered(&self, tenant: &TenantId, space: Space, after: u64, limit: usize) -> Result<Numbered> {
        let read = async |from: u64| {
            let (tenant, prefix, after) = (tenant.clone(), String::new(), Some(number_key(from)));
            let limit = limit.clamp(1, MOST);
            self.0.stores.sync.read(&StateQuery::Range { tenant, space, prefix, after, limit }).await
        };
        let mut rows = read(after).await?;
        let mut reset = None;
        if rows.is_empty() && after > 0 && self.is_unknown(tenant, space, after).await? {
            // A number that was never given, or not any more: as if the store were younger than the reader.
            rows = read(0).await?;
            reset = rows.first().map(|oldest| EventReset { after, oldest: numbered(&oldest.key) });
        }
        let from = rows.first().map_or(after, |first| numbered(&first.key) - 1);
        if from > after {
            reset = Some(EventReset { after, oldest: from + 1 });
        }
        let unbroken = (from + 1..).zip(&rows).take_while(|(number, row)| numbered(&row.key) == *number).count();
        rows.truncate(unbroken);
        Ok(Numbered { next: from + rows.len() as u64, rows, reset })
    }

    /// The newest event is always kept: whoever has it, has all.
    async fn is_unknown(&self, tenant: &TenantId, space: Space, number: u64) -> Result<bool> {
        let kept = space == EVENTS;
        Ok(kept && read_one(&*self.0.stores.sync, tenant, space, number_key(number)).await?.is_none())
    }
}
