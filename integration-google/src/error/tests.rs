use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, StatusCode};
use integration_core::{
    ErrorKind,
    connection::{TokenFailure, TokenFailureClass},
    error::Actor,
    http::{AuthAction, Failure, HttpFailure, QuotaScope},
};

use super::{classify, classify_token, midnight_pacific};
use crate::client::operation;

fn at() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn body(status: u16, reason: &str, message: &str) -> String {
    let errors = serde_json::json!([{ "domain": "global", "reason": reason, "message": message }]);
    serde_json::json!({ "error": { "code": status, "message": message, "errors": errors } }).to_string()
}

fn info(status: u16, code: &str, reason: &str, message: &str, limit: &str) -> String {
    let detail = serde_json::json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
        "metadata": { "service": "gmail.googleapis.com", "quota_limit": limit }
    });
    let help = serde_json::json!({ "@type": "type.googleapis.com/google.rpc.Help", "links": [] });
    let error = serde_json::json!({ "code": status, "message": message, "status": code, "details": [help, detail] });
    serde_json::json!({ "error": error }).to_string()
}

fn on(operation: &'static str, status: u16, body: &str) -> Failure {
    let headers = HeaderMap::new();
    classify(&HttpFailure::new(operation, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), at()))
}

/// What a failure comes to, in one comparable line.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Final(error) => format!("final {}", error.kind().as_str()),
        Failure::Transient(error) => format!("transient {}", error.kind().as_str()),
        Failure::Unauthorised(error, action) => format!("unauthorised {} {action:?}", error.kind().as_str()),
        Failure::Throttled { error, until, scope } => {
            let wait = until.map_or_else(|| "?".to_owned(), |until| (until - at()).num_seconds().to_string());
            format!("throttled {} {scope:?} {wait}", error.kind().as_str())
        }
        _ => "unknown".to_owned(),
    }
}

