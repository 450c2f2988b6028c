//! How tables come about, and whose they are.

use integration_core::{
    ErrorKind, conformance,
    store::{PostgresOptions, PostgresStore},
};

use super::{database, number, open, put, raw, run, text, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_open_together_make_the_tables_once() {
    let Some(database) = database().await else { return };
    let opening =
        (0..6).map(|_| PostgresStore::open_with(PostgresOptions::new(database.url()).with_schema("mail_sync")));
    let stores = futures_util::future::try_join_all(opening).await.unwrap();
    write(&stores[0], &[put("a", "1")]).await.unwrap();
    assert_eq!(text(&stores[5], "a").await.as_deref(), Some("1"));
    assert_eq!(number(&mut raw(&database).await, "SELECT COUNT(*) FROM mail_sync.integration_schema").await, 1);
}

#[tokio::test]
async fn schemas_and_prefixes_share_a_database_without_meeting() {
    let Some(database) = database().await else { return };
    let options = || PostgresOptions::new(database.url());
    let stores = [
        PostgresStore::open_with(options()).await.unwrap(),
        PostgresStore::open_with(options().with_prefix("other_")).await.unwrap(),
        PostgresStore::open_with(options().with_schema("user")).await.unwrap(),
        PostgresStore::open_with(options().with_schema("user").with_prefix("x")).await.unwrap(),
    ];
    for (index, store) in stores.iter().enumerate() {
        assert_eq!(text(store, "a").await, None);
        write(store, &[put("a", &index.to_string())]).await.unwrap();
    }
    for (index, store) in stores.iter().enumerate() {
        assert_eq!(text(store, "a").await, Some(index.to_string()));
    }
}

#[tokio::test]
async fn a_hosts_own_migrations_of_the_same_driver_are_not_met() {
    let Some(database) = database().await else { return };
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("1_contacts.sql"), "CREATE TABLE contact (name TEXT)").unwrap();
    let host = sqlx::migrate::Migrator::new(place.path()).await.unwrap();
    let mut connection = raw(&database).await;
    host.run(&mut connection).await.unwrap();
    let store = open(&database).await;
    std::fs::write(place.path().join("2_deals.sql"), "CREATE TABLE deal (name TEXT)").unwrap();
    sqlx::migrate::Migrator::new(place.path()).await.unwrap().run(&mut connection).await.unwrap();
    write(&store, &[put("a", "1")]).await.unwrap();
    drop(open(&database).await);
    assert_eq!(number(&mut connection, "SELECT COUNT(*) FROM _sqlx_migrations WHERE success").await, 2);
    assert_eq!(number(&mut connection, "SELECT version FROM integration_schema").await, 1);
}

