//! A mailbox in memory: a small complete provider, for the suite itself and for hosts' own tests.

mod feed;
mod state;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use self::state::{FOLDERS, State, Stored, folder, role};
use super::email_provider::{Delivery, MailboxFixture};
use crate::{
    clock::Clock,
    email::{
        Depth, Drafts, EmailCapabilities, EmailProvider, Folder, Folders, MailItem, Message, MessageQuery, MessageStub,
        Outgoing, Role, SendKey, SendOptions, Sent, compose, parse,
    },
    error::{Error, ErrorKind, Result},
    http::ByteStream,
    ids::{FolderId, ItemKey, MessageId, PartId, ThreadId},
    page::{Page, PageToken},
    sync::{Feed, Fetched, Reason, Revision},
};

/// How the feed of a [`MemoryMailbox`] is divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Partitions {
    /// One per folder: what moves leaves one and enters another; the head comes out of a finished snapshot.
    Folders,
    /// One for everything: what moves is only marked; "now" can be taken before the snapshot.
    Whole,
}

/// A mailbox in memory. Clones are the same mailbox.
///
/// Messages are kept raw and read whenever they are asked for. Each lies in one folder, named after its [`Role`].
#[derive(Clone)]
pub struct MemoryMailbox {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    address: String,
    capabilities: EmailCapabilities,
    partitions: Partitions,
    page: usize,
}

impl fmt::Debug for MemoryMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMailbox").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl MemoryMailbox {
    /// An empty mailbox of `address`, in one partition, ten items a page, that can do everything.
    pub fn new(address: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let capabilities = EmailCapabilities {
            send: true,
            search_text: true,
            threads: true,
            raw: true,
            folders: true,
            drafts: true,
            stable_ids: true,
            exact_content: true,
        };
        let state = Arc::new(Mutex::new(State::default()));
        Self { state, clock, address: address.into(), capabilities, partitions: Partitions::Whole, page: 10 }
    }

    /// Divides its feed.
    #[must_use]
    pub fn with_partitions(mut self, partitions: Partitions) -> Self {
        self.partitions = partitions;
        self
    }

    /// Answers at most `page` items at a time.
    #[must_use]
    pub fn with_page(mut self, page: usize) -> Self {
        self.page = page.max(1);
        self
    }

    /// Claims only these: everything else is refused as unsupported.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: EmailCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state is made in two steps, so what lies behind a poisoned lock is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every call of the "service" begins with.
    fn call(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls += 1;
        if std::mem::take(&mut state.throttled) {
            return Err(Error::new(ErrorKind::RateLimited, "too many calls"));
        }
        Ok(state)
    }

    fn claims(&self, claimed: bool, what: &str) -> Result<()> {
        let refused = || Error::new(ErrorKind::Unsupported, format!("this mailbox does not {what}"));
        claimed.then_some(()).ok_or_else(refused)
    }

    fn thread(&self, stored: &Stored) -> Option<ThreadId> {
        self.capabilities.threads.then(|| ThreadId::new(format!("t{}", stored.thread)))
    }

    fn fetch_one(&self, state: &State, id: &str, depth: Depth) -> Fetched<Message> {
        let key = ItemKey::new(id);
        let Some((_, stored)) = state.find(id) else { return Fetched::Gone(key) };
        if state.refused.contains(id) {
            let refused = Error::new(ErrorKind::InvalidInput, "this message is not given out");
            return Fetched::NotYet(key, Arc::new(refused));
        }
        let mut item = match parse::message(&stored.raw) {
            Ok(message) => message,
            Err(error) => {
                return Fetched::Malformed { key, raw: stored.raw.clone(), reason: Reason::new(error.message()) };
            }
        };
        id.clone_into(&mut item.id);
        item.thread = self.thread(stored);
        item.flags = stored.flags();
        item.received_at = Some(stored.received_at);
        if depth == Depth::Headers {
            (item.text, item.html, item.calendar) = (String::new(), None, None);
            item.attachments.clear();
        }
        Fetched::Present { key, revision: Revision::ordered(stored.revision), item }
    }

    /// Puts `mail` into a folder; gives its id and what it carries as `Message-ID`.
    fn write(&self, mail: &Outgoing, key: Option<&SendKey>, place: Role) -> Result<Sent> {
        let mut state = self.call()?;
        let mut mail = mail.clone();
        mail.from.get_or_insert_with(|| crate::email::Address::new(&self.address));
        let message_id =
            key.map_or_else(|| format!("{}@memory.example", state.next_id()), |key| key.as_str().to_owned());
        let now = self.clock.now();
        let raw = compose::compose(&mail, Some(&message_id), now)?;
        let id = state.put(raw.into(), place, true, now);
        let thread = state.find(&id).and_then(|(_, stored)| self.thread(stored));
        Ok(Sent::new(MessageId::new(id), thread, Some(message_id)))
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

#[async_trait]
impl EmailProvider for MemoryMailbox {
    fn capabilities(&self) -> &EmailCapabilities {
        &self.capabilities
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(feed::MemoryFeed(self.clone()))
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        self.claims(self.capabilities.search_text || query.text.is_none(), "search by words")?;
        let state = self.call()?;
        let invalid = || Error::new(ErrorKind::InvalidInput, "this is no token of a page");
        let before: Option<u64> = page.map(|page| page.as_str().parse().map_err(|_| invalid())).transpose()?;
        let size = query.page_size.map_or(self.page, |size| self.page.min(size.max(1) as usize));
        let older = state.newest_first().skip_while(|(number, _)| before.is_some_and(|before| *number != before));
        let matching = older.skip(usize::from(before.is_some())).filter(|(_, stored)| stored.matches(query));
        let mut found: Vec<(u64, &Stored)> = matching.take(size + 1).collect();
        let more = found.len() > size;
        found.truncate(size);
        let next = found.last().filter(|_| more).map(|(number, _)| PageToken::new(number.to_string()));
        let stub =
            |(number, stored): (u64, &Stored)| MessageStub::new(MessageId::new(state::id(number)), self.thread(stored));
        Ok(Page::new(found.into_iter().map(stub).collect(), next))
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        let state = self.call()?;
        let mut seen = std::collections::BTreeSet::new();
        let once = ids.iter().filter(|id| seen.insert(id.as_str()));
        Ok(once.map(|id| self.fetch_one(&state, id.as_str(), depth)).collect())
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        let raw = self.call()?.find(of.as_str()).map(|(_, stored)| stored.raw.clone());
        let raw = raw.ok_or_else(|| missing("message"))?;
        let bytes = Bytes::from(parse::attachment(&raw, part.as_str()).ok_or_else(|| missing("part"))?);
        let pieces = (0..bytes.len()).step_by(1_000).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 1_000))));
        Ok(stream::iter(pieces.collect::<Vec<_>>()).boxed())
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        self.claims(self.capabilities.raw, "give raw messages")?;
        let state = self.call()?;
        state.find(id.as_str()).map(|(_, stored)| stored.raw.clone()).ok_or_else(|| missing("message"))
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        self.claims(self.capabilities.send, "send")?;
        self.write(mail, options.key.as_ref(), Role::Sent)
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        self.claims(self.capabilities.send, "send")?;
        let state = self.call()?;
        let found = state.oldest_first().find(|(_, stored)| stored.was_sent_as(key.as_str()));
        let sent = |(number, stored): (u64, &Stored)| {
            Sent::new(MessageId::new(state::id(number)), self.thread(stored), Some(key.as_str().to_owned()))
        };
        Ok(found.map(sent))
    }

    fn drafts(&self) -> Option<&dyn Drafts> {
        self.capabilities.drafts.then_some(self)
    }

    fn folders(&self) -> Option<&dyn Folders> {
        self.capabilities.folders.then_some(self)
    }
}

