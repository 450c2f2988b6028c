//! Gmail as a mailbox provider.

mod attachment;
mod convert;
mod feed;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    email::{
        Depth, EmailCapabilities, EmailProvider, Folder, Folders, MailItem, Message, MessageQuery, MessageStub,
        Outgoing, SendKey, SendOptions, Sent, compose,
    },
    http::{ByteStream, Failure, HttpFailure, Session},
    ids::{FolderId, ItemKey, MessageId, PartId, ThreadId},
    page::{Page, PageToken},
    sync::{Feed, Fetched, Reason, Revision},
};

use crate::{
    batch,
    client::{Client, operation},
};

/// What a headers-only fetch asks for.
const HEADERS: [&str; 11] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To", "References"];

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
        Self { session, client, capabilities }
    }

    /// Gets messages, each answered once, with its revision.
    async fn get(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<(Fetched<Message>, Revision)>> {
        let mut query = vec![("format", if depth == Depth::Headers { "metadata" } else { "full" }.to_owned())];
        if depth == Depth::Headers {
            query.extend(HEADERS.map(|name| ("metadataHeaders", name.to_owned())));
        }
        let mut answers = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(self.client.batch_size) {
            if let [id] = chunk {
                answers.push(self.get_one(id, &query).await?);
            } else {
                answers.extend(self.get_batch(chunk, &query).await?);
            }
        }
        Ok(answers)
    }

    async fn get_one(&self, id: &MessageId, query: &[(&str, String)]) -> Result<(Fetched<Message>, Revision)> {
        match self.session.send(self.client.message(id.as_str(), query)?).await {
            Ok(response) => Ok(decoded(id, &response.body)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((Fetched::Gone(key(id)), Revision::default())),
            Err(error) => Err(error),
        }
    }

    async fn get_batch(
        &self,
        ids: &[MessageId],
        query: &[(&str, String)],
    ) -> Result<Vec<(Fetched<Message>, Revision)>> {
        let names: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
        let response = self.session.send(self.client.batch_get(&names, query)?).await?;
        let kind = response.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let parts = batch::parse(kind.unwrap_or_default(), &response.body);
        let mut parts: BTreeMap<usize, batch::Inner> = parts.into_iter().map(|part| (part.index, part)).collect();
        let mut answers = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            answers.push(match parts.remove(&index) {
                Some(part) if part.status.is_success() => decoded(id, &part.body),
                Some(part) => (self.refused(id, &part).await, Revision::default()),
                None => (
                    not_yet(id, Error::new(ErrorKind::Unavailable, "the batch left this call unanswered")),
                    Revision::default(),
                ),
            });
        }
        Ok(answers)
    }

    /// The outer answer was fine; a throttled inner one must reach the gate all the same.
    async fn refused(&self, id: &MessageId, part: &batch::Inner) -> Fetched<Message> {
        let now = self.session.parts().clock.now();
        let failure = HttpFailure::new(operation::GET, part.status, &part.headers, &part.body, now);
        match self.session.report(&failure).await {
            Failure::Final(error) if error.kind() == ErrorKind::NotFound => Fetched::Gone(key(id)),
            Failure::Throttled { error, .. }
            | Failure::Final(error)
            | Failure::Transient(error)
            | Failure::Unauthorised(error, _) => not_yet(id, error),
            _ => not_yet(id, Error::new(ErrorKind::Unavailable, "the call was refused")),
        }
    }

    async fn wire(&self, id: &MessageId, format: &str) -> Result<wire::Message> {
        self.session.send(self.client.message(id.as_str(), &[("format", format.to_owned())])?).await?.json()
    }
}

fn key(id: &MessageId) -> ItemKey {
    ItemKey::new(id.as_str())
}

fn not_yet(id: &MessageId, error: Error) -> Fetched<Message> {
    Fetched::NotYet(key(id), Arc::new(error))
}

