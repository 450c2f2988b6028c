use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use integration_core::{
    ErrorKind,
    clock::Clock,
    email::{Depth, EmailProvider, Message},
    http::TransportErrorKind,
    ids::{MessageId, PartitionId},
    sync::{Fetched, Window},
    testing::{PlainConnector, ScriptedTransport, SeenRequest, Step, test_session, virtual_clock},
};
use serde_json::json;

use super::{batch, client, full, outlook, places, refusal};
use crate::outlook::Outlook;

const DELTA: &str = "/v1.0/me/mailFolders/inbox-id/messages/delta";

/// How many entries a page was asked to have.
fn size(seen: &SeenRequest) -> u32 {
    let prefer = seen.header("prefer").unwrap();
    let rest = prefer.split("odata.maxpagesize=").nth(1).unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

fn whole() -> Step {
    let link = format!("https://graph.example{DELTA}?$deltatoken=x");
    Step::get(DELTA).answers_json(200, &json!({ "value": [], "@odata.deltaLink": link }))
}

fn gave_up(status: u16) -> Step {
    Step::get(DELTA).answers(status, "<html>Gateway</html>")
}

async fn walk(outlook: &Outlook) -> integration_core::Result<()> {
    outlook.feed().snapshot(&PartitionId::new("inbox-id"), &Window::default(), None).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_much_for_a_gateway_is_halved_and_that_is_remembered_for_a_while() {
    let steps = [gave_up(504), gave_up(502), whole(), whole(), whole(), whole()];
    let (transport, outlook) = outlook(steps);
    walk(&outlook).await.unwrap();
    walk(&outlook).await.unwrap();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(600)).await;
        walk(&outlook).await.unwrap();
    }
    let sizes: Vec<u32> = transport.seen().iter().map(size).collect();
    assert_eq!(sizes, [100, 50, 25, 25, 50, 100]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_borne_grow_again() {
    let steps = [gave_up(503)].into_iter().chain(std::iter::repeat_with(whole).take(22));
    let (transport, outlook) = outlook(steps);
    for _ in 0..22 {
        walk(&outlook).await.unwrap();
    }
    let sizes: Vec<u32> = transport.seen().iter().map(size).collect();
    assert_eq!((sizes[0], sizes.iter().filter(|size| **size == 50).count(), sizes[22]), (100, 20, 100));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_halves_a_page_too_and_a_refusal_does_not() {
    let (transport, outlook) = outlook([Step::get(DELTA).hangs(), whole()]);
    walk(&outlook).await.unwrap();
    assert_eq!(transport.seen().iter().map(size).collect::<Vec<_>>(), [100, 50]);
    let (transport, outlook) = super::outlook([Step::get(DELTA).answers_json(403, &refusal("ErrorAccessDenied"))]);
    assert_eq!(walk(&outlook).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(transport.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_does_not_halve_a_page_and_is_tried_again() {
    let broken =
        [TransportErrorKind::Connect, TransportErrorKind::Interrupted].map(|kind| Step::get(DELTA).fails(kind));
    let (transport, outlook) = outlook(broken.into_iter().chain([Step::get(DELTA).answers(500, ""), whole()]));
    walk(&outlook).await.unwrap();
    assert_eq!(transport.seen().iter().map(size).collect::<Vec<_>>(), [100; 4]);
    transport.finish();
}

/// A mailbox for whose work there is so much time.
fn within(seconds: i64, client: &crate::client::Client, steps: Vec<Step>) -> (Arc<ScriptedTransport>, Outlook) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let connector = Arc::new(PlainConnector::new(&url::Url::parse(super::GRAPH).unwrap()));
    let clock = virtual_clock();
    let deadline = clock.now() + TimeDelta::seconds(seconds);
    let session = test_session(Arc::clone(&transport) as _, connector).with_clock(clock).with_deadline(deadline);
    let outlook = Outlook::new(session.build(), client.clone());
    outlook.keep(&Arc::new(places()));
    (transport, outlook)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_our_own_is_not_the_page_s_fault() {
    let client = client();
    let (_, late) = within(0, &client, vec![]);
    assert_eq!(walk(&late).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(late.fetch(&ids(20), Depth::Full).await.unwrap_err().kind(), ErrorKind::Timeout);
    let steps = vec![whole(), batch_of(0, 20, true)];
    let (transport, outlook) = within(60, &client, steps);
    walk(&outlook).await.unwrap();
    outlook.fetch(&ids(20), Depth::Full).await.unwrap();
    assert_eq!(size(&transport.seen()[0]), 100);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_is_not_asked_for_ever() {
    let (transport, outlook) = outlook(std::iter::repeat_with(|| gave_up(504)).take(20));
    assert_eq!(walk(&outlook).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let sizes: Vec<u32> = transport.seen().iter().map(size).collect();
    assert_eq!(sizes[..4], [100, 50, 25, 12]);
    assert!(sizes.len() <= 8, "{sizes:?}");
}

/// A batch of these messages, and that it is too much, or what it brings.
fn batch_of(from: usize, to: usize, borne: bool) -> Step {
    let ids = move || (from..to).map(|at| format!("m{at}"));
    let parts: Vec<_> = ids().enumerate().map(|(at, id)| (at, 200, full(&id))).collect();
    let step = if borne { batch(&parts) } else { Step::post("/v1.0/$batch").answers(504, "<html>Gateway</html>") };
    step.matching(move |seen| {
        let paths = super::asked(&seen.body);
        paths.len() == to - from
            && paths.iter().zip(ids()).all(|(path, id)| path.starts_with(&format!("/me/messages/{id}?")))
    })
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_much_is_split_and_only_what_is_too_much_alone_stays_away() {
    // A gateway gives up on whatever holds the third message.
    let asked = [
        (0, 20, false),
        (0, 10, false),
        (0, 5, false),
        (0, 1, true),
        (1, 3, false),
        (1, 2, true),
        (2, 4, false),
        (2, 3, false),
        (2, 3, false),
        (3, 4, true),
        (4, 6, true),
        (6, 10, true),
        (10, 18, true),
        (18, 20, true),
    ];
    let (transport, outlook) = outlook(asked.map(|(from, to, borne)| batch_of(from, to, borne)));
    let fetched = outlook.fetch(&ids(20), Depth::Full).await.unwrap();
    transport.finish();
    assert_eq!(away(&fetched), [("m2", ErrorKind::Unavailable)]);
}

fn ids(count: usize) -> Vec<MessageId> {
    (0..count).map(|at| MessageId::new(format!("m{at}"))).collect()
}

/// What did not come of the messages that were asked for, and why; the others came, each for itself.
fn away(fetched: &[Fetched<Message>]) -> Vec<(&str, ErrorKind)> {
    let mut away = Vec::new();
    for (at, fetched) in fetched.iter().enumerate() {
        match fetched {
            Fetched::NotYet(key, error) => away.push((key.as_str(), error.kind())),
            Fetched::Present { key, .. } => assert_eq!(key.as_str(), format!("m{at}")),
            other => panic!("{at}: {other:?}"),
        }
    }
    away
}

/// The folder that is asked for to see whether the service is there.
fn inbox() -> Step {
    Step::get("/v1.0/me/mailFolders/inbox")
}

#[tokio::test(start_paused = true)]
async fn the_first_message_may_be_too_much_and_is_asked_for_behind_the_others_from_then_on() {
    let first = [(0, 20), (0, 10), (0, 5), (0, 1), (0, 1)].map(|(from, to)| batch_of(from, to, false));
    let others = [(1, 2), (2, 4), (4, 8), (8, 16), (16, 20), (1, 20)].map(|(from, to)| batch_of(from, to, true));
    let last = [batch_of(0, 1, false), batch_of(0, 1, false)];
    let (transport, outlook) = outlook(first.into_iter().chain(others).chain(last));
    for _ in 0..2 {
        let fetched = outlook.fetch(&ids(20), Depth::Full).await.unwrap();
        assert_eq!(away(&fetched), [("m0", ErrorKind::Unavailable)]);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn several_messages_in_a_row_may_be_too_much_while_the_service_is_there() {
    let alone = |at| [batch_of(at, at + 1, false), batch_of(at, at + 1, false)];
    let bad = [(0, 6), (0, 3)].map(|(from, to)| batch_of(from, to, false)).into_iter().chain((0..3).flat_map(alone));
    let rest = [inbox().answers_json(200, &json!({ "id": "inbox-id" })), batch_of(3, 4, true), batch_of(4, 6, true)];
    let (transport, outlook) = outlook(bad.chain(rest));
    let fetched = outlook.fetch(&ids(6), Depth::Full).await.unwrap();
    assert_eq!(away(&fetched).iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["m0", "m1", "m2"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_nothing_at_all_is_no_message_s_fault() {
    let alone = |at| [batch_of(at, at + 1, false), batch_of(at, at + 1, false)];
    let steps = [(0, 20), (0, 10), (0, 5)].map(|(from, to)| batch_of(from, to, false)).into_iter();
    let (transport, outlook) = outlook(steps.chain((0..3).flat_map(alone)).chain([inbox().answers(504, "")]));
    assert_eq!(outlook.fetch(&ids(20), Depth::Full).await.unwrap_err().kind(), ErrorKind::Unavailable);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn time_outs_that_take_all_the_time_there_is_split_a_batch_from_one_slice_to_the_next() {
    let client = client();
    let hangs = |from, to| batch_of(from, to, true).hangs();
    // The first message never comes; each time there is time for one such call.
    let slices = [
        (vec![hangs(0, 6)], None),
        (vec![hangs(0, 3)], None),
        (vec![hangs(0, 1)], Some(6)),
        (vec![batch_of(1, 2, true), batch_of(2, 4, true), batch_of(4, 6, true), hangs(0, 1)], Some(1)),
    ];
    for (steps, missing) in slices {
        let (transport, outlook) = within(65, &client, steps);
        let fetched = outlook.fetch(&ids(6), Depth::Full).await;
        let Some(missing) = missing else {
            assert_eq!(fetched.unwrap_err().kind(), ErrorKind::Timeout);
            continue;
        };
        let fetched = fetched.unwrap();
        let away = away(&fetched);
        assert_eq!((away.len(), away[0]), (missing, ("m0", ErrorKind::Timeout)));
        // What was not asked for is not held against it.
        assert!(away[1..].iter().all(|(_, kind)| *kind == ErrorKind::Transport), "{away:?}");
        transport.finish();
    }
}
