use bytes::Bytes;
use serde_json::{Value, json};

use super::{ANN, Caller, ids, mail, plain, refusal};
use crate::microsoft::graph::{AttachmentContent, GraphSettings, IdLetters, Oddity};
use crate::mime;
use std::sync::Arc;

const RICH: &str = "From: \"Bob, B\" <bob@x.org>\nTo: ann@example.com, =?utf-8?Q?J=C3=B6rg?= <j@x.org>\nCc: c@x.org\n\
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nDate: Mon, 05 Jan 2026 07:59:00 +0000\nMessage-ID: <rich@x>\nReferences: <a@x> <b@x>\n\
Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/related; boundary=r\n\n--r\n\
Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nplain words\n--a\n\
Content-Type: text/html\n\n<p onclick=\"x()\">Hello <b>you</b></p><script>bad()</script><img src=\"cid:pic\">\n--a--\n--r\n\
Content-Type: image/png; name=pic.png\nContent-ID: <pic>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--r--\n--m\n\
Content-Type: application/pdf; name=offer.pdf\nContent-Disposition: attachment; filename=offer.pdf\n\
Content-Transfer-Encoding: base64\n\nJVBERi0xLjQ=\n--m\nContent-Type: message/rfc822\n\nFrom: z@x.org\nSubject: Inner one\n\n\
inside\n--m--\n";

fn rich() -> (Caller, String) {
    let caller = Caller::new(GraphSettings::default());
    let id = caller.deliver(RICH);
    (caller, id)
}

#[test]
fn a_message_is_shown_with_people_times_and_threads() {
    let (caller, id) = rich();
    let message = caller.get(&format!("messages/{id}"));
    assert_eq!(message["from"], json!({"emailAddress": {"name": "Bob, B", "address": "bob@x.org"}}));
    assert_eq!(message["toRecipients"][1]["emailAddress"]["name"], "Jörg");
    assert_eq!(message["ccRecipients"][0]["emailAddress"]["address"], "c@x.org");
    assert_eq!(message["subject"], "Grüße");
    assert_eq!(message["internetMessageId"], "<rich@x>");
    assert_eq!(message["sentDateTime"], "2026-01-05T07:59:00Z");
    assert_eq!(message["receivedDateTime"], "2026-01-05T08:00:00Z");
    assert_eq!(message["isRead"], false);
    assert_eq!(message["hasAttachments"], true);
    assert_eq!(message["flag"]["flagStatus"], "notFlagged");
    let answer = caller.deliver("From: b@x\nSubject: RE: other\nIn-Reply-To: <rich@x>\nMessage-ID: <2@x>\n\nyes\n");
    let answer = caller.get(&format!("messages/{answer}"));
    assert_eq!(answer["conversationId"], message["conversationId"]);
    assert_ne!(answer["conversationIndex"], message["conversationIndex"]);
}

#[test]
fn a_body_is_sanitised_html_unless_asked_otherwise() {
    let (caller, id) = rich();
    let body = |prefer: &str| {
        let caller = Caller { prefer: prefer.to_owned(), ..Caller::of(&caller.graph, ANN) };
        let answer = caller.answer("GET", &format!("messages/{id}"), &Value::Null);
        let applied = answer.headers().get("preference-applied").map(|v| v.to_str().unwrap().to_owned());
        let value: Value = serde_json::from_slice(answer.body()).unwrap();
        (value["body"].clone(), applied.unwrap_or_default())
    };
    let (html, _) = body("");
    assert_eq!(html["contentType"], "html");
    let page = html["content"].as_str().unwrap();
    assert!(page.contains("<p>Hello <b>you</b></p>") && page.contains("cid:pic"), "{page}");
    assert!(!page.contains("bad()") && !page.contains("onclick"), "{page}");
    let (text, applied) = body("outlook.body-content-type=\"text\", IdType=\"ImmutableId\"");
    assert_eq!(text, json!({"contentType": "text", "content": "Hello you"}));
    assert_eq!(applied, "IdType=\"ImmutableId\", outlook.body-content-type=\"text\"");
    let (whole, _) = body("outlook.allow-unsafe-html");
    assert!(whole["content"].as_str().unwrap().contains("bad()"));
}

