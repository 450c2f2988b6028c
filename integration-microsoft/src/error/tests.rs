use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use integration_core::{
    ErrorKind,
    connection::{TokenFailure, TokenFailureClass},
    error::Actor,
    http::{AuthAction, Failure, HttpFailure, QuotaScope},
};
use proptest::prelude::*;
use serde_json::json;

use super::{classify, classify_token, is_no_mailbox};
use crate::who::operation;

fn at() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn body(code: &str) -> String {
    let inner = json!({ "request-id": "r", "client-request-id": "c", "date": "2026-01-02T03:04:05" });
    json!({ "error": { "code": code, "message": "Something about ann@example.com", "innerError": inner } }).to_string()
}

fn with(status: u16, body: &str, headers: &[(&str, &str)]) -> Failure {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    classify(&HttpFailure::new("outlook.messages.get", status, &all, body.as_bytes(), at()))
}

/// What a failure comes to, in one comparable line.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Final(error) => format!("final {}", error.kind().as_str()),
        Failure::Transient(error) => format!("transient {}", error.kind().as_str()),
        Failure::Unauthorised(error, action) => format!("unauthorised {} {action:?}", error.kind().as_str()),
        Failure::Overloaded { error, until, scope } => {
            let wait = (*until - at()).num_seconds();
            format!("overloaded {} {scope:?} {wait}", error.kind().as_str())
        }
        Failure::Throttled { error, until, scope } => {
            let wait = until.map_or_else(|| "?".to_owned(), |until| (until - at()).num_seconds().to_string());
            format!("throttled {} {scope:?} {wait}", error.kind().as_str())
        }
        _ => "unknown".to_owned(),
    }
}

fn on(status: u16, body: &str) -> String {
    said(&with(status, body, &[]))
}

#[test]
fn every_row_of_the_error_table_has_its_class() {
    let table: [(u16, &[&str], &str); 25] = [
        (
            400,
            &["BadRequest", "ErrorInvalidRequest", "InefficientFilter", "ErrorInvalidRecipients"],
            "final invalid_input",
        ),
        (400, &["RequestBroker--ParseUri", "ErrorPropertyValidationFailure", "NeverSeen"], "final invalid_input"),
        (400, &["ErrorInvalidIdMalformed"], "final not_found"),
        (400, &["SyncStateNotFound", "ErrorInvalidSyncStateData"], "final cursor_expired"),
        (401, &["InvalidAuthenticationToken", "TokenNotFound"], "unauthorised permission_denied Refresh"),
        (402, &["PaymentRequired"], "final permission_denied"),
        (403, &["ErrorAccessDenied", "Forbidden", "AccessDenied"], "final permission_denied"),
        (403, &["Authorization_RequestDenied", "ErrorSendAsDenied", "NeverSeen"], "final permission_denied"),
        (404, &["ErrorItemNotFound", "itemNotFound", "ResourceNotFound", "ErrorFolderNotFound"], "final not_found"),
        (404, &["MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI"], "final permission_denied"),
        (404, &["ErrorInvalidUser", "Request_ResourceNotFound"], "final permission_denied"),
        (404, &["UnknownError", "NotFound", "NeverSeen"], "transient unavailable"),
        (409, &["ErrorIrresolvableConflict", "NeverSeen"], "final conflict"),
        (409, &["ErrorDuplicateTransactionId", "nameAlreadyExists", "ErrorFolderExists"], "final duplicate"),
        (410, &["syncStateNotFound", "SYNCSTATENOTFOUND", "resyncRequired", "NeverSeen"], "final cursor_expired"),
        (410, &["resyncChangesApplyDifferences", "resyncChangesUploadDifferences"], "final cursor_expired"),
        (412, &["conditionNotMet", "ErrorIrresolvableConflict"], "final conflict"),
        (413, &["RequestEntityTooLarge", "ErrorMessageSizeExceeded", "NeverSeen"], "final invalid_input"),
        (423, &["NeverSeen"], "final conflict"),
        (
            429,
            &["TooManyRequests", "ApplicationThrottled", "activityLimitReached", "NeverSeen"],
            "throttled rate_limited AppAndAccount ?",
        ),
        (500, &["generalException", "ErrorInternalServerTransientError", "NeverSeen"], "transient unavailable"),
        (501, &["NotImplemented"], "final unsupported"),
        (
            503,
            &["ServiceNotAvailable", "ErrorMailboxStoreUnavailable", "ErrorMailboxMoveInProgress"],
            "transient unavailable",
        ),
        (507, &["ErrorQuotaExceeded", "quotaLimitReached", "NeverSeen"], "final quota_exhausted"),
        (509, &["NeverSeen"], "throttled rate_limited AppAndAccount 900"),
    ];
    for (status, codes, expected) in table {
        for code in codes {
            assert_eq!(on(status, &body(code)), expected, "{status} {code}");
        }
    }
}

