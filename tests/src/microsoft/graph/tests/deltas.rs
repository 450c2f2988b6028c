use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ANN, Caller, ids, plain, refusal};
use crate::microsoft::graph::{DeltaUpdates, Graph, GraphSettings, LostDelta, MoveReason, Returned};

const INBOX: &str = "mailFolders/inbox/messages/delta";

/// Follows a round to its end: all items, and the link for the next.
pub(super) fn round(caller: &Caller, start: &str) -> (Vec<Value>, String) {
    let (mut found, mut at) = (Vec::new(), start.to_owned());
    for _ in 0..1_000 {
        let page = caller.get(&at);
        found.extend(page["value"].as_array().unwrap().iter().cloned());
        if let Some(link) = page["@odata.deltaLink"].as_str() {
            assert!(page.get("@odata.nextLink").is_none());
            return (found, link.to_owned());
        }
        page["@odata.nextLink"].as_str().unwrap().clone_into(&mut at);
    }
    panic!("the round has no end");
}

fn fixed(settings: GraphSettings) -> Caller {
    Caller::new(settings).with_prefer("IdType=\"ImmutableId\", odata.maxpagesize=3")
}

fn fill(caller: &mut Caller, count: usize) -> Vec<String> {
    let deliver = |caller: &mut Caller, number: usize| {
        caller.pass(60);
        caller.deliver(&plain("b@x.org", &format!("Number {number}"), "words"))
    };
    (0..count).map(|number| deliver(caller, number)).collect()
}

pub(super) fn removed(item: &Value) -> Option<&str> {
    item["@removed"]["reason"].as_str()
}

#[test]
fn a_round_tells_everything_in_pages_and_the_next_only_what_changed() {
    let mut caller = fixed(GraphSettings::default());
    let all = fill(&mut caller, 7);
    let first = caller.get(&format!("{INBOX}?$select=subject"));
    assert_eq!(ids(&first).len(), 3);
    assert!(first["@odata.nextLink"].as_str().unwrap().contains("/messages/delta?$skiptoken="));
    assert_eq!(first["value"][0].as_object().unwrap().keys().count(), 3);
    let (items, link) = round(&caller, &format!("{INBOX}?$select=subject"));
    assert_eq!(items.len(), 7);
    assert_eq!(round(&caller, &link).0, Vec::<Value>::new());
    let mailbox = caller.graph.mailbox(ANN);
    mailbox.mark_read(&all[2], caller.now);
    let new = fill(&mut caller, 1);
    mailbox.remove(&all[0]);
    let (items, _) = round(&caller, &link);
    assert_eq!(items.len(), 3);
    let partial: Vec<&str> = items[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((items[0]["id"].as_str(), partial), (Some(all[2].as_str()), vec!["@odata.etag", "id"]));
    assert_eq!(items[1]["id"], json!(new[0]));
    assert_eq!((items[2]["id"].as_str(), removed(&items[2])), (Some(all[0].as_str()), Some("deleted")));
}

#[test]
fn updates_hold_what_changed_or_the_whole_message() {
    for (updates, whole) in [(DeltaUpdates::Partial, false), (DeltaUpdates::Full, true)] {
        let mut caller = fixed(GraphSettings { delta_updates: updates, ..GraphSettings::default() });
        let all = fill(&mut caller, 1);
        let (_, link) = round(&caller, INBOX);
        caller.graph.mailbox(ANN).flag(&all[0], "flagged", caller.now);
        caller.graph.mailbox(ANN).mark_read(&all[0], caller.now);
        let (items, _) = round(&caller, &link);
        assert_eq!((&items[0]["isRead"], &items[0]["flag"]["flagStatus"]), (&json!(true), &json!("flagged")));
        assert_eq!(items[0].get("subject").is_some(), whole);
    }
}

#[test]
fn only_the_newest_links_of_a_chain_can_be_used() {
    let mut caller = fixed(GraphSettings { lost_delta: LostDelta::Gone, ..GraphSettings::default() });
    fill(&mut caller, 1);
    let mut links = vec![round(&caller, INBOX).1];
    for _ in 0..3 {
        let (_, link) = round(&caller, links.last().unwrap());
        links.push(link);
    }
    round(&caller, &links[3]);
    let answer = caller.answer("GET", &links[0], &Value::Null);
    assert_eq!(answer.status().as_u16(), 410);
    assert!(answer.headers()["location"].to_str().unwrap().ends_with("/messages/delta"));
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("generation=1; highest=5 [5][4][3]"), "{message}");
    assert!(body["error"]["code"].as_str().unwrap().eq_ignore_ascii_case("syncstatenotfound"));
    round(&caller, &links[2]);
}

