//! Pages as the service gives them: empty ones, ones that end at a gateway, ones that are too large for it.

use std::{collections::BTreeSet, time::Duration};

use integration_core::{ErrorKind, email::MessageQuery};
use integration_microsoft::OutlookQuota;
use integration_testing::{SandboxSettings, mail, microsoft::graph::GraphSettings};

use super::world::World;

async fn with_letters(count: usize) -> (World, BTreeSet<String>) {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let all = (0..count).map(|number| world.deliver(number)).collect();
    (world, all)
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_with_a_link_to_the_next_is_not_the_end() {
    let (world, mut all) = with_letters(5).await;
    // More than there are folders: some are given two in a row.
    world.odd(|oddities| oddities.empty_pages = 25);
    world.sync(&world.connection).await;
    assert_eq!(world.decided().await, all);
    world.odd(|oddities| oddities.empty_pages = 25);
    all.insert(world.deliver(5));
    world.sync(&world.connection).await;
    assert_eq!(world.decided().await, all, "the same of what changed");
    world.odd(|oddities| assert_eq!(oddities.empty_pages, 0, "all of them were given"));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_search_goes_on_behind_an_empty_page() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let all: BTreeSet<String> = world.mailbox().on_demand(600, &mail::with_attachment(10)).into_iter().collect();
    world.odd(|oddities| oddities.empty_pages = 1);
    let (email, mut found, mut at) = (world.email().await, BTreeSet::new(), None);
    loop {
        let page = email.search(&MessageQuery::default(), at.as_ref()).await.unwrap();
        found.extend(page.items.into_iter().map(|stub| stub.id.to_string()));
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(found, all);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_gateway_are_got_over() {
    let (world, all) = with_letters(5).await;
    world.odd(|oddities| oddities.gateway_pages = 12);
    let errors = world.sync_through(&world.connection).await;
    assert!(errors.iter().all(integration_core::Error::retryable), "{errors:?}");
    assert_eq!(world.decided().await, all);
    world.odd(|oddities| assert_eq!(oddities.gateway_pages, 0, "all of them were given"));
}

/// While the gateway lets only small pages through, nothing that is known is lost and every failure is one of the service's that passes;
/// in the end everything is there.
#[tokio::test(start_paused = true)]
async fn pages_that_are_too_large_for_the_gateway_lose_nothing() {
    let (world, mut all) = with_letters(8).await;
    world.sync(&world.connection).await;
    world.odd(|oddities| oddities.largest_page = Some(50));
    let known = all.clone();
    all.extend((8..70).map(|number| world.deliver(number)));
    world.mailbox().expire_delta_links();
    for _ in 0..5 {
        if let integration_core::sync::JobOutcome::Failed { error, .. } = world.slice().await {
            assert!(error.kind() == ErrorKind::Unavailable, "{error:?}");
        }
        assert!(world.decided().await.is_superset(&known));
        world.clock.sleep(Duration::from_secs(60)).await;
    }
    world.odd(|oddities| oddities.largest_page = None);
    world.sync_through(&world.connection).await;
    assert_eq!(world.decided().await, all);
}

#[tokio::test(start_paused = true)]
async fn short_pages_of_folders_and_messages_are_all_read() {
    let graph = GraphSettings { delta_page: Some(2), ..GraphSettings::default() };
    let world = World::new(SandboxSettings { graph, ..SandboxSettings::default() }, OutlookQuota::Off).await;
    let all: BTreeSet<String> = (0..9).map(|number| world.deliver(number)).collect();
    world.sync(&world.connection).await;
    assert_eq!(world.decided().await, all);
}
