//! A stateful Gmail: mailboxes of real RFC 5322 messages, served as the Gmail API describes itself.
//!
//! [`Gmail::answer`] takes one authorised request and gives the service's answer; [`Gmail::mailbox`] arranges
//! the far side. Everything is kept in memory except what a generator produces on demand.
//!
//! Not imitated: search beyond the operators named in its sources, filters, delegation and forwarding settings, draft updates,
//! classification labels, delays of the search index, bandwidth limits, day quotas.

mod account;
mod answer;
mod batch;
mod drafts;
mod fields;
mod history;
mod labels;
mod list;
mod mailbox;
mod message;
mod methods;
mod payload;
mod query;
mod quota;
mod save;
mod send;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod threads;
mod upload;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Request;

use self::answer::{Refusal, json};
use self::methods::{Matched, Op};
use self::state::State;
use super::call::{ApiAnswer, ApiCall};

pub use self::mailbox::{Generator, Mailbox, MailboxMessage};
pub use self::quota::{AccountBooks, GmailBooks, InFlight};
pub use self::settings::{Bearer, BearerResolver, GmailSettings, QuotaPreset, QuotaRefusal, Validator};

/// The simulated service; clones share one state.
#[derive(Clone, Debug)]
pub struct Gmail {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: GmailSettings,
    state: Mutex<State>,
}

/// One call on its way through a handler.
#[derive(Debug)]
struct Context<'a> {
    settings: &'a GmailSettings,
    account: &'a str,
    scopes: &'a std::collections::BTreeSet<String>,
    now: DateTime<Utc>,
    request: &'a Request<Bytes>,
    matched: &'a Matched,
}

impl Gmail {
    /// An empty service; a mailbox exists from its first mention.
    pub fn new(settings: GmailSettings) -> Self {
        Self { inner: Arc::new(Inner { settings, state: Mutex::new(State::default()) }) }
    }

    /// What the service was made with.
    pub fn settings(&self) -> &GmailSettings {
        &self.inner.settings
    }

    /// Answers one request under `/gmail/v1/`, `/upload/gmail/v1/` or `/batch/gmail/v1`.
    ///
    /// In-flight calls are not counted here, except that the inner calls of a batch above the cap are refused;
    /// a frame that delays calls uses [`Gmail::enter`] and [`Gmail::answer_holding`].
    pub fn answer(&self, call: &ApiCall<'_>) -> ApiAnswer {
        self.answer_within(call, self.inner.settings.concurrency.unwrap_or(u32::MAX))
    }

    /// Answers like [`Gmail::answer`], but lets only as many inner calls of a batch run as `held` was granted.
    pub fn answer_holding(&self, call: &ApiCall<'_>, held: &InFlight) -> ApiAnswer {
        self.answer_within(call, held.granted())
    }

    fn answer_within(&self, call: &ApiCall<'_>, slots: u32) -> ApiAnswer {
        if is_batch(call.request.uri().path()) {
            return batch::answer(self, call, slots);
        }
        self.answer_one(call)
    }

    /// One call that is no batch.
    fn answer_one(&self, call: &ApiCall<'_>) -> ApiAnswer {
        self.try_answer(call).unwrap_or_else(|refusal| refusal.into_answer())
    }

    fn try_answer(&self, call: &ApiCall<'_>) -> Result<ApiAnswer, Refusal> {
        let request = call.request;
        let matched = methods::route(request).ok_or_else(Refusal::no_such_page)?;
        let settings = &self.inner.settings;
        {
            let mut state = self.lock();
            let cost = settings.cost(matched.spec.id, matched.spec.cost, matched.spec.classic_cost);
            // The pieces of a resumable upload belong to the call that began it.
            let cost = if matched.continues_upload(request) { 0 } else { cost };
            methods::check_scope(&matched, call.scopes).inspect_err(|_| state.quota.reject(call, matched.spec.id))?;
            state.quota.charge(settings, call, matched.spec.id, cost)?;
        }
        methods::check_query(&matched)?;
        methods::check_user(&matched, call.account)?;
        let context =
            Context { settings, account: call.account, scopes: call.scopes, now: call.now, request, matched: &matched };
        let answer = self.dispatch(&context)?;
        match matched.param("fields") {
            Some(mask) => fields::apply(mask, answer),
            None => Ok(answer),
        }
    }

