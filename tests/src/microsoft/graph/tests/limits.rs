use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use url::Url;

use super::{ANN, BOB, Caller, ids, plain, refusal};
use crate::call::ApiAnswer;
use crate::microsoft::graph::{Endpoint, ErrorSpelling, Graph, GraphSettings, QuotaPreset};

fn limited() -> Graph {
    Graph::new(GraphSettings { quota: QuotaPreset::Outlook, ..GraphSettings::default() })
}

#[test]
fn ten_thousand_calls_in_any_ten_minutes_and_refused_ones_count() {
    let graph = limited();
    let mut caller = Caller::of(&graph, ANN);
    let call = "mailFolders/inbox?$select=id";
    for number in 0..10_000 {
        caller.get(call);
        if number == 4_999 {
            caller.pass(300);
        }
    }
    let answer = caller.answer("GET", call, &Value::Null);
    assert_eq!(answer.status().as_u16(), 429);
    let wait: i64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((300..=302).contains(&wait), "{wait}");
    assert_eq!(Caller::of(&graph, BOB).get(call)["id"].as_str().map(str::is_empty), Some(false));
    caller.pass(wait);
    for _ in 0..4_999 {
        caller.get(call);
    }
    assert_eq!(caller.refused("GET", call, &Value::Null), refusal(429, "TooManyRequests"));
    let books = graph.books();
    assert_eq!((books.throttled, books.per_account[ANN].rejected), (2, 2));
    assert_eq!(books.per_account[ANN].requests, 15_001);
    assert_eq!(books.peak_per_ten_minutes, 10_001);
    assert_eq!(books.by_operation["mailFolders.get"], (15_002, 2));
}

#[test]
fn four_calls_at_once_by_app_and_mailbox() {
    let graph = limited();
    let caller = Caller::of(&graph, ANN);
    let request = caller.build("GET", "messages", &Value::Null);
    let place = graph.place(&caller.call(&request));
    let held: Vec<_> = (0..4).map(|_| graph.enter(&place, 1).unwrap()).collect();
    assert!(graph.enter(&place, 1).is_none());
    let refused = graph.too_many_concurrent(&caller.call(&request));
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().get("retry-after").is_none());
    let body: Value = serde_json::from_slice(refused.body()).unwrap();
    assert_eq!(body["error"]["code"], "ApplicationThrottled");
    assert!(body["error"]["message"].as_str().unwrap().contains("MailboxConcurrency"));
    let bob = Caller::of(&graph, BOB);
    let other = bob.build("GET", "messages", &Value::Null);
    assert!(graph.enter(&graph.place(&bob.call(&other)), 1).is_some());
    drop(held);
    assert!(graph.enter(&place, 1).is_some());
    let books = graph.books();
    assert_eq!((books.throttled, books.per_account[ANN].peak_concurrent), (1, 4));
}

#[test]
fn every_kind_of_call_needs_its_scope() {
    let graph = Graph::new(GraphSettings::default());
    let id = Caller::of(&graph, ANN).deliver(&plain("b@x", "S", ""));
    let with = |scopes: &[&str]| Caller::of(&graph, ANN).with_scopes(scopes);
    let denied = refusal(403, "ErrorAccessDenied");
    let reader = with(&["https://graph.microsoft.com/Mail.Read"]);
    reader.get(&format!("messages/{id}"));
    for (method, path) in
        [("PATCH", ""), ("DELETE", ""), ("POST", "/move"), ("POST", "/createReply"), ("POST", "/send")]
    {
        assert_eq!(reader.refused(method, &format!("messages/{id}{path}"), &json!({})), denied);
    }
    assert_eq!(reader.refused("GET", "/me", &Value::Null), denied);
    assert_eq!(with(&["Mail.Send"]).refused("GET", "messages", &Value::Null), denied);
    assert_eq!(with(&["Mail.ReadWrite"]).refused("POST", "sendMail", &json!({})), denied);
    let me = with(&["User.Read"]).get("/me");
    assert_eq!((&me["mail"], &me["displayName"]), (&json!(ANN), &json!("ann")));
    assert_eq!(graph.books().rejected, 8);
}

