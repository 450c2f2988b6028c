//! How connections are, as a host sees it: states, freshness, backlog, audit, and the JSON's schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use integration_core::{
    health::{ConnectionHealth, HealthState, TenantHealth},
    ids::TenantId,
    store::{StateKey, StateQuery, StateRow, StateWrite},
    sync::{Job, JobOutcome, Shutdown},
};
use integration_testing::{Fault, FaultAction};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};

use crate::{
    service::{Service, at_each_service},
    world::{OWNER, World, deliver},
};

/// The part of JSON Schema that `docs/health.schema.json` uses. Every property that was met is noted.
struct Schema {
    root: Value,
    met: BTreeSet<String>,
}

impl Schema {
    fn load() -> Self {
        let text = include_str!("../../../docs/health.schema.json");
        Self { root: serde_json::from_str(text).unwrap(), met: BTreeSet::new() }
    }

    fn check<T: serde::Serialize>(&mut self, name: &str, value: &T) {
        let schema = self.root["$defs"][name].clone();
        assert!(schema.is_object(), "{name} is described");
        self.holds(name, name, &schema, &serde_json::to_value(value).unwrap());
    }

    fn holds(&mut self, place: &str, definition: &str, schema: &Value, value: &Value) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            let target = self.root["$defs"][name].clone();
            assert!(target.is_object(), "{reference} is described");
            return self.holds(place, name, &target, value);
        }
        let allowed: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            other => panic!("{place}: {other} is no type"),
        };
        assert!(allowed.contains(&kind(value)), "{place}: {value} is none of {allowed:?}");
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{place}: {value} is none of {words:?}");
        }
        if schema["format"] == "date-time"
            && let Some(text) = value.as_str()
        {
            assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z'), "{place}: {text}");
        }
        if let Some(least) = schema["minimum"].as_u64().filter(|_| value.is_number()) {
            assert!(value.as_u64().is_some_and(|value| value >= least), "{place}: {value}");
        }
        match value {
            Value::Array(items) => {
                for item in items {
                    self.holds(&format!("{place}[]"), definition, &schema["items"], item);
                }
            }
            Value::Object(fields) => self.fields(place, definition, schema, fields),
            _ => {}
        }
    }

    fn fields(&mut self, place: &str, definition: &str, schema: &Value, fields: &serde_json::Map<String, Value>) {
        let described = schema["properties"].as_object().unwrap_or_else(|| panic!("{place} describes its fields"));
        for required in schema["required"].as_array().unwrap() {
            assert!(fields.contains_key(required.as_str().unwrap()), "{place} lacks {required}");
        }
        for (name, value) in fields {
            let field = described.get(name).unwrap_or_else(|| panic!("{place}.{name} is not described"));
            if !value.is_null() {
                self.met.insert(format!("{definition}.{name}"));
            }
            self.holds(&format!("{place}.{name}"), definition, field, value);
        }
    }

    /// Described, and never met with a value.
    fn unmet(&self) -> Vec<String> {
        let all = self.root["$defs"].as_object().unwrap().iter().flat_map(|(definition, schema)| {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(move |(name, _)| format!("{definition}.{name}"))
        });
        all.filter(|field| !self.met.contains(field)).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(_) => "integer",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    }
}

impl World {
    async fn health(&self) -> ConnectionHealth {
        self.hub.health(&self.tenant, &self.connection.id).await.unwrap()
    }

    async fn tenant_health(&self) -> TenantHealth {
        self.hub.tenant_health(&self.tenant, None).await.unwrap()
    }

    async fn state(&self) -> HealthState {
        let (one, all) = (self.health().await, self.tenant_health().await);
        assert_eq!(all.connections[0].state, one.state);
        assert_eq!((all.counts[&one.state], all.total), (1, 1));
        one.state
    }

    async fn slice(&self) -> JobOutcome {
        self.hub.run(Job::sync_mail(&self.tenant, &self.connection.id), &Shutdown::default()).await
    }

    /// What is stored in a space.
    pub(crate) async fn rows(&self, space: &'static str) -> Vec<StateRow> {
        let (tenant, prefix) = (self.tenant.clone(), String::new());
        let query = StateQuery::Range { tenant, space, prefix, after: None, limit: 10_000 };
        self.store.read(&query).await.unwrap()
    }

    async fn put(&self, writes: Vec<StateWrite>) {
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&writes).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn fails(&self, status: u16) {
        let body = json!({ "error": { "code": status, "message": "no", "errors": [{ "reason": "backendError" }] } });
        let fault = FaultAction::status(status, body.to_string());
        self.sandbox.script(Fault::new(fault).on_path(self.service.mail()).always());
    }
}

