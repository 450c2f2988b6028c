//! What a [`SyncStore`] promises.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Broken, Kept, ensure, same};
use crate::{
    error::ErrorKind,
    ids::TenantId,
    store::{
        CounterKey, Expect, LeaseGuard, LeaseKey, Space, StateKey, StateQuery, StateRow, StateWrite, SyncStore,
        inside_transaction, read_one,
    },
};

const SPACE: Space = "conformance";
const ATOMIC: &str = "a transaction leaves everything or nothing";

fn tenant() -> TenantId {
    TenantId::new("tenant")
}

fn key(name: &str) -> StateKey {
    StateKey::new([name])
}

fn put(name: &str, text: &str) -> StateWrite {
    StateWrite::put(&tenant(), SPACE, key(name), text.as_bytes().to_vec())
}

fn delete(name: &str) -> StateWrite {
    StateWrite::delete(&tenant(), SPACE, key(name))
}

fn row(name: &str, version: u64, text: &str) -> StateRow {
    StateRow::new(key(name), version, Bytes::from(text.as_bytes().to_vec()))
}

fn range(prefix: &str, after: Option<StateKey>, limit: usize) -> StateQuery {
    StateQuery::Range { tenant: tenant(), space: SPACE, prefix: prefix.to_owned(), after, limit }
}

async fn commit(store: &dyn SyncStore, rows: &[StateWrite]) -> Result<(), Broken> {
    let mut tx = store.begin(None).await?;
    tx.write(rows).await?;
    Ok(tx.commit().await?)
}

async fn all(store: &dyn SyncStore) -> Result<Vec<StateRow>, Broken> {
    Ok(store.read(&range("", None, 100_000)).await?)
}

async fn count(store: &dyn SyncStore, prefix: &str) -> Result<u64, Broken> {
    let query = StateQuery::Count { tenant: tenant(), space: SPACE, prefix: prefix.to_owned() };
    Ok(store.read(&query).await?.first().map_or(0, |row| row.version))
}

async fn number(store: &dyn SyncStore, counter: &CounterKey) -> Result<u64, Broken> {
    let mut tx = store.begin(None).await?;
    let number = tx.next(counter).await?;
    tx.commit().await?;
    Ok(number)
}

fn conflict<T>(result: crate::Result<T>, promise: &'static str) -> Kept {
    match result {
        Ok(_) => ensure(false, promise, "it was accepted"),
        Err(error) => same(&error.kind(), &ErrorKind::Conflict, promise),
    }
}

/// Contents, versions, replacements and deletions.
pub async fn committed_rows_are_read_back(store: &dyn SyncStore) -> Kept {
    commit(store, &[put("a", "one"), put("b", "two"), put("c", "")]).await?;
    commit(store, &[put("a", "three"), delete("b"), delete("absent")]).await?;
    let wanted = vec![row("a", 2, "three"), row("c", 1, "")];
    same(&all(store).await?, &wanted, "committed rows are read back, and versions count writes")
}

/// Neither rows of its first write, nor numbers; and the next one can begin.
pub async fn a_dropped_transaction_leaves_nothing(store: &dyn SyncStore) -> Kept {
    let counter = CounterKey::new(tenant(), "batch");
    commit(store, &[put("kept", "one")]).await?;
    let mut tx = store.begin(None).await?;
    tx.write(&[put("cursor", "1"), put("kept", "two")]).await?;
    tx.next(&counter).await?;
    tx.write(&[delete("kept"), put("effect", "1")]).await?;
    drop(tx);
    same(&number(store, &counter).await?, &1, ATOMIC)?;
    same(&all(store).await?, &vec![row("kept", 1, "one")], ATOMIC)
}

/// Not even what was written before, not even if committed all the same.
pub async fn a_refused_write_leaves_nothing(store: &dyn SyncStore) -> Kept {
    commit(store, &[put("kept", "one")]).await?;
    let mut tx = store.begin(None).await?;
    tx.write(&[put("before", "1")]).await?;
    let refused = tx.write(&[put("cursor", "1"), put("kept", "two").expecting(Expect::Absent)]).await;
    conflict(refused, "a write that expects another version is a conflict")?;
    conflict(tx.commit().await, "a transaction with a refused write cannot be committed")?;
    same(&all(store).await?, &vec![row("kept", 1, "one")], ATOMIC)
}

