//! Messages as every service is mapped to them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    ids::{FolderId, MessageId, PartId, ThreadId},
    sync::SyncItem,
};

/// A mail address with the name shown beside it.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Address {
    /// The name, decoded; `None` if there is none.
    pub name: Option<String>,
    /// The address as written.
    pub address: String,
}

impl Address {
    /// An address without a name.
    pub fn new(address: impl Into<String>) -> Self {
        Self { name: None, address: address.into() }
    }

    /// With the name shown beside it.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The address for comparing: trimmed, lower case.
    #[must_use]
    pub fn normalised(&self) -> String {
        self.address.trim().to_lowercase()
    }

    /// What follows the last `@`, lower case.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        self.address.trim().rsplit_once('@').map(|(_, domain)| domain.to_lowercase())
    }
}

/// The meaning of a folder or label that every service knows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Chat lines kept among the mail.
    Chat,
    /// Drafts.
    Drafts,
    /// The inbox.
    Inbox,
    /// Junk.
    Junk,
    /// Sent by the account.
    Sent,
    /// Deleted, not yet gone.
    Trash,
}

/// What a message is beside somebody's words.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MailKind {
    /// Sent by a program in answer to a message: out of office and the like.
    AutoReply,
    /// Sent by a program that says so; automatic answers too.
    Automatic,
    /// A report that a message could not be delivered, or not yet.
    Bounce,
    /// Sent to many: a newsletter, an announcement.
    Bulk,
    /// A complaint about a message.
    Complaint,
    /// It asks for, answers or cancels a meeting.
    Invitation,
    /// From a mailing list.
    List,
    /// A receipt: somebody opened or deleted a message.
    Receipt,
}

/// Where a message lies and how it is marked; changes without the message changing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MailFlags {
    /// Every folder or label it is in, in the service's words.
    pub folders: Vec<FolderId>,
    /// Those with a common meaning.
    pub roles: Vec<Role>,
    /// Has it been read?
    pub read: bool,
    /// Is it starred or flagged?
    pub flagged: bool,
}

impl MailFlags {
    /// Is it in a folder of this meaning?
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Headers that decide what a message is, beside its participants.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageHeaders {
    /// All headers as (name, decoded value), in order; at most 200 of at most 8 KiB each.
    pub all: Vec<(String, String)>,
}

impl MessageHeaders {
    /// The first header of this name, ignoring case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every header of this name, ignoring case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A part of a message that is not its text; its bytes are fetched on demand.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attachment {
    /// Its position in the MIME tree, stable for the message's life ("1", "0.2"). Root is "".
    pub part: String,
    /// The file name, decoded; `None` if it has none.
    pub name: Option<String>,
    /// The media type, lower case.
    pub media_type: String,
    /// Bytes after decoding.
    pub size: u64,
    /// Shown inside the text (an image of an HTML body).
    pub inline: bool,
    /// `Content-ID` without angle brackets.
    pub content_id: Option<String>,
}

impl Attachment {
    /// The part's id, for [`EmailProvider::attachment`](super::EmailProvider::attachment).
    #[must_use]
    pub fn part_id(&self) -> PartId {
        PartId::new(self.part.clone())
    }
}

/// A part of a message that was written for programs: what a report says, or the header of what it reports on.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportPart {
    /// The media type, lower case; of an attached message (`message/rfc822`) only the header is kept.
    pub media_type: String,
    /// Its text.
    pub text: String,
}

impl ReportPart {
    /// A part of this type.
    pub fn new(media_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { media_type: media_type.into(), text: text.into() }
    }
}

/// From the mailbox owner's point of view.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody wrote to the owner.
    Inbound,
    /// The owner wrote.
    Outbound,
}

