//! Raw RFC 5322 text to [`Message`].
//!
//! Written for hostile input: nothing here panics, recurses without limit or takes more than linear memory. The
//! smaller functions are what a service that delivers decoded parts needs to arrive at the same message.

mod header;
#[cfg(test)]
mod hostile;
mod html;
mod mime;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use self::{
    header::one_line,
    mime::{Fields, Part},
};
pub use self::{
    header::{addresses, date, decode_header, ids},
    html::{html_to_text, snippet},
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
        let root = mime::split_header(&raw, true);
        mime::leaves(&root).into_iter().find(|leaf| leaf.path == part).map(|leaf| leaf.bytes().into_owned())
    })
    .flatten()
}

/// Is a part of this kind the text of its message, rather than something attached to it?
///
/// `path` as in [`Attachment::part`], `disposition` the first word of `Content-Disposition`.
#[must_use]
pub fn is_text_part(path: &str, media_type: &str, disposition: Option<&str>, named: bool) -> bool {
    let text = media_type.eq_ignore_ascii_case("text/plain") || media_type.eq_ignore_ascii_case("text/html");
    // A message that is nothing but one text may well carry a file name.
    text && !disposition.is_some_and(|word| word.eq_ignore_ascii_case("attachment")) && (!named || path.is_empty())
}

/// Is a part of this kind shown inside the text?
#[must_use]
pub fn is_inline(media_type: &str, disposition: Option<&str>, content_id: Option<&str>) -> bool {
    let is = |wanted: &str| disposition.is_some_and(|word| word.eq_ignore_ascii_case(wanted));
    !is("attachment") && (content_id.is_some() || is("inline") && media_type.starts_with("image/"))
}

/// The text and the HTML of a message, from its text parts in order ([`is_text_part`]), decoded.
///
/// Several of a kind are joined; without plain text it is made from the HTML. Line ends become `\n`, NULs go.
#[must_use]
pub fn join_texts(plain: &[String], html: &[String]) -> (String, Option<String>) {
    let html = (!html.is_empty()).then(|| without_nul(html.join("\n")));
    let mut text = without_nul(plain.join("\n"));
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    if let Some(html) = &html
        && text.trim().is_empty()
    {
        text = html_to_text(html);
    }
    (text, html)
}

/// Headers as [`MessageHeaders`] keeps them, from (name, value as sent).
#[must_use]
pub fn headers<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> MessageHeaders {
    let kept = |(name, value): (&str, &str)| {
        (one_line(cut(name, 256)), cut(&decode_header(value), MAX_HEADER_BYTES).to_owned())
    };
    MessageHeaders { all: fields.into_iter().take(MAX_HEADERS).map(kept).collect() }
}

fn read(raw: &[u8]) -> Result<Message> {
    let size = raw.len() as u64;
    let raw = line_feeds(raw);
    let root = mime::split_header(&raw, true);
    if root.fields.is_empty() {
        return Err(Error::new(ErrorKind::Validation, "there is no header field: this is no message"));
    }
    let fields = &root.fields;
    let people = |name: &str| fields.all(name).flat_map(addresses).collect::<Vec<Address>>();
    let named_ids = |name: &str| fields.first(name).map(ids).unwrap_or_default();
    let mut message = Message {
        date: fields.first("Date").and_then(date),
        message_id: named_ids("Message-ID").into_iter().next(),
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

fn kept_headers(fields: &Fields) -> MessageHeaders {
    headers(fields.iter().map(|field| (field.name.as_str(), field.value.as_str())))
}

fn add_parts(message: &mut Message, leaves: Vec<Part<'_>>) {
    let (mut plain, mut html) = (Vec::new(), Vec::new());
    for part in leaves {
        let disposition = part.disposition.as_deref();
        if is_text_part(&part.path, &part.media_type, disposition, part.name.is_some()) {
            let texts = if part.media_type == "text/html" { &mut html } else { &mut plain };
            texts.push(part.text());
            continue;
        }
        if part.media_type == "text/calendar" && message.calendar.is_none() {
            message.calendar = Some(without_nul(part.text()));
        }
        message.attachments.push(Attachment {
            size: part.bytes().len() as u64,
            inline: is_inline(&part.media_type, disposition, part.content_id.as_deref()),
            part: part.path,
            name: part.name,
            media_type: part.media_type,
            content_id: part.content_id,
        });
    }
    (message.text, message.html) = join_texts(&plain, &html);
}

/// Runs `work`, and turns a panic in a parser below us into `None`.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Text whose lines end in a lone CR (old Macintosh) gets line feeds; everything else stays as it is.
fn line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    if raw.contains(&b'\n') || !raw.contains(&b'\r') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect())
}

/// Databases refuse NUL in text.
fn without_nul(mut text: String) -> String {
    if text.contains('\0') {
        text.retain(|letter| letter != '\0');
    }
    text
}

/// At most `max` bytes, cut between two letters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
