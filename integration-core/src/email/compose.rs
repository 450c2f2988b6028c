//! [`Outgoing`] to raw RFC 5322 text.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use mail_builder::{
    headers::{
        Header as _, HeaderType, address::Address as Mailbox, content_type::ContentType, date::Date,
        message_id::MessageId, text::Text,
    },
    mime::{BodyPart, MimePart},
};
use sha2::{Digest, Sha256};

use crate::{
    email::types::{Address, Outgoing, OutgoingAttachment, ReplyTo},
    error::{Error, ErrorKind, Result},
};

/// The largest message that is written, in bytes before encoding.
pub const MAX_BYTES: usize = 150 * 1024 * 1024;

/// How many `References` are written: the first and the latest.
const MAX_REFERENCES: usize = 100;
/// The longest header value, in bytes.
const MAX_VALUE: usize = 8 * 1024;

/// Headers that have a place of their own in [`Outgoing`], or that only we write.
const RESERVED: [&str; 12] = [
    "bcc",
    "cc",
    "date",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "references",
    "reply-to",
    "sender",
    "subject",
    "to",
];

/// Writes a message.
///
/// The same input gives the same bytes. `Bcc` is written (services read and strip it), `From` only if there is one
/// (services then put the account's address), `Message-ID` only if `message_id` (without angle brackets) is given.
///
/// # Errors
/// `InvalidInput` naming the field: an address that is none, a line break in a header value, a header that is reserved,
/// a media type that is none, more than [`MAX_BYTES`].
pub fn compose(mail: &Outgoing, message_id: Option<&str>, date: DateTime<Utc>) -> Result<Vec<u8>> {
    let size = mail.text.as_ref().map_or(0, String::len)
        + mail.html.as_ref().map_or(0, String::len)
        + mail.attachments.iter().map(|file| file.bytes.len()).sum::<usize>();
    if size > MAX_BYTES {
        return Err(invalid("the message", "is too large"));
    }
    let mut raw = Vec::with_capacity(size / 2 * 3 + 2_048);
    for (name, value) in headers(mail, message_id, date)? {
        write_header(&mut raw, &name, &value);
    }
    raw.extend_from_slice(b"MIME-Version: 1.0\r\n");
    body(mail, &Boundaries::new(mail, message_id, date))?.write_part(&mut raw);
    Ok(raw)
}

type Header = (String, HeaderType<'static>);

fn write_header(raw: &mut Vec<u8>, name: &str, value: &HeaderType<'static>) {
    raw.extend_from_slice(name.as_bytes());
    raw.extend_from_slice(b": ");
    value.write_header(raw, name.len() + 2);
}

fn headers(mail: &Outgoing, message_id: Option<&str>, date: DateTime<Utc>) -> Result<Vec<Header>> {
    let mut headers: Vec<Header> = Vec::new();
    let mut add = |name: &str, value: HeaderType<'static>| headers.push((name.to_owned(), value));
    add("Date", Date::new(date.timestamp()).into());
    if let Some(id) = message_id {
        let id = checked_id(id).ok_or_else(|| invalid("message_id", "is not of the form left@right"))?;
        add("Message-ID", MessageId::new(id.to_owned()).into());
    }
    let single = |address: &Option<Address>| address.iter().cloned().collect::<Vec<_>>();
    let lists = [
        ("From", "from", &single(&mail.from)),
        ("Reply-To", "reply_to", &single(&mail.reply_to)),
        ("To", "to", &mail.to),
        ("Cc", "cc", &mail.cc),
        ("Bcc", "bcc", &mail.bcc),
    ];
    for (header, field, list) in lists {
        let mailboxes = list.iter().enumerate().map(|(at, address)| mailbox(&format!("{field}[{at}]"), address));
        let mailboxes = mailboxes.collect::<Result<Vec<_>>>()?;
        if !mailboxes.is_empty() {
            add(header, Mailbox::new_list(mailboxes).into());
        }
    }
    add("Subject", Text::new(checked_value("subject", &mail.subject)?).into());
    let (parent, references) = mail.in_reply_to.as_ref().map(answered).unwrap_or_default();
    if let Some(parent) = parent {
        add("In-Reply-To", MessageId::new(parent).into());
    }
    if !references.is_empty() {
        add("References", MessageId::new_list(references.into_iter()).into());
    }
    for (name, value) in &mail.headers {
        let field = checked_name(name)?;
        add(name, Text::new(checked_value(&field, value)?).into());
    }
    Ok(headers)
}

/// What `In-Reply-To` and `References` carry. Ids that are none are left out: they came from the other side.
fn answered(to: &ReplyTo) -> (Option<String>, Vec<String>) {
    let Some(parent) = to.message_id.as_deref().and_then(checked_id) else { return (None, Vec::new()) };
    let mut references: Vec<String> = Vec::new();
    for id in to.references.iter().filter_map(|id| checked_id(id)).filter(|&id| id != parent) {
        if !references.iter().any(|known| known == id) {
            references.push(id.to_owned());
        }
    }
    references.push(parent.to_owned());
    if references.len() > MAX_REFERENCES {
        // The first names the conversation, the last ones where the answer belongs.
        references.drain(1..=references.len() - MAX_REFERENCES);
    }
    (Some(parent.to_owned()), references)
}

/// An id that may stand between angle brackets.
fn checked_id(id: &str) -> Option<&str> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let clean = id.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'));
    (clean && id.len() <= 900 && id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty()))
        .then_some(id)
}