#[test]
fn other_mailboxes_open_to_whom_they_are_shared_with_and_to_apps() {
    let graph = Graph::new(GraphSettings::default());
    Caller::of(&graph, ANN).deliver(&plain("b@x", "Shared", ""));
    graph.register_user(ANN, "11111111-2222-4333-8444-555555555555", "Ann Example");
    let path = "/users/11111111-2222-4333-8444-555555555555/messages";
    let denied = refusal(403, "ErrorAccessDenied");
    let bob = Caller::of(&graph, BOB).with_scopes(&["Mail.Read.Shared"]);
    assert_eq!(bob.refused("GET", path, &Value::Null), denied);
    graph.mailbox(ANN).share_with(BOB);
    assert_eq!(ids(&bob.get(path)).len(), 1);
    assert_eq!(Caller::of(&graph, BOB).with_scopes(&["Mail.Read"]).refused("GET", path, &Value::Null), denied);
    assert_eq!(bob.refused("GET", "/users/nobody@x/messages", &Value::Null), refusal(404, "ErrorInvalidUser"));
    let app = Caller { account: String::new(), ..Caller::of(&graph, BOB) }.with_scopes(&["Mail.Read"]);
    assert_eq!(ids(&app.get(&format!("/users/{ANN}/messages"))).len(), 1);
    assert_eq!(app.refused("GET", "messages", &Value::Null), refusal(400, "BadRequest"));
    graph.mailbox(ANN).close_to("app");
    assert_eq!(app.refused("GET", path, &Value::Null), denied);
}

#[test]
fn errors_come_in_both_spellings_without_bodies_and_as_pages() {
    let caller = Caller::new(GraphSettings { error_spelling: ErrorSpelling::Alternate, ..GraphSettings::default() });
    let error = || -> (u16, String) {
        let answer = caller.answer("GET", "messages/AAMk", &Value::Null);
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    };
    let seen: Vec<String> = (0..6).map(|_| error().1).collect();
    assert!(seen.iter().any(|e| e.contains("\"innerError\"")) && seen.iter().any(|e| e.contains("\"innererror\"")));
    caller.graph.change_oddities(|o| o.empty_errors = 1);
    assert_eq!(error(), (400, String::new()));
    assert_ne!(error().1, "");
    caller.graph.change_oddities(|o| o.gateway_pages = 1);
    let (status, page) = error();
    assert!(status == 502 && page.starts_with("<html>"));
    let mut request = caller.build("GET", "messages", &Value::Null);
    request.headers_mut().insert("client-request-id", "abc".parse().unwrap());
    let answer = caller.request(&request);
    assert_eq!(answer.headers()["client-request-id"], "abc");
    assert_eq!(answer.headers()["request-id"].len(), 36);
}

#[test]
fn a_person_without_a_mailbox_is_told_so() {
    let caller = Caller::new(GraphSettings::default());
    caller.graph.mailbox(ANN).disable();
    let refused = caller.refused("GET", "mailFolders/inbox", &Value::Null);
    assert_eq!(refused, refusal(404, "MailboxNotEnabledForRESTAPI"));
    assert_eq!(caller.get("/me")["mail"], Value::Null);
    assert_eq!(caller.refused("GET", "nowhere", &Value::Null), refusal(400, "BadRequest"));
}

#[test]
fn subscriptions_live_as_long_as_the_rules_allow() {
    let mut caller = Caller::new(GraphSettings::default());
    let ask = |minutes: i64| {
        let ends = caller.now + chrono::Duration::minutes(minutes);
        json!({"changeType": "created,updated", "notificationUrl": "https://crm.example/hook", "resource": "me/messages",
            "expirationDateTime": ends.to_rfc3339(), "clientState": "s"})
    };
    assert_eq!(caller.refused("POST", "/subscriptions", &ask(10_081)), refusal(400, "ExtensionError"));
    let mut rich = ask(1_441);
    rich["includeResourceData"] = json!(true);
    rich["resource"] = json!("me/messages?$select=subject");
    assert_eq!(caller.refused("POST", "/subscriptions", &rich), refusal(400, "ExtensionError"));
    let mut plain = ask(60);
    plain["notificationUrl"] = json!("http://crm.example/hook");
    assert_eq!(caller.refused("POST", "/subscriptions", &plain), refusal(400, "InvalidRequest"));
    let made = caller.post("/subscriptions", &ask(5));
    assert_eq!(made["expirationDateTime"], "2026-01-05T08:45:00Z");
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    let longer = json!({"expirationDateTime": "2026-01-06T08:00:00Z"});
    assert_eq!(caller.patch(&path, &longer)["expirationDateTime"], "2026-01-06T08:00:00Z");
    assert!(caller.graph.mailbox(ANN).subscriptions()[0].immutable_ids);
    assert_eq!(caller.get("/subscriptions")["value"].as_array().unwrap().len(), 1);
    caller.pass(25 * 3_600);
    assert_eq!(caller.refused("PATCH", &path, &longer), refusal(404, "ResourceNotFound"));
    assert_eq!(caller.get("/subscriptions")["value"], json!([]));
}

