//! One call from its first attempt to its last: the layers between a session and its transport.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tracing::Span;
use url::Url;

use super::{
    admission::{AdmissionKey, AdmissionRequest, Permit},
    body::{Body, ByteStream},
    breaker::BreakerPass,
    call::{Call, Repeat},
    failure::{AuthAction, Failure, HttpFailure},
    quota::QuotaScope,
    retry::{RetryDecision, RetryState},
    session::{AccessToken, SessionParts, consent_needed},
    transport::{TransportError, TransportErrorKind},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result, Retry},
};

/// What of a refusal is read: enough for every error map, not enough to hurt.
const FAILURE_CAP: usize = 64 * 1024;
/// A request id longer than this is not one.
const REQUEST_ID_CAP: usize = 200;

/// A successful answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

pub(super) enum Payload {
    Whole(Bytes),
    Stream(Body, Permit),
}

/// Why an attempt was not the last word.
struct Setback {
    error: Error,
    kind: Kind,
}

enum Kind {
    /// The token does not meet these claims: once more with one that does.
    Challenged(AccessToken, String),
    /// Repeating will not help, or must be left to the schedule.
    Final,
    /// A gateway of the service gave up on it, or we did after the whole time of an attempt: it may be too much, and may
    /// have taken effect.
    GivenUp,
    /// The service asks everyone in the scope to wait until then; the call may have taken effect.
    Overloaded { until: DateTime<Utc>, scope: QuotaScope },
    /// The token was refused: once more with another.
    Refused(AccessToken),
    /// Definitely not done; the service asks everyone in the scope to wait.
    Throttled { until: Option<DateTime<Utc>>, scope: QuotaScope },
    /// It may pass; the call may have taken effect.
    Transient { may_have_taken_effect: bool },
}

impl Setback {
    fn last(error: Error) -> Self {
        Self { error, kind: Kind::Final }
    }
}

/// What the transport brought back within the attempt's time.
enum Exchange {
    Answered(StatusCode, HeaderMap, Option<Bytes>, Option<Body>),
    Broken(TransportError),
}

