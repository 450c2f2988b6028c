//! Rows as they were once written: intents, sent items, links, signals and events, in the fewest words that a release ever
//! wrote, and with words that only a later one knows.

use std::collections::BTreeSet;

use integration_core::{
    event::EventKind,
    hub::{SignalKind, SignalState},
    ids::{ConnectionId, TenantId},
    outbox::{IntentKey, IntentState, Link, Origin, Ours, Theirs},
    store::{Space, StateKey, StateWrite},
    sync::{Job, JobOutcome, Shutdown},
};

use super::on_every_store;
use crate::world::World;

on_every_store!(
    intents_are_read_and_taken_back,
    sent_items_are_read,
    links_are_read_from_both_sides,
    signals_are_read_and_handed_out,
    events_are_read_and_an_unheard_of_one_is_no_hole,
);

/// Where nothing else is.
fn tenant() -> TenantId {
    TenantId::new("golden")
}

async fn put(world: &World, rows: &[(Space, &[&str], &str)]) {
    let write = |(space, key, text): &(Space, &[&str], &str)| {
        StateWrite::put(&tenant(), space, StateKey::new(key.iter()), (*text).to_owned().into_bytes())
    };
    let mut tx = world.store.begin(None).await.unwrap();
    tx.write(&rows.iter().map(write).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
}

const WAITING: &str = r#"{"key":"few","connection":"c","kind":"send_mail","state":"waiting","token":"t@host.example",
    "created_at":"2026-11-01T10:00:00Z","due":"2026-11-01T10:00:00Z"}"#;
const UNKNOWN: &str = r#"{"v":1,"key":"more","connection":"c","kind":"send_mail","state":"unknown",
    "since":"2026-11-01T10:00:05.250Z","look_ups":2,"lamps":[1],"token":"u@host.example",
    "created_at":"2026-11-01T10:00:00Z","due":"2026-11-01T10:00:20Z","until":"2026-11-02T10:00:00Z","attempts":3,
    "times_unknown":1,"setback":{"kind":"timeout","message":"no answer","hue":"red"},"order":"line","sequence":7,
    "salt":"s","digest":"d","weight":{"kilograms":3}}"#;
const FAILED: &str = r#"{"v":1,"key":"failed","connection":"c","kind":"send_mail","state":"failed",
    "at":"2026-11-01T11:00:00Z","failure":{"kind":"invalid_input","message":"no"},"token":"f@host.example",
    "created_at":"2026-11-01T10:00:00Z","due":"2026-11-01T10:00:00Z"}"#;

async fn intents_are_read_and_taken_back(world: World) {
    let rows: [(Space, &[&str], &str); 3] =
        [("outbox", &["few"], WAITING), ("outbox", &["more"], UNKNOWN), ("outbox", &["failed"], FAILED)];
    put(&world, &rows).await;
    let read = async |key: &str| world.hub.intent(&tenant(), &IntentKey::new(key)).await.unwrap().unwrap();
    let few = read("few").await;
    assert_eq!((few.state, few.attempts, few.order, few.until), (IntentState::Waiting, 0, None, None));
    let more = read("more").await;
    assert!(matches!(more.state, IntentState::Unknown { look_ups: 2, .. }), "{more:?}");
    assert_eq!((more.attempts, more.times_unknown, more.sequence, more.first_attempt), (3, 1, Some(7), None));
    assert_eq!(more.setback.unwrap().kind, "timeout");
    for key in ["few", "failed"] {
        world.hub.cancel_intent(&tenant(), &IntentKey::new(key)).await.unwrap();
        assert!(matches!(read(key).await.state, IntentState::Cancelled { .. }));
    }
    assert_eq!(world.hub.outbox(&tenant(), None).await.unwrap().items.len(), 3);
}

const SENT_FEW: &str =
    r#"{"intent":"few","connection":"c","message_id":"t@host.example","recipients":["bo@acme.example"]}"#;
const SENT_MORE: &str = r#"{"v":1,"intent":"more","connection":"c","message_id":"u@host.example",
    "sent_message_id":"own@mail.example","senders":["me@host.example"],"recipients":["bo@acme.example"],
    "sent_at":"2026-11-01T10:00:06Z","message":"m1","thread":"t1","seen":true,
    "replies":[{"at":null,"by":"bo@acme.example","message":"r@acme.example","mood":"good"}],"auto_replies":[],
    "bounces":[{"at":"2026-11-01T10:01:00Z","recipient":"cy@acme.example","hard":true}],"opened":[3]}"#;

async fn sent_items_are_read(world: World) {
    put(&world, &[("sent", &["few"], SENT_FEW), ("sent", &["more"], SENT_MORE)]).await;
    let read = async |key: &str| world.hub.sent_item(&tenant(), &IntentKey::new(key)).await.unwrap().unwrap();
    let few = read("few").await;
    assert!(!few.seen && !few.is_replied() && !few.is_bounced() && few.sent_at.is_none(), "{few:?}");
    let more = read("more").await;
    assert!(more.seen && more.is_replied() && more.is_bounced(), "{more:?}");
    assert_eq!(more.message.unwrap().as_str(), "m1");
    assert_eq!(more.bounces[0].status, None);
}

