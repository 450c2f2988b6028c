//! Processes whose clocks are an hour apart agree on what is due: the store's clock decides.
//!
//! SQLite's is the clock of its machine, read anew each time; a process that read it wrongly when it started is as wrong as
//! one on another machine.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    Error, ErrorKind, Result,
    clock::{Clock, SystemClock},
    connection::Capability,
    email::{Address, Outgoing},
    hub::{Hub, Signal, SignalKind, SignalListener, SignalState},
    ids::{ConnectionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    outbox::{IntentKey, IntentOptions, IntentState, enqueue},
    store::Stores,
    sync::{Job, JobOutcome, Shutdown},
    vault::KeyRing,
};
use integration_testing::{Consent, ORIGIN, Sandbox};

use crate::{
    place::Places,
    service::{self, Service},
    worker::{KEY, tenant},
    world::OWNER,
};

/// Right in its pace, wrong by a constant.
#[derive(Debug)]
struct Wrong(SystemClock, TimeDelta);

#[async_trait]
impl Clock for Wrong {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// Refuses the first time it is called.
#[derive(Debug, Default)]
struct Reluctant(Mutex<usize>);

#[async_trait]
impl SignalListener for Reluctant {
    fn name(&self) -> &'static str {
        "reluctant"
    }

    fn wants(&self, _: &str) -> bool {
        true
    }

    async fn on_signal(&self, _: &TenantId, _: &Signal) -> Result<()> {
        let mut calls = self.0.lock().unwrap();
        *calls += 1;
        if *calls == 1 { Err(Error::new(ErrorKind::Unavailable, "not now")) } else { Ok(()) }
    }
}

struct Apart {
    sandbox: Sandbox,
    stores: Stores,
    connection: ConnectionId,
    listener: Arc<Reluctant>,
    ahead: Hub,
    behind: Hub,
}

impl Apart {
    async fn on(places: &Places) -> Self {
        let sandbox = Sandbox::google().build();
        sandbox.register_person(OWNER, "Ada");
        let (stores, listener) = (places.fresh("skewed").await.stores().await, Arc::new(Reluctant::default()));
        let hub = |hours| {
            let hub = Hub::builder(stores.clone(), Arc::new(KeyRing::from_base64(KEY).unwrap()));
            service::join(hub, ORIGIN, Default::default())
                .with_transport(sandbox.transport())
                .with_clock(Arc::new(Wrong(SystemClock::new(), TimeDelta::hours(hours))))
                .with_signal_listener(Arc::clone(&listener) as Arc<dyn SignalListener>)
                .build()
                .unwrap()
        };
        let (ahead, behind) = (hub(1), hub(-1));
        let connection = connect((&ahead, &behind), &sandbox).await;
        Self { sandbox, stores, connection, listener, ahead, behind }
    }

    async fn enqueue(&self, hub: &Hub, key: &str, options: IntentOptions) {
        let mut mail = Outgoing::default();
        (mail.to, mail.subject) = (vec![Address::new("bo@acme.example")], key.to_owned());
        mail.text = Some("As promised.".to_owned());
        let options = options.with_key(IntentKey::new(key));
        let prepared = hub.prepare_send(&tenant(), &self.connection, &mail, options).await.unwrap();
        let mut tx = self.stores.sync.begin(None).await.unwrap();
        enqueue(&prepared, &mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// When a hub wants to look at the outbox again.
    async fn work(&self, hub: &Hub) -> Option<Duration> {
        run(hub, Job::outbox(&tenant(), &self.connection)).await
    }

    async fn is_done(&self, key: &str) -> bool {
        let intent = self.ahead.intent(&tenant(), &IntentKey::new(key)).await.unwrap().unwrap();
        matches!(intent.state, IntentState::Done { .. })
    }

    fn sent(&self) -> usize {
        let mailbox = self.sandbox.gmail().mailbox(OWNER);
        let sent = |id: &String| mailbox.message(id).is_some_and(|message| message.labels.contains("SENT"));
        mailbox.ids().iter().filter(|id| sent(id)).count()
    }
}

async fn run(hub: &Hub, job: Job) -> Option<Duration> {
    loop {
        match hub.run(job.clone(), &Shutdown::default()).await {
            JobOutcome::Continue => {}
            JobOutcome::Done { again_in } => return again_in,
            other => panic!("{other:?}"),
        }
    }
}

/// Begun by one process, finished by the other.
async fn connect((begins, finishes): (&Hub, &Hub), sandbox: &Sandbox) -> ConnectionId {
    let asked = [Capability::Identity, Capability::MailRead, Capability::MailSend];
    let ask = Authorise::new(asked, Service::Google.callback());
    let authorisation = begins.authorise(&tenant(), &Service::Google.app(), ask).await.unwrap();
    let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match finishes.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap().id,
        other => panic!("not granted: {other:?}"),
    }
}

async fn agree_on_what_is_due(places: &Places) {
    let apart = Apart::on(places).await;
    apart.enqueue(&apart.ahead, "at once", IntentOptions::default()).await;
    let again = apart.work(&apart.behind).await;
    assert!(apart.is_done("at once").await, "it lies until {again:?} have passed");
    let later = Utc::now() + TimeDelta::minutes(30);
    apart.enqueue(&apart.behind, "later", IntentOptions::default().with_not_before(later)).await;
    for hub in [&apart.ahead, &apart.behind] {
        let wait = apart.work(hub).await.unwrap();
        assert!((25 * 60..=30 * 60).contains(&wait.as_secs()), "{wait:?}");
    }
    assert!(!apart.is_done("later").await);
    assert_eq!(apart.sent(), 1);

    apart.ahead.signal(&tenant(), Signal::new("s", SignalKind::DealWon { deal: "7".to_owned() })).await.unwrap();
    let signals = Job::signals(&tenant());
    for hub in [&apart.behind, &apart.ahead, &apart.behind] {
        let wait = run(hub, signals.clone()).await.unwrap();
        assert!(wait <= Duration::from_secs(5), "{wait:?}: tried again after five seconds of the store's");
    }
    assert_eq!(*apart.listener.0.lock().unwrap(), 1, "neither is early");
    let record = apart.ahead.signal_record(&tenant(), "s").await.unwrap().unwrap();
    assert_eq!((record.state, record.tries), (SignalState::Waiting, 1));
    assert!((record.told_at - Utc::now()).abs() < TimeDelta::minutes(5), "{}", record.told_at);
}

#[tokio::test]
async fn processes_an_hour_apart_on_one_file_send_neither_early_nor_late() {
    agree_on_what_is_due(&Places::files()).await;
}

#[tokio::test]
async fn processes_an_hour_apart_on_one_server_send_neither_early_nor_late() {
    let Some(places) = Places::server().await else { return };
    agree_on_what_is_due(&places).await;
}
