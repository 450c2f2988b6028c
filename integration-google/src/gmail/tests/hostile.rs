//! Answers that are broken, cut off, or as large as somebody could make them.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use integration_core::{
    sync::{Change, Cursor, Fingerprint},
    testing::{assert_linear, fuzz},
};
use serde_json::{Value, json};

use super::full;
use crate::{
    batch,
    gmail::{
        attachment::Decoder,
        convert,
        feed::{self, HistoryAt},
        wire,
    },
};

const WORDS: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\"parts\":[",
    "{\"parts\":[",
    "\"partId\":\"0\",",
    "\"data\":\"====\"",
    "\"mimeType\":\"multipart/mixed\"",
    "\"attachmentId\":\"x\",",
    "\"historyId\":7,",
    "\u{fc}",
];

/// With everything that the decoder looks at.
fn rich() -> Value {
    let text = |kind: &str, text: &[u8]| json!({ "mimeType": kind, "headers": [{ "name": "Content-Type", "value": format!("{kind}; charset=iso-8859-1") }], "body": { "size": text.len(), "data": URL_SAFE.encode(text) } });
    let mut value = full("m1");
    value["payload"]["parts"] = json!([
        { "mimeType": "multipart/alternative", "parts": [text("text/plain", b"Gr\xfc\xdfe"), text("text/html", b"<p>x</p>")] },
        text("text/calendar", b"BEGIN:VCALENDAR"),
        { "partId": "2", "mimeType": "text/plain", "body": { "attachmentId": "later", "size": "9" } },
        { "partId": "3", "mimeType": "message/rfc822", "filename": "a.eml", "parts": [text("text/plain", b"inner")] },
    ]);
    value
}

/// Everything that is done with the JSON of a message before it is one.
fn read_message(bytes: &[u8]) {
    let Ok(mut message) = serde_json::from_slice::<wire::Message>(bytes) else { return };
    if let Some(payload) = &mut message.payload {
        let wanted = convert::texts_to_fetch(payload);
        assert!(wanted.iter().take(10).all(|(path, _)| convert::part_at(payload, path).is_some()));
        convert::put_texts(payload, wanted.into_iter().map(|(path, _)| (path, "SGk=".to_owned())).collect());
    }
    let _ = convert::message(&message, false);
    let Ok(read) = convert::message(&message, true) else { return };
    assert_eq!(read.id, message.id);
    assert!(read.attachments.len() <= 1_000 && read.headers.all.len() <= 200);
    let kept = read.text.len() + read.html.map_or(0, |html| html.len());
    assert!(kept <= 40 * bytes.len() + 1_000, "{kept} bytes of text from {}", bytes.len());
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let (plain, rich) = (full("m1").to_string(), rich().to_string());
    fuzz("message JSON", 4_000, &[plain.as_bytes(), rich.as_bytes()], &WORDS, read_message);
}

fn read_history(bytes: &[u8]) {
    let Ok(list) = serde_json::from_slice::<wire::HistoryList>(bytes) else { return };
    let (changes, largest) = feed::history_changes(&list.history);
    assert!(changes.len() <= bytes.len());
    for change in &changes {
        if let Change::Upsert { key, .. } = change {
            assert!(!key.as_str().is_empty());
        }
    }
    let at = HistoryAt { start: 5, ..HistoryAt::default() };
    let next = feed::next_position(&at, &list, largest);
    assert!(next.start >= at.start, "the head never moves back");
    assert!(next.cursor().is_ok());
}

#[test]
fn mutated_histories_and_listings_are_read_or_refused() {
    let history = json!({ "historyId": "990", "nextPageToken": "t", "history": [
        { "id": "7", "messagesAdded": [{ "message": { "id": "a", "threadId": "t", "labelIds": ["INBOX"] } }] },
        { "id": 8, "labelsAdded": [{ "message": { "id": "a", "labelIds": ["INBOX", "STARRED"] }, "labelIds": ["STARRED"] }] },
        { "id": "9", "labelsRemoved": [{ "message": { "id": "b", "labelIds": [] } }] },
        { "id": "9", "messagesDeleted": [{ "message": { "id": "a" } }, { "message": { "id": "" } }] },
    ] });
    fuzz("history JSON", 4_000, &[history.to_string().as_bytes()], &WORDS, read_history);
    let list = json!({ "messages": [{ "id": "a", "threadId": "t" }, { "id": "b" }, 7, null], "nextPageToken": "t" });
    fuzz("listing JSON", 3_000, &[list.to_string().as_bytes()], &WORDS, |input| {
        let Ok(list) = serde_json::from_slice::<wire::MessageList>(input) else { return };
        let stubs = list.messages.iter().filter(|stub| serde_json::from_str::<wire::Stub>(stub.get()).is_ok());
        assert!(stubs.count() <= input.len());
    });
}

