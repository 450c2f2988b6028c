use std::{collections::BTreeSet, path::PathBuf};

use integration_core::{
    email::Depth,
    http::{Call, Repeat},
};
use serde_json::Value;
use url::Url;

use super::{Client, LARGEST_JSON_SEND, LARGEST_MESSAGE, operation};
use crate::{
    GmailQuota, GoogleConfig, GoogleEndpoints,
    connector::{COMPOSE, MAIL, MODIFY, READ, SEND},
    gmail,
};

fn client() -> Client {
    Client::new(&GoogleConfig::desktop("client"), Some(10))
}

fn url(call: &Call) -> Url {
    Url::parse(&call.request().uri().to_string()).unwrap()
}

/// Every call there is, with the service's name for it.
fn all(client: &Client) -> Vec<(&'static str, Call)> {
    vec![
        ("users.getProfile", client.profile().unwrap()),
        ("users.messages.list", client.list(gmail::every_parameter()).unwrap()),
        ("users.history.list", client.history(7, Some("page")).unwrap()),
        ("users.messages.get", client.message("m1", Depth::Full).unwrap()),
        ("users.messages.get", client.message("m1", Depth::Headers).unwrap()),
        ("users.messages.get", client.message_id("m1").unwrap()),
        ("users.messages.get", client.tree("m1").unwrap()),
        ("users.messages.get", client.raw("m1").unwrap()),
        ("users.messages.attachments.get", client.attachment("m1", "a1").unwrap()),
        ("users.labels.list", client.labels().unwrap()),
        ("users.messages.modify", client.modify("m1", &["A"], &["B"]).unwrap()),
        ("users.messages.send", client.send(b"x", Some("t1"), "b").unwrap()),
        ("users.watch", client.watch("projects/p/topics/t").unwrap()),
        ("users.stop", client.stop().unwrap()),
    ]
}

#[test]
fn live_addresses_are_those_google_publishes() {
    let live = GoogleEndpoints::live();
    let facts = [
        (&live.authorisation, "https://accounts.google.com/o/oauth2/v2/auth"),
        (&live.token, "https://oauth2.googleapis.com/token"),
        (&live.revocation, "https://oauth2.googleapis.com/revoke"),
        (&live.discovery, "https://accounts.google.com/.well-known/openid-configuration"),
        (&live.userinfo, "https://openidconnect.googleapis.com/v1/userinfo"),
        (&live.gmail, "https://gmail.googleapis.com/"),
    ];
    for (address, fact) in facts {
        assert_eq!(address.as_str(), fact);
    }
    assert_eq!(live.issuers, ["https://accounts.google.com", "accounts.google.com"]);
    assert_eq!(url(&client().userinfo().unwrap()), live.userinfo);
    let batch = url(&client().batch_get(&["a", "b"], Depth::Full, "x").unwrap());
    assert_eq!(batch.as_str(), "https://gmail.googleapis.com/batch/gmail/v1");
}

#[test]
fn ids_stay_in_their_place_in_a_path() {
    let call = client().message("../../x?y#z", Depth::Full).unwrap();
    assert_eq!(url(&call).path(), "/gmail/v1/users/me/messages/..%2F..%2Fx%3Fy%23z");
    for id in ["", ".", "..", "c\r\nX: y"] {
        assert!(client().message(id, Depth::Full).is_err());
    }
    let batch = client().batch_get(&["a b", "c?d=/e"], Depth::Full, "x").unwrap();
    let text = std::str::from_utf8(batch.request().body()).unwrap();
    assert!(text.contains("/messages/a%20b?") && text.contains("/messages/c%3Fd=%2Fe?"), "{text}");
}

#[test]
fn only_sending_must_never_be_repeated() {
    for (_, call) in all(&client()) {
        assert_eq!(*call.repeat() == Repeat::Never, call.operation() == operation::SEND, "{}", call.operation());
    }
}

#[test]
fn every_call_costs_what_its_table_says() {
    let client = client();
    let rows = client.costs.rows();
    for (method, call) in all(&client) {
        let (_, units) = rows.iter().find(|(name, _)| *name == method).unwrap();
        assert_eq!((call.cost().units, call.cost().calls), (*units, 1), "{method}");
    }
    let batch = client.batch_get(&["a", "b", "c"], Depth::Full, "x").unwrap();
    assert_eq!((batch.cost().units, batch.cost().calls, batch.cost().slots), (60, 3, 3));
}

#[test]
fn a_batch_is_never_larger_than_the_mailbox_admits() {
    let config = GoogleConfig::desktop("client").with_batch_size(50);
    assert_eq!(Client::new(&config, Some(4)).batch_size, 4);
    assert_eq!(Client::new(&config, GmailQuota::Off.table().concurrency).batch_size, 10);
    assert_eq!(Client::new(&config, None).batch_size, 50);
    assert_eq!(Client::new(&config, Some(0)).batch_size, 1);
}

#[test]
fn masks_keep_the_page_token() {
    for call in [client().list(Vec::new()).unwrap(), client().history(1, None).unwrap()] {
        let url = url(&call);
        let fields = url.query_pairs().find(|(name, _)| name == "fields").unwrap().1;
        assert!(fields.contains("nextPageToken"), "{fields}");
    }
}

