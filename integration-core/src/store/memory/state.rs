//! Rows and transactions in memory.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::OwnedMutexGuard;

use super::{MemoryStore, Shared};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{
        CounterKey, Expect, LeaseGuard, LeaseKey, Space, StateKey, StateQuery, StateRow, StateWrite, StoreTransaction,
        SyncStore, guard::forbid_reentry,
    },
};

type SpaceKey = (TenantId, Space);

#[derive(Default)]
pub(super) struct State {
    spaces: HashMap<SpaceKey, BTreeMap<String, Row>>,
    counters: HashMap<CounterKey, u64>,
    /// The highest fence that committed, per lease.
    fences: HashMap<LeaseKey, u64>,
}

#[derive(Clone)]
struct Row {
    version: u64,
    bytes: Bytes,
}

impl Row {
    fn named(&self, key: &str) -> StateRow {
        StateRow::new(StateKey::from_stored(key), self.version, self.bytes.clone())
    }
}

impl State {
    fn space(&self, tenant: &TenantId, space: Space) -> Option<&BTreeMap<String, Row>> {
        self.spaces.get(&(tenant.clone(), space))
    }

    fn read(&self, query: &StateQuery) -> Vec<StateRow> {
        match query {
            StateQuery::Keys { tenant, space, keys } => {
                let Some(rows) = self.space(tenant, space) else { return Vec::new() };
                let mut wanted: Vec<&str> = keys.iter().map(StateKey::as_str).collect();
                wanted.sort_unstable();
                wanted.dedup();
                wanted.into_iter().filter_map(|key| Some(rows.get(key)?.named(key))).collect()
            }
            StateQuery::Range { tenant, space, prefix, after, limit } => {
                let Some(rows) = self.space(tenant, space) else { return Vec::new() };
                let after = after.as_ref().map(StateKey::as_str);
                below(rows, prefix, after).take(*limit).map(|(key, row)| row.named(key)).collect()
            }
            StateQuery::Count { tenant, space, prefix } => {
                let count = self.space(tenant, space).map_or(0, |rows| below(rows, prefix, None).count());
                vec![StateRow::new(StateKey::from_stored(""), count as u64, Bytes::new())]
            }
        }
    }
}

fn below<'a>(
    rows: &'a BTreeMap<String, Row>,
    prefix: &'a str,
    after: Option<&'a str>,
) -> impl Iterator<Item = (&'a String, &'a Row)> {
    let from = match after {
        Some(after) if after >= prefix => Excluded(after),
        _ => Included(prefix),
    };
    rows.range::<str, _>((from, Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
}

#[async_trait]
impl SyncStore for MemoryStore {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        Ok(self.data().state.read(query))
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(self.shared.clock.now())
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        forbid_reentry("SyncStore::begin")?;
        let turn = Arc::clone(&self.shared.writer).lock_owned().await;
        Ok(Box::new(Transaction {
            shared: Arc::clone(&self.shared),
            guard: guard.cloned(),
            rows: HashMap::new(),
            counters: HashMap::new(),
            failed: false,
            _turn: turn,
        }))
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("SyncStore::forget_tenant")?;
        let _turn = Arc::clone(&self.shared.writer).lock_owned().await;
        let mut data = self.data();
        let state = &mut data.state;
        let before = state.counters.len() + state.fences.len();
        state.counters.retain(|counter, _| counter.tenant != *tenant);
        state.fences.retain(|key, _| !key.is_of(tenant));
        state.spaces.retain(|(of, _), rows| of != tenant || !rows.is_empty());
        Ok((before - state.counters.len() - state.fences.len()) as u64)
    }
}

/// Buffers everything until it commits; dropping it drops the buffer.
struct Transaction {
    shared: Arc<Shared>,
    guard: Option<LeaseGuard>,
    rows: HashMap<SpaceKey, HashMap<String, Option<Row>>>,
    counters: HashMap<CounterKey, u64>,
    failed: bool,
    _turn: OwnedMutexGuard<()>,
}

impl Transaction {
    fn put(&mut self, write: &StateWrite) -> Result<()> {
        let place = (write.tenant.clone(), write.space);
        let key = write.key.as_str();
        let found = match self.rows.get(&place).and_then(|rows| rows.get(key)) {
            Some(buffered) => buffered.as_ref().map(|row| row.version),
            None => {
                let data = self.shared.data();
                data.state.spaces.get(&place).and_then(|rows| rows.get(key)).map(|row| row.version)
            }
        };
        let expected = match write.expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if !expected {
            self.failed = true;
            let message = format!("a row of space {:?} does not have the expected version", write.space);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let row = write.bytes.as_ref().map(|bytes| {
            let version = found.map_or(1, |found| found + 1);
            Row { version, bytes: Bytes::copy_from_slice(bytes) }
        });
        self.rows.entry(place).or_default().insert(key.to_owned(), row);
        Ok(())
    }
}

#[async_trait]
impl StoreTransaction for Transaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        rows.iter().try_for_each(|write| self.put(write))
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let last = match self.counters.get(counter) {
            Some(last) => *last,
            None => self.shared.data().state.counters.get(counter).copied().unwrap_or(0),
        };
        self.counters.insert(counter.clone(), last + 1);
        Ok(last + 1)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::Conflict, "an earlier write of this transaction was refused"));
        }
        let mut data = self.shared.data();
        let state = &mut data.state;
        if let Some(guard) = &self.guard {
            let highest = state.fences.entry(guard.key.clone()).or_default();
            if *highest > guard.fence {
                return Err(Error::new(ErrorKind::Conflict, "a newer holder of the lease has committed already"));
            }
            *highest = guard.fence;
        }
        state.counters.extend(self.counters);
        for (place, rows) in self.rows {
            let stored = state.spaces.entry(place).or_default();
            for (key, row) in rows {
                match row {
                    Some(row) => drop(stored.insert(key, row)),
                    None => drop(stored.remove(&key)),
                }
            }
        }
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
