//! Partitions that a service refuses to tell of, while it tells of others: these go on.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Engine, Slice, partitions::Partitions, walk::Round};
use crate::{
    error::{Error, ErrorKind, Remedy, Result},
    event::EventKind,
    ids::PartitionId,
    sync::{
        feed::SyncItem,
        publish::Told,
        rows::{PARTITIONS, PartitionRow, RefusedRow},
    },
};

/// How long a partition is left alone that nobody was let into for the first time; doubled with each time in a row …
const FIRST_REST: Duration = Duration::from_secs(60);
/// … up to this.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Why a walk through a partition did not go on.
#[derive(Debug)]
pub(super) enum Failure {
    /// What came could not be taken: our trouble or the host's, and no partition's.
    Ours(Error),
    /// What the service answered, if it did.
    Service(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    pub(super) fn of_service(error: Error) -> Self {
        Self::Service(error)
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Ours(error) | Self::Service(error) => error.kind(),
        }
    }
}

/// Which partitions of a round the service refused to tell of, and what of that is told at its end.
#[derive(Default)]
pub(super) struct Refusals<'a> {
    /// There are others.
    several: bool,
    /// So many in a row without an answer: the service is away.
    away_at: usize,
    away: usize,
    answered: bool,
    refused: Vec<(&'a PartitionId, Error)>,
    pub(super) told: Option<Error>,
}

impl<'a> Refusals<'a> {
    /// Of a round that asks about `at_once` partitions at the same time.
    pub(super) fn new(at_once: usize, partitions: &Partitions) -> Self {
        Self { several: partitions.named.len() > 1, away_at: at_once.max(2), ..Self::default() }
    }

    pub(super) fn are_none(&self) -> bool {
        self.refused.is_empty() && self.told.is_none()
    }

    /// The service told of a partition.
    pub(super) fn answered(&mut self) {
        (self.answered, self.away) = (true, 0);
    }

    /// Remembers the failure of one partition of several.
    ///
    /// # Errors
    /// What is no matter of one partition, or the failure with which the service turns out to be away.
    pub(super) fn add(&mut self, partition: &'a PartitionId, failure: Failure) -> Result<()> {
        let error = match failure {
            Failure::Service(error) if self.several && may_be_of_one(&error) => error,
            Failure::Ours(error) | Failure::Service(error) => return Err(error),
        };
        let away = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Unavailable);
        self.away = if away { self.away + 1 } else { 0 };
        if self.away >= self.away_at {
            return Err(error);
        }
        self.refused.push((partition, error));
        Ok(())
    }
}

/// May it be one partition that fails, rather than the service, the quota or the sign-in?
fn may_be_of_one(error: &Error) -> bool {
    let asked = !error.was_never_sent();
    asked
        && matches!(
            error.kind(),
            ErrorKind::CursorExpired
                | ErrorKind::InvalidInput
                | ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::Timeout
                | ErrorKind::Transport
                | ErrorKind::Unavailable
                | ErrorKind::Unsupported
                | ErrorKind::Validation
        )
}

/// A partition that is gone was deleted while it was asked, most likely: the next look at all of them tells, and soon.
fn told_later(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    Error::new(ErrorKind::Unavailable, "a part of the feed could not be found").with_source(error)
}

/// How long it is left alone after having been refused so many times in a row.
fn rest_after(times: u32) -> TimeDelta {
    let doubled = FIRST_REST.saturating_mul(1 << times.saturating_sub(1).min(16));
    TimeDelta::from_std(doubled.min(LONGEST_REST)).unwrap_or_default()
}

impl<I: SyncItem> Engine<I> {
    /// Lets those rest that nobody is let into, while others can be entered; everything else is told at the end.
    pub(super) async fn take_refusals(&self, slice: &Slice, round: &mut Round<'_>) -> Result<()> {
        let refusals = &mut round.refusals;
        for (partition, error) in std::mem::take(&mut refusals.refused) {
            // Where none can be entered, it is the account that is closed to us.
            if error.kind() == ErrorKind::PermissionDenied && refusals.answered {
                self.leave_alone(slice, partition, error.remedy().cloned()).await?;
            } else {
                refusals.told.get_or_insert_with(|| told_later(error));
            }
        }
        Ok(())
    }

    async fn leave_alone(&self, slice: &Slice, partition: &PartitionId, remedy: Option<Remedy>) -> Result<()> {
        let (mut row, now) = (self.load(partition).await?, self.clock.now());
        let (since, before) = row.refused.as_ref().map_or((now, 0), |refused| (refused.since, refused.times));
        let times = before.saturating_add(1);
        let rests_until = now.checked_add_signed(rest_after(times)).unwrap_or(now);
        row.refused = Some(RefusedRow { since, times, rests_until });
        let partition = partition.clone();
        let event = (times == 1).then(|| EventKind::PartitionResting { partition: partition.clone(), remedy });
        self.keep_telling(slice, &partition, &row, event).await
    }

    /// The service tells of a partition again that nobody was let into.
    pub(super) async fn let_in_again(
        &self,
        slice: &Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
    ) -> Result<()> {
        if row.refused.take().is_none() {
            return Ok(());
        }
        let event = EventKind::PartitionResumed { partition: partition.clone() };
        self.keep_telling(slice, partition, row, Some(event)).await
    }

    async fn keep_telling(
        &self,
        slice: &Slice,
        partition: &PartitionId,
        row: &PartitionRow,
        event: Option<EventKind>,
    ) -> Result<()> {
        let write = self.keys.put(PARTITIONS, self.keys.partition(partition), row)?;
        let told = Told { activities: Vec::new(), events: event.into_iter().collect() };
        self.commit_telling(slice, &[&[write]], told).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_grows_to_an_hour_and_no_further() {
        let minutes: Vec<i64> = [1, 2, 3, 12, 100, u32::MAX].map(|times| rest_after(times).num_minutes()).into();
        assert_eq!(minutes, [1, 2, 4, 60, 60, 60]);
    }
}