#[test]
fn a_text_becomes_a_page_and_comes_back_as_it_was() {
    let caller = Caller::new(GraphSettings::default());
    let id = caller.deliver(&plain("b@x", "T", "one < two\n> quoted\n\nthree"));
    let page = caller.get(&format!("messages/{id}"))["body"]["content"].as_str().unwrap().to_owned();
    assert!(page.contains("one &lt; two<br>\r\n&gt; quoted<br>"), "{page}");
    let text = Caller::of(&caller.graph, ANN).with_prefer("outlook.body-content-type=\"text\"");
    let text = text.get(&format!("messages/{id}"))["body"]["content"].as_str().unwrap().to_owned();
    assert_eq!(text.trim_end(), "one < two\r\n> quoted\r\n\r\nthree");
}

#[test]
fn the_raw_form_is_written_anew_and_says_the_same() {
    let (caller, id) = rich();
    let answer = caller.answer("GET", &format!("messages/{id}/$value"), &Value::Null);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_ne!(answer.body(), &mail(RICH));
    let tree = mime::parse(answer.body());
    assert_eq!(tree.header("subject"), Some("Grüße"));
    assert_eq!(tree.header("references"), Some("<a@x> <b@x>"));
    assert_eq!(mime::addresses(tree.header("to").unwrap()), ["ann@example.com", "j@x.org"]);
    let leaves: Vec<(String, String)> = tree
        .walk()
        .iter()
        .filter(|part| !part.is_multipart())
        .map(|part| (part.mime_type.clone(), String::from_utf8_lossy(&part.decoded()).trim().to_owned()))
        .collect();
    assert_eq!(leaves[0], ("text/plain".to_owned(), "Hello you".to_owned()));
    assert!(leaves[1].1.contains("bad()"));
    assert_eq!(leaves[2].0, "image/png");
    assert_eq!(leaves[3], ("application/pdf".to_owned(), "%PDF-1.4".to_owned()));
    assert_eq!(leaves[4].0, "message/rfc822");
}

#[test]
fn attachments_are_listed_read_and_streamed_by_kind() {
    let (caller, id) = rich();
    let mailbox = caller.graph.mailbox(ANN);
    let make = Arc::new(|| Bytes::from(vec![7_u8; 100_000]));
    assert!(mailbox.attach(&id, "big.bin", "application/x-big", AttachmentContent::File(100_000, make)));
    assert!(mailbox.attach(&id, "link", "", AttachmentContent::Reference));
    let list = caller.get(&format!("messages/{id}/attachments"));
    let kinds: Vec<&str> =
        list["value"].as_array().unwrap().iter().map(|a| a["@odata.type"].as_str().unwrap()).collect();
    let file = "#microsoft.graph.fileAttachment";
    let (item, reference) = ("#microsoft.graph.itemAttachment", "#microsoft.graph.referenceAttachment");
    assert_eq!(kinds, [file, file, item, file, reference]);
    assert_eq!(list["value"][0]["isInline"], true);
    assert_eq!(list["value"][0]["contentId"], "pic");
    assert_eq!(list["value"][1]["contentBytes"], "JVBERi0xLjQ=");
    let value = |at: usize| {
        let path = format!("messages/{id}/attachments/{}/$value", ids(&list)[at]);
        caller.answer("GET", &path, &Value::Null)
    };
    assert_eq!(value(1).body(), "%PDF-1.4");
    assert!(String::from_utf8_lossy(value(2).body()).contains("Subject: Inner one"));
    assert_eq!(value(3).body().len(), 100_000);
    assert_eq!(value(4).status().as_u16(), 405);
    let one = format!("messages/{id}/attachments/{}", ids(&list)[2]);
    let inner = caller.get(&format!("{one}?$expand=microsoft.graph.itemattachment/item"));
    assert_eq!(inner["item"]["subject"], "Inner one");
}

