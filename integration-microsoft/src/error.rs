//! The one error map. Source: <https://learn.microsoft.com/graph/errors>.
//!
//! What counts is the deepest code that is known, in either spelling of the inner error; the status decides where there is
//! none. The service's own texts never become part of an error, as they carry addresses.

mod challenge;
mod token;

use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    Error, ErrorKind,
    error::{Actor, Remedy, Retry},
    http::{AuthAction, Failure, HttpFailure, QuotaScope},
};
use serde_json::Value;

pub(crate) use token::classify_token;

use crate::who::operation;

/// Bodies of errors nest a little; hostile ones do without end.
const DEEPEST: usize = 8;
/// For limits whose end the service does not name.
const LONG_BACKOFF: TimeDelta = TimeDelta::minutes(15);
const NO_MAILBOX: &str = "there is no mailbox";

/// What a code means, whatever the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    Changed,
    Denied,
    Exists,
    Full,
    Gone,
    Invalid,
    NoAccount,
    NoMailbox,
    Resync,
    TooLarge,
    TooMany,
    Trouble,
}

/// Codes are compared without case: the same ones come in both.
fn meaning(code: &str) -> Option<Meaning> {
    use Meaning::{
        Changed, Denied, Exists, Full, Gone, Invalid, NoAccount, NoMailbox, Resync, TooLarge, TooMany, Trouble,
    };
    Some(match code.to_ascii_lowercase().as_str() {
        "erroraccessdenied" | "accessdenied" | "forbidden" | "authorization_requestdenied" | "errorsendasdenied" => {
            Denied
        }
        "errorirresolvableconflict" | "conditionnotmet" => Changed,
        "errorduplicatetransactionid" | "namealreadyexists" | "errorfolderexists" => Exists,
        "errorquotaexceeded" | "quotalimitreached" => Full,
        // An id that cannot be one is an id of nothing.
        "erroritemnotfound"
        | "itemnotfound"
        | "resourcenotfound"
        | "errorfoldernotfound"
        | "errorinvalididmalformed" => Gone,
        "badrequest"
        | "errorinvalidrequest"
        | "requestbroker--parseuri"
        | "errorpropertyvalidationfailure"
        | "inefficientfilter"
        | "errorinvalidrecipients"
        | "invalidinternetmessageheader" => Invalid,
        "errorinvaliduser" | "request_resourcenotfound" => NoAccount,
        "mailboxnotenabledforrestapi" | "mailboxnotsupportedforrestapi" => NoMailbox,
        "syncstatenotfound"
        | "resyncrequired"
        | "resyncchangesapplydifferences"
        | "resyncchangesuploaddifferences"
        | "errorinvalidsyncstatedata" => Resync,
        "requestentitytoolarge" | "errormessagesizeexceeded" => TooLarge,
        "toomanyrequests" | "applicationthrottled" | "activitylimitreached" => TooMany,
        "generalexception"
        | "servicenotavailable"
        | "unknownerror"
        | "errorinternalservertransienterror"
        | "errormailboxstoreunavailable"
        | "errormailboxmoveinprogress"
        | "errorserverbusy" => Trouble,
        _ => return None,
    })
}

/// A failure with its body read.
struct Answer<'a> {
    failure: &'a HttpFailure<'a>,
    /// From the outermost to the innermost; empty if a front end answered, in HTML or not at all.
    codes: Vec<String>,
}

impl<'a> Answer<'a> {
    fn read(failure: &'a HttpFailure<'a>) -> Self {
        let body: Option<Value> = serde_json::from_slice(failure.body).ok();
        Self { failure, codes: body.as_ref().map(codes).unwrap_or_default() }
    }

    fn error(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, text).with_service("microsoft").with_operation(self.failure.operation)
    }

    fn meaning(&self) -> Option<Meaning> {
        self.codes.iter().rev().find_map(|code| meaning(code))
    }

    /// The deepest code, if it is a plain word: for errors nobody foresaw.
    fn word(&self) -> &str {
        let plain = |word: &&str| {
            (1..=64).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        self.codes.iter().rev().map(String::as_str).find(plain).unwrap_or("no reason given")
    }

    fn transient(&self, text: &str) -> Failure {
        let error = self.error(ErrorKind::Unavailable, text);
        let until = self.failure.retry_after();
        let error = match until.and_then(|until| (until - self.failure.at).to_std().ok()) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        };
        match until {
            // The wait is everybody's, as after too many calls; whether the call was carried out is not said.
            Some(until) if self.failure.status == 503 => Failure::Overloaded { error, until, scope: scope(self) },
            _ => Failure::Transient(error),
        }
    }
}

/// The codes of a body with `error`, or of a bare one without.
fn codes(body: &Value) -> Vec<String> {
    let mut next = Some(body.get("error").unwrap_or(body));
    let mut codes = Vec::new();
    while let Some(error) = next.filter(|_| codes.len() < DEEPEST) {
        let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
        codes.push(code.to_owned());
        next = error.get("innerError").or_else(|| error.get("innererror")).filter(|inner| inner.is_object());
    }
    codes.retain(|code| !code.is_empty());
    codes
}

pub(crate) fn classify(failure: &HttpFailure<'_>) -> Failure {
    let answer = Answer::read(failure);
    match (failure.status.as_u16(), answer.meaning()) {
        (401, _) => unauthorised(&answer),
        (403, _) if challenge::claims(failure.headers).is_some() => unauthorised(&answer),
        (429, _) | (_, Some(Meaning::TooMany)) => too_many(&answer, None),
        (509, _) => too_many(&answer, Some(LONG_BACKOFF)),
        (_, Some(meaning)) => known(&answer, meaning),
        (status, None) => by_status(&answer, status),
    }
}

