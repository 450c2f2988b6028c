//! The store's clock in a process whose own may be wrong.

#[cfg(feature = "oauth")]
use std::sync::atomic::{AtomicI64, Ordering};
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::SyncStore;
use crate::{clock::Clock, error::Result};

/// Goes on from what the store's clock said, at the pace of the process's own.
///
/// What is due at an instant is compared by it: all processes of a store agree, however wrong their own clocks are. It was
/// asked before its answer came, so that it is behind by that much and nothing begins early.
#[derive(Clone, Debug)]
pub(crate) struct StoreClock {
    own: Arc<dyn Clock>,
    ahead: TimeDelta,
}

impl StoreClock {
    /// Asks the store.
    pub(crate) async fn of(store: &dyn SyncStore, own: &Arc<dyn Clock>) -> Result<Self> {
        let says = store.now().await?;
        Ok(Self { own: Arc::clone(own), ahead: says - own.now() })
    }
}

#[async_trait]
impl Clock for StoreClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.own.now();
        now.checked_add_signed(self.ahead).unwrap_or(now)
    }

    async fn sleep(&self, duration: Duration) {
        self.own.sleep(duration).await;
    }
}

/// As [`StoreClock`], for what lasts as long as its process: the store is asked again and again.
#[cfg(feature = "oauth")]
#[derive(Debug)]
pub(crate) struct SharedClock {
    own: Arc<dyn Clock>,
    /// Milliseconds; as many as the store was ahead when it was asked last.
    ahead: AtomicI64,
}

#[cfg(feature = "oauth")]
impl SharedClock {
    /// Goes by the process's own clock until the store is asked.
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead: AtomicI64::new(0) }
    }

    /// Asks the store.
    pub(crate) async fn ask(&self, store: &dyn SyncStore) -> Result<()> {
        let says = store.now().await?;
        self.ahead.store((says - self.own.now()).num_milliseconds(), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(feature = "oauth")]
#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.own.now();
        now.checked_add_signed(TimeDelta::milliseconds(self.ahead.load(Ordering::Relaxed))).unwrap_or(now)
    }

    async fn sleep(&self, duration: Duration) {
        self.own.sleep(duration).await;
    }
}
