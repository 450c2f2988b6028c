//! The tree of parts.
//!
//! It is cut here and not by the parser below us, because its depth and breadth must be bounded before anything is
//! allocated for them: dropping a few hundred thousand nested messages would overflow the stack.

use std::borrow::Cow;

use memchr::memmem;

use super::{
    charset,
    clean::one_line,
    encoding::{Encoding, footer, looks_like_base64},
    fields::{Entity, Fields, first_line, split_header},
    flowed,
    header::ids,
    params::Parameters,
};

/// Parts that are looked at, multiparts included.
pub(super) const MAX_PARTS: usize = 1_000;
/// Multiparts within multiparts.
pub(super) const MAX_DEPTH: usize = 50;
/// How far a body is searched for a boundary that its header does not name, in bytes.
const MAX_SEARCH: usize = 64 * 1024;

/// A part that is not split further.
pub(super) struct Part<'a> {
    pub(super) path: String,
    pub(super) media_type: String,
    pub(super) disposition: Option<String>,
    pub(super) name: Option<String>,
    pub(super) content_id: Option<String>,
    /// The outermost `multipart/alternative` around it.
    pub(super) alternative: Option<String>,
    /// Is it within a `multipart/report`?
    pub(super) of_report: bool,
    kind: Parameters,
    encoding: Encoding,
    pub(super) body: &'a [u8],
}

impl<'a> Part<'a> {
    /// `default`: what a part without a type is.
    fn new(fields: &Fields<'_>, body: &'a [u8], path: String, default: &str) -> Self {
        let kind = fields.first("Content-Type").map(Parameters::parse).unwrap_or_default();
        let disposition = fields.first("Content-Disposition").map(Parameters::parse).unwrap_or_default();
        let content_id = fields.first("Content-ID");
        let bare = content_id.map(|id| one_line(id).into_owned()).filter(|id| !id.is_empty());
        Self {
            path,
            media_type: kind.media_type().unwrap_or_else(|| default.to_owned()),
            name: disposition.file_name("filename").or_else(|| kind.file_name("name")),
            content_id: content_id.and_then(|id| ids(id).into_iter().next()).or(bare),
            disposition: Some(disposition.value).filter(|word| !word.is_empty()),
            alternative: None,
            of_report: false,
            kind,
            encoding: fields.first("Content-Transfer-Encoding").map_or(Encoding::Identity, Encoding::parse),
            body,
        }
    }

