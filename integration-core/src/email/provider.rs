//! The mailbox provider.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, stream::BoxStream};

use super::types::{MailItem, Message, Outgoing, Role};
use crate::{
    error::Result,
    http::ByteStream,
    ids::{FolderId, MessageId, PartId, ThreadId},
    page::{self, Page, PageToken},
    sync::{Feed, Fetched},
};

/// Mail of one connection.
#[async_trait]
pub trait EmailProvider: fmt::Debug + Send + Sync + 'static {
    /// What this mailbox supports; constant for the life of the value. What is not claimed returns `Unsupported`.
    fn capabilities(&self) -> &EmailCapabilities;

    /// What can be pulled incrementally.
    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>>;

    /// A page of messages that match. Safe to repeat.
    ///
    /// # Errors
    /// What the service answers.
    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>>;

    /// Fetches messages; each id is answered once. Batching is the provider's. Safe to repeat.
    ///
    /// # Errors
    /// Only where nothing at all came back.
    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>>;

    /// The bytes of one part, as they arrive, decoded.
    ///
    /// # Errors
    /// `NotFound` if the message or the part is gone.
    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream>;

    /// The message as it was sent over the wire (RFC 5322), whole.
    ///
    /// # Errors
    /// `NotFound` if it is gone.
    async fn raw(&self, id: &MessageId) -> Result<Bytes>;

    /// Sends. Not idempotent: after [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) ask [`EmailProvider::find_sent`]
    /// before any repeat.
    ///
    /// # Errors
    /// `OutcomeUnknown` is a real answer; `InvalidInput` for what the service refuses.
    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent>;

    /// The message that was sent under this key, if it left. `None` is the proof that it did not, unless only a
    /// [`LookUp::Glance`] was asked for.
    ///
    /// # Errors
    /// What the service answers; `Validation` where it cannot be told.
    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>>;

    /// Drafts, where the mailbox has them.
    fn drafts(&self) -> Option<&dyn Drafts> {
        None
    }

    /// Folders or labels, where the mailbox has them.
    fn folders(&self) -> Option<&dyn Folders> {
        None
    }
}

/// Comfort on top of [`EmailProvider`].
pub trait EmailProviderExt: EmailProvider {
    /// Every match, page after page. The stream ends after its first error.
    fn messages(&self, query: MessageQuery) -> BoxStream<'_, Result<MessageStub>> {
        page::stream(move |token| {
            let query = query.clone();
            async move { self.search(&query, token.as_ref()).await }.boxed()
        })
    }
}

impl<T: EmailProvider + ?Sized> EmailProviderExt for T {}

/// Folders or labels.
#[async_trait]
pub trait Folders: fmt::Debug + Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// What the service answers.
    async fn list(&self) -> Result<Vec<Folder>>;

    /// Moves a message into and out of folders. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown message or folder; `MissingScope` without the right to modify.
    async fn change(&self, of: &MessageId, into: &[FolderId], out_of: &[FolderId]) -> Result<()>;
}

/// Drafts.
#[async_trait]
pub trait Drafts: fmt::Debug + Send + Sync {
    /// Creates a draft. Not safe to repeat.
    ///
    /// # Errors
    /// What the service answers.
    async fn create(&self, mail: &Outgoing) -> Result<MessageId>;
}

/// A folder or label.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its name.
    pub name: String,
    /// Its common meaning, if it has one.
    pub role: Option<Role>,
}

impl Folder {
    /// A folder.
    pub fn new(id: FolderId, name: impl Into<String>, role: Option<Role>) -> Self {
        Self { id, name: name.into(), role }
    }
}

