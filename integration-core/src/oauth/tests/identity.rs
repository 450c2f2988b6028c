use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use super::{
    service::Signer,
    world::{World, ask, parameters, query, settings, with_oidc},
};
use crate::{
    connection::{GrantKind, OAuthSettings, ScopeTable, TenantIssuers},
    oauth::{Authorisation, Callback, ConnectOutcome, MismatchReason},
};

pub(super) fn world(signer: &Signer) -> World {
    let world = World::with(with_oidc(settings()));
    world.service.with(|state| state.keys = json!([signer.public()]));
    world
}

pub(super) fn claims(world: &World, authorisation: &Authorisation) -> Value {
    let now = world.now().timestamp();
    json!({
        "iss": "https://id.example", "aud": "app-1", "sub": "person-1", "iat": now, "exp": now + 3600,
        "nonce": parameters(&authorisation.url)["nonce"],
    })
}

pub(super) async fn sign_in(world: &World, signer: &Signer, change: impl FnOnce(&mut Value)) -> ConnectOutcome {
    let authorisation = world.authorise(&ask()).await;
    let mut claims = claims(world, &authorisation);
    change(&mut claims);
    let token = signer.sign(&claims);
    world.service.with(|state| state.exchange = json!({ "id_token": token }));
    world.complete(&world.callback(&authorisation)).await.outcome
}

#[tokio::test(start_paused = true)]
async fn a_genuine_id_token_names_the_person() {
    let signer = Signer::new("k1");
    let world = world(&signer);
    let outcome = sign_in(&world, &signer, |_| {}).await;
    let ConnectOutcome::Granted { grant, .. } = outcome else { panic!("{outcome:?}") };
    let grant = world.grant(&grant).await;
    assert_eq!((grant.subject.as_deref(), grant.kind), (Some("person-1"), GrantKind::Delegated));
}

#[tokio::test(start_paused = true)]
async fn an_id_token_for_anything_else_is_refused() {
    let signer = Signer::new("k1");
    type Change = (&'static str, fn(&mut Value));
    let changes: [Change; 9] = [
        ("nonce", |claims| claims["nonce"] = "another".into()),
        ("no nonce", |claims| claims["nonce"] = Value::Null),
        ("audience", |claims| claims["aud"] = "app-2".into()),
        ("several audiences without a party", |claims| claims["aud"] = json!(["app-1", "app-2"])),
        ("party", |claims| claims["azp"] = "app-2".into()),
        ("issuer", |claims| claims["iss"] = "https://evil.example".into()),
        ("expiry", |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 61)),
        ("issued in the future", |claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 120)),
        ("subject", |claims| claims["sub"] = "".into()),
    ];
    for (what, change) in changes {
        let world = world(&signer);
        let outcome = sign_in(&world, &signer, change).await;
        assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::IdToken }, "{what}");
        assert!(world.store.tokens.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn several_audiences_with_us_as_the_party_are_fine() {
    let signer = Signer::new("k1");
    let change = |claims: &mut Value| {
        claims["aud"] = json!(["app-1", "app-2"]);
        claims["azp"] = "app-1".into();
    };
    assert_eq!(sign_in(&world(&signer), &signer, change).await.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn a_forged_signature_is_refused() {
    let (genuine, forger) = (Signer::new("k1"), Signer::new("k1"));
    let outcome = sign_in(&world(&genuine), &forger, |_| {}).await;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::IdToken });
}

#[tokio::test(start_paused = true)]
async fn rsa_keys_serve_as_well() {
    let signer = Signer::rsa("k1");
    assert_eq!(sign_in(&world(&signer), &signer, |_| {}).await.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_signature_is_refused() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let signer = Signer::new("k1");
    let world = world(&signer);
    let authorisation = world.authorise(&ask()).await;
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.", encode(json!({ "alg": "none" })), encode(claims(&world, &authorisation)));
    world.service.with(|state| state.exchange = json!({ "id_token": token }));
    let outcome = world.complete(&world.callback(&authorisation)).await.outcome;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::IdToken });
}

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_once_while_they_live() {
    let signer = Signer::new("k1");
    let world = world(&signer);
    for _ in 0..3 {
        sign_in(&world, &signer, |_| {}).await;
    }
    assert_eq!(world.service.with(|state| (state.discoveries, state.key_requests)), (1, 1));
    advance(Duration::from_secs(3601)).await;
    sign_in(&world, &signer, |_| {}).await;
    assert_eq!(world.service.with(|state| state.key_requests), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_although_the_old_ones_are_cached() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let world = world(&old);
    sign_in(&world, &old, |_| {}).await;
    world.service.with(|state| state.keys = json!([old.public(), new.public()]));
    advance(Duration::from_secs(61)).await;
    assert_eq!(sign_in(&world, &new, |_| {}).await.word(), "granted");
}

#[tokio::test(start_paused = true)]
async fn made_up_key_ids_do_not_make_us_ask_again_and_again() {
    let (known, unknown) = (Signer::new("k1"), Signer::new("made-up"));
    let world = world(&known);
    sign_in(&world, &known, |_| {}).await;
    advance(Duration::from_secs(61)).await;
    for _ in 0..5 {
        assert_eq!(sign_in(&world, &unknown, |_| {}).await.word(), "mismatched");
    }
    assert_eq!(world.service.with(|state| state.key_requests), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_key_endpoint_is_survived() {
    let signer = Signer::new("k1");
    let world = world(&signer);
    sign_in(&world, &signer, |_| {}).await;
    world.service.with(|state| state.keys_down = true);
    advance(Duration::from_secs(1800)).await;
    assert_eq!(sign_in(&world, &signer, |_| {}).await.word(), "granted", "within the life of the keys");
    advance(Duration::from_secs(3600)).await;
    assert_eq!(sign_in(&world, &signer, |_| {}).await.word(), "granted", "a day's grace");
    advance(Duration::from_secs(2 * 86_400)).await;
    assert_eq!(sign_in(&world, &signer, |_| {}).await.word(), "service_error");
}

#[tokio::test(start_paused = true)]
async fn another_issuer_in_the_callback_is_mismatched() {
    let signer = Signer::new("k1");
    let world = world(&signer);
    let authorisation = world.authorise(&ask()).await;
    let state = parameters(&authorisation.url)["state"].clone();
    let query = query(&[("state", &state), ("code", "c"), ("iss", "https://evil.example")]);
    let outcome = world.complete(&Callback::new(query, Some(authorisation.binding))).await.outcome;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::Issuer });
    assert_eq!(world.service.with(|state| state.tokens.len()), 0, "the code is not handed to anyone");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_promises_its_name_must_give_it() {
    let signer = Signer::new("k1");
    let world = world(&signer);
    world.service.with(|state| state.names_issuer = true);
    let authorisation = world.authorise(&ask()).await;
    let outcome = world.complete(&world.callback(&authorisation)).await.outcome;
    assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::Issuer });
}

