//! Answers in Google's forms.

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use url::Url;

use super::ApiAnswer;

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &Value) -> ApiAnswer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    answer
}

/// An answer that holds tokens, which nobody may keep.
pub(super) fn uncached(mut answer: ApiAnswer) -> ApiAnswer {
    let value = HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate");
    answer.headers_mut().insert(CACHE_CONTROL, value);
    answer
}

/// The token endpoint's way of saying no.
pub(super) fn refused(status: StatusCode, error: &str, description: &str) -> ApiAnswer {
    uncached(json(status, &json!({"error": error, "error_description": description})))
}

/// A page.
pub(super) fn page(status: StatusCode, html: String) -> ApiAnswer {
    let mut answer = Response::new(Bytes::from(html));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    uncached(answer)
}

/// Sends the browser on.
pub(super) fn redirect(to: &Url) -> ApiAnswer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // A URL is ASCII without control characters, hence a valid header.
    let location = HeaderValue::from_str(to.as_str()).unwrap_or_else(|_| HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, location);
    uncached(answer)
}

/// The answer of every API to a missing, unknown or expired access token.
pub(super) fn unauthenticated() -> ApiAnswer {
    let message = "Request had invalid authentication credentials.";
    let mut answer = api_error(StatusCode::UNAUTHORIZED, message, "authError", "UNAUTHENTICATED");
    let challenge = HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

/// The error body of the APIs, in both of its overlapping shapes.
pub(super) fn api_error(status: StatusCode, message: &str, reason: &str, name: &str) -> ApiAnswer {
    let mut cause = json!({"message": message, "domain": "global", "reason": reason});
    if reason == "authError" {
        cause["location"] = "Authorization".into();
        cause["locationType"] = "header".into();
    }
    json(status, &json!({"error": {"code": status.as_u16(), "message": message, "errors": [cause], "status": name}}))
}

/// What the front end answers where no API is.
pub(super) fn nowhere() -> ApiAnswer {
    page(StatusCode::NOT_FOUND, "<!DOCTYPE html><title>Error 404 (Not Found)</title>".to_owned())
}
