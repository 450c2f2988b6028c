use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    clock::Clock,
    error::ErrorKind,
    http::{
        Admission, AdmissionKey, AdmissionRequest, Cost, LocalAdmission, Permit, Priority, QuotaScope, QuotaTable,
        QuotaUnit, QuotaWindow,
    },
    ids::AppId,
    testing::virtual_clock,
};

const MINUTE: Duration = Duration::from_secs(60);
const LATENCY: Duration = Duration::from_millis(300);

fn app() -> AppId {
    AppId::new("app")
}

fn key(account: &str) -> AdmissionKey {
    AdmissionKey::new(app(), Some(account.to_owned()), Some("grant".to_owned()))
}

fn request(cost: Cost, priority: Priority) -> AdmissionRequest {
    AdmissionRequest::new(key("account"), cost, priority)
}

fn per_minute(limit: u64) -> QuotaTable {
    let window = QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::Units, limit, MINUTE);
    QuotaTable::unlimited("per-minute").with_window(window)
}

fn gate(table: QuotaTable) -> LocalAdmission {
    LocalAdmission::new(virtual_clock()).with_table(app(), table)
}

/// The far side: counts units in every sliding and every calendar minute.
#[derive(Debug, Default)]
struct Service {
    sliding: VecDeque<(Instant, u64)>,
    minutes: Vec<u64>,
    worst: u64,
}

impl Service {
    fn book(&mut self, begin: Instant, units: u64) {
        let now = Instant::now();
        self.sliding.retain(|(at, _)| now - *at < MINUTE);
        self.sliding.push_back((now, units));
        let minute = usize::try_from((now - begin).as_secs() / 60).unwrap();
        self.minutes.resize(self.minutes.len().max(minute + 1), 0);
        self.minutes[minute] += units;
        let sliding: u64 = self.sliding.iter().map(|(_, units)| units).sum();
        self.worst = self.worst.max(sliding).max(self.minutes[minute]);
    }
}

#[derive(Clone)]
struct World {
    gate: LocalAdmission,
    service: Arc<Mutex<Service>>,
    begin: Instant,
}

impl World {
    fn new() -> Self {
        Self { gate: gate(per_minute(6000)), service: Arc::default(), begin: Instant::now() }
    }

    /// One call; the service books it at some moment between sending and answering. Returns how long it waited.
    async fn call(&self, cost: Cost, priority: Priority) -> Duration {
        let asked = Instant::now();
        let permit = self.gate.admit(request(cost, priority)).await.unwrap();
        let waited = asked.elapsed();
        tokio::time::sleep(LATENCY / 3).await;
        self.service.lock().unwrap().book(self.begin, cost.units.into());
        tokio::time::sleep(LATENCY - LATENCY / 3).await;
        drop(permit);
        waited
    }

    /// A history that never ends, with `workers` calls at a time.
    fn backfill(&self, workers: usize, cost: Cost) -> Vec<JoinHandle<()>> {
        let worker = |_| {
            let world = self.clone();
            tokio::spawn(async move {
                loop {
                    world.call(cost, Priority::Background).await;
                }
            })
        };
        (0..workers).map(worker).collect()
    }

    fn spawn(&self, count: usize, priority: Priority) -> Vec<JoinHandle<Duration>> {
        let one = |_| {
            let world = self.clone();
            tokio::spawn(async move { world.call(Cost::units(20), priority).await })
        };
        (0..count).map(one).collect()
    }

    async fn longest(waits: Vec<JoinHandle<Duration>>) -> Duration {
        let waits = futures_util::future::join_all(waits).await;
        waits.into_iter().map(Result::unwrap).max().unwrap()
    }

    fn worst(&self) -> u64 {
        self.service.lock().unwrap().worst
    }
}

/// The share of the quota used in minutes 2 to 20, and the service's worst count.
async fn twenty_minutes_of(cost: Cost, workers: usize) -> (f64, u64) {
    let world = World::new();
    let workers = world.backfill(workers, cost);
    tokio::time::sleep(20 * MINUTE).await;
    workers.iter().for_each(JoinHandle::abort);
    let service = world.service.lock().unwrap();
    let used: u64 = service.minutes[1..20].iter().sum();
    (used as f64 / (19.0 * 6000.0), service.worst)
}

