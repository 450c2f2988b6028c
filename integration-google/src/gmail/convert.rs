//! Gmail's messages to the family's: no I/O. What comes out is what parsing the raw text gives.

use std::collections::HashMap;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chrono::DateTime;
use integration_core::{
    email::{Attachment, MailFlags, Message, Role, parse},
    ids::{FolderId, ThreadId},
    sync::{Reason, Revision},
};

use super::wire;

/// Gmail's base64: URL-safe, padded or not.
pub(super) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Texts above this stay attachments, to be read as streams.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;
/// The largest part of a report that is fetched, in bytes.
const LARGEST_REPORT: u64 = 64 * 1024;
/// As in raw parsing.
const MAX_PARTS: usize = 1_000;
const MAX_NAME: usize = 255;

pub(super) fn decode(data: &str) -> Result<Vec<u8>, Reason> {
    let broken = |_| Reason::new("a part is not base64");
    if data.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let letters: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return URL_SAFE.decode(letters).map_err(broken);
    }
    URL_SAFE.decode(data).map_err(broken)
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

/// Labels as flags; their order at the service means nothing.
pub(super) fn flags(labels: &[String]) -> MailFlags {
    let has = |wanted: &str| labels.iter().any(|label| label == wanted);
    let mut flags = MailFlags::default();
    flags.folders = labels.iter().map(FolderId::new).collect();
    flags.folders.sort();
    flags.folders.dedup();
    flags.roles = flags.folders.iter().filter_map(|label| role(label.as_str())).collect();
    flags.roles.sort();
    flags.read = !has("UNREAD");
    flags.flagged = has("STARRED");
    flags
}

/// History ids grow with every change of a mailbox.
pub(super) fn revision(history_id: Option<u64>) -> Revision {
    history_id.and_then(|id| i64::try_from(id).ok()).map_or_else(Revision::default, Revision::ordered)
}

/// A message from its parsed form (`format=full`), or without content from `format=metadata`.
pub(super) fn message(wire: &wire::Message, with_content: bool) -> Result<Message, Reason> {
    if wire.id.is_empty() {
        return Err(Reason::new("the message came without its id"));
    }
    let payload = wire.payload.as_ref().ok_or_else(|| Reason::new("the message came without its content"))?;
    if payload.headers.is_empty() {
        return Err(Reason::new("the message has no header field"));
    }
    let mut message = headers(&payload.headers);
    message.id.clone_from(&wire.id);
    message.thread = wire.thread_id.as_ref().map(ThreadId::new);
    message.flags = flags(&wire.label_ids);
    message.received_at = wire.internal_date.and_then(DateTime::from_timestamp_millis);
    message.size = wire.size_estimate.unwrap_or_default();
    if with_content {
        content(payload, &mut message)?;
        message.snippet = parse::snippet(&message.text);
    } else {
        // The service's snippet is escaped HTML.
        message.snippet = parse::snippet(&parse::html_to_text(&wire.snippet));
    }
    Ok(message)
}

/// The participants, ids and dates of a message's header fields.
pub(super) fn headers(fields: &[wire::Header]) -> Message {
    let all = |name: &'static str| {
        fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_str())
    };
    let people = |name| all(name).flat_map(parse::addresses).collect::<Vec<_>>();
    let ids = |name| all(name).next().map(parse::ids).unwrap_or_default();
    let mut message = Message::default();
    message.date = all("Date").find_map(parse::date);
    message.message_id = all("Message-ID").find_map(parse::message_id);
    message.in_reply_to = ids("In-Reply-To");
    message.references = ids("References");
    message.from = people("From");
    message.sender = people("Sender").into_iter().next();
    message.reply_to = people("Reply-To");
    message.to = people("To");
    message.cc = people("Cc");
    message.bcc = people("Bcc");
    message.subject = all("Subject").next().map(parse::decode_header).unwrap_or_default();
    message.headers = parse::headers(fields.iter().map(|field| (field.name.as_str(), field.value.as_str())));
    message
}

