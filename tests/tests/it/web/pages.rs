//! What people see: every outcome, two languages, disconnecting.

use std::time::Duration;

use axum::http::StatusCode;
use integration_core::{
    oauth::SignInSettings,
    web::{Strings, WebOptions},
};
use integration_testing::{Consent, Fault, FaultAction};

use super::world::{ADA, PUBLIC, World, back, offer, options};

const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";

#[tokio::test]
async fn an_account_is_connected_through_the_pages_and_the_host_is_told_whose_it_is() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let choose = ada.get("/accounts/connect").await;
    assert_eq!(choose.h1(), "Connect an account");
    for words in ["Signed in as Ada Example", "Continue to Example Mail", "Read your mail", "so that messages appear"] {
        assert!(choose.has(words), "{words}: {}", choose.text);
    }
    let page = world.connect(&mut ada, Consent::Grant).await;
    assert_eq!((page.status, page.h1()), (StatusCode::OK, "ada@example.com is connected"));
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(*world.host.connected.lock().unwrap(), ["ada: ada@example.com"]);
    let status = ada.json().await;
    assert_eq!((&status["version"], &status["busy"]), (&1.into(), &true.into()));
    let account = &status["accounts"][0];
    assert_eq!((&account["state"], &account["phase"]), (&"loading".into(), &serde_json::Value::Null));
    assert_eq!((&account["service"], &account["label"]), (&"Example Mail".into(), &"ada@example.com".into()));
    let page = ada.get("/accounts/status").await;
    assert!(page.has("Syncing") && page.has("http-equiv=\"refresh\"") && page.has("data-busy"), "{}", page.text);
}

#[tokio::test]
async fn a_box_left_out_is_named_and_can_be_asked_for_again() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let page = world.connect(&mut ada, Consent::Untick(&[READ])).await;
    assert_eq!(page.h1(), "ada@example.com is connected, but not everything will work");
    assert!(page.has("<li>Read your mail</li>") && !page.has("<li>Send mail"), "{}", page.text);
    let id = ada.accounts().await.remove(0);
    assert_eq!(ada.json().await["accounts"][0]["not_allowed"], serde_json::json!(["mail_read"]));

    let again = ada.get(&format!("/accounts/reconnect?connection={id}")).await;
    assert_eq!(again.h1(), "Connect ada@example.com again");
    let sent = ada.post("/accounts/reconnect", &[("code", &again.code()), ("connection", &id)]).await;
    let callback = back(&world.sandbox.consent(&sent.location().parse().unwrap(), Consent::Grant).unwrap());
    assert_eq!(ada.get(&callback).await.h1(), "ada@example.com is connected");
    assert_eq!(ada.accounts().await, [id], "the same connection");
    assert_eq!(ada.json().await["accounts"][0]["not_allowed"], serde_json::json!([]));
}

#[tokio::test]
async fn every_other_end_of_a_sign_in_has_a_page_of_its_own() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let refused = world.connect(&mut ada, Consent::Refuse).await;
    assert_eq!((refused.status, refused.h1()), (StatusCode::OK, "Nothing was connected"));
    assert!(refused.has("You said no at Example Mail"), "{}", refused.text);

    let callback = world.callback(&mut ada, Consent::Grant).await;
    let elsewhere = world.person(ADA).get(&callback).await;
    assert_eq!((elsewhere.status, elsewhere.h1()), (StatusCode::FORBIDDEN, "Please go on where you began"));
    assert!(ada.accounts().await.is_empty(), "nothing was connected from elsewhere");
    assert_eq!(ada.get(&callback).await.status, StatusCode::OK, "where it began it can still be ended");
    let replayed = ada.get(&callback).await;
    assert_eq!((replayed.status, replayed.h1()), (StatusCode::CONFLICT, "This answer was used before"));

    let unknown = ada.get("/accounts/callback?code=stolen&state=made-up").await;
    assert_eq!((unknown.status, unknown.h1()), (StatusCode::BAD_REQUEST, "This answer does not belong here"));

    let id = ada.accounts().await.remove(0);
    let code = ada.get(&format!("/accounts/reconnect?connection={id}")).await.code();
    let sent = ada.post("/accounts/reconnect", &[("code", &code), ("connection", &id)]).await;
    let chosen = world.sandbox.consent(&sent.location().parse().unwrap(), Consent::As("sam@example.com")).unwrap();
    let other = ada.get(&back(&chosen)).await;
    assert_eq!((other.status, other.h1()), (StatusCode::CONFLICT, "That was another account"));
    assert!(other.has("You chose sam@example.com, but ada@example.com"), "{}", other.text);
}

