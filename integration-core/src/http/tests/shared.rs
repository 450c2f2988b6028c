use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
    http::{
        Admission, AdmissionKey, AdmissionRequest, Cost, Priority, QuotaScope, QuotaTable, QuotaUnit, QuotaWindow,
        SharedAdmission, SharedLimits,
    },
    ids::AppId,
    store::{LeaseGuard, MemoryStore, StateQuery, StateRow, StoreTransaction, SyncStore},
    testing::{SeededRandom, virtual_clock},
};

const MINUTE: Duration = Duration::from_secs(60);
const LATENCY: Duration = Duration::from_millis(300);
const LIMIT: u64 = 6000;

fn key() -> AdmissionKey {
    AdmissionKey::new(AppId::new("app"), Some("account".to_owned()), Some("grant".to_owned()))
}

fn request(cost: Cost, priority: Priority) -> AdmissionRequest {
    AdmissionRequest::new(key(), cost, priority)
}

fn table() -> QuotaTable {
    let window = QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::Units, LIMIT, MINUTE);
    QuotaTable::unlimited("per-minute").with_window(window).with_concurrency(10)
}

/// A store that can be unplugged.
#[derive(Clone, Debug, Default)]
struct Plugged {
    inner: MemoryStore,
    unplugged: Arc<AtomicBool>,
}

impl Plugged {
    fn check(&self) -> Result<()> {
        match self.unplugged.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Store, "unplugged")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SyncStore for Plugged {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.check()?;
        self.inner.read(query).await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        self.check()?;
        self.inner.begin(guard).await
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        self.check()?;
        self.inner.now().await
    }
}

/// The far side: counts units in every sliding minute, and calls at the same time.
#[derive(Debug, Default)]
struct Service {
    sliding: VecDeque<(Instant, u64)>,
    total: u64,
    worst: u64,
    at_once: u64,
    most_at_once: u64,
}

impl Service {
    fn book(&mut self, units: u64) {
        let now = Instant::now();
        self.sliding.retain(|(at, _)| now - *at < MINUTE);
        self.sliding.push_back((now, units));
        self.total += units;
        self.worst = self.worst.max(self.sliding.iter().map(|(_, units)| units).sum());
    }
}

#[derive(Clone)]
struct Process {
    gate: SharedAdmission,
    service: Arc<Mutex<Service>>,
}

impl Process {
    async fn call(&self, cost: Cost, priority: Priority) -> Duration {
        let asked = Instant::now();
        let permit = self.gate.admit(request(cost, priority)).await.unwrap();
        let waited = asked.elapsed();
        {
            let mut service = self.service.lock().unwrap();
            service.at_once += u64::from(cost.slots);
            service.most_at_once = service.most_at_once.max(service.at_once);
        }
        tokio::time::sleep(LATENCY / 3).await;
        self.service.lock().unwrap().book(cost.units.into());
        tokio::time::sleep(LATENCY - LATENCY / 3).await;
        self.service.lock().unwrap().at_once -= u64::from(cost.slots);
        drop(permit);
        waited
    }

    fn backfill(&self, workers: usize, cost: Cost) -> Vec<JoinHandle<()>> {
        let worker = |_| {
            let process = self.clone();
            tokio::spawn(async move {
                loop {
                    process.call(cost, Priority::Background).await;
                }
            })
        };
        (0..workers).map(worker).collect()
    }
}

struct World {
    store: Plugged,
    service: Arc<Mutex<Service>>,
}

impl World {
    fn new() -> Self {
        Self { store: Plugged::default(), service: Arc::default() }
    }

    fn process(&self, seed: u64, clock: Arc<SystemClock>) -> Process {
        let store = Arc::new(self.store.clone());
        let gate = SharedAdmission::new(store, clock, &SeededRandom::new(seed), SharedLimits::default());
        Process { gate: gate.with_table(AppId::new("app"), table()), service: Arc::clone(&self.service) }
    }

