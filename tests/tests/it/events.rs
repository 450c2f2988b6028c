//! The durable stream of events: numbered, bounded, without secrets or mail text.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;
use integration_core::{
    event::{EventKind, EventPage, EventRetention, Phase, StoredEvent},
    store::{StateQuery, StateWrite},
    sync::{Job, SyncOptions},
};
use integration_testing::{Fault, FaultAction};

use crate::{
    service::{Service, at_each_service},
    world::{Contacts, World, deliver},
};

at_each_service! {
    a_sync_is_told_in_one_stream_without_gaps,
    what_changes_and_what_goes_is_told_by_id,
    a_dead_sign_in_is_told_once_and_so_is_its_recovery,
    what_an_audit_finds_is_told,
    a_stream_wakes_up_for_what_comes_later,
    events_hold_no_address_and_no_words_of_a_message,
}

impl World {
    pub(crate) async fn events_after(&self, after: u64) -> EventPage {
        self.hub.events(&self.tenant, after, 1_000).await.unwrap()
    }

    async fn all_events(&self) -> Vec<StoredEvent> {
        let page = self.events_after(0).await;
        assert_eq!(page.reset, None);
        page.events
    }

    async fn bounded(count: u64) -> Self {
        let everybody = Contacts { everybody: true, ..Contacts::default() };
        let mut options = SyncOptions::default();
        options.events = EventRetention::default().with_count(count);
        Self::new(everybody, options).await
    }
}

fn added(events: &[StoredEvent]) -> Vec<String> {
    let added = events.iter().filter_map(|event| match &event.what {
        EventKind::Activities { added, .. } => Some(added),
        _ => None,
    });
    added.flatten().map(ToString::to_string).collect()
}

fn phases(events: &[StoredEvent]) -> Vec<Phase> {
    let phases = events.iter().filter_map(|event| match &event.what {
        EventKind::Progress(progress) => Some(progress.phase),
        _ => None,
    });
    phases.collect()
}

async fn a_sync_is_told_in_one_stream_without_gaps(service: Service) {
    let world = World::of(service, 30).await;
    world.sync().await;
    let events = world.all_events().await;
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    let told = added(&events);
    let shown: BTreeSet<String> =
        world.hub.activities(&world.tenant).await.unwrap().into_iter().map(|one| one.id.to_string()).collect();
    assert_eq!(told.len(), 30, "each once");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), shown);
    assert_eq!(phases(&events).last(), Some(&Phase::UpToDate));
    world.sync().await;
    assert_eq!(world.events_after(events.len() as u64).await.events, [], "nothing happened");
}

