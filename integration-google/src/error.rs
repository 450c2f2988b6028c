//! The one error map. Source: <https://developers.google.com/workspace/gmail/api/guides/handle-errors>.
//!
//! Google's 403 means a dozen things: what counts is the reason in the body, in either of its two shapes. The service's
//! own texts never become part of an error, as they carry addresses.

use chrono::{DateTime, Days, TimeDelta, TimeZone, Utc};
use integration_core::{
    Error, ErrorKind,
    connection::{TokenFailure, TokenFailureClass},
    error::{Actor, Remedy, Retry},
    http::{AuthAction, Failure, HttpFailure, QuotaScope},
};
use serde::Deserialize;

use crate::client::operation;

/// Waits longer than this after a send are the daily sending limit: they must not stop reading.
const LONGEST_SHARED_SEND_WAIT: TimeDelta = TimeDelta::minutes(10);
/// For quotas whose window Google does not name.
const LONG_BACKOFF: TimeDelta = TimeDelta::minutes(15);

/// Both shapes of an error body.
#[derive(Debug, Deserialize)]
struct Envelope {
    error: ApiError,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiError {
    message: String,
    status: String,
    errors: Vec<Detail>,
    details: Vec<Detail>,
}

/// An entry of `errors`, or an `ErrorInfo` of `details`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    quota_limit: String,
}

/// A failure with its body read.
struct Answer<'a> {
    failure: &'a HttpFailure<'a>,
    /// `None`: the front end answered, in HTML or not at all.
    body: Option<ApiError>,
}