#[test]
fn lost_links_are_refused_in_two_ways_and_spellings() {
    let mut caller = fixed(GraphSettings::default());
    fill(&mut caller, 1);
    let (_, link) = round(&caller, INBOX);
    caller.graph.mailbox(ANN).expire_delta_links();
    let seen: std::collections::BTreeSet<(u16, String)> =
        (0..40).map(|_| caller.refused("GET", &link, &Value::Null)).collect();
    for status in [400, 410] {
        assert!(seen.iter().any(|(known, code)| *known == status && code == "syncStateNotFound"), "{seen:?}");
    }
    assert!(seen.iter().any(|(_, code)| code == "SyncStateNotFound"), "{seen:?}");
    assert_eq!(caller.refused("GET", &format!("{INBOX}?$deltatoken=x"), &Value::Null), refusal(400, "BadRequest"));
}

#[test]
fn a_move_is_removed_here_and_new_there() {
    for (reason, told) in [(MoveReason::Changed, "changed"), (MoveReason::Deleted, "deleted")] {
        let mut caller = fixed(GraphSettings { move_reason: reason, ..GraphSettings::default() });
        let all = fill(&mut caller, 2);
        let archive = "mailFolders/archive/messages/delta";
        let (inbox, other) = (round(&caller, INBOX).1, round(&caller, archive).1);
        caller.post(&format!("messages/{}/move", all[0]), &json!({"destinationId": "archive"}));
        let (left, came) = (round(&caller, &inbox).0, round(&caller, &other).0);
        assert_eq!((left.len(), removed(&left[0]), &left[0]["id"]), (1, Some(told), &json!(all[0])));
        assert_eq!((came.len(), &came[0]["id"], &came[0]["subject"]), (1, &json!(all[0]), &json!("Number 0")));
    }
}

#[test]
fn what_left_and_came_back_is_told_or_lost_as_the_service_loses_it() {
    for (returned, lost) in [(Returned::Told, false), (Returned::ToldAsRemoved, true)] {
        let mut caller = fixed(GraphSettings { returned, ..GraphSettings::default() });
        let all = fill(&mut caller, 1);
        let mutable = Caller::of(&caller.graph, ANN).with_prefer("");
        let (link, other) = (round(&caller, INBOX).1, round(&mutable, INBOX).1);
        let mailbox = caller.graph.mailbox(ANN);
        mailbox.move_message(&all[0], "archive", caller.now);
        mailbox.move_message(&all[0], "inbox", caller.now);
        let (items, _) = round(&caller, &link);
        assert_eq!((items.len(), removed(&items[0]).is_some()), (1, lost));
        // With ids that change, the old one is gone and a new one there, whatever happens.
        let (items, _) = round(&mutable, &other);
        assert_eq!(items.len(), 2);
        assert_eq!(items.iter().filter(|item| removed(item).is_some()).count(), 1);
    }
}

#[test]
fn a_round_can_begin_at_a_time_and_ends_after_five_thousand() {
    let caller = Caller::new(GraphSettings::default()).with_prefer("odata.maxpagesize=1000");
    let make: crate::microsoft::graph::Generator = std::sync::Arc::new(|_| super::mail(&plain("b@x", "S", "b")));
    caller.graph.mailbox(ANN).on_demand(5_010, &make);
    let (items, link) = round(&caller, &format!("{INBOX}?$select=id&$filter=receivedDateTime ge 2026-01-01T00:00:00Z"));
    assert_eq!(items.len(), 5_000);
    let (items, _) = round(&caller, &format!("{INBOX}?$select=id&$filter=receivedDateTime ge 2026-01-01T01:00:00Z"));
    assert_eq!(items.len(), 5_010 - 3_600);
    caller.deliver(&plain("b@x", "New", ""));
    assert_eq!(round(&caller, &link).0.len(), 1);
    let wrong = format!("{INBOX}?$filter=isRead eq false");
    assert_eq!(caller.refused("GET", &wrong, &Value::Null), refusal(400, "ErrorInvalidRequest"));
    let (status, _) = caller.refused("GET", &format!("{INBOX}?$search=\"x\""), &Value::Null);
    assert_eq!(status, 400);
}

#[test]
fn only_one_kind_of_change_can_be_asked_for() {
    let mut caller = fixed(GraphSettings::default());
    let all = fill(&mut caller, 2);
    let (created, link) = round(&caller, &format!("{INBOX}?changeType=created"));
    assert_eq!(created.len(), 2);
    let (deleted, gone) = round(&caller, &format!("{INBOX}?changeType=deleted"));
    assert!(deleted.is_empty());
    caller.graph.mailbox(ANN).mark_read(&all[0], caller.now);
    caller.graph.mailbox(ANN).remove(&all[1]);
    assert!(round(&caller, &link).0.is_empty());
    assert_eq!(round(&caller, &gone).0.len(), 1);
}

