//! Grants and connections as rows of the sync store.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    connection::{Connection, ConnectionStatus, Grant, GrantStatus},
    error::{Error, ErrorKind, Result},
    event::{EventKind, append},
    ids::{AppId, ConnectionId, GrantId, TenantId},
    store::{Expect, Space, StateKey, StateQuery, StateWrite, SyncStore, read_one},
};

pub(super) const GRANTS: Space = "grant";
pub(super) const CONNECTIONS: Space = "connection";
const PAGE: usize = 500;
/// Others change the same rows rarely: nobody loses this often in a row.
const TRIES: usize = 8;

/// A row with the version to compare when it is written back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored<T> {
    /// Its content.
    pub value: T,
    /// Its version.
    pub version: u64,
}

/// The rows of grants and connections, typed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectionStore {
    store: Arc<dyn SyncStore>,
}

impl ConnectionStore {
    /// The rows in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn SyncStore>) -> Self {
        Self { store }
    }

    /// A grant.
    ///
    /// # Errors
    /// `Store` if the storage fails; `Validation` if the row cannot be read.
    pub async fn load_grant(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<Stored<Grant>>> {
        self.load(tenant, GRANTS, grant.as_str()).await
    }

    /// A connection.
    ///
    /// # Errors
    /// As [`ConnectionStore::load_grant`].
    pub async fn load_connection(&self, tenant: &TenantId, id: &ConnectionId) -> Result<Option<Stored<Connection>>> {
        self.load(tenant, CONNECTIONS, id.as_str()).await
    }

    /// Writes a grant; `expect` is the version it was loaded with, `None` if it is new.
    ///
    /// # Errors
    /// `Conflict` if somebody wrote it in between.
    pub async fn save_grant(&self, grant: &Grant, expect: Option<u64>) -> Result<()> {
        self.commit(&[put(&grant.tenant, GRANTS, grant.id.as_str(), grant, expect)?]).await
    }

    /// Writes a connection; `expect` is the version it was loaded with, `None` if it is new.
    ///
    /// # Errors
    /// `Conflict` if somebody wrote it in between.
    pub async fn save_connection(&self, connection: &Connection, expect: Option<u64>) -> Result<()> {
        self.commit(&[put(&connection.tenant, CONNECTIONS, connection.id.as_str(), connection, expect)?]).await
    }

    /// Every connection of a tenant, by id.
    ///
    /// # Errors
    /// As [`ConnectionStore::load_grant`].
    pub async fn list_connections(&self, tenant: &TenantId) -> Result<Vec<Stored<Connection>>> {
        self.list(tenant, CONNECTIONS).await
    }

    /// Every grant of a tenant, by id.
    ///
    /// # Errors
    /// As [`ConnectionStore::load_grant`].
    pub async fn list_grants(&self, tenant: &TenantId) -> Result<Vec<Stored<Grant>>> {
        self.list(tenant, GRANTS).await
    }

    /// The connections of a grant.
    ///
    /// # Errors
    /// As [`ConnectionStore::load_grant`].
    pub async fn connections_of_grant(&self, tenant: &TenantId, grant: &GrantId) -> Result<Vec<Stored<Connection>>> {
        let all = self.list_connections(tenant).await?;
        Ok(all.into_iter().filter(|row| row.value.grant == *grant).collect())
    }

    /// The connection of an app to the service's account `account`, whatever its status.
    ///
    /// # Errors
    /// As [`ConnectionStore::load_grant`].
    pub async fn find_by_account(
        &self,
        tenant: &TenantId,
        app: &AppId,
        account: &str,
    ) -> Result<Option<Stored<Connection>>> {
        let all = self.list_connections(tenant).await?;
        Ok(all.into_iter().find(|row| row.value.app == *app && row.value.account.id == account))
    }

    /// Changes a connection, again and again until nobody comes in between. `None` if there is none.
    ///
    /// # Errors
    /// As [`ConnectionStore::save_connection`], should that never be.
    pub async fn update_connection<F: Fn(&mut Connection) + Send + Sync>(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        change: F,
    ) -> Result<Option<Connection>> {
        for _ in 0..TRIES {
            let Some(mut row) = self.load_connection(tenant, id).await? else { return Ok(None) };
            let before = row.value.clone();
            change(&mut row.value);
            if row.value == before {
                return Ok(Some(before));
            }
            match self.save_connection(&row.value, Some(row.version)).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done.map(|()| Some(row.value)),
            }
        }
        Err(busy())
    }

    /// Changes a grant and carries its status over to its connections, in one transaction.
    pub(crate) async fn update_grant<F: Fn(&mut Grant) + Send + Sync>(
        &self,
        of: (&TenantId, &GrantId),
        now: DateTime<Utc>,
        change: F,
    ) -> Result<()> {
        let (tenant, grant) = of;
        for _ in 0..TRIES {
            let Some(mut row) = self.load_grant(tenant, grant).await? else { return Ok(()) };
            let before = row.value.clone();
            change(&mut row.value);
            if row.value == before {
                return Ok(());
            }
            let mut writes = vec![put(tenant, GRANTS, grant.as_str(), &row.value, Some(row.version))?];
            let connections = self.connections_of_grant(tenant, grant).await?;
            let events = grant_events(Some(&before), &row.value, connections.iter().map(|one| &one.value));
            for mut connection in connections {
                if follow(&mut connection.value, &row.value.status) {
                    let id = connection.value.id.clone();
                    writes.push(put(tenant, CONNECTIONS, id.as_str(), &connection.value, Some(connection.version))?);
                }
            }
            match self.commit_telling((tenant, now), &writes, events).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        Err(busy())
    }

    /// Commits rows and the events that tell of them, together.
    pub(super) async fn commit_telling(
        &self,
        stamp: (&TenantId, DateTime<Utc>),
        writes: &[StateWrite],
        events: Vec<(Option<ConnectionId>, EventKind)>,
    ) -> Result<()> {
        let (tenant, now) = stamp;
        let mut transaction = self.store.begin(None).await?;
        transaction.write(writes).await?;
        // Others and the daily job keep the stream within its bounds: these are rare.
        append(&mut *transaction, tenant, (now, u64::MAX), events).await?;
        transaction.commit().await
    }

    pub(super) async fn commit(&self, writes: &[StateWrite]) -> Result<()> {
        let mut transaction = self.store.begin(None).await?;
        transaction.write(writes).await?;
        transaction.commit().await
    }

    async fn load<T: DeserializeOwned>(&self, tenant: &TenantId, space: Space, id: &str) -> Result<Option<Stored<T>>> {
        let row = read_one(&*self.store, tenant, space, StateKey::new([id])).await?;
        row.map(|row| Ok(Stored { value: decode(space, &row.bytes)?, version: row.version })).transpose()
    }

    async fn list<T: DeserializeOwned>(&self, tenant: &TenantId, space: Space) -> Result<Vec<Stored<T>>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (tenant, prefix) = (tenant.clone(), String::new());
            let page = self.store.read(&StateQuery::Range { tenant, space, prefix, after, limit: PAGE }).await?;
            for row in &page {
                all.push(Stored { value: decode(space, &row.bytes)?, version: row.version });
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(all) };
            after = Some(last.key);
        }
    }
}