#[tokio::test]
async fn a_sign_in_that_took_too_long_says_so() {
    let mut settings = SignInSettings::default();
    settings.authorisation_lifetime = Duration::ZERO;
    let world = World::with(options(), settings);
    let page = world.connect(&mut world.person(ADA), Consent::Grant).await;
    assert_eq!((page.status, page.h1()), (StatusCode::GONE, "That took too long"));
}

#[tokio::test]
async fn a_service_that_fails_is_named_with_what_to_do() {
    let world = World::new();
    let mut ada = world.person(ADA);
    let callback = world.callback(&mut ada, Consent::Grant).await;
    world.sandbox.script(Fault::new(FaultAction::status(500, "")).on_path("/token"));
    let page = ada.get(&callback).await;
    assert_eq!((page.status, page.h1()), (StatusCode::BAD_GATEWAY, "Example Mail could not do it"));
    assert!(page.has("Connect the account again in a moment."), "{}", page.text);
}

#[tokio::test]
async fn pages_speak_the_persons_language_then_the_browsers() {
    let world = World::new();
    let mut german = world.person("tenant-1:ada:Ada:de-AT");
    let page = german.get("/accounts/connect").await;
    assert!(page.has("<html lang=\"de\">") && page.h1() == "Ein Konto verbinden", "{}", page.text);
    let page = world.connect(&mut german, Consent::Refuse).await;
    assert_eq!(page.h1(), "Es wurde nichts verbunden");
    let missing = german.get("/accounts/disconnect?connection=none").await;
    assert_eq!(missing.h1(), "Diese Seite oder dieses Konto gibt es nicht");
    let mut browser = world.person(ADA);
    browser.headers.push(("accept-language", "de;q=0.9, en;q=0.5".to_owned()));
    assert_eq!(browser.get("/accounts/status").await.h1(), "Ihre Konten");
    assert_eq!(browser.get("/accounts/no-such-page").await.h1(), "Diese Seite oder dieses Konto gibt es nicht");
}

#[tokio::test]
async fn a_host_brings_its_own_words_looks_and_way_home() {
    let mut strings = Strings::english();
    (strings.language, strings.connect_title) = ("cy".into(), "Cysylltu cyfrif".into());
    let options = options()
        .with_strings(strings)
        .with_variable("--integration-accent", "#7a1fa2")
        .with_home("/", "Back to the CRM");
    let world = World::with(options, SignInSettings::default());
    let page = world.person("tenant-1:ada:Ada:cy").get("/accounts/connect").await;
    assert_eq!(page.h1(), "Cysylltu cyfrif");
    for text in ["lang=\"cy\"", "--integration-accent: #7a1fa2;", "<a href=\"/\">Back to the CRM</a>"] {
        assert!(page.has(text), "{text}: {}", page.text);
    }
}

#[tokio::test]
async fn disconnecting_asks_first_and_does_what_was_chosen() {
    for (choice, left) in [("keep", 1), ("erase", 0)] {
        let world = World::new();
        let mut ada = world.person(ADA);
        world.connect(&mut ada, Consent::Grant).await;
        let id = ada.accounts().await.remove(0);
        let ask = ada.get(&format!("/accounts/disconnect?connection={id}")).await;
        assert_eq!(ask.h1(), "Disconnect ada@example.com?");
        assert_eq!(world.sandbox.live_refresh_tokens("ada@example.com"), 1, "nothing happens by looking");
        let form = [("code", &*ask.code()), ("connection", &id), ("data", choice)];
        let done = ada.post("/accounts/disconnect", &form).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        let page = ada.get(done.location()).await;
        assert!(page.has("The account was disconnected"), "{}", page.text);
        assert_eq!(page.has("Delete what was synced"), choice == "keep", "{}", page.text);
        assert_eq!(world.sandbox.live_refresh_tokens("ada@example.com"), 0);
        let accounts = ada.json().await["accounts"].as_array().unwrap().clone();
        assert_eq!(accounts.len(), left);
        assert!(accounts.iter().all(|account| account["state"] == "disconnected"));
    }
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_by_name() {
    let world = World::new();
    let refused = |options: WebOptions| {
        let host = std::sync::Arc::clone(&world.host);
        integration_core::web::router(world.hub.clone(), host, options).unwrap_err().message().to_owned()
    };
    let plain = |url: &str| WebOptions::new(url.parse().unwrap());
    for (options, named) in [
        (plain("http://crm.example/accounts"), "https"),
        (plain("https://crm.example/?tenant=1"), "query"),
        (plain(PUBLIC).with_offer(offer("unknown", "Nobody")), "unknown"),
        (plain(PUBLIC).with_embedder("https://a.example; script-src *"), "embedder"),
        (plain(PUBLIC).with_variable("--integration-accent", "red; } * {"), "--integration-accent"),
    ] {
        let message = refused(options);
        assert!(message.contains(named), "{message}");
    }
}
