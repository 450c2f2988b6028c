use serde_json::{Value, json};

use super::*;

fn numbered(caller: &mut Caller, count: usize) -> Vec<String> {
    let deliver = |n| {
        caller.pass(1);
        caller.deliver(&plain("bob@example.org", &format!("N {n}"), "x"))
    };
    (0..count).map(deliver).collect()
}

#[test]
fn listing_is_newest_first_and_pages_meet_without_gaps() {
    let mut caller = Caller::new(GmailSettings::default());
    let mut all = numbered(&mut caller, 7);
    let first = caller.get("messages?maxResults=3");
    // What arrives between two pages is no reason to shift them.
    caller.pass(1);
    caller.deliver(&plain("bob@example.org", "late", "x"));
    let token = first["nextPageToken"].as_str().unwrap().to_owned();
    let second = caller.get(&format!("messages?maxResults=3&pageToken={token}"));
    let last = caller.get(&format!("messages?maxResults=3&pageToken={}", second["nextPageToken"].as_str().unwrap()));
    assert!(last.get("nextPageToken").is_none());
    all.reverse();
    assert_eq!([ids(&first), ids(&second), ids(&last)].concat(), all);
}

#[test]
fn page_token_is_bound_to_its_parameters_mailbox_and_life() {
    let mut caller = Caller::new(GmailSettings::default());
    numbered(&mut caller, 3);
    let token = caller.get("messages?maxResults=1")["nextPageToken"].as_str().unwrap().to_owned();
    for path in ["messages?maxResults=2", "messages?maxResults=1&q=in:inbox", "threads?maxResults=1"] {
        assert_eq!(caller.refused("GET", &format!("{path}&pageToken={token}"), &Value::Null).0, 400, "{path}");
    }
    let other = Caller::of(&caller.gmail, "bob@example.org");
    assert_eq!(other.refused("GET", &format!("messages?maxResults=1&pageToken={token}"), &Value::Null).0, 400);
    assert_eq!(caller.refused("GET", "messages?pageToken=junk", &Value::Null).0, 400);
    caller.pass(2 * 24 * 3600);
    assert_eq!(caller.refused("GET", &format!("messages?maxResults=1&pageToken={token}"), &Value::Null).0, 400);
}

#[test]
fn search_understands_the_operators_that_sync_needs() {
    let mut caller = Caller::new(GmailSettings::default());
    let bob = caller.deliver(&plain("Bob Stone <bob@example.org>", "Big offer", "the body speaks of zebras"));
    caller.pass(100);
    let eve = caller.deliver(&plain("eve@other.net", "Re: lunch", "see you"));
    let spam = caller.gmail.mailbox(ANN).deliver(mail(&plain("x@spam.net", "Win", "w")), caller.now, &["SPAM"]);
    let at = caller.now.timestamp();
    for (q, want) in [
        ("from:bob@example.org".to_owned(), vec![&bob]),
        ("from:ob@example.org".to_owned(), vec![]),
        ("from:stone".to_owned(), vec![&bob]),
        ("to:ann@example.com subject:offer".to_owned(), vec![&bob]),
        (format!("after:{at}"), vec![&eve]),
        (format!("before:{at}"), vec![&bob]),
        ("rfc822msgid:Big.offer@x".to_owned(), vec![&bob]),
        ("zebras".to_owned(), vec![&bob]),
        ("-from:bob -in:chats".to_owned(), vec![&eve]),
        ("{from:bob from:eve}".to_owned(), vec![&eve, &bob]),
        ("from:bob OR from:eve".to_owned(), vec![&eve, &bob]),
        ("\"big offer\"".to_owned(), vec![&bob]),
        ("in:anywhere from:x@spam.net".to_owned(), vec![&spam]),
        ("from:x@spam.net".to_owned(), vec![]),
        ("has:attachment".to_owned(), vec![]),
        ("))) (".to_owned(), vec![&eve, &bob]),
    ] {
        let coded: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        let found = ids(&caller.get(&format!("messages?q={coded}")));
        assert_eq!(found.iter().collect::<Vec<_>>(), want, "{q}");
    }
}

