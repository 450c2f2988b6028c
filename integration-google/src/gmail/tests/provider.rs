use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use futures_util::TryStreamExt;
use integration_core::{
    ErrorKind,
    email::{Address, Depth, EmailProvider, LookUp, Message, MessageQuery, Outgoing, ReplyTo, SendKey, SendOptions},
    http::TransportErrorKind,
    ids::{FolderId, MessageId, PartId, ThreadId},
    sync::Fetched,
    testing::{ScriptedTransport, SeenRequest, Step, test_session},
};
use serde_json::{Value, json};

use super::full;
use crate::{Google, GoogleConfig, client::Client, gmail::Gmail};

pub(super) fn client() -> Client {
    Client::new(&GoogleConfig::desktop("c"), Some(10))
}

pub(super) fn gmail(steps: impl IntoIterator<Item = Step>) -> (Arc<ScriptedTransport>, Gmail) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let google = Arc::new(Google::new(GoogleConfig::desktop("c")).unwrap());
    let session = test_session(Arc::clone(&transport) as _, google).build();
    (transport, Gmail::new(session, client()))
}

const BATCH: &str = "/batch/gmail/v1";

fn message_path(id: &str) -> String {
    format!("/gmail/v1/users/me/messages/{id}")
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({ "error": { "code": code, "message": "Refused", "errors": [{ "reason": reason }] } })
}

