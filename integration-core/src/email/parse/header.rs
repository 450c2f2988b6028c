//! Header values: words and ids.

use super::{
    MAX_HEADER_BYTES, MAX_HEADERS,
    address::MAX_VALUE,
    clean::{cut, is_refused, one_line},
    words,
};
use crate::email::types::MessageHeaders;

const MAX_IDS: usize = 1_000;
/// No line of a message is longer, so no id is.
const MAX_LINE: usize = 998;

/// The ids of a `Message-ID`, `In-Reply-To` or `References` value, in order, without angle brackets.
///
/// Ids written without brackets count if nothing is in brackets.
#[must_use]
pub fn ids(header: &str) -> Vec<String> {
    let header = cut(header, MAX_VALUE);
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some(end) = rest[start..].find('>') else { break };
        // "<<a@b>" happens: the innermost bracket opens.
        let inside = rest[start + 1..start + end].rsplit('<').next().unwrap_or_default();
        let plain = inside.bytes().all(|byte| byte.is_ascii_graphic());
        let letters = || inside.chars().filter(|&letter| !letter.is_whitespace() && !is_refused(letter)).collect();
        found.push(if plain { inside.to_owned() } else { letters() });
        rest = &rest[start + end + 1..];
    }
    if found.is_empty() {
        let bare = header.split(|letter: char| letter.is_whitespace() || letter == ',' || is_refused(letter));
        let trimmed = bare.map(|word| word.trim_matches(['<', '>', '"']));
        found = trimmed.filter(|word| word.contains('@')).map(str::to_owned).collect();
    }
    found.retain(|id: &String| !id.is_empty() && id.len() <= MAX_LINE);
    found.truncate(MAX_IDS);
    found
}

/// The id of a `Message-ID` value; one without an `@` or brackets is an id all the same.
#[must_use]
pub fn message_id(header: &str) -> Option<String> {
    ids(header).into_iter().next().or_else(|| {
        let line = one_line(header);
        let bare = line.trim_matches(['<', '>', '"', ' ']);
        (!bare.is_empty() && bare.len() <= MAX_LINE && !bare.contains(' ')).then(|| bare.to_owned())
    })
}

/// A header value as a person reads it: encoded words (RFC 2047) decoded, one line. Decoding twice changes nothing.
#[must_use]
pub fn decode_header(value: &str) -> String {
    words::decode(&one_line(cut(value, MAX_VALUE)))
}

/// Headers as [`MessageHeaders`] keeps them, from (name, value as sent).
#[must_use]
pub fn headers<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> MessageHeaders {
    let kept = |(name, value): (&str, &str)| {
        // Twice what is kept, as decoding makes it shorter.
        let decoded = decode_header(cut(value, 4 * MAX_HEADER_BYTES));
        let decoded =
            if decoded.len() > MAX_HEADER_BYTES { cut(&decoded, MAX_HEADER_BYTES).to_owned() } else { decoded };
        (one_line(cut(name, 256)).into_owned(), decoded)
    };
    MessageHeaders { all: fields.into_iter().take(MAX_HEADERS).map(kept).collect() }
}
