//! Erasing a person, a connection or a tenant, with a report of what went.

mod connection;
mod mention;
mod open_work;
mod person;
mod tenant;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Hub;
use crate::{
    error::Result,
    ids::{ConnectionId, TenantId},
    oauth::Forget,
    store::{Space, StateWrite},
};

/// What is to be erased.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Erase {
    /// A connection with everything that was synced; revoked first, as [`Hub::disconnect`] does.
    Connection(ConnectionId),
    /// Somebody who wrote, was written to, or is mentioned.
    Person(ErasePerson),
    /// Everything of the tenant: tokens (revoked first), connections, rows, events, jobs, leases.
    Tenant,
}

/// Somebody to be erased, by address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ErasePerson {
    /// Every address of the person, compared without case; `+tags` of them count as well.
    pub addresses: BTreeSet<String>,
    /// What becomes of messages that come later.
    pub afterwards: Afterwards,
}

/// What becomes of an erased person's later messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Afterwards {
    /// The person is on the never-log list from now on: as a digest, so that the list does not hold the address. What the
    /// service still has is decided against without keeping who it was.
    #[default]
    KeepOut,
    /// They are treated like anybody's; what the service still has comes back when it is listed anew.
    MayReturn,
}

impl ErasePerson {
    /// Whoever has these addresses; kept out afterwards.
    pub fn new<S: AsRef<str>>(addresses: impl IntoIterator<Item = S>) -> Self {
        let addresses = addresses.into_iter().map(|one| one.as_ref().trim().to_lowercase()).collect();
        Self { addresses, afterwards: Afterwards::KeepOut }
    }

    /// Later messages are treated like anybody's.
    #[must_use]
    pub fn with_afterwards(mut self, afterwards: Afterwards) -> Self {
        self.afterwards = afterwards;
        self
    }
}

/// What went.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Erased {
    /// Rows that were deleted, or blanked where others need the rest of them, by family (see `docs/schema.md`).
    pub rows: BTreeMap<String, u64>,
    /// Token sets that were deleted.
    pub tokens: u64,
    /// Grants that could not be revoked at their service; their tokens are deleted here all the same.
    pub not_revoked: u64,
    /// What stays, in words: what a store of the host's own cannot forget, intents and signals that are not finished yet.
    pub left: Vec<String>,
}

impl Erased {
    fn count(&mut self, space: Space, rows: usize) {
        if rows > 0 {
            *self.rows.entry(space.to_owned()).or_default() += rows as u64;
        }
    }

    fn add(&mut self, other: Self) {
        for (space, rows) in other.rows {
            *self.rows.entry(space).or_default() += rows;
        }
        self.tokens += other.tokens;
        self.not_revoked += other.not_revoked;
        self.left.extend(other.left);
    }

    /// Rows that went, of all families.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

impl Hub {
    /// Erases a person, a connection or a whole tenant. The sink is told which activities go or change, in batches; every
    /// transaction is of bounded size. Interrupted, or refused because a worker is busy, it can be called again and goes on:
    /// the report then counts the rest.
    ///
    /// A message in which an erased person takes part goes from the timeline, for everybody; of it only a blank decision stays,
    /// so that it is not fetched and shown again. Where the person is merely named in somebody else's words, the address is
    /// blanked, also in sent items. The person's own mailbox is a connection: erase that as well. Intents and signals about the
    /// person go once they are finished; one that is not is the host's own will, stays until it is done or cancelled, and is
    /// counted in [`Erased::left`]. What the host has in its own tables, and what
    /// lies at the service, is not ours to erase.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection; `Conflict` while a worker that cannot be stopped from here is busy: try again;
    /// `Store`.
    pub async fn erase(&self, tenant: &TenantId, what: &Erase) -> Result<Erased> {
        match what {
            Erase::Connection(id) => {
                let mut erased = Erased::default();
                erased.count("connection", 1);
                let (done, ended) = self.end(tenant, id, Forget::Everything).await?;
                erased.add(done);
                erased.note(ended);
                Ok(erased)
            }
            Erase::Person(person) => self.erase_person(tenant, person).await,
            Erase::Tenant => self.erase_tenant(tenant).await,
        }
    }

    pub(super) async fn write(&self, writes: &[StateWrite]) -> Result<()> {
        let mut tx = self.0.stores.sync.begin(None).await?;
        tx.write(writes).await?;
        tx.commit().await
    }
}
