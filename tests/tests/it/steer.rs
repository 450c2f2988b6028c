//! Steering a connection through the hub: pause, resume, cancel, quarantine, disconnect.

use integration_core::{
    ErrorKind,
    connection::ConnectionStatus,
    event::Phase,
    ids::{ConnectionId, TenantId},
    oauth::{Forget, Revocation},
    store::StateQuery,
    sync::{Job, JobOutcome, Shutdown},
};
use integration_testing::{Fault, FaultAction};

use crate::{
    service::{Service, at_each_service},
    world::{OWNER, World},
};

async fn a_paused_connection_rests_until_it_is_resumed(service: Service) {
    let world = World::of(service, 3).await;
    world.hub.pause(&world.tenant, &world.connection.id).await.unwrap();
    let calls = world.sandbox.books().calls;
    assert!(matches!(world.sync().await, JobOutcome::Done { again_in: None }), "the schedule ends");
    assert_eq!((world.sandbox.books().calls, world.shown()), (calls, 0));
    world.hub.resume(&world.tenant, &world.connection.id).await.unwrap();
    world.sync().await;
    assert_eq!(world.shown(), 3);
    let known = world.hub.connections(&world.tenant).await.unwrap().remove(0);
    assert_eq!(known.status, ConnectionStatus::Active);
}

