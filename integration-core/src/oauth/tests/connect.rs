use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

use super::{
    service::Answer,
    world::{REDIRECT, World, ask, parameters, query, settings},
};
use crate::{
    ErrorKind,
    connection::{AuthorisationStyle, Capability, ConnectionStatus, GrantStatus, RemoteAccount},
    error::Actor,
    http::TransportErrorKind,
    ids::ConnectionId,
    oauth::{Authorise, BrowserBinding, Callback, CallbackQuery, ConnectOutcome, MismatchReason},
    store::inside_transaction,
};

fn mail_and_send() -> Authorise {
    Authorise::new([Capability::MailRead, Capability::MailSend], REDIRECT)
}

#[tokio::test(start_paused = true)]
async fn the_address_asks_with_pkce_state_and_the_exact_redirect() {
    let world = World::new();
    let ask = Authorise::new([Capability::MailRead], "http://127.0.0.1:8080").with_login_hint("ann@example.com");
    let sent = parameters(&world.authorise(&ask).await.url);
    assert_eq!(sent["redirect_uri"], "http://127.0.0.1:8080");
    assert_eq!((sent["response_type"].as_str(), sent["client_id"].as_str()), ("code", "app-1"));
    assert_eq!((sent["code_challenge_method"].as_str(), sent["code_challenge"].len()), ("S256", 43));
    assert_eq!(sent["state"].len(), 43);
    assert_eq!(sent["scope"], "mail.read profile");
    assert_eq!((sent["access_type"].as_str(), sent["prompt"].as_str()), ("offline", "consent"));
    assert_eq!(sent["login_hint"], "ann@example.com");
}

