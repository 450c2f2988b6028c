//! Organisations in which an administrator has to allow the app first.

use integration_core::oauth::{AdminConsent, AdminConsentAsk, AdminConsentState};
use integration_testing::microsoft::{Blocked, ConsentPolicy, EntraApp, Tenant};

use super::*;

pub(super) const BOSS: &str = "boss@example.com";

/// An organisation as new ones are, with an administrator.
pub(super) fn managed(blocked: Blocked) -> World {
    let world = World::desktop();
    let microsoft = world.sandbox.microsoft();
    microsoft.register_tenant(Tenant::new("example.com").with_policy(ConsentPolicy::MicrosoftManaged));
    microsoft.register_admin(BOSS, "Boss");
    microsoft.change_settings(|settings| settings.blocked = blocked);
    world
}

impl World {
    /// The one record.
    pub(super) async fn record(&self) -> AdminConsent {
        let mut records = self.hub.admin_consents(&self.tenant).await.unwrap();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    /// An administrator opens the address in a browser of their own and decides.
    async fn decided(&self, url: &Url, consent: Consent<'_>) -> Completion {
        let back = self.sandbox.consent(url, consent).unwrap();
        self.returns(&back, &BrowserBinding::from_cookie("of nobody here")).await
    }

    /// Nothing came of an administrator's answer but words.
    async fn authorised_nothing(&self, completion: &Completion) {
        assert_eq!((&completion.tenant, &completion.context), (&None, &None), "a stranger's browser learns nothing");
        assert!(self.hub.connections(&self.tenant).await.unwrap().is_empty());
        assert!(self.watched.asked.lock().unwrap().is_empty(), "no code was redeemed");
    }
}

pub(super) fn awaiting(outcome: &ConnectOutcome) -> (&Url, &Remedy) {
    match outcome {
        ConnectOutcome::AwaitingAdminConsent { url, remedy, .. } => (url, remedy),
        other => panic!("not waiting: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_may_not_consent_waits_for_the_administrator_and_then_connects() {
    for blocked in [Blocked::AccessDenied, Blocked::ConsentRequired, Blocked::Requested] {
        let world = managed(blocked);
        let outcome = world.signs_in(ask().with_context("settings"), Consent::As(ADA)).await;
        let (url, remedy) = awaiting(&outcome);
        assert_eq!((url.path(), remedy.actor), ("/organizations/v2.0/adminconsent", Actor::Administrator));
        let record = world.record().await;
        assert_eq!((&record.url, record.state), (url, AdminConsentState::Awaiting));
        assert!(record.expires_at > world.sandbox.now() + DAY * 90, "months");

        tokio::time::advance(DAY * 12).await;
        let completion = world.decided(url, Consent::As(BOSS)).await;
        assert_eq!(completion.outcome, ConnectOutcome::AdminAllowed);
        world.authorised_nothing(&completion).await;
        assert_eq!(world.record().await.state, AdminConsentState::Allowed);

        let connection = world.connects().await;
        assert_eq!(world.record().await.state, AdminConsentState::Proved);
        world.works(&connection).await;
        world.sandbox.assert_conforms();
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_who_declines_may_think_again() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    let (url, _) = awaiting(&outcome);
    let completion = world.decided(url, Consent::Refuse).await;
    assert_eq!(completion.outcome, ConnectOutcome::AdminDeclined);
    world.authorised_nothing(&completion).await;
    assert_eq!(world.record().await.state, AdminConsentState::Declined);

    // The person tries all the same, and is given the same address.
    let tried = world.signs_in(ask(), Consent::As(ADA)).await;
    assert_eq!((awaiting(&tried).0, world.record().await.state), (url, AdminConsentState::Awaiting));
    tokio::time::advance(DAY * 40).await;
    assert_eq!(world.decided(url, Consent::As(BOSS)).await.outcome, ConnectOutcome::AdminAllowed);
    world.connects().await;
    assert_eq!(world.record().await.state, AdminConsentState::Proved);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn where_the_page_never_comes_back_the_host_can_ask_by_itself() {
    let mut world = managed(Blocked::NeverReturns);
    let begun = world.begins(ask()).await;
    let page = world.sandbox.consent(&begun.url, Consent::As(ADA)).unwrap_err();
    assert_eq!(page.error, "need_admin_approval");
    assert!(world.hub.admin_consents(&world.tenant).await.unwrap().is_empty(), "nobody told us");

    let ask_for = AdminConsentAsk::new(MAIL, BACK).with_organisation("example.com");
    let app = AppId::new("microsoft");
    let record = world.hub.request_admin_consent(&world.tenant, &app, &ask_for).await.unwrap();
    assert_eq!((record.url.path(), record.remedy.actor), ("/example.com/v2.0/adminconsent", Actor::Administrator));
    tokio::time::advance(DAY * 3).await;
    world.restart(MicrosoftConfig::desktop(DEFAULT_APP));
    let completion = world.decided(&record.url, Consent::As(BOSS)).await;
    assert_eq!(completion.outcome, ConnectOutcome::AdminAllowed);
    world.authorised_nothing(&completion).await;
    let connection = world.connects().await;
    assert_eq!(world.record().await.state, AdminConsentState::Proved);
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn who_says_that_it_was_allowed_proves_nothing() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    let (url, _) = awaiting(&outcome);
    let state = parameter(url, "state").unwrap();
    let mut forged = Url::parse(BACK).unwrap();
    let pairs = [("admin_consent", "True"), ("tenant", "anybody"), ("state", &state), ("code", "stolen")];
    forged.query_pairs_mut().extend_pairs(pairs);
    let completion = world.returns(&forged, &BrowserBinding::from_cookie("of nobody here")).await;
    assert_eq!(completion.outcome, ConnectOutcome::AdminAllowed, "anybody can say so");
    world.authorised_nothing(&completion).await;
    // The person's own sign-in shows how it is.
    let tried = world.signs_in(ask(), Consent::As(ADA)).await;
    assert_eq!((awaiting(&tried).0, world.record().await.state), (url, AdminConsentState::Awaiting));
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_an_administrator_takes_back_stops_the_connection_until_it_is_given_again() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    let (url, _) = awaiting(&outcome);
    world.decided(url, Consent::As(BOSS)).await;
    let connection = world.connects().await;
    world.works(&connection).await;

    world.sandbox.microsoft().withdraw_admin_consent("example.com", DEFAULT_APP);
    tokio::time::advance(NEXT_DAY).await;
    let (kind, _, again_in) = world.fails(&connection).await;
    assert_eq!((kind, again_in), (ErrorKind::NeedsConsent, None));
    assert_eq!(world.status(&connection).await.0, ConnectionStatus::NeedsAttention);
    let tried = world.reconnects(&connection).await;
    assert_eq!(awaiting(&tried).1.actor, Actor::Administrator);
    assert_eq!(world.record().await.state, AdminConsentState::Awaiting);
    world.decided(awaiting(&tried).0, Consent::As(BOSS)).await;
    assert_eq!(granted(world.reconnects(&connection).await)[0].id, connection.id);
    world.works(&connection).await;
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_person_signs_in_again_without_the_administrator_once_the_app_is_allowed() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    world.decided(awaiting(&outcome).0, Consent::As(BOSS)).await;
    let connection = world.connects().await;
    tokio::time::advance(DAY).await;
    world.sandbox.microsoft().revoke_sessions(ADA);
    tokio::time::advance(DAY).await;
    world.fails(&connection).await;
    // A forced page would ask the person for what only an administrator may allow.
    let begun = world.begins(again(&connection)).await;
    assert_eq!(parameter(&begun.url, "prompt"), None);
    let back = world.sandbox.consent(&begun.url, Consent::As(ADA)).unwrap();
    assert_eq!(granted(world.returns(&back, &begun.binding).await.outcome)[0].id, connection.id);
    world.works(&connection).await;
    assert_eq!(world.record().await.state, AdminConsentState::Proved);
    world.sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_app_is_no_answer_of_an_administrator() {
    let world = managed(Blocked::AccessDenied);
    let outcome = world.signs_in(ask(), Consent::As(ADA)).await;
    let (url, _) = awaiting(&outcome);
    let mut back = Url::parse(BACK).unwrap();
    let state = parameter(url, "state").unwrap();
    let text = "AADSTS650052: The app needs access to a service that the organisation has not subscribed to.";
    let pairs =
        [("admin_consent", "True"), ("error", "invalid_client"), ("error_description", text), ("state", &state)];
    back.query_pairs_mut().extend_pairs(pairs);
    let completion = world.returns(&back, &BrowserBinding::from_cookie("of nobody here")).await;
    match &completion.outcome {
        ConnectOutcome::ServiceError { remedy, .. } => assert_eq!(remedy.actor, Actor::Operator),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.record().await.state, AdminConsentState::Awaiting);
    world.sandbox.microsoft().register_app(EntraApp::desktop(DEFAULT_APP).with_redirect(BACK));
    assert_eq!(world.decided(url, Consent::As(BOSS)).await.outcome, ConnectOutcome::AdminAllowed);
    world.sandbox.assert_conforms();
}
