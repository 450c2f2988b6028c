//! Being told by a service that something changed, beside asking.
//!
//! A notification is a hint: it says that a feed should be asked now, never what changed. Services lose notifications,
//! double them, and tell them late, so polling stays scheduled. A subscription ends by itself; it is renewed before
//! ([`Hub::renew_subscription`](crate::hub::Hub::renew_subscription)).

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    error::Result,
    ids::{ItemKey, PartitionId},
    secret::SecretText,
};

/// Subscriptions of one connection at its service.
#[async_trait]
pub trait PushSource: fmt::Debug + Send + Sync + 'static {
    /// How it tells and for how long; constant for the life of the value.
    fn capabilities(&self) -> &PushCapabilities;

    /// Asks to be told of everything that changes on the connection. Asked twice, a service may tell twice.
    ///
    /// A service may call the target while this call is under way, to see whether it is ours: whoever answers there must
    /// not wait for this to return.
    ///
    /// # Errors
    /// `InvalidInput` for a target that the service does not take; `Unsupported` where it cannot tell about this account;
    /// `OutcomeUnknown` if it may have been done: then it ends by itself.
    async fn subscribe(&self, ask: &Subscribe) -> Result<Subscription>;

    /// Prolongs a subscription. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` if the service does not have it any more: subscribe again, and ask the feeds for what was not told.
    async fn renew(&self, subscription: &Subscription, ask: &Subscribe) -> Result<Subscription>;

    /// Ends a subscription; one that the service does not have is ended already. Safe to repeat.
    ///
    /// # Errors
    /// What the service answers.
    async fn unsubscribe(&self, subscription: &Subscription) -> Result<()>;

    /// What a notification about `resource` (in the service's words) means; `None` if it is about nothing of this
    /// connection.
    fn hint(&self, resource: &str) -> Option<Hint>;
}

/// How a service tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PushCapabilities {
    /// Where to.
    pub transport: PushTransport,
    /// The longest life of a subscription.
    pub longest: Duration,
    /// How long before its end a subscription is renewed.
    pub renew_before: Duration,
    /// Whether notifications carry [`Subscribe::client_state`] as their proof.
    pub client_state: bool,
}

impl PushCapabilities {
    /// A service whose subscriptions live for `longest` at most, and are renewed so long before they end.
    #[must_use]
    pub const fn new(transport: PushTransport, longest: Duration, renew_before: Duration) -> Self {
        Self { transport, longest, renew_before, client_state: false }
    }

    /// Notifications carry the client state.
    #[must_use]
    pub const fn with_client_state(mut self) -> Self {
        self.client_state = true;
        self
    }
}

/// Where a service tells to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PushTransport {
    /// A topic of a message broker.
    Topic,
    /// Calls to an address of ours.
    Webhook,
}

/// Where notifications go.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PushTarget {
    /// A topic, by its whole name.
    Topic(String),
    /// Addresses of ours, public and over HTTPS. What they carry in their query comes with every notification.
    Webhook {
        /// Called when something changes.
        notify: Url,
        /// Called about the subscription itself (it was removed, notifications were missed); absent: nobody is told.
        lifecycle: Option<Url>,
    },
}

impl PushTarget {
    /// One address of ours for both kinds of calls.
    #[must_use]
    pub fn webhook(url: Url) -> Self {
        Self::Webhook { notify: url.clone(), lifecycle: Some(url) }
    }
}

/// What to subscribe with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscribe {
    /// Where notifications go.
    pub target: PushTarget,
    /// A secret that notifications prove themselves with, where the service returns one: compare it in constant time.
    pub client_state: SecretText,
    /// How long it should live; the service's longest unless set.
    pub life: Option<Duration>,
}

impl Subscribe {
    /// To `target`, with a secret of at most 128 letters.
    #[must_use]
    pub fn new(target: PushTarget, client_state: SecretText) -> Self {
        Self { target, client_state, life: None }
    }

    /// Asks for a shorter life.
    #[must_use]
    pub fn with_life(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }
}

/// A subscription at a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subscription {
    /// The service's id of it; notifications name it.
    pub id: String,
    /// What is watched, in the service's words.
    pub resource: String,
    /// When it ends unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

impl Subscription {
    /// A subscription of its parts.
    pub fn new(id: impl Into<String>, resource: impl Into<String>, expires_at: DateTime<Utc>) -> Self {
        Self { id: id.into(), resource: resource.into(), expires_at }
    }
}

/// What a notification asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Hint {
    /// The partition to ask; `None`: nobody knows which, ask all.
    pub partition: Option<PartitionId>,
    /// The item it is about, if it names one: to be fetched, never believed.
    pub item: Option<ItemKey>,
}

impl Hint {
    /// About an item, wherever it lies.
    #[must_use]
    pub fn about(item: ItemKey) -> Self {
        Self { partition: None, item: Some(item) }
    }
}