/// What a mailbox supports.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EmailCapabilities {
    /// It can send ([`EmailProvider::send`] and [`EmailProvider::find_sent`]).
    pub send: bool,
    /// It can search by free text.
    pub search_text: bool,
    /// It has conversations.
    pub threads: bool,
    /// It gives raw messages.
    pub raw: bool,
    /// [`EmailProvider::folders`] is there.
    pub folders: bool,
    /// [`EmailProvider::drafts`] is there.
    pub drafts: bool,
    /// A message keeps its id when it moves.
    pub stable_ids: bool,
    /// A fetched message has exactly what its raw text has. Otherwise the service keeps a form of its own: one form of a
    /// text, from which the other is made; sizes of files that are estimates; names for files without one.
    pub exact_content: bool,
}

/// How much of a message to fetch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Depth {
    /// Everything but attachment bytes.
    Full,
    /// Participants, subject, dates, flags; no text, no list of attachments.
    Headers,
}

/// Which messages; all conditions together. The default matches everything outside junk and trash.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MessageQuery {
    /// Words, as the service's own search understands them.
    pub text: Option<String>,
    /// In this folder.
    pub folder: Option<FolderId>,
    /// Received at or after.
    pub since: Option<DateTime<Utc>>,
    /// Received before.
    pub until: Option<DateTime<Utc>>,
    /// From or to this address.
    pub participant: Option<String>,
    /// With this `Message-ID` (without angle brackets).
    pub message_id: Option<String>,
    /// Junk and trash too.
    pub include_junk_and_trash: bool,
    /// How many per page; absent: the service's largest.
    pub page_size: Option<u32>,
}

/// A message as a listing shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MessageStub {
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub thread: Option<ThreadId>,
}

impl MessageStub {
    /// A stub.
    #[must_use]
    pub fn new(id: MessageId, thread: Option<ThreadId>) -> Self {
        Self { id, thread }
    }
}

/// Identifies one sending for good: becomes the `Message-ID` (without angle brackets, `left@right`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SendKey {
    text: String,
    age: Option<Duration>,
    ended: Option<Duration>,
    look: LookUp,
}

/// How thoroughly is looked for what may have been sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LookUp {
    /// Where it most likely is: what is not found may be there all the same, and is looked for again.
    Glance,
    /// Everywhere: what is not found was not sent. Where that much cannot be looked through, that is an error.
    #[default]
    Proof,
}

impl SendKey {
    /// A key.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), age: None, ended: None, look: LookUp::Proof }
    }

    /// It was first tried to send under it so long ago: a look-up need not look further back. A duration, since clocks differ.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// The last try to send under it ended so long ago, for good: a look-up need not look at what was sent later, but for
    /// what the service may have delivered late. A duration, since clocks differ.
    #[must_use]
    pub fn with_ended(mut self, ended: Duration) -> Self {
        self.ended = Some(ended);
        self
    }

    /// How thoroughly to look for it; everywhere unless set.
    #[must_use]
    pub fn with_look_up(mut self, look: LookUp) -> Self {
        self.look = look;
        self
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How thoroughly to look for it.
    #[must_use]
    pub fn look_up(&self) -> LookUp {
        self.look
    }

    /// How long ago it was first tried; `None`: nobody said.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// How long ago the last try ended for good; `None`: nobody said, or it may go on.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        self.ended
    }
}

/// How to send; the default sends now, in a new thread, without a key.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SendOptions {
    /// Lets [`EmailProvider::find_sent`] find the message. Absent: an unknown outcome cannot be resolved.
    pub key: Option<SendKey>,
}

impl SendOptions {
    /// Sends under this key.
    #[must_use]
    pub fn with_key(mut self, key: SendKey) -> Self {
        self.key = Some(key);
        self
    }
}

/// A message that left.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// Its id in the sent folder.
    pub id: MessageId,
    /// Its conversation.
    pub thread: Option<ThreadId>,
    /// The `Message-ID` it really carries, where known: services may replace ours.
    pub message_id: Option<String>,
}

impl Sent {
    /// A sent message.
    #[must_use]
    pub fn new(id: MessageId, thread: Option<ThreadId>, message_id: Option<String>) -> Self {
        Self { id, thread, message_id }
    }
}
