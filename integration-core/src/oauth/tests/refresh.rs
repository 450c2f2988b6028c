use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::advance;

use super::{
    service::Answer,
    world::{NO_SUCH_APP, StoppedTimers, World, ask, parameters},
};
use crate::{
    ErrorKind,
    connection::{ConnectionStatus, GrantStatus},
    error::Actor,
    http::{Credentials, TransportErrorKind},
    ids::{GrantId, TenantId},
    oauth::{Authorise, KeptAlive},
};

const HOUR: Duration = Duration::from_secs(3600);

fn fail_always(world: &World, status: u16) {
    world.service.with(|state| {
        state.script.clear();
        state.script.extend((0..10_000).map(|_| Answer::Raw(status, "<html>no</html>")));
    });
}

fn script(world: &World, status: u16, error: &str) {
    world.service.with(|state| state.script.push_back(Answer::Json(status, json!({ "error": error }))));
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_handed_out_without_asking() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    advance(HOUR / 2).await;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-1");
    assert_eq!(world.service.refreshes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refreshed_ahead_of_its_end() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    advance(HOUR - Duration::from_secs(119)).await;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_in_four_processes_make_one_request() {
    for rotating in [false, true] {
        let world = World::new();
        let grant = world.connected().await.grant;
        world.service.with(|state| {
            state.rotating = rotating;
            state.delays.push_back(Duration::from_millis(300));
        });
        advance(HOUR * 2).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let process = world.another_process(Arc::clone(&world.clock));
            for _ in 0..250 {
                let credentials = process.credentials(&world.tenant, &grant, &world.connector);
                tasks.spawn(async move { credentials.access(None).await.unwrap().token.expose().clone() });
            }
        }
        for token in tasks.join_all().await {
            assert_eq!(token, "access-2");
        }
        assert_eq!(world.service.refreshes(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_held_it() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    let old = credentials.access(None).await.unwrap();
    let asks = (0..20).map(|_| credentials.access(Some(&old)));
    for token in futures_util::future::join_all(asks).await {
        assert_eq!(token.unwrap().token.expose(), "access-2");
    }
    assert_eq!(world.service.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_ended_token_is_never_handed_out() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    fail_always(&world, 503);
    advance(HOUR - Duration::from_secs(60)).await;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-1", "still good, although late");
    advance(Duration::from_secs(56)).await;
    let error = credentials.access(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_durable_before_its_access_token_is_used() {
    let world = World::new();
    let grant = world.connected().await.grant;
    world.service.with(|state| state.rotating = true);
    advance(HOUR * 2).await;
    // The intent is saved, the answer is not.
    *world.store.saves_left.lock().unwrap() = Some(1);
    let credentials = world.credentials(&grant);
    assert_eq!(credentials.access(None).await.unwrap_err().kind(), ErrorKind::Store);
    // The storage is back: the answer in hand is saved, and nobody asks again.
    *world.store.saves_left.lock().unwrap() = None;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-2");
    assert_eq!(world.service.refreshes(), 1);
    let set = world.sign_in.engine.load_tokens(&world.tenant, &grant).await.unwrap().unwrap().1;
    assert_eq!(set.refresh.unwrap().expose(), "refresh-2");
}

#[tokio::test(start_paused = true)]
async fn giving_up_waiting_does_not_lose_the_answer() {
    let world = World::new();
    let grant = world.connected().await.grant;
    world.service.with(|state| {
        state.rotating = true;
        state.delays.push_back(Duration::from_secs(2));
    });
    advance(HOUR * 2).await;
    let credentials = world.credentials(&grant);
    assert!(tokio::time::timeout(Duration::from_secs(1), credentials.access(None)).await.is_err());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-2");
    assert_eq!(world.service.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_intent_is_stored_while_the_service_is_asked_and_gone_afterwards() {
    let world = World::new();
    let grant = world.connected().await.grant;
    world.service.with(|state| state.delays.push_back(Duration::from_secs(2)));
    advance(HOUR * 2).await;
    let credentials = world.credentials(&grant);
    let asking = tokio::spawn(async move { credentials.access(None).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stored = async || world.sign_in.engine.load_tokens(&world.tenant, &grant).await.unwrap().unwrap().1;
    assert!(stored().await.intent.is_some());
    asking.await.unwrap().unwrap();
    assert!(stored().await.intent.is_none());
}

/// A process that dies after it asked and before it could save: its task is gone, its lease and its intent are not.
async fn crash_between_answer_and_save(world: &World, grant: &crate::ids::GrantId) {
    let engine = &world.sign_in.engine;
    let (version, mut set) = engine.load_tokens(&world.tenant, grant).await.unwrap().unwrap();
    set.intent = Some(crate::oauth::token_set::Intent { fence: 1, at: world.now() });
    let key = crate::store::GrantKey { tenant: world.tenant.clone(), grant: grant.clone() };
    engine.save_tokens(&key, Some(version), &set).await.unwrap();
    let lease = crate::store::LeaseKey::new(["refresh", world.tenant.as_str(), grant.as_str()]);
    engine.parts.stores.leases.acquire(&lease, Duration::from_secs(30)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_holder_tries_the_old_token_once() {
    let world = World::new();
    let grant = world.connected().await.grant;
    advance(HOUR * 2).await;
    crash_between_answer_and_save(&world, &grant).await;
    assert_eq!(world.credentials(&grant).access(None).await.unwrap().token.expose(), "access-2");
    assert_eq!(world.service.refreshes(), 1);
    assert_eq!(world.status(&grant).await, GrantStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_a_service_without_grace_is_named_as_the_cause() {
    let world = World::new();
    let grant = world.connected().await.grant;
    world.service.with(|state| state.current_refresh = "lost-with-the-process".to_owned());
    advance(HOUR * 2).await;
    crash_between_answer_and_save(&world, &grant).await;
    let credentials = world.credentials(&grant);
    for _ in 0..3 {
        let error = credentials.access(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReauthorisationNeeded);
        assert!(error.remedy().unwrap().cause.contains("interrupted"), "{error:?}");
    }
    assert_eq!(world.service.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_wakes_up_after_its_lease_changes_nothing() {
    let world = World::new();
    let grant = world.connected().await.grant;
    advance(HOUR * 2).await;
    world.service.with(|state| state.delays.extend([Duration::from_secs(45), Duration::ZERO]));
    let stopped = world.another_process(Arc::new(StoppedTimers(Arc::clone(&world.clock))));
    let stopped = stopped.credentials(&world.tenant, &grant, &world.connector);
    let woken = tokio::spawn(async move { stopped.access(None).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = world.credentials(&grant).access(None).await.unwrap();
    assert!(!woken.is_finished());
    let stored = world.store.tokens.lock().unwrap().clone();
    let woken = woken.await.unwrap().unwrap();
    assert_eq!(woken.token, next.token, "it uses what is stored");
    assert_eq!(*world.store.tokens.lock().unwrap(), stored);
    assert_eq!(world.service.refreshes(), 2);
    assert_eq!(world.status(&grant).await, GrantStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_definite_refusal_needs_the_person_and_is_asked_for_once() {
    let world = World::new();
    let connection = world.connected().await;
    let credentials = world.credentials(&connection.grant);
    advance(HOUR * 24 * 7).await;
    script(&world, 400, "invalid_grant");
    for _ in 0..5 {
        let error = credentials.access(None).await.unwrap_err();
        assert_eq!((error.kind(), error.remedy().unwrap().actor), (ErrorKind::ReauthorisationNeeded, Actor::Person));
        advance(HOUR).await;
    }
    assert_eq!(world.service.refreshes(), 1);
    assert!(matches!(world.status(&connection.grant).await, GrantStatus::NeedsAttention { .. }));
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::NeedsAttention);
    let age = world.test_connector.ages.lock().unwrap()[0].unwrap();
    assert_eq!(age.as_secs() / 86_400, 7, "the connector is told how old the grant is");
}

#[tokio::test(start_paused = true)]
async fn asking_for_consent_again_has_its_own_kind() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    advance(HOUR * 2).await;
    script(&world, 400, "interaction_required");
    assert_eq!(credentials.access(None).await.unwrap_err().kind(), ErrorKind::NeedsConsent);
}

#[tokio::test(start_paused = true)]
async fn a_claims_challenge_is_kept_with_the_grant_and_goes_into_the_new_authorisation() {
    const CLAIMS: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let world = World::new();
    let connection = world.connected().await;
    advance(HOUR * 2).await;
    let refusal = Answer::Json(400, json!({ "error": "interaction_required", "claims": CLAIMS }));
    world.service.with(|state| state.script.push_back(refusal));
    let error = world.credentials(&connection.grant).access(None).await.unwrap_err();
    assert_eq!(error.remedy().unwrap().claims.as_deref(), Some(CLAIMS));
    let GrantStatus::NeedsAttention { remedy, .. } = world.status(&connection.grant).await else { panic!() };
    assert_eq!(remedy.claims.as_deref(), Some(CLAIMS));
    let sent = async |ask: Authorise| parameters(&world.authorise(&ask).await.url).get("claims").cloned();
    assert_eq!(sent(ask().with_reconnect(connection.id.clone())).await.as_deref(), Some(CLAIMS));
    assert_eq!(sent(ask().with_claims("{}")).await.as_deref(), Some("{}"));
    assert_eq!(sent(ask()).await, None, "a sign-in of somebody else meets no challenge");
    world.outcome(&ask().with_reconnect(connection.id.clone())).await;
    assert_eq!(sent(ask().with_reconnect(connection.id)).await, None, "it was met");
}

#[tokio::test(start_paused = true)]
async fn an_app_with_a_wrong_secret_alarms_the_operator_and_leaves_the_person_alone() {
    let world = World::new();
    let connection = world.connected().await;
    let credentials = world.credentials(&connection.grant);
    advance(HOUR * 2).await;
    script(&world, 401, "invalid_client");
    let error = credentials.access(None).await.unwrap_err();
    assert_eq!((error.kind(), error.remedy().unwrap().actor), (ErrorKind::Misconfigured, Actor::Operator));
    assert_eq!(world.status(&connection.grant).await, GrantStatus::Active);
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Active);
    // Mended, it goes on by itself.
    advance(Duration::from_secs(60)).await;
    assert_eq!(credentials.access(None).await.unwrap().token.expose(), "access-2");
}

#[tokio::test(start_paused = true)]
async fn an_administrators_policy_needs_the_administrator_and_heals() {
    let world = World::new();
    let connection = world.connected().await;
    let credentials = world.credentials(&connection.grant);
    advance(HOUR * 2).await;
    script(&world, 403, "access_denied");
    let error = credentials.access(None).await.unwrap_err();
    assert_eq!((error.kind(), error.remedy().unwrap().actor), (ErrorKind::AdminPolicy, Actor::Administrator));
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::NeedsAttention);
    advance(HOUR + Duration::from_secs(1)).await;
    credentials.access(None).await.unwrap();
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_is_left_alone_for_a_while() {
    let world = World::new();
    let grant = world.connected().await.grant;
    let credentials = world.credentials(&grant);
    advance(HOUR * 2).await;
    fail_always(&world, 503);
    for _ in 0..10 {
        let error = credentials.access(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
    }
    assert_eq!(world.service.refreshes(), 1);
    assert!(matches!(world.status(&grant).await, GrantStatus::Degraded { .. }));
    world.service.with(|state| state.script.clear());
    advance(Duration::from_secs(40)).await;
    credentials.access(None).await.unwrap();
    assert_eq!(world.status(&grant).await, GrantStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_endpoint_decides_how_long_it_is_left_alone() {
    let world = World::new();
    let credentials = world.credentials(&world.connected().await.grant);
    advance(HOUR * 2).await;
    world.service.with(|state| state.script.push_back(Answer::RetryAfter(429, "600")));
    assert_eq!(credentials.access(None).await.unwrap_err().kind(), ErrorKind::RateLimited);
    advance(Duration::from_secs(590)).await;
    credentials.access(None).await.unwrap_err();
    assert_eq!(world.service.refreshes(), 1);
    advance(Duration::from_secs(11)).await;
    credentials.access(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_not_a_refusal() {
    for kind in [TransportErrorKind::Connect, TransportErrorKind::Interrupted, TransportErrorKind::Timeout] {
        let world = World::new();
        let credentials = world.credentials(&world.connected().await.grant);
        advance(HOUR * 2).await;
        world.service.with(|state| state.script.push_back(Answer::Broken(kind)));
        assert_eq!(credentials.access(None).await.unwrap_err().kind(), ErrorKind::Unavailable);
        advance(Duration::from_secs(60)).await;
        credentials.access(None).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_counts_days_and_not_calls() {
    let world = World::new();
    let grant = world.connected().await.grant;
    let credentials = world.credentials(&grant);
    advance(HOUR * 2).await;
    fail_always(&world, 503);
    for _ in 0..200 {
        credentials.access(None).await.unwrap_err();
        advance(Duration::from_secs(120)).await;
    }
    assert!(matches!(world.status(&grant).await, GrantStatus::Degraded { .. }), "one bad day is not the end");
    for _ in 0..7 {
        advance(HOUR * 24).await;
        credentials.access(None).await.unwrap_err();
    }
    let GrantStatus::NeedsAttention { remedy, .. } = world.status(&grant).await else { panic!("not given up") };
    assert_eq!(remedy.actor, Actor::Operator);
    let asked = world.service.refreshes();
    advance(HOUR * 12).await;
    credentials.access(None).await.unwrap_err();
    assert_eq!(world.service.refreshes(), asked, "it is tried once a day");
    world.service.with(|state| state.script.clear());
    advance(HOUR * 12).await;
    credentials.access(None).await.unwrap();
    assert_eq!(world.status(&grant).await, GrantStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn a_scope_taken_back_takes_the_capability_with_it() {
    let world = World::new();
    let connection = world.connected().await;
    advance(HOUR * 2).await;
    let body = json!({ "access_token": "access-2", "expires_in": 3600, "scope": "profile" });
    world.service.with(|state| state.script.push_back(Answer::Json(200, body)));
    world.credentials(&connection.grant).access(None).await.unwrap();
    assert!(world.connection(&connection).await.capabilities.is_empty());
    assert_eq!(world.grant(&connection.grant).await.scopes, ["profile".to_owned()].into());
}

#[tokio::test(start_paused = true)]
async fn idle_grants_are_kept_alive() {
    let world = World::new();
    let grant = world.connected().await.grant;
    let keep_alive = || world.sign_in.keep_alive(&world.tenant, &grant, &world.connector);
    assert_eq!(keep_alive().await.unwrap(), KeptAlive::Fresh);
    advance(HOUR * 25).await;
    assert_eq!(keep_alive().await.unwrap(), KeptAlive::Renewed);
    assert_eq!(keep_alive().await.unwrap(), KeptAlive::Fresh);
    assert_eq!(world.service.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_secret_shows_in_debug_or_errors() {
    let world = World::new();
    let grant = world.connected().await.grant;
    let (_, set) = world.sign_in.engine.load_tokens(&world.tenant, &grant).await.unwrap().unwrap();
    let credentials = world.credentials(&grant);
    advance(HOUR * 2).await;
    world.service.with(|state| state.script.push_back(Answer::Raw(200, "{\"access_token\":\"access-secret\",")));
    let error = credentials.access(None).await.unwrap_err();
    let text = format!("{set:?} {credentials:?} {:?} {error:?} {error}", world.sign_in);
    assert!(!text.contains("access-") && !text.contains("refresh-"), "{text}");
}

/// The service does not know the app where this grant is at home; what is said of it.
async fn app_refused(world: &World, grant: &GrantId) -> (ErrorKind, Option<Actor>) {
    let refusal = json!({ "error": "unauthorized_client", "error_codes": [NO_SUCH_APP] });
    world.service.with(|state| state.script.push_back(Answer::Json(400, refusal)));
    let error = world.credentials(grant).access(None).await.unwrap_err();
    (error.kind(), error.remedy().map(|remedy| remedy.actor))
}

/// Two customers' grants of one app; the second one's tokens are those that the service knows.
async fn two_customers() -> (World, GrantId, GrantId) {
    let mut world = World::new();
    let first = world.connected().await.grant;
    let ours = std::mem::replace(&mut world.tenant, TenantId::new("other"));
    let second = world.connected().await.grant;
    world.tenant = ours;
    advance(HOUR * 2).await;
    (world, first, second)
}

async fn refresh_of_another(world: &World, grant: &GrantId) {
    world.sign_in.credentials(&TenantId::new("other"), grant, &world.connector).access(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_refused_for_one_customer_alone_is_its_administrators_business() {
    let (world, first, second) = two_customers().await;
    refresh_of_another(&world, &second).await;
    assert_eq!(app_refused(&world, &first).await, (ErrorKind::AdminPolicy, Some(Actor::Administrator)));
    let GrantStatus::NeedsAttention { remedy, .. } = world.status(&first).await else { panic!() };
    assert_eq!(remedy.actor, Actor::Administrator);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_refused_is_the_operators_business_until_others_go_through() {
    let (world, first, second) = two_customers().await;
    let operators = (ErrorKind::Misconfigured, Some(Actor::Operator));
    assert_eq!(app_refused(&world, &first).await, operators);
    assert_eq!(world.status(&first).await, GrantStatus::Active);
    advance(HOUR).await;
    refresh_of_another(&world, &second).await;
    assert_eq!(app_refused(&world, &first).await, (ErrorKind::AdminPolicy, Some(Actor::Administrator)));
    advance(HOUR * 24).await;
    assert_eq!(app_refused(&world, &first).await, operators, "nobody else has been renewed since");
}
