//! The one error map. Source: <https://developers.google.com/workspace/gmail/api/guides/handle-errors>.

use chrono::{DateTime, TimeZone, Utc};
use integration_core::{
    Error, ErrorKind,
    connection::{TokenFailure, TokenFailureClass},
    error::{Actor, Remedy},
    http::{AuthAction, Failure, HttpFailure, QuotaScope},
};
use serde::Deserialize;

use crate::client::operation;

/// Both shapes of an error body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Inner,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inner {
    message: String,
    status: String,
    errors: Vec<Reason>,
    details: Vec<Reason>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

impl Inner {
    fn has(&self, reason: &str) -> bool {
        self.errors.iter().chain(&self.details).any(|one| one.reason == reason)
    }
}

pub(crate) fn classify(failure: &HttpFailure<'_>) -> Failure {
    // The front end answers some statuses in HTML: then the status alone counts.
    let body = serde_json::from_slice::<Body>(failure.body).unwrap_or_default().error;
    let status = failure.status.as_u16();
    let error = |kind, text: &str| Error::new(kind, text).with_service("google").with_operation(failure.operation);
    let throttled =
        |scope, until| Failure::Throttled { error: error(ErrorKind::RateLimited, "too many calls"), until, scope };
    match status {
        400 | 404 if failure.operation == operation::HISTORY => {
            // For this one call it means that the history id is too old or not one of this mailbox.
            Failure::Final(error(ErrorKind::CursorExpired, "the history id is no longer known"))
        }
        400 if body.has("failedPrecondition") && body.message.contains("Mail service not enabled") => {
            let remedy =
                Remedy::new("The account has no Gmail.", Actor::Administrator, "Switch Gmail on for the account.");
            Failure::Final(error(ErrorKind::PermissionDenied, "the account has no mailbox").with_remedy(remedy))
        }
        // "Precondition check failed." passes by itself more often than not.
        400 if body.has("failedPrecondition") => {
            Failure::Transient(error(ErrorKind::Unavailable, "a precondition failed"))
        }
        401 => Failure::Unauthorised(
            error(ErrorKind::ReauthorisationNeeded, "the access token was refused"),
            AuthAction::Refresh,
        ),
        403 => forbidden(&body, failure, error),
        404 => Failure::Final(error(ErrorKind::NotFound, "there is no such thing")),
        409 => Failure::Final(error(ErrorKind::Conflict, "it exists already, or was changed meanwhile")),
        412 => Failure::Final(error(ErrorKind::Conflict, "it was changed meanwhile")),
        413 => Failure::Final(error(ErrorKind::InvalidInput, "the message is too large for the service")),
        429 => throttled(QuotaScope::AppAndAccount, wait(&body, failure)),
        500..=599 => Failure::Transient(error(ErrorKind::Unavailable, "the service failed")),
        _ => Failure::Final(error(ErrorKind::InvalidInput, "the service refused the request")),
    }
}

fn forbidden(body: &Inner, failure: &HttpFailure<'_>, error: impl Fn(ErrorKind, &str) -> Error) -> Failure {
    let throttled =
        |scope, until| Failure::Throttled { error: error(ErrorKind::RateLimited, "too many calls"), until, scope };
    if body.has("dailyLimitExceeded") {
        return throttled(QuotaScope::App, Some(midnight_pacific(failure.at)));
    }
    if body.has("userRateLimitExceeded") || body.message.contains("per user") || body.has("quotaExceeded") {
        return throttled(QuotaScope::AppAndAccount, wait(body, failure));
    }
    if body.has("rateLimitExceeded") || body.has("RATE_LIMIT_EXCEEDED") || body.status == "RESOURCE_EXHAUSTED" {
        return throttled(QuotaScope::App, wait(body, failure));
    }
    if body.has("insufficientPermissions") || body.has("ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
        let remedy =
            Remedy::new("A right was not granted.", Actor::Person, "Connect the account again and tick every box.");
        return Failure::Final(
            error(ErrorKind::MissingScope, "the grant does not cover this call").with_remedy(remedy),
        );
    }
    if body.has("accessNotConfigured") || body.has("SERVICE_DISABLED") {
        let action = "Enable the Gmail API in the app's Google Cloud project.";
        let remedy = Remedy::new("The API is switched off for the app.", Actor::Operator, action);
        return Failure::Final(error(ErrorKind::Misconfigured, "the API is off for this app").with_remedy(remedy));
    }
    if body.has("domainPolicy") {
        let remedy = Remedy::new("A policy forbids the app.", Actor::Administrator, "Allow the app for the domain.");
        return Failure::Final(error(ErrorKind::AdminPolicy, "the domain's policy forbids it").with_remedy(remedy));
    }
    Failure::Final(error(ErrorKind::PermissionDenied, "the account may not do this"))
}

/// `Retry-After`, or the time in the text ("Retry after 2026-01-02T03:04:05.678Z"), whichever is later.
fn wait(body: &Inner, failure: &HttpFailure<'_>) -> Option<DateTime<Utc>> {
    let text = body.message.split("Retry after ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let told = text.and_then(|text| DateTime::parse_from_rfc3339(text.trim_end_matches('.')).ok());
    told.map(|time| time.with_timezone(&Utc)).max(failure.retry_after())
}

/// Daily limits are reset at midnight Pacific time.
fn midnight_pacific(at: DateTime<Utc>) -> DateTime<Utc> {
    let zone = chrono_tz::America::Los_Angeles;
    let tomorrow = at.with_timezone(&zone).date_naive() + chrono::Days::new(1);
    let midnight = tomorrow.and_hms_opt(0, 0, 0).and_then(|time| zone.from_local_datetime(&time).earliest());
    midnight.map_or(at + chrono::TimeDelta::days(1), |time| time.with_timezone(&Utc))
}

pub(crate) fn classify_token(failure: &TokenFailure<'_>) -> TokenFailureClass {
    let days = failure.grant_age.map(|age| age.as_secs_f64() / 86_400.0);
    match failure.error {
        Some("invalid_grant") if failure.subtype == Some("invalid_rapt") => {
            let cause = "The organisation asks for a fresh sign-in from time to time.";
            TokenFailureClass::NeedsConsent(Remedy::new(cause, Actor::Person, "Connect the account again."))
        }
        Some("invalid_grant") if days.is_some_and(|days| (6.5..8.0).contains(&days)) => {
            let cause = "The sign-in ended after 7 days, as it does while the app's publishing status is \"Testing\".";
            let action = "Publish the app in the Google Cloud console; then connect the account again.";
            TokenFailureClass::Revoked(Remedy::new(cause, Actor::Operator, action))
        }
        Some("admin_policy_enforced" | "org_internal") => {
            let cause = "The organisation's policy forbids the app.";
            TokenFailureClass::AdminPolicy(Remedy::new(
                cause,
                Actor::Administrator,
                "Allow the app for the organisation.",
            ))
        }
        Some("deleted_client" | "redirect_uri_mismatch") => {
            let cause = "The app's registration at Google was deleted or changed.";
            TokenFailureClass::Misconfigured(Remedy::new(
                cause,
                Actor::Operator,
                "Check the app's client id and redirect.",
            ))
        }
        Some("rate_limit_exceeded") => TokenFailureClass::Throttled,
        _ => TokenFailureClass::standard(failure),
    }
}

#[cfg(test)]
mod tests;
