//! Arranging the far side.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    email::{EmailProvider, Role},
    ids::MessageId,
};

/// A message about to arrive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The RFC 5322 text.
    pub raw: Bytes,
    /// Where it lies; the inbox unless set.
    pub role: Role,
    /// Has it been read? No unless set.
    pub read: bool,
    /// When the service received it. Absent: now.
    pub received_at: Option<DateTime<Utc>>,
}

impl Delivery {
    /// An unread message that arrives in the inbox now.
    pub fn new(raw: impl Into<Bytes>) -> Self {
        Self { raw: raw.into(), role: Role::Inbox, read: false, received_at: None }
    }

    /// In another place.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// At another time.
    #[must_use]
    pub fn with_received_at(mut self, at: DateTime<Utc>) -> Self {
        self.received_at = Some(at);
        self
    }
}

/// An empty mailbox whose owner and service can be made to act, and the provider on it.
///
/// What is arranged is visible to the provider once the call has returned. A fixture that cannot arrange something
/// panics: that fails the test with its reason.
#[async_trait]
pub trait MailboxFixture: fmt::Debug + Send + Sync {
    /// The provider under test.
    fn provider(&self) -> Arc<dyn EmailProvider>;

    /// The mailbox's own address.
    fn address(&self) -> String;

    /// How many items a page of the feed has at most. Cases deliver more than twice as many.
    fn feed_page(&self) -> usize;

    /// The present instant, as the service sees it.
    fn now(&self) -> DateTime<Utc>;

    /// A message arrives; gives its id.
    async fn deliver(&self, mail: Delivery) -> MessageId;

    /// Something arrives that is listed as a message but cannot be understood as one.
    async fn deliver_undecodable(&self) -> MessageId;

    /// The service refuses this message for good from now on, whether it is asked for alone or among others. It is still there.
    async fn refuse(&self, id: &MessageId);

    /// The owner reads a message in another program.
    async fn mark_read(&self, id: &MessageId);

    /// The owner moves a message elsewhere; gives the id it has then.
    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId;

    /// The owner deletes a message for good.
    async fn delete(&self, id: &MessageId);

    /// The service forgets what changed: every cursor given so far is too old.
    async fn expire_cursors(&self);

    /// The service refuses the next call, once, for coming too fast.
    async fn throttle_once(&self);

    /// Raw messages of the sent folder, oldest first.
    async fn sent(&self) -> Vec<Bytes>;

    /// How many calls the service has answered so far.
    async fn calls(&self) -> u64;
}
