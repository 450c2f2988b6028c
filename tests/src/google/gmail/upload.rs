//! The ways in which a message reaches the service: JSON, media, multipart and resumable uploads.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Context;
use super::answer::{Answered, Refusal, empty};
use super::message::{body, parse_body};
use super::methods::Op;
use super::send;
use super::state::{State, parse_id};
use crate::google::call::ApiAnswer;
use crate::mime;

/// Most bytes of a message that is sent or drafted.
const MOST_SENT: usize = 36_700_160;
/// Most bytes of a message that is put into a mailbox.
const MOST_INSERTED: usize = 157_286_400;

const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A message that was received whole, and what was said about it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) raw: Bytes,
    pub(super) metadata: Value,
}

/// A whole message, or an answer on the way to one.
#[derive(Debug)]
pub(super) enum Received {
    Answer(ApiAnswer),
    Whole(Content),
}

/// A resumable upload under way.
#[derive(Debug)]
pub(super) struct Session {
    account: String,
    method: &'static str,
    metadata: Value,
    bytes: Vec<u8>,
}

/// Send, insert and import.
pub(super) fn accept(state: &mut State, context: &Context<'_>) -> Answered {
    let content = match content(state, context, None)? {
        Received::Answer(answer) => return Ok(answer),
        Received::Whole(content) => content,
    };
    let thread = content.metadata.get("threadId").and_then(Value::as_str).filter(|t| !t.is_empty());
    let thread = thread.map(parse_id).transpose()?;
    if thread.is_some_and(|thread| !state.account(context.account).threads.contains_key(&thread)) {
        return Err(Refusal::not_found());
    }
    match context.matched.spec.op {
        Op::MessagesSend => send::send(state, context, &content.raw, thread),
        _ => send::insert(state, context, content, thread),
    }
}

/// Reads the message out of the request; `inside` is the field of a JSON body that holds it.
pub(super) fn content(state: &mut State, context: &Context<'_>, inside: Option<&str>) -> Result<Received, Refusal> {
    let limit = match context.matched.spec.op {
        Op::MessagesInsert | Op::MessagesImport => MOST_INSERTED,
        _ => MOST_SENT,
    };
    let received =
        if context.matched.upload { uploaded(state, context, inside, limit)? } else { plain(context, inside)? };
    match received {
        Received::Whole(content) if content.raw.len() > limit => Err(Refusal::too_large()),
        received => Ok(received),
    }
}

fn plain(context: &Context<'_>, inside: Option<&str>) -> Result<Received, Refusal> {
    let metadata = inner(body(context)?, inside);
    let raw = metadata.get("raw").and_then(Value::as_str).unwrap_or_default();
    if raw.is_empty() {
        return Err(Refusal::invalid(
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required",
        ));
    }
    let packed: Vec<u8> = raw.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let raw =
        URL_SAFE_ANY.decode(packed).map_err(|_| Refusal::invalid("Invalid value at 'raw', Base64 decoding failed"))?;
    Ok(Received::Whole(Content { raw: Bytes::from(raw), metadata }))
}

fn inner(body: Value, inside: Option<&str>) -> Value {
    match inside {
        Some(field) => body.get(field).cloned().unwrap_or_else(|| json!({})),
        None => body,
    }
}

