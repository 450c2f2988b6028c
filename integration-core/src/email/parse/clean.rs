//! What stores and pages refuse goes: NULs, control characters, code points that are no characters.

use std::borrow::Cow;

/// A body: line ends are `\n`, no other control character but the tab.
pub(super) fn body(text: String) -> String {
    let (mut returns, mut others) = (false, false);
    // In blocks without a way out, which the compiler turns into a few instructions each.
    for block in text.as_bytes().chunks(64) {
        let mut odd = false;
        for &byte in block {
            odd |= byte.wrapping_sub(b' ') > b'~' - b' ' && byte != b'\n';
        }
        // Most blocks are plain letters.
        for &byte in if odd { block } else { &[] } {
            returns |= byte == b'\r';
            others |= byte < 0x20 && byte != b'\n' && byte != b'\t' && byte != b'\r';
            // C1 controls and the two noncharacters begin with these bytes in UTF-8.
            others |= byte == 0x7f || byte == 0xc2 || byte == 0xef;
        }
    }
    match (returns, others) {
        (false, false) => text,
        (true, false) => without_returns(&text),
        _ => without_controls(&text),
    }
}

fn without_returns(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if !rest.starts_with('\n') {
            out.push('\n');
        }
    }
    out.push_str(rest);
    out
}

fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let (length, instead) = match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => (1, ""),
            b'\r' | 0x0b | 0x0c => (1, "\n"),
            0x00..=0x08 | 0x0e..=0x1f | 0x7f => (1, ""),
            0xc2 if matches!(bytes.get(at + 1), Some(0x80..=0x9f)) => {
                (2, if bytes[at + 1] == 0x85 { "\n" } else { "" })
            }
            0xef if matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])) => (3, ""),
            _ => {
                at += 1;
                continue;
            }
        };
        out.push_str(&text[from..at]);
        out.push_str(instead);
        at += length;
        from = at;
    }
    out.push_str(&text[from..]);
    out
}

/// Unfolded and trimmed, without control characters.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    if is_line(trimmed) {
        return Cow::Borrowed(trimmed);
    }
    let mut line = String::with_capacity(text.len());
    let mut fold = false;
    for letter in text.chars() {
        if letter == '\r' || letter == '\n' {
            fold = true;
            continue;
        }
        if fold {
            fold = false;
            line.push(' ');
            if letter == ' ' || letter == '\t' {
                continue;
            }
        }
        match letter {
            '\0' | '\u{fffe}' | '\u{ffff}' => {}
            _ if letter.is_control() => line.push(' '),
            _ => line.push(letter),
        }
    }
    Cow::Owned(line.trim().to_owned())
}

/// No store or page takes it: a control character, or a code point that is no character.
pub(super) fn is_refused(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}')
}

fn is_line(text: &str) -> bool {
    // Without a way out, which the compiler turns into a few instructions for many bytes.
    let odd = text.as_bytes().iter().fold(false, |odd, byte| odd | !(0x20..0x7f).contains(byte));
    !odd || !text.contains(is_refused)
}

/// At most `max` bytes, cut between two letters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
