//! Leaves a failing connection alone, and a failing service when many connections say so.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::ConnectionId;

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// Transient failures in a row that open it; 5 unless set.
    pub failures: u32,
    /// How long it stays open at first; 30 s unless set. Doubles with every failed probe.
    pub open_for: Duration,
    /// How long it stays open at most; 5 minutes unless set.
    pub max_open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(30), max_open_for: Duration::from_secs(300) }
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<DateTime<Utc>>,
    open_for: Duration,
    probing: bool,
}

/// The breaker of one connection.
///
/// Counts server errors, timeouts and broken connections in a row; refusals (4xx, 429 included) prove that the service is
/// there. Open, it lets nothing through; then one probe decides.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
    service: Option<(Arc<ServiceBreaker>, ConnectionId)>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(BreakerSettings::default())
    }
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::default(), service: None }
    }

    /// Also obeys, and reports `connection`'s state to, the breaker of the whole service.
    #[must_use]
    pub fn with_service(mut self, service: Arc<ServiceBreaker>, connection: ConnectionId) -> Self {
        self.service = Some((service, connection));
        self
    }

    /// Asks to go through.
    ///
    /// # Errors
    /// How long to leave the service alone, if it is open.
    pub fn enter(self: &Arc<Self>, now: DateTime<Utc>) -> Result<BreakerPass, Duration> {
        if let Some((service, _)) = &self.service {
            service.enter(now)?;
        }
        let mut state = self.lock();
        let mut probe = false;
        if let Some(until) = state.open_until {
            if let Ok(wait) = (until - now).to_std()
                && !wait.is_zero()
            {
                return Err(wait);
            }
            if state.probing {
                // Somebody is finding out already.
                return Err(Duration::from_secs(1));
            }
            state.probing = true;
            probe = true;
        }
        drop(state);
        Ok(BreakerPass { breaker: Arc::clone(self), probe, done: false })
    }

    /// Is it open at `now`?
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.lock().open_until.is_some_and(|until| until > now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.lock() = State::default();
        if let Some((service, connection)) = &self.service {
            service.mend(connection);
        }
    }

    fn fail(&self, probe: bool, now: DateTime<Utc>) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        let opens = probe || (state.open_until.is_none() && state.failures >= self.settings.failures);
        if !opens {
            return;
        }
        state.open_for = if probe { state.open_for * 2 } else { self.settings.open_for };
        state.open_for = state.open_for.min(self.settings.max_open_for);
        state.open_until = after(now, state.open_for);
        state.probing = false;
        drop(state);
        if let Some((service, connection)) = &self.service {
            service.fail(connection, now);
        }
    }
}

fn after(now: DateTime<Utc>, wait: Duration) -> Option<DateTime<Utc>> {
    now.checked_add_signed(TimeDelta::from_std(wait).ok()?)
}

/// The right to try one call; say how it went. Dropped without a word, it changes nothing.
#[derive(Debug)]
pub struct BreakerPass {
    breaker: Arc<Breaker>,
    probe: bool,
    done: bool,
}

impl BreakerPass {
    /// The service answered, whatever it said.
    pub fn answered(mut self) {
        self.done = true;
        self.breaker.close();
    }

    /// A server error, a timeout or a broken connection.
    pub fn failed(mut self, now: DateTime<Utc>) {
        self.done = true;
        self.breaker.fail(self.probe, now);
    }

    /// The same of a call whose own size may be at fault, and that is made smaller next: several of those say nothing of the
    /// service, unless this one was to find out about it.
    pub fn failed_by_itself(mut self, now: DateTime<Utc>) {
        self.done = true;
        if self.probe {
            self.breaker.fail(true, now);
        }
    }
}

impl Drop for BreakerPass {
    fn drop(&mut self) {
        if self.probe && !self.done {
            self.breaker.lock().probing = false;
        }
    }
}

/// Opens for a whole service, but only when many distinct connections found it failing at the same time: one broken
/// mailbox must not stop the others.
#[derive(Debug)]
pub struct ServiceBreaker {
    connections: usize,
    open_for: Duration,
    failing: Mutex<HashMap<ConnectionId, DateTime<Utc>>>,
}

impl ServiceBreaker {
    /// Opens once `connections` distinct connections opened their breakers within `open_for`, and stays open until the
    /// oldest of them is `open_for` past.
    #[must_use]
    pub fn new(connections: usize, open_for: Duration) -> Self {
        Self { connections: connections.max(2), open_for, failing: Mutex::default() }
    }

    /// Asks to go through.
    ///
    /// # Errors
    /// How long to leave the service alone, if it is open.
    pub fn enter(&self, now: DateTime<Utc>) -> Result<(), Duration> {
        let mut failing = self.lock();
        failing.retain(|_, since| after(*since, self.open_for).is_some_and(|until| until > now));
        if failing.len() < self.connections {
            return Ok(());
        }
        let mut ends: Vec<_> = failing.values().filter_map(|since| after(*since, self.open_for)).collect();
        ends.sort_unstable();
        // It closes when so many are past that fewer than the threshold remain.
        let until = ends.get(ends.len() - self.connections).copied().unwrap_or(now);
        Err((until - now).to_std().unwrap_or_default())
    }

    fn fail(&self, connection: &ConnectionId, now: DateTime<Utc>) {
        self.lock().insert(connection.clone(), now);
    }

    fn mend(&self, connection: &ConnectionId) {
        self.lock().remove(connection);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, DateTime<Utc>>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
