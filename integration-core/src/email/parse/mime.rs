//! Header blocks and the tree of parts.
//!
//! The tree is cut here and not by the parser below us, because its depth and breadth must be bounded before anything
//! is allocated for them: dropping a few hundred thousand nested messages would overflow the stack.

use std::borrow::Cow;

use mail_parser::{HeaderValue, decoders::charsets::map::charset_decoder, parsers::MessageStream};

use super::{
    cut,
    header::{MAX_VALUE, decode_header, ids, one_line},
};

/// Parts that are looked at, multiparts included.
pub(super) const MAX_PARTS: usize = 1_000;
/// Multiparts within multiparts.
pub(super) const MAX_DEPTH: usize = 50;
/// Fields of one header block that are looked at.
const MAX_FIELDS: usize = 1_000;

/// One header field: unfolded, as text, still encoded.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

/// The fields of one header block.
#[derive(Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_str())
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_str())
    }
}

/// A header block and what follows it.
pub(super) struct Entity<'a> {
    pub(super) fields: Fields,
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
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut open = false;
    while !rest.is_empty() {
        let (line, tail) = first_line(rest);
        rest = tail;
        if line.is_empty() {
            break;
        }
        if let [b' ' | b'\t', ..] = line {
            if open && let Some((_, value)) = fields.last_mut() {
                value.fold(line);
            }
            continue;
        }
        // What is neither a field nor a continuation (an mbox line, a torn line) is passed over.
        let field = field(line);
        open = field.is_some() && fields.len() < MAX_FIELDS;
        if open {
            fields.extend(field);
        }
    }
    let finished = fields.into_iter().map(|(name, value)| Field { name, value: value.finish() });
    Entity { fields: Fields(finished.collect()), body: rest }
}

/// The bytes of a value while its lines are gathered.
#[derive(Default)]
struct Value {
    bytes: Vec<u8>,
    torn: bool,
}

impl Value {
    fn push(&mut self, bytes: &[u8]) {
        let room = MAX_VALUE - self.bytes.len();
        self.torn |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn fold(&mut self, line: &[u8]) {
        self.push(b" ");
        self.push(line.trim_ascii());
    }

    /// As text: UTF-8, else what Western mail programs send without saying so.
    fn finish(mut self) -> String {
        if self.torn
            && let Some(end) = self.bytes.iter().rposition(|byte| matches!(byte, b',' | b' '))
        {
            self.bytes.truncate(end);
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => text,
            Err(error) => windows_1252(error.as_bytes()),
        }
    }
}

fn field(line: &[u8]) -> Option<(String, Value)> {
    let colon = line.iter().take(1_000).position(|&byte| byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut value = Value::default();
    value.push(line[colon + 1..].trim_ascii());
    Some((String::from_utf8_lossy(name).into_owned(), value))
}

/// The first line without its end, and what follows.
fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// A part that is not split further.
pub(super) struct Part<'a> {
    pub(super) path: String,
    pub(super) media_type: String,
    pub(super) disposition: Option<String>,
    pub(super) name: Option<String>,
    pub(super) content_id: Option<String>,
    charset: Option<String>,
    boundary: Option<String>,
    encoding: Encoding,
    body: &'a [u8],
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Encoding {
    Base64,
    Identity,
    QuotedPrintable,
}

impl<'a> Part<'a> {
    /// `default`: what a part without a type is.
    fn new(fields: &Fields, body: &'a [u8], path: String, default: &str) -> Self {
        let kind = fields.first("Content-Type").map(Parameters::parse).unwrap_or_default();
        let disposition = fields.first("Content-Disposition").map(Parameters::parse).unwrap_or_default();
        let encoding = match fields.first("Content-Transfer-Encoding").map(first_word).as_deref() {
            Some("base64") => Encoding::Base64,
            Some("quoted-printable") => Encoding::QuotedPrintable,
            _ => Encoding::Identity,
        };
        let content_id = fields.first("Content-ID");
        let bare = content_id.map(one_line).filter(|id| !id.is_empty());
        Self {
            path,
            media_type: kind.media_type().unwrap_or_else(|| default.to_owned()),
            name: disposition.file_name("filename").or_else(|| kind.file_name("name")),
            content_id: content_id.and_then(|id| ids(id).into_iter().next()).or(bare),
            charset: kind.get("charset").map(str::to_owned),
            boundary: kind.get("boundary").map(str::to_owned),
            disposition: Some(disposition.value).filter(|word| !word.is_empty()),
            encoding,
            body,
        }
    }

    /// The decoded bytes.
    pub(super) fn bytes(&self) -> Cow<'a, [u8]> {
        match self.encoding {
            Encoding::Base64 => Cow::Owned(base64(self.body)),
            Encoding::Identity => Cow::Borrowed(self.body),
            Encoding::QuotedPrintable => Cow::Owned(quoted_printable(self.body)),
        }
    }

    /// The decoded bytes as text of the part's charset.
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes();
        let label = self.charset.as_deref().map(first_word).unwrap_or_default();
        let silent = matches!(label.as_str(), "" | "ascii" | "us-ascii" | "utf-8" | "utf8");
        if let Some(decode) = charset_decoder(label.as_bytes()).filter(|_| !silent) {
            return decode(&bytes);
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
            Err(_) if label.starts_with("utf") => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => windows_1252(&bytes),
        }
    }
}

