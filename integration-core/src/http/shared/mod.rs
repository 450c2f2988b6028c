//! One gate over all processes of a store.

mod books;
mod driver;
mod rows;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{sync::watch, time::Instant};

use self::driver::Driver;
use super::{
    admission::{Admission, AdmissionKey, AdmissionRequest, Permit, Usage, background_rate},
    gate::{Holder, Needs, Place, Signal},
    quota::{QuotaScope, QuotaTable},
};
use crate::{
    clock::{Clock, Random},
    error::{Error, ErrorKind, Result},
    ids::AppId,
    store::SyncStore,
};

/// How processes share their quotas.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedLimits {
    /// How long the store may take before a process goes on with a share of its own. 1 s unless set.
    pub patience: Duration,
    /// A process that has not said for so long what it has in flight is taken for gone: its slots are free, what it had
    /// counts for one window more. One that lives says it three times within this, however long its calls take. Shorter than
    /// the lease of a sync, or whoever takes over from a killed process waits for its slots; 15 s unless set.
    pub dead_after: Duration,
    /// Added to every entry, for the time that reading the store's clock takes. 250 ms unless set.
    pub margin: Duration,
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            dead_after: Duration::from_secs(15),
            margin: Duration::from_millis(250),
        }
    }
}

impl SharedLimits {
    /// Changes how long the store may take before a process goes on with a share of its own.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Changes after how long a silent process is taken for gone.
    #[must_use]
    pub fn with_dead_after(mut self, dead_after: Duration) -> Self {
        self.dead_after = dead_after;
        self
    }
}

/// The gate for many processes: they stay together under each account's and each app's limits.
///
/// The same exact, sliding ledgers as [`LocalAdmission`](super::LocalAdmission) keeps, as rows of the store. Calls that
/// wait in one process at the same time go through in one transaction; every admission costs at least one. The rules of
/// priority and pace hold over all processes; first come, first served holds within each.
///
/// - Instants are the *store's*: machines whose clocks differ count alike.
/// - A complaint of the service is seen by all with their next call.
/// - While the store is slow or away, each process goes on by what it last saw, as if all the others did the same as
///   itself: together they still stay under every window. A process that never saw the store waits for it. Calls at the
///   same time are then counted by what was last seen of the others: they rarely call for one account at once, because
///   a connection is synced by one of them.
/// - A process that died gives its slots back after [`SharedLimits::dead_after`].
#[derive(Clone, Debug)]
pub struct SharedAdmission {
    driver: Arc<Driver>,
}

/// Entries within this part of a window are merged: a row stays below a few kilobytes.
const GRAINS: u32 = 128;

fn grain(length: Duration) -> Duration {
    length / GRAINS
}

impl SharedAdmission {
    /// A gate over `store` without tables. `clock` reads and gives the instants of [`Admission::throttled`] and
    /// [`Admission::usage`].
    #[must_use]
    pub fn new(store: Arc<dyn SyncStore>, clock: Arc<dyn Clock>, random: &dyn Random, limits: SharedLimits) -> Self {
        Self { driver: Arc::new(Driver::new(store, clock, random.token(9), limits)) }
    }

    /// With the limits of `app`.
    #[must_use]
    pub fn with_table(self, app: AppId, table: QuotaTable) -> Self {
        self.driver.lock().gate.set_table(app, table, Instant::now());
        self
    }

    #[cfg(test)]
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.driver.clock.now()
    }

    /// As if the process had been killed.
    #[cfg(test)]
    pub(super) fn stop(&self) {
        self.driver.stop();
    }
}

/// A place in the line that is given back unless it became a permit.
struct Waiting<'a> {
    driver: &'a Arc<Driver>,
    app: AppId,
    place: Place,
    signal: watch::Receiver<Signal>,
    taken: Taken,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Taken {
    No,
    Yes,
}

impl Waiting<'_> {
    async fn wait(&mut self) -> Result<Needs> {
        loop {
            match &*self.signal.borrow_and_update() {
                Signal::Admitted(needs) => return Ok(needs.clone()),
                Signal::Refused(message) => return Err(Error::new(ErrorKind::InvalidInput, message.clone())),
                Signal::Waiting(_) => {}
            }
            if self.signal.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Unavailable, "the gate in front of the service is gone"));
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.taken == Taken::Yes {
            return;
        }
        let mut books = self.driver.lock();
        if books.gate.leave(&self.app, self.place, Instant::now()) {
            return;
        }
        // Admitted, but nobody was there any more to take it.
        if let Signal::Admitted(needs) = &*self.signal.borrow() {
            books.unsent(needs);
        }
    }
}

#[async_trait]
impl Admission for SharedAdmission {
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit> {
        let app = request.key.app.clone();
        let (place, signal) = self.driver.lock().join(request, Instant::now())?;
        let mut waiting = Waiting { driver: &self.driver, app, place, signal, taken: Taken::No };
        self.driver.kick();
        let needs = waiting.wait().await?;
        waiting.taken = Taken::Yes;
        let driver = Arc::clone(&self.driver);
        Ok(Permit::new(move || driver.back(&needs)))
    }

    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>) {
        let Ok(wait) = (until - self.driver.clock.now()).to_std() else { return };
        let (pen, now) = (self.driver.pen(), Instant::now());
        let mut books = self.driver.lock();
        let table = books.gate.table(&key.app);
        let (name, cap) = (table.map_or("", |table| &table.name), table.and_then(|table| table.cap_of(scope)));
        if let Some(holder) = Holder::of(key, scope, name) {
            books.complain(holder, cap, now + wait, pen.as_ref());
        }
        drop(books);
        self.driver.kick();
    }

    async fn usage(&self, key: &AdmissionKey) -> Usage {
        let pen = self.driver.pen();
        let mut books = self.driver.lock();
        let table = books.gate.table(&key.app);
        let name = table.map_or_else(String::new, |table| table.name.clone());
        let rate = table.and_then(background_rate);
        let holders: Vec<Holder> = Holder::all(key, &name).collect();
        let Some(pen) = pen else { return Usage { background_rate: rate, ..Usage::default() } };
        let (now, (fullest, blocked)) = (pen.now, books.usage(key, &holders, &pen));
        let until = |until: Instant| {
            let wait = TimeDelta::from_std(until - now).ok()?;
            self.driver.clock.now().checked_add_signed(wait)
        };
        Usage {
            used: fullest.map_or(0, |(used, _)| used),
            limit: fullest.map(|(_, limit)| limit),
            background_rate: rate,
            blocked_until: blocked.and_then(until),
        }
    }
}
