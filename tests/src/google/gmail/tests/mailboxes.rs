use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::google::gmail::Generator;

#[test]
fn account_without_mail_is_refused_everywhere() {
    let caller = Caller::new(GmailSettings::default());
    caller.gmail.mailbox(ANN).disable();
    for path in ["profile", "messages/19000000000000ff", "messages"] {
        assert_eq!(caller.refused("GET", path, &Value::Null), (400, "failedPrecondition".into()), "{path}");
    }
}

#[test]
fn watch_gives_the_head_and_refuses_a_second_topic() {
    let caller = Caller::new(GmailSettings::default());
    let watch = caller.post("watch", &json!({"topicName": "projects/p/topics/t"}));
    assert_eq!(watch["historyId"], caller.get("profile")["historyId"]);
    assert_eq!(watch["expiration"], (caller.now + Duration::days(7)).timestamp_millis().to_string());
    assert_eq!(caller.refused("POST", "watch", &json!({"topicName": "projects/p/topics/u"})).0, 400);
    caller.post("stop", &Value::Null);
    caller.post("watch", &json!({"topicName": "projects/p/topics/u"}));
}

#[test]
fn ids_differ_between_mailboxes() {
    let caller = Caller::new(GmailSettings::default());
    let other = Caller::of(&caller.gmail, "bob@example.org");
    let (a, b) = (caller.deliver("Subject: s\n\nx"), other.deliver("Subject: s\n\nx"));
    assert_ne!(a, b);
    assert_eq!(a.len(), 16);
    assert_eq!(caller.refused("GET", &format!("messages/{b}"), &Value::Null).0, 404);
}

#[test]
fn messages_on_demand_are_made_when_read() {
    let caller = Caller::new(GmailSettings::default());
    let generator: Generator = Arc::new(|n| {
        let body = "QUJD".repeat(1000);
        mail(&format!(
            "Subject: number {n}\nContent-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\n{body}\n"
        ))
    });
    let all = caller.gmail.mailbox(ANN).on_demand(3, &generator);
    assert_eq!(caller.get("messages")["messages"][0]["id"], all[2].as_str());
    let message = caller.get(&format!("messages/{}", all[1]));
    assert_eq!(message["payload"]["headers"][0]["value"], "number 1");
    let body = &message["payload"]["body"];
    assert_eq!(body["size"], 3000);
    let fetched = caller.get(&format!("messages/{}/attachments/{}", all[1], body["attachmentId"].as_str().unwrap()));
    assert_eq!(decoded(&fetched["data"]), "ABC".repeat(1000));
}

#[test]
fn folder_is_followed_by_name_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (path.to_str().unwrap().to_owned(), Bytes::from(text.to_owned()))
    };
    let a = file("a.eml", "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nSubject: a\r\n\r\nx");
    let b = file("b.eml", "Date: nonsense\r\nFrom: ann@example.com\r\nSubject: b\r\n\r\nx");
    let first = Caller::new(GmailSettings::default());
    first.gmail.mailbox(ANN).sync_folder(vec![a.clone(), b.clone()], first.now);
    let before = ids(&first.get("messages"));
    let head = first.get("profile")["historyId"].as_str().unwrap().to_owned();
    let saved = first.gmail.export();
    assert!(!saved.to_string().contains("inline"), "{saved}");

    std::fs::remove_file(&a.0).unwrap();
    let again = Caller::new(GmailSettings::default());
    again.gmail.import(&saved).unwrap();
    assert_eq!(again.gmail.books(), first.gmail.books());
    let c = file("c.eml", "Subject: c\r\n\r\nx");
    again.gmail.mailbox(ANN).sync_folder(vec![b, c], again.now);
    let after = ids(&again.get("messages"));
    assert_eq!((after.len(), after.contains(&before[0]), after.contains(&before[1])), (2, true, false));
    let told = again.get(&format!("history?startHistoryId={head}"));
    let told: Vec<_> = told["history"].as_array().unwrap().iter().map(|h| h.get("messagesAdded").is_some()).collect();
    assert_eq!(told, [false, true]);
    let sent = again.gmail.mailbox(ANN).message(&before[0]).unwrap();
    assert!(sent.labels.contains("SENT"));
}

#[test]
fn import_restores_threads_labels_and_ids() {
    let caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    caller.post("labels", &json!({"name": "Deals"}));
    caller.post(&format!("messages/{id}/modify"), &json!({"addLabelIds": ["Label_1"]}));
    let copy = Caller::new(GmailSettings::default());
    copy.gmail.import(&caller.gmail.export()).unwrap();
    assert_eq!(copy.gmail.export(), caller.gmail.export());
    assert_eq!(copy.get("labels"), caller.get("labels"));
    copy.deliver("Subject: Re: One\nIn-Reply-To: <One@x>\n\nb");
    assert_eq!(copy.get(&format!("threads/{id}"))["messages"].as_array().unwrap().len(), 2);
    assert!(copy.gmail.import(&json!({"format": 99})).is_err());
}

#[test]
fn every_shared_message_is_served_whole() {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("INTEGRATION_SHARED").map_or_else(beside, PathBuf::from).join("data/mail");
    let Ok(folders) = std::fs::read_dir(&root) else {
        eprintln!("no shared mail at {}: nothing to serve", root.display());
        return;
    };
    let caller = Caller::new(GmailSettings::default());
    let files = folders.flatten().filter_map(|f| std::fs::read_dir(f.path()).ok()).flatten().flatten();
    let mut count = 0;
    for file in files.filter(|f| f.path().extension().is_some_and(|e| e == "eml")) {
        let raw = Bytes::from(std::fs::read(file.path()).unwrap());
        let id = caller.gmail.mailbox(ANN).deliver(raw.clone(), caller.now, &["INBOX"]);
        let message = caller.get(&format!("messages/{id}"));
        assert_eq!(message["sizeEstimate"], raw.len());
        let mut open = vec![message["payload"].clone()];
        while let Some(part) = open.pop() {
            open.extend(part["parts"].as_array().cloned().unwrap_or_default());
            if let Some(token) = part["body"]["attachmentId"].as_str() {
                let fetched = caller.get(&format!("messages/{id}/attachments/{token}"));
                assert_eq!(fetched["size"], part["body"]["size"], "{}", file.path().display());
            }
        }
        assert_eq!(
            URL_SAFE.decode(caller.get(&format!("messages/{id}?format=raw"))["raw"].as_str().unwrap()).unwrap(),
            raw
        );
        count += 1;
    }
    assert!(count > 100, "only {count} messages");
}
