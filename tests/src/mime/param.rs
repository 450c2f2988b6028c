//! Structured values with parameters, as in `Content-Type`, with the continuations of RFC 2231.

use std::collections::BTreeMap;

use super::{charset, header};

/// A value and its parameters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parametrised {
    /// The value before the first semicolon, lower case, without comments.
    pub value: String,
    /// Parameters by lower-case name, joined and decoded.
    pub params: BTreeMap<String, String>,
}

/// One piece of a parameter: whether percent-encoded, and its text.
type Piece = (bool, String);

/// Reads `value; name=value; …`; what makes no sense is passed over.
pub fn parse_parametrised(text: &str) -> Parametrised {
    let mut fields = fields(text).into_iter();
    let value = fields.next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut plain: BTreeMap<String, String> = BTreeMap::new();
    let mut pieces: BTreeMap<String, BTreeMap<u32, Piece>> = BTreeMap::new();
    for field in fields {
        let Some((name, raw)) = field.split_once('=') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let raw = unquote(raw.trim());
        match piece_name(&name) {
            Some((base, index, extended)) => {
                pieces.entry(base).or_default().entry(index).or_insert((extended, raw));
            }
            None => {
                plain.entry(name).or_insert_with(|| header::decode_words(&raw));
            }
        }
    }
    // The extended form wins: where both stand, the plain one is a fallback for old readers.
    plain.extend(pieces.into_iter().map(|(name, pieces)| (name, join(pieces.into_values()))));
    Parametrised { value, params: plain }
}

/// Splits at semicolons outside quotes, leaving out comments.
fn fields(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut field = String::new();
    let (mut quoted, mut escaped, mut comment) = (false, false, 0_usize);
    for c in text.chars() {
        if escaped {
            escaped = false;
            if comment == 0 {
                field.push(c);
            }
            continue;
        }
        match c {
            '\\' if quoted || comment > 0 => {
                escaped = true;
                if comment == 0 {
                    field.push(c);
                }
            }
            '(' if !quoted => comment += 1,
            ')' if !quoted && comment > 0 => comment -= 1,
            _ if comment > 0 => {}
            ';' if !quoted => found.push(std::mem::take(&mut field)),
            _ => {
                quoted ^= c == '"';
                field.push(c);
            }
        }
    }
    found.push(field);
    found
}

fn unquote(raw: &str) -> String {
    let Some(inner) = raw.strip_prefix('"') else { return raw.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                // A lone backslash in a Windows path is no escape.
                if c != '"' && c != '\\' {
                    out.push('\\');
                }
                out.push(c);
            }
            '\\' => escaped = true,
            '"' => break,
            other => out.push(other),
        }
    }
    out
}

/// `name*`, `name*0`, `name*0*`: base, index, whether percent-encoded.
fn piece_name(name: &str) -> Option<(String, u32, bool)> {
    let (base, rest) = name.split_once('*')?;
    if rest.is_empty() {
        return Some((base.to_owned(), 0, true));
    }
    let (digits, extended) = rest.strip_suffix('*').map_or((rest, false), |digits| (digits, true));
    digits.parse().ok().map(|index| (base.to_owned(), index, extended))
}

fn join(pieces: impl Iterator<Item = Piece>) -> String {
    let mut label = String::from("utf-8");
    let mut bytes = Vec::new();
    for (position, (extended, text)) in pieces.enumerate() {
        let mut rest = text.as_str();
        if extended && position == 0 {
            let mut marks = text.splitn(3, '\'');
            if let (Some(charset), Some(_), Some(value)) = (marks.next(), marks.next(), marks.next()) {
                charset.clone_into(&mut label);
                rest = value;
            }
        }
        if extended { percent(rest, &mut bytes) } else { bytes.extend_from_slice(rest.as_bytes()) }
    }
    charset::decode(&label, &bytes).unwrap_or_else(|| charset::unlabelled(&bytes))
}

fn percent(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
}
