//! What was sent under a `Message-ID` that the service replaced is found, however much was sent after it.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use integration_core::{
    email::SendKey,
    outbox::{IntentKey, IntentState},
};
use integration_google::GmailQuota;
use integration_testing::{Fault, FaultAction, GmailSettings};

use crate::{
    outbox::{Rig, key, plain},
    worker::tenant,
    world::{OWNER, World},
};

fn sent_mail(number: usize, key: &str) -> String {
    format!(
        "From: {OWNER}\r\nTo: bo@acme.example\r\nSubject: Sent {number}\r\nMessage-ID: <own{number}@mail.example>\r\n\
         X-Integration-Send-Key: {key}\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nHello\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_sent_mail_is_found_behind_hundreds_of_newer_ones_and_absent_where_it_is_not() {
    let world = World::with_messages(0).await;
    let (now, mailbox) = (world.sandbox.now(), world.sandbox.gmail().mailbox(OWNER));
    let deliver = |number, key: &str, minutes| {
        mailbox.deliver(sent_mail(number, key), now - TimeDelta::minutes(minutes), &["SENT"])
    };
    let oldest = deliver(0, "wanted@host.example", 50);
    (1..250).for_each(|number| drop(deliver(number, "another@host.example", 40)));
    let before = deliver(250, "old@host.example", 24 * 60);
    let provider = world.hub.email(&world.tenant, &world.connection.id).await.unwrap();
    let look = |key: &str, hours: u64| SendKey::new(key).with_age(Duration::from_secs(hours * 3600));
    let found = provider.find_sent(&look("wanted@host.example", 1)).await.unwrap().unwrap();
    assert_eq!(found.id.as_str(), oldest);
    assert_eq!(found.message_id.as_deref(), Some("own0@mail.example"));
    assert_eq!(provider.find_sent(&look("nobody@host.example", 1)).await.unwrap(), None);
    // Nobody looks further back than anything was tried.
    assert_eq!(provider.find_sent(&look("old@host.example", 1)).await.unwrap(), None);
    let found = provider.find_sent(&look("old@host.example", 25)).await.unwrap().unwrap();
    assert_eq!(found.id.as_str(), before);
}

#[tokio::test(start_paused = true)]
async fn a_mail_whose_answer_was_lost_is_not_sent_again_after_thirty_newer_ones() {
    let rig = Rig::new(GmailSettings { rewrite_message_ids: true, ..GmailSettings::default() }).await;
    let hub = rig.process();
    rig.sandbox.script(Fault::new(FaultAction::ResetAfter).on_path("/messages/send"));
    rig.enqueue(&hub, 0..1, plain).await;
    rig.send(&hub).await;
    let intent = hub.intent(&tenant(), &key(0)).await.unwrap().unwrap();
    assert!(matches!(intent.state, IntentState::Unknown { .. }), "{intent:?}");
    let mailbox = rig.sandbox.gmail().mailbox(OWNER);
    for number in 0..30 {
        mailbox.deliver(sent_mail(number, "another@host.example"), rig.sandbox.now(), &["SENT"]);
    }
    for _ in 0..8 {
        rig.clock.sleep(Duration::from_secs(120)).await;
        rig.send(&hub).await;
    }
    let intent = hub.intent(&tenant(), &IntentKey::new("mail-0000")).await.unwrap().unwrap();
    assert!(matches!(intent.state, IntentState::Done { .. }), "{intent:?}");
    assert_eq!((intent.attempts, intent.times_unknown), (1, 1));
    assert_eq!(rig.sent()["Offer 0"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_never_left_is_proved_absent_among_hundreds_within_the_quota() {
    let rig = Rig::new(GmailSettings { rewrite_message_ids: true, ..GmailSettings::default() }).await;
    let hub = rig.process_with(GmailQuota::Gmail2026, (Arc::clone(&rig.clock), Arc::clone(&rig.stores.sync)));
    rig.sandbox.script(Fault::new(FaultAction::ResetBefore).on_path("/messages/send"));
    rig.enqueue(&hub, 0..1, plain).await;
    rig.send(&hub).await;
    let mailbox = rig.sandbox.gmail().mailbox(OWNER);
    // More than two minutes of the account's quota, and later on what no attempt can have been.
    for number in 0..700 {
        mailbox.deliver(sent_mail(number, "another@host.example"), rig.sandbox.now(), &["SENT"]);
    }
    for number in 700..4_000 {
        mailbox.deliver(sent_mail(number, "another@host.example"), rig.sandbox.now() + TimeDelta::hours(1), &["SENT"]);
    }
    let began = rig.clock.now();
    rig.clock.sleep(Duration::from_secs(3600)).await;
    for _ in 0..8 {
        rig.send(&hub).await;
        rig.clock.sleep(Duration::from_secs(120)).await;
    }
    let intent = hub.intent(&tenant(), &key(0)).await.unwrap().unwrap();
    assert!(matches!(intent.state, IntentState::Done { .. }), "{intent:?}");
    assert_eq!((intent.attempts, intent.times_unknown), (2, 1));
    assert_eq!(rig.sent()["Offer 0"], 1);
    println!("proved absent among 4,000 sent since, {} later", rig.clock.now() - began);
}
