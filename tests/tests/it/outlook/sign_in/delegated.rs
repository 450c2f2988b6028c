//! A person signs in for themselves.

use std::collections::BTreeSet;

use integration_core::oauth::{Forget, MismatchReason, Revocation};
use integration_microsoft::TenantKind;
use integration_testing::microsoft::{Cloud as Place, RefreshAt, Spelling, Tenant};

use super::*;

impl World {
    /// The service never grants this scope any more.
    fn drops(&self, scope: &str) {
        self.sandbox.microsoft().change_settings(|settings| settings.dropped_scopes.extend([scope.to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_connects_and_every_refresh_uses_the_latest_token() {
    let world = World::desktop();
    let connection = world.connects().await;
    assert_eq!((connection.account.label.as_str(), &connection.account.addresses[..]), (ADA, &[ADA.to_owned()][..]));
    world.works(&connection).await;
    for _ in 0..3 {
        tokio::time::advance(NEXT_DAY).await;
        world.works(&connection).await;
    }
    let tokens: Vec<String> =
        world.asked("refresh_token").into_iter().map(|form| form["refresh_token"].clone()).collect();
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 3, "each one is used once: {}", tokens.len());
    assert_eq!(world.status(&connection).await, (ConnectionStatus::Active, None));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_ends_early_is_replaced_in_the_middle_of_a_sync() {
    let world = World::desktop();
    let connection = world.connects().await;
    for _ in 0..2 {
        world.works(&connection).await;
        world.sandbox.microsoft().expire_access_tokens();
    }
    world.works(&connection).await;
    assert_eq!(world.asked("refresh_token").len(), 2);
    assert_eq!(world.called().await, []);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn code_and_refresh_go_to_the_segment_that_the_person_was_sent_to() {
    let config = || MicrosoftConfig::desktop(DEFAULT_APP).with_tenant(TenantKind::Organizations);
    let mut world = World::new(config());
    world.sandbox.microsoft().change_settings(|settings| settings.refresh_at = RefreshAt::SameSegment);
    let connection = world.connects().await;
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    let paths: BTreeSet<String> = world.watched.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["/organizations/oauth2/v2.0/token"]);

    // The operator moves the app to another segment: nobody's connection dies of it, and going back mends it.
    world.restart(config().with_tenant(TenantKind::Common));
    tokio::time::advance(NEXT_DAY).await;
    let (kind, remedy, again_in) = world.fails(&connection).await;
    assert_eq!((kind, remedy.unwrap().actor), (ErrorKind::Misconfigured, Actor::Operator));
    assert!(again_in.is_some());
    assert_eq!(world.status(&connection).await.0, ConnectionStatus::Active);
    world.restart(config());
    tokio::time::advance(DAY).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_tenant_lets_its_own_people_in() {
    let [bob, eve] = ["bob@outlook.com", "eve@other.example"];
    let id = World::desktop().sandbox.microsoft().tenant("example.com").unwrap().id;
    for (tenant, welcome) in [
        (TenantKind::Common, vec![ADA, bob, eve]),
        (TenantKind::Consumers, vec![bob]),
        (TenantKind::Organizations, vec![ADA, eve]),
        (TenantKind::Tenant("example.com".to_owned()), vec![ADA]),
        (TenantKind::Tenant(id), vec![ADA]),
    ] {
        let world = World::new(MicrosoftConfig::desktop(DEFAULT_APP).with_tenant(tenant.clone()));
        for person in [bob, eve] {
            world.sandbox.microsoft().register_person(person, "Somebody");
        }
        for person in [ADA, bob, eve] {
            let begun = world.begins(ask()).await;
            let Ok(back) = world.sandbox.consent(&begun.url, Consent::As(person)) else {
                assert!(!welcome.contains(&person), "{person} at {tenant}");
                continue;
            };
            let connections = granted(world.returns(&back, &begun.binding).await.outcome);
            assert!(welcome.contains(&person), "{person} at {tenant}");
            world.works(&connections[0]).await;
            tokio::time::advance(NEXT_DAY).await;
            world.works(&connections[0]).await;
        }
        world.sandbox.assert_conforms();
    }
}

#[tokio::test(start_paused = true)]
async fn an_organisation_of_another_cloud_is_unknown_here() {
    for (cloud, place) in [(Cloud::Global, Place::Global), (Cloud::China, Place::China)] {
        let tenant = TenantKind::Tenant("example.com".to_owned());
        let world = World::new(MicrosoftConfig::desktop(DEFAULT_APP).with_cloud(cloud).with_tenant(tenant));
        world.sandbox.microsoft().register_tenant(Tenant::new("example.com").in_cloud(Place::China));
        world.sandbox.microsoft().change_settings(|settings| settings.cloud = place);
        let begun = world.begins(ask()).await;
        let back = world.sandbox.consent(&begun.url, Consent::As(ADA));
        if place == Place::Global {
            assert!(back.unwrap_err().message.starts_with("AADSTS90038"));
            continue;
        }
        let connection = granted(world.returns(&back.unwrap(), &begun.binding).await.outcome).remove(0);
        world.works(&connection).await;
        let gone = world.hub.disconnect(&world.tenant, &connection.id, Forget::SecretsOnly).await.unwrap();
        assert_eq!(
            (gone.revocation, gone.remove_at),
            (Revocation::Unsupported, None),
            "no page of that cloud is known"
        );
        world.sandbox.assert_conforms();
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_more_later_keeps_the_connection_and_what_it_had() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.works(&connection).await;
    let more = Authorise::new([Capability::MailSend], BACK).with_reconnect(connection.id.clone());
    let after = granted(world.signs_in(more, Consent::As(ADA)).await).remove(0);
    assert_eq!((&after.id, &after.grant), (&connection.id, &connection.grant));
    // What is sent is a draft first: who may send may change messages too.
    let sending = [Capability::MailModify, Capability::MailSend];
    assert_eq!(after.capabilities, MAIL.into_iter().chain(sending).collect());
    world.works(&connection).await;
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_personal_account_connects_like_one_at_work() {
    let world = World::desktop();
    world.sandbox.microsoft().register_person("bob@outlook.com", "Bob");
    let connection = granted(world.signs_in(ask(), Consent::As("bob@outlook.com")).await).remove(0);
    world.works(&connection).await;
    let gone = world.hub.disconnect(&world.tenant, &connection.id, Forget::Everything).await.unwrap();
    assert_eq!(gone.remove_at.unwrap().host_str(), Some("account.live.com"));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn scopes_may_be_answered_with_their_resource() {
    let world = World::desktop();
    world.sandbox.microsoft().change_settings(|settings| settings.spelling = Spelling::Full);
    let connection = world.connects().await;
    assert_eq!(connection.capabilities, BTreeSet::from(MAIL));
    tokio::time::advance(NEXT_DAY).await;
    world.works(&connection).await;
    assert_eq!(world.hub.connections(&world.tenant).await.unwrap()[0].capabilities, BTreeSet::from(MAIL));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn fewer_scopes_than_asked_for_are_a_grant_in_part() {
    let world = World::desktop();
    world.drops("Mail.Send");
    let wanted = Authorise::new(MAIL.into_iter().chain([Capability::MailSend]), BACK);
    let connection = match world.signs_in(wanted, Consent::As(ADA)).await {
        ConnectOutcome::GrantedInPart { mut connections, missing, .. } => {
            assert_eq!(missing, BTreeSet::from([Capability::MailSend]));
            connections.remove(0)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(connection.capabilities, MAIL.into_iter().chain([Capability::MailModify]).collect());
    world.works(&connection).await;
    world.drops("Mail.Read");
    world.drops("Mail.ReadWrite");
    let nothing = world.signs_in(ask(), Consent::As(ADA)).await;
    assert_eq!(nothing, ConnectOutcome::Refused { missing: BTreeSet::from([Capability::MailRead]) });
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_person_who_declines_is_not_connected() {
    let world = World::desktop();
    let refused = world.signs_in(ask(), Consent::Refuse).await;
    assert_eq!(refused, ConnectOutcome::Refused { missing: BTreeSet::from(MAIL) });
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn another_account_at_reconnect_is_refused_and_changes_nothing() {
    let world = World::desktop();
    let connection = world.connects().await;
    world.sandbox.microsoft().register_person("bob@example.com", "Bob");
    let begun = world.begins(again(&connection)).await;
    assert_eq!(parameter(&begun.url, "login_hint").as_deref(), Some(ADA));
    let back = world.sandbox.consent(&begun.url, Consent::As("bob@example.com")).unwrap();
    let expected = ConnectOutcome::OtherAccount { expected: ADA.to_owned(), chosen: "bob@example.com".to_owned() };
    assert_eq!(world.returns(&back, &begun.binding).await.outcome, expected);
    assert_eq!(world.hub.connections(&world.tenant).await.unwrap(), std::slice::from_ref(&connection));
    world.works(&connection).await;
    assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_person_of_an_organisation_that_is_not_allowed_is_not_connected() {
    let example = {
        let registered = World::desktop();
        registered.sandbox.microsoft().tenant("example.com").unwrap().id
    };
    let world = World::new(MicrosoftConfig::desktop(DEFAULT_APP).with_allowed_tenant(example));
    world.sandbox.microsoft().register_person("eve@other.example", "Eve");
    let outcome = world.signs_in(ask(), Consent::As("eve@other.example")).await;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::IdToken });
    assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    let connection = world.connects().await;
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn disconnecting_says_where_the_person_takes_it_back() {
    let world = World::desktop();
    let connection = world.connects().await;
    let calls = world.sandbox.books().calls;
    let gone = world.hub.disconnect(&world.tenant, &connection.id, Forget::SecretsOnly).await.unwrap();
    assert_eq!(gone.revocation, Revocation::Unsupported);
    assert_eq!(gone.remove_at.unwrap().as_str(), "https://myapps.microsoft.com/");
    assert_eq!(world.sandbox.books().calls, calls, "there is nobody to tell");
    assert_eq!(world.status(&connection).await.0, ConnectionStatus::Disconnected);
    assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}