/// Every expectation, met and not met, for contents and deletions.
pub async fn expected_versions_guard_rows(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a write that expects another version is a conflict";
    commit(store, &[put("a", "one").expecting(Expect::Absent), delete("no").expecting(Expect::Absent)]).await?;
    commit(store, &[put("a", "two").expecting(Expect::Version(1))]).await?;
    let refused = [
        put("a", "x").expecting(Expect::Absent),
        put("a", "x").expecting(Expect::Version(1)),
        put("a", "x").expecting(Expect::Version(3)),
        put("absent", "x").expecting(Expect::Version(0)),
        put("absent", "x").expecting(Expect::Version(1)),
        delete("a").expecting(Expect::Absent),
        delete("a").expecting(Expect::Version(1)),
        delete("absent").expecting(Expect::Version(1)),
    ];
    for write in refused {
        let mut tx = store.begin(None).await?;
        conflict(tx.write(&[write]).await, PROMISE)?;
    }
    same(&all(store).await?, &vec![row("a", 2, "two")], "a refused write changes nothing")?;
    commit(store, &[delete("a").expecting(Expect::Version(2))]).await?;
    same(&all(store).await?, &Vec::new(), "a deletion that expects the right version deletes")
}

/// Within a write and across writes of one transaction.
pub async fn later_writes_see_earlier_ones(store: &dyn SyncStore) -> Kept {
    let mut tx = store.begin(None).await?;
    tx.write(&[put("a", "1").expecting(Expect::Absent), put("a", "2").expecting(Expect::Version(1))]).await?;
    tx.write(&[put("a", "3").expecting(Expect::Version(2)), put("b", "1"), put("b", "2"), put("b", "3")]).await?;
    tx.write(&[put("c", "1"), delete("c"), put("c", "2").expecting(Expect::Absent)]).await?;
    tx.commit().await?;
    let wanted = vec![row("a", 3, "3"), row("b", 3, "3"), row("c", 1, "2")];
    same(&all(store).await?, &wanted, "later writes of a transaction see the earlier ones")
}

/// Thousands, with some of them twice.
pub async fn many_rows_in_one_transaction_all_arrive(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "all rows of a large transaction arrive";
    let rows: Vec<StateWrite> = (0..3_000).map(|n| put(&format!("{:05}", n % 2_500), &n.to_string())).collect();
    commit(store, &rows).await?;
    same(&count(store, "").await?, &2_500, PROMISE)?;
    let keys: Vec<StateKey> = (0..2_500).rev().map(|n| key(&format!("{n:05}"))).collect();
    let found = store.read(&StateQuery::Keys { tenant: tenant(), space: SPACE, keys }).await?;
    same(&found.len(), &2_500, PROMISE)?;
    same(&found[7], &row("00007", 2, "2507"), PROMISE)?;
    same(&found[2_499], &row("02499", 1, "2499"), PROMISE)
}

/// Whatever the order they were asked in, and each once.
pub async fn keys_come_in_order_without_absent_ones(store: &dyn SyncStore) -> Kept {
    commit(store, &[put("b", "2"), put("a", "1"), put("c", "3")]).await?;
    let keys = ["c", "absent", "a", "c"].map(key).to_vec();
    let found = store.read(&StateQuery::Keys { tenant: tenant(), space: SPACE, keys }).await?;
    same(&found, &vec![row("a", 1, "1"), row("c", 1, "3")], "rows come in key order, absent ones are left out")?;
    let none = store.read(&StateQuery::Keys { tenant: tenant(), space: SPACE, keys: Vec::new() }).await?;
    same(&none, &Vec::new(), "no keys, no rows")
}