#[test]
fn every_row_of_the_error_table_has_its_class() {
    let per_minute = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service";
    let table: Vec<(u16, String, &str)> = vec![
        (400, body(400, "badRequest", "Bad"), "final invalid_input"),
        (400, body(400, "invalidArgument", "Invalid To header"), "final invalid_input"),
        (400, info(400, "INVALID_ARGUMENT", "BAD", "Bad", ""), "final invalid_input"),
        (400, body(400, "invalidArgument", "Invalid id value"), "final not_found"),
        (400, body(400, "failedPrecondition", "Mail service not enabled"), "final permission_denied"),
        (400, body(400, "failedPrecondition", "Precondition check failed."), "transient unavailable"),
        (400, info(400, "FAILED_PRECONDITION", "", "Precondition check failed.", ""), "transient unavailable"),
        (
            400,
            body(400, "badRequest", "Only one user push notification client allowed per developer (call /stop)"),
            "final conflict",
        ),
        (401, body(401, "authError", "Invalid Credentials"), "unauthorised permission_denied Refresh"),
        (401, String::new(), "unauthorised permission_denied Refresh"),
        (403, body(403, "rateLimitExceeded", "Rate Limit Exceeded"), "throttled rate_limited App ?"),
        (403, body(403, "userRateLimitExceeded", "User Rate"), "throttled rate_limited AppAndAccount ?"),
        (403, body(403, "rateLimitExceeded", per_minute), "throttled rate_limited AppAndAccount 55"),
        (
            403,
            info(403, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "Quota", "QueriesPerMinutePerUser"),
            "throttled rate_limited AppAndAccount 55",
        ),
        (
            403,
            info(403, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "Quota", "QueriesPerMinutePerProject"),
            "throttled rate_limited App 55",
        ),
        // 03:04:05 UTC is 19:04:05 of the day before in California.
        (403, body(403, "dailyLimitExceeded", "Daily"), "throttled quota_exhausted App 17755"),
        (403, body(403, "quotaExceeded", "Quota"), "throttled quota_exhausted AppAndAccount 900"),
        (403, body(403, "domainPolicy", "Disabled"), "final admin_policy"),
        (403, body(403, "insufficientPermissions", "Scopes"), "final missing_scope"),
        (403, info(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "", ""), "final missing_scope"),
        (403, body(403, "accessNotConfigured", "Off"), "final misconfigured"),
        (403, info(403, "PERMISSION_DENIED", "SERVICE_DISABLED", "", ""), "final misconfigured"),
        (403, body(403, "forbidden", "Delegation denied for a@example.com"), "final permission_denied"),
        (403, "<html>Sorry</html>".to_owned(), "transient unavailable"),
        (404, body(404, "notFound", "Requested entity was not found."), "final not_found"),
        (404, "<html>Not Found</html>".to_owned(), "transient unavailable"),
        (408, String::new(), "transient timeout"),
        (409, body(409, "aborted", "Label name exists or conflicts"), "final duplicate"),
        (409, info(409, "ABORTED", "", "", ""), "final conflict"),
        (412, body(412, "conditionNotMet", "Precondition Failed"), "final conflict"),
        (413, "<html>Too Large</html>".to_owned(), "final invalid_input"),
        (
            429,
            body(429, "rateLimitExceeded", "Too many concurrent requests for user"),
            "throttled rate_limited AppAndAccount ?",
        ),
        (
            429,
            body(429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-01-02T03:04:35.678Z"),
            "throttled rate_limited AppAndAccount 30",
        ),
        (
            429,
            body(429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2020-01-02T03:04:35.678Z"),
            "throttled rate_limited AppAndAccount ?",
        ),
        (429, String::new(), "throttled rate_limited AppAndAccount ?"),
        (500, body(500, "backendError", "Backend"), "transient unavailable"),
        (502, "<html>Bad gateway</html>".to_owned(), "transient unavailable"),
        (503, body(503, "internalError", "Internal"), "transient unavailable"),
        (504, String::new(), "transient unavailable"),
        (302, String::new(), "final invalid_input"),
    ];
    for (status, body, expected) in table {
        assert_eq!(said(&on(operation::GET, status, &body)), expected, "{status} {body}");
    }
}

#[test]
fn a_history_id_that_is_too_old_or_too_new_is_an_expired_cursor() {
    for (status, reason) in [(404, "notFound"), (400, "invalidArgument")] {
        let failure = on(operation::HISTORY, status, &body(status, reason, "Invalid startHistoryId"));
        assert_eq!(said(&failure), "final cursor_expired");
    }
    // A page of the front end says nothing about the history.
    assert_eq!(said(&on(operation::HISTORY, 404, "<html></html>")), "transient unavailable");
    assert_eq!(said(&on(operation::HISTORY, 400, &body(400, "failedPrecondition", "x"))), "transient unavailable");
}

#[test]
fn a_stale_attachment_id_and_an_unknown_label_are_not_found() {
    let stale = body(400, "invalidArgument", "Invalid attachment token");
    assert_eq!(said(&on(operation::ATTACHMENT, 400, &stale)), "final not_found");
    let label = body(400, "invalidArgument", "Invalid label: Label_9");
    assert_eq!(said(&on(operation::MODIFY, 400, &label)), "final not_found");
    assert_eq!(said(&on(operation::SEND, 400, &label)), "final invalid_input");
}

#[test]
fn the_sending_limit_of_a_day_does_not_stop_reading() {
    let text = body(429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-01-02T09:04:05.000Z");
    let Failure::Final(error) = on(operation::SEND, 429, &text) else { panic!("everybody waits") };
    assert_eq!(error.kind(), ErrorKind::QuotaExhausted);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(6 * 3600)));
    assert_eq!(said(&on(operation::GET, 429, &text)), "throttled rate_limited AppAndAccount 21600");
}

#[test]
fn retry_after_in_a_header_is_obeyed() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("120"));
    let status = StatusCode::TOO_MANY_REQUESTS;
    let failure = classify(&HttpFailure::new(operation::GET, status, &headers, b"", at()));
    assert_eq!(said(&failure), "throttled rate_limited AppAndAccount 120");
}

#[test]
fn a_missing_scope_names_the_scope_to_ask_for() {
    let text = body(403, "insufficientPermissions", "Insufficient Permission");
    for (operation, scope) in
        [(operation::GET, "gmail.readonly"), (operation::SEND, "gmail.send"), (operation::MODIFY, "gmail.modify")]
    {
        let Failure::Final(error) = on(operation, 403, &text) else { panic!("not final") };
        assert!(error.message().contains(scope) && error.remedy().unwrap().action.contains(scope), "{error}");
        assert_eq!(error.remedy().unwrap().actor, Actor::Person);
    }
}

#[test]
fn no_text_of_the_service_becomes_part_of_an_error() {
    for status in [400, 403, 404, 409, 418, 429, 500] {
        let text = body(status, "who@example.com", "Delegation denied for who@example.com");
        let shown = format!("{:?}", on(operation::GET, status, &text));
        assert!(!shown.contains("who@example.com"), "{shown}");
    }
}

#[test]
fn a_refused_token_asks_for_a_fresh_one_and_does_not_end_the_grant() {
    let failure = on(operation::GET, 401, &body(401, "authError", "Invalid Credentials"));
    let Failure::Unauthorised(error, AuthAction::Refresh) = failure else { panic!("{failure:?}") };
    assert_ne!(error.kind(), ErrorKind::ReauthorisationNeeded);
}

