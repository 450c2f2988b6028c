//! Trying again what lies in quarantine.

use std::collections::BTreeMap;

use super::{Engine, page::item_of};
use crate::{
    error::Result,
    event::Event,
    ids::{ItemKey, PartitionId},
    store::{StateQuery, StateWrite},
    sync::{
        feed::SyncItem,
        rows::{Lane, PARTITIONS, QUARANTINE, QuarantineRow, decode},
    },
};

impl<I: SyncItem> Engine<I> {
    /// Gives every quarantined item that has a key a place in the queue: it is fetched again, and leaves the quarantine
    /// once it can be understood, or once the service says that it is gone. What a newer release
    /// quarantined stays, and is told again with that reason. `None` while somebody else works on the feed.
    pub(crate) async fn replay(&self) -> Result<Option<u64>> {
        let Some(mut slice) = self.begin().await? else { return Ok(None) };
        let guard = slice.guard.clone();
        self.holding(guard, self.replay_in(&mut slice)).await.map(Some)
    }

    async fn replay_in(&self, slice: &mut super::Slice) -> Result<u64> {
        const PAGE: usize = 200;
        let (mut queued, mut after) = (0, None);
        loop {
            let query = StateQuery::Range {
                tenant: self.keys.tenant.clone(),
                space: QUARANTINE,
                prefix: self.keys.feed().below(),
                after,
                limit: PAGE,
            };
            let rows = self.store.read(&query).await?;
            let mut places: BTreeMap<PartitionId, Vec<ItemKey>> = BTreeMap::new();
            for row in &rows {
                let stored: QuarantineRow = decode(QUARANTINE, &row.bytes)?;
                if let Some(reason) = stored.unknown::<I>() {
                    let event = Event::Quarantined { key: Some(item_of(row).to_string()), reason };
                    self.tell(&event);
                    continue;
                }
                // What came without a key cannot be asked for.
                if let Some(partition) = stored.partition.filter(|_| stored.keyed) {
                    places.entry(partition).or_default().push(item_of(row));
                }
            }
            let mut writes: Vec<StateWrite> = Vec::new();
            for (partition, items) in places {
                let mut place = self.load(&partition).await?;
                let mut members = self.members(&partition, items.clone()).await?;
                for item in items {
                    let member = members.entry(item.clone()).or_default();
                    if member.pending.is_none() {
                        queued += 1;
                        self.queue(&mut place, &partition, &item, member, Lane::Live, &mut writes)?;
                    }
                }
                writes.push(self.keys.put(PARTITIONS, self.keys.partition(&partition), &place)?);
            }
            self.renew(slice).await?;
            if !writes.is_empty() {
                self.commit(slice, &[&writes]).await?;
            }
            if rows.len() < PAGE {
                return Ok(queued);
            }
            after = rows.last().map(|row| row.key.clone());
        }
    }
}