fn mailbox(field: &str, address: &Address) -> Result<Mailbox<'static>> {
    let name = address.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let name = name.map(|name| checked_value(&format!("{field}.name"), name)).transpose()?;
    Ok(Mailbox::new_address(name, checked_address(field, &address.address)?))
}

/// The address as it goes over the wire: an international domain in its ASCII form.
fn checked_address(field: &str, address: &str) -> Result<String> {
    let address = address.trim();
    let refused = |why: &str| Err(invalid(field, why));
    let Some((local, domain)) = address.rsplit_once('@') else {
        return refused("is not an address: there is no @");
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    if local.is_empty() || local.len() > 64 || !local.bytes().all(allowed) {
        return refused("is not an address: what stands before the @ is not allowed");
    }
    let Ok(url::Host::Domain(domain)) = url::Host::parse(domain) else {
        return refused("is not an address: what stands after the @ is not a domain");
    };
    let label = |label: &str| {
        let hyphen = label.starts_with('-') || label.ends_with('-');
        !label.is_empty()
            && label.len() <= 63
            && !hyphen
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) {
        return refused("is not an address: what stands after the @ is not a domain");
    }
    Ok(format!("{local}@{domain}"))
}

/// A value that stays on its line.
fn checked_value(field: &str, value: &str) -> Result<String> {
    if value.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err(invalid(field, "contains a line break or another control character"));
    }
    if value.len() > MAX_VALUE {
        return Err(invalid(field, "is too long"));
    }
    Ok(value.to_owned())
}

/// A header's name, as errors call it.
fn checked_name(name: &str) -> Result<String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 70 || !name.bytes().all(token) {
        return Err(invalid("headers", "contains a name that is no header name"));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("content-") {
        return Err(invalid(&format!("headers.{name}"), "is written from another field"));
    }
    Ok(format!("headers.{name}"))
}

fn body(mail: &Outgoing, boundaries: &Boundaries) -> Result<MimePart<'static>> {
    let text = mail.text.as_deref().map(|text| text_part("text/plain", text));
    let html = mail.html.as_deref().map(|html| text_part("text/html", html));
    let content = match (text, html) {
        (Some(text), Some(html)) => boundaries.multipart("alternative", vec![text, html]),
        (Some(part), None) | (None, Some(part)) => part,
        (None, None) => text_part("text/plain", ""),
    };
    if mail.attachments.is_empty() {
        return Ok(content);
    }
    let mut parts = vec![content];
    for (at, file) in mail.attachments.iter().enumerate() {
        parts.push(attached(&format!("attachments[{at}]"), file)?);
    }
    Ok(boundaries.multipart("mixed", parts))
}

fn text_part(media_type: &'static str, text: &str) -> MimePart<'static> {
    let kind = ContentType::new(media_type).attribute("charset", "utf-8");
    MimePart::new(kind, BodyPart::Text(text.replace('\0', "").into()))
}

fn attached(field: &str, file: &OutgoingAttachment) -> Result<MimePart<'static>> {
    let name = checked_value(&format!("{field}.name"), &file.name)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
    let word = |word: &str| !word.is_empty() && word.len() < 128 && word.bytes().all(token);
    let media_type = file.media_type.to_ascii_lowercase();
    let known = media_type.split_once('/').is_some_and(|(kind, sub)| word(kind) && word(sub) && kind != "multipart");
    if !known {
        return Err(invalid(&format!("{field}.media_type"), "is not a media type of one file"));
    }
    let part = MimePart::new(ContentType::new(media_type), BodyPart::Binary(file.bytes.to_vec().into()));
    let disposition = ContentType::new("attachment");
    let disposition = if name.is_empty() { disposition } else { disposition.attribute("filename", name) };
    Ok(part.header("Content-Disposition", disposition))
}

/// Boundaries made from the content: the same message gives the same bytes, and no text can contain its own.
struct Boundaries(String);

impl Boundaries {
    fn new(mail: &Outgoing, message_id: Option<&str>, date: DateTime<Utc>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(message_id.unwrap_or_default().as_bytes());
        add(&date.timestamp().to_le_bytes());
        add(mail.subject.as_bytes());
        add(mail.text.as_deref().unwrap_or_default().as_bytes());
        add(mail.html.as_deref().unwrap_or_default().as_bytes());
        for file in &mail.attachments {
            add(&file.bytes);
        }
        let mut digest = hex::encode(hash.finalize());
        digest.truncate(40);
        Self(digest)
    }

    fn multipart(&self, subtype: &str, parts: Vec<MimePart<'static>>) -> MimePart<'static> {
        let kind = ContentType::new(format!("multipart/{subtype}"));
        MimePart::new(kind.attribute("boundary", format!("{subtype}-{}", self.0)), parts)
    }
}

fn invalid(field: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{field} {why}"))
}
