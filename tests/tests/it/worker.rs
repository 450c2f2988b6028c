//! A host in a process of its own: this test program, run again.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use integration_core::{
    Result,
    activity::{Company, Directory, DirectoryAnswer, DirectoryQuery, Person},
    clock::SystemClock,
    connection::Connection,
    http::{Call, Cost, Priority, Repeat, SharedLimits},
    hub::Hub,
    ids::{ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome, SignInSettings},
    store::{StateQuery, StateRow, SyncStore},
    sync::{BundledScheduler, Job, JobOutcome, SchedulerOptions, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_google::{GmailQuota, GmailQuotaOverrides, Google};
use integration_microsoft::OutlookQuota;

use crate::{
    canary, far,
    fatal::{Fate, WayFirst},
    place::StoreUrl,
    service::{self, Service},
};

const ROLE: &str = "INTEGRATION_TEST_ROLE";
const DATABASE: &str = "INTEGRATION_TEST_DATABASE";
const ORIGIN: &str = "INTEGRATION_TEST_ORIGIN";
/// Where the process ends by itself: see [`Fate`].
pub(crate) const FATE: &str = "INTEGRATION_TEST_FATE";
/// Which promise the process breaks: `rows` or `tokens`.
pub(crate) const SABOTAGE: &str = "INTEGRATION_TEST_SABOTAGE";
/// Seconds that the lease of a refresh or a sign-in lasts: shorter where a test waits for its end.
pub(crate) const SIGN_IN_LEASE: &str = "INTEGRATION_TEST_SIGN_IN_LEASE";
/// Milliseconds that a sync's lease lasts.
pub(crate) const LEASE: &str = "INTEGRATION_TEST_LEASE";
/// Set: every process tells all it has to tell, at the finest level, on its standard output.
const TRACE: &str = "INTEGRATION_TEST_TRACE";
/// What the role `call` begins its one line with.
const OUTCOME: &str = "outcome of the call: ";
/// Any 32 bytes: what is sealed lives as long as the test.
pub(crate) const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

pub(crate) fn tenant() -> TenantId {
    TenantId::new("tenant")
}

/// This program again, doing only `role`; what its test harness says is left out, or it would drown the results.
pub(crate) fn command(role: &str, database: impl Into<StoreUrl>, origin: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker::the_other_process", "--nocapture"]);
    command.env(ROLE, role).env(DATABASE, database.into().as_str()).env(ORIGIN, origin);
    if std::env::var_os(TRACE).is_none() {
        command.stdout(Stdio::null());
    }
    command
}

/// What a process with the role `call` said: `null`, or kind, cause and retries of its error.
pub(crate) fn outcome(output: &std::process::Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.strip_prefix(OUTCOME));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no outcome in {text}"))).unwrap()
}

/// Does nothing unless another test started this process to do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (database, origin) = (std::env::var(DATABASE).unwrap(), std::env::var(ORIGIN).unwrap());
    let database = StoreUrl::from(database);
    match role.as_str() {
        "call" => call(&hub(&database, &origin).await, &origin).await,
        "canary" => canary::work(database.file(), &origin).await,
        "crowd" => crowd(&database, &origin).await,
        "fleet" => fleet(&database, &origin).await,
        "follow" => follow(&hub(&database, &origin).await, &origin).await,
        #[cfg(unix)]
        "send" => crate::outbox_kill::work(&hub(&database, &origin).await, &database, &origin).await,
        "storm" => storm(&hub(&database, &origin).await, &origin).await,
        "sync" => sync(&hub(&database, &origin).await, &origin).await,
        "work" => work(&database, &origin).await,
        other => panic!("unknown role {other}"),
    }
}

/// Spans, events and the HTTP libraries' own log, if the environment asks for them.
pub(crate) fn trace_if_asked() {
    if std::env::var_os(TRACE).is_some() {
        canary::tell_everything();
    }
}

