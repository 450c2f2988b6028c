//! A stateful Outlook: mailboxes of real RFC 5322 messages, served as Microsoft Graph v1.0 describes mail.
//!
//! [`Graph::answer`] takes one authorised request and gives the service's answer; [`Graph::mailbox`] arranges
//! the far side. Everything is kept in memory except what a generator produces on demand.
//!
//! A call with an empty account stands for an app without a person: it has no `/me`, and its scopes are its roles.
//! Upload URLs are asked without a token: a frame sends what [`Graph::is_upload`] names to [`Graph::answer_upload`].
//!
//! Like the service, it keeps one body of each message, the HTML one if there is one: text is made from it, and the raw
//! form is written anew whenever it is asked for.
//!
//! Where the documentation leaves open what happens, a setting chooses: where `DELETE` puts a message, what becomes of a
//! comment in a draft, why a message is said to be removed, how old links are refused.
//!
//! Not imitated: calendars, contacts, mailbox settings, rules, categories' master list, mentions, open extensions,
//! multi-value extended properties, copying folders, search folders and their queries, the search index and its delays,
//! search by size, kind and times, pages of attachments, the limits of messages sent a minute and of recipients a day,
//! quotas of directories and tenants, delivery of notifications, non-delivery reports, delta with `$expand` of anything but attachments and extended properties, ids of archive
//! mailboxes beyond [`Mailbox::reissue`], meetings in invitations beyond their type, conversations of messages made on
//! demand, signed and encrypted messages. An export leaves out the bytes of uploads that are not finished.

mod answer;
mod attachments;
mod batch;
mod changes;
mod compose;
mod delta;
mod drafts;
mod extended;
mod filter;
mod folder_calls;
mod folder_delta;
mod folders;
mod html;
mod ids;
mod list;
mod mail;
mod mailbox;
mod message;
mod methods;
mod prefer;
mod query;
mod quota;
mod render;
mod replies;
mod save;
mod search;
mod send;
mod settings;
mod state;
mod stored;
mod subscriptions;
#[cfg(test)]
mod tests;
mod upload;
mod user;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request};
use serde_json::Value;

use self::answer::{Answered, Refusal, Spelling};
use self::methods::{Access, Op, Route};
use self::prefer::Prefer;
use self::query::Query;
use self::quota::Counted;
use self::state::State;
use crate::call::{ApiAnswer, ApiCall};

pub use self::ids::IdLetters;
pub use self::mailbox::{AttachmentContent, Generator, Mailbox, MailboxFolder, MailboxMessage};
pub use self::quota::{AccountBooks, GraphBooks, InFlight};
pub use self::settings::{
    DeleteLands, DeltaUpdates, DraftComment, Endpoint, ErrorSpelling, FolderCounts, GraphSettings, LostDelta,
    MoveReason, Oddities, Oddity, Outbound, QuotaPreset, Returned, Validator,
};
pub use self::subscriptions::Subscription;

/// The simulated service; clones share one state.
#[derive(Clone, Debug)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: GraphSettings,
    state: Mutex<State>,
}

/// One call on its way through a handler.
#[derive(Debug)]
struct Context<'a> {
    settings: &'a GraphSettings,
    call: &'a ApiCall<'a>,
    request: &'a Request<Bytes>,
    route: &'a Route,
    /// Address of the mailbox that the call is about.
    mailbox: String,
    access: Access,
    prefer: Prefer,
    query: Query,
    now_ms: i64,
}

impl Context<'_> {
    /// The body as JSON; an absent one is an empty object.
    fn json(&self) -> Result<Value, Refusal> {
        let body = self.request.body();
        if body.is_empty() {
            return Ok(serde_json::json!({}));
        }
        let message = "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of \
                       valid JSON format.";
        serde_json::from_slice(body).map_err(|_| Refusal::bad_request(message))
    }

    /// How many items a page has: what the address says, but no more than the client prefers.
    fn page_size(&self) -> Result<usize, Refusal> {
        let top = self.query.get("$top").map(|_| self.query.top()).transpose()?;
        Ok(self.prefer.page_size(top, 10))
    }

    fn within_page_limit(&self, state: &State, size: usize) -> Result<(), Refusal> {
        let over = state.oddities.largest_page.is_some_and(|largest| size > largest);
        if over { Err(Refusal::gateway(504)) } else { Ok(()) }
    }

    fn odata_context(&self, of: &str) -> String {
        let user = &self.mailbox;
        format!("{}/v1.0/$metadata#users('{user}')/{of}", query::origin(self.request))
    }
}

impl Graph {
    /// An empty service; a mailbox exists from its first mention on the far side.
    pub fn new(settings: GraphSettings) -> Self {
        let state = Mutex::new(State::new(&settings));
        Self { inner: Arc::new(Inner { settings, state }) }
    }

    /// What the service was made with.
    pub fn settings(&self) -> &GraphSettings {
        &self.inner.settings
    }

