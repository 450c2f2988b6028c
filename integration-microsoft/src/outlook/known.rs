//! What was learned of mailboxes, beyond one provider's life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    http::Session,
    ids::{ConnectionId, TenantId},
};

use super::folders::Places;
use crate::{batch, client::Root};

/// How many mailboxes are remembered; some kilobytes each.
const MOST: usize = 1_000;
/// After so many pages in a row that the service bore, larger ones are tried again.
const TRIED_AFTER: u32 = 20;
/// And after so long in any case.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);
/// Calls that are remembered as slow, of one mailbox.
const MOST_SLOW: usize = 100;

type Key = (TenantId, ConnectionId, Root);

/// Which folder is which, and how large pages may be: every slice of work opens its mailbox anew, and would ask again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Key, Mailbox>>);

#[derive(Debug, Default)]
struct Mailbox {
    places: Option<Arc<Places>>,
    pages: Pages,
    /// How many calls of a batch the service bears, if not as many as it takes; and since when.
    at_once: Option<(usize, DateTime<Utc>)>,
    /// Calls that the service gave up even alone, and when.
    slow: HashMap<String, DateTime<Utc>>,
}

/// How often pages are halved, and how that went.
#[derive(Clone, Copy, Debug, Default)]
struct Pages {
    halvings: u32,
    borne: u32,
    since: Option<DateTime<Utc>>,
}

impl Pages {
    fn of(halvings: u32, now: DateTime<Utc>) -> Self {
        Self { halvings, borne: 0, since: Some(now) }
    }

    /// One step back to larger pages once it is time.
    fn grown(self, now: DateTime<Utc>) -> Self {
        let over = self.since.is_some_and(|since| now - since >= REMEMBERED);
        let grows = self.halvings > 0 && (over || self.borne >= TRIED_AFTER);
        if grows { Self::of(self.halvings - 1, now) } else { self }
    }
}

impl Known {
    pub(super) fn get(&self, session: &Session, root: &Root) -> Option<Arc<Places>> {
        self.all().get(&key(session, root)?).and_then(|mailbox| mailbox.places.as_ref().map(Arc::clone))
    }

    pub(super) fn put(&self, session: &Session, root: &Root, places: &Arc<Places>) {
        self.change(session, root, |mailbox| mailbox.places = Some(Arc::clone(places)));
    }

    /// A mailbox that lost its positions may have moved, and have other folders now.
    pub(super) fn forget(&self, session: &Session, root: &Root) {
        self.change(session, root, |mailbox| mailbox.places = None);
    }

    /// How often pages of this mailbox are to be halved now.
    pub(super) fn halvings(&self, session: &Session, root: &Root, now: DateTime<Utc>) -> u32 {
        let pages = key(session, root).and_then(|key| self.all().get(&key).map(|mailbox| mailbox.pages));
        pages.unwrap_or_default().grown(now).halvings
    }

    /// A page was too large.
    pub(super) fn halve(&self, session: &Session, root: &Root, (halvings, now): (u32, DateTime<Utc>)) {
        self.change(session, root, |mailbox| mailbox.pages = Pages::of(halvings, now));
    }

    /// A page was not.
    pub(super) fn bore(&self, session: &Session, root: &Root, now: DateTime<Utc>) {
        let Some(key) = key(session, root) else { return };
        if let Some(mailbox) = self.all().get_mut(&key) {
            mailbox.pages = mailbox.pages.grown(now);
            mailbox.pages.borne = mailbox.pages.borne.saturating_add(1);
        }
    }

    /// How many calls are put into a batch now; `None`: as many as it takes.
    pub(super) fn at_once(&self, session: &Session, root: &Root, now: DateTime<Utc>) -> Option<usize> {
        let (most, since) = self.all().get(&key(session, root)?)?.at_once?;
        (now - since < REMEMBERED).then_some(most)
    }

    /// A larger batch was too much.
    pub(super) fn ask_at_once(&self, session: &Session, root: &Root, (most, now): (usize, DateTime<Utc>)) {
        self.change(session, root, |mailbox| mailbox.at_once = Some((most, now)));
    }

    /// A batch was not: so many may be tried next.
    pub(super) fn bore_at_once(&self, session: &Session, root: &Root, (most, now): (usize, DateTime<Utc>)) {
        let Some(key) = key(session, root) else { return };
        if let Some(mailbox) = self.all().get_mut(&key) {
            mailbox.at_once = mailbox.at_once.filter(|_| most < batch::LARGEST).map(|_| (most, now));
        }
    }

    /// Which of these calls the service gave up alone, not long ago.
    pub(super) fn slow(&self, session: &Session, root: &Root, paths: &[String]) -> Vec<bool> {
        let (all, now) = (self.all(), session.parts().clock.now());
        let mailbox = key(session, root).and_then(|key| all.get(&key));
        let slow =
            |path| mailbox.is_some_and(|mailbox| mailbox.slow.get(path).is_some_and(|at| now - *at < REMEMBERED));
        paths.iter().map(slow).collect()
    }

    /// The service gave this call up alone.
    pub(super) fn found_slow(&self, session: &Session, root: &Root, (path, now): (&str, DateTime<Utc>)) {
        self.change(session, root, |mailbox| {
            mailbox.slow.retain(|_, at| now - *at < REMEMBERED);
            if mailbox.slow.len() < MOST_SLOW {
                mailbox.slow.insert(path.to_owned(), now);
            }
        });
    }

    fn change(&self, session: &Session, root: &Root, how: impl FnOnce(&mut Mailbox)) {
        let Some(key) = key(session, root) else { return };
        let mut known = self.all();
        if known.len() >= MOST && !known.contains_key(&key) {
            // Whoever is still at work asks once more.
            known.clear();
        }
        how(known.entry(key).or_default());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Mailbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(session: &Session, root: &Root) -> Option<Key> {
    let parts = session.parts();
    parts.connection.as_ref().map(|(connection, _)| (parts.tenant.clone(), connection.clone(), root.clone()))
}
