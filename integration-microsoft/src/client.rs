//! Calls with their cost and repeatability: pure functions, no I/O.
//! Source: <https://learn.microsoft.com/graph/api/overview>.

mod link;
mod write;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, Method,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use integration_core::{
    Error, ErrorKind, Result,
    clock::Random,
    email::Depth,
    http::{Call, Cost, Repeat},
};
use serde_json::json;
use url::Url;

pub(crate) use self::write::{KEY_PROPERTY, LARGEST_PLAIN};
use crate::{batch, outlook::Known};

/// Names of operations, for errors, spans and metrics.
pub(crate) mod operation {
    pub(crate) const ATTACH: &str = "outlook.attachments.create";
    pub(crate) const ATTACHMENT: &str = "outlook.attachments.get";
    pub(crate) const ATTACHMENTS: &str = "outlook.attachments.list";
    pub(crate) const BATCH: &str = "outlook.batch";
    pub(crate) const CREATE: &str = "outlook.messages.create";
    pub(crate) const DELETE: &str = "outlook.messages.delete";
    pub(crate) const DELTA: &str = "outlook.messages.delta";
    pub(crate) const FOLDERS: &str = "outlook.mailFolders.delta";
    pub(crate) const GET: &str = "outlook.messages.get";
    pub(crate) const LIST: &str = "outlook.messages.list";
    pub(crate) const MOVE: &str = "outlook.messages.move";
    pub(crate) const RAW: &str = "outlook.messages.raw";
    pub(crate) const REPLY: &str = "outlook.messages.createReply";
    pub(crate) const SEND: &str = "outlook.messages.send";
    pub(crate) const SUBSCRIBE: &str = "microsoft.subscriptions.create";
    pub(crate) const SUBSCRIPTION: &str = "microsoft.subscriptions.update";
    pub(crate) const UNSUBSCRIBE: &str = "microsoft.subscriptions.delete";
    pub(crate) const UPDATE: &str = "outlook.messages.update";
    pub(crate) const UPLOAD: &str = "outlook.attachments.upload";
    pub(crate) const UPLOAD_SESSION: &str = "outlook.attachments.createUploadSession";
}

/// Messages per page of a delta walk: more of them with their texts end in gateway timeouts.
pub(crate) const PAGE: u32 = 100;
/// Folders per page.
pub(crate) const FOLDER_PAGE: u32 = 250;
/// A message may have 150 MB, as base64 a third more.
const LARGEST_ANSWER: usize = 210 * 1024 * 1024;
const AGENT: &str = concat!("integration-microsoft/", env!("CARGO_PKG_VERSION"));
const VERSION: &str = "v1.0";
const REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Ids that stay when a message moves; on every call, or the ids of two calls would differ.
const IMMUTABLE: &str = "IdType=\"ImmutableId\"";
/// HTML as it was sent: what is shown is sanitised by whoever shows it.
const TEXTS: &str = "outlook.body-content-type=\"html\", outlook.allow-unsafe-html";

/// Everything that is read of a message but its texts.
const HEADERS: &str = "id,changeKey,lastModifiedDateTime,receivedDateTime,sentDateTime,subject,bodyPreview,from,sender,\
                       toRecipients,ccRecipients,bccRecipients,replyTo,conversationId,internetMessageId,\
                       internetMessageHeaders,parentFolderId,isRead,isDraft,hasAttachments,flag";
const BODY: &str = ",body";
const ATTACHMENT_FIELDS: &str = "id,name,contentType,size,isInline,microsoft.graph.fileAttachment/contentId";
const FOLDER_FIELDS: &str = "id,displayName,parentFolderId,isHidden";
/// What a listing reads of a message: enough to hold it against a query.
const LIST_FIELDS: &str = "id,conversationId,internetMessageId,receivedDateTime,parentFolderId,isDraft,isRead,from,\
                           sender,toRecipients,ccRecipients,bccRecipients";
/// Newest first.
const NEWEST: &str = "receivedDateTime desc";

/// Query parameters.
pub(crate) type Query<'a> = Vec<(&'static str, std::borrow::Cow<'a, str>)>;

/// Whose mailbox is opened.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Root {
    /// The mailbox with this id or address: a shared one, or any where an administrator granted the app itself.
    Mailbox(String),
    /// The signed-in person's own.
    #[default]
    Own,
}

/// Builds calls to Graph for one mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// With the version, without a slash at the end.
    graph: String,
    /// What the service calls the same place, where it is reached through another address.
    own_name: Option<String>,
    pub(crate) root: Root,
    pub(crate) known: Arc<Known>,
    pub(crate) batch_size: usize,
    slots: u32,
    random: Option<Arc<dyn Random>>,
}

