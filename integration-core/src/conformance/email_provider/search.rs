//! Listing and filters.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{MANY, MailboxFixture, letter, letter_from, letters, unclaimed};
use crate::{
    conformance::{Broken, Kept, ensure, same},
    email::{EmailProvider, MessageQuery, Role},
    ids::MessageId,
    page::PageToken,
};

const ONCE: &str = "a search pages through every match once";

/// Every page of a search.
async fn pages(provider: &dyn EmailProvider, query: &MessageQuery) -> Result<Vec<Vec<MessageId>>, Broken> {
    let (mut pages, mut token) = (Vec::new(), None);
    loop {
        let page = provider.search(query, token.as_ref()).await?;
        pages.push(page.items.into_iter().map(|stub| stub.id).collect());
        let Some(next) = page.next else { return Ok(pages) };
        let ends = token.as_ref() != Some(&next) && pages.len() < MANY;
        ensure(ends, "a search ends", format_args!("{} pages and no end", pages.len()))?;
        // A host may keep the token and go on in another process.
        token = Some(PageToken::new(next.as_str()));
    }
}

async fn found(provider: &dyn EmailProvider, query: &MessageQuery) -> Result<BTreeSet<MessageId>, Broken> {
    Ok(pages(provider, query).await?.into_iter().flatten().collect())
}

async fn finds(
    fixture: &dyn MailboxFixture,
    query: &MessageQuery,
    wanted: &[&MessageId],
    promise: &'static str,
) -> Kept {
    let wanted: BTreeSet<MessageId> = wanted.iter().map(|id| (*id).clone()).collect();
    same(&found(&*fixture.provider(), query).await?, &wanted, promise)
}

/// Whatever the page size, also where it divides the number of matches.
pub async fn search_pages_through_every_match_once(fixture: &dyn MailboxFixture) -> Kept {
    let provider = fixture.provider();
    let mut wanted = letters(fixture, "a", 12).await;
    wanted.sort();
    for size in [1, 3, 5, 12, 50] {
        let query = MessageQuery { page_size: Some(size), ..MessageQuery::default() };
        let pages = pages(&*provider, &query).await?;
        let largest = pages.iter().map(Vec::len).max().unwrap_or_default();
        ensure(largest <= size as usize, "a page has at most the size asked for", format_args!("{largest} of {size}"))?;
        let mut found: Vec<MessageId> = pages.into_iter().flatten().collect();
        found.sort();
        same(&found, &wanted, ONCE)?;
    }
    Ok(())
}

/// And no page follows.
pub async fn an_empty_mailbox_has_nothing_to_find(fixture: &dyn MailboxFixture) -> Kept {
    finds(fixture, &MessageQuery::default(), &[], "an empty mailbox has nothing to find").await
}

/// A stored one too: the same page comes again.
pub async fn a_page_token_can_be_used_again(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a page token gives the same page again";
    letters(fixture, "a", 5).await;
    let provider = fixture.provider();
    let query = MessageQuery { page_size: Some(2), ..MessageQuery::default() };
    let token = provider.search(&query, None).await?.next;
    ensure(token.is_some(), PROMISE, "two of five matches, and no token")?;
    let first = provider.search(&query, token.as_ref()).await?.items;
    same(&provider.search(&query, token.as_ref()).await?.items, &first, PROMISE)
}

/// It is not taken for the beginning.
pub async fn a_token_that_is_none_is_refused(fixture: &dyn MailboxFixture) -> Kept {
    letters(fixture, "a", 2).await;
    let token = PageToken::new("no token of yours");
    let answer = fixture.provider().search(&MessageQuery::default(), Some(&token)).await;
    ensure(answer.is_err(), "a page token that is none is refused", "a page came")
}

/// `since` belongs to the range, `until` does not.
pub async fn search_filters_by_time(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a search keeps to its time";
    let noon = fixture.now() - TimeDelta::days(2);
    let mut ids = Vec::new();
    for hours in 0..3 {
        let at = noon + TimeDelta::hours(hours);
        ids.push(fixture.deliver(letter(fixture, &format!("hour-{hours}")).with_received_at(at)).await);
    }
    let one = noon + TimeDelta::hours(1);
    let since = MessageQuery { since: Some(one), ..MessageQuery::default() };
    finds(fixture, &since, &[&ids[1], &ids[2]], PROMISE).await?;
    let until = MessageQuery { until: Some(one), ..MessageQuery::default() };
    finds(fixture, &until, &[&ids[0]], PROMISE).await?;
    let both = MessageQuery { since: Some(one), until: Some(noon + TimeDelta::hours(2)), ..MessageQuery::default() };
    finds(fixture, &both, &[&ids[1]], PROMISE).await
}

