use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ANN, BOB, Caller, ids, mail, plain, refusal};
use crate::microsoft::graph::{DraftComment, Graph, GraphSettings};
use crate::mime;

fn to(address: &str) -> Value {
    json!([{"emailAddress": {"address": address, "name": "Some One"}}])
}

fn two() -> (Caller, Caller) {
    let graph = Graph::new(GraphSettings::default());
    (Caller::of(&graph, ANN), Caller::of(&graph, BOB))
}

fn mime_request(caller: &Caller, path: &str, raw: &str) -> Request<Bytes> {
    let body = Bytes::from(STANDARD.encode(mail(raw)));
    let uri = format!("https://graph.test/v1.0/me/{path}");
    let builder = Request::builder().method("POST").uri(uri).header("content-type", "text/plain");
    builder.header("prefer", &caller.prefer).body(body).unwrap()
}

#[test]
fn a_draft_is_sent_and_its_copy_keeps_the_immutable_id() {
    let (ann, bob) = two();
    let key = "String {00020329-0000-0000-C000-000000000046} Name outbox-key";
    let draft = json!({"subject": "Offer", "body": {"contentType": "html", "content": "<p>Dear Bob</p>"},
        "toRecipients": to(BOB), "bccRecipients": to("hidden@x.org"),
        "internetMessageHeaders": [{"name": "X-Own", "value": "7"}],
        "singleValueExtendedProperties": [{"id": key, "value": "k"}]});
    let made = ann.post("messages", &draft);
    assert_eq!((&made["isDraft"], &made["from"]["emailAddress"]["address"]), (&json!(true), &json!(ANN)));
    let id = made["id"].as_str().unwrap().to_owned();
    let mutable = Caller::of(&ann.graph, ANN).with_prefer("");
    let before = ids(&mutable.get("mailFolders/drafts/messages"));
    let answer = ann.answer("POST", &format!("messages/{id}/send"), &Value::Null);
    assert_eq!((answer.status().as_u16(), answer.body().len()), (202, 0));
    let sent = ann.get(&format!("messages/{id}"));
    assert_eq!((&sent["isDraft"], &sent["internetMessageId"]), (&json!(false), &made["internetMessageId"]));
    assert_eq!(sent["bccRecipients"][0]["emailAddress"]["address"], "hidden@x.org");
    assert_ne!(ids(&mutable.get("mailFolders/sentitems/messages")), before);
    let find = format!(
        "mailFolders/sentitems/messages?$filter=singleValueExtendedProperties/any(ep: ep/id eq '{key}' and ep/value eq 'k')"
    );
    assert_eq!(ids(&ann.get(&find)), std::slice::from_ref(&id));
    let received =
        bob.get("mailFolders/inbox/messages?$select=subject,bccRecipients,internetMessageHeaders,isRead,body");
    let received = &received["value"][0];
    assert_eq!((&received["subject"], &received["isRead"]), (&json!("Offer"), &json!(false)));
    assert_eq!(received["bccRecipients"], json!([]));
    let headers = received["internetMessageHeaders"].as_array().unwrap();
    assert!(headers.contains(&json!({"name": "X-Own", "value": "7"})));
    assert!(received["body"]["content"].as_str().unwrap().contains("<p>Dear Bob</p>"));
    assert_eq!(ann.refused("POST", &format!("messages/{id}/send"), &Value::Null), refusal(400, "ErrorInvalidRequest"));
}

#[test]
fn the_copy_of_a_sent_message_may_lag() {
    let graph = Graph::new(GraphSettings { sent_lag: Duration::from_secs(30), ..GraphSettings::default() });
    let mut ann = Caller::of(&graph, ANN);
    let made = ann.post("messages", &json!({"subject": "S", "toRecipients": to(BOB)}));
    let path = format!("messages/{}", made["id"].as_str().unwrap());
    ann.post(&format!("{path}/send"), &Value::Null);
    ann.pass(29);
    assert_eq!(ann.refused("GET", &path, &Value::Null), refusal(404, "ErrorItemNotFound"));
    ann.pass(1);
    assert_eq!(ann.get(&path)["isDraft"], false);
}

#[test]
fn mime_is_sent_with_all_its_headers_and_only_as_base64() {
    let (ann, bob) = two();
    let raw = format!(
        "From: {ANN}\nTo: {BOB}\nSubject: Raw\nMessage-ID: <own@ann>\nReferences: <r@x>\nList-Id: <l.x>\n\nhi\n"
    );
    assert_eq!(ann.request(&mime_request(&ann, "sendMail", &raw)).status().as_u16(), 202);
    let received = bob.get("messages?$select=internetMessageId,internetMessageHeaders");
    assert_eq!(received["value"][0]["internetMessageId"], "<own@ann>");
    let headers = received["value"][0]["internetMessageHeaders"].to_string();
    assert!(headers.contains("<r@x>") && headers.contains("<l.x>"), "{headers}");
    assert_eq!(ann.graph.mailbox(ANN).sent().len(), 1);
    let mut wrong = mime_request(&ann, "sendMail", &raw);
    *wrong.body_mut() = mail(&raw);
    assert_eq!(ann.request(&wrong).status().as_u16(), 400);
    let draft = ann.request(&mime_request(&ann, "messages", &raw));
    assert_eq!(draft.status().as_u16(), 201);
    let draft: Value = serde_json::from_slice(draft.body()).unwrap();
    assert_eq!((&draft["isDraft"], &draft["internetMessageId"]), (&json!(true), &json!("<own@ann>")));
}

