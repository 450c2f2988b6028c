use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::{Fault, FaultAction, SandboxSettings};

const CAPABLE: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;
const ALL: &str = "openid profile offline_access User.Read";

fn demand() -> Value {
    json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}})
}

/// The claims of a demand together with what the client can handle.
fn answered() -> String {
    json!({"access_token": {"acrs": {"essential": true, "value": "c1"}, "xms_cc": {"values": ["cp1"]}}}).to_string()
}

/// The claims in the challenge that matters.
fn challenge(seen: &Seen) -> Value {
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED, "{}", seen.text);
    let headers: Vec<&str> = seen.headers.get_all("www-authenticate").iter().map(|one| one.to_str().unwrap()).collect();
    assert_eq!(headers.len(), 2);
    let matters = headers.iter().find(|one| one.contains("error=\"insufficient_claims\"")).unwrap();
    let claims = matters.split("claims=\"").nth(1).unwrap().trim_end_matches('"');
    serde_json::from_slice(&STANDARD.decode(claims).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_capable_clients_token_is_challenged_until_it_brings_the_claims() {
    let sandbox = world();
    let answer = tokens_with(&sandbox, ALL, &[("claims", CAPABLE)]).await;
    assert_eq!(answer["expires_in"], 28 * 3_600);
    assert_eq!(send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await.status, StatusCode::OK);
    sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    let seen = send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await;
    assert_eq!(challenge(&seen), demand());

    let token = text(&answer, "refresh_token");
    let without = send(&sandbox, refresh(&sandbox, token)).await.json();
    challenge(&send(&sandbox, me(&sandbox, text(&without, "access_token"))).await);
    let request = refresh_at(&sandbox, "common", token, &[("claims", &answered())]);
    let with = send(&sandbox, request).await.json();
    assert_eq!(send(&sandbox, me(&sandbox, text(&with, "access_token"))).await.status, StatusCode::OK);
    // The rotated token remembers them.
    let later = send(&sandbox, refresh(&sandbox, text(&with, "refresh_token"))).await.json();
    assert_eq!(send(&sandbox, me(&sandbox, text(&later, "access_token"))).await.status, StatusCode::OK);
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_said_it_is_capable_is_not_challenged() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    assert_eq!(send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn claims_may_need_a_human() {
    let sandbox = world();
    let answer = tokens_with(&sandbox, ALL, &[("claims", CAPABLE)]).await;
    sandbox.microsoft().change_settings(|settings| settings.challenge_answer = ChallengeAnswer::Interaction);
    sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    let request = || refresh_at(&sandbox, "common", text(&answer, "refresh_token"), &[("claims", &answered())]);
    assert_eq!(refused(&sandbox, request()).await, is("interaction_required", 50076));
    let body = send(&sandbox, request()).await.json();
    assert_eq!(serde_json::from_str::<Value>(text(&body, "claims")).unwrap(), demand());
    let anew = tokens_with(&sandbox, ALL, &[("claims", &answered())]).await;
    assert_eq!(send(&sandbox, me(&sandbox, text(&anew, "access_token"))).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn conditional_access_fails_until_a_sign_in_brings_its_claims() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    sandbox.microsoft().change(ADA, |user| user.access = Some(ConditionalAccess::solved_by(50076, demand())));
    let body = send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await.json();
    assert_eq!((text(&body, "error"), text(&body, "suberror")), ("interaction_required", "basic_action"));
    let claims = text(&body, "claims").to_owned();
    let fruitless = code(&sandbox, ALL, &[]);
    assert_eq!(refused(&sandbox, redeem(&sandbox, &fruitless)).await, is("interaction_required", 50076));
    tokens_with(&sandbox, ALL, &[("claims", &claims)]).await;
    assert_eq!(send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_block_by_conditional_access_cannot_be_signed_away() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    sandbox.microsoft().change(ADA, |user| user.access = Some(ConditionalAccess::blocked(53003)));
    let body = send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await.json();
    assert_eq!((text(&body, "error"), text(&body, "suberror")), ("invalid_grant", "message_only"));
    let back = sandbox.consent(&ask(&sandbox, ALL, &[]), Consent::Grant).unwrap();
    assert_eq!(error_in(&back), ("access_denied".to_owned(), "AADSTS53003".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_grant_says_so() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    let token = text(&answer, "refresh_token");
    let microsoft = sandbox.microsoft();
    microsoft.change(ADA, |user| user.disabled = true);
    assert_eq!(refused(&sandbox, refresh(&sandbox, token)).await, is("invalid_grant", 50057));
    microsoft.change(ADA, |user| user.disabled = false);
    microsoft.withdraw_consent(ADA, DEFAULT_APP);
    let body = send(&sandbox, refresh(&sandbox, token)).await.json();
    assert_eq!((&body["error_codes"][0], text(&body, "suberror")), (&json!(65001), "consent_required"));
    let anew = tokens(&sandbox, ALL).await;
    microsoft.revoke_sessions(ADA);
    let body = send(&sandbox, refresh(&sandbox, text(&anew, "refresh_token"))).await.json();
    assert_eq!((&body["error_codes"][0], text(&body, "suberror")), (&json!(50173), "bad_token"));
    assert_eq!(microsoft.live_refresh_tokens(ADA), 0);
    // Access tokens of clients that are not capable live on.
    assert_eq!(send(&sandbox, me(&sandbox, text(&anew, "access_token"))).await.status, StatusCode::OK);
    microsoft.expire_access_tokens();
    assert_eq!(send(&sandbox, me(&sandbox, text(&anew, "access_token"))).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_capable_clients_token_is_challenged_when_sessions_are_revoked() {
    let sandbox = world();
    let answer = tokens_with(&sandbox, ALL, &[("claims", CAPABLE)]).await;
    sandbox.microsoft().revoke_sessions(ADA);
    let claims = challenge(&send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await);
    assert!(claims["access_token"]["nbf"]["value"].is_string());
    tokio::time::advance(Duration::from_secs(1)).await;
    let anew = tokens_with(&sandbox, ALL, &[("claims", CAPABLE)]).await;
    assert_eq!(send(&sandbox, me(&sandbox, text(&anew, "access_token"))).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_in_trouble_asks_to_try_again() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    let token = text(&answer, "refresh_token");
    for (number, status) in [(90033, StatusCode::SERVICE_UNAVAILABLE), (90055, StatusCode::TOO_MANY_REQUESTS)] {
        sandbox.microsoft().set_trouble("example.com", Some(number));
        for tenant in ["common", "example.com"] {
            let seen = send(&sandbox, refresh_at(&sandbox, tenant, token, &[])).await;
            assert_eq!((seen.status, text(&seen.json(), "error")), (status, "temporarily_unavailable"));
            assert_eq!(seen.headers["retry-after"], "5");
        }
    }
    sandbox.microsoft().set_trouble("example.com", None);
    assert_eq!(send(&sandbox, refresh(&sandbox, token)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn both_token_endpoints_are_held_back_and_counted_together_and_apart() {
    let sandbox = world();
    let answer = tokens(&sandbox, ALL).await;
    crate::tests::tokens(&sandbox, "openid").await;
    sandbox.set_token_delay(Duration::from_secs(3));
    let began = sandbox.now();
    send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await;
    assert_eq!((sandbox.now() - began).num_seconds(), 3);
    let books = sandbox.books();
    assert_eq!((books.token_requests("authorization_code"), books.operation("oauth.token")), (2, 3));
    assert_eq!((books.service("google").calls, books.service("microsoft").calls), (1, 2));
    sandbox.script(Fault::new(FaultAction::ResetAfter).on_operation("oauth.token"));
    let broken = refresh(&sandbox, text(&answer, "refresh_token"));
    assert!(sandbox.transport().execute(broken).await.is_err());
    assert_eq!(sandbox.books().service("microsoft").by_status[&0], 1);
}

#[tokio::test(start_paused = true)]
async fn calls_of_graphs_mail_that_take_long_occupy_the_mailboxs_places() {
    let mut settings = SandboxSettings { latency: Duration::from_millis(100), ..SandboxSettings::default() };
    settings.graph.concurrency = Some(2);
    let sandbox = crate::tests::sandbox_with(settings);
    sandbox.microsoft().register_person(ADA, "Ada Example");
    let answer = tokens(&sandbox, "offline_access User.Read Mail.Read").await;
    let token = text(&answer, "access_token");
    let call = || graph(&sandbox, "me/mailFolders/inbox", token);
    let seen = tokio::join!(call(), call(), call());
    let throttled = [seen.0, seen.1, seen.2].map(|seen| seen.status == StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(throttled, [false, false, true]);
    // The directory is not the mailbox.
    let seen = tokio::join!(call(), call(), graph(&sandbox, "me", token));
    assert_eq!(seen.2.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_saved_sandbox_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Sandbox::google().with_state_file(folder.path().join("sandbox.json")).build().unwrap();
    let first = open();
    first.microsoft().register_admin(ADA, "Ada Example");
    first.microsoft().set_trouble("example.com", Some(90033));
    first.microsoft().set_trouble("example.com", None);
    let answer = tokens(&first, MAIL).await;
    first.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    let keys = send(&first, get(first.microsoft_urls().jwks("common"), None)).await.json();
    drop(first);
    let second = open();
    assert_eq!(send(&second, refresh(&second, text(&answer, "refresh_token"))).await.status, StatusCode::OK);
    assert_eq!(send(&second, get(second.microsoft_urls().jwks("common"), None)).await.json(), keys);
    let ada = second.microsoft().people().remove(0);
    assert!(ada.admin && ada.demanded == Some(demand()));
}