async fn a_running_slice_is_cancelled_at_its_next_safe_point_and_loses_nothing(service: Service) {
    let world = World::of(service, 400).await;
    let delay = FaultAction::Delay { milliseconds: 200 };
    world.sandbox.script(Fault::new(delay).on_path(service.reading()).always());
    let (hub, job) = (world.hub.clone(), Job::sync_mail(&world.tenant, &world.connection.id));
    let slice = tokio::spawn(async move { hub.run(job, &Shutdown::default()).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.hub.cancel_sync(&world.tenant, &world.connection.id).await.unwrap();
    assert!(matches!(slice.await.unwrap(), JobOutcome::Done { again_in: None }));
    assert!((1..400).contains(&world.shown()), "{} before it stopped", world.shown());
    world.sync().await;
    assert_eq!(world.shown(), 400);
}

at_each_service! {
    a_paused_connection_rests_until_it_is_resumed,
    a_running_slice_is_cancelled_at_its_next_safe_point_and_loses_nothing,
    a_foreign_tenant_sees_and_changes_nothing,
    a_quarantined_item_is_kept_listed_opened_and_leaves_on_replay,
    disconnecting_with_everything_takes_it_off_the_hosts_timeline,
}

#[tokio::test(start_paused = true)]
async fn pausing_what_is_not_there_says_so() {
    let world = World::with_messages(0).await;
    let unknown = world.hub.pause(&world.tenant, &ConnectionId::new("nobody")).await.unwrap_err();
    let foreign = world.hub.pause(&TenantId::new("other"), &world.connection.id).await.unwrap_err();
    assert_eq!((unknown.kind(), foreign.kind()), (ErrorKind::NotFound, ErrorKind::NotFound));
}

async fn a_foreign_tenant_sees_and_changes_nothing(service: Service) {
    let world = World::of(service, 3).await;
    world.sync().await;
    let (hub, other, id) = (&world.hub, TenantId::new("other"), &world.connection.id);
    let refused = [
        hub.email(&other, id).await.map(drop),
        hub.session(&other, id).await.map(drop),
        hub.why(&other, id, "1@acme.example").await.map(drop),
        hub.audit(&other, id).await,
        hub.audit_cost(&other, id).await.map(drop),
        hub.pause(&other, id).await,
        hub.resume(&other, id).await,
        hub.cancel_sync(&other, id).await,
        hub.replay_quarantine(&other, id).await,
        hub.set_mail_policy(&other, Some(id), None).await,
        hub.disconnect(&other, id, Forget::Everything).await.map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound, "call {number}");
    }
    assert!(hub.connections(&other).await.unwrap().is_empty() && hub.activities(&other).await.unwrap().is_empty());
    assert!(
        hub.decisions(&other, id).await.unwrap().is_empty() && hub.quarantined(&other, id).await.unwrap().is_empty()
    );
    let foreign = hub.run(Job::sync_mail(&other, id), &Shutdown::default()).await;
    assert!(matches!(foreign, JobOutcome::Failed { again_in: None, .. }), "{foreign:?}");
    world.sync().await;
    assert_eq!(world.shown(), 3);
}

async fn a_quarantined_item_is_kept_listed_opened_and_leaves_on_replay(service: Service) {
    let world = World::of(service, 2).await;
    world.sync().await;
    let id = world.nonsense("From: bob@acme.example\nTo: ada@example.com\nMessage-ID: <9@acme.example>");
    world.sync().await;
    assert_eq!((world.quarantined().await, world.shown()), (vec![id.clone()], 2));
    let kept = world.hub.open_quarantined(&world.tenant, &world.connection.id, &id).await.unwrap();
    assert!(service == Service::Microsoft || kept.expose().starts_with(b"{\"id\":7"), "{kept:?}");
    world.mend(&id);
    let foreign = world.hub.open_quarantined(&TenantId::new("other"), &world.connection.id, &id).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    let job = Job::replay_quarantine(&world.tenant, &world.connection.id);
    assert!(matches!(world.hub.run(job, &Shutdown::default()).await, JobOutcome::Done { again_in: None }));
    world.sync().await;
    assert_eq!((world.quarantined().await, world.shown()), (vec![], 3));
}

async fn disconnecting_with_everything_takes_it_off_the_hosts_timeline(service: Service) {
    let world = World::of(service, 5).await;
    world.sync().await;
    assert_eq!(world.shown(), 5);
    let id = &world.connection.id;
    let gone = world.hub.disconnect(&world.tenant, id, Forget::Everything).await.unwrap();
    // Microsoft has no page where an app could give its tokens back.
    let revoked = if service == Service::Google { Revocation::Revoked } else { Revocation::Unsupported };
    assert_eq!((gone.revocation, world.shown()), (revoked, 0));
    assert_eq!(world.sandbox.live_refresh_tokens(OWNER), 0);
    assert!(world.hub.activities(&world.tenant).await.unwrap().is_empty());
    assert!(world.hub.decisions(&world.tenant, id).await.unwrap().is_empty());
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    for space in [
        "activity",
        "audit",
        "decision",
        "gone",
        "member",
        "message_id",
        "participant",
        "partition",
        "pending",
        "review",
        "thread",
    ] {
        let (tenant, prefix) = (world.tenant.clone(), String::new());
        let query = StateQuery::Range { tenant, space, prefix, after: None, limit: 10 };
        assert!(world.store.read(&query).await.unwrap().is_empty(), "{space}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_never_complete_early_and_names_the_time_that_is_left() {
    let world = World::with_messages(600).await;
    world.sync().await;
    let seen = world.watcher.0.lock().unwrap().clone();
    let end = seen.iter().position(|progress| progress.phase == Phase::UpToDate).unwrap();
    let (before, after) = seen.split_at(end);
    assert!(after.iter().all(|progress| progress.phase == Phase::UpToDate && progress.pending == 0), "{after:?}");
    assert!(before.iter().all(|progress| progress.pending > 0), "{before:?}");
    let named: Vec<_> = before.iter().filter(|progress| progress.phase == Phase::Fetching).collect();
    assert!(!named.is_empty() && named.iter().all(|progress| progress.eta.is_some()), "{named:?}");
    // 20 units a message, at 98 % of 6,000 units a minute.
    let (pending, eta) = (named[0].pending, named[0].eta.unwrap().as_secs());
    assert_eq!(eta, pending * 20 * 60 / (6_000 * 98 / 100));
}