/// What a client holds that follows delta by its rules: last wins, removals are gone.
fn follow(held: &mut BTreeMap<String, Value>, items: Vec<Value>) {
    for item in items {
        let id = item["id"].as_str().unwrap().to_owned();
        if removed(&item).is_some() {
            held.remove(&id);
            continue;
        }
        let known = held.entry(id).or_insert_with(|| json!({}));
        for (name, value) in item.as_object().unwrap() {
            known[name] = value.clone();
        }
    }
}

#[test]
fn disorder_repeats_shortens_and_shuffles_but_comes_to_the_same() {
    for seed in 0..20 {
        let mut caller = fixed(GraphSettings { disorder: Some(seed), ..GraphSettings::default() });
        let all = fill(&mut caller, 12);
        let (items, mut link) = round(&caller, INBOX);
        let mut held = BTreeMap::new();
        follow(&mut held, items);
        for step in 0..6_usize {
            let mailbox = caller.graph.mailbox(ANN);
            mailbox.move_message(&all[step], "archive", caller.now);
            mailbox.mark_read(&all[step + 1], caller.now);
            mailbox.flag(&all[step + 6], "flagged", caller.now);
            if step.is_multiple_of(2) {
                mailbox.move_message(&all[step], "inbox", caller.now);
            }
            let (items, next) = round(&caller, &link);
            link = next;
            follow(&mut held, items);
            let whole = Caller::of(&caller.graph, ANN);
            let here = ids(&whole.get("mailFolders/inbox/messages?$top=100"));
            let mut known: Vec<&String> = held.keys().collect();
            let mut there: Vec<&String> = here.iter().collect();
            known.sort();
            there.sort();
            assert_eq!(known, there, "seed {seed} step {step}");
            for (id, item) in &held {
                let truth = caller.get(&format!("messages/{id}"));
                assert_eq!((&item["isRead"], &item["flag"]), (&truth["isRead"], &truth["flag"]), "seed {seed}");
            }
        }
    }
}

#[test]
fn pages_may_be_empty_before_the_end() {
    let mut caller = fixed(GraphSettings::default());
    fill(&mut caller, 2);
    caller.graph.change_oddities(|o| o.empty_pages = 1);
    let page = caller.get(INBOX);
    assert_eq!(page["value"], json!([]));
    let (items, _) = round(&caller, page["@odata.nextLink"].as_str().unwrap());
    assert_eq!(items.len(), 2);
}

#[test]
fn changes_during_a_first_round_are_told_in_the_second() {
    let mut caller = fixed(GraphSettings::default());
    let all = fill(&mut caller, 5);
    let page = caller.get(INBOX);
    caller.graph.mailbox(ANN).mark_read(&all[4], caller.now);
    let new = fill(&mut caller, 1);
    let (_, link) = round(&caller, page["@odata.nextLink"].as_str().unwrap());
    let told: Vec<String> = round(&caller, &link).0.iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, [all[4].clone(), new[0].clone()]);
}

#[test]
fn a_link_belongs_to_its_folder_and_dies_with_it() {
    let caller = fixed(GraphSettings { lost_delta: LostDelta::BadRequest, ..GraphSettings::default() });
    let folder = caller.graph.mailbox(ANN).create_folder("Own", None);
    let (_, link) = round(&caller, &format!("mailFolders/{folder}/messages/delta"));
    let elsewhere = link.replace(&folder, "inbox");
    let (status, code) = caller.refused("GET", &elsewhere, &Value::Null);
    assert!(status == 400 && code.eq_ignore_ascii_case("syncstatenotfound"));
    caller.graph.mailbox(ANN).delete_folder("Own", caller.now);
    assert_eq!(caller.refused("GET", &link, &Value::Null), refusal(404, "ErrorItemNotFound"));
}

#[test]
fn old_chains_are_forgotten_when_there_are_too_many() {
    let graph = Graph::new(GraphSettings { delta_chains: 2, ..GraphSettings::default() });
    let caller = Caller::of(&graph, ANN);
    let (_, link) = round(&caller, INBOX);
    round(&caller, INBOX);
    round(&caller, &link);
    round(&caller, INBOX);
    assert!(caller.refused("GET", &link, &Value::Null).1.eq_ignore_ascii_case("syncStateNotFound"));
}
