//! What the engine stores beside the effects: partitions, members, pending work, quarantine; and how rows are written.

use std::borrow::Cow;

use base64::Engine as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{audit::AuditReport, change::Revision, cursor::Cursor, feed::SyncItem};
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
/// Items that left a partition and that no other one has told of yet.
pub(crate) const STRAYS: Space = "stray";
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
    /// The service does not name it any more; what it had is looked for elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) vanished: bool,
    /// How following the head goes.
    #[serde(default, skip_serializing_if = "Course::is_untroubled")]
    pub(crate) course: Course,
    /// What its items take from it, as they were last decided with; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inherited: Option<String>,
    /// That is another now: its items are being decided anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inheriting: Option<InheritRow>,
    /// The service did not let us in when it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<RefusedRow>,
}

impl PartitionRow {
    /// Is the service not asked about it for now, because it lets nobody in?
    pub(crate) fn is_left_alone(&self, now: DateTime<Utc>) -> bool {
        self.refused.as_ref().is_some_and(|refused| now < refused.rests_until)
    }
}

/// Since when the service lets nobody into a partition, and when it is asked again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusedRow {
    pub(crate) since: DateTime<Utc>,
    /// So many times in a row.
    pub(crate) times: u32,
    pub(crate) rests_until: DateTime<Utc>,
}

/// How far the items of a partition take on what is new of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InheritRow {
    /// What they take on.
    pub(crate) inherited: String,
    /// The last item's row that did; `None` at the beginning.
    pub(crate) after: Option<String>,
}

/// How a walk through pages goes: a service may give pages without end.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// So many pages in a row brought nothing new.
    #[serde(default)]
    pub(crate) barren: u32,
    /// It is left alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rests_until: Option<DateTime<Utc>>,
}

impl Course {
    pub(crate) fn is_untroubled(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn rests(&self, now: DateTime<Utc>) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Another page came.
    pub(crate) fn step(&mut self, brings_news: bool) {
        *self = Self { barren: if brings_news { 0 } else { self.barren.saturating_add(1) }, rests_until: None };
    }
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
    /// How listing goes.
    #[serde(default, skip_serializing_if = "Course::is_untroubled")]
    pub(crate) course: Course,
}

impl SnapshotRow {
    pub(crate) fn is_at_its_beginning(&self) -> bool {
        self.at.is_none() && !self.listing_done
    }
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
    /// It was told to have left the partition, or the last enumeration did not see it. It stays here until another
    /// partition is known to have it, so that nothing is without a place to be missed from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) left: bool,
    /// How often it was found alive since it left.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) strayed: u32,
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
    /// The format of the item's kind at the time: what a newer one means is not known here.
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
    pub(crate) fn of<I: SyncItem>(reason: &str, size: usize, sealed: &[u8]) -> Self {
        let sealed = base64::engine::general_purpose::STANDARD.encode(sealed);
        Self {
            version: I::VERSION,
            kind: I::KIND.to_owned(),
            reason: reason.to_owned(),
            size,
            sealed,
            partition: None,
            keyed: false,
            at: None,
        }
    }

