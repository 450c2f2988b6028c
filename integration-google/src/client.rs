//! Calls with their cost and repeatability: pure functions, no I/O.
//! Source: <https://developers.google.com/workspace/gmail/api/reference/rest>.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use integration_core::{
    Error, ErrorKind, Result,
    email::Depth,
    http::{Call, Cost, Repeat},
    outbox::SEND_KEY_HEADER,
};
use url::Url;

use crate::{config::GoogleConfig, quota::GmailCosts};

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
    pub(crate) const STOP: &str = "gmail.stop";
    pub(crate) const USERINFO: &str = "google.userinfo";
    pub(crate) const WATCH: &str = "gmail.watch";
}

/// Ids and changes per page; the service's largest.
pub(crate) const PAGE: u32 = 500;
/// What `messages.send` takes, encoding included.
pub(crate) const LARGEST_MESSAGE: usize = 36_700_160;
/// Above this a message is uploaded as it is instead of inside JSON, where it would grow by a third.
const LARGEST_JSON_SEND: usize = 5_000_000;
/// A message put into the mailbox may have 150 MiB, as base64 a third more.
const LARGEST_ANSWER: usize = 210 * 1024 * 1024;
/// Google compresses only for user agents that say `gzip`, beside `Accept-Encoding`.
const AGENT: &str = concat!("integration-google/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// What a listing returns; a mask without the page token would end every listing at its first page.
const LIST_FIELDS: &str = "messages(id,threadId),nextPageToken";
const HISTORY_FIELDS: &str = "history(id,messagesAdded(message(id,threadId,labelIds)),messagesDeleted(message(id)),\
                              labelsAdded(message(id,labelIds)),labelsRemoved(message(id,labelIds))),nextPageToken,historyId";
const MESSAGE_FIELDS: &str = "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload";

/// What a headers-only fetch asks for.
const HEADERS: [&str; 17] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "List-Id",
    "List-Unsubscribe",
    "Precedence",
    "Content-Type",
    SEND_KEY_HEADER,
];

/// Query parameters.
pub(crate) type Query<'a> = Vec<(&'static str, std::borrow::Cow<'a, str>)>;

/// Builds calls.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    gmail: Url,
    userinfo: Url,
    pub(crate) costs: GmailCosts,
    pub(crate) batch_size: usize,
}

impl Client {
    pub(crate) fn new(config: &GoogleConfig, concurrency: Option<u32>) -> Self {
        // A batch's inner calls run at the same time: more of them than the mailbox allows could never be admitted.
        let slots = concurrency.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(usize::MAX);
        Self {
            gmail: config.endpoints.gmail.clone(),
            userinfo: config.endpoints.userinfo.clone(),
            costs: config.quota_overrides.costs.unwrap_or_default(),
            batch_size: config.batch_size.clamp(1, slots.max(1)),
        }
    }

    pub(crate) fn userinfo(&self) -> Result<Call> {
        // Not part of Gmail's quota.
        get(operation::USERINFO, &self.userinfo, 0)
    }

    pub(crate) fn profile(&self) -> Result<Call> {
        let fields = vec![("fields", "emailAddress,historyId".into())];
        get(operation::PROFILE, &self.me(&["profile"], &fields)?, self.costs.get_profile)
    }

    /// A page of ids; `query` without `fields`.
    pub(crate) fn list(&self, mut query: Query<'_>) -> Result<Call> {
        query.push(("fields", LIST_FIELDS.into()));
        get(operation::LIST, &self.me(&["messages"], &query)?, self.costs.messages_list)
    }

    pub(crate) fn history(&self, start: u64, page: Option<&str>) -> Result<Call> {
        let mut query: Query<'_> =
            vec![("startHistoryId", start.to_string().into()), ("maxResults", PAGE.to_string().into())];
        query.extend(page.map(|page| ("pageToken", page.into())));
        query.push(("fields", HISTORY_FIELDS.into()));
        get(operation::HISTORY, &self.me(&["history"], &query)?, self.costs.history_list)
    }

    pub(crate) fn message(&self, id: &str, depth: Depth) -> Result<Call> {
        self.get_message(id, &depth_query(depth))
    }

