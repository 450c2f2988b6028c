use serde_json::{Value, json};

use super::{ANN, Caller, ids, plain, refusal};
use crate::microsoft::graph::{FolderCounts, GraphSettings};

fn names(list: &Value) -> Vec<String> {
    list["value"].as_array().unwrap().iter().map(|f| f["displayName"].as_str().unwrap().to_owned()).collect()
}

fn delta(caller: &Caller, at: &str) -> (Vec<Value>, String) {
    let page = caller.get(at);
    let items = page["value"].as_array().unwrap().clone();
    (items, page["@odata.deltaLink"].as_str().unwrap().to_owned())
}

#[test]
fn the_root_lists_its_children_and_hidden_ones_on_request() {
    let caller = Caller::new(GraphSettings::default());
    let list = caller.get("mailFolders?$top=50");
    let all = names(&list);
    assert!(all.contains(&"Inbox".to_owned()) && !all.contains(&"Clutter".to_owned()), "{all:?}");
    assert!(names(&caller.get("mailFolders?$top=50&includeHiddenFolders=true")).contains(&"Clutter".to_owned()));
    let by_name = caller.get("mailFolders/inbox?$select=id");
    let by_id = caller.get(&format!("mailFolders/{}", by_name["id"].as_str().unwrap()));
    assert_eq!(by_id["displayName"], "Inbox");
    assert_eq!(by_id["parentFolderId"], caller.get("mailFolders/msgfolderroot")["id"]);
    let page = caller.get("mailFolders?$top=3");
    assert_eq!(ids(&page).len(), 3);
    assert!(page["@odata.nextLink"].is_string());
}

#[test]
fn folders_are_made_renamed_moved_and_deleted() {
    let caller = Caller::new(GraphSettings::default());
    let deals = caller.post("mailFolders", &json!({"displayName": "Deals"}))["id"].as_str().unwrap().to_owned();
    assert_eq!(
        caller.refused("POST", "mailFolders", &json!({"displayName": "deals"})),
        refusal(409, "ErrorFolderExists")
    );
    let path = format!("mailFolders/{deals}");
    let child = caller.post(&format!("{path}/childFolders"), &json!({"displayName": "Won"}))["id"].clone();
    assert_eq!(names(&caller.get(&format!("{path}/childFolders"))), ["Won"]);
    assert_eq!(caller.patch(&path, &json!({"displayName": "Offers"}))["displayName"], "Offers");
    let moved = caller.post(&format!("{path}/move"), &json!({"destinationId": "archive"}));
    assert_eq!((moved["id"].as_str(), &moved["childFolderCount"]), (Some(deals.as_str()), &json!(1)));
    let below_itself = json!({"destinationId": child});
    assert_eq!(caller.refused("POST", &format!("{path}/move"), &below_itself), refusal(400, "ErrorInvalidRequest"));
    assert_eq!(
        caller.refused("DELETE", "mailFolders/inbox", &Value::Null),
        refusal(403, "ErrorDeleteDistinguishedFolder")
    );
    let message = caller.graph.mailbox(ANN).deliver(super::mail(&plain("b@x", "S", "")), caller.now, &deals);
    assert_eq!(caller.answer("DELETE", &path, &Value::Null).status().as_u16(), 204);
    assert_eq!(caller.refused("GET", &path, &Value::Null), refusal(404, "ErrorItemNotFound"));
    assert_eq!(caller.graph.mailbox(ANN).message(&message).unwrap().folder, "recoverableitemsdeletions");
}

#[test]
fn counts_follow_the_messages() {
    let caller = Caller::new(GraphSettings::default());
    let id = caller.deliver(&plain("b@x", "S", ""));
    caller.deliver(&plain("b@x", "T", ""));
    let counts = |folder: &str| {
        let folder = caller.get(&format!("mailFolders/{folder}"));
        (folder["totalItemCount"].as_u64().unwrap(), folder["unreadItemCount"].as_u64().unwrap())
    };
    assert_eq!(counts("inbox"), (2, 2));
    caller.patch(&format!("messages/{id}"), &json!({"isRead": true}));
    assert_eq!(counts("inbox"), (2, 1));
    caller.post(&format!("messages/{id}/move"), &json!({"destinationId": "deleteditems"}));
    assert_eq!((counts("inbox"), counts("deleteditems")), ((1, 1), (1, 0)));
}

#[test]
fn delta_over_folders_is_flat_and_tells_of_new_renamed_moved_and_gone_ones() {
    for (folder_counts, told) in [(FolderCounts::AreChanges, 1), (FolderCounts::AreNoChanges, 0)] {
        let caller = Caller::new(GraphSettings { folder_counts, ..GraphSettings::default() });
        let mailbox = caller.graph.mailbox(ANN);
        let own = mailbox.create_folder("Own", Some("inbox"));
        let (all, link) = delta(&caller, "mailFolders/delta");
        assert!(all.iter().any(|f| f["id"] == json!(own)) && all.iter().any(|f| f["displayName"] == "Sent Items"));
        assert!(all.iter().all(|f| f["isHidden"] == false && f["displayName"] != "Top of Information Store"));
        let (none, link) = delta(&caller, &link);
        assert!(none.is_empty());
        mailbox.rename_folder("Own", "Mine");
        let (renamed, link) = delta(&caller, &link);
        assert_eq!(renamed.iter().map(|f| &f["displayName"]).collect::<Vec<_>>(), ["Mine"]);
        caller.deliver(&plain("b@x", "S", ""));
        let (counted, link) = delta(&caller, &link);
        assert_eq!(counted.len(), told);
        mailbox.delete_folder("Mine", caller.now);
        let (gone, _) = delta(&caller, &link);
        assert!(gone.iter().any(|f| f["id"] == json!(own) && f["@removed"]["reason"] == "deleted"), "{gone:?}");
    }
}

#[test]
fn delta_over_folders_has_pages() {
    let caller = Caller::new(GraphSettings::default()).with_prefer("odata.maxpagesize=2");
    (0..5).for_each(|n| drop(caller.graph.mailbox(ANN).create_folder(&format!("F{n}"), None)));
    let (mut seen, mut at) = (Vec::new(), "mailFolders/delta".to_owned());
    loop {
        let page = caller.get(&at);
        seen.extend(ids(&page));
        match page["@odata.nextLink"].as_str() {
            Some(next) => next.clone_into(&mut at),
            None => break,
        }
    }
    let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), 8 + 5, "{seen:?}");
}
