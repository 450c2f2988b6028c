use std::time::Duration;

use integration_core::{
    ErrorKind,
    email::{Depth, EmailProvider},
    http::TransportErrorKind,
    ids::{MessageId, PartitionId},
    sync::{Fetched, Window},
    testing::{SeenRequest, Step},
};
use serde_json::json;

use super::{batch, full, outlook, refusal};
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
    let (transport, outlook) = outlook([Step::get(DELTA).fails(TransportErrorKind::Timeout), whole()]);
    walk(&outlook).await.unwrap();
    assert_eq!(transport.seen().iter().map(size).collect::<Vec<_>>(), [100, 50]);
    let (transport, outlook) = super::outlook([Step::get(DELTA).answers_json(403, &refusal("ErrorAccessDenied"))]);
    assert_eq!(walk(&outlook).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(transport.seen().len(), 1);
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
    let ids: Vec<MessageId> = (0..20).map(|at| MessageId::new(format!("m{at}"))).collect();
    let fetched = outlook.fetch(&ids, Depth::Full).await.unwrap();
    transport.finish();
    for (at, fetched) in fetched.iter().enumerate() {
        match fetched {
            Fetched::NotYet(key, error) if at == 2 => {
                assert_eq!((key.as_str(), error.kind()), ("m2", ErrorKind::Unavailable));
            }
            Fetched::Present { key, .. } if at != 2 => assert_eq!(key.as_str(), format!("m{at}")),
            other => panic!("{at}: {other:?}"),
        }
    }
}