#[tokio::test]
async fn keys_sort_by_their_bytes_whatever_the_databases_collation() {
    let Some(database) = database().await else { return };
    let mut owner = raw(&database).await;
    let mut url: url::Url = database.url().parse().unwrap();
    let name = format!("{}_sorted", url.path().trim_start_matches('/'));
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'sv' LOCALE 'C'");
    if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut owner).await {
        // Before version 15, or built without these collations.
        return println!("not tried: {error}");
    }
    url.set_path(&name);
    let store = PostgresStore::open(url.as_str()).await.unwrap();
    let kept = conformance::sync_store::ranges_page_in_bytewise_order(&store).await;
    let listed = conformance::token_store::listing_pages_through_every_grant_in_order(&store).await;
    store.close().await;
    run(&mut owner, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    assert_eq!((kept, listed), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let Some(database) = database().await else { return };
    drop(open(&database).await);
    let mut newer = raw(&database).await;
    run(&mut newer, "UPDATE integration_schema SET version = 99, readable_from = 2").await;
    let error = PostgresStore::open(database.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.message(), "the database has schema version 99, this release knows versions up to 1");
    assert!(error.remedy().is_some() && !error.retryable());
    assert_eq!(number(&mut newer, "SELECT version FROM integration_schema").await, 99);
}

#[tokio::test]
async fn two_releases_work_side_by_side_where_the_newer_one_allows_it() {
    let Some(database) = database().await else { return };
    let old = open(&database).await;
    let mut newer = raw(&database).await;
    // What a newer release's compatible migration may do while the older one runs.
    run(&mut newer, "ALTER TABLE integration_state ADD COLUMN note TEXT; CREATE TABLE integration_more (x INT)").await;
    run(&mut newer, "UPDATE integration_schema SET version = 2, readable_from = 1").await;
    write(&old, &[put("a", "by the one that was running")]).await.unwrap();
    let restarted = open(&database).await;
    write(&restarted, &[put("b", "by one that was started again")]).await.unwrap();
    assert!(text(&restarted, "a").await.is_some() && text(&old, "b").await.is_some());
    assert_eq!(number(&mut newer, "SELECT version FROM integration_schema").await, 2);
}

const NEXT: &str = "ALTER TABLE {p}state ADD COLUMN note TEXT; CREATE TABLE {p}more (x INT);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_releases_migration_runs_once_beside_this_release_which_goes_on() {
    let Some(database) = database().await else { return };
    let old = open(&database).await;
    write(&old, &[put("a", "before the upgrade")]).await.unwrap();
    // Three machines of the next release are restarted together, while the older one works.
    let next = || PostgresStore::open_with(PostgresOptions::new(database.url()).with_next_release(NEXT, 1));
    let while_it_runs = [put("b", "while it ran")];
    let (upgraded, written) =
        tokio::join!(futures_util::future::try_join_all((0..3).map(|_| next())), write(&old, &while_it_runs));
    let (upgraded, _) = (upgraded.unwrap(), written.unwrap());
    let mut looks = raw(&database).await;
    assert_eq!(number(&mut looks, "SELECT version FROM integration_schema").await, 2);
    assert_eq!(number(&mut looks, "SELECT COUNT(*) FROM integration_more").await, 0, "its table is there");
    // Both write, both read, and the older one may be started again.
    write(&upgraded[0], &[put("c", "by the newer one")]).await.unwrap();
    let restarted = open(&database).await;
    write(&restarted, &[put("d", "by the older one, restarted")]).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        assert!(text(&old, name).await.is_some() && text(&restarted, name).await.is_some(), "{name}");
        assert!(text(&upgraded[2], name).await.is_some(), "{name}");
    }
    assert_eq!(number(&mut looks, "SELECT version FROM integration_schema").await, 2, "it is not taken back");
}

#[tokio::test]
async fn a_release_that_the_next_migration_leaves_behind_is_refused_with_one_line() {
    let Some(database) = database().await else { return };
    drop(open(&database).await);
    let next = PostgresOptions::new(database.url()).with_next_release(NEXT, 2);
    write(&PostgresStore::open_with(next.clone()).await.unwrap(), &[put("a", "newer")]).await.unwrap();
    let error = PostgresStore::open(database.url()).await.unwrap_err();
    assert_eq!(error.message(), "the database has schema version 2, this release knows versions up to 1");
    assert_eq!((error.kind(), error.to_string().lines().count()), (ErrorKind::Store, 1));
    assert!(error.remedy().is_some() && !error.retryable());
    let newer = PostgresStore::open_with(next).await.unwrap();
    assert_eq!(text(&newer, "a").await.as_deref(), Some("newer"));
}

#[tokio::test]
async fn a_database_without_the_tables_of_its_version_says_so() {
    let Some(database) = database().await else { return };
    let store = open(&database).await;
    run(&mut raw(&database).await, "DROP TABLE integration_state").await;
    let error = write(&store, &[put("a", "1")]).await.unwrap_err();
    assert_eq!(error.message(), "a table or the schema of the store is missing");
    let mut host = raw(&database).await;
    run(&mut host, "CREATE TABLE crm_schema (title TEXT)").await;
    let error = PostgresStore::open_with(PostgresOptions::new(database.url()).with_prefix("crm_")).await.unwrap_err();
    assert_eq!(error.message(), "a table of the store's name has other columns");
}
