//! Graph's mail as far as the frame needs it: mailboxes that hold messages, and places of calls under way. No call of
//! the API itself is imitated.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    answers,
    call::{ApiAnswer, ApiCall},
};

/// Looks at every inner call of a batch and its answer.
pub type Validator = Arc<dyn Fn(&Request<Bytes>, &ApiAnswer) + Send + Sync>;

/// Which of the published quotas holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaPreset {
    /// Nothing is refused.
    #[default]
    Off,
    /// Four calls by app and mailbox at once.
    Outlook,
}

/// How the service behaves.
#[derive(Clone, Default)]
pub struct GraphSettings {
    /// Which quota holds.
    pub quota: QuotaPreset,
    /// Calls by app and mailbox under way at once, instead of the preset's.
    pub concurrency: Option<u32>,
    /// Called for every inner call of a batch.
    pub validate: Option<Validator>,
}

impl fmt::Debug for GraphSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphSettings").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

/// What the service counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GraphBooks {
    /// Calls answered or refused.
    pub requests: u64,
}

/// The simulated service; clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    settings: GraphSettings,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    mailboxes: BTreeMap<String, Vec<Kept>>,
    issued: u64,
    #[serde(skip)]
    under_way: BTreeMap<String, u32>,
    #[serde(skip)]
    books: GraphBooks,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Kept {
    id: String,
    folder: String,
    file: Option<String>,
    raw: String,
}

impl Graph {
    /// An empty service.
    pub fn new(settings: GraphSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Whether a path belongs to this service and is asked with a token.
    pub fn is_mail(path: &str) -> bool {
        ["/v1.0/me", "/v1.0/users/", "/v1.0/subscriptions", "/v1.0/$batch"].iter().any(|base| path.starts_with(base))
    }

    /// Whether a path is one of an upload URL, which is asked without a token.
    pub fn is_upload(path: &str) -> bool {
        path.starts_with("/api/gv1.0/AttachmentSessions")
    }

    /// Answers a request to an upload URL.
    pub fn answer_upload(&self, _request: &Request<Bytes>, _now: DateTime<Utc>) -> ApiAnswer {
        self.count(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "The sandbox does not imitate this.")
    }

    /// Answers a call that holds places.
    pub fn answer_holding(&self, _call: &ApiCall<'_>, _held: &InFlight) -> ApiAnswer {
        self.count(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "The sandbox does not imitate this.")
    }

    /// The answer when [`Graph::enter`] found no place.
    pub fn too_many_concurrent(&self, _call: &ApiCall<'_>) -> ApiAnswer {
        let text = "Application is over its MailboxConcurrency limit.";
        self.count(StatusCode::TOO_MANY_REQUESTS, "ApplicationThrottled", text)
    }

    fn count(&self, status: StatusCode, code: &str, message: &str) -> ApiAnswer {
        crate::lock(&self.state).books.requests += 1;
        answers::json(status, &json!({"error": {"code": code, "message": message}}))
    }

    /// Whose places a call takes up: the app and the mailbox.
    pub fn place(&self, call: &ApiCall<'_>) -> String {
        format!("{} {}", call.app, call.account)
    }

    /// How many places a request takes up while it is under way.
    pub fn slots(&self, _request: &Request<Bytes>) -> u32 {
        1
    }

    /// Takes places of [`Graph::place`] until the guard is dropped; `None` if all are taken.
    pub fn enter(&self, place: &str, slots: u32) -> Option<InFlight> {
        let mut state = crate::lock(&self.state);
        let taken = state.under_way.entry(place.to_owned()).or_default();
        let preset = if self.settings.quota == QuotaPreset::Outlook { 4 } else { u32::MAX };
        if *taken + slots > self.settings.concurrency.unwrap_or(preset) {
            return None;
        }
        *taken += slots;
        Some(InFlight { graph: self.clone(), place: place.to_owned(), slots })
    }

    /// A handle to arrange a mailbox, which is created if there is none.
    pub fn mailbox(&self, address: &str) -> Mailbox {
        let address = address.trim().to_lowercase();
        crate::lock(&self.state).mailboxes.entry(address.clone()).or_default();
        Mailbox { graph: self.clone(), address }
    }

    /// Says what a directory knows of a person.
    pub fn register_user(&self, address: &str, _id: &str, _display_name: &str) {
        self.mailbox(address);
    }

    /// The service's own count of calls.
    pub fn books(&self) -> GraphBooks {
        crate::lock(&self.state).books.clone()
    }

    /// The whole state.
    pub fn export(&self) -> Value {
        serde_json::to_value(&*crate::lock(&self.state)).unwrap_or_default()
    }

    /// Replaces the whole state by an exported one.
    ///
    /// # Errors
    /// Says what is wrong with the value; the state stays as it was.
    pub fn import(&self, saved: &Value) -> Result<(), String> {
        *crate::lock(&self.state) = serde_json::from_value(saved.clone()).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Makes the message with a number.
pub type Generator = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

/// A mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    graph: Graph,
    address: String,
}

impl Mailbox {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Kept>) -> T) -> T {
        change(crate::lock(&self.graph.state).mailboxes.entry(self.address.clone()).or_default())
    }

