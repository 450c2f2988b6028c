//! What a [`Sink`] promises: its effects are there exactly if the cursor is.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;

use super::{Broken, Kept, ensure, same};
use crate::{
    activity::{Activity, ActivityChange, Batch, Sink, Summary},
    error::ErrorKind,
    ids::{ActivityId, ConnectionId, TenantId},
    store::{CounterKey, LeaseGuard, LeaseKey, StoreTransaction, SyncStore, inside_transaction},
};

/// Longer than any sink writes, shorter than anybody waits for a deadlock.
const PATIENCE: Duration = Duration::from_secs(30);

const COMMITTED: &str = "effects are shown with the commit, and not before";
const ROLLED_BACK: &str = "effects are rolled back with the transaction";

/// A sink beside the store whose transactions it joins, and the host's own view of what it wrote.
#[async_trait]
pub trait SinkFixture: fmt::Debug + Send + Sync {
    /// The sink under test.
    fn sink(&self) -> &dyn Sink;

    /// The store whose transactions are handed to it.
    fn store(&self) -> &dyn SyncStore;

    /// What the host would show a tenant now: subjects by activity. Only what is committed.
    async fn shown(&self, tenant: &TenantId) -> BTreeMap<ActivityId, String>;

    /// The number of the tenant's latest batch, as the host keeps it beside its rows; `None` before the first.
    async fn sequence(&self, tenant: &TenantId) -> Option<u64>;

    /// Does the host keep numbers at all? One whose rows live in our transaction does not need them.
    fn keeps_sequences(&self) -> bool {
        true
    }
}

fn tenant() -> TenantId {
    TenantId::new("tenant")
}

fn put(id: &str, subject: &str) -> ActivityChange {
    let summary = Summary { subject: subject.to_owned(), ..Summary::default() };
    let (id, sightings) = (ActivityId::new(id), BTreeMap::new());
    ActivityChange::Upserted { activity: Box::new(Activity { id, summary, matches: Vec::new(), sightings }) }
}

fn remove(id: &str) -> ActivityChange {
    ActivityChange::Removed { id: ActivityId::new(id) }
}

/// Applies a batch to an open transaction, as the engine does; gives its number.
async fn apply(
    fixture: &dyn SinkFixture,
    tx: &mut dyn StoreTransaction,
    tenant: &TenantId,
    activities: &[ActivityChange],
) -> Result<u64, Broken> {
    let sequence = tx.next(&CounterKey::new(tenant.clone(), "batch")).await?;
    let connection = ConnectionId::new("connection");
    let batch = Batch { tenant: tenant.clone(), connection, sequence, activities: activities.to_vec() };
    let applied = inside_transaction(fixture.sink().apply(&batch, tx));
    match tokio::time::timeout(PATIENCE, applied).await {
        Ok(Ok(())) => Ok(sequence),
        Ok(Err(error)) if error.kind() == ErrorKind::Misconfigured => {
            let promise = "a sink writes through the transaction it is handed, and calls neither hub nor store";
            Err(Broken { promise, detail: error.to_string() })
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            let promise = "a sink does not wait for the open transaction";
            Err(Broken { promise, detail: format!("it did not end within {PATIENCE:?}") })
        }
    }
}

async fn commit(fixture: &dyn SinkFixture, tenant: &TenantId, activities: &[ActivityChange]) -> Result<u64, Broken> {
    let mut tx = fixture.store().begin(None).await?;
    let sequence = apply(fixture, &mut *tx, tenant, activities).await?;
    tx.commit().await?;
    Ok(sequence)
}

async fn shows(fixture: &dyn SinkFixture, tenant: &TenantId, wanted: &[(&str, &str)], promise: &'static str) -> Kept {
    let wanted = wanted.iter().map(|(id, subject)| (ActivityId::new(*id), (*subject).to_owned())).collect();
    same(&fixture.shown(tenant).await, &wanted, promise)
}

/// Not one moment earlier.
pub async fn effects_are_shown_with_the_commit(fixture: &dyn SinkFixture) -> Kept {
    let mut tx = fixture.store().begin(None).await?;
    apply(fixture, &mut *tx, &tenant(), &[put("a", "one"), put("b", "two")]).await?;
    shows(fixture, &tenant(), &[], COMMITTED).await?;
    tx.commit().await?;
    shows(fixture, &tenant(), &[("a", "one"), ("b", "two")], COMMITTED).await
}

/// Additions, replacements and removals.
pub async fn effects_are_rolled_back_with_the_transaction(fixture: &dyn SinkFixture) -> Kept {
    commit(fixture, &tenant(), &[put("a", "one"), put("b", "two")]).await?;
    let mut tx = fixture.store().begin(None).await?;
    apply(fixture, &mut *tx, &tenant(), &[put("a", "changed"), remove("b"), put("c", "new")]).await?;
    drop(tx);
    shows(fixture, &tenant(), &[("a", "one"), ("b", "two")], ROLLED_BACK).await
}

/// A slow holder of a lease has no effect in the host's tables either.
pub async fn a_refused_commit_leaves_no_effect(fixture: &dyn SinkFixture) -> Kept {
    let guard = |fence| LeaseGuard::new(LeaseKey::new(["feed"]), fence, format!("holder {fence}"));
    let newer = fixture.store().begin(Some(&guard(7))).await?;
    newer.commit().await?;
    let mut tx = fixture.store().begin(Some(&guard(6))).await?;
    apply(fixture, &mut *tx, &tenant(), &[put("a", "late")]).await?;
    ensure(tx.commit().await.is_err(), "an older holder of a lease cannot commit", "it was accepted")?;
    shows(fixture, &tenant(), &[], ROLLED_BACK).await
}