/// Makes a folder, with so many bytes of nothing in the request.
fn sends_bytes(caller: &Caller, name: &str, bytes: usize) -> ApiAnswer {
    let mut body = vec![b' '; bytes];
    let folder = json!({ "displayName": name }).to_string();
    let from = bytes - folder.len();
    body[from..].copy_from_slice(folder.as_bytes());
    let request = Request::post("https://graph.test/v1.0/me/mailFolders").header("content-type", "application/json");
    caller.request(&request.body(Bytes::from(body)).unwrap())
}

#[test]
fn a_hundred_and_fifty_megabytes_in_any_five_minutes_by_app_and_mailbox() {
    const MEGABYTE: usize = 1024 * 1024;
    let graph = limited();
    let mut caller = Caller::of(&graph, ANN);
    for number in 0..50 {
        assert_eq!(sends_bytes(&caller, &format!("F{number}"), 3 * MEGABYTE).status().as_u16(), 201);
        if number == 24 {
            caller.pass(100);
        }
    }
    let refused = sends_bytes(&caller, "G", MEGABYTE);
    assert_eq!(refused.status().as_u16(), 429);
    let wait: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((200..=202).contains(&wait), "{wait}");
    caller.get("mailFolders/inbox");
    assert_eq!(sends_bytes(&Caller::of(&graph, BOB), "G", MEGABYTE).status().as_u16(), 201);
    caller.pass(wait);
    assert_eq!(sends_bytes(&caller, "G", 75 * MEGABYTE).status().as_u16(), 201);
    assert_eq!(sends_bytes(&caller, "H", MEGABYTE).status().as_u16(), 429);
    let books = graph.books();
    assert_eq!((books.throttled, books.peak_bytes_per_five_minutes), (2, 150 * MEGABYTE as u64));
}

#[test]
fn whoever_is_to_be_notified_is_asked_first() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let endpoint: Endpoint = Arc::new(move |request: Request<Bytes>| {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        let token = url.query_pairs().find(|(name, _)| name == "validationToken").unwrap().1.into_owned();
        noted.lock().unwrap().push(format!("{} {}", request.method(), url.path()));
        let answer = if url.path() == "/echo" { token } else { "Hello!".to_owned() };
        Response::builder().header("content-type", "text/plain").body(Bytes::from(answer)).unwrap()
    });
    let caller = Caller::new(GraphSettings { endpoint: Some(endpoint), ..GraphSettings::default() });
    let ask = |path: &str| {
        json!({"changeType": "created", "resource": "me/messages", "notificationUrl": format!("https://crm.example{path}?for=7"),
            "lifecycleNotificationUrl": "https://crm.example/echo",
            "expirationDateTime": (caller.now + chrono::Duration::minutes(60)).to_rfc3339()})
    };
    assert_eq!(caller.refused("POST", "/subscriptions", &ask("/other")), refusal(400, "ValidationError"));
    assert!(caller.graph.mailbox(ANN).subscriptions().is_empty());
    let made = caller.post("/subscriptions", &ask("/echo"));
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    let moved = json!({"notificationUrl": "https://crm.example/other"});
    assert_eq!(caller.refused("PATCH", &path, &moved), refusal(400, "ValidationError"));
    let later = (caller.now + chrono::Duration::minutes(90)).to_rfc3339();
    caller.patch(&path, &json!({"expirationDateTime": later}));
    let url = caller.graph.mailbox(ANN).subscriptions().remove(0).notification_url;
    assert_eq!(url, "https://crm.example/echo?for=7", "what was refused changes nothing");
    assert_eq!(*asked.lock().unwrap(), ["POST /other", "POST /echo", "POST /echo", "POST /other"]);
}