fn uploaded(state: &mut State, context: &Context<'_>, inside: Option<&str>, limit: usize) -> Result<Received, Refusal> {
    let headers = context.request.headers();
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    match context.matched.param("uploadType") {
        Some("media") => {
            message_type(content_type)?;
            Ok(Received::Whole(Content { raw: context.request.body().clone(), metadata: json!({}) }))
        }
        Some("multipart") => related(context.request.body(), content_type, inside),
        Some("resumable") if context.matched.param("upload_id").is_some() => resume(state, context, limit),
        Some("resumable") => begin(state, context, inside),
        other => Err(Refusal::bad_request(&format!("Unknown uploadType {}", other.unwrap_or("(none)")))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn message_type(content_type: &str) -> Result<(), Refusal> {
    let given = mime::parse_parametrised(content_type).value;
    if given.starts_with("message/") {
        return Ok(());
    }
    Err(Refusal::bad_request(&format!("Media type '{given}' is not supported. Valid media types: [message/*]")))
}

fn related(body: &Bytes, content_type: &str, inside: Option<&str>) -> Result<Received, Refusal> {
    let content_type = mime::parse_parametrised(content_type);
    let boundary = content_type.params.get("boundary").filter(|_| content_type.value.starts_with("multipart/"));
    let boundary = boundary.ok_or_else(|| Refusal::bad_request("Missing boundary in multipart upload"))?;
    let parts = mime::split(body, boundary.as_bytes(), 3);
    let [metadata, media] = &parts[..] else {
        return Err(Refusal::bad_request("A multipart upload has exactly two parts"));
    };
    let (_, start) = mime::parse_headers(metadata);
    let metadata = inner(parse_body(&metadata[start..])?, inside);
    let (headers, start) = mime::parse_headers(media);
    let given = headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-type"));
    message_type(given.map_or("", |h| h.raw.as_str()))?;
    Ok(Received::Whole(Content { raw: media.slice(start..), metadata }))
}

fn begin(state: &mut State, context: &Context<'_>, inside: Option<&str>) -> Result<Received, Refusal> {
    message_type(text(context.request.headers(), "x-upload-content-type"))?;
    let metadata = inner(body(context)?, inside);
    let id = format!("upload-{:08x}", state.next());
    let session =
        Session { account: context.account.to_owned(), method: context.matched.spec.id, metadata, bytes: Vec::new() };
    state.uploads.insert(id.clone(), session);
    let uri = context.request.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.authority().map_or_else(|| text(context.request.headers(), "host"), |a| a.as_str());
    let location = format!("{scheme}://{host}{}?uploadType=resumable&upload_id={id}", uri.path());
    let mut answer = empty(StatusCode::OK);
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(Received::Answer(answer))
}

fn resume(state: &mut State, context: &Context<'_>, limit: usize) -> Result<Received, Refusal> {
    let id = context.matched.param("upload_id").unwrap_or_default();
    let own = |s: &Session| s.account == context.account && s.method == context.matched.spec.id;
    let session = state.uploads.get_mut(id).filter(|s| own(s)).ok_or_else(Refusal::not_found)?;
    if context.request.method() == Method::DELETE {
        state.uploads.remove(id);
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        return Ok(Received::Answer(empty(status)));
    }
    let chunk = context.request.body();
    let range = text(context.request.headers(), "content-range");
    let total = match range.strip_prefix("bytes ").and_then(|r| r.split_once('/')) {
        Some((span, total)) => {
            let start = span.split('-').next().and_then(|s| s.parse::<usize>().ok());
            // Bytes that are here already may be sent again; a gap cannot be filled.
            if let Some(start) = start.filter(|start| *start <= session.bytes.len()) {
                session.bytes.truncate(start);
                session.bytes.extend_from_slice(chunk);
            }
            total.parse::<usize>().ok()
        }
        None => {
            session.bytes = chunk.to_vec();
            Some(chunk.len())
        }
    };
    if session.bytes.len() > limit {
        return Err(Refusal::too_large());
    }
    if total != Some(session.bytes.len()) {
        return Ok(Received::Answer(incomplete(session.bytes.len())));
    }
    let Some(session) = state.uploads.remove(id) else { return Err(Refusal::not_found()) };
    Ok(Received::Whole(Content { raw: Bytes::from(session.bytes), metadata: session.metadata }))
}

fn incomplete(stored: usize) -> ApiAnswer {
    let mut answer = empty(StatusCode::PERMANENT_REDIRECT);
    if let Some(range) = stored.checked_sub(1).and_then(|last| HeaderValue::from_str(&format!("bytes=0-{last}")).ok()) {
        answer.headers_mut().insert(header::RANGE, range);
    }
    answer
}