#[test]
fn the_day_ends_at_midnight_in_california_in_winter_and_summer() {
    let table = [
        ("2026-01-02T03:04:05Z", "2026-01-02T08:00:00Z"),
        ("2026-07-01T06:59:59Z", "2026-07-01T07:00:00Z"),
        ("2026-07-01T07:00:00Z", "2026-07-02T07:00:00Z"),
        // The clocks go forward on 8 March.
        ("2026-03-08T08:30:00Z", "2026-03-09T07:00:00Z"),
    ];
    for (now, midnight) in table {
        assert_eq!(midnight_pacific(now.parse().unwrap()), midnight.parse::<DateTime<Utc>>().unwrap());
    }
    assert!(midnight_pacific(at()) - at() < TimeDelta::days(1));
}

#[test]
fn scopes_of_throttling_follow_who_is_over_the_limit() {
    let Failure::Throttled { scope, .. } = on(operation::GET, 403, &body(403, "dailyLimitExceeded", "")) else {
        panic!("not throttled")
    };
    assert_eq!(scope, QuotaScope::App);
}

fn token(status: u16, error: &str, description: &str, subtype: Option<&str>, days: f64) -> (String, Option<Actor>) {
    let status = StatusCode::from_u16(status).unwrap();
    let mut failure = TokenFailure::new(status, Some(error), Some(description));
    failure.subtype = subtype;
    failure.grant_age = Some(Duration::from_secs_f64(days * 86_400.0));
    match classify_token(&failure) {
        TokenFailureClass::AdminPolicy(remedy) => ("admin".into(), Some(remedy.actor)),
        TokenFailureClass::Misconfigured(remedy) => ("misconfigured".into(), Some(remedy.actor)),
        TokenFailureClass::NeedsConsent(remedy) => ("consent".into(), Some(remedy.actor)),
        TokenFailureClass::Revoked(remedy) => ("revoked".into(), Some(remedy.actor)),
        TokenFailureClass::Throttled => ("throttled".into(), None),
        TokenFailureClass::Transient => ("transient".into(), None),
        other => (format!("{other:?}"), None),
    }
}

#[test]
fn every_refusal_of_the_token_endpoint_has_its_class() {
    let expired = "Token has been expired or revoked.";
    let rapt = "reauth related error (invalid_rapt)";
    let table = [
        (400, "invalid_grant", expired, None, 30.0, "revoked", Some(Actor::Person)),
        (400, "invalid_grant", "Bad Request", None, 1.0, "revoked", Some(Actor::Person)),
        (400, "invalid_grant", expired, None, 7.0, "revoked", Some(Actor::Operator)),
        (400, "invalid_grant", expired, None, 6.4, "revoked", Some(Actor::Person)),
        (400, "invalid_grant", expired, None, 8.1, "revoked", Some(Actor::Person)),
        (400, "invalid_grant", rapt, Some("invalid_rapt"), 7.0, "consent", Some(Actor::Person)),
        (400, "invalid_grant", rapt, None, 30.0, "consent", Some(Actor::Person)),
        (400, "invalid_grant", "Account has been deleted", None, 30.0, "revoked", Some(Actor::Administrator)),
        (400, "invalid_grant", "Invalid JWT Signature.", None, 30.0, "misconfigured", Some(Actor::Operator)),
        (400, "invalid_grant", "Invalid email or User ID", None, 30.0, "misconfigured", Some(Actor::Operator)),
        (401, "invalid_client", "The OAuth client was not found.", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (401, "deleted_client", "", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (401, "unauthorized_client", "", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (400, "invalid_scope", "", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (400, "invalid_request", "", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (400, "redirect_uri_mismatch", "", None, 1.0, "misconfigured", Some(Actor::Operator)),
        (403, "access_denied", "Account restricted", None, 1.0, "admin", Some(Actor::Administrator)),
        (400, "admin_policy_enforced", "", None, 1.0, "admin", Some(Actor::Administrator)),
        (403, "org_internal", "", None, 1.0, "admin", Some(Actor::Operator)),
        (403, "rate_limit_exceeded", "", None, 1.0, "throttled", None),
        (429, "rate_limit_exceeded", "", None, 1.0, "throttled", None),
        (500, "internal_failure", "", None, 7.0, "transient", None),
        (503, "temporarily_unavailable", "", None, 7.0, "transient", None),
        // A dying server may say anything: it revokes nothing.
        (500, "invalid_grant", expired, None, 7.0, "transient", None),
    ];
    for (status, error, description, subtype, days, class, actor) in table {
        let got = token(status, error, description, subtype, days);
        assert_eq!(got, (class.to_owned(), actor), "{status} {error} {description} after {days} days");
    }
}
