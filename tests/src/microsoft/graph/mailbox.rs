//! The far side: arranging what is in a mailbox.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Duration, TimeZone, Utc};

use super::Graph;
use super::changes::{CATEGORIES, FLAG, READ};
use super::folders::{INBOX, ROOT, SENT, TRASH, well_known_name};
use super::ids::{Id, Kind, checksum};
use super::mail::{Attachment, AttachmentKind, Content, date};
use super::settings::Oddity;
use super::state::Account;
use super::stored::{Extra, NewMail, Source, Stored};
use super::subscriptions::Subscription;
use crate::mime;

pub use crate::source::Generator;

/// A message as it lies in the mailbox.
#[derive(Clone, Debug)]
pub struct MailboxMessage {
    /// Its id in this mailbox that stays when it is moved.
    pub id: String,
    /// Its id until it is moved the next time.
    pub mutable_id: String,
    /// Its conversation in this mailbox.
    pub conversation_id: String,
    /// Id of its folder.
    pub folder_id: String,
    /// The folder's well-known name, else the name on the screen.
    pub folder: String,
    /// Whether it was read.
    pub read: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// `notFlagged`, `flagged` or `complete`.
    pub flag: String,
    /// Names of categories.
    pub categories: Vec<String>,
    /// When the service received it.
    pub received: DateTime<Utc>,
    /// The RFC 5322 text as it came.
    pub raw: Bytes,
}

/// A folder of the mailbox.
#[derive(Clone, Debug)]
pub struct MailboxFolder {
    /// Its id.
    pub id: String,
    /// Its name on the screen.
    pub name: String,
    /// Id of the folder that it lies in.
    pub parent_id: String,
    /// The name that addresses may have instead of the id, if it is one that every mailbox has.
    pub well_known: Option<&'static str>,
    /// Whether it is shown only on request.
    pub hidden: bool,
    /// Messages in it.
    pub total: usize,
    /// Unread messages in it.
    pub unread: u64,
}

/// What is to hang on a message beside what its raw form holds.
#[derive(Clone)]
pub enum AttachmentContent {
    /// A file whose bytes are made whenever they are read: how many there are, and the bytes.
    File(u64, Arc<dyn Fn() -> Bytes + Send + Sync>),
    /// A link to a file elsewhere.
    Reference,
}

impl fmt::Debug for AttachmentContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(size, _) => write!(f, "File({size} bytes)"),
            Self::Reference => write!(f, "Reference"),
        }
    }
}

/// A handle to one mailbox; acts as its owner in another program would, at no cost.
///
/// Messages are named by either of their ids, folders by id, well-known name or name on the screen.
#[derive(Clone, Debug)]
pub struct Mailbox {
    graph: Graph,
    address: String,
}

