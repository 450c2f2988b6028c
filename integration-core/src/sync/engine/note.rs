//! Noting that a slice came to its end: for health, and for the durable progress.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, Slice, SliceEnd};
use crate::{
    error::Result,
    event::{EventKind, Phase, Progress},
    health::rows::{FailureRow, HEALTH, SuccessRow, failure_key, success_key},
    store::{StateKey, StateQuery},
    sync::{feed::SyncItem, publish::Told, rows::decode},
};

/// How often an idle connection is noted at most, and how often one at work.
const IDLE: TimeDelta = TimeDelta::seconds(60);
const AT_WORK: TimeDelta = TimeDelta::seconds(5);

impl<I: SyncItem> Engine<I> {
    /// Notes it if it says something new, or if the last note is too old to be believed.
    pub(super) async fn note_success(&self, slice: &Slice, end: SliceEnd) -> Result<()> {
        let now = self.clock.now();
        let Some(due) = self.due(end, now) else { return Ok(()) };
        let (before, failure) = self.noted().await?;
        let progress = slice.progress.or_else(|| {
            let before = before.as_ref().and_then(|before| before.progress)?;
            Some(Progress { pending: slice.pending, ..before })
        });
        let success = SuccessRow { at: now, due, progress };
        let failure = failure.filter(|failure| !failure.over);
        let turned = turned(before.as_ref(), &success);
        if failure.is_none() && !turned && before.is_some_and(|before| fresh(&before, &success)) {
            return Ok(());
        }
        let mut events = Vec::new();
        let mut writes = vec![self.keys.put(HEALTH, self.key(success_key), &success)?];
        if let Some(failure) = failure {
            events.extend(failure.told.then_some(EventKind::Recovered { grant: None }));
            writes.push(self.keys.put(HEALTH, self.key(failure_key), &FailureRow { over: true, ..failure })?);
        }
        let at_work = progress.filter(|progress| turned || progress.phase != Phase::UpToDate);
        events.extend(at_work.map(EventKind::Progress));
        self.commit_telling(slice, &[&writes], Told { activities: Vec::new(), events }).await
    }

    /// When the next slice is due after this one.
    fn due(&self, end: SliceEnd, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wait = match end {
            SliceEnd::Busy => return None,
            SliceEnd::More => return Some(now),
            SliceEnd::UpToDate => self.options.poll,
            SliceEnd::Wait(wait) => wait,
        };
        now.checked_add_signed(TimeDelta::from_std(wait).ok()?)
    }

    fn key(&self, key: fn(&crate::ids::ConnectionId, &str) -> StateKey) -> StateKey {
        key(&self.keys.connection, self.keys.kind)
    }

    async fn noted(&self) -> Result<(Option<SuccessRow>, Option<FailureRow>)> {
        let (tenant, keys) = (self.keys.tenant.clone(), vec![self.key(failure_key), self.key(success_key)]);
        let (mut success, mut failure) = (None, None);
        for row in self.store.read(&StateQuery::Keys { tenant, space: HEALTH, keys }).await? {
            if row.key == self.key(success_key) {
                success = Some(decode(HEALTH, &row.bytes)?);
            } else {
                failure = Some(decode(HEALTH, &row.bytes)?);
            }
        }
        Ok((success, failure))
    }
}

/// Did the sync go from one phase to another?
fn turned(before: Option<&SuccessRow>, now: &SuccessRow) -> bool {
    let phase = |row: &SuccessRow| row.progress.map(|progress| progress.phase);
    before.and_then(phase) != phase(now)
}

/// Is the last note still good enough?
fn fresh(before: &SuccessRow, now: &SuccessRow) -> bool {
    let idle = now.progress.is_none_or(|progress| progress.phase == Phase::UpToDate);
    // A long pause that the service asked for has to be known, or the connection looks forgotten.
    let paused = now.due - now.at > IDLE && now.due > before.due;
    !paused && now.at - before.at < if idle { IDLE } else { AT_WORK }
}
