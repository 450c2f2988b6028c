//! The sandbox's own books: every call it saw, and the sums.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::Mutex,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many calls the log keeps; the sums know all of them.
const LOG_LENGTH: usize = 20_000;

/// One call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallRecord {
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// The service it went to: `google` or `microsoft`.
    #[serde(default)]
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// The path with its variable parts replaced, so that it names no person and no message.
    pub path: String,
    /// What was called, as the service's own description names it.
    pub operation: String,
    /// The answer's status; absent if the connection was broken before one.
    pub status: Option<u16>,
    /// The account the access token stands for, if there was a good one.
    pub account: Option<String>,
    /// Milliseconds of the sandbox's clock until the answer.
    pub duration_ms: u64,
    /// Was it disturbed by a scripted fault?
    pub faulted: bool,
}

/// The sums.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Books {
    /// All calls, a batch counted once.
    pub calls: u64,
    /// Calls by operation.
    pub by_operation: BTreeMap<String, u64>,
    /// Calls by status; `0` where the connection was broken.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests of the token endpoints by grant type.
    pub token_requests: BTreeMap<String, u64>,
    /// Calls disturbed by a scripted fault.
    pub faulted: u64,
    /// The most calls that were in flight at once.
    pub in_flight_peak: u64,
    /// Google's mailbox simulator's own books: inner calls and quota units.
    pub gmail: Value,
    /// Microsoft's mailbox simulator's own books.
    pub graph: Value,
    /// The sums by service: `google` and `microsoft`.
    pub services: BTreeMap<String, ServiceSums>,
}

/// The sums of one service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ServiceSums {
    /// Its calls, a batch counted once.
    pub calls: u64,
    /// Its calls by status; `0` where the connection was broken.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests of its token endpoint by grant type.
    pub token_requests: BTreeMap<String, u64>,
}

impl Books {
    /// Calls of one operation.
    #[must_use]
    pub fn operation(&self, name: &str) -> u64 {
        self.by_operation.get(name).copied().unwrap_or(0)
    }

    /// The sums of one service, `google` or `microsoft`.
    #[must_use]
    pub fn service(&self, name: &str) -> ServiceSums {
        self.services.get(name).cloned().unwrap_or_default()
    }

    /// Requests of the token endpoints with this grant type, over all services.
    #[must_use]
    pub fn token_requests(&self, grant_type: &str) -> u64 {
        self.token_requests.get(grant_type).copied().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
struct Pages {
    sums: Books,
    log: VecDeque<CallRecord>,
    in_flight: u64,
}

/// Where calls are written down.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Pages>);

/// A call in flight; no longer once dropped, also when its caller gave up.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Ledger);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        crate::lock(&self.0.0).in_flight -= 1;
    }
}

impl Ledger {
    pub(crate) fn begin(&self) -> InFlight<'_> {
        let mut pages = crate::lock(&self.0);
        pages.in_flight += 1;
        pages.sums.in_flight_peak = pages.sums.in_flight_peak.max(pages.in_flight);
        InFlight(self)
    }

    pub(crate) fn write(&self, record: CallRecord) {
        let mut pages = crate::lock(&self.0);
        pages.sums.calls += 1;
        *pages.sums.by_operation.entry(record.operation.clone()).or_default() += 1;
        *pages.sums.by_status.entry(record.status.unwrap_or(0)).or_default() += 1;
        pages.sums.faulted += u64::from(record.faulted);
        let service = pages.sums.services.entry(record.service.clone()).or_default();
        service.calls += 1;
        *service.by_status.entry(record.status.unwrap_or(0)).or_default() += 1;
        if pages.log.len() == LOG_LENGTH {
            pages.log.pop_front();
        }
        pages.log.push_back(record);
    }

    pub(crate) fn token_request(&self, service: &str, grant_type: &str) {
        let sums = &mut crate::lock(&self.0).sums;
        *sums.token_requests.entry(grant_type.to_owned()).or_default() += 1;
        let own = sums.services.entry(service.to_owned()).or_default();
        *own.token_requests.entry(grant_type.to_owned()).or_default() += 1;
    }

    pub(crate) fn sums(&self) -> Books {
        crate::lock(&self.0).sums.clone()
    }

    pub(crate) fn restore(&self, sums: Books) {
        crate::lock(&self.0).sums = sums;
    }

    pub(crate) fn log(&self) -> Vec<CallRecord> {
        crate::lock(&self.0).log.iter().cloned().collect()
    }

    /// One line per call, for the output of a failing test.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for call in &crate::lock(&self.0).log {
            let status = call.status.map_or_else(|| "broken".to_owned(), |status| status.to_string());
            let mark = if call.faulted { " (scripted fault)" } else { "" };
            let _ = writeln!(
                text,
                "{} {:6} {} -> {status} in {} ms [{}]{mark}",
                call.at.format("%H:%M:%S%.3f"),
                call.method,
                call.path,
                call.duration_ms,
                call.operation
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(operation: &str, status: Option<u16>) -> CallRecord {
        CallRecord {
            at: DateTime::UNIX_EPOCH,
            service: "google".into(),
            method: "GET".into(),
            path: "/x/{id}".into(),
            operation: operation.into(),
            status,
            account: None,
            duration_ms: 3,
            faulted: status.is_none(),
        }
    }

    #[test]
    fn every_call_is_counted_by_operation_and_status() {
        let ledger = Ledger::default();
        ledger.write(record("a", Some(200)));
        ledger.write(record("a", None));
        let sums = ledger.sums();
        assert_eq!((sums.calls, sums.operation("a"), sums.faulted), (2, 2, 1));
        assert_eq!(sums.by_status, BTreeMap::from([(0, 1), (200, 1)]));
        ledger.token_request("microsoft", "refresh_token");
        let sums = ledger.sums();
        assert_eq!((sums.service("google").calls, sums.service("microsoft").calls), (2, 0));
        assert_eq!(sums.service("microsoft").token_requests, sums.token_requests);
        assert!(ledger.render().contains("/x/{id} -> broken in 3 ms [a] (scripted fault)"));
    }

    #[test]
    fn the_peak_of_calls_in_flight_is_kept() {
        let ledger = Ledger::default();
        let first = ledger.begin();
        drop(ledger.begin());
        drop(first);
        drop(ledger.begin());
        assert_eq!(ledger.sums().in_flight_peak, 2);
    }

    #[test]
    fn the_log_forgets_the_oldest_and_the_sums_do_not() {
        let ledger = Ledger::default();
        for _ in 0..LOG_LENGTH + 5 {
            ledger.write(record("a", Some(200)));
        }
        assert_eq!((ledger.log().len(), ledger.sums().calls), (LOG_LENGTH, LOG_LENGTH as u64 + 5));
    }
}
