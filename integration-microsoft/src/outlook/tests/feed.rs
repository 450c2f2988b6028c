use integration_core::{
    ErrorKind,
    email::{EmailProvider, MailItem},
    ids::{ItemKey, PartitionId},
    sync::{Body, Change, ChangePage, Cursor, Feed, Next, Removal, Window},
    testing::Step,
};
use serde_json::{Value, json};

use super::{fresh, full, judged, outlook, refusal, without_fields};
use crate::client::Root;

const DELTA: &str = "/v1.0/me/mailFolders/inbox-id/messages/delta";
const HERE: &str = "https://graph.example";

fn inbox() -> PartitionId {
    PartitionId::new("inbox-id")
}

fn link(token: &str) -> String {
    format!("{HERE}{DELTA}?$skiptoken={token}%2B==")
}

fn page(entries: Vec<Value>, next: (&str, &str)) -> Value {
    json!({ "value": entries, (next.0): link(next.1) })
}

const MORE: &str = "@odata.nextLink";
const END: &str = "@odata.deltaLink";

fn brief(page: &ChangePage<MailItem>) -> Vec<String> {
    let one = |change: &Change<MailItem>| match change {
        Change::Upsert { key, revision, body: Body::Deferred, .. } => format!("{key} later @{}", revision.tag),
        Change::Upsert { key, body: Body::Inline(MailItem::Flags(flags)), .. } => {
            format!("{key} marked {} {}", flags.read, flags.folders[0])
        }
        Change::Upsert { key, body: Body::Inline(MailItem::Message(message)), .. } => {
            format!("{key} {}", message.subject)
        }
        Change::Removed { key, how: Removal::LeftPartition } => format!("{key} left"),
        Change::Malformed { key, reason, .. } => {
            format!("{} malformed: {}", key.as_ref().map_or("?", ItemKey::as_str), reason.as_str())
        }
        other => format!("{other:?}"),
    };
    page.changes.iter().map(one).collect()
}

fn head(next: Next) -> Cursor {
    match next {
        Next::Done { head: Some(head) } => head,
        other => panic!("no head: {other:?}"),
    }
}

/// The position after an empty walk.
async fn at_head(feed: &dyn Feed<Item = MailItem>) -> Cursor {
    head(feed.snapshot(&inbox(), &Window::default(), None).await.unwrap().next)
}

fn empty_walk() -> Step {
    Step::get(DELTA).answers_json(200, &page(vec![], (END, "d0")))
}

