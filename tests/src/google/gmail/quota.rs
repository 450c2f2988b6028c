//! The ledger of units, places of calls under way, and the service's own books.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Gmail;
use super::answer::Refusal;
use super::settings::{GmailSettings, QuotaRefusal};
use crate::google::call::ApiCall;

const MINUTE_MS: i64 = 60_000;

/// What the service counted since it began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct GmailBooks {
    /// Calls answered or refused; each inner call of a batch is one, the envelope is none.
    pub requests: u64,
    /// Batch envelopes.
    pub batches: u64,
    /// Calls that came inside batches; `requests - inner_calls + batches` is the number of HTTP requests.
    pub inner_calls: u64,
    /// Units charged.
    pub units: u64,
    /// Calls and units by method id.
    pub by_method: BTreeMap<String, (u64, u64)>,
    /// Calls refused for quota, concurrency or scope; they cost nothing.
    pub rejected: u64,
    /// Most units that one mailbox used within any 60 seconds.
    pub peak_units_per_minute: u64,
    /// Most units that one app used within any 60 seconds.
    #[serde(default)]
    pub peak_app_units_per_minute: u64,
    /// Units by calendar minute, counted from the epoch.
    pub units_by_minute: BTreeMap<i64, u64>,
    /// The same by mailbox.
    pub per_account: BTreeMap<String, AccountBooks>,
}

/// What the service counted of one mailbox.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AccountBooks {
    /// Calls answered or refused.
    pub requests: u64,
    /// Units charged.
    pub units: u64,
    /// Calls refused for quota, concurrency or scope.
    pub rejected: u64,
    /// Most units within any 60 seconds.
    pub peak_units_per_minute: u64,
}

/// Units of the last minute.
#[derive(Debug, Default)]
struct Window {
    charges: VecDeque<(i64, u64)>,
    sum: u64,
    /// The running calendar minute and its units.
    calendar: (i64, u64),
}

impl Window {
    fn pass(&mut self, now_ms: i64) {
        while let Some((_, units)) = self.charges.front().filter(|(at, _)| *at <= now_ms - MINUTE_MS) {
            self.sum -= units;
            self.charges.pop_front();
        }
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.calendar.0 != minute {
            self.calendar = (minute, 0);
        }
    }

    fn fits(&self, units: u64, limit: u64, calendar: bool) -> bool {
        self.sum + units <= limit && (!calendar || self.calendar.1 + units <= limit)
    }

    fn charge(&mut self, now_ms: i64, units: u64) {
        self.charges.push_back((now_ms, units));
        self.sum += units;
        self.calendar.1 += units;
    }

