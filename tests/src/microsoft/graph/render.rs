//! Messages as the API shows them.

use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::attachments;
use super::changes::PROPERTIES;
use super::ids::{IdLetters, checksum};
use super::mail::{Body, Mail, Party};
use super::methods::Access;
use super::prefer::Prefer;
use super::query::{Query, names};
use super::settings::Oddity;
use super::state::Account;
use super::stored::Stored;
use super::{extended, html};

/// What a message has without being asked for it.
const USUAL: [&str; 31] = [
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "categories",
    "receivedDateTime",
    "sentDateTime",
    "hasAttachments",
    "internetMessageId",
    "subject",
    "bodyPreview",
    "importance",
    "parentFolderId",
    "conversationId",
    "conversationIndex",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
    "isRead",
    "isDraft",
    "webLink",
    "inferenceClassification",
    "body",
    "sender",
    "from",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "flag",
    "meetingMessageType",
    "@odata.etag",
    "id",
];
/// What it has only if asked for.
const UNUSUAL: [&str; 2] = ["internetMessageHeaders", "uniqueBody"];
/// What a client that may read only the basics does not see.
const NOT_BASIC: [&str; 3] = ["body", "bodyPreview", "uniqueBody"];

/// Which properties are shown, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Absent: the usual ones.
    pub(super) select: Option<Vec<String>>,
    pub(super) attachments: bool,
    /// Ids of extended properties.
    pub(super) extended: Vec<String>,
    pub(super) prefer: Prefer,
    pub(super) basic: bool,
    pub(super) letters: IdLetters,
}

impl View {
    /// What a request asks for.
    pub(super) fn of(query: &Query, prefer: &Prefer, access: Access, letters: IdLetters) -> Result<Self, Refusal> {
        Self::from_options((query.get("$select"), query.get("$expand")), prefer, access, letters)
    }

    /// What `$select` and `$expand` ask for.
    pub(super) fn from_options(
        (select, expand): (Option<&str>, Option<&str>),
        prefer: &Prefer,
        access: Access,
        letters: IdLetters,
    ) -> Result<Self, Refusal> {
        let basic = access == Access::Basic;
        let mut view = Self { prefer: prefer.clone(), basic, letters, ..Self::default() };
        if let Some(select) = select {
            view.select = Some(names(select).iter().map(|name| known(name)).collect::<Result<_, _>>()?);
        }
        for one in expand.map(names).unwrap_or_default() {
            view.expand(&one)?;
        }
        Ok(view)
    }

    fn expand(&mut self, one: &str) -> Result<(), Refusal> {
        let name = one.split('(').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "attachments" if self.basic => Err(Refusal::access_denied()),
            "attachments" => {
                self.attachments = true;
                Ok(())
            }
            "singlevalueextendedproperties" => {
                self.extended = extended::asked(one)?;
                Ok(())
            }
            "multivalueextendedproperties" | "extensions" => Ok(()),
            _ => Err(Refusal::bad_query(format!("Could not find a property named '{one}' on type 'message'."))),
        }
    }

    fn properties(&self) -> Vec<&str> {
        let chosen: Vec<&str> = match &self.select {
            Some(chosen) => ["@odata.etag", "id"].into_iter().chain(chosen.iter().map(String::as_str)).collect(),
            None => USUAL.to_vec(),
        };
        chosen.into_iter().filter(|name| !self.basic || !NOT_BASIC.contains(name)).collect()
    }
}

/// The property with that name, spelled as it is.
fn known(name: &str) -> Result<String, Refusal> {
    let all = USUAL.iter().chain(&UNUSUAL).find(|known| known.eq_ignore_ascii_case(name));
    let message = || format!("Could not find a property named '{name}' on type 'microsoft.graph.message'.");
    all.map(|known| (*known).to_owned()).ok_or_else(|| Refusal::bad_query(message()))
}

/// A message together with what must be known of its mailbox.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) stored: Stored,
    pub(super) owner: String,
    folder: u64,
    conversation: String,
}

impl Shown {
    pub(super) fn new(account: &Account, stored: &Stored, letters: IdLetters) -> Self {
        let conversation = account.conversation_id(stored.conversation, letters);
        Self { stored: stored.clone(), owner: account.address.clone(), folder: stored.folder, conversation }
    }

    /// A message inside another.
    pub(super) fn inner(raw: Bytes, owner: &str) -> Self {
        let stored = Stored::loose(raw);
        Self { folder: stored.folder, stored, owner: owner.to_owned(), conversation: String::new() }
    }

