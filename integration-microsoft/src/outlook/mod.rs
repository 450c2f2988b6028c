//! Outlook as a mailbox provider, over Microsoft Graph.
//! Source: <https://learn.microsoft.com/graph/api/resources/mail-api-overview>.
//!
//! A mailbox has folders, and a message lies in exactly one; it keeps its id when it moves ("immutable ids"). A folder below
//! the deleted mail, the junk, the drafts or the sent mail makes the same of what lies in it; one below the inbox does not.
//!
//! # What Graph gives and what not
//!
//! * One form of a text: of a message with both, the HTML; the plain text is then made from it as for a message that has
//!   only HTML. A message that is read from its raw text has both: reports, invitations, and what the service keeps no
//!   header fields of (sent mail).
//! * No size of a message: 0, unless its raw text was read.
//! * Attachments by ids of their own, not by places in the MIME tree; their sizes are the service's estimates. Links to
//!   files in the cloud are named but have no bytes here: asking for them is `Unsupported`.
//! * Raw text that the service writes anew: equal in meaning to what arrived, not byte for byte.

mod attachment;
mod convert;
mod feed;
mod fetch;
mod folders;
mod known;
mod pages;
mod push;
mod query;
mod send;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

pub(crate) use self::{known::Known, push::OutlookPush};

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use integration_core::{
    Error, ErrorKind, Result,
    email::{
        Depth, Drafts, EmailCapabilities, EmailProvider, Folders, MailItem, Message, MessageQuery, MessageStub,
        Outgoing, SendKey, SendOptions, Sent,
    },
    http::{ByteStream, Session},
    ids::{MessageId, PartId},
    page::{Page, PageToken},
    sync::{Feed, Fetched},
};

use crate::client::{Client, operation};

/// An Outlook mailbox.
#[derive(Clone, Debug)]
pub struct Outlook {
    session: Session,
    client: Client,
    capabilities: EmailCapabilities,
    /// Which folder is which, where no connection has a name to remember that by.
    unnamed: Arc<Mutex<Option<Arc<folders::Places>>>>,
}

/// What is asked for because something unknown came up is not asked for again so soon.
const ASKED_AGAIN: TimeDelta = TimeDelta::minutes(1);

impl Outlook {
    /// The mailbox that `client` opens, over `session`.
    pub(crate) fn new(session: Session, client: Client) -> Self {
        let mut capabilities = EmailCapabilities::default();
        capabilities.send = true;
        capabilities.search_text = true;
        capabilities.threads = true;
        capabilities.raw = true;
        capabilities.folders = true;
        capabilities.drafts = true;
        capabilities.stable_ids = true;
        let client = client.with_random(Arc::clone(&session.parts().random));
        Self { session, client, capabilities, unnamed: Arc::default() }
    }

    /// Which folder is which; asked once for all providers of a connection.
    async fn places(&self) -> Result<Arc<folders::Places>> {
        match self.known_places() {
            Some(places) => Ok(places),
            None => Ok(self.look().await?.0),
        }
    }

    /// The same for messages that lie in these folders: one that was not there before is asked for.
    async fn places_of<'a>(&self, mut folders: impl Iterator<Item = &'a str> + Send) -> Result<Arc<folders::Places>> {
        let places = self.places().await?;
        let fresh = self.session.parts().clock.now() - places.at() < ASKED_AGAIN;
        if fresh || folders.all(|folder| places.knows(folder)) {
            return Ok(places);
        }
        // A mailbox may get one of the folders with a name late.
        let names = folders::names(self).await?;
        Ok(self.look_with(names).await?.0)
    }

    /// Looks at all folders as they are now.
    async fn look(&self) -> Result<(Arc<folders::Places>, folders::Listing)> {
        let Some(known) = self.known_places() else {
            let names = folders::names(self).await?;
            return self.look_with(names).await;
        };
        let listing = folders::list(self).await?;
        let names = match listing.folders.iter().all(|folder| known.knows(&folder.id)) {
            true => known.names().clone(),
            false => folders::names(self).await?,
        };
        Ok(self.seen(names, listing))
    }

    async fn look_with(&self, names: folders::Names) -> Result<(Arc<folders::Places>, folders::Listing)> {
        let listing = folders::list(self).await?;
        Ok(self.seen(names, listing))
    }

    fn seen(&self, names: folders::Names, listing: folders::Listing) -> (Arc<folders::Places>, folders::Listing) {
        let places = Arc::new(folders::Places::new(names, &listing, self.session.parts().clock.now()));
        self.keep(&places);
        (places, listing)
    }

    fn known_places(&self) -> Option<Arc<folders::Places>> {
        let unnamed = || self.unnamed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        self.client.known.get(&self.session, &self.client.root).or_else(unnamed)
    }

    fn keep(&self, places: &Arc<folders::Places>) {
        self.client.known.put(&self.session, &self.client.root, places);
        if self.session.parts().connection.is_none() {
            *self.unnamed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(places));
        }
    }
}

#[async_trait]
impl EmailProvider for Outlook {
    fn capabilities(&self) -> &EmailCapabilities {
        &self.capabilities
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(feed::OutlookFeed(self.clone()))
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        query::search(self, query, page).await
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        fetch::fetch(self, ids.iter().map(MessageId::as_str), depth, |message| message).await
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        attachment::open(self, of, part).await
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        let path = self.client.raw_path(id.as_str())?;
        Ok(self.session.send(self.client.read(operation::RAW, &path)?).await?.body)
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        send::send(self, mail, options).await
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        send::find_sent(self, key).await
    }

    fn drafts(&self) -> Option<&dyn Drafts> {
        Some(self)
    }

    fn folders(&self) -> Option<&dyn Folders> {
        Some(self)
    }
}

#[async_trait]
impl Drafts for Outlook {
    async fn create(&self, mail: &Outgoing) -> Result<MessageId> {
        send::draft(self, mail, None).await.map(|draft| MessageId::new(draft.id))
    }
}

fn error(kind: ErrorKind, message: &str) -> Error {
    Error::new(kind, message).with_service("microsoft")
}
