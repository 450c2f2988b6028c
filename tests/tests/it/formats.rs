//! What a newer release stored is neither misread nor lost.

use integration_core::{
    ErrorKind,
    store::{Space, StateQuery, StateRow, StateWrite},
    sync::{Job, JobOutcome, Shutdown},
};
use serde_json::Value;

use crate::world::World;

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

#[tokio::test(start_paused = true)]
async fn every_row_that_is_an_object_carries_its_format() {
    let world = World::with_messages(3).await;
    world.sandbox.gmail().mailbox(crate::world::OWNER).deliver(BROKEN, world.sandbox.now(), &["INBOX"]);
    world.sync().await;
    for space in ["partition", "member", "quarantine", "decision", "thread", "activity"] {
        for row in world.stored(space).await {
            assert!(row.bytes.starts_with(br#"{"v":1,"#), "{space}: {}", String::from_utf8_lossy(&row.bytes));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_format_are_read_and_written_with_one() {
    let world = World::with_messages(3).await;
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

#[tokio::test(start_paused = true)]
async fn a_row_of_a_newer_release_stops_the_sync_with_a_clear_error_and_stays() {
    let world = World::with_messages(3).await;
    world.sync().await;
    world.rewrite("partition", |_| r#"{"v":2,"heads":["unheard of"]}"#.to_owned()).await;
    let job = Job::sync_mail(&world.tenant, &world.connection.id);
    let JobOutcome::Failed { error, again_in } = world.hub.run(job, &Shutdown::default()).await else { panic!() };
    assert_eq!((error.kind(), again_in.is_some()), (ErrorKind::Store, true));
    assert!(error.message().contains("written by a newer release (format 2; this one reads 1)"), "{error}");
    assert!(world.stored("partition").await[0].bytes.starts_with(br#"{"v":2"#));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_a_newer_release_quarantined_is_kept_and_said_so() {
    let world = World::with_messages(0).await;
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
