//! The audit: a mailbox held against its service item by item, at each service.

use std::{collections::BTreeSet, time::Duration};

use integration_core::{
    activity::Activity,
    hub::Why,
    ids::ItemKey,
    store::{StateKey, StateRow, StateWrite},
    sync::{AuditReport, Job},
};

use crate::{service::Service, world::World};

impl World {
    async fn audit(&self) -> AuditReport {
        self.run(Job::audit(&self.tenant, &self.connection.id)).await;
        self.sync().await;
        self.last_audit().await
    }

    /// Of the whole mailbox.
    async fn last_audit(&self) -> AuditReport {
        AuditReport::total(&self.hub.audit_reports(&self.tenant, &self.connection.id).await.unwrap())
    }

    /// Calls that list messages, so far.
    fn listings(&self) -> u64 {
        let books = self.sandbox.books();
        let calls = match self.service {
            Service::Google => &books.gmail["by_method"]["gmail.users.messages.list"][0],
            Service::Microsoft => &books.graph["by_operation"]["messages.delta"][0],
        };
        calls.as_u64().unwrap()
    }

    async fn delete_rows(&self, space: &'static str, keys: Vec<StateKey>) {
        let writes: Vec<_> = keys.into_iter().map(|key| StateWrite::delete(&self.tenant, space, key)).collect();
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(&writes).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The first so many activities are gone from the store, and the decisions on `decisions` others: which messages these are.
    async fn lose(&self, activities: usize, decisions: usize) -> [BTreeSet<ItemKey>; 2] {
        let messages = |of: &[Activity]| -> BTreeSet<ItemKey> {
            let copies = of.iter().flat_map(|one| one.sightings.values().flat_map(|copies| copies.keys()));
            copies.map(ItemKey::new).collect()
        };
        let shown = self.hub.activities(&self.tenant).await.unwrap();
        let named = [messages(&shown[..activities]), messages(&shown[activities..activities + decisions])];
        let rows = self.rows("activity").await.into_iter().take(activities);
        self.delete_rows("activity", rows.map(|row| row.key).collect()).await;
        let connection = self.connection.id.as_str();
        let keys = named[1].iter().map(|message| StateKey::new([connection, message.as_str()])).collect();
        self.delete_rows("decision", keys).await;
        named
    }
}

async fn names_repairs_and_agrees(service: Service) {
    let world = World::of(service, 60).await;
    world.sync().await;
    assert_eq!(world.shown(), 60);
    let first = world.audit().await;
    assert_eq!((first.listed, first.applied, first.gaps(), first.is_complete()), (60, 60, 0, true));
    let hidden: Vec<String> = (60..63).map(|number| world.deliver(number)).collect();
    hidden.iter().for_each(|id| world.hide(id));
    world.sync().await;
    assert_eq!(world.shown(), 60, "the service told of the hidden ones");
    assert_eq!(world.hub.why(&world.tenant, &world.connection.id, &hidden[0]).await.unwrap(), Why::Missed);
    let before = world.hub.activities(&world.tenant).await.unwrap();
    let [shown, decided] = world.lose(5, 2).await;
    let cost = world.hub.audit_cost(&world.tenant, &world.connection.id).await.unwrap();
    let listings = world.listings();
    let second = world.audit().await;
    let listed = world.listings() - listings;
    assert!(cost.items == 60 && listed >= cost.calls, "{cost:?}, {listed} listings");
    assert_eq!((second.effect_lost.count, second.undecided.count, second.missing.count), (5, 2, 3));
    assert_eq!((second.gaps(), second.listed, second.unlisted.count), (10, 63, 0));
    assert_eq!((second.effect_lost.keys, second.undecided.keys), (shown, decided));
    assert_eq!(second.missing.keys, hidden.iter().map(ItemKey::new).collect());
    println!("{}: known beforehand {cost:?}; {listed} listings", service.name());
    let third = world.audit().await;
    assert_eq!((third.listed, third.applied, third.gaps(), third.is_complete()), (63, 63, 0, true));
    let after = world.hub.activities(&world.tenant).await.unwrap();
    assert!(after.len() == 63 && before.iter().all(|one| after.contains(one)), "they are back as they were");
}

async fn finds_lost_index_rows(service: Service) {
    let world = World::of(service, 20).await;
    world.sync().await;
    let spaces = ["participant", "message_id", "thread"];
    let before = [world.rows(spaces[0]).await, world.rows(spaces[1]).await, world.rows(spaces[2]).await];
    for (space, rows) in spaces.into_iter().zip(&before) {
        world.delete_rows(space, rows.iter().take(3).map(|row| row.key.clone()).collect()).await;
    }
    let report = world.audit().await;
    assert!(report.index_lost.count >= 3 && report.gaps() == report.index_lost.count, "{report:?}");
    for (space, rows) in spaces.into_iter().zip(before) {
        let contents = |rows: Vec<StateRow>| rows.into_iter().map(|row| (row.key, row.bytes)).collect::<Vec<_>>();
        assert_eq!(contents(world.rows(space).await), contents(rows), "{space}");
    }
    assert_eq!(world.audit().await.gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_audit_lists_again_what_changes_would_not_find() {
    finds_lost_index_rows(Service::Google).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_over_many_folders_lists_again_what_changes_would_not_find() {
    finds_lost_index_rows(Service::Microsoft).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_names_what_is_amiss_repairs_it_and_then_agrees() {
    names_repairs_and_agrees(Service::Google).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_over_many_folders_names_what_is_amiss_repairs_it_and_then_agrees() {
    names_repairs_and_agrees(Service::Microsoft).await;
}

async fn looks_before_believing(service: Service) {
    let world = World::of(service, 4).await;
    let gone = world.deliver(4);
    world.sync().await;
    world.remove(&gone);
    world.hide(&gone);
    let report = world.audit().await;
    assert_eq!((report.listed, report.unlisted.count, world.shown()), (4, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn an_audit_looks_for_what_the_service_did_not_list_before_believing_that_it_is_gone() {
    looks_before_believing(Service::Google).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_over_many_folders_looks_for_what_was_not_listed_before_believing_that_it_is_gone() {
    looks_before_believing(Service::Microsoft).await;
}

async fn runs_when_due(service: Service) {
    let world = World::of(service, 2).await;
    world.sync().await;
    assert_eq!(world.last_audit().await, AuditReport::default());
    tokio::time::advance(Duration::from_secs(8 * 24 * 3600)).await;
    world.sync().await;
    let report = world.last_audit().await;
    assert!(report.is_complete() && report.listed == 2, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_audit_runs_by_itself_when_it_is_due() {
    runs_when_due(Service::Google).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_over_many_folders_runs_by_itself_when_it_is_due() {
    runs_when_due(Service::Microsoft).await;
}
