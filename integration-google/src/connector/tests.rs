use std::{collections::BTreeSet, sync::Arc};

use integration_core::{
    ErrorKind,
    connection::{AuthorisationStyle, Capability, ClientAuthentication, Connector},
    secret::SecretText,
    testing::{ScriptedTransport, Step, test_session},
};
use serde_json::json;
use url::Url;

use super::{Google, MAIL, MODIFY, READ, SEND};
use crate::{ClientKind, GoogleConfig, GoogleEndpoints};

fn service_account() -> GoogleConfig {
    let kind = ClientKind::ServiceAccount {
        issuer: "robot@project.iam.gserviceaccount.com".to_owned(),
        key_id: "k1".to_owned(),
        private_key: SecretText::new("pem"),
    };
    GoogleConfig::new("1234", kind)
}

fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn sign_in_asks_for_what_google_needs_to_give_a_refresh_token() {
    let web = Google::new(GoogleConfig::web("c", "s")).unwrap();
    let oauth = &web.profile().oauth;
    assert_eq!(pairs(&oauth.extra), [("access_type", "offline")]);
    assert_eq!(pairs(&oauth.consent), [("prompt", "consent")]);
    assert_eq!(oauth.login_hint.as_deref(), Some("login_hint"));
}

#[test]
fn only_a_web_clients_grants_add_up() {
    let web = Google::new(GoogleConfig::web("c", "s")).unwrap();
    let desktop = Google::new(GoogleConfig::desktop("c")).unwrap();
    assert_eq!(web.profile().oauth.style, AuthorisationStyle::Additive);
    assert_eq!(pairs(&web.profile().oauth.incremental), [("include_granted_scopes", "true")]);
    assert_eq!(desktop.profile().oauth.style, AuthorisationStyle::Standalone);
    assert!(desktop.profile().oauth.incremental.is_empty());
    assert!(matches!(desktop.profile().oauth.authentication, ClientAuthentication::None));
    assert!(matches!(web.profile().oauth.authentication, ClientAuthentication::SecretInBody(_)));
}

#[test]
fn broader_scopes_allow_what_narrower_ones_do() {
    use Capability::{Identity, MailModify, MailRead, MailSend};
    let scopes = Google::new(GoogleConfig::desktop("c")).unwrap().profile().scopes.clone();
    let allowed =
        |granted: &[&str]| scopes.allowed(&scopes.normalise(granted.iter().copied())).into_iter().collect::<Vec<_>>();
    let email = "https://www.googleapis.com/auth/userinfo.email";
    assert_eq!(allowed(&["openid", email, READ]), [Identity, MailRead]);
    assert_eq!(allowed(&[SEND]), [MailSend]);
    assert_eq!(allowed(&[MODIFY]), [MailModify, MailRead, MailSend]);
    assert_eq!(allowed(&[MAIL]), [MailModify, MailRead, MailSend]);
    assert_eq!(allowed(&["openid"]), []);
    let asked = scopes.request(&BTreeSet::from([MailRead, MailSend]));
    assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), ["email", READ, SEND, "openid"]);
}

#[test]
fn sessions_reach_the_configured_hosts_and_no_other() {
    let origin = Url::parse("http://127.0.0.1:4000").unwrap();
    let config = GoogleConfig::desktop("c").with_endpoints(GoogleEndpoints::below(&origin).unwrap());
    let google = Google::new(config).unwrap();
    assert!(google.profile().allows(&origin.join("/gmail/v1/users/me/profile").unwrap()));
    assert!(!google.profile().allows(&Url::parse("https://gmail.googleapis.com/").unwrap()));
    assert!(!google.profile().allows(&Url::parse("http://127.0.0.1:4001/").unwrap()));
}

#[test]
fn a_wrong_configuration_is_refused_at_once() {
    let error = Google::new(GoogleConfig::desktop("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn an_account_is_known_by_its_subject_and_by_both_of_its_addresses() {
    let transport = Arc::new(ScriptedTransport::new([
        Step::get("/v1/userinfo").answers_json(200, &json!({ "sub": "42", "email": "Ann@Example.com" })),
        Step::get("/gmail/v1/users/me/profile").answers_json(200, &json!({ "emailAddress": "ann@example.org" })),
    ]));
    let google = Arc::new(Google::new(GoogleConfig::desktop("c")).unwrap());
    let session = test_session(Arc::clone(&transport) as _, Arc::clone(&google) as _).build_grant();
    let accounts = google.accounts(&session, None).await.unwrap();
    assert_eq!((accounts[0].id.as_str(), accounts[0].label.as_str()), ("42", "Ann@Example.com"));
    assert_eq!(accounts[0].addresses, ["ann@example.com", "ann@example.org"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_only_sends_still_has_an_account() {
    let refusal = json!({ "error": { "code": 403, "errors": [{ "reason": "insufficientPermissions" }] } });
    let transport = Arc::new(ScriptedTransport::new([
        Step::get("/v1/userinfo").answers_json(200, &json!({ "sub": "42", "email": "ann@example.com" })),
        Step::get("/gmail/v1/users/me/profile").answers_json(403, &refusal),
    ]));
    let google = Arc::new(Google::new(GoogleConfig::desktop("c")).unwrap());
    let session = test_session(Arc::clone(&transport) as _, Arc::clone(&google) as _).build_grant();
    let accounts = google.accounts(&session, None).await.unwrap();
    assert_eq!(accounts[0].addresses, ["ann@example.com"]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_service_account_opens_the_mailbox_it_acts_for() {
    let profile = json!({ "emailAddress": "Ann@example.com" });
    let transport =
        Arc::new(ScriptedTransport::new([Step::get("/gmail/v1/users/me/profile").answers_json(200, &profile)]));
    let google = Arc::new(Google::new(service_account()).unwrap());
    assert!(google.profile().scopes.always.is_empty());
    let session = test_session(Arc::clone(&transport) as _, Arc::clone(&google) as _).build_grant();
    let accounts = google.accounts(&session, None).await.unwrap();
    assert_eq!((accounts[0].id.as_str(), accounts[0].addresses.len()), ("ann@example.com", 1));
    transport.finish();
}
