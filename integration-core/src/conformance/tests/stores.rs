//! What a developer reads when a store breaks a promise.

use crate::{
    conformance::{
        lease_store,
        saboteur::{CursorFirst, LastWriteWins, Unfenced},
        sync_store, token_store,
    },
    store::MemoryStore,
};

#[tokio::test]
async fn a_failure_names_the_promise_and_what_happened_instead() {
    let store = LastWriteWins(MemoryStore::new());
    let broken = token_store::a_stale_save_changes_nothing(&store).await.unwrap_err();
    assert_eq!(
        broken.to_string(),
        "broken promise: a stale save changes nothing (expected Stale, found Stored(Version(1)))"
    );
    let store = Unfenced::new(MemoryStore::new());
    let broken = lease_store::fences_rise_with_every_acquisition(&store).await.unwrap_err();
    assert_eq!(broken.to_string(), "broken promise: every acquisition gets a higher fence (1 after 1)");
    let store = CursorFirst(MemoryStore::new());
    let broken = sync_store::a_dropped_transaction_leaves_nothing(&store).await.unwrap_err();
    assert_eq!(broken.to_string(), "broken promise: a transaction leaves everything or nothing (expected 1, found 2)");
}

#[tokio::test]
async fn a_saboteur_is_noticed_by_more_than_one_case() {
    let (store, other) = (LastWriteWins(MemoryStore::new()), LastWriteWins(MemoryStore::new()));
    let broken = token_store::of_racing_saves_exactly_one_wins(&store, &other).await.unwrap_err();
    assert!(broken.to_string().starts_with("broken promise: of racing saves exactly one wins ("), "{broken}");
    let store = CursorFirst(MemoryStore::new());
    let broken = sync_store::a_refused_write_leaves_nothing(&store).await.unwrap_err();
    assert!(broken.promise.contains("transaction"), "{broken}");
}
