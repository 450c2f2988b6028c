//! Subscriptions of a connected mailbox, while workers race.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::sync::Notify;
use url::Url;

use super::SUBSCRIPTIONS;
use crate::{
    clock::{Clock, SystemClock},
    connection::{
        Capability, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, RemoteAccount,
        ScopeRule, ScopeTable,
    },
    error::{Error, ErrorKind, Result},
    http::{Failure, GrantSession, HttpFailure, QuotaTable, Session},
    hub::Hub,
    ids::{AppId, ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome, Forget},
    push::{Hint, PushCapabilities, PushSource, PushTarget, PushTransport, Subscribe, Subscription},
    store::{LeaseKey, LeaseStore, MemoryStore, StateQuery, Stores, SyncStore},
    sync::{Job, JobKey, Scheduler},
    testing::{PlainConnector, ScriptedTransport, Step},
    vault::KeyRing,
};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Default)]
struct State {
    there: Vec<String>,
    made: usize,
    /// Renewals wait until somebody says that they may go on.
    slow: bool,
    unreachable: bool,
}

/// The subscriptions of one mailbox at its service.
#[derive(Debug)]
struct Source {
    state: Mutex<State>,
    clock: SystemClock,
    asked: Notify,
    go_on: Notify,
    capabilities: PushCapabilities,
}

impl Source {
    fn new() -> Self {
        Self {
            state: Mutex::default(),
            clock: SystemClock::new(),
            asked: Notify::new(),
            go_on: Notify::new(),
            capabilities: PushCapabilities::new(PushTransport::Topic, WEEK, WEEK / 2),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn there(&self) -> Vec<String> {
        self.state().there.clone()
    }

    fn answer(&self, id: &str) -> Subscription {
        Subscription::new(id, "all", self.clock.now() + TimeDelta::from_std(WEEK).unwrap())
    }

    async fn answers_slowly(&self) {
        if self.state().slow {
            self.asked.notify_one();
            self.go_on.notified().await;
        }
    }
}

#[async_trait]
impl PushSource for Source {
    fn capabilities(&self) -> &PushCapabilities {
        &self.capabilities
    }

    async fn subscribe(&self, _: &Subscribe) -> Result<Subscription> {
        self.answers_slowly().await;
        let id = {
            let mut state = self.state();
            state.made += 1;
            let id = format!("s{}", state.made);
            state.there.push(id.clone());
            id
        };
        Ok(self.answer(&id))
    }

    async fn renew(&self, subscription: &Subscription, _: &Subscribe) -> Result<Subscription> {
        self.answers_slowly().await;
        if self.there().contains(&subscription.id) {
            return Ok(self.answer(&subscription.id));
        }
        Err(Error::new(ErrorKind::NotFound, "there is no such subscription"))
    }

    async fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        let mut state = self.state();
        if state.unreachable {
            return Err(Error::new(ErrorKind::Unavailable, "nobody answers"));
        }
        state.there.retain(|id| *id != subscription.id);
        Ok(())
    }

    fn hint(&self, _: &str) -> Option<Hint> {
        None
    }
}

#[derive(Debug)]
struct Pushing {
    plain: PlainConnector,
    source: Arc<Source>,
}

#[async_trait]
impl Connector for Pushing {
    fn profile(&self) -> &ConnectorProfile {
        self.plain.profile()
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        self.plain.classify(failure)
    }

    async fn accounts(&self, session: &GrantSession, query: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        self.plain.accounts(session, query).await
    }

    fn push(&self, _: Session) -> Result<Arc<dyn PushSource>> {
        Ok(Arc::clone(&self.source) as Arc<dyn PushSource>)
    }
}

/// Notes what is scheduled, and fails where it is told to.
#[derive(Debug, Default)]
struct Noting {
    broken: Mutex<bool>,
}

#[async_trait]
impl Scheduler for Noting {
    async fn schedule(&self, _: &Job, _: Duration) -> Result<()> {
        if *self.broken.lock().unwrap() {
            return Err(Error::new(ErrorKind::Store, "the queue is gone"));
        }
        Ok(())
    }

    async fn cancel(&self, _: &JobKey) -> Result<()> {
        Ok(())
    }
}

struct World {
    hub: Hub,
    store: Arc<MemoryStore>,
    source: Arc<Source>,
    scheduler: Arc<Noting>,
    tenant: TenantId,
    id: ConnectionId,
}

impl World {
    async fn new() -> Self {
        let (store, source) = (Arc::new(MemoryStore::new()), Arc::new(Source::new()));
        let base = Url::parse("https://id.example/").unwrap();
        let endpoints = OAuthEndpoints::new(base.join("authorise").unwrap(), base.join("token").unwrap());
        let oauth = OAuthSettings::new(endpoints, "client", ClientAuthentication::None);
        let scopes = ScopeTable::new(vec![ScopeRule::new(Capability::MailRead, &["mail.read"], &[])]);
        let profile = ConnectorProfile::new(AppId::new("app"), "plain", oauth, scopes, QuotaTable::unlimited("none"));
        let plain = PlainConnector::new(&base).with_profile(profile);
        let tokens = r#"{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":999999999}"#;
        let transport = ScriptedTransport::new([Step::post("/token").answers(200, tokens)]);
        let scheduler = Arc::new(Noting::default());
        let hub = Hub::builder(Stores::from_one(Arc::clone(&store)), Arc::new(KeyRing::generate()))
            .with_connector(Pushing { plain, source: Arc::clone(&source) })
            .with_transport(Arc::new(transport))
            .with_scheduler(Arc::clone(&scheduler) as Arc<dyn Scheduler>)
            .build()
            .unwrap();
        let tenant = TenantId::new("t");
        let id = connect(&hub, &tenant).await;
        Self { hub, store, source, scheduler, tenant, id }
    }