/// `Content-Type` or `Content-Disposition`, taken apart.
#[derive(Default)]
struct Parameters {
    value: String,
    subtype: Option<String>,
    list: Vec<(String, String)>,
}

impl Parameters {
    fn parse(header: &str) -> Self {
        let line = one_line(header) + "\n";
        let parsed = MessageStream::new(line.as_bytes()).parse_content_type();
        let Some(parsed) = (if let HeaderValue::ContentType(parsed) = parsed { Some(parsed) } else { None }) else {
            return Self::default();
        };
        let list = parsed.attributes().unwrap_or_default().iter();
        Self {
            value: parsed.ctype().trim().to_ascii_lowercase(),
            subtype: parsed.subtype().map(|subtype| subtype.trim().to_ascii_lowercase()),
            list: list.map(|pair| (pair.name.to_ascii_lowercase(), pair.value.to_string())).collect(),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn media_type(&self) -> Option<String> {
        let token = |word: &str| !word.is_empty() && word.len() < 128 && word.bytes().all(|b| b.is_ascii_graphic());
        let subtype = self.subtype.as_deref()?;
        (token(&self.value) && token(subtype)).then(|| format!("{}/{subtype}", self.value))
    }

    fn file_name(&self, parameter: &str) -> Option<String> {
        self.get(parameter).map(|name| cut(&decode_header(name), 255).to_owned()).filter(|name| !name.is_empty())
    }
}

/// All parts that are not split further, in order.
pub(super) fn leaves<'a>(root: &Entity<'a>) -> Vec<Part<'a>> {
    let mut walk = Walk { leaves: Vec::new(), seen: 0 };
    walk.visit(Part::new(&root.fields, root.body, String::new(), "text/plain"), 0);
    walk.leaves
}

struct Walk<'a> {
    leaves: Vec<Part<'a>>,
    seen: usize,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, mut part: Part<'a>, depth: usize) {
        self.seen += 1;
        let multipart = part.media_type.starts_with("multipart/") && part.encoding == Encoding::Identity;
        if !multipart || depth == MAX_DEPTH {
            self.leaves.push(part);
            return;
        }
        let boundary = part.boundary.as_deref().unwrap_or_default();
        let pieces = split(part.body, boundary, MAX_PARTS.saturating_sub(self.seen));
        if pieces.is_empty() && self.seen < MAX_PARTS {
            // Called a multipart, but nothing separates its parts: what is there is text.
            "text/plain".clone_into(&mut part.media_type);
            self.leaves.push(part);
            return;
        }
        let default = if part.media_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        for (at, piece) in pieces.into_iter().enumerate() {
            if self.seen >= MAX_PARTS {
                return;
            }
            let path = if part.path.is_empty() { at.to_string() } else { format!("{}.{at}", part.path) };
            let entity = split_header(piece, false);
            self.visit(Part::new(&entity.fields, entity.body, path, default), depth + 1);
        }
    }
}

