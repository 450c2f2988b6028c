//! Gmail as a mailbox provider. Source: <https://developers.google.com/workspace/gmail/api/guides>.
//!
//! A mailbox has labels instead of folders: a message carries any number of them, and keeps its id whatever they are.

mod attachment;
mod convert;
mod feed;
mod fetch;
mod push;
mod query;
mod send;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::push::GmailPush;
#[cfg(test)]
pub(crate) use tests::every_parameter;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    email::{
        Depth, EmailCapabilities, EmailProvider, Folder, Folders, MailItem, Message, MessageQuery, MessageStub,
        Outgoing, SendKey, SendOptions, Sent,
    },
    http::{ByteStream, Session},
    ids::{FolderId, MessageId, PartId, ThreadId},
    page::{Page, PageToken},
    sync::{Feed, Fetched, Reason},
};

use crate::client::Client;

/// A Gmail mailbox.
#[derive(Clone, Debug)]
pub struct Gmail {
    session: Session,
    client: Client,
    capabilities: EmailCapabilities,
}

impl Gmail {
    pub(crate) fn new(session: Session, client: Client) -> Self {
        let mut capabilities = EmailCapabilities::default();
        capabilities.send = true;
        capabilities.search_text = true;
        capabilities.threads = true;
        capabilities.raw = true;
        capabilities.folders = true;
        capabilities.stable_ids = true;
        capabilities.exact_content = true;
        Self { session, client, capabilities }
    }
}

#[async_trait]
impl EmailProvider for Gmail {
    fn capabilities(&self) -> &EmailCapabilities {
        &self.capabilities
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(feed::GmailFeed(self.clone()))
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        let answer = self.session.send(self.client.list(query::search(query, page))?).await?;
        let list: wire::MessageList = answer.json()?;
        let read = |stub: &str| serde_json::from_str::<wire::Stub>(stub).ok().filter(|stub| !stub.id.is_empty());
        let stubs = list.messages.iter().filter_map(|stub| read(stub.get()));
        let stubs = stubs.map(|stub| MessageStub::new(MessageId::new(stub.id), stub.thread_id.map(ThreadId::new)));
        Ok(Page::new(stubs.collect(), list.next_page_token.map(PageToken::new)))
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        fetch::fetch(self, ids.iter().map(MessageId::as_str), depth, |message| message).await
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        attachment::open(self, of, part).await
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        let answer: wire::Message = self.session.send(self.client.raw(id.as_str())?).await?.json()?;
        let raw = answer.raw.ok_or_else(|| invalid_answer(Reason::new("the answer has no raw message")))?;
        convert::decode(&raw).map(Bytes::from).map_err(invalid_answer)
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        send::send(self, mail, options).await
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        send::find_sent(self, key).await
    }

    fn folders(&self) -> Option<&dyn Folders> {
        Some(self)
    }
}

#[async_trait]
impl Folders for Gmail {
    async fn list(&self) -> Result<Vec<Folder>> {
        let labels: wire::LabelList = self.session.send(self.client.labels()?).await?.json()?;
        let folder = |label: wire::Label| {
            let role = convert::role(&label.id);
            Folder::new(FolderId::new(label.id), label.name, role)
        };
        Ok(labels.labels.into_iter().map(folder).collect())
    }

    async fn change(&self, of: &MessageId, into: &[FolderId], out_of: &[FolderId]) -> Result<()> {
        let into: Vec<&str> = into.iter().map(FolderId::as_str).collect();
        let out_of: Vec<&str> = out_of.iter().map(FolderId::as_str).collect();
        if !into.is_empty() || !out_of.is_empty() {
            self.session.send(self.client.modify(of.as_str(), &into, &out_of)?).await?;
        }
        Ok(())
    }
}

fn invalid_answer(reason: Reason) -> Error {
    Error::new(ErrorKind::Validation, reason.as_str()).with_service("google")
}