async fn what_changes_and_what_goes_is_told_by_id(service: Service) {
    let world = World::of(service, 3).await;
    world.sync().await;
    let before = world.events_after(0).await.next;
    world.remove(&world.ids()[0]);
    world.sync().await;
    let page = world.events_after(before).await;
    let withdrawn: Vec<_> = page
        .events
        .iter()
        .filter_map(|event| match &event.what {
            EventKind::Activities { withdrawn, added, changed } => {
                assert!(added.is_empty() && changed.is_empty());
                Some(withdrawn.clone())
            }
            _ => None,
        })
        .flatten()
        .collect();
    let left = world.hub.activities(&world.tenant).await.unwrap();
    assert_eq!((withdrawn.len(), left.len()), (1, 2));
    assert!(left.iter().all(|activity| activity.id != withdrawn[0]));
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_when_the_phase_changes_and_every_few_seconds_only() {
    let world = World::with_messages(600).await;
    world.sandbox.script(Fault::new(FaultAction::Delay { milliseconds: 900 }).on_path("/batch").always());
    let begun = tokio::time::Instant::now();
    world.sync().await;
    let took = begun.elapsed().as_secs();
    let live = world.watcher.0.lock().unwrap().len() as u64;
    let stored = phases(&world.all_events().await);
    let turns = stored.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64 + 1;
    assert!(took > 10, "{took} s: long enough to tell something");
    assert!(stored.len() as u64 <= turns + took / 5 && stored.len() > 2, "{stored:?} in {took} s");
    assert!((stored.len() as u64) < live, "{live} told to the listener");
}

async fn a_dead_sign_in_is_told_once_and_so_is_its_recovery(service: Service) {
    let world = World::of(service, 1).await;
    world.sync().await;
    let before = world.events_after(0).await.next;
    world.withdraw();
    for _ in 0..3 {
        world.sync().await;
    }
    let page = world.events_after(before).await;
    let told: Vec<_> = page.events.iter().map(|event| (&event.connection, &event.what)).collect();
    let [(Some(connection), EventKind::NeedsAttention { grant: Some(grant), remedy })] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!((connection, grant), (&world.connection.id, &world.connection.grant));
    assert!(!remedy.action.is_empty());
    let again = world.connect_again().await;
    assert_eq!(again.id, world.connection.id);
    world.sync().await;
    let after = world.events_after(page.next).await.events;
    let recovered = after.iter().filter(|event| matches!(event.what, EventKind::Recovered { .. })).count();
    assert_eq!(recovered, 1, "{after:?}");
    assert!(!after.iter().any(|event| matches!(event.what, EventKind::NeedsAttention { .. })), "{after:?}");
}

async fn what_an_audit_finds_is_told(service: Service) {
    let world = World::of(service, 6).await;
    world.sync().await;
    let before = world.events_after(0).await.next;
    let (tenant, prefix) = (world.tenant.clone(), String::new());
    let query = StateQuery::Range { tenant, space: "decision", prefix, after: None, limit: 2 };
    let lost = world.store.read(&query).await.unwrap();
    let writes: Vec<_> =
        lost.iter().map(|row| StateWrite::delete(&world.tenant, "decision", row.key.clone())).collect();
    let mut tx = world.store.begin(None).await.unwrap();
    tx.write(&writes).await.unwrap();
    tx.commit().await.unwrap();
    world.run(Job::audit(&world.tenant, &world.connection.id)).await;
    world.sync().await;
    let events = world.events_after(before).await.events;
    let gaps: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            EventKind::AuditGap { gaps, partition: Some(_) } => Some(*gaps),
            _ => None,
        })
        .collect();
    assert_eq!(gaps.len(), 1, "{events:?}");
    assert_eq!((gaps[0].undecided, gaps[0].total()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_too_late_is_told_so_and_goes_on() {
    let world = World::bounded(5).await;
    for number in 0..20 {
        deliver(&world.sandbox, number, "INBOX");
        world.sync().await;
    }
    let page = world.events_after(1).await;
    let reset = page.reset.expect("the second event is gone");
    assert_eq!((reset.after, reset.oldest), (1, page.events[0].number));
    assert!(page.events.len() <= 5, "{} are kept", page.events.len());
    assert_eq!(page.next, page.events.last().unwrap().number);
    let settled = world.events_after(page.next).await;
    assert_eq!((settled.reset, settled.events.len(), settled.next), (None, 0, page.next));
    deliver(&world.sandbox, 20, "INBOX");
    world.sync().await;
    let more = world.events_after(page.next).await;
    assert_eq!(more.reset, None);
    assert_eq!(added(&more.events).len(), 1);
    let ahead = world.events_after(1_000_000).await;
    assert_eq!(ahead.reset.unwrap().after, 1_000_000, "a number that was never given");
    assert_eq!(ahead.next, more.next);
}

#[tokio::test(start_paused = true)]
async fn pages_follow_one_another_without_loss() {
    let world = World::with_messages(40).await;
    world.sandbox.script(Fault::new(FaultAction::Delay { milliseconds: 2_000 }).on_path("/batch").always());
    world.sync().await;
    let (whole, mut after, mut paged) = (world.all_events().await, 0, Vec::new());
    loop {
        let page = world.hub.events(&world.tenant, after, 1).await.unwrap();
        assert!(page.events.len() <= 1 && page.reset.is_none());
        if page.events.is_empty() {
            break;
        }
        (after, paged) = (page.next, [paged, page.events].concat());
    }
    assert!(whole.len() > 2, "{whole:?}");
    assert_eq!(paged, whole);
}

async fn a_stream_wakes_up_for_what_comes_later(service: Service) {
    let world = World::of(service, 2).await;
    let mut stream = world.hub.event_stream(&world.tenant, 0);
    let (first, _) = tokio::join!(stream.next(), world.sync());
    let first = first.unwrap().unwrap();
    assert_eq!(first.events[0].number, 1);
    let after = world.events_after(0).await.next;
    let mut stream = world.hub.event_stream(&world.tenant, after);
    assert!(tokio::time::timeout(Duration::from_secs(30), stream.next()).await.is_err(), "nothing happened");
    world.deliver(7);
    let mut stream = world.hub.event_stream(&world.tenant, after);
    let (next, _) = tokio::join!(stream.next(), world.sync());
    assert_eq!(next.unwrap().unwrap().events[0].number, after + 1);
}

async fn events_hold_no_address_and_no_words_of_a_message(service: Service) {
    let world = World::of(service, 5).await;
    world.arrives("From: Bob <bob@acme.example>\nTo: ada@example.com\nSubject: canary-subject\nMessage-ID: <c@acme.example>\nDate: Mon, 02 Nov 2026 10:00:00 +0000", "canary-text", &["INBOX"]);
    world.sync().await;
    world.withdraw();
    world.sync().await;
    let (tenant, prefix) = (world.tenant.clone(), String::new());
    let query = StateQuery::Range { tenant, space: "event", prefix, after: None, limit: 1_000 };
    let rows = world.store.read(&query).await.unwrap();
    assert!(rows.len() >= 3);
    for row in rows {
        let text = String::from_utf8(row.bytes.to_vec()).unwrap();
        for word in ["canary", "Hello", "acme.example", "ada@", "bob", "Bob", "ya29", "Bearer", "1//"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_tenant_reads_none_of_them() {
    let world = World::with_messages(1).await;
    world.sync().await;
    let other = integration_core::ids::TenantId::new("other");
    let page = world.hub.events(&other, 0, 10).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.reset), (0, 0, None));
}
