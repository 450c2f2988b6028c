//! Mail that leaves exactly once: the host's row and our intent are one transaction, the host's own.

use integration_core::{
    ErrorKind, Result,
    email::{Address, Outgoing},
    hub::Hub,
    ids::{ConnectionId, TenantId},
    outbox::{IntentKey, IntentOptions, IntentState, enqueue},
    store::StoreTransaction,
};

use crate::{database::Database, timeline::lost};

/// A mail as somebody wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Made with the form: sent twice, it is still one mail.
    pub(crate) key: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// A mail, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) state: &'static str,
}

/// Writes the row and the intent. What leaves the mailbox, and when, is the outbox's business from here.
///
/// The same form may come twice at the same time, to two of these programs: the one that is later sees the other's intent
/// when it prepares again.
pub(crate) async fn write(
    database: &Database,
    hub: &Hub,
    (tenant, from): (&TenantId, &ConnectionId),
    letter: &Letter,
) -> Result<()> {
    match enqueue_once(database, hub, (tenant, from), letter).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            enqueue_once(database, hub, (tenant, from), letter).await?;
        }
        written => written?,
    }
    // A hint only: without it the next slice of the mailbox notices.
    hub.outbox_changed(tenant, from).await
}

async fn enqueue_once(
    database: &Database,
    hub: &Hub,
    (tenant, from): (&TenantId, &ConnectionId),
    letter: &Letter,
) -> Result<()> {
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new(letter.to.as_str())];
    mail.subject.clone_from(&letter.subject);
    mail.text = Some(letter.text.clone());
    // Before the transaction: it may ask for keys.
    let options = IntentOptions::default().with_key(IntentKey::new(&letter.key));
    let prepared = hub.prepare_send(tenant, from, &mail, options).await?;
    let mut tx = database.pool.begin().await.map_err(lost)?;
    let insert =
        "INSERT INTO crm_outgoing (tenant, key, recipient, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let insert = sqlx::query(insert).bind(tenant.as_str()).bind(&letter.key).bind(&letter.to).bind(&letter.subject);
    insert.execute(&mut *tx).await.map_err(lost)?;
    let mut ours: Box<dyn StoreTransaction + '_> = Box::new(database.store.enlist(&mut tx));
    enqueue(&prepared, &mut *ours).await?;
    ours.commit().await?;
    tx.commit().await.map_err(lost)
}

/// The latest mails.
pub(crate) async fn latest(database: &Database, hub: &Hub, tenant: &TenantId) -> Result<Vec<Shown>> {
    let select =
        "SELECT key, recipient, subject FROM crm_outgoing WHERE tenant = $1 ORDER BY written_at DESC, key LIMIT 10";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(select).bind(tenant.as_str()).fetch_all(&database.pool).await.map_err(lost)?;
    let mut shown = Vec::new();
    for (key, to, subject) in rows {
        let intent = hub.intent(tenant, &IntentKey::new(key)).await?;
        shown.push(Shown { to, subject, state: intent.map_or("unknown here", |intent| word(&intent.state)) });
    }
    Ok(shown)
}

fn word(state: &IntentState) -> &'static str {
    match state {
        IntentState::Cancelled { .. } => "taken back",
        IntentState::Done { .. } => "sent",
        IntentState::Failed { .. } => "failed",
        IntentState::Sending { .. } => "being sent",
        IntentState::Unknown { .. } => "perhaps sent; being looked up",
        IntentState::Waiting => "waiting",
        _ => "of a newer release",
    }
}
