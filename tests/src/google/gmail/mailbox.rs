//! The far side: arranging what is in a mailbox.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Duration, TimeZone, Utc};

use super::Gmail;
use super::state::{Account, NewMail, Source, checksum, hex};
use crate::mime;

pub use crate::source::Generator;

/// A message as it lies in the mailbox.
#[derive(Clone, Debug)]
pub struct MailboxMessage {
    /// Its id in this mailbox.
    pub id: String,
    /// Its thread in this mailbox.
    pub thread_id: String,
    /// Label ids.
    pub labels: BTreeSet<String>,
    /// When the service received it.
    pub received: DateTime<Utc>,
    /// The RFC 5322 text.
    pub raw: Bytes,
}

/// A handle to one mailbox; acts as its owner in another program would, at no cost.
#[derive(Clone, Debug)]
pub struct Mailbox {
    gmail: Gmail,
    address: String,
}

impl Mailbox {
    pub(super) fn new(gmail: Gmail, address: String) -> Self {
        Self { gmail, address }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Account) -> R) -> R {
        act(self.gmail.lock().account(&self.address))
    }

    /// The address, lower case.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A message arrives with these labels; gives its id. Labels that the mailbox does not know are created.
    pub fn deliver(&self, raw: impl Into<Bytes>, now: DateTime<Utc>, labels: &[&str]) -> String {
        let source = Source::Kept(raw.into());
        self.with(|account| {
            for label in labels {
                account.ensure_label(label);
            }
            let labels = labels.iter().map(|l| (*l).to_owned()).collect();
            hex(account.deliver(NewMail { source, labels, received_ms: now.timestamp_millis(), now, thread: None }))
        })
    }

    /// The message is deleted for good; false if there is none.
    pub fn remove(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.with(|account| account.remove(number(id), now))
    }

    /// Labels are put on and taken off; false if there is no such message.
    pub fn label(&self, id: &str, add: &[&str], remove: &[&str], now: DateTime<Utc>) -> bool {
        let owned = |labels: &[&str]| labels.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        self.with(|account| {
            for label in add {
                account.ensure_label(label);
            }
            account.relabel(number(id), &owned(add), &owned(remove), now)
        })
    }

    /// Nothing in the history tells of this message, as if its record had been lost.
    pub fn hide_from_history(&self, id: &str) {
        self.with(|account| account.history.retain(|record| record.message != number(id)));
    }

    /// Every history id given so far becomes too old.
    pub fn expire_history(&self) {
        self.with(Account::expire_history);
    }

    /// The newest history id.
    pub fn history_id(&self) -> u64 {
        self.with(|account| account.head)
    }

    /// The account has no Gmail (any more): every call is refused.
    pub fn disable(&self) {
        self.with(|account| account.disabled = true);
    }

    /// Ids of all messages, newest first, spam and trash included.
    pub fn ids(&self) -> Vec<String> {
        self.with(|account| account.order.iter().rev().map(|(_, id)| hex(*id)).collect())
    }

    /// The message with that id.
    pub fn message(&self, id: &str) -> Option<MailboxMessage> {
        let stored = self.with(|account| account.messages.get(&number(id)).cloned())?;
        Some(MailboxMessage {
            id: stored.hex(),
            thread_id: hex(stored.thread),
            received: DateTime::from_timestamp_millis(stored.received_ms).unwrap_or_default(),
            raw: stored.source.bytes(),
            labels: stored.labels,
        })
    }

    /// Topic of the running watch, and when it ends.
    pub fn watch(&self) -> Option<(String, DateTime<Utc>)> {
        let (topic, ends_ms) = self.with(|account| account.watch.clone())?;
        Some((topic, DateTime::from_timestamp_millis(ends_ms)?))
    }

    /// `count` messages arrive in the inbox, a second apart from the beginning of 2026. Their bytes are made whenever
    /// they are read and never kept; each is a thread of its own.
    pub fn on_demand(&self, count: u64, generator: &Generator) -> Vec<String> {
        let first = Utc.timestamp_opt(1_767_225_600, 0).single().unwrap_or_default();
        self.on_demand_from(first, count, generator)
    }

    /// Like [`Mailbox::on_demand`], beginning at `first`.
    pub fn on_demand_from(&self, first: DateTime<Utc>, count: u64, generator: &Generator) -> Vec<String> {
        let deliver = |account: &mut Account, index: u64| {
            let now = first + Duration::seconds(i64::try_from(index).unwrap_or(0));
            let source = Source::OnDemand(index, Arc::clone(generator));
            let labels = BTreeSet::from(["INBOX".to_owned()]);
            account.deliver(NewMail { source, labels, received_ms: now.timestamp_millis(), now, thread: None })
        };
        self.with(|account| (0..count).map(|index| hex(deliver(account, index))).collect())
    }

    /// Makes the mailbox follow a set of files: new names arrive, names that are gone are deleted, a name whose
    /// content changed is deleted and arrives anew. Other messages stay. What was loaded by an earlier call, also
    /// before an export, is known by name.
    ///
    /// A message's time is its `Date` if that is plausible, else `now`; mail from the mailbox's owner is `SENT`.
    /// If names are paths that exist, an export refers to the files.
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
                Some((id, _)) => {
                    account.remove(id, now);
                }
                None => {}
            }
            let id = account.load(raw, now);
            account.files.insert(name.to_owned(), (id, sum));
        });
    }

    /// Deletes the messages of all files but those that `keep` names; other messages stay.
    pub fn keep_files(&self, keep: impl Fn(&str) -> bool, now: DateTime<Utc>) {
        self.with(|account| {
            let gone: Vec<(String, u64)> = account
                .files
                .iter()
                .filter(|(name, _)| !keep(name))
                .map(|(name, (id, _))| (name.clone(), *id))
                .collect();
            for (name, id) in gone {
                account.files.remove(&name);
                account.remove(id, now);
            }
        });
    }
}

impl Account {
    fn load(&mut self, raw: &Bytes, now: DateTime<Utc>) -> u64 {
        let (headers, _) = mime::parse_headers(raw);
        let value = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str());
        let own = value("from").is_some_and(|from| mime::addresses(from).contains(&self.address));
        let labels: &[&str] = if own { &["SENT"] } else { &["INBOX", "UNREAD"] };
        let received_ms = value("date").and_then(|d| plausible_date(d, now)).unwrap_or(now).timestamp_millis();
        let labels = labels.iter().map(|l| (*l).to_owned()).collect();
        self.deliver(NewMail { source: Source::Kept(raw.clone()), labels, received_ms, now, thread: None })
    }
}

/// The instant of a `Date` header, if it lies between the beginnings of e-mail and tomorrow.
pub(super) fn plausible_date(value: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let bare = value.split('(').next().unwrap_or_default().trim();
    let date = DateTime::parse_from_rfc2822(bare).ok()?.with_timezone(&Utc);
    (date.timestamp() > 0 && date < now + Duration::days(1)).then_some(date)
}

/// An id from a test; what is no id names no message.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or_default()
}
