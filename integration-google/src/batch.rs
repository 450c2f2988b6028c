//! Answers of the batch endpoint. Source: <https://developers.google.com/workspace/gmail/api/guides/batch>.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// One inner answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Inner {
    /// Which call it answers: the number in `<response-item-N>`. The order means nothing.
    pub(crate) index: usize,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Splits a batch answer in linear time, without copying bodies.
///
/// Parts that make no sense are left out, and so is a last part without the line that ends it: its calls count as
/// unanswered. `None` if the answer is no multipart at all.
pub(crate) fn parse(content_type: &str, body: &Bytes) -> Option<Vec<Inner>> {
    let delimiter = format!("--{}", boundary(content_type)?);
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        if text.strip_prefix(delimiter.as_bytes()).is_some_and(|rest| rest.is_empty() || rest == b"--") {
            parts.extend(begin.and_then(|begin| inner(&body.slice(begin..at))));
            begin = (text.len() == delimiter.len()).then_some(at + line.len());
        }
        at += line.len();
    }
    Some(parts)
}

fn boundary(content_type: &str) -> Option<&str> {
    if !content_type.trim_start().get(..10)?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let parameter = content_type.split(';').skip(1).map(str::trim_start).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    let bare = parameter.strip_prefix('"').map_or(parameter, |quoted| quoted.split('"').next().unwrap_or_default());
    Some(bare).filter(|boundary| !boundary.is_empty())
}

fn inner(part: &Bytes) -> Option<Inner> {
    let (outer, rest) = head(part)?;
    let id = outer.get("content-id")?.to_str().ok()?.trim();
    let id = id.strip_prefix('<').unwrap_or(id);
    let id = id.strip_suffix('>').unwrap_or(id);
    let index = id.strip_prefix("response-").unwrap_or(id).strip_prefix("item-")?.parse().ok()?;
    let line_end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&rest[..line_end]).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    let status = StatusCode::from_u16(words.next()?.parse().ok()?).ok()?;
    let (headers, body) = head(&rest.slice(line_end + 1..))?;
    let body = body.slice(..body.trim_ascii_end().len());
    Some(Inner { index, status, headers, body })
}

/// Headers up to the blank line, and what follows.
fn head(bytes: &Bytes) -> Option<(HeaderMap, Bytes)> {
    let mut headers = HeaderMap::new();
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let text = line.trim_ascii();
        if text.is_empty() {
            return Some((headers, bytes.slice(at..)));
        }
        let colon = text.iter().position(|byte| *byte == b':')?;
        let (name, value) = (text[..colon].trim_ascii(), text[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // A header map holds so many names at most; no real answer comes near.
            let _ = headers.try_append(name, value);
        }
    }
    // A part without a body ends right after its headers.
    Some((headers, Bytes::new()))
}

#[cfg(test)]
mod tests;
