//! What a feed does when something is wrong: old cursors, broken items, throttling.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{
    MailboxFixture,
    feed::{Follower, tells_all, upserted},
    fetch::key_of,
    letters, refused,
};
use crate::{
    conformance::{Kept, ensure, same},
    email::{MailItem, MessageQuery},
    error::{ErrorKind, Retry},
    ids::{ItemKey, MessageId},
    sync::{Change, Cursor, Fetched, Fingerprint, Next, Window},
};

const EXPIRED: &str = "a cursor whose history is gone is refused as expired";
const FOREIGN: &str = "a cursor made for something else is refused as expired";

/// A new snapshot is a normal branch, but somebody has to say so.
pub async fn a_cursor_whose_history_is_gone_is_refused(fixture: &dyn MailboxFixture) -> Kept {
    let mut ids = letters(fixture, "a", 2).await;
    let follower = Follower::now(fixture).await?;
    fixture.expire_cursors().await;
    ids.extend(letters(fixture, "b", 1).await);
    for (partition, head) in &follower.heads {
        refused(follower.feed.changes(partition, head).await, ErrorKind::CursorExpired, EXPIRED)?;
    }
    let mut anew = Follower::now(fixture).await?;
    let listed = upserted(&anew.snapshot(&Window::default()).await?);
    tells_all(&listed, &ids, "a snapshot after an expired cursor lists every message")?;
    let later = letters(fixture, "c", 1).await;
    tells_all(&upserted(&anew.follow().await?), &later, "a new head works after an expired cursor")
}

/// Another window, another kind of walk, another program.
pub async fn a_cursor_of_other_parameters_is_refused(fixture: &dyn MailboxFixture) -> Kept {
    letters(fixture, "a", fixture.feed_page() + 1).await;
    let follower = Follower::now(fixture).await?;
    let feed = &follower.feed;
    let foreign = Cursor::new(999, Fingerprint::of(["conformance"]), "position");
    for (partition, head) in &follower.heads {
        let whole = Window::default();
        refused(feed.changes(partition, &foreign).await, ErrorKind::CursorExpired, FOREIGN)?;
        refused(feed.snapshot(partition, &whole, Some(&foreign)).await, ErrorKind::CursorExpired, FOREIGN)?;
        refused(feed.snapshot(partition, &whole, Some(head)).await, ErrorKind::CursorExpired, FOREIGN)?;
        let Next::More(more) = feed.snapshot(partition, &whole, None).await?.next else { continue };
        refused(feed.changes(partition, &more).await, ErrorKind::CursorExpired, FOREIGN)?;
        let narrower = Window::since(fixture.now() - TimeDelta::days(1));
        refused(feed.snapshot(partition, &narrower, Some(&more)).await, ErrorKind::CursorExpired, FOREIGN)?;
    }
    Ok(())
}

/// It goes to quarantine; its neighbours are as good as ever.
pub async fn a_broken_message_is_reported_and_the_rest_goes_on(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message that cannot be understood is reported as malformed, and the others come";
    let mut follower = Follower::now(fixture).await?;
    let good = letters(fixture, "a", 2).await;
    let broken = fixture.deliver_undecodable().await;
    let more = letters(fixture, "b", 1).await;
    let all = follower.follow().await?;
    let told = upserted(&all);
    tells_all(&told, &[&good[..], &more[..], std::slice::from_ref(&broken)].concat(), PROMISE)?;
    let at_once = all.iter().filter(|change| matches!(change, Change::Malformed { .. })).count();
    let keys: BTreeSet<ItemKey> = told.iter().map(|id| ItemKey::new(id.as_str())).collect();
    let keys: Vec<ItemKey> = keys.into_iter().collect();
    let mut reported = at_once;
    for one in follower.feed.fetch(&keys).await? {
        let is_broken = key_of(&one).as_str() == broken.as_str();
        match one {
            Fetched::Malformed { raw, reason, .. } if is_broken => {
                let kept = !raw.is_empty() && !reason.as_str().is_empty();
                ensure(kept, "what is malformed comes with what arrived and a reason", format_args!("{reason:?}"))?;
                reported += 1;
            }
            Fetched::Present { .. } if !is_broken => {}
            other => ensure(false, PROMISE, format_args!("{other:?}"))?,
        }
    }
    ensure(reported > 0, PROMISE, "nobody was told that one of them is broken")
}