impl Answer<'_> {
    fn error(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, text).with_service("google").with_operation(self.failure.operation)
    }

    fn is(&self, operation: &str) -> bool {
        self.failure.operation == operation
    }

    fn has(&self, reason: &str) -> bool {
        let Some(body) = &self.body else { return false };
        body.status == reason || body.errors.iter().chain(&body.details).any(|detail| detail.reason == reason)
    }

    fn says(&self, text: &str) -> bool {
        self.body.as_ref().is_some_and(|body| body.message.to_ascii_lowercase().contains(text))
    }

    /// The limit that was hit counts per user, not over the whole project.
    fn per_user(&self) -> bool {
        let named = |body: &ApiError| body.details.iter().any(|detail| detail.metadata.quota_limit.contains("PerUser"));
        self.says("per user") || self.says("user-rate") || self.body.as_ref().is_some_and(named)
    }

    /// The first reason, if it is a plain word: for errors nobody foresaw.
    fn word(&self) -> &str {
        let Some(body) = &self.body else { return "no reason given" };
        let words = body.errors.iter().chain(&body.details).map(|detail| detail.reason.as_str());
        let plain = |word: &&str| {
            (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        words.chain([body.status.as_str()]).find(plain).unwrap_or("no reason given")
    }
}

pub(crate) fn classify(failure: &HttpFailure<'_>) -> Failure {
    let body = serde_json::from_slice::<Envelope>(failure.body).ok().map(|envelope| envelope.error);
    let answer = Answer { failure, body };
    match failure.status.as_u16() {
        400 => bad_request(&answer),
        401 => {
            let remedy = Remedy::new(
                "Google accepts the sign-in, but not the access token it gave out.",
                Actor::Person,
                "If this lasts, connect the account again.",
            );
            let error = answer.error(ErrorKind::PermissionDenied, "the access token was refused").with_remedy(remedy);
            Failure::Unauthorised(error, AuthAction::Refresh)
        }
        403 => forbidden(&answer),
        404 => not_found(&answer),
        408 => Failure::Transient(answer.error(ErrorKind::Timeout, "the service gave up waiting")),
        409 if answer.has("ALREADY_EXISTS") || answer.says("label name exists") => {
            Failure::Final(answer.error(ErrorKind::Duplicate, "it exists already"))
        }
        409 => Failure::Final(answer.error(ErrorKind::Conflict, "it was changed meanwhile, or exists already")),
        412 => Failure::Final(answer.error(ErrorKind::Conflict, "it was changed meanwhile; read it again")),
        413 => Failure::Final(answer.error(ErrorKind::InvalidInput, "it is larger than the service takes")),
        429 => too_many(&answer),
        500..=599 => {
            let error = answer.error(ErrorKind::Unavailable, "the service failed");
            let wait = failure.retry_after().and_then(|until| (until - failure.at).to_std().ok());
            Failure::Transient(match wait {
                Some(wait) => error.with_retry_after(wait),
                None => error,
            })
        }
        _ => {
            let text = format!("the service refused the request ({})", answer.word());
            Failure::Final(answer.error(ErrorKind::InvalidInput, &text))
        }
    }
}

fn bad_request(answer: &Answer<'_>) -> Failure {
    if answer.says("mail service not enabled") {
        let action = "Switch Gmail on for the account, or connect another one.";
        let remedy = Remedy::new("The account has no Gmail mailbox.", Actor::Administrator, action);
        return Failure::Final(answer.error(ErrorKind::PermissionDenied, "there is no mailbox").with_remedy(remedy));
    }
    if answer.says("only one user push notification client") {
        return Failure::Final(answer.error(ErrorKind::Conflict, "notifications of another topic are on"));
    }
    // "Precondition check failed." is seen for a moment now and then; the attempts are bounded anyway.
    if answer.has("failedPrecondition") || answer.has("FAILED_PRECONDITION") {
        return Failure::Transient(answer.error(ErrorKind::Unavailable, "a precondition failed at the service"));
    }
    // The start is the only thing that varies in this call: it is too new, or not a number of this mailbox.
    if answer.is(operation::HISTORY) && answer.body.is_some() {
        return Failure::Final(answer.error(ErrorKind::CursorExpired, "the history id is not one of this mailbox"));
    }
    let gone = answer.says("invalid id value")
        || answer.is(operation::ATTACHMENT) && answer.says("invalid attachment token")
        || answer.is(operation::MODIFY) && (answer.says("invalid label") || answer.says("labelid not found"));
    if gone {
        return Failure::Final(answer.error(ErrorKind::NotFound, "the service knows no such id"));
    }
    let text = format!("the service refused the request ({})", answer.word());
    Failure::Final(answer.error(ErrorKind::InvalidInput, &text))
}

fn forbidden(answer: &Answer<'_>) -> Failure {
    if answer.body.is_none() {
        // The front end says nothing about rights; the API always names a reason.
        return Failure::Transient(answer.error(ErrorKind::Unavailable, "the service's front end refused the call"));
    }
    if let Some(throttled) = quota_reason(answer) {
        return throttled;
    }
    let refused = |kind, text, cause: &str, actor, action: &str| {
        Failure::Final(answer.error(kind, text).with_remedy(Remedy::new(cause, actor, action)))
    };
    if answer.has("insufficientPermissions") || answer.has("ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
        let scope = scope_for(answer.failure.operation);
        return refused(
            ErrorKind::MissingScope,
            &format!("the grant lacks {scope}"),
            "A right that this needs was not granted.",
            Actor::Person,
            &format!("Connect the account again and tick the box for {scope}."),
        );
    }
    if answer.has("accessNotConfigured") || answer.has("SERVICE_DISABLED") {
        let action = "Enable the Gmail API in the app's Google Cloud project, then wait a few minutes.";
        let cause = "The API is switched off in the app's project.";
        return refused(ErrorKind::Misconfigured, "the API is off for this app", cause, Actor::Operator, action);
    }
    if answer.has("domainPolicy") {
        let (cause, action) = ("The domain's policy forbids the app.", "Allow the app and Gmail for the domain.");
        return refused(ErrorKind::AdminPolicy, "the domain's policy forbids it", cause, Actor::Administrator, action);
    }
    let text = format!("the account may not do this ({})", answer.word());
    Failure::Final(answer.error(ErrorKind::PermissionDenied, &text))
}

/// The reasons of a 403 that mean "too much".
fn quota_reason(answer: &Answer<'_>) -> Option<Failure> {
    let at = answer.failure.at;
    let throttled = |kind, text, until, scope| {
        // Quotas of a day are temporary too, only for longer.
        let error = answer.error(kind, text).with_retry(Retry::Temporary);
        Some(Failure::Throttled { error, until, scope })
    };
    if answer.has("dailyLimitExceeded") {
        let until = Some(told(answer).unwrap_or_else(|| midnight_pacific(at)));
        return throttled(ErrorKind::QuotaExhausted, "the project's day is used up", until, QuotaScope::App);
    }
    if answer.has("quotaExceeded") {
        let until = Some(told(answer).unwrap_or_else(|| later(at, LONG_BACKOFF)));
        return throttled(ErrorKind::QuotaExhausted, "a quota is used up", until, QuotaScope::AppAndAccount);
    }
    if answer.has("userRateLimitExceeded") {
        return throttled(ErrorKind::RateLimited, "too many calls", told(answer), QuotaScope::AppAndAccount);
    }
    if answer.has("rateLimitExceeded") || answer.has("RATE_LIMIT_EXCEEDED") || answer.has("RESOURCE_EXHAUSTED") {
        let minute = answer.says("per minute") || answer.has("RATE_LIMIT_EXCEEDED");
        let until = told(answer).or_else(|| minute.then(|| next_minute(at)));
        let scope = if answer.per_user() { QuotaScope::AppAndAccount } else { QuotaScope::App };
        return throttled(ErrorKind::RateLimited, "too many calls", until, scope);
    }
    None
}

fn not_found(answer: &Answer<'_>) -> Failure {
    if answer.body.is_none() {
        // An HTML page is no statement about a message: believing it would delete what is still there.
        return Failure::Transient(answer.error(ErrorKind::Unavailable, "the service's front end found nothing"));
    }
    if answer.is(operation::HISTORY) {
        // For this one call it means that the history id is too old: begin anew, rather than report a missing message.
        return Failure::Final(answer.error(ErrorKind::CursorExpired, "the history id is too old"));
    }
    Failure::Final(answer.error(ErrorKind::NotFound, "there is no such thing"))
}

fn too_many(answer: &Answer<'_>) -> Failure {
    let (until, at) = (told(answer), answer.failure.at);
    if let Some(until) = until.filter(|until| answer.is(operation::SEND) && *until - at > LONGEST_SHARED_SEND_WAIT) {
        let wait = (until - at).to_std().unwrap_or_default();
        let error = answer.error(ErrorKind::QuotaExhausted, "the account may not send more for now");
        return Failure::Final(error.with_retry(Retry::Exhausted).with_retry_after(wait));
    }
    let error = answer.error(ErrorKind::RateLimited, "too many calls");
    Failure::Throttled { error, until, scope: QuotaScope::AppAndAccount }
}

/// `Retry-After`, or the time in the text ("Retry after 2026-01-02T03:04:05.678Z"), whichever is later.
fn told(answer: &Answer<'_>) -> Option<DateTime<Utc>> {
    let message = answer.body.as_ref().map(|body| body.message.as_str()).unwrap_or_default();
    let after = message.to_ascii_lowercase().find("retry after ").and_then(|at| message.get(at + 12..));
    let word = after.and_then(|after| after.split_whitespace().next());
    let time = word.and_then(|word| DateTime::parse_from_rfc3339(word.trim_end_matches(['.', ')', ','])).ok());
    let time = time.map(|time| time.with_timezone(&Utc)).filter(|time| *time > answer.failure.at);
    time.max(answer.failure.retry_after())
}

fn later(at: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(wait).unwrap_or(at)
}

fn next_minute(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp() - at.timestamp().rem_euclid(60) + 60, 0).unwrap_or(at)
}