/// A batch answer of (number, status line, body).
fn batch(parts: &[(usize, &str, String)]) -> Step {
    let mut body = String::new();
    for (index, status, inner) in parts {
        body.push_str(&format!(
            "--b\r\nContent-Type: application/http\r\nContent-ID: <response-item-{index}>\r\n\r\n\
             HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n{inner}\r\n"
        ));
    }
    body.push_str("--b--\r\n");
    Step::post(BATCH).answers(200, body).with_header("content-type", "multipart/mixed; boundary=b")
}

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
    let ok = |id: &str| full(id).to_string();
    let (transport, gmail) = gmail([batch(&[
        (5, "200 OK", json!({ "id": "other" }).to_string()),
        (1, "429 Too Many Requests", refusal(429, "rateLimitExceeded").to_string()),
        (0, "200 OK", ok("a")),
        (2, "404 Not Found", refusal(404, "notFound").to_string()),
        (3, "200 OK", json!({ "id": "d", "payload": 7 }).to_string()),
        (4, "200 OK", "{\"id\":\"e\",".to_owned()),
        (6, "503 Service Unavailable", "<html>".to_owned()),
        (0, "404 Not Found", refusal(404, "notFound").to_string()),
    ])
    .matching(|seen| {
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        text.contains("Content-ID: <item-7>") && text.contains("GET /gmail/v1/users/me/messages/h?format=full")
    })]);
    let fetched = gmail.fetch(&ids(&["a", "b", "c", "d", "e", "f", "g", "h", "a"]), Depth::Full).await.unwrap();
    let expected = [
        "a Offer €",
        "b not yet: rate_limited",
        "c gone",
        "d malformed: the answer is not the JSON of a message",
        "e not yet: unavailable",
        "f malformed: the answer is about another message",
        "g not yet: unavailable",
        "h not yet: unavailable",
    ];
    assert_eq!(brief(&fetched), expected);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn more_than_a_batch_is_asked_in_several_and_a_failure_in_the_middle_keeps_what_came() {
    let names: Vec<String> = (0..19).map(|number| format!("m{number}")).collect();
    let parts: Vec<_> = (0..9).map(|at| (at, "200 OK", full(&names[at]).to_string())).collect();
    let (transport, gmail) =
        gmail([batch(&parts), Step::post(BATCH).answers_json(403, &refusal(403, "accessNotConfigured"))]);
    let ids: Vec<MessageId> = names.iter().map(MessageId::new).collect();
    let fetched = gmail.fetch(&ids, Depth::Full).await.unwrap();
    assert_eq!(fetched.iter().filter(|one| matches!(one, Fetched::Present { .. })).count(), 9);
    assert_eq!(brief(&fetched)[9], "m9 not yet: misconfigured");
    assert_eq!(brief(&fetched)[18], "m18 not yet: unavailable");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_refused_as_a_whole_is_an_error() {
    let missing = refusal(403, "insufficientPermissions").to_string();
    let (transport, gmail) = gmail([
        batch(&[(0, "403 Forbidden", missing.clone()), (1, "403 Forbidden", missing)]),
        Step::post(BATCH).answers(200, "<html>").with_header("content-type", "text/html"),
    ]);
    let error = gmail.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingScope);
    let error = gmail.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(gmail.fetch(&[], Depth::Full).await.unwrap().is_empty());
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_runs_out_within_a_batch_is_refreshed_by_a_call_of_its_own() {
    let (transport, gmail) = gmail([
        batch(&[(0, "200 OK", full("a").to_string()), (1, "401 Unauthorized", refusal(401, "authError").to_string())]),
        Step::get(&message_path("b")).answers_json(200, &full("b")),
    ]);
    let fetched = gmail.fetch(&ids(&["a", "b"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", "b Offer €"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_an_id_is_gone_and_spoils_no_batch() {
    let (transport, gmail) = gmail([Step::get(&message_path("a")).answers_json(200, &full("a"))]);
    let fetched = gmail.fetch(&ids(&["..", "a", "", "x\ny"]), Depth::Full).await.unwrap();
    assert_eq!(brief(&fetched), ["a Offer €", ".. gone", " gone", "x\ny gone"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn one_message_needs_no_batch_and_headers_ask_for_metadata() {
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).with_query("format", "metadata").answers_json(200, &full("a")),
        Step::get(&message_path("b")).with_query("format", "full").answers_json(404, &refusal(404, "notFound")),
    ]);
    assert_eq!(brief(&gmail.fetch(&ids(&["a"]), Depth::Headers).await.unwrap()), ["a Offer €"]);
    assert_eq!(brief(&gmail.fetch(&ids(&["b"]), Depth::Full).await.unwrap()), ["b gone"]);
    let agent = transport.seen()[0].header("user-agent").unwrap().to_owned();
    assert!(agent.contains("gzip"), "{agent}");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_text_that_gmail_left_out_is_fetched_by_itself() {
    let mut message = full("a");
    message["payload"]["parts"][0]["body"] = json!({ "attachmentId": "big", "size": 9 });
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).answers_json(200, &message),
        Step::get("/gmail/v1/users/me/messages/a/attachments/big")
            .answers_json(200, &json!({ "size": 9, "data": URL_SAFE.encode("very long") })),
    ]);
    let fetched = gmail.fetch(&ids(&["a"]), Depth::Full).await.unwrap();
    let [Fetched::Present { item, .. }] = &fetched[..] else { panic!("{fetched:?}") };
    assert_eq!(item.text, "very long");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_attachment_is_found_by_its_place_and_decoded_as_it_arrives() {
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let answer = json!({ "size": bytes.len(), "data": URL_SAFE.encode(&bytes) }).to_string();
    let pieces = answer.as_bytes().chunks(333).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).with_query("fields", "payload").answers_json(200, &full("a")),
        Step::get("/gmail/v1/users/me/messages/a/attachments/ephemeral").answers_pieces(200, pieces),
    ]);
    let stream = gmail.attachment(&MessageId::new("a"), &PartId::new("1")).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert!(pieces.len() > 20 && pieces.concat() == bytes);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_stale_attachment_id_is_looked_up_once_more() {
    let mut second = full("a");
    second["payload"]["parts"][1]["body"]["attachmentId"] = json!("fresh");
    let mut stale = refusal(400, "invalidArgument");
    stale["error"]["message"] = json!("Invalid attachment token");
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).answers_json(200, &full("a")),
        Step::get("/gmail/v1/users/me/messages/a/attachments/ephemeral").answers_json(400, &stale),
        Step::get(&message_path("a")).answers_json(200, &second),
        Step::get("/gmail/v1/users/me/messages/a/attachments/fresh")
            .answers_json(200, &json!({ "data": URL_SAFE.encode("pdf") })),
    ]);
    let stream = gmail.attachment(&MessageId::new("a"), &PartId::new("1")).await.unwrap();
    assert_eq!(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat(), b"pdf");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_break_in_an_attachment_comes_through_the_stream() {
    let pieces = vec![Ok(Bytes::from_static(b"{\"data\":\"QUJD")), Err(TransportErrorKind::Interrupted)];
    let cut = vec![Ok(Bytes::from_static(b"{\"data\":\"QUJD"))];
    let path = "/gmail/v1/users/me/messages/a/attachments/ephemeral";
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).answers_json(200, &full("a")),
        Step::get(path).answers_pieces(200, pieces),
        Step::get(&message_path("a")).answers_json(200, &full("a")),
        Step::get(path).answers_pieces(200, cut),
    ]);
    for _ in 0..2 {
        let mut stream = gmail.attachment(&MessageId::new("a"), &PartId::new("1")).await.unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "ABC");
        assert!(stream.try_next().await.is_err());
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn small_parts_come_with_the_message_and_unknown_ones_do_not_exist() {
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).answers_json(200, &full("a")),
        Step::get(&message_path("a")).answers_json(200, &full("a")),
        Step::get(&message_path("b")).answers_json(404, &refusal(404, "notFound")),
    ]);
    let stream = gmail.attachment(&MessageId::new("a"), &PartId::new("0")).await.unwrap();
    assert_eq!(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat(), b"Hi & welcome");
    for (id, part) in [("a", "7"), ("b", "0")] {
        let error = gmail.attachment(&MessageId::new(id), &PartId::new(part)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_attached_message_is_cut_out_of_the_raw_text() {
    let raw = "From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nouter\r\n\
               --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhi\r\n--b--\r\n";
    let mut message = full("a");
    message["payload"]["parts"][1] = json!({ "partId": "1", "mimeType": "message/rfc822", "filename": "fwd.eml",
        "body": { "size": 0 }, "parts": [{ "partId": "1.0", "mimeType": "text/plain" }] });
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).with_query("format", "full").answers_json(200, &message),
        Step::get(&message_path("a"))
            .with_query("format", "raw")
            .answers_json(200, &json!({ "raw": URL_SAFE.encode(raw) })),
    ]);
    let stream = gmail.attachment(&MessageId::new("a"), &PartId::new("1")).await.unwrap();
    let bytes = stream.try_collect::<Vec<Bytes>>().await.unwrap().concat();
    assert_eq!(String::from_utf8(bytes).unwrap().trim_end(), "Subject: inner\r\n\r\nhi");
    transport.finish();
}

