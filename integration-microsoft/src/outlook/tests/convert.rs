use chrono::{DateTime, Utc};
use integration_core::email::{Message, Role, kind, parse};
use serde_json::{Value, json};

use super::{full, places, without_fields};
use crate::outlook::{
    attachment,
    convert::{self, Extent, Lack},
    wire,
};

fn wire(json: &Value) -> wire::Message {
    serde_json::from_value(json.clone()).unwrap()
}

fn message(json: &Value) -> Message {
    convert::message(&wire(json), &places(), Vec::new()).unwrap()
}

fn at(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

#[test]
fn a_delivered_message_is_read_from_its_header_fields() {
    let message = message(&full("m1"));
    let to: Vec<&str> = message.to.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(to, ["bob@example.org", "carol@example.org"]);
    assert_eq!((message.subject.as_str(), message.from[0].name.as_deref()), ("Offer €", Some("Ann Example")));
    assert_eq!((message.sender, message.reply_to.len()), (None, 0));
    assert_eq!((message.message_id.as_deref(), message.references.len()), (Some("m1@example.com"), 2));
    assert_eq!((message.date, message.received_at), (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:03.1234567Z")));
    assert_eq!(message.headers.get("list-id"), Some("<news.example.com>"));
    assert_eq!(message.text, "Hi & welcome");
    assert_eq!((message.html.as_deref(), message.snippet.as_str()), (Some("<p>Hi &amp; welcome</p>"), "Hi & welcome"));
    assert_eq!((message.flags.roles, message.flags.read, message.flags.flagged), (vec![Role::Inbox], false, true));
    assert_eq!((message.id.as_str(), message.thread.unwrap().as_str()), ("m1", "t1"));
}

#[test]
fn what_the_service_wrote_as_html_of_a_plain_message_is_not_called_sent() {
    let mut json = full("m1");
    json["internetMessageHeaders"][7]["value"] = json!("Text/Plain; charset=utf-8");
    let plain = message(&json);
    assert_eq!((plain.text.as_str(), plain.html), ("Hi & welcome", None));
    let mut untyped = json.clone();
    untyped["internetMessageHeaders"].as_array_mut().unwrap().truncate(7);
    assert_eq!(message(&untyped).html, None);
    let mut among_others = full("m1");
    assert!(message(&among_others).html.is_some());
    among_others["body"]["content"] = json!("<html><!-- converted from text --><body>Hi</body></html>");
    assert_eq!(message(&among_others).html, None);
    json["body"] = json!({ "contentType": "text", "content": "Hi <b>\r\nyou" });
    let plain = message(&json);
    assert_eq!((plain.text.as_str(), plain.html), ("Hi <b>\nyou", None));
}

#[test]
fn without_header_fields_the_service_says_who_and_when() {
    let mut json = without_fields("m1");
    json["sender"]["emailAddress"]["address"] = json!("secretary@example.com");
    json["toRecipients"] = json!([{ "emailAddress": { "name": "Gone", "address": "/o=Org/cn=gone" } },
        { "emailAddress": { "name": "Bob", "address": " bob@example.org " } }, { "emailAddress": null }, {}]);
    let message = message(&json);
    let to: Vec<_> = message.to.iter().map(|one| (one.name.as_deref(), one.address.as_str())).collect();
    assert_eq!(to, [(Some("Bob"), "bob@example.org")]);
    assert_eq!(message.sender.unwrap().address, "secretary@example.com");
    assert_eq!((message.date, message.message_id.as_deref()), (at("2026-01-01T00:00:00Z"), Some("m1@example.com")));
    assert_eq!(message.flags.roles, [Role::Sent]);
}

#[test]
fn what_the_json_lacks_is_told() {
    let lack = |change: &dyn Fn(&mut Value)| {
        let mut json = full("m1");
        change(&mut json);
        convert::lack(&wire(&json))
    };
    assert_eq!(lack(&|_| {}), None);
    assert_eq!(lack(&|json| json["hasAttachments"] = json!(true)), Some(Lack::Attachments));
    assert_eq!(lack(&|json| json["hasAttachments"] = json!(null)), Some(Lack::Attachments));
    assert_eq!(lack(&|json| json["body"]["content"] = json!("<img src=\"cid:a@b\">")), Some(Lack::Attachments));
    assert_eq!(lack(&|json| json["internetMessageHeaders"] = json!([])), Some(Lack::Raw));
    assert_eq!(lack(&|json| json["@odata.type"] = json!("#microsoft.graph.eventMessageRequest")), Some(Lack::Raw));
    for address in ["postmaster@x.example", "MAILER-DAEMON@x.example", "MicrosoftExchange329e71@x.example"] {
        assert_eq!(
            lack(&|json| json["from"]["emailAddress"]["address"] = json!(address)),
            Some(Lack::Raw),
            "{address}"
        );
    }
    let report = json!({ "name": "content-type", "value": "multipart/report; report-type=delivery-status" });
    assert_eq!(lack(&|json| json["internetMessageHeaders"][7] = report.clone()), Some(Lack::Raw));
    let draft = |json: &mut Value| {
        json["internetMessageHeaders"] = json!(null);
        json["isDraft"] = json!(true);
    };
    assert_eq!(lack(&draft), None);
}

#[test]
fn an_entry_is_whole_or_marks_or_a_part() {
    let extent = |json: Value| convert::extent(&wire(&json));
    assert_eq!(extent(full("m1")), Extent::Whole);
    for missing in ["isRead", "flag", "parentFolderId", "receivedDateTime", "body"] {
        let mut part = full("m1");
        part.as_object_mut().unwrap().remove(missing);
        assert_eq!(extent(part), Extent::Part, "{missing}");
    }
    assert_eq!(extent(json!({ "id": "a", "isRead": true, "flag": { "flagStatus": "complete" } })), Extent::Marks);
    assert_eq!(extent(json!({ "id": "a", "isRead": true })), Extent::Part);
    assert_eq!(extent(json!({ "id": "a", "subject": "x", "isRead": true, "flag": {} })), Extent::Part);
    assert_eq!(extent(json!({ "id": "a", "body": { "content": "x" } })), Extent::Part);
    assert_eq!(extent(json!({ "id": "a" })), Extent::Part);
}

#[test]
fn a_report_is_read_from_its_raw_text() {
    let raw = "From: postmaster@x.example\r\nTo: me@x.example\r\nSubject: Undeliverable\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.example\r\n\r\n\
        Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n";
    let read = convert::raw_message(&wire(&full("m1")), &places(), raw.as_bytes()).unwrap();
    assert!(kind::kind(&read).bounce, "{read:?}");
    assert_eq!(
        (read.id.as_str(), read.flags.roles.as_slice(), read.size),
        ("m1", &[Role::Inbox][..], raw.len() as u64)
    );
    assert_eq!(read.text, parse::message(raw.as_bytes()).unwrap().text);
}

#[test]
fn a_revision_tells_states_apart_and_orders_them() {
    let before = convert::revision(&wire(&full("m1")));
    let mut json = full("m1");
    json["changeKey"] = json!("ck2");
    let same_second = convert::revision(&wire(&json));
    assert!(before != same_second && !before.is_older_than(&same_second) && !same_second.is_older_than(&before));
    json["lastModifiedDateTime"] = json!("2026-01-01T00:00:06Z");
    assert!(before.is_older_than(&convert::revision(&wire(&json))));
    json["lastModifiedDateTime"] = json!("soon");
    assert_eq!(convert::revision(&wire(&json)).order, None);
}

#[test]
fn the_three_kinds_of_attachments_are_told_apart() {
    let list = json!({ "value": [
        { "@odata.type": "#microsoft.graph.fileAttachment", "id": "f1", "name": "=?utf-8?Q?=C3=BCber.pdf?=",
          "contentType": "Application/PDF; name=x", "size": 31000, "isInline": false },
        { "@odata.type": "#microsoft.graph.fileAttachment", "id": "f2", "name": "logo.png", "contentType": "image/png",
          "size": "7", "isInline": true, "contentId": "<logo@x>" },
        { "@odata.type": "#microsoft.graph.itemAttachment", "id": "i1", "name": "Fwd", "contentType": null, "size": 9 },
        { "@odata.type": "#microsoft.graph.referenceAttachment", "id": "r1", "name": "Plan.docx" }
    ], "@odata.nextLink": "" });
    let (files, next) = attachment::page(list.to_string().as_bytes()).unwrap();
    let brief: Vec<String> = files
        .iter()
        .map(|file| {
            let name = file.name.as_deref().unwrap_or_default();
            format!("{} {name} {} {} {} {:?}", file.part, file.media_type, file.size, file.inline, file.content_id)
        })
        .collect();
    let expected = [
        "f1 über.pdf application/pdf 31000 false None",
        "f2 logo.png image/png 7 true Some(\"logo@x\")",
        "i1 Fwd message/rfc822 9 false None",
        "linked:r1 Plan.docx application/octet-stream 0 false None",
    ];
    assert_eq!((brief.as_slice(), next), (expected.map(str::to_owned).as_slice(), None));
    assert!(attachment::page(b"{\"value\":[{\"name\":\"without an id\"}]}").is_err());
    assert!(attachment::page(b"<html>").is_err());
}

#[test]
fn headers_come_without_content() {
    let headers = convert::headers(&wire(&full("m1")), &places()).unwrap();
    assert_eq!((headers.text.as_str(), headers.html, headers.snippet.as_str()), ("", None, "Hi & welcome"));
    assert_eq!(headers.subject, "Offer €");
}