impl Mailbox {
    pub(super) fn new(graph: Graph, address: String) -> Self {
        Self { graph, address }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Account) -> R) -> R {
        act(self.graph.lock().account(&self.address))
    }

    fn id(&self, number: u64) -> String {
        super::stored::message_id(&self.address, number, None, self.graph.settings().id_letters)
    }

    fn shown(&self, account: &Account, stored: &Stored) -> MailboxMessage {
        let letters = self.graph.settings().id_letters;
        let folder = account.folders.get(&stored.folder).map(|f| f.name.clone()).unwrap_or_default();
        MailboxMessage {
            id: self.id(stored.number),
            mutable_id: stored.id(&self.address, false, letters),
            conversation_id: account.conversation_id(stored.conversation, letters),
            folder_id: account.folder_id(stored.folder, letters),
            folder: well_known_name(stored.folder).map_or(folder, str::to_owned),
            read: stored.read,
            draft: stored.draft,
            flag: stored.flag.clone(),
            categories: stored.categories.clone(),
            received: DateTime::from_timestamp_millis(stored.received_ms).unwrap_or_default(),
            raw: stored.source.bytes(),
        }
    }

    /// The address, lower case.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A message arrives in a folder, unread; gives its id. A folder that the mailbox does not know is made.
    pub fn deliver(&self, raw: impl Into<Bytes>, now: DateTime<Utc>, folder: &str) -> String {
        let source = Source::Kept(raw.into());
        let now_ms = now.timestamp_millis();
        let number = self.with(|account| {
            let folder = account.ensure_folder(folder);
            account.deliver(NewMail { source, folder, received_ms: now_ms, now_ms, read: false, draft: false })
        });
        self.id(number)
    }

    /// A folder is made in another, or at the top; gives its id, also if there was one of that name.
    pub fn create_folder(&self, name: &str, parent: Option<&str>) -> String {
        let letters = self.graph.settings().id_letters;
        self.with(|account| {
            let parent = parent.map_or(ROOT, |parent| account.ensure_folder(parent));
            let known = account.children(parent).find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.number);
            let number = known.or_else(|| account.create_folder(parent, name, false).ok()).unwrap_or(parent);
            account.folder_id(number, letters)
        })
    }

    /// A folder gets another name; false if there is no such folder, or the name is taken.
    pub fn rename_folder(&self, folder: &str, name: &str) -> bool {
        self.with(|account| account.seek_folder(folder).is_some_and(|n| account.rename_folder(n, name).is_ok()))
    }

    /// A folder is put into another; false if that cannot be.
    pub fn move_folder(&self, folder: &str, parent: &str) -> bool {
        self.with(|account| {
            let parent = account.seek_folder(parent);
            let found = account.seek_folder(folder).zip(parent);
            found.is_some_and(|(folder, parent)| account.move_folder(folder, parent).is_ok())
        })
    }

    /// A folder is deleted with all that is in it; its messages can be recovered. False if that cannot be.
    pub fn delete_folder(&self, folder: &str, now: DateTime<Utc>) -> bool {
        let now_ms = now.timestamp_millis();
        self.with(|account| account.seek_folder(folder).is_some_and(|n| account.delete_folder(n, now_ms).is_ok()))
    }

    /// All folders, hidden ones included.
    pub fn folders(&self) -> Vec<MailboxFolder> {
        let letters = self.graph.settings().id_letters;
        self.with(|account| {
            let shown = account.folders.values().map(|folder| MailboxFolder {
                id: account.folder_id(folder.number, letters),
                name: folder.name.clone(),
                parent_id: account.folder_id(folder.parent, letters),
                well_known: well_known_name(folder.number),
                hidden: folder.hidden,
                total: folder.order.len(),
                unread: folder.unread,
            });
            shown.collect()
        })
    }

    /// A message is moved; false if there is no such message. A folder that the mailbox does not know is made.
    pub fn move_message(&self, id: &str, folder: &str, now: DateTime<Utc>) -> bool {
        self.with(|account| {
            let folder = account.ensure_folder(folder);
            number(id).is_some_and(|id| account.relocate(id, folder, now.timestamp_millis()))
        })
    }

    /// A message goes to the deleted items; false if there is none.
    pub fn delete(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.with(|account| number(id).is_some_and(|id| account.relocate(id, TRASH, now.timestamp_millis())))
    }

    /// A message is brought back from the deleted items, or from what can be recovered; false if there is none.
    pub fn restore(&self, id: &str, folder: &str, now: DateTime<Utc>) -> bool {
        self.move_message(id, folder, now)
    }

    /// A message is deleted for good; false if there is none.
    pub fn remove(&self, id: &str) -> bool {
        self.with(|account| number(id).is_some_and(|id| account.remove(id)))
    }

    /// A message is marked as read; false if there is none.
    pub fn mark_read(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.mark(id, now, |stored| (!std::mem::replace(&mut stored.read, true), READ))
    }

    /// A message is marked as unread; false if there is none.
    pub fn mark_unread(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.mark(id, now, |stored| (std::mem::replace(&mut stored.read, false), READ))
    }

    /// A message gets a flag: `notFlagged`, `flagged` or `complete`; false if there is none.
    pub fn flag(&self, id: &str, flag: &str, now: DateTime<Utc>) -> bool {
        self.mark(id, now, |stored| (std::mem::replace(&mut stored.flag, flag.to_owned()) != flag, FLAG))
    }

    /// A message gets these categories instead of those it had; false if there is none.
    pub fn categorise(&self, id: &str, categories: &[&str], now: DateTime<Utc>) -> bool {
        self.mark(id, now, |stored| {
            let before =
                std::mem::replace(&mut stored.categories, categories.iter().map(|c| (*c).to_owned()).collect());
            (before != stored.categories, CATEGORIES)
        })
    }

    fn mark(&self, id: &str, now: DateTime<Utc>, mark: impl FnOnce(&mut Stored) -> (bool, u16)) -> bool {
        let change = |stored: &mut Stored| match mark(stored) {
            (true, mask) => mask,
            (false, _) => 0,
        };
        self.with(|account| number(id).is_some_and(|id| account.change(id, now.timestamp_millis(), change)))
    }

    /// Something more hangs on a message; false if there is none.
    pub fn attach(&self, id: &str, name: &str, content_type: &str, content: AttachmentContent) -> bool {
        let (kind, size, content) = match content {
            AttachmentContent::File(size, make) => (AttachmentKind::File, size, Some(make)),
            AttachmentContent::Reference => (AttachmentKind::Reference, 0, None),
        };
        let shape = Attachment {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            content_id: None,
            inline: false,
            kind,
            content: Content::default(),
        };
        self.with(|account| {
            let stored = number(id).and_then(|id| account.messages.get_mut(&id));
            stored.map(|stored| stored.extra.push(Extra { shape, size, content })).is_some()
        })
    }

    /// A message is shown oddly from now on; false if there is none.
    pub fn spoil(&self, id: &str, oddity: Oddity) -> bool {
        self.with(|account| {
            let stored = number(id).and_then(|id| account.messages.get_mut(&id));
            stored.map(|stored| stored.oddities.insert(oddity)).is_some()
        })
    }

    /// A message is shown as it is again; false if there is none.
    pub fn mend(&self, id: &str) -> bool {
        self.with(|account| {
            let stored = number(id).and_then(|id| account.messages.get_mut(&id));
            stored.map(|stored| stored.oddities.clear()).is_some()
        })
    }

    /// A message gets a new id of those that should stay, as has been seen after moves by some programs; gives it.
    pub fn reissue(&self, id: &str, now: DateTime<Utc>) -> Option<String> {
        let issued = self.with(|account| {
            let number = number(id)?;
            let folder = account.messages.get(&number)?.folder;
            let twin = account.copy(number, folder, now.timestamp_millis())?;
            account.remove(number);
            Some(twin)
        })?;
        Some(self.id(issued))
    }

    /// No delta tells of what has happened to this message so far, as if the records had been lost.
    pub fn hide_from_delta(&self, id: &str) {
        self.with(|account| {
            for folder in account.folders.values_mut() {
                folder.log.retain(|entry| Some(entry.message) != number(id));
            }
        });
    }

    /// Every delta link given so far is forgotten.
    pub fn expire_delta_links(&self) {
        self.with(|account| account.chains.clear());
    }

    /// The person has no mailbox (any more): every call for it is refused.
    pub fn disable(&self) {
        self.with(|account| account.disabled = true);
    }

    /// Somebody else may open the mailbox, with scopes for shared mailboxes.
    pub fn share_with(&self, address: &str) {
        let address = address.trim().to_lowercase();
        self.with(|account| account.delegates.insert(address));
    }

    /// Somebody else may not open the mailbox any more.
    pub fn stop_sharing_with(&self, address: &str) {
        let address = address.trim().to_lowercase();
        self.with(|account| account.delegates.remove(&address));
    }

    /// An app without a person may not open the mailbox any more.
    pub fn close_to(&self, app: &str) {
        self.with(|account| account.closed_to.insert(app.to_owned()));
    }

    /// Mail from this mailbox may carry another sender's address.
    pub fn allow_send_as(&self, address: &str) {
        let address = address.trim().to_lowercase();
        self.with(|account| account.send_as.insert(address));
    }

    /// Ids of all messages, newest first, without what can only be recovered.
    pub fn ids(&self) -> Vec<String> {
        self.with(|account| account.order.iter().rev().map(|(_, number)| self.id(*number)).collect())
    }

    /// The messages of a folder, newest first; none if there is no such folder.
    pub fn messages_in(&self, folder: &str) -> Vec<MailboxMessage> {
        self.with(|account| {
            let folder = account.seek_folder(folder).and_then(|number| account.folders.get(&number));
            let numbers = folder.into_iter().flat_map(|f| f.order.iter().rev());
            let stored = numbers.filter_map(|(_, number)| account.messages.get(number));
            stored.map(|stored| self.shown(account, stored)).collect()
        })
    }

    /// What was sent, newest first.
    pub fn sent(&self) -> Vec<MailboxMessage> {
        self.messages_in("sentitems")
    }

    /// The message with that id.
    pub fn message(&self, id: &str) -> Option<MailboxMessage> {
        self.with(|account| {
            let stored = account.messages.get(&number(id)?)?;
            Some(self.shown(account, stored))
        })
    }

    /// Subscriptions made for this person.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let state = self.graph.lock();
        state.subscriptions.values().filter(|one| one.account == self.address).cloned().collect()
    }

    /// `count` messages arrive in the inbox, a second apart from the beginning of 2026. Their bytes are made whenever
    /// they are read and never kept; each is a conversation of its own.
    pub fn on_demand(&self, count: u64, generator: &Generator) -> Vec<String> {
        let first = Utc.timestamp_opt(1_767_225_600, 0).single().unwrap_or_default();
        self.on_demand_from(first, count, generator)
    }

    /// Like [`Mailbox::on_demand`], beginning at `first`.
    pub fn on_demand_from(&self, first: DateTime<Utc>, count: u64, generator: &Generator) -> Vec<String> {
        let deliver = |account: &mut Account, index: u64| {
            let now = first + Duration::seconds(i64::try_from(index).unwrap_or(0));
            let source = Source::OnDemand(index, Arc::clone(generator));
            let now_ms = now.timestamp_millis();
            let (received_ms, folder) = (now_ms, INBOX);
            account.deliver(NewMail { source, folder, received_ms, now_ms, read: true, draft: false })
        };
        self.with(|account| (0..count).map(|index| self.id(deliver(account, index))).collect())
    }

    /// Makes the mailbox follow a set of files: new names arrive, names that are gone are deleted, a name whose
    /// content changed is deleted and arrives anew. Other messages stay. What was loaded by an earlier call, also
    /// before an export, is known by name.
    ///
    /// A message's time is its `Date` if that is plausible, else `now`; mail from the mailbox's owner lies in the sent
    /// items. If names are paths that exist, an export refers to the files.
    pub fn sync_folder(&self, files: Vec<(String, Bytes)>, now: DateTime<Utc>) {
        let given: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        self.keep_files(|name| given.contains(name), now);
        for (name, raw) in &files {
            self.put_file(name, raw, now);
        }
    }

    /// One file of [`Mailbox::sync_folder`]: arrives if its name is new, is deleted and arrives anew if its content
    /// changed.
    pub fn put_file(&self, name: &str, raw: &Bytes, now: DateTime<Utc>) {
        let sum = checksum(raw);
        self.with(|account| {
            match account.files.get(name).copied() {
                Some((_, known)) if known == sum => return,
                Some((number, _)) => {
                    account.remove(number);
                }
                None => {}
            }
            let number = account.load(raw, now);
            account.files.insert(name.to_owned(), (number, sum));
        });
    }

    /// Deletes the messages of all files but those that `keep` names; other messages stay.
    pub fn keep_files(&self, keep: impl Fn(&str) -> bool, _now: DateTime<Utc>) {
        self.with(|account| {
            let files = std::mem::take(&mut account.files);
            let (kept, gone) = files.into_iter().partition(|(name, _)| keep(name));
            account.files = kept;
            for (_, (number, _)) in gone {
                account.remove(number);
            }
        });
    }
}

