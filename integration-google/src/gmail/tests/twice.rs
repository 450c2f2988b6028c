//! The same message twice: as Gmail takes it apart, and as raw text. Both must read alike.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use integration_core::email::{Message, kind, parse, report};
use serde_json::{Value, json};

use crate::gmail::{convert, wire};

/// A part of a message, from which both forms are made.
struct Part {
    kind: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    /// The file name, as Gmail gives it.
    name: &'static str,
    content: Content,
}

enum Content {
    Text(&'static [u8]),
    File(&'static [u8]),
    Message(Box<Part>),
    Parts(Vec<Part>),
}

fn text(kind: &'static str, bytes: &'static [u8]) -> Part {
    Part { kind, headers: Vec::new(), name: "", content: Content::Text(bytes) }
}

fn file(kind: &'static str, name: &'static str, disposition: &'static str) -> Part {
    let headers = vec![("Content-Disposition", disposition), ("Content-Transfer-Encoding", "base64")];
    Part { kind, headers, name, content: Content::File(b"\x00\x01\x02 some bytes \xff") }
}

fn many(kind: &'static str, parts: Vec<Part>) -> Part {
    Part { kind, headers: Vec::new(), name: "", content: Content::Parts(parts) }
}

impl Part {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn boundary(&self) -> &'static str {
        self.kind.split_once("boundary=").map_or("", |(_, boundary)| boundary)
    }

    fn all_headers(&self) -> Vec<(&'static str, &'static str)> {
        let typed = (!self.kind.is_empty()).then_some(("Content-Type", self.kind));
        self.headers.iter().copied().chain(typed).collect()
    }

    fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        for (name, value) in self.all_headers() {
            raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
        match &self.content {
            Content::Text(bytes) => raw.extend_from_slice(bytes),
            Content::File(bytes) => raw.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
            Content::Message(inner) => raw.extend(inner.raw()),
            Content::Parts(parts) => {
                for part in parts {
                    raw.extend_from_slice(format!("--{}\r\n", self.boundary()).as_bytes());
                    raw.extend(part.raw());
                    raw.extend_from_slice(b"\r\n");
                }
                raw.extend_from_slice(format!("--{}--\r\n", self.boundary()).as_bytes());
            }
        }
        raw
    }

    /// As `format=full` shows it: texts with their bytes, files with an id to fetch them by.
    fn payload(&self, path: &str) -> Value {
        let below = |at: usize| if path.is_empty() { at.to_string() } else { format!("{path}.{at}") };
        let (body, parts) = match &self.content {
            Content::Text(bytes) => (json!({ "size": bytes.len(), "data": URL_SAFE.encode(bytes) }), Vec::new()),
            Content::File(bytes) => (json!({ "size": bytes.len(), "attachmentId": "file" }), Vec::new()),
            Content::Message(inner) => (json!({ "size": inner.raw().len() }), vec![inner.payload(&below(0))]),
            Content::Parts(parts) => {
                let parts = parts.iter().enumerate().map(|(at, part)| part.payload(&below(at))).collect();
                (json!({ "size": 0 }), parts)
            }
        };
        let headers = self.all_headers().into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let headers: Vec<Value> = headers.collect();
        let kind = if self.kind.is_empty() { "text/plain" } else { self.kind };
        json!({ "partId": path, "mimeType": kind.split(';').next(), "filename": self.name, "headers": headers,
            "body": body, "parts": parts })
    }
}

/// A message with this content, read from both forms.
fn both(content: Part) -> (Message, Message) {
    let root = content
        .with("From", "Ann Example <ann@example.com>")
        .with("To", "bob@example.org, \"Doe, Carol\" <carol@example.org>")
        .with("Subject", "Offer 7")
        .with("Date", "Thu, 1 Jan 2026 01:00:00 +0100")
        .with("Message-ID", "<m1@example.com>");
    let value = json!({ "id": "m1", "payload": root.payload("") });
    let wire: wire::Message = serde_json::from_value(value).unwrap();
    let decoded = convert::message(&wire, true).unwrap();
    let mut parsed = parse::message(&root.raw()).unwrap();
    // What only one of the two can know.
    (parsed.id, parsed.size) = (decoded.id.clone(), decoded.size);
    parsed.flags = decoded.flags.clone();
    (decoded, parsed)
}

fn alternative() -> Part {
    let rich = text("text/html; charset=utf-8", "<p>Größe <b>XL</b></p>".as_bytes());
    many("multipart/alternative; boundary=a", vec![text("text/plain; charset=utf-8", "Größe XL".as_bytes()), rich])
}

fn shapes() -> Vec<(&'static str, Part)> {
    let plain = || text("text/plain; charset=utf-8", b"Hello\r\n\r\nAnn");
    let pdf = || file("application/pdf", "offer.pdf", "attachment; filename=offer.pdf");
    let image = || file("image/png", "logo.png", "inline; filename=logo.png").with("Content-ID", "<logo@example.com>");
    let forwarded = Part {
        kind: "message/rfc822",
        headers: Vec::new(),
        name: "",
        content: Content::Message(Box::new(plain().with("From", "eve@example.net").with("Subject", "Inner"))),
    };
    vec![
        ("no type at all", text("", b"Hello")),
        ("plain text", plain()),
        ("another charset", text("text/plain; charset=iso-8859-1", b"Gr\xf6\xdfe")),
        ("HTML alone", text("text/html; charset=utf-8", b"<style>p{}</style><p>Hi<br>you</p>")),
        ("two forms", alternative()),
        ("a file", many("multipart/mixed; boundary=m", vec![plain(), pdf()])),
        ("two forms and a file", many("multipart/mixed; boundary=m", vec![alternative(), pdf()])),
        (
            "an image within",
            many("multipart/related; boundary=r", vec![text("text/html", b"<p>Hi</p><img src=cid:logo>"), image()]),
        ),
        (
            "related within alternative within mixed",
            many(
                "multipart/mixed; boundary=m",
                vec![
                    many(
                        "multipart/alternative; boundary=a",
                        vec![
                            plain(),
                            many("multipart/related; boundary=r", vec![text("text/html", b"<p>x</p>"), image()]),
                        ],
                    ),
                    pdf(),
                ],
            ),
        ),
        ("text, a file, text", many("multipart/mixed; boundary=m", vec![plain(), pdf(), text("text/plain", b"P.S.")])),
        (
            "a text that is attached",
            many(
                "multipart/mixed; boundary=m",
                vec![
                    plain(),
                    Part { name: "notes.txt", ..text("text/plain", b"notes") }
                        .with("Content-Disposition", "attachment; filename=notes.txt"),
                ],
            ),
        ),
        ("an attached message", many("multipart/mixed; boundary=m", vec![plain(), forwarded])),
        (
            "an invitation",
            many(
                "multipart/mixed; boundary=m",
                vec![
                    plain(),
                    Part {
                        name: "invite.ics",
                        ..text("text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR")
                    }
                    .with("Content-Disposition", "attachment; filename=invite.ics"),
                ],
            ),
        ),
        (
            "a form for watches",
            many(
                "multipart/alternative; boundary=a",
                vec![plain(), text("text/watch-html", b"<b>Hello</b>"), text("text/html", b"<p>Hello</p>")],
            ),
        ),
        ("what pages refuse", text("text/plain; charset=utf-8", b"a\x00b\x0bc\x1b[0m d\xef\xbf\xbe")),
    ]
}

#[test]
fn each_shape_of_a_message_reads_as_its_raw_text_does() {
    let mut wrong = Vec::new();
    for (what, shape) in shapes() {
        let (decoded, parsed) = both(shape);
        assert!(!decoded.text.contains('\0') && !decoded.text.is_empty(), "{what}");
        if decoded != parsed {
            println!("{what}:\n{decoded:#?}\n{parsed:#?}");
            wrong.push(what);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn a_delivery_report_names_the_same_recipients_in_both_forms() {
    let status = b"Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; ada@example.net\r\nAction: failed\r\n\
        Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\n\
        Action: delayed\r\nStatus: 4.2.2\r\n";
    let returned = text("text/plain", b"x").with("Message-ID", "<sent@example.com>").with("Subject", "Offer");
    let (decoded, parsed) = both(many(
        "multipart/report; report-type=delivery-status; boundary=d",
        vec![
            text("text/plain", b"It could not be delivered."),
            text("message/delivery-status", status),
            Part {
                kind: "message/rfc822",
                headers: Vec::new(),
                name: "",
                content: Content::Message(Box::new(returned)),
            },
        ],
    ));
    let found = report::bounces(&decoded);
    assert_eq!(found, report::bounces(&parsed));
    let told: Vec<(&str, bool, Option<&str>)> =
        found.iter().map(|one| (one.recipient.as_str(), one.hard, one.original_id.as_deref())).collect();
    let id = Some("sent@example.com");
    assert_eq!(told, [("ada@example.net", true, id), ("bob@example.net", false, id)]);
    assert_eq!(kind::kind(&decoded), kind::kind(&parsed));
}
