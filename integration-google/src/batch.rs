//! Answers of the batch endpoint. Source: <https://developers.google.com/workspace/gmail/api/guides/batch>.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// One inner answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Inner {
    /// Which call it answers: the number in `<response-item-N>`.
    pub(crate) index: usize,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Splits a batch answer; parts that make no sense are left out, and their calls count as unanswered.
pub(crate) fn parse(content_type: &str, body: &Bytes) -> Vec<Inner> {
    let Some(boundary) = boundary(content_type) else { return Vec::new() };
    let delimiter = format!("--{boundary}");
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
    // A cut-off answer ends without its closing line: the last part may be cut too, and is not believed.
    parts
}

fn boundary(content_type: &str) -> Option<&str> {
    let (_, rest) = content_type.split_once("boundary=")?;
    let boundary = rest.strip_prefix('"').map_or_else(|| rest.split(';').next(), |quoted| quoted.split('"').next());
    boundary.map(str::trim).filter(|boundary| !boundary.is_empty())
}

fn inner(part: &Bytes) -> Option<Inner> {
    let (outer, rest) = head(part)?;
    let id = outer.get("content-id")?.to_str().ok()?;
    let index = id.trim_matches(['<', '>']).rsplit('-').next()?.parse().ok()?;
    let line_end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&rest[..line_end]).ok()?;
    let status = line.split_whitespace().nth(1)?.parse::<u16>().ok()?;
    let (headers, body) = head(&rest.slice(line_end + 1..))?;
    let body = body.slice(..body.trim_ascii_end().len());
    Some(Inner { index, status: StatusCode::from_u16(status).ok()?, headers, body })
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
            headers.append(name, value);
        }
    }
    // A part without a body ends right after its headers.
    Some((headers, Bytes::new()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::parse;

    const KIND: &str = "multipart/mixed; boundary=batch_XYZ";

    #[test]
    fn every_inner_status_is_seen_and_named_by_its_content_id() {
        let body = "--batch_XYZ\r\nContent-Type: application/http\r\nContent-ID: <response-item-1>\r\n\r\n\
HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n\r\n{\"error\":{}}\r\n\
--batch_XYZ\r\nContent-Type: application/http\r\nContent-ID: <response-item-0>\r\n\r\n\
HTTP/1.1 200 OK\r\n\r\n{\"id\":\"a\"}\r\n--batch_XYZ--\r\n";
        let parts = parse(KIND, &Bytes::from_static(body.as_bytes()));
        let seen: Vec<_> = parts.iter().map(|part| (part.index, part.status.as_u16(), part.body.clone())).collect();
        assert_eq!(seen, [(1, 429, Bytes::from("{\"error\":{}}")), (0, 200, Bytes::from("{\"id\":\"a\"}"))]);
    }

    #[test]
    fn a_cut_off_part_is_not_believed() {
        let body = "--batch_XYZ\r\nContent-ID: <response-item-0>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{\"id\":\"a";
        assert!(parse(KIND, &Bytes::from_static(body.as_bytes())).is_empty());
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(kind in ".{0,60}", body in proptest::collection::vec(any::<u8>(), 0..2000)) {
            parse(&kind, &Bytes::from(body.clone()));
            let mut framed = b"--batch_XYZ\r\nContent-ID: <response-item-0>\r\n\r\n".to_vec();
            framed.extend(body);
            framed.extend(b"\r\n--batch_XYZ--");
            parse(KIND, &Bytes::from(framed));
        }
    }
}
