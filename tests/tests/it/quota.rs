//! The service's quota, kept before it complains: on virtual time, with the service's own books as the judge.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use integration_core::{email::Depth, ids::MessageId};
use integration_google::GmailQuota;
use integration_testing::google::gmail::{GmailBooks, QuotaPreset};

use crate::near::{Arrival, LATENCY, Near, Running, Terms, letters};

fn gmail_2026() -> Terms {
    Terms::new(GmailQuota::Gmail2026, QuotaPreset::Gmail2026)
}

/// The former limit with the present costs, which is what the client's preset assumes of older projects.
fn gmail_classic() -> Terms {
    let costs = ["gmail.users.messages.get", "gmail.users.messages.attachments.get"];
    let costs = BTreeMap::from(costs.map(|method| (method.to_owned(), 20)));
    Terms { costs, ..Terms::new(GmailQuota::GmailClassic, QuotaPreset::Classic) }
}

/// A hub in the middle of a long backfill.
async fn backfilling(terms: &Terms, messages: u64) -> (Near, Running) {
    let near = Near::start(terms).await;
    near.mailbox().on_demand(messages, &letters());
    let running = near.run();
    (near, running)
}

fn units(books: &GmailBooks, methods: &[&str]) -> u64 {
    methods.iter().filter_map(|method| books.by_method.get(*method)).map(|(_, units)| units).sum()
}

const BACKFILL: [&str; 2] = ["gmail.users.messages.get", "gmail.users.messages.list"];

/// Parts of a thousand of `limit` a minute, from the third minute to the end of the twentieth.
async fn share_of_the_quota(terms: &Terms, name: &str, limit: u64, messages: u64) {
    let (near, running) = backfilling(terms, messages).await;
    near.minutes(2).await;
    let early = near.books();
    near.minutes(18).await;
    let late = near.books();
    near.minutes(5).await;
    assert!(near.pending().await > 0, "a backfill that ends early proves nothing");
    running.stop().await;
    let share = |units: u64| units as f64 / (18 * limit) as f64;
    let paced = share(units(&late, &BACKFILL) - units(&early, &BACKFILL));
    let used = share(late.units - early.units);
    let (peak, books) = (near.books().peak_units_per_minute, near.sandbox.books());
    println!("{name}: minutes 2-20 used {used:.4}, the backfill alone {paced:.4}, peak {peak} of {limit} in any 60 s");
    println!("{name}: answers by status {:?}, inner calls refused {}", books.by_status, near.books().rejected);
    assert!(used >= 0.97, "{used}");
    // A batch that straddles the edge of the time looked at may count whole.
    assert!(paced <= 0.98 + 200.0 / (18 * limit) as f64, "{paced}");
    assert!(peak <= limit, "{peak}");
    assert_eq!(near.books().rejected, 0);
    assert!(books.by_status.keys().all(|status| (200..300).contains(status)), "{:?}", books.by_status);
    near.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_backfill_uses_its_share_and_is_never_refused() {
    share_of_the_quota(&gmail_2026(), "gmail-2026", 6_000, 8_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_within_the_former_limit_uses_its_share_too() {
    share_of_the_quota(&gmail_classic(), "gmail-classic", 15_000, 20_000).await;
}

/// How long a person waits for one message, the service's own time left out.
async fn read_one(near: &Near, id: String) -> TimeDelta {
    let began = near.clock.now();
    let fetched = near.email().await.fetch(&[MessageId::new(id)], Depth::Full).await.unwrap();
    assert_eq!(fetched.len(), 1);
    near.clock.now() - began - TimeDelta::from_std(LATENCY).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_message_now_and_then_hardly_waits_for_a_backfill() {
    let (near, running) = backfilling(&gmail_2026(), 4_000).await;
    near.minutes(3).await;
    let ids = near.mailbox().ids();
    let reads = ids.iter().take(20).enumerate().map(|(second, id)| {
        let near = &near;
        async move {
            near.seconds(second as u64).await;
            read_one(near, id.clone()).await
        }
    });
    let waits = futures_util::future::join_all(reads).await;
    running.stop().await;
    let longest = waits.into_iter().max().unwrap();
    println!("20 reads one second apart during a backfill: longest wait {} ms", longest.num_milliseconds());
    assert!(longest < TimeDelta::seconds(1), "{longest}");
    assert_eq!(near.books().rejected, 0);
}

#[tokio::test(start_paused = true)]
async fn twenty_reads_at_once_are_soon_done_in_the_middle_of_a_backfill() {
    let (near, running) = backfilling(&gmail_2026(), 4_000).await;
    near.minutes(3).await;
    let ids = near.mailbox().ids();
    let waits = futures_util::future::join_all(ids.into_iter().take(20).map(|id| read_one(&near, id))).await;
    running.stop().await;
    let all = waits.into_iter().max().unwrap() + TimeDelta::from_std(LATENCY).unwrap();
    println!("20 reads at once during a backfill: all done after {} ms", all.num_milliseconds());
    assert!(all <= TimeDelta::seconds(5), "{all}");
    assert_eq!(near.books().rejected, 0);
}

fn worst(arrivals: &[Arrival], name: &str) -> (TimeDelta, TimeDelta) {
    let delivery = arrivals.iter().map(|arrival| arrival.since_delivery).max().unwrap();
    let poll = arrivals.iter().map(|arrival| arrival.since_poll).max().unwrap();
    let (since_delivery, since_poll) = (delivery.num_milliseconds(), poll.num_milliseconds());
    println!(
        "100 new messages {name}: all visible {since_delivery} ms after they came, {since_poll} ms after the poll"
    );
    (delivery, poll)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_new_messages_after_an_idle_minute_are_visible_soon() {
    let (near, running) = backfilling(&gmail_2026(), 20).await;
    near.until_decided(20).await;
    let mut arrivals = Vec::new();
    for phase in [0, 7, 13, 19] {
        near.seconds(80).await;
        near.just_polled().await;
        near.seconds(phase).await;
        arrivals.push(near.hundred_new().await);
    }
    running.stop().await;
    let (delivery, poll) = worst(&arrivals, "after an idle minute");
    assert!(poll <= TimeDelta::seconds(5), "{poll}");
    assert!(delivery <= TimeDelta::seconds(30), "{delivery}");
    assert_eq!(near.books().rejected, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_new_messages_are_visible_in_the_middle_of_a_backfill() {
    let (near, running) = backfilling(&gmail_2026(), 8_000).await;
    let mut arrivals = Vec::new();
    for phase in [0, 2, 4, 8] {
        near.seconds(150).await;
        near.just_polled().await;
        near.seconds(phase).await;
        arrivals.push(near.hundred_new().await);
    }
    assert!(near.pending().await > 0, "the backfill has ended");
    running.stop().await;
    let (delivery, _) = worst(&arrivals, "during a backfill");
    assert!(delivery <= TimeDelta::seconds(30), "{delivery}");
    assert_eq!(near.books().rejected, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_poll_is_one_request() {
    let (near, running) = backfilling(&gmail_2026(), 20).await;
    near.until_decided(20).await;
    near.minutes(1).await;
    let polls = || near.books().by_method["gmail.users.history.list"].0;
    let before = (polls(), near.sandbox.books().calls, near.meter.units());
    near.minutes(10).await;
    running.stop().await;
    let (polls, calls) = (polls() - before.0, near.sandbox.books().calls - before.1);
    println!("10 idle minutes: {polls} polls, {calls} requests, {} units", near.meter.units() - before.2);
    assert!(polls >= 20, "{polls}");
    assert_eq!(calls, polls);
}
