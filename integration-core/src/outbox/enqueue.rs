//! Prepared outside, written inside.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest;

use super::{
    intent::{Intent, IntentKey, IntentOptions, IntentState},
    options::OutboxOptions,
    rows::{due_key, intent_key, place_of, put, read_intent, spaces, subject_of, whole},
    sent::SentItem,
};
use crate::{
    clock::{Clock, Random},
    connection::Connection,
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{CounterKey, Expect, StateWrite, StoreTransaction, SyncStore},
    vault::{SealContext, Sealer},
};

/// The longest key and order, in bytes.
const MAX_NAME: usize = 200;

/// What preparing needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxParts {
    /// Rows and transactions.
    pub store: Arc<dyn SyncStore>,
    /// Seals what is to be done.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys.
    pub random: Arc<dyn Random>,
}

/// An intent that is ready to be enqueued; nothing is stored yet.
#[derive(Clone, Debug)]
pub struct PreparedIntent {
    tenant: TenantId,
    intent: Intent,
    body: Bytes,
    known: bool,
    pub(super) sent: Option<SentItem>,
}

impl PreparedIntent {
    /// The intent, as it will be; as it is, if it is known.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// Was it enqueued before, under the same key with the same content? Enqueuing then does nothing.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }
}

impl OutboxParts {
    /// The parts.
    pub fn new(
        store: Arc<dyn SyncStore>,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { store, sealer, clock, random }
    }

    /// Prepares an intent of any kind: `token` is the key under which the service, or a look-up at it, will know the write.
    /// Changes nothing.
    ///
    /// # Errors
    /// `InvalidInput` for what is too large; `Conflict` if the key was used for something else; `Store`; what the sealer
    /// reports.
    pub async fn prepare(
        &self,
        (connection, kind): (&Connection, &str),
        token: &str,
        content: &[u8],
        (options, limits): (IntentOptions, &OutboxOptions),
    ) -> Result<PreparedIntent> {
        checked(&options, content, limits)?;
        let tenant = connection.tenant.clone();
        let (key, asked) = match &options.key {
            Some(key) => (key.clone(), read_intent(&*self.store, &tenant, key).await?),
            None => (IntentKey::new(self.random.token(18)), None),
        };
        if let Some((intent, _)) = asked {
            return same(tenant, intent, (connection, kind), content);
        }
        let salt = self.random.token(18);
        let now = self.store.now().await?;
        let due = whole(options.not_before.map_or(now, |at| at.max(now)));
        let intent = Intent {
            connection: connection.id.clone(),
            kind: kind.to_owned(),
            state: IntentState::Waiting,
            token: token.to_owned(),
            created_at: now,
            due,
            until: None,
            first_attempt: None,
            attempts: 0,
            times_unknown: 0,
            setback: None,
            order: options.order,
            sequence: None,
            digest: digest(&salt, content),
            salt,
            key,
        };
        let body = self.sealer.seal(&context(&tenant, &intent.key), content).await?;
        Ok(PreparedIntent { tenant, intent, body, known: false, sent: None })
    }
}

/// The intent that exists already, if that is what is meant.
fn same(
    tenant: TenantId,
    intent: Intent,
    (connection, kind): (&Connection, &str),
    content: &[u8],
) -> Result<PreparedIntent> {
    let equal =
        intent.connection == connection.id && intent.kind == kind && intent.digest == digest(&intent.salt, content);
    if !equal {
        let message = "this key was used for another intent; take a new key for what is new";
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(PreparedIntent { tenant, intent, body: Bytes::new(), known: true, sent: None })
}

fn checked(options: &IntentOptions, content: &[u8], limits: &OutboxOptions) -> Result<()> {
    let refused = |what: &str| Err(Error::new(ErrorKind::InvalidInput, what));
    let name = |name: Option<&str>| name.is_none_or(|name| !name.is_empty() && name.len() <= MAX_NAME);
    if !name(options.key.as_ref().map(IntentKey::as_str)) {
        return refused("key: must have between 1 and 200 bytes");
    }
    if !name(options.order.as_deref()) {
        return refused("order: must have between 1 and 200 bytes");
    }
    if content.len() > limits.max_bytes {
        return refused("the content is larger than the outbox takes");
    }
    Ok(())
}

/// Salted, so that equal contents do not show.
fn digest(salt: &str, content: &[u8]) -> String {
    let mut digest = sha2::Sha256::new();
    digest.update(salt.len().to_le_bytes());
    digest.update(salt);
    digest.update(content);
    hex::encode(digest.finalize())
}

pub(crate) fn context(tenant: &TenantId, key: &IntentKey) -> SealContext {
    SealContext::new(tenant.clone(), key.as_str(), "outbox")
}

/// Writes a prepared intent within a transaction: ours, a sink's, or the host's own that the store was enlisted in. It
/// exists exactly if that transaction commits, and is carried out after that. Once only per [`PreparedIntent`].
///
/// An order takes a number of the tenant's, so that transactions that enqueue ordered intents wait for each other.
///
/// # Errors
/// `Conflict` if another transaction used the same key meanwhile: roll back, prepare again, and see whether it is the same
/// intent. `Store` if the storage fails.
pub async fn enqueue(prepared: &PreparedIntent, tx: &mut dyn StoreTransaction) -> Result<()> {
    let PreparedIntent { tenant, intent, body, known, sent } = prepared;
    if *known {
        return Ok(());
    }
    let mut intent = intent.clone();
    if intent.order.is_some() {
        intent.sequence = Some(tx.next(&CounterKey::new(tenant.clone(), "outbox")).await?);
    }
    let key = intent_key(&intent.key);
    let mut writes = vec![
        put(tenant, spaces::INTENTS, key.clone(), &intent)?.expecting(Expect::Absent),
        StateWrite::put(tenant, spaces::BODIES, key, body.clone()),
        StateWrite::put(tenant, spaces::DUE, due_key(&intent.connection, intent.due, &subject_of(&intent)), "1"),
    ];
    writes.extend(place_of(&intent).map(|place| StateWrite::put(tenant, spaces::ORDER, place, "1")));
    if let Some(sent) = sent {
        writes.push(sent.row(tenant)?);
        writes.extend(sent.index(tenant));
    }
    tx.write(&writes).await
}
