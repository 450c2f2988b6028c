//! What somebody decides about a match reaches what it is about, and nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use integration_core::{
    activity::{MatchTarget, Person, ReviewSubject},
    store::{JobStore, MemoryStore, Stores},
    sync::SyncOptions,
};

use crate::{
    service::{Service, at_each_service},
    world::{Contacts, OWNER, World},
};

at_each_service! {
    accepting_a_match_leaves_the_candidates_of_other_participants_alone,
    a_verdict_reaches_a_copy_that_was_being_decided_when_it_was_given,
}

const SLOW: Duration = Duration::from_secs(1);

fn contact(id: &str) -> MatchTarget {
    MatchTarget::Contact(id.to_owned())
}

fn mail(from: &str, to: &str) -> String {
    format!(
        "From: {from}\nTo: {to}\nMessage-ID: <1@acme.example>\nSubject: Offer\nDate: Mon, 02 Nov 2026 10:00:00 +0000"
    )
}

/// A mailbox whose host has two contacts with each of two addresses, over a store whose jobs can be looked at.
async fn ties(service: Service, slow: Duration) -> (World, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let contacts = Contacts { slow, ..Contacts::default() };
    let world = World::at(service, Stores::from_one(Arc::clone(&store)), contacts, SyncOptions::default()).await;
    let people = [("ann", "ann"), ("anne", "ann"), ("bob", "bob"), ("rob", "bob")];
    let people = people.map(|(id, name)| Person::new(id, id, &format!("{name}@acme.example")));
    world.contacts.known.lock().unwrap().people = people.to_vec();
    (world, store)
}

async fn matched(world: &World) -> BTreeSet<MatchTarget> {
    let activities = world.hub.activities(&world.tenant).await.unwrap();
    activities.into_iter().flat_map(|one| one.matches).map(|one| one.target).collect()
}

async fn accepting_a_match_leaves_the_candidates_of_other_participants_alone(service: Service) {
    let (world, _) = ties(service, Duration::ZERO).await;
    world.arrives(&mail("ann@acme.example", &format!("{OWNER}, bob@acme.example")), "Yes!", &["INBOX"]);
    world.sync().await;
    let review = world.hub.reviews(&world.tenant).await.unwrap().remove(0);
    assert_eq!(review.candidates.len(), 4);
    let subject = ReviewSubject::Activity(review.activity);
    world.hub.accept_match(&world.tenant, &subject, &contact("anne")).await.unwrap();
    world.decide_again().await;
    assert_eq!(matched(&world).await, ["anne", "bob", "rob"].map(contact).into());
    let left = world.hub.reviews(&world.tenant).await.unwrap().remove(0).candidates;
    assert_eq!(left.into_iter().map(|one| one.target).collect::<Vec<_>>(), ["bob", "rob"].map(contact));
    let bob = ReviewSubject::Address("bob@acme.example".to_owned());
    world.hub.accept_match(&world.tenant, &bob, &contact("rob")).await.unwrap();
    world.decide_again().await;
    assert_eq!(matched(&world).await, ["anne", "rob"].map(contact).into());
    assert!(world.hub.reviews(&world.tenant).await.unwrap().is_empty());
}

async fn a_verdict_reaches_a_copy_that_was_being_decided_when_it_was_given(service: Service) {
    let (world, store) = ties(service, SLOW).await;
    let mail = mail("ann@acme.example", OWNER);
    world.arrives(&mail, "Yes!", &["INBOX"]);
    world.sync().await;
    let activity = world.hub.activities(&world.tenant).await.unwrap().remove(0).id;
    world.arrives(&mail, "Yes!", &["INBOX"]);
    let verdict = async {
        // The second copy has asked what was decided, and waits for the directory.
        tokio::time::sleep(SLOW / 2).await;
        let subject = ReviewSubject::Activity(activity);
        world.hub.reject_match(&world.tenant, &subject, &contact("ann")).await.unwrap();
    };
    tokio::join!(world.sync(), verdict);
    world.decide_again().await;
    assert_eq!(matched(&world).await.len(), 2, "without a race there is nothing to see");
    tokio::time::advance(SyncOptions::default().lease * 2).await;
    for claim in store.claim(100, Duration::from_secs(60)).await.unwrap() {
        world.run(claim.job).await;
    }
    world.decide_again().await;
    assert_eq!(matched(&world).await, ["anne"].map(contact).into());
}
