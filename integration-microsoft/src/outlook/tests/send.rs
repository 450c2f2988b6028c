use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use integration_core::{
    ErrorKind,
    email::{Address, EmailProvider, LookUp, Outgoing, OutgoingAttachment, ReplyTo, SendKey, SendOptions},
    http::TransportErrorKind,
    ids::ThreadId,
    testing::{SeenRequest, Step},
};
use serde_json::{Value, json};

use super::{outlook, path, refusal};
use crate::client::LARGEST_PLAIN;

const MESSAGES: &str = "/v1.0/me/messages";

fn mail() -> Outgoing {
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new("bob@example.org")];
    mail.subject = "Re: Offer".to_owned();
    mail.text = Some("Yes".to_owned());
    mail.html = Some("<p>Yes</p>".to_owned());
    mail
}

fn reply() -> Outgoing {
    let mut mail = mail();
    let mut parent = ReplyTo::default();
    parent.thread = Some(ThreadId::new("t1"));
    parent.message_id = Some("p@example.org".to_owned());
    parent.references = vec!["o@example.org".to_owned()];
    mail.in_reply_to = Some(parent);
    mail
}

fn keyed() -> SendOptions {
    SendOptions::default().with_key(SendKey::new("key@example.com"))
}

fn draft() -> Value {
    json!({ "id": "d1", "conversationId": "t1", "internetMessageId": "<key@example.com>", "isDraft": true })
}

fn sent() -> Value {
    json!({ "id": "d1", "conversationId": "t1", "internetMessageId": "<real@mail>", "isDraft": false })
}

fn create() -> Step {
    Step::post(MESSAGES).answers_json(201, &draft())
}

fn mark() -> Step {
    Step::new(Method::PATCH, &path("d1")).answers_json(200, &draft())
}

fn submit() -> Step {
    Step::post(&path("d1/send"))
}

fn discard() -> Step {
    Step::new(Method::DELETE, &path("d1")).answers(204, "")
}

