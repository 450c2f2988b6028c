use serde_json::{Value, json};

use super::{ANN, Caller, ids, mail, plain, refusal, subjects};
use crate::microsoft::graph::{GraphSettings, Oddities};

fn filled(count: usize) -> Caller {
    let mut caller = Caller::new(GraphSettings::default());
    for number in 0..count {
        caller.deliver(&plain("Bob B <bob@x.org>", &format!("Number {number}"), "words"));
        caller.pass(60);
    }
    caller
}

#[test]
fn a_list_has_ten_messages_unless_asked_newest_first() {
    let caller = filled(13);
    let list = caller.get("messages");
    assert_eq!(subjects(&list)[..2], ["Number 12", "Number 11"]);
    assert_eq!(list["value"].as_array().unwrap().len(), 10);
    let next = caller.get(list["@odata.nextLink"].as_str().unwrap());
    assert_eq!(subjects(&next), ["Number 2", "Number 1", "Number 0"]);
    assert!(next.get("@odata.nextLink").is_none());
    assert_eq!(caller.get("messages?$top=1000&$count=true")["@odata.count"], 13);
    assert_eq!(caller.refused("GET", "messages?$top=1001", &Value::Null), refusal(400, "RequestBroker--ParseUri"));
}

#[test]
fn a_list_of_a_folder_holds_no_others() {
    let caller = filled(2);
    caller.graph.mailbox(ANN).deliver(mail(&plain("c@x", "Elsewhere", "")), caller.now, "archive");
    assert_eq!(subjects(&caller.get("mailFolders/archive/messages")), ["Elsewhere"]);
    assert_eq!(caller.get("mailFolders('inbox')/messages")["value"].as_array().unwrap().len(), 2);
    assert_eq!(caller.get("messages")["value"].as_array().unwrap().len(), 3);
    assert_eq!(
        caller.refused("GET", "mailFolders/nothing/messages", &Value::Null),
        refusal(400, "ErrorInvalidIdMalformed")
    );
}

#[test]
fn filters_bound_times_and_name_ids() {
    let caller = filled(5);
    let between =
        "messages?$filter=receivedDateTime ge 2026-01-05T08:01:00Z and receivedDateTime lt 2026-01-05T08:03:00Z";
    assert_eq!(subjects(&caller.get(between)), ["Number 2", "Number 1"]);
    assert_eq!(subjects(&caller.get("messages?$filter=internetMessageId eq '<Number.3@x>'")), ["Number 3"]);
    assert!(subjects(&caller.get("messages?$filter=isDraft eq true")).is_empty());
    let not = "messages?$filter=not (subject eq 'Number 1' or startswith(subject,'Number 2')) and isRead eq false";
    assert_eq!(subjects(&caller.get(not)), ["Number 4", "Number 3", "Number 0"]);
    for wrong in ["nonsense eq 1", "receivedDateTime ge 'x'", "isRead eq", "(isRead eq true", "isRead eq true)"] {
        let (status, _) = caller.refused("GET", &format!("messages?$filter={wrong}"), &Value::Null);
        assert_eq!(status, 400, "{wrong}");
    }
}

#[test]
fn an_order_must_lead_the_filter() {
    let caller = filled(3);
    let good =
        "messages?$filter=receivedDateTime ge 2026-01-01T00:00:00Z and isRead eq false&$orderby=receivedDateTime asc";
    assert_eq!(subjects(&caller.get(good)), ["Number 0", "Number 1", "Number 2"]);
    for bad in [
        "messages?$filter=isRead eq false&$orderby=receivedDateTime desc",
        "messages?$filter=isRead eq false and receivedDateTime ge 2026-01-01T00:00:00Z&$orderby=receivedDateTime desc",
    ] {
        assert_eq!(caller.refused("GET", bad, &Value::Null), refusal(400, "InefficientFilter"));
    }
}

#[test]
fn a_search_finds_words_in_fields_and_takes_no_filter() {
    let caller = filled(2);
    caller.deliver(&plain("zoe@y.org", "Invoice", "about the roof"));
    assert_eq!(subjects(&caller.get("messages?$search=\"roof\"")), ["Invoice"]);
    assert_eq!(subjects(&caller.get("messages?$search=\"participants:zoe@y.org\"")), ["Invoice"]);
    assert_eq!(subjects(&caller.get("messages?$search=\"from:bob AND subject:1\"")), ["Number 1"]);
    let both = "messages?$search=\"roof\"&$filter=isRead eq false";
    assert_eq!(caller.refused("GET", both, &Value::Null), refusal(400, "SearchWithFilter"));
}

#[test]
fn selected_properties_come_with_the_id_and_strangers_are_refused() {
    let caller = filled(1);
    let list = caller.get("messages?$select=subject,internetMessageHeaders");
    let message = list["value"][0].as_object().unwrap();
    let names: Vec<&str> = message.keys().map(String::as_str).collect();
    assert_eq!(names, ["@odata.etag", "id", "internetMessageHeaders", "subject"]);
    assert!(caller.get("messages")["value"][0].get("internetMessageHeaders").is_none());
    assert_eq!(
        caller.refused("GET", "messages?$select=wellKnownName", &Value::Null),
        refusal(400, "RequestBroker--ParseUri")
    );
}

#[test]
fn pages_can_be_empty_too_big_or_lead_astray() {
    let caller = filled(12);
    let odd = |change: &dyn Fn(&mut Oddities)| caller.graph.change_oddities(|oddities| change(oddities));
    odd(&|o| o.empty_pages = 1);
    let list = caller.get("messages");
    assert_eq!(list["value"], json!([]));
    assert_eq!(ids(&caller.get(list["@odata.nextLink"].as_str().unwrap())).len(), 10);
    odd(&|o| o.foreign_next_link = Some("https://evil.example".to_owned()));
    assert!(caller.get("messages")["@odata.nextLink"].as_str().unwrap().starts_with("https://evil.example/v1.0/me/"));
    odd(&|o| o.largest_page = Some(5));
    let answer = caller.answer("GET", "messages?$top=6", &Value::Null);
    assert_eq!(answer.status().as_u16(), 504);
    assert!(answer.body().starts_with(b"<html>"));
    assert_eq!(ids(&caller.get("messages?$top=5")).len(), 5);
}

#[test]
fn whoever_may_read_only_basics_sees_no_bodies() {
    let caller = filled(1).with_scopes(&["https://graph.microsoft.com/Mail.ReadBasic"]);
    let list = caller.get("messages");
    assert!(list["value"][0].get("body").is_none() && list["value"][0].get("bodyPreview").is_none());
    assert_eq!(list["value"][0]["subject"], "Number 0");
    let id = &ids(&list)[0];
    assert_eq!(
        caller.refused("GET", &format!("messages/{id}/$value"), &Value::Null),
        refusal(403, "ErrorAccessDenied")
    );
    let expanded = "messages?$expand=attachments";
    assert_eq!(caller.refused("GET", expanded, &Value::Null), refusal(403, "ErrorAccessDenied"));
}
