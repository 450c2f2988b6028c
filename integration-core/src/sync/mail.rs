//! The engine for one mailbox, usable without a hub.

use std::sync::Arc;

use super::{
    audit::AuditCost,
    engine::{Engine, SliceEnd, SyncOptions},
    feed::Feed,
    rows::Keys,
    shutdown::Shutdown,
};
use crate::{
    activity::{Directory, MailApplier, Sink},
    clock::Clock,
    email::MailItem,
    error::Result,
    event::EventListener,
    ids::{ConnectionId, TenantId},
    store::{LeaseStore, SyncStore},
    vault::Sealer,
};

/// Everything the sync of one mailbox is made of. The hub makes one from its own parts.
#[derive(Clone, Debug)]
pub struct MailSync {
    /// Whose.
    pub tenant: TenantId,
    /// Which connection.
    pub connection: ConnectionId,
    /// The mailbox's own addresses, lower case.
    pub own: Vec<String>,
    /// The feed for the head and what it brings.
    pub live: Arc<dyn Feed<Item = MailItem>>,
    /// The same feed for history, with lower priority.
    pub backfill: Arc<dyn Feed<Item = MailItem>>,
    /// The host's contacts.
    pub directory: Arc<dyn Directory>,
    /// Rows and transactions.
    pub store: Arc<dyn SyncStore>,
    /// Who works on what.
    pub leases: Arc<dyn LeaseStore>,
    /// Seals quarantined items.
    pub sealer: Arc<dyn Sealer>,
    /// Where the host receives activities.
    pub sink: Arc<dyn Sink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who wants to know.
    pub events: Arc<dyn EventListener>,
    /// How it works.
    pub options: SyncOptions,
    /// Units a second that the quota gives history in the long run ([`Usage`](crate::http::Usage)); absent: the progress
    /// names no time.
    pub units_per_second: Option<f64>,
}

impl MailSync {
    /// Works for at most [`SyncOptions::slice`]. Safe to call again at any time, from any process.
    ///
    /// # Errors
    /// What the service, the directory, the sink or the store reports; nothing is lost, the next slice goes on.
    pub async fn slice(self, stop: &Shutdown) -> Result<SliceEnd> {
        self.engine().slice(stop).await
    }

    /// Gives everything in quarantine that can be asked for again a place in the queue; the next slices fetch it. Returns
    /// how many; `None` while another worker is busy with this mailbox. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn replay(self) -> Result<Option<u64>> {
        self.engine().replay().await
    }

    /// Begins a comparison with the service; the next slices carry it out. False while another worker is busy with this
    /// mailbox. Safe to repeat.
    ///
    /// # Errors
    /// What the feed's partitions report; `Store`.
    pub async fn begin_audit(self) -> Result<bool> {
        self.engine().begin_audit().await
    }

    /// What an audit will cost, from what is known now.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn audit_cost(self) -> Result<AuditCost> {
        self.engine().audit_cost().await
    }

    /// Decides anew what was asked for, from what is stored, for at most [`SyncOptions::slice`]: true once nothing is left,
    /// `None` while another worker is busy with this mailbox. Safe to repeat.
    ///
    /// # Errors
    /// What the directory, the sink or the store reports.
    pub async fn decide_again(self, stop: &Shutdown) -> Result<Option<bool>> {
        self.engine().decide_again(stop).await
    }

    pub(crate) fn engine(self) -> Engine<MailItem> {
        let applier = MailApplier {
            tenant: self.tenant.clone(),
            connection: self.connection.clone(),
            own: self.own,
            own_domains: self.options.own_domains.clone(),
            lists: Arc::clone(&self.options.lists),
            patience: self.options.lease,
            seen: crate::activity::Seen::default(),
            directory: self.directory,
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
        };
        Engine {
            keys: Keys { tenant: self.tenant, connection: self.connection, kind: "mail" },
            live: self.live,
            backfill: self.backfill,
            applier: Arc::new(applier),
            store: self.store,
            leases: self.leases,
            sealer: self.sealer,
            sink: self.sink,
            clock: self.clock,
            events: self.events,
            options: self.options,
            units_per_second: self.units_per_second,
        }
    }
}
