use base64::{Engine, engine::general_purpose::URL_SAFE};
use integration_core::email::{Address, Message, Role, parse};
use serde_json::{Value, json};

use super::full;
use crate::gmail::{convert, wire};

fn read(value: Value) -> Message {
    let wire: wire::Message = serde_json::from_value(value).unwrap();
    convert::message(&wire, true).unwrap()
}

/// A message of one tree.
fn of(payload: Value) -> Message {
    let mut payload = payload;
    if payload.get("headers").is_none() {
        payload["headers"] = json!([{ "name": "From", "value": "ann@example.com" }]);
    }
    read(json!({ "id": "m1", "payload": payload }))
}

fn part(kind: &str, headers: Value, bytes: &[u8]) -> Value {
    let mut all = vec![json!({ "name": "Content-Type", "value": kind })];
    all.extend(headers.as_array().cloned().unwrap_or_default());
    let mime = kind.split(';').next().unwrap();
    json!({ "mimeType": mime, "headers": all, "body": { "size": bytes.len(), "data": URL_SAFE.encode(bytes) } })
}

#[test]
fn a_whole_message_has_everything_where_it_belongs() {
    let message = read(full("m1"));
    assert_eq!((message.id.as_str(), message.thread.as_ref().unwrap().as_str()), ("m1", "t1"));
    assert_eq!(message.from, [Address::new("ann@example.com").with_name("Ann Example")]);
    assert_eq!(message.to, [Address::new("bob@example.org"), Address::new("carol@example.org").with_name("Carol")]);
    assert_eq!(message.subject, "Offer €");
    assert_eq!(message.headers.get("subject"), Some("Offer €"));
    assert_eq!(message.message_id.as_deref(), Some("m1@example.com"));
    assert_eq!(message.references, ["a@x", "b@x"]);
    assert_eq!(message.received_at, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(message.date, message.received_at);
    assert_eq!((message.text.as_str(), message.snippet.as_str()), ("Hi & welcome", "Hi & welcome"));
    assert_eq!(message.size, 48211);
    let file = &message.attachments[0];
    assert_eq!((file.part.as_str(), file.name.as_deref(), file.size), ("1", Some("offer.pdf"), 31000));
    assert_eq!((file.media_type.as_str(), file.inline), ("application/pdf", false));
}

#[test]
fn labels_become_roles_and_marks() {
    let flags = |labels: &[&str]| convert::flags(&labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>());
    let all = flags(&["TRASH", "SPAM", "SENT", "INBOX", "DRAFT", "CHAT", "STARRED", "Label_1"]);
    assert_eq!(all.roles, [Role::Chat, Role::Drafts, Role::Inbox, Role::Junk, Role::Sent, Role::Trash]);
    assert!(all.read && all.flagged);
    assert!(!flags(&["UNREAD"]).read);
    assert_eq!(flags(&["B", "A", "B"]), flags(&["A", "B"]));
    assert!(flags(&[]).read && flags(&[]).folders.is_empty());
}

#[test]
fn numbers_may_be_texts_or_numbers_or_rubbish() {
    let read = |date: Value| {
        let value = json!({ "id": "m", "internalDate": date, "sizeEstimate": "12", "historyId": 7 });
        let wire: wire::Message = serde_json::from_value(value).unwrap();
        assert_eq!((wire.size_estimate, wire.history_id), (Some(12), Some(7)));
        wire.internal_date
    };
    assert_eq!(read(json!("-5")), Some(-5));
    assert_eq!(read(json!(5)), Some(5));
    assert_eq!(read(json!("soon")), None);
    assert_eq!(read(json!(null)), None);
}

#[test]
fn of_alternatives_both_forms_are_kept_and_neither_is_an_attachment() {
    let message = of(json!({ "mimeType": "multipart/alternative", "parts": [
        part("text/plain", json!([]), b"plain"), part("text/html", json!([]), b"<p>rich</p>")
    ] }));
    assert_eq!((message.text.as_str(), message.html.as_deref()), ("plain", Some("<p>rich</p>")));
    assert!(message.attachments.is_empty());
}

#[test]
fn html_alone_gives_a_text_too() {
    let message = of(part("text/html", json!([]), b"<p>Hello <b>you</b></p>"));
    assert_eq!(message.text.trim(), "Hello you");
}

#[test]
fn the_text_of_an_attached_message_is_not_the_text() {
    let inner = json!({ "mimeType": "message/rfc822", "filename": "fwd.eml", "partId": "1", "body": { "size": 0 },
        "parts": [{ "partId": "1.0", "mimeType": "text/plain", "body": { "data": URL_SAFE.encode("inner"), "size": 5 } }] });
    let message =
        of(json!({ "mimeType": "multipart/mixed", "parts": [part("text/plain", json!([]), b"outer"), inner] }));
    assert_eq!(message.text, "outer");
    assert_eq!(message.attachments.len(), 1);
    assert_eq!(
        (message.attachments[0].media_type.as_str(), message.attachments[0].part.as_str()),
        ("message/rfc822", "1")
    );
}

#[test]
fn charsets_are_utf8_first_and_the_declared_one_second() {
    let table: [(&str, &[u8], &str); 7] = [
        ("text/plain; charset=iso-8859-1", "größe".as_bytes(), "größe"),
        ("text/plain; charset=iso-8859-1", b"gr\xf6\xdfe", "größe"),
        ("text/plain; charset=\"KOI8-R\"", b"\xd0\xd2\xc9\xd7\xc5\xd4", "привет"),
        ("text/plain", b"caf\xe9", "café"),
        ("text/plain; charset=iso-2022-jp", b"\x1b$B$3$s\x1b(B", "こん"),
        ("text/plain; charset=utf-8", "\u{feff}bom".as_bytes(), "bom"),
        ("text/plain; charset=utf-8\r\nX: y", b"a\xffb", "aÿb"),
    ];
    for (kind, bytes, text) in table {
        assert_eq!(of(part(kind, json!([]), bytes)).text, text, "{kind}");
    }
    let html = of(part("text/html; charset=windows-1251", json!([]), b"<p>\xcf\xf0\xe8\xe2\xe5\xf2</p>"));
    assert_eq!(html.html.as_deref(), Some("<p>Привет</p>"));
}

#[test]
fn an_invitation_is_found_and_still_attached() {
    let attached = json!([{ "name": "Content-Disposition", "value": "attachment; filename=invite.ics" }]);
    let mut invite = part("text/calendar; method=REQUEST", attached, b"BEGIN:VCALENDAR");
    invite["filename"] = json!("invite.ics");
    let message = of(json!({ "mimeType": "multipart/mixed", "parts": [part("text/plain", json!([]), b"x"), invite] }));
    assert_eq!(message.calendar.as_deref(), Some("BEGIN:VCALENDAR"));
    assert_eq!(message.attachments[0].name.as_deref(), Some("invite.ics"));
}

#[test]
fn an_image_of_the_html_is_inline() {
    let image = json!({ "mimeType": "image/PNG", "filename": "logo.png", "body": { "attachmentId": "a", "size": 3 },
        "headers": [{ "name": "Content-Id", "value": "<logo@x>" }, { "name": "Content-Disposition", "value": "inline" }] });
    let message = of(json!({ "mimeType": "multipart/related", "parts": [part("text/html", json!([]), b"x"), image] }));
    let image = &message.attachments[0];
    assert!(image.inline);
    assert_eq!(
        (image.content_id.as_deref(), image.media_type.as_str(), image.part.as_str()),
        (Some("logo@x"), "image/png", "1")
    );
}

#[test]
fn places_are_the_same_whether_gmail_names_them_or_not() {
    let leaf =
        |id: &str| json!({ "partId": id, "mimeType": "image/png", "filename": "x", "body": { "attachmentId": "a" } });
    let tree = |ids: [&str; 3]| {
        json!({ "mimeType": "multipart/mixed", "parts": [
            { "partId": ids[0], "mimeType": "multipart/related", "parts": [leaf(ids[1]), leaf(ids[2])] }
        ] })
    };
    let parts = |message: Message| message.attachments.into_iter().map(|file| file.part).collect::<Vec<_>>();
    assert_eq!(parts(of(tree(["0", "0.0", "0.1"]))), parts(of(tree(["", "", ""]))));
    let payload: wire::Part = serde_json::from_value(tree(["", "", ""])).unwrap();
    assert_eq!(convert::part_at(&payload, "0.1").unwrap().mime_type, "image/png");
    assert!(convert::part_at(&payload, "0.2").is_none());
}

#[test]
fn a_large_text_is_asked_for_and_put_in_its_place() {
    let tree = json!({ "mimeType": "multipart/mixed", "headers": [{ "name": "From", "value": "a@b.c" }], "parts": [
        { "partId": "0", "mimeType": "text/plain", "body": { "attachmentId": "big", "size": 3000000 } },
        { "partId": "1", "mimeType": "text/html", "body": { "attachmentId": "huge", "size": 90000000 } },
        { "partId": "2", "mimeType": "text/plain", "filename": "log.txt", "body": { "attachmentId": "file", "size": 3 } }
    ] });
    let mut wire: wire::Message = serde_json::from_value(json!({ "id": "m", "payload": tree })).unwrap();
    let payload = wire.payload.as_mut().unwrap();
    assert_eq!(convert::texts_to_fetch(payload), [("0".to_owned(), "big".to_owned())]);
    convert::put_texts(payload, [("0".to_owned(), URL_SAFE.encode("long"))].into());
    let message = convert::message(&wire, true).unwrap();
    assert_eq!(message.text, "long");
    // What is too large for a text stays an attachment, to be read as a stream.
    assert_eq!(message.attachments.iter().map(|file| file.part.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_headers_only_message_has_no_text_but_a_readable_snippet() {
    let mut value = full("m1");
    value["payload"]["parts"] = json!([]);
    let wire: wire::Message = serde_json::from_value(value).unwrap();
    let message = convert::message(&wire, false).unwrap();
    assert_eq!((message.text.as_str(), message.snippet.as_str()), ("", "Hi & welcome"));
    assert!(message.attachments.is_empty());
}

#[test]
fn what_is_no_message_says_why() {
    let headers = json!([{ "name": "From", "value": "a@b.c" }]);
    let broken = json!({ "mimeType": "text/plain", "headers": headers, "body": { "data": "***" } });
    let table = [
        (json!({ "payload": { "headers": headers } }), "without its id"),
        (json!({ "id": "m" }), "without its content"),
        (json!({ "id": "m", "payload": {} }), "no header"),
        (json!({ "id": "m", "payload": broken }), "not base64"),
    ];
    for (value, reason) in table {
        let wire: wire::Message = serde_json::from_value(value).unwrap();
        let said = convert::message(&wire, true).unwrap_err();
        assert!(said.as_str().contains(reason), "{}", said.as_str());
    }
}

#[test]
fn base64_is_read_with_and_without_padding_and_line_ends() {
    for data in ["_-A=", "_-A", "_-\r\nA="] {
        assert_eq!(convert::decode(data).unwrap(), [0xff, 0xe0]);
    }
    assert!(convert::decode("/+A=").is_err());
}

#[test]
fn decoding_gmails_form_and_parsing_the_raw_text_give_the_same() {
    let raw = "From: Ann Example <ann@example.com>\r\nTo: bob@example.org\r\nSubject: =?utf-8?Q?Offer_=E2=82=AC?=\r\n\
               Date: Thu, 1 Jan 2026 01:00:00 +0100\r\nMessage-ID: <m1@example.com>\r\nMIME-Version: 1.0\r\n\
               Content-Type: multipart/mixed; boundary=b\r\n\r\n\
               --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
               --c\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
               Gr=F6=DFe\r\n\
               --c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Größe</p>\r\n--c--\r\n\
               --b\r\nContent-Type: image/png; name=\"a b.png\"\r\nContent-ID: <i@x>\r\n\
               Content-Disposition: inline; filename=\"a b.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
    let header = |name: &str, value: &str| json!({ "name": name, "value": value });
    let mut image = part("image/png", json!([]), &[0, 1, 2]);
    image["filename"] = json!("a b.png");
    image["headers"] = json!([
        header("Content-Type", "image/png; name=\"a b.png\""),
        header("Content-ID", "<i@x>"),
        header("Content-Disposition", "inline; filename=\"a b.png\""),
        header("Content-Transfer-Encoding", "base64")
    ]);
    let decoded = of(json!({ "mimeType": "multipart/mixed", "headers": [
            header("From", "Ann Example <ann@example.com>"), header("To", "bob@example.org"),
            header("Subject", "Offer €"), header("Date", "Thu, 1 Jan 2026 01:00:00 +0100"),
            header("Message-ID", "<m1@example.com>"), header("MIME-Version", "1.0"),
            header("Content-Type", "multipart/mixed; boundary=b")
        ], "parts": [
            { "mimeType": "multipart/alternative", "parts": [
                part("text/plain; charset=iso-8859-1", json!([]), b"Gr\xf6\xdfe"),
                part("text/html; charset=utf-8", json!([]), "<p>Größe</p>".as_bytes())
            ] },
            image
        ] }));
    let mut parsed = parse::message(raw.as_bytes()).unwrap();
    // What only one of the two can know.
    (parsed.id, parsed.size) = (decoded.id.clone(), decoded.size);
    parsed.flags = decoded.flags.clone();
    assert_eq!(decoded, parsed);
}