    /// When so many units would fit again, if nobody else comes.
    fn free_at(&self, now_ms: i64, units: u64, limit: u64, calendar: bool) -> i64 {
        let mut left = self.sum;
        let mut at = now_ms;
        for (charged, cost) in &self.charges {
            if left + units <= limit {
                break;
            }
            left -= cost;
            at = charged + MINUTE_MS;
        }
        let over = calendar && self.calendar.1 + units > limit;
        if over { at.max((self.calendar.0 + 1) * MINUTE_MS) } else { at }
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Quota {
    books: GmailBooks,
    /// By mailbox and app: the quota of a user counts within one project.
    users: BTreeMap<(String, String), Window>,
    apps: BTreeMap<String, Window>,
    /// By mailbox over all apps, for the books only.
    peaks: BTreeMap<String, Window>,
    under_way: BTreeMap<String, u32>,
    refusals: u64,
}

impl Quota {
    pub(super) fn restored(books: GmailBooks) -> Self {
        Self { books, ..Self::default() }
    }

    pub(super) fn books(&self) -> GmailBooks {
        self.books.clone()
    }

    pub(super) fn note_batch(&mut self, inner: u64) {
        self.books.batches += 1;
        self.books.inner_calls += inner;
    }

    /// Charges a call, or refuses it.
    pub(super) fn charge(
        &mut self,
        settings: &GmailSettings,
        call: &ApiCall<'_>,
        id: &str,
        units: u64,
    ) -> Result<(), Refusal> {
        let now_ms = call.now.timestamp_millis();
        if let Err(refusal) = self.check(settings, call, now_ms, units) {
            self.reject(call, id);
            return Err(refusal);
        }
        self.users.entry(key(call)).or_default().charge(now_ms, units);
        let app = self.apps.entry(call.app.to_owned()).or_default();
        app.charge(now_ms, units);
        self.books.peak_app_units_per_minute = self.books.peak_app_units_per_minute.max(app.sum);
        let peak = self.peaks.entry(call.account.to_owned()).or_default();
        peak.pass(now_ms);
        peak.charge(now_ms, units);
        let peak = peak.sum;
        let books = &mut self.books;
        books.requests += 1;
        books.units += units;
        books.peak_units_per_minute = books.peak_units_per_minute.max(peak);
        *books.units_by_minute.entry(now_ms.div_euclid(MINUTE_MS)).or_default() += units;
        let method = books.by_method.entry(id.to_owned()).or_default();
        *method = (method.0 + 1, method.1 + units);
        let own = books.per_account.entry(call.account.to_owned()).or_default();
        own.requests += 1;
        own.units += units;
        own.peak_units_per_minute = own.peak_units_per_minute.max(peak);
        Ok(())
    }

    fn check(&mut self, settings: &GmailSettings, call: &ApiCall<'_>, now_ms: i64, units: u64) -> Result<(), Refusal> {
        let calendar = settings.calendar_minutes;
        let app = self.apps.entry(call.app.to_owned()).or_default();
        app.pass(now_ms);
        if let Some(limit) = settings.project_units().filter(|limit| !app.fits(units, *limit, calendar)) {
            return Err(Refusal::quota_exceeded("Queries per minute", limit, call.app));
        }
        let user = self.users.entry(key(call)).or_default();
        user.pass(now_ms);
        let Some(limit) = settings.quota.user_units().filter(|limit| !user.fits(units, *limit, calendar)) else {
            return Ok(());
        };
        self.refusals += 1;
        let form = match (settings.refusal, self.refusals % 3) {
            (QuotaRefusal::Alternate, 1) => QuotaRefusal::QuotaExceeded,
            (QuotaRefusal::Alternate, 2) => QuotaRefusal::RetryAfter,
            (QuotaRefusal::Alternate, _) => QuotaRefusal::UserRateLimit,
            (chosen, _) => chosen,
        };
        Err(match form {
            QuotaRefusal::RetryAfter => {
                let until = DateTime::<Utc>::from_timestamp_millis(user.free_at(now_ms, units, limit, calendar));
                Refusal::retry_after(until.unwrap_or(call.now))
            }
            QuotaRefusal::UserRateLimit => Refusal::user_rate_limit(),
            _ => Refusal::quota_exceeded("Queries per minute per user", limit, call.app),
        })
    }

    /// Writes down a call that was refused before it cost anything.
    pub(super) fn reject(&mut self, call: &ApiCall<'_>, id: &str) {
        self.books.requests += 1;
        self.books.rejected += 1;
        self.books.by_method.entry(id.to_owned()).or_default().0 += 1;
        let own = self.books.per_account.entry(call.account.to_owned()).or_default();
        own.requests += 1;
        own.rejected += 1;
    }

    /// Takes up to `slots` places; gives how many.
    pub(super) fn enter(&mut self, cap: Option<u32>, account: &str, slots: u32) -> Option<u32> {
        let taken = self.under_way.entry(account.to_owned()).or_default();
        let granted = slots.min(cap.unwrap_or(u32::MAX).saturating_sub(*taken));
        if granted == 0 {
            return None;
        }
        *taken += granted;
        Some(granted)
    }

    pub(super) fn leave(&mut self, account: &str, slots: u32) {
        if let Some(taken) = self.under_way.get_mut(account) {
            *taken = taken.saturating_sub(slots);
        }
    }
}

fn key(call: &ApiCall<'_>) -> (String, String) {
    (call.account.to_owned(), call.app.to_owned())
}

/// Places held by a call under way; given back when dropped.
#[derive(Debug)]
pub struct InFlight {
    gmail: Gmail,
    account: String,
    granted: u32,
}

impl InFlight {
    pub(super) fn new(gmail: Gmail, account: &str, granted: u32) -> Self {
        Self { gmail, account: account.to_owned(), granted }
    }

    /// How many places it holds.
    pub fn granted(&self) -> u32 {
        self.granted
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gmail.leave(&self.account, self.granted);
    }
}
