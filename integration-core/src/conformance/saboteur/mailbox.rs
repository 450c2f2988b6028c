//! Mailbox providers and their feeds.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    conformance::email_provider::{Delivery, MailboxFixture},
    email::{
        Depth, Drafts, EmailCapabilities, EmailProvider, Folders, MailItem, Message, MessageQuery, MessageStub,
        Outgoing, Role, SendKey, SendOptions, Sent,
    },
    error::{Error, ErrorKind, Result},
    http::ByteStream,
    ids::{ItemKey, MessageId, PartId, PartitionId},
    page::{Page, PageToken},
    sync::{Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Next, PartitionPage, Removal, Window},
};

/// What a saboteur does otherwise than the feed it wraps; by default nothing.
#[async_trait]
trait Fault: fmt::Debug + Send + Sync + 'static {
    async fn search(
        inner: &dyn EmailProvider,
        query: &MessageQuery,
        page: Option<&PageToken>,
    ) -> Result<Page<MessageStub>> {
        inner.search(query, page).await
    }

    async fn snapshot(
        inner: &dyn Feed<Item = MailItem>,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        inner.snapshot(partition, window, at).await
    }

    async fn changes(
        inner: &dyn Feed<Item = MailItem>,
        partition: &PartitionId,
        since: &Cursor,
    ) -> Result<ChangePage<MailItem>> {
        inner.changes(partition, since).await
    }

    async fn fetch(inner: &dyn Feed<Item = MailItem>, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        inner.fetch(keys).await
    }
}

#[derive(Debug)]
struct Faulty<I: ?Sized, F> {
    inner: Arc<I>,
    fault: std::marker::PhantomData<F>,
}

impl<I: ?Sized, F> Faulty<I, F> {
    fn new(inner: Arc<I>) -> Self {
        Self { inner, fault: std::marker::PhantomData }
    }
}

macro_rules! saboteurs {
    ($($(#[$meta:meta])* $name:ident)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $name {
            /// The provider `inner`, with this fault.
            pub fn on(inner: Arc<dyn EmailProvider>) -> Arc<dyn EmailProvider> {
                Arc::new(Faulty::<dyn EmailProvider, Self>::new(inner))
            }
        }
    )+};
}

saboteurs! {
    /// Goes on behind what it has read, not behind what it has told: the cursor runs ahead.
    CursorRunsAhead
    /// Takes whatever left a folder for deleted.
    MoveIsRemoval
    /// Gives back nothing of a fetch of which the service does not give one item.
    OneSpoilsAll
    /// Passes over the second page of every listing.
    SkipsAPage
}

#[async_trait]
impl Fault for SkipsAPage {
    async fn search(
        inner: &dyn EmailProvider,
        query: &MessageQuery,
        page: Option<&PageToken>,
    ) -> Result<Page<MessageStub>> {
        let mut first = inner.search(query, page).await?;
        if page.is_none() && first.next.is_some() {
            first.next = inner.search(query, first.next.as_ref()).await?.next;
        }
        Ok(first)
    }

    async fn snapshot(
        inner: &dyn Feed<Item = MailItem>,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        let mut first = inner.snapshot(partition, window, at).await?;
        if at.is_none()
            && let Next::More(next) = &first.next
        {
            first.next = inner.snapshot(partition, window, Some(next)).await?.next;
            first.total = None;
        }
        Ok(first)
    }
}

#[async_trait]
impl Fault for CursorRunsAhead {
    async fn changes(
        inner: &dyn Feed<Item = MailItem>,
        partition: &PartitionId,
        since: &Cursor,
    ) -> Result<ChangePage<MailItem>> {
        let mut first = inner.changes(partition, since).await?;
        while let Next::More(next) = &first.next {
            first.next = inner.changes(partition, next).await?.next;
        }
        Ok(first)
    }
}