#[async_trait]
impl Folders for MemoryMailbox {
    async fn list(&self) -> Result<Vec<Folder>> {
        drop(self.call()?);
        Ok(FOLDERS.map(|(role, name)| Folder::new(folder(role), name, Some(role))).into())
    }

    async fn change(&self, of: &MessageId, into: &[FolderId], out_of: &[FolderId]) -> Result<()> {
        let mut state = self.call()?;
        let named = into.iter().chain(out_of).map(|id| role(id).ok_or_else(|| missing("folder")));
        let named = named.collect::<Result<Vec<Role>>>()?;
        let Some((number, _)) = state.find(of.as_str()) else { return Err(missing("message")) };
        // A message lies in one folder: the last one named is where it ends.
        if let Some(place) = named[..into.len()].last() {
            state.change(number, |stored| stored.place = *place);
        }
        Ok(())
    }
}

#[async_trait]
impl Drafts for MemoryMailbox {
    async fn create(&self, mail: &Outgoing) -> Result<MessageId> {
        self.write(mail, None, Role::Drafts).map(|draft| draft.id)
    }
}

#[async_trait]
impl MailboxFixture for MemoryMailbox {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::new(self.clone())
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn feed_page(&self) -> usize {
        self.page
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn deliver(&self, mail: Delivery) -> MessageId {
        let received_at = mail.received_at.unwrap_or_else(|| self.clock.now());
        MessageId::new(self.state().put(mail.raw, mail.role, mail.read, received_at))
    }

    async fn deliver_undecodable(&self) -> MessageId {
        self.deliver(Delivery::new("this is not a message")).await
    }

    async fn refuse(&self, id: &MessageId) {
        self.state().refused.insert(id.to_string());
    }

    async fn mark_read(&self, id: &MessageId) {
        let mut state = self.state();
        if let Some((number, _)) = state.find(id.as_str()) {
            state.change(number, |stored| stored.read = true);
        }
    }

    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId {
        let mut state = self.state();
        if let Some((number, _)) = state.find(id.as_str()) {
            state.change(number, |stored| stored.place = role);
        }
        id.clone()
    }

    async fn delete(&self, id: &MessageId) {
        self.state().delete(id.as_str());
    }

    async fn expire_cursors(&self) {
        self.state().forget();
    }

    async fn throttle_once(&self) {
        self.state().throttled = true;
    }

    async fn sent(&self) -> Vec<Bytes> {
        let state = self.state();
        let sent = state.oldest_first().filter(|(_, stored)| stored.place == Role::Sent);
        sent.map(|(_, stored)| stored.raw.clone()).collect()
    }

    async fn calls(&self) -> u64 {
        self.state().calls
    }
}
