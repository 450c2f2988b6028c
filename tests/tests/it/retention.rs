//! What the host's limits do not allow to be kept goes, every day, for every tenant.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    Result,
    activity::{Activity, ActivityChange, Batch, Keep, MailPolicy, Sink},
    clock::Clock,
    event::EventKind,
    hub::{Hub, Retention},
    ids::ConnectionId,
    outbox::{IntentOptions, IntentState, Ours},
    store::{LeaseGuard, MemoryStore, StateQuery, StateRow, StateWrite, StoreTransaction, Stores, SyncStore},
    sync::{Job, JobOutcome, Shutdown},
    vault::KeyRing,
};
use integration_google::GmailQuota;
use integration_testing::{Fault, FaultAction, GmailSettings, ORIGIN, Sandbox};

use crate::{
    outbox::{Rig, key, plain},
    service::{self, Service},
    worker::{KEY, tenant},
    world::{self, Contacts, OWNER},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long each activity's text is at the host, which is told by batches alone.
#[derive(Debug, Default)]
struct Told(Mutex<BTreeMap<String, usize>>);

fn words(activity: &Activity) -> usize {
    activity.summary.text.as_ref().map_or(0, String::len) + activity.summary.snippet.len()
}

#[async_trait]
impl Sink for Told {
    async fn apply(&self, batch: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        for change in &batch.activities {
            if let ActivityChange::Upserted { activity } = change {
                self.0.lock().unwrap().insert(activity.summary.subject.clone(), words(activity));
            }
        }
        Ok(())
    }
}

/// A mailbox with a message of each of ten days, synced with their whole texts.
struct Texts {
    hub: Hub,
    told: Arc<Told>,
    connection: ConnectionId,
    sandbox: Sandbox,
}

impl Texts {
    async fn under(retention: Retention) -> Self {
        let sandbox = Sandbox::google().build();
        sandbox.register_person(OWNER, "Ada");
        for day in 0..10 {
            let at = sandbox.now() - TimeDelta::days(day) - TimeDelta::hours(1);
            let mail = format!(
                "From: bob@acme.example\r\nTo: {OWNER}\r\nSubject: Day {day}\r\nMessage-ID: <{day}@acme.example>\r\n\
                 Date: {}\r\n\r\n{}\r\n",
                at.to_rfc2822(),
                "word ".repeat(20)
            );
            sandbox.gmail().mailbox(OWNER).deliver(mail, at, &["INBOX"]);
        }
        let (told, everybody) = (Arc::new(Told::default()), Contacts { everybody: true, ..Contacts::default() });
        let hub =
            Hub::builder(Stores::from_one(Arc::new(MemoryStore::new())), Arc::new(KeyRing::from_base64(KEY).unwrap()));
        let hub = service::join(hub, ORIGIN, Default::default())
            .with_transport(sandbox.transport())
            .with_directory(Arc::new(everybody))
            .with_sink(Arc::clone(&told) as Arc<dyn Sink>)
            .with_retention(retention)
            .build()
            .unwrap();
        let connection = world::connect_at(Service::Google, &sandbox, &hub, &tenant()).await.id;
        let mut policy = MailPolicy::default();
        policy.keep = Keep::Full;
        hub.set_mail_policy(&tenant(), None, Some(&policy)).await.unwrap();
        let texts = Self { hub, told, connection, sandbox };
        texts.run(Job::sync_mail(&tenant(), &texts.connection)).await;
        assert!(texts.told.0.lock().unwrap().values().all(|words| *words > 50), "{:?}", texts.told);
        texts
    }

    async fn run(&self, job: Job) {
        while let JobOutcome::Continue = self.hub.run(job.clone(), &Shutdown::default()).await {}
    }

    /// The messages that still have words after the daily look: at the host and here alike.
    async fn left(&self) -> Vec<String> {
        self.run(Job::retention(&tenant())).await;
        let told = self.told.0.lock().unwrap().clone();
        let left: Vec<String> =
            told.iter().filter(|(_, words)| **words > 0).map(|(subject, _)| subject.clone()).collect();
        let activities = self.hub.activities(&tenant()).await.unwrap();
        assert_eq!(activities.len(), 10, "subject, people and dates stay");
        for activity in &activities {
            assert_eq!(words(activity), told[&activity.summary.subject], "{}", activity.summary.subject);
        }
        for (_, decision) in self.hub.decisions(&tenant(), &self.connection).await.unwrap() {
            let kept = left.contains(&decision.summary.subject);
            assert_eq!(decision.summary.text.is_some(), kept, "{}", decision.summary.subject);
        }
        left
    }

    async fn counted(&self) -> u64 {
        let page = self.hub.events(&tenant(), 0, 1_000).await.unwrap();
        let texts = page.events.iter().map(|event| match event.what {
            EventKind::Retired { texts, .. } => texts,
            _ => 0,
        });
        texts.sum()
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_of_old_messages_go_by_age_and_the_host_is_told() {
    let mut limits = Retention::default();
    limits.text_age = Some(4 * DAY);
    let texts = Texts::under(limits).await;
    assert_eq!(texts.left().await, ["Day 0", "Day 1", "Day 2", "Day 3"]);
    assert_eq!(texts.counted().await, 6);
    assert_eq!(texts.left().await.len(), 4, "nothing more on the same day");
    tokio::time::sleep(2 * DAY).await;
    assert_eq!(texts.left().await, ["Day 0", "Day 1"]);
    assert_eq!(texts.counted().await, 8);
    texts.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn the_words_of_the_oldest_messages_go_by_size() {
    let whole = Texts::under(Retention::default()).await;
    assert_eq!(whole.left().await.len(), 10, "no limit, and nothing goes");
    let one = whole.told.0.lock().unwrap()["Day 0"];
    let mut limits = Retention::default();
    limits.text_bytes = Some(3 * one + one / 2);
    let texts = Texts::under(limits).await;
    assert_eq!(texts.left().await, ["Day 0", "Day 1", "Day 2"]);
    assert_eq!(texts.counted().await, 7);
}

async fn count(rig: &Rig, space: &'static str) -> usize {
    let (tenant, prefix) = (tenant(), String::new());
    let query = StateQuery::Range { tenant, space, prefix, after: None, limit: 1_000 };
    rig.stores.sync.read(&query).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn finished_intents_go_after_a_year_with_what_they_left_and_waiting_ones_stay() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    let refusal = r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#;
    rig.sandbox.script(Fault::new(FaultAction::status(400, refusal)).on_path("/messages/send"));
    rig.enqueue(&hub, 0..3, plain).await;
    rig.send(&hub).await;
    let far = rig.clock.now() + TimeDelta::days(1_000);
    rig.enqueue(&hub, 3..4, |_| IntentOptions::default().with_not_before(far)).await;
    let failed = hub.intent(&tenant(), &key(0)).await.unwrap().unwrap();
    assert!(matches!(failed.state, IntentState::Failed { .. }), "{failed:?}");
    rig.clock.sleep(364 * DAY).await;
    rig.run(&hub, Job::retention(&tenant())).await;
    assert_eq!((count(&rig, "outbox").await, count(&rig, "sent").await), (4, 4));
    rig.clock.sleep(2 * DAY).await;
    rig.run(&hub, Job::retention(&tenant())).await;
    let spaces = ["outbox", "outbox_body", "sent", "sent_id", "outbox_due"];
    for space in spaces {
        assert_eq!(count(&rig, space).await, 1, "{space}: the one that waits");
    }
    assert_eq!(hub.links(&tenant()).of_ours(&Ours::new("intent", "mail-0001")).await.unwrap(), []);
    assert_eq!((count(&rig, "link").await, count(&rig, "link_back").await), (0, 0));
    let page = hub.events(&tenant(), 0, 1_000).await.unwrap();
    let told = page.events.iter().filter(|event| matches!(event.what, EventKind::Retired { intents: 3, .. }));
    assert_eq!(told.count(), 1);
    assert_eq!(rig.sent().len(), 2, "what left is the mailbox's");
}

#[tokio::test(start_paused = true)]
async fn a_daily_look_that_was_lost_is_queued_again_by_any_work_for_the_tenant() {
    let rig = Rig::new(GmailSettings::default()).await;
    let daily = Job::retention(&tenant());
    // As a host's queue may lose it, or a release before the job existed never put it.
    rig.stores.jobs.cancel(&daily.key).await.unwrap();
    let hub = rig.process();
    rig.sync(&hub).await;
    rig.clock.sleep(DAY).await;
    let due: Vec<Job> = rig.stores.jobs.claim(100, DAY).await.unwrap().into_iter().map(|claim| claim.job).collect();
    assert!(due.contains(&daily), "{due:?}");
    let JobOutcome::Done { again_in } = hub.run(daily, &Shutdown::default()).await else { panic!() };
    assert_eq!(again_in, Some(DAY));
    let nobody = integration_core::ids::TenantId::new("nobody");
    let JobOutcome::Done { again_in } = hub.run(Job::retention(&nobody), &Shutdown::default()).await else { panic!() };
    assert_eq!(again_in, None, "nothing is left of that tenant");
}

/// Years ahead.
#[derive(Debug)]
struct Ahead(Arc<dyn Clock>);

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + TimeDelta::days(3_650)
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_years_ahead_deletes_nothing_early() {
    let rig = Rig::new(GmailSettings::default()).await;
    let hub = rig.process();
    rig.enqueue(&hub, 0..2, plain).await;
    rig.send(&hub).await;
    let told = hub.events(&tenant(), 0, 1_000).await.unwrap().events.len();
    let ahead = Arc::new(Ahead(Arc::clone(&rig.clock)));
    let wrong = rig.process_with(GmailQuota::Off, (ahead, Arc::clone(&rig.stores.sync)));
    rig.run(&wrong, Job::retention(&tenant())).await;
    assert_eq!((count(&rig, "outbox").await, count(&rig, "sent").await), (2, 2));
    assert_eq!(hub.events(&tenant(), 0, 1_000).await.unwrap().events.len(), told);
}

/// Between reading a sent item and what follows from it, the sync notes an answer.
#[derive(Debug)]
struct Answered {
    inner: Arc<dyn SyncStore>,
    armed: AtomicBool,
}

#[async_trait]
impl SyncStore for Answered {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        let rows = self.inner.read(query).await?;
        if let (StateQuery::Keys { tenant, space: "sent", .. }, [row]) = (query, &rows[..])
            && self.armed.swap(false, Ordering::SeqCst)
        {
            let mut tx = self.inner.begin(None).await?;
            tx.write(&[StateWrite::put(tenant, "sent", row.key.clone(), row.bytes.clone())]).await?;
            tx.commit().await?;
        }
        Ok(rows)
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        self.inner.now().await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        self.inner.begin(guard).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_sent_item_that_is_answered_at_the_moment_it_would_go_stays_a_day_longer() {
    let rig = Rig::new(GmailSettings::default()).await;
    let answered = Arc::new(Answered { inner: Arc::clone(&rig.stores.sync), armed: AtomicBool::new(false) });
    let hub = rig.process_with(GmailQuota::Off, (Arc::clone(&rig.clock), Arc::clone(&answered) as Arc<dyn SyncStore>));
    rig.enqueue(&hub, 0..2, plain).await;
    rig.send(&hub).await;
    rig.clock.sleep(366 * DAY).await;
    answered.armed.store(true, Ordering::SeqCst);
    rig.run(&hub, Job::retention(&tenant())).await;
    assert_eq!((count(&rig, "outbox").await, count(&rig, "sent").await, count(&rig, "sent_id").await), (1, 1, 1));
    rig.run(&hub, Job::retention(&tenant())).await;
    assert_eq!((count(&rig, "outbox").await, count(&rig, "sent").await, count(&rig, "sent_id").await), (0, 0, 0));
}