fn content(payload: &wire::Part, message: &mut Message) -> Result<(), Reason> {
    let mut text_parts = Vec::new();
    let mut reports = parse::ReportParts::default();
    for leaf in leaves(payload) {
        if leaf.is_text() && !leaf.is_left_out() {
            let mut part = parse::TextPart::default();
            (part.html, part.text) = (leaf.media_type == "text/html", leaf.text()?);
            part.alternative = leaf.alternative;
            text_parts.push(part);
            continue;
        }
        reports.offer(&leaf.media_type, leaf.of_report, || leaf.report());
        if leaf.alternative.is_some() && leaf.part.filename.is_empty() && parse::is_other_form(&leaf.media_type) {
            continue;
        }
        if leaf.media_type == "text/calendar" && message.calendar.is_none() && !leaf.is_left_out() {
            message.calendar = Some(parse::plain(leaf.text()?));
        }
        message.attachments.push(leaf.attachment());
    }
    (message.text, message.html) = parse::texts(text_parts);
    message.report_parts = reports.into_parts();
    Ok(())
}

/// What a report says to programs, as short as such things are; a whole returned message is not asked for.
fn is_report(media_type: &str) -> bool {
    matches!(
        media_type,
        "message/delivery-status"
            | "message/disposition-notification"
            | "message/feedback-report"
            | "message/global-delivery-status"
            | "text/rfc822-headers"
    )
}

/// Texts that Gmail left out of the message: for their size, or because it takes them for attachments. (path, attachment id)
pub(super) fn texts_to_fetch(payload: &wire::Part) -> Vec<(String, String)> {
    let wanted = |leaf: &Leaf<'_>| {
        let text = leaf.is_text() || leaf.media_type == "text/calendar";
        let largest = if text { LARGEST_TEXT } else { LARGEST_REPORT };
        let wanted = text || leaf.of_report && is_report(&leaf.media_type);
        wanted && leaf.is_left_out() && leaf.part.body.size.unwrap_or_default() <= largest
    };
    let id = |leaf: Leaf<'_>| Some((leaf.path, leaf.part.body.attachment_id.clone()?));
    leaves(payload).into_iter().filter(wanted).filter_map(id).collect()
}

/// Puts texts that were fetched by themselves where they belong, in one pass: there may be as many as parts.
pub(super) fn put_texts(payload: &mut wire::Part, mut texts: HashMap<String, String>) {
    fn visit(part: &mut wire::Part, at: &str, texts: &mut HashMap<String, String>) {
        if let Some(text) = texts.remove(at) {
            part.body.data = Some(text);
        }
        for (index, child) in part.parts.iter_mut().enumerate() {
            if texts.is_empty() {
                return;
            }
            let at = child_path(at, index, child);
            visit(child, &at, texts);
        }
    }
    visit(payload, "", &mut texts);
}

/// The part at this path, containers included.
pub(super) fn part_at<'a>(payload: &'a wire::Part, path: &str) -> Option<&'a wire::Part> {
    fn find<'a>(part: &'a wire::Part, at: &str, path: &str) -> Option<&'a wire::Part> {
        if at == path {
            return Some(part);
        }
        let children = part.parts.iter().enumerate();
        children.into_iter().find_map(|(index, child)| find(child, &child_path(at, index, child), path))
    }
    find(payload, "", path)
}

/// A part's own id, or where it stands.
fn child_path(parent: &str, index: usize, child: &wire::Part) -> String {
    match (child.part_id.as_str(), parent) {
        ("", "") => index.to_string(),
        ("", parent) => format!("{parent}.{index}"),
        (id, _) => id.to_owned(),
    }
}

/// A part that is not split further. The parts of an attached message are that message's, not this one's.
struct Leaf<'a> {
    path: String,
    media_type: String,
    /// The outermost `multipart/alternative` around it.
    alternative: Option<String>,
    /// Is it within a `multipart/report`?
    of_report: bool,
    part: &'a wire::Part,
}

fn leaves(payload: &wire::Part) -> Vec<Leaf<'_>> {
    let root = Leaf {
        path: String::new(),
        media_type: payload.mime_type.trim().to_ascii_lowercase(),
        alternative: None,
        of_report: false,
        part: payload,
    };
    let mut leaves = Vec::new();
    visit(root, &mut 0, &mut leaves);
    leaves
}

