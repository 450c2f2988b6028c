//! The limits of a mailbox, kept before the service complains: on virtual time, with the service's own books as the judge.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use integration_core::sync::{BundledScheduler, SchedulerOptions, Shutdown};
use integration_microsoft::OutlookQuota;
use integration_testing::{
    SandboxSettings,
    microsoft::graph::{Generator, GraphBooks, GraphSettings, QuotaPreset},
};

use super::world::World;

/// How long every call takes.
const LATENCY: Duration = Duration::from_millis(100);
const PER_TEN_MINUTES: u64 = 10_000;

fn limited() -> SandboxSettings {
    let graph = GraphSettings { quota: QuotaPreset::Outlook, ..GraphSettings::default() };
    SandboxSettings { graph, latency: LATENCY, ..SandboxSettings::default() }
}

/// A letter with a file: delta leaves files to calls of their own, which is what costs.
fn with_a_file() -> Generator {
    Arc::new(|number| {
        let raw = format!(
            "From: Bob <bob@acme.example>\r\nTo: alex@example.com\r\nSubject: Number {number}\r\n\
             Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello {number}\r\n\
             --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
             Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"
        );
        Bytes::from(raw)
    })
}

fn plain() -> Generator {
    Arc::new(|number| {
        let raw = format!(
            "From: Bob <bob@acme.example>\r\nTo: alex@example.com\r\nSubject: Number {number}\r\n\
             Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nHello {number}\r\n"
        );
        Bytes::from(raw)
    })
}

impl World {
    fn books(&self) -> GraphBooks {
        self.sandbox.microsoft().graph().books()
    }

    async fn minutes(&self, minutes: u64) {
        self.clock.sleep(Duration::from_secs(60 * minutes)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_backfill_uses_its_share_and_is_never_refused() {
    let world = World::new(limited(), OutlookQuota::Outlook).await;
    world.mailbox().on_demand(9_000, &with_a_file());
    let jobs = Arc::clone(&world.stores.jobs);
    let scheduler = BundledScheduler::new(jobs, Arc::clone(&world.clock), SchedulerOptions::default());
    let (hub, stop) = (Arc::new(world.hub.clone()), Shutdown::default());
    let until = stop.clone();
    let task = tokio::spawn(async move { scheduler.work(hub, &until).await });
    world.minutes(2).await;
    let early = world.books();
    world.minutes(10).await;
    let late = world.books();
    let pending = world.hub.pending(&world.tenant, &world.connection.id).await.unwrap();
    assert!(pending > 0, "a backfill that ends early proves nothing");
    stop.stop();
    task.await.unwrap().unwrap();
    let used = (late.requests - early.requests) as f64 / PER_TEN_MINUTES as f64;
    println!(
        "outlook: minutes 2-12 used {used:.4} of {PER_TEN_MINUTES} calls in ten minutes; at most {} in any ten, {} at once, \
         {} refused",
        late.peak_per_ten_minutes, late.peak_concurrent, late.throttled
    );
    assert!(used >= 0.95, "{used}");
    assert!(late.peak_per_ten_minutes <= PER_TEN_MINUTES, "{}", late.peak_per_ten_minutes);
    assert!(late.peak_concurrent <= 4, "{}", late.peak_concurrent);
    assert_eq!(late.throttled, 0);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_take_few_calls() {
    let world = World::new(limited(), OutlookQuota::Outlook).await;
    world.mailbox().on_demand(1_000, &plain());
    let before = world.books().requests;
    world.sync(&world.connection).await;
    let calls = world.books().requests - before;
    let known = world.hub.decisions(&world.tenant, &world.connection.id).await.unwrap().len();
    println!("outlook: {calls} calls for {known} messages, folders included");
    assert_eq!(known, 1_000);
    assert!(calls <= 30, "{calls}\n{}", world.sandbox.request_log());
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_idle_poll_asks_each_folder_once() {
    let world = World::new(limited(), OutlookQuota::Outlook).await;
    world.sync(&world.connection).await;
    let before = world.books();
    world.sync(&world.connection).await;
    let after = world.books();
    let folders = world.mailbox().folders().len() as u64;
    println!("outlook: an idle poll of {folders} folders is {} calls", after.requests - before.requests);
    assert!(after.requests - before.requests <= folders + 1);
    assert_eq!(after.throttled, 0);
}
