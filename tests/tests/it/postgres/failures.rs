//! What an operator gets wrong, and what a server does.

use std::time::Duration;

use integration_core::{
    ErrorKind,
    ids::{ConnectionId, GrantId},
    store::{
        JobStore, LeaseKey, LeaseStore, PostgresOptions, PostgresStore, Saved, SealedRecord, SyncStore, TokenStore,
        postgres::connection,
    },
    sync::Job,
};
use integration_testing::postgres::Postgres;

use super::{database, hasty, number, open, put, raw, run, tenant, text, write};

#[tokio::test]
async fn what_an_operator_has_to_mend_is_named() {
    let Some(database) = database().await else { return };
    let at = |name: &str| {
        let mut url: url::Url = database.url().parse().unwrap();
        url.set_path(name);
        url.to_string()
    };
    let error = PostgresStore::open(at("not_there")).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Misconfigured, "the database does not exist"));
    let error = PostgresStore::open("mysql://nobody@localhost/x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let error = PostgresStore::open_with(hasty("postgres://a@127.0.0.1:1/x")).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Store, "the connection to the database failed"));
    assert!(error.retryable(), "the server may only be starting");
}

#[tokio::test]
async fn a_user_without_rights_is_told_so_and_needs_none_to_create_what_is_there() {
    let Some(database) = database().await else { return };
    let mut owner = raw(&database).await;
    // Roles are the whole server's: named after the database.
    let url: url::Url = database.url().parse().unwrap();
    let role = url.path().replace("/integration_test", "limited");
    let create = format!("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN PASSWORD 'limited'");
    run(&mut owner, &create).await;
    let mut url = url;
    url.set_username(&role).unwrap();
    url.set_password(Some("limited")).unwrap();
    let refused = PostgresStore::open(url.as_str()).await.unwrap_err();
    assert_eq!(refused.message(), "the database user lacks a right on the store's schema or tables");
    assert!(refused.remedy().is_some());
    drop(open(&database).await);
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
                         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    run(&mut owner, &grant).await;
    let store = PostgresStore::open(url.as_str()).await.unwrap();
    write(&store, &[put("a", "1")]).await.unwrap();
    run(&mut owner, &format!("REVOKE UPDATE ON integration_state FROM {role}")).await;
    let refused = write(&store, &[put("a", "2")]).await.unwrap_err();
    assert_eq!(refused.message(), "the database user lacks a right on the store's schema or tables");
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    store.close().await;
    run(&mut owner, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_held_lock_is_a_temporary_failure_and_the_store_goes_on() {
    let Some(database) = database().await else { return };
    let store = PostgresStore::open_with(hasty(database.url())).await.unwrap();
    let mut other = raw(&database).await;
    run(&mut other, "BEGIN; LOCK TABLE integration_state, integration_lease").await;
    let error = write(&store, &[put("a", "1")]).await.unwrap_err();
    assert_eq!(error.message(), "a statement took longer than the statement timeout");
    assert!(error.retryable());
    let error = store.acquire(&LeaseKey::new(["a"]), Duration::from_secs(1)).await.unwrap_err();
    assert!(error.retryable());
    run(&mut other, "ROLLBACK").await;
    write(&store, &[put("a", "after")]).await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("after"));
}

#[tokio::test]
async fn more_callers_than_connections_wait_and_a_read_inside_a_transaction_finds_one() {
    let Some(database) = database().await else { return };
    let options = hasty(database.url()).with_connections(2);
    let store = PostgresStore::open_with(options).await.unwrap();
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("a", "1")]).await.unwrap();
    assert_eq!(text(&store, "a").await, None, "a second connection is there for reads");
    let refused = store.begin(None);
    tokio::pin!(refused);
    let error = loop {
        tokio::select! {
            refused = &mut refused => break refused.unwrap_err(),
            // It goes on working, or the server would end it.
            () = tokio::time::sleep(Duration::from_millis(50)) => tx.write(&[put("a", "2")]).await.unwrap(),
        }
    };
    assert_eq!(error.message(), "all connections of the store were in use for too long");
    assert!(error.retryable());
    tx.commit().await.unwrap();
    let many = (0..40).map(|index| {
        let store = store.clone();
        async move { write(&store, &[put(&index.to_string(), "x")]).await }
    });
    futures_util::future::try_join_all(many).await.unwrap();
    assert_eq!(number(&mut raw(&database).await, "SELECT COUNT(*) FROM integration_state").await, 41);
}

#[tokio::test]
async fn a_transaction_that_does_nothing_for_too_long_loses_its_locks() {
    let Some(database) = database().await else { return };
    let store = PostgresStore::open_with(hasty(database.url())).await.unwrap();
    let mut stopped = store.begin(None).await.unwrap();
    stopped.write(&[put("a", "late")]).await.unwrap();
    let mut server = raw(&database).await;
    // As with a process that was stopped in the middle of its transaction.
    while number(&mut server, "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'").await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    write(&store, &[put("a", "in time")]).await.unwrap();
    let error = stopped.commit().await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert_eq!(text(&store, "a").await.as_deref(), Some("in time"));
}

