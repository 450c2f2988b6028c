//! Every row of the error table.

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use integration_core::{
    ErrorKind,
    connection::{TokenFailure, TokenFailureClass},
    http::{Failure, HttpFailure, QuotaScope},
};

use super::{classify, classify_token};
use crate::client::operation;

fn at() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn failure(operation: &'static str, status: u16, body: &str) -> Failure {
    let headers = HeaderMap::new();
    classify(&HttpFailure::new(operation, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), at()))
}

/// Both shapes with one reason.
fn body(reason: &str, message: &str) -> String {
    format!(
        r#"{{"error":{{"code":403,"message":"{message}","errors":[{{"domain":"x","reason":"{reason}"}}],"status":"X"}}}}"#
    )
}

fn word(failure: &Failure) -> String {
    match failure {
        Failure::Final(error) => format!("final {}", error.kind().as_str()),
        Failure::Transient(_) => "transient".to_owned(),
        Failure::Throttled { scope, .. } => format!("throttled {scope:?}"),
        Failure::Unauthorised(_, action) => format!("unauthorised {action:?}"),
        _ => "other".to_owned(),
    }
}

#[test]
fn each_status_and_reason_means_what_the_service_says() {
    let rows = [
        (400, "badRequest", "", "final invalid_input"),
        (400, "invalidArgument", "", "final invalid_input"),
        (400, "failedPrecondition", "Mail service not enabled", "final permission_denied"),
        (400, "failedPrecondition", "Precondition check failed.", "transient"),
        (401, "authError", "", "unauthorised Refresh"),
        (403, "rateLimitExceeded", "", "throttled App"),
        (403, "userRateLimitExceeded", "", "throttled AppAndAccount"),
        (403, "rateLimitExceeded", "limit 'Queries per minute per user'", "throttled AppAndAccount"),
        (403, "dailyLimitExceeded", "", "throttled App"),
        (403, "quotaExceeded", "", "throttled AppAndAccount"),
        (403, "domainPolicy", "", "final admin_policy"),
        (403, "insufficientPermissions", "", "final missing_scope"),
        (403, "accessNotConfigured", "", "final misconfigured"),
        (403, "forbidden", "Delegation denied", "final permission_denied"),
        (404, "notFound", "", "final not_found"),
        (409, "aborted", "", "final conflict"),
        (412, "conditionNotMet", "", "final conflict"),
        (429, "rateLimitExceeded", "Too many concurrent requests for user", "throttled AppAndAccount"),
        (500, "backendError", "", "transient"),
        (503, "backendError", "", "transient"),
    ];
    for (status, reason, message, expected) in rows {
        let found = failure(operation::GET, status, &body(reason, message));
        assert_eq!(word(&found), expected, "{status} {reason} {message}");
    }
}

#[test]
fn the_newer_shape_is_read_too() {
    let body =
        r#"{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"x","reason":"SERVICE_DISABLED"}]}}"#;
    assert_eq!(word(&failure(operation::GET, 403, body)), "final misconfigured");
}

#[test]
fn pages_in_html_are_judged_by_their_status() {
    assert_eq!(word(&failure(operation::GET, 502, "<html>")), "transient");
    assert_eq!(word(&failure(operation::GET, 413, "<html>")), "final invalid_input");
}

#[test]
fn an_unknown_history_id_asks_for_a_new_snapshot() {
    for status in [400, 404] {
        let Failure::Final(error) = failure(operation::HISTORY, status, &body("notFound", "")) else { panic!() };
        assert_eq!(error.kind(), ErrorKind::CursorExpired);
    }
}

#[test]
fn the_time_in_the_text_is_obeyed() {
    let text = "User-rate limit exceeded.  Retry after 2026-11-24T12:34:56.000Z";
    let found = failure(operation::GET, 429, &body("rateLimitExceeded", text));
    let Failure::Throttled { until, .. } = found else { panic!("{found:?}") };
    assert_eq!(until, Some("2026-11-24T12:34:56Z".parse().unwrap()));
}

#[test]
fn a_used_up_day_ends_at_midnight_pacific() {
    let found = failure(operation::GET, 403, &body("dailyLimitExceeded", ""));
    let Failure::Throttled { until, scope: QuotaScope::App, .. } = found else { panic!("{found:?}") };
    assert_eq!(until, Some("2026-11-25T08:00:00Z".parse().unwrap()));
}

#[test]
fn a_sign_in_that_dies_after_seven_days_names_the_testing_status() {
    let mut refusal = TokenFailure::new(StatusCode::BAD_REQUEST, Some("invalid_grant"), None);
    refusal.grant_age = Some(std::time::Duration::from_secs(7 * 86_400 + 60));
    let TokenFailureClass::Revoked(remedy) = classify_token(&refusal) else { panic!() };
    assert!(remedy.cause.contains("Testing"), "{remedy}");
}

#[test]
fn a_wrong_client_is_the_operators_alarm() {
    let refusal = TokenFailure::new(StatusCode::UNAUTHORIZED, Some("invalid_client"), None);
    assert!(matches!(classify_token(&refusal), TokenFailureClass::Misconfigured(_)));
}
