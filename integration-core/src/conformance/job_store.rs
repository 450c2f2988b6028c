//! What a [`JobStore`] promises.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;

use super::{Broken, Kept, LONG, SHORT, ensure, eventually, refused_inside, same};
use crate::{
    ids::{ConnectionId, TenantId},
    store::{Claim, JobStore},
    sync::{Job, JobKey},
};

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

fn job(name: &str) -> Job {
    Job::sync_mail(&TenantId::new("tenant"), &ConnectionId::new(name))
}

async fn one(store: &dyn JobStore, ttl: Duration) -> Result<Claim, Broken> {
    let promise = "a due job is claimed";
    store.claim(1, ttl).await?.pop().ok_or(Broken { promise, detail: "nothing was claimed".to_owned() })
}

async fn nothing(store: &dyn JobStore, promise: &'static str) -> Kept {
    let claimed: Vec<JobKey> = store.claim(10, LONG).await?.into_iter().map(|claim| claim.job.key).collect();
    ensure(claimed.is_empty(), promise, format_args!("claimed {claimed:?}"))
}

/// Once, and with all it carries.
pub async fn a_due_job_is_claimed_as_it_was_put(store: &dyn JobStore) -> Kept {
    let job = job("ü\u{1f}'%");
    store.put(&job, NOW).await?;
    same(&one(store, LONG).await?.job, &job, "a job is claimed as it was put")?;
    nothing(store, "a claimed job is not claimed by others").await
}

/// Due times are kept.
pub async fn a_job_is_not_claimed_before_it_is_due(store: &dyn JobStore) -> Kept {
    store.put(&job("a"), HOUR).await?;
    nothing(store, "a job is not claimed before it is due").await
}

/// In either order of putting.
pub async fn the_earlier_due_time_stands(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "one key has one pending job, and the earlier due time stands";
    for (name, first, second) in [("a", NOW, HOUR), ("b", HOUR, NOW)] {
        store.put(&job(name), first).await?;
        store.put(&job(name), second).await?;
        let claims = store.claim(10, LONG).await?;
        same(&claims.len(), &1, PROMISE)?;
        store.finish(&claims[0], None).await?;
        nothing(store, PROMISE).await?;
    }
    same(&store.next_due().await?, &None, PROMISE)
}

/// By due time, and no more than asked for.
pub async fn the_earliest_is_claimed_first(store: &dyn JobStore) -> Kept {
    store.put(&job("later"), SHORT * 2).await?;
    store.put(&job("first"), NOW).await?;
    store.put(&job("second"), SHORT).await?;
    let all_due = async || Ok((store.next_due().await? == Some(NOW)).then_some(()));
    eventually("a due job is told", all_due).await?;
    tokio::time::sleep(SHORT * 3).await;
    let first: Vec<Job> = store.claim(2, LONG).await?.into_iter().map(|claim| claim.job).collect();
    same(&first, &vec![job("first"), job("second")], "due jobs are claimed earliest first, up to the limit")?;
    same(&one(store, LONG).await?.job, &job("later"), "what was above the limit is claimed next")
}

/// Gone, due later, or due at once, as its worker says.
pub async fn a_finished_job_is_gone_or_due_again(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "a finished job is gone, or pending again when its worker said so";
    store.put(&job("a"), NOW).await?;
    let claim = one(store, LONG).await?;
    same(&store.finish(&claim, Some(NOW)).await?, &true, PROMISE)?;
    let claim = one(store, LONG).await?;
    same(&store.finish(&claim, Some(HOUR)).await?, &true, PROMISE)?;
    nothing(store, PROMISE).await?;
    ensure(store.next_due().await?.is_some(), PROMISE, "the later run is forgotten")?;
    store.put(&job("a"), NOW).await?;
    let claim = one(store, LONG).await?;
    same(&store.finish(&claim, None).await?, &true, PROMISE)?;
    same(&store.next_due().await?, &None, PROMISE)?;
    same(&store.finish(&claim, Some(NOW)).await?, &false, "a claim is finished once")?;
    nothing(store, PROMISE).await
}

