//! A disk that is really full: a small file system in memory, where this machine lets us mount one.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use integration_core::{
    Error, ErrorKind,
    clock::{Random, SystemRandom},
    ids::GrantId,
    store::{
        PostgresStore, SealedRecord, StateKey, StateQuery, StateWrite, SyncStore, TokenStore, sqlite::SqliteStore,
    },
};

use super::{database, number, put, raw, run, tenant, text, write};

/// A file system of its own, unmounted when dropped.
struct Disk {
    place: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    /// `None` where nothing can be mounted, which is said.
    fn of(kilobytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self { place: directory.path().join("disk"), _directory: directory };
        std::fs::create_dir(&disk.place).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"], &disk.place);
        if !mounted {
            println!("not tried on a really full disk: no file system can be mounted here");
        }
        mounted.then_some(disk)
    }

    fn grow(&self, kilobytes: u32) {
        assert!(mount(&["-o", &format!("remount,size={kilobytes}k")], &self.place));
    }
}

fn mount(options: &[&str], place: &Path) -> bool {
    Command::new("mount").args(options).arg(place).output().is_ok_and(|done| done.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).output();
    }
}

/// Rows of 8 KiB that no compression makes smaller.
fn large(name: &str) -> StateWrite {
    let mut bytes = vec![0; 8 << 10];
    SystemRandom.fill(&mut bytes);
    StateWrite::put(&tenant(), "test", StateKey::new([name]), bytes)
}

/// Writes until there is no room; how many rows were kept, and the error.
async fn fill(store: &dyn SyncStore) -> (usize, Error) {
    for index in 0..10_000 {
        let rows = [large(&format!("row {index:05}"))];
        let written = async {
            let mut tx = store.begin(None).await?;
            tx.write(&rows).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            return (index, error);
        }
    }
    panic!("it is never full");
}

async fn rows(store: &dyn SyncStore) -> usize {
    let (tenant, prefix) = (tenant(), "row".to_owned());
    let query = StateQuery::Range { tenant, space: "test", prefix, after: None, limit: 100_000 };
    store.read(&query).await.unwrap().len()
}

/// Full, everything committed before is there, and more goes on as soon as there is room.
async fn full_and_on(store: &(impl SyncStore + TokenStore), message: &str, make_room: impl AsyncFnOnce()) {
    let (kept, error) = fill(store).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Store, message), "{error:?}");
    assert!(error.remedy().is_some(), "it says what to do");
    assert!(kept > 5);
    assert_eq!(rows(store).await, kept, "nothing that was committed is lost, and nothing half is there");
    make_room().await;
    let mut tx = store.begin(None).await.unwrap();
    tx.write(&[large("row more")]).await.unwrap();
    tx.commit().await.unwrap();
    let grant = GrantId::new("g");
    store.save(&tenant(), &grant, None, &SealedRecord::new("sealed")).await.unwrap();
    assert_eq!(rows(store).await, kept + 1);
}

const SQLITE: &str = "the disk is full, or the database file has reached its largest size";

#[tokio::test]
async fn a_file_on_a_full_disk_loses_nothing_and_goes_on_with_more_room() {
    let Some(disk) = Disk::of(1_024) else { return };
    let store = SqliteStore::open(disk.place.join("host.db")).await.unwrap();
    full_and_on(&store, SQLITE, async || disk.grow(8_192)).await;
    store.close().await.unwrap();
    let again = SqliteStore::open(disk.place.join("host.db")).await.unwrap();
    assert!(rows(&again).await > 5, "opened anew, it is whole");
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_server_on_a_full_disk_loses_nothing_and_goes_on_with_more_room() {
    let Some(database) = database().await else { return };
    let Some(disk) = Disk::of(1_024) else { return };
    let store = PostgresStore::open(database.url()).await.unwrap();
    write(&store, &[put("before", "kept")]).await.unwrap();
    let mut owner = raw(&database).await;
    if !let_in(&mut owner, &disk).await {
        return println!("not tried on a really full disk: the server cannot use the mounted one");
    }
    // The rows and what is too large for them move; the log of the server stays where there is room.
    let name = format!("small{}", std::process::id());
    run(&mut owner, &format!("CREATE TABLESPACE {name} LOCATION '{}'", disk.place.display())).await;
    run(&mut owner, &format!("ALTER TABLE integration_state SET TABLESPACE {name}")).await;
    full_and_on(&store, "the database's disk is full", async || disk.grow(8_192)).await;
    assert_eq!(text(&store, "before").await.as_deref(), Some("kept"));
    run(&mut owner, "ALTER TABLE integration_state SET TABLESPACE pg_default").await;
    run(&mut owner, &format!("DROP TABLESPACE {name}")).await;
}

/// The server's user owns the place, on the machine where both are.
async fn let_in(owner: &mut sqlx::PgConnection, disk: &Disk) -> bool {
    if number(owner, "SELECT (inet_server_addr() IS NOT NULL)::int::bigint").await != 0 {
        return false;
    }
    // Only a superuser is told, and only one may keep tables elsewhere.
    let told: Option<String> = sqlx::query_scalar("SHOW data_directory").fetch_one(owner).await.ok();
    let Some(data) = told.and_then(|data| std::fs::metadata(data).ok()) else { return false };
    let above = disk.place.parent().unwrap();
    // Whoever runs the server has to pass through the directory above.
    let passable = std::fs::set_permissions(above, Permissions::from_mode(0o755));
    passable.is_ok() && chown(&disk.place, Some(data.uid()), Some(data.gid())).is_ok()
}