fn unauthorised(answer: &Answer<'_>) -> Failure {
    let remedy = Remedy::new(
        "Microsoft accepts the sign-in, but not the access token it gave out.",
        Actor::Person,
        "If this lasts, connect the account again.",
    );
    let error = answer.error(ErrorKind::PermissionDenied, "the access token was refused");
    match challenge::claims(answer.failure.headers) {
        Some(claims) => Failure::Unauthorised(error, AuthAction::Challenge(claims)),
        None => Failure::Unauthorised(error.with_remedy(remedy), AuthAction::Refresh),
    }
}

fn known(answer: &Answer<'_>, meaning: Meaning) -> Failure {
    let refused = |kind, text: &str| Failure::Final(answer.error(kind, text));
    match meaning {
        Meaning::Changed => refused(ErrorKind::Conflict, "it was changed meanwhile; read it again"),
        Meaning::Denied => denied(answer),
        Meaning::Exists => refused(ErrorKind::Duplicate, "it exists already"),
        Meaning::Full => full(answer),
        Meaning::Gone => refused(ErrorKind::NotFound, "there is no such thing"),
        Meaning::Invalid => invalid(answer),
        Meaning::NoAccount => {
            let action = "Check that the account still exists and has a licence; then connect it again.";
            let remedy = Remedy::new("The account was removed at Microsoft.", Actor::Administrator, action);
            Failure::Final(answer.error(ErrorKind::PermissionDenied, "there is no such account").with_remedy(remedy))
        }
        Meaning::NoMailbox => {
            let remedy = Remedy::new(
                "The account has no mailbox in Exchange Online: it lies on a server of the organisation's own, has no licence, \
                 or belongs to a guest.",
                Actor::Administrator,
                "Give the account a mailbox in Exchange Online, or connect another one.",
            );
            Failure::Final(answer.error(ErrorKind::PermissionDenied, NO_MAILBOX).with_remedy(remedy))
        }
        Meaning::Resync => refused(ErrorKind::CursorExpired, "the service has forgotten this position"),
        Meaning::TooLarge => refused(ErrorKind::InvalidInput, "it is larger than the service takes"),
        Meaning::TooMany => too_many(answer, None),
        Meaning::Trouble => answer.transient("the service failed"),
    }
}

/// Is it that the account has no mailbox?
pub(crate) fn is_no_mailbox(error: &Error) -> bool {
    error.message() == NO_MAILBOX
}

fn by_status(answer: &Answer<'_>, status: u16) -> Failure {
    let refused = |kind, text: &str| Failure::Final(answer.error(kind, text));
    // A page of a front end is no statement about rights or messages: believing it would delete what is still there.
    let silent = answer.codes.is_empty();
    match status {
        402 => refused(ErrorKind::PermissionDenied, "the account has not paid for this"),
        403 | 404 if silent => answer.transient("the service's front end refused the call"),
        403 => denied(answer),
        // A code nobody knows does not say that the message is gone: believing it would delete what is still there.
        404 => answer.transient(&format!("something was not found ({})", answer.word())),
        408 => Failure::Transient(answer.error(ErrorKind::Timeout, "the service gave up waiting")),
        409 | 412 => refused(ErrorKind::Conflict, "it was changed meanwhile; read it again"),
        410 => refused(ErrorKind::CursorExpired, "the service has forgotten this position"),
        413 => refused(ErrorKind::InvalidInput, "it is larger than the service takes"),
        423 => refused(ErrorKind::Conflict, "it is locked at the service"),
        501 => refused(ErrorKind::Unsupported, "the service does not do this"),
        507 => full(answer),
        500..=599 => answer.transient("the service failed"),
        _ => invalid(answer),
    }
}

fn invalid(answer: &Answer<'_>) -> Failure {
    let text = format!("the service refused the request ({})", answer.word());
    Failure::Final(answer.error(ErrorKind::InvalidInput, &text))
}

/// One 403 for rights that were not granted, mailboxes that were not shared, and policies of the organisation.
fn denied(answer: &Answer<'_>) -> Failure {
    let remedy = Remedy::new(
        "Microsoft does not allow this for the account: a right is missing, or the organisation keeps the app out.",
        Actor::Person,
        "Connect the account again and allow everything; if that does not help, ask an administrator to let the app in.",
    );
    let text = format!("the account may not do this ({})", answer.word());
    Failure::Final(answer.error(ErrorKind::PermissionDenied, &text).with_remedy(remedy))
}

fn full(answer: &Answer<'_>) -> Failure {
    let remedy = Remedy::new("The mailbox is full.", Actor::Person, "Make room in it, or have it enlarged.");
    let error = answer.error(ErrorKind::QuotaExhausted, "the mailbox is full");
    Failure::Final(error.with_retry(Retry::Never).with_remedy(remedy))
}

fn too_many(answer: &Answer<'_>, otherwise: Option<TimeDelta>) -> Failure {
    let at = answer.failure.at;
    let later = |wait| at.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let until = answer.failure.retry_after().or_else(|| otherwise.map(later));
    let error = answer.error(ErrorKind::RateLimited, "too many calls");
    Failure::Throttled { error, until, scope: scope(answer) }
}

/// Who has to wait: the mailbox, unless the directory says that it is the organisation or the app.
fn scope(answer: &Answer<'_>) -> QuotaScope {
    let named = answer.failure.headers.get("x-ms-throttle-scope").and_then(|scope| scope.to_str().ok());
    match named.map(|scope| scope.split('/').next().unwrap_or_default()) {
        Some("Application") => QuotaScope::App,
        Some(_) => QuotaScope::Grant,
        None if matches!(answer.failure.operation, operation::ME | operation::USER) => QuotaScope::Grant,
        None => QuotaScope::AppAndAccount,
    }
}

#[cfg(test)]
mod tests;
