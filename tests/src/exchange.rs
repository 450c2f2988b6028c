//! One request from arrival to answer: books, faults, access, the simulated service, validation.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, HOST},
};

use crate::{
    Inner, Sandbox,
    books::{CallRecord, InFlight},
    call::ApiAnswer,
    control,
    faults::{FaultAction, Verdict},
    form::Form,
    microsoft,
};

/// A simulated service as the frame sees it.
pub(crate) trait Service: Sync {
    /// Its name in the books.
    const NAME: &'static str;
    /// Whom an access token stands for.
    type Caller: Send + Sync;
    /// Places of a mailbox that a call holds while it is under way.
    type Held: Send + Sync;

    /// Whom a request's access token stands for, if it is a good one.
    fn caller(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Option<Self::Caller>;

    /// The caller's account, for the books.
    fn account<'a>(&self, caller: &'a Self::Caller) -> &'a str;

    /// Is the path one of the mail API, whose calls take places and time?
    fn is_mail(&self, path: &str) -> bool;

    /// Is the path that of a token endpoint?
    fn is_token_endpoint(&self, path: &str) -> bool;

    /// Takes the places that a call of the mail API needs; nothing if all are taken.
    fn enter(&self, caller: &Self::Caller, request: &Request<Bytes>) -> Option<Self::Held>;

    /// Answers. A call of the mail API by a known caller that holds no place is refused for that.
    fn answer(&self, request: &Request<Bytes>, arrived: &Arrived<'_, Self>) -> ApiAnswer;
}

/// What the frame knows of a request when a service answers it.
#[derive(Debug)]
pub(crate) struct Arrived<'a, S: Service + ?Sized> {
    pub(crate) caller: Option<&'a S::Caller>,
    pub(crate) held: Option<&'a S::Held>,
    /// Where the client reaches the sandbox.
    pub(crate) origin: &'a str,
    pub(crate) now: DateTime<Utc>,
}

/// What a client gets to see.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The connection breaks without an answer.
    Broken,
    /// The body breaks off after so many bytes.
    Truncated(ApiAnswer, usize),
    /// The answer.
    Whole(ApiAnswer),
}

impl Delivery {
    /// Every server says when it answered.
    fn dated(mut self, now: DateTime<Utc>) -> Self {
        if let Self::Truncated(answer, _) | Self::Whole(answer) = &mut self
            && let Ok(date) = HeaderValue::from_str(&now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        {
            answer.headers_mut().entry(DATE).or_insert(date);
        }
        self
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Broken => None,
            Self::Truncated(answer, _) | Self::Whole(answer) => Some(answer.status().as_u16()),
        }
    }
}

/// A line in the books, written when the call ends, also when its caller gave up waiting.
struct Entry<'a> {
    inner: &'a Inner,
    record: Option<CallRecord>,
    started: DateTime<Utc>,
    _in_flight: InFlight<'a>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            let took = (self.inner.clock.now() - self.started).num_milliseconds();
            record.duration_ms = u64::try_from(took).unwrap_or(0);
            self.inner.ledger.write(record);
        }
    }
}

impl Sandbox {
    /// Handles one request.
    pub(crate) async fn exchange(&self, request: Request<Bytes>) -> Delivery {
        if request.uri().path().starts_with("/sandbox/") {
            return Delivery::Whole(control::answer(self, &request));
        }
        if microsoft::owns(request.uri().path()) {
            self.exchange_with(&self.inner.microsoft, request).await
        } else {
            self.exchange_with(&self.inner.google, request).await
        }
    }

    async fn exchange_with<S: Service>(&self, service: &S, request: Request<Bytes>) -> Delivery {
        let inner = &*self.inner;
        let (method, path) = (request.method().as_str(), request.uri().path());
        let place = inner.validator.place(method, path);
        let verdict = inner.script.judge(method, path, &place.operation);
        let started = inner.clock.now();
        let mut entry = Entry {
            inner,
            started,
            record: Some(CallRecord {
                at: started,
                service: S::NAME.to_owned(),
                method: method.to_owned(),
                path: place.template,
                operation: place.operation,
                status: None,
                account: None,
                duration_ms: 0,
                faulted: verdict.action.is_some() || !verdict.delay.is_zero(),
            }),
            _in_flight: inner.ledger.begin(),
        };
        let delivery = self.act(service, &request, verdict, &mut entry).await;
        if service.is_token_endpoint(path) {
            let delay = *crate::lock(&inner.token_delay);
            self.wait(delay).await;
        }
        delivery.dated(inner.clock.now())
    }

    async fn wait(&self, duration: Duration) {
        if !duration.is_zero() {
            self.inner.clock.sleep(duration).await;
        }
    }

    async fn act<S: Service>(
        &self,
        service: &S,
        request: &Request<Bytes>,
        verdict: Verdict,
        entry: &mut Entry<'_>,
    ) -> Delivery {
        let inner = &*self.inner;
        let path = request.uri().path();
        if service.is_token_endpoint(path) {
            let form = Form::parse(request.body());
            inner.ledger.token_request(S::NAME, form.one("grant_type").unwrap_or("none"));
        }
        let caller = service.caller(request, entry.started);
        if let (Some(record), Some(caller)) = (entry.record.as_mut(), &caller) {
            record.account = Some(service.account(caller).to_owned()).filter(|account| !account.is_empty());
        }
        let mail = service.is_mail(path);
        // Places are taken while the call is under way, so that a delay keeps them occupied.
        let places = caller.as_ref().filter(|_| mail).map(|caller| service.enter(caller, request));
        let refused = matches!(places, Some(None));
        if !refused {
            self.wait(verdict.delay + if mail { inner.latency } else { Duration::ZERO }).await;
        }
        let delivery = match &verdict.action {
            Some(FaultAction::ResetBefore) => Some(Delivery::Broken),
            Some(FaultAction::Status { status, headers, body }) => {
                Some(Delivery::Whole(scripted(*status, headers, body)))
            }
            _ => None,
        };
        let delivery = delivery.inspect(|_| inner.validator.check(request, None)).unwrap_or_else(|| {
            let held = places.as_ref().and_then(Option::as_ref);
            let (origin, now) = (origin(request), inner.clock.now());
            let answer = service.answer(request, &Arrived { caller: caller.as_ref(), held, origin: &origin, now });
            inner.validator.check(request, Some(&answer));
            self.touch();
            disturb(answer, verdict.action.as_ref())
        });
        if let Some(record) = entry.record.as_mut() {
            record.status = delivery.status();
        }
        delivery
    }
}

/// Where the client reaches the sandbox, as its request says.
fn origin(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        return format!("{scheme}://{authority}");
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.map_or_else(|| crate::ORIGIN.to_owned(), |host| format!("http://{host}"))
}

fn scripted(status: u16, headers: &std::collections::BTreeMap<String, String>, body: &str) -> ApiAnswer {
    let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if body.starts_with('{') { "application/json; charset=UTF-8" } else { "text/html; charset=UTF-8" };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn disturb(mut answer: ApiAnswer, action: Option<&FaultAction>) -> Delivery {
    match action {
        Some(FaultAction::ResetAfter) => Delivery::Broken,
        Some(FaultAction::TruncateBody) => {
            let half = answer.body().len() / 2;
            Delivery::Truncated(answer, half)
        }
        Some(FaultAction::WrongContentType { content_type }) => {
            if let Ok(value) = HeaderValue::from_str(content_type) {
                answer.headers_mut().insert(CONTENT_TYPE, value);
            }
            Delivery::Whole(answer)
        }
        _ => Delivery::Whole(answer),
    }
}