#[test]
fn a_mutated_cursor_is_a_position_or_expired() {
    let good = HistoryAt { start: 7, page: Some("t".to_owned()), reached: 9 }.cursor().unwrap();
    let stored = serde_json::to_string(&good).unwrap();
    fuzz("cursor", 3_000, &[stored.as_bytes()], &WORDS, |input| {
        let Ok(cursor) = serde_json::from_slice::<Cursor>(input) else { return };
        if let Err(error) = HistoryAt::read(&cursor) {
            assert_eq!(error.kind(), integration_core::ErrorKind::CursorExpired);
        }
    });
    assert!(HistoryAt::read(&Cursor::new(1, Fingerprint::of(["other"]), "{\"start\":7}")).is_err());
}

const BATCH: &str = "--b\r\nContent-Type: application/http\r\nContent-ID: <response-item-1>\r\n\r\nHTTP/1.1 200 OK\r\n\
    Content-Type: application/json\r\n\r\n{\"id\":\"a\"}\r\n--b\r\nContent-ID: <response-item-0>\r\n\r\n\
    HTTP/1.1 404 Not Found\r\n\r\n{}\r\n--b--\r\n";

#[test]
fn mutated_batch_answers_are_split_or_refused() {
    let words =
        ["--b", "\r\n", "\r\n\r\n", "--b--", "HTTP/1.1 ", "Content-ID: <response-item-", ": ", "99999999999999999999"];
    fuzz("batch answer", 5_000, &[BATCH.as_bytes()], &words, |input| {
        let parts = batch::parse("multipart/mixed; boundary=b", &Bytes::copy_from_slice(input)).unwrap();
        let total: usize = parts.iter().map(|part| part.body.len()).sum();
        assert!(total <= input.len(), "{total} bytes of bodies from {}", input.len());
    });
    fuzz(
        "batch type",
        3_000,
        &[b"multipart/mixed; boundary=\"b\"; charset=x"],
        &[";", "=", "\"", "boundary="],
        |input| {
            let _ = batch::parse(&String::from_utf8_lossy(input), &Bytes::from_static(BATCH.as_bytes()));
        },
    );
}

#[test]
fn a_mutated_attachment_answer_gives_no_more_than_it_holds() {
    let answer = format!("{{\"size\":3,\"x\":[{{\"data\":\"no\"}}],\"data\":\"{}\\u003d\"}}", "QUJDRA=");
    fuzz("attachment JSON", 4_000, &[answer.as_bytes()], &WORDS, |input| {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        let done = input.chunks(7).try_for_each(|chunk| decoder.push(chunk, &mut bytes));
        let _ = done.and_then(|()| decoder.finish(&mut bytes));
        assert!(bytes.len() <= input.len());
    });
}

#[test]
fn the_attachment_decoder_keeps_nothing_of_what_is_not_wanted() {
    for text in ["\\n", "x", "{", "\\u003d"] {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        decoder.push(b"{\"other\":\"", &mut bytes).unwrap();
        for _ in 0..100 {
            decoder.push(text.repeat(1_000).as_bytes(), &mut bytes).unwrap();
        }
        assert!(bytes.is_empty() && format!("{decoder:?}").len() < 500, "{text}: {}", format!("{decoder:?}").len());
    }
}

/// The JSON of a message with these header fields and parts.
fn message_of(headers: &str, parts: &str) -> Vec<u8> {
    let from = "{\"name\":\"From\",\"value\":\"a@x\"}";
    let payload = format!("{{\"mimeType\":\"multipart/mixed\",\"headers\":[{from}{headers}],\"parts\":[{parts}]}}");
    format!("{{\"id\":\"m\",\"payload\":{payload}}}").into_bytes()
}