#[test]
fn send_mail_keeps_a_copy_unless_told_not_to() {
    let (ann, bob) = two();
    let message = json!({"subject": "One", "toRecipients": to(BOB)});
    assert_eq!(ann.answer("POST", "sendMail", &json!({"message": message})).status().as_u16(), 202);
    let other = json!({"Message": message, "SaveToSentItems": false});
    assert_eq!(ann.answer("POST", "sendMail", &other).status().as_u16(), 202);
    assert_eq!(ids(&bob.get("messages")).len(), 2);
    assert_eq!(ids(&ann.get("mailFolders/sentitems/messages")).len(), 1);
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let (ann, _) = two();
    let send = |message: Value| ann.refused("POST", "sendMail", &json!({"message": message}));
    assert_eq!(send(json!({"subject": "S"})), refusal(400, "ErrorInvalidRecipients"));
    assert_eq!(send(json!({"toRecipients": to("nobody")})), refusal(400, "ErrorInvalidRecipients"));
    let foreign = json!({"toRecipients": to(BOB), "from": {"emailAddress": {"address": "boss@example.com"}}});
    assert_eq!(send(foreign.clone()), refusal(403, "ErrorSendAsDenied"));
    ann.graph.mailbox(ANN).allow_send_as("boss@example.com");
    assert_eq!(ann.answer("POST", "sendMail", &json!({"message": foreign})).status().as_u16(), 202);
    let header =
        json!({"toRecipients": to(BOB), "internetMessageHeaders": [{"name": "In-Reply-To", "value": "<a@x>"}]});
    assert_eq!(send(header), refusal(400, "InvalidInternetMessageHeader"));
    let big = json!({"toRecipients": to(BOB), "body": {"contentType": "text", "content": "x".repeat(4 * 1024 * 1024)}});
    assert_eq!(send(big), refusal(413, "RequestEntityTooLarge"));
}

#[test]
fn a_reply_refers_to_its_original_quotes_it_and_marks_it_as_read() {
    let (ann, bob) = two();
    let raw =
        plain("Bob <bob@example.com>", "Price", "how much?").replace("Subject", "Reply-To: sales@example.com\nSubject");
    let id = ann.deliver(&raw);
    let draft = ann.post(&format!("messages/{id}/createReply"), &json!({"comment": "twelve"}));
    assert_eq!(draft["subject"], "RE: Price");
    assert_eq!(draft["toRecipients"][0]["emailAddress"]["address"], "sales@example.com");
    let body = draft["body"]["content"].as_str().unwrap();
    assert!(body.contains("how much?") && !body.contains("twelve"), "{body}");
    assert_eq!(draft["conversationId"], ann.get(&format!("messages/{id}"))["conversationId"]);
    assert_eq!(ann.get(&format!("messages/{id}"))["isRead"], true);
    let path = format!("messages/{}", draft["id"].as_str().unwrap());
    let headers = ann.get(&format!("{path}?$select=internetMessageHeaders"))["internetMessageHeaders"].to_string();
    assert!(headers.contains("In-Reply-To") && headers.contains("<Price@x>"), "{headers}");
    ann.patch(&path, &json!({"toRecipients": to(BOB), "body": {"contentType": "text", "content": "twelve"}}));
    ann.post(&format!("{path}/send"), &Value::Null);
    let raw = bob.graph.mailbox(BOB).messages_in("inbox")[0].raw.clone();
    let tree = mime::parse(&raw);
    assert_eq!((tree.header("in-reply-to"), tree.header("references")), (Some("<Price@x>"), Some("<Price@x>")));
    let both = json!({"comment": "a", "message": {"body": {"contentType": "text", "content": "b"}}});
    let refused = ann.refused("POST", &format!("messages/{id}/createReply"), &both);
    assert_eq!(refused, refusal(400, "ErrorInvalidRequest"));
}

