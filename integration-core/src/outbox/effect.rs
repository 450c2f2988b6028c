//! What an outbox can do at a service: sending mail is the first, others are added by kind.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::intent::IntentKey;
use crate::{
    connection::{Capability, Connection, Connector},
    email::{LookUp, Sent},
    error::Result,
    http::Session,
};

/// What an effect is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EffectCall {
    /// The connection that acts.
    pub connection: Connection,
    /// Makes providers.
    pub connector: Arc<dyn Connector>,
    /// What they are made on; begins nothing after the attempt's time.
    pub session: Session,
    /// Which intent.
    pub intent: IntentKey,
    /// The key for the service: the same for every attempt.
    pub token: String,
    /// How long ago the service was first asked for it: a look-up need not look further back.
    pub age: Duration,
    /// How long ago the last call that asked for it had ended for good: a look-up need not look at what is newer. `None`:
    /// one may still be on its way.
    pub ended: Option<Duration>,
    /// How thoroughly [`Effect::find`] is to look: nothing is repeated without proof.
    pub look_up: LookUp,
    /// What was prepared, opened.
    pub content: Arc<[u8]>,
}

/// What happened at the service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Performed {
    /// What kind of record it is there (`message`).
    pub kind: &'static str,
    /// Its id there.
    pub id: String,
    /// Its version there, where it has one.
    pub version: Option<String>,
    /// The mail that left, if it was one.
    pub mail: Option<Sent>,
}

impl Performed {
    /// A record of this kind and id now exists at the service.
    pub fn new(kind: &'static str, id: impl Into<String>) -> Self {
        Self { kind, id: id.into(), version: None, mail: None }
    }

    /// With the version it now has.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}

/// One kind of write.
///
/// The outbox calls [`Effect::perform`] again only where it is certain that the call before had no effect; how certain that
/// is depends on what an implementation reports:
///
/// * [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) and [`Validation`](crate::ErrorKind::Validation) (the answer could
///   not be read), a panic, and no end within time: it may have happened. It is looked up.
/// * Every other error promises that nothing happened. Temporary ones are tried again, the others end the intent.
///
/// Calls through a [`Session`] with [`Repeat::Never`](crate::http::Repeat::Never) keep that promise by themselves.
#[async_trait]
pub trait Effect: fmt::Debug + Send + Sync + 'static {
    /// What intents of this kind are called (`send_mail`).
    fn kind(&self) -> &'static str;

    /// What a connection must have been granted for it: an intent is refused at once where that is missing. Nothing
    /// unless overridden.
    fn needs(&self) -> &[Capability] {
        &[]
    }

    /// Does it.
    ///
    /// # Errors
    /// See the trait.
    async fn perform(&self, call: &EffectCall) -> Result<Performed>;

    /// Looks for it, under [`EffectCall::token`]. Unless only a glance is asked for ([`EffectCall::look_up`]), `None` is
    /// taken for the proof that it did not happen.
    ///
    /// # Errors
    /// Whatever the service answers. Temporary errors are asked again later; after others nobody can know, and the intent
    /// fails as unknown, never repeated.
    async fn find(&self, call: &EffectCall) -> Result<Option<Performed>>;
}
