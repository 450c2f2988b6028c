//! What a [`TokenStore`] promises.

use futures_util::future::join_all;

use super::{Kept, ensure, refused_inside, same};
use crate::{
    ids::{GrantId, TenantId},
    store::{GrantKey, Saved, SealedRecord, TokenStore, Version},
};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name)
}

fn grant(name: &str) -> GrantId {
    GrantId::new(name)
}

fn record(text: &str) -> SealedRecord {
    SealedRecord::new(text.as_bytes().to_vec())
}

/// Nothing saved, nothing loaded.
pub async fn an_absent_record_is_none(store: &dyn TokenStore) -> Kept {
    let found = store.load(&tenant("a"), &grant("none")).await?;
    same(&found, &None, "an absent record loads as none")
}

/// Bytes and version come back; versions count saves.
pub async fn a_saved_record_loads_as_it_was(store: &dyn TokenStore) -> Kept {
    let (tenant, grant) = (tenant("a"), grant("g"));
    let first = store.save(&tenant, &grant, None, &record("one")).await?;
    same(&first, &Saved::Stored(Version(1)), "versions count saves from 1")?;
    let second = store.save(&tenant, &grant, Some(Version(1)), &record("two")).await?;
    same(&second, &Saved::Stored(Version(2)), "versions count saves from 1")?;
    let found = store.load(&tenant, &grant).await?;
    same(&found, &Some(SealedRecord::loaded(Version(2), "two")), "a saved record loads as it was")
}

/// `None` expects no record.
pub async fn a_first_save_needs_an_empty_place(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "a save that expects no record is stale where there is one";
    let (tenant, grant) = (tenant("a"), grant("g"));
    store.save(&tenant, &grant, None, &record("one")).await?;
    same(&store.save(&tenant, &grant, None, &record("other")).await?, &Saved::Stale, PROMISE)?;
    let found = store.load(&tenant, &grant).await?;
    same(&found, &Some(SealedRecord::loaded(Version(1), "one")), PROMISE)
}

/// Whoever saw an older version does not overwrite a newer one.
pub async fn a_stale_save_changes_nothing(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "a stale save changes nothing";
    let (tenant, grant) = (tenant("a"), grant("g"));
    same(&store.save(&tenant, &grant, Some(Version(1)), &record("x")).await?, &Saved::Stale, PROMISE)?;
    store.save(&tenant, &grant, None, &record("one")).await?;
    store.save(&tenant, &grant, Some(Version(1)), &record("two")).await?;
    for stale in [0, 1, 3] {
        same(&store.save(&tenant, &grant, Some(Version(stale)), &record("late")).await?, &Saved::Stale, PROMISE)?;
    }
    let found = store.load(&tenant, &grant).await?;
    same(&found, &Some(SealedRecord::loaded(Version(2), "two")), PROMISE)
}

/// Two handles, sixteen savers, one winner per round.
pub async fn of_racing_saves_exactly_one_wins(store: &dyn TokenStore, other: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "of racing saves exactly one wins";
    let (tenant, grant) = (tenant("a"), grant("g"));
    let mut expect = None;
    for _ in 0..4 {
        let texts: Vec<String> = (0..16).map(|number| format!("saver {number}")).collect();
        let records: Vec<SealedRecord> = texts.iter().map(|text| record(text)).collect();
        let savers = records.iter().enumerate().map(|(index, record)| {
            let store = if index % 2 == 0 { store } else { other };
            store.save(&tenant, &grant, expect, record)
        });
        let mut winners = Vec::new();
        for (index, saved) in join_all(savers).await.into_iter().enumerate() {
            if let Saved::Stored(version) = saved? {
                winners.push((index, version));
            }
        }
        let &[(index, version)] = winners.as_slice() else {
            return ensure(false, PROMISE, format_args!("{} won", winners.len()));
        };
        let found = other.load(&tenant, &grant).await?;
        same(&found, &Some(SealedRecord::loaded(version, records[index].bytes.clone())), PROMISE)?;
        expect = Some(version);
    }
    Ok(())
}

