//! Several calls in one request.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use super::answer::{Refusal, answer as respond};
use super::settings::Bearer;
use super::state::checksum;
use super::{Gmail, methods};
use crate::google::call::{ApiAnswer, ApiCall};
use crate::mime::{self, Header};

const MOST_CALLS: usize = 100;

/// One part of a batch: its id, and the call in it or why there is none.
struct Inner {
    content_id: Option<String>,
    request: Result<Request<Bytes>, Refusal>,
}

/// How many calls a batch holds.
pub(super) fn count(request: &Request<Bytes>) -> u32 {
    parts(request).map_or(1, |parts| u32::try_from(parts.len().max(1)).unwrap_or(u32::MAX))
}

/// Answers a batch; at most `slots` of its calls run, the others are told that too many run at once.
pub(super) fn answer(gmail: &Gmail, call: &ApiCall<'_>, slots: u32) -> ApiAnswer {
    try_answer(gmail, call, slots).unwrap_or_else(Refusal::into_answer)
}

fn try_answer(gmail: &Gmail, call: &ApiCall<'_>, slots: u32) -> Result<ApiAnswer, Refusal> {
    if call.request.method() != Method::POST {
        return Err(Refusal::no_such_page());
    }
    let parts = parts(call.request)?;
    if parts.is_empty() {
        return Err(Refusal::bad_request("Failed to parse batch request, error: 0 items"));
    }
    if parts.len() > MOST_CALLS {
        return Err(Refusal::bad_request(&format!("The batch request exceeds the limit of {MOST_CALLS} calls")));
    }
    gmail.lock().quota.note_batch(parts.len() as u64);
    let mut inner: Vec<Inner> = parts.iter().map(|part| read_part(part, call.request)).collect();
    if let Some(seed) = gmail.settings().shuffle {
        let order = |i: &Inner| checksum(format!("{seed}/{:?}", i.content_id).as_bytes());
        inner.sort_by_cached_key(order);
    }
    let boundary = format!("batch_{:016x}", checksum(call.request.body()));
    let mut out = BytesMut::new();
    for (position, one) in inner.into_iter().enumerate() {
        let admitted = u32::try_from(position).is_ok_and(|position| position < slots);
        let answer = one.request.map_or_else(Refusal::into_answer, |request| run(gmail, call, &request, admitted));
        write_part(&mut out, &boundary, one.content_id.as_deref(), &answer);
    }
    out.put_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(respond(StatusCode::OK, &format!("multipart/mixed; boundary={boundary}"), out.freeze()))
}

fn run(gmail: &Gmail, outer: &ApiCall<'_>, request: &Request<Bytes>, admitted: bool) -> ApiAnswer {
    let answer = match bearer(gmail, outer, request) {
        Err(refusal) => refusal.into_answer(),
        Ok(own) => {
            let call = match &own {
                Some(own) => {
                    ApiCall { account: &own.account, app: &own.app, scopes: &own.scopes, now: outer.now, request }
                }
                None => ApiCall { request, ..outer.clone() },
            };
            if admitted { gmail.answer_one(&call) } else { gmail.too_many_concurrent(&call) }
        }
    };
    if let Some(validate) = &gmail.settings().validate {
        Arc::clone(validate)(request, &answer);
    }
    answer
}

/// Whom the call stands for, if it brings a token of its own.
fn bearer(gmail: &Gmail, outer: &ApiCall<'_>, request: &Request<Bytes>) -> Result<Option<Bearer>, Refusal> {
    let own = request.headers().get(header::AUTHORIZATION);
    if own.is_none() || own == outer.request.headers().get(header::AUTHORIZATION) {
        return Ok(None);
    }
    let token = own.and_then(|v| v.to_str().ok()).and_then(|v| v.split_once(' ')).map_or("", |(_, token)| token.trim());
    let resolved = gmail.settings().bearer.as_ref().and_then(|resolve| resolve(token));
    resolved.map(Some).ok_or_else(Refusal::unauthenticated)
}

fn parts(request: &Request<Bytes>) -> Result<Vec<Bytes>, Refusal> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let content_type = mime::parse_parametrised(content_type);
    let boundary = content_type.params.get("boundary").filter(|_| content_type.value.starts_with("multipart/"));
    let boundary = boundary.ok_or_else(|| Refusal::bad_request("Failed to parse batch request, error: no boundary"))?;
    Ok(mime::split(request.body(), boundary.as_bytes(), MOST_CALLS + 1))
}

fn read_part(part: &Bytes, outer: &Request<Bytes>) -> Inner {
    let (headers, start) = mime::parse_headers(part);
    let find = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    let content_id = find("content-id").map(|h| h.raw.clone());
    let kind = find("content-type").map(|h| mime::parse_parametrised(&h.raw).value);
    let request = if kind.as_deref() == Some("application/http") {
        read_call(part.slice(start..), outer)
    } else {
        Err(Refusal::bad_request("Failed to parse batch request, error: part is not application/http"))
    };
    Inner { content_id, request }
}

fn read_call(part: Bytes, outer: &Request<Bytes>) -> Result<Request<Bytes>, Refusal> {
    let wrong = |what: &str| Refusal::bad_request(&format!("Failed to parse batch request, error: {what}"));
    let blank = part.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let part = part.slice(blank..);
    let line_end = part.iter().position(|b| *b == b'\n').map_or(part.len(), |at| at + 1);
    let line = std::str::from_utf8(&part[..line_end]).map_err(|_| wrong("request line"))?;
    let mut words = line.split_whitespace();
    let method = words.next().and_then(|m| m.parse::<Method>().ok()).ok_or_else(|| wrong("method"))?;
    let target = words.next().filter(|t| t.starts_with('/')).ok_or_else(|| wrong("the address must be a path"))?;
    let uri: Uri = target.parse().map_err(|_| wrong("address"))?;
    if !uri.path().starts_with("/gmail/v1/") {
        return Err(wrong("only calls of this API, and no uploads, can be in a batch"));
    }
    let (headers, start) = mime::parse_headers(&part[line_end..]);
    let body = body(part.slice(line_end + start..), &headers);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    // What is said of the whole batch holds for each call, except for its content.
    for (name, value) in outer.headers().iter().filter(|(name, _)| !name.as_str().starts_with("content-")) {
        request.headers_mut().insert(name, value.clone());
    }
    for own in headers {
        if let (Ok(name), Ok(value)) = (own.name.parse::<HeaderName>(), HeaderValue::from_str(&own.raw)) {
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}

fn body(rest: Bytes, headers: &[Header]) -> Bytes {
    let length = headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    match length.and_then(|h| h.raw.parse::<usize>().ok()) {
        Some(length) => rest.slice(..length.min(rest.len())),
        None => rest,
    }
}

fn write_part(out: &mut BytesMut, boundary: &str, content_id: Option<&str>, answer: &ApiAnswer) {
    out.put_slice(format!("--{boundary}\r\nContent-Type: application/http\r\n").as_bytes());
    if let Some(id) = content_id {
        let bare = id.trim().trim_start_matches('<').trim_end_matches('>');
        out.put_slice(format!("Content-ID: <response-{bare}>\r\n").as_bytes());
    }
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    out.put_slice(format!("\r\nHTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in answer.headers() {
        out.put_slice(methods::title_case(name.as_str()).as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    let body = answer.body();
    if !body.is_empty() {
        out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.put_slice(b"\r\n");
    out.put_slice(body);
    out.put_slice(b"\r\n");
}