    /// Processes on machines whose clocks are an hour apart.
    fn processes(&self, count: u64) -> Vec<Process> {
        let clock = |hours: i64| {
            let now = virtual_clock().now() + TimeDelta::hours(hours);
            Arc::new(SystemClock::starting_at(now))
        };
        (0..count).map(|seed| self.process(seed, clock(i64::try_from(seed).unwrap()))).collect()
    }

    fn worst(&self) -> u64 {
        self.service.lock().unwrap().worst
    }

    fn total(&self) -> u64 {
        self.service.lock().unwrap().total
    }
}

fn stop(workers: impl IntoIterator<Item = JoinHandle<()>>) {
    workers.into_iter().for_each(|worker| worker.abort());
}

#[tokio::test(start_paused = true)]
async fn four_processes_with_different_clocks_stay_under_one_limit_and_use_it() {
    let world = World::new();
    let workers: Vec<_> = world.processes(4).iter().flat_map(|process| process.backfill(3, Cost::units(20))).collect();
    tokio::time::sleep(MINUTE).await;
    let before = world.total();
    tokio::time::sleep(10 * MINUTE).await;
    stop(workers);
    let share = (world.total() - before) as f64 / (10.0 * LIMIT as f64);
    assert!(world.worst() <= LIMIT, "{}", world.worst());
    assert!(share >= 0.95, "{share}");
}

#[tokio::test(start_paused = true)]
async fn four_processes_together_never_have_more_calls_at_once_than_allowed() {
    let world = World::new();
    let processes = world.processes(4);
    let calls = processes.iter().flat_map(|process| {
        (0..40).map(|_| {
            let process = process.clone();
            tokio::spawn(async move { process.call(Cost::units(1), Priority::Live).await })
        })
    });
    futures_util::future::join_all(calls.collect::<Vec<_>>()).await;
    assert_eq!(world.service.lock().unwrap().most_at_once, 10);
}