pub(super) struct Run<'a> {
    parts: &'a SessionParts,
    call: &'a Call,
    request_id_headers: &'a [&'static str],
    streamed: bool,
    timeout: Duration,
    key: AdmissionKey,
    began: DateTime<Utc>,
    waited_for_quota: Duration,
    rejected: Option<AccessToken>,
    /// The claims that the rejected token did not meet.
    challenge: Option<String>,
    request_id: Option<String>,
    /// How many attempts were given up before their end, and whether the last one was.
    given_up: u32,
    last_given_up: bool,
    /// At least one attempt was let go.
    sent: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        parts: &'a SessionParts,
        call: &'a Call,
        request_id_headers: &'a [&'static str],
        streamed: bool,
        timeout: Duration,
    ) -> Self {
        Self {
            parts,
            call,
            request_id_headers,
            streamed,
            timeout,
            key: parts.admission_key(),
            began: parts.clock.now(),
            waited_for_quota: Duration::ZERO,
            rejected: None,
            challenge: None,
            request_id: None,
            given_up: 0,
            last_given_up: false,
            sent: false,
        }
    }

    /// The retry layer.
    pub(super) async fn finish(mut self) -> Result<Answer> {
        let result = self.attempts().await;
        let outcome = result.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok");
        metrics::counter!(
            "integration_http_calls_total",
            "service" => self.service(), "operation" => self.call.operation, "outcome" => outcome
        )
        .increment(1);
        result.map_err(|error| {
            let error = self.label(error).with_given_up(self.last_given_up).with_never_sent(!self.sent);
            Span::current().record("cause", error.kind().as_str());
            tracing::warn!(error = %error, retryable = error.retryable(), "the call failed");
            error
        })
    }

    async fn attempts(&mut self) -> Result<Answer> {
        let url = self.target()?;
        self.parts.retry.on_call();
        let mut attempt = 1;
        loop {
            Span::current().record("attempt", attempt);
            let setback = match self.attempt(&url).await {
                Ok(answer) => return Ok(answer),
                Err(setback) => setback,
            };
            tracing::debug!(attempt, error = %setback.error, "the attempt failed");
            self.last_given_up = matches!(setback.kind, Kind::GivenUp);
            self.given_up += u32::from(self.last_given_up);
            let Some(setback) = self.with_another_token(setback) else { continue };
            let wait = self.next(attempt, setback).await?;
            metrics::counter!(
                "integration_http_retries_total",
                "service" => self.service(), "operation" => self.call.operation
            )
            .increment(1);
            self.parts.clock.sleep(wait).await;
            attempt += 1;
        }
    }

    /// A refused token is no failed attempt: nothing was done, and the repeat differs.
    fn with_another_token(&mut self, setback: Setback) -> Option<Setback> {
        match setback.kind {
            Kind::Challenged(token, claims) => (self.rejected, self.challenge) = (Some(token), Some(claims)),
            Kind::Refused(token) => self.rejected = Some(token),
            _ => return Some(setback),
        }
        None
    }

    /// The wait before the next attempt, or the error if there is none.
    async fn next(&self, attempt: u32, setback: Setback) -> Result<Duration> {
        let now = self.parts.clock.now();
        let safe = !matches!(self.call.repeat, Repeat::Never);
        let (repeatable, asked, scope) = match setback.kind {
            Kind::Challenged(..) | Kind::Final | Kind::Refused(_) => return Err(setback.error),
            Kind::Throttled { until, scope } => (true, until.map(|until| until_from(now, until)), Some(scope)),
            Kind::Overloaded { until, scope } => (safe, Some(until_from(now, until)), Some(scope)),
            Kind::GivenUp => (safe, setback.error.retry_after(), None),
            Kind::Transient { may_have_taken_effect } => {
                (safe || !may_have_taken_effect, setback.error.retry_after(), None)
            }
        };
        if !repeatable {
            if let (Some(scope), Some(wait)) = (scope, asked) {
                self.hold(scope, wait).await;
            }
            let message = "the call may or may not have taken effect; look it up before repeating it";
            return Err(Error::new(ErrorKind::OutcomeUnknown, message).with_source(setback.error));
        }
        let mut error = setback.error.with_retry(Retry::Temporary);
        if let Some(asked) = asked {
            error = error.with_retry_after(asked);
        }
        let passed = (now - self.began).to_std().unwrap_or_default();
        let elapsed = passed.saturating_sub(self.waited_for_quota);
        let state = RetryState { attempt, elapsed, repeatable, asked, jitter: self.parts.random.fraction() };
        let decision = match self.call.attempts {
            Some(most) if self.last_given_up && self.given_up >= most => RetryDecision::Exhausted,
            _ => self.parts.retry.on_error(&state, &error),
        };
        if let Some(scope) = scope {
            // Everyone who shares the quota waits, whether or not this call goes on.
            let wait = match decision {
                RetryDecision::After(wait) => asked.unwrap_or(wait),
                _ => asked.unwrap_or(Duration::from_secs(1 << attempt.min(5))),
            };
            self.hold(scope, wait).await;
        }
        match decision {
            RetryDecision::After(wait) if self.time_left(now).is_none_or(|left| wait < left) => Ok(wait),
            RetryDecision::After(_) | RetryDecision::Exhausted => Err(error.with_retry(Retry::Exhausted)),
            RetryDecision::Permanent => Err(error.with_retry(Retry::Never)),
        }
    }

    async fn hold(&self, scope: QuotaScope, wait: Duration) {
        let now = self.parts.clock.now();
        let until = TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait));
        self.parts.admission.throttled(&self.key, scope, until.unwrap_or(DateTime::<Utc>::MAX_UTC)).await;
    }

    /// Deadline → breaker → admission → auth → attempt timeout → transport.
    async fn attempt(&mut self, url: &Url) -> Result<Answer, Setback> {
        let clock = &self.parts.clock;
        let now = clock.now();
        if self.time_left(now).is_some_and(|left| left.is_zero()) {
            return Err(Setback::last(out_of_time()));
        }
        let pass = self.parts.breaker.enter(now).map_err(|wait| {
            let message = "the connection is left alone for a while after repeated failures";
            let error = Error::new(ErrorKind::Unavailable, message).with_retry_after(wait);
            Setback::last(error.with_retry(Retry::Exhausted))
        })?;
        let permit = self.admit().await?;
        let token = self.token().await?;
        let request = self.request(url, token.as_ref()).map_err(Setback::last)?;
        self.sent = true;
        let exchange = within(&**clock, self.timeout, self.exchange(request))
            .await
            .unwrap_or_else(|| Exchange::Broken(TransportError::new(TransportErrorKind::Timeout, "no answer in time")));
        let now = clock.now();
        match exchange {
            Exchange::Broken(broken) => {
                match broken.kind() {
                    TransportErrorKind::Timeout if self.call.attempts.is_some() => pass.failed_by_itself(now),
                    TransportErrorKind::Connect | TransportErrorKind::Interrupted | TransportErrorKind::Timeout => {
                        pass.failed(now);
                    }
                    TransportErrorKind::Request => {}
                    TransportErrorKind::TooLarge => pass.answered(),
                }
                Err(self.broken(broken))
            }
            Exchange::Answered(status, headers, body, rest) => {
                self.note(status, &headers);
                if passes(status) {
                    pass.answered();
                    let payload = match rest {
                        Some(rest) => Payload::Stream(rest, permit),
                        None => Payload::Whole(body.unwrap_or_default()),
                    };
                    return Ok(Answer { status, headers, payload });
                }
                let body = body.unwrap_or_default();
                Err(self.refused(&HttpFailure::new(self.call.operation, status, &headers, &body, now), pass, token))
            }
        }
    }

    /// Waits for the gate, but not past the deadline.
    async fn admit(&mut self) -> Result<Permit, Setback> {
        let (parts, began) = (self.parts, self.parts.clock.now());
        let priority = self.call.priority.unwrap_or(parts.priority);
        let admitted = parts.admission.admit(AdmissionRequest::new(self.key.clone(), self.call.cost, priority));
        let permit = match self.time_left(began) {
            Some(left) => within(&*parts.clock, left, admitted).await.unwrap_or_else(|| Err(out_of_time())),
            None => admitted.await,
        };
        let waited = (parts.clock.now() - began).to_std().unwrap_or_default();
        self.waited_for_quota += waited;
        metrics::histogram!("integration_quota_wait_seconds", "service" => self.service()).record(waited.as_secs_f64());
        let permit = permit.map_err(Setback::last)?;
        metrics::counter!("integration_quota_units_total", "service" => self.service())
            .increment(self.call.cost.units.into());
        Ok(permit)
    }

    async fn token(&self) -> Result<Option<AccessToken>, Setback> {
        if !self.call.authorised {
            return Ok(None);
        }
        let credentials = &self.parts.credentials;
        let token = match (&self.rejected, &self.challenge) {
            (Some(rejected), Some(claims)) => credentials.meet(rejected, claims).await,
            (rejected, _) => credentials.access(rejected.as_ref()).await,
        };
        // Without a token nothing was sent: whatever is temporary about it may be tried again.
        token.map(Some).map_err(|error| match error.retryable() {
            true => Setback { error, kind: Kind::Transient { may_have_taken_effect: false } },
            false => Setback::last(error),
        })
    }

    /// The request's URL, if the connector may reach it.
    fn target(&self) -> Result<Url> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Misconfigured, message));
        let Ok(url) = Url::parse(&self.call.request.uri().to_string()) else {
            return wrong("the call's URL is not absolute".to_owned());
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("the call's URL carries credentials".to_owned());
        }
        if !self.parts.connector.profile().allows(&url) {
            let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
            return wrong(format!("{scheme}://{host} is not among the hosts of this connector"));
        }
        Ok(url)
    }

    fn request(&self, url: &Url, token: Option<&AccessToken>) -> Result<http::Request<Body>> {
        let mut request = http::Request::new(Body::from(self.call.request.body().clone()));
        *request.method_mut() = self.call.request.method().clone();
        *request.headers_mut() = self.call.request.headers().clone();
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| Error::new(ErrorKind::Misconfigured, "the call's URL cannot be sent"))?;
        request.headers_mut().remove(header::AUTHORIZATION);
        if let Some(token) = token {
            let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.token.expose()));
            let mut value = HeaderValue::from_str(&bearer)
                .map_err(|_| Error::new(ErrorKind::Misconfigured, "the access token cannot be sent in a header"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn exchange(&self, request: http::Request<Body>) -> Exchange {
        let response = match self.parts.transport.execute(request).await {
            Ok(response) => response,
            Err(error) => return Exchange::Broken(error),
        };
        let (head, body) = response.into_parts();
        if !passes(head.status) {
            return Exchange::Answered(head.status, head.headers, Some(beginning(body).await), None);
        }
        if self.streamed {
            return Exchange::Answered(head.status, head.headers, None, Some(body));
        }
        match body.collect(self.call.response_cap).await {
            Ok(body) => Exchange::Answered(head.status, head.headers, Some(body), None),
            Err(error) => Exchange::Broken(error),
        }
    }

    /// What an answer that is no success means for the breaker and for going on.
    fn refused(&self, failure: &HttpFailure<'_>, pass: BreakerPass, token: Option<AccessToken>) -> Setback {
        let classified = self.parts.connector.classify(failure);
        let failed = matches!(classified, Failure::Overloaded { .. } | Failure::Transient(_));
        let given_up = matches!(classified, Failure::Transient(_)) && matches!(failure.status.as_u16(), 502..=504);
        match self.call.attempts {
            _ if !failed || !failure.status.is_server_error() => pass.answered(),
            Some(_) if given_up => pass.failed_by_itself(failure.at),
            _ => pass.failed(failure.at),
        }
        match classified {
            Failure::Final(error) => Setback::last(error),
            Failure::Overloaded { error, until, scope } => Setback { error, kind: Kind::Overloaded { until, scope } },
            Failure::Throttled { error, until, scope } => Setback { error, kind: Kind::Throttled { until, scope } },
            Failure::Transient(error) => {
                // A server that is down may well say until when.
                let asked = failure.retry_after().filter(|_| error.retry_after().is_none());
                let error = match asked {
                    Some(until) => error.with_retry_after(until_from(failure.at, until)),
                    None => error,
                };
                let kind = if given_up { Kind::GivenUp } else { Kind::Transient { may_have_taken_effect: true } };
                Setback { error, kind }
            }
            Failure::Unauthorised(error, AuthAction::Challenge(claims)) => match token {
                // One that was obtained for a challenge and is challenged again would go on for ever.
                Some(token) if self.challenge.is_none() => Setback { error, kind: Kind::Challenged(token, claims) },
                _ => Setback::last(challenged(error, &claims)),
            },
            Failure::Unauthorised(error, AuthAction::Refresh) => match token {
                Some(token) if self.rejected.is_none() => Setback { error, kind: Kind::Refused(token) },
                _ => Setback::last(error),
            },
        }
    }

    fn broken(&self, broken: TransportError) -> Setback {
        let (kind, may_have_taken_effect) = (broken.kind(), broken.may_have_taken_effect());
        let error = transport_error(broken);
        match kind {
            TransportErrorKind::Request => Setback::last(error),
            // For a call that is safe the answer would be as large again; for another it matters that it was done.
            TransportErrorKind::TooLarge if !matches!(self.call.repeat, Repeat::Never) => Setback::last(error),
            TransportErrorKind::Timeout => Setback { error, kind: Kind::GivenUp },
            _ => Setback { error, kind: Kind::Transient { may_have_taken_effect } },
        }
    }

    fn note(&mut self, status: StatusCode, headers: &HeaderMap) {
        let value = self.request_id_headers.iter().find_map(|name| headers.get(*name)?.to_str().ok());
        self.request_id = value.filter(|id| id.len() <= REQUEST_ID_CAP).map(str::to_owned);
        let span = Span::current();
        span.record("status", status.as_u16());
        if let Some(id) = &self.request_id {
            span.record("request_id", id.as_str());
        }
    }

    fn label(&self, mut error: Error) -> Error {
        if error.operation().is_none() {
            error = error.with_operation(self.call.operation);
        }
        if error.service().is_none() {
            error = error.with_service(self.service());
        }
        match &self.request_id {
            Some(id) if error.request_id().is_none() => error.with_request_id(id.clone()),
            _ => error,
        }
    }

    fn time_left(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.parts.deadline.map(|deadline| until_from(now, deadline))
    }

    fn service(&self) -> &'static str {
        self.parts.connector.profile().service
    }
}

