//! One step of one intent: an attempt, or a look-up of what an attempt left open.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;

use super::{
    effect::{Effect, EffectCall, Performed},
    enqueue::context,
    intent::{Intent, IntentFailure, IntentState},
    link::{Link, Origin, Ours, Theirs},
    mail::performed,
    rows::{intent_key, later, put, read_intent, read_row, spaces, whole},
    sent::SentItem,
    worker::{About, Outbox},
};
use crate::{
    email::{LookUp, Sent},
    error::{Actor, Error, ErrorKind, Remedy, Result, Retry},
    event::Event,
    http::Session,
    store::{Expect, StateKey, StateWrite, read_one},
};

/// How often the end of an intent is written again because the sync wrote its rows in between.
const TRIES: usize = 8;
/// The wait where somebody has to act, or a long quota is spent, and nobody said how long.
const PATIENT: Duration = Duration::from_secs(900);

impl Outbox {
    pub(super) async fn step(&self, about: &About<'_>, intent: Intent, version: u64) -> Result<()> {
        match intent.state {
            IntentState::Waiting => self.attempt(about, intent, version).await,
            // We hold the lease, so whoever wrote that is gone.
            IntentState::Sending { .. } => {
                let message = "the worker ended in the middle; it is looked up before it is repeated";
                self.doubt(about, (intent, version), &Error::new(ErrorKind::OutcomeUnknown, message)).await
            }
            IntentState::Unknown { since, look_ups } => self.look_up(about, (intent, version), (since, look_ups)).await,
            IntentState::Cancelled { .. } | IntentState::Done { .. } | IntentState::Failed { .. } => Ok(()),
        }
    }

    async fn attempt(&self, about: &About<'_>, mut intent: Intent, version: u64) -> Result<()> {
        let now = self.now();
        // The sync may have met it after it was believed absent.
        if let Some(seen) = self.met(&intent).await? {
            return self.done(about, (intent, version), seen).await;
        }
        let until = *intent.until.get_or_insert(later(now, self.options.give_up));
        if now >= until {
            let error = out_of_tries(&intent);
            return self.fail(about, (intent, version), &error).await;
        }
        let (effect, call) = match self.call(&intent).await {
            Ok(ready) => ready,
            Err(error) if self.may_be_anothers(&intent, &error) => {
                intent.setback = Some(IntentFailure::of(&error));
                return self.put_off(about, (intent, version), PATIENT).await.map(drop);
            }
            Err(error) => return self.set_back(about, (intent, version), &error).await,
        };
        intent.state = IntentState::Sending { since: now, fence: about.guard.fence };
        intent.attempts += 1;
        intent.first_attempt.get_or_insert(now);
        // Durable before the call: whoever finds it knows that it may have happened.
        if !self.commit(about.guard, &[self.write(&intent, version)?]).await? {
            return Ok(());
        }
        let written = (intent, version + 1);
        match self.contained(self.options.patience(), effect.perform(&call)).await {
            Ok(performed) => self.done(about, written, performed).await,
            Err(error) if may_have_happened(&error) => self.doubt(about, written, &error).await,
            Err(error) => self.set_back(about, written, &error).await,
        }
    }

