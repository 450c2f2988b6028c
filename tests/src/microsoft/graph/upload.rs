//! Large attachments in pieces.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{Answered, Refusal, empty, json, ok, put_header};
use super::attachments::{self, REQUEST_MAX, SMALL_MAX};
use super::ids::checksum;
use super::mail::{Attachment, AttachmentKind};
use super::message::member;
use super::query::origin;
use super::quota::Counted;
use super::render::instant;
use super::state::State;
use super::{Context, Graph, drafts};

/// Where the paths of upload URLs begin.
pub(super) const BASE: &str = "/api/gv1.0/AttachmentSessions";
const LARGEST: usize = 150 * 1024 * 1024;

/// An attachment on its way.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Upload {
    /// Who began it.
    #[serde(default)]
    app: String,
    mailbox: String,
    message: u64,
    name: String,
    content_type: String,
    content_id: Option<String>,
    inline: bool,
    size: usize,
    ends_ms: i64,
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// Begins an upload.
pub(super) fn begin(state: &mut State, context: &Context<'_>) -> Answered {
    if !context.call.account.is_empty() && context.call.account != context.mailbox {
        // A known problem of the service: it cannot be done in somebody else's mailbox.
        return Err(Refusal::access_denied());
    }
    let body = context.json()?;
    let item = member(&body, "AttachmentItem").ok_or_else(|| Refusal::invalid("AttachmentItem is missing."))?;
    let text = |name: &str| member(item, name).and_then(Value::as_str).map(str::to_owned);
    let size = member(item, "size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| Refusal::invalid("The attachment has no size."))?;
    if size < SMALL_MAX {
        let message = "The attachment is too small for an upload session.";
        return Err(Refusal::new(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", message));
    }
    if size > LARGEST {
        return Err(Refusal::new(413, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large."));
    }
    let message = state.account(&context.mailbox).find(&context.route.id)?.number;
    let life = i64::try_from(context.settings.upload_life.as_millis()).unwrap_or(i64::MAX);
    let upload = Upload {
        app: context.call.app.to_owned(),
        mailbox: context.mailbox.clone(),
        message,
        name: text("name").ok_or_else(|| Refusal::invalid("The attachment has no name."))?,
        content_type: text("contentType").unwrap_or_else(|| "application/octet-stream".to_owned()),
        content_id: text("contentId"),
        inline: member(item, "isInline").and_then(Value::as_bool).unwrap_or_default(),
        size,
        ends_ms: context.now_ms.saturating_add(life),
        bytes: Vec::new(),
    };
    let number = state.next();
    let token = format!("{:016x}{number:x}", checksum(format!("{}/{number}", context.mailbox).as_bytes()));
    let at = context.settings.upload_origin.clone().unwrap_or_else(|| origin(context.request));
    let mut session = upload.progress(number);
    session["uploadUrl"] = json!(format!("{at}{BASE}('{number}')?authtoken={token}"));
    session["@odata.context"] = json!(context.odata_context("uploadSession"));
    state.uploads.insert(token, upload);
    Ok(json(StatusCode::CREATED, &session))
}

impl Upload {
    /// Two forms of the range are seen.
    fn progress(&self, number: u64) -> Value {
        let dash = if self.bytes.is_empty() || number.is_multiple_of(2) { "-" } else { "" };
        let next = format!("{}{dash}", self.bytes.len());
        json!({"expirationDateTime": instant(self.ends_ms), "nextExpectedRanges": [next]})
    }

    fn take(&mut self, request: &Request<Bytes>) -> Result<(), Refusal> {
        let range = request.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let wrong = || Refusal::invalid("The Content-Range header is missing or malformed.");
        let (span, total) = range.and_then(|r| r.strip_prefix("bytes ")?.split_once('/')).ok_or_else(wrong)?;
        let (first, last) = span.split_once('-').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        let body = request.body();
        if body.len() > REQUEST_MAX {
            return Err(Refusal::too_large());
        }
        if total != self.size || last < first || last - first + 1 != body.len() {
            return Err(wrong());
        }
        if first != self.bytes.len() || last >= self.size {
            let message = "The range is not the one that is expected next.";
            return Err(Refusal::new(416, "ErrorInvalidRange", message));
        }
        self.bytes.extend_from_slice(body);
        Ok(())
    }
}

/// Answers a request to an upload URL.
pub(super) fn answer(graph: &Graph, request: &Request<Bytes>, now: DateTime<Utc>) -> Answered {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Err(Refusal::new(401, "InvalidAuthenticationToken", "The upload URL carries its own authorisation."));
    }
    let query = request.uri().query().unwrap_or_default();
    let token = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "authtoken");
    let token = token.map(|(_, token)| token.into_owned()).unwrap_or_default();
    let now_ms = now.timestamp_millis();
    let state = &mut *graph.lock();
    let number = state.next();
    let upload = state.uploads.get_mut(&token).filter(|upload| upload.ends_ms > now_ms);
    let upload = upload.ok_or_else(Refusal::item_not_found)?;
    match *request.method() {
        Method::GET => return Ok(ok(&upload.progress(number))),
        Method::DELETE => {
            state.uploads.remove(&token);
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        Method::PUT => {
            let (app, mailbox) = (&upload.app, &upload.mailbox);
            let counted = Counted { app, mailbox, operation: "attachments.upload", now_ms };
            state.quota.charge_bytes(graph.settings(), counted, request.body().len())?;
            upload.take(request)?;
        }
        _ => return Err(Refusal::new(405, "ErrorMethodNotAllowed", "The method is not allowed.")),
    }
    if upload.bytes.len() < upload.size {
        return Ok(ok(&upload.progress(number)));
    }
    let Some(upload) = state.uploads.remove(&token) else { return Err(Refusal::item_not_found()) };
    finish(state, upload, graph.settings().id_letters, (request, now_ms))
}

/// Puts the whole attachment onto its message.
fn finish(
    state: &mut State,
    upload: Upload,
    letters: super::IdLetters,
    (request, now_ms): (&Request<Bytes>, i64),
) -> Answered {
    let Upload { mailbox, message, name, content_type, content_id, inline, bytes, .. } = upload;
    let content = Bytes::from(bytes).into();
    let attachment = Attachment { name, content_type, content_id, inline, kind: AttachmentKind::File, content };
    let account = state.account(&mailbox);
    if !drafts::rewrite(account, message, now_ms, |mail| mail.attachments.push(attachment)) {
        return Err(Refusal::item_not_found());
    }
    let stored = account.messages.get(&message).ok_or_else(Refusal::item_not_found)?;
    let id = attachments::newest_id(stored, &mailbox, letters).unwrap_or_default();
    let mut answer = empty(StatusCode::CREATED);
    let location = format!("{}/v1.0/users('{mailbox}')/messages/attachments('{id}')", origin(request));
    put_header(&mut answer, header::LOCATION, &location);
    Ok(answer)
}