    /// Only the `Message-ID` of a message.
    pub(crate) fn message_id(&self, id: &str) -> Result<Call> {
        let query = vec![
            ("format", "metadata".into()),
            ("metadataHeaders", "Message-ID".into()),
            ("fields", "id,threadId,payload(headers)".into()),
        ];
        self.get_message(id, &query)
    }

    /// Only the MIME tree of a message, to find a part's attachment id.
    pub(crate) fn tree(&self, id: &str) -> Result<Call> {
        self.get_message(id, &vec![("format", "full".into()), ("fields", "payload".into())])
    }

    pub(crate) fn raw(&self, id: &str) -> Result<Call> {
        let call = self.get_message(id, &vec![("format", "raw".into()), ("fields", "raw".into())])?;
        Ok(call.with_response_cap(LARGEST_ANSWER).with_timeout(Duration::from_secs(300)))
    }

    pub(crate) fn attachment(&self, message: &str, attachment: &str) -> Result<Call> {
        let fields = vec![("fields", "size,data".into())];
        let url = self.me(&["messages", message, "attachments", attachment], &fields)?;
        let call = get(operation::ATTACHMENT, &url, self.costs.attachments_get)?;
        Ok(call.with_response_cap(LARGEST_ANSWER))
    }

    pub(crate) fn labels(&self) -> Result<Call> {
        let fields = vec![("fields", "labels(id,name,type)".into())];
        get(operation::LABELS, &self.me(&["labels"], &fields)?, self.costs.labels_list)
    }

    pub(crate) fn modify(&self, id: &str, add: &[&str], remove: &[&str]) -> Result<Call> {
        let body = serde_json::json!({ "addLabelIds": add, "removeLabelIds": remove }).to_string();
        let url = self.me(&["messages", id, "modify"], &vec![("fields", "id".into())])?;
        let cost = Cost::units(self.costs.messages_modify);
        post(operation::MODIFY, &url, "application/json", body, cost, Repeat::Safe)
    }

    /// Sends a raw message. `boundary` must be unpredictable: the message may be anybody's.
    ///
    /// # Errors
    /// `InvalidInput` if it is larger than the service takes.
    pub(crate) fn send(&self, raw: &[u8], thread: Option<&str>, boundary: &str) -> Result<Call> {
        let cost = Cost::units(self.costs.messages_send);
        if raw.len() > LARGEST_MESSAGE {
            let message = format!("a message of {} bytes is larger than Gmail sends ({LARGEST_MESSAGE})", raw.len());
            return Err(invalid(message).with_operation(operation::SEND));
        }
        let mut json = serde_json::Map::new();
        if let Some(thread) = thread {
            json.insert("threadId".to_owned(), thread.into());
        }
        if raw.len() < LARGEST_JSON_SEND {
            json.insert("raw".to_owned(), URL_SAFE.encode(raw).into());
            let body = serde_json::Value::Object(json).to_string();
            let url = self.me(&["messages", "send"], &Vec::new())?;
            return post(operation::SEND, &url, "application/json", body, cost, Repeat::Never);
        }
        let mut url = self.below(&["upload", "gmail", "v1", "users", "me", "messages", "send"])?;
        url.query_pairs_mut().append_pair("uploadType", "multipart");
        let json = serde_json::Value::Object(json);
        let mut body = Vec::with_capacity(raw.len() + 512);
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json}\r\n").as_bytes(),
        );
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n").as_bytes());
        body.extend_from_slice(raw);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = format!("multipart/related; boundary={boundary}");
        let call = post(operation::SEND, &url, &kind, body, cost, Repeat::Never)?;
        Ok(call.with_timeout(Duration::from_secs(300)))
    }

    /// Has the mailbox's changes told to a topic; the same topic again prolongs that.
    pub(crate) fn watch(&self, topic: &str) -> Result<Call> {
        let body = serde_json::json!({ "topicName": topic }).to_string();
        let (url, cost) = (self.me(&["watch"], &Vec::new())?, Cost::units(self.costs.watch));
        post(operation::WATCH, &url, "application/json", body, cost, Repeat::Safe)
    }

    /// Ends that.
    pub(crate) fn stop(&self) -> Result<Call> {
        let (url, cost) = (self.me(&["stop"], &Vec::new())?, Cost::units(self.costs.stop));
        post(operation::STOP, &url, "application/json", Bytes::new(), cost, Repeat::Safe)
    }

    /// One batch that gets all these messages. Inner calls name Google's own paths, never hosts.
    pub(crate) fn batch_get(&self, ids: &[&str], depth: Depth, boundary: &str) -> Result<Call> {
        let query = depth_query(depth);
        let mut body = String::with_capacity(ids.len() * 400);
        for (index, id) in ids.iter().enumerate() {
            let inner = with_query(path(google_root(&self.gmail), &MY.map_to(&["messages", id]))?, &query);
            let target = &inner[url::Position::BeforePath..url::Position::AfterQuery];
            // Writing to a text cannot fail.
            let _ = write!(
                body,
                "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <item-{index}>\r\n\r\n\
                 GET {target} HTTP/1.1\r\n\r\n\r\n"
            );
        }
        let _ = write!(body, "--{boundary}--\r\n");
        let url = self.below(&["batch", "gmail", "v1"])?;
        let cost = Cost::batch(u32::try_from(ids.len()).unwrap_or(u32::MAX), self.costs.messages_get);
        let kind = format!("multipart/mixed; boundary=\"{boundary}\"");
        let call = post(operation::BATCH, &url, &kind, body, cost, Repeat::Safe)?;
        Ok(call.with_response_cap(LARGEST_ANSWER))
    }

    fn get_message(&self, id: &str, query: &Query<'_>) -> Result<Call> {
        get(operation::GET, &self.me(&["messages", id], query)?, self.costs.messages_get)
    }

    fn me(&self, segments: &[&str], query: &Query<'_>) -> Result<Url> {
        Ok(with_query(self.below(&MY.map_to(segments))?, query))
    }

    fn below(&self, segments: &[&str]) -> Result<Url> {
        path(self.gmail.clone(), segments)
    }
}