#[test]
fn an_answer_without_a_body_or_in_html_is_no_statement_about_what_was_asked_for() {
    let table = [
        (401, "unauthorised permission_denied Refresh"),
        (403, "transient unavailable"),
        (404, "transient unavailable"),
        (408, "transient timeout"),
        (410, "final cursor_expired"),
        (413, "final invalid_input"),
        (429, "throttled rate_limited AppAndAccount ?"),
        (502, "transient unavailable"),
        (504, "transient unavailable"),
    ];
    for (status, expected) in table {
        for body in ["", "<html><body>Sorry</body></html>", "null", "[]", "\"text\"", r#"{"error":null}"#] {
            assert_eq!(on(status, body), expected, "{status} {body:?}");
        }
    }
}

#[test]
fn the_deepest_known_code_counts_in_both_spellings_and_without_an_envelope() {
    let deep = |outer: &str, spelling: &str, inner: &str| {
        let innermost = json!({ "code": inner, "innererror": { "code": "NeverSeen", "message": "" } });
        json!({ "error": { "code": outer, "message": "", spelling: innermost } }).to_string()
    };
    for spelling in ["innerError", "innererror"] {
        assert_eq!(on(400, &deep("BadRequest", spelling, "resyncRequired")), "final cursor_expired");
        assert_eq!(on(404, &deep("NotFound", spelling, "ErrorItemNotFound")), "final not_found");
    }
    assert_eq!(on(404, r#"{"code":"MailboxNotEnabledForRESTAPI","message":"x"}"#), "final permission_denied");
    let endless =
        (0..200).fold(json!({ "code": "resyncRequired" }), |inner, _| json!({ "code": "x", "innerError": inner }));
    assert_eq!(on(400, &json!({ "error": endless }).to_string()), "final invalid_input");
}

#[test]
fn a_missing_mailbox_is_told_from_a_missing_right_and_says_who_acts() {
    let Failure::Final(missing) = with(404, &body("MailboxNotEnabledForRESTAPI"), &[]) else { panic!() };
    let Failure::Final(denied) = with(403, &body("ErrorAccessDenied"), &[]) else { panic!() };
    assert!(is_no_mailbox(&missing) && !is_no_mailbox(&denied));
    assert_eq!(missing.remedy().unwrap().actor, Actor::Administrator);
}

#[test]
fn no_text_of_the_service_gets_into_an_error() {
    for (status, code) in
        [(400, "ann@example.com"), (403, "ErrorAccessDenied"), (429, "x y"), (500, "generalException")]
    {
        let (Failure::Final(error) | Failure::Transient(error) | Failure::Throttled { error, .. }) =
            with(status, &body(code), &[])
        else {
            panic!()
        };
        assert!(!format!("{error} {error:?}").contains("example.com"), "{error:?}");
    }
}

#[test]
fn a_challenge_is_passed_on_as_json_and_everything_else_is_refreshed() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    let header = format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode(claims));
    let plain = "Bearer realm=\"\", error=\"invalid_token\"";
    for status in [401, 403] {
        let failure = with(
            status,
            &body("InvalidAuthenticationToken"),
            &[("www-authenticate", plain), ("www-authenticate", &header)],
        );
        let Failure::Unauthorised(_, AuthAction::Challenge(demanded)) = failure else { panic!("{failure:?}") };
        assert_eq!(demanded, claims);
    }
    let refused = with(401, "", &[("www-authenticate", plain)]);
    assert!(matches!(refused, Failure::Unauthorised(_, AuthAction::Refresh)), "{refused:?}");
}