/// Whichever the service says it of: the call for all of them, or the one among them.
pub async fn a_message_that_is_refused_for_good_keeps_no_other_away(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message that the service refuses for good is answered so, and the others come";
    let ids = letters(fixture, "a", 4).await;
    fixture.refuse(&ids[1]).await;
    let keys: Vec<ItemKey> = ids.iter().map(|id| ItemKey::new(id.as_str())).collect();
    let feed = fixture.provider().feed();
    let fetched = feed.fetch(&keys).await?;
    same(&fetched.len(), &keys.len(), "the feed answers every key once")?;
    for one in fetched {
        let right = match &one {
            Fetched::NotYet(key, error) => *key == keys[1] && error.retry() == Retry::Never,
            Fetched::Present { key, .. } => *key != keys[1],
            _ => false,
        };
        ensure(right, PROMISE, format_args!("{one:?}"))?;
    }
    // Of a single one, the whole fetch may say it.
    let alone = match feed.fetch(&keys[1..2]).await.map(|mut fetched| fetched.pop()) {
        Ok(Some(Fetched::NotYet(_, error))) => error.retry() == Retry::Never,
        Err(error) => error.retry() == Retry::Never,
        Ok(_) => false,
    };
    ensure(alone, PROMISE, "alone, it is not refused for good")
}

/// Keys twice, keys of nothing, and more than a batch.
pub async fn the_feed_fetches_every_key_once(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "the feed answers every key once";
    let feed = fixture.provider().feed();
    let ids = letters(fixture, "a", feed.capabilities().fetch_batch + 1).await;
    let mut keys: Vec<ItemKey> = ids.iter().map(|id| ItemKey::new(id.as_str())).collect();
    let unknown = ItemKey::new("0123456789abcdef");
    keys.push(unknown.clone());
    keys.push(keys[0].clone());
    let fetched = feed.fetch(&keys).await?;
    let mut answered: Vec<&ItemKey> = fetched.iter().map(key_of).collect();
    answered.sort();
    let mut wanted: Vec<&ItemKey> = keys[..keys.len() - 1].iter().collect();
    wanted.sort();
    same(&answered, &wanted, PROMISE)?;
    for one in &fetched {
        let right = match one {
            Fetched::Gone(key) => *key == unknown,
            Fetched::Present { key, item: MailItem::Message(message), .. } => message.id == key.as_str(),
            _ => false,
        };
        ensure(right, PROMISE, format_args!("{one:?}"))?;
    }
    Ok(())
}

/// So that a slow read never overwrites a newer state.
pub async fn revisions_never_go_back(fixture: &dyn MailboxFixture) -> Kept {
    let feed = fixture.provider().feed();
    let id: MessageId = letters(fixture, "a", 1).await.remove(0);
    let key = [ItemKey::new(id.as_str())];
    let revision = async || match feed.fetch(&key).await?.pop() {
        Some(Fetched::Present { revision, .. }) => Ok(revision),
        other => Err(super::Broken { promise: "a message that is there is fetched", detail: format!("{other:?}") }),
    };
    let before = revision().await?;
    fixture.mark_read(&id).await;
    let after = revision().await?;
    ensure(!after.is_older_than(&before), "revisions never go back", format_args!("{after:?} after {before:?}"))?;
    ensure(
        after != before || before.order.is_none(),
        "a changed message has another revision",
        format_args!("{after:?}"),
    )
}

/// Nothing new costs next to nothing.
pub async fn an_idle_poll_costs_one_call_a_partition(fixture: &dyn MailboxFixture) -> Kept {
    letters(fixture, "a", 3).await;
    let mut follower = Follower::now(fixture).await?;
    follower.follow().await?;
    let before = fixture.calls().await;
    let quiet = follower.follow().await?;
    ensure(quiet.is_empty(), "what was reported is not reported again", format_args!("{quiet:?}"))?;
    let calls = fixture.calls().await - before;
    same(&calls, &(follower.heads.len() as u64), "an idle poll costs one call a partition")
}

/// By whoever retries: the session below the provider, or the schedule above it.
pub async fn a_throttled_call_succeeds_later(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a call that was throttled is tried again, or fails as temporary";
    let ids = letters(fixture, "a", 1).await;
    let provider = fixture.provider();
    fixture.throttle_once().await;
    let page = match provider.search(&MessageQuery::default(), None).await {
        Err(error) => {
            let temporary = error.kind() == ErrorKind::RateLimited && error.retry() != Retry::Never;
            ensure(temporary, PROMISE, &error)?;
            provider.search(&MessageQuery::default(), None).await?
        }
        Ok(page) => page,
    };
    let found: Vec<MessageId> = page.items.into_iter().map(|stub| stub.id).collect();
    same(&found, &ids, PROMISE)
}
