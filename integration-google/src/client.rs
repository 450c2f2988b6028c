//! Calls with their cost and repeatability: pure functions, no I/O.

use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    http::{Call, Cost, Repeat},
};
use url::Url;

use crate::{config::GoogleEndpoints, quota::cost};

/// Names of operations, for errors, spans and metrics.
pub(crate) mod operation {
    pub(crate) const ATTACHMENT: &str = "gmail.messages.attachments.get";
    pub(crate) const BATCH: &str = "gmail.batch";
    pub(crate) const GET: &str = "gmail.messages.get";
    pub(crate) const HISTORY: &str = "gmail.history.list";
    pub(crate) const LABELS: &str = "gmail.labels.list";
    pub(crate) const LIST: &str = "gmail.messages.list";
    pub(crate) const MODIFY: &str = "gmail.messages.modify";
    pub(crate) const PROFILE: &str = "gmail.getProfile";
    pub(crate) const SEND: &str = "gmail.messages.send";
    pub(crate) const USERINFO: &str = "oauth2.userinfo.get";
}

const BATCH_BOUNDARY: &str = "integration_batch";

/// Builds calls.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    gmail: Url,
    userinfo: Url,
    pub(crate) batch_size: usize,
}

impl Client {
    pub(crate) fn new(endpoints: &GoogleEndpoints, batch_size: usize) -> Self {
        Self { gmail: endpoints.gmail.clone(), userinfo: endpoints.userinfo.clone(), batch_size }
    }

    pub(crate) fn userinfo(&self) -> Result<Call> {
        get(operation::USERINFO, &self.userinfo, cost::USERINFO)
    }

    pub(crate) fn profile(&self) -> Result<Call> {
        get(operation::PROFILE, &self.me(&["profile"], &[])?, cost::PROFILE)
    }

    pub(crate) fn list(&self, query: &[(&str, String)]) -> Result<Call> {
        get(operation::LIST, &self.me(&["messages"], query)?, cost::LIST)
    }

    pub(crate) fn history(&self, start: &str, page: Option<&str>) -> Result<Call> {
        let mut query = vec![("startHistoryId", start.to_owned()), ("maxResults", "500".to_owned())];
        query.extend(page.map(|page| ("pageToken", page.to_owned())));
        get(operation::HISTORY, &self.me(&["history"], &query)?, cost::HISTORY)
    }

    pub(crate) fn message(&self, id: &str, query: &[(&str, String)]) -> Result<Call> {
        get(operation::GET, &self.me(&["messages", id], query)?, cost::GET)
    }

    pub(crate) fn attachment(&self, message: &str, attachment: &str) -> Result<Call> {
        let url = self.me(&["messages", message, "attachments", attachment], &[])?;
        get(operation::ATTACHMENT, &url, cost::ATTACHMENT)
    }

    pub(crate) fn labels(&self) -> Result<Call> {
        get(operation::LABELS, &self.me(&["labels"], &[])?, cost::LABELS)
    }

    pub(crate) fn modify(&self, id: &str, add: &[&str], remove: &[&str]) -> Result<Call> {
        let body = serde_json::json!({ "addLabelIds": add, "removeLabelIds": remove });
        let url = self.me(&["messages", id, "modify"], &[])?;
        post(
            operation::MODIFY,
            &url,
            "application/json",
            body.to_string().into(),
            Cost::units(cost::MODIFY),
            Repeat::Safe,
        )
    }

    /// Sends a raw message; the multipart form carries any size the service takes.
    pub(crate) fn send(&self, raw: &[u8], thread: Option<&str>) -> Result<Call> {
        const BOUNDARY: &str = "integration_upload";
        let mut url = self.below(&["upload", "gmail", "v1", "users", "me", "messages", "send"])?;
        url.query_pairs_mut().append_pair("uploadType", "multipart");
        let metadata = thread.map_or_else(|| serde_json::json!({}), |thread| serde_json::json!({ "threadId": thread }));
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{metadata}\r\n--{BOUNDARY}\r\nContent-Type: message/rfc822\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(raw);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/related; boundary={BOUNDARY}");
        post(operation::SEND, &url, &kind, body.into(), Cost::units(cost::SEND), Repeat::Never)
    }

    /// One batch that gets all these messages. Inner calls name paths, never hosts.
    pub(crate) fn batch_get(&self, ids: &[&str], query: &[(&str, String)]) -> Result<Call> {
        let mut body = String::new();
        for (index, id) in ids.iter().enumerate() {
            let inner = self.me(&["messages", id], query)?;
            let path = &inner[url::Position::BeforePath..url::Position::AfterQuery];
            body.push_str(&format!(
                "--{BATCH_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <item-{index}>\r\n\r\nGET {path} HTTP/1.1\r\n\r\n\r\n"
            ));
        }
        body.push_str(&format!("--{BATCH_BOUNDARY}--\r\n"));
        let url = self.below(&["batch", "gmail", "v1"])?;
        let calls = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let kind = format!("multipart/mixed; boundary={BATCH_BOUNDARY}");
        post(operation::BATCH, &url, &kind, body.into(), Cost::batch(calls, cost::GET), Repeat::Safe)
    }

    fn me(&self, segments: &[&str], query: &[(&str, String)]) -> Result<Url> {
        let mut url = self.below(&[&["gmail", "v1", "users", "me"], segments].concat())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn below(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.gmail.clone();
        let wrong =
            || Error::new(ErrorKind::Misconfigured, "the Gmail endpoint cannot have paths").with_service("google");
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(segments);
        Ok(url)
    }
}

fn get(operation: &'static str, url: &Url, units: u32) -> Result<Call> {
    let request = http::Request::get(url.as_str()).header("accept", "application/json").body(Bytes::new());
    Ok(Call::new(operation, request.map_err(unbuildable)?, Cost::units(units), Repeat::Safe))
}

fn post(operation: &'static str, url: &Url, kind: &str, body: Bytes, cost: Cost, repeat: Repeat) -> Result<Call> {
    let request = http::Request::post(url.as_str()).header("content-type", kind).body(body);
    Ok(Call::new(operation, request.map_err(unbuildable)?, cost, repeat))
}

fn unbuildable(error: http::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "the request cannot be built").with_service("google").with_source(error)
}
