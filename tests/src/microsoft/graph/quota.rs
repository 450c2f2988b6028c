//! The ledger of requests, places of calls under way, and the service's own books.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::Graph;
use super::answer::Refusal;
use super::settings::GraphSettings;

const WINDOW_MS: i64 = 600_000;
const UPLOAD_WINDOW_MS: i64 = 300_000;

/// What the service counted since it began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct GraphBooks {
    /// Calls answered or refused; each inner call of a batch is one, the envelope is none.
    pub requests: u64,
    /// Batch envelopes.
    pub batches: u64,
    /// Calls that came inside batches; `requests - inner_calls + batches` is the number of HTTP requests.
    pub inner_calls: u64,
    /// Calls refused for quota or concurrency: answers with 429.
    pub throttled: u64,
    /// Calls refused for quota, concurrency or scope.
    pub rejected: u64,
    /// Calls, and how many of them were rejected, by operation.
    pub by_operation: BTreeMap<String, (u64, u64)>,
    /// Most calls that one app made to one mailbox within any ten minutes.
    pub peak_per_ten_minutes: u64,
    /// Most bytes that one app sent to one mailbox within any five minutes.
    #[serde(default)]
    pub peak_bytes_per_five_minutes: u64,
    /// Most calls of one app to one mailbox that were under way at once.
    pub peak_concurrent: u32,
    /// The same by mailbox.
    pub per_account: BTreeMap<String, AccountBooks>,
}

/// What the service counted of one mailbox.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AccountBooks {
    /// Calls answered or refused.
    pub requests: u64,
    /// Calls refused for quota, concurrency or scope.
    pub rejected: u64,
    /// Most calls of one app within any ten minutes.
    pub peak_per_ten_minutes: u64,
    /// Most calls of one app that were under way at once.
    pub peak_concurrent: u32,
    /// Calls, and how many of them were rejected, by operation.
    pub by_operation: BTreeMap<String, (u64, u64)>,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Quota {
    books: GraphBooks,
    /// Times of calls by app and mailbox.
    windows: BTreeMap<(String, String), VecDeque<i64>>,
    /// Times and bytes of uploads by app and mailbox.
    uploads: BTreeMap<(String, String), VecDeque<(i64, u64)>>,
    under_way: BTreeMap<String, u32>,
}

/// One call as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) app: &'a str,
    pub(super) mailbox: &'a str,
    pub(super) operation: &'a str,
    pub(super) now_ms: i64,
}

impl Quota {
    pub(super) fn restored(books: GraphBooks) -> Self {
        Self { books, ..Self::default() }
    }

    pub(super) fn books(&self) -> GraphBooks {
        self.books.clone()
    }

    pub(super) fn note_batch(&mut self, inner: u64) {
        self.books.batches += 1;
        self.books.inner_calls += inner;
    }

    /// Counts a call, and refuses it if there were too many before. Refused ones count as well.
    pub(super) fn charge(&mut self, settings: &GraphSettings, call: Counted<'_>) -> Result<(), Refusal> {
        self.count(call);
        let key = (call.app.to_owned(), call.mailbox.to_owned());
        let window = self.windows.entry(key).or_default();
        while window.front().is_some_and(|at| *at <= call.now_ms - WINDOW_MS) {
            window.pop_front();
        }
        window.push_back(call.now_ms);
        let (inside, limit) = (window.len(), settings.quota.requests().unwrap_or(usize::MAX));
        let peak = inside as u64;
        // The call that is refused goes through once so many of those before it have left the window.
        let free_at = (inside > limit).then(|| window[inside - limit - 1] + WINDOW_MS);
        self.books.peak_per_ten_minutes = self.books.peak_per_ten_minutes.max(peak);
        let own = self.books.per_account.entry(call.mailbox.to_owned()).or_default();
        own.peak_per_ten_minutes = own.peak_per_ten_minutes.max(peak);
        let Some(free_at) = free_at else { return Ok(()) };
        self.reject(call);
        self.books.throttled += 1;
        Err(Refusal::too_many_requests(((free_at - call.now_ms).max(0) + 999) / 1_000 + 1))
    }

