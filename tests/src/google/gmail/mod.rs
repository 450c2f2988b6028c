//! A place holder for the mailbox simulator: it knows no mail.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::call::{ApiAnswer, ApiCall};

/// Looks at inner calls of a batch.
pub type Validator = Arc<dyn Fn(&Request<Bytes>, &ApiAnswer) + Send + Sync>;
/// Resolves tokens of inner calls.
pub type BearerResolver = Arc<dyn Fn(&str) -> Option<Bearer> + Send + Sync>;

/// Whom a token stands for.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The address.
    pub account: String,
    /// The client id.
    pub app: String,
    /// Granted scopes.
    pub scopes: std::collections::BTreeSet<String>,
}

/// Quotas.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaPreset {
    /// Old.
    Classic,
    /// New.
    Gmail2026,
    /// None.
    #[default]
    Off,
}

/// Settings.
#[derive(Clone, Default)]
pub struct GmailSettings {
    /// Quota.
    pub quota: QuotaPreset,
    /// Concurrency cap.
    pub concurrency: Option<u32>,
    /// Hook.
    pub validate: Option<Validator>,
    /// Resolver.
    pub bearer: Option<BearerResolver>,
}

impl std::fmt::Debug for GmailSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GmailSettings")
    }
}

/// The simulator.
#[derive(Clone, Debug)]
pub struct Gmail(());

/// Places held.
#[derive(Debug)]
pub struct InFlight(());

/// A mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox(());

/// Makes messages.
pub type Generator = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

impl Mailbox {
    /// A message arrives.
    pub fn deliver(&self, _: impl Into<Bytes>, _: chrono::DateTime<chrono::Utc>, _: &[&str]) -> String {
        "1".to_owned()
    }
    /// Files come and go.
    pub fn sync_folder(&self, _: Vec<(String, Bytes)>, _: chrono::DateTime<chrono::Utc>) {}
    /// Messages made on demand.
    pub fn on_demand(&self, count: u64, _: &Generator) -> Vec<String> {
        (0..count).map(|id| id.to_string()).collect()
    }
}

/// Its books.
#[derive(Debug, serde::Serialize)]
pub struct GmailBooks {
    units: u64,
}

impl Gmail {
    /// Empty.
    pub fn new(_: GmailSettings) -> Self {
        Self(())
    }
    /// One answer.
    pub fn answer_holding(&self, call: &ApiCall<'_>, _: &InFlight) -> ApiAnswer {
        let path = call.request.uri().path();
        if path.ends_with("/profile") {
            let body = serde_json::json!({
                "emailAddress": call.account, "messagesTotal": 0, "threadsTotal": 0, "historyId": "1"
            });
            return super::answers::json(http::StatusCode::OK, &body);
        }
        super::answers::api_error(http::StatusCode::NOT_FOUND, "Not Found", "notFound", "NOT_FOUND")
    }
    /// Slots.
    pub fn slots(&self, _: &Request<Bytes>) -> u32 {
        1
    }
    /// Takes places.
    pub fn enter(&self, _: &str, _: u32) -> Option<InFlight> {
        Some(InFlight(()))
    }
    /// Refused.
    pub fn too_many_concurrent(&self, _: &ApiCall<'_>) -> ApiAnswer {
        super::answers::unauthenticated()
    }
    /// Books.
    pub fn books(&self) -> GmailBooks {
        GmailBooks { units: 0 }
    }
    /// Mailbox.
    pub fn mailbox(&self, _: &str) -> Mailbox {
        Mailbox(())
    }
    /// State.
    pub fn export(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    /// State.
    ///
    /// # Errors
    /// None.
    pub fn import(&self, _: &serde_json::Value) -> Result<(), String> {
        Ok(())
    }
}
