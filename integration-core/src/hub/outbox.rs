//! The outbox as a host uses it: prepare, watch, take back, try again; and the job that works it off.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Hub, choices::put, missing, read::decoded};
use crate::{
    connection::{Capability, Connection, ConnectionStatus},
    email::Outgoing,
    error::{Error, ErrorKind, Result},
    http::Priority,
    ids::{ConnectionId, TenantId},
    outbox::{
        Effect, Intent, IntentKey, IntentOptions, IntentState, Link, Links, Ours, Outbox, OutboxEnd, OutboxParts,
        PreparedIntent, SentItem, prepare_mail, rows,
    },
    page::{Page, PageToken},
    store::{CounterKey, Expect, StateKey, StateQuery, StateWrite},
    sync::{Job, Shutdown},
};

/// How often an intent is read again because somebody wrote it in between.
const TRIES: usize = 8;

impl Hub {
    /// Prepares a mail: validates it, chooses its `Message-ID`, seals it. Nothing is stored and no service is asked; what
    /// [`outbox::enqueue`](crate::outbox::enqueue) writes within a transaction is what will be sent. Safe to repeat.
    ///
    /// # Example
    /// ```
    /// # async fn f(hub: &integration_core::hub::Hub, tenant: &integration_core::ids::TenantId,
    /// #     connection: &integration_core::ids::ConnectionId, store: &dyn integration_core::store::SyncStore)
    /// #     -> integration_core::Result<()> {
    /// use integration_core::{email::{Address, Outgoing}, outbox::{self, IntentKey, IntentOptions}};
    ///
    /// let mut mail = Outgoing::default();
    /// mail.to = vec![Address::new("bo@acme.example")];
    /// mail.subject = "Offer 7".to_owned();
    /// mail.text = Some("As promised.".to_owned());
    /// // The key is the host's own: asking again after a crash is the same intent, never a second mail.
    /// let options = IntentOptions::default().with_key(IntentKey::new("offer-7"));
    /// let prepared = hub.prepare_send(tenant, connection, &mail, options).await?;
    /// let mut tx = store.begin(None).await?; // or the host's own transaction, enlisted
    /// outbox::enqueue(&prepared, &mut *tx).await?;
    /// tx.commit().await?;
    /// hub.outbox_changed(tenant, connection).await?; // only a hint: without it the next sync notices
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `MissingScope` if sending was not granted, with what to ask
    /// for; `InvalidInput` naming the field; `Conflict` if the key was used for something else; `Store`.
    pub async fn prepare_send(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        mail: &Outgoing,
        options: IntentOptions,
    ) -> Result<PreparedIntent> {
        let (connection, _) = self.known(tenant, id).await?;
        self.check_allowed(&connection, &[Capability::MailSend])?;
        prepare_mail(&self.outbox_parts(), &connection, mail, options, &self.0.outbox).await
    }

    /// Prepares an intent of the kind of a registered [`Effect`]: `content` is handed to it. Its token is made by us.
    ///
    /// # Errors
    /// As [`Hub::prepare_send`]; `MissingScope` if what the effect [needs](Effect::needs) was not granted; `Misconfigured`
    /// for a kind that nothing is registered for.
    pub async fn prepare_intent(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        (kind, content): (&str, &[u8]),
        options: IntentOptions,
    ) -> Result<PreparedIntent> {
        let (connection, _) = self.known(tenant, id).await?;
        let Some(effect) = self.0.effects.get(kind) else {
            let message = format!("nothing is registered that can do {kind}; add it with with_effect");
            return Err(Error::new(ErrorKind::Misconfigured, message));
        };
        self.check_allowed(&connection, effect.needs())?;
        let token = self.0.random.token(18);
        self.outbox_parts().prepare((&connection, kind), &token, content, (options, &self.0.outbox)).await
    }

    fn check_allowed(&self, connection: &Connection, needed: &[Capability]) -> Result<()> {
        let lacking = needed.iter().find(|capability| !connection.capabilities.contains(capability));
        match lacking {
            Some(lacking) => Err(missing(&**self.connector(&connection.app)?, *lacking)),
            None => Ok(()),
        }
    }

    /// Tells that an intent was committed: its connection's outbox is looked at at once. Only a hint; without it the next
    /// slice of the connection's sync notices. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if it cannot be kept.
    pub async fn outbox_changed(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        self.0.scheduler.schedule(&Job::outbox(tenant, id), Duration::ZERO).await
    }