/// A message, whoever delivered it: decoding a service's form and parsing the raw RFC 5322 text give the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// The service's id, unique within the connection. Empty for a message parsed from raw text.
    pub id: String,
    /// The service's conversation, if it has one.
    pub thread: Option<ThreadId>,
    /// Where it lies and how it is marked.
    pub flags: MailFlags,
    /// When the service received it.
    pub received_at: Option<DateTime<Utc>>,
    /// `Date` as written, if it is a real date.
    pub date: Option<DateTime<Utc>>,
    /// `Message-ID` without angle brackets.
    pub message_id: Option<String>,
    /// `In-Reply-To` ids without angle brackets.
    pub in_reply_to: Vec<String>,
    /// `References` ids without angle brackets, oldest first.
    pub references: Vec<String>,
    /// `From`.
    pub from: Vec<Address>,
    /// `Sender`.
    pub sender: Option<Address>,
    /// `Reply-To`.
    pub reply_to: Vec<Address>,
    /// `To`.
    pub to: Vec<Address>,
    /// `Cc`.
    pub cc: Vec<Address>,
    /// `Bcc`, where visible.
    pub bcc: Vec<Address>,
    /// `Subject`, decoded; empty if there is none.
    pub subject: String,
    /// All headers.
    pub headers: MessageHeaders,
    /// The plain text body, as sent or made from the HTML; without NUL.
    pub text: String,
    /// The HTML body as sent, if there is one.
    pub html: Option<String>,
    /// A short beginning of the text, one line.
    pub snippet: String,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// The first calendar part (`text/calendar`), if any.
    pub calendar: Option<String>,
    /// What a report says to programs (RFC 3464, 5965, 8098); at most 16 parts, 256 KiB in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report_parts: Vec<ReportPart>,
    /// Bytes of the whole message, as far as known.
    pub size: u64,
}

impl Message {
    /// The service's id.
    #[must_use]
    pub fn message_key(&self) -> MessageId {
        MessageId::new(self.id.clone())
    }

    /// Everybody named in From, Sender, Reply-To, To, Cc, Bcc, in that order.
    pub fn participants(&self) -> impl Iterator<Item = &Address> {
        self.from.iter().chain(&self.sender).chain(&self.reply_to).chain(&self.to).chain(&self.cc).chain(&self.bcc)
    }
}

/// What a mail feed carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MailItem {
    /// Only where it lies and how it is marked: for a message known already.
    Flags(MailFlags),
    /// The message.
    Message(Box<Message>),
    /// Only what its folder makes of it: for a message known already.
    Roles(Vec<Role>),
}

impl MailItem {
    /// What a folder of these roles gives to everything in it, for
    /// [`Partition::inherits`](crate::sync::Partition::inherits).
    #[must_use]
    pub fn inherited(roles: &[Role]) -> String {
        // A list of plain words can always be written.
        serde_json::to_string(roles).unwrap_or_default()
    }
}

impl SyncItem for MailItem {
    const KIND: &'static str = "mail";
    const VERSION: u16 = 1;

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self> {
        if version != Self::VERSION {
            return Err(Error::new(ErrorKind::Validation, format!("unknown format {version} of a stored message")));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::Validation, "a stored message cannot be read").with_source(error))
    }

    fn is_partial(&self) -> bool {
        matches!(self, Self::Flags(_) | Self::Roles(_))
    }

    fn inheriting(inherited: &str) -> Option<Self> {
        serde_json::from_str(inherited).ok().map(Self::Roles)
    }
}

/// A message to send.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Outgoing {
    /// From; absent: the account's primary address.
    pub from: Option<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// Where answers go; absent: to From.
    pub reply_to: Option<Address>,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: Option<String>,
    /// HTML.
    pub html: Option<String>,
    /// Attached files.
    pub attachments: Vec<OutgoingAttachment>,
    /// What it answers, if anything.
    pub in_reply_to: Option<ReplyTo>,
    /// Further headers (name, value).
    pub headers: Vec<(String, String)>,
}

/// A file to attach.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutgoingAttachment {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    #[serde(with = "in_base64")]
    pub bytes: Bytes,
}

impl OutgoingAttachment {
    /// A file.
    pub fn new(name: impl Into<String>, media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), media_type: media_type.into(), bytes: bytes.into() }
    }
}

/// The message that is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReplyTo {
    /// Its conversation in the sending mailbox; `None` if it is known only from another mailbox.
    pub thread: Option<ThreadId>,
    /// Its `Message-ID` without angle brackets; `None` if it has none: the answer is then sent without a thread.
    pub message_id: Option<String>,
    /// Its `References`.
    pub references: Vec<String>,
}

impl ReplyTo {
    /// Answers `message`, in its thread.
    #[must_use]
    pub fn message(message: &Message) -> Self {
        Self {
            thread: message.thread.clone(),
            message_id: message.message_id.clone(),
            references: message.references.clone(),
        }
    }
}

/// Bytes as text.
mod in_base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}