/// Daily limits are reset at midnight Pacific time.
fn midnight_pacific(at: DateTime<Utc>) -> DateTime<Utc> {
    let zone = chrono_tz::America::Los_Angeles;
    let tomorrow = at.with_timezone(&zone).date_naive().checked_add_days(Days::new(1));
    let midnight = tomorrow.and_then(|day| day.and_hms_opt(0, 0, 0));
    let midnight = midnight.and_then(|time| zone.from_local_datetime(&time).earliest());
    midnight.map_or_else(|| later(at, TimeDelta::days(1)), |time| time.with_timezone(&Utc))
}

fn scope_for(called: &str) -> &'static str {
    match called {
        operation::MODIFY => "gmail.modify",
        operation::SEND => "gmail.send",
        operation::USERINFO => "email",
        _ => "gmail.readonly",
    }
}

/// The token endpoint's refusals, with what Google's codes and texts add to RFC 6749.
/// Source: <https://developers.google.com/identity/protocols/oauth2#expiration>.
pub(crate) fn classify_token(failure: &TokenFailure<'_>) -> TokenFailureClass {
    use TokenFailureClass::{AdminPolicy, Misconfigured};
    if failure.status.is_server_error() {
        return TokenFailureClass::Transient;
    }
    let operator = |cause: &str, action: &str| Misconfigured(Remedy::new(cause, Actor::Operator, action));
    match failure.error {
        Some("rate_limit_exceeded" | "slow_down") => TokenFailureClass::Throttled,
        Some("internal_failure" | "temporarily_unavailable" | "server_error") => TokenFailureClass::Transient,
        Some("invalid_grant") => invalid_grant(failure),
        Some("deleted_client") => operator(
            "The app's client was deleted at Google, which also happens to clients unused for six months.",
            "Restore or replace the client in the Google Cloud console.",
        ),
        Some("redirect_uri_mismatch") => operator(
            "The redirect is not registered for the app's client.",
            "Add it, letter for letter, in the Google Cloud console.",
        ),
        Some("unauthorized_client") => operator(
            "The client may not sign in this way, or its domain-wide delegation lacks one of the scopes.",
            "Check the client's kind, and its scopes in the Workspace admin console.",
        ),
        Some("admin_policy_enforced") => AdminPolicy(Remedy::new(
            "The organisation's policy forbids the app or one of its scopes.",
            Actor::Administrator,
            "Allow the app in the Workspace admin console.",
        )),
        Some("org_internal") => AdminPolicy(Remedy::new(
            "The app is only for people of the organisation that it belongs to.",
            Actor::Operator,
            "Make the app external in the Google Cloud console, or use an account of that organisation.",
        )),
        _ => TokenFailureClass::standard(failure),
    }
}

