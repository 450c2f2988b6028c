//! Folders of a mailbox.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::changes::Entry;
use super::ids::{Id, IdLetters, Kind};
use super::state::Account;

/// Name in addresses, name on the screen, whether hidden; in the order of their numbers, which begin at 1.
const WELL_KNOWN: [(&str, &str, bool); 17] = [
    ("msgfolderroot", "Top of Information Store", false),
    ("inbox", "Inbox", false),
    ("sentitems", "Sent Items", false),
    ("drafts", "Drafts", false),
    ("deleteditems", "Deleted Items", false),
    ("junkemail", "Junk Email", false),
    ("archive", "Archive", false),
    ("outbox", "Outbox", false),
    ("conversationhistory", "Conversation History", false),
    ("recoverableitemsdeletions", "Deletions", true),
    ("clutter", "Clutter", true),
    ("syncissues", "Sync Issues", true),
    ("conflicts", "Conflicts", true),
    ("localfailures", "Local Failures", true),
    ("serverfailures", "Server Failures", true),
    ("searchfolders", "Finder", true),
    ("scheduled", "Scheduled", true),
];

pub(super) const ROOT: u64 = 1;
pub(super) const INBOX: u64 = 2;
pub(super) const SENT: u64 = 3;
pub(super) const DRAFTS: u64 = 4;
pub(super) const TRASH: u64 = 5;
pub(super) const RECOVERABLE: u64 = 10;
/// The first number of a folder that somebody made.
const FIRST_OWN: u64 = 100;

/// One folder.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Folder {
    pub(super) number: u64,
    pub(super) parent: u64,
    pub(super) name: String,
    pub(super) hidden: bool,
    /// The tick at which it was last different.
    pub(super) changed: u64,
    /// By received time, then number: the order of listing, read backwards.
    #[serde(skip)]
    pub(super) order: BTreeSet<(i64, u64)>,
    pub(super) unread: u64,
    pub(super) log: Vec<Entry>,
}

/// The folders that every mailbox has.
pub(super) fn well_known() -> impl Iterator<Item = Folder> {
    WELL_KNOWN.iter().zip(1..).map(|((key, name, hidden), number)| {
        // Beside the visible tree, not in it.
        let outside = matches!(*key, "msgfolderroot" | "recoverableitemsdeletions" | "searchfolders");
        let parent = if outside { 0 } else { ROOT };
        let (order, log) = (BTreeSet::new(), Vec::new());
        Folder { number, parent, name: (*name).to_owned(), hidden: *hidden, changed: 1, order, unread: 0, log }
    })
}

impl Folder {
    pub(super) fn is_well_known(&self) -> bool {
        self.number < FIRST_OWN
    }
}

impl Account {
    /// The folder of an address: a well-known name or an id.
    pub(super) fn folder_number(&self, key: &str) -> Result<u64, Refusal> {
        let lower = key.to_ascii_lowercase();
        if let Some(at) = WELL_KNOWN.iter().position(|(name, ..)| *name == lower) {
            return Ok(at as u64 + 1);
        }
        let id = Id::parse(key)?;
        let known = id.kind == Kind::Folder && id.is_of(&self.address) && self.folders.contains_key(&id.number);
        if known { Ok(id.number) } else { Err(Refusal::item_not_found()) }
    }

    pub(super) fn folder_id(&self, number: u64, letters: IdLetters) -> String {
        Id::new(Kind::Folder, &self.address, number, 0).text(letters)
    }

    /// Whether the folder or one above it is `above`.
    pub(super) fn lies_below(&self, mut number: u64, above: u64) -> bool {
        while number != 0 {
            if number == above {
                return true;
            }
            number = self.folders.get(&number).map_or(0, |f| f.parent);
        }
        false
    }

    pub(super) fn children(&self, parent: u64) -> impl Iterator<Item = &Folder> {
        self.folders.values().filter(move |f| f.parent == parent)
    }

    fn name_is_taken(&self, parent: u64, name: &str) -> bool {
        let name = name.to_lowercase();
        self.children(parent).any(|f| f.name.to_lowercase() == name)
    }