pub(crate) async fn hub(database: impl Into<StoreUrl>, origin: &str) -> Hub {
    trace_if_asked();
    let opened = database.into().open().await;
    let mut stores = opened.stores();
    if let Ok(fate) = std::env::var(FATE) {
        stores = Fate::parse(&fate).over(stores);
    }
    match std::env::var(SABOTAGE).as_deref() {
        Ok("rows") => stores.sync = Arc::new(WayFirst(stores.sync)),
        Ok("tokens") => stores.tokens = opened.last_write_wins(),
        _ => {}
    }
    let mut options = SyncOptions::default();
    // Long enough for a busy machine, short enough that a killed holder is soon replaced.
    options.lease = Duration::from_millis(setting(LEASE, 1_500));
    // A request to the sign-in endpoints may take four fifths of this.
    let sign_in = Duration::from_secs(setting(SIGN_IN_LEASE, 6));
    let mut builder = Hub::builder(stores, Arc::new(KeyRing::from_base64(KEY).unwrap()));
    #[cfg(unix)]
    {
        builder = builder.with_outbox(crate::outbox_kill::quick());
    }
    service::join(builder, origin, (GmailQuota::Off, OutlookQuota::Off))
        .with_directory(Arc::new(Known))
        .with_sync(options)
        .with_sign_in(SignInSettings::default().with_lease_ttl(sign_in))
        .build()
        .unwrap()
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().unwrap())
}

/// Knows whose address begins with `known`, and one company.
#[derive(Debug)]
pub(crate) struct Known;

#[async_trait]
impl Directory for Known {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        let known = ask.addresses.iter().filter(|address| address.starts_with("known"));
        answer.people = known.map(|address| Person::new(address, address, address)).collect();
        answer.companies = vec![Company::new("acme", "Acme", "acme.example")];
        Ok(answer)
    }
}

/// The tenant's connection; without one, somebody signs in first, at the service that this process was told.
pub(crate) async fn connect(hub: &Hub, origin: &str) -> Connection {
    if let Some(connection) = hub.connections(&tenant()).await.unwrap().pop() {
        return connection;
    }
    let service = Service::told();
    sign_in(hub, origin, service, service.read_mail()).await
}

pub(crate) async fn sign_in(hub: &Hub, origin: &str, service: Service, ask: Authorise) -> Connection {
    try_sign_in(hub, origin, service, ask).await.unwrap_or_else(|other| panic!("not granted: {other:?}"))
}

/// Presses "allow" on the page that `ask` leads to; anything but a whole grant is an error.
pub(crate) async fn try_sign_in(
    hub: &Hub,
    origin: &str,
    service: Service,
    ask: Authorise,
) -> Result<Connection, Box<ConnectOutcome>> {
    let authorisation = hub.authorise(&tenant(), &service.app(), ask).await.unwrap();
    let press = serde_json::json!({ "url": authorisation.url, "decision": "grant" }).to_string();
    let back = far::ask(origin, "POST", "consent", &press).await;
    let back: url::Url = back["url"].as_str().unwrap().parse().unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    let completion = hub.complete(&query, &authorisation.binding).await.unwrap();
    match completion.outcome {
        ConnectOutcome::Granted { mut connections, .. } => Ok(connections.pop().unwrap()),
        other => Err(Box::new(other)),
    }
}

/// Somebody new at Google presses "allow" on the page that `ask` leads to.
pub(crate) async fn connect_somebody(
    (hub, sandbox): (&Hub, &far::FarSandbox),
    tenant: &TenantId,
    address: &str,
    ask: Authorise,
) -> Connection {
    sandbox.ask("POST", &format!("people?account={address}&name=Somebody"), "").await;
    let authorisation = hub.authorise(tenant, &Service::Google.app(), ask).await.unwrap();
    let press = serde_json::json!({ "url": authorisation.url, "decision": "grant", "as": address }).to_string();
    let back: url::Url = sandbox.ask("POST", "consent", &press).await["url"].as_str().unwrap().parse().unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}

