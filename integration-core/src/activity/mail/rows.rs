//! Rows read, changed in memory, and written together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Result,
    ids::TenantId,
    store::{Expect, Space, StateKey, StateQuery, StateWrite, SyncStore},
    sync::rows::{decode, encode},
};

/// A row as read, and as it is to be.
#[derive(Debug)]
struct Row<T> {
    version: Option<u64>,
    before: Option<T>,
    now: Option<T>,
}

/// Rows of one space.
#[derive(Debug)]
pub(super) struct Rows<T> {
    space: Space,
    rows: BTreeMap<StateKey, Row<T>>,
}

impl<T: Clone + PartialEq + Serialize + DeserializeOwned> Rows<T> {
    pub(super) fn new(space: Space) -> Self {
        Self { space, rows: BTreeMap::new() }
    }

    pub(super) async fn load(
        &mut self,
        from: (&dyn SyncStore, &TenantId),
        keys: impl IntoIterator<Item = StateKey> + Send,
    ) -> Result<()> {
        let keys: BTreeSet<StateKey> = keys.into_iter().filter(|key| !self.rows.contains_key(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let wanted = keys.iter().cloned().collect();
        let query = StateQuery::Keys { tenant: from.1.clone(), space: self.space, keys: wanted };
        for row in from.0.read(&query).await? {
            let value: T = decode(self.space, &row.bytes)?;
            let entry = Row { version: Some(row.version), before: Some(value.clone()), now: Some(value) };
            self.rows.insert(row.key, entry);
        }
        for key in keys {
            self.rows.entry(key).or_insert(Row { version: None, before: None, now: None });
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &StateKey) -> Option<&T> {
        self.rows.get(key).and_then(|row| row.now.as_ref())
    }

    pub(super) fn get_mut(&mut self, key: &StateKey) -> Option<&mut T> {
        self.rows.get_mut(key).and_then(|row| row.now.as_mut())
    }

    pub(super) fn get_or_insert_with(&mut self, key: StateKey, value: impl FnOnce() -> T) -> &mut T {
        let row = self.rows.entry(key).or_insert(Row { version: None, before: None, now: None });
        row.now.get_or_insert_with(value)
    }

    pub(super) fn set(&mut self, key: StateKey, value: Option<T>) {
        self.rows.entry(key).or_insert(Row { version: None, before: None, now: None }).now = value;
    }

    /// Rows that are no longer as they were read: key, before, now.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&StateKey, Option<&T>, Option<&T>)> {
        let changed = self.rows.iter().filter(|(_, row)| row.before != row.now);
        changed.map(|(key, row)| (key, row.before.as_ref(), row.now.as_ref()))
    }

    pub(super) fn into_changed(self) -> impl Iterator<Item = (StateKey, Option<T>)> {
        self.rows.into_iter().filter(|(_, row)| row.before != row.now).map(|(key, row)| (key, row.now))
    }

    pub(super) fn write(&self, tenant: &TenantId, guarded: bool, into: &mut Vec<StateWrite>) -> Result<()> {
        for (key, row) in self.rows.iter().filter(|(_, row)| row.before != row.now) {
            let write = match &row.now {
                None => StateWrite::delete(tenant, self.space, key.clone()),
                Some(value) => put(tenant, self.space, key.clone(), value)?,
            };
            let expect = row.version.map_or(Expect::Absent, Expect::Version);
            into.push(if guarded { write.expecting(expect) } else { write });
        }
        Ok(())
    }
}

/// A row to write.
pub(super) fn put<T: Serialize>(tenant: &TenantId, space: Space, key: StateKey, value: &T) -> Result<StateWrite> {
    Ok(StateWrite::put(tenant, space, key, encode(space, value)?))
}
