//! Killed at any moment (SIGKILL) and started again, a sync ends with the rows of an undisturbed one.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, path::Path, process::Child, time::Duration};

use serde_json::Value;

use crate::{
    far::FarSandbox,
    mailbox::{self, OWNER},
    place::{Places, StoreUrl},
    service::{Change, Service},
    worker::{self, dump, rows},
};

const SIGKILL: i32 = 9;
/// How long each call of the mail API takes: work is under way at every moment.
const CALL: Duration = Duration::from_millis(15);
/// Messages in the mailbox that is synced from nothing.
const MESSAGES: u64 = 120;

/// What a killed process had left to do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    BeforeSignIn,
    Listing,
    Fetching,
    FollowingTheHead,
    NothingLeft,
}

/// What its rows say it had left; `None`: nothing that it knew of.
async fn left(database: &StoreUrl) -> Option<Phase> {
    let store = &*database.stores().await.sync;
    if rows(store, "connection").await.is_empty() {
        return Some(Phase::BeforeSignIn);
    }
    let partitions = rows(store, "partition").await;
    let partitions: Vec<Value> = partitions.iter().map(|row| serde_json::from_slice(&row.bytes).unwrap()).collect();
    let listed = |one: &Value| one["complete"] == true || one["snapshot"]["listing_done"] == true;
    if partitions.is_empty() || !partitions.iter().all(listed) {
        return Some(Phase::Listing);
    }
    // The third segment of a waiting item's key is its lane: 0 for what the head brought.
    let waiting = rows(store, "pending").await;
    let lanes: Vec<bool> = waiting.iter().map(|row| row.key.segments()[2] == "0").collect();
    match (lanes.contains(&true), lanes.contains(&false)) {
        (true, _) => Some(Phase::FollowingTheHead),
        (false, true) => Some(Phase::Fetching),
        (false, false) => (!partitions.iter().all(|one| one["complete"] == true)).then_some(Phase::Listing),
    }
}

async fn kill_after(sandbox: &FarSandbox, process: &mut Child, calls: u64, pause: Duration) {
    let target = sandbox.calls().await + calls;
    while sandbox.calls().await < target && process.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(pause).await;
    process.kill().unwrap();
    // Whoever ended before that was not killed, and a worker that failed is a failure.
    let status = process.wait().unwrap();
    assert!(status.signal() == Some(SIGKILL) || status.success(), "{status}");
}

/// The killed processes' leases run out soon.
fn start(role: &str, database: &StoreUrl, sandbox: &FarSandbox) -> Child {
    sandbox.worker(role, database).env(worker::LEASE, "500").spawn().unwrap()
}

fn finish(database: &StoreUrl, sandbox: &FarSandbox) {
    assert!(start("sync", database, sandbox).wait().unwrap().success());
}

/// Syncs of the whole mailbox, each into a database of its own.
struct Whole<'p> {
    places: &'p Places,
    sandbox: FarSandbox,
    expected: Vec<String>,
    /// Calls of an undisturbed run, and how many of them the sign-in makes.
    calls: u64,
    sign_in: u64,
}

impl<'p> Whole<'p> {
    async fn prepare(service: Service, place: &Path, places: &'p Places) -> Self {
        let mail = place.join("mail");
        mailbox::fill(&mail, MESSAGES);
        let sandbox = FarSandbox::of(service, &mail);
        sandbox.slow_down(CALL).await;
        let database = places.fresh("whole").await;
        finish(&database, &sandbox);
        let log = sandbox.ask("GET", "calls", "").await;
        // By path: where the service's description is not at hand, operations have other names.
        let paths: Vec<&str> = log.as_array().unwrap().iter().filter_map(|call| call["path"].as_str()).collect();
        let sign_in = paths.iter().position(|path| path.contains(service.first_call())).unwrap();
        let expected = dump(&database, &sandbox.origin).await;
        assert!(expected.len() as u64 > MESSAGES, "{} rows", expected.len());
        let quarantined = expected.iter().filter(|line| line.starts_with("Quarantined")).count();
        // What has no header field at all is a message like others to Graph, which gives it some.
        assert_eq!(quarantined, if service == Service::Google { 3 } else { 0 }, "the broken messages");
        Self { places, sandbox, expected, calls: paths.len() as u64, sign_in: sign_in as u64 }
    }

    /// One in twenty is killed while signing in, the others over the rest; the last call is left out.
    async fn run(&self, run: u64, runs: u64) -> Phase {
        let database = self.places.fresh(&run.to_string()).await;
        let mut process = start("sync", &database, &self.sandbox);
        let rest = self.calls - self.sign_in - 1;
        let calls = if run.is_multiple_of(20) { 1 + run / 20 % self.sign_in } else { self.sign_in + run * rest / runs };
        kill_after(&self.sandbox, &mut process, calls, CALL.mul_f64((run % 5) as f64 / 5.0)).await;
        let phase = left(&database).await.unwrap_or(Phase::NothingLeft);
        finish(&database, &self.sandbox);
        assert_eq!(dump(&database, &self.sandbox.origin).await, self.expected, "run {run}, killed at {phase:?}");
        phase
    }
}

