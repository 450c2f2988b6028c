//! The whole state as JSON, and back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::labels::Label;
use super::quota::{GmailBooks, Quota};
use super::state::{Account, Record, Source, State, Stored, checksum};
use crate::source::SavedRaw;

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
        let raw = SavedRaw::of(raw, names.get(&stored.id).copied(), checksum);
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
        let raw = message.raw.load(checksum)?;
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