#[test]
fn an_answer_of_raw_text_joins_the_conversation_and_keeps_its_own_headers() {
    let (ann, _) = two();
    let id = ann.deliver(&plain(BOB, "Q", "how?"));
    let raw = format!("From: {ANN}\nTo: {BOB}\nSubject: Something else\nX-Own: 1\n\nso\n");
    let answer = ann.request(&mime_request(&ann, &format!("messages/{id}/createReply"), &raw));
    assert_eq!(answer.status().as_u16(), 201);
    let draft: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(draft["subject"], "Something else");
    assert_eq!(draft["conversationId"], ann.get(&format!("messages/{id}"))["conversationId"]);
    let path = format!("messages/{}?$select=internetMessageHeaders", draft["id"].as_str().unwrap());
    let headers = ann.get(&path)["internetMessageHeaders"].to_string();
    assert!(headers.contains("X-Own") && headers.contains("<Q@x>"), "{headers}");
}

#[test]
fn reply_all_leaves_oneself_out_and_forwarding_takes_attachments_along() {
    let (ann, _) = two();
    let raw = format!(
        "From: {BOB}\nTo: {ANN}, c@x.org\nCc: d@x.org\nSubject: re: Plan\nMessage-ID: <p@x>\n\
        Content-Type: multipart/mixed; boundary=m\n\n--m\n\nhello\n--m\nContent-Type: application/pdf; name=a.pdf\n\nx\n--m--\n"
    );
    let id = ann.deliver(&raw);
    let all = ann.post(&format!("messages/{id}/createReplyAll"), &Value::Null);
    let addresses = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|p| p["emailAddress"]["address"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(addresses(&all["toRecipients"]), [BOB, "c@x.org"]);
    assert_eq!(addresses(&all["ccRecipients"]), ["d@x.org"]);
    assert_eq!((&all["subject"], &all["hasAttachments"]), (&json!("re: Plan"), &json!(false)));
    let forward = ann.post(&format!("messages/{id}/createForward"), &json!({"toRecipients": to("e@x.org")}));
    assert_eq!((&forward["subject"], &forward["hasAttachments"]), (&json!("FW: re: Plan"), &json!(true)));
    assert_eq!(addresses(&forward["toRecipients"]), ["e@x.org"]);
}

#[test]
fn a_reply_in_one_step_is_sent_with_its_comment() {
    let (ann, bob) = two();
    let id = ann.deliver(&plain(BOB, "Q", "how?"));
    let answer = ann.answer("POST", &format!("messages/{id}/reply"), &json!({"comment": "so <there>"}));
    assert_eq!(answer.status().as_u16(), 202);
    let received = bob.get("messages")["value"][0].clone();
    let body = received["body"]["content"].as_str().unwrap();
    assert!(body.contains("so &lt;there&gt;") && body.contains("how?"), "{body}");
    let kept = Graph::new(GraphSettings { draft_comment: DraftComment::Kept, ..GraphSettings::default() });
    let ann = Caller::of(&kept, ANN);
    let id = ann.deliver(&plain(BOB, "Q", "how?"));
    let draft = ann.post(&format!("messages/{id}/createReply"), &json!({"comment": "kept"}));
    assert!(draft["bodyPreview"].as_str().unwrap().starts_with("kept"));
}

#[test]
fn mail_for_strangers_is_handed_on() {
    let seen: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let kept = std::sync::Arc::clone(&seen);
    let outbound: crate::microsoft::graph::Outbound =
        std::sync::Arc::new(move |to, raw, _| kept.lock().unwrap().push(format!("{to} {}", raw.len() > 10)));
    let graph = Graph::new(GraphSettings { outbound: Some(outbound), ..GraphSettings::default() });
    let ann = Caller::of(&graph, ANN);
    ann.post(
        "sendMail",
        &json!({"message": {"subject": "S", "toRecipients": to("z@far.org"), "ccRecipients": to(ANN)}}),
    );
    assert_eq!(*seen.lock().unwrap(), ["z@far.org true"]);
    assert_eq!(ids(&ann.get("mailFolders/inbox/messages")).len(), 1);
}

#[test]
fn a_draft_is_changed_until_it_is_sent() {
    let (ann, _) = two();
    let made = ann.post("mailFolders/archive/messages", &json!({"subject": "A"}));
    let path = format!("messages/{}", made["id"].as_str().unwrap());
    let attachment = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt", "contentBytes": "aGk="});
    let put = ann.post(&format!("{path}/attachments"), &attachment);
    assert_eq!(put["name"], "a.txt");
    let changed = ann.patch(&path, &json!({"subject": "B", "toRecipients": to(BOB)}));
    assert_eq!((&changed["subject"], &changed["hasAttachments"]), (&json!("B"), &json!(true)));
    let gone = format!("{path}/attachments/{}", put["id"].as_str().unwrap());
    assert_eq!(ann.answer("GET", &format!("{gone}/$value"), &Value::Null).body(), "hi");
    assert_eq!(ann.answer("DELETE", &gone, &Value::Null).status().as_u16(), 204);
    assert_eq!(ann.get(&path)["hasAttachments"], false);
    let big = json!({"name": "b", "contentBytes": STANDARD.encode(vec![0_u8; 3 * 1024 * 1024])});
    assert_eq!(ann.refused("POST", &format!("{path}/attachments"), &big).0, 413);
}
