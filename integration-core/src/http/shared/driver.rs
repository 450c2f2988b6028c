//! Rounds: read the shared books, decide, write them, tell.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    SharedLimits,
    books::{Books, Proposal},
    rows::{HolderRow, Pen, QUOTA, StoreTime, key_of},
};
use crate::{
    clock::Clock,
    error::{ErrorKind, Result},
    http::gate::{Holder, Needs},
    ids::TenantId,
    store::{Expect, Space, StateKey, StateQuery, StateRow, StateWrite, SyncStore},
};

/// Rows of quota belong to no tenant of the host's: limits are the apps'.
const NOBODY: &str = "integration:quota";
const PROCESSES: Space = "process";
/// How soon what came back is told while nobody waits.
const FLUSH: Duration = Duration::from_millis(100);
/// How often to look whether another process gave something back.
const LOOK: Duration = Duration::from_millis(200);
/// How long the store may take for what was never seen.
const UNSEEN: Duration = Duration::from_secs(30);
/// How often a process says that it lives, and reads the store's clock.
const BEAT: Duration = Duration::from_secs(20);
/// Another process was faster: how often to try again before taking a breath.
const TRIES: u32 = 20;

#[derive(Debug)]
pub(super) struct Driver {
    store: Arc<dyn SyncStore>,
    pub(super) clock: Arc<dyn Clock>,
    process: String,
    limits: SharedLimits,
    books: Mutex<Books>,
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    driving: bool,
    time: Option<StoreTime>,
    /// Processes that live, at least ourselves.
    processes: u64,
    beat: Option<Instant>,
    #[cfg(test)]
    stopped: bool,
}

/// A proposal that is withdrawn unless it was accepted.
struct Pending<'a> {
    driver: &'a Driver,
    proposal: Option<Proposal>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(proposal) = self.proposal.take() {
            self.driver.lock().withdraw(proposal);
        }
    }
}