    /// A kind or a content that this process does not know may be a newer release's, which works beside it.
    fn may_be_anothers(&self, intent: &Intent, error: &Error) -> bool {
        let unknown = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Misconfigured);
        unknown && self.now() < later(intent.created_at.max(intent.due), self.options.give_up)
    }

    /// A call of an effect: a panic, and no end within time, leave the outcome unknown.
    async fn contained<T>(&self, patience: Duration, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let unknown = |what: &str| Err(Error::new(ErrorKind::OutcomeUnknown, format!("the effect {what}")));
        let call = AssertUnwindSafe(call).catch_unwind();
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => unknown("panicked"),
            Err(_) => unknown("did not end in time"),
        }
    }

    /// Opens the content and makes what an effect works with.
    async fn call(&self, intent: &Intent) -> Result<(Arc<dyn Effect>, EffectCall)> {
        let effect = Arc::clone(self.effect(&intent.kind)?);
        let row = read_one(&*self.parts.store, self.tenant(), spaces::BODIES, intent_key(&intent.key)).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::Validation, "the content of the intent is gone"))?;
        let content = self.parts.sealer.open(&context(self.tenant(), &intent.key), &row.bytes).await?;
        let ended = match intent.state {
            IntentState::Unknown { since, .. } => (self.now() - later(since, self.options.doubt())).to_std().ok(),
            _ => None,
        };
        let call = EffectCall {
            connection: self.connection.clone(),
            connector: Arc::clone(&self.connector),
            session: self.within(self.options.attempt),
            intent: intent.key.clone(),
            token: intent.token.clone(),
            age: (self.now() - intent.first_attempt.unwrap_or(intent.created_at)).to_std().unwrap_or_default(),
            ended,
            look_up: LookUp::Proof,
            content: Arc::from(content.expose().as_slice()),
        };
        Ok((effect, call))
    }

    /// The session, which begins nothing after this time; it goes by this process's clock.
    fn within(&self, time: Duration) -> Session {
        self.session.with_deadline(Some(later(self.session.parts().clock.now(), time)))
    }

    /// Nothing happened: once more later, or never.
    async fn set_back(&self, about: &About<'_>, (mut intent, version): (Intent, u64), error: &Error) -> Result<()> {
        if matches!(intent.state, IntentState::Sending { since, .. } if intent.first_attempt == Some(since)) {
            intent.first_attempt = None;
        }
        let patient = is_patient(error.kind());
        let temporary = patient || error.kind() == ErrorKind::Store || error.retry() != Retry::Never;
        let spent = !patient && intent.attempts >= self.options.attempts;
        if !temporary || spent || self.is_late(&intent) {
            return self.fail(about, (intent, version), error).await;
        }
        let wait = if patient { PATIENT } else { self.options.retry_wait(intent.attempts) };
        intent.setback = Some(IntentFailure::of(error));
        intent.state = IntentState::Waiting;
        self.put_off(about, (intent, version), error.retry_after().unwrap_or(wait)).await.map(drop)
    }

    /// It may have happened.
    async fn doubt(&self, about: &About<'_>, (mut intent, version): (Intent, u64), error: &Error) -> Result<()> {
        intent.state = IntentState::Unknown { since: self.now(), look_ups: 0 };
        intent.times_unknown += 1;
        intent.setback = Some(IntentFailure::of(error));
        let unknown = Event::OutcomeUnknown { intent: intent.key.clone() };
        let wait = self.options.look_up_wait(0);
        self.put_off_telling(about, (intent, version), wait, &[unknown]).await.map(drop)
    }

    async fn look_up(
        &self,
        about: &About<'_>,
        (mut intent, version): (Intent, u64),
        (since, look_ups): (DateTime<Utc>, u32),
    ) -> Result<()> {
        // The last one decides, and proof may cost much: the others only have to find it early.
        let decides = look_ups + 1 >= self.options.look_ups && self.now() >= later(since, self.options.doubt());
        let look = if decides { LookUp::Proof } else { LookUp::Glance };
        let found = match self.met(&intent).await? {
            Some(met) => Ok(Some(met)),
            None => self.ask(about, &intent, look).await,
        };
        match found {
            Ok(Some(performed)) => self.done(about, (intent, version), performed).await,
            Ok(None) if decides => self.absent(about, (intent, version)).await,
            Ok(None) => {
                let wait = self.options.look_up_wait(look_ups + 1);
                intent.state = IntentState::Unknown { since, look_ups: look_ups + 1 };
                self.put_off(about, (intent, version), wait).await.map(drop)
            }
            // Its worker ends, which says nothing of the mail: the row stays as it is, due for the next.
            Err(_) if about.stop.stopping() => Ok(()),
            Err(error) => self.cannot_tell(about, (intent, version), (since, look_ups), &error).await,
        }
    }

    /// Looks for it. Ends with the worker: nothing is lost by asking again.
    async fn ask(&self, about: &About<'_>, intent: &Intent, look: LookUp) -> Result<Option<Performed>> {
        let (effect, mut call) = self.call(intent).await?;
        call.look_up = look;
        let mut patience = self.options.patience();
        if look == LookUp::Proof {
            call.session = self.within(self.options.proof);
            patience = patience.max(self.options.proof + self.options.attempt);
        }
        tokio::select! {
            found = self.contained(patience, effect.find(&call)) => found,
            () = about.stop.stopped() => {
                let message = "the worker ends; it is looked up by the next";
                Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Temporary))
            }
        }
    }

    /// It is proved absent.
    async fn absent(&self, about: &About<'_>, (mut intent, version): (Intent, u64)) -> Result<()> {
        let absent = Event::OutcomeResolved { intent: intent.key.clone(), happened: false };
        intent.first_attempt = None;
        if intent.attempts >= self.options.attempts || self.is_late(&intent) {
            let error = out_of_tries(&intent);
            return self.fail_telling(about, (intent, version), &error, vec![absent]).await;
        }
        intent.state = IntentState::Waiting;
        self.put_off_telling(about, (intent, version), Duration::ZERO, &[absent]).await.map(drop)
    }

    /// The look-up failed; it does not count as one.
    async fn cannot_tell(
        &self,
        about: &About<'_>,
        (mut intent, version): (Intent, u64),
        (since, look_ups): (DateTime<Utc>, u32),
        error: &Error,
    ) -> Result<()> {
        let passes = error.retry() != Retry::Never
            || matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Store | ErrorKind::Validation)
            || is_patient(error.kind()) && error.kind() != ErrorKind::MissingScope;
        let patience = if passes { self.options.give_up } else { self.options.doubt() };
        if self.now() >= later(since, patience) {
            return self.fail(about, (intent, version), &never_known(error)).await;
        }
        intent.setback = Some(IntentFailure::of(error));
        let wait = error.retry_after().unwrap_or(self.options.look_up_wait(look_ups + 1));
        self.put_off(about, (intent, version), wait).await.map(drop)
    }

    /// Where the sync has met it, if it has.
    async fn met(&self, intent: &Intent) -> Result<Option<Performed>> {
        let Some((item, _)) = self.sent_item(intent).await? else { return Ok(None) };
        let SentItem { message, thread, sent_message_id, .. } = item;
        Ok(message.map(|id| performed(Sent::new(id, thread, sent_message_id))))
    }

    async fn sent_item(&self, intent: &Intent) -> Result<Option<(SentItem, u64)>> {
        read_row(&*self.parts.store, self.tenant(), spaces::SENT, StateKey::new([&intent.key])).await
    }

    /// It happened.
    async fn done(
        &self,
        about: &About<'_>,
        (mut intent, mut version): (Intent, u64),
        performed: Performed,
    ) -> Result<()> {
        let now = self.now();
        for _ in 0..TRIES {
            let unknown = matches!(intent.state, IntentState::Unknown { .. });
            intent.state = IntentState::Done { at: now };
            let mut writes = self.finish(about, &intent, version)?;
            writes.push(StateWrite::delete(self.tenant(), spaces::BODIES, intent_key(&intent.key)));
            writes.extend(self.link(&intent, &performed).writes(self.tenant())?);
            if let (Some(mail), Some((mut item, version))) = (&performed.mail, self.sent_item(&intent).await?) {
                item.found(mail, now);
                writes.push(item.row(self.tenant())?.expecting(Expect::Version(version)));
                writes.extend(item.index(self.tenant()));
            }
            let key = || intent.key.clone();
            let resolved = unknown.then(|| Event::OutcomeResolved { intent: key(), happened: true });
            let (kind, id) = (performed.kind.to_owned(), performed.id.clone());
            let events: Vec<Event> =
                resolved.into_iter().chain([Event::IntentDone { intent: key(), kind, id }]).collect();
            if self.commit_telling(about.guard, &writes, &events).await? {
                return Ok(());
            }
            match read_intent(&*self.parts.store, self.tenant(), &intent.key).await? {
                Some((fresh, now)) if !fresh.state.is_finished() => (intent, version) = (fresh, now),
                _ => return Ok(()),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "an intent's rows are written too often").with_retry(Retry::Temporary))
    }

    fn link(&self, intent: &Intent, performed: &Performed) -> Link {
        let theirs = Theirs::new(self.connection.id.clone(), performed.kind, performed.id.clone());
        Link::new(Ours::new("intent", intent.key.as_str()), theirs, Origin::Ours).with_seen(performed.version.clone())
    }

    /// It will not happen by itself; the content is kept for another try.
    async fn fail(&self, about: &About<'_>, intent: (Intent, u64), error: &Error) -> Result<()> {
        self.fail_telling(about, intent, error, Vec::new()).await
    }

    /// As [`Outbox::fail`], after other events.
    async fn fail_telling(
        &self,
        about: &About<'_>,
        (mut intent, version): (Intent, u64),
        error: &Error,
        mut events: Vec<Event>,
    ) -> Result<()> {
        let failure = IntentFailure::of(error);
        intent.state = IntentState::Failed { at: self.now(), failure: failure.clone() };
        let writes = self.finish(about, &intent, version)?;
        events.push(Event::IntentFailed { intent: intent.key, failure });
        self.commit_telling(about.guard, &writes, &events).await.map(drop)
    }

    /// Is its time over?
    fn is_late(&self, intent: &Intent) -> bool {
        intent.until.is_some_and(|until| self.now() >= until)
    }

    fn finish(&self, about: &About<'_>, intent: &Intent, version: u64) -> Result<Vec<StateWrite>> {
        Ok(vec![self.write(intent, version)?, self.leave(about)])
    }

    fn write(&self, intent: &Intent, version: u64) -> Result<StateWrite> {
        let write = put(self.tenant(), spaces::INTENTS, intent_key(&intent.key), intent)?;
        Ok(write.expecting(Expect::Version(version)))
    }

    /// Looks at it again after `wait`; false if somebody wrote it in between.
    async fn put_off(&self, about: &About<'_>, intent: (Intent, u64), wait: Duration) -> Result<bool> {
        self.put_off_telling(about, intent, wait, &[]).await
    }

    async fn put_off_telling(
        &self,
        about: &About<'_>,
        (mut intent, version): (Intent, u64),
        wait: Duration,
        events: &[Event],
    ) -> Result<bool> {
        intent.due = whole(later(self.now(), wait));
        let writes = [self.write(&intent, version)?, self.strike(about.entry), self.remind(&intent)];
        self.commit_telling(about.guard, &writes, events).await
    }
}

