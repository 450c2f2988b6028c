use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tokio::time::advance;

use super::{
    service::Answer,
    world::{World, ask, settings},
};
use crate::{
    ErrorKind,
    connection::{Capability, ClientAuthentication, ConnectionStatus, GrantKind, GrantStatus, RemoteAccount},
    error::Actor,
    http::Credentials,
    oauth::{AppOnly, ConnectOutcome, Disconnected, Forget, Revocation},
    secret::SecretText,
};

async fn disconnect(world: &World, connection: &crate::connection::Connection, forget: Forget) -> Disconnected {
    world.sign_in.disconnect(&world.tenant, &world.connector, &connection.id, forget).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn disconnecting_revokes_the_refresh_token_and_forgets_the_secrets() {
    let world = World::new();
    let connection = world.connected().await;
    let credentials = world.credentials(&connection.grant);
    credentials.access(None).await.unwrap();
    assert_eq!(disconnect(&world, &connection, Forget::SecretsOnly).await.revocation, Revocation::Revoked);
    assert_eq!(world.service.with(|state| state.revocations[0]["token"].clone()), "refresh-1");
    assert!(world.store.tokens.lock().unwrap().is_empty());
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Disconnected);
    assert_eq!(world.status(&connection.grant).await, GrantStatus::Revoked);
    assert_eq!(credentials.access(None).await.unwrap_err().kind(), ErrorKind::ReauthorisationNeeded);
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_account_comes_back_under_its_old_id() {
    let world = World::new();
    let connection = world.connected().await;
    disconnect(&world, &connection, Forget::SecretsOnly).await;
    assert_eq!(world.connected().await.id, connection.id);
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Active);
}

#[tokio::test(start_paused = true)]
async fn everything_means_the_rows_as_well() {
    let world = World::new();
    let connection = world.connected().await;
    disconnect(&world, &connection, Forget::Everything).await;
    assert!(world.sign_in.connections().list_connections(&world.tenant).await.unwrap().is_empty());
    assert!(world.sign_in.connections().list_grants(&world.tenant).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_lives_until_its_last_connection_goes() {
    let world = World::new();
    world.accounts.lock().unwrap().push(RemoteAccount::new("account-2", "shared@example.com"));
    let ConnectOutcome::Granted { connections, .. } = world.outcome(&ask()).await else { panic!() };
    assert_eq!(disconnect(&world, &connections[0], Forget::Everything).await.revocation, Revocation::StillUsed);
    assert!(world.credentials(&connections[1].grant).access(None).await.is_ok());
    assert_eq!(disconnect(&world, &connections[1], Forget::Everything).await.revocation, Revocation::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_grant_the_service_has_forgotten_counts_as_revoked() {
    let world = World::new();
    let connection = world.connected().await;
    world.service.with(|state| (state.revoke_status, state.revoke_body) = (400, r#"{"error":"invalid_token"}"#));
    assert_eq!(disconnect(&world, &connection, Forget::SecretsOnly).await.revocation, Revocation::AlreadyDead);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_does_not_keep_anyone_from_disconnecting() {
    let world = World::new();
    let connection = world.connected().await;
    world.service.with(|state| state.revoke_status = 503);
    assert_eq!(disconnect(&world, &connection, Forget::SecretsOnly).await.revocation, Revocation::Failed);
    assert!(world.store.tokens.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_disconnection_keeps_its_lease_so_that_a_new_sign_in_comes_after_it() {
    let world = World::new();
    let connection = world.connected().await;
    // Two calls just within their limit take longer than a lease lasts.
    world.service.with(|state| (state.revoke_status, state.revoke_delay) = (503, Duration::from_secs(19)));
    let other = world.another_process(Arc::clone(&world.clock));
    let authorisation = other.authorise(&world.tenant, &world.connector, &ask()).await.unwrap();
    let anew = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.complete(&world.callback(&authorisation), &world).await.unwrap().outcome
    };
    let (ended, outcome) = tokio::join!(disconnect(&world, &connection, Forget::SecretsOnly), anew);
    assert_eq!(ended.revocation, Revocation::Failed);
    assert!(matches!(outcome, ConnectOutcome::Granted { .. }), "{outcome:?}");
    assert_eq!(world.connection(&connection).await.status, ConnectionStatus::Active);
    assert_eq!(world.store.tokens.lock().unwrap().len(), 1, "the new tokens were not deleted with the old ones");
}

#[tokio::test(start_paused = true)]
async fn an_older_token_set_put_back_into_its_row_does_not_open() {
    let world = World::new();
    let connection = world.connected().await;
    let stored = || world.store.tokens.lock().unwrap().values().next().unwrap().clone();
    let older = stored();
    advance(Duration::from_secs(4000)).await;
    world.credentials(&connection.grant).access(None).await.unwrap();
    assert_ne!(stored().version, older.version);
    world.store.tokens.lock().unwrap().values_mut().next().unwrap().bytes = older.bytes;
    let other = world.another_process(Arc::clone(&world.clock));
    let opened = other.credentials(&world.tenant, &connection.grant, &world.connector).access(None).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Validation);
}

fn service_account() -> (KeyPair, World) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let mut oauth = settings();
    oauth.authentication = ClientAuthentication::ServiceAccount {
        issuer: "robot@project.example".to_owned(),
        key_id: "k1".to_owned(),
        private_key: SecretText::new(pem),
    };
    (key, World::with(oauth))
}

async fn connect_app_only(world: &World) -> ConnectOutcome {
    let ask = AppOnly::new("ann@example.com", [Capability::MailRead]);
    world.sign_in.connect_app_only(&world.tenant, &world.connector, &ask, world).await.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_service_account_signs_for_its_subject_and_signs_again() {
    let (key, world) = service_account();
    let ConnectOutcome::Granted { grant, .. } = connect_app_only(&world).await else { panic!() };
    let subject = Some("ann@example.com".to_owned());
    assert_eq!(world.grant(&grant).await.kind, GrantKind::AppOnly { subject });
    let form = world.service.with(|state| state.tokens[0].clone());
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.rsplit_once('.').unwrap().1).unwrap()).unwrap();
    let now = claims["iat"].as_i64().unwrap();
    let expected = json!({
        "iss": "robot@project.example", "sub": "ann@example.com", "scope": "mail.read profile",
        "aud": "https://id.example/token", "iat": now, "exp": now + 3600,
    });
    assert_eq!(claims, expected);
    advance(Duration::from_secs(7200)).await;
    assert_eq!(world.credentials(&grant).access(None).await.unwrap().token.expose(), "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_service_account_without_delegation_is_the_operators_business() {
    let (_, world) = service_account();
    let refusal = Answer::Json(401, json!({ "error": "unauthorized_client" }));
    world.service.with(|state| state.script.push_back(refusal));
    let ConnectOutcome::ServiceError { remedy, .. } = connect_app_only(&world).await else { panic!() };
    assert_eq!(remedy.actor, Actor::Operator);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_has_no_browser_sign_in() {
    let (_, world) = service_account();
    let error = world.sign_in.authorise(&world.tenant, &world.connector, &ask()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