fn reply() -> Outgoing {
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new("bob@example.org")];
    mail.subject = "Re: Offer".to_owned();
    mail.text = Some("Yes".to_owned());
    let mut parent = ReplyTo::default();
    parent.thread = Some(ThreadId::new("t1"));
    parent.message_id = Some("p@example.org".to_owned());
    parent.references = vec!["o@example.org".to_owned()];
    mail.in_reply_to = Some(parent);
    mail
}

fn sent_text(seen: &SeenRequest) -> (Value, String) {
    let json: Value = serde_json::from_slice(&seen.body).unwrap();
    let raw = URL_SAFE.decode(json["raw"].as_str().unwrap()).unwrap();
    (json, String::from_utf8(raw).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_reply_names_its_thread_and_its_parents_and_reports_its_real_id() {
    let stub = json!({ "id": "s1", "threadId": "t1", "labelIds": ["SENT"] });
    let real = json!({ "id": "s1", "payload": { "headers": [{ "name": "Message-Id", "value": "<real@mail>" }] } });
    let (transport, gmail) = gmail([
        Step::post("/gmail/v1/users/me/messages/send").answers_json(200, &stub),
        Step::get(&message_path("s1")).with_query("metadataHeaders", "Message-ID").answers_json(200, &real),
    ]);
    let options = SendOptions::default().with_key(SendKey::new("key@example.com"));
    let sent = gmail.send(&reply(), &options).await.unwrap();
    assert_eq!((sent.id.as_str(), sent.message_id.as_deref()), ("s1", Some("real@mail")));
    let (json, raw) = sent_text(&transport.seen()[0]);
    assert_eq!(json["threadId"], "t1");
    assert!(raw.contains("Message-ID: <key@example.com>\r\n"), "{raw}");
    assert!(raw.contains("In-Reply-To: <p@example.org>\r\n"), "{raw}");
    assert!(raw.contains("<o@example.org>") && raw.contains("<p@example.org>"), "{raw}");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn without_a_parents_message_id_and_without_the_right_to_read_it_is_sent_all_the_same() {
    let (transport, gmail) = gmail([
        Step::post("/gmail/v1/users/me/messages/send").answers_json(200, &json!({ "id": "s1", "threadId": "t9" })),
        Step::get(&message_path("s1")).answers_json(403, &refusal(403, "insufficientPermissions")),
    ]);
    let mut mail = reply();
    mail.in_reply_to.as_mut().unwrap().message_id = None;
    let sent = gmail.send(&mail, &SendOptions::default()).await.unwrap();
    assert_eq!((sent.message_id, sent.thread.unwrap().as_str()), (None, "t9"));
    assert_eq!(sent_text(&transport.seen()[0]).0["threadId"], Value::Null);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_send_that_may_have_happened_is_not_repeated_but_looked_up() {
    let stub = json!({ "messages": [{ "id": "s1", "threadId": "t1" }] });
    let (transport, gmail) = gmail([
        Step::post("/gmail/v1/users/me/messages/send").fails(TransportErrorKind::Interrupted),
        Step::get("/gmail/v1/users/me/messages")
            .with_query("q", "rfc822msgid:key@example.com")
            .with_query("labelIds", "SENT")
            .answers_json(200, &stub),
        Step::get("/gmail/v1/users/me/messages").answers_json(200, &json!({ "resultSizeEstimate": 0 })),
        Step::get("/gmail/v1/users/me/messages")
            .with_query("q", "newer_than:2d")
            .with_query("labelIds", "SENT")
            .answers_json(200, &json!({ "resultSizeEstimate": 0 })),
    ]);
    let key = SendKey::new("key@example.com");
    let error = gmail.send(&reply(), &SendOptions::default().with_key(key.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let found = gmail.find_sent(&key).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.message_id.as_deref()), ("s1", Some("key@example.com")));
    assert_eq!(gmail.find_sent(&key).await.unwrap(), None);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_absent_only_once_every_page_was_looked_through() {
    let (list, empty) = ("/gmail/v1/users/me/messages", json!({ "resultSizeEstimate": 0 }));
    let carrying = |key: &str| {
        let headers = [json!({ "name": "X-Integration-Send-Key", "value": key })];
        json!({ "id": "s1", "threadId": "t1", "historyId": "7", "payload": { "headers": headers } })
    };
    let since = Step::get(list).with_query("q", "after:1772437799").with_query("labelIds", "SENT");
    let (transport, gmail) = gmail([
        // A page may be empty and the next one not.
        Step::get(list)
            .with_query("q", "rfc822msgid:key@example.com")
            .answers_json(200, &json!({ "nextPageToken": "n" })),
        Step::get(list).with_query("pageToken", "n").answers_json(200, &empty),
        since.answers_json(200, &json!({ "messages": [{ "id": "s2" }], "nextPageToken": "p" })),
        Step::get(&message_path("s2")).answers_json(404, &refusal(404, "notFound")),
        Step::get(list)
            .with_query("pageToken", "p")
            .answers_json(200, &json!({ "messages": [{ "id": "s1", "threadId": "t1" }] })),
        Step::get(&message_path("s1")).answers_json(200, &carrying("key@example.com")),
        Step::get(list).answers_json(200, &empty),
        Step::get(list).answers_json(200, &json!({ "messages": [{ "id": "s1" }] })),
        Step::get(&message_path("s1")).answers_json(200, &carrying("another@example.com")),
        Step::get(list).answers_json(200, &empty),
        Step::get(list).answers_json(200, &json!({ "messages": [7] })),
    ]);
    // Nobody has told Google's time: ours may be an hour wrong.
    let key = SendKey::new("key@example.com").with_age(Duration::ZERO);
    assert_eq!(gmail.find_sent(&key).await.unwrap().unwrap().id.as_str(), "s1");
    assert_eq!(gmail.find_sent(&key).await.unwrap(), None);
    assert_eq!(gmail.find_sent(&key).await.unwrap_err().kind(), ErrorKind::Validation);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_glance_looks_at_the_newest_only_and_asks_for_no_more() {
    let (list, empty) = ("/gmail/v1/users/me/messages", json!({ "resultSizeEstimate": 0 }));
    // Ten minutes, and the one since it was tried, before what Google's clock says.
    let newest = Step::get(list).with_query("maxResults", "25").with_query("q", "after:1772437739");
    let (transport, gmail) = gmail([
        Step::get(list)
            .with_query("q", "rfc822msgid:key@example.com")
            .answers_json(200, &empty)
            .with_header("date", "Mon, 02 Mar 2026 08:00:00 GMT"),
        newest.answers_json(200, &json!({ "messages": [], "nextPageToken": "p" })),
    ]);
    let key = SendKey::new("key@example.com").with_look_up(LookUp::Glance).with_age(Duration::from_secs(60));
    assert_eq!(gmail.find_sent(&key).await.unwrap(), None);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_after_the_last_try_ended_is_not_looked_at() {
    let (list, empty) = ("/gmail/v1/users/me/messages", json!({ "resultSizeEstimate": 0 }));
    let named = || Step::get(list).with_query("q", "rfc822msgid:key@example.com").answers_json(200, &empty);
    let within = |terms: &str| Step::get(list).with_query("q", terms).answers_json(200, &empty);
    let (transport, gmail) = gmail([
        // An hour and ten minutes before what Google's clock says, to ten minutes after what ended a quarter of an hour ago.
        named().with_header("date", "Mon, 02 Mar 2026 08:00:00 GMT"),
        within("after:1772434199 before:1772438100"),
        // Nobody has told Google's time: ours may be an hour wrong, both ways.
        named(),
        within("after:1772434199 before:1772445300"),
    ]);
    let key = SendKey::new("key@example.com").with_age(Duration::from_secs(3_600)).with_ended(Duration::from_secs(900));
    assert_eq!(gmail.find_sent(&key).await.unwrap(), None);
    assert_eq!(gmail.find_sent(&key).await.unwrap(), None);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn more_than_is_looked_through_is_no_proof_that_nothing_was_sent() {
    let list = "/gmail/v1/users/me/messages";
    let page = |number: usize| {
        Step::get(list).answers_json(200, &json!({ "messages": [], "nextPageToken": number.to_string() }))
    };
    let named = Step::get(list).answers_json(200, &json!({ "resultSizeEstimate": 0 }));
    let (transport, gmail) = gmail(std::iter::once(named).chain((0..30).map(page)));
    let error = gmail.find_sent(&SendKey::new("key@example.com")).await.unwrap_err();
    assert_eq!(error.message(), "more was sent since than is looked through");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_search_gives_stubs_and_the_next_page() {
    let (transport, gmail) = gmail([Step::get("/gmail/v1/users/me/messages")
        .with_query("q", "rfc822msgid:m@x")
        .answers_json(200, &json!({ "messages": [{ "id": "a", "threadId": "t" }, 7], "nextPageToken": "p" }))]);
    let mut query = MessageQuery::default();
    query.message_id = Some("m@x".to_owned());
    let page = gmail.search(&query, None).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].id.as_str()), (1, "a"));
    assert_eq!(page.next.unwrap().as_str(), "p");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn labels_are_folders_and_a_message_moves_between_them() {
    let labels = json!({ "labels": [{ "id": "INBOX", "name": "INBOX" }, { "id": "Label_1", "name": "Deals" }] });
    let (transport, gmail) = gmail([
        Step::get("/gmail/v1/users/me/labels").answers_json(200, &labels),
        Step::post(&format!("{}/modify", message_path("a"))).answers_json(200, &json!({ "id": "a" })),
    ]);
    let folders = gmail.folders().unwrap();
    let list = folders.list().await.unwrap();
    assert_eq!((list[1].name.as_str(), list[0].role.is_some(), list[1].role), ("Deals", true, None));
    folders.change(&MessageId::new("a"), &[FolderId::new("Label_1")], &[FolderId::new("INBOX")]).await.unwrap();
    folders.change(&MessageId::new("a"), &[], &[]).await.unwrap();
    let body: Value = serde_json::from_slice(&transport.seen()[1].body).unwrap();
    assert_eq!(body, json!({ "addLabelIds": ["Label_1"], "removeLabelIds": ["INBOX"] }));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn the_raw_message_is_given_byte_for_byte() {
    let raw = b"Subject: \xff\r\n\r\nx";
    let (transport, gmail) = gmail([
        Step::get(&message_path("a")).answers_json(200, &json!({ "raw": URL_SAFE.encode(raw) })),
        Step::get(&message_path("a")).answers_json(200, &json!({})),
    ]);
    assert_eq!(gmail.raw(&MessageId::new("a")).await.unwrap(), &raw[..]);
    assert_eq!(gmail.raw(&MessageId::new("a")).await.unwrap_err().kind(), ErrorKind::Validation);
    transport.finish();
}

/// The same over a real socket: what a scripted transport cannot show is how requests look on the wire.
#[cfg(feature = "reqwest")]
mod over_http {
    use std::sync::Arc;

    use base64::{Engine, engine::general_purpose::URL_SAFE};
    use bytes::Bytes;
    use futures_util::TryStreamExt;
    use integration_core::{
        connection::Connector,
        email::EmailProvider,
        http::ReqwestTransport,
        ids::{MessageId, PartId},
        testing::test_session,
    };
    use serde_json::json;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{header, method, path, query_param},
    };

    use crate::{Google, GoogleConfig, GoogleEndpoints, gmail::tests::full};

    fn mailbox(server: &MockServer) -> Arc<dyn EmailProvider> {
        let endpoints = GoogleEndpoints::below(&server.uri().parse().unwrap()).unwrap();
        let google = Arc::new(Google::new(GoogleConfig::desktop("c").with_endpoints(endpoints)).unwrap());
        let transport = Arc::new(ReqwestTransport::new().unwrap());
        google.email(test_session(transport, Arc::clone(&google) as _).build()).unwrap()
    }

    #[tokio::test]
    async fn an_attachment_comes_through_a_socket() {
        let server = MockServer::start().await;
        let message = ResponseTemplate::new(200).set_body_json(full("a"));
        Mock::given(method("GET"))
            .and(path("/gmail/v1/users/me/messages/a"))
            .and(query_param("format", "full"))
            .and(header("authorization", "Bearer token-1"))
            .respond_with(message)
            .expect(1)
            .mount(&server)
            .await;
        let bytes = vec![7_u8; 300_000];
        let data = json!({ "size": bytes.len(), "data": URL_SAFE.encode(&bytes) });
        Mock::given(path("/gmail/v1/users/me/messages/a/attachments/ephemeral"))
            .respond_with(ResponseTemplate::new(200).set_body_json(data))
            .expect(1)
            .mount(&server)
            .await;
        let stream = mailbox(&server).attachment(&MessageId::new("a"), &PartId::new("1")).await.unwrap();
        assert_eq!(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat(), bytes);
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once_and_the_call_made_again() {
        let server = MockServer::start().await;
        Mock::given(path("/gmail/v1/users/me/labels"))
            .and(header("authorization", "Bearer token-1"))
            .respond_with(ResponseTemplate::new(401))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(path("/gmail/v1/users/me/labels"))
            .and(header("authorization", "Bearer token-2"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "labels": [] })))
            .expect(1)
            .mount(&server)
            .await;
        assert!(mailbox(&server).folders().unwrap().list().await.unwrap().is_empty());
    }
}