#[tokio::test]
async fn a_statement_that_fails_in_a_sink_spoils_only_its_transaction() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("a", "lost")]).await.unwrap();
    let failed = sqlx::query("SELECT 1 / 0").execute(connection(&mut *tx).unwrap()).await;
    assert!(failed.is_err());
    assert!(tx.write(&[put("b", "lost")]).await.is_err());
    assert!(tx.commit().await.is_err());
    assert_eq!(text(&store, "a").await, None);
    write(&store, &[put("a", "kept")]).await.unwrap();
}

#[tokio::test]
async fn a_failure_that_a_sink_hides_is_found_by_the_commit() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[put("a", "lost")]).await.unwrap();
    assert!(sqlx::query("SELECT 1 / 0").execute(connection(&mut *tx).unwrap()).await.is_err());
    // COMMIT alone would roll back and say that all is well.
    assert!(tx.commit().await.is_err());
    assert_eq!(text(&store, "a").await, None);
    write(&store, &[put("a", "kept")]).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_transaction_open() {
    let Some(database) = database().await else { return };
    let store = PostgresStore::open_with(hasty(database.url()).with_connections(2)).await.unwrap();
    for microseconds in [0, 50, 200, 800, 2_000] {
        let rows = [put("a", "given up")];
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), write(&store, &rows)).await;
        write(&store, &[put("a", "done")]).await.unwrap();
        assert_eq!(text(&store, "a").await.as_deref(), Some("done"));
    }
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                AND datname = current_database()";
    assert_eq!(number(&mut raw(&database).await, open).await, 0);
}

#[tokio::test]
async fn a_job_of_a_newer_release_does_not_block_the_others() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    let job = Job::keep_alive(&tenant(), &GrantId::new("g"));
    store.put(&job, Duration::ZERO).await.unwrap();
    let mut other = raw(&database).await;
    run(
        &mut other,
        "INSERT INTO integration_job VALUES ('new', '{\"kind\":\"unheard of\"}', 1, 1, NULL, 0, NULL, false)",
    )
    .await;
    let claims = store.claim(5, Duration::from_secs(60)).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].job, job);
    assert_eq!(number(&mut other, "SELECT COUNT(*) FROM integration_job").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_job_is_told_to_another_process() {
    let Some(database) = database().await else { return };
    let (putting, waiting) = (open(&database).await, open(&database).await);
    // It says once that it may have missed something.
    waiting.work_arrived().await;
    let told = tokio::spawn(async move { waiting.work_arrived().await });
    assert!(!told.is_finished());
    putting.put(&Job::sync_mail(&tenant(), &ConnectionId::new("c")), Duration::ZERO).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it was told").unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    store.close().await;
    store.close().await;
    assert_eq!(store.begin(None).await.unwrap_err().message(), "the store is closed");
    assert_eq!(store.next_due().await.unwrap_err().message(), "the store is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_and_started_again_has_lost_nothing() {
    if Postgres::shared().await.is_none() || std::env::var_os("DATABASE_URL").is_some() {
        return;
    }
    let server = Postgres::throw_away().await.unwrap();
    let database = server.database().await;
    let store = PostgresStore::open_with(PostgresOptions::new(database.url())).await.unwrap();
    write(&store, &[put("a", "kept")]).await.unwrap();
    let saved = store.save(&tenant(), &GrantId::new("g"), None, &SealedRecord::new("sealed")).await.unwrap();
    assert!(matches!(saved, Saved::Stored(_)));
    let mut open = store.begin(None).await.unwrap();
    open.write(&[put("a", "lost")]).await.unwrap();
    server.stop();
    let error = open.commit().await.unwrap_err();
    assert!(error.retryable(), "{error}");
    let error = store.load(&tenant(), &GrantId::new("g")).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    server.restart().await;
    assert!(store.load(&tenant(), &GrantId::new("g")).await.unwrap().is_some());
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
}

/// What any machine can try: the server is told to have no room. See [`super::disk`] for a disk that is really full.
#[tokio::test]
async fn a_server_that_says_its_disk_is_full_loses_only_the_open_transaction() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    write(&store, &[put("a", "kept")]).await.unwrap();
    let mut owner = raw(&database).await;
    // What a server says when a table cannot grow.
    run(
        &mut owner,
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; \
        CREATE TRIGGER full_disk BEFORE INSERT ON integration_state FOR EACH ROW EXECUTE FUNCTION no_room()",
    )
    .await;
    let mut tx = store.begin(None).await.unwrap();
    let error = tx.write(&[put("b", "lost")]).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Store, "the database's disk is full"));
    assert!(error.remedy().is_some() && tx.commit().await.is_err());
    run(&mut owner, "DROP TRIGGER full_disk ON integration_state").await;
    write(&store, &[put("b", "room again")]).await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("kept"));
}
