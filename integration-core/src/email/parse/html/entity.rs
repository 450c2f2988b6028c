//! Character references.

use encoding_rs::WINDOWS_1252;

/// The longest name of a character reference is shorter.
const MAX_REFERENCE: usize = 34;

/// Hands `text` on in pieces, its character references decoded.
pub(super) fn decode(text: &str, mut take: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        take(&rest[..at]);
        rest = &rest[at..];
        let mut letter = [0; 4];
        match reference(rest) {
            Some((Decoded::Letter(found), length)) => {
                take(found.encode_utf8(&mut letter));
                rest = &rest[length..];
            }
            Some((Decoded::Text(found), length)) => {
                take(&found);
                rest = &rest[length..];
            }
            None => {
                take("&");
                rest = &rest[1..];
            }
        }
    }
    take(rest);
}

enum Decoded {
    Letter(char),
    Text(String),
}

/// The reference at the beginning of `text` ("&…") and how long it is.
fn reference(text: &str) -> Option<(Decoded, usize)> {
    if let Some(number) = text.strip_prefix("&#") {
        return numeric(number).map(|(letter, length)| (Decoded::Letter(letter), length + 2));
    }
    // By far the most frequent ones, also without their semicolon.
    let common =
        [("&nbsp", '\u{a0}'), ("&amp", '&'), ("&lt", '<'), ("&gt", '>'), ("&quot", '"'), ("&copy", '©'), ("&reg", '®')];
    for (name, letter) in common {
        if let Some(after) = text.strip_prefix(name) {
            let closed = after.starts_with(';');
            let longer = !closed && after.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '=');
            if !longer {
                return Some((Decoded::Letter(letter), name.len() + usize::from(closed)));
            }
        }
    }
    let window = &text.as_bytes()[..text.len().min(MAX_REFERENCE)];
    let end = memchr::memchr(b';', window)?;
    let written = &text[..=end];
    let decoded = html_escape::decode_html_entities(written);
    (decoded != written).then(|| (Decoded::Text(decoded.into_owned()), written.len()))
}

/// "8364;" and "x20AC;", with or without the semicolon.
fn numeric(text: &str) -> Option<(char, usize)> {
    let (digits, radix, prefix) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (text, 10, 0),
    };
    let end = digits.bytes().take(9).position(|byte| !(byte as char).is_digit(radix)).unwrap_or(digits.len().min(9));
    let value = u32::from_str_radix(digits.get(..end).filter(|digits| !digits.is_empty())?, radix).ok()?;
    let length = prefix + end + usize::from(digits[end..].starts_with(';'));
    let letter = match u8::try_from(value) {
        // Written by people who thought of windows-1252.
        Ok(byte @ 0x80..=0x9f) => WINDOWS_1252.decode_without_bom_handling(&[byte]).0.chars().next(),
        Ok(0..=0x1f) => Some(' '),
        _ => char::from_u32(value),
    };
    Some((letter.unwrap_or('\u{fffd}'), length))
}
