//! The pure parts from hand-written JSON, and the provider over a scripted transport.

mod convert;
mod feed;
mod fetch;
mod folders;
mod hostile;
mod http;
mod pages;
mod search;
mod send;

use std::sync::Arc;

use integration_core::{
    email::Role,
    testing::{PlainConnector, ScriptedTransport, Step, test_session},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    Outlook,
    folders::{Place, Places},
};
use crate::{
    Microsoft, MicrosoftConfig,
    client::{Client, Root},
};

const GRAPH: &str = "https://graph.example/";

pub(super) fn client() -> Client {
    Client::new(&Url::parse(GRAPH).unwrap(), 20, Some(4))
}

pub(super) fn places() -> Places {
    Places::of(&[
        ("inbox-id", Place::Of(Role::Inbox)),
        ("sent-id", Place::Of(Role::Sent)),
        ("trash-id", Place::Of(Role::Trash)),
        ("junk-id", Place::Of(Role::Junk)),
        ("drafts-id", Place::LeftOut(Some(Role::Drafts))),
        ("outbox-id", Place::LeftOut(None)),
    ])
}

/// A mailbox whose folders are not known yet.
fn fresh(steps: impl IntoIterator<Item = Step>, root: Root) -> (Arc<ScriptedTransport>, Outlook) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let connector = Arc::new(PlainConnector::new(&Url::parse(GRAPH).unwrap()));
    let session = test_session(Arc::clone(&transport) as _, connector).build();
    (transport, Outlook::new(session, client().at(root)))
}

fn outlook(steps: impl IntoIterator<Item = Step>) -> (Arc<ScriptedTransport>, Outlook) {
    let (transport, outlook) = fresh(steps, Root::Own);
    outlook.keep(&Arc::new(places()));
    (transport, outlook)
}

/// The same where the service's refusals are read as the connector reads them.
fn judged(steps: impl IntoIterator<Item = Step>) -> (Arc<ScriptedTransport>, Outlook) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let config = MicrosoftConfig::web("id", "secret");
    let mut endpoints = config.endpoints();
    endpoints.graph = Url::parse(GRAPH).unwrap();
    let connector = Microsoft::new(config.with_endpoints(endpoints)).unwrap();
    let session = test_session(Arc::clone(&transport) as _, Arc::new(connector)).build();
    let outlook = Outlook::new(session, client());
    outlook.keep(&Arc::new(places()));
    (transport, outlook)
}

/// The path of a message, or of something below it.
fn path(rest: &str) -> String {
    format!("/v1.0/me/messages/{rest}")
}

fn refusal(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "Refused" } })
}

/// A small delivered message as Graph answers it.
fn full(id: &str) -> Value {
    json!({
        "@odata.etag": "W/\"ck1\"", "id": id, "changeKey": "ck1", "lastModifiedDateTime": "2026-01-01T00:00:05Z",
        "receivedDateTime": "2026-01-01T00:00:03.1234567Z", "sentDateTime": "2026-01-01T00:00:00Z", "subject": "Offer €",
        "bodyPreview": "Hi & welcome", "conversationId": "t1", "parentFolderId": "inbox-id",
        "internetMessageId": "<m1@example.com>", "isRead": false, "isDraft": false, "hasAttachments": false,
        "flag": { "flagStatus": "flagged" },
        "from": { "emailAddress": { "name": "Ann Example", "address": "ann@example.com" } },
        "sender": { "emailAddress": { "name": "Ann Example", "address": "ann@example.com" } },
        "toRecipients": [{ "emailAddress": { "name": "bob@example.org", "address": "bob@example.org" } }],
        "ccRecipients": [], "bccRecipients": null, "replyTo": [],
        "body": { "contentType": "html", "content": "<p>Hi &amp; welcome</p>" },
        "internetMessageHeaders": [
            { "name": "From", "value": "Ann Example <ann@example.com>" },
            { "name": "TO", "value": "bob@example.org, Carol <carol@example.org>" },
            { "name": "Subject", "value": "=?utf-8?Q?Offer_=E2=82=AC?=" },
            { "name": "Date", "value": "Thu, 1 Jan 2026 01:00:00 +0100" },
            { "name": "Message-ID", "value": "<m1@example.com>" },
            { "name": "References", "value": "<a@x> <b@x>" },
            { "name": "List-Id", "value": "<news.example.com>" },
            { "name": "Content-Type", "value": "multipart/alternative; boundary=b" }
        ]
    })
}

/// What Graph has of a message that was sent from the mailbox: no header fields.
fn without_fields(id: &str) -> Value {
    let mut message = full(id);
    message.as_object_mut().unwrap().remove("internetMessageHeaders");
    message["parentFolderId"] = json!("sent-id");
    message
}

/// A batch answer of (number, status, body).
fn batch(parts: &[(usize, u16, Value)]) -> Step {
    let one = |(index, status, body): &(usize, u16, Value)| json!({ "id": index.to_string(), "status": status, "headers": { "Content-Type": "x" }, "body": body });
    let responses: Vec<Value> = parts.iter().map(one).collect();
    Step::post("/v1.0/$batch").answers_json(200, &json!({ "responses": responses }))
}

/// The paths that a batch asked for.
fn asked(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let requests = body["requests"].as_array().unwrap();
    requests.iter().map(|request| request["url"].as_str().unwrap().to_owned()).collect()
}
