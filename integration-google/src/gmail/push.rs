//! Watching a mailbox. Source: <https://developers.google.com/workspace/gmail/api/guides/push>.
//!
//! The service publishes to a topic of a message broker, in the project of the app; a mailbox has one watch for each
//! project. A notification names the mailbox and how far it changed: that is no place to go on from, and never used as one.

use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use integration_core::{
    Error, ErrorKind, Result,
    http::{Response, Session},
    push::{Hint, PushCapabilities, PushSource, PushTarget, PushTransport, Subscribe, Subscription},
};

use super::wire;
use crate::client::{Client, operation};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The service asks to renew a watch every day, although it lives for seven.
const CAPABILITIES: PushCapabilities =
    PushCapabilities::new(PushTransport::Topic, DAY.saturating_mul(7), DAY.saturating_mul(6));

/// Tells of changes in one mailbox.
#[derive(Clone, Debug)]
pub(crate) struct GmailPush {
    session: Session,
    client: Client,
}

impl GmailPush {
    /// Of the mailbox that `session` opens.
    pub(crate) fn new(session: Session, client: Client) -> Self {
        Self { session, client }
    }

    async fn watch(&self, ask: &Subscribe) -> Result<Response> {
        let PushTarget::Topic(topic) = &ask.target else {
            let refusal = error(ErrorKind::InvalidInput, "mail is told of to a topic, not to an address");
            return Err(refusal.with_operation(operation::WATCH));
        };
        match self.session.send(self.client.watch(topic)?).await {
            // Another topic has the mailbox's only watch: it is replaced.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.session.send(self.client.stop()?).await?;
                self.session.send(self.client.watch(topic)?).await
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl PushSource for GmailPush {
    fn capabilities(&self) -> &PushCapabilities {
        &CAPABILITIES
    }

    async fn subscribe(&self, ask: &Subscribe) -> Result<Subscription> {
        let wire: wire::Watch = self.watch(ask).await?.json()?;
        let ends = wire.expiration.and_then(|ends| DateTime::from_timestamp_millis(i64::try_from(ends).ok()?));
        let missing = || error(ErrorKind::Validation, "a watch came without its end").with_operation(operation::WATCH);
        // It has no id: the mailbox has one.
        Ok(Subscription::new("watch", "users/me", ends.ok_or_else(missing)?))
    }

    async fn renew(&self, _: &Subscription, ask: &Subscribe) -> Result<Subscription> {
        self.subscribe(ask).await
    }

    async fn unsubscribe(&self, _: &Subscription) -> Result<()> {
        self.session.send(self.client.stop()?).await.map(drop)
    }

    /// The address of the mailbox, as the notification names it.
    fn hint(&self, resource: &str) -> Option<Hint> {
        let (_, account) = self.session.parts().connection.as_ref()?;
        let address = resource.trim().to_lowercase();
        account.addresses.contains(&address).then(Hint::default)
    }
}

fn error(kind: ErrorKind, message: &str) -> Error {
    Error::new(kind, message).with_service("google")
}
