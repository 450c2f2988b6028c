use serde_json::{Value, json};

use super::*;

fn packed(text: &str) -> Value {
    json!(URL_SAFE.encode(mail(text)))
}

fn upload(kind: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let uri = format!("/upload/gmail/v1/users/me/messages/send?uploadType={kind}");
    Request::post(uri).header("content-type", content_type).body(body.into()).unwrap()
}

#[test]
fn sent_mail_reaches_other_mailboxes_without_its_blind_copies() {
    let caller = Caller::new(GmailSettings::default());
    let (bob, eve) = (caller.gmail.mailbox("bob@example.org"), caller.gmail.mailbox("eve@other.net"));
    let raw = "From: ann@example.com\nTo: Bob <bob+crm@example.org>\nBcc: eve@other.net,\n nobody@x.net\nSubject: Hi\n\nbody\n";
    let sent = caller.post("messages/send", &json!({ "raw": packed(raw) }));
    assert_eq!(sent["labelIds"], json!(["SENT"]));
    let own = caller.gmail.mailbox(ANN).message(sent["id"].as_str().unwrap()).unwrap();
    let own = String::from_utf8(own.raw.to_vec()).unwrap();
    assert!(own.contains("Bcc: eve@other.net") && own.contains("Message-ID: <") && own.contains("Date: "));
    for mailbox in [bob, eve] {
        let arrived = mailbox.message(&mailbox.ids()[0]).unwrap();
        let text = String::from_utf8(arrived.raw.to_vec()).unwrap();
        assert!(!text.contains("Bcc") && !text.contains("nobody") && text.ends_with("\r\n\r\nbody\r\n"), "{text}");
        assert!(arrived.labels.contains("INBOX"));
    }
}

#[test]
fn given_message_id_is_kept_and_a_foreign_sender_is_not() {
    let caller = Caller::new(GmailSettings::default());
    let raw = "From: boss@example.com\nTo: bob@example.org\nMessage-ID: <mine@x>\nSubject: s\n\nb\n";
    let sent = caller.post("messages/send", &json!({ "raw": packed(raw) }));
    let shown = caller.get(&format!("messages/{}?format=metadata", sent["id"].as_str().unwrap()));
    let headers = shown["payload"]["headers"].to_string();
    assert!(headers.contains("<mine@x>") && headers.contains(ANN) && !headers.contains("boss"), "{headers}");
    assert_eq!(ids(&caller.get("messages?q=rfc822msgid:mine@x")).len(), 1);
}

#[test]
fn answer_joins_the_thread_it_names() {
    let caller = Caller::new(GmailSettings::default());
    let first = caller.deliver(&plain("bob@example.org", "One", "a"));
    let raw = packed("To: bob@example.org\nSubject: Re: One\nIn-Reply-To: <One@x>\n\nb\n");
    let sent = caller.post("messages/send", &json!({"raw": raw, "threadId": first}));
    assert_eq!(sent["threadId"], first.as_str());
    let foreign = json!({"raw": raw, "threadId": "19000000000000ff"});
    assert_eq!(caller.refused("POST", "messages/send", &foreign), (404, "notFound".into()));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let caller = Caller::new(GmailSettings::default());
    let standard = "PD8/Pz8+";
    for body in [
        json!({}),
        json!({ "raw": standard }),
        json!({ "raw": packed("Subject: to nobody\n\nb") }),
        json!({ "raw": packed("To: not an address\n\nb") }),
    ] {
        assert_eq!(caller.refused("POST", "messages/send", &body), (400, "invalidArgument".into()), "{body}");
    }
    let huge = upload("media", "message/rfc822", vec![b'x'; 36_700_161]);
    assert_eq!(caller.request(&huge).status(), 413);
}

#[test]
fn uploads_send_as_media_multipart_and_in_pieces() {
    let caller = Caller::new(GmailSettings::default());
    let first = caller.deliver(&plain("bob@example.org", "One", "a"));
    let raw = "To: bob@example.org\r\nSubject: Re: One\r\n\r\nb";
    assert_eq!(caller.request(&upload("media", "message/rfc822", raw)).status(), 200);
    assert_eq!(caller.request(&upload("media", "text/plain", raw)).status(), 400);
    let related = format!(
        "--B\r\nContent-Type: application/json\r\n\r\n{{\"threadId\":\"{first}\"}}\r\n--B\r\n\
         Content-Type: message/rfc822\r\n\r\n{raw}\r\n--B--"
    );
    let answer = caller.request(&upload("multipart", "multipart/related; boundary=B", related));
    let sent: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(sent["threadId"], first.as_str());
    let mut begin = upload("resumable", "application/json", "{}");
    begin.headers_mut().insert("x-upload-content-type", "message/rfc822".parse().unwrap());
    let location = caller.request(&begin).headers()["location"].to_str().unwrap().to_owned();
    let units = caller.gmail.books().units;
    let put = |range: &str, body: &str| {
        let path = &location[location.find("/upload").unwrap()..];
        let body = Bytes::from(body.to_owned());
        caller.request(&Request::put(path).header("content-range", range).body(body).unwrap())
    };
    let halfway = put(&format!("bytes 0-9/{}", raw.len()), &raw[..10]);
    assert_eq!(halfway.status(), 308);
    assert_eq!(halfway.headers()["range"], "bytes=0-9");
    let done = put(&format!("bytes 10-{}/{}", raw.len() - 1, raw.len()), &raw[10..]);
    assert_eq!(done.status(), 200);
    assert_eq!(caller.gmail.books().units, units);
    assert_eq!(put(&format!("bytes */{}", raw.len()), "").status(), 404);
}

#[test]
fn daily_limit_names_the_time_to_try_again() {
    let mut caller = Caller::new(GmailSettings { daily_sends: Some(1), ..GmailSettings::default() });
    let body = json!({ "raw": packed("To: bob@example.org\n\nb") });
    caller.post("messages/send", &body);
    let (status, refusal) = caller.ask("POST", "messages/send", &body);
    assert_eq!(status, 429);
    assert!(refusal["error"]["message"].as_str().unwrap().contains("Retry after 2026-01-06T"), "{refusal}");
    caller.pass(24 * 3600);
    caller.post("messages/send", &body);
}

#[test]
fn draft_is_listed_and_sent_as_a_new_message() {
    let caller = Caller::new(GmailSettings::default());
    let draft = caller.post("drafts", &json!({"message": {"raw": packed("To: bob@example.org\nSubject: s\n\nb")}}));
    let id = draft["id"].as_str().unwrap();
    assert_eq!(caller.get("drafts")["drafts"][0]["id"], id);
    assert_eq!(caller.get(&format!("drafts/{id}"))["message"]["labelIds"], json!(["DRAFT"]));
    let sent = caller.post("drafts/send", &json!({ "id": id }));
    assert_ne!(sent["id"], draft["message"]["id"]);
    assert_eq!(caller.refused("GET", &format!("drafts/{id}"), &Value::Null).0, 404);
}

#[test]
fn inserted_message_takes_its_time_from_its_date_if_asked() {
    let caller = Caller::new(GmailSettings::default());
    let raw = packed("Date: Thu, 1 Jan 2026 10:00:00 +0000\nSubject: old\n\nb");
    let put = caller.post("messages?internalDateSource=dateHeader", &json!({"raw": raw, "labelIds": ["INBOX"]}));
    let shown = caller.get(&format!("messages/{}?format=minimal", put["id"].as_str().unwrap()));
    assert_eq!((&shown["internalDate"], &shown["labelIds"]), (&json!("1767261600000"), &json!(["INBOX"])));
}
