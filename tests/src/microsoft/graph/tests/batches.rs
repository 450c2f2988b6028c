use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ANN, BOB, Caller, plain};
use crate::microsoft::graph::{Graph, GraphSettings, QuotaPreset};

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "method": "GET", "url": url})
}

fn batch(caller: &Caller, requests: &[Value]) -> Vec<Value> {
    let answer = caller.post("/$batch", &json!({"requests": requests}));
    answer["responses"].as_array().unwrap().clone()
}

fn status(responses: &[Value], id: &str) -> u64 {
    responses.iter().find(|r| r["id"] == id).unwrap()["status"].as_u64().unwrap()
}

#[test]
fn each_call_of_a_batch_has_its_own_answer_and_preferences() {
    let caller = Caller::new(GraphSettings::default());
    let id = caller.deliver(&plain("b@x", "S", "words"));
    let mut first = get("1", &format!("/me/messages/{id}"));
    first["headers"] = json!({"Prefer": "IdType=\"ImmutableId\""});
    let responses = batch(
        &caller,
        &[
            first,
            get("2", &format!("/me/messages/{id}")),
            get("3", "/me/messages/AAMk"),
            get("4", &format!("me/messages/{id}/$value")),
        ],
    );
    assert_eq!(responses[0]["body"]["id"], json!(id));
    assert_ne!(responses[1]["body"]["id"], json!(id));
    assert_eq!(
        (&responses[2]["status"], &responses[2]["body"]["error"]["code"]),
        (&json!(400), &json!("ErrorInvalidIdMalformed"))
    );
    assert_eq!(responses[3]["headers"]["Content-Type"], "text/plain");
    let raw = STANDARD.decode(responses[3]["body"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8(raw).unwrap().contains("Subject: S"));
    let books = caller.graph.books();
    assert_eq!((books.requests, books.batches, books.inner_calls), (4, 1, 4));
    assert_eq!(books.by_operation["messages.get"], (3, 0));
}

#[test]
fn the_order_of_answers_follows_a_seed() {
    let caller = Caller::new(GraphSettings { shuffle: Some(5), ..GraphSettings::default() });
    let requests: Vec<Value> = (0..20).map(|n| get(&n.to_string(), "/me/mailFolders/inbox")).collect();
    let order: Vec<String> = batch(&caller, &requests).iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
    let asked: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_ne!(order, asked);
    let mut sorted = order.clone();
    sorted.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(sorted, asked);
}

#[test]
fn what_depends_on_a_failure_is_not_done() {
    let caller = Caller::new(GraphSettings { shuffle: Some(1), ..GraphSettings::default() });
    let mut second = json!({"id": "b", "method": "POST", "url": "/me/mailFolders", "body": {"displayName": "New"},
        "headers": {"Content-Type": "application/json"}, "dependsOn": ["a"]});
    let responses = batch(&caller, &[get("a", "/me/mailFolders/nothing"), second.clone()]);
    assert_eq!((status(&responses, "a"), status(&responses, "b")), (400, 424));
    let responses = batch(&caller, &[get("a", "/me/mailFolders/inbox"), second.clone()]);
    assert_eq!((status(&responses, "a"), status(&responses, "b")), (200, 201));
    second["dependsOn"] = json!(["z"]);
    assert_eq!(caller.refused("POST", "/$batch", &json!({"requests": [second]})).0, 400);
}

#[test]
fn malformed_batches_are_refused_whole() {
    let caller = Caller::new(GraphSettings::default());
    let many: Vec<Value> = (0..21).map(|n| get(&n.to_string(), "/me")).collect();
    let without_type = json!({"id": "1", "method": "POST", "url": "/me/mailFolders", "body": {"displayName": "X"}});
    for requests in
        [json!([]), json!(many), json!([get("1", "/me"), get("1", "/me")]), json!([{"id": "1"}]), json!([without_type])]
    {
        let (status, _) = caller.refused("POST", "/$batch", &json!({ "requests": requests }));
        assert_eq!(status, 400);
    }
}

#[test]
fn bodies_that_are_no_json_come_as_base64() {
    let caller = Caller::new(GraphSettings::default());
    let bob = Caller::of(&caller.graph, BOB);
    let raw = format!("From: {ANN}\r\nTo: {BOB}\r\nSubject: Raw\r\n\r\nhi");
    let body = STANDARD.encode(STANDARD.encode(raw));
    let send = json!({"id": "1", "method": "POST", "url": "/me/sendMail", "headers": {"Content-Type": "text/plain"}, "body": body});
    assert_eq!(status(&batch(&caller, &[send]), "1"), 202);
    assert_eq!(bob.get("messages")["value"][0]["subject"], "Raw");
}

#[test]
fn calls_are_throttled_one_by_one() {
    let graph = Graph::new(GraphSettings { quota: QuotaPreset::Outlook, ..GraphSettings::default() });
    let caller = Caller::of(&graph, ANN);
    for _ in 0..9_995 {
        caller.get("mailFolders/inbox?$select=id");
    }
    let requests: Vec<Value> = (0..8).map(|n| get(&n.to_string(), "/me/mailFolders/inbox")).collect();
    let responses = batch(&caller, &requests);
    let throttled: Vec<&Value> = responses.iter().filter(|r| r["status"] == 429).collect();
    assert_eq!(throttled.len(), 3);
    assert!(throttled[0]["headers"]["Retry-After"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(throttled[0]["body"]["error"]["code"], "TooManyRequests");
}

#[test]
fn a_batch_takes_four_places_and_calls_without_one_are_refused() {
    let graph = Graph::new(GraphSettings { quota: QuotaPreset::Outlook, ..GraphSettings::default() });
    let caller = Caller::of(&graph, ANN);
    let requests: Vec<Value> = (0..8).map(|n| get(&n.to_string(), "/me/mailFolders/inbox")).collect();
    let request = caller.build("POST", "/$batch", &json!({ "requests": requests }));
    assert_eq!(graph.slots(&request), 4);
    let place = graph.place(&caller.call(&request));
    let other = graph.enter(&place, 2).unwrap();
    let held = graph.enter(&place, graph.slots(&request)).unwrap();
    assert_eq!(held.granted(), 2);
    let answer = graph.answer_holding(&caller.call(&request), &held);
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let responses = body["responses"].as_array().unwrap();
    assert_eq!(responses.iter().filter(|r| r["status"] == 429).count(), 4);
    assert_eq!(responses[2]["body"]["error"]["code"], "ApplicationThrottled");
    assert!(responses[2]["headers"].get("Retry-After").is_none());
    drop((other, held));
    let chain = json!({"requests": [get("1", "/me"), {"id": "2", "method": "GET", "url": "/me", "dependsOn": ["1"]}]});
    assert_eq!(graph.slots(&caller.build("POST", "/$batch", &chain)), 1);
}
