use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use url::Url;

use super::{Problem, end};
use crate::{
    connection::{
        AdminConsentEndpoint, Capability, ClientAuthentication, ConnectorProfile, OAuthEndpoints, OAuthSettings,
        ScopeRule, ScopeTable,
    },
    http::QuotaTable,
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{AdminConsentAsk, AdminConsentState, Authorise, Completion, ConnectOutcome},
    store::Stores,
    testing::{PlainConnector, ScriptedTransport},
    vault::KeyRing,
    web::{Cookies, Forms, Offer, Refusal, Shared, Sheet, Visitor, Web, WebHost, WebOptions},
};

const CALLBACK: &str = "https://crm.example/accounts/callback";

/// A host that knows nobody.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl WebHost for Nobody {
    async fn visitor(&self, _: &Parts) -> Result<Visitor, Refusal> {
        Err(Refusal::SignIn(None))
    }
}

fn pages() -> (Hub, Shared) {
    let base = Url::parse("https://id.example/").unwrap();
    let mut endpoints = OAuthEndpoints::new(base.clone(), base.clone());
    endpoints.admin_consent = Some(AdminConsentEndpoint::new("https://id.example/{tenant}/admin", "any"));
    let oauth = OAuthSettings::new(endpoints, "client", ClientAuthentication::None);
    let scopes = ScopeTable::new(vec![ScopeRule::new(Capability::MailRead, &["mail.read"], &[])]);
    let profile = ConnectorProfile::new(AppId::new("app"), "plain", oauth, scopes, QuotaTable::unlimited("none"));
    let connector = PlainConnector::new(&base).with_profile(profile);
    let hub = Hub::builder(Stores::memory(), Arc::new(KeyRing::generate()))
        .with_connector(connector)
        .with_transport(Arc::new(ScriptedTransport::new([])))
        .build()
        .unwrap();
    let options = WebOptions::new(Url::parse("https://crm.example/accounts").unwrap()).with_offer(Offer::new(
        AppId::new("app"),
        "Example Mail",
        [Capability::MailRead],
    ));
    let web = Web {
        sheet: Sheet::new(&options, &hub).unwrap(),
        cookies: Cookies::new(true),
        forms: Forms::new(hub.clone()),
        hub: hub.clone(),
        host: Arc::new(Nobody),
        options,
    };
    (hub, Arc::new(web))
}

async fn come_back(web: &Shared, query: String, language: &'static str) -> Result<(u16, String), Problem> {
    let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(language))]);
    let response = end(State(Shared::clone(web)), RawQuery(Some(query)), headers, Err(Problem::SignIn(None))).await?;
    assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

fn state(url: &Url) -> String {
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

#[tokio::test]
async fn an_administrator_whom_the_host_does_not_know_is_answered_in_their_language() {
    let (hub, web) = pages();
    let (tenant, ask) = (TenantId::new("t"), AdminConsentAsk::new([Capability::MailRead], CALLBACK));
    let record = hub.request_admin_consent(&tenant, &AppId::new("app"), &ask).await.unwrap();
    let query = format!("admin_consent=True&tenant=contoso&state={}", state(&record.url));
    let (status, page) = come_back(&web, query.clone(), "de").await.unwrap();
    assert!(status == 200 && page.contains("Vielen Dank") && page.contains("Example Mail"), "{page}");
    let (_, page) = come_back(&web, format!("{query}&error=access_denied"), "en").await.unwrap();
    assert!(page.contains("The app was not allowed"), "{page}");
    assert_eq!(hub.admin_consents(&tenant).await.unwrap()[0].state, AdminConsentState::Declined);
    assert!(hub.connections(&tenant).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_person_whose_sign_in_waits_sees_the_address_to_hand_on() {
    let (hub, web) = pages();
    let ask = AdminConsentAsk::new([Capability::MailRead], CALLBACK);
    let record = hub.request_admin_consent(&TenantId::new("t"), &AppId::new("app"), &ask).await.unwrap();
    let (url, remedy, expires_at) = (record.url, record.remedy, record.expires_at);
    let outcome = ConnectOutcome::AwaitingAdminConsent { url: url.clone(), remedy, expires_at };
    let completion = Completion { outcome, tenant: None, app: None, context: None };
    let page = crate::web::outcome::page(&web, web.options.catalogues.choose("en"), &completion);
    let shown = page.body.into_string();
    assert!(shown.contains(&url.as_str().replace('&', "&amp;")), "{shown}");
    assert!(shown.contains("An administrator of your organisation has to act."), "{shown}");
}

#[tokio::test]
async fn everybody_else_has_to_sign_in_to_the_host_first_and_uses_nothing_up() {
    let (hub, web) = pages();
    let (tenant, app) = (TenantId::new("t"), AppId::new("app"));
    let begun = hub.authorise(&tenant, &app, Authorise::new([Capability::MailRead], CALLBACK)).await.unwrap();
    let query = format!("error=access_denied&state={}", state(&begun.url));
    assert_eq!(come_back(&web, query.clone(), "en").await.unwrap_err(), Problem::SignIn(None));
    assert_eq!(come_back(&web, "state=made-up".to_owned(), "en").await.unwrap_err(), Problem::SignIn(None));
    let query = crate::oauth::CallbackQuery::parse(&query).unwrap();
    let completion = hub.complete(&query, &begun.binding).await.unwrap();
    assert_eq!(completion.outcome.word(), "refused", "the browser that began it still ends it");
}
