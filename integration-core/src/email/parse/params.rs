//! `Content-Type` and `Content-Disposition`, taken apart (RFC 2045, 2231) and mended.

use super::{
    charset,
    clean::{cut, one_line},
    words,
};

/// A part has a handful; more is noise.
const MAX_PARAMETERS: usize = 64;
const MAX_NAME: usize = 255;

#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The first word, lower case.
    pub(super) value: String,
    list: Vec<(String, String)>,
}

/// One `name*2*="…"`.
struct Piece<'a> {
    name: String,
    number: Option<u32>,
    extended: bool,
    value: std::borrow::Cow<'a, str>,
}

impl Parameters {
    pub(super) fn parse(header: &str) -> Self {
        let line = one_line(header);
        let (value, rest) = split_value(&line);
        let mut pieces = Vec::new();
        let mut rest = rest;
        while !rest.is_empty() && pieces.len() < MAX_PARAMETERS {
            rest = piece(rest, &mut pieces);
        }
        Self { value: value.trim().trim_matches('"').to_ascii_lowercase(), list: assemble(pieces) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// "text/plain", if it is of that form; "text" and "html" alone are what they sound like.
    pub(super) fn media_type(&self) -> Option<String> {
        let tspecial = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte);
        let token = |word: &str| !word.is_empty() && word.len() < 128 && word.as_bytes().iter().all(tspecial);
        match self.value.split_once('/') {
            Some((kind, subtype)) => {
                let (kind, subtype) = (kind.trim(), subtype.trim());
                let plain = kind.len() + 1 + subtype.len() == self.value.len();
                let named = || if plain { self.value.clone() } else { format!("{kind}/{subtype}") };
                (token(kind) && token(subtype)).then(named)
            }
            None => match self.value.as_str() {
                "text" | "plain" => Some("text/plain".to_owned()),
                "html" => Some("text/html".to_owned()),
                "multipart" => Some("multipart/mixed".to_owned()),
                _ => None,
            },
        }
    }

    pub(super) fn file_name(&self, parameter: &str) -> Option<String> {
        let name = words::decode(self.get(parameter)?);
        let name: String = name.chars().filter(|letter| !turns_text(*letter)).collect();
        Some(cut(bare_name(name.trim()), MAX_NAME).to_owned()).filter(|name| !name.is_empty())
    }
}

/// Marks that show a name in another order than it has: "gpj.exe" as "exe.jpg".
fn turns_text(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last part of what is a path rather than a name; a stroke within a name stays.
fn bare_name(name: &str) -> &str {
    let parts = || name.split(['/', '\\']);
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let is_path = drive || name.starts_with(['/', '\\']) || parts().any(|part| matches!(part.trim(), "." | ".."));
    if !is_path {
        return name;
    }
    let last = parts().map(str::trim).rfind(|part| !part.is_empty() && !matches!(*part, "." | ".."));
    last.map_or("", |last| last.rsplit(':').next().unwrap_or(last))
}

/// The first word and the parameters; a forgotten semicolon between them is seen.
fn split_value(line: &str) -> (&str, &str) {
    let end = line.find(';').unwrap_or(line.len());
    let (value, rest) = line.split_at(end);
    match value.trim_start().split_once([' ', ',']) {
        Some((word, more)) if more.contains('=') => (word, &line[line.len() - rest.len() - more.len()..]),
        // "multipart/mixed boundary" and the like: what follows the type is nothing.
        Some((word, _)) if word.contains('/') && !word.ends_with('/') => (word, rest),
        _ if value.contains('=') && !value.contains('/') => ("", line),
        _ => (value, rest),
    }
}

/// Reads one parameter off the beginning of `text` and returns what follows it.
fn piece<'a>(text: &'a str, pieces: &mut Vec<Piece<'a>>) -> &'a str {
    let text = text.trim_start_matches([';', ' ', '\t', ',']);
    let Some(equal) = text.find(['=', ';']).filter(|at| text[*at..].starts_with('=')) else {
        return text.find(';').map_or("", |at| &text[at..]);
    };
    let raw_name = text[..equal].trim().trim_matches('"');
    let after = text[equal + 1..].trim_start();
    let (value, rest) = match after.strip_prefix('"') {
        Some(quoted) => quoted_value(quoted),
        None => plain_value(after),
    };
    let extended = raw_name.ends_with('*');
    let bare = raw_name.trim_end_matches('*');
    let (name, number) = match bare.split_once('*') {
        Some((name, number)) => (name, number.parse().ok()),
        None => (bare, None),
    };
    // A name has no blanks: what stands before the last is left over from something broken.
    let name = name.rsplit([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
    if !name.is_empty() {
        pieces.push(Piece { name, number, extended, value });
    }
    rest
}

fn quoted_value(text: &str) -> (std::borrow::Cow<'_, str>, &str) {
    if let Some(end) = memchr::memchr2(b'"', b'\\', text.as_bytes())
        && text.as_bytes()[end] == b'"'
    {
        return (text[..end].into(), &text[end + 1..]);
    }
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => {
                escaped = false;
                // Windows paths are written without doubling the backslash.
                if !matches!(letter, '"' | '\\') {
                    value.push('\\');
                }
            }
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => return (value.into(), &text[at + 1..]),
            _ => {}
        }
        value.push(letter);
    }
    // Never closed: the value ends at the next parameter.
    let end = text.find(';').unwrap_or(text.len());
    (text[..end].trim_end().into(), &text[end..])
}

/// Up to the next semicolon; blanks belong to it, as in an unquoted file name.
fn plain_value(text: &str) -> (std::borrow::Cow<'_, str>, &str) {
    let mut end = text.find(';').unwrap_or(text.len());
    // A forgotten semicolon: "charset=utf-8 format=flowed".
    if let Some(equal) = text[..end].find('=')
        && let Some(blank) = text[..equal].trim_end().rfind([' ', '\t'])
        && !text.starts_with("=?")
    {
        end = blank;
    }
    (text[..end].trim().into(), &text[end..])
}

/// Joins what RFC 2231 splits, and decodes the bytes of the whole at once: a letter may be cut in two.
fn assemble(pieces: Vec<Piece<'_>>) -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = Vec::new();
    let mut done: Vec<String> = Vec::new();
    for piece in &pieces {
        if piece.number.is_none() && !piece.extended {
            continue;
        }
        if done.contains(&piece.name) {
            continue;
        }
        done.push(piece.name.clone());
        let mut parts: Vec<&Piece<'_>> = pieces
            .iter()
            .filter(|other| other.name == piece.name && (other.number.is_some() || other.extended))
            .collect();
        parts.sort_by_key(|part| part.number.unwrap_or_default());
        list.push((piece.name.clone(), joined(&parts)));
    }
    // The plain form beside the extended one is for programs that do not know better.
    for piece in pieces {
        if piece.number.is_none() && !piece.extended && !list.iter().any(|(name, _)| *name == piece.name) {
            list.push((piece.name, piece.value.into_owned()));
        }
    }
    list
}

fn joined(parts: &[&Piece<'_>]) -> String {
    let mut bytes = Vec::new();
    let mut label = "";
    let mut encoded = false;
    for (at, part) in parts.iter().enumerate() {
        let mut value: &str = &part.value;
        if at == 0
            && part.extended
            && let Some((charset, rest)) = value.split_once('\'')
        {
            label = charset;
            value = rest.split_once('\'').map_or(rest, |(_, text)| text);
        }
        encoded |= part.extended;
        if part.extended {
            percent_decode(value, &mut bytes);
        } else {
            bytes.extend_from_slice(value.as_bytes());
        }
    }
    let text =
        if encoded { charset::decode(label, &bytes, None) } else { String::from_utf8_lossy(&bytes).into_owned() };
    one_line(&text).into_owned()
}

fn percent_decode(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| (byte as char).to_digit(16));
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits fit into a byte.
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
}