    fn add(&self, raw: &[u8], folder: &str, file: Option<&str>) -> String {
        let id = {
            let mut state = crate::lock(&self.graph.state);
            state.issued += 1;
            format!("AAMk{:08x}", state.issued)
        };
        let raw = String::from_utf8_lossy(raw).into_owned();
        let (folder, file) = (folder.to_owned(), file.map(str::to_owned));
        self.with(|kept| kept.push(Kept { id: id.clone(), folder, file, raw }));
        id
    }

    /// A message arrives in a folder; gives its id.
    pub fn deliver(&self, raw: impl Into<Bytes>, _now: DateTime<Utc>, folder: &str) -> String {
        self.add(&raw.into(), folder, None)
    }

    /// A message is moved; false if there is no such message.
    pub fn move_message(&self, id: &str, folder: &str, _now: DateTime<Utc>) -> bool {
        self.with(|kept| {
            let message = kept.iter_mut().find(|one| one.id == id);
            message.map(|message| folder.clone_into(&mut message.folder)).is_some()
        })
    }

    /// A message is deleted for good; false if there is none.
    pub fn remove(&self, id: &str) -> bool {
        self.with(|kept| {
            let before = kept.len();
            kept.retain(|one| one.id != id);
            kept.len() < before
        })
    }

    /// Ids of all messages, newest first.
    pub fn ids(&self) -> Vec<String> {
        self.with(|kept| kept.iter().rev().map(|one| one.id.clone()).collect())
    }

    /// `count` messages arrive in the inbox.
    pub fn on_demand(&self, count: u64, generator: &Generator) -> Vec<String> {
        (0..count).map(|number| self.add(&generator(number), "inbox", None)).collect()
    }

    /// Makes the mailbox follow a set of files.
    pub fn sync_folder(&self, files: Vec<(String, Bytes)>, now: DateTime<Utc>) {
        self.keep_files(|name| files.iter().any(|(given, _)| given == name), now);
        files.iter().for_each(|(name, raw)| self.put_file(name, raw, now));
    }

    /// One file of [`Mailbox::sync_folder`].
    pub fn put_file(&self, name: &str, raw: &Bytes, _now: DateTime<Utc>) {
        let text = String::from_utf8_lossy(raw);
        let known = self.with(|kept| kept.iter().any(|one| one.file.as_deref() == Some(name) && one.raw == text));
        if !known {
            self.with(|kept| kept.retain(|one| one.file.as_deref() != Some(name)));
            self.add(raw, "inbox", Some(name));
        }
    }

    /// Deletes the messages of all files but those that `keep` names.
    pub fn keep_files(&self, keep: impl Fn(&str) -> bool, _now: DateTime<Utc>) {
        self.with(|kept| kept.retain(|one| one.file.as_deref().is_none_or(&keep)));
    }
}

/// Places held by a call under way; given back when dropped.
#[derive(Debug)]
pub struct InFlight {
    graph: Graph,
    place: String,
    slots: u32,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(taken) = crate::lock(&self.graph.state).under_way.get_mut(&self.place) {
            *taken = taken.saturating_sub(self.slots);
        }
    }
}