/// The nesting is bounded by the JSON reader.
fn visit<'a>(mut leaf: Leaf<'a>, seen: &mut usize, leaves: &mut Vec<Leaf<'a>>) {
    *seen += 1;
    if *seen > MAX_PARTS {
        return;
    }
    if !leaf.media_type.starts_with("multipart/") || leaf.part.parts.is_empty() {
        if leaf.media_type.is_empty() || leaf.media_type.starts_with("multipart/") {
            "text/plain".clone_into(&mut leaf.media_type);
        }
        leaves.push(leaf);
        return;
    }
    let alternative = leaf.media_type == "multipart/alternative";
    for (index, child) in leaf.part.parts.iter().enumerate() {
        let child = Leaf {
            path: child_path(&leaf.path, index, child),
            media_type: child.mime_type.trim().to_ascii_lowercase(),
            alternative: leaf.alternative.clone().or_else(|| alternative.then(|| leaf.path.clone())),
            of_report: leaf.of_report || leaf.media_type == "multipart/report",
            part: child,
        };
        visit(child, seen, leaves);
    }
}

impl Leaf<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.part.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.as_str())
    }

    fn disposition(&self) -> Option<String> {
        let word = self.header("Content-Disposition")?.split(';').next()?.trim().to_ascii_lowercase();
        (!word.is_empty()).then_some(word)
    }

    fn is_text(&self) -> bool {
        let named = !self.part.filename.is_empty();
        parse::is_text_part(&self.path, &self.media_type, self.disposition().as_deref(), named)
    }

    /// Its bytes have to be fetched by themselves.
    fn is_left_out(&self) -> bool {
        self.part.body.data.is_none() && self.part.body.attachment_id.is_some()
    }

    fn text(&self) -> Result<String, Reason> {
        let bytes = decode(self.part.body.data.as_deref().unwrap_or_default())?;
        let charset = self.header("Content-Type").and_then(charset);
        Ok(decode_text(bytes, charset.as_deref(), &self.media_type))
    }

    /// What a report says to programs; of a returned message its header, which Gmail has taken apart.
    fn report(&self) -> String {
        if !self.media_type.starts_with("message/") || self.part.body.data.is_some() {
            return self.text().unwrap_or_default();
        }
        let mut text = String::new();
        for header in self.part.parts.iter().flat_map(|inner| &inner.headers) {
            text.extend([header.name.as_str(), ": ", header.value.as_str(), "\n"]);
        }
        text
    }

    fn attachment(&self) -> Attachment {
        let id =
            self.header("Content-ID").map(|id| parse::ids(id).into_iter().next().unwrap_or_else(|| id.trim().into()));
        let name = parse::decode_header(&self.part.filename);
        let mut attachment = Attachment::default();
        attachment.part.clone_from(&self.path);
        attachment.name = Some(name[..name.floor_char_boundary(MAX_NAME)].to_owned()).filter(|name| !name.is_empty());
        attachment.content_id = id.filter(|id: &String| !id.is_empty());
        attachment.size = self.part.body.size.unwrap_or_default();
        attachment.inline =
            parse::is_inline(&self.media_type, self.disposition().as_deref(), attachment.content_id.as_deref());
        attachment.media_type.clone_from(&self.media_type);
        attachment
    }
}

/// The `charset` of a `Content-Type`, if it is a plain word.
fn charset(content_type: &str) -> Option<String> {
    let value = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    ((1..=40).contains(&value.len()) && value.bytes().all(plain)).then_some(value)
}

/// Gmail mostly converts texts to UTF-8 and leaves the header as it was: the declared charset is the second try.
fn decode_text(bytes: Vec<u8>, charset: Option<&str>, media_type: &str) -> String {
    // These are seven bits wide, so they pass for UTF-8 without being it.
    let escaped = charset.is_some_and(|charset| charset.starts_with("iso-2022-")) && bytes.contains(&0x1b);
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !escaped => return text.trim_start_matches('\u{feff}').to_owned(),
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    // The mail parser knows every charset: it is given the text as a message of its own.
    let html = media_type == "text/html";
    let kind = if html { "text/html" } else { "text/plain" };
    let mut raw = format!("Content-Type: {kind}; charset={}\n\n", charset.unwrap_or("windows-1252")).into_bytes();
    raw.extend_from_slice(&bytes);
    match parse::message(&raw) {
        Ok(message) if html => message.html.unwrap_or_default(),
        Ok(message) => message.text,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}
