//! The audit: a mailbox held against its service item by item, at each service.

use std::time::Duration;

use integration_core::{
    store::{StateKey, StateQuery, StateWrite},
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

    /// The first so many activities are gone from the store, and the decisions on `decisions` others.
    async fn lose(&self, activities: usize, decisions: usize) {
        let (space, prefix) = ("activity", String::new());
        let query = StateQuery::Range { tenant: self.tenant.clone(), space, prefix, after: None, limit: activities };
        let rows = self.store.read(&query).await.unwrap();
        assert_eq!(rows.len(), activities);
        self.delete_rows(space, rows.into_iter().map(|row| row.key).collect()).await;
        let left = self.hub.activities(&self.tenant).await.unwrap().into_iter().take(decisions);
        let messages = left.map(|one| one.sightings.into_values().next().unwrap().into_keys().next().unwrap());
        let connection = self.connection.id.as_str();
        let keys = messages.map(|message| StateKey::new([connection, &message])).collect();
        self.delete_rows("decision", keys).await;
    }
}

async fn names_repairs_and_agrees(service: Service) {
    let world = World::of(service, 60).await;
    world.sync().await;
    assert_eq!(world.shown(), 60);
    let first = world.audit().await;
    assert_eq!((first.listed, first.applied, first.gaps(), first.is_complete()), (60, 60, 0, true));
    for number in 60..63 {
        let hidden = world.deliver(number);
        world.hide(&hidden);
    }
    world.sync().await;
    assert_eq!(world.shown(), 60, "the service told of the hidden ones");
    world.lose(5, 2).await;
    let cost = world.hub.audit_cost(&world.tenant, &world.connection.id).await.unwrap();
    let listings = world.listings();
    let second = world.audit().await;
    let listed = world.listings() - listings;
    assert!(cost.items == 60 && listed >= cost.calls, "{cost:?}, {listed} listings");
    assert_eq!((second.effect_lost.count, second.undecided.count, second.missing.count), (5, 2, 3));
    assert_eq!((second.gaps(), second.listed, second.unlisted.count), (10, 63, 0));
    println!("{}: known beforehand {cost:?}; {listed} listings", service.name());
    let third = world.audit().await;
    assert_eq!((third.listed, third.applied, third.gaps(), third.is_complete()), (63, 63, 0, true));
    assert_eq!(world.hub.activities(&world.tenant).await.unwrap().len(), 63);
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
