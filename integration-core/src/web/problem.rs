//! What a page shows in place of what was asked for.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{host::Refusal, strings::Strings};
use crate::error::{Error, ErrorKind};

/// Why a request is not answered with its page. The pages' middleware makes the page of it, in the person's language.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Problem {
    BadRequest,
    Conflict,
    Failed,
    Forbidden,
    NoSuchMethod,
    NotFound,
    OtherSite,
    SignIn(Option<String>),
    StaleForm,
    TooLarge,
    Unavailable,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Forbidden | Self::OtherSite | Self::StaleForm => StatusCode::FORBIDDEN,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignIn(Some(_)) => StatusCode::SEE_OTHER,
            Self::SignIn(None) => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A stable lower-case word, for those who read no pages.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::NoSuchMethod => "no_such_method",
            Self::NotFound => "not_found",
            Self::OtherSite => "other_site",
            Self::SignIn(_) => "sign_in",
            Self::StaleForm => "stale_form",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }

    /// Title and text.
    pub(super) fn told<'a>(&self, strings: &'a Strings) -> [&'a str; 2] {
        match self {
            Self::BadRequest | Self::NoSuchMethod => [&strings.bad_request_title, &strings.bad_request_text],
            Self::Conflict => [&strings.conflict_title, &strings.conflict_text],
            Self::Failed => [&strings.failed_title, &strings.failed_text],
            Self::Forbidden => [&strings.forbidden_title, &strings.forbidden_text],
            Self::NotFound => [&strings.not_found_title, &strings.not_found_text],
            Self::OtherSite => [&strings.other_site_title, &strings.other_site_text],
            Self::SignIn(_) => [&strings.sign_in_title, &strings.sign_in_text],
            Self::StaleForm => [&strings.stale_form_title, &strings.stale_form_text],
            Self::TooLarge => [&strings.too_large_title, &strings.too_large_text],
            Self::Unavailable => [&strings.unavailable_title, &strings.unavailable_text],
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Self::SignIn(Some(location)) = &self {
            match HeaderValue::from_str(location) {
                Ok(location) => drop(response.headers_mut().insert(header::LOCATION, location)),
                Err(_) => return Self::SignIn(None).into_response(),
            }
        }
        if self == Self::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => Self::Forbidden,
            Refusal::SignIn(location) => Self::SignIn(location),
            Refusal::Unavailable => Self::Unavailable,
        }
    }
}

/// Our own failures. What exactly went wrong is for the log, not for the person.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => return Self::NotFound,
            ErrorKind::Conflict => return Self::Conflict,
            ErrorKind::InvalidInput => return Self::BadRequest,
            _ => {}
        }
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, source, "a page could not be made");
        match error.kind() {
            ErrorKind::Misconfigured | ErrorKind::Unsupported | ErrorKind::Validation => Self::Failed,
            _ => Self::Unavailable,
        }
    }
}