#[tokio::test(start_paused = true)]
async fn a_walk_brings_whole_messages_and_its_links_are_followed_as_they_are() {
    let (transport, outlook) = outlook([
        Step::get(DELTA).with_query("$orderby", "receivedDateTime desc").answers_json(
            200,
            &page(
                vec![full("a"), without_fields("b"), json!({ "id": "gone", "@removed": { "reason": "deleted" } })],
                (MORE, "p2"),
            ),
        ),
        Step::get(DELTA).answers_json(200, &page(vec![], (MORE, "p3"))),
        Step::get(DELTA).answers_json(200, &page(vec![full("c")], (END, "d1"))),
    ]);
    let feed = outlook.feed();
    assert_eq!(feed.anchor(&inbox()).await.unwrap(), None);
    let mut pages = vec![feed.snapshot(&inbox(), &Window::default(), None).await.unwrap()];
    while let Next::More(next) = pages.last().unwrap().next.clone() {
        // As it comes back from a store.
        let next: Cursor = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        pages.push(feed.snapshot(&inbox(), &Window::default(), Some(&next)).await.unwrap());
    }
    let told: Vec<String> = pages.iter().flat_map(brief).collect();
    assert_eq!(told, ["a Offer €", "b later @ck1", "gone left", "c Offer €"]);
    head(pages.pop().unwrap().next);
    let seen = transport.seen();
    assert_eq!(seen[1].url.as_str(), link("p2"));
    for request in &seen {
        let prefer = request.header("prefer").unwrap();
        for wanted in ["IdType=\"ImmutableId\"", "odata.maxpagesize=100", "outlook.body-content-type=\"html\""] {
            assert!(prefer.contains(wanted), "{prefer}");
        }
        assert_eq!(request.header("client-request-id").unwrap().len(), 36);
    }
    let select = seen[0].query("$select").unwrap();
    assert!(select.ends_with(",body") && select.contains("internetMessageHeaders"), "{select}");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_with_the_last_word_on_each_message() {
    let entries = vec![
        json!({ "id": "a", "isRead": true }),
        json!({ "id": "b", "isRead": true, "flag": { "flagStatus": "notFlagged" } }),
        json!({ "id": "c", "@removed": { "reason": "changed" } }),
        json!({ "id": "d", "@removed": { "reason": "deleted" } }),
        full("e"),
        json!({ "id": "f", "subject": 7 }),
        json!({ "subject": "nobody" }),
        full("d"),
        full("c"),
        json!({ "id": "c", "@removed": { "reason": "changed" } }),
    ];
    let (transport, outlook) = outlook([empty_walk(), Step::get(DELTA).answers_json(200, &page(entries, (END, "d1")))]);
    let feed = outlook.feed();
    let since = at_head(&*feed).await;
    let changes = feed.changes(&inbox(), &since).await.unwrap();
    let expected = [
        "a later @",
        "b marked true inbox-id",
        "e Offer €",
        "f malformed: an entry cannot be read as a message",
        "? malformed: an entry has no id",
        "d Offer €",
        "c left",
    ];
    assert_eq!(brief(&changes), expected);
    head(changes.next);
    assert_eq!(transport.seen()[1].url.as_str(), link("d0"));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_change_that_must_be_fetched_never_passes_for_one_that_is_known() {
    let (_, outlook) = outlook([
        empty_walk(),
        Step::get(DELTA).answers_json(200, &page(vec![without_fields("a")], (END, "d1"))),
        Step::get(DELTA).answers_json(200, &page(vec![without_fields("a")], (END, "d1"))),
    ]);
    let feed = outlook.feed();
    let since = at_head(&*feed).await;
    let order = |page: &ChangePage<MailItem>| match &page.changes[0] {
        Change::Upsert { revision, body: Body::Deferred, .. } => revision.order,
        other => panic!("{other:?}"),
    };
    assert_eq!(order(&feed.changes(&inbox(), &since).await.unwrap()), None);
    assert!(order(&feed.snapshot(&inbox(), &Window::default(), None).await.unwrap()).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_lies_outside_the_window_is_left_out_and_what_says_no_time_is_not() {
    let timed = |id: &str, at: &str| {
        let mut message = full(id);
        message["receivedDateTime"] = json!(at);
        message
    };
    let entries = vec![
        timed("late", "2026-02-01T00:00:00Z"),
        timed("first", "2026-01-01T00:00:00Z"),
        timed("early", "2025-12-31T23:59:59Z"),
        json!({ "id": "when?", "isRead": true }),
    ];
    let (transport, outlook) = outlook([Step::get(DELTA).answers_json(200, &page(entries, (END, "d1")))]);
    let mut window = Window::since("2026-01-01T00:00:00Z".parse().unwrap());
    window.until = Some("2026-02-01T00:00:00Z".parse().unwrap());
    let told = outlook.feed().snapshot(&inbox(), &window, None).await.unwrap();
    assert_eq!(brief(&told), ["first Offer €", "when? later @"]);
    // A filter at the service would end the walk after 5,000 messages, and the head would keep it.
    assert_eq!(transport.seen()[0].query("$filter"), None);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_no_longer_known_asks_for_a_new_walk() {
    for (status, code) in
        [(410, "SyncStateNotFound"), (410, "resyncRequired"), (410, "Odd"), (400, "syncStateNotFound")]
    {
        let (transport, outlook) = judged([empty_walk(), Step::get(DELTA).answers_json(status, &refusal(code))]);
        let feed = outlook.feed();
        let since = at_head(&*feed).await;
        let error = feed.changes(&inbox(), &since).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CursorExpired, "{status} {code}");
        transport.finish();
    }
    let (_, outlook) = judged([Step::get(DELTA).answers_json(404, &refusal("ErrorFolderNotFound"))]);
    let error = outlook.feed().snapshot(&inbox(), &Window::default(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "the beginning of a walk has no link to blame");
}

#[tokio::test(start_paused = true)]
async fn a_refused_link_is_lost_only_where_the_service_says_so() {
    for (status, code, kind) in [
        (400, "BadRequest", ErrorKind::InvalidInput),
        (400, "Odd", ErrorKind::InvalidInput),
        (404, "Odd", ErrorKind::Unavailable),
    ] {
        let refused = std::iter::repeat_with(|| Step::get(DELTA).answers_json(status, &refusal(code)));
        let (_, outlook) = judged([empty_walk()].into_iter().chain(refused.take(8)));
        let feed = outlook.feed();
        let since = at_head(&*feed).await;
        assert_eq!(feed.changes(&inbox(), &since).await.unwrap_err().kind(), kind, "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_by_a_link_is_the_link_where_the_folder_is_still_there() {
    let folder = || Step::get("/v1.0/me/mailFolders/inbox-id");
    for (there, kind) in [(true, ErrorKind::CursorExpired), (false, ErrorKind::NotFound)] {
        let answer = match there {
            true => folder().answers_json(200, &json!({ "id": "inbox-id" })),
            false => folder().answers_json(404, &refusal("ErrorItemNotFound")),
        };
        let gone = Step::get(DELTA).answers_json(404, &refusal("ErrorItemNotFound"));
        let (transport, outlook) = judged([empty_walk(), gone, answer]);
        let feed = outlook.feed();
        let since = at_head(&*feed).await;
        assert_eq!(feed.changes(&inbox(), &since).await.unwrap_err().kind(), kind);
        transport.finish();
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_to_anywhere_else_is_never_followed() {
    let elsewhere = [
        "https://evil.example/v1.0/me/mailFolders/inbox-id/messages/delta?$skiptoken=x",
        "http://graph.example/v1.0/me/mailFolders/inbox-id/messages/delta",
        "https://graph.example:444/v1.0/me/messages",
        "https://graph.example@evil.example/v1.0/me/messages",
        "https://user:secret@graph.example/v1.0/me/messages",
        "https://graph.example.evil.example/v1.0/me/messages",
        "https://graph.example/other/me/messages",
        "https://graph.example/v1.0../me",
        "//graph.example/v1.0/me",
        "/v1.0/me/messages",
        "not a link",
    ];
    for link in elsewhere {
        let (transport, outlook) = outlook([Step::get(DELTA).answers_json(200, &json!({ "value": [], (MORE): link }))]);
        let error = outlook.feed().snapshot(&inbox(), &Window::default(), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Validation, "{link}");
        // What is kept begins with a slash: it can lead nowhere but below Graph.
        let followed = outlook.client.delta_link(link, 100);
        assert!(if link.starts_with('/') { followed.is_ok() } else { followed.is_err() }, "{link}");
        assert!(!format!("{error:?}").contains("evil"), "links hold tokens: {error:?}");
        assert_eq!(transport.seen().len(), 1, "{link}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_says_not_where_to_go_on_is_an_error_and_no_end() {
    let (_, outlook) = outlook([Step::get(DELTA).answers_json(200, &json!({ "value": [full("a")], (MORE): "" }))]);
    let error = outlook.feed().snapshot(&inbox(), &Window::default(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_walk_folder_window_or_mailbox_is_refused_before_any_call() {
    let (transport, outlook) = outlook([Step::get(DELTA).answers_json(200, &page(vec![], (MORE, "p2"))), empty_walk()]);
    let feed = outlook.feed();
    let Next::More(more) = feed.snapshot(&inbox(), &Window::default(), None).await.unwrap().next else { panic!() };
    let since = at_head(&*feed).await;
    let other = PartitionId::new("sent-id");
    let narrow = Window::since("2026-01-01T00:00:00Z".parse().unwrap());
    let (_, shared) = fresh([], Root::Mailbox("team@example.org".to_owned()));
    let errors = [
        feed.changes(&inbox(), &more).await.unwrap_err(),
        feed.changes(&other, &since).await.unwrap_err(),
        feed.snapshot(&inbox(), &Window::default(), Some(&since)).await.unwrap_err(),
        feed.snapshot(&inbox(), &narrow, Some(&more)).await.unwrap_err(),
        feed.partitions(Some(&more)).await.unwrap_err(),
        shared.feed().changes(&inbox(), &since).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::CursorExpired), "{errors:?}");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn another_mailbox_is_opened_by_its_name() {
    let path = "/v1.0/users/team%2Fb%40example.org/mailFolders/inbox-id/messages/delta";
    let (transport, outlook) = fresh(
        [Step::get(path).answers_json(200, &page(vec![], (END, "d")))],
        Root::Mailbox("team/b@example.org".to_owned()),
    );
    outlook.keep(&std::sync::Arc::new(super::places()));
    at_head(&*outlook.feed()).await;
    transport.finish();
}
