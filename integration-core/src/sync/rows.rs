//! What the engine stores beside the effects: partitions, members, pending work, quarantine.

use base64::Engine as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{audit::AuditReport, change::Revision, cursor::Cursor};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::{ConnectionId, GroupKey, ItemKey, PartitionId, TenantId},
    store::{Space, StateKey, StateWrite},
};

/// Items to be decided anew.
pub(crate) const AGAIN: Space = "again";
pub(crate) const AUDITS: Space = "audit";
pub(crate) const GROUPS: Space = "group";
pub(crate) const PARTITIONS: Space = "partition";
pub(crate) const MEMBERS: Space = "member";
pub(crate) const PENDING: Space = "pending";
pub(crate) const QUARANTINE: Space = "quarantine";
/// Walks over everything that was decided.
pub(crate) const WALKS: Space = "walk";

/// The two positions of a partition, and how far its enumeration is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartitionRow {
    /// What follows changes from now on.
    pub(crate) head: Option<Cursor>,
    /// The running enumeration.
    pub(crate) snapshot: Option<SnapshotRow>,
    /// Counts enumerations: what an ended one did not see carries a lower number.
    pub(crate) generation: u64,
    /// Counts items given a place in the queue.
    pub(crate) queued: u64,
    /// Has an enumeration ever ended?
    pub(crate) complete: bool,
    /// When the last enumeration ended.
    #[serde(default)]
    pub(crate) compared_at: Option<DateTime<Utc>>,
}

/// A running enumeration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SnapshotRow {
    /// Where it goes on; `None` at its beginning.
    pub(crate) at: Option<Cursor>,
    /// Items listed so far.
    pub(crate) listed: u64,
    /// Everything is listed; what was not seen is being put in doubt, from here on.
    pub(crate) sweep_after: Option<String>,
    /// Listing has ended.
    pub(crate) listing_done: bool,
    /// What was found so far, where the enumeration is an audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<Box<AuditReport>>,
}

/// An item that the partition is known to have.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberRow {
    /// The state that was applied.
    pub(crate) revision: Revision,
    /// The last enumeration that saw it.
    pub(crate) seen: u64,
    /// Its place in the queue, if it waits to be fetched.
    pub(crate) pending: Option<String>,
    /// It has been applied or quarantined at least once.
    pub(crate) known: bool,
    /// It lies in quarantine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) quarantined: bool,
    /// What the service resets together with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<GroupKey>,
}

/// Work that waits: the item's key is the last segment of the row's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingRow {
    pub(crate) partition: PartitionId,
    /// How often it failed for a reason of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) tries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_zero(tries: &u32) -> bool {
    *tries == 0
}

/// An item that could not be understood, kept whole up to a cap.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QuarantineRow {
    pub(crate) version: u16,
    pub(crate) kind: String,
    pub(crate) reason: String,
    /// Bytes of the item; more than what is kept if it was above the cap.
    pub(crate) size: usize,
    pub(crate) sealed: String,
    /// Where it came from.
    #[serde(default)]
    pub(crate) partition: Option<PartitionId>,
    /// The row's key ends with the item's key, so that it can be asked for again.
    #[serde(default)]
    pub(crate) keyed: bool,
    /// When it was put there.
    #[serde(default)]
    pub(crate) at: Option<DateTime<Utc>>,
}

impl QuarantineRow {
    pub(crate) fn new(kind: &str, reason: &str, size: usize, sealed: &[u8]) -> Self {
        let sealed = base64::engine::general_purpose::STANDARD.encode(sealed);
        Self {
            version: 1,
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            size,
            sealed,
            partition: None,
            keyed: false,
            at: None,
        }
    }
}

/// Which queue an item waits in; the first is worked off first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    Live,
    Backfill,
}

/// The keys of one connection's feed.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    pub(crate) kind: &'static str,
}

impl Keys {
    pub(crate) fn feed(&self) -> StateKey {
        StateKey::new([self.connection.as_str(), self.kind])
    }

    pub(crate) fn partition(&self, partition: &PartitionId) -> StateKey {
        self.feed().child(partition)
    }

    pub(crate) fn member(&self, partition: &PartitionId, item: &ItemKey) -> StateKey {
        self.partition(partition).child(item)
    }

    pub(crate) fn group(&self, partition: &PartitionId, group: &GroupKey) -> StateKey {
        self.partition(partition).child(group)
    }

    pub(crate) fn pending(&self, lane: Lane, order: u64, item: &ItemKey) -> StateKey {
        let lane = match lane {
            Lane::Live => "0",
            Lane::Backfill => "1",
        };
        self.feed().child(lane).child(format!("{order:020}")).child(item)
    }

    pub(crate) fn quarantine(&self, item: &str) -> StateKey {
        self.feed().child(item)
    }

    pub(crate) fn put<T: Serialize>(&self, space: Space, key: StateKey, row: &T) -> Result<StateWrite> {
        let bytes = serde_json::to_vec(row)
            .map_err(|error| Error::new(ErrorKind::Store, "a row cannot be written").with_source(error))?;
        Ok(StateWrite::put(&self.tenant, space, key, bytes))
    }

    pub(crate) fn delete(&self, space: Space, key: StateKey) -> StateWrite {
        StateWrite::delete(&self.tenant, space, key)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(space: Space, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("a stored row of {space} cannot be read; was it written by another version?");
        Error::new(ErrorKind::Store, message).with_source(error)
    })
}
