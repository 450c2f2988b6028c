//! What an organisation, its policies or the person changes while a mailbox is connected.

use integration_microsoft::ContinuousAccess;
use integration_testing::microsoft::{ChallengeAnswer, ConditionalAccess};
use serde_json::{Value, json};

use super::*;

pub(super) fn demand() -> Value {
    json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}})
}

/// The claims of a request, as JSON.
pub(super) fn claims(text: Option<String>) -> Value {
    text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
}

impl World {
    /// The person signs in anew, with the demanded claims in the address; the connection keeps its id and works.
    async fn proves(&self, connection: &Connection) {
        let begun = self.begins(again(connection)).await;
        let sent = claims(parameter(&begun.url, "claims"));
        assert_eq!(sent["access_token"]["acrs"], demand()["access_token"]["acrs"]);
        assert_eq!(sent["access_token"]["xms_cc"]["values"][0], "cp1", "and what the app can handle");
        let back = self.sandbox.consent(&begun.url, Consent::As(ADA)).unwrap();
        let connections = granted(self.returns(&back, &begun.binding).await.outcome);
        assert_eq!(connections[0].id, connection.id);
        self.works(connection).await;
        assert_eq!(self.status(connection).await, (ConnectionStatus::Active, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_by_conditional_access_is_the_administrators_and_is_asked_about_rarely() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.microsoft().change(ADA, |user| user.access = Some(ConditionalAccess::blocked(53003)));
    tokio::time::advance(NEXT_DAY).await;
    let begun = world.sandbox.now();
    let mut tries = 0;
    while world.sandbox.now() < begun + DAY {
        let (kind, remedy, again_in) = world.fails(&connection).await;
        assert_eq!((kind, remedy.unwrap().actor), (ErrorKind::AdminPolicy, Actor::Administrator));
        tokio::time::advance(again_in.expect("it is tried again by itself")).await;
        tries += 1;
    }
    let asked = world.asked("refresh_token").len();
    assert!((2..=25).contains(&asked) && asked <= tries, "{asked} requests, {tries} tries in a day");
    assert_eq!(world.status(&connection).await, (ConnectionStatus::NeedsAttention, Some(Actor::Administrator)));
    assert_eq!(world.called().await, [Actor::Administrator], "told once, and not to the person");

    // Who signs in again only runs into the same wall.
    match world.reconnects(&connection).await {
        ConnectOutcome::ServiceError { remedy, .. } => assert_eq!(remedy.actor, Actor::Administrator),
        other => panic!("{other:?}"),
    }
    world.sandbox.microsoft().change(ADA, |user| user.access = None);
    tokio::time::advance(DAY).await;
    world.works(&connection).await;
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None), "nobody had to sign in");
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_second_factor_at_refresh_is_the_persons_with_the_claims_that_were_named() {
    let world = World::desktop();
    let connection = world.connects().await;
    let access = ConditionalAccess::solved_by(50076, demand());
    world.sandbox.microsoft().change(ADA, |user| user.access = Some(access));
    tokio::time::advance(NEXT_DAY).await;
    let (kind, remedy, again_in) = world.fails(&connection).await;
    let remedy = remedy.unwrap();
    assert_eq!((kind, remedy.actor, again_in), (ErrorKind::NeedsConsent, Actor::Person, None));
    assert_eq!(claims(remedy.claims), demand());
    world.proves(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_challenge_of_the_mail_is_met_by_a_refresh_where_that_is_enough() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    world.works(&connection).await;
    let asked = world.asked("refresh_token");
    assert_eq!(asked.len(), 1);
    let sent = claims(asked[0].get("claims").cloned());
    assert_eq!(sent["access_token"]["acrs"], demand()["access_token"]["acrs"]);
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None));
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_challenge_of_the_mail_that_needs_a_human_becomes_a_sign_in_with_the_same_claims() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    let microsoft = world.sandbox.microsoft();
    microsoft.change_settings(|settings| settings.challenge_answer = ChallengeAnswer::Interaction);
    microsoft.change(ADA, |user| user.demanded = Some(demand()));
    let (kind, remedy, again_in) = world.fails(&connection).await;
    let remedy = remedy.unwrap();
    assert_eq!((kind, remedy.actor, again_in), (ErrorKind::NeedsConsent, Actor::Person, None));
    assert_eq!(claims(remedy.claims)["access_token"]["acrs"], demand()["access_token"]["acrs"]);
    assert_eq!(world.status(&connection).await, (ConnectionStatus::NeedsAttention, Some(Actor::Person)));
    world.proves(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_challenge_at_the_first_look_at_the_mail_is_met_by_the_next_sign_in() {
    let world = World::desktop();
    world.sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    let remedy = match world.signs_in(ask(), Consent::As(ADA)).await {
        ConnectOutcome::ServiceError { remedy, .. } => remedy,
        other => panic!("{other:?}"),
    };
    assert_eq!(remedy.actor, Actor::Person);
    assert_eq!(claims(remedy.claims.clone()), demand());
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    let with_claims = ask().with_claims(remedy.claims.unwrap());
    let connection = granted(world.signs_in(with_claims, Consent::As(ADA)).await).remove(0);
    world.works(&connection).await;
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn revoked_sessions_end_at_once_where_access_is_evaluated_continuously() {
    for (continuous, noticed) in [(ContinuousAccess::On, true), (ContinuousAccess::Off, false)] {
        let world = World::new(MicrosoftConfig::desktop(DEFAULT_APP).with_continuous_access(continuous));
        let connection = world.connects().await;
        world.works(&connection).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        world.sandbox.microsoft().revoke_sessions(ADA);
        tokio::time::advance(Duration::from_secs(60)).await;
        if !noticed {
            world.works(&connection).await;
            tokio::time::advance(NEXT_DAY).await;
        }
        let (_, remedy, again_in) = world.fails(&connection).await;
        assert_eq!((remedy.unwrap().actor, again_in), (Actor::Person, None));
        assert_eq!(world.status(&connection).await, (ConnectionStatus::NeedsAttention, Some(Actor::Person)));
        assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
        world.works(&connection).await;
        world.sandbox.assert_conforms();
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_the_person_takes_back_stops_the_connection_until_it_is_given_again() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.microsoft().withdraw_consent(ADA, DEFAULT_APP);
    tokio::time::advance(NEXT_DAY).await;
    let (kind, remedy, again_in) = world.fails(&connection).await;
    assert_eq!((kind, remedy.unwrap().actor, again_in), (ErrorKind::NeedsConsent, Actor::Person, None));
    let asked = world.asked("refresh_token").len();
    for _ in 0..3 {
        world.fails(&connection).await;
    }
    assert_eq!(world.asked("refresh_token").len(), asked, "a definite no is not asked for again");
    assert_eq!(world.called().await, [Actor::Person], "told once");
    world.arrives(ADA);
    assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
    world.sync(&connection).await;
    assert_eq!(world.shown().await, 2, "what arrived meanwhile is there");
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_person_who_was_switched_off_is_the_administrators() {
    // At once, by a challenge, and at the next refresh.
    for wait in [Duration::from_secs(60), NEXT_DAY] {
        let world = World::desktop();
        let connection = world.connects().await;
        world.works(&connection).await;
        tokio::time::advance(wait).await;
        world.sandbox.microsoft().change(ADA, |user| user.disabled = true);
        let (_, remedy, again_in) = world.fails(&connection).await;
        assert_eq!((remedy.unwrap().actor, again_in), (Actor::Administrator, None));
        assert_eq!(world.status(&connection).await, (ConnectionStatus::NeedsAttention, Some(Actor::Administrator)));
        assert!(world.sandbox.consent(&world.begins(again(&connection)).await.url, Consent::As(ADA)).is_err());
        world.sandbox.microsoft().change(ADA, |user| user.disabled = false);
        assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
        world.works(&connection).await;
        assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None));
        world.sandbox.assert_conforms();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_was_idle_for_too_long_is_kept_alive_by_its_job() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    let job = Job::keep_alive(&world.tenant, &connection.grant);
    for _ in 0..16 {
        tokio::time::advance(DAY * 7).await;
        let end = world.hub.run(job.clone(), &Shutdown::default()).await;
        assert!(matches!(end, JobOutcome::Done { again_in: Some(_) }), "{end:?}");
    }
    world.works(&connection).await;
    tokio::time::advance(DAY * 91).await;
    let (kind, remedy, _) = world.fails(&connection).await;
    assert_eq!((kind, remedy.unwrap().actor), (ErrorKind::ReauthorisationNeeded, Actor::Person));
    world.sandbox.assert_conforms();
}
