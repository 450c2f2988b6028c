//! The whole state as JSON, and back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::labels::Label;
use super::quota::{GmailBooks, Quota};
use super::state::{Account, Record, Source, State, Stored, checksum};

const FORMAT: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Saved {
    format: u32,
    counter: u64,
    books: GmailBooks,
    accounts: Vec<SavedAccount>,
}

#[derive(Deserialize, Serialize)]
struct SavedAccount {
    address: String,
    disabled: bool,
    head: u64,
    floor: u64,
    issued: u64,
    labels: BTreeMap<String, Label>,
    drafts: BTreeMap<String, u64>,
    files: BTreeMap<String, (u64, u64)>,
    watch: Option<(String, i64)>,
    sent_at: VecDeque<i64>,
    history: VecDeque<Record>,
    messages: Vec<SavedMessage>,
}

#[derive(Deserialize, Serialize)]
struct SavedMessage {
    id: u64,
    thread: u64,
    labels: BTreeSet<String>,
    received_ms: i64,
    history_id: u64,
    reads: u64,
    #[serde(flatten)]
    raw: SavedRaw,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum SavedRaw {
    /// Standard base64.
    Inline(String),
    /// A path, and the checksum of what it held.
    File(String, u64),
}

pub(super) fn export(state: &State) -> Value {
    let accounts = state.accounts.values().map(save_account).collect();
    let saved = Saved { format: FORMAT, counter: state.counter, books: state.quota.books(), accounts };
    serde_json::to_value(saved).unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

fn save_account(account: &Account) -> SavedAccount {
    let names: BTreeMap<u64, (&str, u64)> =
        account.files.iter().map(|(name, (id, sum))| (*id, (name.as_str(), *sum))).collect();
    let save = |stored: &Stored| {
        let Source::Kept(raw) = &stored.source else { return None };
        let file = names.get(&stored.id).filter(|(name, sum)| still_there(name, *sum, raw.len()));
        let raw = match file {
            Some((name, sum)) => SavedRaw::File((*name).to_owned(), *sum),
            None => SavedRaw::Inline(STANDARD.encode(raw)),
        };
        let Stored { id, thread, received_ms, history_id, reads, .. } = *stored;
        Some(SavedMessage { id, thread, labels: stored.labels.clone(), received_ms, history_id, reads, raw })
    };
    SavedAccount {
        address: account.address.clone(),
        disabled: account.disabled,
        head: account.head,
        floor: account.floor,
        issued: account.issued,
        labels: account.labels.clone(),
        drafts: account.drafts.clone(),
        files: account.files.clone(),
        watch: account.watch.clone(),
        sent_at: account.sent_at.clone(),
        history: account.history.clone(),
        messages: account.messages.values().filter_map(save).collect(),
    }
}

/// Whether the name is the path of a file that still holds the message. Only whole paths count: the working
/// directory may be another one when the state is read.
fn still_there(name: &str, sum: u64, length: usize) -> bool {
    let path = Path::new(name);
    let same_length = || std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == length as u64);
    path.is_absolute() && same_length() && std::fs::read(path).is_ok_and(|bytes| checksum(&bytes) == sum)
}

pub(super) fn import(value: &Value) -> Result<State, String> {
    let saved = Saved::deserialize(value).map_err(|error| format!("not a saved mail service: {error}"))?;
    if saved.format != FORMAT {
        return Err(format!("saved in format {}, this one reads {FORMAT}", saved.format));
    }
    let mut state = State { quota: Quota::restored(saved.books), counter: saved.counter, ..State::default() };
    for one in saved.accounts {
        let account = load_account(one)?;
        state.accounts.insert(account.address.clone(), account);
    }
    Ok(state)
}

fn load_account(saved: SavedAccount) -> Result<Account, String> {
    let mut account = Account::new(&saved.address);
    for message in saved.messages {
        let raw = load_raw(message.raw)?;
        let SavedMessage { id, thread, labels, received_ms, history_id, reads, .. } = message;
        account.restore(raw, Stored::bare(id, thread, labels, received_ms, history_id, reads));
    }
    account.disabled = saved.disabled;
    account.head = saved.head;
    account.floor = saved.floor;
    account.issued = saved.issued;
    account.labels = saved.labels;
    account.drafts = saved.drafts;
    account.files = saved.files;
    account.watch = saved.watch;
    account.sent_at = saved.sent_at;
    account.history = saved.history;
    Ok(account)
}

fn load_raw(raw: SavedRaw) -> Result<Bytes, String> {
    match raw {
        SavedRaw::Inline(text) => {
            STANDARD.decode(text).map(Bytes::from).map_err(|e| format!("a message is no base64: {e}"))
        }
        // A file that is gone or changed since: its message stays, empty, until the folder is followed again and
        // the change becomes a deletion that clients hear of.
        SavedRaw::File(path, sum) => {
            let bytes = std::fs::read(&path).ok().filter(|bytes| checksum(bytes) == sum);
            Ok(bytes.map(Bytes::from).unwrap_or_default())
        }
    }
}
