use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::{
    Sandbox,
    tests::{
        ADA, READ_MAIL, REDIRECT, SEND_MAIL, ask, code_of, exchange, form, get, parameter, refresh, sandbox, send,
        tokens,
    },
};

const BOB: &str = "bob@gmail.com";
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn claims(id_token: &Value) -> Value {
    let body = id_token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

fn words(text: &Value) -> Vec<&str> {
    text.as_str().unwrap().split(' ').collect()
}

async fn error_of(sandbox: &Sandbox, request: http::Request<integration_core::http::Body>) -> (u16, String) {
    let seen = send(sandbox, request).await;
    (seen.status.as_u16(), seen.json()["error"].as_str().unwrap_or_default().to_owned())
}

/// The web app of these tests, and an authorisation URL of it.
fn web_ask(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> Url {
    sandbox.register_app(AppRegistration::web("web", "s3cret", "https://app.example/back"));
    let more: Vec<_> =
        [("client_id", "web"), ("redirect_uri", "https://app.example/back")].iter().chain(more).copied().collect();
    ask(sandbox, scope, &more)
}

fn web_exchange(sandbox: &Sandbox, code: &str, secret: &str) -> http::Request<integration_core::http::Body> {
    form(
        sandbox.urls().token,
        &[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", "web"),
            ("client_secret", secret),
            ("redirect_uri", "https://app.example/back"),
            ("code_verifier", crate::tests::VERIFIER),
        ],
    )
}

async fn web_tokens(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> Value {
    let back = sandbox.consent(&web_ask(sandbox, scope, more), Consent::Grant).unwrap();
    send(sandbox, web_exchange(sandbox, &code_of(&back), "s3cret")).await.json()
}

#[tokio::test(start_paused = true)]
async fn a_grant_brings_tokens_with_normalised_scopes() {
    let sandbox = sandbox();
    let back = sandbox.consent(&ask(&sandbox, "openid email profile", &[("nonce", "n1")]), Consent::Grant).unwrap();
    assert!(back.as_str().starts_with(REDIRECT));
    assert_eq!(parameter(&back, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&back, "iss").as_deref(), Some("https://accounts.google.com"));
    let answer = send(&sandbox, exchange(&sandbox, &code_of(&back))).await.json();
    assert_eq!(answer["expires_in"], 3_599);
    assert_eq!(
        words(&answer["scope"]),
        [
            "https://www.googleapis.com/auth/userinfo.email",
            "https://www.googleapis.com/auth/userinfo.profile",
            "openid"
        ]
    );
    let claims = claims(&answer["id_token"]);
    assert_eq!(
        (&claims["aud"], &claims["nonce"], &claims["hd"]),
        (&json!("sandbox-client"), &json!("n1"), &json!("example.com"))
    );
    assert_eq!(
        (&claims["email"], &claims["email_verified"], &claims["given_name"]),
        (&json!(ADA), &json!(true), &json!("Ada"))
    );
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_id_token_is_signed_with_a_published_key_also_after_a_rotation() {
    let sandbox = sandbox();
    let old = tokens(&sandbox, "openid").await;
    sandbox.rotate_keys();
    let new = tokens(&sandbox, "openid").await;
    let seen = send(&sandbox, get(sandbox.urls().jwks, None)).await;
    assert_eq!(seen.headers["cache-control"], "public, max-age=21600, must-revalidate, no-transform");
    let keys = seen.json();
    let kids: Vec<_> = [new, old]
        .iter()
        .map(|answer| {
            crate::keys::Assertion::parse(answer["id_token"].as_str().unwrap()).unwrap().header["kid"].clone()
        })
        .collect();
    assert_eq!([&keys["keys"][0]["kid"], &keys["keys"][1]["kid"]], [&kids[0], &kids[1]]);
    sandbox.jwks_outage(true);
    assert_eq!(send(&sandbox, get(sandbox.urls().jwks, None)).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn an_unticked_scope_is_not_granted() {
    let sandbox = sandbox();
    let url = ask(&sandbox, &format!("openid {READ_MAIL} {SEND_MAIL}"), &[]);
    let back = sandbox.consent(&url, Consent::Untick(&[SEND_MAIL])).unwrap();
    let answer = send(&sandbox, exchange(&sandbox, &code_of(&back))).await.json();
    assert_eq!(words(&answer["scope"]), [READ_MAIL, "openid"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_back_with_the_state() {
    let sandbox = sandbox();
    let back = sandbox.consent(&ask(&sandbox, READ_MAIL, &[]), Consent::Refuse).unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&back, "code"), None);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_app_are_shown_on_the_services_own_page() {
    let sandbox = sandbox();
    for (parameter, value, error) in [
        ("client_id", "nobody", "invalid_client"),
        ("redirect_uri", "https://elsewhere.example/", "redirect_uri_mismatch"),
        ("response_type", "token", "invalid_request"),
        ("scope", "", "invalid_request"),
        ("code_challenge_method", "S1", "invalid_request"),
    ] {
        let url = ask(&sandbox, READ_MAIL, &[(parameter, value)]);
        assert_eq!(sandbox.consent(&url, Consent::Grant).unwrap_err().error, error);
        let seen = send(&sandbox, get(&url, None)).await;
        assert!(seen.status.is_client_error() && seen.text.contains(error), "{}", seen.text);
    }
    let url = web_ask(&sandbox, READ_MAIL, &[("redirect_uri", "https://app.example/back/")]);
    assert_eq!(sandbox.consent(&url, Consent::Grant).unwrap_err().error, "redirect_uri_mismatch");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_scope_comes_back_as_an_error() {
    let sandbox = sandbox();
    let back = sandbox.consent(&ask(&sandbox, "gmail.readonly", &[]), Consent::Grant).unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test(start_paused = true)]
async fn the_page_has_a_box_for_each_scope_beyond_signing_in_and_its_buttons_decide() {
    let sandbox = sandbox();
    sandbox.register_person(BOB, "Bob <b>");
    let url = ask(&sandbox, &format!("openid email {READ_MAIL} {SEND_MAIL}"), &[("login_hint", BOB)]);
    let page = send(&sandbox, get(&url, None)).await;
    assert_eq!((page.status, page.text.matches("type=\"checkbox\"").count()), (StatusCode::OK, 2));
    assert!(page.text.contains("<option value=\"bob@gmail.com\" selected>Bob &lt;b&gt; "));

    let press = |fields: &[(&str, &str)]| {
        let fields: Vec<_> =
            [("request", url.query().unwrap()), ("account", BOB)].iter().chain(fields).copied().collect();
        form(sandbox.urls().authorisation, &fields)
    };
    let back = send(&sandbox, press(&[("ticked", SEND_MAIL), ("decision", "allow")])).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    let back = Url::parse(back.headers["location"].to_str().unwrap()).unwrap();
    let answer = send(&sandbox, exchange(&sandbox, &code_of(&back))).await.json();
    assert!(!words(&answer["scope"]).contains(&READ_MAIL) && words(&answer["scope"]).contains(&SEND_MAIL));
    assert_eq!(claims(&answer["id_token"])["email"], BOB);
    assert_eq!(claims(&answer["id_token"]).get("hd"), None);

    let back = send(&sandbox, press(&[("ticked", SEND_MAIL), ("decision", "cancel")])).await;
    assert!(back.headers["location"].to_str().unwrap().contains("error=access_denied"));
}

#[tokio::test(start_paused = true)]
async fn somebody_else_may_answer_the_page() {
    let sandbox = sandbox();
    sandbox.register_person(BOB, "Bob");
    let url = ask(&sandbox, "openid email", &[("login_hint", ADA)]);
    let back = sandbox.consent(&url, Consent::As(BOB)).unwrap();
    let answer = send(&sandbox, exchange(&sandbox, &code_of(&back))).await.json();
    assert_eq!(claims(&answer["id_token"])["email"], BOB);
}

#[tokio::test(start_paused = true)]
async fn without_a_page_it_is_an_old_grant_or_an_error() {
    let sandbox = sandbox();
    let url = ask(&sandbox, READ_MAIL, &[("prompt", "none")]);
    let back = sandbox.consent(&url, Consent::Grant).unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("consent_required"));
    tokens(&sandbox, READ_MAIL).await;
    assert!(send(&sandbox, get(&url, None)).await.headers["location"].to_str().unwrap().contains("code="));
}

#[tokio::test(start_paused = true)]
async fn a_code_needs_its_verifier_its_redirect_and_its_client() {
    let sandbox = sandbox();
    let code = code_of(&sandbox.consent(&ask(&sandbox, READ_MAIL, &[]), Consent::Grant).unwrap());
    for (changed, value, error) in [
        ("code_verifier", "", "invalid_grant"),
        ("code_verifier", "another-verifier-that-is-long-enough-to-be-one", "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1:7778/back", "redirect_uri_mismatch"),
        ("client_id", "nobody", "invalid_client"),
        ("code", "4/0invented", "invalid_grant"),
    ] {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("client_id", DEFAULT_CLIENT),
            ("redirect_uri", REDIRECT),
            ("code_verifier", crate::tests::VERIFIER),
        ];
        fields.retain(|(name, _)| *name != changed);
        fields.push((changed, value));
        assert_eq!(error_of(&sandbox, form(sandbox.urls().token, &fields)).await.1, error, "{changed}");
    }
    assert_eq!(send(&sandbox, exchange(&sandbox, &code)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_code_fails_and_takes_back_what_it_brought() {
    let sandbox = sandbox();
    let code = code_of(&sandbox.consent(&ask(&sandbox, READ_MAIL, &[]), Consent::Grant).unwrap());
    let first = send(&sandbox, exchange(&sandbox, &code)).await.json();
    assert_eq!(error_of(&sandbox, exchange(&sandbox, &code)).await, (400, "invalid_grant".to_owned()));
    let again = refresh(&sandbox, first["refresh_token"].as_str().unwrap());
    assert_eq!(error_of(&sandbox, again).await.1, "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn a_code_is_old_after_ten_minutes() {
    let sandbox = sandbox();
    let code = code_of(&sandbox.consent(&ask(&sandbox, READ_MAIL, &[]), Consent::Grant).unwrap());
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(error_of(&sandbox, exchange(&sandbox, &code)).await.1, "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn a_web_app_gets_a_refresh_token_only_with_consent() {
    let sandbox = sandbox();
    assert!(web_tokens(&sandbox, READ_MAIL, &[]).await["refresh_token"].is_string());
    assert!(web_tokens(&sandbox, READ_MAIL, &[]).await["refresh_token"].is_null());
    assert!(web_tokens(&sandbox, READ_MAIL, &[("prompt", "consent")]).await["refresh_token"].is_string());
    let online = [("prompt", "consent"), ("access_type", "online")];
    assert!(web_tokens(&sandbox, READ_MAIL, &online).await["refresh_token"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_web_apps_grants_add_up_when_it_asks_for_that() {
    let sandbox = sandbox();
    web_tokens(&sandbox, READ_MAIL, &[]).await;
    let alone = web_tokens(&sandbox, SEND_MAIL, &[]).await;
    assert_eq!(words(&alone["scope"]), [SEND_MAIL]);
    let both = web_tokens(&sandbox, SEND_MAIL, &[("include_granted_scopes", "true")]).await;
    assert_eq!(words(&both["scope"]), [READ_MAIL, SEND_MAIL]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_the_apps_fault() {
    let sandbox = sandbox();
    let code = code_of(&sandbox.consent(&web_ask(&sandbox, READ_MAIL, &[]), Consent::Grant).unwrap());
    assert_eq!(error_of(&sandbox, web_exchange(&sandbox, &code, "wrong")).await, (401, "invalid_client".to_owned()));
    assert_eq!(error_of(&sandbox, web_exchange(&sandbox, &code, "")).await, (400, "invalid_request".to_owned()));
    let basic = base64::engine::general_purpose::STANDARD.encode("web:s3cret");
    let mut request = web_exchange(&sandbox, &code, "");
    request.headers_mut().insert("authorization", format!("Basic {basic}").parse().unwrap());
    assert_eq!(send(&sandbox, request).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn refresh_tokens_stay_unless_they_are_set_to_rotate() {
    let sandbox = sandbox();
    let first = tokens(&sandbox, READ_MAIL).await["refresh_token"].as_str().unwrap().to_owned();
    assert!(send(&sandbox, refresh(&sandbox, &first)).await.json()["refresh_token"].is_null());
    sandbox.change_oauth(|settings| {
        settings.rotate_refresh_tokens = true;
        settings.rotation_grace = Duration::from_secs(30);
    });
    let second = send(&sandbox, refresh(&sandbox, &first)).await.json()["refresh_token"].as_str().unwrap().to_owned();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(send(&sandbox, refresh(&sandbox, &first)).await.status, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(error_of(&sandbox, refresh(&sandbox, &first)).await.1, "invalid_grant");
    assert_eq!(send(&sandbox, refresh(&sandbox, &second)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_test_apps_refresh_token_dies_after_a_week() {
    let sandbox = sandbox();
    sandbox.register_app(AppRegistration::desktop(DEFAULT_CLIENT).in_testing());
    let mail = tokens(&sandbox, READ_MAIL).await["refresh_token"].as_str().unwrap().to_owned();
    let identity = tokens(&sandbox, "openid email").await["refresh_token"].as_str().unwrap().to_owned();
    tokio::time::advance(DAY * 7).await;
    assert_eq!(error_of(&sandbox, refresh(&sandbox, &mail)).await.1, "invalid_grant");
    assert_eq!(send(&sandbox, refresh(&sandbox, &identity)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_idle_refresh_token_dies_and_a_used_one_lives() {
    let sandbox = sandbox();
    let token = tokens(&sandbox, READ_MAIL).await["refresh_token"].as_str().unwrap().to_owned();
    tokio::time::advance(DAY * 182).await;
    assert_eq!(send(&sandbox, refresh(&sandbox, &token)).await.status, StatusCode::OK);
    tokio::time::advance(DAY * 182).await;
    assert_eq!(send(&sandbox, refresh(&sandbox, &token)).await.status, StatusCode::OK);
    tokio::time::advance(DAY * 183).await;
    assert_eq!(error_of(&sandbox, refresh(&sandbox, &token)).await.1, "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn the_hundred_and_first_refresh_token_ends_the_oldest() {
    let sandbox = sandbox();
    let oldest = tokens(&sandbox, READ_MAIL).await["refresh_token"].as_str().unwrap().to_owned();
    let second = tokens(&sandbox, READ_MAIL).await["refresh_token"].as_str().unwrap().to_owned();
    for _ in 0..99 {
        tokens(&sandbox, READ_MAIL).await;
    }
    assert_eq!(sandbox.live_refresh_tokens(ADA), 100);
    assert_eq!(error_of(&sandbox, refresh(&sandbox, &oldest)).await.1, "invalid_grant");
    assert_eq!(send(&sandbox, refresh(&sandbox, &second)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn revoking_one_token_ends_the_whole_grant() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, "openid").await;
    let (access, refresh_token) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let revoke = || form(sandbox.urls().revocation, &[("token", access)]);
    assert_eq!(send(&sandbox, revoke()).await.status, StatusCode::OK);
    assert_eq!(error_of(&sandbox, refresh(&sandbox, refresh_token)).await.1, "invalid_grant");
    assert_eq!(send(&sandbox, get(sandbox.urls().userinfo, Some(access))).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(error_of(&sandbox, revoke()).await, (400, "invalid_token".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn userinfo_tells_what_the_scopes_allow() {
    let sandbox = sandbox();
    let access = tokens(&sandbox, "openid").await["access_token"].as_str().unwrap().to_owned();
    let seen = send(&sandbox, get(sandbox.urls().userinfo, Some(&access))).await.json();
    assert!(seen["sub"].is_string() && seen["email"].is_null() && seen["name"].is_null());
    let access = tokens(&sandbox, "openid email profile").await["access_token"].as_str().unwrap().to_owned();
    let seen = send(&sandbox, get(sandbox.urls().userinfo, Some(&access))).await.json();
    assert_eq!((&seen["email"], &seen["name"]), (&json!(ADA), &json!("Ada Example")));
    let older = sandbox.urls().gmail.join("/oauth2/v2/userinfo").unwrap();
    assert_eq!(send(&sandbox, get(older, Some(&access))).await.json()["verified_email"], true);
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_scope_is_missing_from_the_next_refresh() {
    let sandbox = sandbox();
    let token =
        tokens(&sandbox, &format!("{READ_MAIL} {SEND_MAIL}")).await["refresh_token"].as_str().unwrap().to_owned();
    sandbox.withdraw_scope(ADA, SEND_MAIL);
    assert_eq!(words(&send(&sandbox, refresh(&sandbox, &token)).await.json()["scope"]), [READ_MAIL]);
    sandbox.revoke_grants(ADA);
    assert_eq!(error_of(&sandbox, refresh(&sandbox, &token)).await.1, "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn a_service_account_acts_for_a_person_within_its_delegated_scopes() {
    let sandbox = sandbox();
    sandbox.register_person(BOB, "Bob");
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let robot = "robot@project.iam.example";
    sandbox.register_service_account(ServiceAccount::new(robot, "1234", &key, &[READ_MAIL]));
    let now = sandbox.now().timestamp();
    let claims = |scope: &str, subject: &str, life: i64| {
        json!({
            "iss": robot, "sub": subject, "scope": scope, "iat": now, "exp": now + life,
            "aud": "https://oauth2.googleapis.com/token",
        })
    };
    let ask = |key: &SigningKey, claims: Value| {
        form(sandbox.urls().token, &[("grant_type", JWT_BEARER), ("assertion", &key.sign_jwt(&claims))])
    };
    let seen = send(&sandbox, ask(&key, claims(READ_MAIL, ADA, 3_600))).await.json();
    assert!(seen["access_token"].is_string() && seen["refresh_token"].is_null());

    for (request, status, error) in [
        (ask(&other, claims(READ_MAIL, ADA, 60)), 400, "invalid_grant"),
        (ask(&key, claims(READ_MAIL, ADA, 3_601)), 400, "invalid_grant"),
        (ask(&key, claims(READ_MAIL, "nobody@example.com", 60)), 400, "invalid_grant"),
        (ask(&key, claims(READ_MAIL, BOB, 60)), 400, "invalid_grant"),
        (ask(&key, claims(&format!("{READ_MAIL} {SEND_MAIL}"), ADA, 60)), 401, "unauthorized_client"),
        (ask(&key, claims("gmail.readonly", ADA, 60)), 400, "invalid_scope"),
    ] {
        assert_eq!(error_of(&sandbox, request).await, (status, error.to_owned()));
    }
    sandbox.assert_conforms();
}
