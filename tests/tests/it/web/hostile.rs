//! What must not work: forged forms, other sites, other tenants, floods, hosts in trouble.

use std::{sync::Arc, time::Duration};

use axum::http::{Request, StatusCode, header};
use integration_core::{oauth::SignInSettings, web::WebHost};
use integration_testing::Consent;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::world::{ADA, Person, World, options};

const OTHER: &str = "tenant-2:eve:Eve:";

#[tokio::test]
async fn a_form_is_good_only_for_the_person_and_browser_it_was_shown_to() {
    let world = World::new();
    let (mut ada, mut eve, mut ada_elsewhere) = (world.person(ADA), world.person(OTHER), world.person(ADA));
    let code = ada.get("/accounts/connect").await.code();
    let codes = [
        None,
        Some(String::new()),
        Some("AAAA".to_owned()),
        Some("not base64!".to_owned()),
        Some(eve.get("/accounts/connect").await.code()),
        Some(ada_elsewhere.get("/accounts/connect").await.code()),
    ];
    for forged in codes {
        let mut form = vec![("app", "google")];
        form.extend(forged.as_deref().map(|code| ("code", code)));
        let page = ada.post("/accounts/connect", &form).await;
        assert_eq!((page.status, page.h1()), (StatusCode::FORBIDDEN, "This page was open for too long"), "{forged:?}");
        assert!(page.headers.get("location").is_none());
    }
    // The cookie that the code was made for is part of it.
    ada.cookies.retain(|name, _| name == "session");
    let page = ada.post("/accounts/connect", &[("code", &code), ("app", "google")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_from_another_site_is_refused_even_with_its_code() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let code = ada.get("/accounts/connect").await.code();
    let form = [("code", &*code), ("app", "google")];
    for foreign in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site"), ("origin", "https://crm.example")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "https://crm.example.evil.example")],
        vec![("origin", "null")],
    ] {
        ada.headers = foreign.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let page = ada.post("/accounts/connect", &form).await;
        assert_eq!(
            (page.status, page.h1()),
            (StatusCode::FORBIDDEN, "This request came from another site"),
            "{foreign:?}"
        );
    }
    for own in [vec![("sec-fetch-site", "same-origin")], vec![("origin", "https://crm.example")], vec![]] {
        ada.headers = own.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(ada.post("/accounts/connect", &form).await.status, StatusCode::SEE_OTHER, "{own:?}");
    }
}

#[tokio::test]
async fn a_forged_tenant_changes_nothing_and_other_tenants_accounts_are_not_there() {
    let world = World::new();
    let (mut ada, mut eve) = (world.person(ADA), world.person(OTHER));
    world.connect(&mut ada, Consent::Grant).await;
    let id = ada.accounts().await.remove(0);
    for path in ["status.json?tenant=tenant-1", "status.json?tenant=tenant-1&user=ada&page=1"] {
        let answer = eve.get(&format!("/accounts/{path}")).await;
        assert!(answer.has("\"accounts\":[]"), "{}", answer.text);
    }
    let code = eve.get("/accounts/connect?tenant=tenant-1").await.code();
    for page in ["disconnect", "reconnect"] {
        let seen = eve.get(&format!("/accounts/{page}?connection={id}&tenant=tenant-1")).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        let form = [("code", &*code), ("connection", &id), ("data", "erase"), ("tenant", "tenant-1")];
        assert_eq!(eve.post(&format!("/accounts/{page}"), &form).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(ada.json().await["accounts"][0]["state"], "loading");
    assert_eq!(world.sandbox.live_refresh_tokens("ada@example.com"), 1);
    let mut guest = world.person("tenant-1:guest:Guest:");
    assert!(guest.accounts().await.is_empty(), "the host shows this person nothing");
    assert_eq!(guest.get(&format!("/accounts/disconnect?connection={id}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_sign_in_cannot_be_ended_by_whoever_signs_in_to_the_host_in_between() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let callback = world.callback(&mut ada, Consent::Grant).await;
    ada.cookies.insert("session".to_owned(), OTHER.to_owned());
    let page = ada.get(&callback).await;
    assert_eq!(page.h1(), "Please go on where you began");
    assert!(ada.accounts().await.is_empty());
    assert!(world.host.connected.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_host_that_panics_hangs_or_refuses_is_answered_for_and_the_next_request_is_served() {
    let options = options().with_patience(Duration::from_millis(20));
    let world = World::with(options, SignInSettings::default());
    world.connect(&mut world.person(ADA), Consent::Grant).await;
    for (user, status) in [
        ("panics", StatusCode::SERVICE_UNAVAILABLE),
        ("hangs", StatusCode::SERVICE_UNAVAILABLE),
        ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        ("blind", StatusCode::SERVICE_UNAVAILABLE),
        ("forbidden", StatusCode::FORBIDDEN),
        ("nobody", StatusCode::UNAUTHORIZED),
    ] {
        let mut person = world.person(&format!("tenant-1:{user}:Somebody:"));
        let page = person.get("/accounts/status").await;
        assert_eq!(page.status, status, "{user}: {}", page.text);
        assert!(!page.h1().is_empty() && !page.has("own trouble"), "{}", page.text);
        let json = person.get("/accounts/status.json").await;
        assert!(json.status == status && json.has("{\"error\":\""), "{user}: {}", json.text);
    }
    let stranger = world.person("").get("/accounts/status").await;
    assert_eq!((stranger.status, stranger.location()), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(world.person(ADA).get("/accounts/status").await.status, StatusCode::OK);
}

#[tokio::test]
async fn damaged_doubled_and_oversized_queries_are_refused_before_anything_is_asked() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let long = "x".repeat(40 * 1024);
    for (query, status) in [
        ("code=a&state=b&state=c", StatusCode::BAD_REQUEST),
        ("code=a&code=b&state=c", StatusCode::BAD_REQUEST),
        ("state=%ff%fe&code=a", StatusCode::BAD_REQUEST),
        ("state=%00&code=a", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        (&*format!("state={long}"), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let page = ada.get(&format!("/accounts/callback?{query}")).await;
        assert_eq!(page.status, status, "{}", &query[..query.len().min(40)]);
        assert!(page.text.len() < 12_000, "the answer stays small");
    }
    let script = ada.get("/accounts/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&state=x").await;
    assert!(!script.has("alert(1)"), "{}", script.text);
    let code = ada.get("/accounts/connect").await.code();
    let flood = ada.post("/accounts/connect", &[("code", &code), ("app", &long)]).await;
    assert_eq!(flood.status, StatusCode::PAYLOAD_TOO_LARGE);
    let json = Request::post("/accounts/connect").header(header::CONTENT_TYPE, "application/json");
    assert_eq!(ada.send(json, "{}".to_owned()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_query_of_ten_megabytes_is_turned_away_by_the_server_and_others_are_served() {
    let world = World::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, world.router.clone()).into_future());
    let head = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\ncookie: session={ADA}\r\nconnection: close\r\n\r\n")
    };
    let flood = head(&format!("/accounts/callback?state={}", "x".repeat(10 << 20)));
    for (request, wanted) in [(flood, "HTTP/1.1 4"), (head("/accounts/status"), "HTTP/1.1 200")] {
        let (mut reading, mut writing) = TcpStream::connect(addr).await.unwrap().into_split();
        // The server may stop listening long before the end of it.
        let sending = tokio::spawn(async move { drop(writing.write_all(request.as_bytes()).await) });
        let mut answer = vec![0; wanted.len()];
        reading.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), wanted);
        sending.abort();
    }
    server.abort();
}

#[tokio::test]
async fn every_answer_carries_the_rules_for_browsers() {
    let world = World::new();
    let mut ada = world.person(ADA);
    world.connect(&mut ada, Consent::Grant).await;
    let id = ada.accounts().await.remove(0);
    for page in [
        "",
        "/connect",
        "/callback",
        "/status",
        "/status.json",
        "/healthz",
        "/readyz",
        "/no-such-page",
        "/disconnect",
        "/status?page=0",
        &format!("/disconnect?connection={id}"),
        &format!("/reconnect?connection={id}"),
    ] {
        ruled(&ada.get(&format!("/accounts{page}")).await, page);
    }
    let refused = ada.send(Request::delete("/accounts/status"), String::new()).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    ruled(&refused, "DELETE");
    ruled(&ada.post("/accounts/disconnect", &[]).await, "POST");
}

fn ruled(page: &super::world::Page, place: &str) {
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self' http://sandbox.test;",
        "script-src 'sha256-",
        "style-src 'sha256-",
    ] {
        assert!(policy.contains(rule), "{place}: {rule} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value, "{place}: {name}");
    }
    assert!(page.header("permissions-policy").contains("camera=()"), "{place}");
    assert!(["same-origin", "no-referrer"].contains(&page.header("referrer-policy")), "{place}");
}

#[tokio::test]
async fn only_the_named_origin_may_frame_the_pages_and_the_service_opens_outside_of_it() {
    let options = options().with_embedder("https://crm.example");
    let world = World::with(options, SignInSettings::default());
    let page = world.person(ADA).get("/accounts/connect").await;
    assert!(page.header("content-security-policy").contains("frame-ancestors https://crm.example;"));
    assert!(page.headers.get("x-frame-options").is_none() && page.has("target=\"_top\""), "{}", page.text);
}

#[tokio::test]
async fn what_people_and_services_are_called_is_never_markup() {
    let options =
        options().with_offer(super::world::offer("google", "<b>bold</b>")).with_home("/\"><i>", "<u>home</u>");
    let world = World::with(options, SignInSettings::default());
    let page = world.person("tenant-1:ada:<script>alert(1)</script>:").get("/accounts/connect").await;
    for markup in ["<b>", "<script>alert", "<i>", "<u>"] {
        assert!(!page.has(markup), "{markup}: {}", page.text);
    }
    assert!(page.has("&lt;b&gt;bold"), "{}", page.text);
}

#[tokio::test]
async fn any_process_on_the_store_takes_the_form_and_the_callback_of_another() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let code = ada.get("/accounts/connect").await.code();
    ada.router = world.another_process(super::world::KEY);
    let sent = ada.post("/accounts/connect", &[("code", &code), ("app", "google")]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let callback =
        super::world::back(&world.sandbox.consent(&sent.location().parse().unwrap(), Consent::Grant).unwrap());
    ada.router = world.router.clone();
    assert_eq!(ada.get(&callback).await.h1(), "ada@example.com is connected");
}

#[tokio::test]
async fn a_lost_key_makes_open_forms_stale_and_new_ones_work() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let stale = ada.get("/accounts/connect").await.code();
    ada.router = world.another_process("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=");
    let send = async |ada: &mut Person, code: &str| {
        ada.post("/accounts/connect", &[("code", code), ("app", "google")]).await.status
    };
    assert_eq!(send(&mut ada, &stale).await, StatusCode::FORBIDDEN);
    let fresh = ada.get("/accounts/connect").await.code();
    assert_eq!(send(&mut ada, &fresh).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_pages_of_two_routers_can_share_a_host() {
    let world = World::new();
    let host = Arc::clone(&world.host) as Arc<dyn WebHost>;
    let again = integration_core::web::router(world.hub.clone(), host, options()).unwrap();
    let mut ada = world.person(ADA);
    ada.router = axum::Router::new().nest("/accounts", again);
    assert_eq!(ada.get("/accounts").await.location(), "/accounts/status");
}