impl Driver {
    pub(super) fn new(store: Arc<dyn SyncStore>, clock: Arc<dyn Clock>, process: String, limits: SharedLimits) -> Self {
        Self {
            store,
            clock,
            process,
            limits,
            books: Mutex::new(Books::new()),
            wake: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Nothing panics halfway through a change of the books.
    pub(super) fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call is back.
    pub(super) fn back(self: &Arc<Self>, needs: &Needs) {
        self.lock().sent(needs);
        self.kick();
    }

    /// Something happened that may let somebody through.
    pub(super) fn kick(self: &Arc<Self>) {
        self.wake.notify_one();
        self.ensure();
    }

    /// Drives while there is anything to do; without a runtime the next call does.
    fn ensure(self: &Arc<Self>) {
        #[cfg(test)]
        if self.state().stopped {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !std::mem::replace(&mut self.state().driving, true) {
            let driver = Arc::clone(self);
            runtime.spawn(async move { driver.drive().await });
        }
    }

    async fn drive(self: Arc<Self>) {
        let _ended = Ended(&self);
        while let Some(pause) = self.round().await {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
            }
            if !self.lock().gate.is_wanted() {
                // What comes back one after the other is told together, unless somebody asks meanwhile.
                let _ = tokio::time::timeout(FLUSH, self.asked()).await;
            }
        }
    }

    async fn asked(&self) {
        while !self.lock().gate.is_wanted() {
            self.wake.notified().await;
        }
    }

    pub(super) fn pen(&self) -> Option<Pen> {
        let (time, now) = (self.state().time?, Instant::now());
        Some(Pen { process: self.process.clone(), time, now, dead_after: self.limits.dead_after })
    }

    #[cfg(test)]
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.wake.notify_one();
    }

    /// One round; how long to wait for the next one. `None`: there is nothing left to do.
    async fn round(&self) -> Option<Duration> {
        #[cfg(test)]
        if self.state().stopped {
            return None;
        }
        let wanted = self.lock().wanted(self.limits.dead_after, Instant::now());
        if wanted.is_empty() {
            let busy = self.lock().is_busy();
            return busy.then_some(self.limits.dead_after / 3);
        }
        // Whoever has nothing to go by alone can only wait.
        let alone = self.lock().has_seen(&wanted) && self.state().time.is_some();
        let patience = if alone { self.limits.patience } else { self.limits.patience.max(UNSEEN) };
        let wake = match tokio::time::timeout(patience, self.exchange(&wanted)).await {
            Ok(Ok(wake)) => wake,
            slow => {
                let cause = match slow {
                    Ok(Err(error)) => error.to_string(),
                    _ => "it did not answer in time".to_owned(),
                };
                tracing::warn!(cause, "the store of the quotas fails; going on with a share of our own");
                let processes = self.state().processes.max(1);
                self.pen().and_then(|pen| self.lock().go_alone(processes, &pen)).or(Some(Instant::now() + FLUSH))
            }
        };
        Some(self.pause(wake))
    }

    fn pause(&self, wake: Option<Instant>) -> Duration {
        let (books, now) = (self.lock(), Instant::now());
        if !books.gate.is_wanted() {
            return FLUSH;
        }
        let look = if books.is_dirty() { FLUSH } else { LOOK };
        // A wake that is known exactly is waited for; what others hold has to be looked for.
        wake.map_or(look, |wake| wake.saturating_duration_since(now).max(Duration::from_millis(1)))
    }

    async fn exchange(&self, wanted: &HashSet<Holder>) -> Result<Option<Instant>> {
        self.beat().await?;
        let mut tries = 0;
        loop {
            let (rows, versions) = self.read(wanted).await?;
            let Some(pen) = self.pen() else { return Ok(None) };
            let mut pending = self.propose(rows, &pen);
            let proposal = pending.proposal.as_ref();
            let writes = proposal.map_or_else(|| Ok(Vec::new()), |proposal| writes(proposal, &versions, &pen))?;
            let wake = proposal.and_then(|proposal| proposal.wake);
            match self.commit(&writes).await {
                Ok(()) => {
                    if let Some(proposal) = pending.proposal.take() {
                        self.lock().accept(proposal, Instant::now());
                    }
                    return Ok(wake);
                }
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            drop(pending);
            // Some of those who collided wait, so that one gets through.
            tokio::time::sleep(Duration::from_millis(u64::from(self.process.as_bytes()[0] % 4) * u64::from(tries)))
                .await;
        }
    }

    fn propose(&self, rows: HashMap<Holder, HolderRow>, pen: &Pen) -> Pending<'_> {
        let mut books = self.lock();
        books.see(&rows, pen.now);
        let proposal = books.propose(rows, self.limits.margin, pen);
        Pending { driver: self, proposal: Some(proposal) }
    }

    async fn read(&self, wanted: &HashSet<Holder>) -> Result<(HashMap<Holder, HolderRow>, HashMap<StateKey, u64>)> {
        let by_key: HashMap<StateKey, &Holder> = wanted.iter().map(|holder| (key_of(holder), holder)).collect();
        let keys = by_key.keys().cloned().collect();
        let query = StateQuery::Keys { tenant: TenantId::new(NOBODY), space: QUOTA, keys };
        let mut rows: HashMap<Holder, HolderRow> =
            wanted.iter().map(|holder| (holder.clone(), HolderRow::default())).collect();
        let mut versions = HashMap::new();
        for row in self.store.read(&query).await? {
            if let Some(holder) = by_key.get(&row.key) {
                rows.insert((*holder).clone(), HolderRow::read(&row)?);
                versions.insert(row.key, row.version);
            }
        }
        Ok((rows, versions))
    }

    async fn commit(&self, writes: &[StateWrite]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin(None).await?;
        tx.write(writes).await?;
        tx.commit().await
    }

    /// Says that we live, counts who else does, and reads the store's clock.
    async fn beat(&self) -> Result<()> {
        let asked = Instant::now();
        if self.state().beat.is_some_and(|last| asked.saturating_duration_since(last) < BEAT) {
            return Ok(());
        }
        let millis = self.store.now().await?.timestamp_millis();
        // Between asking and answering: the middle is off by half of it at most.
        let at = asked + asked.elapsed() / 2;
        let me = StateKey::new([self.process.as_str()]);
        let tenant = TenantId::new(NOBODY);
        let query = StateQuery::Range {
            tenant: tenant.clone(),
            space: PROCESSES,
            prefix: String::new(),
            after: None,
            limit: 1000,
        };
        let (mut processes, mut beats) = (1, vec![StateWrite::put(&tenant, PROCESSES, me.clone(), millis.to_string())]);
        for row in self.store.read(&query).await?.into_iter().filter(|row| row.key != me) {
            let silent = millis.saturating_sub(beat_of(&row));
            if silent < 4 * i64::try_from(BEAT.as_millis()).unwrap_or(i64::MAX) {
                processes += 1;
            } else {
                beats.push(StateWrite::delete(&tenant, PROCESSES, row.key));
            }
        }
        self.commit(&beats).await?;
        let mut state = self.state();
        state.time = Some(StoreTime { at, millis });
        state.processes = processes;
        state.beat = Some(asked);
        Ok(())
    }
}

fn beat_of(row: &StateRow) -> i64 {
    std::str::from_utf8(&row.bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn writes(proposal: &Proposal, versions: &HashMap<StateKey, u64>, pen: &Pen) -> Result<Vec<StateWrite>> {
    let tenant = TenantId::new(NOBODY);
    let mut writes = Vec::with_capacity(proposal.rows.len());
    for (holder, row) in &proposal.rows {
        let key = key_of(holder);
        let known = versions.get(&key);
        let expect = known.map_or(Expect::Absent, |version| Expect::Version(*version));
        let write = match (row.is_idle(pen), known) {
            (true, None) => continue,
            (true, Some(_)) => StateWrite::delete(&tenant, QUOTA, key),
            (false, _) => StateWrite::put(&tenant, QUOTA, key, row.bytes()?),
        };
        writes.push(write.expecting(expect));
    }
    // In one order everywhere, so that two processes never wait for each other.
    writes.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(writes)
}

/// Nobody drives any more, however the driving ended.
struct Ended<'a>(&'a Arc<Driver>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state().driving = false;
        // Whoever came between the last look and now.
        if self.0.lock().gate.is_wanted() || self.0.lock().is_dirty() {
            self.0.ensure();
        }
    }
}
