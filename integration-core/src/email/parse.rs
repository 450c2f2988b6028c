//! Raw RFC 5322 text to [`Message`].
//!
//! Written for hostile input: nothing here panics, recurses without limit or takes more than linear memory. The
//! smaller functions are what a service that delivers decoded parts needs to arrive at the same message.
//!
//! Real mail breaks every rule, so each step mends what a person would read past: text in a charset that nobody
//! declared or that is not the declared one, encoded words cut within a letter, dates of other centuries' programs,
//! headers and multiparts that lack their separators.

mod address;
mod body;
mod charset;
mod clean;
mod date;
mod encoding;
mod fields;
mod flowed;
mod guess;
mod header;
#[cfg(test)]
mod hostile;
mod html;
mod mime;
mod params;
#[cfg(test)]
mod tests;
mod words;

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub(in crate::email) use self::html::{after_comment, after_end, tag_end};
pub use self::{
    address::addresses,
    body::{ReportParts, TextPart, is_inline, is_other_form, is_text_part, texts},
    date::date,
    header::{decode_header, headers, ids, message_id},
    html::{html_to_text, snippet},
};
use self::{
    fields::{Fields, split_header},
    mime::Part,
};
use crate::{
    email::types::{Address, Attachment, Message, MessageHeaders},
    error::{Error, ErrorKind, Result},
};

/// The largest message that is read, in bytes; services deliver at most 150 MB.
pub const MAX_BYTES: usize = 150 * 1024 * 1024;

/// How many headers [`MessageHeaders`] keeps.
const MAX_HEADERS: usize = 200;
/// How many bytes of one header [`MessageHeaders`] keeps.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// Reads a whole message.
///
/// Broken structure is read as far as it makes sense: an unterminated multipart ends with the message, a part nested
/// too deeply (50 levels) stays closed as one attachment, parts beyond the first 1,000 are left out.
///
/// # Errors
/// `InvalidInput` for more than [`MAX_BYTES`]; `Validation` for bytes without a single header field.
pub fn message(raw: &[u8]) -> Result<Message> {
    if raw.len() > MAX_BYTES {
        return Err(Error::new(ErrorKind::InvalidInput, format!("a message of {} bytes is too large", raw.len())));
    }
    let unreadable = || Error::new(ErrorKind::Validation, "the message cannot be read");
    contained(|| read(raw)).ok_or_else(unreadable)?
}

/// The decoded bytes of one part, by the path that [`Attachment::part`] carries ("" is the root).
///
/// `None` if there is no such part, or if it is a multipart.
#[must_use]
pub fn attachment(raw: &[u8], part: &str) -> Option<Vec<u8>> {
    if raw.len() > MAX_BYTES {
        return None;
    }
    contained(|| {
        let raw = line_feeds(raw);
        let root = split_header(&raw, true);
        mime::leaves(&root).into_iter().find(|leaf| leaf.path == part).map(|leaf| leaf.bytes().into_owned())
    })
    .flatten()
}

/// Hands every part that is not split further to `take`: its path and its decoded bytes, in order.
///
/// For whoever wants all attachments: asking [`attachment`] for each would read the message as often.
pub fn each_part(raw: &[u8], mut take: impl FnMut(&str, &[u8])) {
    if raw.len() > MAX_BYTES {
        return;
    }
    let raw = line_feeds(raw);
    let root = split_header(&raw, true);
    for leaf in mime::leaves(&root) {
        take(&leaf.path, &leaf.bytes());
    }
}

/// Text as it is kept: line ends become `\n`, and what stores refuse (NUL, other control characters) is gone.
#[must_use]
pub fn plain(text: String) -> String {
    clean::body(text)
}

fn read(raw: &[u8]) -> Result<Message> {
    let size = raw.len() as u64;
    let raw = line_feeds(raw);
    let root = split_header(&raw, true);
    if root.fields.is_empty() {
        return Err(Error::new(ErrorKind::Validation, "there is no header field: this is no message"));
    }
    let fields = &root.fields;
    let people = |name: &str| fields.all(name).flat_map(addresses).collect::<Vec<Address>>();
    let named_ids = |name: &str| fields.first(name).map(ids).unwrap_or_default();
    let mut message = Message {
        date: fields.all("Date").find_map(date),
        message_id: fields.all("Message-ID").find_map(message_id),
        in_reply_to: named_ids("In-Reply-To"),
        references: named_ids("References"),
        from: people("From"),
        sender: people("Sender").into_iter().next(),
        reply_to: people("Reply-To"),
        to: people("To"),
        cc: people("Cc"),
        bcc: people("Bcc"),
        subject: fields.first("Subject").map(decode_header).unwrap_or_default(),
        headers: kept_headers(fields),
        size,
        ..Message::default()
    };
    add_parts(&mut message, mime::leaves(&root));
    message.snippet = snippet(&message.text);
    Ok(message)
}

fn kept_headers(fields: &Fields<'_>) -> MessageHeaders {
    headers(fields.iter().map(|field| (field.name, field.value.as_ref())))
}

fn add_parts(message: &mut Message, leaves: Vec<Part<'_>>) {
    let mut text_parts = Vec::new();
    let mut reports = ReportParts::default();
    for part in leaves {
        let disposition = part.disposition.as_deref();
        if is_text_part(&part.path, &part.media_type, disposition, part.name.is_some()) {
            let (html, text) = (part.media_type == "text/html", part.text());
            text_parts.push(TextPart { html, text, alternative: part.alternative });
            continue;
        }
        reports.offer(&part.media_type, part.of_report, || part.text());
        if part.alternative.is_some() && part.name.is_none() && is_other_form(&part.media_type) {
            continue;
        }
        if part.media_type == "text/calendar" && message.calendar.is_none() {
            message.calendar = Some(plain(part.text()));
        }
        message.attachments.push(Attachment {
            size: part.decoded_len(),
            inline: is_inline(&part.media_type, disposition, part.content_id.as_deref()),
            part: part.path,
            name: part.name,
            media_type: part.media_type,
            content_id: part.content_id,
        });
    }
    (message.text, message.html) = texts(text_parts);
    message.report_parts = reports.into_parts();
}

/// Runs `work`, and turns a panic in a library below us into `None`.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Text whose lines end in a lone CR (old Macintosh) gets line feeds; everything else stays as it is.
fn line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', raw).is_some() || memchr::memchr(b'\r', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect())
}
