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
use crate::client::Root;

/// How many mailboxes are remembered; some kilobytes each.
const MOST: usize = 1_000;
/// After so many pages in a row that the service bore, larger ones are tried again.
const TRIED_AFTER: u32 = 20;
/// And after so long in any case.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);

type Key = (TenantId, ConnectionId, Root);

/// Which folder is which, and how large pages may be: every slice of work opens its mailbox anew, and would ask again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Key, Mailbox>>);

#[derive(Debug, Default)]
struct Mailbox {
    places: Option<Arc<Places>>,
    pages: Pages,
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