#[tokio::test(start_paused = true)]
async fn a_backfill_of_single_calls_uses_97_percent_and_never_overruns() {
    let (share, worst) = twenty_minutes_of(Cost::units(20), 4).await;
    assert!((0.97..=0.981).contains(&share), "{share}");
    assert!(worst <= 6000, "{worst}");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_of_batches_uses_97_percent_and_never_overruns() {
    let (share, worst) = twenty_minutes_of(Cost::batch(10, 20), 2).await;
    assert!((0.97..=0.981).contains(&share), "{share}");
    assert!(worst <= 6000, "{worst}");
}

#[tokio::test(start_paused = true)]
async fn a_single_worker_reaches_97_percent_as_well() {
    let (share, worst) = twenty_minutes_of(Cost::batch(10, 20), 1).await;
    assert!((0.97..=0.981).contains(&share), "{share}");
    assert!(worst <= 6000, "{worst}");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_is_spread_evenly_over_each_minute() {
    let world = World::new();
    let workers = world.backfill(4, Cost::units(20));
    tokio::time::sleep(2 * MINUTE).await;
    workers.iter().for_each(JoinHandle::abort);
    let service = world.service.lock().unwrap();
    let since = Instant::now() - Duration::from_secs(10);
    let last_ten: u64 = service.sliding.iter().filter(|(at, _)| *at > since).map(|(_, units)| units).sum();
    assert!((940..=1020).contains(&last_ten), "{last_ten}");
}

async fn one_a_second_beside(cost: Cost, workers: usize) -> (Duration, u64) {
    let world = World::new();
    let workers = world.backfill(workers, cost);
    tokio::time::sleep(5 * MINUTE).await;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        longest = longest.max(world.call(Cost::units(20), Priority::Interactive).await);
        tokio::time::sleep_until(began + Duration::from_secs(1)).await;
    }
    workers.iter().for_each(JoinHandle::abort);
    (longest, world.worst())
}

#[tokio::test(start_paused = true)]
async fn interactive_calls_one_second_apart_wait_less_than_a_second_beside_a_backfill() {
    let (longest, worst) = one_a_second_beside(Cost::units(20), 4).await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(worst <= 6000, "{worst}");
}

#[tokio::test(start_paused = true)]
async fn interactive_calls_one_second_apart_wait_less_than_a_second_beside_batches() {
    let (longest, worst) = one_a_second_beside(Cost::batch(10, 20), 3).await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(worst <= 6000, "{worst}");
}

#[tokio::test(start_paused = true)]
async fn while_a_person_is_there_batches_leave_room_so_that_nobody_waits_at_all() {
    let world = World::new();
    let workers = world.backfill(3, Cost::batch(10, 20));
    tokio::time::sleep(5 * MINUTE).await;
    world.call(Cost::units(20), Priority::Interactive).await;
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(world.call(Cost::units(20), Priority::Interactive).await, Duration::ZERO);
    }
    workers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn twenty_interactive_calls_at_once_are_through_within_five_seconds_beside_a_backfill() {
    for cost in [Cost::units(20), Cost::batch(10, 20)] {
        let world = World::new();
        let workers = world.backfill(4, cost);
        tokio::time::sleep(5 * MINUTE).await;
        let longest = World::longest(world.spawn(20, Priority::Interactive)).await;
        workers.iter().for_each(JoinHandle::abort);
        assert!(longest <= Duration::from_secs(5), "{cost:?}: {longest:?}");
        assert!(world.worst() <= 6000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_new_messages_after_an_idle_minute_are_through_within_five_seconds() {
    let world = World::new();
    tokio::time::sleep(MINUTE).await;
    let longest = World::longest(world.spawn(100, Priority::Live)).await;
    assert!(longest <= Duration::from_secs(5), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_new_messages_are_through_within_thirty_seconds_beside_a_backfill() {
    for cost in [Cost::units(20), Cost::batch(10, 20)] {
        let world = World::new();
        let workers = world.backfill(4, cost);
        tokio::time::sleep(5 * MINUTE).await;
        let longest = World::longest(world.spawn(100, Priority::Live)).await;
        workers.iter().for_each(JoinHandle::abort);
        assert!(longest <= Duration::from_secs(30), "{cost:?}: {longest:?}");
        assert!(world.worst() <= 6000);
    }
}

/// Asks in a task of its own and notes its name when admitted; the permit is kept.
fn line_up(
    gate: &LocalAdmission,
    request: AdmissionRequest,
    name: &'static str,
    order: &Arc<Mutex<Vec<&'static str>>>,
) -> JoinHandle<Permit> {
    let (gate, order) = (gate.clone(), Arc::clone(order));
    tokio::spawn(async move {
        let permit = gate.admit(request).await.unwrap();
        order.lock().unwrap().push(name);
        permit
    })
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn interactive_goes_before_live_and_live_before_background_first_come_first_served() {
    let gate = gate(QuotaTable::unlimited("slots").with_concurrency(1));
    let order = Arc::default();
    let first = gate.admit(request(Cost::units(1), Priority::Background)).await.unwrap();
    let mut tasks = Vec::new();
    for (name, priority) in [
        ("background", Priority::Background),
        ("live 1", Priority::Live),
        ("interactive", Priority::Interactive),
        ("live 2", Priority::Live),
    ] {
        tasks.push(line_up(&gate, request(Cost::units(1), priority), name, &order));
        settle().await;
    }
    drop(first);
    let mut left = vec!["interactive", "live 1", "live 2", "background"];
    for _ in 0..4 {
        settle().await;
        let next = left.remove(0);
        assert_eq!(order.lock().unwrap().last(), Some(&next));
        let at = tasks.iter().position(JoinHandle::is_finished).unwrap();
        drop(tasks.remove(at).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn light_calls_do_not_overtake_a_heavy_one_that_waits() {
    let gate = gate(QuotaTable::unlimited("slots").with_concurrency(10));
    let order = Arc::default();
    let five = gate.admit(request(Cost::batch(5, 1), Priority::Live)).await.unwrap();
    let heavy = line_up(&gate, request(Cost::batch(10, 1), Priority::Live), "heavy", &order);
    settle().await;
    let light = line_up(&gate, request(Cost::units(1), Priority::Live), "light", &order);
    settle().await;
    assert!(order.lock().unwrap().is_empty(), "five slots are free, and kept");
    drop(five);
    drop(heavy.await.unwrap());
    drop(light.await.unwrap());
    assert_eq!(*order.lock().unwrap(), ["heavy", "light"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_account_does_not_hold_up_another_one() {
    let gate = gate(per_minute(100));
    drop(gate.admit(request(Cost::units(100), Priority::Live)).await.unwrap());
    let waiting = line_up(&gate, request(Cost::units(100), Priority::Live), "full", &Arc::default());
    settle().await;
    let began = Instant::now();
    let other = AdmissionRequest::new(key("other"), Cost::units(100), Priority::Live);
    drop(gate.admit(other).await.unwrap());
    assert_eq!(began.elapsed(), Duration::ZERO);
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_until_a_window_after_its_answer() {
    let gate = gate(per_minute(100));
    let permit = gate.admit(request(Cost::units(100), Priority::Live)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    drop(permit);
    let began = Instant::now();
    drop(gate.admit(request(Cost::units(100), Priority::Live)).await.unwrap());
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn all_windows_of_a_table_apply() {
    let calls = QuotaWindow::new(QuotaScope::App, QuotaUnit::Calls, 3, Duration::from_secs(1));
    let gate = gate(per_minute(100).with_window(calls));
    let began = Instant::now();
    for _ in 0..6 {
        drop(gate.admit(request(Cost::units(20), Priority::Live)).await.unwrap());
    }
    assert_eq!(began.elapsed().as_secs(), 60, "three a second, five a minute");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_a_limit_of_their_own_that_reading_calls_never_meet() {
    let bytes = QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::UploadedBytes, 1_000, MINUTE);
    let gate = gate(QuotaTable::unlimited("bytes").with_window(bytes));
    let began = Instant::now();
    for uploaded in [600, 0, 400, 0] {
        drop(gate.admit(request(Cost::units(1).with_uploaded(uploaded), Priority::Background)).await.unwrap());
    }
    let paced = began.elapsed();
    assert!(paced < MINUTE, "{paced:?}");
    let interactive =
        async |uploaded| gate.admit(request(Cost::units(1).with_uploaded(uploaded), Priority::Interactive)).await;
    drop(interactive(0).await.unwrap());
    assert_eq!(began.elapsed(), paced, "reading goes on");
    drop(interactive(1).await.unwrap());
    assert!(began.elapsed() >= MINUTE, "one byte more waits for the window");
    assert!(interactive(1_001).await.is_err(), "what never fits is told so");
}

#[tokio::test(start_paused = true)]
async fn accounts_share_the_apps_window_and_apps_share_the_accounts() {
    let window = |scope| QuotaWindow::new(scope, QuotaUnit::Units, 100, MINUTE);
    for (scope, app, account, shared) in [
        (QuotaScope::App, "app", "other", true),
        (QuotaScope::App, "app-2", "account", false),
        (QuotaScope::Account, "app-2", "account", true),
        (QuotaScope::Account, "app", "other", false),
        (QuotaScope::AppAndAccount, "app-2", "account", false),
        (QuotaScope::Grant, "app", "other", true),
    ] {
        let table = QuotaTable::unlimited("service").with_window(window(scope));
        let gate = gate(table.clone()).with_table(AppId::new("app-2"), table);
        drop(gate.admit(request(Cost::units(100), Priority::Live)).await.unwrap());
        let key = AdmissionKey::new(AppId::new(app), Some(account.to_owned()), Some("grant".to_owned()));
        let began = Instant::now();
        drop(gate.admit(AdmissionRequest::new(key, Cost::units(100), Priority::Live)).await.unwrap());
        assert_eq!(began.elapsed() >= MINUTE, shared, "{scope:?} {app} {account}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_call_frees_its_place() {
    let gate = gate(QuotaTable::unlimited("slots").with_concurrency(2));
    let one = gate.admit(request(Cost::units(1), Priority::Live)).await.unwrap();
    let heavy = line_up(&gate, request(Cost::batch(2, 1), Priority::Live), "heavy", &Arc::default());
    settle().await;
    let light = line_up(&gate, request(Cost::units(1), Priority::Live), "light", &Arc::default());
    settle().await;
    assert!(!light.is_finished());
    heavy.abort();
    drop(light.await.unwrap());
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_between_admission_and_noticing_costs_nothing() {
    let gate = gate(per_minute(100).with_concurrency(1));
    let first = gate.admit(request(Cost::units(10), Priority::Live)).await.unwrap();
    let mut waiting = Box::pin(gate.admit(request(Cost::units(50), Priority::Live)));
    assert!((&mut waiting).now_or_never().is_none());
    // The waiting call is admitted here, and dropped before anyone polls it again.
    drop(first);
    drop(waiting);
    assert_eq!(gate.usage(&key("account")).await.used, 10);
    let began = Instant::now();
    drop(gate.admit(request(Cost::units(90), Priority::Live)).await.unwrap());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_complaint_blocks_its_scope_until_then_and_nobody_else() {
    let clock = virtual_clock();
    let gate = LocalAdmission::new(Arc::clone(&clock) as Arc<dyn Clock>).with_table(app(), per_minute(6000));
    let until = clock.now() + TimeDelta::seconds(30);
    gate.throttled(&key("account"), QuotaScope::AppAndAccount, until).await;
    assert_eq!(gate.usage(&key("account")).await.blocked_until, Some(until));
    let began = Instant::now();
    let other = AdmissionRequest::new(key("other"), Cost::units(1), Priority::Background);
    drop(gate.admit(other).await.unwrap());
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(gate.admit(request(Cost::units(1), Priority::Interactive)).await.unwrap());
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_complaint_about_the_app_blocks_all_its_accounts() {
    let clock = virtual_clock();
    let gate = LocalAdmission::new(Arc::clone(&clock) as Arc<dyn Clock>).with_table(app(), per_minute(6000));
    gate.throttled(&key("account"), QuotaScope::App, clock.now() + TimeDelta::seconds(30)).await;
    let began = Instant::now();
    drop(gate.admit(AdmissionRequest::new(key("other"), Cost::units(1), Priority::Live)).await.unwrap());
    assert_eq!(began.elapsed().as_secs(), 30);
}

/// How many calls of an account may be under way together.
fn at_once(gate: &LocalAdmission, account: &str) -> usize {
    let request = || AdmissionRequest::new(key(account), Cost::units(1), Priority::Live);
    let permits: Vec<Permit> = (0..10).filter_map(|_| gate.admit(request()).now_or_never()?.ok()).collect();
    permits.len()
}

#[tokio::test(start_paused = true)]
async fn a_complaint_about_an_account_lowers_its_calls_at_once_which_grow_back_in_quiet_time() {
    let clock = virtual_clock();
    let table = QuotaTable::unlimited("at once").with_concurrency(4);
    let gate = LocalAdmission::new(Arc::clone(&clock) as Arc<dyn Clock>).with_table(app(), table);
    assert_eq!(at_once(&gate, "account"), 4);
    for left in [3, 2, 1, 1] {
        // Calls that were under way together are refused together.
        for _ in 0..4 {
            let until = clock.now() + TimeDelta::seconds(5);
            gate.throttled(&key("account"), QuotaScope::AppAndAccount, until).await;
        }
        assert_eq!((at_once(&gate, "account"), at_once(&gate, "other")), (0, 4));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((at_once(&gate, "account"), at_once(&gate, "other")), (left, 4));
    }
    // What needs more than that goes alone, rather than never.
    let batch = AdmissionRequest::new(key("account"), Cost::batch(4, 1), Priority::Live);
    let permit = gate.admit(batch).now_or_never().unwrap().unwrap();
    assert_eq!(at_once(&gate, "account"), 0);
    drop(permit);
    for back in [2, 3, 4, 4] {
        tokio::time::sleep(MINUTE).await;
        assert_eq!(at_once(&gate, "account"), back);
    }
}

#[tokio::test(start_paused = true)]
async fn a_complaint_about_the_app_or_a_grant_lowers_no_account() {
    let clock = virtual_clock();
    let table = QuotaTable::unlimited("at once").with_concurrency(4);
    let gate = LocalAdmission::new(Arc::clone(&clock) as Arc<dyn Clock>).with_table(app(), table);
    for scope in [QuotaScope::App, QuotaScope::Grant] {
        gate.throttled(&key("account"), scope, clock.now() + TimeDelta::seconds(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(at_once(&gate, "account"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_can_never_fit_is_refused_at_once() {
    let gate = gate(per_minute(100).with_concurrency(4));
    for cost in [Cost::units(101), Cost::batch(5, 1)] {
        let error = gate.admit(request(cost, Priority::Live)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(start_paused = true)]
async fn a_background_call_larger_than_the_share_passes_when_nothing_else_counts() {
    let gate = gate(per_minute(100));
    drop(gate.admit(request(Cost::units(1), Priority::Interactive)).await.unwrap());
    drop(gate.admit(request(Cost::units(100), Priority::Background)).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_smaller_table_refuses_whoever_waits_and_no_longer_fits() {
    let gate = gate(per_minute(100));
    drop(gate.admit(request(Cost::units(100), Priority::Live)).await.unwrap());
    let mut waiting = Box::pin(gate.admit(request(Cost::units(100), Priority::Live)));
    assert!((&mut waiting).now_or_never().is_none());
    gate.set_table(app(), per_minute(50));
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(gate.usage(&key("account")).await.used, 100, "what was admitted still counts");
}

#[tokio::test(start_paused = true)]
async fn usage_tells_the_tightest_window_and_the_background_rate() {
    let gate = gate(per_minute(6000));
    drop(gate.admit(request(Cost::units(1500), Priority::Live)).await.unwrap());
    let usage = gate.usage(&key("account")).await;
    assert_eq!((usage.used, usage.limit), (1500, Some(6000)));
    assert_eq!(usage.background_rate, Some(98.0));
}

#[tokio::test(start_paused = true)]
async fn accounts_that_went_quiet_are_forgotten() {
    let gate = gate(per_minute(100).with_concurrency(4));
    for account in 0..1000 {
        let key = key(&account.to_string());
        drop(gate.admit(AdmissionRequest::new(key, Cost::units(1), Priority::Interactive)).await.unwrap());
    }
    assert!(gate.remembered() >= 1000);
    tokio::time::sleep(2 * MINUTE).await;
    drop(gate.admit(request(Cost::units(1), Priority::Live)).await.unwrap());
    assert!(gate.remembered() <= 2, "{}", gate.remembered());
}

#[tokio::test(start_paused = true)]
async fn the_ledger_of_a_long_busy_window_stays_small() {
    let day = QuotaWindow::new(QuotaScope::App, QuotaUnit::Calls, 1_000_000, Duration::from_secs(86_400));
    let gate = gate(QuotaTable::unlimited("day").with_window(day));
    for _ in 0..20_000 {
        drop(gate.admit(request(Cost::units(1), Priority::Live)).await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(gate.usage(&key("account")).await.used, 20_000);
    assert!(gate.longest_ledger() <= 1100, "{}", gate.longest_ledger());
}
