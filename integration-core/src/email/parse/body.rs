//! Which parts are the text of a message, and which its attachments: one answer for raw text and decoded services.

use super::{clean, html_to_text};
use crate::email::types::ReportPart;

/// Bytes that [`ReportParts`] keeps of one part, and of all.
const MAX_REPORT_PART: usize = 64 * 1024;
const MAX_REPORT: usize = 256 * 1024;
const MAX_REPORT_PARTS: usize = 16;
/// Bytes of the header of a returned message.
const MAX_RETURNED_HEADER: usize = 16 * 1024;

/// Is a part of this kind the text of its message, rather than something attached to it?
///
/// `path` as in [`Attachment::part`](crate::email::Attachment::part), `disposition` the first word of
/// `Content-Disposition`.
#[must_use]
pub fn is_text_part(path: &str, media_type: &str, disposition: Option<&str>, named: bool) -> bool {
    let text = media_type.eq_ignore_ascii_case("text/plain") || media_type.eq_ignore_ascii_case("text/html");
    // A message that is nothing but one text may well carry a file name.
    text && !disposition.is_some_and(|word| word.eq_ignore_ascii_case("attachment")) && (!named || path.is_empty())
}

/// Is a part of this kind, without a name, one more form of the text beside it (within `multipart/alternative`)?
#[must_use]
pub fn is_other_form(media_type: &str) -> bool {
    matches!(
        media_type,
        "text/enriched" | "text/richtext" | "text/watch-html" | "text/x-amp-html" | "text/x-watch-html"
    )
}

/// Is a part of this kind shown inside the text?
#[must_use]
pub fn is_inline(media_type: &str, disposition: Option<&str>, content_id: Option<&str>) -> bool {
    let is = |wanted: &str| disposition.is_some_and(|word| word.eq_ignore_ascii_case(wanted));
    !is("attachment") && (content_id.is_some() || is("inline") && media_type.starts_with("image/"))
}

/// A text part, decoded.
#[derive(Clone, Debug, Default)]
pub struct TextPart {
    /// HTML, or else plain text.
    pub html: bool,
    /// The text.
    pub text: String,
    /// Path of the outermost `multipart/alternative` around it: parts with the same path say the same thing.
    pub alternative: Option<String>,
}

/// The text and the HTML of a message, from its text parts in order ([`is_text_part`]).
///
/// Several of a kind are joined; what has no plain text is made from the HTML. Line ends become `\n`; what stores
/// refuse (NUL and other control characters) goes.
#[must_use]
pub fn texts(parts: Vec<TextPart>) -> (String, Option<String>) {
    let mut parts: Vec<TextPart> =
        parts.into_iter().map(|part| TextPart { text: clean::body(part.text), ..part }).collect();
    let mut text = String::new();
    let mut any = false;
    for group in parts.chunk_by_mut(|a, b| a.alternative.is_some() && a.alternative == b.alternative) {
        let html = group.iter().any(|part| part.html && !part.text.trim().is_empty());
        let says = |part: &TextPart| !(part.text.trim().is_empty() || html && refers_to_html(&part.text));
        let has_plain = group.iter().any(|part| !part.html && says(part));
        for part in group.iter_mut().filter(|part| part.html != has_plain) {
            let piece = if part.html { html_to_text(&part.text) } else { std::mem::take(&mut part.text) };
            if std::mem::replace(&mut any, true) {
                text.push('\n');
                text.push_str(&piece);
            } else {
                text = piece;
            }
        }
    }
    let mut html = None;
    for part in parts.into_iter().filter(|part| part.html) {
        match &mut html {
            None => html = Some(part.text),
            Some(html) => {
                html.push('\n');
                html.push_str(&part.text);
            }
        }
    }
    (text, html)
}

/// Does a text say nothing but that the HTML beside it should be read?
fn refers_to_html(text: &str) -> bool {
    const SAYS: [&str; 13] = [
        "not support html",
        "n't support html",
        "not display html",
        "html-compatible",
        "html compatible",
        "html-capable",
        "html capable",
        "html-enabled",
        "html enabled",
        "supports html",
        "kein html",
        "html-f\u{e4}hig",
        "pas le html",
    ];
    text.len() < 300 && {
        let text = text.to_lowercase();
        SAYS.iter().any(|says| text.contains(says))
    }
}

/// Gathers what a report says to programs, within bounds.
#[derive(Clone, Debug, Default)]
pub struct ReportParts {
    parts: Vec<ReportPart>,
    bytes: usize,
}

impl ReportParts {
    /// Takes a part if it is one of a report; `text` is asked only then.
    ///
    /// `of_report`: is it within a `multipart/report`? There an attached message is the one reported on, and what has
    /// no known type may be a delivery status all the same.
    pub fn offer(&mut self, media_type: &str, of_report: bool, text: impl FnOnce() -> String) {
        let known = is_report(media_type);
        let message = is_message(media_type);
        let reported = of_report || !self.parts.is_empty();
        let maybe = reported && matches!(media_type, "application/octet-stream" | "text/plain" | "message/report");
        if self.parts.len() >= MAX_REPORT_PARTS || !(known || maybe || message && reported) {
            return;
        }
        let mut text = clean::body(text());
        if message {
            text.truncate(text.find("\n\n").map_or(text.len(), |end| end + 1));
            text.truncate(text.floor_char_boundary(MAX_RETURNED_HEADER));
        }
        text.truncate(text.floor_char_boundary(MAX_REPORT_PART.min(MAX_REPORT - self.bytes)));
        let media_type = match media_type {
            _ if !maybe => media_type,
            _ if text.contains("Final-Recipient:") || text.contains("Reporting-MTA:") => "message/delivery-status",
            _ => return,
        };
        self.bytes += text.len();
        self.parts.push(ReportPart::new(media_type, text));
    }

    /// What was gathered.
    #[must_use]
    pub fn into_parts(self) -> Vec<ReportPart> {
        self.parts
    }
}

fn is_report(media_type: &str) -> bool {
    matches!(
        media_type,
        "message/delivery-status"
            | "message/global-delivery-status"
            | "message/disposition-notification"
            | "message/global-disposition-notification"
            | "message/feedback-report"
            | "message/global-headers"
            | "message/rfc822-headers"
            | "text/rfc822-header"
            | "text/rfc822-headers"
    )
}

fn is_message(media_type: &str) -> bool {
    matches!(media_type, "message/rfc822" | "message/global")
}