    pub(super) fn create_folder(&mut self, parent: u64, name: &str, hidden: bool) -> Result<u64, Refusal> {
        self.check_name(parent, name)?;
        self.issued_folders += 1;
        let number = FIRST_OWN + self.issued_folders;
        let changed = self.next_tick();
        let (order, log) = (BTreeSet::new(), Vec::new());
        let name = name.to_owned();
        self.folders.insert(number, Folder { number, parent, name, hidden, changed, order, unread: 0, log });
        self.touch_folder(parent);
        Ok(number)
    }

    fn check_name(&self, parent: u64, name: &str) -> Result<(), Refusal> {
        if name.trim().is_empty() {
            return Err(Refusal::new(400, "ErrorInvalidFolderName", "The folder name is not valid."));
        }
        if self.name_is_taken(parent, name) {
            let message = "A folder with the specified name already exists.";
            return Err(Refusal::new(409, "ErrorFolderExists", message));
        }
        Ok(())
    }

    pub(super) fn rename_folder(&mut self, number: u64, name: &str) -> Result<(), Refusal> {
        let folder = self.folders.get(&number).ok_or_else(Refusal::item_not_found)?;
        if !folder.name.eq_ignore_ascii_case(name) {
            self.check_name(folder.parent, name)?;
        }
        if let Some(folder) = self.folders.get_mut(&number) {
            name.clone_into(&mut folder.name);
        }
        self.touch_folder(number);
        Ok(())
    }

    pub(super) fn move_folder(&mut self, number: u64, parent: u64) -> Result<(), Refusal> {
        let folder = self.folders.get(&number).ok_or_else(Refusal::item_not_found)?;
        if folder.is_well_known() {
            return Err(Refusal::new(403, "ErrorMoveDistinguishedFolder", "The folder cannot be moved."));
        }
        if self.lies_below(parent, number) {
            return Err(Refusal::invalid("A folder cannot be moved below itself."));
        }
        let before = folder.parent;
        if before != parent {
            let name = folder.name.clone();
            self.check_name(parent, &name)?;
        }
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.parent = parent;
        }
        [number, before, parent].into_iter().for_each(|n| self.touch_folder(n));
        Ok(())
    }

    /// Removes a folder with all folders and messages below it; the messages can be recovered.
    pub(super) fn delete_folder(&mut self, number: u64, now_ms: i64) -> Result<(), Refusal> {
        let folder = self.folders.get(&number).ok_or_else(Refusal::item_not_found)?;
        if folder.is_well_known() {
            return Err(Refusal::new(403, "ErrorDeleteDistinguishedFolder", "The folder cannot be deleted."));
        }
        let parent = folder.parent;
        let below: Vec<u64> = self.children(number).map(|f| f.number).collect();
        for child in below {
            self.delete_folder(child, now_ms)?;
        }
        let inside: Vec<u64> = self.folders[&number].order.iter().map(|(_, message)| *message).collect();
        for message in inside {
            self.recycle(message, RECOVERABLE, now_ms);
        }
        self.folders.remove(&number);
        let tick = self.next_tick();
        self.gone_folders.insert(tick, number);
        self.touch_folder(parent);
        Ok(())
    }

    /// The folder is different from now on.
    pub(super) fn touch_folder(&mut self, number: u64) {
        let tick = self.next_tick();
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.changed = tick;
        }
    }

    /// The folder as the API shows it.
    pub(super) fn show_folder(&self, folder: &Folder, letters: IdLetters) -> Value {
        let visible = self.children(folder.number).filter(|f| !f.hidden).count();
        json!({
            "id": self.folder_id(folder.number, letters),
            "displayName": folder.name,
            "parentFolderId": self.folder_id(folder.parent, letters),
            "childFolderCount": visible,
            "unreadItemCount": folder.unread,
            "totalItemCount": folder.order.len(),
            "isHidden": folder.hidden,
        })
    }
}

/// The key of a well-known folder.
pub(super) fn well_known_name(number: u64) -> Option<&'static str> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    WELL_KNOWN.get(at).map(|(key, ..)| *key)
}