#[tokio::test(start_paused = true)]
async fn redirects_that_are_neither_https_nor_loopback_are_refused() {
    let world = World::new();
    for address in ["http://app.example/callback", "https://app.example/#x", "callback", "app:callback"] {
        let error =
            world.sign_in.authorise(&world.tenant, &world.connector, &Authorise::new([], address)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_verifier_of_the_challenge_comes_with_the_code() {
    let world = World::new();
    let authorisation = world.authorise(&ask()).await;
    world.complete(&world.callback(&authorisation)).await;
    let form = world.service.with(|state| state.tokens[0].clone());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(challenge, parameters(&authorisation.url)["code_challenge"]);
    assert_eq!((form["redirect_uri"].as_str(), form["client_secret"].as_str()), (REDIRECT, "app-secret"));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_sealed_and_durable_before_the_connection_is_stored() {
    let world = World::new();
    let connection = world.connected().await;
    let log = world.store.log.lock().unwrap().clone();
    let at = |what| log.iter().position(|entry| *entry == what).unwrap();
    assert!(at("tokens saved") < at("grant") && at("tokens saved") < at("connection"), "{log:?}");
    let tokens = world.store.tokens.lock().unwrap();
    let record = tokens.values().next().unwrap();
    assert!(!record.bytes.windows(7).any(|window| window == b"refresh" || window == b"access-"));
    assert_eq!(connection.capabilities, [Capability::MailRead].into());
}

#[tokio::test(start_paused = true)]
async fn the_hosts_context_comes_back() {
    let world = World::new();
    let authorisation = world.authorise(&ask().with_context("/settings")).await;
    let completion = world.complete(&world.callback(&authorisation)).await;
    assert_eq!(completion.context.as_deref(), Some("/settings"));
    assert_eq!(completion.tenant, Some(world.tenant.clone()));
}

#[tokio::test(start_paused = true)]
async fn a_box_left_unticked_is_granted_in_part() {
    let world = World::new();
    world.service.with(|state| state.exchange = json!({ "scope": "MAIL.READ profile" }));
    let ConnectOutcome::GrantedInPart { connections, missing, .. } = world.outcome(&mail_and_send()).await else {
        panic!()
    };
    assert_eq!(missing, [Capability::MailSend].into());
    assert_eq!(connections[0].capabilities, [Capability::MailRead].into(), "an alias counts as what was asked for");
}

#[tokio::test(start_paused = true)]
async fn nothing_granted_is_refused_and_nothing_is_stored() {
    let world = World::new();
    world.service.with(|state| state.exchange = json!({ "scope": "profile" }));
    assert!(matches!(world.outcome(&ask()).await, ConnectOutcome::Refused { .. }));
    assert!(world.store.tokens.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn saying_no_is_refused() {
    let world = World::new();
    let authorisation = world.authorise(&ask()).await;
    let state = parameters(&authorisation.url)["state"].clone();
    let callback = Callback::new(query(&[("state", &state), ("error", "access_denied")]), Some(authorisation.binding));
    assert!(matches!(world.complete(&callback).await.outcome, ConnectOutcome::Refused { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_query_is_shown_only_as_far_as_it_is_a_code() {
    let world = World::new();
    let authorisation = world.authorise(&ask()).await;
    let state = parameters(&authorisation.url)["state"].clone();
    let query = query(&[("state", &state), ("error", "invalid_scope<script>"), ("error_description", "call 555")]);
    let outcome = world.complete(&Callback::new(query, Some(authorisation.binding))).await.outcome;
    let ConnectOutcome::ServiceError { error, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(error, "invalid_scopescript");
    assert!(!serde_json::to_string(&outcome).unwrap().contains("555"));
}

#[tokio::test(start_paused = true)]
async fn a_person_who_takes_too_long_finds_it_expired() {
    let world = World::new();
    let authorisation = world.authorise(&ask()).await;
    tokio::time::advance(Duration::from_secs(601)).await;
    assert_eq!(world.complete(&world.callback(&authorisation)).await.outcome, ConnectOutcome::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_good_for_once() {
    let world = World::new();
    let authorisation = world.authorise(&ask()).await;
    world.complete(&world.callback(&authorisation)).await;
    assert_eq!(world.complete(&world.callback(&authorisation)).await.outcome, ConnectOutcome::Replayed);
    assert_eq!(world.service.with(|state| state.tokens.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_callbacks_at_once_one_is_a_replay() {
    let world = World::new();
    let callback = world.callback(&world.authorise(&ask()).await);
    let (one, other) = tokio::join!(world.complete(&callback), world.complete(&callback));
    let words = [one.outcome.word(), other.outcome.word()];
    assert!(words.contains(&"granted") && words.contains(&"replayed"), "{words:?}");
    assert_eq!(world.service.with(|state| state.tokens.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_state_we_never_made_is_mismatched() {
    let world = World::new();
    for query in [query(&[("code", "x")]), query(&[("state", "made-up"), ("code", "x")])] {
        let completion = world.complete(&Callback::new(query, None)).await;
        assert_eq!(completion.outcome, ConnectOutcome::Mismatched { reason: MismatchReason::State });
        assert_eq!(completion.tenant, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_at_another_address_is_mismatched() {
    let world = World::new();
    let callback = world.callback(&world.authorise(&ask()).await).with_redirect_uri("https://app.example/other");
    let outcome = world.complete(&callback).await.outcome;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::RedirectUri });
}

#[tokio::test(start_paused = true)]
async fn another_browser_is_refused_and_learns_nothing_while_the_right_one_goes_on() {
    let world = World::new();
    let authorisation = world.authorise(&ask().with_context("/settings")).await;
    let right = world.callback(&authorisation);
    for binding in [None, Some(BrowserBinding::from_cookie("another"))] {
        let completion = world.complete(&Callback { binding, ..right.clone() }).await;
        assert_eq!(completion.outcome, ConnectOutcome::OtherBrowser);
        assert_eq!((completion.tenant, completion.context), (None, None));
    }
    assert!(matches!(world.complete(&right).await.outcome, ConnectOutcome::Granted { .. }));
}

#[tokio::test(start_paused = true)]
async fn two_tabs_share_one_binding() {
    let world = World::new();
    let first = world.authorise(&ask()).await;
    let second = world.authorise(&ask().with_binding(first.binding.clone())).await;
    assert_eq!(first.binding, second.binding);
    assert_eq!(world.complete(&world.callback(&first)).await.outcome.word(), "granted");
    assert_eq!(world.complete(&world.callback(&second)).await.outcome.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn reauthorising_keeps_the_connection_and_its_refresh_token_if_none_comes() {
    let world = World::new();
    let before = world.connected().await;
    world.service.with(|state| state.exchange = json!({ "refresh_token": null }));
    let outcome = world.outcome(&ask().with_reconnect(before.id.clone())).await;
    let ConnectOutcome::Granted { grant, connections } = outcome else { panic!("{outcome:?}") };
    assert_eq!((&grant, &connections[0].id), (&before.grant, &before.id));
    let set = world.sign_in.engine.load_tokens(&world.tenant, &grant).await.unwrap().unwrap().1;
    assert_eq!(set.refresh.unwrap().expose(), "refresh-1");
    assert_eq!(set.access.expose(), "access-2");
}

#[tokio::test(start_paused = true)]
async fn connecting_the_same_account_again_makes_no_second_connection() {
    let world = World::new();
    let (one, other) = (world.connected().await, world.connected().await);
    assert_eq!((one.id, one.grant), (other.id, other.grant));
    assert_eq!(world.store.tokens.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_sign_ins_for_one_account_at_once_make_one_connection() {
    let world = World::new();
    tokio::join!(world.connected(), world.connected());
    assert_eq!(world.sign_in.connections().list_connections(&world.tenant).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_account_is_refused_and_nothing_changes() {
    let world = World::new();
    let before = world.connected().await;
    let tokens = world.store.tokens.lock().unwrap().clone();
    *world.accounts.lock().unwrap() = vec![RemoteAccount::new("account-2", "bob@example.com")];
    let outcome = world.outcome(&ask().with_reconnect(before.id.clone())).await;
    let (expected, chosen) = ("ann@example.com".to_owned(), "bob@example.com".to_owned());
    assert_eq!(outcome, ConnectOutcome::OtherAccount { expected, chosen });
    assert_eq!(*world.store.tokens.lock().unwrap(), tokens);
    assert_eq!(world.connection(&before).await, before);
}

#[tokio::test(start_paused = true)]
async fn another_account_that_was_asked_for_becomes_a_connection_of_its_own() {
    let world = World::new();
    let before = world.connected().await;
    *world.accounts.lock().unwrap() = vec![RemoteAccount::new("account-2", "bob@example.com")];
    let ask = ask().with_reconnect(before.id.clone()).with_another_account_allowed();
    let ConnectOutcome::Granted { grant, connections } = world.outcome(&ask).await else { panic!() };
    assert!(grant != before.grant && connections[0].id != before.id);
    assert_eq!(world.connection(&before).await, before);
}

#[tokio::test(start_paused = true)]
async fn an_account_belongs_to_its_tenant() {
    let mut world = World::new();
    let before = world.connected().await;
    world.tenant = crate::ids::TenantId::new("u");
    let other = world.connected().await;
    assert!(other.id != before.id && other.grant != before.grant);
    let missing = world.sign_in.authorise(&world.tenant, &world.connector, &ask().with_reconnect(before.id)).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn more_is_asked_for_as_the_service_adds_grants_up() {
    for (style, expected) in [
        (AuthorisationStyle::Additive, "mail.send profile"),
        (AuthorisationStyle::Standalone, "mail.read mail.send profile"),
    ] {
        let mut oauth = settings();
        oauth.style = style;
        let world = World::with(oauth);
        let before = world.connected().await;
        let more = Authorise::new([Capability::MailSend], REDIRECT).with_reconnect(before.id.clone());
        let authorisation = world.authorise(&more).await;
        let sent = parameters(&authorisation.url);
        assert_eq!(sent["scope"], expected);
        assert_eq!(sent.contains_key("add"), style == AuthorisationStyle::Additive);
        assert_eq!(sent["login_hint"], "ann@example.com");
        world.complete(&world.callback(&authorisation)).await;
        let both = [Capability::MailRead, Capability::MailSend].into();
        assert_eq!(world.connection(&before).await.capabilities, both, "{style:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_the_service_does_not_know_is_the_operators_business() {
    let world = World::new();
    world.service.with(|state| state.script.push_back(Answer::Json(401, json!({ "error": "invalid_client" }))));
    let ConnectOutcome::ServiceError { error, remedy } = world.outcome(&ask()).await else { panic!() };
    assert_eq!((error.as_str(), remedy.actor), ("invalid_client", Actor::Operator));
}

#[tokio::test(start_paused = true)]
async fn a_code_whose_request_never_arrived_is_sent_again() {
    let world = World::new();
    world.service.with(|state| state.script.push_back(Answer::Broken(TransportErrorKind::Connect)));
    assert_eq!(world.outcome(&ask()).await.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_may_have_been_used_is_not_sent_again() {
    let world = World::new();
    world.service.with(|state| state.script.push_back(Answer::Broken(TransportErrorKind::Interrupted)));
    assert_eq!(world.outcome(&ask()).await.word(), "service_error");
    assert_eq!(world.service.with(|state| state.tokens.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_bend_the_standard_are_understood() {
    let world = World::new();
    world
        .service
        .with(|state| state.exchange = json!({ "expires_in": "1800", "token_type": null, "scope": ["mail.read"] }));
    let connection = world.connected().await;
    let set = world.sign_in.engine.load_tokens(&world.tenant, &connection.grant).await.unwrap().unwrap().1;
    assert_eq!(set.lifetime(), Duration::from_secs(1800));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_without_a_refresh_token_says_that_it_will_not_last() {
    let world = World::new();
    world.service.with(|state| state.exchange = json!({ "refresh_token": null }));
    assert_eq!(world.outcome(&ask()).await.word(), "needs_attention");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_opens_nothing_is_told_so() {
    let world = World::new();
    world.accounts.lock().unwrap().clear();
    let ConnectOutcome::ServiceError { remedy, .. } = world.outcome(&ask()).await else { panic!() };
    assert_eq!(remedy.actor, Actor::Person);
    assert!(world.store.tokens.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn reauthorising_revives_what_needed_attention() {
    let world = World::new();
    let connection = world.connected().await;
    let remedy = crate::error::Remedy::new("x.", Actor::Person, "y.");
    let since = world.now();
    let dead = |grant: &mut crate::connection::Grant| {
        grant.status = GrantStatus::NeedsAttention { since, remedy: remedy.clone() };
    };
    world
        .sign_in
        .connections()
        .update_grant((&world.tenant, &connection.grant), chrono::Utc::now(), dead)
        .await
        .unwrap();
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::NeedsAttention);
    world.outcome(&ask().with_reconnect(connection.id.clone())).await;
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Active);
    assert_eq!(world.status(&connection.grant).await, GrantStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn old_sign_ins_are_forgotten_and_recent_ones_are_not() {
    let world = World::new();
    world.authorise(&ask()).await;
    tokio::time::advance(Duration::from_secs(2 * 86_400)).await;
    let recent = world.authorise(&ask()).await;
    assert_eq!(world.sign_in.forget_old_authorisations().await.unwrap(), 1);
    assert_eq!(world.complete(&world.callback(&recent)).await.outcome.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn signing_in_inside_our_own_transaction_is_an_error_and_no_deadlock() {
    let world = World::new();
    let connection = world.connected().await;
    let callback = world.callback(&world.authorise(&ask()).await);
    inside_transaction(async {
        assert!(world.sign_in.authorise(&world.tenant, &world.connector, &ask()).await.is_err());
        assert!(world.sign_in.complete(&callback, &world).await.is_err());
        let forget = crate::oauth::Forget::Everything;
        assert!(world.sign_in.disconnect(&world.tenant, &world.connector, &connection.id, forget).await.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reauthorising_an_unknown_connection_is_not_found() {
    let world = World::new();
    let ask = ask().with_reconnect(ConnectionId::new("nobody"));
    let error = world.sign_in.authorise(&world.tenant, &world.connector, &ask).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

proptest! {
    #[test]
    fn no_callback_query_makes_the_parser_panic(text in "\\PC{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for text in [text.as_str(), &String::from_utf8_lossy(&bytes)] {
            if let Ok(query) = CallbackQuery::parse(text) {
                let _ = (query.get("state"), format!("{query:?}"));
            }
        }
    }

    #[test]
    fn a_huge_callback_query_is_refused(length in 32_769_usize..100_000) {
        prop_assert!(CallbackQuery::parse(&"a".repeat(length)).is_err());
        prop_assert!(CallbackQuery::parse(&"a&".repeat(length.min(16_000))).is_err());
    }
}