    /// The message as `view` has it.
    pub(super) fn message(&self, view: &View) -> Value {
        let shower = Shower { shown: self, view, mail: OnceCell::new() };
        shower.object(&view.properties())
    }

    /// Only what changed, as delta tells it.
    pub(super) fn partial(&self, view: &View, mask: u16) -> Value {
        let chosen = view.properties();
        let changed = PROPERTIES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name);
        let wanted: Vec<&str> =
            ["@odata.etag", "id"].into_iter().chain(changed.filter(|name| chosen.contains(name))).collect();
        let plain = View { attachments: false, extended: Vec::new(), ..view.clone() };
        let shower = Shower { shown: self, view: &plain, mail: OnceCell::new() };
        shower.object(&wanted)
    }
}

struct Shower<'a> {
    shown: &'a Shown,
    view: &'a View,
    mail: OnceCell<Mail>,
}

impl Shower<'_> {
    fn mail(&self) -> &Mail {
        self.mail.get_or_init(|| Mail::read(&self.shown.stored.source.bytes()))
    }

    fn object(&self, properties: &[&str]) -> Value {
        let mut object = Map::new();
        // A subtype names itself, whatever is chosen.
        if self.mail().calendar.is_some() {
            object.insert("@odata.type".to_owned(), json!(event_type(self.mail())));
        }
        for name in properties {
            if let Some(value) = self.property(name) {
                object.insert((*name).to_owned(), value);
            }
        }
        if self.view.attachments {
            let view = attachments::View::whole(self.view.letters);
            object.insert("attachments".to_owned(), attachments::list(&self.shown.stored, &self.shown.owner, &view));
        }
        if !self.view.extended.is_empty() {
            let found = extended::shown(&self.shown.stored, self.mail(), &self.view.extended);
            if !found.is_empty() {
                object.insert("singleValueExtendedProperties".to_owned(), Value::Array(found));
            }
        }
        self.spoil(&mut object);
        Value::Object(object)
    }

    fn property(&self, name: &str) -> Option<Value> {
        let stored = &self.shown.stored;
        Some(match name {
            "id" => json!(stored.id(&self.shown.owner, self.view.prefer.immutable, self.view.letters)),
            "@odata.etag" => json!(format!("W/\"{}\"", change_key(stored))),
            "changeKey" => json!(change_key(stored)),
            "createdDateTime" => json!(instant(stored.created_ms)),
            "lastModifiedDateTime" => json!(instant(stored.modified_ms)),
            "receivedDateTime" => json!(instant(stored.received_ms)),
            "categories" => json!(stored.categories),
            "importance" => json!(stored.importance),
            "parentFolderId" => json!(self.folder_id()),
            "conversationId" => json!(self.shown.conversation),
            "conversationIndex" => json!(conversation_index(stored)),
            "isDeliveryReceiptRequested" => json!(false),
            "isReadReceiptRequested" => json!(false),
            "isRead" => json!(stored.read),
            "isDraft" => json!(stored.draft),
            "webLink" => json!(format!("https://outlook.office365.com/owa/?ItemID={:016x}", stored.number)),
            "inferenceClassification" => json!(stored.inference),
            "flag" => json!({"flagStatus": stored.flag}),
            other => return self.content(other),
        })
    }

    /// Properties for which the message must be read.
    fn content(&self, name: &str) -> Option<Value> {
        let mail = self.mail();
        let list = |parties: &[Party]| Value::Array(parties.iter().map(Party::shown).collect());
        Some(match name {
            "sentDateTime" => json!(mail.date.map_or_else(|| instant(self.shown.stored.received_ms), text_of)),
            "hasAttachments" => json!(self.has_attachments()),
            "internetMessageId" => json!(Some(&mail.message_id).filter(|id| !id.is_empty())),
            "subject" => json!(mail.subject),
            "bodyPreview" => json!(preview(&mail.body)),
            "body" => self.body(&mail.body),
            "uniqueBody" => self.body(&unique(&mail.body)),
            "from" => json!(mail.from.as_ref().map(Party::shown)),
            "sender" => json!(mail.sender.as_ref().or(mail.from.as_ref()).map(Party::shown)),
            "toRecipients" => list(&mail.to),
            "ccRecipients" => list(&mail.cc),
            "bccRecipients" => list(&mail.bcc),
            "replyTo" => list(&mail.reply_to),
            "internetMessageHeaders" => {
                mail.headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
            }
            "meetingMessageType" => json!(meeting_type(mail)?),
            _ => return None,
        })
    }

    fn folder_id(&self) -> String {
        super::ids::Id::new(super::ids::Kind::Folder, &self.shown.owner, self.shown.folder, 0).text(self.view.letters)
    }

    fn has_attachments(&self) -> bool {
        let extra = self.shown.stored.extra.iter().any(|e| !e.shape.inline);
        extra || self.mail().attachments.iter().any(|a| !a.inline)
    }

    fn body(&self, body: &Body) -> Value {
        if self.view.prefer.text_body {
            return json!({"contentType": "text", "content": body.text()});
        }
        let page = body.html();
        let page = if self.view.prefer.unsafe_html { page } else { html::sanitised(&page) };
        json!({"contentType": "html", "content": page})
    }

    /// Puts in what is odd about the message.
    fn spoil(&self, object: &mut Map<String, Value>) {
        for oddity in &self.shown.stored.oddities {
            match oddity {
                Oddity::FromNull => {
                    replace(object, "from", Value::Null);
                    replace(object, "sender", Value::Null);
                }
                Oddity::FromDirectoryName => {
                    let name = "/O=EXCHANGELABS/OU=EXCHANGE ADMINISTRATIVE GROUP/CN=RECIPIENTS/CN=0A1B2C-GONE";
                    let party = json!({"emailAddress": {"name": "Somebody Gone", "address": name}});
                    replace(object, "from", party.clone());
                    replace(object, "sender", party);
                }
                Oddity::NoBody => {
                    object.remove("body");
                    object.remove("bodyPreview");
                }
                Oddity::UnknownMembers => {
                    replace(object, "importance", json!("urgent"));
                    replace(object, "flag", json!({"flagStatus": "postponed"}));
                    if let Some(body) = object.get_mut("body") {
                        body["contentType"] = json!("markdown");
                    }
                }
                Oddity::WrongTypes => {
                    replace(object, "receivedDateTime", json!(17));
                    replace(object, "subject", json!({"text": []}));
                    replace(object, "toRecipients", json!("nobody"));
                }
            }
        }
    }
}

