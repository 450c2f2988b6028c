//! Calls that change something.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    Method,
    header::{CONTENT_RANGE, CONTENT_TYPE},
};
use integration_core::{
    Result,
    email::OutgoingAttachment,
    http::{Call, Cost, Repeat},
};
use serde_json::{Value, json};
use url::Url;

use super::{Client, invalid, operation, segment};

/// What one request may carry is 4 MB; base64 takes a third more.
pub(crate) const LARGEST_PLAIN: usize = 2_900_000;
/// One piece of an upload, a multiple of 320 KiB below 4 MB.
pub(crate) const PIECE: usize = 10 * 327_680;
/// The largest attachment the service takes.
pub(crate) const LARGEST_ATTACHMENT: usize = 150_000_000;
/// The property that carries the key of what we send: services may replace a `Message-ID`.
pub(crate) const KEY_PROPERTY: &str = "String {6d7f0c52-3a1b-4e0e-9f57-8f1d6c2ab9e4} Name integration-send-key";

type Body = Option<(&'static str, Bytes)>;

impl Client {
    /// Puts a message among the drafts, as raw text: both forms of its text and every header are ours. Nobody is mailed,
    /// but repeating it would leave a second draft.
    pub(crate) fn create(&self, raw: &[u8]) -> Result<Call> {
        let url = self.url(&["messages"], "", &Vec::new())?;
        let call = self.write((operation::CREATE, Method::POST), &url, mime(raw), Repeat::Never)?;
        Ok(call.with_timeout(Duration::from_secs(120)))
    }

    /// The same as an answer to `original`: it joins that conversation for sure.
    pub(crate) fn create_reply(&self, original: &str, raw: &[u8]) -> Result<Call> {
        let url = self.url(&["messages", original], "/createReply", &Vec::new())?;
        let call = self.write((operation::REPLY, Method::POST), &url, mime(raw), Repeat::Never)?;
        Ok(call.with_timeout(Duration::from_secs(120)))
    }

    /// Marks a draft with the key it is found by.
    pub(crate) fn mark(&self, draft: &str, key: &str) -> Result<Call> {
        let body = json!({ "singleValueExtendedProperties": [{ "id": KEY_PROPERTY, "value": key }] });
        let url = self.url(&["messages", draft], "", &Vec::new())?;
        self.write((operation::UPDATE, Method::PATCH), &url, body_of(&body), Repeat::Safe)
    }

    /// Takes back that a message counts as read.
    pub(crate) fn mark_unread(&self, id: &str) -> Result<Call> {
        let url = self.url(&["messages", id], "", &Vec::new())?;
        self.write((operation::UPDATE, Method::PATCH), &url, body_of(&json!({ "isRead": false })), Repeat::Safe)
    }

    /// Sends a draft. Accepted is not delivered.
    pub(crate) fn submit(&self, draft: &str) -> Result<Call> {
        let url = self.url(&["messages", draft], "/send", &Vec::new())?;
        self.write((operation::SEND, Method::POST), &url, None, Repeat::Never)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<Call> {
        let url = self.url(&["messages", id], "", &Vec::new())?;
        self.write((operation::DELETE, Method::DELETE), &url, None, Repeat::Safe)
    }

    pub(crate) fn move_to(&self, id: &str, folder: &str) -> Result<Call> {
        let url = self.url(&["messages", id], "/move", &Vec::new())?;
        let body = json!({ "destinationId": folder });
        self.write((operation::MOVE, Method::POST), &url, body_of(&body), Repeat::Safe)
    }

    /// Attaches a small file ([`LARGEST_PLAIN`]). Repeating it would attach it twice.
    pub(crate) fn attach(&self, draft: &str, file: &OutgoingAttachment) -> Result<Call> {
        let body = json!({
            "@odata.type": "#microsoft.graph.fileAttachment", "name": file.name, "contentType": file.media_type,
            "contentBytes": STANDARD.encode(&file.bytes)
        });
        let url = self.url(&["messages", draft], "/attachments", &Vec::new())?;
        self.write((operation::ATTACH, Method::POST), &url, body_of(&body), Repeat::Never)
    }

    /// Begins to upload a large one.
    ///
    /// # Errors
    /// `InvalidInput` if it is larger than the service takes.
    pub(crate) fn upload_session(&self, draft: &str, file: &OutgoingAttachment) -> Result<Call> {
        if file.bytes.len() > LARGEST_ATTACHMENT {
            let message =
                format!("a file of {} bytes is larger than Outlook takes ({LARGEST_ATTACHMENT})", file.bytes.len());
            return Err(invalid(message).with_operation(operation::UPLOAD_SESSION));
        }
        let item = json!({
            "attachmentType": "file", "name": file.name, "size": file.bytes.len(), "contentType": file.media_type
        });
        let url = self.url(&["messages", draft], "/attachments/createUploadSession", &Vec::new())?;
        let body = json!({ "AttachmentItem": item });
        self.write((operation::UPLOAD_SESSION, Method::POST), &url, body_of(&body), Repeat::Safe)
    }

    /// One piece of it. The address is a secret of its own, and takes no token.
    pub(crate) fn upload(&self, address: &str, file: &OutgoingAttachment, from: usize) -> Result<Call> {
        let (total, to) = (file.bytes.len(), file.bytes.len().min(from + PIECE));
        let request = http::Request::put(address)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, format!("bytes {from}-{}/{total}", to.saturating_sub(1)))
            .body(file.bytes.slice(from..to))
            // The error would hold the address.
            .map_err(|_| invalid("the address to upload to is none").with_operation(operation::UPLOAD))?;
        let cost = carrying(request.body());
        let call = Call::new(operation::UPLOAD, request, cost, Repeat::Never);
        Ok(call.without_auth().with_timeout(Duration::from_secs(120)))
    }

    /// Asks to be told of every change among the messages. Repeating it would have everything told twice.
    pub(crate) fn subscribe(&self, notify: &Url, lifecycle: Option<&Url>, proof: (&str, &str)) -> Result<Call> {
        let (client_state, ends) = proof;
        let mut body = json!({
            "changeType": "created,updated,deleted", "notificationUrl": notify.as_str(), "resource": self.watched()?,
            "expirationDateTime": ends, "clientState": client_state
        });
        if let Some(lifecycle) = lifecycle {
            body["lifecycleNotificationUrl"] = lifecycle.as_str().into();
        }
        let url = [self.graph.as_str(), "/subscriptions"].concat();
        self.write((operation::SUBSCRIBE, Method::POST), &url, body_of(&body), Repeat::Never)
    }

    /// Prolongs that.
    pub(crate) fn prolong(&self, subscription: &str, ends: &str) -> Result<Call> {
        let body = json!({ "expirationDateTime": ends });
        let url = [self.graph.as_str(), "/subscriptions/", &segment(subscription)?].concat();
        self.write((operation::SUBSCRIPTION, Method::PATCH), &url, body_of(&body), Repeat::Safe)
    }

    /// Ends it.
    pub(crate) fn unsubscribe(&self, subscription: &str) -> Result<Call> {
        let url = [self.graph.as_str(), "/subscriptions/", &segment(subscription)?].concat();
        self.write((operation::UNSUBSCRIBE, Method::DELETE), &url, None, Repeat::Safe)
    }

    /// The messages of this mailbox, as subscriptions name them: one for all folders.
    pub(crate) fn watched(&self) -> Result<String> {
        let path = self.path(&["messages"], "", &Vec::new())?;
        Ok(path.trim_start_matches('/').to_owned())
    }

    fn write(&self, what: (&'static str, Method), url: &str, body: Body, repeat: Repeat) -> Result<Call> {
        let operation = what.0;
        let request = self.call(what, url, body, "")?;
        let cost = carrying(request.body());
        Ok(Call::new(operation, request, cost, repeat))
    }
}

/// The service limits what is carried to a mailbox, beside the calls.
fn carrying(body: &Bytes) -> Cost {
    Cost::units(1).with_uploaded(body.len() as u64)
}

/// Graph takes raw text in base64, and calls it plain.
fn mime(raw: &[u8]) -> Body {
    Some(("text/plain", STANDARD.encode(raw).into()))
}

fn body_of(json: &Value) -> Body {
    Some(("application/json", json.to_string().into()))
}
