//! Being told of changes: subscriptions at the simulated service, as the hub keeps them.

use std::time::Duration;

use integration_core::{
    ErrorKind,
    oauth::Forget,
    push::PushTarget,
    sync::{Job, Shutdown},
};
use integration_microsoft::OutlookQuota;
use integration_testing::{SandboxSettings, microsoft::graph::Subscription};

use super::world::World;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn target(path: &str) -> PushTarget {
    PushTarget::webhook(format!("https://host.example/{path}").parse().unwrap())
}

impl World {
    fn subscriptions(&self) -> Vec<Subscription> {
        self.mailbox().subscriptions()
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_made_once_renewed_in_time_and_ended_with_the_connection() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let (hub, tenant, id) = (&world.hub, &world.tenant, &world.connection.id);
    assert_eq!(hub.renew_subscription(tenant, id).await.unwrap(), None);
    assert!(hub.client_state(tenant, id).await.unwrap().is_none());
    let first = hub.subscribe(tenant, id, &target("a?connection=1")).await.unwrap();
    assert_eq!(hub.subscribe(tenant, id, &target("a?connection=1")).await.unwrap(), first, "there is one already");
    let [there] = &world.subscriptions()[..] else { panic!("{:?}", world.subscriptions()) };
    let secret = hub.client_state(tenant, id).await.unwrap().unwrap();
    assert_eq!((there.client_state.as_deref(), &there.id), (Some(secret.expose().as_str()), &first.id));
    assert_eq!(
        (there.notification_url.as_str(), there.resource.as_str()),
        ("https://host.example/a?connection=1", "me/messages")
    );
    assert_eq!(there.lifecycle_url.as_deref(), Some("https://host.example/a?connection=1"));
    assert!(there.immutable_ids && secret.expose().len() <= 128);
    assert!(first.expires_at - world.clock.now() > chrono::TimeDelta::days(6));
    world.clock.sleep(DAY * 2).await;
    assert_eq!(hub.renew_subscription(tenant, id).await.unwrap(), Some(first.clone()), "not yet");
    world.clock.sleep(DAY * 2).await;
    let renewed = hub.renew_subscription(tenant, id).await.unwrap().unwrap();
    assert_eq!((&renewed.id, renewed.expires_at - first.expires_at), (&first.id, chrono::TimeDelta::days(4)));
    let other = hub.subscribe(tenant, id, &target("b")).await.unwrap();
    assert_eq!(world.subscriptions().iter().map(|one| &one.id).collect::<Vec<_>>(), [&other.id], "one, elsewhere");
    assert_ne!(hub.client_state(tenant, id).await.unwrap().unwrap(), secret);
    hub.disconnect(tenant, id, Forget::SecretsOnly).await.unwrap();
    assert!(world.subscriptions().is_empty() && hub.subscription(tenant, id).await.unwrap().is_none());
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_service_lost_is_made_anew_and_what_was_not_told_is_synced() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let (hub, tenant, id) = (&world.hub, &world.tenant, &world.connection.id);
    world.sync(&world.connection).await;
    let first = hub.subscribe(tenant, id, &target("a")).await.unwrap();
    // Nobody renewed it for as long as it lives.
    world.clock.sleep(DAY * 8).await;
    let fresh = hub.renew_subscription(tenant, id).await.unwrap().unwrap();
    assert_ne!(fresh.id, first.id);
    assert_eq!(world.subscriptions().len(), 1);
    let source = hub.push(tenant, id).await.unwrap();
    source.unsubscribe(&first).await.unwrap();
    hub.unsubscribe(tenant, id).await.unwrap();
    hub.unsubscribe(tenant, id).await.unwrap();
    assert!(world.subscriptions().is_empty());
    hub.run(Job::sync_mail(tenant, id), &Shutdown::default()).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_the_service_does_not_take_is_refused_and_leaves_nothing_behind() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let (hub, tenant, id) = (&world.hub, &world.tenant, &world.connection.id);
    let plain = PushTarget::webhook("http://host.example/a".parse().unwrap());
    for target in [plain, PushTarget::Topic("projects/p/topics/t".to_owned())] {
        assert_eq!(hub.subscribe(tenant, id, &target).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(world.subscriptions().is_empty() && hub.subscription(tenant, id).await.unwrap().is_none());
    assert!(hub.subscribe(tenant, id, &target("a")).await.is_ok());
}
