//! A message's new words, apart from what it quotes and from its signature.
//!
//! [`split_text`] reads plain text, [`split_html`] an HTML body, [`split`] the better one of a whole message. They know
//! the quoting styles of the common mail programs in some thirty languages. Every line of the input is in exactly one
//! of the parts, and what might be new words is left with them.
//!
//! - Text between quoted lines (answers written into the quote) and below them is new, the quotes around it are not.
//! - Where a quote carries no marks of its own, as below an "Original Message" line, it reaches to the end.
//! - A forwarded message is quoted; what its header says is in [`Split::forwarded`].
//! - A signature is what follows `-- `, a mobile program's own line, a closing formula with a short card below it, a
//!   whole business card at the end, and paragraphs about confidentiality.
//!
//! Written for hostile input: linear in its size, without recursion, and nothing here panics.

mod attribution;
mod card;
mod dom;
mod forwarded;
mod header;
mod html;
mod line;
mod mobile;
mod scan;
mod sign_off;
#[cfg(test)]
mod tests;
// Tables: a word a line would make them unreadable.
#[rustfmt::skip]
mod words;

use serde::{Deserialize, Serialize};

pub(in crate::email) use self::card::bare_name;
pub use self::forwarded::Forwarded;
pub(in crate::email) use self::line::{folded, has_address, is_name, is_prose};
use self::{
    line::Line,
    scan::{Class, Introduction, Scan},
};
pub(in crate::email) use self::{mobile::is_mobile, sign_off::closes};
use crate::email::types::Message;

/// The parts of a message's text.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Split {
    /// What the sender wrote now; empty if there is nothing of it.
    pub new: String,
    /// What the message repeats of others, with the lines that introduce it.
    pub quoted: String,
    /// The sender's signature, mobile lines and disclaimers.
    pub signature: String,
    /// What the message forwards, if it forwards one.
    pub forwarded: Option<Forwarded>,
    /// The HTML of the new part, every element closed; `None` for plain text. As harmless or harmful as the body it
    /// comes from, but for scripts and comments, which are left out.
    pub new_html: Option<String>,
}

/// Splits plain text.
///
/// Lines end in `\n` or `\r\n`. Splitting the new part again gives it back.
///
/// ```
/// # use integration_core::email::reply::split_text;
/// let split = split_text("Yes, please.\n\nOn 3 May 2026 at 10:00, Ann <ann@acme.example> wrote:\n> Shall we?\n");
/// assert_eq!(split.new, "Yes, please.");
/// assert!(split.quoted.ends_with("> Shall we?"));
/// ```
#[must_use]
pub fn split_text(text: &str) -> Split {
    text_of(text, &Hints::default())
}

/// Splits an HTML body.
///
/// Each part is the text a person sees, of its first megabyte ([`html_to_text`](super::parse::html_to_text)); the HTML
/// of the new part is whole.
#[must_use]
pub fn split_html(html: &str) -> Split {
    html::split(html, &Hints::default())
}

/// Splits a message: its HTML body if there is one, for structure tells more than text.
///
/// The sender's name helps to find the signature, the subject to tell a forwarded message from an answered one.
#[must_use]
pub fn split(message: &Message) -> Split {
    let hints = Hints {
        sender: message.from.first().and_then(|from| from.name.as_deref()),
        forward: forwarded::is_forward(&message.subject),
    };
    let Some(html) = &message.html else { return text_of(&message.text, &hints) };
    let from_html = html::split(html, &hints);
    if from_html.quoted.is_empty() && !message.text.is_empty() {
        let lines = lines_of(&message.text);
        let scan = scan::scan(&lines, hints.sender);
        // Programs that write no structure at all into their HTML still quote in the plain text.
        if scan.classes.contains(&Class::Quoted) {
            return parts(&lines, &scan, &hints);
        }
    }
    from_html
}

/// What else is known about the message.
#[derive(Debug, Default)]
struct Hints<'a> {
    sender: Option<&'a str>,
    /// The subject says that it forwards something.
    forward: bool,
}

fn text_of(text: &str, hints: &Hints<'_>) -> Split {
    let lines = lines_of(text);
    parts(&lines, &scan::scan(&lines, hints.sender), hints)
}

fn parts(lines: &[Line<'_>], scan: &Scan, hints: &Hints<'_>) -> Split {
    let [new, quoted, signature] =
        [Class::New, Class::Quoted, Class::Signature].map(|class| joined(lines, &scan.classes, class));
    let forwarded = forwarded_by(scan, hints, &new);
    Split { new, quoted, signature, forwarded, new_html: None }
}

fn lines_of(text: &str) -> Vec<Line<'_>> {
    // Counted, as a long text's lines take more room than the text.
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', text.as_bytes()).count() + 2);
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        let raw = &text[from..end];
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        from = end + 1;
        let line = Line::plain(raw);
        let inside = match line.body.as_bytes() {
            _ if line.depth > 0 => None,
            [.., b':'] => attribution::within(raw.trim_end()),
            [b'-', ..] => header::behind_announcement(raw),
            _ => None,
        };
        match inside {
            Some(at) => {
                lines.push(Line::plain(&raw[..at]));
                lines.push(Line { glued: true, ..Line::plain(&raw[at..]) });
            }
            None => lines.push(line),
        }
    }
    lines
}

/// The lines of one class; an empty line wherever others were taken out between them.
fn joined(lines: &[Line<'_>], classes: &[Class], wanted: Class) -> String {
    let of_class = lines.iter().zip(classes).filter(|(_, class)| **class == wanted);
    let mut text = String::with_capacity(of_class.map(|(line, _)| line.raw.len() + 1).sum());
    let (mut blanks, mut gap) = (0, false);
    for (line, class) in lines.iter().zip(classes) {
        if *class == Class::Blank {
            blanks += 1;
            continue;
        }
        if *class != wanted {
            (blanks, gap) = (0, true);
            continue;
        }
        if !text.is_empty() {
            match (line.glued, gap) {
                (true, false) => text.push(' '),
                (false, false) => (0..=blanks).for_each(|_| text.push('\n')),
                (_, true) => text.push_str("\n\n"),
            }
        }
        (blanks, gap) = (0, false);
        text.push_str(line.raw.trim_end());
    }
    text
}

fn forwarded_by(scan: &Scan, hints: &Hints<'_>, new: &str) -> Option<Forwarded> {
    let Introduction { forwarded, header } = scan.introduction.as_ref()?;
    // A header without a word above it answers nothing.
    let forwards = *forwarded || header.is_some() && (hints.forward || new.trim().is_empty());
    forwards.then(|| header.as_ref().map(forwarded::read).unwrap_or_default())
}
