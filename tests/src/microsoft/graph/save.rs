//! The whole state as JSON, and back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::delta::Chain;
use super::folders::Folder;
use super::ids::checksum;
use super::quota::{GraphBooks, Quota};
use super::settings::{GraphSettings, Oddities, Oddity};
use super::state::{Account, State};
use super::stored::{Source, Stored};
use super::subscriptions::Subscription;
use super::upload::Upload;
use crate::source::SavedRaw;

const FORMAT: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Saved<Uploads> {
    format: u32,
    counter: u64,
    books: GraphBooks,
    oddities: Oddities,
    uploads: Uploads,
    subscriptions: BTreeMap<String, Subscription>,
    accounts: Vec<SavedAccount>,
}

#[derive(Deserialize, Serialize)]
struct SavedAccount {
    address: String,
    user_id: String,
    display_name: String,
    disabled: bool,
    delegates: BTreeSet<String>,
    closed_to: BTreeSet<String>,
    send_as: BTreeSet<String>,
    folders: Vec<Folder>,
    gone_folders: BTreeMap<u64, u64>,
    tick: u64,
    issued: u64,
    issued_folders: u64,
    chains: BTreeMap<u64, Chain>,
    files: BTreeMap<String, (u64, u64)>,
    messages: Vec<SavedMessage>,
    lagging: Vec<(i64, SavedMessage)>,
}

#[derive(Deserialize, Serialize)]
struct SavedMessage {
    number: u64,
    moves: u32,
    folder: u64,
    /// Received, created and modified.
    times_ms: (i64, i64, i64),
    version: u64,
    draft: bool,
    read: bool,
    flag: String,
    categories: Vec<String>,
    importance: String,
    inference: String,
    conversation: u64,
    depth: u32,
    extended: BTreeMap<String, String>,
    oddities: BTreeSet<Oddity>,
    #[serde(flatten)]
    raw: SavedRaw,
}

pub(super) fn export(state: &State) -> Value {
    let saved = Saved {
        format: FORMAT,
        counter: state.counter,
        books: state.quota.books(),
        oddities: state.oddities.clone(),
        uploads: &state.uploads,
        subscriptions: state.subscriptions.clone(),
        accounts: state.accounts.values().map(save_account).collect(),
    };
    serde_json::to_value(saved).unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

fn save_account(account: &Account) -> SavedAccount {
    let names: BTreeMap<u64, (&str, u64)> =
        account.files.iter().map(|(name, (number, sum))| (*number, (name.as_str(), *sum))).collect();
    let save = |stored: &Stored| save_message(stored, names.get(&stored.number).copied());
    SavedAccount {
        address: account.address.clone(),
        user_id: account.user_id.clone(),
        display_name: account.display_name.clone(),
        disabled: account.disabled,
        delegates: account.delegates.clone(),
        closed_to: account.closed_to.clone(),
        send_as: account.send_as.clone(),
        folders: account.folders.values().cloned().collect(),
        gone_folders: account.gone_folders.clone(),
        tick: account.tick,
        issued: account.issued,
        issued_folders: account.issued_folders,
        chains: account.chains.clone(),
        files: account.files.clone(),
        messages: account.messages.values().filter_map(save).collect(),
        lagging: account.lagging.iter().filter_map(|(due, stored)| Some((*due, save(stored)?))).collect(),
    }
}

fn save_message(stored: &Stored, file: Option<(&str, u64)>) -> Option<SavedMessage> {
    let Source::Kept(raw) = &stored.source else { return None };
    let raw = SavedRaw::of(raw, file, checksum);
    Some(SavedMessage {
        number: stored.number,
        moves: stored.moves,
        folder: stored.folder,
        times_ms: (stored.received_ms, stored.created_ms, stored.modified_ms),
        version: stored.version,
        draft: stored.draft,
        read: stored.read,
        flag: stored.flag.clone(),
        categories: stored.categories.clone(),
        importance: stored.importance.clone(),
        inference: stored.inference.clone(),
        conversation: stored.conversation,
        depth: stored.depth,
        extended: stored.extended.clone(),
        oddities: stored.oddities.clone(),
        raw,
    })
}

pub(super) fn import(value: &Value, settings: &GraphSettings) -> Result<State, String> {
    let saved = Saved::<BTreeMap<String, Upload>>::deserialize(value);
    let saved = saved.map_err(|error| format!("not a saved mail service: {error}"))?;
    if saved.format != FORMAT {
        return Err(format!("saved in format {}, this one reads {FORMAT}", saved.format));
    }
    let mut state = State::new(settings);
    state.quota = Quota::restored(saved.books);
    state.counter = saved.counter;
    state.oddities = saved.oddities;
    state.uploads = saved.uploads;
    state.subscriptions = saved.subscriptions;
    for one in saved.accounts {
        let account = load_account(one, settings)?;
        state.accounts.insert(account.address.clone(), account);
    }
    Ok(state)
}

fn load_account(saved: SavedAccount, settings: &GraphSettings) -> Result<Account, String> {
    let mut account = Account::new(&saved.address, settings.folder_counts);
    account.folders = saved.folders.into_iter().map(|folder| (folder.number, folder)).collect();
    for message in saved.messages {
        account.restore(load_message(message)?);
    }
    for (due, message) in saved.lagging {
        account.lagging.push((due, load_message(message)?));
    }
    account.user_id = saved.user_id;
    account.display_name = saved.display_name;
    account.disabled = saved.disabled;
    account.delegates = saved.delegates;
    account.closed_to = saved.closed_to;
    account.send_as = saved.send_as;
    account.gone_folders = saved.gone_folders;
    account.tick = saved.tick;
    account.issued = saved.issued;
    account.issued_folders = saved.issued_folders;
    account.chains = saved.chains;
    account.files = saved.files;
    Ok(account)
}

fn load_message(saved: SavedMessage) -> Result<Stored, String> {
    let mut stored = Stored::loose(saved.raw.load(checksum)?);
    stored.number = saved.number;
    stored.moves = saved.moves;
    stored.folder = saved.folder;
    (stored.received_ms, stored.created_ms, stored.modified_ms) = saved.times_ms;
    stored.version = saved.version;
    stored.draft = saved.draft;
    stored.read = saved.read;
    stored.flag = saved.flag;
    stored.categories = saved.categories;
    stored.importance = saved.importance;
    stored.inference = saved.inference;
    stored.conversation = saved.conversation;
    stored.depth = saved.depth;
    stored.extended = saved.extended;
    stored.oddities = saved.oddities;
    Ok(stored)
}