#[test]
fn history_tells_each_kind_of_change_in_order() {
    let mut caller = Caller::new(GmailSettings::default());
    let start = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    let id = numbered(&mut caller, 1).remove(0);
    caller.post(&format!("messages/{id}/modify"), &json!({"addLabelIds": ["STARRED"], "removeLabelIds": ["UNREAD"]}));
    caller.ask("DELETE", &format!("messages/{id}"), &Value::Null);
    let answer = caller.get(&format!("history?startHistoryId={start}"));
    let entries = answer["history"].as_array().unwrap();
    let kinds = ["messagesAdded", "labelsAdded", "labelsRemoved", "messagesDeleted"];
    for (entry, kind) in entries.iter().zip(kinds) {
        assert_eq!(entry[kind][0]["message"]["id"], id.as_str(), "{entry}");
        assert_eq!(entry["messages"][0]["id"], id.as_str());
    }
    assert_eq!((entries.len(), &entries[2]["labelsRemoved"][0]["labelIds"]), (4, &json!(["UNREAD"])));
    let only = caller.get(&format!("history?startHistoryId={start}&historyTypes=messageDeleted"));
    assert_eq!(only["history"].as_array().unwrap().len(), 1);
    let plural = format!("history?startHistoryId={start}&historyTypes=messagesAdded");
    assert_eq!(caller.refused("GET", &plural, &Value::Null), (400, "invalidArgument".into()));
    let end = answer["historyId"].as_str().unwrap();
    let nothing = caller.get(&format!("history?startHistoryId={end}"));
    assert_eq!(nothing, json!({ "historyId": end }));
}

#[test]
fn history_pages_may_be_empty_and_still_go_on() {
    let mut caller = Caller::new(GmailSettings::default());
    let start = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    let all = numbered(&mut caller, 4);
    caller.ask("DELETE", &format!("messages/{}", all[0]), &Value::Null);
    let base = format!("history?startHistoryId={start}&historyTypes=messageDeleted&maxResults=2");
    let first = caller.get(&base);
    assert!(first.get("history").is_none());
    let second = caller.get(&format!("{base}&pageToken={}", first["nextPageToken"].as_str().unwrap()));
    let third = caller.get(&format!("{base}&pageToken={}", second["nextPageToken"].as_str().unwrap()));
    assert_eq!(third["history"].as_array().unwrap().len(), 1);
    assert!(third.get("nextPageToken").is_none());
}

#[test]
fn history_expires_by_age_and_on_demand() {
    let mut caller = Caller::new(GmailSettings::default());
    let start = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    numbered(&mut caller, 1);
    let path = format!("history?startHistoryId={start}");
    assert!(caller.get(&path).get("history").is_some());
    caller.pass(8 * 24 * 3600);
    assert_eq!(caller.refused("GET", &path, &Value::Null), (404, "notFound".into()));
    let head = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    caller.get(&format!("history?startHistoryId={head}"));
    caller.gmail.mailbox(ANN).expire_history();
    assert_eq!(caller.refused("GET", &format!("history?startHistoryId={head}"), &Value::Null).0, 404);
    let head = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    caller.get(&format!("history?startHistoryId={head}"));
    for garbage in ["x", "", "99999999999"] {
        assert_eq!(
            caller.refused("GET", &format!("history?startHistoryId={garbage}"), &Value::Null).0,
            400,
            "{garbage}"
        );
    }
}

#[test]
fn message_hidden_from_history_is_listed_only() {
    let mut caller = Caller::new(GmailSettings::default());
    let start = caller.get("profile")["historyId"].as_str().unwrap().to_owned();
    let all = numbered(&mut caller, 2);
    caller.gmail.mailbox(ANN).hide_from_history(&all[0]);
    let told = caller.get(&format!("history?startHistoryId={start}"));
    assert_eq!(told["history"].as_array().unwrap().len(), 1);
    assert_eq!(ids(&caller.get("messages")).len(), 2);
}

#[test]
fn threads_are_listed_once_at_their_newest_message() {
    let mut caller = Caller::new(GmailSettings::default());
    let first = caller.deliver(&plain("bob@example.org", "One", "a"));
    caller.pass(1);
    let other = caller.deliver(&plain("bob@example.org", "Two", "b"));
    caller.pass(1);
    caller.deliver("From: bob@example.org\nSubject: RE: One\nReferences: <One@x>\n\nc\n");
    caller.pass(1);
    let stranger = caller.deliver("From: bob@example.org\nSubject: Three\nReferences: <One@x>\n\nd\n");
    let page = caller.get("threads?maxResults=2");
    let next = caller.get(&format!("threads?maxResults=2&pageToken={}", page["nextPageToken"].as_str().unwrap()));
    let listed = [page["threads"].as_array().unwrap().clone(), next["threads"].as_array().unwrap().clone()].concat();
    let listed: Vec<_> = listed.iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&stranger, &first, &other]);
}
