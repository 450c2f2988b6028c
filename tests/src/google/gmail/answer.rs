//! Answers and refusals in the service's own shapes.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::google::call::ApiAnswer;

pub(super) type Answered = Result<ApiAnswer, Refusal>;

/// Why a call is not done. Boxed, because it travels through many results.
#[derive(Debug)]
pub(super) struct Refusal(Box<Body>);

#[derive(Debug)]
enum Body {
    Html(StatusCode),
    Json(StatusCode, Value),
}

pub(super) fn json(status: StatusCode, value: &Value) -> ApiAnswer {
    answer(status, "application/json; charset=UTF-8", Bytes::from(value.to_string()))
}

pub(super) fn empty(status: StatusCode) -> ApiAnswer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

pub(super) fn answer(status: StatusCode, content_type: &str, body: Bytes) -> ApiAnswer {
    let mut response = empty(status);
    *response.body_mut() = body;
    if let Ok(value) = header::HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

impl Refusal {
    fn new(status: StatusCode, message: &str, domain: &str, reason: &str, rpc: &str) -> Self {
        let error = json!({"code": status.as_u16(), "message": message, "status": rpc,
            "errors": [{"message": message, "domain": domain, "reason": reason}]});
        Self(Box::new(Body::Json(status, json!({ "error": error }))))
    }

    fn with_details(mut self, details: Value) -> Self {
        if let Body::Json(_, body) = &mut *self.0 {
            body["error"]["details"] = json!([details]);
        }
        self
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "global", "invalidArgument", "INVALID_ARGUMENT")
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "global", "badRequest", "INVALID_ARGUMENT")
    }

    pub(super) fn failed_precondition(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "global", "failedPrecondition", "FAILED_PRECONDITION")
    }

    pub(super) fn not_found() -> Self {
        let message = "Requested entity was not found.";
        Self::new(StatusCode::NOT_FOUND, message, "global", "notFound", "NOT_FOUND")
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, message, "global", "aborted", "ABORTED")
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message, "global", "forbidden", "PERMISSION_DENIED")
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials.";
        Self::new(StatusCode::UNAUTHORIZED, message, "global", "authError", "UNAUTHENTICATED")
    }

    pub(super) fn missing_scope(method: &str) -> Self {
        let message = "Request had insufficient authentication scopes.";
        Self::new(StatusCode::FORBIDDEN, message, "global", "insufficientPermissions", "PERMISSION_DENIED")
            .with_details(json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com",
                "metadata": {"service": "gmail.googleapis.com", "method": method}}))
    }

    pub(super) fn not_imitated(method: &str) -> Self {
        let message = format!("The sandbox does not imitate {method}.");
        Self::new(StatusCode::NOT_IMPLEMENTED, &message, "global", "notImplemented", "UNIMPLEMENTED")
    }

    pub(super) fn too_many_concurrent() -> Self {
        let message = "Too many concurrent requests for user";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message, "usageLimits", "rateLimitExceeded", "RESOURCE_EXHAUSTED")
    }

    pub(super) fn retry_after(until: DateTime<Utc>) -> Self {
        let until = until.to_rfc3339_opts(SecondsFormat::Millis, true);
        let message = format!("User-rate limit exceeded.  Retry after {until}");
        Self::new(StatusCode::TOO_MANY_REQUESTS, &message, "usageLimits", "rateLimitExceeded", "RESOURCE_EXHAUSTED")
    }

    pub(super) fn user_rate_limit() -> Self {
        let message = "User Rate Limit Exceeded";
        let error = json!({"code": 403, "message": message,
            "errors": [{"domain": "usageLimits", "reason": "userRateLimitExceeded", "message": message}]});
        Self(Box::new(Body::Json(StatusCode::FORBIDDEN, json!({ "error": error }))))
    }

    /// `limit` is the quota's name as consoles show it, `scope` what it is counted by.
    pub(super) fn quota_exceeded(limit: &str, value: u64, app: &str) -> Self {
        let message = format!(
            "Quota exceeded for quota metric 'Queries' and limit '{limit}' of service 'gmail.googleapis.com' \
             for consumer '{app}'."
        );
        Self::new(StatusCode::FORBIDDEN, &message, "usageLimits", "rateLimitExceeded", "PERMISSION_DENIED")
            .with_details(json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com", "metadata": {"service": "gmail.googleapis.com", "consumer": app,
                "quota_metric": "gmail.googleapis.com/default_queries", "quota_limit": limit,
                "quota_limit_value": value.to_string()}}))
    }

    /// The front end's page for an address that leads nowhere.
    pub(super) fn no_such_page() -> Self {
        Self(Box::new(Body::Html(StatusCode::NOT_FOUND)))
    }

    /// The front end's page for a body over the size limit.
    pub(super) fn too_large() -> Self {
        Self(Box::new(Body::Html(StatusCode::PAYLOAD_TOO_LARGE)))
    }

    pub(super) fn into_answer(self) -> ApiAnswer {
        match *self.0 {
            Body::Json(status, value) => json(status, &value),
            Body::Html(status) => {
                let title = format!("Error {} ({})", status.as_u16(), status.canonical_reason().unwrap_or_default());
                let page = format!("<!DOCTYPE html><html lang=en><title>{title}</title><p>{title}</html>");
                answer(status, "text/html; charset=UTF-8", Bytes::from(page))
            }
        }
    }
}
