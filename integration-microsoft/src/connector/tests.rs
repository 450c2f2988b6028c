use std::{collections::BTreeSet, sync::Arc};

use integration_core::{
    ErrorKind,
    connection::{AuthorisationStyle, Capability, ClientAuthentication, Connector, Identity, RemoteAccount},
    error::Actor,
    http::GrantSession,
    testing::{ScriptedTransport, Step, test_session},
};
use serde_json::{Value, json};
use url::Url;

use super::{MAILBOX, Microsoft, PERSONAL};
use crate::{ClientKind, Cloud, ContinuousAccess, MicrosoftConfig, MicrosoftEndpoints, SharedMailboxes, TenantKind};

const TENANT: &str = "8f3c1d7e-0000-4000-8000-000000000001";

fn ann() -> Identity {
    let subject = format!("{TENANT}/oid-1");
    Identity::new(subject, [("tid", TENANT), ("oid", "oid-1"), ("preferred_username", "other@example.com")])
}

fn user(id: &str, mail: &str) -> Value {
    json!({ "id": id, "displayName": "Ann", "mail": mail, "userPrincipalName": "ann@contoso.onmicrosoft.com" })
}

fn refusal(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "m" } })
}

fn session(
    config: MicrosoftConfig,
    steps: impl IntoIterator<Item = Step>,
) -> (Arc<Microsoft>, Arc<ScriptedTransport>, GrantSession) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let microsoft = Arc::new(Microsoft::new(config).unwrap());
    let session = test_session(Arc::clone(&transport) as _, Arc::clone(&microsoft) as _).build_grant();
    (microsoft, transport, session)
}

fn app_only() -> MicrosoftConfig {
    MicrosoftConfig::app_only("c", TENANT).with_client_secret("s")
}

#[test]
fn every_address_is_on_the_tenants_segment_of_its_cloud() {
    let config =
        MicrosoftConfig::web("c", "s").with_cloud(Cloud::UsGovernmentL4).with_tenant(TenantKind::Organizations);
    let microsoft = Microsoft::new(config).unwrap();
    let at = &microsoft.profile().oauth.endpoints;
    let login = "https://login.microsoftonline.us/organizations";
    assert_eq!(at.authorisation.as_str(), format!("{login}/oauth2/v2.0/authorize"));
    assert_eq!(at.token.as_str(), format!("{login}/oauth2/v2.0/token"));
    assert_eq!(at.discovery.as_ref().unwrap().as_str(), format!("{login}/v2.0/.well-known/openid-configuration"));
    assert!(at.revocation.is_none());
    let admin = at.admin_consent.as_ref().unwrap();
    assert_eq!(admin.page(None).unwrap().as_str(), format!("{login}/v2.0/adminconsent"));
    let concrete = "https://login.microsoftonline.us/contoso.com/v2.0/adminconsent";
    assert_eq!(admin.page(Some("contoso.com")).unwrap().as_str(), concrete);
}

#[test]
fn the_issuer_is_the_one_of_the_persons_own_organisation() {
    let issuers = |config: MicrosoftConfig| {
        Microsoft::new(config).unwrap().profile().oauth.endpoints.tenant_issuers.clone().unwrap()
    };
    let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let open = issuers(MicrosoftConfig::desktop("c"));
    assert!(open.knows("https://login.microsoftonline.com/{tenantid}/v2.0"));
    assert!(open.vouches(&of("one"), "one") && !open.vouches(&of("one"), "two"));
    let one = issuers(MicrosoftConfig::desktop("c").with_tenant(TenantKind::Tenant(TENANT.into())));
    assert!(one.vouches(&of(TENANT), TENANT) && !one.vouches(&of("two"), "two"));
    let listed = issuers(MicrosoftConfig::desktop("c").with_allowed_tenant("one"));
    assert!(listed.vouches(&of("one"), "one") && !listed.vouches(&of("two"), "two"));
    let personal = issuers(MicrosoftConfig::desktop("c").with_tenant(TenantKind::Consumers));
    assert!(personal.vouches(&of(PERSONAL), PERSONAL) && !personal.vouches(&of("one"), "one"));
}

