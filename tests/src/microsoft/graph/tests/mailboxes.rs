use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ANN, BOB, Caller, ids, mail, plain, subjects};
use crate::microsoft::graph::{Generator, Graph, GraphSettings};

#[test]
fn messages_are_made_on_demand_and_never_kept() {
    let caller = Caller::new(GraphSettings::default());
    let make: Generator = Arc::new(|n| mail(&plain("b@x.org", &format!("Made {n}"), "body")));
    let made = caller.graph.mailbox(ANN).on_demand(25, &make);
    assert_eq!(subjects(&caller.get("messages?$top=2")), ["Made 24", "Made 23"]);
    assert_eq!(caller.get(&format!("messages/{}", made[3]))["internetMessageId"], "<Made.3@x>");
    let again = Graph::new(GraphSettings::default());
    again.import(&caller.graph.export()).unwrap();
    assert!(again.mailbox(ANN).message(&made[3]).is_none());
}

#[test]
fn the_far_side_moves_marks_and_removes() {
    let caller = Caller::new(GraphSettings::default());
    let (mailbox, now) = (caller.graph.mailbox(ANN), caller.now);
    let id = mailbox.deliver(mail(&plain("b@x", "S", "")), now, "Projects");
    let state = || mailbox.message(&id).unwrap();
    assert_eq!((state().folder.as_str(), state().read), ("Projects", false));
    assert!(mailbox.mark_read(&id, now) && state().read);
    assert!(mailbox.mark_unread(&id, now) && !state().read);
    assert!(mailbox.flag(&id, "complete", now) && mailbox.categorise(&id, &["Red"], now));
    assert_eq!((state().flag.as_str(), state().categories), ("complete", vec!["Red".to_owned()]));
    assert!(mailbox.delete(&id, now));
    assert_eq!(state().folder, "deleteditems");
    assert!(mailbox.restore(&id, "Projects", now));
    let before = state().mutable_id;
    let new = mailbox.reissue(&id, now).unwrap();
    assert!(new != id && mailbox.message(&id).is_none() && mailbox.message(&new).is_some());
    assert!(!mailbox.remove(&before) && mailbox.remove(&new));
    assert!(mailbox.ids().is_empty());
    let folder = mailbox.folders().into_iter().find(|f| f.name == "Projects").unwrap();
    assert!(mailbox.move_folder(&folder.id, "inbox") && !mailbox.move_folder("inbox", &folder.id));
}

#[test]
fn a_folder_of_files_is_followed() {
    let caller = Caller::new(GraphSettings::default());
    let mailbox = caller.graph.mailbox(ANN);
    let file = |name: &str, text: &str| (name.to_owned(), mail(text));
    let dated = "From: b@x\nDate: Thu, 01 Jan 2026 10:00:00 +0100\nSubject: Old\n\nx\n";
    mailbox.sync_folder(vec![file("a", dated), file("b", &plain(ANN, "Own", ""))], caller.now);
    assert_eq!(caller.get("mailFolders/inbox/messages")["value"][0]["receivedDateTime"], "2026-01-01T09:00:00Z");
    assert_eq!(subjects(&caller.get("mailFolders/sentitems/messages")), ["Own"]);
    let before = mailbox.ids();
    mailbox.sync_folder(vec![file("a", dated), file("c", &plain("b@x", "New", ""))], caller.now);
    assert_eq!(subjects(&caller.get("messages")), ["New", "Old"]);
    assert!(before.contains(&mailbox.ids()[1]));
    mailbox.sync_folder(vec![file("a", &dated.replace("Old", "Newer"))], caller.now);
    assert_eq!(subjects(&caller.get("messages")), ["Newer"]);
}

#[test]
fn the_state_survives_export_and_import() {
    let caller = Caller::new(GraphSettings::default());
    let id = caller.deliver(&plain(BOB, "Kept", "body"));
    let folder = caller.graph.mailbox(ANN).create_folder("Own", None);
    caller.post(&format!("messages/{id}/move"), &json!({"destinationId": folder}));
    let path = format!("mailFolders/{folder}/messages/delta");
    let link = caller.get(&path)["@odata.deltaLink"].as_str().unwrap().to_owned();
    caller.patch(&format!("messages/{id}"), &json!({"isRead": true, "categories": ["Red"]}));
    let saved: Value = serde_json::from_str(&caller.graph.export().to_string()).unwrap();
    let again = Caller::of(&Graph::new(GraphSettings::default()), ANN);
    again.graph.import(&saved).unwrap();
    assert_eq!(again.get(&format!("messages/{id}")), caller.get(&format!("messages/{id}")));
    assert_eq!(
        again.get(&link)["value"],
        json!([{"@odata.etag": again.get(&format!("messages/{id}"))["@odata.etag"],
        "id": id, "isRead": true, "categories": ["Red"]}])
    );
    assert_eq!(again.graph.export()["accounts"][0]["folders"], saved["accounts"][0]["folders"]);
    let reply = again.deliver("From: b@x\nSubject: re\nIn-Reply-To: <Kept@x>\n\nx\n");
    let conversation = |id: &str| again.get(&format!("messages/{id}"))["conversationId"].clone();
    assert_eq!(conversation(&reply), conversation(&id));
    assert!(again.graph.import(&json!({"format": 99})).is_err());
}

#[test]
fn files_are_exported_by_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.eml");
    let raw = mail(&plain("b@x", "On disk", "body"));
    std::fs::write(&path, &raw).unwrap();
    let caller = Caller::new(GraphSettings::default());
    caller.graph.mailbox(ANN).sync_folder(vec![(path.display().to_string(), raw)], caller.now);
    let saved = caller.graph.export();
    assert!(saved.to_string().contains("one.eml") && !saved.to_string().contains("inline"));
    let again = Caller::of(&Graph::new(GraphSettings::default()), ANN);
    again.graph.import(&saved).unwrap();
    assert_eq!(subjects(&again.get("messages")), ["On disk"]);
    std::fs::write(&path, Bytes::from_static(b"other")).unwrap();
    again.graph.import(&saved).unwrap();
    assert_eq!(ids(&again.get("messages")).len(), 1);
}