fn raw(seen: &SeenRequest) -> String {
    assert_eq!(seen.header("content-type"), Some("text/plain"));
    String::from_utf8(STANDARD.decode(&seen.body).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_put_among_the_drafts_marked_and_then_sent() {
    let (transport, outlook) =
        outlook([create(), mark(), submit().answers(202, ""), Step::get(&path("d1")).answers_json(200, &sent())]);
    let told = outlook.send(&mail(), &keyed()).await.unwrap();
    assert_eq!((told.id.as_str(), told.message_id.as_deref()), ("d1", Some("real@mail")));
    assert_eq!(told.thread.unwrap().as_str(), "t1");
    let seen = transport.seen();
    let raw = raw(&seen[0]);
    assert!(
        raw.contains("Message-ID: <key@example.com>\r\n") && raw.contains("text/plain") && raw.contains("text/html")
    );
    let mark: Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(mark["singleValueExtendedProperties"][0]["value"], "key@example.com");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_stays_unread_whatever_becomes_of_the_answer() {
    let question = |read: bool| json!({ "value": [{ "id": "q1", "conversationId": "t1", "isRead": read }] });
    let found = |read| Step::get(MESSAGES).answers_json(200, &question(read));
    let answer = || Step::post(&path("q1/createReply"));
    let unread = || {
        let step = Step::new(Method::PATCH, &path("q1"));
        step.matching(|seen| seen.body == r#"{"isRead":false}"#)
    };
    let (transport, outlook) = outlook([
        found(false),
        answer().answers_json(201, &draft()),
        unread().answers_json(200, &json!({ "id": "q1" })),
        found(true),
        answer().answers_json(201, &draft()),
        // Setting it right is tried, and no reason not to answer.
        found(false),
        answer().answers_json(201, &draft()),
        unread().answers_json(403, &refusal("ErrorAccessDenied")),
        found(false),
        answer().fails(TransportErrorKind::Interrupted),
        unread().answers_json(200, &json!({ "id": "q1" })),
    ]);
    let drafts = outlook.drafts().unwrap();
    for _ in 0..3 {
        drafts.create(&reply()).await.unwrap();
    }
    assert_eq!(drafts.create(&reply()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_made_of_its_question_where_that_lies_in_this_mailbox() {
    let question = |thread: &str| json!({ "value": [{ "id": "q0", "conversationId": "t0" }, { "id": "q1", "conversationId": thread }] });
    let (transport, outlook) = outlook([
        Step::get(MESSAGES)
            .with_query("$filter", "internetMessageId eq '<p@example.org>'")
            .answers_json(200, &question("t1")),
        Step::post(&path("q1/createReply")).answers_json(201, &draft()),
        submit().answers(202, ""),
        Step::get(&path("d1")).answers_json(404, &refusal("ErrorItemNotFound")),
        Step::get(MESSAGES).answers_json(200, &question("t9")),
        create(),
        submit().answers(202, ""),
        Step::get(&path("d1")).answers_json(200, &draft()),
    ]);
    for _ in 0..2 {
        let told = outlook.send(&reply(), &SendOptions::default()).await.unwrap();
        // The copy lags, or is not told as sent yet: then nobody knows its Message-ID.
        assert_eq!((told.id.as_str(), told.message_id), ("d1", None));
    }
    for request in [1, 5] {
        let raw = raw(&transport.seen()[request]);
        assert!(raw.contains("In-Reply-To: <p@example.org>\r\n"), "{raw}");
        assert!(raw.contains("<o@example.org>") && raw.contains("<p@example.org>"), "{raw}");
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_before_the_sending_leaves_nothing_behind_and_is_no_unknown_outcome() {
    let (transport, outlook) = outlook([
        Step::post(MESSAGES).fails(TransportErrorKind::Interrupted),
        create(),
        mark().answers_json(409, &refusal("ErrorIrresolvableConflict")),
        mark().answers_json(403, &refusal("ErrorAccessDenied")),
        discard(),
        create(),
        mark().answers_json(409, &refusal("ErrorIrresolvableConflict")),
        mark(),
        submit().answers_json(400, &refusal("ErrorInvalidRecipients")),
        discard().answers_json(500, &refusal("x")),
        discard(),
    ]);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(outlook.send(&mail(), &keyed()).await.unwrap_err().kind());
    }
    assert_eq!(kinds, [ErrorKind::Unavailable, ErrorKind::PermissionDenied, ErrorKind::InvalidInput]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_looked_up_by_the_drafts_id() {
    let lost = || submit().fails(TransportErrorKind::Interrupted);
    let state = || Step::get(&path("d1"));
    let (transport, outlook) = outlook([
        // It left.
        create(),
        lost(),
        state().answers_json(200, &sent()),
        state().answers_json(200, &sent()),
        // It did not, and does now.
        create(),
        lost(),
        state().answers_json(200, &draft()),
        submit().answers(202, ""),
        state().answers_json(200, &sent()),
    ]);
    for _ in 0..2 {
        let told = outlook.send(&mail(), &SendOptions::default()).await.unwrap();
        assert_eq!(told.message_id.as_deref(), Some("real@mail"));
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_up_stays_unknown_and_its_draft_is_left_alone() {
    let lost = || submit().fails(TransportErrorKind::Interrupted);
    let state = || Step::get(&path("d1"));
    let (transport, outlook) = outlook([
        create(),
        lost(),
        state().answers_json(404, &refusal("ErrorItemNotFound")),
        create(),
        lost(),
        state().answers_json(200, &draft()),
        submit().answers_json(404, &refusal("ErrorItemNotFound")),
        create(),
        lost(),
        state().answers_json(403, &refusal("ErrorAccessDenied")),
    ]);
    for _ in 0..3 {
        let error = outlook.send(&mail(), &SendOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    }
    transport.finish();
}

fn list(entries: Value) -> Value {
    json!({ "value": entries })
}

fn by_mark() -> Step {
    Step::get(MESSAGES).matching(|seen| {
        let filter = seen.query("$filter").unwrap_or_default();
        filter.starts_with("singleValueExtendedProperties/any(ep: ep/id eq 'String {")
            && filter.ends_with("and ep/value eq 'key@example.com')")
    })
}

fn by_id() -> Step {
    Step::get(MESSAGES).with_query("$filter", "internetMessageId eq '<key@example.com>'")
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_found_by_its_mark_or_its_message_id_and_always_the_same() {
    let twice = json!([
        { "id": "s2", "receivedDateTime": "2026-01-01T00:00:02Z", "isDraft": false, "internetMessageId": "<real@mail>" },
        { "id": "s1", "receivedDateTime": "2026-01-01T00:00:01Z", "isDraft": false, "conversationId": "t1" },
        { "id": "d1", "isDraft": true }
    ]);
    let (transport, outlook) = outlook([
        by_mark().answers_json(200, &list(twice)),
        by_mark().answers_json(200, &list(json!([]))),
        by_id().answers_json(200, &list(json!([{ "id": "s3", "isDraft": false }]))),
        by_mark().answers_json(200, &list(json!([]))),
        by_id().answers_json(200, &list(json!([]))),
    ]);
    let key = SendKey::new("key@example.com");
    let first = outlook.find_sent(&key).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.thread.unwrap().as_str()), ("s1", "t1"));
    assert_eq!(outlook.find_sent(&key).await.unwrap().unwrap().id.as_str(), "s3");
    assert_eq!(outlook.find_sent(&key).await.unwrap(), None);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn behind_an_empty_page_may_be_the_sent_message_and_what_cannot_be_read_is_no_proof() {
    let next = "https://graph.example/v1.0/me/messages?$skip=25";
    let (transport, outlook) = outlook([
        by_mark().answers_json(200, &json!({ "value": [], "@odata.nextLink": next })),
        Step::get(MESSAGES)
            .with_query("$skip", "25")
            .answers_json(200, &list(json!([{ "id": "s1", "isDraft": false }]))),
        by_mark().answers_json(200, &list(json!([{ "id": 5 }]))),
    ]);
    let key = SendKey::new("key@example.com");
    assert_eq!(outlook.find_sent(&key).await.unwrap().unwrap().id.as_str(), "s1");
    assert_eq!(outlook.find_sent(&key).await.unwrap_err().kind(), ErrorKind::Validation);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_draft_under_the_key_is_taken_away_before_it_is_called_not_sent() {
    let (transport, outlook) = outlook([
        by_mark().answers_json(200, &list(json!([draft()]))),
        by_id().answers_json(200, &list(json!([draft()]))),
        discard(),
        by_mark().answers_json(200, &list(json!([draft()]))),
        by_id().answers_json(200, &list(json!([]))),
        discard().answers_json(403, &refusal("ErrorAccessDenied")),
        // At a glance it is let be.
        by_mark().answers_json(200, &list(json!([draft()]))),
        by_id().answers_json(200, &list(json!([]))),
    ]);
    let key = SendKey::new("key@example.com");
    assert_eq!(outlook.find_sent(&key).await.unwrap(), None);
    assert_eq!(outlook.find_sent(&key).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(outlook.find_sent(&key.with_look_up(LookUp::Glance)).await.unwrap(), None);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn behind_a_page_of_drafts_may_be_the_sent_message_and_the_search_for_it_has_an_end() {
    let link = |at: usize| format!("https://graph.example/v1.0/me/messages?$skip={at}");
    let page = |at: usize| json!({ "value": [draft()], "@odata.nextLink": link(at) });
    let further = |at: usize| Step::get(MESSAGES).with_query("$skip", &at.to_string());
    let sent = json!([draft(), { "id": "s1", "isDraft": false }]);
    let first = [
        by_mark().answers_json(200, &page(1)),
        further(1).answers_json(200, &page(2)),
        further(2).answers_json(200, &list(sent)),
        // A link to itself, and links without end.
        by_mark().answers_json(200, &page(1)),
        further(1).answers_json(200, &page(1)),
        by_mark().answers_json(200, &page(1)),
    ];
    let endless = (1..50).map(|at| further(at).answers_json(200, &page(at + 1)));
    let (transport, outlook) = outlook(first.into_iter().chain(endless));
    let key = SendKey::new("key@example.com");
    assert_eq!(outlook.find_sent(&key).await.unwrap().unwrap().id.as_str(), "s1");
    for _ in 0..2 {
        assert_eq!(outlook.find_sent(&key).await.unwrap_err().kind(), ErrorKind::Validation);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_be_sent_or_a_draft_is_neither() {
    let unclear = || list(json!([draft(), { "id": "x1" }, { "id": "x2", "isDraft": null }]));
    let (transport, outlook) = outlook([
        by_mark().answers_json(200, &unclear()),
        by_id().answers_json(200, &list(json!([]))),
        by_mark().answers_json(200, &unclear()),
        by_id().answers_json(200, &list(json!([{ "id": "s1", "isDraft": false }]))),
    ]);
    let key = SendKey::new("key@example.com");
    assert_eq!(outlook.find_sent(&key).await.unwrap_err().kind(), ErrorKind::Validation, "and no draft is touched");
    assert_eq!(outlook.find_sent(&key).await.unwrap().unwrap().id.as_str(), "s1", "one is certain");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn large_files_are_uploaded_in_pieces_and_small_ones_beside_them_at_once() {
    let size = LARGEST_PLAIN + 1_000_000;
    let mut mail = mail();
    mail.attachments = vec![
        OutgoingAttachment::new("large.bin", "application/octet-stream", vec![1; size]),
        OutgoingAttachment::new("small.txt", "text/plain", &b"small"[..]),
    ];
    let session = json!({ "uploadUrl": "https://graph.example/upload/x?secret", "nextExpectedRanges": ["0-"] });
    let piece = |from: usize, to: usize| {
        Step::new(Method::PUT, "/upload/x").matching(move |seen| {
            let range = format!("bytes {from}-{}/{size}", to - 1);
            seen.header("content-range") == Some(&range)
                && seen.header("authorization").is_none()
                && seen.body.len() == to - from
        })
    };
    let (transport, outlook) = outlook([
        create(),
        Step::post(&path("d1/attachments/createUploadSession"))
            .matching(move |seen| {
                let body: Value = serde_json::from_slice(&seen.body).unwrap();
                body["AttachmentItem"]["size"] == size && body["AttachmentItem"]["attachmentType"] == "file"
            })
            .answers_json(201, &session),
        piece(0, 3_276_800).answers_json(200, &json!({ "nextExpectedRanges": ["3276800"] })),
        piece(3_276_800, size).answers(201, ""),
        Step::post(&path("d1/attachments"))
            .matching(|seen| {
                let body: Value = serde_json::from_slice(&seen.body).unwrap();
                body["contentBytes"] == STANDARD.encode("small") && body["name"] == "small.txt"
            })
            .answers_json(201, &json!({})),
        submit().answers(202, ""),
        Step::get(&path("d1")).answers_json(200, &sent()),
    ]);
    outlook.send(&mail, &SendOptions::default()).await.unwrap();
    assert!(!raw(&transport.seen()[0]).contains("small.txt"));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_goes_nowhere_ends_and_leaves_no_draft() {
    let mut mail = mail();
    mail.attachments = vec![OutgoingAttachment::new("large.bin", "a/b", vec![1; LARGEST_PLAIN + 1_000_000])];
    let session = |address: &str| json!({ "uploadUrl": address });
    let begin = || Step::post(&path("d1/attachments/createUploadSession"));
    let (transport, outlook) = outlook([
        create(),
        begin().answers_json(201, &session("https://graph.example/upload")),
        Step::new(Method::PUT, "/upload").answers_json(200, &json!({ "nextExpectedRanges": ["0-"] })),
        discard(),
        create(),
        begin().answers_json(201, &session("https://evil.example/upload")),
        discard(),
        create(),
        begin().answers_json(201, &json!({})),
        discard(),
    ]);
    for _ in 0..3 {
        let error = outlook.send(&mail, &SendOptions::default()).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_no_mail_is_refused_before_any_call() {
    let (transport, outlook) = outlook([]);
    let mut long = mail();
    long.text = Some("x ".repeat(LARGEST_PLAIN));
    let mut broken = mail();
    broken.subject = "One\r\nBcc: other@example.org".to_owned();
    for mail in [long, broken] {
        let error = outlook.send(&mail, &keyed()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_kept_without_being_sent() {
    let (transport, outlook) = outlook([create()]);
    let id = outlook.drafts().unwrap().create(&mail()).await.unwrap();
    assert_eq!(id.as_str(), "d1");
    assert!(!raw(&transport.seen()[0]).contains("Message-ID"));
    transport.finish();
}
