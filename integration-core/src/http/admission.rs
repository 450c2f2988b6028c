//! Admission: quota, concurrency and priority in one gate.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{sync::watch, time::Instant};

use super::{
    call::{Cost, Priority},
    gate::{Gate, Holder, Needs, Place, Signal},
    quota::{QuotaScope, QuotaTable, QuotaUnit},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    ids::AppId,
};

/// Whose ledger a call is written into: follows the service's account, never our connection ids.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct AdmissionKey {
    /// The app whose quota it is.
    pub app: AppId,
    /// The account at the service, as the connector names it; `None` before it is known.
    pub account: Option<String>,
    /// The grant, for limits per grant.
    pub grant: Option<String>,
}

impl AdmissionKey {
    /// A key of its parts.
    #[must_use]
    pub fn new(app: AppId, account: Option<String>, grant: Option<String>) -> Self {
        Self { app, account, grant }
    }
}

/// What is asked of the gate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmissionRequest {
    /// Whose ledgers.
    pub key: AdmissionKey,
    /// What the call costs.
    pub cost: Cost,
    /// Who goes first.
    pub priority: Priority,
}

impl AdmissionRequest {
    /// A request of its parts.
    #[must_use]
    pub fn new(key: AdmissionKey, cost: Cost, priority: Priority) -> Self {
        Self { key, cost, priority }
    }
}

/// The gate in front of a service: an exact ledger of the sliding windows, shared by everyone who shares the quota.
#[async_trait]
pub trait Admission: fmt::Debug + Send + Sync + 'static {
    /// Waits until the call fits every window and a slot is free. Dropping the future gives the place back.
    ///
    /// # Errors
    /// `InvalidInput` if the cost can never fit.
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit>;

    /// The service complained: nobody in `scope` goes before `until`. One about an account may mean that too many of its calls
    /// were under way at once: the bundled gates let one fewer go at once behind it (at least one), and one more again with
    /// every quiet minute.
    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>);

    /// How full the tightest window is.
    async fn usage(&self, key: &AdmissionKey) -> Usage;
}

/// The right to send one call; hand it back by dropping it when the answer is in.
pub struct Permit(Option<Box<dyn FnOnce() + Send>>);

impl Permit {
    /// A permit that runs `release` when dropped.
    pub fn new(release: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The state of an account's quota.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Units used in the tightest window.
    pub used: u64,
    /// Its limit; `None` without limits.
    pub limit: Option<u64>,
    /// Units per second that background work gets in the long run; `None` without limits.
    pub background_rate: Option<f64>,
    /// Nobody goes before this instant.
    pub blocked_until: Option<DateTime<Utc>>,
}

/// The bundled gate: within one process.
///
/// - Every window of the app's table applies; a call counts from its admission until one window after it is back.
/// - Interactive calls go before live ones, live ones before background; within a priority, first come, first served.
///   What the first in line lacks is kept for it.
/// - Background calls are spread evenly over each window at the table's share of it. For a window's length after an
///   interactive call they also leave the rest of the window free; before one comes, whole calls may round the share up.
/// - An app without a table has no limits.
#[derive(Clone, Debug)]
pub struct LocalAdmission {
    gate: Arc<Mutex<Gate>>,
    clock: Arc<dyn Clock>,
}

impl LocalAdmission {
    /// A gate without tables. `clock` reads the instants of [`Admission::throttled`]; waits are on the runtime's timer.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { gate: Arc::default(), clock }
    }

    /// With the limits of `app`.
    #[must_use]
    pub fn with_table(self, app: AppId, table: QuotaTable) -> Self {
        self.set_table(app, table);
        self
    }

    /// Sets or replaces the limits of `app`; what was admitted before still counts.
    pub fn set_table(&self, app: AppId, table: QuotaTable) {
        self.lock().set_table(app, table, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.lock().remembered()
    }

    #[cfg(test)]
    pub(super) fn longest_ledger(&self) -> usize {
        self.lock().longest_ledger()
    }
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    // Nothing panics halfway through a change of the books.
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the line that is given back unless it became a permit.
struct Waiting<'a> {
    gate: &'a Arc<Mutex<Gate>>,
    app: AppId,
    place: Place,
    signal: watch::Receiver<Signal>,
    done: bool,
}

impl Waiting<'_> {
    async fn wait(&mut self) -> Result<Needs> {
        loop {
            let wake = match &*self.signal.borrow_and_update() {
                Signal::Admitted(needs) => return Ok(needs.clone()),
                Signal::Refused(_) => None,
                Signal::Waiting(wake) => Some(*wake),
            };
            match wake {
                None => return Err(self.refusal()),
                Some(Some(at)) => {
                    if tokio::time::timeout_at(at, self.signal.changed()).await.is_err() {
                        lock(self.gate).pump(&self.app, Instant::now());
                    }
                }
                Some(None) => {
                    // Fails only when the line is gone together with its last signal, which the next look reads.
                    let _ = self.signal.changed().await;
                }
            }
        }
    }

    fn refusal(&self) -> Error {
        match &*self.signal.borrow() {
            Signal::Refused(message) => Error::new(ErrorKind::InvalidInput, message.clone()),
            _ => Error::new(ErrorKind::InvalidInput, "the call can never fit its quota"),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (mut gate, now) = (lock(self.gate), Instant::now());
        if gate.leave(&self.app, self.place, now) {
            return;
        }
        // Admitted, but nobody was there any more to take it.
        if let Signal::Admitted(needs) = &*self.signal.borrow() {
            gate.release(&self.app, needs, false, now);
        }
    }
}

#[async_trait]
impl Admission for LocalAdmission {
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit> {
        let app = request.key.app.clone();
        let (place, signal) = self.lock().join(request, Instant::now())?;
        let mut waiting = Waiting { gate: &self.gate, app: app.clone(), place, signal, done: false };
        let needs = waiting.wait().await?;
        waiting.done = true;
        let gate = Arc::clone(&self.gate);
        Ok(Permit::new(move || lock(&gate).release(&app, &needs, true, Instant::now())))
    }

    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>) {
        let Ok(wait) = (until - self.clock.now()).to_std() else { return };
        let (mut gate, now) = (self.lock(), Instant::now());
        let table = gate.table(&key.app);
        let (name, cap) = (table.map_or("", |table| &table.name), table.and_then(|table| table.cap_of(scope)));
        if let Some(holder) = Holder::of(key, scope, name) {
            gate.complain(holder, cap, now + wait, now);
        }
    }

    async fn usage(&self, key: &AdmissionKey) -> Usage {
        let (mut gate, now) = (self.lock(), Instant::now());
        let table = gate.table(&key.app);
        let name = table.map_or_else(String::new, |table| table.name.clone());
        let background_rate = table.and_then(background_rate);
        let blocked = gate.blocked_until(Holder::all(key, &name), now);
        let blocked_until = blocked.and_then(|until| {
            let wait = TimeDelta::from_std(until - now).ok()?;
            self.clock.now().checked_add_signed(wait)
        });
        let fullest = gate.fullest(key, now);
        Usage {
            used: fullest.map_or(0, |(used, _)| used),
            limit: fullest.map(|(_, limit)| limit),
            background_rate,
            blocked_until,
        }
    }
}

/// Units per second that background work gets from the slowest window.
pub(super) fn background_rate(table: &QuotaTable) -> Option<f64> {
    let share = f64::from(table.background_percent.clamp(1, 100)) / 100.0;
    let units = table.windows.iter().filter(|window| window.unit == QuotaUnit::Units);
    units.map(|window| window.limit as f64 * share / window.length.as_secs_f64()).reduce(f64::min)
}
