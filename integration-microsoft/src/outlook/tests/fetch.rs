use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::TryStreamExt;
use integration_core::{
    ErrorKind,
    email::{Depth, EmailProvider, Message},
    ids::{FolderId, MessageId, PartId},
    sync::Fetched,
    testing::Step,
};
use serde_json::{Value, json};

use super::{asked, batch, full, outlook, path, refusal, without_fields};

fn ids(ids: &[&str]) -> Vec<MessageId> {
    ids.iter().map(|&id| MessageId::new(id)).collect()
}

fn brief(fetched: &[Fetched<Message>]) -> Vec<String> {
    let one = |fetched: &Fetched<Message>| match fetched {
        Fetched::Gone(key) => format!("{key} gone"),
        Fetched::Malformed { key, reason, .. } => format!("{key} malformed: {}", reason.as_str()),
        Fetched::NotYet(key, error) => format!("{key} not yet: {}", error.kind().as_str()),
        Fetched::Present { key, item, .. } => format!("{key} {}", item.subject),
        other => format!("{other:?}"),
    };
    fetched.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn each_inner_answer_of_a_batch_counts_for_itself() {
    let (transport, outlook) = outlook([batch(&[
        (5, 200, json!({ "id": "other" })),
        (0, 200, full("a")),
        (2, 404, refusal("ErrorItemNotFound")),
        (3, 200, json!({ "id": "d", "from": 7 })),
        (4, 403, refusal("ErrorAccessDenied")),
        (1, 503, json!("<html>")),
        (0, 404, refusal("ErrorItemNotFound")),
    ])
    .matching(|seen| {
        let paths = asked(&seen.body);
        paths.len() == 7 && paths[6].starts_with("/me/messages/g?$select=id,") && paths[6].ends_with(",body")
    })]);
    let fetched = outlook.fetch(&ids(&["a", "b", "c", "d", "e", "f", "g", "a", ".."]), Depth::Full).await.unwrap();
    let expected = [
        "a Offer €",
        "b not yet: unavailable",
        "c gone",
        "d malformed: the answer is not the JSON of a message",
        "e not yet: permission_denied",
        "f malformed: the answer is about another message",
        "g not yet: unavailable",
        ".. gone",
    ];
    assert_eq!(brief(&fetched), expected);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn throttled_calls_of_a_batch_are_asked_again_all_together() {
    let (transport, outlook) = outlook([
        batch(&[(0, 200, full("a")), (1, 429, refusal("TooManyRequests")), (2, 429, refusal("ApplicationThrottled"))]),
        batch(&[(1, 429, refusal("TooManyRequests")), (0, 200, full("b"))]).matching(|seen| {
            let paths = asked(&seen.body);
            paths.len() == 2 && paths[0].starts_with("/me/messages/b?") && paths[1].starts_with("/me/messages/c?")
        }),
    ]);
    let fetched = outlook.fetch(&ids(&["a", "b", "c"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", "b Offer €", "c not yet: rate_limited"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_left_to_the_schedule() {
    let throttled = json!({ "responses": [
        { "id": "0", "status": 200, "body": full("a") },
        { "id": "1", "status": 429, "headers": { "Retry-After": "300" }, "body": refusal("TooManyRequests") }
    ] });
    let (transport, outlook) = outlook([Step::post("/v1.0/$batch").answers_json(200, &throttled)]);
    let fetched = outlook.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", "b not yet: rate_limited"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_runs_out_within_a_batch_is_refreshed_by_a_call_of_its_own() {
    let (transport, outlook) = outlook([
        batch(&[(0, 200, full("a")), (1, 401, refusal("InvalidAuthenticationToken"))]),
        Step::get(&path("b")).answers_json(200, &full("b")),
    ]);
    let fetched = outlook.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", "b Offer €"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_refused_as_a_whole_is_an_error() {
    let denied = || refusal("ErrorAccessDenied");
    let (transport, outlook) =
        outlook([batch(&[(0, 403, denied()), (1, 403, denied())]), Step::post("/v1.0/$batch").answers(200, "<html>")]);
    let error = outlook.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = outlook.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(outlook.fetch(&[], Depth::Full).await.unwrap().is_empty());
    transport.finish();
}

const RAW: &str = "From: me@example.org\r\nTo: bob@example.org\r\nSubject: Sent\r\nIn-Reply-To: <q@x>\r\n\
    X-Integration-Send-Key: k@x\r\n\r\nYes\r\n";

#[tokio::test(start_paused = true)]
async fn what_is_missing_comes_in_a_second_batch_and_large_raw_texts_by_themselves() {
    let with_file = |mut message: Value| {
        message["hasAttachments"] = json!(true);
        message
    };
    let list =
        |id: &str, next: Value| json!({ "value": [{ "id": id, "name": id, "size": 1 }], "@odata.nextLink": next });
    let next = "https://graph.example/v1.0/me/messages/b/attachments?$skip=1";
    let (transport, outlook) = outlook([
        batch(&[
            (0, 200, full("a")),
            (1, 200, with_file(full("b"))),
            (2, 200, without_fields("c")),
            (3, 200, with_file(without_fields("d"))),
            (4, 200, without_fields("e")),
        ]),
        batch(&[
            (1, 200, json!(STANDARD.encode(RAW))),
            (0, 200, list("f1", json!(next))),
            (2, 404, refusal("ErrorItemNotFound")),
        ])
        .matching(|seen| {
            let paths = asked(&seen.body);
            paths[0].starts_with("/me/messages/b/attachments?$select=id,name")
                && !paths[0].contains("contentBytes")
                && paths[1..] == ["/me/messages/c/$value", "/me/messages/e/$value"]
        }),
        Step::get(&path("b/attachments")).with_query("$skip", "1").answers_json(200, &list("f2", json!(null))),
        Step::get(&path("d/$value")).answers(200, RAW),
    ]);
    let fetched = outlook.fetch(&ids(&["a", "b", "c", "d", "e"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", "b Offer €", "c Sent", "d Sent", "e gone"]);
    let Fetched::Present { item: b, .. } = &fetched[1] else { panic!() };
    let parts: Vec<&str> = b.attachments.iter().map(|file| file.part.as_str()).collect();
    assert_eq!(parts, ["f1", "f2"]);
    let Fetched::Present { item: c, .. } = &fetched[2] else { panic!() };
    assert_eq!(
        (c.in_reply_to.as_slice(), c.headers.get("x-integration-send-key")),
        (&["q@x".to_owned()][..], Some("k@x"))
    );
    assert_eq!((c.id.as_str(), c.flags.folders[0].as_str()), ("c", "sent-id"));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn headers_of_one_message_need_one_call_and_no_body() {
    let (transport, outlook) = outlook([
        Step::get(&path("a")).answers_json(200, &without_fields("a")),
        Step::get(&path("b")).answers_json(404, &refusal("ErrorItemNotFound")),
    ]);
    assert_eq!(brief(&outlook.fetch(&ids(&["a"]), Depth::Headers).await.unwrap()), ["a Offer €"]);
    assert_eq!(brief(&outlook.fetch(&ids(&["b"]), Depth::Full).await.unwrap()), ["b gone"]);
    let select = transport.seen()[0].query("$select").unwrap();
    assert!(!select.split(',').any(|field| field == "body"), "{select}");
    transport.finish();
}

async fn collected(outlook: &crate::outlook::Outlook, part: &str) -> integration_core::Result<Vec<u8>> {
    let stream = outlook.attachment(&MessageId::new("a"), &PartId::new(part)).await?;
    Ok(stream.try_collect::<Vec<Bytes>>().await?.concat())
}

#[tokio::test(start_paused = true)]
async fn attachments_stream_by_their_ids_or_come_out_of_the_raw_text() {
    let raw = "From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nouter\r\n\
               --b\r\nContent-Type: application/pdf\r\n\r\npdf\r\n--b--\r\n";
    let pieces = vec![Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))];
    let (transport, outlook) = outlook([
        Step::get(&path("a/attachments/AAM%3D/$value")).answers_pieces(200, pieces),
        Step::get(&path("a/$value")).answers(200, raw),
        Step::get(&path("a/$value")).answers(200, raw),
        Step::get(&path("a/attachments/gone/$value")).answers_json(404, &refusal("ErrorItemNotFound")),
    ]);
    assert_eq!(collected(&outlook, "AAM=").await.unwrap(), b"one two");
    assert_eq!(collected(&outlook, "1").await.unwrap(), b"pdf");
    for part in ["77", "gone"] {
        assert_eq!(collected(&outlook, part).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(collected(&outlook, "linked:r1").await.unwrap_err().kind(), ErrorKind::Unsupported);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_message_is_moved_into_one_folder() {
    let moved = json!({ "id": "a" });
    let (transport, outlook) = outlook([Step::post(&path("a/move"))
        .matching(|seen| &seen.body[..] == br#"{"destinationId":"trash-id"}"#)
        .answers_json(201, &moved)]);
    let folders = outlook.folders().unwrap();
    let (id, trash, inbox) = (MessageId::new("a"), FolderId::new("trash-id"), FolderId::new("inbox-id"));
    folders.change(&id, std::slice::from_ref(&trash), std::slice::from_ref(&inbox)).await.unwrap();
    folders.change(&id, &[], &[]).await.unwrap();
    for (into, out_of) in [(vec![], vec![inbox.clone()]), (vec![trash, inbox], vec![])] {
        let error = folders.change(&id, &into, &out_of).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    transport.finish();
}
