//! The same at the pages that a host mounts.

use axum::{
    Router,
    body::Body as Bytes,
    http::{Request, Response, header, request::Parts},
};
use integration_core::{
    oauth::AdminConsentState,
    web::{Offer, Refusal, Visitor, WebHost, WebOptions, router},
};
use integration_testing::microsoft::Blocked;
use serde_json::Value;
use tower::ServiceExt;

use super::{
    admin::{BOSS, awaiting, managed},
    policies::{claims, demand},
    *,
};

/// A host whose session cookies are all of one person, or of nobody.
#[derive(Debug)]
struct Host(Option<TenantId>);

#[async_trait]
impl WebHost for Host {
    async fn visitor(&self, _: &Parts) -> integration_core::Result<Visitor, Refusal> {
        self.0.as_ref().map(|tenant| Visitor::new(tenant.clone(), "ada")).ok_or(Refusal::SignIn(None))
    }
}

/// A browser at the host's pages.
struct Browser {
    pages: Router,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn of(tenant: Option<&TenantId>, world: &World) -> Self {
        let offer = Offer::new(AppId::new("microsoft"), "Outlook", MAIL);
        let options = WebOptions::new("http://localhost/accounts".parse().unwrap()).with_offer(offer);
        world.sandbox.microsoft().change_app(DEFAULT_APP, |app| {
            app.redirect_uris.push("http://localhost/accounts/callback".to_owned());
        });
        let pages = router(world.hub.clone(), Arc::new(Host(tenant.cloned())), options).unwrap();
        Self { pages, cookies: BTreeMap::new() }
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: String) -> Response<Bytes> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header(header::COOKIE, cookies.join("; ")).body(Bytes::from(body)).unwrap();
        let answer = self.pages.clone().oneshot(request).await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path), String::new()).await
    }

    /// Presses the button of the page's first form.
    async fn sends(&mut self, page: &str) -> Response<Bytes> {
        let form = page.split("<form").nth(1).and_then(|rest| rest.split("</form>").next()).unwrap();
        let attribute = |field: &str, name: &str| {
            let value = field.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            value.unwrap_or_default().replace("&quot;", "\"").replace("&amp;", "&")
        };
        let fields = form.split("<input").skip(1).map(|field| (attribute(field, "name"), attribute(field, "value")));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = "application/x-www-form-urlencoded";
        self.send(Request::post("/connect").header(header::CONTENT_TYPE, kind), body).await
    }

    /// Opens a page, presses its button, and is sent to the service.
    async fn sets_out(&mut self, path: &str) -> Url {
        let page = text(self.get(path).await).await;
        let sent = self.sends(&page).await;
        sent.headers()[header::LOCATION].to_str().unwrap().parse().unwrap()
    }

    async fn comes_back(&mut self, url: &Url) -> String {
        text(self.get(&format!("/callback?{}", url.query().unwrap())).await).await
    }
}

async fn text(answer: Response<Bytes>) -> String {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_pages_pass_a_challenge_of_the_first_sign_in_on_to_the_next() {
    let world = World::desktop();
    world.sandbox.microsoft().change(ADA, |user| user.demanded = Some(demand()));
    let mut browser = Browser::of(Some(&world.tenant), &world);
    let sent = browser.sets_out("/connect").await;
    assert_eq!(claims(parameter(&sent, "claims"))["access_token"]["acrs"], Value::Null);
    let ended = browser.comes_back(&world.sandbox.consent(&sent, Consent::As(ADA)).unwrap()).await;
    let again =
        ended.split("href=\"/accounts").find_map(|rest| rest.split('"').next().filter(|one| one.contains("claims=")));
    let sent = browser.sets_out(&again.unwrap_or_else(|| panic!("{ended}")).replace("&amp;", "&")).await;
    assert_eq!(claims(parameter(&sent, "claims"))["access_token"]["acrs"], demand()["access_token"]["acrs"]);
    browser.comes_back(&world.sandbox.consent(&sent, Consent::As(ADA)).unwrap()).await;
    let connection = world.hub.connections(&world.tenant).await.unwrap().remove(0);
    world.works(&connection).await;
    for made_up in ["no%20json", "%5B%5D", &"9".repeat(5_000)] {
        let page = browser.get(&format!("/connect?app=microsoft&claims={made_up}")).await;
        assert!(page.status().is_client_error() || browser.sends(&text(page).await).await.status().is_client_error());
    }
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn the_administrators_browser_is_only_offered_to_try_again() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    let (url, _) = awaiting(&outcome);
    for (consent, state) in
        [(Consent::Refuse, AdminConsentState::Declined), (Consent::As(BOSS), AdminConsentState::Allowed)]
    {
        let back = world.sandbox.consent(url, consent).unwrap();
        let page = Browser::of(None, &world).comes_back(&back).await;
        assert!(page.contains("href=\"/accounts/connect\"") && !page.contains(ADA), "{page}");
        assert_eq!(world.record().await.state, state);
        assert!(world.hub.connections(&world.tenant).await.unwrap().is_empty());
    }
    world.sandbox.assert_conforms();
}