#[tokio::test(start_paused = true)]
async fn a_person_in_one_process_waits_less_than_a_second_beside_the_backfill_of_others() {
    let world = World::new();
    let processes = world.processes(4);
    let workers: Vec<_> = processes[1..].iter().flat_map(|process| process.backfill(3, Cost::units(20))).collect();
    tokio::time::sleep(5 * MINUTE).await;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        longest = longest.max(processes[0].call(Cost::units(20), Priority::Interactive).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop(workers);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(world.worst() <= LIMIT, "{}", world.worst());
}

#[tokio::test(start_paused = true)]
async fn a_complaint_that_one_process_heard_stops_them_all() {
    let world = World::new();
    let processes = world.processes(2);
    processes[1].call(Cost::units(1), Priority::Live).await;
    let clock = virtual_clock();
    let until = clock.now() + TimeDelta::seconds(30);
    processes[0].gate.throttled(&key(), QuotaScope::AppAndAccount, until).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waited = processes[1].call(Cost::units(1), Priority::Interactive).await;
    assert!(waited >= Duration::from_secs(28) && waited < Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn complaints_that_processes_heard_lower_the_calls_at_once_of_all_together() {
    let world = World::new();
    let processes = world.processes(2);
    processes[1].call(Cost::units(1), Priority::Live).await;
    for (heard, left) in [(0, 9), (1, 8)] {
        let gate = &processes[heard].gate;
        for _ in 0..3 {
            gate.throttled(&key(), QuotaScope::AppAndAccount, gate.now() + TimeDelta::seconds(5)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.service.lock().unwrap().most_at_once = 0;
        let calls = processes.iter().flat_map(|process| {
            (0..40).map(|_| {
                let process = process.clone();
                tokio::spawn(async move { process.call(Cost::units(1), Priority::Live).await })
            })
        });
        futures_util::future::join_all(calls.collect::<Vec<_>>()).await;
        assert_eq!(world.service.lock().unwrap().most_at_once, left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_died_gives_its_slots_back_but_what_it_may_have_used_counts() {
    let world = World::new();
    let processes = world.processes(2);
    let permit = processes[0].gate.admit(request(Cost::batch(10, 500), Priority::Live)).await.unwrap();
    // Killed: nobody says that the calls are back, and nobody says any more that they are not.
    std::mem::forget(permit);
    processes[0].gate.stop();
    let asked = Instant::now();
    processes[1].call(Cost::units(20), Priority::Live).await;
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(17), "{waited:?}");
    let waited = processes[1].call(Cost::batch(9, 300), Priority::Live).await;
    assert!(waited >= Duration::from_secs(50) && waited < Duration::from_secs(65), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_gone_process_may_have_used_is_nobodys_at_the_moment_it_is_found_gone() {
    let world = World::new();
    let processes = world.processes(2);
    let used = processes[0].gate.admit(request(Cost::units(2_000), Priority::Live)).await.unwrap();
    world.service.lock().unwrap().book(2_000);
    std::mem::forget(used);
    processes[0].gate.stop();
    for _ in 0..8 {
        processes[1].call(Cost::units(500), Priority::Live).await;
    }
    // Together with the gone one's this is one too many for a minute; by now its process is taken for gone.
    tokio::time::sleep(Duration::from_secs(14)).await;
    processes[1].call(Cost::units(500), Priority::Live).await;
    assert!(world.worst() <= LIMIT, "{}", world.worst());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_each_goes_on_with_a_share_and_together_they_stay_under_the_limit() {
    let world = World::new();
    let processes = world.processes(4);
    for process in &processes {
        process.call(Cost::units(1), Priority::Live).await;
    }
    // Everyone has seen everyone.
    tokio::time::sleep(Duration::from_secs(25)).await;
    for process in &processes {
        process.call(Cost::units(1), Priority::Live).await;
    }
    let before = world.total();
    world.store.unplugged.store(true, Ordering::Relaxed);
    let workers: Vec<_> = processes.iter().flat_map(|process| process.backfill(3, Cost::units(20))).collect();
    tokio::time::sleep(3 * MINUTE).await;
    let alone = world.total() - before;
    world.store.unplugged.store(false, Ordering::Relaxed);
    tokio::time::sleep(3 * MINUTE).await;
    stop(workers);
    assert!(alone >= LIMIT, "nobody went on: {alone}");
    assert!(world.worst() <= LIMIT, "{}", world.worst());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_never_saw_the_store_waits_for_it() {
    let world = World::new();
    world.store.unplugged.store(true, Ordering::Relaxed);
    let process = world.processes(1).remove(0);
    let call = tokio::spawn(async move { process.call(Cost::units(1), Priority::Live).await });
    tokio::time::sleep(MINUTE).await;
    assert!(!call.is_finished());
    world.store.unplugged.store(false, Ordering::Relaxed);
    assert!(call.await.unwrap() < 2 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_takes_nothing() {
    let world = World::new();
    let processes = world.processes(2);
    for patience in 0..50 {
        let mut asked = processes[0].gate.admit(request(Cost::batch(10, 60), Priority::Live));
        assert!(asked.as_mut().now_or_never().is_none());
        // Gone before, while and after the store is asked.
        for _ in 0..patience {
            tokio::task::yield_now().await;
        }
        drop(asked);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.total(), 0);
    let waited = processes[1].call(Cost::batch(10, 600), Priority::Live).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_accounts_leave_no_rows_behind_once_somebody_looks() {
    let world = World::new();
    let process = world.processes(1).remove(0);
    process.call(Cost::units(20), Priority::Live).await;
    tokio::time::sleep(2 * MINUTE).await;
    let usage = process.gate.usage(&key()).await;
    assert_eq!(usage.used, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_minute_holds_goes_through_at_once_however_many_processes_ask() {
    let world = World::new();
    let processes = world.processes(4);
    let calls: Vec<_> = processes
        .iter()
        .flat_map(|process| (0..90).map(move |_| process.clone()))
        .map(|process| tokio::spawn(async move { process.call(Cost::units(20), Priority::Interactive).await }))
        .collect();
    tokio::time::sleep(MINUTE / 2).await;
    // Rounded up, an entry may count a little longer; nothing else is lost.
    assert!(world.total() >= LIMIT - 100, "{}", world.total());
    futures_util::future::join_all(calls).await;
    assert!(world.worst() <= LIMIT, "{}", world.worst());
}
