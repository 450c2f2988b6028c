//! Four processes on one database work off many connections, while one of them is killed every few seconds.
//!
//! Small by default. The whole of it, with the numbers that are promised:
//! `INTEGRATION_FLEET=2000 INTEGRATION_FLEET_SECONDS=180 cargo test --release -p integration-testing --test it fleet:: -- --nocapture`
//! (the workers are the test program and the sandbox is built with it: both are then optimised; `INTEGRATION_SANDBOX` may name
//! another one). `INTEGRATION_FLEET_LEASE` and `INTEGRATION_FLEET_POLL` set the lease and the interval, in seconds.

mod takeover;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Child,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use integration_core::{connection::Connection, hub::Hub, ids::TenantId};
use integration_testing::postgres::Postgres;
use serde_json::Value;

use self::takeover::Takeover;
use crate::{
    far::FarSandbox,
    place::StoreUrl,
    service::Service,
    worker::{self, FleetSettings},
};

const PROCESSES: usize = 4;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().unwrap())
}

fn address(index: usize) -> String {
    format!("person{index}@customer{}.example", index / 10)
}

fn tenant(index: usize) -> TenantId {
    TenantId::new(format!("tenant{}", index / 10))
}

/// When each account's head was asked, read from a log that forgets.
#[derive(Default)]
struct Polls(BTreeMap<String, BTreeSet<DateTime<Utc>>>);

impl Polls {
    async fn read(&mut self, sandbox: &FarSandbox) {
        let calls = sandbox.ask("GET", "calls", "").await;
        for call in calls.as_array().unwrap() {
            let (Some(path), Some(account)) = (call["path"].as_str(), call["account"].as_str()) else { continue };
            if path.ends_with("/history") {
                self.0.entry(account.to_owned()).or_default().insert(call["at"].as_str().unwrap().parse().unwrap());
            }
        }
    }

