//! Processes whose clocks are an hour apart, on one store: its clock decides.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::time::advance;

use super::{
    identity,
    service::Signer,
    world::{REDIRECT, World, ask, parameters, query, settings},
};
use crate::{
    clock::Clock,
    connection::{AdminConsentEndpoint, Capability},
    http::Credentials,
    ids::GrantId,
    oauth::{AdminConsentAsk, Callback, ConnectOutcome, KeptAlive, SignIn},
};

/// Right in its pace, wrong by a constant.
#[derive(Debug)]
struct Wrong(Arc<dyn Clock>, TimeDelta);

#[async_trait]
impl Clock for Wrong {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// One that is an hour ahead of the store, and one that is an hour behind it.
fn apart(world: &World) -> [SignIn; 2] {
    [1, -1].map(|hours| world.another_process(Arc::new(Wrong(Arc::clone(&world.clock), TimeDelta::hours(hours)))))
}

async fn begun_and_finished(world: &World, signer: &Signer, begins: &SignIn, finishes: &SignIn) -> ConnectOutcome {
    let authorisation = begins.authorise(&world.tenant, &world.connector, &ask()).await.unwrap();
    assert_eq!(authorisation.expires_at - world.now(), TimeDelta::minutes(10));
    let token = signer.sign(&identity::claims(world, &authorisation));
    world.service.with(|state| state.exchange = json!({ "id_token": token }));
    advance(Duration::from_secs(60)).await;
    finishes.complete(&world.callback(&authorisation), world).await.unwrap().outcome
}

async fn access(world: &World, process: &SignIn, grant: &GrantId) -> String {
    let credentials = process.credentials(&world.tenant, grant, &world.connector);
    credentials.access(None).await.unwrap().token.expose().clone()
}

fn world() -> (World, Signer) {
    let signer = Signer::new("k1");
    (identity::world(&signer), signer)
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_one_process_began_is_finished_by_another_an_hour_or_two_apart() {
    let (world, signer) = world();
    let [ahead, behind] = apart(&world);
    for (begins, finishes) in [(&ahead, &behind), (&behind, &ahead), (&ahead, &world.sign_in)] {
        let outcome = begun_and_finished(&world, &signer, begins, finishes).await;
        assert_eq!(outcome.word(), "granted", "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_ends_after_its_time_whichever_process_looks() {
    let (world, _) = world();
    let [ahead, behind] = apart(&world);
    for (begins, finishes) in [(&ahead, &behind), (&behind, &ahead)] {
        let authorisation = begins.authorise(&world.tenant, &world.connector, &ask()).await.unwrap();
        advance(Duration::from_secs(601)).await;
        let late = finishes.complete(&world.callback(&authorisation), &world).await.unwrap();
        assert_eq!(late.outcome, ConnectOutcome::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_one_process_got_is_used_by_another_until_it_ends_and_no_longer() {
    let (world, signer) = world();
    let [ahead, behind] = apart(&world);
    let outcome = begun_and_finished(&world, &signer, &ahead, &behind).await;
    let ConnectOutcome::Granted { grant, .. } = outcome else { panic!("{outcome:?}") };
    for (round, (refreshes, uses)) in [(&ahead, &behind), (&behind, &ahead)].into_iter().enumerate() {
        let before = world.service.refreshes();
        advance(HOUR - Duration::from_secs(100)).await;
        let token = access(&world, refreshes, &grant).await;
        assert_eq!(world.service.refreshes(), before + 1, "{round}: it was about to end");
        assert_eq!(access(&world, uses, &grant).await, token);
        advance(HOUR / 2).await;
        for process in [uses, refreshes] {
            assert_eq!(access(&world, process, &grant).await, token);
        }
        assert_eq!(world.service.refreshes(), before + 1, "{round}: it is good for another half of an hour");
        advance(HOUR / 2).await;
        assert_ne!(access(&world, uses, &grant).await, token, "{round}: it has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_refreshed_lately_is_not_kept_alive_by_a_process_that_is_ahead() {
    let world = World::new();
    let grant = world.connected().await.grant;
    advance(HOUR * 23 + HOUR / 2).await;
    for process in apart(&world) {
        let kept = process.keep_alive(&world.tenant, &grant, &world.connector).await.unwrap();
        assert_eq!(kept, KeptAlive::Fresh);
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrators_address_lasts_as_long_in_every_process() {
    let mut oauth = settings();
    oauth.endpoints.admin_consent = Some(AdminConsentEndpoint::new("https://id.example/{tenant}/admin", "any"));
    let world = World::with(oauth);
    let [ahead, behind] = apart(&world);
    let asked = AdminConsentAsk::new([Capability::MailRead], REDIRECT);
    let record = behind.request_admin_consent(&world.tenant, &world.connector, &asked).await.unwrap();
    let state = parameters(&record.url)["state"].clone();
    advance(HOUR * 24 * 180 - HOUR / 2).await;
    let answer = Callback::new(query(&[("state", &state)]), None);
    assert_eq!(ahead.complete(&answer, &world).await.unwrap().outcome, ConnectOutcome::AdminAllowed);
}