fn many(piece: &str, size: usize) -> String {
    vec![piece; size / piece.len()].join(",")
}

#[test]
fn the_time_to_read_a_message_grows_with_its_size() {
    type Make = fn(usize) -> Vec<u8>;
    let shapes: [(&str, usize, Make); 7] = [
        ("parts", 100_000, |size| message_of("", &many("{\"mimeType\":\"a/b\",\"filename\":\"f\"}", size))),
        ("texts left out", 100_000, |size| {
            message_of("", &many("{\"mimeType\":\"text/plain\",\"body\":{\"attachmentId\":\"x\",\"size\":9}}", size))
        }),
        ("header fields", 100_000, |size| {
            let fields = many("{\"name\":\"Received\",\"value\":\"from a by b\"}", size);
            message_of(&format!(",{fields}"), "")
        }),
        ("a header", 60_000, |size| {
            let value = "Ann <a@x.example>, ".repeat(size / 19);
            json!({ "id": "m", "payload": { "headers": [{ "name": "To", "value": value }] } }).to_string().into_bytes()
        }),
        ("a text", 250_000, |size| {
            let data = URL_SAFE.encode("word ".repeat(size / 5));
            json!({ "id": "m", "payload": { "headers": [{ "name": "From", "value": "a@x" }], "mimeType": "text/plain", "body": { "data": data } } })
                .to_string()
                .into_bytes()
        }),
        ("labels", 100_000, |size| {
            json!({ "id": "m", "labelIds": vec!["Label_1"; size / 10], "payload": { "headers": [{ "name": "From", "value": "a@x" }] } })
                .to_string()
                .into_bytes()
        }),
        ("depth", 100_000, |size| message_of("", &"{\"parts\":[".repeat(size / 10))),
    ];
    for (what, size, make) in shapes {
        assert_linear(what, size, make, |bytes| read_message(bytes));
    }
}

#[test]
fn the_time_to_read_a_history_or_a_batch_grows_with_its_size() {
    type Make = fn(usize) -> Vec<u8>;
    let records: [(&str, Make); 3] = [
        ("records", |size| {
            let record =
                |id: usize| json!({ "id": id.to_string(), "messagesAdded": [{ "message": { "id": id.to_string() } }] });
            json!({ "history": (0..size / 60).map(record).collect::<Vec<_>>() }).to_string().into_bytes()
        }),
        ("records of one message", |size| {
            let record = |id: usize| json!({ "id": id.to_string(), "labelsAdded": [{ "message": { "id": "m" } }] });
            json!({ "history": (0..size / 60).rev().map(record).collect::<Vec<_>>() }).to_string().into_bytes()
        }),
        ("broken records", |size| json!({ "history": vec![7; size / 2] }).to_string().into_bytes()),
    ];
    for (what, make) in records {
        assert_linear(what, 60_000, make, |bytes| read_history(bytes));
    }
    for (what, piece) in [
        ("batch answers", BATCH.trim_end_matches("--b--\r\n")),
        ("boundaries", "--b\r\n"),
        ("dashes", "-"),
        ("lines", "\n"),
        ("headers of a part", "a: b\r\n"),
        ("one header name", "x"),
    ] {
        let make = |size: usize| Bytes::from(format!("--b\r\n{}", piece.repeat(size / piece.len())));
        assert_linear(what, 200_000, make, |body| drop(batch::parse("multipart/mixed; boundary=b", body)));
    }
}

#[test]
fn the_time_to_decode_an_attachment_grows_with_its_size() {
    for (what, piece) in [("data", "QUJD"), ("escapes", "\\u0041"), ("blanks", " "), ("line ends", "\\n")] {
        let make = |size: usize| format!("{{\"data\":\"{}", piece.repeat(size / piece.len())).into_bytes();
        assert_linear(what, 200_000, make, |answer| {
            let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
            answer.chunks(8_192).for_each(|chunk| drop(decoder.push(chunk, &mut bytes)));
        });
    }
}