/// A row to write. Rows carry their format version around the value.
pub(super) fn put<T: Serialize>(
    tenant: &TenantId,
    space: Space,
    id: &str,
    value: &T,
    expect: Option<u64>,
) -> Result<StateWrite> {
    put_at(tenant, space, StateKey::new([id]), value, expect)
}

/// As [`put`], for keys of several parts.
pub(super) fn put_at<T: Serialize>(
    tenant: &TenantId,
    space: Space,
    key: StateKey,
    value: &T,
    expect: Option<u64>,
) -> Result<StateWrite> {
    let row = Row { format: FORMAT, value };
    let unwritable = |error| Error::new(ErrorKind::Validation, "a row cannot be written as JSON").with_source(error);
    let bytes = serde_json::to_vec(&row).map_err(unwritable)?;
    let expect = expect.map_or(Expect::Absent, Expect::Version);
    Ok(StateWrite::put(tenant, space, key, bytes).expecting(expect))
}

const FORMAT: u8 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Row<T> {
    format: u8,
    value: T,
}

pub(super) fn decode<T: DeserializeOwned>(space: Space, bytes: &Bytes) -> Result<T> {
    let row: Row<T> = serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(ErrorKind::Validation, format!("a stored {space} cannot be read ({place})"))
    })?;
    if row.format == FORMAT {
        return Ok(row.value);
    }
    let message = format!("a stored {space} has format {}; this version reads format {FORMAT}", row.format);
    Err(Error::new(ErrorKind::Validation, message))
}

/// What is told when a grant goes from one status to another: for each of its connections, or once if it has none.
pub(super) fn grant_events<'a>(
    before: Option<&Grant>,
    now: &Grant,
    connections: impl Iterator<Item = &'a Connection>,
) -> Vec<(Option<ConnectionId>, EventKind)> {
    let needed = before.is_some_and(|before| matches!(before.status, GrantStatus::NeedsAttention { .. }));
    let grant = Some(now.id.clone());
    let event = match &now.status {
        GrantStatus::NeedsAttention { remedy, .. } if !needed => {
            EventKind::NeedsAttention { grant, remedy: remedy.clone() }
        }
        GrantStatus::Active | GrantStatus::Degraded { .. } if needed => EventKind::Recovered { grant },
        _ => return Vec::new(),
    };
    let mine = connections
        .filter(|connection| connection.grant == now.id && connection.status != ConnectionStatus::Disconnected)
        .map(|connection| Some(connection.id.clone()));
    let mut about: Vec<Option<ConnectionId>> = mine.collect();
    if about.is_empty() {
        about.push(None);
    }
    about.into_iter().map(|connection| (connection, event.clone())).collect()
}

/// A connection follows its grant, unless the host stopped or dropped it. Did it change?
fn follow(connection: &mut Connection, grant: &GrantStatus) -> bool {
    let status = match (connection.status, grant) {
        (ConnectionStatus::Active, GrantStatus::NeedsAttention { .. }) => ConnectionStatus::NeedsAttention,
        (ConnectionStatus::NeedsAttention, GrantStatus::Active | GrantStatus::Degraded { .. }) => {
            ConnectionStatus::Active
        }
        (status, _) => status,
    };
    std::mem::replace(&mut connection.status, status) != status
}

fn busy() -> Error {
    Error::new(ErrorKind::Conflict, "the row changed each time it was about to be written")
        .with_retry(crate::error::Retry::Temporary)
}