fn decoded(id: &MessageId, body: &Bytes) -> (Fetched<Message>, Revision) {
    let malformed = |reason: &str| Fetched::Malformed { key: key(id), raw: body.clone(), reason: Reason::new(reason) };
    let Ok(wire) = serde_json::from_slice::<wire::Message>(body) else {
        return (malformed("the answer is not the JSON of a message"), Revision::default());
    };
    let revision = convert::revision(wire.history_id.as_deref());
    match convert::message(wire) {
        Ok(message) => (Fetched::Present { key: key(id), revision: revision.clone(), item: message }, revision),
        Err(error) => (malformed(error.message()), revision),
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
        let mut parameters = vec![("maxResults", query.page_size.unwrap_or(500).min(500).to_string())];
        let terms = terms(query);
        if !terms.is_empty() {
            parameters.push(("q", terms.join(" ")));
        }
        parameters.extend(query.folder.iter().map(|folder| ("labelIds", folder.to_string())));
        parameters.extend(query.include_junk_and_trash.then(|| ("includeSpamTrash", "true".to_owned())));
        parameters.extend(page.map(|page| ("pageToken", page.to_string())));
        let list: wire::MessageList = self.session.send(self.client.list(&parameters)?).await?.json()?;
        let stub = |stub: wire::Stub| MessageStub::new(MessageId::new(stub.id), stub.thread_id.map(ThreadId::new));
        Ok(Page::new(list.messages.into_iter().map(stub).collect(), list.next_page_token.map(PageToken::new)))
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        Ok(self.get(ids, depth).await?.into_iter().map(|(answer, _)| answer).collect())
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        // Attachment ids change with every answer: the part is looked up afresh.
        let message = self.wire(of, "full").await?;
        let payload = message.payload.unwrap_or_default();
        let missing = || Error::new(ErrorKind::NotFound, "the message has no such part").with_service("google");
        let body = convert::find_part(&payload, part.as_str()).ok_or_else(missing)?;
        match (&body.data, &body.attachment_id) {
            (Some(data), _) => {
                let bytes = convert::decode(data)?;
                Ok(Box::pin(futures_util::stream::iter([Ok(Bytes::from(bytes))])))
            }
            (None, Some(id)) => {
                let answer = self.session.stream(self.client.attachment(of.as_str(), id)?).await?;
                Ok(attachment::decode(answer))
            }
            (None, None) => Ok(Box::pin(futures_util::stream::empty())),
        }
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        let raw = self.wire(id, "raw").await?.raw;
        let missing = || Error::new(ErrorKind::Validation, "the answer has no raw message").with_service("google");
        convert::decode(&raw.ok_or_else(missing)?).map(Bytes::from)
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        let now = self.session.parts().clock.now();
        let raw = compose::compose(mail, options.key.as_ref().map(SendKey::as_str), now)?;
        let thread = mail.in_reply_to.as_ref().filter(|reply| reply.message_id.is_some());
        let thread = thread.and_then(|reply| reply.thread.as_ref()).map(ThreadId::as_str);
        let sent: wire::Stub = self.session.send(self.client.send(&raw, thread)?).await?.json()?;
        Ok(Sent::new(MessageId::new(sent.id), sent.thread_id.map(ThreadId::new), None))
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        let query = [("q", format!("rfc822msgid:{key} in:sent")), ("maxResults", "1".to_owned())];
        let list: wire::MessageList = self.session.send(self.client.list(&query)?).await?.json()?;
        let sent = |stub: wire::Stub| {
            let thread = stub.thread_id.map(ThreadId::new);
            Sent::new(MessageId::new(stub.id), thread, Some(key.as_str().to_owned()))
        };
        Ok(list.messages.into_iter().next().map(sent))
    }

    fn folders(&self) -> Option<&dyn Folders> {
        Some(self)
    }
}

fn terms(query: &MessageQuery) -> Vec<String> {
    let mut terms = Vec::new();
    terms.extend(query.text.clone());
    terms.extend(query.since.map(|since| format!("after:{}", since.timestamp())));
    terms.extend(query.until.map(|until| format!("before:{}", until.timestamp())));
    terms.extend(query.participant.as_ref().map(|address| format!("{{from:{address} to:{address} cc:{address}}}")));
    terms.extend(query.message_id.as_ref().map(|id| format!("rfc822msgid:{id}")));
    terms
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
        self.session.send(self.client.modify(of.as_str(), &into, &out_of)?).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