    /// The decoded bytes.
    pub(super) fn bytes(&self) -> Cow<'a, [u8]> {
        let (encoding, end) = self.encoded();
        let bytes = encoding.decode(&self.body[..end]);
        let footer = self.body[end..].trim_ascii_start();
        if footer.is_empty() { bytes } else { Cow::Owned([&bytes, &b"\n\n"[..], footer].concat()) }
    }

    /// How many bytes [`Self::bytes`] gives.
    pub(super) fn decoded_len(&self) -> u64 {
        let (encoding, end) = self.encoded();
        if end < self.body.len() {
            return self.bytes().len() as u64;
        }
        encoding.decoded_len(self.body) as u64
    }

    /// The encoding, and how much of the body has it: servers add words below a text whatever its encoding.
    fn encoded(&self) -> (Encoding, usize) {
        let whole = self.body.len();
        if self.encoding != Encoding::Base64 || !self.media_type.starts_with("text/") {
            return (self.encoding, whole);
        }
        let end = footer(self.body);
        if looks_like_base64(&self.body[..end]) { (self.encoding, end) } else { (Encoding::Identity, whole) }
    }

    /// The decoded bytes as text of the part's charset; wrapped lines are joined where they say so.
    pub(super) fn text(&self) -> String {
        let label = self.kind.get("charset").unwrap_or_default();
        let text = charset::decode_owned(label, self.bytes(), None);
        let is = |name, value: &str| self.kind.get(name).is_some_and(|given| given.eq_ignore_ascii_case(value));
        if self.media_type == "text/plain" && is("format", "flowed") {
            return flowed::unwrap(&text, is("delsp", "yes"));
        }
        text
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
        // Whatever encoding a multipart declares, its parts are written as they are.
        if !part.media_type.starts_with("multipart/") || depth == MAX_DEPTH {
            self.leaves.push(part);
            return;
        }
        let room = MAX_PARTS.saturating_sub(self.seen);
        let mut pieces = split(part.body, part.kind.get("boundary").unwrap_or_default().as_bytes(), room);
        if pieces.is_empty()
            && let Some(boundary) = boundary_of(part.body)
        {
            pieces = split(part.body, boundary, room);
        }
        if pieces.is_empty() && self.seen < MAX_PARTS {
            // Called a multipart, but nothing separates its parts: what is there is text.
            "text/plain".clone_into(&mut part.media_type);
            self.leaves.push(part);
            return;
        }
        let default = if part.media_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let starts_alternative = part.alternative.is_none() && part.media_type == "multipart/alternative";
        let mut alternative = if starts_alternative { Some(part.path.clone()) } else { part.alternative };
        let mut of_report = part.of_report || part.media_type == "multipart/report";
        for (at, piece) in pieces.into_iter().enumerate() {
            if self.seen >= MAX_PARTS {
                return;
            }
            let path = if part.path.is_empty() { at.to_string() } else { format!("{}.{at}", part.path) };
            let entity = split_header(piece, false);
            let mut child = Part::new(&entity.fields, entity.body, path, default);
            let boundary = child.kind.get("boundary").filter(|boundary| !boundary.is_empty());
            if child.media_type.starts_with("multipart/")
                && boundary.is_some_and(|own| part.kind.get("boundary") == Some(own))
            {
                // It took its parts' boundary from what is around it: they follow as its siblings.
                if child.media_type == "multipart/alternative" {
                    alternative = alternative.or(Some(child.path));
                }
                of_report |= child.media_type == "multipart/report";
                continue;
            }
            child.alternative.clone_from(&alternative);
            child.of_report = of_report;
            self.visit(child, depth + 1);
        }
    }
}

/// The boundary that a body shows: its first line of two hyphens and a word that a header block follows.
fn boundary_of(body: &[u8]) -> Option<&[u8]> {
    let mut rest = &body[..body.len().min(MAX_SEARCH)];
    while !rest.is_empty() {
        let (line, tail) = first_line(rest);
        rest = tail;
        let Some(boundary) = line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end) else { continue };
        let (next, _) = first_line(tail);
        let header = next.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        if header && !boundary.is_empty() && boundary.len() <= 200 {
            return Some(boundary);
        }
    }
    None
}

/// The first `max` pieces between lines of `boundary`; the last may lack its end.
fn split<'a>(body: &'a [u8], boundary: &[u8], max: usize) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let boundary = boundary.trim_ascii();
    if boundary.is_empty() || max == 0 {
        return pieces;
    }
    let delimiter = [b"--", boundary].concat();
    let mut start = None;
    for at in memmem::find_iter(body, &delimiter) {
        if at > 0 && body[at - 1] != b'\n' {
            continue;
        }
        let (end, _) = first_line(&body[at + delimiter.len()..]);
        let Some(last) = line_end(end) else { continue };
        if let Some(start) = start {
            pieces.push(without_line_end(&body[start..at.max(start)]));
            if pieces.len() == max {
                return pieces;
            }
        }
        if last {
            return pieces;
        }
        let after = at + delimiter.len();
        start = Some(memchr::memchr(b'\n', &body[after..]).map_or(body.len(), |end| after + end + 1));
    }
    if let Some(start) = start
        && start < body.len()
    {
        pieces.push(&body[start..]);
    }
    pieces
}

/// What stands after a boundary on its line: nothing, or the hyphens of the last one. Otherwise it is another boundary.
fn line_end(rest: &[u8]) -> Option<bool> {
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Some(false);
    }
    let after = rest.strip_prefix(b"--")?;
    let more = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(byte);
    (!after.first().is_some_and(more)).then_some(true)
}

/// The line end before a boundary belongs to the boundary; an empty piece has none of its own.
fn without_line_end(piece: &[u8]) -> &[u8] {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    piece.strip_suffix(b"\r").unwrap_or(piece)
}