impl Client {
    /// A client of the Graph at `graph` (its root, or with the version).
    ///
    /// `batch_size`: messages per batch, at most 20. `concurrency`: calls that the service runs at a time for one
    /// mailbox; of a batch, it runs as many and lets the others wait.
    pub(crate) fn new(graph: &Url, batch_size: usize, concurrency: Option<u32>) -> Self {
        let mut base = graph.as_str().trim_end_matches('/').to_owned();
        if !base.ends_with(VERSION) {
            base.extend(["/", VERSION]);
        }
        let batch_size = batch_size.clamp(1, batch::LARGEST);
        let slots = concurrency.unwrap_or(4).max(1);
        Self { graph: base, own_name: None, root: Root::Own, known: Arc::default(), batch_size, slots, random: None }
    }

    /// For this mailbox; the signed-in person's own unless set.
    #[must_use]
    pub(crate) fn at(mut self, root: Root) -> Self {
        self.root = root;
        self
    }

    /// The service names itself so in links, however it is reached (`https://graph.microsoft.com`).
    pub(crate) fn named(mut self, resource: &str) -> Self {
        self.own_name = Some([resource.trim_end_matches('/'), "/", VERSION].concat());
        self
    }

    /// Calls carry an id of their own from here on, by which the service's support finds them.
    pub(crate) fn with_random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = Some(random);
        self
    }

    /// The first page of everything in a folder, of at most `size` messages; its end tells where changes begin.
    pub(crate) fn delta(&self, folder: &str, size: u32) -> Result<Call> {
        let query = vec![("$select", [HEADERS, BODY].concat().into()), ("$orderby", NEWEST.into())];
        let url = self.url(&["mailFolders", folder, "messages"], "/delta", &query)?;
        self.delta_page(&url, size)
    }

    /// A further page, by the link as the service gave it.
    ///
    /// # Errors
    /// `Validation` for a link to anywhere else: it is never followed.
    pub(crate) fn delta_link(&self, link: &str, size: u32) -> Result<Call> {
        self.delta_page(&self.followed(link, operation::DELTA)?, size)
    }

    fn delta_page(&self, url: &str, size: u32) -> Result<Call> {
        let call = self.get(operation::DELTA, url, &format!("odata.maxpagesize={size}, {TEXTS}"))?;
        Ok(call.with_response_cap(LARGEST_ANSWER).with_timeout(Duration::from_secs(120)))
    }

    /// The first page of all folders, flat, of at most `size`.
    pub(crate) fn folders(&self, size: u32) -> Result<Call> {
        let url = self.url(&["mailFolders"], "/delta", &vec![("$select", FOLDER_FIELDS.into())])?;
        self.folder_page(&url, size)
    }

    /// A further page of them.
    pub(crate) fn folders_link(&self, link: &str, size: u32) -> Result<Call> {
        self.folder_page(&self.followed(link, operation::FOLDERS)?, size)
    }

    fn folder_page(&self, url: &str, size: u32) -> Result<Call> {
        self.get(operation::FOLDERS, url, &format!("odata.maxpagesize={size}"))
    }

    /// A page of messages; `query` without `$select`. Without a folder: all of them.
    pub(crate) fn list(&self, folder: Option<&str>, mut query: Query<'_>) -> Result<Call> {
        query.push(("$select", LIST_FIELDS.into()));
        let url = match folder {
            Some(folder) => self.url(&["mailFolders", folder, "messages"], "", &query)?,
            None => self.url(&["messages"], "", &query)?,
        };
        self.get(operation::LIST, &url, "")
    }

    /// A further page of them.
    pub(crate) fn list_link(&self, link: &str) -> Result<Call> {
        self.get(operation::LIST, &self.followed(link, operation::LIST)?, "")
    }

    /// A page of a message's attachments after the first.
    pub(crate) fn attachments_link(&self, link: &str) -> Result<Call> {
        self.get(operation::ATTACHMENTS, &self.followed(link, operation::ATTACHMENTS)?, "")
    }

    /// What a batch, or a call of its own, asks for a message.
    pub(crate) fn message_path(&self, id: &str, depth: Depth) -> Result<String> {
        let fields = if depth == Depth::Headers { HEADERS.to_owned() } else { [HEADERS, BODY].concat() };
        self.path(&["messages", id], "", &vec![("$select", fields.into())])
    }

    /// Where a message lies now, and whether it is still a draft.
    pub(crate) fn state_path(&self, id: &str) -> Result<String> {
        self.path(&["messages", id], "", &vec![("$select", LIST_FIELDS.into())])
    }

    /// What is attached to a message, without its bytes.
    pub(crate) fn attachments_path(&self, id: &str) -> Result<String> {
        self.path(&["messages", id], "/attachments", &vec![("$select", ATTACHMENT_FIELDS.into())])
    }

    /// A message's raw text.
    pub(crate) fn raw_path(&self, id: &str) -> Result<String> {
        self.path(&["messages", id], "/$value", &Vec::new())
    }

    /// A folder's id, by the name that every mailbox knows it by.
    pub(crate) fn folder_path(&self, name: &str) -> Result<String> {
        self.path(&["mailFolders", name], "", &vec![("$select", "id".into())])
    }

    /// A call of its own to one of the paths above.
    pub(crate) fn read(&self, operation: &'static str, path: &str) -> Result<Call> {
        let call = self.get(operation, &[self.graph.as_str(), path].concat(), TEXTS)?;
        Ok(call.with_response_cap(LARGEST_ANSWER).with_timeout(Duration::from_secs(120)))
    }

    pub(crate) fn attachment(&self, message: &str, attachment: &str) -> Result<Call> {
        let url = self.url(&["messages", message, "attachments", attachment], "/$value", &Vec::new())?;
        Ok(self.get(operation::ATTACHMENT, &url, "")?.with_response_cap(LARGEST_ANSWER))
    }

    /// One batch of reads of these paths. Each repeats the preferences: they are not inherited.
    pub(crate) fn batch(&self, paths: &[String]) -> Result<Call> {
        let prefer = [IMMUTABLE, ", ", TEXTS].concat();
        let request = |(index, path): (usize, &String)| json!({ "id": index.to_string(), "method": "GET", "url": path, "headers": { "Prefer": prefer } });
        let requests: Vec<_> = paths.iter().enumerate().map(request).collect();
        let count = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        let mut cost = Cost::batch(count, 1);
        cost.slots = count.min(self.slots);
        let body = json!({ "requests": requests }).to_string();
        let url = format!("{}/$batch", self.graph);
        let call = self.call((operation::BATCH, Method::POST), &url, Some(("application/json", body.into())), "")?;
        let call = Call::new(operation::BATCH, call, cost, Repeat::Safe);
        Ok(call.with_response_cap(LARGEST_ANSWER).with_timeout(Duration::from_secs(120)))
    }

    fn get(&self, operation: &'static str, url: &str, prefer: &str) -> Result<Call> {
        let request = self.call((operation, Method::GET), url, None, prefer)?;
        Ok(Call::new(operation, request, Cost::units(1), Repeat::Safe))
    }

    fn call(
        &self,
        (operation, method): (&'static str, Method),
        url: &str,
        body: Option<(&'static str, Bytes)>,
        prefer: &str,
    ) -> Result<http::Request<Bytes>> {
        let separator = if prefer.is_empty() { "" } else { ", " };
        let mut request = http::Request::builder()
            .method(method)
            .uri(url)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .header(PREFER, [IMMUTABLE, separator, prefer].concat());
        if let Some(id) = self.request_id() {
            request = request.header(REQUEST_ID, id);
        }
        if let Some((kind, _)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        request
            .body(body)
            .map_err(|error| invalid("the request cannot be built").with_operation(operation).with_source(error))
    }

    /// A UUID of the fourth kind.
    fn request_id(&self) -> Option<String> {
        let mut bytes = [0_u8; 16];
        self.random.as_ref()?.fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Writing to a text cannot fail.
            let _ = write!(text, "{dash}{byte:02x}");
        }
        Some(text)
    }

    fn url(&self, segments: &[&str], tail: &str, query: &Query<'_>) -> Result<String> {
        Ok([self.graph.as_str(), &self.path(segments, tail, query)?].concat())
    }

    /// Below the version, as a batch names it; `tail` is put as it is.
    fn path(&self, segments: &[&str], tail: &str, query: &Query<'_>) -> Result<String> {
        let mut path = match &self.root {
            Root::Mailbox(id) => ["/users/", &segment(id)?].concat(),
            Root::Own => "/me".to_owned(),
        };
        for part in segments {
            path.extend(["/", &segment(part)?]);
        }
        path.push_str(tail);
        for (at, (name, value)) in query.iter().enumerate() {
            path.extend([if at == 0 { "?" } else { "&" }, name, "=", &encoded(value)]);
        }
        Ok(path)
    }
}

/// May this be an id? What may not cannot be asked for: URLs would silently become others.
pub(crate) fn is_id(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(char::is_control)
}

/// An id as one segment of a path: it can never leave its place.
fn segment(id: &str) -> Result<String> {
    if !is_id(id) {
        return Err(invalid("an id is empty, a path, or holds control characters"));
    }
    Ok(encoded(id))
}

/// Percent-encoded; a space is never `+`, which is a letter of ids.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_service("microsoft")
}

#[cfg(test)]
mod tests;
