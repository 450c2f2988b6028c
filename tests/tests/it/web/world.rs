//! A host with pages, a service, and people at browsers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header, request::Parts},
};
use integration_core::{
    Result,
    connection::{Capability, Connection},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::SignInSettings,
    store::Stores,
    vault::KeyRing,
    web::{Offer, Refusal, Visitor, WebHost, WebOptions, router},
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, ORIGIN, Sandbox};
use serde_json::Value;
use tower::ServiceExt;
use url::Url;

pub(super) const PUBLIC: &str = "https://crm.example/accounts";
pub(super) const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
pub(super) const ADA: &str = "tenant-1:ada:Ada Example:";

/// A host that believes its session cookie: `tenant:user:name:language`. Some users of it are trouble.
#[derive(Debug, Default)]
pub(super) struct Crm {
    pub(super) connected: Mutex<Vec<String>>,
}

#[async_trait]
impl WebHost for Crm {
    async fn visitor(&self, request: &Parts) -> Result<Visitor, Refusal> {
        let session = cookies(&request.headers).remove("session").unwrap_or_default();
        let [tenant, user, name, language] = session.split(':').collect::<Vec<_>>()[..] else {
            return Err(Refusal::SignIn(Some("/login".to_owned())));
        };
        match user {
            "forbidden" => return Err(Refusal::Forbidden),
            "hangs" => std::future::pending().await,
            "nobody" => return Err(Refusal::SignIn(None)),
            "panics" => panic!("the host's own trouble"),
            "unavailable" => return Err(Refusal::Unavailable),
            _ => {}
        }
        let visitor = Visitor::new(TenantId::new(tenant), user).with_name(name);
        Ok(if language.is_empty() { visitor } else { visitor.with_language(language) })
    }

    fn shows(&self, visitor: &Visitor, _: &Connection) -> bool {
        assert_ne!(visitor.user, "blind", "the host's own trouble");
        visitor.user != "guest"
    }

    async fn connected(&self, visitor: &Visitor, connections: &[Connection]) -> Result<()> {
        let mut noted = self.connected.lock().unwrap();
        noted.extend(connections.iter().map(|connection| format!("{}: {}", visitor.user, connection.account.label)));
        Ok(())
    }
}

fn cookies(headers: &HeaderMap) -> BTreeMap<String, String> {
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split("; ")).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) stores: Stores,
    pub(super) hub: Hub,
    pub(super) host: Arc<Crm>,
    pub(super) router: Router,
}

/// What is asked for in these tests.
pub(super) fn offer(app: &str, name: &str) -> Offer {
    Offer::new(AppId::new(app), name, [Capability::Identity, Capability::MailRead, Capability::MailSend])
}

pub(super) fn options() -> WebOptions {
    WebOptions::new(PUBLIC.parse().unwrap()).with_offer(offer("google", "Example Mail"))
}

/// A hub over `stores`: another process, as far as the stores know.
pub(super) fn hub(sandbox: &Sandbox, stores: &Stores, key: &str, settings: SignInSettings) -> Hub {
    let endpoints = GoogleEndpoints::below(&ORIGIN.parse().unwrap()).unwrap();
    let config = GoogleConfig::web("web-client", "web-secret").with_endpoints(endpoints);
    Hub::builder(stores.clone(), Arc::new(KeyRing::from_base64(key).unwrap()))
        .with_connector(Google::new(config).unwrap())
        .with_transport(sandbox.transport())
        .with_sign_in(settings)
        .build()
        .unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(options(), SignInSettings::default())
    }

    pub(super) fn with(options: WebOptions, settings: SignInSettings) -> Self {
        Self::over(Stores::memory(), options, settings)
    }

    pub(super) fn over(stores: Stores, options: WebOptions, settings: SignInSettings) -> Self {
        let sandbox = Sandbox::google().build();
        sandbox.register_person("ada@example.com", "Ada Example");
        sandbox.register_person("sam@example.com", "Sam Example");
        let redirect = format!("{PUBLIC}/callback");
        sandbox.register_app(integration_testing::AppRegistration::web("web-client", "web-secret", redirect));
        let (hub, host) = (hub(&sandbox, &stores, KEY, settings), Arc::new(Crm::default()));
        let router = router(hub.clone(), Arc::clone(&host) as Arc<dyn WebHost>, options).unwrap();
        Self { sandbox, stores, hub, host, router: Router::new().nest("/accounts", router) }
    }

    /// Another process on the same stores, with a key.
    pub(super) fn another_process(&self, key: &str) -> Router {
        let hub = hub(&self.sandbox, &self.stores, key, SignInSettings::default());
        let host = Arc::clone(&self.host) as Arc<dyn WebHost>;
        Router::new().nest("/accounts", router(hub, host, options()).unwrap())
    }

    /// A person at a browser of their own, with the host's session cookie.
    pub(super) fn person(&self, session: &str) -> Person {
        let cookies = BTreeMap::from([("session".to_owned(), session.to_owned())]);
        Person { router: self.router.clone(), cookies, headers: vec![("sec-fetch-site", "same-origin".to_owned())] }
    }

    /// Connects ada@example.com for a person, with a decision at the consent page.
    pub(super) async fn connect(&self, person: &mut Person, consent: Consent<'_>) -> Page {
        let callback = self.callback(person, consent).await;
        person.get(&callback).await
    }

    /// The address that the service sends a person back to.
    pub(super) async fn callback(&self, person: &mut Person, consent: Consent<'_>) -> String {
        let begun = person.set_out().await;
        back(&self.sandbox.consent(&begun, consent).unwrap())
    }
}

/// The path and query of a callback.
pub(super) fn back(url: &Url) -> String {
    assert_eq!(url.host_str(), Some("crm.example"), "{url}");
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// A browser without a window: keeps cookies, and says what browsers say.
pub(super) struct Person {
    pub(super) router: Router,
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Person {
    pub(super) async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), String::new()).await
    }

    pub(super) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let kind = "application/x-www-form-urlencoded";
        self.send(Request::post(path).header(header::CONTENT_TYPE, kind), body).await
    }

    /// Chooses the service and presses the button: where the browser is sent.
    pub(super) async fn set_out(&mut self) -> Url {
        let code = self.get("/accounts/connect").await.code();
        let sent = self.post("/accounts/connect", &[("code", &code), ("app", "google")]).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        sent.location().parse().unwrap()
    }

    pub(super) async fn json(&mut self) -> Value {
        let answer = self.get("/accounts/status.json").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// The ids of the accounts that this person sees.
    pub(super) async fn accounts(&mut self) -> Vec<String> {
        let status = self.json().await;
        let accounts = status["accounts"].as_array().unwrap();
        accounts.iter().map(|account| account["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) async fn send(&mut self, mut request: axum::http::request::Builder, body: String) -> Page {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request = request.header(header::COOKIE, cookies.join("; "));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Page { status: parts.status, headers: parts.headers, text: String::from_utf8(text.to_vec()).unwrap() }
    }
}

impl Page {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(super) fn location(&self) -> &str {
        self.header("location")
    }

    /// The heading, with its escapes.
    pub(super) fn h1(&self) -> &str {
        let found = self.text.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next());
        found.unwrap_or_else(|| panic!("no heading: {} {}", self.status, self.text))
    }

    /// The code of the page's forms.
    pub(super) fn code(&self) -> String {
        let found = self.text.split("name=\"code\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        found.unwrap_or_else(|| panic!("no form: {} {}", self.status, self.text)).to_owned()
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}