    /// The longest time without a look between two instants, and whose.
    fn longest(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> (Duration, String) {
        let gaps = self.0.iter().map(|(account, times)| {
            let within = times.range(from..=until).copied();
            let marks: Vec<DateTime<Utc>> = std::iter::once(from).chain(within).chain([until]).collect();
            let longest = marks.windows(2).map(|pair| (pair[1] - pair[0]).to_std().unwrap_or_default()).max();
            (longest.unwrap_or_default(), account.clone())
        });
        gaps.max().unwrap()
    }
}

struct Fleet {
    sandbox: FarSandbox,
    url: StoreUrl,
    hub: Hub,
    settings: FleetSettings,
    connections: Vec<Connection>,
    processes: Vec<Child>,
    delivered: Vec<BTreeSet<String>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Fleet {
    async fn new(url: StoreUrl, settings: FleetSettings, count: usize) -> Self {
        let place = tempfile::tempdir().unwrap();
        let units = settings.app_units.map(|units| units.to_string());
        let project = units.iter().flat_map(|units| ["--project-units", units]);
        let more: Vec<&str> = ["--quota", "gmail-2026"].into_iter().chain(project).collect();
        let sandbox = FarSandbox::under(place.path(), &more);
        let hub = worker::fleet_hub(&url, &sandbox.origin, &settings).await;
        let (connections, processes, delivered) = (Vec::new(), Vec::new(), vec![BTreeSet::new(); count]);
        let mut fleet = Self { sandbox, url, hub, settings, connections, processes, delivered };
        for index in 0..count {
            let connection = fleet.connect(index).await;
            fleet.connections.push(connection);
            fleet.deliver(index, 0).await;
        }
        fleet
    }

    async fn connect(&self, index: usize) -> Connection {
        let whose = (&self.hub, &self.sandbox);
        worker::connect_somebody(whose, &tenant(index), &address(index), Service::Google.read_mail()).await
    }

    async fn deliver(&mut self, index: usize, number: u64) {
        let id = format!("{index}.{number}@fleet.example");
        let mail = format!(
            "From: known{index}@acme.example\r\nTo: {}\r\nSubject: {number}\r\nMessage-ID: <{id}>\r\n\
             Date: Tue, 03 Nov 2026 10:00:00 +0000\r\n\r\nHello\r\n",
            address(index)
        );
        self.sandbox.ask("POST", &format!("deliver?account={}", address(index)), &mail).await;
        self.delivered[index].insert(id);
    }

    fn process(&self) -> Child {
        self.settings.hand_to(&mut worker::command("fleet", &self.url, &self.sandbox.origin)).spawn().unwrap()
    }

    /// What is on the timeline of each connection, by `Message-ID`.
    async fn shown(&self) -> Vec<Vec<String>> {
        let mut shown = Vec::new();
        for (index, connection) in self.connections.iter().enumerate() {
            let decided = self.hub.decisions(&tenant(index), &connection.id).await.unwrap();
            shown.push(decided.into_iter().filter_map(|(_, decision)| decision.summary.message_id).collect());
        }
        shown
    }

    /// Every message decided once, and one activity for each.
    async fn assert_whole(&self) {
        let began = Instant::now();
        let complete = |shown: &[Vec<String>]| {
            shown.iter().zip(&self.delivered).all(|(shown, delivered)| shown.len() >= delivered.len())
        };
        let mut shown = self.shown().await;
        while !complete(&shown) {
            assert!(began.elapsed() < 4 * self.settings.poll + 2 * self.settings.lease, "messages are missing");
            tokio::time::sleep(Duration::from_millis(500)).await;
            shown = self.shown().await;
        }
        for (shown, delivered) in shown.iter().zip(&self.delivered) {
            let each: BTreeSet<String> = shown.iter().cloned().collect();
            assert_eq!((shown.len(), &each), (delivered.len(), delivered));
        }
        let tenants: BTreeSet<TenantId> = (0..self.connections.len()).map(tenant).collect();
        let mut activities = 0;
        for tenant in &tenants {
            activities += self.hub.activities(tenant).await.unwrap().len();
        }
        assert_eq!(activities, self.delivered.iter().map(BTreeSet::len).sum::<usize>());
    }

    /// Kills one after the other while mail arrives; what came of each kill.
    async fn disturb(&mut self, lasting: Duration, every: Duration, polls: &mut Polls) -> Vec<Takeover> {
        let (began, mut kills, mut number) = (Instant::now(), 0_u64, 1);
        let (mut read, mut watches) = (Instant::now(), Vec::new());
        while began.elapsed() < lasting {
            let chosen = usize::try_from(kills).unwrap() % PROCESSES;
            self.processes[chosen].kill().unwrap();
            self.processes[chosen].wait().unwrap();
            watches.push(takeover::watch(self.url.as_str(), self.settings.lease).await);
            self.processes[chosen] = self.process();
            kills += 1;
            let until = Instant::now() + every;
            while Instant::now() < until {
                let index = usize::try_from(number * 7919).unwrap() % self.connections.len();
                self.deliver(index, number).await;
                number += 1;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            if read.elapsed() > Duration::from_secs(20) {
                polls.read(&self.sandbox).await;
                read = Instant::now();
            }
        }
        futures_util::future::try_join_all(watches).await.unwrap()
    }

    async fn assert_never_refused(&self) -> Value {
        let books = self.sandbox.ask("GET", "books", "").await;
        assert_eq!((&books["by_status"]["429"], &books["by_status"]["403"]), (&Value::Null, &Value::Null));
        assert_eq!(books["gmail"]["rejected"], 0);
        books
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_followed_by_four_processes_whatever_is_killed() {
    let Some(server) = Postgres::shared().await else { return };
    let count = usize::try_from(setting("INTEGRATION_FLEET", 40)).unwrap();
    let lasting = Duration::from_secs(setting("INTEGRATION_FLEET_SECONDS", 15));
    let mut settings = if count > 100 { FleetSettings::whole() } else { FleetSettings::small() };
    settings.lease = Duration::from_secs(setting("INTEGRATION_FLEET_LEASE", settings.lease.as_secs()));
    settings.poll = Duration::from_secs(setting("INTEGRATION_FLEET_POLL", settings.poll.as_secs()));
    let database = server.database().await;
    let mut fleet = Fleet::new(StoreUrl::from(database.url().to_owned()), settings, count).await;
    fleet.processes = (0..PROCESSES).map(|_| fleet.process()).collect();
    fleet.assert_whole().await;
    let (mut polls, from) = (Polls::default(), Utc::now());
    let takeovers = fleet.disturb(lasting, settings.lease / 5, &mut polls).await;
    let until = Utc::now();
    fleet.assert_whole().await;
    polls.read(&fleet.sandbox).await;
    let (gap, whose) = polls.longest(from, until);
    let books = fleet.assert_never_refused().await;
    let messages: usize = fleet.delivered.iter().map(BTreeSet::len).sum();
    println!(
        "{count} connections, {PROCESSES} processes, {} kills in {lasting:?}: {messages} messages each once, {} calls, \
         no refusal; longest time without a look {gap:?} ({whose}), interval {:?}, lease {:?}",
        takeovers.len(),
        books["calls"],
        settings.poll,
        settings.lease
    );
    // The small run has other tests beside it.
    let slack = if count > 100 { Duration::from_secs(1) } else { settings.lease };
    assert_taken_over(&takeovers, settings.lease + slack);
    assert_eq!(polls.0.len(), count, "every connection was looked at");
    // Where a lease is longer than the interval, whoever was killed in the middle of a look is waited for that much longer.
    assert!(settings.lease > settings.poll || gap <= 2 * settings.poll, "{gap:?}, {whose}");
    // Whoever was killed in the middle of a look is replaced once the lease has run out.
    let late = gap.saturating_sub(settings.poll);
    assert!(late <= settings.lease + slack, "{late:?} late, {whose}");
}

/// Whatever a killed process held, others had it within this time of its death.
fn assert_taken_over(takeovers: &[Takeover], within: Duration) {
    let held: usize = takeovers.iter().map(|one| one.held).sum();
    let longest = takeovers.iter().map(|one| one.longest).max().unwrap_or_default();
    println!(
        "of {} killed processes {held} claims and leases were taken over, the last after {longest:?}",
        takeovers.len()
    );
    for takeover in takeovers {
        assert!(takeover.left.is_empty() && takeover.longest <= within, "{takeover:?}, not within {within:?}");
    }
}

impl Fleet {
    /// Four processes that each read an account's message ninety times, at 20 units: more than its minute holds.
    async fn crowd(&self, index: usize, limits: Limits) -> Vec<Child> {
        let listed = self.sandbox.ask("GET", &format!("messages?account={}", address(index)), "").await;
        let message = listed["ids"][0].as_str().unwrap();
        let what = format!("{} {} {message}", tenant(index), self.connections[index].id);
        let process = |_| {
            let mut command = worker::command("crowd", &self.url, &self.sandbox.origin);
            self.settings.hand_to(&mut command).env(worker::CROWD, &what);
            if limits == Limits::Own {
                command.env(worker::OWN_LIMITS, "1");
            }
            command.spawn().unwrap()
        };
        (0..PROCESSES).map(process).collect()
    }

    /// What an account has used so far.
    async fn units(&self, index: usize) -> u64 {
        let books = self.sandbox.ask("GET", "books", "").await;
        books["gmail"]["per_account"][address(index)]["units"].as_u64().unwrap_or_default()
    }

    async fn rejected(&self) -> u64 {
        self.sandbox.ask("GET", "books", "").await["gmail"]["rejected"].as_u64().unwrap()
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Limits {
    Own,
    Shared,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_stay_together_under_the_minutes_of_accounts_and_app() {
    let Some(server) = Postgres::shared().await else { return };
    let database = server.database().await;
    // Two accounts that want 7,200 units each: either may have 6,000, and the app less than both together.
    let app = 7_000;
    let settings = FleetSettings { app_units: Some(app), ..FleetSettings::small() };
    let mut fleet = Fleet::new(StoreUrl::from(database.url().to_owned()), settings, 3).await;
    // The first meets its own limit, then the second the app's.
    let mut crowds = fleet.crowd(0, Limits::Shared).await;
    while fleet.units(0).await < 5_000 {
        // One of them may be through with its own before the others.
        let working = crowds.iter_mut().any(|process| process.try_wait().unwrap().is_none());
        assert!(working, "all ended before the account had used that much");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    crowds.extend(fleet.crowd(1, Limits::Shared).await);
    for mut process in crowds {
        assert!(process.wait().unwrap().success());
    }
    let books = fleet.assert_never_refused().await;
    for index in 0..2 {
        let account = &books["gmail"]["per_account"][address(index)];
        assert!(account["units"].as_u64().unwrap() >= 20 * worker::READS * PROCESSES as u64, "{account}");
        assert!(account["peak_units_per_minute"].as_u64().unwrap() <= 6_000, "{account}");
    }
    // How near they come to it depends on the machine's speed.
    let peak = books["gmail"]["peak_app_units_per_minute"].as_u64().unwrap();
    assert!(peak <= app, "the app's minute was kept: {books}");
    println!(
        "{PROCESSES} processes, two accounts: {} units, at most {} of an account and {peak} of the app in a minute, no \
         refusal",
        books["gmail"]["units"], books["gmail"]["peak_units_per_minute"]
    );

    // The control: where each counts for itself, the service has to refuse.
    fleet.processes = fleet.crowd(2, Limits::Own).await;
    let began = Instant::now();
    while fleet.rejected().await == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was refused");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
