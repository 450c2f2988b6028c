//! Working off what waits to be fetched; what cannot be understood goes to quarantine.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{Engine, Input, Slice};
use crate::{
    error::Result,
    event::Event,
    ids::{ItemKey, PartitionId},
    store::{StateKey, StateQuery, StateWrite},
    sync::{
        change::{Fetched, Reason},
        feed::SyncItem,
        rows::{MEMBERS, MemberRow, PENDING, PendingRow, QUARANTINE, QuarantineRow, decode},
    },
    vault::SealContext,
};

/// What fetching waiting items came to.
pub(super) enum FetchEnd {
    Nothing,
    Refused(Duration),
    Some,
}

impl<I: SyncItem> Engine<I> {
    pub(super) async fn fetch_pending(&self, slice: &mut Slice, partitions: &[PartitionId]) -> Result<FetchEnd> {
        let capabilities = self.live.capabilities();
        let query = StateQuery::Range {
            tenant: self.keys.tenant.clone(),
            space: PENDING,
            prefix: self.keys.feed().below(),
            after: None,
            limit: capabilities.fetch_batch.max(1),
        };
        let waiting = self.store.read(&query).await?;
        let Some(first) = waiting.first() else { return Ok(FetchEnd::Nothing) };
        let lane = first.key.segments().get(2).cloned().unwrap_or_default();
        let mut places: BTreeMap<ItemKey, (StateKey, PartitionId)> = BTreeMap::new();
        for row in waiting {
            let pending: PendingRow = decode(PENDING, &row.bytes)?;
            let item = ItemKey::new(row.key.segments().pop().unwrap_or_default());
            places.insert(item, (row.key, pending.partition));
        }
        let feed = if lane == "0" { &self.live } else { &self.backfill };
        let asked: Vec<ItemKey> = places.keys().cloned().collect();
        let answers = feed.fetch(&asked).await?;
        let mut members = BTreeMap::new();
        for partition in partitions {
            let here = places.iter().filter(|(_, (_, own))| own == partition).map(|(item, _)| item.clone());
            members.extend(self.members(partition, here.collect()).await?);
        }
        self.take_fetched(slice, answers, places, members).await
    }

    async fn take_fetched(
        &self,
        slice: &mut Slice,
        answers: Vec<Fetched<I>>,
        mut places: BTreeMap<ItemKey, (StateKey, PartitionId)>,
        mut members: BTreeMap<ItemKey, MemberRow>,
    ) -> Result<FetchEnd> {
        let (mut writes, mut inputs, mut refused) = (Vec::new(), Vec::new(), None);
        for answer in answers {
            let key = match &answer {
                Fetched::Gone(key) | Fetched::NotYet(key, _) => key.clone(),
                Fetched::Malformed { key, .. } | Fetched::Present { key, .. } => key.clone(),
            };
            // An answer that was not asked for, or twice, has no place to settle.
            let Some((place, partition)) = places.remove(&key) else { continue };
            let mut member = members.remove(&key).unwrap_or_default();
            match answer {
                Fetched::NotYet(_, error) => {
                    refused = Some(error.retry_after().unwrap_or(Duration::from_secs(5)));
                    continue;
                }
                Fetched::Gone(key) => {
                    self.forget(slice, &partition, &key, &member, &mut writes);
                    inputs.push(Input::Gone { key });
                    continue;
                }
                Fetched::Malformed { key, raw, reason } => {
                    writes.push(self.quarantine(&partition, Some(&key), &raw, &reason).await?);
                    member.quarantined = true;
                }
                Fetched::Present { key, revision, item } => {
                    if std::mem::take(&mut member.quarantined) {
                        writes.push(self.keys.delete(QUARANTINE, self.keys.quarantine(key.as_str())));
                    }
                    member.revision = revision;
                    inputs.push(Input::Present { key, item });
                }
            }
            member.known = true;
            member.pending = None;
            slice.pending = slice.pending.saturating_sub(1);
            writes.push(self.keys.delete(PENDING, place));
            writes.push(self.keys.put(MEMBERS, self.keys.member(&partition, &key), &member)?);
        }
        if writes.is_empty() && inputs.is_empty() {
            return Ok(FetchEnd::Refused(refused.unwrap_or(Duration::from_secs(5))));
        }
        self.settle(slice, inputs, writes).await?;
        Ok(FetchEnd::Some)
    }

    pub(super) async fn quarantine(
        &self,
        partition: &PartitionId,
        key: Option<&ItemKey>,
        raw: &Bytes,
        reason: &Reason,
    ) -> Result<StateWrite> {
        use sha2::Digest;
        // Without a key the content names the item, so that meeting it again does not add another entry.
        let record =
            key.map_or_else(|| format!("sha256:{}", hex::encode(sha2::Sha256::digest(raw))), ToString::to_string);
        let kept = raw.slice(..raw.len().min(self.options.quarantine_cap));
        let context = SealContext::new(self.keys.tenant.clone(), record.clone(), "quarantine");
        let sealed = self.sealer.seal(&context, &kept).await?;
        let mut row = QuarantineRow::new(I::KIND, reason.as_str(), raw.len(), &sealed);
        (row.partition, row.keyed) = (Some(partition.clone()), key.is_some());
        let event = Event::Quarantined { key: Some(record.clone()), reason: reason.as_str().to_owned() };
        self.events.on_event(&self.keys.tenant, &self.keys.connection, &event);
        self.keys.put(QUARANTINE, self.keys.quarantine(&record), &row)
    }
}