/// Once, however often it was put; and not before the running one ends.
pub async fn a_job_put_while_claimed_runs_once_more(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "a job put while claimed runs once more after that claim";
    store.put(&job("a"), NOW).await?;
    let claim = one(store, LONG).await?;
    for due_in in [HOUR, NOW, NOW] {
        store.put(&job("a"), due_in).await?;
    }
    nothing(store, "one key is not claimed twice at a time").await?;
    same(&store.finish(&claim, None).await?, &true, PROMISE)?;
    let again = store.claim(10, LONG).await?;
    same(&again.len(), &1, PROMISE)?;
    store.finish(&again[0], None).await?;
    nothing(store, PROMISE).await?;
    same(&store.next_due().await?, &None, PROMISE)
}

/// A worker that died does not take its job along, and does not get it back.
pub async fn an_expired_claim_is_claimed_again_with_a_higher_fence(store: &dyn JobStore) -> Kept {
    const LOST: &str = "whoever lost a claim can neither finish nor extend it";
    store.put(&job("a"), NOW).await?;
    let lost = one(store, SHORT).await?;
    let again = async || Ok(store.claim(1, LONG).await?.pop());
    let taken = eventually("an expired claim is claimed again", again).await?;
    same(&taken.job, &lost.job, "an expired claim is claimed again")?;
    ensure(
        taken.fence > lost.fence,
        "every claim gets a higher fence",
        format_args!("{} after {}", taken.fence, lost.fence),
    )?;
    same(&store.finish(&lost, None).await?, &false, LOST)?;
    same(&store.extend(&lost, LONG).await?, &false, LOST)?;
    same(&store.extend(&taken, LONG).await?, &true, LOST)?;
    same(&store.finish(&taken, None).await?, &true, LOST)
}

/// The fence is the key's, not the row's.
pub async fn fences_rise_after_a_job_was_gone(store: &dyn JobStore) -> Kept {
    let mut last = 0;
    for _ in 0..3 {
        store.put(&job("a"), NOW).await?;
        let claim = one(store, LONG).await?;
        let detail = format!("{} after {last}", claim.fence);
        ensure(claim.fence > last, "every claim gets a higher fence, also after its job was gone", detail)?;
        last = claim.fence;
        store.finish(&claim, None).await?;
    }
    Ok(())
}

/// Long slices prolong.
pub async fn an_extended_claim_stays_ours(store: &dyn JobStore) -> Kept {
    store.put(&job("a"), NOW).await?;
    let claim = one(store, SHORT).await?;
    same(&store.extend(&claim, LONG).await?, &true, "a claim can be extended")?;
    tokio::time::sleep(SHORT * 2).await;
    nothing(store, "an extended claim stays ours").await
}

/// Cancelling what is not there is fine.
pub async fn a_cancelled_job_does_not_run(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "a cancelled job does not run";
    store.put(&job("a"), NOW).await?;
    store.put(&job("b"), NOW).await?;
    store.cancel(&job("a").key).await?;
    store.cancel(&job("a").key).await?;
    same(&one(store, LONG).await?.job, &job("b"), PROMISE)?;
    nothing(store, PROMISE).await
}

/// The running one may finish; only a new put makes it run again.
pub async fn cancelling_a_claimed_job_stops_what_would_follow(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "a claim that was cancelled finishes but is not followed by another run";
    store.put(&job("a"), NOW).await?;
    let claim = one(store, LONG).await?;
    store.put(&job("a"), NOW).await?;
    store.cancel(&job("a").key).await?;
    same(&store.finish(&claim, Some(NOW)).await?, &true, PROMISE)?;
    nothing(store, PROMISE).await?;
    store.put(&job("a"), NOW).await?;
    let claim = one(store, LONG).await?;
    store.cancel(&job("a").key).await?;
    store.put(&job("a"), NOW).await?;
    same(&store.finish(&claim, Some(HOUR)).await?, &true, PROMISE)?;
    one(store, SHORT).await?;
    store.cancel(&job("a").key).await?;
    tokio::time::sleep(SHORT * 2).await;
    nothing(store, PROMISE).await?;
    same(&store.next_due().await?, &None, PROMISE)
}