/// Not by a language's rules, not by UTF-16.
pub async fn ranges_page_in_bytewise_order(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a range comes in byte-wise key order, each row once";
    let names = ["b", "B", "a", "é", "e", "\u{ffff}", "𐀀", "z", "", "a b", "10", "9", "a\u{1f}b"];
    let mut writes: Vec<StateWrite> = names.iter().map(|name| put(name, name)).collect();
    writes.push(StateWrite::put(&tenant(), SPACE, StateKey::new(["a", "b"]), "child"));
    commit(store, &writes).await?;
    let mut wanted: Vec<StateKey> = writes.into_iter().map(|write| write.key).collect();
    wanted.sort_by(|left, right| left.as_str().as_bytes().cmp(right.as_str().as_bytes()));
    let mut found: Vec<StateKey> = Vec::new();
    while found.len() <= wanted.len() {
        let page = store.read(&range("", found.last().cloned(), 3)).await?;
        ensure(page.len() <= 3, "a page holds at most its limit", page.len())?;
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|row| row.key));
    }
    same(&found, &wanted, PROMISE)?;
    let after = store.read(&range("", Some(key("c")), 1)).await?;
    same(&after.first().map(|row| row.key.clone()), &Some(key("e")), "a page may begin after an absent key")
}

/// A prefix is text, not a pattern.
pub async fn a_prefix_bounds_its_range(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a range holds exactly what begins with its prefix";
    let names =
        ["a", "ab", "a%", "a%b", "A%", "a_", "b", "\u{10ffff}", "\u{10ffff}x", "é", "éa", "\u{d7ff}", "\u{e000}"];
    let mut writes: Vec<StateWrite> = names.iter().map(|name| put(name, "")).collect();
    writes.push(StateWrite::put(&tenant(), SPACE, key("a").child("x"), ""));
    writes.push(StateWrite::put(&tenant(), SPACE, key("a").child("y"), ""));
    commit(store, &writes).await?;
    for prefix in ["a", "a%", "ab", "\u{10ffff}", "é", "\u{d7ff}", "zzz", &key("a").below()] {
        let mut wanted: Vec<StateKey> =
            writes.iter().map(|write| write.key.clone()).filter(|key| key.as_str().starts_with(prefix)).collect();
        wanted.sort();
        let rows = store.read(&range(prefix, None, 100)).await?;
        let found: Vec<StateKey> = rows.into_iter().map(|row| row.key).collect();
        same(&found, &wanted, PROMISE)?;
        same(&count(store, prefix).await?, &(wanted.len() as u64), "a count is the range's length")?;
        if let [first, rest @ ..] = wanted.as_slice() {
            let rows = store.read(&range(prefix, Some(first.clone()), 100)).await?;
            same(&rows.len(), &rest.len(), "a page begins after its key")?;
        }
    }
    Ok(())
}

/// Rows, ranges, counts and counters.
pub async fn tenants_and_spaces_are_walls(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "tenants and spaces are walls";
    let other = TenantId::new("tenant2");
    let theirs = StateWrite::put(&other, SPACE, key("a"), "theirs");
    let elsewhere = StateWrite::put(&tenant(), "elsewhere", key("a"), "elsewhere");
    commit(store, &[put("a", "ours"), theirs, elsewhere]).await?;
    commit(store, &[StateWrite::delete(&other, SPACE, key("a"))]).await?;
    same(&all(store).await?, &vec![row("a", 1, "ours")], PROMISE)?;
    same(&count(store, "").await?, &1, PROMISE)?;
    same(&read_one(store, &other, SPACE, key("a")).await?, &None, PROMISE)?;
    let found = read_one(store, &tenant(), "elsewhere", key("a")).await?;
    same(&found, &Some(row("a", 1, "elsewhere")), PROMISE)?;
    number(store, &CounterKey::new(tenant(), "batch")).await?;
    same(&number(store, &CounterKey::new(other, "batch")).await?, &1, PROMISE)?;
    same(&number(store, &CounterKey::new(tenant(), "event")).await?, &1, "counters are independent")
}

/// A number that was not committed is given again.
pub async fn counters_have_no_gaps(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a counter has no gaps";
    let counter = CounterKey::new(tenant(), "batch");
    let mut tx = store.begin(None).await?;
    same(&[tx.next(&counter).await?, tx.next(&counter).await?], &[1, 2], PROMISE)?;
    tx.commit().await?;
    let mut tx = store.begin(None).await?;
    same(&tx.next(&counter).await?, &3, PROMISE)?;
    drop(tx);
    same(&number(store, &counter).await?, &3, PROMISE)
}