/// The path of the signed-in account.
struct My([&'static str; 4]);
const MY: My = My(["gmail", "v1", "users", "me"]);

impl My {
    fn map_to<'a>(&self, segments: &[&'a str]) -> Vec<&'a str> {
        self.0.iter().copied().chain(segments.iter().copied()).collect()
    }
}

/// A proxy below a path of its own is not part of what Google is asked inside a batch.
fn google_root(gmail: &Url) -> Url {
    let mut root = gmail.clone();
    root.set_path("/");
    root
}

/// May this be an id? What may not cannot be asked for: URLs would silently become others.
pub(crate) fn is_id(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(char::is_control)
}

/// Appends segments, percent-encoded: an id can never leave its place.
fn path(mut url: Url, segments: &[&str]) -> Result<Url> {
    if !segments.iter().all(|segment| is_id(segment)) {
        return Err(invalid("an id is empty, a path, or holds control characters"));
    }
    let cannot = || Error::new(ErrorKind::Misconfigured, "`endpoints.gmail` cannot have paths").with_service("google");
    url.path_segments_mut().map_err(|()| cannot())?.pop_if_empty().extend(segments);
    Ok(url)
}

fn with_query(mut url: Url, query: &Query<'_>) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

fn depth_query(depth: Depth) -> Query<'static> {
    let mut query: Query<'static> = Vec::new();
    if depth == Depth::Headers {
        query.push(("format", "metadata".into()));
        query.extend(HEADERS.map(|name| ("metadataHeaders", name.into())));
    } else {
        query.push(("format", "full".into()));
    }
    query.push(("fields", MESSAGE_FIELDS.into()));
    query
}

fn get(operation: &'static str, url: &Url, units: u32) -> Result<Call> {
    let request = http::Request::get(url.as_str()).header(ACCEPT, "application/json").header(USER_AGENT, AGENT);
    Ok(Call::new(operation, request.body(Bytes::new()).map_err(unbuildable)?, Cost::units(units), Repeat::Safe))
}

fn post(
    operation: &'static str,
    url: &Url,
    kind: &str,
    body: impl Into<Bytes>,
    cost: Cost,
    repeat: Repeat,
) -> Result<Call> {
    let request = http::Request::post(url.as_str()).header(CONTENT_TYPE, kind).header(USER_AGENT, AGENT);
    Ok(Call::new(operation, request.body(body.into()).map_err(unbuildable)?, cost, repeat))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_service("google")
}

fn unbuildable(error: http::Error) -> Error {
    invalid("the request cannot be built").with_source(error)
}

#[cfg(test)]
mod tests;