#[test]
fn a_large_message_is_uploaded_and_a_too_large_one_refused() {
    let small = client().send(b"Subject: x\r\n\r\ny", Some("t1"), "bnd").unwrap();
    assert_eq!(url(&small).path(), "/gmail/v1/users/me/messages/send");
    let json: Value = serde_json::from_slice(small.request().body()).unwrap();
    assert_eq!((json["threadId"].as_str(), json["raw"].as_str()), (Some("t1"), Some("U3ViamVjdDogeA0KDQp5")));

    let raw = vec![b'x'; LARGEST_JSON_SEND];
    let large = client().send(&raw, Some("t1"), "bnd").unwrap();
    assert_eq!(url(&large).path(), "/upload/gmail/v1/users/me/messages/send");
    assert_eq!(url(&large).query(), Some("uploadType=multipart"));
    let body = large.request().body();
    assert!(body.starts_with(b"--bnd\r\n") && body.ends_with(b"x\r\n--bnd--\r\n"));
    assert!(String::from_utf8_lossy(&body[..200]).contains("{\"threadId\":\"t1\"}"));

    assert!(client().send(&vec![b'x'; LARGEST_MESSAGE + 1], None, "bnd").is_err());
}

fn discovery() -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("INTEGRATION_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("specs/google/gmail.v1.json");
    let Ok(text) = std::fs::read(&path) else {
        println!("the discovery document is not here: nothing to compare with");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

fn method<'a>(spec: &'a Value, name: &str) -> &'a Value {
    let (path, last) = name.rsplit_once('.').unwrap();
    let resource = path.split('.').fold(spec, |at, part| &at["resources"][part]);
    &resource["methods"][last]
}

#[test]
fn every_call_is_one_the_discovery_document_knows() {
    let Some(spec) = discovery() else { return };
    let live = GoogleEndpoints::live();
    assert_eq!(spec["rootUrl"], live.gmail.as_str());
    let known_to_all: BTreeSet<&str> = spec["parameters"].as_object().unwrap().keys().map(String::as_str).collect();
    for (name, call) in all(&client()) {
        let method = method(&spec, name);
        let filled = method["path"].as_str().unwrap().replace("{userId}", "me").replace("{messageId}", "m1");
        let filled = filled.replace("{id}", if name.contains("attachments") { "a1" } else { "m1" });
        assert_eq!(url(&call).path(), format!("/{filled}"), "{name}");
        assert_eq!(method["httpMethod"], call.request().method().as_str(), "{name}");
        for (parameter, value) in url(&call).query_pairs() {
            let of_method = &method["parameters"][&*parameter];
            assert!(of_method.is_object() || known_to_all.contains(&*parameter), "{name} has no {parameter}");
            if let Some(allowed) = of_method["enum"].as_array() {
                assert!(allowed.iter().any(|one| one == &*value), "{name} {parameter}={value}");
            }
            if let Some(most) = of_method["maximum"].as_str() {
                assert!(value.parse::<u64>().unwrap() <= most.parse().unwrap(), "{name} {parameter}={value}");
            }
        }
    }
    let upload = &method(&spec, "users.messages.send")["mediaUpload"];
    let simple = &upload["protocols"]["simple"];
    assert_eq!(simple["path"].as_str().unwrap().replace("{userId}", "me"), "/upload/gmail/v1/users/me/messages/send");
    assert_eq!(upload["maxSize"].as_str().unwrap(), LARGEST_MESSAGE.to_string());
}

#[test]
fn every_scope_is_one_its_methods_accept() {
    let Some(spec) = discovery() else { return };
    let accepts = |name: &str, scope: &str| {
        method(&spec, name)["scopes"].as_array().unwrap().iter().any(|accepted| accepted == scope)
    };
    let read = ["users.getProfile", "users.messages.list", "users.messages.get", "users.history.list"];
    for name in read.into_iter().chain(["users.labels.list", "users.messages.attachments.get"]) {
        for scope in [READ, MODIFY, MAIL] {
            assert!(accepts(name, scope), "{name} {scope}");
        }
    }
    for scope in [SEND, COMPOSE, MODIFY, MAIL] {
        assert!(accepts("users.messages.send", scope), "{scope}");
    }
    for scope in [MODIFY, MAIL] {
        assert!(accepts("users.messages.modify", scope), "{scope}");
    }
    assert!(!accepts("users.messages.modify", READ) && !accepts("users.messages.send", READ));
}

/// The members that a mask names, with the path to each.
fn masked(fields: &str) -> Vec<String> {
    let (mut names, mut stack, mut word) = (Vec::new(), Vec::<String>::new(), String::new());
    for letter in fields.chars().chain([',']) {
        match letter {
            ',' | ')' => {
                if !word.is_empty() {
                    names.push([stack.as_slice(), &[std::mem::take(&mut word)]].concat().join("."));
                }
                if letter == ')' {
                    stack.pop();
                }
            }
            '(' => {
                names.push([stack.as_slice(), std::slice::from_ref(&word)].concat().join("."));
                stack.push(std::mem::take(&mut word));
            }
            letter => word.push(letter),
        }
    }
    names
}

#[test]
fn every_masked_field_exists() {
    let Some(spec) = discovery() else { return };
    for (name, call) in all(&client()) {
        let url = url(&call);
        let Some((_, fields)) = url.query_pairs().find(|(name, _)| name == "fields") else { continue };
        for path in masked(&fields) {
            let mut schema = &method(&spec, name)["response"];
            for member in path.split('.') {
                let target = schema["$ref"].as_str().or_else(|| schema["items"]["$ref"].as_str()).unwrap();
                schema = &spec["schemas"][target]["properties"][member];
                assert!(schema.is_object(), "{name} answers no {path}");
            }
        }
    }
}
