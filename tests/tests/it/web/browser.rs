//! The pages in headless Chromium: what a person sees, and what the browser complains about.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, extract::Query, http::header, routing::get};
use integration_core::{
    hub::Hub,
    ids::{ConnectionId, TenantId},
    oauth::SignInSettings,
    store::Stores,
    sync::{Job, JobOutcome, Shutdown},
    vault::KeyRing,
    web::{WebHost, WebOptions, router},
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{
    Consent, DEFAULT_CLIENT, Sandbox, Served,
    browser::{Browser, Tab},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use super::world::{Crm, offer};
use crate::world::deliver;

const ACCESSIBLE: &str = include_str!("accessible.js");
const ADA: &str = "tenant-1:ada:Ada_Example:";
const ALLOW: &str = "button[value=allow]";

/// A host and a service that listen, and a browser.
struct Place {
    sandbox: Sandbox,
    hub: Hub,
    origin: String,
    browser: Browser,
    server: JoinHandle<()>,
    _service: Served,
}

/// The host's own sign-in.
async fn log_in(Query(query): Query<std::collections::HashMap<String, String>>) -> impl axum::response::IntoResponse {
    let session = format!("session={}; HttpOnly; SameSite=Lax; Path=/", query["as"]);
    ([(header::SET_COOKIE, session), (header::CONTENT_TYPE, "text/html".to_owned())], "<title>In</title>")
}

impl Place {
    /// `None`, having said so, where there is no Chromium; on a build machine it has to be there.
    async fn open(settings: SignInSettings) -> Option<Self> {
        if Browser::find().is_none() {
            assert!(std::env::var_os("CI").is_none(), "no Chromium on a build machine: install the package `chromium`");
            println!("not tested in a browser: there is no Chromium here (install the package `chromium`)");
            return None;
        }
        let sandbox = Sandbox::google().build();
        sandbox.register_person("ada@example.com", "Ada Example");
        (0..40).for_each(|number| drop(deliver(&sandbox, number, "INBOX")));
        let service = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let endpoints = GoogleEndpoints::below(&format!("http://{}", service.addr()).parse().unwrap()).unwrap();
        let hub = Hub::builder(Stores::memory(), Arc::new(KeyRing::generate()))
            .with_connector(Google::new(GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(endpoints)).unwrap())
            .with_sign_in(settings)
            .build()
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let options = WebOptions::new(format!("{origin}/accounts").parse().unwrap())
            .with_offer(offer("google", "Example Mail"))
            .with_home("/login?as=x", "Back to the CRM");
        let host: Arc<dyn WebHost> = Arc::new(Crm::default());
        let pages = router(hub.clone(), host, options).unwrap();
        let app = Router::new().nest("/accounts", pages).route("/login", get(log_in));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let browser = Browser::launch().await.unwrap();
        Some(Self { sandbox, hub, origin, browser, server, _service: service })
    }

    /// Somebody who is signed in to the host, in a browser of their own.
    async fn person(&self, session: &str) -> Tab {
        let tab = self.browser.tab().await.unwrap();
        tab.open(&format!("{}/login?as={session}", self.origin)).await.unwrap();
        assert_eq!(tab.complaints(), Vec::<String>::new());
        tab
    }

    fn at(&self, page: &str) -> String {
        format!("{}/accounts/{page}", self.origin)
    }

    /// From the choice of a service to its consent page.
    async fn set_out(&self, tab: &Tab) {
        tab.open(&self.at("connect")).await.unwrap();
        look(tab, "connect", "Connect an account").await;
        tab.follow("form button").await.unwrap();
        assert_eq!(tab.title().await.unwrap(), "Sign in (sandbox)", "{}", tab.url().await.unwrap());
    }

    async fn granted(&self, tab: &Tab) {
        self.set_out(tab).await;
        tab.follow(ALLOW).await.unwrap();
        look(tab, "granted", "ada@example.com is connected").await;
    }

    async fn connection(&self) -> ConnectionId {
        self.hub.connections(&tenant()).await.unwrap().remove(0).id
    }

    async fn sync(&self) {
        let id = self.connection().await;
        while let JobOutcome::Continue = self.hub.run(Job::sync_mail(&tenant(), &id), &Shutdown::default()).await {}
    }

    async fn close(self) {
        self.browser.close().await.unwrap();
        self.server.abort();
    }
}

fn tenant() -> TenantId {
    TenantId::new("tenant-1")
}

/// A page as it is meant to be: its heading, its title, nothing that assistive technology stumbles over, no complaint.
async fn look(tab: &Tab, name: &str, heading: &str) {
    shoot(tab, name).await;
    assert_eq!(tab.text("h1").await.unwrap(), heading, "{}", tab.text("body").await.unwrap());
    assert_eq!(tab.title().await.unwrap(), heading);
    assert_eq!(tab.eval(ACCESSIBLE).await.unwrap(), json!([]), "{name}");
    let told = tab.accessible().await.unwrap();
    for (role, named) in [("main", ""), ("heading", heading)] {
        assert!(told.iter().any(|(is, name)| is == role && name == named), "no {role} {named:?} in {told:?}");
    }
    quiet(tab);
}

/// An answer that says no with its status is in the browser's log, and nothing else is.
fn quiet(tab: &Tab) {
    let complaints = tab.complaints();
    let loud: Vec<_> =
        complaints.iter().filter(|said| !said.contains("the server responded with a status of 4")).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

/// Keeps what is seen where `INTEGRATION_SCREENSHOTS` names a folder.
async fn shoot(tab: &Tab, name: &str) {
    let Some(folder) = std::env::var_os("INTEGRATION_SCREENSHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    tab.screenshot(&folder.join(format!("{name}.png"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_connects_a_mailbox_and_watches_it_come_in() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.granted(&ada).await;
    assert!(ada.text("main").await.unwrap().contains("The first sync has begun."));
    ada.follow("main a.button").await.unwrap();
    look(&ada, "status_syncing", "Your accounts").await;
    let seen = ada.text("main").await.unwrap();
    assert!(seen.contains("Syncing") && seen.contains("This page keeps itself up to date."), "{seen}");
    ada.eval("document.querySelector('[id^=disconnect-]').focus(); window.same = true").await.unwrap();
    place.sync().await;
    ada.until("document.querySelector('.state').innerText === 'Up to date'").await.unwrap();
    assert_eq!(ada.eval("window.same").await.unwrap(), true, "the page was not loaded again");
    let focused = ada.eval("document.activeElement.id.startsWith('disconnect-')").await.unwrap();
    assert_eq!(focused, true, "whoever was about to press a button still is");
    look(&ada, "status_up_to_date", "Your accounts").await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_unticks_a_box_sees_what_is_missing_and_asks_again() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.set_out(&ada).await;
    ada.press("input[value$='gmail.readonly']").await.unwrap();
    ada.follow(ALLOW).await.unwrap();
    look(&ada, "granted_in_part", "ada@example.com is connected, but not everything will work").await;
    assert_eq!(ada.text("main li").await.unwrap(), "Read your mail");
    let id = place.connection().await;
    ada.follow("main a.button").await.unwrap();
    look(&ada, "reconnect", "Connect ada@example.com again").await;
    ada.follow("form button").await.unwrap();
    ada.follow(ALLOW).await.unwrap();
    look(&ada, "granted_after_all", "ada@example.com is connected").await;
    assert_eq!(place.connection().await, id, "it is the same connection");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_is_told_that_nothing_changed() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.set_out(&ada).await;
    ada.follow("button[value=cancel]").await.unwrap();
    look(&ada, "refused", "Nothing was connected").await;
    ada.follow("main a.button.quiet").await.unwrap();
    look(&ada, "status_empty", "Your accounts").await;
    assert!(ada.text("main").await.unwrap().contains("No account is connected yet."));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_takes_too_long_is_told_to_begin_again() {
    let mut settings = SignInSettings::default();
    settings.authorisation_lifetime = Duration::ZERO;
    let Some(place) = Place::open(settings).await else { return };
    let ada = place.person(ADA).await;
    place.set_out(&ada).await;
    ada.follow(ALLOW).await.unwrap();
    look(&ada, "expired", "That took too long").await;
    ada.follow("main a.button").await.unwrap();
    look(&ada, "connect", "Connect an account").await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_opened_in_another_browser_connects_nothing() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let (ada, elsewhere) = (place.person(ADA).await, place.person(ADA).await);
    place.set_out(&ada).await;
    let consent = ada.url().await.unwrap().parse().unwrap();
    let back = place.sandbox.consent(&consent, Consent::Grant).unwrap();
    elsewhere.open(back.as_str()).await.unwrap();
    look(&elsewhere, "other_browser", "Please go on where you began").await;
    assert!(place.hub.connections(&tenant()).await.unwrap().is_empty());
    ada.open(back.as_str()).await.unwrap();
    look(&ada, "granted", "ada@example.com is connected").await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_lost_its_access_says_so_and_is_connected_again() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.granted(&ada).await;
    let id = place.connection().await;
    place.sandbox.revoke_grants("ada@example.com");
    place.sync().await;
    ada.open(&place.at("status")).await.unwrap();
    look(&ada, "status_needs_attention", "Your accounts").await;
    let seen = ada.text("main").await.unwrap();
    assert!(seen.contains("Needs attention") && seen.contains("You can fix this yourself."), "{seen}");
    ada.follow("[id^=reconnect-]").await.unwrap();
    ada.follow("form button").await.unwrap();
    ada.follow(ALLOW).await.unwrap();
    look(&ada, "reconnected", "ada@example.com is connected").await;
    assert_eq!(place.connection().await, id);
    place.sync().await;
    ada.open(&place.at("status")).await.unwrap();
    assert!(ada.text("main").await.unwrap().contains("Up to date"));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_disconnects_by_keyboard_alone() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.granted(&ada).await;
    place.sync().await;
    let id = place.connection().await;
    ada.open(&place.at(&format!("disconnect?connection={id}"))).await.unwrap();
    look(&ada, "disconnect", "Disconnect ada@example.com?").await;
    let mut passed = Vec::new();
    while passed.last().is_none_or(|words: &String| words != "Disconnect") {
        assert!(passed.len() < 20, "the button is not reached: {passed:?}");
        ada.key("Tab").await.unwrap();
        let words = ada.eval("document.activeElement.innerText || document.activeElement.value").await.unwrap();
        passed.push(words.as_str().unwrap_or_default().trim().to_owned());
    }
    let outline = ada.eval("getComputedStyle(document.activeElement).outlineStyle").await.unwrap();
    assert_eq!(outline, "solid", "it is seen where one is");
    shoot(&ada, "disconnect_focus").await;
    ada.follow_key("Enter").await.unwrap();
    look(&ada, "disconnected", "Your accounts").await;
    assert!(ada.text(".notice").await.unwrap().contains("The account was disconnected."));
    assert!(place.sandbox.live_refresh_tokens("ada@example.com") == 0);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_work_on_a_telephone_in_the_dark_in_german_and_without_scripts() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person("tenant-1:ada:Ada_Beispiel:de").await;
    ada.set_width(390).await.unwrap();
    ada.prefer("prefers-color-scheme", "dark").await.unwrap();
    ada.without_scripts().await.unwrap();
    ada.open(&place.at("connect")).await.unwrap();
    look(&ada, "dark_connect", "Ein Konto verbinden").await;
    ada.follow("form button").await.unwrap();
    ada.follow(ALLOW).await.unwrap();
    look(&ada, "dark_granted", "ada@example.com ist verbunden").await;
    ada.follow("main a.button").await.unwrap();
    look(&ada, "dark_status", "Ihre Konten").await;
    assert!(ada.text("main").await.unwrap().contains("Wird abgeglichen"));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_can_neither_frame_the_pages_nor_send_their_forms() {
    let Some(place) = Place::open(SignInSettings::default()).await else { return };
    let ada = place.person(ADA).await;
    place.granted(&ada).await;
    let id = place.connection().await;
    // Another port is another origin of the same site: the host's cookies do come along.
    let page = format!(
        "<title>Prizes</title><iframe src='{}'></iframe><form method='post' action='{}'><input name='connection' value='{id}'>\
         <input name='data' value='erase'><button>Win a prize</button></form>",
        place.at("status"),
        place.at("disconnect")
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let evil = format!("http://{}/", listener.local_addr().unwrap());
    let site = Router::new().route("/", get(async move || axum::response::Html(page)));
    let server = tokio::spawn(async move { axum::serve(listener, site).await.unwrap() });
    ada.open(&evil).await.unwrap();
    let complaints = ada.complaints().join("\n");
    assert!(complaints.contains("frame-ancestors"), "{complaints}");
    ada.follow("button").await.unwrap();
    assert_eq!(ada.text("h1").await.unwrap(), "This request came from another site");
    assert_eq!(place.sandbox.live_refresh_tokens("ada@example.com"), 1);
    server.abort();
    place.close().await;
}