/// The same job of another tenant is another job, claimed with its own tenant, finished and cancelled by itself.
pub async fn tenants_are_walls(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "tenants are walls";
    let of = |tenant: &str| Job::sync_mail(&TenantId::new(tenant), &ConnectionId::new("c"));
    let (ours, theirs) = (of("tenant"), of("tenant2"));
    store.put(&ours, NOW).await?;
    store.put(&theirs, NOW).await?;
    store.cancel(&theirs.key).await?;
    same(&one(store, LONG).await?.job, &ours, PROMISE)?;
    nothing(store, PROMISE).await?;
    store.put(&theirs, NOW).await?;
    let claim = one(store, LONG).await?;
    same(&claim.job.tenant, &TenantId::new("tenant2"), PROMISE)?;
    let forged = Claim::new(ours.clone(), claim.fence);
    same(&store.finish(&forged, None).await?, &false, "a claim ends its own job alone")?;
    same(&store.finish(&claim, None).await?, &true, PROMISE)?;
    ensure(store.next_due().await?.is_some(), PROMISE, "the other tenant's claim is forgotten")
}

/// So that a worker sleeps exactly as long as it may.
pub async fn the_next_due_time_is_told(store: &dyn JobStore) -> Kept {
    const PROMISE: &str = "the next due time is told";
    same(&store.next_due().await?, &None, PROMISE)?;
    store.put(&job("a"), HOUR).await?;
    let wait = store.next_due().await?.unwrap_or_default();
    ensure(wait > HOUR / 2 && wait <= HOUR, PROMISE, format_args!("{wait:?} for an hour"))?;
    store.put(&job("b"), NOW).await?;
    same(&store.next_due().await?, &Some(NOW), PROMISE)?;
    one(store, LONG).await?;
    let wait = store.next_due().await?.unwrap_or_default();
    ensure(wait > SHORT && wait <= LONG, "the end of a claim that may lapse is told", format_args!("{wait:?}"))
}

/// It would wait for the open transaction.
pub async fn putting_inside_a_transaction_is_refused(store: &dyn JobStore) -> Kept {
    let job = job("a");
    refused_inside(store.put(&job, NOW)).await?;
    nothing(store, "a refused job is not kept").await
}

/// Two handles, four claimers, no job twice and none left.
pub async fn each_job_is_claimed_once_by_racing_claimers(store: &dyn JobStore, other: &dyn JobStore) -> Kept {
    const PROMISE: &str = "each job is claimed once by racing claimers";
    let jobs: BTreeSet<JobKey> = (0..60).map(|number| job(&number.to_string()).key).collect();
    for number in 0..60 {
        store.put(&job(&number.to_string()), NOW).await?;
    }
    let claimers = [store, other, store, other].map(|store| async move {
        let mut mine = Vec::new();
        loop {
            let claims = store.claim(7, LONG).await?;
            if claims.is_empty() {
                return Ok::<_, Broken>(mine);
            }
            mine.extend(claims.into_iter().map(|claim| claim.job.key));
        }
    });
    let mut claimed = Vec::new();
    for mine in join_all(claimers).await {
        claimed.extend(mine?);
    }
    same(&claimed.len(), &jobs.len(), PROMISE)?;
    same(&claimed.into_iter().collect(), &jobs, PROMISE)
}

/// Pending ones and claimed ones.
pub async fn jobs_survive_reopening<S>(store: &dyn JobStore, reopen: impl AsyncFn() -> S) -> Kept
where
    S: std::ops::Deref<Target: JobStore + Sized>,
{
    store.put(&job("claimed"), NOW).await?;
    let claim = one(store, LONG).await?;
    store.put(&job("pending"), NOW).await?;
    let reopened = reopen().await;
    same(&one(&*reopened, LONG).await?.job, &job("pending"), "a pending job survives reopening")?;
    nothing(&*reopened, "a claim survives reopening").await?;
    same(&reopened.finish(&claim, None).await?, &true, "a claim survives reopening")
}
