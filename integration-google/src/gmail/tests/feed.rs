use std::sync::Arc;

use integration_core::{
    ErrorKind,
    email::{EmailProvider, MailItem, Role},
    ids::{ItemKey, PartitionId},
    sync::{Body, Change, Cursor, Feed, Next, Removal, Window},
    testing::{ScriptedTransport, Step, test_session},
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    Google, GoogleConfig,
    gmail::{Gmail, feed, wire},
};

type Changes = Vec<Change<MailItem>>;

fn brief(changes: &Changes) -> Vec<String> {
    let one = |change: &Change<MailItem>| match change {
        Change::Upsert { key, revision, body: Body::Deferred, .. } => format!("{key} later @{}", revision.tag),
        Change::Upsert { key, revision, body: Body::Inline(MailItem::Flags(flags)), .. } => {
            let labels: Vec<&str> = flags.folders.iter().map(|folder| folder.as_str()).collect();
            format!("{key} marked {} @{}", labels.join("+"), revision.tag)
        }
        Change::Removed { key, how: Removal::Gone } => format!("{key} gone"),
        Change::Malformed { .. } => "malformed".to_owned(),
        other => format!("{other:?}"),
    };
    changes.iter().map(one).collect()
}

fn records(list: Value) -> Vec<Box<RawValue>> {
    serde_json::from_value::<wire::HistoryList>(json!({ "history": list })).unwrap().history
}

fn touched(id: &str, labels: &[&str]) -> Value {
    json!([{ "message": { "id": id, "threadId": "t", "labelIds": labels }, "labelIds": ["X"] }])
}

#[test]
fn a_pages_records_come_to_one_change_a_message() {
    let (changes, largest) = feed::history_changes(&records(json!([
        { "id": "9", "messagesAdded": touched("a", &["INBOX", "UNREAD"]) },
        { "id": "12", "labelsRemoved": touched("a", &["INBOX"]) },
        { "id": "10", "labelsAdded": touched("b", &["TRASH"]) },
        { "id": "13", "labelsRemoved": touched("b", &["INBOX"]) },
        { "id": "11", "messagesAdded": touched("c", &["DRAFT"]) },
        { "id": "14", "messagesDeleted": touched("c", &[]) },
        { "id": "15", "labelsAdded": touched("d", &[]) },
        { "id": "16", "messagesAdded": touched("e", &["SENT"]), "labelsAdded": touched("e", &["SENT"]) }
    ])));
    let expected = ["a later @12", "b marked INBOX @13", "c gone", "d marked  @15", "e later @16"];
    assert_eq!(brief(&changes), expected);
    assert_eq!(largest, 16);
}

#[test]
fn history_ids_are_compared_as_numbers() {
    let (changes, largest) = feed::history_changes(&records(json!([
        { "id": "10", "labelsAdded": touched("a", &["NEW"]) },
        { "id": "9", "labelsAdded": touched("a", &["OLD"]) }
    ])));
    assert_eq!((brief(&changes), largest), (vec!["a marked NEW @10".to_owned()], 10));
}

#[test]
fn a_record_that_cannot_be_read_does_not_spoil_its_page() {
    let list = records(json!([
        { "id": "1", "messagesAdded": "what?" },
        { "id": "2", "messagesAdded": touched("a", &[]), "futureKind": [1] }
    ]));
    assert_eq!(brief(&feed::history_changes(&list).0), ["malformed", "a later @2"]);
}

#[test]
fn the_head_never_moves_back_and_never_passes_what_was_not_told() {
    let list = |value: Value| serde_json::from_value::<wire::HistoryList>(value).unwrap();
    let at = |start, page: Option<&str>, reached| feed::HistoryAt { start, page: page.map(str::to_owned), reached };
    let first = feed::next_position(&at(5, None, 0), &list(json!({ "historyId": "90", "nextPageToken": "p" })), 40);
    assert_eq!(first, at(5, Some("p"), 90));
    // What the last page names may be newer than what the walk saw.
    let last = feed::next_position(&first, &list(json!({ "historyId": "120" })), 95);
    assert_eq!(last, at(95, None, 0));
    assert_eq!(feed::next_position(&at(5, None, 0), &list(json!({ "historyId": "3" })), 0), at(5, None, 0));
    assert_eq!(feed::next_position(&at(5, None, 0), &list(json!({})), 0), at(5, None, 0));
}

struct Mailbox {
    transport: Arc<ScriptedTransport>,
    feed: Arc<dyn Feed<Item = MailItem>>,
    partition: PartitionId,
}

fn mailbox(steps: impl IntoIterator<Item = Step>) -> Mailbox {
    let (transport, gmail) = super::provider::gmail(steps);
    Mailbox { transport, feed: gmail.feed(), partition: PartitionId::new("mailbox") }
}

const HISTORY: &str = "/gmail/v1/users/me/history";
const LIST: &str = "/gmail/v1/users/me/messages";