/// Success, and the two others that protocols use as answers: not modified, and resume incomplete.
fn passes(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PERMANENT_REDIRECT)
}

fn until_from(now: DateTime<Utc>, until: DateTime<Utc>) -> Duration {
    (until - now).to_std().unwrap_or_default()
}

fn out_of_time() -> Error {
    Error::new(ErrorKind::Timeout, "the time for this work is over").with_retry(Retry::Exhausted)
}

fn challenged(error: Error, claims: &str) -> Error {
    let needed = consent_needed(claims);
    let needed = match error.remedy().cloned() {
        Some(remedy) => needed.with_remedy(remedy.with_claims(claims)),
        None => needed,
    };
    needed.with_source(error)
}

fn transport_error(error: TransportError) -> Error {
    let kind = match error.kind() {
        TransportErrorKind::Connect | TransportErrorKind::Interrupted => ErrorKind::Transport,
        TransportErrorKind::Request => ErrorKind::Misconfigured,
        TransportErrorKind::Timeout => ErrorKind::Timeout,
        TransportErrorKind::TooLarge => ErrorKind::Validation,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// The first bytes of a refusal; a break in it loses the rest, not the status.
async fn beginning(body: Body) -> Bytes {
    let mut chunks = body.into_stream();
    let mut whole = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        let room = FAILURE_CAP - whole.len();
        whole.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if whole.len() == FAILURE_CAP {
            break;
        }
    }
    whole.into()
}

/// The result of `work`, or `None` after `limit`.
async fn within<T>(clock: &dyn Clock, limit: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// Where a streamed answer came from, for its errors.
#[derive(Clone, Copy)]
pub(super) struct Labels {
    pub(super) operation: &'static str,
    pub(super) service: &'static str,
}

/// A body as it arrives: capped, never silent for longer than `timeout`, holding its slot until the end.
pub(super) fn guarded(
    body: Body,
    permit: Permit,
    cap: usize,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    labels: Labels,
) -> ByteStream {
    let start = Some((body.into_stream(), permit, cap));
    let stream = futures_util::stream::unfold(start, move |state| {
        let clock = Arc::clone(&clock);
        async move {
            let (mut chunks, permit, left) = state?;
            let failed = |kind, message: &str| {
                let error = transport_error(TransportError::new(kind, message));
                Some((Err(error.with_operation(labels.operation).with_service(labels.service)), None))
            };
            match within(&*clock, timeout, chunks.next()).await {
                None => failed(TransportErrorKind::Timeout, "the answer stopped arriving"),
                Some(None) => None,
                Some(Some(Err(error))) => {
                    let error = transport_error(error).with_operation(labels.operation).with_service(labels.service);
                    Some((Err(error), None))
                }
                Some(Some(Ok(chunk))) if chunk.len() > left => {
                    failed(TransportErrorKind::TooLarge, &format!("the answer is larger than {cap} bytes"))
                }
                Some(Some(Ok(chunk))) => {
                    let left = left - chunk.len();
                    Some((Ok(chunk), Some((chunks, permit, left))))
                }
            }
        }
    });
    Box::pin(stream)
}
