//! Folders and what they mean. Source: <https://learn.microsoft.com/graph/api/resources/mailfolder>.

use std::collections::BTreeMap;

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Folder, Folders, Role},
    ids::{FolderId, MessageId},
};

use super::{Outlook, fetch, wire};
use crate::client::operation;

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

/// Which folder is which; constant for the life of a mailbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    #[cfg(test)]
    pub(super) fn of(known: &[(&str, Place)]) -> Self {
        Self(known.iter().map(|(id, place)| ((*id).to_owned(), *place)).collect())
    }

    /// Asks for all of them in one batch; what a mailbox does not have is not found.
    pub(super) async fn ask(outlook: &Outlook) -> Result<Self> {
        let paths = WELL_KNOWN.iter().map(|(name, _)| outlook.client.folder_path(name)).collect::<Result<Vec<_>>>()?;
        let mut known = BTreeMap::new();
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
        Ok(Self(known))
    }

    pub(super) fn role(&self, folder: &str) -> Option<Role> {
        match self.0.get(folder)? {
            Place::Of(role) => Some(*role),
            Place::LeftOut(role) => *role,
            Place::OutOfSight => None,
        }
    }

    /// Does a feed follow it?
    pub(super) fn is_followed(&self, folder: &wire::Folder) -> bool {
        let known = self.0.get(&folder.id);
        is_real(folder) && !matches!(known, Some(Place::LeftOut(_) | Place::OutOfSight))
    }

    /// Is what lies in it gone, as far as its owner can see?
    pub(super) fn is_out_of_sight(&self, folder: &str) -> bool {
        self.0.get(folder) == Some(&Place::OutOfSight)
    }

    /// The folder of this meaning.
    pub(super) fn find(&self, wanted: Place) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, place)| **place == wanted).map(|(id, _)| id.as_str())
    }
}

/// Search folders are views, hidden folders are programs' own.
fn is_real(folder: &wire::Folder) -> bool {
    let view = folder.kind.as_deref().is_some_and(|kind| kind.ends_with("SearchFolder"));
    !folder.id.is_empty() && folder.removed.is_none() && !view && folder.is_hidden != Some(true)
}

/// A page of folders, and the link to the next.
pub(super) async fn page(outlook: &Outlook, link: Option<&str>) -> Result<(Vec<wire::Folder>, Option<String>)> {
    let call = match link {
        Some(link) => outlook.client.folders_link(link)?,
        None => outlook.client.folders()?,
    };
    let mut page: wire::Page = outlook.session.send(call).await?.json()?;
    let mut folders: Vec<wire::Folder> = Vec::with_capacity(page.value.len());
    for entry in &page.value {
        // What is no folder cannot be followed; it holds nothing that anybody could name.
        let Ok(folder) = serde_json::from_str::<wire::Folder>(entry.get()) else { continue };
        // The service may tell one twice: the last word counts.
        folders.retain(|known| known.id != folder.id);
        folders.push(folder);
    }
    Ok((folders, page.next()))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Validation, "a folder cannot be read").with_service("microsoft").with_source(error)
}

/// More pages of folders than any mailbox has.
const MAX_PAGES: usize = 1_000;

#[async_trait]
impl Folders for Outlook {
    async fn list(&self) -> Result<Vec<Folder>> {
        let places = self.places().await?;
        let (mut all, mut link) = (BTreeMap::new(), None);
        for _ in 0..MAX_PAGES {
            let (folders, next) = page(self, link.as_deref()).await?;
            for folder in folders.into_iter().filter(is_real) {
                let name = if folder.display_name.is_empty() { folder.id.clone() } else { folder.display_name };
                let role = places.role(&folder.id);
                all.insert(folder.id.clone(), Folder::new(FolderId::new(folder.id), name, role));
            }
            if next.is_none() || next == link {
                break;
            }
            link = next;
        }
        Ok(all.into_values().collect())
    }

    async fn change(&self, of: &MessageId, into: &[FolderId], out_of: &[FolderId]) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidInput, why).with_service("microsoft"));
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
