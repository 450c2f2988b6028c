//! Transfer encodings, as they are written rather than as they should be.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Base64,
    Identity,
    QuotedPrintable,
    Uuencode,
}

impl Encoding {
    /// "7-bit", "8bit; charset=x" and whatever nobody knows mean that nothing is encoded.
    pub(super) fn parse(header: &str) -> Self {
        let ends = |letter: char| letter.is_whitespace() || letter == ';';
        let word = header.trim().trim_matches(['"', '\'']).split(ends).next().unwrap_or_default();
        match word.to_ascii_lowercase().as_str() {
            "base64" | "base-64" | "b64" | "x-base64" => Self::Base64,
            "quoted-printable" | "quotedprintable" | "quoted_printable" | "qp" => Self::QuotedPrintable,
            "uuencode" | "x-uuencode" | "x-uue" | "uue" => Self::Uuencode,
            _ => Self::Identity,
        }
    }

    pub(super) fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Base64 => Cow::Owned(base64(body)),
            Self::Identity => Cow::Borrowed(body),
            Self::QuotedPrintable if memchr2(b'=', b' ', body).is_none() => Cow::Borrowed(body),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(body)),
            Self::Uuencode => uudecode(body).map_or(Cow::Borrowed(body), Cow::Owned),
        }
    }

    /// How long [`Self::decode`] is; for base64 without decoding.
    pub(super) fn decoded_len(self, body: &[u8]) -> usize {
        match self {
            Self::Base64 => base64_len(body),
            Self::Identity => body.len(),
            _ => self.decode(body).len(),
        }
    }
}

/// Is a text that says it is base64 really so? Words with blanks between them are not.
pub(super) fn looks_like_base64(body: &[u8]) -> bool {
    let sample = &body[..body.len().min(2_048)];
    let foreign = |line: &&[u8]| line.iter().filter(|byte| BASE64[usize::from(**byte)] == NONE).count();
    let lines = sample.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.map(|line| foreign(&line)).sum::<usize>() * 25 <= sample.len()
}

/// How much of a body's end is searched for what a server added below it, in bytes.
const MAX_FOOTER: usize = 4_096;

/// Where plain text begins that a server added below a base64 body; its end if there is none.
pub(super) fn footer(body: &[u8]) -> usize {
    let from = body.len().saturating_sub(MAX_FOOTER);
    let mut at = if from == 0 { 0 } else { memchr(b'\n', &body[from..]).map_or(body.len(), |end| from + end + 1) };
    // Blank lines and strokes above the words go with them.
    let (mut encoded, mut words) = (at, false);
    while at < body.len() && !words {
        let end = memchr(b'\n', &body[at..]).map_or(body.len(), |end| at + end + 1);
        let line = body[at..end].trim_ascii();
        words = line.iter().any(|byte| BASE64[usize::from(*byte)] == NONE);
        let stroke = line.iter().all(|byte| matches!(byte, b'-' | b'_' | b'='));
        at = end;
        encoded = if words || stroke { encoded } else { end };
    }
    if words && is_whole_base64(&body[..encoded]) { encoded } else { body.len() }
}

/// Whole groups, and more of them than a word has letters.
fn is_whole_base64(body: &[u8]) -> bool {
    let letters = body.iter().filter(|byte| BASE64[usize::from(**byte)] != NONE).count();
    letters >= 16 && letters % 4 == 0
}

