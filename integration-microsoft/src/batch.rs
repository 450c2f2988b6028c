//! Answers of `$batch`. Source: <https://learn.microsoft.com/graph/json-batching>.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// What one batch may hold.
pub(crate) const LARGEST: usize = 20;

/// One inner answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Inner {
    /// Which call it answers: the number that was its id. The order means nothing.
    pub(crate) index: usize,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// JSON as it came, or the decoded bytes of anything else.
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Answers {
    responses: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: Value,
    status: u16,
    #[serde(default)]
    headers: Option<HashMap<String, Value>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// Splits a batch answer. Parts that make no sense are left out: their calls count as unanswered. `None` if the answer
/// is no batch's at all.
pub(crate) fn parse(body: &[u8]) -> Option<Vec<Inner>> {
    let answers: Answers = serde_json::from_slice(body).ok()?;
    Some(answers.responses.iter().filter_map(|part| inner(part.get())).collect())
}

fn inner(part: &str) -> Option<Inner> {
    let answer: Answer<'_> = serde_json::from_str(part).ok()?;
    let index = match &answer.id {
        Value::String(text) => text.parse().ok()?,
        number => usize::try_from(number.as_u64()?).ok()?,
    };
    let status = StatusCode::from_u16(answer.status).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers.unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            // A header map holds so many names at most; no real answer comes near.
            let _ = headers.try_append(name, value);
        }
    }
    Some(Inner { index, status, headers, body: content(answer.body) })
}

/// What is not JSON comes as a text in base64.
fn content(body: Option<&RawValue>) -> Bytes {
    let json = body.map(RawValue::get).unwrap_or_default();
    if !json.starts_with('"') {
        return Bytes::copy_from_slice(json.as_bytes());
    }
    let Ok(text) = serde_json::from_str::<String>(json) else { return Bytes::new() };
    let letters: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(letters).map_or_else(|_| Bytes::from(text), Bytes::from)
}

#[cfg(test)]
mod tests;