/// Whoever wrote, and whoever was written to.
pub async fn search_filters_by_participant(fixture: &dyn MailboxFixture) -> Kept {
    let bob = fixture.deliver(letter_from(fixture, "b", "Bob <bob@people.example>")).await;
    fixture.deliver(letter_from(fixture, "c", "bobby@people.example")).await;
    let mail = format!(
        "From: {}\r\nTo: ann@people.example\r\nCc: Bob@People.example\r\nSubject: s\r\nMessage-ID: <d@x.example>\r\n\r\nx\r\n",
        fixture.address()
    );
    let to_bob = fixture.deliver(super::Delivery::new(mail).with_role(Role::Sent)).await;
    let query = MessageQuery { participant: Some("bob@people.example".to_owned()), ..MessageQuery::default() };
    finds(fixture, &query, &[&bob, &to_bob], "a search by participant finds whom it names, and nobody else").await
}

/// Exactly that one.
pub async fn search_filters_by_message_id(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a search by Message-ID finds exactly that message";
    let ids = letters(fixture, "a", 3).await;
    let by = |id: &str| MessageQuery { message_id: Some(id.to_owned()), ..MessageQuery::default() };
    finds(fixture, &by("a-1@people.example"), &[&ids[1]], PROMISE).await?;
    finds(fixture, &by("a-@people.example"), &[], PROMISE).await
}

/// By what [`EmailProvider::folders`] calls it.
pub async fn search_filters_by_folder(fixture: &dyn MailboxFixture) -> Kept {
    let provider = fixture.provider();
    let Some(folders) = provider.folders() else { return Ok(()) };
    let all = folders.list().await?;
    for (role, name) in [(Role::Inbox, "in"), (Role::Sent, "out")] {
        let Some(folder) = all.iter().find(|folder| folder.role == Some(role)) else { continue };
        let id = fixture.deliver(letter(fixture, name).with_role(role)).await;
        let query = MessageQuery { folder: Some(folder.id.clone()), ..MessageQuery::default() };
        finds(fixture, &query, &[&id], "a search by folder finds what lies in it").await?;
    }
    Ok(())
}

/// Only where it is claimed.
pub async fn search_finds_words(fixture: &dyn MailboxFixture) -> Kept {
    let apples = fixture.deliver(letter(fixture, "apples")).await;
    fixture.deliver(letter(fixture, "pears")).await;
    let query = MessageQuery { text: Some("apples".to_owned()), ..MessageQuery::default() };
    if !fixture.provider().capabilities().search_text {
        return unclaimed(fixture.provider().search(&query, None).await);
    }
    finds(fixture, &query, &[&apples], "a search by words finds what contains them").await
}

/// As a person would search.
pub async fn junk_and_trash_are_left_out_unless_asked_for(fixture: &dyn MailboxFixture) -> Kept {
    let here = fixture.deliver(letter(fixture, "here")).await;
    let junk = fixture.deliver(letter(fixture, "junk").with_role(Role::Junk)).await;
    let trash = fixture.deliver(letter(fixture, "trash").with_role(Role::Trash)).await;
    finds(fixture, &MessageQuery::default(), &[&here], "junk and trash are left out of a search").await?;
    let all = MessageQuery { include_junk_and_trash: true, ..MessageQuery::default() };
    finds(fixture, &all, &[&here, &junk, &trash], "junk and trash are searched when asked for").await
}

/// All of them have to hold.
pub async fn conditions_of_a_search_apply_together(fixture: &dyn MailboxFixture) -> Kept {
    let old = fixture.now() - TimeDelta::days(3);
    fixture.deliver(letter_from(fixture, "a", "bob@people.example").with_received_at(old)).await;
    let wanted = fixture.deliver(letter_from(fixture, "b", "bob@people.example")).await;
    fixture.deliver(letter(fixture, "c")).await;
    let query = MessageQuery {
        participant: Some("bob@people.example".to_owned()),
        since: Some(fixture.now() - TimeDelta::days(1)),
        ..MessageQuery::default()
    };
    finds(fixture, &query, &[&wanted], "conditions of a search apply together").await
}
