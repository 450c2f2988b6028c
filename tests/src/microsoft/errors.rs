//! What the service says when it says no.

use chrono::{DateTime, Utc};
use http::{StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::{answers, call::ApiAnswer};

/// The seconds after which an unavailable endpoint may be asked again.
const RETRY_SECONDS: &str = "5";

/// The endpoint says no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) number: u32,
    error: &'static str,
    suberror: Option<&'static str>,
    claims: Option<Value>,
}

/// Error, suberror and meaning of a number.
fn meaning(number: u32) -> (&'static str, Option<&'static str>, &'static str) {
    match number {
        16000 => ("interaction_required", None, "The selected account does not exist in this tenant."),
        50011 => ("invalid_request", None, "The redirect URI in the request does not match those of the application."),
        50013 => ("invalid_client", None, "The assertion is not within its valid time range."),
        50020 => ("access_denied", None, "The user account does not exist in the tenant."),
        50033 => ("temporarily_unavailable", None, "A retryable error occurred."),
        50034 => ("access_denied", None, "The user account does not exist in the directory."),
        50053 => ("access_denied", None, "The account is locked."),
        50055 | 50144 => ("invalid_grant", Some("user_password_expired"), "The password is expired."),
        50057 => ("invalid_grant", None, "The user account is disabled."),
        50058 => ("login_required", None, "A silent sign-in request was sent but no user is signed in."),
        50072 | 50079 => {
            ("interaction_required", Some("basic_action"), "The user must enroll in multi-factor authentication.")
        }
        50074 | 50076 => {
            ("interaction_required", Some("basic_action"), "The user must use multi-factor authentication.")
        }
        50078 => ("interaction_required", Some("basic_action"), "Multi-factor authentication has expired."),
        50089 => ("invalid_grant", None, "The flow token has expired."),
        50097 => ("interaction_required", Some("additional_action"), "Device authentication is required."),
        50105 => ("access_denied", None, "The user is not assigned to a role for the application."),
        50131 | 530032 | 53011 | 530035 => ("invalid_grant", Some("message_only"), "Blocked by security policy."),
        50132 | 50133 | 50173 => ("invalid_grant", Some("bad_token"), "The grant was revoked; a fresh one is needed."),
        50158 => ("interaction_required", Some("basic_action"), "An external security challenge was not satisfied."),
        50194 => ("invalid_request", None, "The application is not configured as a multi-tenant application."),
        50196 => ("invalid_grant", None, "The server stopped an operation because it met a request loop."),
        500011 => ("invalid_resource", None, "The resource principal was not found in the tenant."),
        501481 => ("invalid_grant", None, "The code verifier does not match the code challenge."),
        53000..=53002 => {
            ("interaction_required", Some("additional_action"), "The device or app is not as policies demand.")
        }
        53003 => ("invalid_grant", Some("message_only"), "Access has been blocked by conditional access policies."),
        54005 => ("invalid_grant", None, "The authorization code was already redeemed."),
        65001 => ("invalid_grant", Some("consent_required"), "The user or administrator has not consented."),
        65004 => ("access_denied", None, "The user declined to consent to access the app."),
        70000 => ("invalid_grant", None, "The provided grant is invalid or malformed."),
        70003 => ("unsupported_grant_type", None, "The app requested an unsupported grant type."),
        70008 => ("invalid_grant", None, "The provided authorization code has expired."),
        70011 => ("invalid_scope", None, "The scope requested by the app is invalid."),
        70043 => ("invalid_grant", Some("bad_token"), "The refresh token is expired by sign-in frequency checks."),
        700005 => ("invalid_grant", None, "The grant is meant to be used on another tenant's endpoint."),
        700016 => ("unauthorized_client", None, "The application was not found in the directory."),
        700025 => ("invalid_client", None, "The client is public: no assertion or secret may be presented."),
        700027 => ("invalid_client", None, "The client assertion failed signature validation."),
        700082 => ("invalid_grant", Some("token_expired"), "The refresh token has expired due to inactivity."),
        7000112 => ("unauthorized_client", None, "The application is disabled."),
        7000215 => ("invalid_client", None, "Invalid client secret provided."),
        7000218 => ("invalid_request", None, "The request body must contain a client assertion or secret."),
        7000222 => ("invalid_client", None, "The provided client secret keys are expired."),
        90002 => ("invalid_request", None, "The tenant was not found."),
        90038 => ("invalid_request", None, "The tenant belongs to another cloud."),
        900144 => ("invalid_request", None, "The request body must contain a required parameter."),
        90023 => ("invalid_request", None, "The authentication request is not valid."),
        9001023 => ("invalid_request", None, "The grant type is not supported over this endpoint."),
        90094 => ("consent_required", None, "Administrator consent is required."),
        90095 => ("consent_required", None, "Administrator consent is required; a request was made."),
        90006 | 90012 | 90024 | 90033 | 50000 | 90055 => ("temporarily_unavailable", None, "Try again later."),
        _ => ("server_error", None, "The sandbox knows no such number."),
    }
}

impl Refusal {
    /// A refusal with the usual `error` of a number.
    pub(super) fn new(number: u32) -> Self {
        let (error, suberror, _) = meaning(number);
        Self { number, error, suberror, claims: None }
    }

    pub(super) fn with_error(mut self, error: &'static str) -> Self {
        self.error = error;
        self
    }

    pub(super) fn with_claims(mut self, claims: Option<Value>) -> Self {
        self.claims = claims;
        self
    }

    pub(super) fn error(&self) -> &'static str {
        self.error
    }

    /// What a page or a callback says.
    pub(super) fn text(&self) -> String {
        format!("AADSTS{}: {}", self.number, meaning(self.number).2)
    }

    fn status(&self) -> StatusCode {
        match (self.error, self.number) {
            ("invalid_client", _) => StatusCode::UNAUTHORIZED,
            (_, 90055) => StatusCode::TOO_MANY_REQUESTS,
            ("temporarily_unavailable", _) => StatusCode::SERVICE_UNAVAILABLE,
            ("server_error", _) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The token endpoint's answer; the ids are for whoever reads logs on both sides.
    pub(super) fn into_answer(self, trace: &str, correlation: &str, now: DateTime<Utc>) -> ApiAnswer {
        let timestamp = now.format("%Y-%m-%d %H:%M:%SZ").to_string();
        let text = self.text();
        let description = format!("{text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}");
        let mut body = json!({
            "error": self.error, "error_description": description, "error_codes": [self.number],
            "timestamp": timestamp, "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.number),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = suberror.into();
        }
        if let Some(claims) = &self.claims {
            body["claims"] = claims.to_string().into();
        }
        let status = self.status();
        let answer = answers::uncached(answers::json(status, &body));
        let later = status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS;
        if later { answers::with_header(answer, RETRY_AFTER, RETRY_SECONDS) } else { answer }
    }
}
