//! What was learned of mailboxes, beyond one provider's life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use integration_core::{
    http::Session,
    ids::{ConnectionId, TenantId},
};

use super::folders::Places;
use crate::client::Root;

/// How many mailboxes are remembered; a few kilobytes each.
const MOST: usize = 1_000;

type Key = (TenantId, ConnectionId, Root);

/// Which folder is which: every slice of work opens its mailbox anew, and would ask again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Key, Arc<Places>>>);

impl Known {
    pub(super) fn get(&self, session: &Session, root: &Root) -> Option<Arc<Places>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(session, root)?).map(Arc::clone)
    }

    pub(super) fn put(&self, session: &Session, root: &Root, places: &Arc<Places>) {
        let Some(key) = key(session, root) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Whoever is still at work asks once more.
            known.clear();
        }
        known.insert(key, Arc::clone(places));
    }

    /// A mailbox that lost its positions may have moved, and have other folders now.
    pub(super) fn forget(&self, session: &Session, root: &Root) {
        if let Some(key) = key(session, root) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }
}

fn key(session: &Session, root: &Root) -> Option<Key> {
    let parts = session.parts();
    parts.connection.as_ref().map(|(connection, _)| (parts.tenant.clone(), connection.clone(), root.clone()))
}
