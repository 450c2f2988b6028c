//! A sign-in service that fails: it passes, and nothing is lost.

use integration_testing::{Fault, FaultAction};

use super::*;

impl World {
    fn token_endpoint(&self, action: FaultAction) {
        self.sandbox.script(Fault::new(action).on_operation("oauth.token").always());
    }

    /// For a while the token endpoint is in trouble; the connection waits it out.
    async fn outlasts(&self, connection: &Connection, kinds: &[ErrorKind]) {
        tokio::time::advance(NEXT_DAY).await;
        self.arrives(ADA);
        let before = self.shown().await;
        for _ in 0..4 {
            let (kind, _, again_in) = self.fails(connection).await;
            assert!(kinds.contains(&kind), "{kind:?} is none of {kinds:?}");
            tokio::time::advance(again_in.expect("it is tried again by itself")).await;
        }
        assert_eq!(self.status(connection).await.0, ConnectionStatus::Active);
        assert!(!self.called().await.contains(&Actor::Person));
        self.sandbox.clear_faults();
        self.sandbox.microsoft().set_trouble("example.com", None);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let end = self.sync(connection).await;
        assert!(matches!(end, JobOutcome::Done { .. }), "{end:?}");
        assert_eq!(self.shown().await, before + 1, "what arrived meanwhile is there");
        assert_eq!(self.status(connection).await, (ConnectionStatus::Active, None));
    }
}

#[tokio::test(start_paused = true)]
async fn pages_and_failures_of_the_token_endpoint_pass() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    for action in [
        FaultAction::status(502, "<html><body>Bad gateway</body></html>"),
        FaultAction::status(200, "<html><body>Our services aren't available right now</body></html>"),
        FaultAction::status(500, ""),
        FaultAction::status(503, r#"{"error":"temporarily_unavailable","error_codes":[90033]}"#),
        FaultAction::status(403, "<html><body>Blocked by a proxy</body></html>"),
        FaultAction::ResetBefore,
        FaultAction::TruncateBody,
    ] {
        world.token_endpoint(action);
        world.outlasts(&connection, &[ErrorKind::Unavailable]).await;
    }
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_throttles_is_left_alone_for_as_long_as_it_says() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.microsoft().set_trouble("example.com", Some(90055));
    world.outlasts(&connection, &[ErrorKind::RateLimited]).await;

    tokio::time::advance(NEXT_DAY).await;
    let headers = [("retry-after".to_owned(), "7200".to_owned())].into();
    world.token_endpoint(FaultAction::Status { status: 429, headers, body: String::new() });
    let (kind, _, again_in) = world.fails(&connection).await;
    assert_eq!(kind, ErrorKind::RateLimited);
    assert!(again_in.unwrap() >= Duration::from_secs(7_000), "{again_in:?}");
    let asked = world.asked("refresh_token").len();
    tokio::time::advance(Duration::from_secs(6_000)).await;
    world.fails(&connection).await;
    assert_eq!(world.asked("refresh_token").len(), asked, "it is not asked before");
    world.sandbox.clear_faults();
    tokio::time::advance(Duration::from_secs(2_000)).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_new_tokens_that_is_lost_on_its_way_costs_nothing() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    tokio::time::advance(NEXT_DAY).await;
    world.sandbox.script(Fault::new(FaultAction::ResetAfter).on_operation("oauth.token"));
    let end = world.sync(&connection).await;
    if let JobOutcome::Failed { error, again_in } = end {
        assert!(!matches!(error.kind(), ErrorKind::ReauthorisationNeeded | ErrorKind::NeedsConsent), "{error}");
        tokio::time::advance(again_in.unwrap()).await;
    }
    world.works(&connection).await;
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_meets_a_failing_token_endpoint_can_be_made_again() {
    let world = World::desktop();
    for action in [FaultAction::status(502, "<html></html>"), FaultAction::status(429, "")] {
        world.token_endpoint(action);
        match world.signs_in(ask(), Consent::As(ADA)).await {
            ConnectOutcome::ServiceError { remedy, .. } => assert_eq!(remedy.actor, Actor::Person),
            other => panic!("{other:?}"),
        }
        assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
        world.sandbox.clear_faults();
    }
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_out_of_reach_hold_a_sign_in_up_and_end_none() {
    let world = World::desktop();
    world.sandbox.microsoft().jwks_outage(true);
    match world.signs_in(ask(), Consent::As(ADA)).await {
        ConnectOutcome::ServiceError { error, .. } => assert_eq!(error, "unavailable"),
        other => panic!("{other:?}"),
    }
    world.sandbox.microsoft().jwks_outage(false);
    let connection = world.connects().await;
    world.sandbox.microsoft().rotate_keys();
    world.works(&connection).await;
    tokio::time::advance(DAY).await;
    assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
    world.sandbox.assert_conforms();
}