#[test]
fn throttling_says_until_when_and_whom_it_stops() {
    let throttled = |headers: &[(&str, &str)]| said(&with(429, &body("TooManyRequests"), headers));
    assert_eq!(throttled(&[("retry-after", "30")]), "throttled rate_limited AppAndAccount 30");
    let date = ("retry-after", "Fri, 02 Jan 2026 03:05:05 GMT");
    assert_eq!(throttled(&[date]), "throttled rate_limited AppAndAccount 60");
    let tenant = ("x-ms-throttle-scope", "Tenant_Application/ReadWrite/app/tenant");
    assert_eq!(throttled(&[tenant]), "throttled rate_limited Grant ?");
    let app = ("x-ms-throttle-scope", "Application/ReadWrite/app");
    assert_eq!(throttled(&[app]), "throttled rate_limited App ?");
    let (headers, text) = (HeaderMap::new(), body("TooManyRequests"));
    let status = StatusCode::TOO_MANY_REQUESTS;
    let directory = classify(&HttpFailure::new(operation::ME, status, &headers, text.as_bytes(), at()));
    assert!(matches!(directory, Failure::Throttled { scope: QuotaScope::Grant, .. }), "{directory:?}");
}

#[test]
fn a_busy_service_that_says_until_when_stops_the_mailbox_but_says_not_what_was_done() {
    let wait = ("retry-after", "7");
    for text in [body("ErrorServerBusy"), "<html>".to_owned(), body("NeverSeen")] {
        assert_eq!(said(&with(503, &text, &[wait])), "overloaded unavailable AppAndAccount 7");
        assert_eq!(said(&with(503, &text, &[])), "transient unavailable");
    }
    let Failure::Transient(failed) = with(504, &body("ErrorServerBusy"), &[wait]) else { panic!() };
    assert_eq!((failed.kind(), failed.retry_after().unwrap().as_secs()), (ErrorKind::Unavailable, 7));
}

fn token(status: u16, error: &str, suberror: &str, code: u64) -> TokenFailureClass {
    let text = format!("AADSTS{code}: text about ann@example.com. Trace ID: 0b1c");
    let mut failure = TokenFailure::new(StatusCode::from_u16(status).unwrap(), Some(error), Some(&text));
    failure.subtype = Some(suberror).filter(|suberror| !suberror.is_empty());
    let codes = [code];
    failure.codes = &codes;
    let by_number = classify_token(&failure);
    failure.codes = &[];
    assert_eq!(classify_token(&failure), by_number, "a callback has the number in its text alone");
    by_number
}

fn word(class: &TokenFailureClass) -> (&'static str, Option<Actor>) {
    match class {
        TokenFailureClass::AdminConsent(remedy) => ("admin consent", Some(remedy.actor)),
        TokenFailureClass::AdminPolicy(remedy) => ("policy", Some(remedy.actor)),
        TokenFailureClass::Misconfigured(remedy) => ("misconfigured", Some(remedy.actor)),
        TokenFailureClass::NeedsConsent(remedy) => ("consent", Some(remedy.actor)),
        TokenFailureClass::Revoked(remedy) => ("revoked", Some(remedy.actor)),
        TokenFailureClass::Throttled => ("throttled", None),
        TokenFailureClass::Transient => ("transient", None),
        _ => ("unknown", None),
    }
}

type Row = (&'static str, &'static str, &'static [u64], (&'static str, Option<Actor>));

