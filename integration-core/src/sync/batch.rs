//! Fetching in batches: the part that every service has in common.

use std::{collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;

use super::change::{Fetched, Reason, Revision};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::ItemKey,
};

/// What came of one item of a batch. Exhaustive: a service has nothing else to say.
#[derive(Debug)]
pub enum BatchOutcome<T> {
    /// The service says that there is no such item.
    Gone,
    /// What came cannot be understood.
    Malformed(Bytes, Reason),
    /// Not this time.
    NotYet(Error),
    /// The item, in this state.
    Present(Revision, T),
}

/// The ids of one fetch, each once, and what came of them.
pub struct Batches<'a, T> {
    ids: Vec<&'a str>,
    /// Asked for, but never a question to the service.
    never: Vec<&'a str>,
    outcomes: Vec<BatchOutcome<T>>,
    /// How many the batch under way has.
    asked: usize,
    /// Up to here, ids are asked for one by one: one of them spoiled the batch of all.
    singly_until: usize,
    stopped: bool,
}

impl<'a, T> Batches<'a, T> {
    /// `is_id`: what cannot be an id is no item of the service, and must not spoil the batch of those that are; it is gone.
    pub fn of(ids: impl IntoIterator<Item = &'a str>, is_id: impl Fn(&str) -> bool) -> Self {
        let mut seen = HashSet::new();
        let (ids, never) = ids.into_iter().filter(|id| seen.insert(*id)).partition(|id| is_id(id));
        Self { ids, never, outcomes: Vec::new(), asked: 0, singly_until: 0, stopped: false }
    }

    /// The next batch, of at most `size` ids; `None` when all were asked for, or a batch failed.
    pub fn ahead(&mut self, size: usize) -> Option<Vec<&'a str>> {
        let rest = self.ids.get(self.outcomes.len()..).unwrap_or_default();
        let size = if self.outcomes.len() < self.singly_until { 1 } else { size.max(1) };
        let batch = &rest[..rest.len().min(size)];
        self.asked = batch.len();
        (!self.stopped && !batch.is_empty()).then(|| batch.to_vec())
    }

    /// Takes what came of a batch, in the order of its ids. A failure ends the fetch: what came before is kept, and the
    /// rest waits for the next one, which will say the same if it lasts. A batch that the service refuses for what is in it
    /// is no failure: its ids are asked for one by one, so that only the one that is refused is not had.
    ///
    /// # Errors
    /// The batch's, where nothing came before it.
    pub fn take(&mut self, batch: Result<Vec<BatchOutcome<T>>>) -> Result<()> {
        match batch {
            Ok(outcomes) => self.outcomes.extend(outcomes),
            Err(error) if is_of_what_was_asked(&error) && self.asked > 1 => {
                self.singly_until = self.outcomes.len() + self.asked;
            }
            Err(error) if is_of_what_was_asked(&error) => self.outcomes.push(BatchOutcome::NotYet(error)),
            Err(error) if self.outcomes.is_empty() => return Err(error),
            Err(error) => {
                self.stopped = true;
                self.outcomes.push(BatchOutcome::NotYet(error));
            }
        }
        Ok(())
    }

    /// The answers, each id once.
    ///
    /// # Errors
    /// Where the fetch was refused as a whole (a missing scope, a policy): every single answer says so. Of one item alone,
    /// that nobody is let in says nothing about others.
    pub fn finish<U>(self, item: impl Fn(T) -> U) -> Result<Vec<Fetched<U>>> {
        let Self { ids, never, mut outcomes, .. } = self;
        let stopped = || Error::new(ErrorKind::Unavailable, "an earlier batch failed");
        outcomes.resize_with(ids.len(), || BatchOutcome::NotYet(stopped()));
        if let Some(error) = refused_altogether(&mut outcomes) {
            return Err(error);
        }
        let answers = ids.into_iter().zip(outcomes).chain(never.into_iter().map(|id| (id, BatchOutcome::Gone)));
        Ok(answers.map(|(id, outcome)| answer(id, outcome, &item)).collect())
    }
}

impl<T> fmt::Debug for Batches<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batches({} of {} answered)", self.outcomes.len(), self.ids.len())
    }
}

fn answer<T, U>(id: &str, outcome: BatchOutcome<T>, item: impl Fn(T) -> U) -> Fetched<U> {
    let key = ItemKey::new(id);
    match outcome {
        BatchOutcome::Gone => Fetched::Gone(key),
        BatchOutcome::Malformed(raw, reason) => Fetched::Malformed { key, raw, reason },
        BatchOutcome::NotYet(error) => Fetched::NotYet(key, Arc::new(error)),
        BatchOutcome::Present(revision, content) => Fetched::Present { key, revision, item: item(content) },
    }
}

