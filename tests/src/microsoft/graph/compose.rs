//! Writes messages anew, as the service does whenever somebody asks for the raw form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::ids::checksum;
use super::mail::{Attachment, AttachmentKind, Body, Mail, Party};

/// Whether the hidden recipients stand in the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hidden {
    Left,
    Out,
}

/// The message as RFC 5322 text.
pub(super) fn compose(mail: &Mail, hidden: Hidden) -> Bytes {
    let mut out = head(mail, hidden);
    let inline: Vec<&Attachment> = files(mail).filter(|a| a.inline).collect();
    let attached: Vec<&Attachment> = files(mail).filter(|a| !a.inline).collect();
    let body = related(mail, &inline);
    let whole = if attached.is_empty() {
        body
    } else {
        let parts = std::iter::once(body).chain(attached.into_iter().map(attachment)).collect();
        multipart("mixed", parts)
    };
    out.push_str("MIME-Version: 1.0\r\n");
    out.push_str(&whole);
    Bytes::from(out)
}

fn files(mail: &Mail) -> impl Iterator<Item = &Attachment> {
    mail.attachments.iter().filter(|a| a.kind != AttachmentKind::Reference)
}

fn head(mail: &Mail, hidden: Hidden) -> String {
    let mut out = String::new();
    let mut put = |name: &str, value: &str| {
        let value = value.replace(['\r', '\n'], " ");
        if !value.trim().is_empty() {
            out.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
    };
    let list = |parties: &[Party]| parties.iter().map(mailbox).collect::<Vec<_>>().join(",\r\n ");
    for (name, value) in mail.other_headers() {
        put(name, &if value.is_ascii() { value.clone() } else { words(value) });
    }
    put("From", &mail.from.as_ref().map(mailbox).unwrap_or_default());
    if mail.sender != mail.from {
        put("Sender", &mail.sender.as_ref().map(mailbox).unwrap_or_default());
    }
    put("To", &list(&mail.to));
    put("Cc", &list(&mail.cc));
    if hidden == Hidden::Left {
        put("Bcc", &list(&mail.bcc));
    }
    put("Reply-To", &list(&mail.reply_to));
    put("Subject", &words(&mail.subject));
    put("Date", &mail.date.map(|d| d.to_rfc2822()).unwrap_or_default());
    put("Message-ID", &mail.message_id);
    out
}

fn mailbox(party: &Party) -> String {
    if party.name.is_empty() {
        return format!("<{}>", party.address);
    }
    let plain = party.name.chars().all(|c| c.is_ascii_alphanumeric() || " -'".contains(c));
    let name = match (plain, party.name.is_ascii()) {
        (true, _) => party.name.clone(),
        (false, true) => format!("\"{}\"", party.name.replace('\\', "\\\\").replace('"', "\\\"")),
        (false, false) => words(&party.name),
    };
    format!("{name} <{}>", party.address)
}

/// A header text in encoded words, if it needs them.
fn words(text: &str) -> String {
    if text.is_ascii() && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 42 {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let encode = |word: &String| format!("=?utf-8?B?{}?=", STANDARD.encode(word));
    words.iter().map(encode).collect::<Vec<_>>().join(" ")
}

fn related(mail: &Mail, inline: &[&Attachment]) -> String {
    let mut forms = Vec::new();
    match &mail.body {
        Body::Text(text) => forms.push(leaf("text/plain; charset=utf-8", "", text.as_bytes())),
        Body::Html(html) => {
            forms.push(leaf("text/plain; charset=utf-8", "", mail.body.text().as_bytes()));
            forms.push(leaf("text/html; charset=utf-8", "", html.as_bytes()));
        }
    }
    if let Some((method, text)) = &mail.calendar {
        forms.push(leaf(&format!("text/calendar; charset=utf-8; method={method}"), "", text.as_bytes()));
    }
    let body = if forms.len() == 1 { forms.remove(0) } else { multipart("alternative", forms) };
    if inline.is_empty() {
        return body;
    }
    multipart("related", std::iter::once(body).chain(inline.iter().map(|a| attachment(a))).collect())
}

fn attachment(one: &Attachment) -> String {
    if one.kind == AttachmentKind::Item {
        let (content, headers) = (one.content.bytes(), "Content-Disposition: attachment\r\n");
        return match std::str::from_utf8(&content) {
            Ok(inner) => format!("Content-Type: message/rfc822\r\n{headers}\r\n{inner}"),
            Err(_) => leaf("message/rfc822", headers, &content),
        };
    }
    let name = quoted(&one.name);
    let disposition = if one.inline { "inline" } else { "attachment" };
    let mut more = format!("Content-Disposition: {disposition}; {}\r\n", parameter("filename", &name));
    if let Some(id) = &one.content_id {
        more.push_str(&format!("Content-ID: <{id}>\r\n"));
    }
    let kind = if one.content_type.is_empty() { "application/octet-stream" } else { &one.content_type };
    leaf(&format!("{kind}; {}", parameter("name", &name)), &more, &one.content.bytes())
}

/// A name without what would end a header.
fn quoted(name: &str) -> String {
    name.replace(['\r', '\n', '"', '\\'], "_")
}

fn parameter(name: &str, value: &str) -> String {
    if value.is_ascii() {
        return format!("{name}=\"{value}\"");
    }
    let encode = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    format!("{name}*=utf-8''{}", value.bytes().map(encode).collect::<String>())
}

fn leaf(content_type: &str, more: &str, content: &[u8]) -> String {
    let mut out = format!("Content-Type: {content_type}\r\n{more}Content-Transfer-Encoding: base64\r\n\r\n");
    let encoded = STANDARD.encode(content);
    out.reserve(encoded.len() + encoded.len() / 38 + 2);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(76));
        out.push_str(line);
        out.push_str("\r\n");
        rest = after;
    }
    out
}

fn multipart(kind: &str, parts: Vec<String>) -> String {
    // Seen in no part: it depends on all of them.
    let sum = parts.iter().fold(checksum(kind.as_bytes()), |sum, part| sum ^ checksum(part.as_bytes()).rotate_left(7));
    let boundary = format!("_{kind}_{sum:016x}_");
    let mut out = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        out.push_str(&format!("--{boundary}\r\n{part}\r\n"));
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    out
}
