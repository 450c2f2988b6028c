//! A small MIME tree builder, written from RFC 5322, 2045–2047, 2231 and 2046 alone.
//!
//! The sandbox serves message trees with it, so it shares no code with the parser that core brings to
//! real mail: where both agree on a message, two readings of the standards agree. It accepts any bytes:
//! nothing here fails or panics, what cannot be understood is kept as text or as opaque bytes. Work grows
//! linearly with the message; depth and number of parts are capped.

mod charset;
mod encoding;
mod header;
mod multipart;
mod param;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

pub use self::charset::decode as decode_charset;
pub use self::encoding::Encoding;
pub use self::header::{Header, addresses, decode_words, parse_headers};
pub use self::multipart::split;
pub use self::param::{Parametrised, parse_parametrised};

/// Parts nested deeper than this are kept as opaque bytes.
pub const MAX_DEPTH: usize = 24;
/// Parts past this number are left out of the tree.
pub const MAX_PARTS: usize = 4_000;

/// One node of a message: the whole message, a part, or the message inside a `message/rfc822` part.
#[derive(Clone, Debug)]
pub struct Part {
    /// The part's own headers, in their order.
    pub headers: Vec<Header>,
    /// Media type, lower case, never empty.
    pub mime_type: String,
    /// Parameters of `Content-Type`, names in lower case.
    pub params: BTreeMap<String, String>,
    /// `Content-Disposition`, if there is one.
    pub disposition: Option<Parametrised>,
    /// How the body is encoded for transport.
    pub encoding: Encoding,
    /// The body as it stands in the message, still encoded.
    pub body: Bytes,
    /// Parts of a multipart, or the one message inside a `message/rfc822` part.
    pub children: Vec<Self>,
}

/// Builds the tree of a raw message.
pub fn parse(raw: &Bytes) -> Part {
    let mut budget = MAX_PARTS;
    build(raw, 0, "text/plain", &mut budget)
}

fn build(raw: &Bytes, depth: usize, default_type: &str, budget: &mut usize) -> Part {
    *budget = budget.saturating_sub(1);
    let (headers, start) = parse_headers(raw);
    let content_type = find(&headers, "content-type").map(|h| parse_parametrised(&h.raw));
    let (mime_type, params) = match content_type {
        Some(given) if well_formed(&given.value) => (given.value, given.params),
        Some(given) => ("text/plain".to_owned(), given.params),
        None => (default_type.to_owned(), BTreeMap::new()),
    };
    let disposition = find(&headers, "content-disposition").map(|h| parse_parametrised(&h.raw));
    let encoding = find(&headers, "content-transfer-encoding").map(|h| Encoding::parse(&h.raw)).unwrap_or_default();
    let body = raw.slice(start.min(raw.len())..);
    let mut part = Part { headers, mime_type, params, disposition, encoding, body, children: Vec::new() };
    part.fill(depth, budget);
    part
}

impl Part {
    fn fill(&mut self, depth: usize, budget: &mut usize) {
        if self.is_multipart() {
            self.fill_multipart(depth, budget);
        } else if self.mime_type == "message/rfc822" && depth < MAX_DEPTH && *budget > 0 {
            let inner = Bytes::from(self.decoded().into_owned());
            let inner = if self.encoding == Encoding::Identity { self.body.clone() } else { inner };
            self.children.push(build(&inner, depth + 1, "text/plain", budget));
        }
    }

    fn fill_multipart(&mut self, depth: usize, budget: &mut usize) {
        let boundary = self.params.get("boundary").map(|b| b.trim_end().to_owned()).unwrap_or_default();
        let pieces = if boundary.is_empty() || depth >= MAX_DEPTH {
            Vec::new()
        } else {
            split(&self.body, boundary.as_bytes(), *budget)
        };
        let default_type = if self.mime_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        for piece in pieces {
            if *budget == 0 {
                break;
            }
            self.children.push(build(&piece, depth + 1, default_type, budget));
        }
        if self.children.is_empty() {
            // A multipart that cannot be divided would otherwise show nothing at all.
            self.mime_type = if depth >= MAX_DEPTH { "application/octet-stream" } else { "text/plain" }.to_owned();
        }
    }

    /// Whether the part is a multipart container.
    pub fn is_multipart(&self) -> bool {
        self.mime_type.starts_with("multipart/")
    }

    /// The first header of that name, decoded; names compare without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name).map(|h| h.value.as_str())
    }

    /// The file name, from `Content-Disposition` or else from `Content-Type`; empty if neither gives one.
    pub fn file_name(&self) -> &str {
        let disposition = self.disposition.as_ref().and_then(|d| d.params.get("filename"));
        disposition.or_else(|| self.params.get("name")).map_or("", String::as_str)
    }

    /// Whether the part says it is an attachment or carries a file name.
    pub fn is_attachment(&self) -> bool {
        !self.file_name().is_empty() || self.disposition.as_ref().is_some_and(|d| d.value == "attachment")
    }

    /// The body without its transfer encoding.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        self.encoding.decode(&self.body)
    }

    /// How long [`Part::decoded`] is; needs no memory.
    pub fn decoded_len(&self) -> usize {
        self.encoding.decoded_len(&self.body)
    }

    /// The body as text, if its character set is known.
    pub fn text(&self) -> Option<String> {
        let label = self.params.get("charset").map_or("us-ascii", String::as_str);
        decode_charset(label, &self.decoded())
    }

    /// This part and all below it, parents first.
    pub fn walk(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(part) = open.pop() {
            found.push(part);
            open.extend(part.children.iter().rev());
        }
        found
    }
}

fn find<'a>(headers: &'a [Header], name: &str) -> Option<&'a Header> {
    headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))
}

fn well_formed(mime_type: &str) -> bool {
    let token =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b));
    mime_type.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}
