use integration_core::{
    ErrorKind,
    email::{EmailProvider, MessageQuery},
    ids::FolderId,
    page::PageToken,
    testing::Step,
};
use serde_json::{Value, json};

use super::{full, outlook};
use crate::outlook::query;

fn parameter(query: &MessageQuery, name: &str) -> Option<String> {
    query::parameters(query, 250).into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.into_owned())
}

#[test]
fn times_and_ids_are_filters_and_what_is_sorted_by_is_filtered_by_first() {
    let mut query = MessageQuery::default();
    assert_eq!(parameter(&query, "$filter").unwrap(), "receivedDateTime ge 1900-01-01T00:00:00Z");
    assert_eq!(parameter(&query, "$orderby").unwrap(), "receivedDateTime desc");
    assert_eq!(parameter(&query, "$top").unwrap(), "250");
    query.since = Some("2026-01-01T00:00:00Z".parse().unwrap());
    query.until = Some("2026-02-01T00:00:00.5Z".parse().unwrap());
    let filter = "receivedDateTime ge 2026-01-01T00:00:00Z and receivedDateTime lt 2026-02-01T00:00:00.500Z";
    assert_eq!(parameter(&query, "$filter").unwrap(), filter);
    query.message_id = Some("<o'brien@example.com>".to_owned());
    assert_eq!(parameter(&query, "$filter").unwrap(), "internetMessageId eq '<o''brien@example.com>'");
    assert_eq!(parameter(&query, "$orderby"), None);
}

#[test]
fn words_and_people_are_a_search_that_cannot_be_escaped_from() {
    let mut query = MessageQuery::default();
    query.text = Some("big \"offer\" \\ now\n".to_owned());
    query.participant = Some("ann@example.com\" OR from:(x)".to_owned());
    query.since = Some("2026-01-01T12:00:00Z".parse().unwrap());
    query.until = Some("2026-02-01T12:00:00Z".parse().unwrap());
    let search = "\"big offer now AND participants:ann@example.comORfromx\"";
    assert_eq!(parameter(&query, "$search").unwrap(), search);
    assert_eq!((parameter(&query, "$filter"), parameter(&query, "$orderby")), (None, None));
}

const MESSAGES: &str = "/v1.0/me/messages";

async fn found(query: &MessageQuery, entries: Vec<Value>) -> Vec<String> {
    let at = match &query.folder {
        Some(folder) => format!("/v1.0/me/mailFolders/{folder}/messages"),
        None => MESSAGES.to_owned(),
    };
    let (transport, outlook) = outlook([Step::get(&at).answers_json(200, &json!({ "value": entries }))]);
    let page = outlook.search(query, None).await.unwrap();
    transport.finish();
    page.items.into_iter().map(|stub| stub.id.to_string()).collect()
}

fn with(id: &str, name: &str, value: Value) -> Value {
    let mut message = full(id);
    message[name] = value;
    message
}

#[tokio::test(start_paused = true)]
async fn whatever_the_service_finds_is_held_against_the_query() {
    let entries = || {
        vec![
            full("a"),
            with("junk", "parentFolderId", json!("junk-id")),
            with("trash", "parentFolderId", json!("trash-id")),
            with("old", "receivedDateTime", json!("2025-01-01T00:00:00Z")),
            with("other", "from", json!({ "emailAddress": { "address": "joann@example.com" } })),
            json!({ "subject": "without an id" }),
            json!(7),
        ]
    };
    let mut query = MessageQuery::default();
    assert_eq!(found(&query, entries()).await, ["a", "old", "other"]);
    query.include_junk_and_trash = true;
    assert_eq!(found(&query, entries()).await, ["a", "junk", "trash", "old", "other"]);
    query.since = Some("2026-01-01T00:00:00Z".parse().unwrap());
    query.participant = Some("ANN@example.com".to_owned());
    // A sender of the same name who is not the one; the sender field of "other" is, as a secretary's would be.
    assert_eq!(found(&query, entries()).await, ["a", "junk", "trash", "other"]);
    query.until = query.since;
    assert_eq!(found(&query, entries()).await, Vec::<String>::new());
    let mut query = MessageQuery::default();
    query.folder = Some(FolderId::new("junk-id"));
    query.message_id = Some("m1@example.com".to_owned());
    let other = with("another", "internetMessageId", json!("<m11@example.com>"));
    assert_eq!(found(&query, vec![with("junk", "parentFolderId", json!("junk-id")), other]).await, ["junk"]);
}

#[tokio::test(start_paused = true)]
async fn pages_follow_the_services_own_links_and_no_others() {
    let next = "https://graph.example/v1.0/me/messages?$skip=1&$top=1";
    let (transport, outlook) = outlook([
        Step::get(MESSAGES)
            .with_query("$top", "1")
            .answers_json(200, &json!({ "value": [full("a")], "@odata.nextLink": next })),
        Step::get(MESSAGES).with_query("$skip", "1").answers_json(200, &json!({ "value": [full("b")] })),
    ]);
    let mut query = MessageQuery::default();
    query.page_size = Some(1);
    let page = outlook.search(&query, None).await.unwrap();
    let last = outlook.search(&query, page.next.as_ref()).await.unwrap();
    assert_eq!((last.items[0].id.as_str(), last.next), ("b", None));
    assert_eq!(transport.seen()[1].url.as_str(), next);
    for token in ["no token of yours", "https://evil.example/v1.0/me/messages"] {
        let error = outlook.search(&query, Some(&PageToken::new(token))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_page_is_as_large_as_it_is_asked_for_up_to_the_service_s_largest() {
    for (asked, told) in [(None, "250"), (Some(7), "7"), (Some(0), "1"), (Some(9_000), "1000")] {
        let mut query = MessageQuery::default();
        query.page_size = asked;
        let page = Step::get(MESSAGES).with_query("$top", told).answers_json(200, &json!({ "value": [] }));
        let (transport, outlook) = outlook([page]);
        outlook.search(&query, None).await.unwrap();
        transport.finish();
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_is_too_much_for_a_gateway_is_asked_for_less() {
    let (transport, outlook) = outlook([
        Step::get(MESSAGES).with_query("$top", "250").answers(504, "<html>"),
        Step::get(MESSAGES).with_query("$top", "125").answers_json(200, &json!({ "value": [] })),
    ]);
    outlook.search(&MessageQuery::default(), None).await.unwrap();
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_further_page_is_followed_as_it_came_and_the_next_search_begins_smaller_where_it_was_too_much() {
    let next = "https://graph.example/v1.0/me/messages?$skip=250&$top=250";
    let further = |status| Step::get(MESSAGES).with_query("$skip", "250").with_query("$top", "250").answers(status, "");
    let steps = [500, 504, 504, 504].map(further).into_iter();
    let smaller = Step::get(MESSAGES).with_query("$top", "125").answers_json(200, &json!({ "value": [] }));
    let (transport, outlook) = outlook(steps.chain([smaller]));
    let error = outlook.search(&MessageQuery::default(), Some(&PageToken::new(next))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    outlook.search(&MessageQuery::default(), None).await.unwrap();
    transport.finish();
}
