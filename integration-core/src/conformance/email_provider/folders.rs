//! Folders and drafts, where there are any.

use std::collections::BTreeSet;

use super::{MailboxFixture, letter, read, refused};
use crate::{
    conformance::{Kept, ensure, same},
    email::{Address, Outgoing, Role},
    error::ErrorKind,
    ids::{FolderId, MessageId},
};

const CLAIMED: &str = "folders and drafts are there exactly if they are claimed";

/// Each once, the inbox among them.
pub async fn folders_are_listed(fixture: &dyn MailboxFixture) -> Kept {
    let provider = fixture.provider();
    same(&provider.folders().is_some(), &provider.capabilities().folders, CLAIMED)?;
    let Some(folders) = provider.folders() else { return Ok(()) };
    let all = folders.list().await?;
    let ids: BTreeSet<&FolderId> = all.iter().map(|folder| &folder.id).collect();
    same(&ids.len(), &all.len(), "every folder is listed once")?;
    for role in [Role::Inbox, Role::Sent, Role::Trash] {
        let count = all.iter().filter(|folder| folder.role == Some(role)).count();
        ensure(count == 1, "inbox, sent and trash are told by their meaning", format_args!("{count} are {role:?}"))?;
    }
    ensure(all.iter().all(|folder| !folder.name.is_empty()), "every folder has a name", format_args!("{all:?}"))
}

/// As the owner would; and back.
pub async fn a_message_is_moved_between_folders(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message lies where it was moved";
    let provider = fixture.provider();
    let Some(folders) = provider.folders() else { return Ok(()) };
    let all = folders.list().await?;
    let of = |role: Role| all.iter().filter(move |folder| folder.role == Some(role)).map(|folder| folder.id.clone());
    let (inbox, trash): (Vec<FolderId>, Vec<FolderId>) = (of(Role::Inbox).collect(), of(Role::Trash).collect());
    let id = fixture.deliver(letter(fixture, "a")).await;
    for _ in 0..2 {
        folders.change(&id, &trash, &inbox).await?;
    }
    if !provider.capabilities().stable_ids {
        return Ok(());
    }
    let flags = read(&*provider, &id).await?.flags;
    ensure(flags.has(Role::Trash) && !flags.has(Role::Inbox), PROMISE, format_args!("{flags:?}"))?;
    folders.change(&id, &inbox, &trash).await?;
    let flags = read(&*provider, &id).await?.flags;
    ensure(flags.has(Role::Inbox) && !flags.has(Role::Trash), PROMISE, format_args!("{flags:?}"))
}

/// Nothing is made up on the way.
pub async fn moving_what_is_not_there_is_refused(fixture: &dyn MailboxFixture) -> Kept {
    let provider = fixture.provider();
    let Some(folders) = provider.folders() else { return Ok(()) };
    let all = folders.list().await?;
    let trash: Vec<FolderId> =
        all.into_iter().filter(|folder| folder.role == Some(Role::Trash)).map(|folder| folder.id).collect();
    let moved = folders.change(&MessageId::new("0123456789abcdef"), &trash, &[]).await;
    refused(moved, ErrorKind::NotFound, "moving an unknown message is refused as not found")?;
    let id = fixture.deliver(letter(fixture, "a")).await;
    let moved = folders.change(&id, &[FolderId::new("no folder of yours")], &[]).await;
    ensure(moved.is_err(), "moving into an unknown folder is refused", "it was accepted")
}

/// It lies among the drafts and has not left.
pub async fn a_draft_is_kept_and_not_sent(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a draft lies among the drafts and is not sent";
    let provider = fixture.provider();
    same(&provider.drafts().is_some(), &provider.capabilities().drafts, CLAIMED)?;
    let Some(drafts) = provider.drafts() else { return Ok(()) };
    let mail = Outgoing {
        to: vec![Address::new("friend@people.example")],
        subject: "Later".to_owned(),
        ..Outgoing::default()
    };
    let draft = read(&*provider, &drafts.create(&mail).await?).await?;
    ensure(draft.flags.has(Role::Drafts) && draft.subject == "Later", PROMISE, format_args!("{:?}", draft.flags))?;
    same(&fixture.sent().await.len(), &0, PROMISE)
}
