//! Transfer encodings, read with all the tolerance that broken mail needs.

use std::borrow::Cow;

/// How a body was made fit for transport.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Encoding {
    /// 64 letters for six bits each.
    Base64,
    /// As it is: `7bit`, `8bit`, `binary` and everything unknown.
    #[default]
    Identity,
    /// `=XX` for what is not plain.
    QuotedPrintable,
}

impl Encoding {
    /// Reads a `Content-Transfer-Encoding` value.
    pub fn parse(value: &str) -> Self {
        let token = value.split(|c: char| c == ';' || c.is_whitespace()).find(|t| !t.is_empty()).unwrap_or_default();
        match token.to_ascii_lowercase().as_str() {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    /// Removes the encoding.
    pub fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Base64 => Cow::Owned(base64(body)),
            Self::Identity => Cow::Borrowed(body),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(body, false)),
        }
    }

    /// The length that [`Encoding::decode`] would give.
    pub fn decoded_len(self, body: &[u8]) -> usize {
        match self {
            Self::Base64 => base64_len(body),
            Self::Identity => body.len(),
            Self::QuotedPrintable => quoted_printable(body, false).len(),
        }
    }
}

/// What stands in [`SEXTETS`] for a byte that is no letter of the alphabet.
const FOREIGN: u8 = 0xff;

/// The six bits of each letter: a table, because attachments are long.
const SEXTETS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [FOREIGN; 256];
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

fn sextet(byte: u8) -> Option<u32> {
    let value = SEXTETS[usize::from(byte)];
    (value != FOREIGN).then_some(u32::from(value))
}

/// Base64 with foreign letters passed over; a padding sign ends a group, so concatenated texts decode too.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut held, mut count) = (0_u32, 0_u32);
    for byte in text {
        if let Some(value) = sextet(*byte) {
            held = held << 6 | value;
            count += 1;
            if count == 4 {
                out.extend_from_slice(&held.to_be_bytes()[1..]);
                (held, count) = (0, 0);
            }
        } else if *byte == b'=' {
            flush(&mut out, held, count);
            (held, count) = (0, 0);
        }
    }
    flush(&mut out, held, count);
    out
}

fn flush(out: &mut Vec<u8>, held: u32, count: u32) {
    match count {
        2 => out.push((held >> 4) as u8),
        3 => out.extend_from_slice(&[(held >> 10) as u8, (held >> 2) as u8]),
        _ => {}
    }
}

fn base64_len(text: &[u8]) -> usize {
    let tail = |count: usize| count.saturating_sub(1);
    let (mut whole, mut count) = (0_usize, 0_usize);
    for byte in text {
        if sextet(*byte).is_some() {
            count += 1;
            if count == 4 {
                (whole, count) = (whole + 3, 0);
            }
        } else if *byte == b'=' {
            (whole, count) = (whole + tail(count), 0);
        }
    }
    whole + tail(count)
}

/// Quoted-printable; in a header word (`word`) an underscore stands for a space.
pub(super) fn quoted_printable(text: &[u8], word: bool) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match *byte {
            b'_' if word => out.push(b' '),
            b'=' => {
                if let (Some(high), Some(low)) = (hex(text.get(at + 1)), hex(text.get(at + 2))) {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                } else if let Some(skipped) = soft_break(&text[at + 1..]) {
                    at += skipped;
                } else {
                    out.push(b'=');
                }
            }
            other => out.push(other),
        }
        at += 1;
    }
    out
}

/// Length of white space and line end after a `=`, if that is all there is on the line.
fn soft_break(rest: &[u8]) -> Option<usize> {
    // Lines are shorter than this; the bound keeps a text of only `=` and blanks linear.
    let blanks = rest.iter().take(200).take_while(|b| matches!(b, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n' | b'\r', ..] => Some(blanks + 1),
        [] => Some(blanks),
        _ => None,
    }
}