/// The first `max` pieces between lines of `boundary`; the last may lack its end.
fn split<'a>(body: &'a [u8], boundary: &str, max: usize) -> Vec<&'a [u8]> {
    let boundary = boundary.trim_end().as_bytes();
    let mut pieces = Vec::new();
    let (mut rest, mut start) = (body, None);
    while !rest.is_empty() && !boundary.is_empty() && pieces.len() < max {
        let at = body.len() - rest.len();
        let (line, tail) = first_line(rest);
        rest = tail;
        let Some(end) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)) else { continue };
        let end = end.trim_ascii();
        if !(end.is_empty() || end == b"--") {
            continue;
        }
        if let Some(start) = start {
            // The line end before a boundary belongs to the boundary; an empty piece has none of its own.
            let piece = &body[start..at.max(start)];
            let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
            pieces.push(piece.strip_suffix(b"\r").unwrap_or(piece));
        }
        if end == b"--" {
            return pieces;
        }
        start = Some(body.len() - rest.len());
    }
    if let Some(start) = start
        && pieces.len() < max
        && start < body.len()
    {
        pieces.push(&body[start..]);
    }
    pieces
}

fn first_word(text: &str) -> String {
    let ends = |letter: char| letter.is_whitespace() || letter == ';';
    text.trim().trim_matches('"').split(ends).next().unwrap_or_default().to_ascii_lowercase()
}

fn windows_1252(bytes: &[u8]) -> String {
    match charset_decoder(b"windows-1252") {
        Some(decode) => decode(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Whatever is not of the alphabet is skipped; padding ends a group, not the text, as some programs join encoded pieces.
fn base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut group, mut letters) = (0_u32, 0_u8);
    for &letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                flush(&mut bytes, group, letters);
                (group, letters) = (0, 0);
                continue;
            }
            _ => continue,
        };
        group = group << 6 | u32::from(value);
        letters += 1;
        if letters == 4 {
            flush(&mut bytes, group, letters);
            (group, letters) = (0, 0);
        }
    }
    flush(&mut bytes, group, letters);
    bytes
}

/// The whole bytes within `letters` letters of six bits.
fn flush(bytes: &mut Vec<u8>, group: u32, letters: u8) {
    let left = group << (6 * (4 - u32::from(letters)));
    let whole = usize::from(letters) * 6 / 8;
    bytes.extend_from_slice(&left.to_be_bytes()[1..=whole]);
}

/// A `=` that is not followed by two digits or a line end stays.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        let (line, tail) = rest.split_at(end);
        rest = tail;
        let content = line.trim_ascii_end();
        let soft = content.strip_suffix(b"=");
        quoted_line(&mut bytes, soft.unwrap_or(content));
        if soft.is_none() {
            // Blanks at the end of a line were added on the way; the line end itself stays.
            bytes.extend(line[content.len()..].iter().filter(|byte| matches!(byte, b'\r' | b'\n')));
        }
    }
    bytes
}

fn quoted_line(bytes: &mut Vec<u8>, line: &[u8]) {
    let digit = |at: usize| line.get(at).and_then(|&byte| (byte as char).to_digit(16));
    let mut at = 0;
    while at < line.len() {
        match (line[at], digit(at + 1), digit(at + 2)) {
            (b'=', Some(high), Some(low)) => {
                // Two hexadecimal digits fit into a byte.
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
}
