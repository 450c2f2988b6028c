//! Encoded words (RFC 2047), as they are written rather than as they should be.

use super::{charset, encoding};

/// Some programs encode twice, none so often.
const MAX_ROUNDS: usize = 8;
/// The standard says 75; programs that do not fold write whole subjects.
const MAX_WORD: usize = 8_192;

/// One line with its encoded words decoded; decoding again changes nothing.
pub(super) fn decode(line: &str) -> String {
    let mut text = line.to_owned();
    if memchr::memchr(b'?', line.as_bytes()).is_none() {
        return text;
    }
    for _ in 0..MAX_ROUNDS {
        if !text.contains("=?") {
            return text;
        }
        let decoded = once(&text);
        let decoded = super::clean::one_line(&decoded);
        if decoded == text {
            return text;
        }
        text = decoded.into_owned();
    }
    // Made to peel off one word a round, for ever: what is left is not to be decoded by anybody.
    text.replace("=?", "= ?")
}

/// The encoded word that `text` begins with.
pub(super) struct Word<'a> {
    charset: &'a str,
    base64: bool,
    content: &'a str,
    pub(super) length: usize,
}

/// `text` begins with "=?".
pub(super) fn word(text: &str) -> Option<Word<'_>> {
    let inside = text.strip_prefix("=?")?;
    let (charset, rest) = inside[..inside.floor_char_boundary(100)].split_once('?')?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'=' | b',' | b'"');
    if charset.is_empty() || !charset.bytes().all(plain) {
        return None;
    }
    let kind = rest.trim_start_matches(' ').as_bytes();
    let base64 = match kind {
        [b'b' | b'B', b'?', ..] => true,
        [b'q' | b'Q', b'?', ..] => false,
        _ => return None,
    };
    let start = text.len() - inside.len() + charset.len() + 1 + (rest.len() - kind.len()) + 2;
    let window = &text[start..text.floor_char_boundary(start + MAX_WORD).max(start)];
    let end = if base64 { window.find("?=")? } else { end_of_quoted(window)? };
    // A language may follow the charset (RFC 2231).
    let charset = charset.split('*').next().unwrap_or_default();
    Some(Word { charset, base64, content: &window[..end], length: start + end + 2 })
}

/// Some programs leave question marks as they are: "?=3F" is one, followed by an encoded letter.
fn end_of_quoted(content: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + content[from..].find("?=")?;
        let after = content.as_bytes().get(end + 2..end + 4);
        let encoded = after.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let more = encoded && {
            let next = content[end + 2..].find("?=");
            let other = content[end + 2..].find("=?");
            next.is_some_and(|next| other.is_none_or(|other| next < other))
        };
        if !more {
            return Some(end);
        }
        from = end + 2;
    }
}

/// Neighbouring words of one charset: a letter may be cut in two between them.
#[derive(Default)]
struct Pending {
    charset: String,
    bytes: Vec<u8>,
    /// Base64 letters of which the next word may bring the rest.
    letters: Vec<u8>,
    open: bool,
}

impl Pending {
    fn take(&mut self, word: &Word<'_>, out: &mut String) {
        if self.open && !self.charset.eq_ignore_ascii_case(word.charset) {
            self.settle(out);
        }
        self.open = true;
        word.charset.clone_into(&mut self.charset);
        if word.base64 {
            self.letters.extend(word.content.bytes().filter(|byte| !byte.is_ascii_whitespace()));
            let whole = word.content.ends_with('=') || self.letters.len().is_multiple_of(4);
            if whole {
                self.close_letters();
            }
            return;
        }
        self.close_letters();
        let spaced: Vec<u8> = word.content.bytes().map(|byte| if byte == b'_' { b' ' } else { byte }).collect();
        // The blank at the end of a word is meant, unlike that at the end of a line.
        let kept = spaced.trim_ascii_end().len();
        self.bytes.extend(encoding::quoted_printable(&spaced[..kept]));
        self.bytes.extend_from_slice(&spaced[kept..]);
    }

    fn close_letters(&mut self) {
        self.bytes.extend(encoding::base64(&self.letters));
        self.letters.clear();
    }

    fn settle(&mut self, out: &mut String) {
        if !self.open {
            return;
        }
        self.close_letters();
        out.push_str(&charset::decode(&self.charset, &self.bytes, None));
        self.bytes.clear();
        self.open = false;
    }
}

fn once(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pending = Pending::default();
    let mut rest = text;
    let mut searched = 0;
    while let Some(found) = rest[searched..].find("=?") {
        let at = searched + found;
        let Some(word) = word(&rest[at..]) else {
            searched = at + 2;
            continue;
        };
        let before = &rest[..at];
        if !(pending.open && before.trim().is_empty()) {
            pending.settle(&mut out);
            out.push_str(before);
        }
        pending.take(&word, &mut out);
        rest = &rest[at + word.length..];
        searched = 0;
    }
    pending.settle(&mut out);
    out.push_str(rest);
    out
}
