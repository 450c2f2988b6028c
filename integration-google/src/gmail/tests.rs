//! The pure parts from hand-written JSON, and the provider over a scripted transport.

mod convert;
mod decoder;
mod feed;
mod hostile;
mod provider;
mod push;
mod twice;

use integration_core::{email::MessageQuery, ids::FolderId, page::PageToken};
use serde_json::{Value, json};

use super::query;
use crate::client::Query;

/// A listing with every parameter that is ever sent.
pub(crate) fn every_parameter() -> Query<'static> {
    let query = full_query();
    let page = PageToken::new("page");
    let own = |(name, value): (&'static str, std::borrow::Cow<'_, str>)| (name, value.into_owned().into());
    query::search(&query, Some(&page)).into_iter().map(own).collect()
}

fn full_query() -> MessageQuery {
    let mut query = MessageQuery::default();
    query.text = Some("has:attachment  offer\n".to_owned());
    query.folder = Some(FolderId::new("Label_1"));
    query.since = Some("2026-01-01T00:00:00Z".parse().unwrap());
    query.until = Some("2026-02-01T00:00:00.5Z".parse().unwrap());
    query.participant = Some("ann@example.com} in:trash".to_owned());
    query.message_id = Some("<m1@example.com>".to_owned());
    query.include_junk_and_trash = true;
    query.page_size = Some(9_000);
    query
}

#[test]
fn a_query_becomes_search_terms_that_cannot_be_escaped_from() {
    let parameters = every_parameter();
    let get = |wanted: &str| parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_ref());
    let who = "ann@example.comin:trash";
    let terms = format!(
        "has:attachment offer rfc822msgid:m1@example.com {{from:{who} to:{who} cc:{who}}} after:1767225599 before:1769904001"
    );
    assert_eq!(get("q"), Some(terms.as_str()));
    assert_eq!(get("labelIds"), Some("Label_1"));
    assert_eq!(get("includeSpamTrash"), Some("true"));
    assert_eq!(get("maxResults"), Some("500"));
    assert_eq!(get("pageToken"), Some("page"));
}

#[test]
fn the_default_query_asks_for_everything_without_search_terms() {
    let query = MessageQuery::default();
    let parameters = query::search(&query, None);
    assert_eq!(parameters, [("maxResults", "500".into())]);
}

/// A small message as Gmail answers it.
fn full(id: &str) -> Value {
    json!({
        "id": id, "threadId": "t1", "labelIds": ["UNREAD", "INBOX"], "snippet": "Hi &amp; welcome",
        "sizeEstimate": 48211, "historyId": "987001", "internalDate": "1767225600000",
        "payload": {
            "partId": "", "mimeType": "multipart/mixed", "filename": "",
            "headers": [
                { "name": "From", "value": "Ann Example <ann@example.com>" },
                { "name": "TO", "value": "bob@example.org, Carol <carol@example.org>" },
                { "name": "Subject", "value": "=?utf-8?Q?Offer_=E2=82=AC?=" },
                { "name": "Date", "value": "Thu, 1 Jan 2026 01:00:00 +0100" },
                { "name": "Message-ID", "value": "<m1@example.com>" },
                { "name": "References", "value": "<a@x> <b@x>" }
            ],
            "body": { "size": 0 },
            "parts": [
                { "partId": "0", "mimeType": "text/plain", "filename": "",
                  "headers": [{ "name": "Content-Type", "value": "text/plain; charset=UTF-8" }],
                  "body": { "size": 12, "data": "SGkgJiB3ZWxjb21l" } },
                { "partId": "1", "mimeType": "application/pdf", "filename": "offer.pdf", "headers": [],
                  "body": { "attachmentId": "ephemeral", "size": 31000 } }
            ]
        }
    })
}
