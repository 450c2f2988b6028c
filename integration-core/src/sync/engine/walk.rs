//! Walking through the partitions: heads first, then enumerations, several of them at the same time.
//!
//! Whatever a service has answered is applied, with its position, before anything else is asked or told: calls are paid
//! once, and positions that age are kept while they are young.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::Digest;

use super::{
    Engine, Slice, SliceEnd,
    partitions::Partitions,
    refused::{Failure, Refusals},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    ids::PartitionId,
    sync::{
        audit::AuditReport,
        change::{ChangePage, Next},
        feed::SyncItem,
        rows::{Course, Lane, PARTITIONS, PartitionRow, SnapshotRow},
        shutdown::Shutdown,
    },
};

/// How long an enumeration waits that has to begin again.
const BEFORE_ANEW: Duration = Duration::from_secs(10);
/// So many pages in a row without anything new are taken for pages without end. Real ones come empty, but not for so long.
const BARREN: u32 = 200;
/// How long a walk whose pages have no end is left alone.
const REST: TimeDelta = TimeDelta::minutes(10);

/// A partition, where it stands, and what its service answered, if it was asked.
type Asked<'a, I> = (&'a PartitionId, PartitionRow, Option<Result<ChangePage<I>>>);

/// What a page says about those behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Walk {
    End,
    /// They go round in a circle; the walk rests.
    Endless,
    More,
}

/// What a slice has still to walk through, and how it will end.
#[derive(Default)]
pub(super) struct Round<'a> {
    pub(super) walking: Vec<&'a PartitionId>,
    /// Whose items are to take on what is new of them.
    pub(super) inheriting: Vec<&'a PartitionId>,
    pub(super) refusals: Refusals<'a>,
    begun_anew: bool,
}

impl<'a> Round<'a> {
    /// Its walk rests; everything else goes on, and it is told at the end.
    fn rest(&mut self, partition: &PartitionId) {
        self.refusals.told.get_or_insert_with(|| endless(partition));
    }

    /// Where its enumeration stands decides whether it is walked on through.
    fn walk_on(&mut self, partition: &'a PartitionId, row: &PartitionRow, now: DateTime<Utc>) {
        match &row.snapshot {
            None => {}
            Some(snapshot) if snapshot.course.rests(now) => self.rest(partition),
            Some(_) => self.walking.push(partition),
        }
    }

    /// Has every partition told all that it has?
    pub(super) fn is_whole(&self) -> bool {
        self.refusals.are_none() && self.walking.is_empty()
    }

    pub(super) fn end(self) -> Result<SliceEnd> {
        match self.refusals.told {
            Some(error) => Err(error),
            // A service that forgets its own positions must not be asked for them without a pause.
            None if self.begun_anew => Ok(SliceEnd::Wait(BEFORE_ANEW)),
            None => Ok(SliceEnd::UpToDate),
        }
    }
}

fn endless(partition: &PartitionId) -> Error {
    // An id may be an address, which is never part of an error.
    let plain = |id: &&str| id.len() <= 200 && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    let name = Some(partition.as_str()).filter(plain).map_or_else(
        || format!("(sha256 {})", hex::encode(&sha2::Sha256::digest(partition.as_str())[..8])),
        ToOwned::to_owned,
    );
    let message = format!("the pages of partition {name} have no end; it is left alone for a while");
    Error::new(ErrorKind::Validation, message).with_retry(Retry::Exhausted)
}

