//! What the client counted is what the service counted.
//!
//! Requests are equal always. Units are counted by attempt, when the gate lets it go: the client cannot know whether an attempt
//! that was refused or got no answer was charged, and errs on the safe side. So its sum is the service's, and the cost of
//! the attempts that the service refused or never saw.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use integration_core::{
    clock::{Clock, SystemClock},
    email::MessageQuery,
    http::ReqwestTransport,
    ids::{MessageId, PartId},
};
use integration_google::GmailQuota;
use integration_testing::{
    Fault, FaultAction,
    google::gmail::{GmailBooks, QuotaPreset},
    mail,
};

use crate::near::{self, Near, Terms, letters};

/// What a full batch of gets costs.
const BATCH: u64 = 9 * 20;

fn unlimited() -> Terms {
    Terms::new(GmailQuota::Off, QuotaPreset::Off)
}

/// Everybody on both sides counted this.
fn compare(near: &Near, lost: u64) {
    let (books, gmail) = (near.sandbox.books(), near.books());
    println!(
        "client: {} requests, {} units; service: {} requests, {} units ({} faulted, {} inner calls refused)",
        near.meter.requests(),
        near.meter.units(),
        books.calls,
        gmail.units,
        books.faulted,
        gmail.rejected
    );
    assert_eq!(near.meter.requests(), books.calls, "{}", near.sandbox.request_log());
    assert_eq!(near.meter.units(), gmail.units + lost, "{}", near.sandbox.request_log());
}

/// A hub and a sandbox with real HTTP between them.
async fn over_http() -> (Near, integration_testing::Served) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let sandbox = near::sandbox(&unlimited(), Arc::clone(&clock), Duration::ZERO);
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let origin = format!("http://{}", served.addr());
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    (Near::connect(&unlimited(), sandbox, clock, &origin, transport).await, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_units_are_what_the_service_counted() {
    let (near, served) = over_http().await;
    near.mailbox().on_demand(620, &letters());
    let files = near.mailbox().on_demand(3, &mail::with_attachment(5_000));
    let running = near.run();
    near.until_decided(623).await;
    running.stop().await;
    let email = near.email().await;
    let page = email.search(&MessageQuery::default(), None).await.unwrap();
    assert!(!page.items.is_empty());
    email.folders().unwrap().list().await.unwrap();
    for id in files {
        let bytes = email.attachment(&MessageId::new(id), &PartId::new("1")).await.unwrap();
        assert_eq!(bytes.try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) }).await.unwrap(), 5_000);
    }
    compare(&near, 0);
    served.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_one_request_and_its_repeat_another() {
    let (near, served) = over_http().await;
    near.sandbox.script(Fault::new(FaultAction::ResetAfter).on_method("GET").on_path("/messages"));
    near.sandbox.script(Fault::new(FaultAction::ResetBefore).on_path("/batch/").after(1));
    near.mailbox().on_demand(30, &letters());
    let running = near.run();
    near.until_decided(30).await;
    running.stop().await;
    assert_eq!(near.sandbox.books().faulted, 2);
    compare(&near, BATCH);
    served.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_refused_or_never_arrived_is_counted_by_the_client_alone() {
    let near = Near::start(&unlimited()).await;
    near.mailbox().on_demand(300, &letters());
    let batch = |action, after| Fault::new(action).on_path("/batch/").after(after);
    let list = |action, after| Fault::new(action).on_method("GET").on_path("/messages").after(after);
    let status = |status| FaultAction::status(status, "");
    let throttled = FaultAction::Status {
        status: 429,
        headers: BTreeMap::from([("retry-after".to_owned(), "2".to_owned())]),
        body: String::new(),
    };
    // With what each attempt costs that the service did not charge.
    let script = [
        (batch(throttled, 1), BATCH),
        (batch(FaultAction::ResetBefore, 3), BATCH),
        (batch(FaultAction::ResetAfter, 5), 0),
        (batch(status(503), 7), BATCH),
        (batch(status(503), 12), BATCH),
        (batch(FaultAction::TruncateBody, 14), 0),
        (batch(FaultAction::WrongContentType { content_type: "text/html".to_owned() }, 17), 0),
        (list(status(500), 0), 5),
        (list(FaultAction::ResetAfter, 1), 0),
        // The token is not renewed at once. The profile costs one unit: its first attempt is refused, another is let through
        // the gate and has no token to go on with, and the first one of the next slice is refused.
        (Fault::new(FaultAction::ResetBefore).on_operation("oauth.token"), 3),
    ];
    let (faults, lost) = (script.len() as u64, script.iter().map(|(_, lost)| lost).sum::<u64>());
    for (fault, _) in script {
        near.sandbox.script(fault);
    }
    near.sandbox.expire_access_tokens();
    let running = near.run();
    near.until_decided(300).await;
    running.stop().await;
    assert_eq!(near.sandbox.books().faulted, faults, "{}", near.sandbox.request_log());
    compare(&near, lost);
}

/// What the calls that the service saw would have cost if it had refused none.
fn asked(books: &GmailBooks) -> u64 {
    let costs = BTreeMap::from([
        ("gmail.users.getProfile", 1),
        ("gmail.users.history.list", 2),
        ("gmail.users.messages.get", 20),
        ("gmail.users.messages.list", 5),
    ]);
    books.by_method.iter().map(|(method, (calls, _))| calls * costs[method.as_str()]).sum()
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_charged_once_by_the_service_and_counted_each_time_by_the_client() {
    // The client believes that there is no quota; the service has one.
    let near = Near::start(&Terms::new(GmailQuota::Off, QuotaPreset::Gmail2026)).await;
    near.mailbox().on_demand(900, &letters());
    let running = near.run();
    near.until_decided(900).await;
    running.stop().await;
    let books = near.books();
    assert!(books.rejected > 0);
    compare(&near, asked(&books) - books.units);
}