at_each_service! {
    a_scheduler_that_is_dead_shows_as_stale,
    an_idle_poll_is_noted_once_a_minute,
    a_failing_service_and_its_recovery_show,
    what_only_a_person_can_mend_names_the_remedy,
    an_audit_is_part_of_health_and_its_gaps_close,
}

#[tokio::test(start_paused = true)]
async fn a_connection_loads_and_is_up_to_date() {
    let world = World::with_messages(400).await;
    assert_eq!(world.state().await, HealthState::Loading, "before the first slice");
    world.sandbox.script(Fault::new(FaultAction::Delay { milliseconds: 1_500 }).on_path("/batch").always());
    let mut seen = BTreeSet::new();
    while let JobOutcome::Continue = world.slice().await {
        let feed = world.health().await.feeds.remove(0);
        assert_eq!(feed.backlog.pending, feed.backlog.pending_live + feed.backlog.pending_history);
        seen.insert(format!("{:?} {}", feed.phase, feed.backlog.pending > 0));
    }
    assert!(seen.iter().any(|line| line.ends_with("true")), "{seen:?}");
    let health = world.health().await;
    let feed = &health.feeds[0];
    assert_eq!((health.state, feed.age_seconds), (HealthState::UpToDate, Some(0)));
    assert_eq!((feed.backlog.known, feed.backlog.pending, feed.eta_seconds), (400, 0, None));
    assert!(feed.next_due.unwrap() > health.checked_at);
    let quota = health.quota.as_ref().expect("the account has limits");
    assert_eq!(quota.left, quota.limit - quota.used);
    assert!(quota.used > 0);
}

async fn a_scheduler_that_is_dead_shows_as_stale(service: Service) {
    let world = World::of(service, 1).await;
    world.sync().await;
    assert_eq!(world.state().await, HealthState::UpToDate);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(world.state().await, HealthState::UpToDate, "notes of idle polls may be a minute old");
    // Six polls of 20 s, and the minute.
    tokio::time::advance(Duration::from_secs(6 * 20 + 60)).await;
    let health = world.health().await;
    assert_eq!(world.state().await, HealthState::Stale);
    assert!(health.feeds[0].next_due.unwrap() < health.checked_at, "overdue");
    world.sync().await;
    assert_eq!(world.state().await, HealthState::UpToDate);
}

async fn an_idle_poll_is_noted_once_a_minute(service: Service) {
    let world = World::of(service, 2).await;
    world.sync().await;
    let version = |rows: Vec<StateRow>| rows.iter().map(|row| row.version).sum::<u64>();
    let (begin, events) = (version(world.rows("health").await), world.rows("event").await.len());
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(20)).await;
        world.sync().await;
        assert_eq!(world.state().await, HealthState::UpToDate);
    }
    let written = version(world.rows("health").await) - begin;
    assert!((9..=10).contains(&written), "{written} notes in ten minutes");
    assert_eq!(world.rows("event").await.len(), events, "and nothing is told");
}

async fn a_failing_service_and_its_recovery_show(service: Service) {
    let world = World::of(service, 1).await;
    world.sync().await;
    world.fails(503);
    for count in 1..=2 {
        assert!(matches!(world.slice().await, JobOutcome::Failed { .. }));
        let health = world.health().await;
        let failure = health.feeds[0].last_failure.clone().unwrap();
        assert_eq!((failure.in_a_row, failure.over, failure.kind.as_str()), (count, false, "unavailable"));
        assert_eq!(health.state, HealthState::Failing);
        assert_eq!((health.since, health.feeds[0].next_due), (Some(failure.since), failure.again_at));
    }
    world.sandbox.clear_faults();
    tokio::time::advance(Duration::from_secs(120)).await;
    world.sync().await;
    let health = world.health().await;
    assert_eq!(health.state, HealthState::UpToDate);
    assert!(health.feeds[0].last_failure.as_ref().unwrap().over);
}

async fn what_only_a_person_can_mend_names_the_remedy(service: Service) {
    let world = World::of(service, 1).await;
    world.sync().await;
    world.withdraw();
    world.sync().await;
    let health = world.health().await;
    assert_eq!(health.state, HealthState::NeedsAttention);
    assert!(!health.remedy.unwrap().action.is_empty() && health.since.is_some());
    assert_eq!(world.tenant_health().await.needing_attention, 1);
    world.connect_again().await;
    world.sync().await;
    assert_eq!(world.state().await, HealthState::UpToDate);
}

