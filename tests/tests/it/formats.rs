//! What another release stored is neither misread nor lost, whichever the store.

mod golden;

use integration_core::{
    ErrorKind,
    store::{Space, StateQuery, StateRow, StateWrite, Stores},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};
use serde_json::Value;

use crate::world::{Contacts, World};

/// Each case in memory, in a file and on a server.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(crate::formats::mailbox(integration_core::store::Stores::memory()).await).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                let places = crate::place::Places::files();
                super::$case(crate::formats::mailbox(places.fresh("formats").await.stores().await).await).await;
            })+
        }
        #[cfg(unix)]
        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                let Some(places) = crate::place::Places::server().await else { return };
                super::$case(crate::formats::mailbox(places.fresh("formats").await.stores().await).await).await;
            })+
        }
    };
}
use on_every_store;

on_every_store!(
    every_row_that_is_an_object_carries_its_format,
    rows_without_a_format_are_read_and_written_with_one,
    a_row_of_a_newer_release_stops_the_sync_with_a_clear_error_and_stays,
    an_item_that_a_newer_release_quarantined_is_kept_and_said_so,
);

/// A mailbox with three messages of contacts.
pub(crate) async fn mailbox(stores: Stores) -> World {
    let everybody = Contacts { everybody: true, ..Contacts::default() };
    let world = World::over(stores, everybody, SyncOptions::default()).await;
    (0..3).for_each(|number| drop(world.deliver(number)));
    world
}

const BROKEN: &str = "\r\nno header field at all";

impl World {
    async fn stored(&self, space: Space) -> Vec<StateRow> {
        let (tenant, prefix) = (self.tenant.clone(), String::new());
        self.store.read(&StateQuery::Range { tenant, space, prefix, after: None, limit: 1_000 }).await.unwrap()
    }

    /// Writes the rows of a space as another release would have.
    async fn rewrite(&self, space: Space, change: impl Fn(&str) -> String + Send + Sync) {
        let rows = self.stored(space).await;
        assert!(!rows.is_empty());
        let changed = |row: StateRow| {
            let text = String::from_utf8(row.bytes.to_vec()).unwrap();
            StateWrite::put(&self.tenant, space, row.key, change(&text))
        };
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&rows.into_iter().map(changed).collect::<Vec<_>>()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn every_row_that_is_an_object_carries_its_format(world: World) {
    world.sandbox.gmail().mailbox(crate::world::OWNER).deliver(BROKEN, world.sandbox.now(), &["INBOX"]);
    world.sync().await;
    for space in ["partition", "member", "quarantine", "decision", "thread", "activity"] {
        for row in world.stored(space).await {
            assert!(row.bytes.starts_with(br#"{"v":1,"#), "{space}: {}", String::from_utf8_lossy(&row.bytes));
        }
    }
}

async fn rows_without_a_format_are_read_and_written_with_one(world: World) {
    world.sync().await;
    for space in ["partition", "member", "decision", "thread", "activity"] {
        world.rewrite(space, |text| text.replacen("\"v\":1,", "", 1)).await;
    }
    crate::world::deliver(&world.sandbox, 3, "INBOX");
    world.sync().await;
    let decided = world.hub.decisions(&world.tenant, &world.connection.id).await.unwrap().len();
    assert_eq!((world.shown(), decided), (4, 4));
    assert!(world.stored("partition").await[0].bytes.starts_with(br#"{"v":1,"#));
}

async fn a_row_of_a_newer_release_stops_the_sync_with_a_clear_error_and_stays(world: World) {
    world.sync().await;
    world.rewrite("partition", |_| r#"{"v":2,"heads":["unheard of"]}"#.to_owned()).await;
    let job = Job::sync_mail(&world.tenant, &world.connection.id);
    let JobOutcome::Failed { error, again_in } = world.hub.run(job, &Shutdown::default()).await else { panic!() };
    assert_eq!((error.kind(), again_in.is_some()), (ErrorKind::Store, true));
    assert!(error.message().contains("written by a newer release (format 2; this one reads 1)"), "{error}");
    assert!(world.stored("partition").await[0].bytes.starts_with(br#"{"v":2"#));
}

async fn an_item_that_a_newer_release_quarantined_is_kept_and_said_so(world: World) {
    world.sandbox.gmail().mailbox(crate::world::OWNER).deliver(BROKEN, world.sandbox.now(), &["INBOX"]);
    world.sync().await;
    let kept = world.quarantined().await;
    assert_eq!(kept.len(), 1);
    world
        .rewrite("quarantine", |text| {
            let mut row: Value = serde_json::from_str(text).unwrap();
            row["version"] = 7.into();
            row.to_string()
        })
        .await;
    world.watcher.1.lock().unwrap().clear();
    let calls = world.sandbox.books().calls;
    world.run(Job::replay_quarantine(&world.tenant, &world.connection.id)).await;
    assert_eq!((world.quarantined().await, world.sandbox.books().calls), (kept.clone(), calls));
    let told = world.watcher.1.lock().unwrap().clone();
    assert!(matches!(&told[..], [one] if one.contains("format 7; this one knows up to 1")), "{told:?}");
    let opened = world.hub.open_quarantined(&world.tenant, &world.connection.id, &kept[0]).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Validation);
}
