//! A connector that writes down what the engine asks its mailbox's feed for, and hands everything on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Result,
    connection::{Connector, ConnectorProfile, RemoteAccount, TokenFailure, TokenFailureClass},
    email::{
        Depth, EmailCapabilities, EmailProvider, MailItem, Message, MessageQuery, MessageStub, Outgoing, SendKey,
        SendOptions, Sent,
    },
    http::{ByteStream, Failure, GrantSession, HttpFailure, Session},
    ids::{ItemKey, MessageId, PartId, PartitionId},
    oauth::CallbackQuery,
    page::{Page, PageToken},
    sync::{ChangePage, Cursor, Feed, FeedCapabilities, Fetched, PartitionPage, Window},
};

use crate::recording::{Ask, Recorder, Step};

#[derive(Debug)]
pub(crate) struct RecordedConnector {
    pub(crate) inner: Arc<dyn Connector>,
    pub(crate) recorder: Recorder,
}

#[async_trait]
impl Connector for RecordedConnector {
    fn profile(&self) -> &ConnectorProfile {
        self.inner.profile()
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        self.inner.classify(failure)
    }

    fn classify_token(&self, failure: &TokenFailure<'_>) -> TokenFailureClass {
        self.inner.classify_token(failure)
    }

    async fn accounts(&self, session: &GrantSession, callback: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        self.inner.accounts(session, callback).await
    }

    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        let inner = self.inner.email(session)?;
        Ok(Arc::new(RecordedProvider { inner, recorder: self.recorder.clone() }))
    }
}

#[derive(Debug)]
struct RecordedProvider {
    inner: Arc<dyn EmailProvider>,
    recorder: Recorder,
}

#[async_trait]
impl EmailProvider for RecordedProvider {
    fn capabilities(&self) -> &EmailCapabilities {
        self.inner.capabilities()
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(RecordedFeed { inner: self.inner.feed(), recorder: self.recorder.clone() })
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        self.inner.search(query, page).await
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
}

#[derive(Debug)]
struct RecordedFeed {
    inner: Arc<dyn Feed<Item = MailItem>>,
    recorder: Recorder,
}

impl RecordedFeed {
    fn note(&self, ask: Ask) {
        self.recorder.write(Step::Ask(ask));
    }
}

#[async_trait]
impl Feed for RecordedFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        self.inner.capabilities()
    }

    async fn partitions(&self, at: Option<&Cursor>) -> Result<PartitionPage> {
        self.note(Ask::Partitions(at.cloned()));
        self.inner.partitions(at).await
    }

    async fn anchor(&self, partition: &PartitionId) -> Result<Option<Cursor>> {
        self.note(Ask::Anchor(partition.clone()));
        self.inner.anchor(partition).await
    }

    async fn snapshot(
        &self,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<MailItem>> {
        self.note(Ask::Snapshot(partition.clone(), window.clone(), at.cloned()));
        self.inner.snapshot(partition, window, at).await
    }

    async fn changes(&self, partition: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        self.note(Ask::Changes(partition.clone(), since.clone()));
        self.inner.changes(partition, since).await
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        self.note(Ask::Fetch(keys.to_vec()));
        self.inner.fetch(keys).await
    }
}
