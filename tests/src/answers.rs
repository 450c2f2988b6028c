//! Answers in forms that every service uses.

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION},
};
use serde_json::Value;
use url::Url;

use crate::call::ApiAnswer;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> ApiAnswer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    answer
}

/// An answer that holds tokens, which nobody may keep.
pub(crate) fn uncached(mut answer: ApiAnswer) -> ApiAnswer {
    let value = HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate");
    answer.headers_mut().insert(CACHE_CONTROL, value);
    answer
}

/// A page.
pub(crate) fn page(status: StatusCode, html: String) -> ApiAnswer {
    let mut answer = Response::new(Bytes::from(html));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    uncached(answer)
}

/// Sends the browser on.
pub(crate) fn redirect(to: &Url) -> ApiAnswer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // A URL is ASCII without control characters, hence a valid header.
    let location = HeaderValue::from_str(to.as_str()).unwrap_or_else(|_| HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, location);
    uncached(answer)
}

/// A whole page.
pub(crate) fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n{body}\n</body></html>\n"
    )
}

/// Text as it stands in a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The answer's header, to be set by name.
pub(crate) fn with_header(mut answer: ApiAnswer, name: http::HeaderName, value: &str) -> ApiAnswer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
    answer
}
