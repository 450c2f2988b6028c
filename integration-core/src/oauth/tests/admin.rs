use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::advance;

use super::{
    identity::{PERSONAL, of, per_organisation_with, sign_in},
    service::{Answer, Signer},
    world::{ASK_AN_ADMINISTRATOR, REDIRECT, World, ask, parameters, query, settings, with_oidc},
};
use crate::{
    ErrorKind,
    connection::{AdminConsentEndpoint, Capability, OAuthSettings, RemoteAccount},
    error::Actor,
    ids::{ConnectionId, TenantId},
    oauth::{AdminConsent, AdminConsentAsk, AdminConsentState, Callback, Completion, ConnectOutcome, MismatchReason},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn asking_administrators(mut oauth: OAuthSettings) -> OAuthSettings {
    oauth.endpoints.admin_consent = Some(AdminConsentEndpoint::new("https://id.example/{tenant}/admin", "any"));
    oauth
}

fn world() -> World {
    World::with(asking_administrators(settings()))
}

/// Of a service whose id tokens name the organisation.
fn of_organisations() -> (World, Signer) {
    let signer = Signer::new("k1");
    let world = per_organisation_with(asking_administrators(with_oidc(settings())), &signer, &[]);
    (world, signer)
}

/// Somebody connects an account of their own in an organisation.
async fn connects(world: &World, signer: &Signer, organisation: &str) -> ConnectionId {
    *world.accounts.lock().unwrap() = vec![RemoteAccount::new(organisation, organisation)];
    match sign_in(world, signer, of(organisation)).await {
        ConnectOutcome::Granted { connections, .. } => connections[0].id.clone(),
        other => panic!("{other:?}"),
    }
}

/// The service sends the person back: an administrator has to allow the app first.
async fn blocked(world: &World) -> ConnectOutcome {
    let authorisation = world.authorise(&ask()).await;
    let state = parameters(&authorisation.url)["state"].clone();
    let refusal =
        [("state", state.as_str()), ("error", "access_denied"), ("error_description", "E77: ask an administrator")];
    world.complete(&Callback::new(query(&refusal), Some(authorisation.binding))).await.outcome
}

async fn only_record(world: &World) -> AdminConsent {
    let mut records = world.sign_in.admin_consents(&world.tenant).await.unwrap();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// The administrator comes back, in a browser that nobody knows.
async fn answered(world: &World, record: &AdminConsent, further: &[(&str, &str)]) -> Completion {
    let state = parameters(&record.url)["state"].clone();
    let pairs: Vec<(&str, &str)> = further.iter().copied().chain([("state", state.as_str())]).collect();
    world.complete(&Callback::new(query(&pairs), None)).await
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_needs_an_administrator_waits_with_an_address_to_hand_on() {
    let world = world();
    let outcome = blocked(&world).await;
    let ConnectOutcome::AwaitingAdminConsent { url, remedy, expires_at } = outcome else { panic!("{outcome:?}") };
    assert_eq!((url.path(), remedy.actor), ("/any/admin", Actor::Administrator));
    let sent = parameters(&url);
    assert_eq!((sent["client_id"].as_str(), sent["redirect_uri"].as_str()), ("app-1", REDIRECT));
    assert_eq!((sent["scope"].as_str(), sent["state"].len()), ("mail.read profile", 43));
    let record = only_record(&world).await;
    assert_eq!((record.state, &record.url, record.expires_at), (AdminConsentState::Awaiting, &url, expires_at));
    assert_eq!(expires_at - world.now(), chrono::TimeDelta::days(180));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_refused_for_lack_of_it_leads_to_the_same_record() {
    let world = world();
    blocked(&world).await;
    let refusal = json!({ "error": "invalid_grant", "error_codes": [ASK_AN_ADMINISTRATOR] });
    world.service.with(|state| state.script.push_back(Answer::Json(400, refusal)));
    let outcome = world.outcome(&ask()).await;
    let ConnectOutcome::AwaitingAdminConsent { url, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(only_record(&world).await.url, url);
}

#[tokio::test(start_paused = true)]
async fn an_administrators_answer_weeks_later_marks_the_record_and_authorises_nothing() {
    let world = world();
    blocked(&world).await;
    advance(30 * DAY).await;
    world.sign_in.forget_old_authorisations().await.unwrap();
    let record = only_record(&world).await;
    let completion = answered(&world, &record, &[("admin_consent", "True"), ("tenant", "contoso-1")]).await;
    assert_eq!(completion.outcome, ConnectOutcome::AdminAllowed);
    assert_eq!((completion.tenant, completion.app.unwrap().as_str()), (None, "app"));
    let record = only_record(&world).await;
    assert_eq!((record.state, record.claimed.as_deref()), (AdminConsentState::Allowed, Some("contoso-1")));
    assert!(world.store.tokens.lock().unwrap().is_empty());
    assert!(world.sign_in.connections().list_connections(&world.tenant).await.unwrap().is_empty());
    assert_eq!(world.service.with(|state| state.tokens.len()), 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_persons_own_sign_in_proves_it_and_then_nobody_can_unsay_it() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    answered(&world, &record, &[]).await;
    world.connected().await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Proved);
    let again = answered(&world, &record, &[("error", "access_denied")]).await;
    assert_eq!(again.outcome, ConnectOutcome::AdminDeclined);
    assert_eq!(only_record(&world).await.state, AdminConsentState::Proved);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_the_service_does_not_confirm_falls_back_to_waiting_at_the_same_address() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    answered(&world, &record, &[]).await;
    let ConnectOutcome::AwaitingAdminConsent { url, .. } = blocked(&world).await else { panic!() };
    assert_eq!(url, record.url);
    assert_eq!(only_record(&world).await.state, AdminConsentState::Awaiting);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_may_decline_and_think_again() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    let declined = answered(&world, &record, &[("error", "access_denied"), ("error_description", "no")]).await;
    assert_eq!(declined.outcome, ConnectOutcome::AdminDeclined);
    assert_eq!(only_record(&world).await.state, AdminConsentState::Declined);
    answered(&world, &record, &[]).await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Allowed);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_app_is_no_answer() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    let failed = answered(&world, &record, &[("error", "invalid_scope<script>")]).await;
    let ConnectOutcome::ServiceError { error, .. } = failed.outcome else { panic!("{:?}", failed.outcome) };
    assert_eq!(error, "invalid_scopescript");
    assert_eq!(only_record(&world).await.state, AdminConsentState::Awaiting);
}

#[tokio::test(start_paused = true)]
async fn an_address_ends_after_half_a_year_and_a_made_up_one_is_nobodys() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    advance(180 * DAY).await;
    assert_eq!(answered(&world, &record, &[]).await.outcome, ConnectOutcome::Expired);
    assert_eq!(only_record(&world).await.state, AdminConsentState::Awaiting);
    let made_up = world.complete(&Callback::new(query(&[("state", "made-up"), ("admin_consent", "True")]), None)).await;
    assert_eq!(made_up.outcome, ConnectOutcome::Mismatched { reason: MismatchReason::State });
    assert_eq!(made_up.app, None);
    let ConnectOutcome::AwaitingAdminConsent { url, .. } = blocked(&world).await else { panic!() };
    assert_ne!(url, record.url, "a fresh one is made when it is needed again");
}

#[tokio::test(start_paused = true)]
async fn a_host_asks_in_time_and_gets_the_same_address_until_more_is_wanted() {
    let world = world();
    let request = |capabilities: &[Capability]| {
        let ask = AdminConsentAsk::new(capabilities.iter().copied(), REDIRECT).with_organisation("contoso.example");
        let (sign_in, tenant, connector) = (world.sign_in.clone(), world.tenant.clone(), Arc::clone(&world.connector));
        async move { sign_in.request_admin_consent(&tenant, &connector, &ask).await.unwrap() }
    };
    let first = request(&[Capability::MailRead]).await;
    assert_eq!(first.url.path(), "/contoso.example/admin");
    assert_eq!(request(&[Capability::MailRead]).await, first);
    let more = request(&[Capability::MailSend]).await;
    assert_eq!(parameters(&more.url)["scope"], "mail.read mail.send profile");
    answered(&world, &first, &[]).await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Allowed, "the older address still counts");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_organisation_or_no_redirect_is_refused() {
    let world = world();
    for (organisation, redirect) in [("a/b", REDIRECT), ("..", REDIRECT), ("contoso", "http://app.example/callback")] {
        let ask = AdminConsentAsk::new([Capability::MailRead], redirect).with_organisation(organisation);
        let refused = world.sign_in.request_admin_consent(&world.tenant, &world.connector, &ask).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{organisation} {redirect}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_without_such_a_page_says_who_acts() {
    let world = World::new();
    let outcome = blocked(&world).await;
    let ConnectOutcome::ServiceError { remedy, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(remedy.actor, Actor::Administrator);
    let ask = AdminConsentAsk::new([Capability::MailRead], REDIRECT);
    let refused = world.sign_in.request_admin_consent(&world.tenant, &world.connector, &ask).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_tenants_addresses_go_with_it_and_no_other_tenant_sees_its_records() {
    let world = world();
    blocked(&world).await;
    let record = only_record(&world).await;
    assert!(world.sign_in.admin_consents(&TenantId::new("other")).await.unwrap().is_empty());
    assert_eq!(world.sign_in.erase_authorisations(&world.tenant).await.unwrap(), 2);
    let gone = answered(&world, &record, &[]).await;
    assert_eq!(gone.outcome, ConnectOutcome::Mismatched { reason: MismatchReason::State });
}

#[tokio::test(start_paused = true)]
async fn only_a_sign_in_of_the_organisation_that_answered_proves_it() {
    let (world, signer) = of_organisations();
    blocked(&world).await;
    let record = only_record(&world).await;
    answered(&world, &record, &[("tenant", "contoso")]).await;
    connects(&world, &signer, "fabrikam").await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Allowed, "another organisation's");
    connects(&world, &signer, "CONTOSO").await;
    let record = only_record(&world).await;
    assert_eq!((record.state, record.bound.as_deref()), (AdminConsentState::Proved, Some("CONTOSO")));
}

#[tokio::test(start_paused = true)]
async fn the_sign_in_of_another_tenant_proves_nothing_here() {
    let (mut world, signer) = of_organisations();
    blocked(&world).await;
    let record = only_record(&world).await;
    answered(&world, &record, &[("tenant", "contoso")]).await;
    let ours = std::mem::replace(&mut world.tenant, TenantId::new("other"));
    connects(&world, &signer, "contoso").await;
    connects(&world, &signer, "fabrikam").await;
    world.tenant = ours;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Allowed);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_said_which_organisation_is_awaited_no_sign_in_proves_it() {
    let (world, signer) = of_organisations();
    blocked(&world).await;
    for organisation in ["fabrikam", "contoso", PERSONAL] {
        connects(&world, &signer, organisation).await;
        let record = only_record(&world).await;
        assert_eq!((record.state, record.bound), (AdminConsentState::Awaiting, None), "{organisation}");
    }
    let record = only_record(&world).await;
    answered(&world, &record, &[("tenant", "contoso")]).await;
    connects(&world, &signer, "contoso").await;
    let record = only_record(&world).await;
    assert_eq!((record.state, record.bound.as_deref()), (AdminConsentState::Proved, Some("contoso")));
    // The next who is refused is of a third one, or of one that took it back.
    advance(DAY).await;
    blocked(&world).await;
    for organisation in ["contoso", "fabrikam"] {
        connects(&world, &signer, organisation).await;
    }
    let record = only_record(&world).await;
    assert_eq!((record.state, record.bound), (AdminConsentState::Awaiting, None));
}

#[tokio::test(start_paused = true)]
async fn people_of_no_organisation_prove_nothing_whatever_an_answer_claims() {
    let (world, signer) = of_organisations();
    blocked(&world).await;
    let record = only_record(&world).await;
    answered(&world, &record, &[("tenant", PERSONAL)]).await;
    connects(&world, &signer, PERSONAL).await;
    let record = only_record(&world).await;
    assert_eq!((record.state, record.bound), (AdminConsentState::Allowed, None));
}

#[tokio::test(start_paused = true)]
async fn where_people_of_one_organisation_alone_may_sign_in_it_is_known_whose_is_awaited() {
    let signer = Signer::new("k1");
    let world = per_organisation_with(asking_administrators(with_oidc(settings())), &signer, &["contoso"]);
    blocked(&world).await;
    // An administrator allowed it in the organisation's own portal.
    connects(&world, &signer, "contoso").await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Proved);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_reauthorised_says_whose_administrator_is_awaited() {
    let (world, signer) = of_organisations();
    let connection = connects(&world, &signer, "contoso").await;
    advance(DAY).await;
    let authorisation = world.authorise(&ask().with_reconnect(connection)).await;
    let state = parameters(&authorisation.url)["state"].clone();
    let refusal =
        [("state", state.as_str()), ("error", "access_denied"), ("error_description", "E77: ask an administrator")];
    world.complete(&Callback::new(query(&refusal), Some(authorisation.binding))).await;
    let record = only_record(&world).await;
    assert_eq!(record.bound.as_deref(), Some("contoso"));
    // Whatever an answer says.
    answered(&world, &record, &[("tenant", "fabrikam")]).await;
    connects(&world, &signer, "fabrikam").await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Allowed);
    connects(&world, &signer, "contoso").await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Proved);
}

#[tokio::test(start_paused = true)]
async fn a_named_organisation_is_proved_by_its_own_people_alone() {
    let (world, signer) = of_organisations();
    let ask = AdminConsentAsk::new([Capability::MailRead], REDIRECT).with_organisation("contoso");
    let record = world.sign_in.request_admin_consent(&world.tenant, &world.connector, &ask).await.unwrap();
    connects(&world, &signer, "fabrikam").await;
    assert_eq!(only_record(&world).await, record);
    connects(&world, &signer, "contoso").await;
    assert_eq!(only_record(&world).await.state, AdminConsentState::Proved);
}