fn replace(object: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(known) = object.get_mut(name) {
        *known = value;
    }
}

/// An instant in milliseconds as the API writes it.
pub(super) fn instant(ms: i64) -> String {
    text_of(DateTime::from_timestamp_millis(ms).unwrap_or_default())
}

fn text_of(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Names the version of a message.
pub(super) fn change_key(stored: &Stored) -> String {
    let mut bytes = [0_u8; 18];
    bytes[..8].copy_from_slice(&checksum(&stored.number.to_be_bytes()).to_be_bytes());
    bytes[8..16].copy_from_slice(&stored.version.to_be_bytes());
    STANDARD.encode(bytes)
}

fn conversation_index(stored: &Stored) -> String {
    let mut bytes = vec![1_u8];
    bytes.extend_from_slice(&stored.conversation.to_be_bytes()[3..]);
    bytes.extend_from_slice(&checksum(&stored.conversation.to_be_bytes()).to_be_bytes());
    bytes.extend_from_slice(&checksum(&stored.conversation.to_le_bytes()).to_be_bytes());
    for place in 1..=stored.depth.min(40) {
        bytes.push(0);
        bytes.extend_from_slice(&place.to_be_bytes());
    }
    STANDARD.encode(bytes)
}

fn preview(body: &Body) -> String {
    let text = body.text();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\r\n").chars().take(255).collect()
}

/// The body without what it quotes.
fn unique(body: &Body) -> Body {
    let cut = |text: &str, marks: &[&str]| {
        let end = marks.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
        text[..end].trim_end().to_owned()
    };
    match body {
        Body::Html(html) => Body::Html(cut(html, &["<div id=\"divRplyFwdMsg\"", "<blockquote", "<hr"])),
        Body::Text(text) => Body::Text(cut(text, &["-----Original Message-----", "________________________________"])),
    }
}

fn event_type(mail: &Mail) -> &'static str {
    match mail.calendar.as_ref().map(|(method, _)| method.as_str()) {
        Some("REQUEST") => "#microsoft.graph.eventMessageRequest",
        Some("REPLY") => "#microsoft.graph.eventMessageResponse",
        _ => "#microsoft.graph.eventMessage",
    }
}

fn meeting_type(mail: &Mail) -> Option<&'static str> {
    let (method, text) = mail.calendar.as_ref()?;
    Some(match method.as_str() {
        "REQUEST" => "meetingRequest",
        "CANCEL" => "meetingCancelled",
        "REPLY" if text.contains("PARTSTAT=ACCEPTED") => "meetingAccepted",
        "REPLY" if text.contains("PARTSTAT=TENTATIVE") => "meetingTenativelyAccepted",
        "REPLY" if text.contains("PARTSTAT=DECLINED") => "meetingDeclined",
        _ => "none",
    })
}