    /// Whether a path belongs to this service and is asked with a token.
    pub fn is_mail(path: &str) -> bool {
        path.strip_prefix("/v1.0/").is_some_and(|rest| {
            let first = rest.split(['/', '(']).next().unwrap_or_default().to_ascii_lowercase();
            matches!(first.as_str(), "me" | "users" | "subscriptions" | "$batch")
        })
    }

    /// Whether a path is one of an upload URL, which is asked without a token.
    pub fn is_upload(path: &str) -> bool {
        path.starts_with(upload::BASE)
    }

    /// Answers one request under `/v1.0/`.
    ///
    /// In-flight calls are not counted here; a frame that delays calls uses [`Graph::enter`] and
    /// [`Graph::answer_holding`].
    pub fn answer(&self, call: &ApiCall<'_>) -> ApiAnswer {
        self.answer_within(call, u32::MAX)
    }

    /// Answers like [`Graph::answer`]; of a batch that was granted fewer places than [`Graph::slots`] asks for, the calls
    /// for which there is none are refused.
    pub fn answer_holding(&self, call: &ApiCall<'_>, held: &InFlight) -> ApiAnswer {
        self.answer_within(call, held.granted())
    }

    /// Answers a request to an upload URL.
    pub fn answer_upload(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> ApiAnswer {
        let answered = upload::answer(self, request, now);
        self.finish(request, answered)
    }

    fn answer_within(&self, call: &ApiCall<'_>, slots: u32) -> ApiAnswer {
        if is_batch(call.request.uri().path()) {
            return batch::answer(self, call, slots);
        }
        self.answer_one(call)
    }

    /// One call that is no batch.
    fn answer_one(&self, call: &ApiCall<'_>) -> ApiAnswer {
        self.finish(call.request, self.try_answer(call))
    }

    /// The answer or the refusal, with the number of the exchange.
    fn finish(&self, request: &Request<Bytes>, answered: Answered) -> ApiAnswer {
        let (number, spelling) = {
            let mut state = self.lock();
            let number = state.next();
            let empty = answered.is_err() && state.oddities.empty_errors > 0;
            state.oddities.empty_errors -= u32::from(empty);
            let spelling = match (empty, self.inner.settings.error_spelling) {
                (true, _) => Spelling::Empty,
                (false, ErrorSpelling::Alternate) if number % 2 == 1 => Spelling::Lower,
                (false, ErrorSpelling::Lower) => Spelling::Lower,
                (false, _) => Spelling::Camel,
            };
            (number, spelling)
        };
        let mut answer = answered.unwrap_or_else(|refusal| refusal.into_answer(request, spelling, number));
        answer::identify(&mut answer, request, number);
        answer
    }

    fn try_answer(&self, call: &ApiCall<'_>) -> Answered {
        let route = methods::route(call.request)?;
        let (mailbox, access) = self.admit(call, &route)?;
        let context = Context {
            settings: &self.inner.settings,
            call,
            request: call.request,
            route: &route,
            mailbox,
            access,
            prefer: Prefer::of(call.request),
            query: Query::of(call.request),
            now_ms: call.now.timestamp_millis(),
        };
        let mut answer = self.dispatch(&context)?;
        context.prefer.applied(&mut answer);
        Ok(answer)
    }

    /// Counts a call and checks that it may be; gives the mailbox that it is about and how much of it may be seen.
    fn admit(&self, call: &ApiCall<'_>, route: &Route) -> Result<(String, Access), Refusal> {
        let mut state = self.lock();
        let now_ms = call.now.timestamp_millis();
        let target = methods::target(&state, route, call);
        let mailbox = target.as_deref().unwrap_or_default();
        let counted = Counted { app: call.app, mailbox, operation: route.op.name(), now_ms };
        state.quota.charge(&self.inner.settings, counted)?;
        if matches!(*call.request.method(), Method::PATCH | Method::POST | Method::PUT) {
            state.quota.charge_bytes(&self.inner.settings, counted, call.request.body().len())?;
        }
        if state.oddities.gateway_pages > 0 {
            state.oddities.gateway_pages -= 1;
            return Err(Refusal::gateway(502));
        }
        let checked = match mailbox {
            "" => methods::check(route.op, None, call),
            address => methods::check(route.op, Some(state.account(address)), call),
        };
        let access = checked.inspect_err(|_| state.quota.reject(counted));
        let (mailbox, access) = (target?, access?);
        if route.op != Op::UserGet && !route.op.is_subscription() {
            let account = state.account(&mailbox);
            account.usable()?;
            account.settle(now_ms);
        }
        Ok((mailbox, access))
    }

    fn dispatch(&self, context: &Context<'_>) -> Answered {
        match context.route.op {
            // Reading and writing bodies is slow: these take what they need and give the lock back.
            Op::MessagesList => return list::messages(self, context),
            Op::MessagesGet | Op::MessagesValue => return message::read(self, context),
            Op::MessagesDelta => return delta::messages(self, context),
            Op::AttachmentsGet | Op::AttachmentsList | Op::AttachmentsValue => return attachments::read(self, context),
            Op::MessagesSend | Op::SendMail => return send::answer(self, context),
            Op::MessagesReply | Op::MessagesReplyAll | Op::MessagesForward => return replies::send(self, context),
            // Whoever is asked for consent may ask us in turn.
            Op::SubscriptionsCreate | Op::SubscriptionsUpdate => subscriptions::agree(context)?,
            _ => {}
        }
        let state = &mut *self.lock();
        match context.route.op {
            Op::UserGet => user::get(state, context),
            Op::TranslateIds => user::translate(state, context),
            Op::FoldersList | Op::FoldersChildren => folder_calls::list(state, context),
            Op::FoldersDelta => folder_delta::answer(state, context),
            Op::FoldersGet => folder_calls::get(state, context),
            Op::FoldersCreate | Op::FoldersUpdate | Op::FoldersMove | Op::FoldersDelete => {
                folder_calls::change(state, context)
            }
            Op::MessagesCreate => drafts::create(state, context),
            Op::MessagesUpdate => drafts::update(state, context),
            Op::MessagesCopy | Op::MessagesMove => message::place(state, context),
            Op::MessagesDelete | Op::MessagesPurge => message::delete(state, context),
            Op::MessagesCreateReply | Op::MessagesCreateReplyAll | Op::MessagesCreateForward => {
                replies::create(state, context)
            }
            Op::AttachmentsCreate => attachments::create(state, context),
            Op::AttachmentsDelete => attachments::delete(state, context),
            Op::AttachmentsSession => upload::begin(state, context),
            _ => subscriptions::answer(state, context),
        }
    }

    /// Whose places a call takes up: the app and the mailbox.
    pub fn place(&self, call: &ApiCall<'_>) -> String {
        let state = self.lock();
        let route = methods::route(call.request);
        let mailbox = route.and_then(|route| methods::target(&state, &route, call));
        format!("{} {}", call.app, mailbox.unwrap_or_else(|_| call.account.to_owned()))
    }

    /// How many places a request takes up while it is under way: of a batch as many as run at once, else one.
    pub fn slots(&self, request: &Request<Bytes>) -> u32 {
        if is_batch(request.uri().path()) { batch::width(request) } else { 1 }
    }

    /// Takes up to `slots` of the places of [`Graph::place`] until the guard is dropped; `None` if all are taken.
    pub fn enter(&self, place: &str, slots: u32) -> Option<InFlight> {
        let mut state = self.lock();
        let held = state.quota.enter(self.inner.settings.cap(), place, slots)?;
        Some(InFlight::new(self.clone(), place, held))
    }

    fn leave(&self, place: &str, slots: u32) {
        self.lock().quota.leave(place, slots);
    }

    /// The answer when [`Graph::enter`] found no place; written into the books.
    pub fn too_many_concurrent(&self, call: &ApiCall<'_>) -> ApiAnswer {
        let route = methods::route(call.request).ok();
        {
            let mut state = self.lock();
            let target = route.as_ref().and_then(|route| methods::target(&state, route, call).ok());
            let mailbox = target.as_deref().unwrap_or(call.account);
            let operation = route.as_ref().map_or("batch", |route| route.op.name());
            let now_ms = call.now.timestamp_millis();
            let counted = Counted { app: call.app, mailbox, operation, now_ms };
            state.quota.crowd_out(&self.inner.settings, counted);
        }
        self.finish(call.request, Err(Refusal::too_many_concurrent()))
    }

    /// The service's own count of calls.
    pub fn books(&self) -> GraphBooks {
        self.lock().quota.books()
    }

    /// A handle to arrange a mailbox, which is created if there is none; the address is taken in lower case.
    pub fn mailbox(&self, address: &str) -> Mailbox {
        let address = address.trim().to_lowercase();
        self.lock().account(&address);
        Mailbox::new(self.clone(), address)
    }

    /// Says what a directory knows of a person: the id that `/users/{id}` takes, and the name. Makes the mailbox if there
    /// is none.
    pub fn register_user(&self, address: &str, id: &str, display_name: &str) {
        let mut state = self.lock();
        let account = state.account(&address.trim().to_lowercase());
        account.user_id = id.to_lowercase();
        display_name.clone_into(&mut account.display_name);
    }

    /// Changes what is odd about the service from now on.
    pub fn change_oddities(&self, change: impl FnOnce(&mut Oddities)) {
        change(&mut self.lock().oddities);
    }

    /// The whole state except messages and attachments made on demand; raw messages loaded from files that still exist
    /// are referenced by path.
    pub fn export(&self) -> Value {
        save::export(&self.lock())
    }

    /// Replaces the whole state by an exported one.
    ///
    /// # Errors
    /// Says what is wrong with the value; the state stays as it was. A referenced file that is gone or has changed
    /// is no error: its message is empty until [`Mailbox::sync_folder`] deletes it.
    pub fn import(&self, saved: &Value) -> Result<(), String> {
        let state = save::import(saved, &self.inner.settings)?;
        *self.lock() = state;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_batch(path: &str) -> bool {
    path.trim_end_matches('/') == "/v1.0/$batch"
}
