//! Deciding stored items anew: the directory, a policy or a verdict changed. Nothing is fetched.

use serde::{Deserialize, Serialize};

use super::{Engine, Input, Slice, page::item_of};
use crate::{
    error::{ErrorKind, Result},
    store::{Expect, Space, StateKey, StateQuery, StateRow, StateWrite, read_one},
    sync::{
        feed::SyncItem,
        rows::{AGAIN, WALKS, decode},
        shutdown::Shutdown,
    },
};

/// Items decided at a time: one directory look-up and one transaction each.
const BATCH: usize = 100;

/// A walk over everything that was decided, and how far it came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WalkRow {
    pub(crate) after: Option<String>,
}

impl<I: SyncItem> Engine<I> {
    /// Decides anew what was asked for, for at most a slice's time. `None` while somebody else works on the feed; true once
    /// nothing is left.
    pub(crate) async fn decide_again(&self, stop: &Shutdown) -> Result<Option<bool>> {
        let Some(mut slice) = self.begin().await? else { return Ok(None) };
        let guard = slice.guard.clone();
        self.holding(guard, self.again(&mut slice, stop)).await.map(Some)
    }

    /// First single items, then the walk over all. True once nothing is left.
    pub(super) async fn again(&self, slice: &mut Slice, stop: &Shutdown) -> Result<bool> {
        loop {
            if stop.stopping() || self.clock.now() >= slice.ends {
                return Ok(false);
            }
            self.renew(slice).await?;
            if !(self.again_asked(slice).await? || self.again_walked(slice).await?) {
                return Ok(true);
            }
        }
    }

    /// A batch of the items that were asked for; false if there were none.
    async fn again_asked(&self, slice: &mut Slice) -> Result<bool> {
        let rows = self.range(AGAIN, None).await?;
        let inputs = rows.iter().map(|row| Input::Again { key: item_of(row) }).collect();
        // A request that came once more meanwhile is not the one that is answered here.
        let done = |row: &StateRow| self.keys.delete(AGAIN, row.key.clone()).expecting(Expect::Version(row.version));
        let done: Vec<StateWrite> = rows.iter().map(done).collect();
        if done.is_empty() {
            return Ok(false);
        }
        self.stepped(self.settle(slice, inputs, done).await)
    }

    /// A step of the walk over everything that was decided; false if there is no walk.
    async fn again_walked(&self, slice: &mut Slice) -> Result<bool> {
        let place = self.keys.feed();
        let Some(row) = read_one(&*self.store, &self.keys.tenant, WALKS, place.clone()).await? else {
            return Ok(false);
        };
        let walk: WalkRow = decode(WALKS, &row.bytes)?;
        let rows = self.range(self.applier.decided(), walk.after.map(StateKey::from_stored)).await?;
        let inputs = rows.iter().map(|row| Input::Again { key: item_of(row) }).collect();
        let step = match rows.last() {
            Some(last) if rows.len() == BATCH => {
                let after = Some(last.key.as_str().to_owned());
                self.keys.put(WALKS, place, &WalkRow { after })?
            }
            _ => self.keys.delete(WALKS, place),
        };
        self.stepped(self.settle(slice, inputs, vec![step.expecting(Expect::Version(row.version))]).await)
    }

    /// Something new was asked for meanwhile: it is read next.
    fn stepped(&self, step: Result<()>) -> Result<bool> {
        match step {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(true),
            done => done.map(|()| true),
        }
    }

    async fn range(&self, space: Space, after: Option<StateKey>) -> Result<Vec<StateRow>> {
        // Decisions lie below the connection alone, requests below the feed.
        let below = if space == AGAIN { self.keys.feed() } else { StateKey::new([self.keys.connection.as_str()]) };
        let (tenant, prefix) = (self.keys.tenant.clone(), below.below());
        self.store.read(&StateQuery::Range { tenant, space, prefix, after, limit: BATCH }).await
    }
}
