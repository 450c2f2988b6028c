//! What the sync makes of mail that was sent, answered and not delivered.

use crate::{
    email::{Address, MailFlags, Message, Role},
    error::{Error, ErrorKind},
    event::Event,
    outbox::{IntentFailure, IntentKey, IntentState, SEND_KEY_HEADER, tests::world::World},
};

const MINE: (&str, &str) = ("c", "me@own.example");
const COLLEAGUE: (&str, &str) = ("d", "she@own.example");

fn from(who: &str, id: &str) -> Message {
    Message { from: vec![Address::new(who)], message_id: Some(id.to_owned()), ..Message::default() }
}

fn own_copy(id: &str) -> Message {
    let mut message = from(MINE.1, id);
    message.to = vec![Address::new("bo@acme.example")];
    message.flags = MailFlags { roles: vec![Role::Sent], ..MailFlags::default() };
    message
}

fn answer(who: &str, id: &str, to: &str) -> Message {
    let mut message = from(who, id);
    message.to = vec![Address::new(MINE.1)];
    message.in_reply_to = vec![to.to_owned()];
    message
}

#[tokio::test(start_paused = true)]
async fn our_own_mail_coming_back_is_no_strangers_and_leaves_a_link() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let (told, ours) = world.sees(MINE, "m1", &own_copy(&id)).await;
    assert!(told.is_empty());
    assert_eq!(ours, Some(IntentKey::new("k")));
    let item = world.item("k").await;
    assert!(item.seen);
    assert_eq!(item.message.unwrap().as_str(), "m1");
    assert_eq!(world.rows("link").await.len(), 1);
    assert_eq!(world.sees(MINE, "m2", &from("x@y.example", "other@y.example")).await.1, None);
}

#[tokio::test(start_paused = true)]
async fn a_mail_whose_id_the_service_replaced_is_recognised_and_answers_find_it() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let mut copy = own_copy("replaced@service.example");
    copy.headers.all = vec![(SEND_KEY_HEADER.to_owned(), id)];
    assert_eq!(world.sees(MINE, "m1", &copy).await.1, Some(IntentKey::new("k")));
    assert_eq!(world.item("k").await.sent_message_id.as_deref(), Some("replaced@service.example"));
    let reply = answer("bo@acme.example", "r@acme.example", "replaced@service.example");
    world.sees(MINE, "m2", &reply).await;
    assert!(world.item("k").await.is_replied());
}

#[tokio::test(start_paused = true)]
async fn the_sync_settles_an_outcome_that_was_unknown() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    world.put_state("k", IntentState::Unknown { since: world.now(), look_ups: 1 }).await;
    let (told, _) = world.sees(MINE, "m1", &own_copy(&id)).await;
    assert!(matches!(told[..], [Event::OutcomeResolved { happened: true, .. }, Event::IntentDone { .. }]), "{told:?}");
    assert!(matches!(world.intent("k").await.state, IntentState::Done { .. }));
    world.until_finished().await;
    assert!(world.rows("outbox_due").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_met_in_the_mailbox_is_not_sent_again() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    // The worker died in the middle, and the sync was there first.
    world.put_state("k", IntentState::Sending { since: world.now(), fence: 0 }).await;
    world.sees(MINE, "m1", &own_copy(&id)).await;
    world.until_finished().await;
    assert!(matches!(world.intent("k").await.state, IntentState::Done { .. }));
    assert_eq!(world.told(), ["unknown k", "happened k", "done k"]);
}

#[tokio::test(start_paused = true)]
async fn what_came_back_after_it_was_given_up_is_done_and_never_sent_again() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let failure = IntentFailure::of(&Error::new(ErrorKind::OutcomeUnknown, "nobody knows"));
    world.put_state("k", IntentState::Failed { at: world.now(), failure }).await;
    let (told, _) = world.sees(MINE, "m1", &own_copy(&id)).await;
    assert!(matches!(told[..], [Event::OutcomeResolved { happened: true, .. }, Event::IntentDone { .. }]), "{told:?}");
    assert!(matches!(world.intent("k").await.state, IntentState::Done { .. }));
    // Also where somebody asked for another try before it came back.
    world.put_state("k", IntentState::Waiting).await;
    world.until_finished().await;
    assert!(matches!(world.intent("k").await.state, IntentState::Done { .. }));
    assert_eq!(world.told(), ["done k"], "it was not attempted");
}