/// A service whose issuer is another one for each organisation.
fn per_organisation(signer: &Signer, allowed: &[&str]) -> World {
    per_organisation_with(with_oidc(settings()), signer, allowed)
}

/// What this service says in place of an organisation for people of none.
pub(super) const PERSONAL: &str = "personal-0";

pub(super) fn per_organisation_with(mut oauth: OAuthSettings, signer: &Signer, allowed: &[&str]) -> World {
    oauth.endpoints.issuers.clear();
    let template = "https://id.example/{org}/v2".to_owned();
    let issuers =
        TenantIssuers::new([template], "{org}", "tid").with_allowed(allowed.iter().copied()).with_personal(PERSONAL);
    oauth.endpoints.tenant_issuers = Some(issuers);
    oauth.subject = vec!["tid".to_owned(), "oid".to_owned()];
    let world = World::with(oauth);
    world.service.with(|state| (state.issuer, state.keys) = ("https://id.example/{org}/v2", json!([signer.public()])));
    world
}

pub(super) fn of(organisation: &str) -> impl Fn(&mut Value) + '_ {
    move |claims| {
        claims["iss"] = format!("https://id.example/{organisation}/v2").into();
        claims["tid"] = organisation.into();
        claims["oid"] = "object-1".into();
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_is_named_by_the_claims_that_the_connector_names() {
    let signer = Signer::new("k1");
    let world = per_organisation(&signer, &[]);
    let outcome = sign_in(&world, &signer, of("one")).await;
    let ConnectOutcome::Granted { grant, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(world.grant(&grant).await.subject.as_deref(), Some("one/object-1"));
    let (identity, _) = world.known.lock().unwrap()[0].clone();
    let identity = identity.unwrap();
    assert_eq!((identity.subject.as_str(), identity.claim("oid")), ("one/object-1", Some("object-1")));
    assert_eq!(identity.claim("sub"), Some("person-1"));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_must_be_the_one_of_the_tokens_own_organisation() {
    let signer = Signer::new("k1");
    type Change = (&'static str, fn(&mut Value));
    let changes: [Change; 6] = [
        ("another organisation's issuer", |claims| claims["iss"] = "https://id.example/two/v2".into()),
        ("the template itself", |claims| claims["iss"] = "https://id.example/{org}/v2".into()),
        ("another service", |claims| claims["iss"] = "https://evil.example/one/v2".into()),
        ("no organisation", |claims| claims["tid"] = Value::Null),
        ("a path for an organisation", |claims| {
            claims["tid"] = "a/b".into();
            claims["iss"] = "https://id.example/a/b/v2".into();
        }),
        ("no object", |claims| claims["oid"] = Value::Null),
    ];
    for (what, change) in changes {
        let world = per_organisation(&signer, &[]);
        let outcome = sign_in(&world, &signer, |claims| {
            of("one")(claims);
            change(claims);
        })
        .await;
        assert_eq!(outcome, ConnectOutcome::Mismatched { reason: MismatchReason::IdToken }, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_people_of_the_listed_organisations_may_sign_in() {
    let signer = Signer::new("k1");
    let world = per_organisation(&signer, &["one"]);
    assert_eq!(sign_in(&world, &signer, of("one")).await.word(), "granted");
    assert_eq!(sign_in(&world, &signer, of("two")).await.word(), "mismatched");
}

#[tokio::test(start_paused = true)]
async fn a_document_of_one_organisation_lets_in_only_its_people() {
    let signer = Signer::new("k1");
    let world = per_organisation(&signer, &[]);
    world.service.with(|state| state.issuer = "https://id.example/one/v2");
    assert_eq!(sign_in(&world, &signer, of("one")).await.word(), "granted");
    assert_eq!(sign_in(&world, &signer, of("two")).await.word(), "mismatched");
}

#[test]
fn an_empty_scope_table_allows_nothing() {
    assert!(ScopeTable::default().allowed(&["mail.read".to_owned()].into()).is_empty());
}