    async fn subscribe(&self) -> Subscription {
        let target = PushTarget::Topic("topic".to_owned());
        self.hub.subscribe(&self.tenant, &self.id, &target).await.unwrap()
    }

    /// Renews in a task of its own, and returns once the service was asked.
    async fn renewing(&self) -> tokio::task::JoinHandle<Result<Option<Subscription>>> {
        tokio::time::advance(WEEK - Duration::from_secs(3600)).await;
        self.source.state().slow = true;
        let (hub, tenant, id) = (self.hub.clone(), self.tenant.clone(), self.id.clone());
        let renewing = tokio::spawn(async move { hub.renew_subscription(&tenant, &id).await });
        self.source.asked.notified().await;
        renewing
    }

    async fn rows(&self) -> usize {
        let (tenant, prefix) = (self.tenant.clone(), String::new());
        let query = StateQuery::Range { tenant, space: SUBSCRIPTIONS, prefix, after: None, limit: 10 };
        self.store.read(&query).await.unwrap().len()
    }
}

async fn connect(hub: &Hub, tenant: &TenantId) -> ConnectionId {
    let ask = Authorise::new([Capability::MailRead], "https://crm.example/callback");
    let begun = hub.authorise(tenant, &AppId::new("app"), ask).await.unwrap();
    let state = begun.url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let back = CallbackQuery::parse(&format!("state={state}&code=c")).unwrap();
    match hub.complete(&back, &begun.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.remove(0).id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnection_waits_for_a_renewal_and_ends_what_it_brought() {
    let world = World::new().await;
    world.subscribe().await;
    // The service lost it, so that the renewal makes another one.
    world.source.state().there.clear();
    let renewing = world.renewing().await;
    let disconnecting = world.hub.disconnect(&world.tenant, &world.id, Forget::SecretsOnly);
    let go_on = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.source.go_on.notify_one();
        }
    };
    let (disconnected, ()) = tokio::join!(disconnecting, go_on);
    assert!(renewing.await.unwrap().unwrap().is_some(), "it came to its end first");
    assert_eq!((disconnected.unwrap().left_subscription, world.source.there(), world.rows().await), (None, vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_outlasts_the_disconnection_writes_nothing_back_and_ends_what_it_got() {
    let world = World::new().await;
    let first = world.subscribe().await;
    world.source.state().there.clear();
    let renewing = world.renewing().await;
    let disconnected = world.hub.disconnect(&world.tenant, &world.id, Forget::SecretsOnly).await.unwrap();
    assert_eq!(disconnected.left_subscription.map(|left| left.id), Some(first.id), "told, since nobody knows");
    assert_eq!(world.rows().await, 0);
    for _ in 0..2 {
        world.source.go_on.notify_one();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(renewing.await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!((world.source.there(), world.rows().await), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_died_keeps_a_disconnection_for_no_longer_than_its_lease() {
    let world = World::new().await;
    world.subscribe().await;
    let lease = LeaseKey::new(["push", world.tenant.as_str(), world.id.as_str()]);
    world.store.acquire(&lease, Duration::from_secs(29)).await.unwrap().unwrap();
    let disconnected = world.hub.disconnect(&world.tenant, &world.id, Forget::SecretsOnly).await.unwrap();
    assert_eq!((disconnected.left_subscription, world.source.there(), world.rows().await), (None, vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_service_out_of_reach_still_has_is_told() {
    let world = World::new().await;
    let subscription = world.subscribe().await;
    world.source.state().unreachable = true;
    let disconnected = world.hub.disconnect(&world.tenant, &world.id, Forget::Everything).await.unwrap();
    assert_eq!((disconnected.left_subscription, world.rows().await), (Some(subscription), 0));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_made_anew_is_kept_also_where_its_sync_cannot_be_queued() {
    let world = World::new().await;
    world.subscribe().await;
    world.source.state().there.clear();
    tokio::time::advance(WEEK).await;
    *world.scheduler.broken.lock().unwrap() = true;
    let failed = world.hub.renew_subscription(&world.tenant, &world.id).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Store);
    let kept = world.hub.subscription(&world.tenant, &world.id).await.unwrap();
    assert_eq!(kept.map(|kept| kept.id), Some("s2".to_owned()));
    world.hub.renew_subscription(&world.tenant, &world.id).await.unwrap();
    assert_eq!(world.source.there(), ["s2"], "no third one");
}