#[tokio::test(start_paused = true)]
async fn a_strangers_mail_with_our_id_is_not_ours() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let mut forged = from("mallory@evil.example", "me@example.com");
    forged.message_id = Some(id);
    assert_eq!(world.sees(MINE, "m1", &forged).await.1, None);
    assert!(world.item("k").await.message.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_once_however_many_mailboxes_have_it() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let reply = answer("Bo@acme.example", "r@acme.example", &id);
    let (told, ours) = world.sees(MINE, "m2", &reply).await;
    assert!(matches!(&told[..], [Event::MailReplied { by, automatic: false, .. }] if by == "bo@acme.example"));
    assert_eq!(ours, None);
    assert!(world.sees(COLLEAGUE, "m9", &reply).await.0.is_empty());
    let mut third = answer("bo@acme.example", "r2@acme.example", "r@acme.example");
    third.references = vec![id, "r@acme.example".to_owned()];
    world.sees(MINE, "m3", &third).await;
    assert_eq!(world.item("k").await.replies.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_senders_own_words_and_machines_are_no_answers() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    world.sees(MINE, "m2", &answer(MINE.1, "f@own.example", &id)).await;
    world.sees(COLLEAGUE, "m3", &answer(MINE.1, "f@own.example", &id)).await;
    let mut away = answer("bo@acme.example", "away@acme.example", &id);
    away.headers.all = vec![("Auto-Submitted".to_owned(), "auto-replied".to_owned())];
    let (told, _) = world.sees(MINE, "m4", &away).await;
    let item = world.item("k").await;
    if cfg!(feature = "mail") {
        assert!(matches!(told[..], [Event::MailReplied { automatic: true, .. }]), "{told:?}");
        assert!(!item.is_replied());
        assert_eq!(item.auto_replies.len(), 1);
    }
}

#[cfg(feature = "mail")]
#[tokio::test(start_paused = true)]
async fn a_bounce_names_whom_it_did_not_reach_and_whether_for_good() {
    let world = World::new();
    let id = world.mail("k", "bo@acme.example").await;
    let report = |action: &str, status: &str| {
        crate::email::parse::message(
            format!(
                "From: MAILER-DAEMON@acme.example\r\nTo: me@own.example\r\nSubject: Undelivered\r\n\
                 Message-ID: <{status}@acme.example>\r\nMIME-Version: 1.0\r\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
                 --b\r\nContent-Type: text/plain\r\n\r\nSorry\r\n\
                 --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; acme.example\r\n\r\n\
                 Final-Recipient: rfc822; Bo@acme.example\r\nAction: {action}\r\nStatus: {status}\r\n\r\n\
                 --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{id}>\r\n\r\n--b--\r\n"
            )
            .as_bytes(),
        )
        .unwrap()
    };
    let (told, _) = world.sees(MINE, "m2", &report("delayed", "4.4.1")).await;
    assert!(matches!(&told[..], [Event::MailBounced { hard: false, .. }]), "{told:?}");
    assert!(!world.item("k").await.is_bounced());
    let (told, _) = world.sees(MINE, "m3", &report("failed", "5.1.1")).await;
    assert!(matches!(&told[..], [Event::MailBounced { hard: true, recipient, .. }] if recipient == "bo@acme.example"));
    let item = world.item("k").await;
    assert_eq!(item.bounces.len(), 1);
    assert!(item.is_bounced() && !item.is_replied());
    assert!(world.sees(COLLEAGUE, "m4", &report("failed", "5.1.1")).await.0.is_empty());
}