fn invalid_grant(failure: &TokenFailure<'_>) -> TokenFailureClass {
    use TokenFailureClass::{Misconfigured, NeedsConsent, Revoked};
    const AGAIN: &str = "Connect the account again.";
    let text = failure.description.unwrap_or_default().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if failure.subtype == Some("invalid_rapt") || says(&["invalid_rapt", "reauth related"]) {
        let cause = "The organisation asks for a fresh sign-in from time to time.";
        return NeedsConsent(Remedy::new(cause, Actor::Person, AGAIN));
    }
    if says(&["invalid jwt", "short-lived token", "iat and exp", "invalid email or user id"]) {
        let cause = "The service account's assertion was refused.";
        let action = "Check its key, the impersonated address and the machine's clock.";
        return Misconfigured(Remedy::new(cause, Actor::Operator, action));
    }
    if says(&["account has been deleted", "account has been disabled", "account suspended", "account restricted"]) {
        let cause = "The account was deleted or suspended at Google.";
        return Revoked(Remedy::new(cause, Actor::Administrator, "Restore the account, or disconnect it."));
    }
    let days = failure.grant_age.map(|age| age.as_secs_f64() / 86_400.0);
    if days.is_some_and(|days| (6.5..=8.0).contains(&days)) {
        let cause = "The sign-in ended after 7 days, as all do while the app's publishing status is \"Testing\".";
        let action = "Publish the app in the Google Cloud console; then connect the account again.";
        return Revoked(Remedy::new(cause, Actor::Operator, action));
    }
    let cause = "Google no longer accepts this sign-in: the app was removed, the password changed, it was unused for six \
                 months, or an administrator withdrew it.";
    Revoked(Remedy::new(cause, Actor::Person, AGAIN))
}

#[cfg(test)]
mod tests;
