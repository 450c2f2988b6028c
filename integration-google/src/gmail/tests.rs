//! Conversions from hand-written JSON.

use integration_core::{
    email::Role,
    sync::{Body, Change, Removal},
};
use serde_json::json;

use super::{convert, feed, wire};

fn message(value: serde_json::Value) -> integration_core::Result<integration_core::email::Message> {
    convert::message(serde_json::from_value(value).unwrap())
}

fn offer() -> serde_json::Value {
    json!({"id": "18c0", "threadId": "18bf", "labelIds": ["INBOX", "UNREAD", "STARRED"], "historyId": "987001",
        "internalDate": "1767225600000", "sizeEstimate": 48211,
        "payload": {"partId": "", "mimeType": "multipart/mixed", "filename": "", "body": {"size": 0},
            "headers": [{"name": "From", "value": "Ann Example <ann@example.com>"}, {"name": "SUBJECT", "value": "Offer"},
                {"name": "Message-ID", "value": "<m1@example.com>"}],
            "parts": [
                {"partId": "0", "mimeType": "text/plain", "body": {"size": 12, "data": "SGkgJiB3ZWxjb21l"}},
                {"partId": "1", "mimeType": "application/pdf", "filename": "offer.pdf",
                    "body": {"attachmentId": "ephemeral", "size": 31000}}]}})
}

#[test]
fn a_full_message_becomes_the_familys() {
    let message = message(offer()).unwrap();
    assert_eq!((message.text.as_str(), message.subject.as_str()), ("Hi & welcome", "Offer"));
    assert_eq!(message.message_id.as_deref(), Some("m1@example.com"));
    assert_eq!(message.from[0].address, "ann@example.com");
    assert_eq!(message.received_at.unwrap().timestamp(), 1_767_225_600);
    assert!(message.flags.has(Role::Inbox) && !message.flags.read && message.flags.flagged);
}

#[test]
fn an_attachment_is_addressed_by_its_part() {
    let message = message(offer()).unwrap();
    let file = &message.attachments[0];
    assert_eq!((file.part.as_str(), file.name.as_deref(), file.size), ("1", Some("offer.pdf"), 31_000));
}

#[test]
fn the_text_of_an_attached_message_is_not_the_body() {
    let mut value = offer();
    value["payload"]["parts"] = json!([{"partId": "0", "mimeType": "message/rfc822", "filename": "old.eml",
        "body": {"size": 9}, "parts": [{"partId": "0.0", "mimeType": "text/plain", "body": {"size": 3, "data": "b2xk"}}]}]);
    let message = message(value).unwrap();
    assert_eq!((message.text.as_str(), message.attachments.len()), ("", 1));
}

#[test]
fn a_body_that_is_not_base64_is_an_error() {
    let mut value = offer();
    value["payload"]["parts"][0]["body"]["data"] = json!("%%%");
    assert!(message(value).is_err());
}

#[test]
fn a_message_without_content_is_an_error() {
    assert!(message(json!({"id": "18c0"})).is_err());
}

#[test]
fn history_is_collapsed_to_one_change_a_message() {
    let list: wire::HistoryList = serde_json::from_value(json!({"historyId": "20", "history": [
        {"id": "11", "messagesAdded": [{"message": {"id": "a", "labelIds": ["INBOX"]}}]},
        {"id": "12", "labelsAdded": [{"message": {"id": "a", "labelIds": ["INBOX", "STARRED"]}, "labelIds": ["STARRED"]}]},
        {"id": "13", "labelsRemoved": [{"message": {"id": "b", "labelIds": ["INBOX"]}, "labelIds": ["UNREAD"]}]},
        {"id": "14", "messagesDeleted": [{"message": {"id": "c"}}]}]}))
    .unwrap();
    let changes = feed::changes(list.history);
    let words: Vec<&str> = changes
        .iter()
        .map(|change| match change {
            Change::Upsert { body: Body::Deferred, .. } => "fetch",
            Change::Upsert { body: Body::Inline(_), .. } => "flags",
            Change::Removed { how: Removal::Gone, .. } => "gone",
            _ => "other",
        })
        .collect();
    assert_eq!(words, ["fetch", "flags", "gone"]);
}

#[test]
fn a_history_page_may_lack_its_history() {
    let list: wire::HistoryList = serde_json::from_value(json!({"historyId": "20", "nextPageToken": "p"})).unwrap();
    assert!(feed::changes(list.history).is_empty());
}