#[test]
fn every_number_has_its_class_and_who_acts() {
    let operator = ("misconfigured", Some(Actor::Operator));
    let (revoked, consent) = (("revoked", Some(Actor::Person)), ("consent", Some(Actor::Person)));
    let policy = ("policy", Some(Actor::Administrator));
    let table: [Row; 22] = [
        ("invalid_client", "", &[7000222, 7000215, 700025, 700027, 50012, 50013, 1], operator),
        ("unauthorized_client", "", &[700016, 70001, 7000112, 1], operator),
        (
            "invalid_request",
            "",
            &[50011, 7000218, 90014, 900144, 9002313, 90023, 9001023, 50194, 90002, 90019, 90038, 1],
            operator,
        ),
        ("invalid_scope", "", &[70011, 28002, 700022, 1], operator),
        ("invalid_resource", "", &[500011, 650052, 650057, 65005], operator),
        ("invalid_grant", "", &[700005, 700084], operator),
        ("invalid_grant", "", &[50132, 50133, 50173, 70000, 70008, 700082, 54005, 50089, 50126, 90072, 1], revoked),
        ("invalid_grant", "bad_token", &[70000], revoked),
        ("invalid_grant", "token_expired", &[700082], revoked),
        ("invalid_grant", "user_password_expired", &[50055, 50144], revoked),
        ("invalid_grant", "device_authentication_failed", &[1], revoked),
        ("invalid_grant", "", &[50057], ("revoked", Some(Actor::Administrator))),
        ("access_denied", "", &[50020, 50034, 51004, 16000], revoked),
        ("access_denied", "", &[65004, 1], consent),
        ("invalid_grant", "", &[50072, 50074, 50076, 50079, 70043, 65001], consent),
        ("interaction_required", "basic_action", &[50078, 50158, 50076, 1], consent),
        ("login_required", "", &[50058], consent),
        ("invalid_grant", "consent_required", &[65001], consent),
        ("invalid_grant", "message_only", &[50131, 53003, 530032, 53011, 530035, 1], policy),
        ("interaction_required", "additional_action", &[50097, 53000, 53001, 53002, 1], policy),
        ("access_denied", "", &[50105, 50053, 53003], policy),
        ("consent_required", "", &[90094, 90095], ("admin consent", Some(Actor::Administrator))),
    ];
    for (error, suberror, codes, expected) in table {
        for code in codes {
            assert_eq!(word(&token(400, error, suberror, *code)), expected, "{error} {suberror} {code}");
        }
    }
}

#[test]
fn what_passes_is_tried_again_whatever_error_it_comes_with() {
    for code in [50000, 50033, 90006, 90012, 90024, 90033, 90055] {
        for error in ["temporarily_unavailable", "server_error", "invalid_grant", "invalid_request"] {
            assert_eq!(token(400, error, "", code), TokenFailureClass::Transient, "{error} {code}");
        }
    }
    assert_eq!(token(503, "invalid_grant", "", 70000), TokenFailureClass::Transient);
    assert_eq!(token(429, "invalid_grant", "", 90055), TokenFailureClass::Throttled);
    assert_eq!(token(400, "invalid_grant", "", 50196), TokenFailureClass::Throttled, "the service thinks that we loop");
}

#[test]
fn an_expired_secret_is_the_operators_and_says_so() {
    let TokenFailureClass::Misconfigured(remedy) = token(401, "invalid_client", "", 7000222) else { panic!() };
    assert!(remedy.cause.contains("expired"), "{remedy}");
}

#[test]
fn an_administrators_turn_is_known_by_its_number_whatever_the_error() {
    for error in ["access_denied", "consent_required", "invalid_grant", "interaction_required"] {
        assert_eq!(word(&token(400, error, "", 90094)).0, "admin consent", "{error}");
    }
}

#[test]
fn who_says_no_is_the_same_with_and_without_the_number() {
    let plain = classify_token(&TokenFailure::new(StatusCode::BAD_REQUEST, Some("access_denied"), None));
    assert_eq!(token(400, "access_denied", "", 65004), plain);
}

proptest! {
    #[test]
    fn nothing_a_service_answers_makes_the_map_panic(status in 400_u16..600, body in ".{0,200}", header in "[ -~]{0,80}") {
        with(status, &body, &[("www-authenticate", &header), ("retry-after", &header)]);
        let failure = TokenFailure::new(StatusCode::from_u16(status).unwrap(), Some(&header), Some(&body));
        classify_token(&failure);
    }
}

#[test]
fn an_app_that_was_removed_after_a_sign_in_may_be_one_organisations_business() {
    let age = Some(std::time::Duration::from_secs(3600));
    for (number, class) in [(700016, "refused"), (70001, "refused"), (7000112, "refused"), (1, "misconfigured")] {
        let codes = [number];
        let mut failure = TokenFailure::new(StatusCode::BAD_REQUEST, Some("unauthorized_client"), None);
        (failure.codes, failure.grant_age) = (&codes, age);
        let told = match classify_token(&failure) {
            TokenFailureClass::AppRefused { administrator, operator } => {
                assert_eq!((administrator.actor, operator.actor), (Actor::Administrator, Actor::Operator));
                "refused"
            }
            other => word(&other).0,
        };
        assert_eq!(told, class, "{number}");
    }
}
