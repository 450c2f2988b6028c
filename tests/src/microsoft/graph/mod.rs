//! Graph's mail: nothing of it is imitated yet beyond a mailbox's places.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    answers,
    call::{ApiAnswer, ApiCall},
};

/// Looks at every inner call of a batch and its answer.
pub type Validator = Arc<dyn Fn(&Request<Bytes>, &ApiAnswer) + Send + Sync>;

/// How the service behaves.
#[derive(Clone, Default)]
pub struct GraphSettings {
    /// Calls of one mailbox under way at once; absent: no cap.
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
    under_way: Arc<Mutex<BTreeMap<String, u32>>>,
    books: Arc<Mutex<GraphBooks>>,
}

/// A mailbox.
#[derive(Debug)]
pub struct Mailbox;

impl Graph {
    /// An empty service.
    pub fn new(settings: GraphSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Answers a call that holds places.
    pub fn answer_holding(&self, _call: &ApiCall<'_>, _held: &InFlight) -> ApiAnswer {
        crate::lock(&self.books).requests += 1;
        let error = json!({"code": "NotImplemented", "message": "The sandbox does not imitate this."});
        answers::json(StatusCode::NOT_IMPLEMENTED, &json!({ "error": error }))
    }

    /// The answer when no place was found.
    pub fn too_many_concurrent(&self, _call: &ApiCall<'_>) -> ApiAnswer {
        crate::lock(&self.books).requests += 1;
        let text = "Application is over its MailboxConcurrency limit.";
        let error = json!({"code": "ApplicationThrottled", "message": text});
        answers::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": error }))
    }

    /// How many places a request takes.
    pub fn slots(&self, _request: &Request<Bytes>) -> u32 {
        1
    }

    /// Takes places of a mailbox until the guard is dropped.
    pub fn enter(&self, account: &str, slots: u32) -> Option<InFlight> {
        let mut under_way = crate::lock(&self.under_way);
        let taken = under_way.entry(account.to_owned()).or_default();
        if *taken + slots > self.settings.concurrency.unwrap_or(u32::MAX) {
            return None;
        }
        *taken += slots;
        Some(InFlight { graph: self.clone(), account: account.to_owned(), slots })
    }

    /// A mailbox.
    pub fn mailbox(&self, _address: &str) -> Mailbox {
        Mailbox
    }

    /// The books.
    pub fn books(&self) -> GraphBooks {
        crate::lock(&self.books).clone()
    }

    /// The state.
    pub fn export(&self) -> Value {
        json!({})
    }

    /// Takes a state.
    ///
    /// # Errors
    /// None yet.
    pub fn import(&self, _saved: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// Places held by a call under way.
#[derive(Debug)]
pub struct InFlight {
    graph: Graph,
    account: String,
    slots: u32,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(taken) = crate::lock(&self.graph.under_way).get_mut(&self.account) {
            *taken = taken.saturating_sub(self.slots);
        }
    }
}
