//! Folders and what they mean. Source: <https://learn.microsoft.com/graph/api/resources/mailfolder>.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use integration_core::{
    Error, ErrorKind, Result,
    email::{Folder, Folders, Role},
    ids::{FolderId, MessageId},
};

use super::{Outlook, error, fetch, pages, wire};
use crate::client::{FOLDER_PAGE, operation};

/// What a folder is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Messages that are nobody's mail (yet): followed by no feed.
    ///
    /// Drafts change with every pause of their writer and become mail when they are sent, in the outbox and among what is
    /// scheduled mail stays for moments or is still a draft; what is left are programs' notes about synchronisation, and
    /// views on messages that lie elsewhere.
    LeftOut(Option<Role>),
    /// A folder with a meaning of its own.
    Of(Role),
    /// Where messages go that were deleted for good, as far as their owner can see: what lies there is gone.
    OutOfSight,
}

/// Names by which every mailbox knows its folders, whatever they are called in its language.
const WELL_KNOWN: [(&str, Place); 14] = [
    ("inbox", Place::Of(Role::Inbox)),
    ("sentitems", Place::Of(Role::Sent)),
    ("deleteditems", Place::Of(Role::Trash)),
    ("junkemail", Place::Of(Role::Junk)),
    ("conversationhistory", Place::Of(Role::Chat)),
    ("drafts", Place::LeftOut(Some(Role::Drafts))),
    ("outbox", Place::LeftOut(None)),
    ("scheduled", Place::LeftOut(None)),
    ("searchfolders", Place::LeftOut(None)),
    ("syncissues", Place::LeftOut(None)),
    ("conflicts", Place::LeftOut(None)),
    ("localfailures", Place::LeftOut(None)),
    ("serverfailures", Place::LeftOut(None)),
    ("recoverableitemsdeletions", Place::OutOfSight),
];

/// The folders that every mailbox knows by name: id and meaning.
pub(super) type Names = BTreeMap<String, Place>;

/// Asks for all of them in one batch; what a mailbox does not have is not found.
pub(super) async fn names(outlook: &Outlook) -> Result<Names> {
    let paths = WELL_KNOWN.iter().map(|(name, _)| outlook.client.folder_path(name)).collect::<Result<Vec<_>>>()?;
    let mut known = Names::new();
    for ((_, place), reply) in WELL_KNOWN.iter().zip(fetch::ask(outlook, operation::FOLDERS, &paths).await?) {
        match reply {
            fetch::Reply::Body(body) => {
                let folder: wire::Folder = serde_json::from_slice(&body).map_err(unreadable)?;
                // The first name counts: an answer that makes the inbox a left-out folder is none.
                known.entry(folder.id).or_insert(*place);
            }
            fetch::Reply::Gone => {}
            // Not every name is known to every kind of mailbox, nor shown to everybody who shares it.
            fetch::Reply::NotYet(error)
                if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied) => {}
            fetch::Reply::NotYet(error) => return Err(error),
        }
    }
    Ok(known)
}

/// Which folder is which, as of one moment.
#[derive(Clone, Debug)]
pub(super) struct Places {
    names: Names,
    /// Every folder that was listed, and what it is by itself or by one above it.
    listed: HashMap<String, Option<Place>>,
    /// Nobody can say for sure what these lie below.
    unsure: bool,
    at: DateTime<Utc>,
}

impl Places {
    pub(super) fn new(names: Names, listing: &Listing, at: DateTime<Utc>) -> Self {
        let parent = |one: &wire::Folder| Some((one.id.clone(), one.parent_folder_id.clone()?));
        let parents: HashMap<String, String> = listing.folders.iter().filter_map(parent).collect();
        let listed = listing.folders.iter().map(|one| (one.id.clone(), inherited(&one.id, &names, &parents))).collect();
        let orphan = |one: &wire::Folder| one.parent_folder_id.is_none() && one.removed.is_none();
        let unsure = listing.nameless > 0 || listing.folders.iter().any(orphan);
        Self { names, listed, unsure, at }
    }