    /// Counts what a call brings, and refuses it if there was too much before. What is refused is not taken in.
    pub(super) fn charge_bytes(
        &mut self,
        settings: &GraphSettings,
        call: Counted<'_>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let window = self.uploads.entry((call.app.to_owned(), call.mailbox.to_owned())).or_default();
        while window.front().is_some_and(|(at, _)| *at <= call.now_ms - UPLOAD_WINDOW_MS) {
            window.pop_front();
        }
        let (bytes, inside) = (bytes as u64, window.iter().map(|(_, bytes)| bytes).sum::<u64>());
        let over = settings.quota.upload_bytes().map_or(0, |limit| (inside + bytes).saturating_sub(limit));
        if over == 0 {
            window.push_back((call.now_ms, bytes));
            self.books.peak_bytes_per_five_minutes = self.books.peak_bytes_per_five_minutes.max(inside + bytes);
            return Ok(());
        }
        // Once so much of what came before has left the window, there is room again.
        let mut left = 0;
        let room = window.iter().find(|(_, bytes)| {
            left += bytes;
            left >= over
        });
        let free_at = room.map_or(call.now_ms, |(at, _)| at + UPLOAD_WINDOW_MS);
        self.reject(call);
        self.books.throttled += 1;
        Err(Refusal::too_many_requests(((free_at - call.now_ms).max(0) + 999) / 1_000 + 1))
    }

    fn count(&mut self, call: Counted<'_>) {
        self.books.requests += 1;
        self.books.by_operation.entry(call.operation.to_owned()).or_default().0 += 1;
        let own = self.books.per_account.entry(call.mailbox.to_owned()).or_default();
        own.requests += 1;
        own.by_operation.entry(call.operation.to_owned()).or_default().0 += 1;
    }

    /// Writes down that a counted call was refused.
    pub(super) fn reject(&mut self, call: Counted<'_>) {
        self.books.rejected += 1;
        self.books.by_operation.entry(call.operation.to_owned()).or_default().1 += 1;
        let own = self.books.per_account.entry(call.mailbox.to_owned()).or_default();
        own.rejected += 1;
        own.by_operation.entry(call.operation.to_owned()).or_default().1 += 1;
    }

    /// Counts a call for which there was no place.
    pub(super) fn crowd_out(&mut self, settings: &GraphSettings, call: Counted<'_>) {
        if self.charge(settings, call).is_ok() {
            self.reject(call);
            self.books.throttled += 1;
        }
    }

    /// Takes up to `slots` places; gives how many.
    pub(super) fn enter(&mut self, cap: Option<u32>, place: &str, slots: u32) -> Option<u32> {
        let taken = self.under_way.entry(place.to_owned()).or_default();
        let granted = slots.min(cap.unwrap_or(u32::MAX).saturating_sub(*taken));
        if granted == 0 {
            return None;
        }
        *taken += granted;
        let peak = *taken;
        self.books.peak_concurrent = self.books.peak_concurrent.max(peak);
        let mailbox = place.rsplit(' ').next().unwrap_or(place);
        let own = self.books.per_account.entry(mailbox.to_owned()).or_default();
        own.peak_concurrent = own.peak_concurrent.max(peak);
        Some(granted)
    }

    pub(super) fn leave(&mut self, place: &str, slots: u32) {
        if let Some(taken) = self.under_way.get_mut(place) {
            *taken = taken.saturating_sub(slots);
        }
    }
}

/// Places held by a call under way; given back when dropped.
#[derive(Debug)]
pub struct InFlight {
    graph: Graph,
    place: String,
    granted: u32,
}

impl InFlight {
    pub(super) fn new(graph: Graph, place: &str, granted: u32) -> Self {
        Self { graph, place: place.to_owned(), granted }
    }

    /// How many places it holds.
    pub fn granted(&self) -> u32 {
        self.granted
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.graph.leave(&self.place, self.granted);
    }
}
