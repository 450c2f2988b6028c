//! Apps that prove themselves, apps that act on their own, and mailboxes of others.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use integration_core::oauth::{AdminConsentAsk, AppOnly};
use integration_microsoft::SharedMailboxes;
use integration_testing::{
    SigningKey,
    microsoft::{ClientCertificate, EntraApp},
};

use super::*;

const BOB: &str = "bob@example.com";
const BOSS: &str = "boss@example.com";
const TEAM: &str = "team@example.com";

/// A host with a web app.
fn web(secret: &str) -> World {
    let world = World::new(MicrosoftConfig::web(APP, secret));
    world.sandbox.microsoft().register_app(EntraApp::web(APP, secret, BACK));
    world
}

#[tokio::test(start_paused = true)]
async fn a_web_app_proves_itself_with_its_secret() {
    let world = web("s3~cr+et");
    let connection = world.connects().await;
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    let asked = [world.asked("authorization_code"), world.asked("refresh_token")].concat();
    assert!(asked.len() >= 2 && asked.iter().all(|form| form["client_secret"] == "s3~cr+et"));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_web_app_proves_itself_with_a_certificate_anew_each_time() {
    let key = SigningKey::generate();
    let der = key.to_certificate("crm");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
    let world = World::new(MicrosoftConfig::web(APP, "unused").with_certificate(pem, key.to_pem()));
    let app = EntraApp { client_id: APP.to_owned(), ..EntraApp::default() }.with_redirect(BACK);
    world.sandbox.microsoft().register_app(app.with_certificate(ClientCertificate::from_der(&der).unwrap()));
    let connection = world.connects().await;
    for _ in 0..2 {
        tokio::time::advance(NEXT_DAY).await;
        world.works(&connection).await;
    }
    let asked = [world.asked("authorization_code"), world.asked("refresh_token")].concat();
    let assertions: BTreeSet<&String> = asked.iter().map(|form| &form["client_assertion"]).collect();
    assert_eq!((assertions.len(), asked.len()), (3, 3));
    assert!(asked.iter().all(|form| !form.contains_key("client_secret")));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_expired_secret_is_the_operators_alarm_and_ends_with_the_next_one() {
    let mut world = web("old");
    let connection = world.connects().await;
    world.works(&connection).await;
    let now = world.sandbox.now();
    world.sandbox.microsoft().change_app(APP, |app| app.secrets[0].expires_at = Some(now));
    tokio::time::advance(NEXT_DAY).await;
    for _ in 0..5 {
        let (kind, remedy, again_in) = world.fails(&connection).await;
        let remedy = remedy.unwrap();
        assert_eq!((kind, remedy.actor), (ErrorKind::Misconfigured, Actor::Operator));
        assert!(remedy.cause.contains("secret has expired"), "{remedy}");
        tokio::time::advance(again_in.expect("it is tried again by itself")).await;
    }
    assert!(world.asked("refresh_token").len() <= 5);
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, Some(Actor::Operator)));
    assert!(!world.called().await.contains(&Actor::Person));

    world.sandbox.microsoft().change_app(APP, |app| app.secrets[0].value = "elsewhere".to_owned());
    let (kind, ..) = world.fails(&connection).await;
    assert_eq!(kind, ErrorKind::Misconfigured);
    world.sandbox.microsoft().change_app(APP, |app| *app = EntraApp::web(APP, "new", BACK));
    world.restart(MicrosoftConfig::web(APP, "new"));
    tokio::time::advance(DAY).await;
    world.works(&connection).await;
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_with_a_wrong_secret_and_the_operator_is_named() {
    let world = web("right");
    world.sandbox.microsoft().change_app(APP, |app| app.secrets[0].value = "other".to_owned());
    match world.signs_in(ask(), Consent::As(ADA)).await {
        ConnectOutcome::ServiceError { error, remedy } => {
            assert_eq!((error.as_str(), remedy.actor), ("invalid_client", Actor::Operator));
        }
        other => panic!("{other:?}"),
    }
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    world.sandbox.assert_conforms();
}

/// A host whose people may name a team's mailbox, which is not shared yet.
fn shared() -> World {
    let world = World::new(MicrosoftConfig::desktop(DEFAULT_APP).with_shared_mailboxes(SharedMailboxes::Included));
    world.sandbox.microsoft().register_person(TEAM, "Team");
    world
}

/// An app that acts on its own in an organisation of four, not yet let in.
fn daemon() -> World {
    let world = World::new(MicrosoftConfig::app_only(APP, "example.com").with_client_secret("s"));
    let app = EntraApp::web(APP, "s", BACK).with_roles(&["Mail.Read", "User.Read.All"]);
    world.sandbox.microsoft().register_app(app);
    world.sandbox.microsoft().register_person(BOB, "Bob");
    world.sandbox.microsoft().register_person(TEAM, "Team");
    world.sandbox.microsoft().register_admin(BOSS, "Boss");
    world
}

impl World {
    async fn on_its_own(&self, names: &[&str]) -> ConnectOutcome {
        let ask = AppOnly::naming(names.iter().copied(), [Capability::MailRead]);
        self.hub.connect_app_only(&self.tenant, &AppId::new("microsoft"), ask).await.unwrap().outcome
    }

    /// The administrator lets the app in, by the address of the record.
    async fn lets_in(&self) {
        let ask = AdminConsentAsk::new([Capability::MailRead], BACK);
        let record = self.hub.request_admin_consent(&self.tenant, &AppId::new("microsoft"), &ask).await.unwrap();
        let back = self.sandbox.consent(&record.url, Consent::As(BOSS)).unwrap();
        let completion = self.returns(&back, &BrowserBinding::from_cookie("somewhere else")).await;
        assert_eq!(completion.outcome, ConnectOutcome::AdminAllowed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_on_its_own_reaches_many_mailboxes_through_one_grant() {
    let world = daemon();
    match world.on_its_own(&[ADA]).await {
        ConnectOutcome::ServiceError { error, remedy } => {
            assert_eq!((error.as_str(), remedy.actor), ("unauthorized_client", Actor::Operator));
        }
        other => panic!("nobody let it in: {other:?}"),
    }
    world.lets_in().await;
    let connections = granted(world.on_its_own(&[ADA, BOB, TEAM]).await);
    let labels: BTreeSet<&str> = connections.iter().map(|connection| connection.account.label.as_str()).collect();
    let grants: BTreeSet<_> = connections.iter().map(|connection| &connection.grant).collect();
    assert_eq!((labels, grants.len()), (BTreeSet::from([ADA, BOB, TEAM]), 1));
    for connection in &connections {
        world.works(connection).await;
    }
    tokio::time::advance(NEXT_DAY).await;
    let before = world.asked("client_credentials").len();
    for connection in &connections {
        world.works(connection).await;
    }
    assert_eq!(world.asked("client_credentials").len(), before + 1, "one new token serves all");
    assert_eq!(world.asked("refresh_token").len(), 0);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_app_on_its_own_that_an_administrator_removes_waits_until_it_is_let_in_again() {
    let world = daemon();
    world.lets_in().await;
    let connection = granted(world.on_its_own(&[ADA]).await).remove(0);
    world.works(&connection).await;
    world.sandbox.microsoft().withdraw_admin_consent("example.com", APP);
    tokio::time::advance(NEXT_DAY).await;
    let (kind, remedy, again_in) = world.fails(&connection).await;
    assert_eq!((kind, remedy.unwrap().actor), (ErrorKind::Misconfigured, Actor::Operator));
    assert!(again_in.is_some() && !world.called().await.contains(&Actor::Person));
    world.lets_in().await;
    tokio::time::advance(DAY).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_no_longer_shared_stops_alone() {
    let world = shared();
    world.sandbox.microsoft().graph().mailbox(TEAM).share_with(ADA);
    let both = granted(world.signs_in(ask().with_account(TEAM), Consent::As(ADA)).await);
    world.sandbox.microsoft().graph().mailbox(TEAM).stop_sharing_with(ADA);
    let (kind, remedy, again_in) = world.fails(&both[1]).await;
    assert_eq!((kind, remedy.unwrap().actor), (ErrorKind::PermissionDenied, Actor::Person));
    assert!(again_in.is_some());
    world.works(&both[0]).await;
    world.sandbox.microsoft().graph().mailbox(TEAM).share_with(ADA);
    tokio::time::advance(DAY).await;
    world.works(&both[1]).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_out_of_the_apps_reach_is_refused_clearly() {
    let world = daemon();
    world.lets_in().await;
    world.sandbox.microsoft().graph().mailbox(TEAM).close_to(APP);
    match world.on_its_own(&[TEAM]).await {
        ConnectOutcome::ServiceError { error, .. } => assert_eq!(error, "permission_denied"),
        other => panic!("{other:?}"),
    }
    match world.on_its_own(&[ADA, TEAM, "nobody@example.com"]).await {
        ConnectOutcome::NeedsAttention { connections, remedy, .. } => {
            let labels: Vec<&str> = connections.iter().map(|one| one.account.label.as_str()).collect();
            assert_eq!((labels, remedy.actor), (vec![ADA], Actor::Administrator));
            world.works(&connections[0]).await;
        }
        other => panic!("{other:?}"),
    }
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_shared_mailbox_is_reached_with_the_grant_of_whoever_it_is_shared_with() {
    let world = shared();
    let outcome = world.signs_in(ask().with_account(TEAM), Consent::As(ADA)).await;
    let ConnectOutcome::NeedsAttention { connections, .. } = outcome else { panic!("not shared: {outcome:?}") };
    assert_eq!(connections.len(), 1);
    world.sandbox.microsoft().graph().mailbox(TEAM).share_with(ADA);
    let both = granted(world.signs_in(ask().with_account(TEAM), Consent::As(ADA)).await);
    assert_eq!((both.len(), both[0].id == connections[0].id, both[0].grant == both[1].grant), (2, true, true));
    assert_eq!(both[1].account.addresses, [TEAM]);
    for connection in &both {
        world.works(connection).await;
    }
    tokio::time::advance(NEXT_DAY).await;
    for connection in &both {
        world.works(connection).await;
    }
    assert_eq!(world.asked("refresh_token").len(), 1, "one grant, one refresh");
    world.sandbox.assert_conforms();
}