async fn an_audit_is_part_of_health_and_its_gaps_close(service: Service) {
    let world = World::of(service, 20).await;
    world.sync().await;
    let decisions = world.rows("decision").await;
    let lost = decisions[..3].iter().map(|row| StateWrite::delete(&world.tenant, "decision", row.key.clone()));
    world.put(lost.collect()).await;
    let hidden = world.deliver(20);
    world.hide(&hidden);
    world.run(Job::audit(&world.tenant, &world.connection.id)).await;
    assert_eq!(world.health().await.feeds[0].audit, None, "the first one runs");
    world.sync().await;
    let audit = world.health().await.feeds[0].audit.unwrap();
    assert_eq!((audit.listed, audit.had, audit.running), (21, 17, false));
    // One of Gmail's; of Outlook's each folder is one.
    assert_eq!(audit.partitions == 1, service == Service::Google, "{}", audit.partitions);
    assert_eq!((audit.gaps.undecided, audit.gaps.missing, audit.gaps.total()), (3, 1, 4));
    assert_eq!(audit.repaired, 4);
    assert!(audit.ended >= audit.begun && audit.begun.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_tenants_connections_come_worst_first_page_by_page() {
    let world = World::with_messages(1).await;
    world.sync().await;
    let row = world.rows("connection").await.remove(0);
    let of_one = |number: usize| {
        let mut copy: Value = serde_json::from_slice(&row.bytes).unwrap();
        let status = ["active", "paused", "needs_attention", "disconnected"][number % 4];
        (copy["value"]["id"], copy["value"]["status"]) = (json!(format!("copy-{number:03}")), json!(status));
        let key = StateKey::new([format!("copy-{number:03}")]);
        StateWrite::put(&world.tenant, "connection", key, serde_json::to_vec(&copy).unwrap())
    };
    world.put((0..240).map(of_one).collect()).await;
    let (mut page, mut all, mut pages) = (None, Vec::new(), 0);
    loop {
        let health = world.hub.tenant_health(&world.tenant, page.as_ref()).await.unwrap();
        assert_eq!((health.total, health.needing_attention), (241, 60));
        assert_eq!(health.counts.values().sum::<u64>(), 241);
        (pages, all) = (pages + 1, [all, health.connections].concat());
        page = health.next;
        if page.is_none() {
            break;
        }
    }
    assert_eq!((pages, all.len()), (3, 241));
    let ranks: Vec<usize> = all.iter().map(|one| one.state.rank()).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let unique: BTreeSet<_> = all.iter().map(|one| one.connection.clone()).collect();
    assert_eq!(unique.len(), 241);
    let other = world.hub.tenant_health(&TenantId::new("other"), None).await.unwrap();
    assert_eq!((other.total, other.connections.len()), (0, 0));
}

/// The health of a mailbox of many folders, one of which lets nobody in: it is named, and the others are followed.
async fn with_a_locked_folder() -> ConnectionHealth {
    let world = World::of(Service::Microsoft, 3).await;
    world.sync().await;
    let folder = world.rows("partition").await.last().unwrap().key.segments().pop().unwrap();
    // Its padding is escaped in a path.
    let body = json!({ "error": { "code": "ErrorAccessDenied", "message": "Access is denied." } }).to_string();
    world.sandbox.script(Fault::new(FaultAction::status(403, body)).on_path(folder.trim_end_matches('=')).always());
    world.sync().await;
    let health = world.health().await;
    let resting: Vec<&str> = health.feeds[0].resting.iter().map(|resting| resting.partition.as_str()).collect();
    assert_eq!((resting, health.state), (vec![folder.as_str()], HealthState::UpToDate));
    health
}

#[tokio::test(start_paused = true)]
async fn the_json_is_what_its_schema_says_field_by_field() {
    let mut schema = Schema::load();
    let world = World::with_messages(300).await;
    schema.check("connection_health", &world.health().await);
    world.sandbox.script(Fault::new(FaultAction::Delay { milliseconds: 2_500 }).on_path("/batch").always());
    while let JobOutcome::Continue = world.slice().await {
        schema.check("connection_health", &world.health().await);
    }
    world.sandbox.clear_faults();
    world.run(Job::audit(&world.tenant, &world.connection.id)).await;
    world.sync().await;
    schema.check("connection_health", &world.health().await);
    let throttled = FaultAction::Status {
        status: 429,
        headers: [("Retry-After".to_owned(), "900".to_owned())].into(),
        body: json!({ "error": { "code": 429, "errors": [{ "reason": "rateLimitExceeded" }] } }).to_string(),
    };
    world.sandbox.script(Fault::new(throttled).on_path("gmail/v1").always());
    deliver(&world.sandbox, 1_000, "INBOX");
    world.slice().await;
    schema.check("connection_health", &world.health().await);
    world.sandbox.clear_faults();
    world.sandbox.revoke_grants(OWNER);
    world.sandbox.expire_access_tokens();
    tokio::time::advance(Duration::from_secs(1_000)).await;
    world.sync().await;
    schema.check("connection_health", &world.health().await);
    schema.check("tenant_health", &world.tenant_health().await);
    schema.check("connection_health", &with_a_locked_folder().await);
    let unmet = schema.unmet();
    // One page holds all connections; the service names its requests only in some answers.
    let expected = ["failure.request_id", "tenant_health.next"];
    assert!(unmet.iter().all(|field| expected.contains(&field.as_str())), "never seen with a value: {unmet:?}");
    let back: ConnectionHealth = serde_json::from_value(serde_json::to_value(world.health().await).unwrap()).unwrap();
    assert_eq!(back.state, HealthState::NeedsAttention);
}

/// The gauges as an exporter would show them, by name and labels.
#[derive(Debug, Default)]
struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Gauges {
    /// The value of the one whose name and labels hold all these words.
    fn value(&self, words: &[&str]) -> Option<f64> {
        let known = self.0.lock().unwrap();
        let mut found = known.iter().filter(|(key, _)| words.iter().all(|word| key.contains(word)));
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{words:?} are several: {known:?}");
        Some(f64::from_bits(value.load(Ordering::SeqCst)))
    }

    fn names(&self) -> BTreeSet<String> {
        let known = self.0.lock().unwrap();
        known.keys().map(|key| key.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        let name = std::iter::once(key.name().to_owned()).chain(labels).collect::<Vec<_>>().join(" ");
        Gauge::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_gauges_say_what_health_says_while_loading_up_to_date_and_failing() {
    let gauges = Gauges::default();
    let _recorded = metrics::set_default_local_recorder(&gauges);
    let world = World::with_messages(400).await;
    world.sandbox.script(Fault::new(FaultAction::Delay { milliseconds: 1_500 }).on_path("/batch").always());
    let mut waited = BTreeSet::new();
    while let JobOutcome::Continue = world.slice().await {
        let backlog = world.health().await.feeds.remove(0).backlog;
        let classes = [("pending_live", backlog.pending_live), ("pending_history", backlog.pending_history)];
        for (class, count) in classes {
            let shown = gauges.value(&["integration_feed_backlog ", &format!("class={class}")]);
            assert_eq!(shown, Some(number(count)), "{class}");
            waited.extend((count > 0).then_some(class));
        }
    }
    assert!(!waited.is_empty(), "something waited");
    world.sandbox.clear_faults();

    world.sync().await;
    let (health, all) = (world.health().await, world.tenant_health().await);
    let states = |state: HealthState| gauges.value(&["integration_connections ", &format!("state={}", state.as_str())]);
    assert_eq!((states(HealthState::UpToDate), all.total), (Some(1.0), 1));
    assert_eq!(gauges.value(&["integration_feed_age_seconds ", world.connection.id.as_str()]), Some(0.0));
    let left = health.quota.expect("the account has limits").left;
    assert_eq!(gauges.value(&["integration_quota_left_units "]), Some(number(left)));
    assert_eq!(gauges.value(&["integration_oldest_success_age_seconds "]), Some(0.0));

    world.fails(503);
    tokio::time::advance(Duration::from_secs(90)).await;
    assert!(matches!(world.slice().await, JobOutcome::Failed { .. }));
    let (health, _) = (world.health().await, world.tenant_health().await);
    let age = health.feeds[0].age_seconds.expect("it was up to date once");
    assert!(age >= 90, "{age}");
    assert_eq!(gauges.value(&["integration_feed_age_seconds "]), Some(number(age)));
    assert_eq!((states(HealthState::UpToDate), states(HealthState::Failing)), (Some(0.0), Some(1.0)));
    assert!(gauges.value(&["integration_oldest_success_age_seconds "]).is_some_and(|age| age >= 90.0));

    world.sandbox.clear_faults();
    tokio::time::advance(Duration::from_secs(120)).await;
    world.run(Job::audit(&world.tenant, &world.connection.id)).await;
    world.sync().await;
    world.health().await;
    assert_eq!(gauges.value(&["integration_feed_audit_gaps "]), Some(0.0));
    let told = gauges.names();
    let described =
        include_str!("../../../docs/health.md").lines().filter_map(|line| line.strip_prefix("| `integration_"));
    for name in described.map(|line| format!("integration_{}", line.split('`').next().unwrap_or_default())) {
        assert!(told.contains(&name), "{name} is described and never told: {told:?}");
    }
}