impl Account {
    fn load(&mut self, raw: &Bytes, now: DateTime<Utc>) -> u64 {
        let (headers, _) = mime::parse_headers(raw);
        let value = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str());
        let own = value("from").is_some_and(|from| mime::addresses(from).contains(&self.address));
        let plausible = |date: &DateTime<Utc>| *date < now + Duration::days(1);
        let received = value("date").and_then(date).filter(plausible).unwrap_or(now);
        let (folder, source) = (if own { SENT } else { INBOX }, Source::Kept(raw.clone()));
        let (received_ms, now_ms) = (received.timestamp_millis(), now.timestamp_millis());
        self.deliver(NewMail { source, folder, received_ms, now_ms, read: own, draft: false })
    }

    /// The folder with that id, well-known name or name on the screen.
    fn seek_folder(&self, folder: &str) -> Option<u64> {
        let by_name = || self.folders.values().find(|f| f.name.eq_ignore_ascii_case(folder)).map(|f| f.number);
        self.folder_number(folder).ok().or_else(by_name)
    }

    /// The same, made at the top if there is none.
    fn ensure_folder(&mut self, folder: &str) -> u64 {
        let found = self.seek_folder(folder);
        found.or_else(|| self.create_folder(ROOT, folder, false).ok()).unwrap_or(INBOX)
    }
}

/// The number in an id of a message.
fn number(id: &str) -> Option<u64> {
    let id = Id::parse(id).ok()?;
    matches!(id.kind, Kind::Immutable | Kind::Mutable).then_some(id.number)
}