    fn dispatch(&self, context: &Context<'_>) -> Result<ApiAnswer, Refusal> {
        if matches!(context.matched.spec.op, Op::MessagesGet | Op::AttachmentsGet | Op::ThreadsGet) {
            // Reading and decoding a body is slow: these take what they need and give the lock back.
            return message::read(self, context);
        }
        let mut state = self.lock();
        state.account(context.account).usable()?;
        match context.matched.spec.op {
            Op::Profile => account::profile(&mut state, context),
            Op::Watch => account::watch(&mut state, context),
            Op::Stop => account::stop(&mut state, context),
            Op::SendAsList => account::send_as(context),
            Op::MessagesList => list::messages(&mut state, context),
            Op::ThreadsList => list::threads(&mut state, context),
            Op::MessagesModify | Op::MessagesTrash | Op::MessagesUntrash | Op::MessagesDelete => {
                message::change(&mut state, context)
            }
            Op::BatchModify | Op::BatchDelete => message::change_many(&mut state, context),
            Op::ThreadsModify | Op::ThreadsTrash | Op::ThreadsUntrash | Op::ThreadsDelete => {
                threads::change(&mut state, context)
            }
            Op::MessagesSend | Op::MessagesInsert | Op::MessagesImport => upload::accept(&mut state, context),
            Op::HistoryList => history::list(&mut state, context),
            Op::LabelsList | Op::LabelsGet | Op::LabelsCreate | Op::LabelsUpdate | Op::LabelsDelete => {
                labels::answer(&mut state, context)
            }
            Op::DraftsList | Op::DraftsGet | Op::DraftsCreate | Op::DraftsDelete | Op::DraftsSend => {
                drafts::answer(&mut state, context)
            }
            Op::NotImitated => Err(Refusal::not_imitated(context.matched.spec.id)),
            Op::MessagesGet | Op::AttachmentsGet | Op::ThreadsGet => Err(Refusal::no_such_page()),
        }
    }

    /// How many places a request takes up while it is under way: the inner calls of a batch, else one.
    pub fn slots(&self, request: &Request<Bytes>) -> u32 {
        if is_batch(request.uri().path()) { batch::count(request) } else { 1 }
    }

    /// Takes up to `slots` of the mailbox's places until the guard is dropped; `None` if all are taken.
    pub fn enter(&self, account: &str, slots: u32) -> Option<InFlight> {
        let mut state = self.lock();
        let held = state.quota.enter(self.inner.settings.concurrency, account, slots)?;
        Some(InFlight::new(self.clone(), account, held))
    }

    fn leave(&self, account: &str, slots: u32) {
        self.lock().quota.leave(account, slots);
    }

    /// The answer when [`Gmail::enter`] found no place; written into the books.
    pub fn too_many_concurrent(&self, call: &ApiCall<'_>) -> ApiAnswer {
        let id = methods::route(call.request).map_or("gmail.batch", |matched| matched.spec.id);
        self.lock().quota.reject(call, id);
        Refusal::too_many_concurrent().into_answer()
    }

    /// The service's own count of calls and units.
    pub fn books(&self) -> GmailBooks {
        self.lock().quota.books()
    }

    /// A handle to arrange a mailbox, which is created if there is none; the address is taken in lower case.
    pub fn mailbox(&self, address: &str) -> Mailbox {
        let address = address.trim().to_lowercase();
        self.lock().account(&address);
        Mailbox::new(self.clone(), address)
    }

    /// The whole state except messages made on demand; raw messages loaded from files that still exist are
    /// referenced by path.
    pub fn export(&self) -> serde_json::Value {
        save::export(&self.lock())
    }

    /// Replaces the whole state by an exported one.
    ///
    /// # Errors
    /// Says what is wrong with the value; the state stays as it was. A referenced file that is gone or has changed
    /// is no error: its message is empty until [`Mailbox::sync_folder`] deletes it.
    pub fn import(&self, saved: &serde_json::Value) -> Result<(), String> {
        let state = save::import(saved)?;
        *self.lock() = state;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_batch(path: &str) -> bool {
    path.trim_end_matches('/') == "/batch/gmail/v1"
}

fn ok(value: &serde_json::Value) -> ApiAnswer {
    json(http::StatusCode::OK, value)
}
