//! Where intents and what they leave behind are stored.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::intent::{Intent, IntentKey};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::{ConnectionId, TenantId},
    store::{Space, StateKey, StateRow, StateWrite, SyncStore, read_one},
    sync::rows::{decode, encode},
};

/// The families of rows of this room.
pub(crate) mod spaces {
    use crate::store::Space;

    /// Intents, by key.
    pub(crate) const INTENTS: Space = "outbox";
    /// Their sealed content, by key.
    pub(crate) const BODIES: Space = "outbox_body";
    /// What is to be looked at when: connection, instant, what.
    pub(crate) const DUE: Space = "outbox_due";
    /// Ordered intents: connection, order, place, key.
    pub(crate) const ORDER: Space = "outbox_order";
    /// What left, by intent.
    pub(crate) const SENT: Space = "sent";
    /// `Message-ID` to intent.
    pub(crate) const SENT_IDS: Space = "sent_id";
    /// Links, by our record.
    pub(crate) const LINKS: Space = "link";
    /// Links, by the service's record.
    pub(crate) const LINKS_BACK: Space = "link_back";
}

/// What an entry of the due list asks to look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DueSubject {
    Intent(IntentKey),
    /// The first of an order.
    Order(String),
}

/// An entry of the due list: only a reminder to look; the intent's row says what is true.
#[derive(Clone, Debug)]
pub(crate) struct DueEntry {
    pub(crate) key: StateKey,
    pub(crate) version: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) subject: DueSubject,
}

impl DueEntry {
    pub(crate) fn read(row: &StateRow) -> Result<Self> {
        let form = || Error::new(ErrorKind::Store, "a row of the outbox's due list has a key of another form");
        let [_, at, what, name]: [String; 4] = row.key.segments().try_into().map_err(|_| form())?;
        let at = at.parse().ok().and_then(DateTime::from_timestamp_millis).ok_or_else(form)?;
        let subject = match what.as_str() {
            "intent" => DueSubject::Intent(IntentKey::new(name)),
            "order" => DueSubject::Order(name),
            _ => return Err(form()),
        };
        Ok(Self { key: row.key.clone(), version: row.version, at, subject })
    }
}

/// The due list of a connection, earliest first.
pub(crate) fn due_prefix(connection: &ConnectionId) -> String {
    StateKey::new([connection.as_str()]).below()
}

pub(crate) fn due_key(connection: &ConnectionId, at: DateTime<Utc>, subject: &DueSubject) -> StateKey {
    let (what, name) = match subject {
        DueSubject::Intent(key) => ("intent", key.as_str()),
        DueSubject::Order(order) => ("order", order.as_str()),
    };
    let at = format!("{:020}", at.timestamp_millis().max(0));
    StateKey::new([connection.as_str(), &at, what, name])
}

pub(crate) fn subject_of(intent: &Intent) -> DueSubject {
    intent.order.clone().map_or_else(|| DueSubject::Intent(intent.key.clone()), DueSubject::Order)
}

/// All of an order, in order.
pub(crate) fn order_key(connection: &ConnectionId, order: &str) -> StateKey {
    StateKey::new([connection.as_str(), order])
}

/// An intent's place in its order, if it has one.
pub(crate) fn place_of(intent: &Intent) -> Option<StateKey> {
    let order = order_key(&intent.connection, intent.order.as_ref()?);
    Some(order.child(format!("{:020}", intent.sequence?)).child(&intent.key))
}

pub(crate) fn intent_key(key: &IntentKey) -> StateKey {
    StateKey::new([key])
}

pub(crate) fn later(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
    at.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Millisecond precision, so that a due instant equals what its entry says.
pub(crate) fn whole(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

pub(crate) fn put<T: Serialize>(tenant: &TenantId, space: Space, key: StateKey, row: &T) -> Result<StateWrite> {
    Ok(StateWrite::put(tenant, space, key, encode(space, row)?))
}

pub(crate) async fn read_row<T: DeserializeOwned>(
    store: &dyn SyncStore,
    tenant: &TenantId,
    space: Space,
    key: StateKey,
) -> Result<Option<(T, u64)>> {
    let row = read_one(store, tenant, space, key).await?;
    row.map(|row| Ok((decode(space, &row.bytes)?, row.version))).transpose()
}

/// An intent and its version.
pub(crate) async fn read_intent(
    store: &dyn SyncStore,
    tenant: &TenantId,
    key: &IntentKey,
) -> Result<Option<(Intent, u64)>> {
    read_row(store, tenant, spaces::INTENTS, intent_key(key)).await
}
