use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, TryStreamExt};
use tokio::time::Instant;
use url::Url;

use crate::{
    clock::Clock,
    connection::RemoteAccount,
    error::{Error, ErrorKind, Retry},
    http::{
        AccessToken, Admission, AdmissionKey, AdmissionRequest, Breaker, Call, Cost, Credentials, Failure, HttpFailure,
        IdempotencyKey, LocalAdmission, Permit, Priority, QuotaScope, QuotaTable, Repeat, Session, TransportErrorKind,
        Usage,
    },
    ids::AppId,
    secret::SecretText,
    store::inside_transaction,
    testing::{PlainConnector, ScriptedTransport, StaticCredentials, Step, TestSession, test_session, virtual_clock},
};

const OPERATION: &str = "plain.items.get";

fn call_to(url: &str, repeat: Repeat) -> Call {
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    Call::new(OPERATION, request, Cost::units(5), repeat)
}

fn safe() -> Call {
    call_to("https://api.example/items?secret=canary", Repeat::Safe)
}

fn once() -> Call {
    call_to("https://api.example/items", Repeat::Never)
}

fn script(steps: impl IntoIterator<Item = Step>) -> (Arc<ScriptedTransport>, TestSession) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let connector = PlainConnector::new(&Url::parse("https://api.example/").unwrap());
    let session = test_session(Arc::clone(&transport) as Arc<_>, Arc::new(connector));
    (transport, session)
}

fn item() -> Step {
    Step::get("/items")
}

fn times(count: usize, step: impl Fn() -> Step) -> Vec<Step> {
    (0..count).map(|_| step()).collect()
}

