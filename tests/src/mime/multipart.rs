//! Dividing a multipart body at its boundary.

use bytes::Bytes;

/// The parts between delimiter lines, at most `limit`; the text before the first and after the closing one is dropped.
///
/// A missing closing delimiter ends the last part at the end of the body. A line that only begins with the
/// boundary (a nested one that shares its beginning) divides nothing.
pub fn split(body: &Bytes, boundary: &[u8], limit: usize) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let end = body[at..].iter().position(|b| *b == b'\n').map_or(body.len(), |n| at + n + 1);
        if let Some(closing) = delimiter(&body[at..end], boundary) {
            if let Some(start) = open.take() {
                parts.push(body.slice(start..before_line_end(body, start, at)));
            }
            if closing || parts.len() >= limit {
                return parts;
            }
            open = Some(end);
        }
        at = end;
    }
    if let Some(start) = open.filter(|start| *start < body.len()) {
        parts.push(body.slice(start..));
    }
    parts
}

/// Whether the line is a delimiter, and then whether the closing one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn before_line_end(body: &[u8], start: usize, at: usize) -> usize {
    let part = &body[start..at];
    let cut = if part.ends_with(b"\r\n") { 2 } else { usize::from(part.ends_with(b"\n")) };
    at - cut
}
