//! Subscriptions to a mailbox. Source: <https://learn.microsoft.com/graph/api/resources/subscription>.
//!
//! One subscription for all folders. Notifications carry ids that stay; they are hints all the same.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use integration_core::{
    ErrorKind, Result,
    http::{Response, Session},
    ids::ItemKey,
    push::{Hint, PushCapabilities, PushSource, PushTarget, PushTransport, Subscribe, Subscription},
};

use super::{convert, error, wire};
use crate::client::{Client, operation};

/// The service's longest is 10,080 minutes from when it reads this, by its own clock.
const LONGEST: Duration = Duration::from_secs(10_070 * 60);
/// What it was before, and still is here and there.
const LONGEST_ONCE: Duration = Duration::from_secs(4_230 * 60);
/// It raises anything shorter to this.
const SHORTEST: Duration = Duration::from_secs(45 * 60);
const CAPABILITIES: PushCapabilities =
    PushCapabilities::new(PushTransport::Webhook, LONGEST, Duration::from_secs(10_070 * 30)).with_client_state();
/// The most letters of a client state.
const LONGEST_STATE: usize = 128;

/// Tells of changes in one mailbox.
#[derive(Clone, Debug)]
pub(crate) struct OutlookPush {
    session: Session,
    client: Client,
}

impl OutlookPush {
    /// Of the mailbox that `client` opens, over `session`.
    pub(crate) fn new(session: Session, client: Client) -> Self {
        let client = client.with_random(std::sync::Arc::clone(&session.parts().random));
        Self { session, client }
    }

    fn ends(&self, life: Duration) -> String {
        let life = TimeDelta::from_std(life.clamp(SHORTEST, LONGEST)).unwrap_or_default();
        (self.session.parts().clock.now() + life).to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    async fn create(&self, ask: &Subscribe, life: Duration) -> Result<Response> {
        let PushTarget::Webhook { notify, lifecycle } = &ask.target else {
            return Err(refused("mail is told of to an address, not to a topic"));
        };
        if ask.client_state.expose().chars().count() > LONGEST_STATE {
            return Err(refused("the client state is longer than 128 letters"));
        }
        let proof = (ask.client_state.expose().as_str(), &*self.ends(life));
        self.session.send(self.client.subscribe(notify, lifecycle.as_ref(), proof)?).await
    }
}

#[async_trait]
impl PushSource for OutlookPush {
    fn capabilities(&self) -> &PushCapabilities {
        &CAPABILITIES
    }

    async fn subscribe(&self, ask: &Subscribe) -> Result<Subscription> {
        let life = ask.life.unwrap_or(LONGEST);
        let answer = match self.create(ask, life).await {
            // The longest life is another one here and there; whatever else it refuses, it refuses again.
            Err(error) if error.kind() == ErrorKind::InvalidInput && life > LONGEST_ONCE => {
                self.create(ask, LONGEST_ONCE).await?
            }
            answer => answer?,
        };
        subscription(&answer)
    }

    async fn renew(&self, subscription: &Subscription, ask: &Subscribe) -> Result<Subscription> {
        let life = ask.life.unwrap_or(LONGEST);
        let prolong = |life| self.client.prolong(&subscription.id, &self.ends(life));
        let answer = match self.session.send(prolong(life)?).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput && life > LONGEST_ONCE => {
                self.session.send(prolong(LONGEST_ONCE)?).await?
            }
            answer => answer?,
        };
        self::subscription(&answer)
    }

    async fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        match self.session.send(self.client.unsubscribe(&subscription.id)?).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            ended => ended.map(drop),
        }
    }

    fn hint(&self, resource: &str) -> Option<Hint> {
        message_of(resource).map(|id| Hint::about(ItemKey::new(id)))
    }
}

fn subscription(answer: &Response) -> Result<Subscription> {
    let wire: wire::Subscription = answer.json()?;
    let ends: Option<DateTime<Utc>> = convert::instant(wire.expiration_date_time.as_deref());
    let wrong = || error(ErrorKind::Validation, "a subscription came without its id or its end");
    let ends = ends.filter(|_| !wire.id.is_empty()).ok_or_else(|| wrong().with_operation(operation::SUBSCRIBE))?;
    Ok(Subscription::new(wire.id, wire.resource, ends))
}

/// The id in `Users/{user}/Messages/{id}`, in whatever case and quotes.
fn message_of(resource: &str) -> Option<&str> {
    let (before, id) = match resource.strip_suffix("')") {
        Some(quoted) => quoted.rsplit_once("('")?,
        None => resource.rsplit_once('/')?,
    };
    let kind = before.rsplit('/').next().unwrap_or_default();
    (kind.eq_ignore_ascii_case("messages") && !id.is_empty()).then_some(id)
}

fn refused(message: &str) -> integration_core::Error {
    error(ErrorKind::InvalidInput, message).with_operation(operation::SUBSCRIBE)
}

#[cfg(test)]
mod tests {
    use super::message_of;

    #[test]
    fn a_message_is_named_in_any_case_and_quoting() {
        for (resource, id) in [
            ("Users/u/Messages/AAk=", Some("AAk=")),
            ("users('u')/messages('A/k=')", Some("A/k=")),
            ("Users/u@example.com/mailFolders('inbox')/Messages/x", Some("x")),
            ("Users/u/Events/x", None),
            ("Users/u/Messages/", None),
            ("messages", None),
            ("')", None),
            ("", None),
        ] {
            assert_eq!(message_of(resource), id, "{resource}");
        }
    }
}
