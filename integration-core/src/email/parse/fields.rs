//! Header blocks.

use std::borrow::Cow;

use memchr::memchr;

use super::{address::MAX_VALUE, charset};

/// Fields of one header block that are looked at.
const MAX_FIELDS: usize = 1_000;
/// How far the message is searched for a hint at its charset, in bytes.
const HINT_WITHIN: usize = 64 * 1024;

/// One header field: unfolded, as text, still encoded.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
}

/// The fields of one header block.
#[derive(Default)]
pub(super) struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Field<'a>> {
        self.0.iter()
    }

    pub(super) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_ref())
    }

    /// The first one with a value; an empty one says nothing.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|field| field.name.eq_ignore_ascii_case(name) && !field.value.is_empty())
            .map(|field| field.value.as_ref())
    }
}

/// A header block and what follows it.
pub(super) struct Entity<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) body: &'a [u8],
}

/// Splits `raw` after its first empty line. The root of a message may begin with empty lines, an mbox line or a BOM.
pub(super) fn split_header(raw: &[u8], root: bool) -> Entity<'_> {
    let mut rest = raw;
    if root {
        rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        while let [b'\r' | b'\n', tail @ ..] = rest {
            rest = tail;
        }
    }
    let mut gathered: Vec<(&str, Value<'_>)> = Vec::with_capacity(if root { 24 } else { 4 });
    let mut open = false;
    while !rest.is_empty() {
        let (line, tail) = first_line(rest);
        if line.is_empty() {
            rest = tail;
            break;
        }
        if line[0] == b' ' || line[0] == b'\t' {
            match gathered.last_mut() {
                Some((_, value)) if open => value.fold(line),
                // A message whose first line was indented.
                None => gathered.extend(field(line.trim_ascii_start())),
                _ => {}
            }
            open |= gathered.len() == 1;
            rest = tail;
            continue;
        }
        let Some(field) = field(line) else {
            // What is no field is passed over (an mbox line, a torn line) if the header goes on after it.
            let first = gathered.is_empty();
            match gathered.last_mut() {
                Some((_, value)) if open && value.lacks(line) => value.fold(line),
                _ if !goes_on(line, tail, first) => break,
                _ => open = false,
            }
            rest = tail;
            continue;
        };
        open = gathered.len() < MAX_FIELDS;
        if open {
            gathered.push(field);
        }
        rest = tail;
    }
    let header = &raw[..raw.len() - rest.len()];
    Entity { fields: finish(gathered, header, raw), body: rest }
}

/// Does the header block go on after a line that is no field?
fn goes_on(line: &[u8], tail: &[u8], first: bool) -> bool {
    if first || line.starts_with(b"From ") || line.starts_with(b">From ") {
        return true;
    }
    let mut rest = tail;
    // A torn line may have continuations of its own.
    for _ in 0..4 {
        let (next, after) = first_line(rest);
        if !next.starts_with(b" ") && !next.starts_with(b"\t") {
            return field(next).is_some();
        }
        rest = after;
    }
    false
}

/// Text in the charset that it shows, or that the message declares further down.
fn finish<'a>(gathered: Vec<(&'a str, Value<'a>)>, header: &[u8], raw: &[u8]) -> Fields<'a> {
    // Of the whole block at once, for most are nothing but ASCII.
    let foreign = !header.is_ascii() && gathered.iter().any(|(_, value)| std::str::from_utf8(&value.bytes).is_err());
    let hint = if foreign { charset_within(raw) } else { None };
    let field = |(name, value): (&'a str, Value<'a>)| Field { name, value: value.finish(hint.as_deref()) };
    Fields(gathered.into_iter().map(field).collect())
}

/// The first charset that the message declares and that has letters beyond ASCII.
fn charset_within(raw: &[u8]) -> Option<String> {
    let mut rest = &raw[..raw.len().min(HINT_WITHIN)];
    while let Some(at) = memchr(b'=', rest) {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        rest = after;
        if !before.trim_ascii_end().to_ascii_lowercase().ends_with(b"charset") {
            continue;
        }
        let word = after.trim_ascii_start().strip_prefix(b"\"").unwrap_or(after);
        let end = word.iter().position(|byte| !byte.is_ascii_graphic() || matches!(byte, b'"' | b';' | b'>'));
        let label = String::from_utf8_lossy(&word[..end.unwrap_or(word.len()).min(40)]).to_ascii_lowercase();
        if !label.contains("ascii") && !label.starts_with("utf") && charset::is_known(&label) {
            return Some(label);
        }
    }
    None
}

/// The bytes of a value while its lines are gathered.
struct Value<'a> {
    bytes: Cow<'a, [u8]>,
    torn: bool,
}

impl<'a> Value<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { bytes: Cow::Borrowed(&line[..line.len().min(MAX_VALUE)]), torn: line.len() > MAX_VALUE }
    }

    fn fold(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        let room = MAX_VALUE - self.bytes.len();
        self.torn |= line.len() + 1 > room;
        if room > 0 && !line.is_empty() {
            if let Cow::Borrowed(first) = self.bytes {
                // A folded value goes on for some lines.
                let mut bytes = Vec::with_capacity(first.len() + line.len() + 160);
                bytes.extend_from_slice(first);
                self.bytes = Cow::Owned(bytes);
            }
            let bytes = self.bytes.to_mut();
            bytes.push(b' ');
            bytes.extend_from_slice(&line[..line.len().min(room - 1)]);
        }
    }

    /// A parameter on a line of its own whose indentation was lost.
    fn lacks(&self, line: &[u8]) -> bool {
        let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        self.bytes.ends_with(b";") && name.len() < line.len() && name.iter().all(u8::is_ascii_alphanumeric)
    }

    fn finish(self, hint: Option<&str>) -> Cow<'a, str> {
        let mut bytes = self.bytes;
        if self.torn
            && let Some(end) = bytes.iter().rposition(|byte| matches!(byte, b',' | b' '))
        {
            bytes.to_mut().truncate(end);
        }
        let bytes = match bytes {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => return Cow::Borrowed(text),
                Err(_) => bytes.to_vec(),
            },
            Cow::Owned(bytes) => bytes,
        };
        match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(charset::decode("", error.as_bytes(), hint)),
        }
    }
}

fn field(line: &[u8]) -> Option<(&str, Value<'_>)> {
    let colon = memchr(b':', &line[..line.len().min(1_000)])?;
    let name = line[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, Value::new(line[colon + 1..].trim_ascii())))
}

/// The first line without its end, and what follows.
pub(super) fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match memchr(b'\n', text) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}