async fn fail(session: &Session, call: Call) -> Error {
    session.send(call).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_call_carries_the_token_and_returns_the_answer() {
    let (transport, session) = script([item().answers(200, "body").with_header("x-one", "1")]);
    let response = session.build().send(safe()).await.unwrap();
    transport.finish();
    assert_eq!((response.status.as_u16(), &response.body[..], response.operation), (200, &b"body"[..], OPERATION));
    assert_eq!(response.headers["x-one"], "1");
    let seen = &transport.seen()[0];
    assert_eq!(seen.header("authorization"), Some("Bearer token-1"));
    assert!(seen.headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_call_without_auth_carries_no_token() {
    let (transport, session) = script([item()]);
    session.build().send(safe().without_auth()).await.unwrap();
    assert_eq!(transport.seen()[0].header("authorization"), None);
}

#[tokio::test(start_paused = true)]
async fn not_modified_and_resume_incomplete_are_answers() {
    let (_, session) = script([item().answers(304, ""), item().answers(308, "")]);
    let session = session.build();
    assert_eq!(session.send(safe()).await.unwrap().status, 304);
    assert_eq!(session.send(once()).await.unwrap().status, 308);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_json_names_operation_and_service() {
    let (_, session) = script([item().answers(200, "<html>")]);
    let session = session.build();
    let error = session.send(safe()).await.unwrap().json::<serde_json::Value>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
    assert_eq!(error.service(), Some(session.parts().connector.profile().service));
    assert!(error.operation().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_no_answer() {
    let (_, session) = script([item().answers(302, "")]);
    assert_eq!(fail(&session.build(), safe()).await.kind(), ErrorKind::Validation);
}

#[tokio::test(start_paused = true)]
async fn other_hosts_ports_schemes_and_urls_with_credentials_are_refused() {
    let (transport, session) = script([]);
    let session = session.build();
    for url in [
        "https://other.example/items",
        "http://api.example/items",
        "https://api.example:8443/items",
        "https://api.example.evil.example/items",
        "https://api.example@evil.example/items",
        "/items",
    ] {
        let error = fail(&session, call_to(url, Repeat::Safe).without_auth()).await;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_inside_our_own_transaction() {
    let (transport, session) = script([]);
    let session = session.build();
    let error = inside_transaction(fail(&session, safe())).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let streamed = inside_transaction(session.stream(safe())).await;
    assert_eq!(streamed.err().map(|error| error.kind()), Some(ErrorKind::Misconfigured));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_retried_with_growing_waits() {
    let (transport, session) = script([item().answers(503, ""), item().answers(500, ""), item().answers(200, "ok")]);
    let began = Instant::now();
    session.build().send(safe()).await.unwrap();
    transport.finish();
    let waited = began.elapsed().as_secs_f64();
    assert!((2.2..=2.3).contains(&waited), "three quarters of one second, then of two: {waited}");
}

#[tokio::test(start_paused = true)]
async fn spent_attempts_leave_the_next_try_to_the_schedule() {
    let down = || item().answers(503, "").with_header("x-request-id", "r-7");
    let (transport, session) = script(times(5, down));
    let error = fail(&session.build(), safe()).await;
    transport.finish();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    assert!(!error.retryable());
    assert_eq!((error.operation(), error.service(), error.request_id()), (Some(OPERATION), Some("plain"), Some("r-7")));
}

#[tokio::test(start_paused = true)]
async fn the_connector_may_name_another_request_id_header() {
    let (_, session) =
        script([item().answers(404, "").with_header("x-trace", "t-1").with_header("x-request-id", "no")]);
    let session = session.build().with_request_id_headers(&["x-trace"]);
    assert_eq!(fail(&session.with_priority(Priority::Live), safe()).await.request_id(), Some("t-1"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_retried() {
    let (transport, session) = script([item().answers(404, "")]);
    let error = fail(&session.build(), safe()).await;
    transport.finish();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Never));
}

#[tokio::test(start_paused = true)]
async fn retry_after_in_seconds_is_obeyed() {
    let (_, session) = script([item().answers(429, "").with_header("retry-after", "17"), item()]);
    let began = Instant::now();
    session.build().send(safe()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_a_server_error_is_obeyed_too() {
    let (_, session) = script([item().answers(502, "").with_header("retry-after", "17"), item()]);
    let began = Instant::now();
    session.build().send(safe()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn retry_after_as_a_date_is_obeyed() {
    // The virtual clock starts at 09:00:00.
    let date = "Mon, 02 Mar 2026 09:00:23 GMT";
    let (_, session) = script([item().answers(429, "").with_header("retry-after", date), item()]);
    let began = Instant::now();
    session.build().send(once()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 23);
}

#[tokio::test(start_paused = true)]
async fn an_asked_wait_beyond_the_budget_is_handed_to_the_caller() {
    let (transport, session) = script([item().answers(429, "").with_header("retry-after", "600")]);
    let began = Instant::now();
    let error = fail(&session.build(), safe()).await;
    transport.finish();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Exhausted));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

fn local(clock: &Arc<impl Clock>) -> Arc<LocalAdmission> {
    let table = QuotaTable::unlimited("slots").with_concurrency(1);
    Arc::new(LocalAdmission::new(Arc::clone(clock) as Arc<_>).with_table(AppId::new("app"), table))
}

#[tokio::test(start_paused = true)]
async fn a_complaint_holds_everyone_who_shares_the_quota() {
    let clock = virtual_clock();
    let gate = local(&clock);
    let steps = [item().answers(429, "").with_header("retry-after", "600"), item()];
    let (_, session) = script(steps);
    let session = session.with_admission(gate).with_clock(clock).build();
    fail(&session, safe()).await;
    let began = Instant::now();
    session.send(safe()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_service_that_says_until_when_holds_everyone_and_nothing_is_done_twice() {
    let clock = virtual_clock();
    let busy = || item().answers(503, "").with_header("retry-after", "600");
    let (transport, session) = script([busy(), item(), busy(), item()]);
    let session = session.with_admission(local(&clock)).with_clock(clock).build();
    for (call, kind) in [(safe(), ErrorKind::Unavailable), (once(), ErrorKind::OutcomeUnknown)] {
        let error = fail(&session, call.with_attempts(1)).await;
        assert_eq!((error.kind(), error.was_given_up()), (kind, false));
        let began = Instant::now();
        session.send(safe()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 600);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_refused_inner_call_of_a_batch_holds_everyone_too() {
    let clock = virtual_clock();
    let (_, session) = script([item(), item()]);
    let session = session.with_admission(local(&clock)).with_clock(Arc::clone(&clock) as Arc<_>).build();
    let mut headers = http::HeaderMap::new();
    for (status, wait) in [(429, 2), (503, 7)] {
        let status = http::StatusCode::from_u16(status).unwrap();
        let failure = session.report(&HttpFailure::new(OPERATION, status, &headers, b"", clock.now())).await;
        assert!(matches!(failure, Failure::Throttled { .. } | Failure::Overloaded { .. }), "{failure:?}");
        let began = Instant::now();
        session.send(safe()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), wait);
        headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("7"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_not_be_repeated_is_not_repeated_once_it_may_have_arrived() {
    for step in [
        item().fails(TransportErrorKind::Interrupted),
        item().fails(TransportErrorKind::Timeout),
        item().answers(503, ""),
        item().hangs(),
        item().answers_pieces(200, vec![Ok(Bytes::from_static(b"half")), Err(TransportErrorKind::Interrupted)]),
    ] {
        let (transport, session) = script([step]);
        let error = fail(&session.build(), once()).await;
        transport.finish();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::OutcomeUnknown, Retry::Never));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_not_be_repeated_is_repeated_when_it_cannot_have_taken_effect() {
    let (transport, session) =
        script([item().fails(TransportErrorKind::Connect), item().answers(429, ""), item().answers(401, ""), item()]);
    session.build().send(once()).await.unwrap();
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_key_is_repeated() {
    let (transport, session) = script([item().fails(TransportErrorKind::Interrupted), item()]);
    let call = call_to("https://api.example/items", Repeat::SafeWithKey(IdempotencyKey::new("k")));
    session.build().send(call).await.unwrap();
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_sent_is_not_retried() {
    let (transport, session) = script([item().fails(TransportErrorKind::Request)]);
    assert_eq!(fail(&session.build(), safe()).await.kind(), ErrorKind::Misconfigured);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let (transport, session) = script([item().answers(401, ""), item()]);
    let credentials = Arc::new(StaticCredentials::default());
    let session = session.with_credentials(Arc::clone(&credentials) as Arc<dyn Credentials>);
    session.build().send(once()).await.unwrap();
    assert_eq!(credentials.rejections(), 1);
    let tokens: Vec<_> = transport.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_refused_token_is_final() {
    let (transport, session) = script(times(2, || item().answers(401, "")));
    let error = fail(&session.build(), safe()).await;
    transport.finish();
    assert_eq!(error.kind(), ErrorKind::ReauthorisationNeeded);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_asks_for_consent_and_says_who_acts() {
    let (transport, session) = script([item().answers(401, "").with_header("x-claims", "more")]);
    let error = fail(&session.build(), safe()).await;
    transport.finish();
    assert_eq!(error.kind(), ErrorKind::NeedsConsent);
    assert_eq!(
        error.remedy().unwrap().claims.as_deref(),
        Some("more"),
        "the claims are kept for the new authorisation"
    );
}

/// Meets every challenge with a token that says so.
#[derive(Debug, Default)]
struct Meeting(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Credentials for Meeting {
    async fn access(&self, _: Option<&AccessToken>) -> crate::Result<AccessToken> {
        Ok(AccessToken::new(SecretText::new("plain"), DateTime::<Utc>::MAX_UTC))
    }

    async fn meet(&self, rejected: &AccessToken, claims: &str) -> crate::Result<AccessToken> {
        self.0.lock().unwrap().push(format!("{} {claims}", rejected.token.expose()));
        Ok(AccessToken::new(SecretText::new("proved"), DateTime::<Utc>::MAX_UTC))
    }
}

#[tokio::test(start_paused = true)]
async fn a_challenge_is_met_with_another_token_before_anybody_is_asked() {
    let challenge = || item().answers(401, "").with_header("x-claims", "more");
    let (transport, session) = script([challenge(), item(), challenge(), challenge()]);
    let meeting = Arc::new(Meeting::default());
    let session = session.with_credentials(Arc::clone(&meeting) as _).build();
    session.send(safe()).await.unwrap();
    assert_eq!(*meeting.0.lock().unwrap(), ["plain more"]);
    let error = fail(&session, safe()).await;
    transport.finish();
    assert_eq!(error.kind(), ErrorKind::NeedsConsent, "a second challenge is the person's");
    assert_eq!(error.remedy().unwrap().claims.as_deref(), Some("more"));
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_leave_the_connection_alone() {
    let (transport, session) = script(times(5, || item().answers(503, "")));
    let session = session.with_breaker(Arc::new(Breaker::default())).build();
    fail(&session, safe()).await;
    let error = fail(&session, safe()).await;
    transport.finish();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    assert!(error.retry_after().is_some());
    tokio::time::sleep(Duration::from_secs(30)).await;
    transport.push(item());
    session.send(safe()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refusals_never_open_the_breaker() {
    let refusals =
        [400, 403, 404, 429, 401, 401].map(|status| item().answers(status, "").with_header("retry-after", "99"));
    let (transport, session) = script(refusals.into_iter().chain(times(3, || item().answers(404, ""))));
    let session = session.build();
    for _ in 0..8 {
        fail(&session, safe()).await;
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_call_with_few_attempts_gives_up_early_waits_when_told_to_and_does_not_open_the_breaker() {
    let busy = item().answers(429, "").with_header("retry-after", "1");
    let failing = times(7, || item().answers(504, ""));
    let (transport, session) = script(failing.into_iter().chain([item().hangs(), busy, item(), item()]));
    let session = session.build();
    for _ in 0..7 {
        let error = fail(&session, safe().with_attempts(1)).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
        assert!(error.was_given_up());
    }
    let late = safe().with_attempts(1).with_timeout(Duration::from_secs(3));
    let error = fail(&session, late).await;
    assert_eq!((error.kind(), error.was_given_up()), (ErrorKind::Timeout, true));
    session.send(safe().with_attempts(1)).await.unwrap();
    session.send(safe()).await.unwrap();
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn few_attempts_are_no_fewer_for_connections_that_break_and_errors_that_pass() {
    let broken = || [item().fails(TransportErrorKind::Connect), item().fails(TransportErrorKind::Interrupted)];
    let steps = broken().into_iter().chain([item().answers(500, ""), item()]).chain(broken()).chain([
        item().answers(504, ""),
        item().answers(504, ""),
        item(),
    ]);
    let (transport, session) = script(steps);
    let session = session.build();
    session.send(safe().with_attempts(1)).await.unwrap();
    let error = fail(&session, safe().with_attempts(2)).await;
    assert!(error.was_given_up(), "two of the four were given up");
    session.send(safe()).await.unwrap();
    transport.finish();
}

/// Knows no token, for the reason that a call was given up.
#[derive(Debug)]
struct GivenUp;

#[async_trait::async_trait]
impl Credentials for GivenUp {
    async fn access(&self, _: Option<&AccessToken>) -> crate::Result<AccessToken> {
        Err(Error::new(ErrorKind::Timeout, "no token in time").with_retry(Retry::Exhausted).with_given_up(true))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_let_go_was_not_given_up() {
    let (_, session) = script([]);
    let tokenless = session.with_credentials(Arc::new(GivenUp)).build();
    let clock = virtual_clock();
    let (_, session) = script([]);
    let late = session.with_deadline(clock.now()).with_clock(clock).build();
    let (_, session) = script(times(5, || item().answers(503, "")));
    let broken = session.with_breaker(Arc::new(Breaker::default())).build();
    let sent = fail(&broken, safe()).await;
    assert!(sent.was_given_up() && !sent.was_never_sent());
    for (session, kind) in
        [(tokenless, ErrorKind::Timeout), (late, ErrorKind::Timeout), (broken, ErrorKind::Unavailable)]
    {
        let error = fail(&session, safe().with_attempts(1)).await;
        assert_eq!((error.kind(), error.was_given_up(), error.was_never_sent()), (kind, false, true), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_its_timeout() {
    let (transport, session) = script([item().hangs(), item()]);
    let began = Instant::now();
    session.build().send(safe().with_timeout(Duration::from_secs(3))).await.unwrap();
    transport.finish();
    let passed = began.elapsed().as_secs_f64();
    assert!((3.75..3.76).contains(&passed), "three seconds, then three quarters of one: {passed}");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_after_the_deadline() {
    let clock = virtual_clock();
    let (transport, session) = script([item().answers(503, "")]);
    let session = session.with_deadline(clock.now() + TimeDelta::milliseconds(500)).with_clock(clock).build();
    let error = fail(&session, safe()).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fail(&session, safe()).await.kind(), ErrorKind::Timeout);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn the_gate_is_not_waited_for_past_the_deadline() {
    let clock = virtual_clock();
    let gate = local(&clock);
    let key = AdmissionKey::new(AppId::new("app"), Some("account".into()), Some("grant".into()));
    let taken = gate.admit(AdmissionRequest::new(key, Cost::units(1), Priority::Live)).await.unwrap();
    let (transport, session) = script([]);
    let deadline = clock.now() + TimeDelta::seconds(5);
    let session = session.with_admission(gate).with_deadline(deadline).with_clock(clock).build();
    let began = Instant::now();
    assert_eq!(fail(&session, safe()).await.kind(), ErrorKind::Timeout);
    assert_eq!(began.elapsed().as_secs(), 5);
    transport.finish();
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_cap_is_refused_and_not_asked_for_again() {
    let (transport, session) = script([item().answers(200, vec![0; 101])]);
    let error = fail(&session.build(), safe().with_response_cap(100)).await;
    transport.finish();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Validation, Retry::Never));
}

#[tokio::test(start_paused = true)]
async fn a_huge_refusal_still_says_what_it_is() {
    let pieces = (0..100).map(|_| Ok(Bytes::from(vec![b'x'; 10_000]))).collect();
    let (_, session) = script([item().answers_pieces(404, pieces)]);
    assert_eq!(fail(&session.build(), safe()).await.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_retried_before_its_first_byte_only() {
    let broken = vec![Ok(Bytes::from_static(b"half")), Err(TransportErrorKind::Interrupted)];
    let (transport, session) = script([item().answers(503, ""), item().answers_pieces(200, broken)]);
    let mut stream = session.build().stream(safe()).await.unwrap();
    assert_eq!(stream.try_next().await.unwrap().unwrap(), "half");
    let error = stream.try_next().await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Transport, Some(OPERATION)));
    assert!(stream.try_next().await.unwrap().is_none());
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_an_error_beyond_the_cap() {
    let pieces = (0..3).map(|_| Ok(Bytes::from_static(b"0123456789"))).collect();
    let (_, session) = script([item().answers_pieces(200, pieces)]);
    let stream = session.build().stream(safe().with_response_cap(25)).await.unwrap();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_slot_until_it_ends() {
    let clock = virtual_clock();
    let (_, session) = script([item().answers(200, "one"), item()]);
    let session = session.with_admission(local(&clock)).with_clock(clock).build();
    let stream = session.stream(safe()).await.unwrap();
    let mut second = Box::pin(session.send(safe()));
    assert!((&mut second).now_or_never().is_none());
    drop(stream);
    second.await.unwrap();
}

/// Gives way to whoever looks at it, and remembers who asked.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<AdmissionRequest>>);

#[async_trait::async_trait]
impl Admission for Asked {
    async fn admit(&self, request: AdmissionRequest) -> crate::Result<Permit> {
        self.0.lock().unwrap().push(request);
        Ok(Permit::new(|| {}))
    }

    async fn throttled(&self, _: &AdmissionKey, _: QuotaScope, _: DateTime<Utc>) {}

    async fn usage(&self, _: &AdmissionKey) -> Usage {
        Usage::default()
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_pays_with_its_cost_and_priority_for_its_account() {
    let asked = Arc::new(Asked::default());
    let (_, session) = script([item().answers(503, ""), item(), item()]);
    let session = session.with_admission(Arc::clone(&asked) as Arc<_>).with_priority(Priority::Background).build();
    session.send(safe()).await.unwrap();
    session.send(safe().with_priority(Priority::Live)).await.unwrap();
    let asked = asked.0.lock().unwrap();
    let priorities: Vec<_> = asked.iter().map(|request| request.priority).collect();
    assert_eq!(priorities, [Priority::Background, Priority::Background, Priority::Live]);
    assert!(asked.iter().all(|request| request.cost.units == 5));
    assert!(asked.iter().all(|request| request.key.account.as_deref() == Some("account")));
}

fn nothing_secret_in(text: impl fmt::Display) {
    let text = text.to_string();
    for secret in ["token-1", "canary", "anna@", "Bearer"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_or_personal_shows_in_debug_or_errors() {
    let body = "canary body";
    let (_, session) = script([item().answers(200, body).with_header("x-a", "canary"), item().answers(400, body)]);
    let account = RemoteAccount::new("account", "anna@customer.example").with_address("anna@customer.example");
    let session = session.with_account("connection", account).build();
    nothing_secret_in(format!("{session:?} {:?}", session.parts()));
    nothing_secret_in(format!("{:?}", safe()));
    nothing_secret_in(format!("{:?}", session.send(safe()).await.unwrap()));
    let error = fail(&session, safe()).await;
    nothing_secret_in(format!("{error:?} {error}"));
    let headers = http::HeaderMap::from_iter([(http::header::SET_COOKIE, "canary".parse().unwrap())]);
    let failure = HttpFailure::new(OPERATION, http::StatusCode::OK, &headers, body.as_bytes(), Utc::now());
    nothing_secret_in(format!("{failure:?}"));
}