/// Does the service refuse, for good, what it was asked rather than us?
pub(crate) fn is_of_what_was_asked(error: &Error) -> bool {
    !error.retryable() && matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

fn refused_altogether<T>(outcomes: &mut Vec<BatchOutcome<T>>) -> Option<Error> {
    let several = outcomes.len() > 1;
    let lasting = |outcome: &BatchOutcome<T>| match outcome {
        BatchOutcome::NotYet(error) => match error.kind() {
            ErrorKind::AdminPolicy
            | ErrorKind::MissingScope
            | ErrorKind::Misconfigured
            | ErrorKind::NeedsConsent
            | ErrorKind::ReauthorisationNeeded => true,
            ErrorKind::PermissionDenied => several,
            _ => false,
        },
        _ => false,
    };
    if outcomes.is_empty() || !outcomes.iter().all(lasting) {
        return None;
    }
    outcomes.drain(..).find_map(|outcome| if let BatchOutcome::NotYet(error) = outcome { Some(error) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(answers: Vec<Fetched<u32>>) -> Vec<String> {
        let one = |answer: &Fetched<u32>| match answer {
            Fetched::Gone(key) => format!("{key} gone"),
            Fetched::NotYet(key, error) => format!("{key} not yet: {}", error.kind().as_str()),
            Fetched::Present { key, item, .. } => format!("{key} {item}"),
            other => format!("{other:?}"),
        };
        answers.iter().map(one).collect()
    }

    fn present(number: u32) -> BatchOutcome<u32> {
        BatchOutcome::Present(Revision::default(), number)
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "")
    }

    #[test]
    fn each_id_is_asked_and_answered_once() {
        let mut batches = Batches::of(["a", "b", "a", "", "c"], |id| !id.is_empty());
        assert_eq!(batches.ahead(0).unwrap(), ["a"]);
        assert_eq!(batches.ahead(2).unwrap(), ["a", "b"]);
        batches.take(Ok(vec![present(1), BatchOutcome::Gone])).unwrap();
        assert_eq!(batches.ahead(2).unwrap(), ["c"]);
        batches.take(Ok(vec![present(3)])).unwrap();
        assert_eq!(batches.ahead(2), None);
        assert_eq!(brief(batches.finish(|number| number).unwrap()), ["a 1", "b gone", "c 3", " gone"]);
    }

    #[test]
    fn what_came_before_a_failure_is_kept_and_a_failure_of_the_first_is_the_whole_fetchs() {
        let mut batches = Batches::of(["a", "b", "c"], |_| true);
        batches.take(Ok(vec![present(1)])).unwrap();
        batches.take(Err(error(ErrorKind::RateLimited))).unwrap();
        assert_eq!(batches.ahead(1), None);
        let answers = brief(batches.finish(|number| number).unwrap());
        assert_eq!(answers, ["a 1", "b not yet: rate_limited", "c not yet: unavailable"]);
        let mut batches: Batches<'_, u32> = Batches::of(["a"], |_| true);
        assert_eq!(batches.take(Err(error(ErrorKind::Timeout))).unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[test]
    fn only_a_lasting_refusal_of_every_item_is_one_of_the_whole() {
        let of = |kinds: &[ErrorKind]| {
            let mut batches: Batches<'_, u32> = Batches::of(["a", "b"], |_| true);
            batches.take(Ok(kinds.iter().map(|kind| BatchOutcome::NotYet(error(*kind))).collect())).unwrap();
            batches.finish(|number| number).map(|answers| answers.len()).map_err(|error| error.kind())
        };
        assert_eq!(of(&[ErrorKind::MissingScope, ErrorKind::MissingScope]), Err(ErrorKind::MissingScope));
        assert_eq!(of(&[ErrorKind::MissingScope, ErrorKind::RateLimited]), Ok(2));
        assert!(Batches::<u32>::of([], |_| true).finish(|number| number).unwrap().is_empty());
        assert_eq!(of(&[ErrorKind::PermissionDenied, ErrorKind::PermissionDenied]), Err(ErrorKind::PermissionDenied));
    }

    #[test]
    fn one_item_alone_that_nobody_may_read_is_not_the_whole_mailbox() {
        let mut batches: Batches<'_, u32> = Batches::of(["a"], |_| true);
        batches.take(Ok(vec![BatchOutcome::NotYet(error(ErrorKind::PermissionDenied))])).unwrap();
        assert_eq!(brief(batches.finish(|number| number).unwrap()), ["a not yet: permission_denied"]);
    }

    #[test]
    fn a_batch_that_one_of_its_items_spoils_is_asked_for_one_by_one() {
        let mut batches = Batches::of(["a", "b", "c", "d"], |_| true);
        assert_eq!(batches.ahead(3).unwrap(), ["a", "b", "c"]);
        batches.take(Err(error(ErrorKind::InvalidInput))).unwrap();
        for (id, outcome) in [("a", Ok(vec![present(1)])), ("b", Err(error(ErrorKind::InvalidInput)))] {
            assert_eq!(batches.ahead(3).unwrap(), [id]);
            batches.take(outcome).unwrap();
        }
        assert_eq!(batches.ahead(3).unwrap(), ["c"]);
        batches.take(Ok(vec![present(3)])).unwrap();
        assert_eq!(batches.ahead(3).unwrap(), ["d"], "the others are batches again");
        batches.take(Ok(vec![present(4)])).unwrap();
        let answers = brief(batches.finish(|number| number).unwrap());
        assert_eq!(answers, ["a 1", "b not yet: invalid_input", "c 3", "d 4"]);
    }
}
