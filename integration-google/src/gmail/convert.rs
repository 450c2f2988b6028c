//! Gmail's messages to the family's: no I/O.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chrono::{DateTime, Utc};
use integration_core::{
    Error, ErrorKind, Result,
    email::{Attachment, MailFlags, Message, Role, parse},
    ids::{FolderId, ThreadId},
    sync::Revision,
};

use super::wire;

/// Gmail's base64: URL-safe, padded or not.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// As in raw parsing.
const HEADERS: usize = 200;
const HEADER_BYTES: usize = 8 * 1024;

pub(super) fn decode(data: &str) -> Result<Vec<u8>> {
    let clean: String = data.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    URL_SAFE.decode(clean).map_err(|error| Error::new(ErrorKind::Validation, "a body is not base64").with_source(error))
}

pub(super) fn role(label: &str) -> Option<Role> {
    match label {
        "CHAT" => Some(Role::Chat),
        "DRAFT" => Some(Role::Drafts),
        "INBOX" => Some(Role::Inbox),
        "SENT" => Some(Role::Sent),
        "SPAM" => Some(Role::Junk),
        "TRASH" => Some(Role::Trash),
        _ => None,
    }
}

pub(super) fn flags(labels: &[String]) -> MailFlags {
    let mut flags = MailFlags::default();
    flags.folders = labels.iter().map(FolderId::new).collect();
    flags.folders.sort();
    flags.roles = labels.iter().filter_map(|label| role(label)).collect();
    flags.roles.sort();
    flags.read = !labels.iter().any(|label| label == "UNREAD");
    flags.flagged = labels.iter().any(|label| label == "STARRED");
    flags
}

pub(super) fn revision(history_id: Option<&str>) -> Revision {
    let order = history_id.and_then(|id| id.parse::<i64>().ok());
    order.map_or_else(Revision::default, Revision::ordered)
}

/// A message from its parsed form.
pub(super) fn message(wire: wire::Message) -> Result<Message> {
    let payload =
        wire.payload.ok_or_else(|| Error::new(ErrorKind::Validation, "the message came without its content"))?;
    let mut message = Message::default();
    message.id = wire.id;
    message.thread = wire.thread_id.map(ThreadId::new);
    message.flags = flags(&wire.label_ids);
    message.received_at =
        wire.internal_date.and_then(|date| date.parse().ok()).and_then(DateTime::<Utc>::from_timestamp_millis);
    message.size = wire.size_estimate.unwrap_or_default();
    headers(&payload.headers, &mut message);
    if message.headers.all.is_empty() && payload.parts.is_empty() && payload.body.size == 0 {
        return Err(Error::new(ErrorKind::Validation, "the message has neither headers nor content"));
    }
    let mut bodies = Bodies::default();
    walk(&payload, 0, &mut bodies, &mut message)?;
    message.text = match (bodies.text, &bodies.html) {
        (Some(text), _) => text,
        (None, Some(html)) => parse::html_to_text(html),
        (None, None) => String::new(),
    };
    message.html = bodies.html;
    message.snippet = parse::snippet(&message.text);
    Ok(message)
}

fn headers(wire: &[wire::Header], message: &mut Message) {
    for header in wire.iter().take(HEADERS) {
        let mut value = parse::decode_header(&header.value).replace('\0', "");
        let cut = (0..=HEADER_BYTES.min(value.len())).rev().find(|at| value.is_char_boundary(*at)).unwrap_or_default();
        value.truncate(cut);
        message.headers.all.push((header.name.clone(), value));
    }
    let one = |name: &str| {
        wire.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    };
    let addresses = |name: &str| one(name).map(parse::addresses).unwrap_or_default();
    let ids = |name: &str| one(name).map(parse::ids).unwrap_or_default();
    message.date = one("Date").and_then(parse::date);
    message.message_id = ids("Message-ID").into_iter().next();
    message.in_reply_to = ids("In-Reply-To");
    message.references = ids("References");
    message.from = addresses("From");
    message.sender = addresses("Sender").into_iter().next();
    message.reply_to = addresses("Reply-To");
    message.to = addresses("To");
    message.cc = addresses("Cc");
    message.bcc = addresses("Bcc");
    message.subject = message.headers.get("Subject").unwrap_or_default().to_owned();
}

#[derive(Default)]
struct Bodies {
    text: Option<String>,
    html: Option<String>,
}

/// Deeper parts are not looked at: no mail program nests like that.
const DEPTH: usize = 100;

fn walk(part: &wire::Part, depth: usize, bodies: &mut Bodies, message: &mut Message) -> Result<()> {
    let kind = part.mime_type.to_lowercase();
    let header = |name: &str| {
        let found = part.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.as_str()).unwrap_or_default()
    };
    let disposition = header("Content-Disposition").to_lowercase();
    let attached = disposition.starts_with("attachment") || !part.filename.is_empty();
    if kind.starts_with("multipart/") && depth < DEPTH {
        return part.parts.iter().try_for_each(|child| walk(child, depth + 1, bodies, message));
    }
    if kind == "text/calendar" && message.calendar.is_none() {
        message.calendar = text(part)?;
    }
    let slot = match kind.as_str() {
        "text/plain" | "" if !attached => Some(&mut bodies.text),
        "text/html" if !attached => Some(&mut bodies.html),
        _ => None,
    };
    if let Some(slot) = slot.filter(|slot| slot.is_none()) {
        *slot = text(part)?;
        if slot.is_some() || part.body.attachment_id.is_none() {
            return Ok(());
        }
    }
    let mut attachment = Attachment::default();
    attachment.part = part.part_id.clone();
    attachment.name = (!part.filename.is_empty()).then(|| parse::decode_header(&part.filename));
    attachment.media_type = kind;
    attachment.size = part.body.size;
    let id = header("Content-ID").trim().trim_matches(['<', '>']);
    attachment.content_id = (!id.is_empty()).then(|| id.to_owned());
    attachment.inline =
        disposition.starts_with("inline") || (disposition.is_empty() && attachment.content_id.is_some());
    message.attachments.push(attachment);
    Ok(())
}

/// A part's text: UTF-8 as Gmail mostly converts it, else the charset the part declares as far as it is Latin.
fn text(part: &wire::Part) -> Result<Option<String>> {
    let Some(data) = &part.body.data else { return Ok(None) };
    let text = match String::from_utf8(decode(data)?) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    };
    Ok(Some(text.replace('\0', "")))
}

/// The id under which a part's bytes can be fetched just now, or the bytes themselves.
pub(super) fn find_part<'a>(part: &'a wire::Part, id: &str) -> Option<&'a wire::PartBody> {
    if part.part_id == id {
        return Some(&part.body);
    }
    part.parts.iter().find_map(|child| find_part(child, id))
}