/// Syncs until nothing waits.
pub(crate) async fn sync(hub: &Hub, origin: &str) {
    let connection = connect(hub, origin).await;
    let job = Job::sync_mail(&tenant(), &connection.id);
    for _ in 0..200 {
        match hub.run(job.clone(), &Shutdown::default()).await {
            JobOutcome::Done { again_in } => {
                let busy = again_in.is_some_and(|wait| wait <= Duration::from_secs(1));
                if !busy && hub.pending(&tenant(), &connection.id).await.unwrap() == 0 {
                    return;
                }
                // A killed worker's lease has to run out first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            JobOutcome::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    panic!("never up to date");
}

/// Syncs until it is killed.
async fn follow(hub: &Hub, origin: &str) {
    let job = Job::sync_mail(&tenant(), &connect(hub, origin).await.id);
    loop {
        if let JobOutcome::Failed { error, .. } = hub.run(job.clone(), &Shutdown::default()).await {
            panic!("{error}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Works off the database's jobs until it is killed.
async fn work(database: &StoreUrl, origin: &str) {
    let mut options = SchedulerOptions::default();
    // A killed worker's jobs are soon taken over.
    (options.workers, options.claim, options.nap) = (4, Duration::from_secs(1), Duration::from_millis(200));
    let jobs = database.stores().await.jobs;
    let scheduler = BundledScheduler::new(jobs, Arc::new(SystemClock::new()), options);
    scheduler.work(Arc::new(hub(database, origin).await), &Shutdown::default()).await.unwrap();
}

/// The times of a fleet: its own, or the defaults' proportions in short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FleetSettings {
    pub(crate) poll: Duration,
    /// Of a sync, and of a claim.
    pub(crate) lease: Duration,
    /// Units a minute over the whole app, in place of the service's.
    pub(crate) app_units: Option<u64>,
}

const FLEET_APP_UNITS: &str = "INTEGRATION_TEST_FLEET_APP_UNITS";
const FLEET_POLL: &str = "INTEGRATION_TEST_FLEET_POLL";

impl FleetSettings {
    /// The default interval. Whoever is killed in the middle of a look is replaced when the lease has run out: for twice the
    /// interval to hold even then, the lease is shorter than the interval.
    pub(crate) fn whole() -> Self {
        Self { poll: Duration::from_secs(20), lease: Duration::from_secs(15), app_units: None }
    }

    pub(crate) fn small() -> Self {
        Self { poll: Duration::from_secs(6), lease: Duration::from_secs(3), app_units: None }
    }

    pub(crate) fn hand_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let millis = |time: Duration| time.as_millis().to_string();
        if let Some(units) = self.app_units {
            command.env(FLEET_APP_UNITS, units.to_string());
        }
        command.env(FLEET_POLL, millis(self.poll)).env(LEASE, millis(self.lease))
    }

    fn handed() -> Self {
        let millis = |name| Duration::from_millis(setting(name, 1_000));
        let app_units = std::env::var(FLEET_APP_UNITS).ok().map(|units| units.parse().unwrap());
        Self { poll: millis(FLEET_POLL), lease: millis(LEASE), app_units }
    }
}

/// Set: each process keeps the limits for itself.
pub(crate) const OWN_LIMITS: &str = "INTEGRATION_TEST_OWN_LIMITS";
/// What a crowd reads: tenant, connection, message.
pub(crate) const CROWD: &str = "INTEGRATION_TEST_CROWD_READS";
/// How often each process of a crowd reads it.
pub(crate) const READS: u64 = 90;

/// Reads one message many times at once.
async fn crowd(database: &StoreUrl, origin: &str) {
    let hub = fleet_hub(database, origin, &FleetSettings::handed()).await;
    let what = std::env::var(CROWD).unwrap();
    let [tenant, connection, message] = what.split(' ').collect::<Vec<_>>().try_into().unwrap();
    // As a backfill does: what the test itself asked to sign in counts for the account only at the service.
    let session = hub.session(&TenantId::new(tenant), &ConnectionId::new(connection)).await.unwrap();
    let session = session.with_priority(Priority::Background);
    let url = format!("{origin}/gmail/v1/users/me/messages/{message}");
    let read = |_| {
        let (session, url) = (session.clone(), url.clone());
        async move {
            let request = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
            session.send(Call::new("gmail.getMessage", request, Cost::units(20), Repeat::Safe)).await.unwrap();
        }
    };
    futures_util::future::join_all((0..READS).map(read)).await;
}

/// A hub that keeps the limits of the newer quota together with all others on the database.
pub(crate) async fn fleet_hub(database: &StoreUrl, origin: &str, settings: &FleetSettings) -> Hub {
    trace_if_asked();
    let mut overrides = GmailQuotaOverrides::default();
    overrides.project_units_per_minute = settings.app_units;
    let config = service::google(origin).with_quota(GmailQuota::Gmail2026).with_quota_overrides(overrides);
    let mut options = SyncOptions::default();
    (options.poll, options.lease) = (settings.poll, settings.lease);
    let builder = Hub::builder(database.stores().await, Arc::new(KeyRing::from_base64(KEY).unwrap()))
        .with_connector(Google::new(config).unwrap())
        .with_directory(Arc::new(Known))
        .with_sync(options);
    match std::env::var_os(OWN_LIMITS) {
        Some(_) => builder.build().unwrap(),
        None => builder.with_shared_limits(SharedLimits::default()).build().unwrap(),
    }
}

/// Works off the database's jobs, as the bundled scheduler does by default, until it is killed.
async fn fleet(database: &StoreUrl, origin: &str) {
    let settings = FleetSettings::handed();
    let mut options = SchedulerOptions::default();
    options.claim = settings.lease;
    let scheduler = BundledScheduler::new(database.stores().await.jobs, Arc::new(SystemClock::new()), options);
    let hub = fleet_hub(database, origin, &settings).await;
    scheduler.work(Arc::new(hub), &Shutdown::default()).await.unwrap();
}

/// 250 tasks that all need a token at once.
async fn storm(hub: &Hub, origin: &str) {
    let connection = connect(hub, origin).await;
    let (session, service) = (hub.session(&tenant(), &connection.id).await.unwrap(), Service::of(&connection));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..250 {
        let (session, origin) = (session.clone(), origin.to_owned());
        tasks.spawn(async move { session.send(service.profile(&origin)).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

/// One call, and one line about how it ended.
async fn call(hub: &Hub, origin: &str) {
    let connection = connect(hub, origin).await;
    let called = match hub.session(&tenant(), &connection.id).await {
        Ok(session) => session.send(Service::of(&connection).profile(origin)).await.map(drop),
        Err(error) => Err(error),
    };
    let outcome = called.err().map(|error| {
        serde_json::json!({
            "kind": error.kind().as_str(),
            "cause": error.remedy().map(|remedy| remedy.cause.clone()),
        })
    });
    // A line of its own, whatever stands on the one before.
    println!("\n{OUTCOME}{}", serde_json::to_string(&outcome).unwrap());
}

/// The sign-in still works: a call that has to renew it first is answered.
pub(crate) async fn assert_alive(database: impl Into<StoreUrl>, origin: &str) {
    let hub = hub(database, origin).await;
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let service = Service::of(&connection);
    far::ask(origin, "POST", &format!("{}expire_access_tokens", service.steering()), "").await;
    let session = hub.session(&tenant(), &connection.id).await.unwrap();
    session.send(service.profile(origin)).await.unwrap();
}

/// Every row of a family.
pub(crate) async fn rows(store: &dyn SyncStore, space: &'static str) -> Vec<StateRow> {
    let (prefix, after, limit) = (String::new(), None, 100_000);
    store.read(&StateQuery::Range { tenant: tenant(), space, prefix, after, limit }).await.unwrap()
}

/// Everything that must be the same, in order; the connection's id differs from database to database.
pub(crate) async fn dump(database: impl Into<StoreUrl>, origin: &str) -> Vec<String> {
    let hub = hub(database, origin).await;
    let connection = hub.connections(&tenant()).await.unwrap().pop().unwrap();
    let mut lines = Vec::new();
    for activity in hub.activities(&tenant()).await.unwrap() {
        lines.push(format!("activity {}", serde_json::to_string(&activity).unwrap()));
    }
    for decision in hub.decisions(&tenant(), &connection.id).await.unwrap() {
        lines.push(format!("decision {}", serde_json::to_string(&decision).unwrap()));
    }
    for quarantined in hub.quarantined(&tenant(), &connection.id).await.unwrap() {
        lines.push(format!("{quarantined:?}"));
    }
    lines.into_iter().map(|line| line.replace(connection.id.as_str(), "C")).collect()
}
