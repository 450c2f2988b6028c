use serde_json::{Value, json};

use super::*;

const TREE: &str = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nTo: ann@example.com\nSubject: Offer\n\
    Message-ID: <m1@example.org>\nContent-Type: multipart/mixed; boundary=outer\n\n--outer\n\
    Content-Type: multipart/alternative; boundary=inner\n\n--inner\nContent-Type: text/plain; charset=iso-8859-1\n\
    Content-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe <you> & me\n--inner\nContent-Type: text/html\n\n<p>hi</p>\n--inner--\n\
    --outer\nContent-Type: application/pdf; name=offer.pdf\nContent-Transfer-Encoding: base64\n\nUERG\n\
    --outer\nContent-Type: message/rfc822\n\nSubject: inside\n\nforwarded text\n--outer--\n";

#[test]
fn full_message_is_a_tree_with_part_ids_and_text_in_utf_8() {
    let caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(TREE);
    let message = caller.get(&format!("messages/{id}"));
    let payload = &message["payload"];
    assert_eq!(payload["partId"], "");
    assert_eq!(payload["headers"][0]["value"], "Jürgen <j@example.org>");
    let text = &payload["parts"][0]["parts"][0];
    assert_eq!(text["partId"], "0.0");
    assert_eq!(decoded(&text["body"]["data"]), "Grüße <you> & me");
    assert_eq!(text["body"]["size"], 18);
    assert_eq!(message["snippet"], "Grüße &lt;you&gt; &amp; me");
    assert_eq!(message["internalDate"], (caller.now.timestamp_millis()).to_string());
    assert!(message["historyId"].is_string());
    let forwarded = &payload["parts"][2];
    assert_eq!((forwarded["mimeType"].as_str(), &forwarded["body"]["size"]), (Some("message/rfc822"), &json!(0)));
    assert_eq!(forwarded["parts"][0]["partId"], "2.0");
    assert_eq!(decoded(&forwarded["parts"][0]["body"]["data"]), "forwarded text");
}

#[test]
fn attachment_is_fetched_by_an_id_that_changes_and_dies() {
    let caller = Caller::new(GmailSettings { attachment_id_reads: 1, ..GmailSettings::default() });
    let id = caller.deliver(TREE);
    let read = || caller.get(&format!("messages/{id}"))["payload"]["parts"][1]["body"].clone();
    let first = read();
    assert_eq!(first["size"], 3);
    let path = |body: &Value| format!("messages/{id}/attachments/{}", body["attachmentId"].as_str().unwrap());
    assert_eq!(decoded(&caller.get(&path(&first))["data"]), "PDF");
    let second = read();
    assert_ne!(first["attachmentId"], second["attachmentId"]);
    assert_eq!(caller.get(&path(&first))["size"], 3);
    read();
    assert_eq!(caller.refused("GET", &path(&first), &Value::Null).0, 400);
    assert_eq!(caller.get(&path(&second))["size"], 3);
    assert_eq!(caller.refused("GET", &format!("messages/{id}/attachments/made-up"), &Value::Null).0, 400);
}

#[test]
fn formats_show_what_they_promise() {
    let caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(&plain("bob@example.org", "One", "body"));
    let minimal = caller.get(&format!("messages/{id}?format=minimal"));
    assert!(minimal.get("payload").is_none() && minimal["snippet"] == "body");
    let metadata = caller.get(&format!("messages/{id}?format=metadata&metadataHeaders=subject&metadataHeaders=From"));
    let names: Vec<_> = metadata["payload"]["headers"].as_array().unwrap().iter().map(|h| h["name"].clone()).collect();
    assert_eq!(names, ["From", "Subject"]);
    let raw = caller.get(&format!("messages/{id}?format=RAW"));
    assert_eq!(decoded(&raw["raw"]).as_bytes(), &mail(&plain("bob@example.org", "One", "body"))[..]);
    assert_eq!(caller.refused("GET", &format!("messages/{id}?format=tiny"), &Value::Null).0, 400);
}

#[test]
fn large_text_comes_by_attachment_id() {
    let caller = Caller::new(GmailSettings { inline_text_max: 10, ..GmailSettings::default() });
    let id = caller.deliver(&plain("bob@example.org", "Long", "more than ten bytes"));
    let body = caller.get(&format!("messages/{id}"))["payload"]["body"].clone();
    assert!(body.get("data").is_none());
    let fetched = caller.get(&format!("messages/{id}/attachments/{}", body["attachmentId"].as_str().unwrap()));
    assert_eq!(decoded(&fetched["data"]), "more than ten bytes\r\n");
}

