//! Working off what waits to be fetched; what cannot be understood goes to quarantine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{Engine, Input, Slice, strays};
use crate::{
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::{ItemKey, PartitionId},
    store::{StateKey, StateQuery, StateWrite, read_one},
    sync::{
        batch::is_of_what_was_asked,
        change::{Fetched, Reason},
        feed::{Feed, SyncItem},
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

/// How often an item may fail before it goes to quarantine, while others of the same batch come.
const TRIES: u32 = 12;
/// How often, where nothing came that could tell the item's fault from the service's.
const TRIES_ALONE: u32 = 120;
/// How often, where the service refuses it for good while others come: once more than by an accident.
const TRIES_REFUSED: u32 = 3;

/// Is it this item that fails, rather than the service, the quota or the sign-in?
fn may_blame_the_item(error: &Error) -> bool {
    let asked = !error.was_never_sent();
    asked
        && matches!(
            error.kind(),
            ErrorKind::Conflict
                | ErrorKind::InvalidInput
                | ErrorKind::PermissionDenied
                | ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::Unsupported
                | ErrorKind::Validation
        )
}

/// What else was asked for.
#[derive(Clone, Copy)]
enum Company {
    /// Others, of which some came.
    Came,
    /// Others, of which none came.
    Failed,
    Nobody,
}

/// How often an item may fail like this.
fn tries_of(error: &Error, company: Company) -> u32 {
    let refused = is_of_what_was_asked(error) || error.kind() == ErrorKind::PermissionDenied;
    match company {
        Company::Came if is_of_what_was_asked(error) => TRIES_REFUSED,
        Company::Came => TRIES,
        // Its partition's head answered in the same slice: it is the item that is refused, not all of them.
        Company::Nobody if refused => TRIES,
        Company::Failed | Company::Nobody => TRIES_ALONE,
    }
}

/// Fetches; where one of them spoils the call for all, each by itself.
async fn fetch<I: SyncItem>(feed: &dyn Feed<Item = I>, keys: &[ItemKey]) -> Result<Vec<Fetched<I>>> {
    let mut error = match feed.fetch(keys).await {
        Err(error) if is_of_what_was_asked(&error) => error,
        answered => return answered,
    };
    if let [key] = keys {
        return Ok(vec![Fetched::NotYet(key.clone(), Arc::new(error))]);
    }
    let mut answers = Vec::with_capacity(keys.len());
    for key in keys {
        match feed.fetch(std::slice::from_ref(key)).await {
            Ok(answer) => answers.extend(answer.into_iter().filter(|answer| answer.key() == key)),
            Err(refused) if is_of_what_was_asked(&refused) => {
                answers.push(Fetched::NotYet(key.clone(), Arc::new(refused)))
            }
            // It says nothing about the others, which wait.
            Err(broken) => {
                error = broken;
                break;
            }
        }
    }
    if answers.is_empty() {
        return Err(error);
    }
    Ok(answers)
}

/// What was not answered at all is as good as refused.
fn with_the_unanswered<'a, I>(
    mut answers: Vec<Fetched<I>>,
    asked: impl Iterator<Item = &'a ItemKey>,
) -> Vec<Fetched<I>> {
    let answered: BTreeSet<ItemKey> = answers.iter().map(|answer| answer.key().clone()).collect();
    for key in asked.filter(|key| !answered.contains(*key)) {
        let error = Error::new(ErrorKind::Unavailable, "the service did not answer for it");
        answers.push(Fetched::NotYet(key.clone(), Arc::new(error)));
    }
    answers
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
        let mut places: BTreeMap<ItemKey, (StateKey, PendingRow)> = BTreeMap::new();
        for row in waiting {
            let pending: PendingRow = decode(PENDING, &row.bytes)?;
            let item = ItemKey::new(row.key.segments().pop().unwrap_or_default());
            places.insert(item, (row.key, pending));
        }
        let feed = if lane == "0" { &self.live } else { &self.backfill };
        let asked: Vec<ItemKey> = places.keys().cloned().collect();
        let answers = fetch(&**feed, &asked).await?;
        let mut members = BTreeMap::new();
        for partition in partitions {
            let here = places.iter().filter(|(_, (_, own))| own.partition == *partition).map(|(item, _)| item.clone());
            members.extend(self.members(partition, here.collect()).await?);
        }
        self.take_fetched(slice, answers, places, members).await
    }

    async fn take_fetched(
        &self,
        slice: &mut Slice,
        answers: Vec<Fetched<I>>,
        mut places: BTreeMap<ItemKey, (StateKey, PendingRow)>,
        mut members: BTreeMap<ItemKey, MemberRow>,
    ) -> Result<FetchEnd> {
        let (mut writes, mut inputs, mut refused) = (Vec::new(), Vec::new(), None);
        let answers = with_the_unanswered(answers, places.keys());
        let company = match answers.iter().any(|answer| !matches!(answer, Fetched::NotYet(..))) {
            true => Company::Came,
            false if places.len() > 1 => Company::Failed,
            false => Company::Nobody,
        };
        for answer in answers {
            let key = answer.key().clone();
            // An answer that was not asked for, or twice, has no place to settle.
            let Some((place, PendingRow { partition, mut tries })) = places.remove(&key) else { continue };
            let mut member = members.remove(&key).unwrap_or_default();
            match answer {
                Fetched::NotYet(_, error) => {
                    let wait = error.retry_after().unwrap_or(Duration::from_secs(5));
                    refused = refused.max(Some(wait));
                    if !may_blame_the_item(&error) {
                        continue;
                    }
                    tries += 1;
                    if tries < tries_of(&error, company) {
                        writes.push(self.keys.put(PENDING, place, &PendingRow { partition, tries })?);
                        continue;
                    }
                    // It stood in front of the others for long enough.
                    let cause = error.kind().as_str();
                    let reason = Reason::new(format!("it could not be fetched {tries} times: {cause}"));
                    writes.push(self.quarantine(slice, &partition, Some(&key), &Bytes::new(), &reason).await?);
                    member.quarantined = true;
                }
                Fetched::Gone(key) => {
                    self.forget(slice, &partition, &key, &member, &mut writes);
                    inputs.push(Input::Gone { key });
                    continue;
                }
                Fetched::Malformed { key, raw, reason } => {
                    writes.push(self.quarantine(slice, &partition, Some(&key), &raw, &reason).await?);
                    member.quarantined = true;
                }
                Fetched::Present { key, revision, item } => {
                    if std::mem::take(&mut member.quarantined) {
                        writes.push(self.keys.delete(QUARANTINE, self.keys.quarantine(key.as_str())));
                    }
                    member.revision = revision;
                    writes.extend(strays::note(&self.keys, &partition, &key, &mut member)?);
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
        let settled = inputs.len();
        self.settle(slice, inputs, writes).await?;
        match refused {
            Some(wait) if settled == 0 => Ok(FetchEnd::Refused(wait)),
            _ => Ok(FetchEnd::Some),
        }
    }

    pub(super) async fn quarantine(
        &self,
        slice: &mut Slice,
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
        let context =
            SealContext::new(self.keys.tenant.clone(), self.keys.quarantine(&record).as_str().to_owned(), "quarantine");
        let sealed = self.sealer.seal(&context, &kept).await?;
        let mut row = QuarantineRow::of::<I>(reason.as_str(), raw.len(), &sealed);
        (row.partition, row.keyed) = (Some(partition.clone()), key.is_some());
        row.at = self.quarantined_at(&record).await?.or(Some(self.clock.now()));
        slice.told.push(Event::Quarantined { key: Some(record.clone()), reason: reason.as_str().to_owned() });
        self.keys.put(QUARANTINE, self.keys.quarantine(&record), &row)
    }

    /// When an item came that is put there once more: looking at it again does not make it younger.
    async fn quarantined_at(&self, record: &str) -> Result<Option<chrono::DateTime<chrono::Utc>>> {
        let row = read_one(&*self.store, &self.keys.tenant, QUARANTINE, self.keys.quarantine(record)).await?;
        Ok(row.and_then(|row| decode::<QuarantineRow>(QUARANTINE, &row.bytes).ok()).and_then(|row| row.at))
    }
}
