use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::advance;

use super::{
    service::{Answer, Form},
    world::{World, ask, settings},
};
use crate::{
    ErrorKind,
    connection::{Capability, ClientAuthentication, ConnectionStatus, GrantKind, RemoteAccount},
    error::Actor,
    http::Credentials,
    oauth::{AppOnly, ConnectOutcome},
    secret::SecretText,
};

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

struct Certificate {
    key: KeyPair,
    der: Vec<u8>,
}

impl Certificate {
    /// Of a certificate only its hash and the public key in it matter here.
    fn new() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = [b"before".as_slice(), key.public_key().as_ref(), b"after"].concat();
        Self { key, der }
    }

    fn authentication(&self) -> ClientAuthentication {
        let key: Pkcs8V1Der<'_> = self.key.as_der().unwrap();
        let private_key = SecretText::new(pem("PRIVATE KEY", key.as_ref()));
        ClientAuthentication::Certificate { certificate: pem("CERTIFICATE", &self.der), private_key }
    }

    /// The claims of a request's assertion, once its signature and header are right.
    fn claims(&self, form: &Form) -> Value {
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert!(!form.contains_key("client_secret"));
        let (signed, signature) = form["client_assertion"].rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der));
        assert_eq!(read(header), json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": hash }));
        read(claims)
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_signs_for_the_code_and_for_every_refresh_anew() {
    let certificate = Certificate::new();
    let mut oauth = settings();
    oauth.authentication = certificate.authentication();
    let world = World::with(oauth);
    let connection = world.connected().await;
    advance(Duration::from_secs(4000)).await;
    world.credentials(&connection.grant).access(None).await.unwrap();
    let forms = world.service.with(|state| state.tokens.clone());
    assert_eq!([&*forms[0]["grant_type"], &*forms[1]["grant_type"]], ["authorization_code", "refresh_token"]);
    let (first, second) = (certificate.claims(&forms[0]), certificate.claims(&forms[1]));
    let issued = first["iat"].as_i64().unwrap();
    let expected = json!({
        "aud": "https://id.example/token", "iss": "app-1", "sub": "app-1", "jti": first["jti"],
        "nbf": issued, "iat": issued, "exp": issued + 300,
    });
    assert_eq!(first, expected);
    assert_ne!(first["jti"], second["jti"]);
    assert_eq!((forms[0]["client_id"].as_str(), forms[1]["client_id"].as_str()), ("app-1", "app-1"));
}

#[test]
fn a_certificate_has_to_be_pem_and_to_belong_to_its_key() {
    let (one, other) = (Certificate::new(), Certificate::new());
    one.authentication().check().unwrap();
    let ClientAuthentication::Certificate { certificate, private_key } = one.authentication() else { panic!() };
    let ClientAuthentication::Certificate { private_key: foreign, .. } = other.authentication() else { panic!() };
    for (certificate, private_key) in [
        (certificate.clone(), foreign),
        (certificate, SecretText::new("no key")),
        ("no certificate".to_owned(), private_key),
    ] {
        let error = ClientAuthentication::Certificate { certificate, private_key }.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert_eq!(error.remedy().unwrap().actor, Actor::Operator);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_sign_is_the_operators_alarm_and_leaves_the_grant_alone() {
    let mut oauth = settings();
    let certificate = pem("CERTIFICATE", b"der");
    oauth.authentication = ClientAuthentication::Certificate { certificate, private_key: SecretText::new("no key") };
    let ConnectOutcome::ServiceError { remedy, error } = World::with(oauth).outcome(&ask()).await else { panic!() };
    assert_eq!((remedy.actor, error.as_str()), (Actor::Operator, "unusable_key"));
}

fn app_of_its_own() -> World {
    let mut oauth = settings();
    oauth.app_scope = Some("https://api.example/.default".to_owned());
    let world = World::with(oauth);
    set_accounts(&world, &["one"]);
    world
}

fn set_accounts(world: &World, names: &[&str]) {
    let account = |name: &&str| RemoteAccount::new(format!("account-{name}"), *name).with_named(*name);
    *world.accounts.lock().unwrap() = names.iter().map(account).collect();
}

async fn connect(world: &World, names: &[&str]) -> ConnectOutcome {
    let ask = AppOnly::naming(names.iter().copied(), [Capability::MailRead]);
    world.sign_in.connect_app_only(&world.tenant, &world.connector, &ask, world).await.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn an_app_of_its_own_gets_tokens_by_its_credentials_and_asks_again_when_they_end() {
    let world = app_of_its_own();
    let outcome = connect(&world, &["one"]).await;
    let ConnectOutcome::Granted { grant, connections } = outcome else { panic!("{outcome:?}") };
    assert_eq!(world.grant(&grant).await.kind, GrantKind::AppOnly { subject: None });
    assert_eq!(connections[0].capabilities, [Capability::MailRead].into(), "what was asked for counts as granted");
    assert_eq!(world.known.lock().unwrap()[0], (None, vec!["one".to_owned()]));
    let expected = Form::from([
        ("grant_type".into(), "client_credentials".into()),
        ("scope".into(), "https://api.example/.default".into()),
        ("client_id".into(), "app-1".into()),
        ("client_secret".into(), "app-secret".into()),
    ]);
    assert_eq!(world.service.with(|state| state.tokens[0].clone()), expected);
    let scope = json!({ "access_token": "next", "expires_in": 3600, "scope": "https://api.example/.default" });
    world.service.with(|state| state.script.push_back(Answer::Json(200, scope)));
    advance(Duration::from_secs(4000)).await;
    assert_eq!(world.credentials(&grant).access(None).await.unwrap().token.expose(), "next");
    assert_eq!(world.connection(&connections[0]).await.capabilities, [Capability::MailRead].into());
}

#[tokio::test(start_paused = true)]
async fn an_app_with_a_certificate_signs_in_place_of_its_secret() {
    let certificate = Certificate::new();
    let mut oauth = settings();
    oauth.app_scope = Some("all".to_owned());
    oauth.authentication = certificate.authentication();
    let world = World::with(oauth);
    set_accounts(&world, &["one"]);
    assert_eq!(connect(&world, &["one"]).await.word(), "granted");
    certificate.claims(&world.service.with(|state| state.tokens[0].clone()));
}

#[tokio::test(start_paused = true)]
async fn accounts_named_later_join_the_same_grant_and_leave_the_others_connected() {
    let world = app_of_its_own();
    let ConnectOutcome::Granted { grant, connections } = connect(&world, &["one"]).await else { panic!() };
    set_accounts(&world, &["two"]);
    let ConnectOutcome::Granted { grant: same, connections: second } = connect(&world, &["two"]).await else {
        panic!()
    };
    assert_eq!((&same, &second[0].grant), (&grant, &grant));
    assert_eq!(world.connection(&connections[0]).await.status, ConnectionStatus::Active);
    assert_eq!(world.sign_in.connections().list_grants(&world.tenant).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_account_stays_the_same_connection_whichever_of_its_keys_is_told() {
    let world = app_of_its_own();
    let told = |account: RemoteAccount| *world.accounts.lock().unwrap() = vec![account.with_named("one")];
    let connected = async || {
        let ConnectOutcome::Granted { connections, .. } = connect(&world, &["one"]).await else { panic!() };
        connections[0].clone()
    };
    told(RemoteAccount::new("by-name", "one"));
    let first = connected().await;
    told(RemoteAccount::new("by-key", "one").with_known_as("by-name"));
    let better = connected().await;
    assert_eq!((&better.id, better.account.id.as_str()), (&first.id, "by-name"));
    // And back again, as rights come and go.
    told(RemoteAccount::new("by-name", "one"));
    assert_eq!(connected().await.id, first.id);
    told(RemoteAccount::new("by-key", "one").with_known_as("by-name"));
    assert_eq!(connected().await.id, first.id);
    // A name that is somebody else's now.
    told(RemoteAccount::new("other-key", "one"));
    assert_ne!(connected().await.id, first.id);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_told_by_its_name_only_later_stays_the_same_connection() {
    let world = app_of_its_own();
    let told = |account: RemoteAccount| *world.accounts.lock().unwrap() = vec![account.with_named("one")];
    told(RemoteAccount::new("by-key", "one").with_known_as("by-name"));
    let ConnectOutcome::Granted { connections: first, .. } = connect(&world, &["one"]).await else { panic!() };
    told(RemoteAccount::new("by-name", "one"));
    let ConnectOutcome::Granted { connections: later, .. } = connect(&world, &["one"]).await else { panic!() };
    assert_eq!((&later[0].id, later[0].account.id.as_str()), (&first[0].id, "by-key"));
    assert_eq!(later[0].account.known_as, ["by-name"]);
}

#[tokio::test(start_paused = true)]
async fn a_named_account_that_does_not_open_is_told_and_the_others_are_connected() {
    let world = app_of_its_own();
    let ConnectOutcome::NeedsAttention { connections, remedy, .. } = connect(&world, &["one", "two"]).await else {
        panic!()
    };
    assert_eq!((connections.len(), remedy.actor), (1, Actor::Administrator));
}

#[tokio::test(start_paused = true)]
async fn a_named_account_that_was_tried_again_and_no_longer_opens_needs_somebody() {
    let world = app_of_its_own();
    set_accounts(&world, &["one", "two"]);
    let ConnectOutcome::Granted { connections, .. } = connect(&world, &["one", "two"]).await else { panic!() };
    set_accounts(&world, &["one"]);
    connect(&world, &["one", "two"]).await;
    assert_eq!(world.connection(&connections[1]).await.status, ConnectionStatus::NeedsAttention);
}

#[tokio::test(start_paused = true)]
async fn shared_accounts_are_named_at_sign_in_and_named_again_when_they_are_reauthorised() {
    let world = World::new();
    world.accounts.lock().unwrap().push(RemoteAccount::new("shared", "Sales").with_named("sales@example.com"));
    let ConnectOutcome::Granted { connections, .. } = world.outcome(&ask().with_account("sales@example.com")).await
    else {
        panic!()
    };
    let shared = connections.iter().find(|one| one.account.id == "shared").unwrap();
    assert_eq!(world.outcome(&ask().with_reconnect(shared.id.clone())).await.word(), "granted");
    assert_eq!(world.known.lock().unwrap()[1].1, ["sales@example.com"]);
    world.accounts.lock().unwrap().pop();
    assert_eq!(world.outcome(&ask()).await.word(), "granted");
    assert_eq!(world.connection(shared).await.status, ConnectionStatus::Active, "what was not named was not tried");
}

#[tokio::test(start_paused = true)]
async fn an_app_of_its_own_has_no_browser_and_a_persons_app_does_not_act_alone() {
    let world = app_of_its_own();
    let error = world.sign_in.authorise(&world.tenant, &world.connector, &ask()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let world = World::new();
    let ask = AppOnly::naming(["one"], [Capability::MailRead]);
    let alone = world.sign_in.connect_app_only(&world.tenant, &world.connector, &ask, &world).await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::Misconfigured);
}

const STANDING: &str = r#"{"access_token":{"capable":{"values":["1"]}}}"#;
const DEMANDED: &str = r#"{"access_token":{"proof":{"essential":true}}}"#;

fn capable() -> World {
    let mut oauth = settings();
    oauth.claims = Some(STANDING.to_owned());
    World::with(oauth)
}

#[tokio::test(start_paused = true)]
async fn a_standing_claims_request_goes_with_everything_and_a_challenge_on_top_of_it() {
    let world = capable();
    let connection = world.connected().await;
    let credentials = world.credentials(&connection.grant);
    let refused = credentials.access(None).await.unwrap();
    let next = credentials.meet(&refused, DEMANDED).await.unwrap();
    assert_ne!(next.token.expose(), refused.token.expose());
    let forms = world.service.with(|state| state.tokens.clone());
    assert_eq!(forms[0]["claims"], STANDING);
    let both: Value = serde_json::from_str(&forms[1]["claims"]).unwrap();
    let expected = json!({ "access_token": { "capable": { "values": ["1"] }, "proof": { "essential": true } } });
    assert_eq!(both, expected);
    let asked = super::world::parameters(&world.authorise(&ask()).await.url);
    assert_eq!(asked["claims"], STANDING);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_a_refresh_does_not_meet_goes_into_the_next_authorisation() {
    for error in ["interaction_required", "invalid_grant"] {
        let world = capable();
        let connection = world.connected().await;
        let credentials = world.credentials(&connection.grant);
        let refused = credentials.access(None).await.unwrap();
        world.service.with(|state| state.script.push_back(Answer::Json(400, json!({ "error": error }))));
        let unmet = credentials.meet(&refused, DEMANDED).await.unwrap_err();
        assert_eq!(unmet.kind(), ErrorKind::NeedsConsent, "{error}");
        assert_eq!(unmet.remedy().unwrap().claims.as_deref(), Some(DEMANDED));
        let again = world.authorise(&ask().with_reconnect(connection.id)).await;
        let sent = super::world::parameters(&again.url);
        assert!(sent["claims"].contains("proof") && sent["claims"].contains("capable"), "{}", sent["claims"]);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_meet_the_same_challenge_at_once_refresh_once() {
    let world = Arc::new(capable());
    let connection = world.connected().await;
    let refused = world.credentials(&connection.grant).access(None).await.unwrap();
    world.service.with(|state| state.delays.push_back(Duration::from_secs(1)));
    let meet = || {
        let (credentials, refused) = (world.credentials(&connection.grant), refused.clone());
        tokio::spawn(async move { credentials.meet(&refused, DEMANDED).await.unwrap() })
    };
    let tasks: Vec<_> = (0..5).map(|_| meet()).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(world.service.refreshes(), 1);
}
