//! A network that is cut, falls silent and comes back.

use std::time::Duration;

use integration_core::store::{PostgresStore, SyncStore};

use super::{database, hasty, put, text, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_network_is_a_temporary_failure_and_the_store_goes_on_by_itself() {
    let Some(database) = database().await else { return };
    let link = database.link().await;
    let store = PostgresStore::open_with(hasty(link.url())).await.unwrap();
    // Several connections lie idle when it happens.
    let many = (0..8).map(|index| {
        let store = store.clone();
        async move { write(&store, &[put(&index.to_string(), "x")]).await }
    });
    futures_util::future::try_join_all(many).await.unwrap();
    let mut open = store.begin(None).await.unwrap();
    open.write(&[put("a", "lost")]).await.unwrap();
    link.cut();
    assert!(open.commit().await.unwrap_err().retryable());
    assert!(write(&store, &[put("a", "lost")]).await.unwrap_err().retryable());
    link.restore();
    write(&store, &[put("a", "kept")]).await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_for_a_while_is_waited_for_and_nothing_is_lost() {
    let Some(database) = database().await else { return };
    let link = database.link().await;
    let store = PostgresStore::open_with(hasty(link.url())).await.unwrap();
    let writing = async {
        // A host's queue: each is tried until it is kept.
        for index in 0..100 {
            while let Err(error) = write(&store, &[put(&index.to_string(), "kept")]).await {
                assert!(error.retryable(), "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ((), ()) = tokio::join!(writing, link.cut_for(super::away()));
    for index in 0..100 {
        assert_eq!(text(&store, &index.to_string()).await.as_deref(), Some("kept"), "{index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_does_not_hold_a_caller_for_ever() {
    let Some(database) = database().await else { return };
    let link = database.link().await;
    let store = PostgresStore::open_with(hasty(link.url())).await.unwrap();
    let mut open = store.begin(None).await.unwrap();
    link.silence();
    let error = open.write(&[put("a", "lost")]).await.unwrap_err();
    assert_eq!(error.message(), "the database did not answer in time");
    assert!(error.retryable());
    drop(open);
    // The server has ended what nobody answered for.
    link.restore();
    let wait = tokio::time::timeout(Duration::from_secs(60), async {
        while write(&store, &[put("a", "kept")]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    wait.await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
}