/// Does an error leave open whether the effect took place? One that could not be read answered a call that was carried out.
fn may_have_happened(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Validation)
}

/// Passes once somebody has acted, or with time: no reason to count tries.
fn is_patient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AdminPolicy
            | ErrorKind::MissingScope
            | ErrorKind::NeedsConsent
            | ErrorKind::QuotaExhausted
            | ErrorKind::RateLimited
            | ErrorKind::ReauthorisationNeeded
    )
}

fn out_of_tries(intent: &Intent) -> Error {
    let why = intent.setback.as_ref().map_or("it did not come to an end", |setback| setback.message.as_str());
    let remedy = intent.setback.as_ref().and_then(|setback| setback.remedy.clone()).unwrap_or_else(|| {
        Remedy::new(
            "The service did not take it within the time for it.",
            Actor::Operator,
            "Try it again, or cancel it.",
        )
    });
    Error::new(ErrorKind::Unavailable, format!("out of tries: {why}")).with_retry(Retry::Exhausted).with_remedy(remedy)
}

/// Nobody can find out: that is for a person to look at, never for a repeat.
fn never_known(error: &Error) -> Error {
    let remedy = Remedy::new(
        "It may have happened, and the service does not tell.",
        Actor::Person,
        "Look whether it is there in the account, then try it again or cancel it.",
    );
    let message = format!("the outcome could not be found out: {error}");
    Error::new(ErrorKind::OutcomeUnknown, message).with_remedy(remedy)
}