/// A slow holder that lost its lease cannot undo what its successor did.
pub async fn an_older_holder_cannot_commit(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "an older holder of a lease cannot commit";
    let guard = |key: &str, fence| LeaseGuard::new(LeaseKey::new([key]), fence, format!("holder {fence}"));
    let (old, new) = (guard("feed", 6), guard("feed", 7));
    for (guard, text) in [(&old, "old"), (&new, "new"), (&new, "newer")] {
        let mut tx = store.begin(Some(guard)).await?;
        tx.write(&[put("a", text)]).await?;
        tx.commit().await?;
    }
    let mut tx = store.begin(Some(&old)).await?;
    tx.write(&[put("a", "late"), put("b", "late")]).await?;
    conflict(tx.commit().await, PROMISE)?;
    same(&all(store).await?, &vec![row("a", 3, "newer")], PROMISE)?;
    let tx = store.begin(Some(&guard("another feed", 1))).await?;
    tx.commit().await?;
    let tx = store.begin(Some(&guard("feed", 8))).await?;
    tx.commit().await?;
    conflict(store.begin(Some(&new)).await?.commit().await, PROMISE)
}

/// It would wait for itself.
pub async fn beginning_inside_a_transaction_is_refused(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a transaction inside the open transaction is refused";
    let mut tx = store.begin(None).await?;
    tx.write(&[put("a", "1")]).await?;
    match inside_transaction(store.begin(None)).await {
        Ok(_) => return ensure(false, PROMISE, "it was opened"),
        Err(error) => same(&error.kind(), &ErrorKind::Misconfigured, PROMISE)?,
    }
    inside_transaction(all(store)).await?;
    tx.commit().await?;
    same(&all(store).await?, &vec![row("a", 1, "1")], "the open transaction is not disturbed")
}

/// Keys are opaque, sizes are not ours to limit.
pub async fn odd_keys_and_large_values_survive(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "whatever a key or a value contains survives";
    let odd = StateKey::new(["\0\u{1}\u{1f}\u{1e}\n", "'\"%_\\;--", "𝕏ß\u{200d}", ""]);
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    commit(
        store,
        &[
            StateWrite::put(&tenant(), SPACE, odd.clone(), vec![0, 255, 10]),
            StateWrite::put(&TenantId::new("\0'"), SPACE, odd.clone(), large.clone()),
        ],
    )
    .await?;
    let found = read_one(store, &tenant(), SPACE, odd.clone()).await?;
    same(&found, &Some(StateRow::new(odd.clone(), 1, Bytes::from_static(&[0, 255, 10]))), PROMISE)?;
    let found = read_one(store, &TenantId::new("\0'"), SPACE, odd).await?;
    ensure(found.is_some_and(|row| row.bytes == large), PROMISE, "a value of 3 MB")
}

/// Also those longer than an index takes, which a mail can bring about.
pub async fn long_keys_are_kept_whole(store: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "a long key is kept whole";
    let long = |end: &str| StateKey::new(["é".repeat(20_000).as_str(), end]);
    let keys = [long("a"), long("b"), StateKey::new(["é"])];
    let writes = keys.clone().map(|key| StateWrite::put(&tenant(), SPACE, key, "1").expecting(Expect::Absent));
    commit(store, &writes).await?;
    for key in &keys {
        let found = read_one(store, &tenant(), SPACE, key.clone()).await?;
        same(&found.map(|row| row.key), &Some(key.clone()), PROMISE)?;
    }
    let mut listed: Vec<StateKey> = Vec::new();
    while let Some(row) = store.read(&range("é", listed.last().cloned(), 1)).await?.pop() {
        listed.push(row.key);
    }
    listed.sort();
    let mut wanted = keys.to_vec();
    wanted.sort();
    same(&listed, &wanted, "every long key comes once")?;
    let below = StateKey::new(["é".repeat(20_000)]).below();
    same(&count(store, &below).await?, &2, "a long prefix bounds its range")?;
    let rows = store.read(&range(long("b").as_str(), None, 10)).await?;
    same(&rows.into_iter().map(|row| row.key).collect(), &vec![long("b")], "a long prefix bounds its range")
}