impl<I: SyncItem> Engine<I> {
    /// What changed, partition by partition, and which of them are to be enumerated. `None` if time was up before the end.
    pub(super) async fn follow_heads<'a>(
        &self,
        slice: &mut Slice,
        partitions: &'a Partitions,
        stop: &Shutdown,
    ) -> Result<Option<Round<'a>>> {
        let mut round = Round { refusals: Refusals::new(self.at_once(), partitions), ..Round::default() };
        for some in partitions.named.chunks(self.at_once()) {
            let mut heads = Vec::with_capacity(some.len());
            for (partition, mut row, page) in self.heads(some).await? {
                if row.generation == 0 {
                    // It has no items yet.
                    row.inherited = partitions.inherits.get(partition).cloned();
                }
                let taken = match page {
                    Some(Ok(page)) => {
                        round.refusals.answered();
                        Some(self.take_head(slice, partition, &mut row, page).await.map_err(Failure::from))
                    }
                    Some(Err(error)) => Some(Err(Failure::of_service(error))),
                    None => None,
                };
                heads.push((partition, row, taken));
            }
            for (partition, mut row, taken) in heads {
                if !row.is_left_alone(self.clock.now()) {
                    let came = taken.as_ref().is_some_and(Result::is_ok);
                    match self.follow_head(slice, (partition, taken), &mut row, stop).await {
                        Ok(Walk::End) => {}
                        Ok(Walk::Endless) => round.rest(partition),
                        Ok(Walk::More) => return Ok(None),
                        Err(failure) => {
                            round.refusals.add(partition, failure)?;
                            continue;
                        }
                    }
                    // While it is enumerated, the enumeration tells whether we are let in.
                    if came && row.snapshot.is_none() {
                        self.let_in_again(slice, partition, &mut row).await?;
                    }
                    if self.audit_is_due(&row) {
                        self.plan_audit(slice, partition, &mut row).await?;
                    }
                    round.walk_on(partition, &row, self.clock.now());
                }
                let inherits = partitions.inherits.get(partition);
                round.inheriting.extend(inherits.filter(|now| row.is_to_inherit(now)).map(|_| partition));
            }
        }
        for partition in &partitions.vanished {
            round.walking.extend(self.dissolve(slice, partition).await?.then_some(partition));
        }
        Ok(Some(round))
    }

    /// The next page of every enumeration; how many items they have listed.
    pub(super) async fn list(&self, slice: &mut Slice, round: &mut Round<'_>) -> Result<u64> {
        let mut listed = 0;
        for some in std::mem::take(&mut round.walking).chunks(self.at_once()) {
            let mut walked = Vec::with_capacity(some.len());
            for (partition, mut row, page) in self.listings(some).await? {
                let came = matches!(page, Some(Ok(_)));
                if came {
                    round.refusals.answered();
                }
                let walk = self.enumerate(slice, (partition, page), &mut row).await;
                walked.push((partition, row, walk.map(|()| came)));
            }
            for (partition, mut row, walk) in walked {
                match walk {
                    Err(failure) => {
                        round.refusals.add(partition, failure)?;
                        continue;
                    }
                    Ok(true) => self.let_in_again(slice, partition, &mut row).await?,
                    Ok(false) => {}
                }
                let Some(snapshot) = &row.snapshot else { continue };
                listed += snapshot.listed;
                if snapshot.is_at_its_beginning() {
                    round.begun_anew = true;
                }
                if snapshot.course.rests(self.clock.now()) {
                    round.rest(partition);
                } else if !snapshot.is_at_its_beginning() {
                    round.walking.push(partition);
                }
            }
        }
        Ok(listed)
    }

    fn at_once(&self) -> usize {
        self.live.capabilities().at_once.max(1)
    }

    /// Some partitions' rows, and what their heads have to tell: asked at the same time.
    async fn heads<'a>(&self, some: &'a [PartitionId]) -> Result<Vec<Asked<'a, I>>> {
        let mut rows = Vec::with_capacity(some.len());
        for partition in some {
            rows.push((partition, self.load(partition).await?));
        }
        let now = self.clock.now();
        let ask = |(partition, row): (&'a PartitionId, PartitionRow)| async move {
            let page = match &row.head {
                Some(_) if row.vanished || row.course.rests(now) || row.is_left_alone(now) => None,
                Some(head) => Some(self.live.changes(partition, head).await),
                None => None,
            };
            (partition, row, page)
        };
        Ok(futures_util::future::join_all(rows.into_iter().map(ask)).await)
    }

    /// Some partitions' rows, and the next pages of their enumerations: asked at the same time.
    async fn listings<'a>(&self, some: &[&'a PartitionId]) -> Result<Vec<Asked<'a, I>>> {
        let mut rows = Vec::with_capacity(some.len());
        for partition in some {
            rows.push((*partition, self.load(partition).await?));
        }
        let ask = |(partition, row): (&'a PartitionId, PartitionRow)| async move {
            let page = match &row.snapshot {
                Some(SnapshotRow { listing_done: false, at, .. }) => {
                    Some(self.backfill.snapshot(partition, &self.options.window, at.as_ref()).await)
                }
                _ => None,
            };
            (partition, row, page)
        };
        Ok(futures_util::future::join_all(rows.into_iter().map(ask)).await)
    }

    /// Goes on behind the page that was taken already, to the end or for as long as there is time.
    async fn follow_head(
        &self,
        slice: &mut Slice,
        (partition, mut taken): (&PartitionId, Option<Result<Walk, Failure>>),
        row: &mut PartitionRow,
        stop: &Shutdown,
    ) -> Result<Walk, Failure> {
        if row.vanished || row.head.is_none() && row.snapshot.is_none() && !row.complete {
            return self.start_over(slice, partition, row).await.map(|()| Walk::End);
        }
        while let Some(head) = row.head.clone() {
            let walk = match taken.take() {
                Some(taken) => taken,
                None if row.course.rests(self.clock.now()) => return Ok(Walk::Endless),
                None => {
                    self.renew(slice).await?;
                    match self.live.changes(partition, &head).await {
                        Ok(page) => Ok(self.take_head(slice, partition, row, page).await?),
                        Err(error) => Err(Failure::of_service(error)),
                    }
                }
            };
            match walk {
                Ok(Walk::More) if stop.stopping() || self.clock.now() >= slice.ends => return Ok(Walk::More),
                Ok(Walk::More) => {}
                Err(failure) if failure.kind() == ErrorKind::CursorExpired => {
                    tracing::info!(connection = %self.keys.connection, "the head cursor expired: a new enumeration begins");
                    return self.start_over(slice, partition, row).await.map(|()| Walk::End);
                }
                ended => return ended,
            }
        }
        Ok(Walk::End)
    }

    async fn take_head(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        page: ChangePage<I>,
    ) -> Result<Walk> {
        let (next, more) = match &page.next {
            Next::More(next) => (Some(next.clone()), true),
            Next::Done { head } => (head.clone(), false),
        };
        let stands = next == row.head;
        row.head = next.or_else(|| row.head.take());
        Self::arrived(row, &page.changes);
        self.take_page(slice, partition, row, page, Lane::Live).await?;
        if !more {
            return Ok(Walk::End);
        }
        if !stands && row.course.barren < BARREN {
            return Ok(Walk::More);
        }
        row.course = self.resting();
        self.keep(slice, partition, row).await?;
        Ok(Walk::Endless)
    }

    /// Takes the head before the enumeration where the service can: nothing falls between the two.
    async fn start_over(&self, slice: &Slice, partition: &PartitionId, row: &mut PartitionRow) -> Result<(), Failure> {
        row.vanished = false;
        row.head = self.live.anchor(partition).await.map_err(Failure::of_service)?;
        Ok(self.enumerate_anew(slice, partition, row, Course::default()).await?)
    }

    async fn enumerate_anew(
        &self,
        slice: &Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        course: Course,
    ) -> Result<()> {
        row.generation += 1;
        // An audit that is cut short begins again.
        let cut_short = row.snapshot.take().and_then(|snapshot| snapshot.audit);
        let audit = cut_short.map(|old| Box::new(AuditReport { begun: old.begun, ..AuditReport::of(partition) }));
        row.snapshot = Some(SnapshotRow { audit, course, ..SnapshotRow::default() });
        self.keep(slice, partition, row).await
    }

    async fn enumerate(
        &self,
        slice: &mut Slice,
        (partition, page): (&PartitionId, Option<Result<ChangePage<I>>>),
        row: &mut PartitionRow,
    ) -> Result<(), Failure> {
        let Some(snapshot) = row.snapshot.clone() else { return Ok(()) };
        let Some(page) = page else { return Ok(self.sweep(slice, partition, row, snapshot).await?) };
        let page = match page {
            Ok(page) => page,
            // A head that is known is still good: what happens meanwhile is told from there.
            Err(error) if error.kind() == ErrorKind::CursorExpired && row.head.is_some() => {
                return Ok(self.enumerate_anew(slice, partition, row, Course::default()).await?);
            }
            Err(error) if error.kind() == ErrorKind::CursorExpired => {
                return self.start_over(slice, partition, row).await;
            }
            Err(error) => return Err(Failure::of_service(error)),
        };
        Ok(self.take_listing(slice, partition, row, (snapshot, page)).await?)
    }

    async fn take_listing(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        (snapshot, page): (SnapshotRow, ChangePage<I>),
    ) -> Result<()> {
        let listed = snapshot.listed + page.changes.len() as u64;
        let stands = matches!(&page.next, Next::More(next) if snapshot.at.as_ref() == Some(next));
        let next = match &page.next {
            Next::More(cursor) => SnapshotRow { at: Some(cursor.clone()), listed, ..snapshot },
            Next::Done { head } => {
                row.head = row.head.take().or_else(|| head.clone());
                SnapshotRow { listed, listing_done: true, ..snapshot }
            }
        };
        row.snapshot = Some(next);
        self.take_page(slice, partition, row, page, Lane::Backfill).await?;
        let barren = |snapshot: &SnapshotRow| !snapshot.listing_done && snapshot.course.barren >= BARREN;
        if stands || row.snapshot.as_ref().is_some_and(barren) {
            // Nothing that it did not come to may be taken for gone.
            return self.enumerate_anew(slice, partition, row, self.resting()).await;
        }
        Ok(())
    }

    fn resting(&self) -> Course {
        Course { barren: 0, rests_until: self.clock.now().checked_add_signed(REST) }
    }

    async fn keep(&self, slice: &Slice, partition: &PartitionId, row: &PartitionRow) -> Result<()> {
        let write = self.keys.put(PARTITIONS, self.keys.partition(partition), row)?;
        self.commit(slice, &[&[write]]).await
    }
}