/// One database that follows a mailbox in which much happens, killed again and again; another that never is.
struct Live {
    sandbox: FarSandbox,
    killed: StoreUrl,
    undisturbed: StoreUrl,
    ids: Vec<String>,
    edits: u64,
}

impl Live {
    async fn prepare(service: Service, place: &Path, places: &Places) -> Self {
        let mail = place.join("live");
        mailbox::fill(&mail, 30);
        let sandbox = FarSandbox::of(service, &mail);
        sandbox.slow_down(CALL).await;
        let (killed, undisturbed) = (places.fresh("killed").await, places.fresh("undisturbed").await);
        finish(&killed, &sandbox);
        finish(&undisturbed, &sandbox);
        let ids = sandbox.messages(OWNER).await;
        Self { sandbox, killed, undisturbed, ids, edits: 0 }
    }

    /// A message arrives, is marked, goes to the trash, comes back, or is deleted.
    async fn edit(&mut self) {
        self.edits += 1;
        let edits = self.edits;
        let any = usize::try_from(edits * 7).unwrap() % self.ids.len();
        let (change, id) = match edits % 8 {
            0 => (Change::Trash, self.ids[any].clone()),
            1 => (Change::Star, self.ids[any].clone()),
            3 => (Change::Restore, self.ids[any].clone()),
            5 => (Change::Delete, self.ids.remove(any)),
            6 if self.ids.len() > 60 => (Change::Delete, self.ids.remove(0)),
            _ => {
                let path = format!("deliver?account={OWNER}");
                let arrived = self.sandbox.steer("POST", &path, &mailbox::message(1_000 + edits)).await;
                return self.ids.push(arrived["id"].as_str().unwrap().to_owned());
            }
        };
        self.sandbox.ask("POST", &self.sandbox.service.change(change, OWNER, &id), "").await;
    }

    async fn run(&mut self, run: u64) -> Phase {
        let mut process = start("follow", &self.killed, &self.sandbox);
        let calls = self.sandbox.calls().await;
        // It has begun to follow once it asked twice.
        while self.sandbox.calls().await < calls + 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..1 + run % 4 {
            self.edit().await;
        }
        self.edit_until_killed(&mut process, 1 + run % 6, CALL.mul_f64((run % 7) as f64 / 7.0)).await;
        let origin = &self.sandbox.origin;
        let known = left(&self.killed).await;
        let before = dump(&self.killed, origin).await;
        finish(&self.killed, &self.sandbox);
        finish(&self.undisturbed, &self.sandbox);
        let after = dump(&self.killed, origin).await;
        assert_eq!(after, dump(&self.undisturbed, origin).await, "live run {run}, killed with {known:?} left");
        // Without waiting items, changes that it had not asked for yet may be left.
        known.unwrap_or(if before == after { Phase::NothingLeft } else { Phase::FollowingTheHead })
    }

    /// Things go on happening in the mailbox until the moment of the kill.
    async fn edit_until_killed(&mut self, process: &mut Child, calls: u64, pause: Duration) {
        let target = self.sandbox.calls().await + calls;
        while self.sandbox.calls().await < target {
            assert!(process.try_wait().unwrap().is_none(), "the follower ended by itself");
            self.edit().await;
        }
        tokio::time::sleep(pause).await;
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(SIGKILL));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sync_ends_like_an_undisturbed_one() {
    kill_again_and_again(Service::Google, &Places::files()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sync_of_many_folders_ends_like_an_undisturbed_one() {
    kill_again_and_again(Service::Microsoft, &Places::files()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sync_on_a_server_ends_like_an_undisturbed_one() {
    let Some(places) = Places::server().await else { return };
    kill_again_and_again(Service::Google, &places).await;
}

async fn kill_again_and_again(service: Service, places: &Places) {
    let runs: u64 = std::env::var("INTEGRATION_KILL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20);
    let place = tempfile::tempdir().unwrap();
    let whole = Whole::prepare(service, place.path(), places).await;
    let mut live = Live::prepare(service, place.path(), places).await;
    let mut phases: BTreeMap<Phase, u64> = BTreeMap::new();
    for run in 0..runs {
        // Three whole syncs, then two of a mailbox that is up to date and in which things happen.
        let phase = if run % 5 < 3 { whole.run(run, runs).await } else { live.run(run).await };
        *phases.entry(phase).or_default() += 1;
    }
    println!("{}: killed {runs} times, all ended equal; left when killed: {phases:?}", service.name());
    println!("the mailbox that was followed had {} changes meanwhile", live.edits);
    whole.sandbox.conforms().await;
    live.sandbox.conforms().await;
    let work = [Phase::Listing, Phase::Fetching, Phase::FollowingTheHead];
    let pending: u64 = work.iter().filter_map(|phase| phases.get(phase)).sum();
    assert!(pending * 10 >= runs * 9, "nine of ten kills must meet work: {phases:?}");
}