#[async_trait]
impl Fault for MoveIsRemoval {
    async fn changes(
        inner: &dyn Feed<Item = MailItem>,
        partition: &PartitionId,
        since: &Cursor,
    ) -> Result<ChangePage<MailItem>> {
        let mut page = inner.changes(partition, since).await?;
        for change in &mut page.changes {
            if let Change::Removed { how, .. } = change {
                *how = Removal::Gone;
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Fault for OneSpoilsAll {
    async fn fetch(inner: &dyn Feed<Item = MailItem>, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        let fetched = inner.fetch(keys).await?;
        match fetched.iter().any(|one| matches!(one, Fetched::NotYet(..))) {
            true => Err(Error::new(ErrorKind::Unavailable, "the batch failed")),
            false => Ok(fetched),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<F: Fault> EmailProvider for Faulty<dyn EmailProvider, F> {
    fn capabilities(&self) -> &EmailCapabilities {
        self.inner.capabilities()
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(Faulty::<dyn Feed<Item = MailItem>, F>::new(self.inner.feed()))
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        F::search(&*self.inner, query, page).await
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        self.inner.fetch(ids, depth).await
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        self.inner.attachment(of, part).await
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        self.inner.raw(id).await
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        self.inner.send(mail, options).await
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        self.inner.find_sent(key).await
    }

    fn drafts(&self) -> Option<&dyn Drafts> {
        self.inner.drafts()
    }

    fn folders(&self) -> Option<&dyn Folders> {
        self.inner.folders()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<F: Fault> Feed for Faulty<dyn Feed<Item = MailItem>, F> {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        self.inner.capabilities()
    }

    async fn partitions(&self, at: Option<&Cursor>) -> Result<PartitionPage> {
        self.inner.partitions(at).await
    }

    async fn anchor(&self, partition: &PartitionId) -> Result<Option<Cursor>> {
        self.inner.anchor(partition).await
    }

    async fn snapshot(
        &self,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        F::snapshot(&*self.inner, partition, window, at).await
    }

    async fn changes(&self, partition: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        F::changes(&*self.inner, partition, since).await
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        F::fetch(&*self.inner, keys).await
    }
}

/// A fixture with a saboteur in place of its provider.
#[derive(Debug)]
pub struct Sabotaged<X> {
    fixture: X,
    provider: Arc<dyn EmailProvider>,
}

impl<X: MailboxFixture> Sabotaged<X> {
    /// Puts `saboteur` (such as [`SkipsAPage::on`]) in front of the fixture's provider.
    pub fn new(fixture: X, saboteur: fn(Arc<dyn EmailProvider>) -> Arc<dyn EmailProvider>) -> Self {
        let provider = saboteur(fixture.provider());
        Self { fixture, provider }
    }
}

#[async_trait]
impl<X: MailboxFixture> MailboxFixture for Sabotaged<X> {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::clone(&self.provider)
    }

    fn address(&self) -> String {
        self.fixture.address()
    }

    fn feed_page(&self) -> usize {
        self.fixture.feed_page()
    }

    fn now(&self) -> DateTime<Utc> {
        self.fixture.now()
    }

    async fn deliver(&self, mail: Delivery) -> MessageId {
        self.fixture.deliver(mail).await
    }

    async fn deliver_undecodable(&self) -> MessageId {
        self.fixture.deliver_undecodable().await
    }

    async fn refuse(&self, id: &MessageId) {
        self.fixture.refuse(id).await;
    }

    async fn mark_read(&self, id: &MessageId) {
        self.fixture.mark_read(id).await;
    }

    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId {
        self.fixture.move_to(id, role).await
    }

    async fn delete(&self, id: &MessageId) {
        self.fixture.delete(id).await;
    }

    async fn expire_cursors(&self) {
        self.fixture.expire_cursors().await;
    }

    async fn throttle_once(&self) {
        self.fixture.throttle_once().await;
    }

    async fn sent(&self) -> Vec<Bytes> {
        self.fixture.sent().await
    }

    async fn calls(&self) -> u64 {
        self.fixture.calls().await
    }
}