    /// Why this release cannot do anything with it, if it cannot.
    pub(crate) fn unknown<I: SyncItem>(&self) -> Option<String> {
        let (version, known) = (self.version, I::VERSION);
        (version > known).then(|| {
            format!(
                "a newer release put it into quarantine (format {version}; this one knows up to {known}); it is kept"
            )
        })
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

    /// Partitions count for themselves, and more than one may wait for the same item.
    pub(crate) fn pending(&self, lane: Lane, order: u64, partition: &PartitionId, item: &ItemKey) -> StateKey {
        let lane = match lane {
            Lane::Live => "0",
            Lane::Backfill => "1",
        };
        self.feed().child(lane).child(format!("{order:020}")).child(partition).child(item)
    }

    pub(crate) fn quarantine(&self, item: &str) -> StateKey {
        self.feed().child(item)
    }

    pub(crate) fn put<T: Serialize>(&self, space: Space, key: StateKey, row: &T) -> Result<StateWrite> {
        Ok(StateWrite::put(&self.tenant, space, key, encode(space, row)?))
    }

    pub(crate) fn delete(&self, space: Space, key: StateKey) -> StateWrite {
        StateWrite::delete(&self.tenant, space, key)
    }
}

/// The format of the rows written here. A row carries it in front of its fields, `{"v":1,…`; one without (of the releases
/// before it was written, and what is no object) has format 1.
const FORMAT: u32 = 1;
const MARK: &[u8] = br#"{"v":"#;

pub(crate) fn encode<T: Serialize>(space: Space, row: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(row).map_err(|error| {
        Error::new(ErrorKind::Store, format!("a row of {space} cannot be written")).with_source(error)
    })?;
    let Some(fields) = json.strip_prefix(b"{") else { return Ok(json) };
    let comma: &[u8] = if fields == b"}" { b"" } else { b"," };
    Ok([MARK, FORMAT.to_string().as_bytes(), comma, fields].concat())
}

pub(crate) fn decode<T: DeserializeOwned>(space: Space, bytes: &[u8]) -> Result<T> {
    let (format, rest) = taken_apart(bytes);
    if format > FORMAT {
        let message = format!(
            "a stored row of {space} was written by a newer release (format {format}; this one reads {FORMAT})"
        );
        return Err(Error::new(ErrorKind::Store, message));
    }
    serde_json::from_slice(&rest).map_err(|error| {
        let message = format!("a stored row of {space} cannot be read; was it written by another version?");
        Error::new(ErrorKind::Store, message).with_source(error)
    })
}

/// A row's format, and its fields without it: some rows are maps, which would take it for an entry.
fn taken_apart(bytes: &[u8]) -> (u32, Cow<'_, [u8]>) {
    let plain = (1, Cow::Borrowed(bytes));
    let Some(marked) = bytes.strip_prefix(MARK) else { return plain };
    let digits = marked.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = marked.split_at(digits);
    // An entry of a map may be called so too: its value is no number.
    let (b"," | b"}", Some(format)) = (&rest[..rest.len().min(1)], number_of(number)) else { return plain };
    let fields = rest.strip_prefix(b",").unwrap_or(rest);
    (format, Cow::Owned([b"{", fields].concat()))
}

/// `None` if there are no digits; as large as can be if there are too many.
fn number_of(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Map = BTreeMap<String, BTreeMap<String, u8>>;

    fn member() -> MemberRow {
        MemberRow { seen: 7, known: true, ..MemberRow::default() }
    }

    #[test]
    fn a_row_carries_its_format_in_front() {
        let bytes = encode(MEMBERS, &member()).unwrap();
        assert!(bytes.starts_with(br#"{"v":1,"revision""#), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(decode::<MemberRow>(MEMBERS, &bytes).unwrap(), member());
    }

    #[test]
    fn a_row_without_a_format_is_read_as_the_first() {
        let bytes = serde_json::to_vec(&member()).unwrap();
        assert_eq!(decode::<MemberRow>(MEMBERS, &bytes).unwrap(), member());
        assert_eq!(decode::<Vec<u8>>(MEMBERS, &encode(MEMBERS, &vec![1_u8, 2]).unwrap()).unwrap(), [1, 2]);
        assert!(decode::<Option<u8>>(MEMBERS, b"null").unwrap().is_none());
    }

    #[test]
    fn a_row_of_a_newer_release_is_refused_with_both_formats_named() {
        for newer in [r#"{"v":2,"anything":true}"#, r#"{"v":2}"#, r#"{"v":99999999999999999999,"a":1}"#] {
            let error = decode::<MemberRow>(MEMBERS, newer.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store);
            assert!(error.message().contains("a newer release (format"), "{error}");
        }
    }

    #[test]
    fn the_format_is_no_entry_of_a_map_and_an_entry_is_no_format() {
        let map: Map = [("v".to_owned(), [("x".to_owned(), 3)].into())].into();
        let bytes = encode(MEMBERS, &map).unwrap();
        assert_eq!(bytes, br#"{"v":1,"v":{"x":3}}"#);
        assert_eq!(decode::<Map>(MEMBERS, &bytes).unwrap(), map);
        assert_eq!(decode::<Map>(MEMBERS, br#"{"v":{"x":3}}"#).unwrap(), map, "as it was stored before");
        let empty = encode(MEMBERS, &Map::new()).unwrap();
        assert_eq!((empty.as_slice(), decode::<Map>(MEMBERS, &empty).unwrap()), (&br#"{"v":1}"#[..], Map::new()));
    }

    #[test]
    fn whatever_bytes_are_stored_nothing_panics() {
        for bytes in ["", "{", "{\"v\":", "{\"v\":1", "{\"v\":1,", "{\"v\":-1}", "{\"v\":1.5}", "{\"v\":1 }"] {
            let _ = decode::<MemberRow>(MEMBERS, bytes.as_bytes());
        }
    }
}
