//! What a [`LeaseStore`] promises.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Broken, Kept, LONG, SHORT, ensure, eventually, refused_inside, same};
use crate::store::{LeaseGuard, LeaseKey, LeaseStore};

fn key(name: &str) -> LeaseKey {
    LeaseKey::new(["conformance", name])
}

async fn acquire(store: &dyn LeaseStore, key: &LeaseKey, ttl: Duration) -> Result<LeaseGuard, Broken> {
    let promise = "a free lease is acquired";
    store.acquire(key, ttl).await?.ok_or(Broken { promise, detail: "it was refused".to_owned() })
}

/// Loses `key` to a second holder: who lost it, who has it.
async fn lose(store: &dyn LeaseStore, key: &LeaseKey) -> Result<(LeaseGuard, LeaseGuard), Broken> {
    let lost = acquire(store, key, SHORT).await?;
    let taken = eventually("an expired lease can be taken", async || store.acquire(key, LONG).await).await?;
    Ok((lost, taken))
}

/// Neither through this handle nor through another.
pub async fn a_held_lease_excludes_others(store: &dyn LeaseStore, other: &dyn LeaseStore) -> Kept {
    const PROMISE: &str = "a held lease excludes others";
    let key = key("a");
    acquire(store, &key, LONG).await?;
    same(&store.acquire(&key, LONG).await?, &None, PROMISE)?;
    same(&other.acquire(&key, LONG).await?, &None, PROMISE)
}

/// No waiting for the lease to run out.
pub async fn a_released_lease_is_free_at_once(store: &dyn LeaseStore) -> Kept {
    let key = key("a");
    let guard = acquire(store, &key, LONG).await?;
    store.release(guard.clone()).await?;
    same(&store.renew(&guard, LONG).await?, &false, "a released lease cannot be renewed")?;
    acquire(store, &key, LONG).await.map(drop)
}

/// For ever: after releases and after expiry.
pub async fn fences_rise_with_every_acquisition(store: &dyn LeaseStore) -> Kept {
    const PROMISE: &str = "every acquisition gets a higher fence";
    let key = key("a");
    let mut last = 0;
    for _ in 0..3 {
        let guard = acquire(store, &key, LONG).await?;
        ensure(guard.fence > last, PROMISE, format_args!("{} after {last}", guard.fence))?;
        last = guard.fence;
        store.release(guard).await?;
    }
    let (lost, taken) = lose(store, &key).await?;
    ensure(lost.fence > last, PROMISE, format_args!("{} after {last}", lost.fence))?;
    ensure(taken.fence > lost.fence, PROMISE, format_args!("{} after {}", taken.fence, lost.fence))
}

/// A holder that died does not block others for ever.
pub async fn an_expired_lease_can_be_taken(store: &dyn LeaseStore) -> Kept {
    let (lost, taken) = lose(store, &key("a")).await?;
    ensure(lost.holder != taken.holder, "holders can be told apart", &taken.holder)
}

/// Renewing counts from now.
pub async fn a_renewed_lease_outlives_its_first_duration(store: &dyn LeaseStore) -> Kept {
    const PROMISE: &str = "a renewed lease outlives its first duration";
    let key = key("a");
    let guard = acquire(store, &key, SHORT).await?;
    same(&store.renew(&guard, LONG).await?, &true, PROMISE)?;
    tokio::time::sleep(SHORT * 2).await;
    same(&store.acquire(&key, LONG).await?, &None, PROMISE)
}

/// So that its former holder stops.
pub async fn renewing_after_loss_says_so(store: &dyn LeaseStore) -> Kept {
    let (lost, taken) = lose(store, &key("a")).await?;
    same(&store.renew(&lost, LONG).await?, &false, "renewing a lost lease returns false")?;
    same(&store.renew(&taken, LONG).await?, &true, "the holder can renew")
}

/// A late release does not throw out the new holder.
pub async fn releasing_after_loss_changes_nothing(store: &dyn LeaseStore) -> Kept {
    const PROMISE: &str = "releasing a lost lease changes nothing";
    let key = key("a");
    let (lost, taken) = lose(store, &key).await?;
    store.release(lost).await?;
    same(&store.acquire(&key, LONG).await?, &None, PROMISE)?;
    same(&store.renew(&taken, LONG).await?, &true, PROMISE)
}

/// Keys whose text merely looks alike are different.
pub async fn different_keys_are_independent(store: &dyn LeaseStore) -> Kept {
    acquire(store, &LeaseKey::new(["a", "b"]), LONG).await?;
    acquire(store, &LeaseKey::new(["a\u{1f}b"]), LONG).await?;
    acquire(store, &LeaseKey::new(["A", "b"]), LONG).await?;
    acquire(store, &LeaseKey::new(["a", "b", ""]), LONG).await.map(drop)
}

/// The same lease of another tenant is another lease: held, renewed and released by itself.
pub async fn tenants_are_walls(store: &dyn LeaseStore) -> Kept {
    const PROMISE: &str = "tenants are walls";
    let (ours, theirs) = (LeaseKey::new(["sync", "tenant", "c"]), LeaseKey::new(["sync", "tenant2", "c"]));
    let our_guard = acquire(store, &ours, LONG).await?;
    let their_guard = acquire(store, &theirs, LONG).await?;
    same(&store.renew(&our_guard, LONG).await?, &true, PROMISE)?;
    store.release(their_guard).await?;
    same(&store.acquire(&ours, LONG).await?, &None, PROMISE)?;
    acquire(store, &theirs, LONG).await?;
    store.release(our_guard).await?;
    same(&store.acquire(&theirs, LONG).await?, &None, PROMISE)
}

/// Two handles, sixteen callers, one holder.
pub async fn of_racing_acquirers_exactly_one_wins(store: &dyn LeaseStore, other: &dyn LeaseStore) -> Kept {
    let key = key("a");
    let callers = (0..16).map(|number| if number % 2 == 0 { store } else { other }.acquire(&key, LONG));
    let mut won = 0;
    for guard in join_all(callers).await {
        won += usize::from(guard?.is_some());
    }
    same(&won, &1, "of racing acquirers exactly one wins")
}

/// It would wait for the open transaction.
pub async fn acquiring_inside_a_transaction_is_refused(store: &dyn LeaseStore) -> Kept {
    let key = key("a");
    refused_inside(store.acquire(&key, LONG)).await
}

/// A restart neither frees what is held nor gives a fence twice.
pub async fn fences_rise_across_reopening<S>(store: &dyn LeaseStore, reopen: impl AsyncFn() -> S) -> Kept
where
    S: std::ops::Deref<Target: LeaseStore + Sized>,
{
    let key = key("a");
    let first = acquire(store, &key, LONG).await?;
    let reopened = reopen().await;
    same(&reopened.acquire(&key, LONG).await?, &None, "a held lease excludes others after reopening")?;
    store.release(first.clone()).await?;
    let second = eventually("a released lease is free", async || reopened.acquire(&key, LONG).await).await?;
    let detail = format!("{} after {}", second.fence, first.fence);
    ensure(second.fence > first.fence, "every acquisition gets a higher fence, also after reopening", detail)
}