    #[cfg(test)]
    pub(super) fn of(known: &[(&str, Place)]) -> Self {
        let names = known.iter().map(|(id, place)| ((*id).to_owned(), *place)).collect();
        Self::new(names, &Listing::default(), DateTime::<Utc>::MAX_UTC)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// When it was asked for.
    pub(super) fn at(&self) -> DateTime<Utc> {
        self.at
    }

    pub(super) fn knows(&self, folder: &str) -> bool {
        self.listed.contains_key(folder) || self.names.contains_key(folder)
    }

    fn place(&self, folder: &str) -> Option<Place> {
        self.names.get(folder).copied().or_else(|| *self.listed.get(folder)?)
    }

    /// What it means for a message to lie there: a folder below the deleted mail is deleted mail.
    pub(super) fn role(&self, folder: &str) -> Option<Role> {
        match self.place(folder)? {
            Place::Of(role) => Some(role),
            Place::LeftOut(role) => role,
            Place::OutOfSight => None,
        }
    }

    /// What everything in it takes from it; `None` where that cannot be said for sure.
    pub(super) fn roles(&self, folder: &str) -> Option<Vec<Role>> {
        let role = self.role(folder);
        (role.is_some() || !self.unsure).then(|| role.into_iter().collect())
    }

    /// Does a feed follow it?
    pub(super) fn is_followed(&self, folder: &wire::Folder) -> bool {
        is_real(folder) && !matches!(self.place(&folder.id), Some(Place::LeftOut(_) | Place::OutOfSight))
    }

    /// Is what lies in it gone, as far as its owner can see?
    pub(super) fn is_out_of_sight(&self, folder: &str) -> bool {
        self.place(folder) == Some(Place::OutOfSight)
    }

    /// What the folder is by itself.
    fn own_role(&self, folder: &str) -> Option<Role> {
        self.names.contains_key(folder).then(|| self.role(folder)).flatten()
    }
}

/// More steps upwards than any mailbox has; parents that go in a circle end there.
const DEEPEST: usize = 1_000;

/// What a folder is by the nearest one above it that has a name; itself, if it has.
fn inherited(folder: &str, names: &Names, parents: &HashMap<String, String>) -> Option<Place> {
    let mut at = folder;
    for _ in 0..DEEPEST {
        match names.get(at) {
            // What was filed away below the inbox is not in the inbox.
            Some(Place::Of(Role::Inbox)) if at != folder => return None,
            Some(place) => return Some(*place),
            None => at = parents.get(at)?,
        }
    }
    None
}

/// Search folders are views, hidden folders are programs' own.
fn is_real(folder: &wire::Folder) -> bool {
    let view = folder.kind.as_deref().is_some_and(|kind| kind.ends_with("SearchFolder"));
    !folder.id.is_empty() && folder.removed.is_none() && !view && folder.is_hidden != Some(true)
}

/// All folders of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<wire::Folder>,
    /// Entries that may be any folder: not even their ids can be read.
    pub(super) nameless: usize,
}

impl Listing {
    /// The service may tell a folder twice: the last word counts.
    fn of(entries: impl Iterator<Item = Option<wire::Folder>>) -> Self {
        let (mut listing, mut seen) = (Self::default(), HashMap::new());
        for entry in entries {
            let Some(folder) = entry.filter(|folder| !folder.id.is_empty()) else {
                listing.nameless += 1;
                continue;
            };
            match seen.get(&folder.id) {
                Some(&at) => listing.folders[at] = folder,
                None => {
                    seen.insert(folder.id.clone(), listing.folders.len());
                    listing.folders.push(folder);
                }
            }
        }
        listing
    }
}

/// More pages of folders than any mailbox has.
const MAX_PAGES: usize = 1_000;

/// Lists all folders. What is not named is taken for gone, so it is all of them or an error.
pub(super) async fn list(outlook: &Outlook) -> Result<Listing> {
    let wrong = |what: &str| Err(error(ErrorKind::Validation, what).with_operation(operation::FOLDERS));
    let (mut entries, mut link): (Vec<Option<wire::Folder>>, Option<String>) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let call = |size| match &link {
            Some(link) => outlook.client.folders_link(link, size),
            None => outlook.client.folders(size),
        };
        let mut page: wire::Page = pages::ask(outlook, FOLDER_PAGE, call).await.map_err(begun_anew)?.json()?;
        entries.extend(page.value.iter().map(|entry| serde_json::from_str(entry.get()).ok()));
        match (page.next(), page.delta()) {
            (Some(next), _) if link.as_ref() == Some(&next) => {
                return wrong("the list of folders does not come forward");
            }
            (Some(next), _) => link = Some(next),
            (None, Some(_)) => return Ok(Listing::of(entries.into_iter())),
            (None, None) => return wrong("a page of folders says not where to go on"),
        }
    }
    wrong("the list of folders does not come to an end")
}

/// Nothing is kept of a list that was cut short: the next one begins at its beginning anyway.
fn begun_anew(error: Error) -> Error {
    if error.kind() != ErrorKind::CursorExpired {
        return error;
    }
    let message = "the list of folders was cut short";
    self::error(ErrorKind::Unavailable, message).with_operation(operation::FOLDERS).with_source(error)
}

fn unreadable(error: serde_json::Error) -> Error {
    self::error(ErrorKind::Validation, "a folder cannot be read").with_source(error)
}

#[async_trait]
impl Folders for Outlook {
    async fn list(&self) -> Result<Vec<Folder>> {
        let (places, listing) = self.look().await?;
        let mut all: Vec<Folder> = listing
            .folders
            .into_iter()
            .filter(is_real)
            .map(|folder| {
                let role = places.own_role(&folder.id);
                let name = folder.display_name.filter(|name| !name.is_empty()).unwrap_or_else(|| folder.id.clone());
                Folder::new(FolderId::new(folder.id), name, role)
            })
            .collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    async fn change(&self, of: &MessageId, into: &[FolderId], out_of: &[FolderId]) -> Result<()> {
        let refuse = |why: &str| Err(error(ErrorKind::InvalidInput, why));
        match into {
            [] if out_of.is_empty() => Ok(()),
            [] => refuse("a message lies in exactly one folder: to take it out of one, say where it goes"),
            [folder] => {
                self.session.send(self.client.move_to(of.as_str(), folder.as_str())?).await?;
                Ok(())
            }
            _ => refuse("a message lies in exactly one folder, and cannot be put into several"),
        }
    }
}