#[test]
fn fields_mask_keeps_only_what_it_names() {
    let caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(TREE);
    let cut = caller.get(&format!("messages/{id}?fields=id,payload(headers/name,parts(partId,body/size))"));
    assert_eq!(cut.as_object().unwrap().len(), 2);
    assert_eq!(cut["payload"]["headers"][0], json!({"name": "From"}));
    assert_eq!(cut["payload"]["parts"][1], json!({"partId": "1", "body": {"size": 3}}));
    let list = caller.get("messages?fields=messages(id)&maxResults=1");
    assert_eq!(list, json!({"messages": [{ "id": id }]}));
    assert_eq!(caller.refused("GET", "messages?fields=nonsense", &Value::Null).0, 400);
    assert_eq!(caller.refused("GET", "messages?fields=messages(id", &Value::Null).0, 400);
}

#[test]
fn unknown_address_id_parameter_and_person_are_refused() {
    let caller = Caller::new(GmailSettings::default());
    assert_eq!(caller.refused("GET", "nothing", &Value::Null), (404, String::new()));
    assert_eq!(caller.refused("PATCH", "messages", &Value::Null).0, 404);
    assert_eq!(caller.refused("GET", "messages/19000000000000ff", &Value::Null), (404, "notFound".into()));
    assert_eq!(caller.refused("GET", "messages/not-hex", &Value::Null), (400, "invalidArgument".into()));
    assert_eq!(caller.refused("GET", "messages?foo=1", &Value::Null), (400, "invalidArgument".into()));
    let other = Request::get("/gmail/v1/users/bob@example.org/profile").body(Bytes::new()).unwrap();
    assert_eq!(caller.request(&other).status(), 403);
    let own = Request::get("/gmail/v1/users/Ann%40example.com/profile").body(Bytes::new()).unwrap();
    assert_eq!(caller.request(&own).status(), 200);
}

#[test]
fn labels_change_one_many_and_a_whole_thread() {
    let caller = Caller::new(GmailSettings::default());
    let first = caller.deliver(&plain("bob@example.org", "One", "a"));
    let reply = "From: bob@example.org\nSubject: Re: One\nIn-Reply-To: <One@x>\n\nb\n";
    let second = caller.deliver(reply);
    let shown = caller.post(&format!("messages/{first}/modify"), &json!({"removeLabelIds": ["UNREAD"]}));
    assert_eq!(shown["labelIds"], json!(["INBOX"]));
    caller
        .post("messages/batchModify", &json!({"ids": [first, second, "19000000000000ff"], "addLabelIds": ["STARRED"]}));
    assert_eq!(ids(&caller.get("messages?labelIds=STARRED&labelIds=UNREAD")), std::slice::from_ref(&second));
    let thread = caller.get(&format!("threads/{first}"));
    assert_eq!(ids(&thread), [first.clone(), second.clone()]);
    caller.post(&format!("threads/{first}/trash"), &Value::Null);
    assert!(ids(&caller.get("messages")).is_empty());
    assert_eq!(ids(&caller.get("messages?includeSpamTrash=true")).len(), 2);
    caller.post(&format!("messages/{second}/untrash"), &Value::Null);
    assert_eq!(ids(&caller.get("messages")), std::slice::from_ref(&second));
    let (status, _) = caller.ask("DELETE", &format!("messages/{second}"), &Value::Null);
    assert_eq!(status, 204);
    assert_eq!(caller.refused("GET", &format!("messages/{second}"), &Value::Null).0, 404);
}

#[test]
fn wrong_label_changes_are_refused_whole() {
    let caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    for body in [
        json!({"addLabelIds": ["Label_9"]}),
        json!({"addLabelIds": ["SENT"]}),
        json!({}),
        json!({"addLabelIds": "STARRED"}),
        json!({"addLabelIds": ["STARRED"], "removeLabelIds": ["STARRED"]}),
    ] {
        assert_eq!(caller.refused("POST", &format!("messages/{id}/modify"), &body).0, 400, "{body}");
    }
    assert_eq!(caller.get(&format!("messages/{id}?format=minimal"))["labelIds"], json!(["INBOX", "UNREAD"]));
}

#[test]
fn user_labels_are_made_once_and_counted() {
    let caller = Caller::new(GmailSettings::default());
    let label = caller.post("labels", &json!({"name": "Deals/Big"}));
    let label_id = label["id"].as_str().unwrap();
    assert_eq!((label["type"].as_str(), label_id), (Some("user"), "Label_1"));
    assert_eq!(caller.refused("POST", "labels", &json!({"name": "deals/big"})).0, 409);
    assert_eq!(caller.refused("POST", "labels", &json!({"name": "Inbox"})).0, 400);
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    caller.post(&format!("messages/{id}/modify"), &json!({"addLabelIds": [label_id]}));
    let counted = caller.get(&format!("labels/{label_id}"));
    assert_eq!((&counted["messagesTotal"], &counted["messagesUnread"]), (&json!(1), &json!(1)));
    assert_eq!(ids(&caller.get("messages?q=label:deals-big")), [id]);
    assert_eq!(caller.get("labels")["labels"].as_array().unwrap().len(), 15);
}