fn head(next: Next) -> Cursor {
    match next {
        Next::Done { head: Some(head) } => head,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_anchor_is_the_profiles_history_id_and_changes_go_on_from_it() {
    let mailbox = mailbox([
        Step::get("/gmail/v1/users/me/profile").answers_json(200, &json!({ "historyId": "50" })),
        // A page without records is no end.
        Step::get(HISTORY)
            .with_query("startHistoryId", "50")
            .with_query("maxResults", "500")
            .answers_json(200, &json!({ "historyId": "60", "nextPageToken": "p2" })),
        Step::get(HISTORY).with_query("startHistoryId", "50").with_query("pageToken", "p2").answers_json(
            200,
            &json!({ "historyId": "61", "history": [{ "id": "55", "messagesAdded": touched("a", &["INBOX"]) }] }),
        ),
        Step::get(HISTORY).with_query("startHistoryId", "60").answers_json(200, &json!({ "historyId": "60" })),
    ]);
    let anchor = mailbox.feed.anchor(&mailbox.partition).await.unwrap().unwrap();
    let first = mailbox.feed.changes(&mailbox.partition, &anchor).await.unwrap();
    let Next::More(more) = first.next else { panic!("the walk ended early") };
    let second = mailbox.feed.changes(&mailbox.partition, &more).await.unwrap();
    assert_eq!(brief(&second.changes), ["a later @55"]);
    let idle = mailbox.feed.changes(&mailbox.partition, &head(second.next)).await.unwrap();
    assert!(idle.changes.is_empty());
    mailbox.transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_stale_page_begins_the_walk_again_before_it_gives_up() {
    let gone = json!({ "error": { "code": 404, "message": "Not found", "errors": [{ "reason": "notFound" }] } });
    let at = feed::HistoryAt { start: 50, page: Some("old".to_owned()), reached: 60 }.cursor().unwrap();
    let mailbox = mailbox([
        Step::get(HISTORY).with_query("pageToken", "old").answers_json(404, &gone),
        Step::get(HISTORY)
            .matching(|seen| seen.query("pageToken").is_none())
            .answers_json(200, &json!({ "historyId": "70" })),
        Step::get(HISTORY).with_query("startHistoryId", "70").answers_json(404, &gone),
    ]);
    let page = mailbox.feed.changes(&mailbox.partition, &at).await.unwrap();
    let expired = mailbox.feed.changes(&mailbox.partition, &head(page.next)).await.unwrap_err();
    assert_eq!(expired.kind(), ErrorKind::CursorExpired);
    mailbox.transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_lists_ids_page_by_page_within_its_window() {
    let window = Window::since("2026-01-01T00:00:00Z".parse().unwrap());
    let page = |ids: &[&str], next: Value| {
        let stubs: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "threadId": "t" })).collect();
        json!({ "messages": stubs, "nextPageToken": next, "resultSizeEstimate": 201 })
    };
    let mailbox = mailbox([
        Step::get(LIST)
            .with_query("q", "after:1767225599")
            .with_query("maxResults", "500")
            .matching(|seen| seen.query("includeSpamTrash").is_none())
            .answers_json(200, &page(&["c", "b"], json!("p2"))),
        Step::get(LIST)
            .with_query("q", "after:1767225599")
            .with_query("pageToken", "p2")
            .answers_json(200, &json!({ "messages": [{ "id": "a" }, { "threadId": "no id" }] })),
        Step::get(LIST).matching(|seen| seen.query("q").is_none()).answers_json(200, &page(&["a"], Value::Null)),
    ]);
    let first = mailbox.feed.snapshot(&mailbox.partition, &window, None).await.unwrap();
    assert_eq!((brief(&first.changes), first.total), (vec!["c later @".into(), "b later @".into()], None));
    let Next::More(more) = first.next else { panic!("the listing ended early") };
    let last = mailbox.feed.snapshot(&mailbox.partition, &window, Some(&more)).await.unwrap();
    assert_eq!(brief(&last.changes), ["a later @", "malformed"]);
    assert_eq!(last.next, Next::Done { head: None });
    let everything = mailbox.feed.snapshot(&mailbox.partition, &Window::default(), None).await.unwrap();
    assert_eq!(everything.total, Some(1));
    let other = mailbox.feed.snapshot(&mailbox.partition, &Window::default(), Some(&more)).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::CursorExpired, "a cursor is good for its own window only");
    mailbox.transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_fetched_draft_says_that_it_is_one() {
    let mut draft = super::full("m1");
    draft["labelIds"] = json!(["DRAFT"]);
    let mailbox = mailbox([Step::get("/gmail/v1/users/me/messages/m1").answers_json(200, &draft)]);
    let fetched = mailbox.feed.fetch(&[ItemKey::new("m1"), ItemKey::new("m1")]).await.unwrap();
    let [integration_core::sync::Fetched::Present { item: MailItem::Message(message), revision, .. }] = &fetched[..]
    else {
        panic!("{fetched:?}")
    };
    assert!(message.flags.has(Role::Drafts));
    assert_eq!(revision.order, Some(987_001));
    mailbox.transport.finish();
}

#[test]
fn the_feed_says_what_it_does() {
    let google = Arc::new(Google::new(GoogleConfig::desktop("c")).unwrap());
    let session = test_session(Arc::new(ScriptedTransport::new([])), google).build();
    let gmail = Gmail::new(session, super::provider::client());
    let capabilities = gmail.feed().capabilities();
    assert!(capabilities.anchor_first && capabilities.newest_first);
    assert_eq!((capabilities.fetch_batch, capabilities.fetch_cost), (9, 20));
}
