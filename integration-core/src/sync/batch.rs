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
    stopped: bool,
}

impl<'a, T> Batches<'a, T> {
    /// `is_id`: what cannot be an id is no item of the service, and must not spoil the batch of those that are; it is gone.
    pub fn of(ids: impl IntoIterator<Item = &'a str>, is_id: impl Fn(&str) -> bool) -> Self {
        let mut seen = HashSet::new();
        let (ids, never) = ids.into_iter().filter(|id| seen.insert(*id)).partition(|id| is_id(id));
        Self { ids, never, outcomes: Vec::new(), stopped: false }
    }

    /// The next batch, of at most `size` ids; `None` when all were asked for, or a batch failed.
    #[must_use]
    pub fn ahead(&self, size: usize) -> Option<Vec<&'a str>> {
        let rest = self.ids.get(self.outcomes.len()..).unwrap_or_default();
        (!self.stopped && !rest.is_empty()).then(|| rest[..rest.len().min(size.max(1))].to_vec())
    }

    /// Takes what came of a batch, in the order of its ids. A failure ends the fetch: what came before is kept, and the
    /// rest waits for the next one, which will say the same if it lasts.
    ///
    /// # Errors
    /// The batch's, where nothing came before it.
    pub fn take(&mut self, batch: Result<Vec<BatchOutcome<T>>>) -> Result<()> {
        match batch {
            Ok(outcomes) => self.outcomes.extend(outcomes),
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
    /// Where the fetch was refused as a whole (a missing scope, a policy): every single answer says so.
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

fn refused_altogether<T>(outcomes: &mut Vec<BatchOutcome<T>>) -> Option<Error> {
    let lasting = |outcome: &BatchOutcome<T>| match outcome {
        BatchOutcome::NotYet(error) => matches!(
            error.kind(),
            ErrorKind::AdminPolicy
                | ErrorKind::MissingScope
                | ErrorKind::Misconfigured
                | ErrorKind::NeedsConsent
                | ErrorKind::PermissionDenied
                | ErrorKind::ReauthorisationNeeded
        ),
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
    }
}