/// Deleting what is not there is fine, and what is deleted can be saved anew.
pub async fn deleting_twice_is_fine(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "a deleted record is gone";
    let (tenant, grant) = (tenant("a"), grant("g"));
    store.save(&tenant, &grant, None, &record("one")).await?;
    store.delete(&tenant, &grant).await?;
    store.delete(&tenant, &grant).await?;
    same(&store.load(&tenant, &grant).await?, &None, PROMISE)?;
    let again = store.save(&tenant, &grant, None, &record("new")).await?;
    same(&again, &Saved::Stored(Version(1)), "versions count saves from 1, also after a deletion")
}

/// The same grant id of another tenant is another record.
pub async fn tenants_are_walls(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "tenants are walls";
    let grant = grant("g");
    store.save(&tenant("a"), &grant, None, &record("of a")).await?;
    same(&store.load(&tenant("b"), &grant).await?, &None, PROMISE)?;
    store.save(&tenant("b"), &grant, None, &record("of b")).await?;
    store.delete(&tenant("b"), &grant).await?;
    let found = store.load(&tenant("a"), &grant).await?;
    same(&found, &Some(SealedRecord::loaded(Version(1), "of a")), PROMISE)
}

/// Every grant exactly once, over all tenants, in key order.
pub async fn listing_pages_through_every_grant_in_order(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "listing pages through every grant once, in key order";
    let mut wanted = Vec::new();
    for name in ["b", "a", "a1", "Ä"] {
        for number in [10, 9, 1] {
            let key = GrantKey { tenant: tenant(name), grant: grant(&format!("g{number}")) };
            store.save(&key.tenant, &key.grant, None, &record("x")).await?;
            wanted.push(key);
        }
    }
    wanted.sort();
    let mut found: Vec<GrantKey> = Vec::new();
    loop {
        let page = store.list(found.last(), 5).await?;
        ensure(page.len() <= 5, "a page holds at most its limit", page.len())?;
        if page.is_empty() || found.len() > wanted.len() {
            return same(&found, &wanted, PROMISE);
        }
        found.extend(page);
    }
}

/// Ids are opaque, sizes are not ours to limit.
pub async fn odd_ids_and_large_records_survive(store: &dyn TokenStore) -> Kept {
    const PROMISE: &str = "whatever an id or a record contains survives";
    let large = vec![7_u8; 1 << 20];
    for (name, bytes) in [("", &b""[..]), ("ü/\u{1f}\n'%_\"", b"\0\xff"), ("𝕏 x", &large)] {
        let (tenant, grant) = (tenant(name), grant(name));
        store.save(&tenant, &grant, None, &SealedRecord::new(bytes.to_vec())).await?;
        let found = store.load(&tenant, &grant).await?.map(|found| found.bytes);
        ensure(found.as_deref() == Some(bytes), PROMISE, format_args!("id {name:?}"))?;
    }
    Ok(())
}

/// It would wait for the open transaction.
pub async fn saving_inside_a_transaction_is_refused(store: &dyn TokenStore) -> Kept {
    let (tenant, grant, record) = (tenant("a"), grant("g"), record("one"));
    refused_inside(store.save(&tenant, &grant, None, &record)).await
}

/// Durable on return.
pub async fn a_saved_record_survives_reopening<S>(store: &dyn TokenStore, reopen: impl AsyncFn() -> S) -> Kept
where
    S: std::ops::Deref<Target: TokenStore + Sized>,
{
    let (tenant, grant) = (tenant("a"), grant("g"));
    store.save(&tenant, &grant, None, &record("one")).await?;
    store.save(&tenant, &grant, Some(Version(1)), &record("two")).await?;
    let found = reopen().await.load(&tenant, &grant).await?;
    same(&found, &Some(SealedRecord::loaded(Version(2), "two")), "a saved record survives reopening")
}
