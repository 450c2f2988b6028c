//! Answers in Google's forms.

use http::{
    StatusCode,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::ApiAnswer;
pub(super) use crate::answers::{document, escape, json, page, redirect, uncached};

/// The token endpoint's way of saying no.
pub(super) fn refused(status: StatusCode, error: &str, description: &str) -> ApiAnswer {
    uncached(json(status, &json!({"error": error, "error_description": description})))
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
