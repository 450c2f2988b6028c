use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use integration_core::{
    clock::SystemClock,
    http::{Body, TransportErrorKind},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

pub(crate) const ADA: &str = "ada@example.com";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:7777/back";
pub(crate) const READ_MAIL: &str = "https://www.googleapis.com/auth/gmail.readonly";
pub(crate) const SEND_MAIL: &str = "https://www.googleapis.com/auth/gmail.send";
pub(crate) const VERIFIER: &str = "a-verifier-that-is-at-least-forty-three-characters-long";

/// An answer taken apart.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub(crate) fn sandbox() -> Sandbox {
    sandbox_with(SandboxSettings::default())
}

pub(crate) fn sandbox_with(settings: SandboxSettings) -> Sandbox {
    let clock = SystemClock::starting_at("2026-03-01T08:00:00Z".parse().unwrap());
    let sandbox = Sandbox::google().with_clock(Arc::new(clock)).with_settings(settings).build();
    sandbox.register_person(ADA, "Ada Example");
    sandbox
}

pub(crate) async fn send(sandbox: &Sandbox, request: Request<Body>) -> Seen {
    let answer = sandbox.transport().execute(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect(1 << 20).await.unwrap();
    Seen { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) fn get(url: impl ToString, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(url.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::default()).unwrap()
}

pub(crate) fn form(url: impl ToString, fields: &[(&str, &str)]) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::builder()
        .method(Method::POST)
        .uri(url.to_string())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

/// The authorisation URL for `scope`, with PKCE, as an offline request of the default app, and `more`.
pub(crate) fn ask(sandbox: &Sandbox, scope: &str, more: &[(&str, &str)]) -> Url {
    use base64::Engine;
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(challenge);
    let mut pairs = vec![
        ("client_id", DEFAULT_CLIENT),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", scope),
        ("state", "st&te"),
        ("access_type", "offline"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    let mut url = sandbox.urls().authorisation;
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(crate) fn code_of(url: &Url) -> String {
    parameter(url, "code").unwrap_or_else(|| panic!("no code in {url}"))
}

pub(crate) fn exchange(sandbox: &Sandbox, code: &str) -> Request<Body> {
    form(
        sandbox.urls().token,
        &[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", DEFAULT_CLIENT),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ],
    )
}

pub(crate) fn refresh(sandbox: &Sandbox, token: &str) -> Request<Body> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", DEFAULT_CLIENT)];
    form(sandbox.urls().token, &fields)
}

/// A token answer for `scope`, all granted.
pub(crate) async fn tokens(sandbox: &Sandbox, scope: &str) -> Value {
    let back = sandbox.consent(&ask(sandbox, scope, &[]), Consent::Grant).unwrap();
    let answer = send(sandbox, exchange(sandbox, &code_of(&back))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

fn profile(sandbox: &Sandbox) -> String {
    sandbox.urls().gmail.join("/gmail/v1/users/me/profile").unwrap().into()
}

#[tokio::test(start_paused = true)]
async fn a_good_token_opens_the_mailbox_and_no_token_does_not() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, READ_MAIL).await;
    let seen = send(&sandbox, get(profile(&sandbox), tokens["access_token"].as_str())).await;
    assert_eq!((seen.status, seen.json()["emailAddress"].as_str()), (StatusCode::OK, Some(ADA)));

    let seen = send(&sandbox, get(profile(&sandbox), Some("ya29.invented"))).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    assert_eq!(seen.json()["error"]["errors"][0]["reason"], "authError");
    assert_eq!(seen.json()["error"]["status"], "UNAUTHENTICATED");
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_access_token_ends_with_its_life() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, READ_MAIL).await;
    let token = tokens["access_token"].as_str();
    tokio::time::advance(Duration::from_secs(3_598)).await;
    assert_eq!(send(&sandbox, get(profile(&sandbox), token)).await.status, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(send(&sandbox, get(profile(&sandbox), token)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn the_books_count_calls_and_token_requests() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, READ_MAIL).await;
    let refreshed = refresh(&sandbox, tokens["refresh_token"].as_str().unwrap());
    send(&sandbox, refreshed).await;
    send(&sandbox, get(profile(&sandbox), tokens["access_token"].as_str())).await;
    let books = sandbox.books();
    assert_eq!(books.calls, 3);
    assert_eq!(books.operation("oauth.token"), 2);
    assert_eq!((books.token_requests("authorization_code"), books.token_requests("refresh_token")), (1, 1));
    let last = sandbox.calls().pop().unwrap();
    assert_eq!((last.status, last.account.as_deref()), (Some(200), Some(ADA)));
    assert!(!sandbox.request_log().contains("ya29"));
}

#[tokio::test(start_paused = true)]
async fn a_reset_before_has_no_effect_and_a_reset_after_has() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, READ_MAIL).await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    sandbox.change_oauth(|settings| settings.rotate_refresh_tokens = true);
    for action in [FaultAction::ResetBefore, FaultAction::ResetAfter] {
        sandbox.script(Fault::new(action).on_operation("oauth.token"));
        let error = sandbox.transport().execute(refresh(&sandbox, refresh_token)).await.unwrap_err();
        assert_eq!(error.kind(), TransportErrorKind::Interrupted);
        let live = sandbox.inner.ledger.sums().by_status[&0];
        // The first left the token alone; the second replaced it, and there is no grace.
        assert_eq!(sandbox.live_refresh_tokens(ADA), 1, "after break {live}");
    }
    assert_eq!(send(&sandbox, refresh(&sandbox, refresh_token)).await.json()["error"], "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn scripted_answers_delays_and_types_reach_the_client() {
    let sandbox = sandbox();
    let discovery = sandbox.urls().discovery;
    sandbox.script(Fault::new(FaultAction::Status {
        status: 503,
        headers: [("retry-after".to_owned(), "7".to_owned())].into(),
        body: "<p>no".to_owned(),
    }));
    let seen = send(&sandbox, get(&discovery, None)).await;
    assert_eq!((seen.status.as_u16(), seen.headers["retry-after"].to_str().unwrap()), (503, "7"));

    sandbox.script(Fault::new(FaultAction::delay(Duration::from_secs(20))));
    let began = sandbox.now();
    assert_eq!(send(&sandbox, get(&discovery, None)).await.status, StatusCode::OK);
    assert_eq!((sandbox.now() - began).num_seconds(), 20);

    sandbox.script(Fault::new(FaultAction::WrongContentType { content_type: "text/plain".to_owned() }));
    assert_eq!(send(&sandbox, get(&discovery, None)).await.headers["content-type"], "text/plain");

    sandbox.script(Fault::new(FaultAction::TruncateBody));
    let answer = sandbox.transport().execute(get(&discovery, None)).await.unwrap();
    assert_eq!(answer.into_body().collect(1 << 20).await.unwrap_err().kind(), TransportErrorKind::Interrupted);
    assert_eq!(sandbox.books().faulted, 4);
}

#[tokio::test(start_paused = true)]
async fn a_held_back_token_answer_has_taken_effect_even_if_nobody_waits_for_it() {
    let sandbox = sandbox();
    let tokens = tokens(&sandbox, READ_MAIL).await;
    sandbox.change_oauth(|settings| {
        settings.rotate_refresh_tokens = true;
        settings.rotation_grace = Duration::from_secs(60);
    });
    sandbox.set_token_delay(Duration::from_secs(3));
    let request = refresh(&sandbox, tokens["refresh_token"].as_str().unwrap());
    let call = tokio::time::timeout(Duration::from_secs(1), sandbox.transport().execute(request)).await;
    assert!(call.is_err());
    assert_eq!(sandbox.live_refresh_tokens(ADA), 2);
    assert_eq!(sandbox.books().token_requests("refresh_token"), 1);
    assert_eq!(sandbox.books().operation("oauth.token"), 2);
}

#[tokio::test(start_paused = true)]
async fn departures_from_the_description_are_found() {
    let sandbox = sandbox();
    send(&sandbox, form(sandbox.urls().token, &[("grant_type", "refresh_token"), ("tenant", "x")])).await;
    let found: Vec<String> = sandbox.violations().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "oauth.token: the request: the parameter tenant is unknown",
            "oauth.token: the request: the parameter refresh_token is missing"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_saved_sandbox_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.json");
    let open = || Sandbox::google().with_state_file(&path).build();
    let first = open().unwrap();
    first.register_person(ADA, "Ada Example");
    let tokens = tokens(&first, &format!("openid {READ_MAIL}")).await;
    let keys = send(&first, get(first.urls().jwks, None)).await.json();
    let calls = first.books().calls;
    drop(first);

    let second = open().unwrap();
    assert_eq!(second.books().calls, calls);
    assert_eq!(send(&second, get(second.urls().jwks, None)).await.json(), keys);
    let again = send(&second, refresh(&second, tokens["refresh_token"].as_str().unwrap())).await;
    assert_eq!(again.status, StatusCode::OK);

    std::fs::write(&path, "{").unwrap();
    std::mem::forget(second);
    assert!(open().unwrap_err().to_string().contains("sandbox.json"));
}

/// What a server sends back, until it closes the connection.
async fn raw(addr: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_same_sandbox_is_served_over_a_socket() {
    let sandbox = sandbox();
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = served.addr();
    let request = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    };

    let answer = raw(address, &request("GET", "/.well-known/openid-configuration")).await;
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["token_endpoint"], served.base_urls().token.as_str());

    let books = raw(address, &request("GET", "/sandbox/books")).await;
    let books: Books = serde_json::from_str(books.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((books.calls, books.operation("oidc.discovery")), (1, 1));
    served.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn faults_break_real_connections() {
    let sandbox = sandbox();
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let request = "GET /oauth2/v3/certs HTTP/1.1\r\nhost: x\r\n\r\n";
    sandbox.script(Fault::new(FaultAction::ResetAfter));
    assert_eq!(raw(served.addr(), request).await, "");
    sandbox.script(Fault::new(FaultAction::TruncateBody));
    let answer = raw(served.addr(), request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert_eq!(body.len(), length / 2);
}

#[tokio::test(start_paused = true)]
async fn the_services_real_urls_reach_the_sandbox_in_process() {
    let sandbox = sandbox();
    let seen = send(&sandbox, get("https://www.googleapis.com/oauth2/v3/certs", None)).await;
    assert_eq!(seen.json()["keys"].as_array().unwrap().len(), 1);
    let nowhere = Request::get("https://www.googleapis.com/x").body(Bytes::new()).unwrap();
    assert_eq!(send(&sandbox, nowhere.map(Body::from)).await.status, StatusCode::NOT_FOUND);
}

const RAW: &str = "From: Bo <bo@example.net>\r\nTo: ada@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
     Date: Sun, 01 Mar 2026 07:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n\
     Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n\
     --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
     Content-Transfer-Encoding: base64\r\n\r\naGVsbG8/Pz8+Pj4=\r\n--b--\r\n";

fn api(sandbox: &Sandbox, method: &str, path: &str, token: &str, kind: &str, body: String) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(sandbox.urls().gmail.join(path).unwrap().as_str())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_mail_api_keeps_to_its_own_description() {
    let sandbox = sandbox();
    println!("validation: {:?}", sandbox.validation());
    let head = sandbox.gmail().mailbox(ADA).history_id();
    let id = sandbox.gmail().mailbox(ADA).deliver(RAW, sandbox.now(), &["INBOX", "UNREAD"]);
    let token = tokens(&sandbox, "https://mail.google.com/").await["access_token"].as_str().unwrap().to_owned();
    let users = "/gmail/v1/users/me";
    for path in [
        format!("{users}/profile"),
        format!("{users}/messages?maxResults=5&labelIds=INBOX&includeSpamTrash=false"),
        format!("{users}/messages/{id}?format=full"),
        format!("{users}/messages/{id}?format=metadata&metadataHeaders=From&metadataHeaders=Subject"),
        format!("{users}/messages/{id}?format=raw&fields=id,raw"),
        format!("{users}/messages/{id}?format=minimal"),
        format!("{users}/threads"),
        format!("{users}/threads/{id}"),
        format!("{users}/labels"),
        format!("{users}/labels/INBOX"),
        format!("{users}/drafts"),
        format!("{users}/settings/sendAs"),
        format!("{users}/history?startHistoryId={head}"),
    ] {
        let seen = send(&sandbox, api(&sandbox, "GET", &path, &token, "", String::new())).await;
        assert_eq!(seen.status, StatusCode::OK, "{path}: {}", seen.text);
    }
    let json = "application/json";
    let message = serde_json::json!({"raw": base64_url(RAW)}).to_string();
    for (method, path, kind, body) in [
        ("POST", format!("{users}/messages/{id}/modify"), json, r#"{"addLabelIds":["STARRED"]}"#.to_owned()),
        ("POST", format!("{users}/messages/{id}/trash"), json, String::new()),
        ("POST", format!("{users}/messages/{id}/untrash"), json, String::new()),
        (
            "POST",
            format!("{users}/messages/batchModify"),
            json,
            format!(r#"{{"ids":["{id}"],"removeLabelIds":["UNREAD"]}}"#),
        ),
        ("POST", format!("{users}/messages/send"), json, message.clone()),
        ("POST", format!("{users}/messages"), json, message),
        ("POST", format!("/upload{users}/messages/send?uploadType=media"), "message/rfc822", RAW.to_owned()),
        ("POST", format!("{users}/labels"), json, r#"{"name":"Deals"}"#.to_owned()),
        ("POST", format!("{users}/watch"), json, r#"{"topicName":"projects/p/topics/t"}"#.to_owned()),
        ("POST", format!("{users}/stop"), json, String::new()),
        ("DELETE", format!("{users}/messages/{id}"), json, String::new()),
    ] {
        let seen = send(&sandbox, api(&sandbox, method, &path, &token, kind, body)).await;
        assert!(seen.status.is_success(), "{method} {path}: {} {}", seen.status, seen.text);
    }
    let gone = send(&sandbox, api(&sandbox, "GET", &format!("{users}/messages/{id}"), &token, "", String::new())).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    sandbox.assert_conforms();
}

fn base64_url(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE.encode(text)
}

#[tokio::test(start_paused = true)]
async fn inner_calls_of_a_batch_are_validated_like_any_other() {
    let sandbox = sandbox();
    let id = sandbox.gmail().mailbox(ADA).deliver(RAW, sandbox.now(), &["INBOX"]);
    let token = tokens(&sandbox, READ_MAIL).await["access_token"].as_str().unwrap().to_owned();
    let part = |number: u32, query: &str| {
        format!(
            "--b\r\nContent-Type: application/http\r\nContent-ID: <item-{number}>\r\n\r\n\
             GET /gmail/v1/users/me/messages/{id}?{query} HTTP/1.1\r\n\r\n"
        )
    };
    let body = format!("{}{}--b--\r\n", part(0, "format=full"), part(1, "format=full&depth=3"));
    let request = api(&sandbox, "POST", "/batch/gmail/v1", &token, "multipart/mixed; boundary=b", body);
    let seen = send(&sandbox, request).await;
    assert!(seen.text.contains("<response-item-0>"), "{}", seen.text);
    if *sandbox.validation() == Validation::On {
        let found: Vec<String> = sandbox.violations().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["gmail.users.messages.get: the request: the parameter depth is unknown"]);
    }
    assert_eq!(sandbox.books().operation("gmail.batch"), 1);
    assert_eq!(sandbox.books().gmail["inner_calls"], 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_take_long_occupy_the_mailboxs_places() {
    let mut settings = SandboxSettings { latency: Duration::from_millis(100), ..SandboxSettings::default() };
    settings.gmail.concurrency = Some(2);
    let sandbox = sandbox_with(settings);
    let token = tokens(&sandbox, READ_MAIL).await["access_token"].as_str().unwrap().to_owned();
    let call = || send(&sandbox, get(profile(&sandbox), Some(&token)));
    let seen = tokio::join!(call(), call(), call());
    let statuses = [seen.0, seen.1, seen.2].map(|seen| seen.status.as_u16());
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(call().await.status, StatusCode::OK);
    assert_eq!(sandbox.books().in_flight_peak, 3);
}

#[tokio::test(start_paused = true)]
async fn a_saved_mailbox_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.json");
    let open = || Sandbox::google().with_state_file(&path).build().unwrap();
    let first = open();
    first.register_person(ADA, "Ada Example");
    let id = first.gmail().mailbox(ADA).deliver(RAW, first.now(), &["INBOX"]);
    let units = first.books().gmail["units"].clone();
    first.save().unwrap();
    let second = open();
    assert_eq!(second.gmail().mailbox(ADA).ids(), [id]);
    assert_eq!(second.books().gmail["units"], units);
}
