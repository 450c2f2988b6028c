//! Answers that are broken, cut off, or as large as somebody could make them.

use integration_core::{
    ids::PartitionId,
    testing::{assert_linear, fuzz},
};
use serde_json::{Value, json};

use super::{full, places, without_fields};
use crate::{
    batch,
    outlook::{attachment, convert, feed::Entry, upload, wire},
};

const WORDS: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "\\ud800",
    "\"@removed\":{},",
    "\"@odata.nextLink\":\"https://x\",",
    "\"body\":{\"content\":\"cid:\"},",
    "\"id\":\"x\",",
    "\"value\":[",
    "\u{fc}",
];

/// Everything that is done with JSON that came.
fn everything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Entry::read(&text).change(&places(), &PartitionId::new("inbox-id"));
    if let Ok(wire) = serde_json::from_slice::<wire::Message>(bytes) {
        let _ = (convert::extent(&wire), convert::lack(&wire), convert::revision(&wire));
        let _ = convert::headers(&wire, &places());
        let _ = convert::message(&wire, &places(), Vec::new());
        let _ = convert::raw_message(&wire, &places(), bytes);
    }
    if let Ok(mut page) = serde_json::from_slice::<wire::Page>(bytes) {
        let _ = (page.next(), page.delta());
    }
    if let Ok(upload) = serde_json::from_slice::<wire::Upload>(bytes) {
        let _ = upload::expected(&upload);
    }
    let _ = serde_json::from_slice::<wire::Folder>(bytes);
    let _ = attachment::page(bytes);
    let _ = batch::parse(bytes);
}

#[test]
fn no_json_panics() {
    let files =
        json!({ "value": [{ "id": "a", "name": "x", "size": "7", "contentId": "<a>" }], "@odata.nextLink": "x" });
    let inner = json!({ "responses": [{ "id": "0", "status": 200, "headers": { "a": "b" }, "body": full("a") }] });
    let upload = json!({ "uploadUrl": "https://x", "nextExpectedRanges": ["5-", "6"] });
    let seeds: Vec<Vec<u8>> = [full("a"), without_fields("b"), files, inner, upload]
        .iter()
        .map(|seed: &Value| seed.to_string().into_bytes())
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("outlook_json", 4_000, &seeds, &WORDS, everything);
}

#[test]
fn a_message_cut_off_anywhere_is_an_error_and_no_message() {
    let whole = full("a").to_string();
    for end in 0..whole.len() {
        assert!(serde_json::from_slice::<wire::Message>(&whole.as_bytes()[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_message_of_many_recipients_and_header_fields_takes_linear_time() {
    let make = |size: usize| {
        let mut message = full("a");
        let one = json!({ "emailAddress": { "name": "x", "address": "x@example.com" } });
        message["toRecipients"] = Value::Array(vec![one; size]);
        let field = json!({ "name": "Received", "value": "from a by b; Thu, 1 Jan 2026 00:00:00 +0000" });
        message["internetMessageHeaders"].as_array_mut().unwrap().extend(vec![field; size]);
        message["body"]["content"] = json!("<p>x &amp; y</p>".repeat(size));
        message.to_string().into_bytes()
    };
    assert_linear("outlook_message", 2_000, make, |bytes| everything(bytes));
}