#[test]
fn an_account_is_named_by_tenant_and_object_and_people_are_not_asked_to_consent_twice() {
    let microsoft = Microsoft::new(MicrosoftConfig::web("c", "s")).unwrap();
    let oauth = &microsoft.profile().oauth;
    assert_eq!(oauth.subject, ["tid", "oid"]);
    assert_eq!((oauth.consent.len(), oauth.extra.len(), oauth.style), (0, 0, AuthorisationStyle::Standalone));
    assert_eq!(oauth.login_hint.as_deref(), Some("login_hint"));
    assert!(oauth.claims.as_ref().unwrap().contains("cp1"));
    let plain = MicrosoftConfig::web("c", "s").with_continuous_access(ContinuousAccess::Off);
    assert_eq!(Microsoft::new(plain).unwrap().profile().oauth.claims, None);
}

#[test]
fn each_kind_of_client_proves_itself_in_its_own_way() {
    let of = |config| Microsoft::new(config).unwrap().profile().oauth.clone();
    assert!(matches!(of(MicrosoftConfig::desktop("c")).authentication, ClientAuthentication::None));
    assert!(matches!(of(MicrosoftConfig::web("c", "s")).authentication, ClientAuthentication::SecretInBody(_)));
    let alone = of(app_only());
    assert!(alone.acts_alone());
    assert_eq!(alone.app_scope.as_deref(), Some("https://graph.microsoft.com/.default"));
    let china = MicrosoftConfig::app_only("c", "contoso.cn").with_client_secret("s").with_cloud(Cloud::China);
    assert_eq!(of(china).app_scope.as_deref(), Some("https://microsoftgraph.chinacloudapi.cn/.default"));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_once() {
    let error = Microsoft::new(MicrosoftConfig::web("c", "s").with_certificate("no pem", "no pem")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(error.remedy().unwrap().actor, Actor::Operator);
}

#[test]
fn broader_scopes_allow_what_narrower_ones_do_in_either_spelling() {
    use Capability::{Identity, MailModify, MailRead, MailSend};
    let scopes = Microsoft::new(MicrosoftConfig::desktop("c")).unwrap().profile().scopes.clone();
    let allowed =
        |granted: &[&str]| scopes.allowed(&scopes.normalise(granted.iter().copied())).into_iter().collect::<Vec<_>>();
    assert_eq!(allowed(&["openid", "profile", "User.Read", "Mail.Read"]), [Identity, MailRead]);
    assert_eq!(allowed(&["https://graph.microsoft.com/Mail.ReadWrite"]), [MailModify, MailRead]);
    assert_eq!(allowed(&["https://graph.microsoft.com/Mail.Send"]), [], "what is sent is a draft first");
    assert_eq!(allowed(&["Mail.Send", "Mail.ReadWrite"]), [MailModify, MailRead, MailSend]);
    assert_eq!(allowed(&["openid"]), []);
    let asked = scopes.request(&BTreeSet::from([MailRead, MailSend]));
    let expected = ["Mail.Read", "Mail.ReadWrite", "Mail.Send", "User.Read", "offline_access", "openid", "profile"];
    assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let answered = scopes.normalise(["Mail.Read", "Mail.ReadWrite", "Mail.Send", "User.Read"]);
    assert!(scopes.missing(&asked, &answered).is_empty(), "sign-in scopes need not be in the answer");
}

#[test]
fn shared_mailboxes_are_asked_for_on_request_and_not_needed_for_ones_own() {
    use Capability::{Identity, MailRead};
    let config = MicrosoftConfig::desktop("c").with_shared_mailboxes(SharedMailboxes::Included);
    let scopes = Microsoft::new(config).unwrap().profile().scopes.clone();
    let asked = scopes.request(&BTreeSet::from([MailRead]));
    assert!(asked.contains("Mail.Read") && asked.contains("Mail.Read.Shared"));
    let granted = scopes.normalise(["Mail.Read", "User.Read"]);
    assert_eq!(scopes.allowed(&granted).into_iter().collect::<Vec<_>>(), [Identity, MailRead]);
}

#[test]
fn sessions_reach_the_configured_hosts_and_no_other() {
    let origin = Url::parse("http://127.0.0.1:4000").unwrap();
    let below = MicrosoftEndpoints::below(&origin, Cloud::Global).unwrap();
    let microsoft = Microsoft::new(MicrosoftConfig::desktop("c").with_endpoints(below)).unwrap();
    assert!(microsoft.profile().allows(&origin.join("/v1.0/me/messages").unwrap()));
    assert!(!microsoft.profile().allows(&Url::parse("https://graph.microsoft.com/").unwrap()));
    let live = Microsoft::new(MicrosoftConfig::desktop("c")).unwrap();
    assert!(live.profile().allows(&Url::parse("https://graph.microsoft.com/v1.0/me").unwrap()));
    assert!(live.profile().allows(&Url::parse("https://outlook.office.com/api/upload").unwrap()));
    assert!(!live.profile().allows(&Url::parse("https://graph.microsoft.us/v1.0/me").unwrap()));
}

#[test]
fn a_wrong_configuration_is_refused_at_once() {
    let error = Microsoft::new(MicrosoftConfig::new("c", ClientKind::Web)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[test]
fn a_person_is_told_where_to_take_back_what_was_allowed() {
    let page = |config: MicrosoftConfig, tenant: &str| {
        let account = RemoteAccount::new(format!("{tenant}/oid-1"), "Ann");
        Microsoft::new(config).unwrap().removal_page(&account).map(String::from)
    };
    let desktop = || MicrosoftConfig::desktop("c");
    assert_eq!(page(desktop(), TENANT).unwrap(), "https://myapps.microsoft.com/");
    assert_eq!(page(desktop(), PERSONAL).unwrap(), "https://account.live.com/consent/Manage");
    assert_eq!(page(desktop().with_cloud(Cloud::China), TENANT), None);
    assert_eq!(page(app_only(), TENANT), None);
}

#[tokio::test(start_paused = true)]
async fn an_account_is_known_by_the_verified_token_and_by_the_addresses_of_its_mailbox() {
    let (microsoft, transport, session) = session(
        MicrosoftConfig::desktop("c"),
        [
            Step::get("/v1.0/me").answers_json(200, &user("other", "Ann@Example.com")),
            Step::get("/v1.0/me/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
        ],
    );
    let accounts = microsoft.accounts(&session.with_identity(Some(ann())), None).await.unwrap();
    assert_eq!((accounts[0].id.clone(), accounts[0].label.as_str()), (format!("{TENANT}/oid-1"), "Ann@Example.com"));
    assert_eq!(accounts[0].addresses, ["ann@example.com", "ann@contoso.onmicrosoft.com"]);
    assert_eq!((accounts[0].named.as_ref(), accounts[0].details.get(MAILBOX)), (None, None));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_guests_user_name_is_no_address() {
    let guest = json!({ "id": "1", "displayName": "Bob", "userPrincipalName": "bob_example.com#EXT#@contoso.com" });
    let (microsoft, _, session) = session(
        MicrosoftConfig::desktop("c"),
        [
            Step::get("/v1.0/me").answers_json(200, &guest),
            Step::get("/v1.0/me/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
        ],
    );
    let accounts = microsoft.accounts(&session.with_identity(Some(ann())), None).await.unwrap();
    assert_eq!((accounts[0].addresses.len(), accounts[0].label.as_str()), (0, "Bob"));
}

#[tokio::test(start_paused = true)]
async fn an_account_without_a_mailbox_is_explained() {
    let (microsoft, _, session) = session(
        MicrosoftConfig::desktop("c"),
        [
            Step::get("/v1.0/me").answers_json(200, &user("1", "a@example.com")),
            Step::get("/v1.0/me/mailFolders/inbox").answers_json(404, &refusal("MailboxNotEnabledForRESTAPI")),
        ],
    );
    let error = microsoft.accounts(&session.with_identity(Some(ann())), None).await.unwrap_err();
    assert!(error.remedy().unwrap().cause.contains("no mailbox in Exchange Online"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_only_sends_still_has_an_account() {
    let (microsoft, _, session) = session(
        MicrosoftConfig::desktop("c"),
        [
            Step::get("/v1.0/me").answers_json(200, &user("1", "a@example.com")),
            Step::get("/v1.0/me/mailFolders/inbox").answers_json(403, &refusal("ErrorAccessDenied")),
        ],
    );
    assert_eq!(microsoft.accounts(&session.with_identity(Some(ann())), None).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_names_nobody_has_no_account() {
    let (microsoft, _, session) = session(MicrosoftConfig::desktop("c"), []);
    assert_eq!(microsoft.accounts(&session, None).await.unwrap_err().kind(), ErrorKind::Validation);
}

#[tokio::test(start_paused = true)]
async fn a_shared_mailbox_is_proved_and_stands_beside_ones_own() {
    let (microsoft, transport, session) = session(
        MicrosoftConfig::desktop("c"),
        [
            Step::get("/v1.0/me").answers_json(200, &user("1", "a@example.com")),
            Step::get("/v1.0/me/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
            Step::get("/v1.0/users/Sales@example.com").answers_json(403, &refusal("Authorization_RequestDenied")),
            Step::get("/v1.0/users/sales@example.com/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
            Step::get("/v1.0/users/closed@example.com").answers_json(403, &refusal("Authorization_RequestDenied")),
            Step::get("/v1.0/users/closed@example.com/mailFolders/inbox")
                .answers_json(403, &refusal("ErrorAccessDenied")),
        ],
    );
    let session =
        session.with_identity(Some(ann())).with_named(vec!["Sales@example.com".into(), "closed@example.com".into()]);
    let accounts = microsoft.accounts(&session, None).await.unwrap();
    assert_eq!(accounts.len(), 2, "the one that is not shared is left out");
    let shared = &accounts[1];
    assert_eq!(
        (shared.id.clone(), shared.named.as_deref()),
        (format!("{TENANT}/sales@example.com"), Some("Sales@example.com"))
    );
    assert!(shared.known_as.is_empty());
    assert_eq!(
        (shared.details[MAILBOX].as_str(), shared.addresses[0].as_str()),
        ("sales@example.com", "sales@example.com")
    );
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_app_of_its_own_opens_the_mailboxes_that_are_named() {
    let (microsoft, transport, session) = session(
        app_only(),
        [
            Step::get("/v1.0/users/ann@example.com").answers_json(200, &user("oid-1", "ann@example.com")),
            Step::get("/v1.0/users/oid-1/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
            Step::get("/v1.0/users/oid-2").answers_json(200, &user("oid-2", "bob@example.com")),
            Step::get("/v1.0/users/oid-2/mailFolders/inbox").answers_json(200, &json!({ "id": "i" })),
        ],
    );
    let session = session.with_named(vec!["ann@example.com".into(), "oid-2".into()]);
    let accounts = microsoft.accounts(&session, None).await.unwrap();
    let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, [format!("{TENANT}/oid-1"), format!("{TENANT}/oid-2")]);
    assert_eq!(accounts[0].details[MAILBOX], "oid-1");
    assert_eq!(
        accounts[0].known_as,
        [format!("{TENANT}/ann@example.com")],
        "as it is without the right to read people"
    );
    assert!(accounts[1].known_as.is_empty());
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_app_of_its_own_without_a_name_is_the_operators_business() {
    let (microsoft, _, session) = session(app_only(), []);
    let error = microsoft.accounts(&session, None).await.unwrap_err();
    assert_eq!((error.kind(), error.remedy().unwrap().actor), (ErrorKind::InvalidInput, Actor::Operator));
}