    /// A page of a tenant's intents, in the order of their keys; up to 500.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn outbox(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<Page<Intent>> {
        self.page_of((tenant, rows::spaces::INTENTS, String::new()), page, |row| decoded(rows::spaces::INTENTS, &row))
            .await
    }

    /// One intent; `None` if there is none of this key.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn intent(&self, tenant: &TenantId, key: &IntentKey) -> Result<Option<Intent>> {
        Ok(rows::read_intent(&*self.0.stores.sync, tenant, key).await?.map(|(intent, _)| intent))
    }

    /// The mail of an intent, and what came back of it; `None` if there is none.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn sent_item(&self, tenant: &TenantId, key: &IntentKey) -> Result<Option<SentItem>> {
        let row = rows::read_row(&*self.0.stores.sync, tenant, rows::spaces::SENT, rows::intent_key(key)).await?;
        Ok(row.map(|(item, _)| item))
    }

    /// A tenant's links between records here and at services.
    #[must_use]
    pub fn links<'a>(&'a self, tenant: &'a TenantId) -> Links<'a> {
        Links::new(&*self.0.stores.sync, tenant)
    }

    /// Takes an intent back that is waiting, or gives up one that has failed; its content is deleted. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` if there is none of this key; `Conflict` if it is under way, may have happened, or is done; `Store`.
    pub async fn cancel_intent(&self, tenant: &TenantId, key: &IntentKey) -> Result<()> {
        let now = self.0.stores.sync.now().await?;
        self.change_intent(tenant, key, |intent| match intent.state {
            IntentState::Cancelled { .. } => Ok(Vec::new()),
            IntentState::Failed { .. } | IntentState::Waiting => {
                intent.state = IntentState::Cancelled { at: now };
                Ok(vec![StateWrite::delete(tenant, rows::spaces::BODIES, rows::intent_key(key))])
            }
            IntentState::Done { .. } | IntentState::Sending { .. } | IntentState::Unknown { .. } => {
                let message = "the intent is under way, may have happened, or is done: it cannot be taken back";
                Err(Error::new(ErrorKind::Conflict, message))
            }
        })
        .await
    }

    /// Tries an intent again that has failed, with fresh budgets; an ordered one goes to the end of its order. Where its
    /// outcome was never known, this may do it twice: look first. Later look-ups then reach back to the first attempt;
    /// otherwise to the first of the new ones. Nothing happens to one that waits. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` if there is none of this key; `Conflict` if it is under way, done or cancelled; `Store`.
    pub async fn retry_failed(&self, tenant: &TenantId, key: &IntentKey) -> Result<()> {
        let now = self.0.stores.sync.now().await?;
        let mut connection = None;
        self.change_intent(tenant, key, |intent| match intent.state {
            IntentState::Waiting => Ok(Vec::new()),
            IntentState::Failed { .. } => {
                // An earlier release kept it for attempts that were refused.
                if intent.times_unknown == 0 {
                    intent.first_attempt = None;
                }
                (intent.state, intent.attempts, intent.due) = (IntentState::Waiting, 0, rows::whole(now));
                (intent.until, intent.sequence) = (None, None);
                connection = Some(intent.connection.clone());
                let at = rows::due_key(&intent.connection, intent.due, &rows::subject_of(intent));
                Ok(vec![StateWrite::put(tenant, rows::spaces::DUE, at, "1")])
            }
            _ => Err(Error::new(ErrorKind::Conflict, "only an intent that has failed can be tried again")),
        })
        .await?;
        match connection {
            Some(connection) => self.outbox_changed(tenant, &connection).await,
            None => Ok(()),
        }
    }

    /// Changes an intent with compare-and-set; an ordered one without a place gets the next.
    async fn change_intent(
        &self,
        tenant: &TenantId,
        key: &IntentKey,
        mut change: impl FnMut(&mut Intent) -> Result<Vec<StateWrite>> + Send,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let found = rows::read_intent(&*self.0.stores.sync, tenant, key).await?;
            let unknown = || Error::new(ErrorKind::NotFound, "this tenant has no such intent");
            let (before, version) = found.ok_or_else(unknown)?;
            let mut intent = before.clone();
            let mut writes = change(&mut intent)?;
            if intent == before {
                return Ok(());
            }
            let mut tx = self.0.stores.sync.begin(None).await?;
            if intent.order.is_some() && intent.sequence.is_none() {
                intent.sequence = Some(tx.next(&CounterKey::new(tenant.clone(), "outbox")).await?);
                let place = rows::place_of(&intent);
                writes.extend(place.map(|place| StateWrite::put(tenant, rows::spaces::ORDER, place, "1")));
            }
            let row = put(tenant, rows::spaces::INTENTS, rows::intent_key(key), &intent)?;
            writes.push(row.expecting(Expect::Version(version)));
            let done = async {
                tx.write(&writes).await?;
                tx.commit().await
            };
            match done.await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the intent is written too often at the moment; try again"))
    }

    /// One slice of a connection's outbox; `None` for a connection that is not to be worked on.
    pub(super) async fn work_outbox(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        stop: &Shutdown,
    ) -> Result<Option<OutboxEnd>> {
        let (connection, grant) = self.known(tenant, id).await?;
        if connection.status == ConnectionStatus::Paused {
            return Ok(None);
        }
        let outbox = Outbox {
            parts: self.outbox_parts(),
            connector: Arc::clone(self.connector(&connection.app)?),
            session: self.session_of(&connection, &grant, Priority::Live)?,
            leases: Arc::clone(&self.0.stores.leases),
            events: Arc::clone(&self.0.events),
            kept: self.0.sync.events,
            effects: self.0.effects.clone(),
            options: self.0.outbox.clone(),
            connection,
        };
        let running = self.begin_run(tenant, id, stop);
        let end = outbox.slice(&running.stop).await?;
        let cancelled = running.stop.stopping() && !stop.stopping();
        Ok(if cancelled { None } else { Some(end) })
    }

    /// When the outbox job of a connection wants to run again. One that is not synced looks by itself for what is enqueued
    /// without a hint.
    pub(super) async fn outbox_again(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        next: Option<Duration>,
    ) -> Option<Duration> {
        let synced = self.known(tenant, id).await.is_ok_and(|(connection, _)| is_synced(&connection));
        let poll = (!synced).then_some(self.0.sync.poll);
        next.into_iter().chain(poll).min()
    }

    /// Schedules the outbox of a connection if something in it is due: what was enqueued without a hint.
    pub(super) async fn notice_outbox(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        let (tenant_id, prefix) = (tenant.clone(), rows::due_prefix(id));
        let query = StateQuery::Range { tenant: tenant_id, space: rows::spaces::DUE, prefix, after: None, limit: 1 };
        let first = self.0.stores.sync.read(&query).await?.pop();
        let Some(entry) = first.map(|row| rows::DueEntry::read(&row)).transpose()? else { return Ok(()) };
        if entry.at <= self.0.stores.sync.now().await? {
            self.outbox_changed(tenant, id).await?;
        }
        Ok(())
    }

    /// Deletes what the outbox keeps for a connection.
    pub(super) async fn erase_outbox(&self, tenant: &TenantId, id: &ConnectionId) -> Result<()> {
        use rows::spaces;
        let intents: Vec<Intent> =
            self.all(tenant, spaces::INTENTS, String::new(), |row| decoded(spaces::INTENTS, &row)).await?;
        for intent in intents.into_iter().filter(|intent| intent.connection == *id) {
            self.forget_whatever_happens(tenant, &intent.key).await?;
        }
        let (below, links) = (StateKey::new([id.as_str()]).below(), self.links(tenant));
        let made: Vec<Link> =
            self.all(tenant, spaces::LINKS_BACK, below, |row| decoded(spaces::LINKS_BACK, &row)).await?;
        for made in made.chunks(200) {
            let mut tx = self.0.stores.sync.begin(None).await?;
            for link in made {
                links.remove(link, &mut *tx).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    async fn forget_whatever_happens(&self, tenant: &TenantId, key: &IntentKey) -> Result<()> {
        for _ in 1..TRIES {
            match self.forget_intent(tenant, key, Expect::Any).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        self.forget_intent(tenant, key, Expect::Any).await
    }

    /// Deletes an intent, its content, what left and the links to it; `Conflict` if it is not as expected, or if the sync
    /// has just noted an answer to it.
    pub(super) async fn forget_intent(&self, tenant: &TenantId, key: &IntentKey, expect: Expect) -> Result<()> {
        use rows::spaces;
        let delete = |space| StateWrite::delete(tenant, space, rows::intent_key(key));
        let mut writes = vec![delete(spaces::INTENTS).expecting(expect), delete(spaces::BODIES)];
        let (store, at) = (&*self.0.stores.sync, rows::intent_key(key));
        let sent: Option<(SentItem, u64)> = rows::read_row(store, tenant, spaces::SENT, at).await?;
        if let Some((item, version)) = sent {
            // Or the index would keep an id that the sync adds at this moment.
            writes.push(delete(spaces::SENT).expecting(Expect::Version(version)));
            let ids = std::iter::once(&item.message_id).chain(&item.sent_message_id);
            writes.extend(ids.map(|id| StateWrite::delete(tenant, spaces::SENT_IDS, StateKey::new([id]))));
        }
        let links = self.links(tenant);
        let made = links.of_ours(&Ours::new("intent", key.as_str())).await?;
        let mut tx = self.0.stores.sync.begin(None).await?;
        tx.write(&writes).await?;
        for link in &made {
            links.remove(link, &mut *tx).await?;
        }
        tx.commit().await
    }

    fn outbox_parts(&self) -> OutboxParts {
        let inner = &self.0;
        OutboxParts::new(
            Arc::clone(&inner.stores.sync),
            Arc::clone(&inner.sealer),
            Arc::clone(&inner.clock),
            Arc::clone(&inner.random),
        )
    }
}

/// Is its mail followed, so that its sync notices what is due?
pub(super) fn is_synced(connection: &Connection) -> bool {
    connection.capabilities.contains(&Capability::MailRead)
}

/// What can be done without anything registered.
pub(super) fn bundled() -> BTreeMap<&'static str, Arc<dyn Effect>> {
    let mail = Arc::new(crate::outbox::SendMail) as Arc<dyn Effect>;
    BTreeMap::from([(crate::outbox::SEND_MAIL, mail)])
}