/// Neither through this handle nor through another; and reading does not wait.
pub async fn uncommitted_rows_are_not_read(store: &dyn SyncStore, other: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "uncommitted rows are not read";
    commit(store, &[put("a", "one")]).await?;
    let mut tx = store.begin(None).await?;
    tx.write(&[put("a", "two"), put("b", "new")]).await?;
    for store in [store, other] {
        same(&all(store).await?, &vec![row("a", 1, "one")], PROMISE)?;
    }
    tx.commit().await?;
    for store in [store, other] {
        same(&all(store).await?.len(), &2, "committed rows are read by everyone at once")?;
    }
    Ok(())
}

/// Whoever sees a number sees all lower ones.
pub async fn no_reader_skips_a_late_commit(store: &dyn SyncStore, other: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "when a number is committed, all lower ones are";
    let counter = CounterKey::new(tenant(), "batch");
    let counter = &counter;
    let writers = (0..12).map(|index| async move {
        let store = if index % 2 == 0 { store } else { other };
        let mut tx = store.begin(None).await?;
        let number = tx.next(counter).await?;
        for _ in 0..index % 5 {
            tokio::task::yield_now().await;
        }
        tx.write(&[put(&format!("{number:04}"), "")]).await?;
        tx.commit().await?;
        let seen = count(store, "").await?;
        ensure(seen >= number, PROMISE, format_args!("{seen} rows after number {number}"))?;
        Ok::<_, Broken>(number)
    });
    let mut numbers = Vec::new();
    for number in join_all(writers).await {
        numbers.push(number?);
    }
    numbers.sort_unstable();
    same(&numbers, &(1..=12).collect(), "every number is given once")
}

/// Two handles: a change based on what somebody else has changed meanwhile is a conflict, not lost.
pub async fn racing_changes_of_one_row_all_count(store: &dyn SyncStore, other: &dyn SyncStore) -> Kept {
    const PROMISE: &str = "no racing change of a row is lost";
    commit(store, &[put("sum", "")]).await?;
    let changers = [store, other, store, other].map(|store| async move {
        for _ in 0..10 {
            loop {
                let Some(found) = read_one(store, &tenant(), SPACE, key("sum")).await? else {
                    return ensure(false, PROMISE, "the row is gone");
                };
                let mut text = found.bytes.to_vec();
                text.push(b'x');
                let change = StateWrite::put(&tenant(), SPACE, key("sum"), text);
                let mut tx = store.begin(None).await?;
                match tx.write(&[change.expecting(Expect::Version(found.version))]).await {
                    Ok(()) => {
                        tx.commit().await?;
                        break;
                    }
                    Err(error) => same(&error.kind(), &ErrorKind::Conflict, PROMISE)?,
                }
            }
        }
        Ok(())
    });
    for changed in join_all(changers).await {
        changed?;
    }
    let found = read_one(store, &tenant(), SPACE, key("sum")).await?;
    same(&found, &Some(row("sum", 41, &"x".repeat(40))), PROMISE)
}

/// Rows, numbers and fences.
pub async fn everything_committed_survives_reopening<S>(store: &dyn SyncStore, reopen: impl AsyncFn() -> S) -> Kept
where
    S: std::ops::Deref<Target: SyncStore + Sized>,
{
    const PROMISE: &str = "everything committed survives reopening";
    let counter = CounterKey::new(tenant(), "batch");
    let guard = |fence| LeaseGuard::new(LeaseKey::new(["feed"]), fence, "holder".to_owned());
    let mut tx = store.begin(Some(&guard(5))).await?;
    tx.write(&[put("a", "one"), put("b", "two")]).await?;
    tx.next(&counter).await?;
    tx.commit().await?;
    let mut open = store.begin(None).await?;
    open.write(&[put("c", "open"), delete("a")]).await?;
    let reopened = reopen().await;
    let wanted = vec![row("a", 1, "one"), row("b", 1, "two")];
    same(&all(&*reopened).await?, &wanted, PROMISE)?;
    drop(open);
    same(&number(&*reopened, &counter).await?, &2, PROMISE)?;
    conflict(reopened.begin(Some(&guard(4))).await?.commit().await, PROMISE)?;
    same(&all(&*reopened).await?, &wanted, PROMISE)
}
