//! Answers and refusals in the service's own shapes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::ids::guid;
use crate::call::ApiAnswer;

pub(super) type Answered = Result<ApiAnswer, Refusal>;

/// Why a call is not done. Boxed, because it travels through many results.
#[derive(Debug)]
pub(super) struct Refusal(Box<Body>);

#[derive(Debug)]
struct Body {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
    html: bool,
}

pub(super) fn json(status: StatusCode, value: &Value) -> ApiAnswer {
    let content_type = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;\
                        charset=utf-8";
    answer(status, content_type, Bytes::from(value.to_string()))
}

pub(super) fn ok(value: &Value) -> ApiAnswer {
    json(StatusCode::OK, value)
}

pub(super) fn empty(status: StatusCode) -> ApiAnswer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

pub(super) fn answer(status: StatusCode, content_type: &str, body: Bytes) -> ApiAnswer {
    let mut response = empty(status);
    *response.body_mut() = body;
    put_header(&mut response, header::CONTENT_TYPE, content_type);
    response
}

/// Sets a header whose value may be anything; one that cannot stand in a header is left out.
pub(super) fn put_header(answer: &mut ApiAnswer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// How the members of an error are spelled, and what is left of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spelling {
    /// `innerError`.
    Camel,
    /// No body at all.
    Empty,
    /// `innererror`.
    Lower,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Body { status, code, message: message.into(), headers: Vec::new(), html: false }))
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "ErrorInvalidRequest", message)
    }

    pub(super) fn bad_query(message: impl Into<String>) -> Self {
        Self::new(400, "RequestBroker--ParseUri", message)
    }

    pub(super) fn malformed_id() -> Self {
        Self::new(400, "ErrorInvalidIdMalformed", "Id is malformed.")
    }

    pub(super) fn item_not_found() -> Self {
        Self::new(404, "ErrorItemNotFound", "The specified object was not found in the store.")
    }

    pub(super) fn no_such_segment(path: &str) -> Self {
        let last = path.rsplit('/').next().unwrap_or_default();
        Self::bad_request(format!("Resource not found for the segment '{last}'."))
    }

    pub(super) fn access_denied() -> Self {
        Self::new(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    }

    pub(super) fn invalid_user(who: &str) -> Self {
        Self::new(404, "ErrorInvalidUser", format!("The requested user '{who}' is invalid."))
    }

    pub(super) fn not_enabled() -> Self {
        let message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise.";
        Self::new(404, "MailboxNotEnabledForRESTAPI", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "RequestEntityTooLarge", "The request entity is larger than limits defined by the server.")
    }

    pub(super) fn conflict() -> Self {
        let message = "The send or update operation could not be performed because the change key passed in the \
                       request does not match the current change key for the item.";
        Self::new(412, "ErrorIrresolvableConflict", message)
    }

    pub(super) fn too_many_concurrent() -> Self {
        let message = "Application is over its MailboxConcurrency limit.";
        Self::new(429, "ApplicationThrottled", message)
    }

    pub(super) fn too_many_requests(seconds: i64) -> Self {
        Self::new(429, "TooManyRequests", "Too many requests.").with_header(header::RETRY_AFTER, seconds.to_string())
    }

    pub(super) fn not_imitated(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("The sandbox does not imitate {what}."))
    }

    /// The gateway's own page, which is no JSON.
    pub(super) fn gateway(status: u16) -> Self {
        let mut refusal = Self::new(status, "gateway", "");
        refusal.0.html = true;
        refusal
    }

    pub(super) fn into_answer(self, request: &Request<Bytes>, spelling: Spelling, number: u64) -> ApiAnswer {
        let Body { status, code, message, headers, html } = *self.0;
        let mut response = if html {
            let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
            let page = format!("<html><head><title>{title}</title></head><body><center>{title}</center></body></html>");
            answer(status, "text/html; charset=us-ascii", Bytes::from(page))
        } else if spelling == Spelling::Empty {
            empty(status)
        } else {
            let inner = if spelling == Spelling::Camel { "innerError" } else { "innererror" };
            let ids = json!({"date": "2026-01-05T08:00:00", "request-id": request_id(number),
                "client-request-id": client_request_id(request).unwrap_or_else(|| request_id(number))});
            json(status, &json!({"error": {"code": code, "message": message, inner: ids}}))
        };
        for (name, value) in headers {
            put_header(&mut response, name, &value);
        }
        response
    }
}

/// Names the exchange, as every answer does.
pub(super) fn identify(response: &mut ApiAnswer, request: &Request<Bytes>, number: u64) {
    put_header(response, HeaderName::from_static("request-id"), &request_id(number));
    if let Some(own) = client_request_id(request) {
        put_header(response, HeaderName::from_static("client-request-id"), &own);
    }
}

fn request_id(number: u64) -> String {
    guid(&format!("request {number}"))
}

fn client_request_id(request: &Request<Bytes>) -> Option<String> {
    request.headers().get("client-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned)
}