/// As after a crash between apply and commit.
pub async fn a_batch_applied_again_after_a_rollback_counts_once(fixture: &dyn SinkFixture) -> Kept {
    const PROMISE: &str = "a batch applied again after a rollback counts once";
    let changes = [put("a", "one"), remove("b")];
    for _ in 0..2 {
        let mut tx = fixture.store().begin(None).await?;
        apply(fixture, &mut *tx, &tenant(), &changes).await?;
        drop(tx);
    }
    let sequence = commit(fixture, &tenant(), &changes).await?;
    same(&sequence, &1, "a number whose transaction was rolled back is given again")?;
    shows(fixture, &tenant(), &[("a", "one")], PROMISE).await
}

/// In full.
pub async fn an_upsert_replaces(fixture: &dyn SinkFixture) -> Kept {
    commit(fixture, &tenant(), &[put("a", "one"), put("b", "two")]).await?;
    commit(fixture, &tenant(), &[put("a", "three")]).await?;
    shows(fixture, &tenant(), &[("a", "three"), ("b", "two")], "an upsert replaces").await
}

/// And it can come back.
pub async fn removing_takes_one_away(fixture: &dyn SinkFixture) -> Kept {
    const PROMISE: &str = "what was removed is not shown";
    commit(fixture, &tenant(), &[put("a", "one"), put("b", "two")]).await?;
    commit(fixture, &tenant(), &[remove("a")]).await?;
    shows(fixture, &tenant(), &[("b", "two")], PROMISE).await?;
    commit(fixture, &tenant(), &[put("a", "again"), remove("b")]).await?;
    shows(fixture, &tenant(), &[("a", "again")], "what was removed can come back").await
}

/// The host may have cleaned up by itself.
pub async fn removing_what_is_unknown_is_fine(fixture: &dyn SinkFixture) -> Kept {
    commit(fixture, &tenant(), &[remove("never seen"), put("a", "one")]).await?;
    shows(fixture, &tenant(), &[("a", "one")], "removing what is unknown is fine").await
}

/// A cursor may move without anything to show.
pub async fn an_empty_batch_is_fine(fixture: &dyn SinkFixture) -> Kept {
    commit(fixture, &tenant(), &[]).await?;
    shows(fixture, &tenant(), &[], "an empty batch shows nothing").await
}

/// Whatever their ids and subjects contain.
pub async fn many_changes_in_one_batch_all_arrive(fixture: &dyn SinkFixture) -> Kept {
    const PROMISE: &str = "every change of a batch arrives, whatever it contains";
    let many: Vec<(String, String)> =
        (0..500).map(|n| (format!("{n:03}'\"\u{1f}%"), format!("ü 𝕏 '{n}\" \n"))).collect();
    let changes: Vec<ActivityChange> = many.iter().map(|(id, subject)| put(id, subject)).collect();
    commit(fixture, &tenant(), &changes).await?;
    let found = fixture.shown(&tenant()).await;
    let wanted = many.into_iter().map(|(id, subject)| (ActivityId::new(id), subject)).collect();
    ensure(found == wanted, PROMISE, format_args!("{} of {}", found.len(), wanted.len()))
}

/// With the rows they belong to.
pub async fn sequence_numbers_are_kept(fixture: &dyn SinkFixture) -> Kept {
    const PROMISE: &str = "the number of the latest batch is kept with its rows";
    if !fixture.keeps_sequences() {
        return Ok(());
    }
    same(&fixture.sequence(&tenant()).await, &None, PROMISE)?;
    for number in 1..=3 {
        let sequence = commit(fixture, &tenant(), &[put("a", &number.to_string())]).await?;
        same(&sequence, &number, "batches are numbered from 1 without gaps")?;
        same(&fixture.sequence(&tenant()).await, &Some(number), PROMISE)?;
    }
    let mut tx = fixture.store().begin(None).await?;
    apply(fixture, &mut *tx, &tenant(), &[put("a", "late")]).await?;
    drop(tx);
    same(&fixture.sequence(&tenant()).await, &Some(3), ROLLED_BACK)
}

/// The same activity of another tenant is another row.
pub async fn tenants_are_walls(fixture: &dyn SinkFixture) -> Kept {
    const PROMISE: &str = "tenants are walls";
    let other = TenantId::new("other");
    commit(fixture, &tenant(), &[put("a", "ours"), put("b", "ours")]).await?;
    commit(fixture, &other, &[put("a", "theirs")]).await?;
    shows(fixture, &tenant(), &[("a", "ours"), ("b", "ours")], PROMISE).await?;
    shows(fixture, &other, &[("a", "theirs")], PROMISE).await?;
    commit(fixture, &other, &[remove("a"), remove("b")]).await?;
    shows(fixture, &tenant(), &[("a", "ours"), ("b", "ours")], PROMISE).await?;
    if fixture.keeps_sequences() {
        same(&fixture.sequence(&tenant()).await, &Some(1), PROMISE)?;
    }
    shows(fixture, &other, &[], PROMISE).await
}