const LINK_FEW: &str = r#"{"ours":{"kind":"intent","id":"few"},
    "theirs":{"connection":"c","kind":"message","id":"m1"},"origin":"ours"}"#;
const LINK_MORE: &str = r#"{"v":1,"ours":{"kind":"invoice","id":"7","colour":1},
    "theirs":{"connection":"c","kind":"entry","id":"e1"},"origin":"theirs","seen":"3","since":"ever"}"#;

async fn links_are_read_from_both_sides(world: World) {
    let rows: [(Space, &[&str], &str); 4] = [
        ("link", &["intent", "few", "c", "message", "m1"], LINK_FEW),
        ("link_back", &["c", "message", "m1", "intent", "few"], LINK_FEW),
        ("link", &["invoice", "7", "c", "entry", "e1"], LINK_MORE),
        ("link_back", &["c", "entry", "e1", "invoice", "7"], LINK_MORE),
    ];
    put(&world, &rows).await;
    let (tenant, theirs) = (tenant(), |kind: &str, id: &str| Theirs::new(ConnectionId::new("c"), kind, id));
    let links = world.hub.links(&tenant);
    let few = Link::new(Ours::new("intent", "few"), theirs("message", "m1"), Origin::Ours);
    assert_eq!(links.of_ours(&Ours::new("intent", "few")).await.unwrap(), [few]);
    let more = Link::new(Ours::new("invoice", "7"), theirs("entry", "e1"), Origin::Theirs);
    let found = links.of_theirs(&theirs("entry", "e1")).await.unwrap();
    assert_eq!(found, [more.with_seen(Some("3".to_owned()))]);
    assert!(found[0].is_echo(Some("3")) && !found[0].is_echo(Some("4")));
}

const SIGNAL_FEW: &str = r#"{"id":"few","kind":"deal_won","data":{"deal":"7"},"state":"waiting",
    "told_at":"2026-11-01T10:00:00Z","due":"2026-11-01T10:00:00Z"}"#;
const SIGNAL_MORE: &str = r#"{"v":1,"id":"more","kind":"own","data":{"name":"shipped","data":{"parcel":9},"size":"L"},
    "state":"parked","told_at":"2026-11-01T10:00:00Z","taken":["rematch"],"tries":10,"error":"mine: no",
    "due":"2026-11-01T10:00:00Z","loud":true}"#;

async fn signals_are_read_and_handed_out(world: World) {
    let due = "00000001793527200000";
    let rows: [(Space, &[&str], &str); 3] =
        [("signal", &["few"], SIGNAL_FEW), ("signal_due", &[due, "few"], "1"), ("signal", &["more"], SIGNAL_MORE)];
    put(&world, &rows).await;
    let read = async |id: &str| world.hub.signal_record(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(read("few").await.signal.kind, SignalKind::DealWon { deal: "7".to_owned() });
    let more = read("more").await;
    assert_eq!((more.state, more.tries, more.taken), (SignalState::Parked, 10, BTreeSet::from(["rematch".to_owned()])));
    world.hub.retry_signal(&tenant(), "more").await.unwrap();
    while let JobOutcome::Continue = world.hub.run(Job::signals(&tenant()), &Shutdown::default()).await {}
    for id in ["few", "more"] {
        assert_eq!(read(id).await.state, SignalState::Done, "{id}");
    }
}

const EVENT_FEW: &str = r#"{"number":1,"at":"2026-11-01T10:00:00Z","kind":"outcome_unknown","intent":"few"}"#;
const EVENT_NEW: &str =
    r#"{"v":1,"number":2,"at":"2026-11-01T10:00:01Z","connection":"c","kind":"unheard_of","of":[1]}"#;
const EVENT_MORE: &str = r#"{"v":1,"number":3,"at":"2026-11-01T10:00:02Z","connection":"c","kind":"retired",
    "quarantined":4,"drawings":2}"#;

async fn events_are_read_and_an_unheard_of_one_is_no_hole(world: World) {
    let place = |number: u64| format!("{number:020}");
    let (first, second, third) = (place(1), place(2), place(3));
    put(&world, &[("event", &[&first], EVENT_FEW), ("event", &[&second], EVENT_NEW), ("event", &[&third], EVENT_MORE)])
        .await;
    let page = world.hub.events(&tenant(), 0, 10).await.unwrap();
    let told: Vec<_> = page.events.iter().map(|event| (event.number, &event.what)).collect();
    let intent = EventKind::OutcomeUnknown { intent: IntentKey::new("few") };
    let retired = EventKind::Retired { quarantined: 4, texts: 0, intents: 0 };
    assert_eq!(told, [(1, &intent), (2, &EventKind::Unknown), (3, &retired)]);
    assert_eq!((page.next, page.reset), (3, None));
}