const NONE: u8 = 0xff;
const PAD: u8 = 0xfe;
/// The value of each letter; the alphabet of web addresses counts too.
const BASE64: [u8; 256] = {
    let mut table = [NONE; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < 64 {
        table[letters[at] as usize] = at as u8;
        at += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table[b'=' as usize] = PAD;
    table
};

/// Whatever is not of the alphabet is skipped; padding ends a group, not the text, as some programs join encoded pieces.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut group, mut letters) = (0_u32, 0_u8);
    let mut rest = text;
    loop {
        if letters == 0 {
            // Whole groups are by far the most.
            while let [a, b, c, d, tail @ ..] = rest {
                let [a, b, c, d] = [*a, *b, *c, *d].map(|letter| BASE64[usize::from(letter)]);
                if a | b | c | d >= 64 {
                    break;
                }
                let four = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
                bytes.extend_from_slice(&four.to_be_bytes()[1..]);
                rest = tail;
            }
        }
        let [letter, tail @ ..] = rest else { break };
        rest = tail;
        match BASE64[usize::from(*letter)] {
            NONE => {}
            PAD => {
                flush(&mut bytes, group, letters);
                (group, letters) = (0, 0);
            }
            value => {
                group = group << 6 | u32::from(value);
                letters += 1;
                if letters == 4 {
                    flush(&mut bytes, group, letters);
                    (group, letters) = (0, 0);
                }
            }
        }
    }
    flush(&mut bytes, group, letters);
    bytes
}

/// The whole bytes within `letters` letters of six bits.
fn flush(bytes: &mut Vec<u8>, group: u32, letters: u8) {
    if letters == 0 {
        return;
    }
    let left = group << (6 * (4 - u32::from(letters)));
    let whole = usize::from(letters) * 6 / 8;
    bytes.extend_from_slice(&left.to_be_bytes()[1..=whole]);
}

fn base64_len(text: &[u8]) -> usize {
    let (mut whole, mut letters) = (0, 0_usize);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = memchr(b'=', rest).map_or((rest, &rest[rest.len()..]), |at| (&rest[..at], &rest[at + 1..]));
        letters += piece.iter().map(|letter| usize::from(BASE64[usize::from(*letter)] < 64)).sum::<usize>();
        if tail.len() < rest.len() - piece.len() {
            whole += bytes_in(letters);
            letters = 0;
        }
        rest = tail;
    }
    whole + bytes_in(letters)
}

fn bytes_in(letters: usize) -> usize {
    letters / 4 * 3 + letters % 4 * 6 / 8
}

/// A `=` that is not followed by two digits or a line end stays.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, tail) = rest.split_at(end);
        rest = tail;
        let content = line.trim_ascii_end();
        let soft = content.strip_suffix(b"=");
        quoted_line(&mut bytes, soft.unwrap_or(content));
        if soft.is_none() {
            // Blanks at the end of a line were added on the way; the line end itself stays.
            let end = &line[content.len()..];
            let end = end.iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(&b""[..], |at| &end[at..]);
            bytes.extend_from_slice(end);
        }
    }
    bytes
}

fn quoted_line(bytes: &mut Vec<u8>, line: &[u8]) {
    let mut rest = line;
    while let Some(at) = memchr(b'=', rest) {
        bytes.extend_from_slice(&rest[..at]);
        let digit = |at: usize| rest.get(at).and_then(|&byte| (byte as char).to_digit(16));
        match (digit(at + 1), digit(at + 2)) {
            (Some(high), Some(low)) => {
                // Two hexadecimal digits fit into a byte.
                bytes.push((high * 16 + low) as u8);
                rest = &rest[at + 3..];
            }
            _ => {
                bytes.push(b'=');
                rest = &rest[at + 1..];
            }
        }
    }
    bytes.extend_from_slice(rest);
}

/// The file between `begin` and `end`; `None` if there is no such thing.
fn uudecode(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.find(|line| line.starts_with(b"begin "))?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for line in lines {
        let Some((count, letters)) = line.split_first() else { continue };
        if line.starts_with(b"end") || !(0x20..=0x60).contains(count) {
            break;
        }
        let start = bytes.len();
        for four in letters.chunks(4) {
            let value = |at: usize| u32::from(four.get(at).map_or(0, |letter| letter.wrapping_sub(0x20) & 0x3f));
            let group = value(0) << 18 | value(1) << 12 | value(2) << 6 | value(3);
            bytes.extend_from_slice(&group.to_be_bytes()[1..]);
        }
        let whole = usize::from((count - 0x20) & 0x3f);
        bytes.truncate(bytes.len().min(start + whole));
    }
    Some(bytes)
}
