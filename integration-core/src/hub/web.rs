//! What the pages need of a hub.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Hub, read::decoded};
use crate::{
    connection::{Connection, ConnectorProfile},
    error::{Error, ErrorKind, Result},
    ids::{AppId, TenantId},
    secret::SecretBytes,
    store::{Expect, Space, StateKey, StateRow, StateWrite, read_one},
    sync::rows::encode,
    vault::SealContext,
};

const WEB: Space = "web";
/// The key behind the forms belongs to no tenant of the host's.
const OWN: &str = "integration:web";
const FORM_KEY: &str = "form-key";
/// How often the key's row may change while it is read.
const TRIES: usize = 4;

/// The key that the pages' forms are signed with: one for all processes of a store.
#[derive(Clone)]
pub(crate) struct FormKey {
    /// Its row's version: a newer one replaces it.
    pub(crate) version: u64,
    pub(crate) key: std::sync::Arc<SecretBytes>,
}

#[derive(Serialize, Deserialize)]
struct FormKeyRow {
    #[serde(default)]
    version: u16,
    sealed: String,
}

impl Hub {
    pub(crate) fn profile(&self, app: &AppId) -> Option<&ConnectorProfile> {
        self.0.connectors.get(app).map(|connector| connector.profile())
    }

    /// Where a person takes back what was allowed, if the service cannot be told by us.
    pub(crate) fn removal_page(&self, connection: &Connection) -> Option<url::Url> {
        let connector = self.0.connectors.get(&connection.app)?;
        let by_hand = connector.profile().oauth.endpoints.revocation.is_none();
        by_hand.then(|| connector.removal_page(&connection.account)).flatten()
    }

    /// Can an administrator allow the app in advance?
    pub(crate) fn asks_administrators(&self, app: &AppId) -> bool {
        self.profile(app).is_some_and(|profile| profile.oauth.endpoints.admin_consent.is_some())
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.0.clock.now()
    }

    /// 32 random bytes as text.
    pub(crate) fn fresh_token(&self) -> String {
        self.0.random.token(32)
    }

    /// One read of the store: does it answer?
    pub(crate) async fn ready(&self) -> Result<()> {
        read_one(&*self.0.stores.sync, &own(), WEB, StateKey::new([FORM_KEY])).await.map(drop)
    }

    /// The key behind the forms, made on first use. One that can no longer be opened is replaced: forms that were shown
    /// before have to be loaded again.
    pub(crate) async fn form_key(&self) -> Result<FormKey> {
        for _ in 0..TRIES {
            let row = read_one(&*self.0.stores.sync, &own(), WEB, StateKey::new([FORM_KEY])).await?;
            if let Some(row) = &row {
                match self.open_form_key(row).await {
                    Ok(key) => return Ok(FormKey { version: row.version, key: std::sync::Arc::new(key) }),
                    Err(error) if error.retryable() => return Err(error),
                    Err(error) => tracing::warn!(%error, "the key behind the forms cannot be opened; it is replaced"),
                }
            }
            self.make_form_key(row.map_or(Expect::Absent, |row| Expect::Version(row.version))).await?;
        }
        Err(Error::new(ErrorKind::Conflict, "the key behind the forms changed each time it was read"))
    }

    async fn open_form_key(&self, row: &StateRow) -> Result<SecretBytes> {
        let stored: FormKeyRow = decoded(WEB, row)?;
        let damaged =
            |error| Error::new(ErrorKind::Validation, "the key behind the forms is damaged").with_source(error);
        let sealed = STANDARD.decode(&stored.sealed).map_err(damaged)?;
        self.0.sealer.open(&context(), &sealed).await
    }

    /// Writes a new key. That somebody else was faster is fine: theirs is read next.
    async fn make_form_key(&self, expect: Expect) -> Result<()> {
        let mut key = [0; 32];
        self.0.random.fill(&mut key);
        let key = SecretBytes::new(key.to_vec());
        let sealed = self.0.sealer.seal(&context(), key.expose()).await?;
        let row = FormKeyRow { version: 1, sealed: STANDARD.encode(sealed) };
        let bytes = encode(WEB, &row)?;
        let write = StateWrite::put(&own(), WEB, StateKey::new([FORM_KEY]), bytes).expecting(expect);
        let mut transaction = self.0.stores.sync.begin(None).await?;
        let written = match transaction.write(&[write]).await {
            Ok(()) => transaction.commit().await,
            refused => refused,
        };
        match written {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            done => done,
        }
    }
}

fn own() -> TenantId {
    TenantId::new(OWN)
}

fn context() -> SealContext {
    SealContext::new(own(), FORM_KEY, "web")
}