#[test]
fn a_content_id_is_selected_with_its_type() {
    let (caller, id) = rich();
    let plain = format!("messages/{id}/attachments?$select=id,name,contentId");
    assert_eq!(caller.refused("GET", &plain, &Value::Null), refusal(400, "RequestBroker--ParseUri"));
    let typed = format!("messages/{id}/attachments?$select=id,name,microsoft.graph.fileAttachment/contentId");
    let first = caller.get(&typed)["value"][0].clone();
    assert_eq!(first["contentId"], "pic");
    assert!(first.get("contentBytes").is_none() && first.get("size").is_none());
}

#[test]
fn inline_pictures_alone_are_no_attachments() {
    let caller = Caller::new(GraphSettings::default());
    let raw = "From: b@x\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<img src=\"cid:p\">\n--r\n\
               Content-Type: image/png\nContent-ID: <p>\nContent-Disposition: inline\n\nx\n--r--\n";
    let id = caller.deliver(raw);
    assert_eq!(caller.get(&format!("messages/{id}"))["hasAttachments"], false);
    assert_eq!(caller.get(&format!("messages/{id}?$expand=attachments"))["attachments"][0]["isInline"], true);
}

#[test]
fn mutable_ids_change_with_every_move_and_immutable_ones_do_not() {
    let (caller, id) = rich();
    let mutable = Caller::of(&caller.graph, ANN).with_prefer("");
    let before = ids(&mutable.get("messages"))[0].clone();
    assert_ne!(before, id);
    let moved = caller.post(&format!("messages/{id}/move"), &json!({"destinationId": "archive"}));
    assert_eq!(moved["id"], json!(id));
    assert_eq!(mutable.refused("GET", &format!("messages/{before}"), &Value::Null), refusal(404, "ErrorItemNotFound"));
    let after = ids(&mutable.get("messages"))[0].clone();
    assert_ne!(before, after);
    assert_eq!(mutable.get(&format!("messages/{after}"))["id"], json!(after));
    assert_eq!(caller.get(&format!("messages/{after}"))["id"], json!(id));
    let ask = json!({"inputIds": [after, before], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"});
    let told = caller.post("translateExchangeIds", &ask);
    assert_eq!(told["value"][0]["targetId"], json!(id));
    assert_eq!(told["value"][1]["errorDetails"]["code"], "ErrorInvalidId");
}

#[test]
fn ids_are_case_sensitive_and_may_need_percent_encoding() {
    let caller = Caller::new(GraphSettings { id_letters: IdLetters::WithSlashes, ..GraphSettings::default() });
    let all: Vec<String> = (0..40).map(|n| caller.deliver(&plain("b@x", &format!("{n}"), ""))).collect();
    let slashed = all.iter().find(|id| id.contains('/')).expect("of forty ids one has a slash");
    let encoded = slashed.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    assert_eq!(caller.get(&format!("messages/{encoded}"))["id"], json!(slashed));
    let (status, code) = caller.refused("GET", &format!("messages/{}", encoded.to_lowercase()), &Value::Null);
    assert_eq!((status, code.as_str()), (400, "ErrorInvalidIdMalformed"));
}

#[test]
fn marks_are_changed_and_the_content_of_what_was_received_is_not() {
    let (caller, id) = rich();
    let path = format!("messages/{id}");
    let tag = caller.get(&path)["changeKey"].clone();
    let change =
        json!({"isRead": true, "categories": ["Blue"], "flag": {"flagStatus": "flagged"}, "importance": "high"});
    let changed = caller.patch(&path, &change);
    assert_eq!(changed["categories"], json!(["Blue"]));
    assert_eq!(changed["flag"]["flagStatus"], "flagged");
    assert_ne!(changed["changeKey"], tag);
    assert_eq!(caller.refused("PATCH", &path, &json!({"subject": "no"})), refusal(400, "ErrorInvalidPropertySet"));
    let unknown = json!({"importance": "urgent"});
    assert_eq!(caller.refused("PATCH", &path, &unknown), refusal(400, "ErrorInvalidPropertyValue"));
    let mut stale = caller.build("PATCH", &path, &json!({"isRead": false}));
    stale.headers_mut().insert("if-match", format!("W/\"{}\"", tag.as_str().unwrap()).parse().unwrap());
    assert_eq!(caller.request(&stale).status().as_u16(), 412);
    caller.graph.change_oddities(|o| o.conflicts = 1);
    assert_eq!(caller.refused("PATCH", &path, &json!({"isRead": false})), refusal(412, "ErrorIrresolvableConflict"));
    caller.patch(&path, &json!({"isRead": false}));
}

#[test]
fn deleting_leaves_something_to_recover_and_purging_nothing() {
    let (caller, id) = rich();
    assert_eq!(caller.answer("DELETE", &format!("messages/{id}"), &Value::Null).status().as_u16(), 204);
    assert!(ids(&caller.get("messages")).is_empty());
    assert_eq!(ids(&caller.get("mailFolders/recoverableitemsdeletions/messages")), std::slice::from_ref(&id));
    assert!(caller.graph.mailbox(ANN).restore(&id, "inbox", caller.now));
    assert_eq!(ids(&caller.get("mailFolders/inbox/messages")), std::slice::from_ref(&id));
    let copy = caller.post(&format!("messages/{id}/copy"), &json!({"destinationId": "archive"}));
    assert_ne!(copy["id"], json!(id));
    caller.post(&format!("messages/{id}/permanentDelete"), &Value::Null);
    assert_eq!(caller.refused("GET", &format!("messages/{id}"), &Value::Null), refusal(404, "ErrorItemNotFound"));
    assert_eq!(ids(&caller.get("messages")), [copy["id"].as_str().unwrap()]);
}

#[test]
fn extended_properties_and_headers_are_read_by_id() {
    let (caller, id) = rich();
    let own = "String {00020329-0000-0000-C000-000000000046} Name outbox-key";
    caller.patch(&format!("messages/{id}"), &json!({"singleValueExtendedProperties": [{"id": own, "value": "k1"}]}));
    let expand = format!(
        "messages/{id}?$select=id&$expand=singleValueExtendedProperties($filter=id eq '{own}' or id eq 'String 0x1039')"
    );
    let shown = caller.get(&expand)["singleValueExtendedProperties"].clone();
    assert_eq!(shown[0], json!({"id": own, "value": "k1"}));
    assert_eq!(shown[1]["value"], "<a@x> <b@x>");
    let lambda = |value: &str| {
        let any = format!("any(ep:ep/id eq '{own}' and ep/value eq '{value}')");
        ids(&caller.get(&format!("messages?$filter=singleValueExtendedProperties/{any}")))
    };
    assert_eq!(lambda("k1"), [id]);
    assert!(lambda("k2").is_empty());
}

#[test]
fn odd_messages_are_shown_oddly() {
    let (caller, id) = rich();
    let mailbox = caller.graph.mailbox(ANN);
    for oddity in [Oddity::FromNull, Oddity::UnknownMembers] {
        assert!(mailbox.spoil(&id, oddity));
    }
    let message = caller.get(&format!("messages/{id}"));
    assert_eq!((&message["from"], &message["importance"]), (&Value::Null, &json!("urgent")));
    assert_eq!(message["body"]["contentType"], "markdown");
    mailbox.spoil(&id, Oddity::WrongTypes);
    mailbox.spoil(&id, Oddity::NoBody);
    let message = caller.get(&format!("messages/{id}"));
    assert!(message["receivedDateTime"].is_number() && message.get("body").is_none());
}

#[test]
fn an_invitation_says_what_it_is() {
    let caller = Caller::new(GraphSettings::default());
    let raw =
        "From: b@x\nSubject: Meet\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n";
    let id = caller.deliver(raw);
    let message = caller.get(&format!("messages/{id}"));
    assert_eq!(message["@odata.type"], "#microsoft.graph.eventMessageRequest");
    assert_eq!(message["meetingMessageType"], "meetingRequest");
}
