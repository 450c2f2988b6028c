//! What the outbox sends is sent once, also where the service shows late what it sent.

use std::time::Duration;

use integration_core::{
    email::{Address, MessageQuery, Outgoing},
    outbox::{IntentKey, IntentOptions, IntentState, enqueue},
    sync::{Job, Shutdown},
};
use integration_microsoft::OutlookQuota;
use integration_testing::{Fault, FaultAction, SandboxSettings, microsoft::graph::GraphSettings};

use super::world::World;

impl World {
    /// Something is to be sent.
    async fn intend(&self, key: &IntentKey) {
        let mut mail = Outgoing::default();
        (mail.to, mail.subject) = (vec![Address::new("bob@acme.example")], "Once".to_owned());
        let options = IntentOptions::default().with_key(key.clone());
        let prepared = self.hub.prepare_send(&self.tenant, &self.connection.id, &mail, options).await.unwrap();
        let mut tx = self.stores.sync.begin(None).await.unwrap();
        enqueue(&prepared, &mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Slices of the outbox, as the schedule would run them, until the intent has an end.
    async fn settle(&self, key: &IntentKey) -> IntentState {
        let job = Job::outbox(&self.tenant, &self.connection.id);
        for _ in 0..500 {
            self.hub.run(job.clone(), &Shutdown::default()).await;
            let state = self.hub.intent(&self.tenant, key).await.unwrap().unwrap().state;
            if matches!(state, IntentState::Done { .. } | IntentState::Failed { .. }) {
                return state;
            }
            self.clock.sleep(Duration::from_secs(5)).await;
        }
        panic!("never settled\n{}", self.sandbox.request_log());
    }
}

/// The answer to the sending is lost, and the copy among what was sent is shown so much later.
async fn is_sent_once(lag: Duration) {
    let graph = GraphSettings { sent_lag: lag, ..GraphSettings::default() };
    let world = World::new(SandboxSettings { graph, ..SandboxSettings::default() }, OutlookQuota::Off).await;
    world
        .sandbox
        .script(Fault::new(FaultAction::ResetAfter).on_method("POST").on_operation("me.messages.message.send"));
    world.sandbox.script(Fault::new(FaultAction::ResetAfter).on_method("POST").on_path("/send"));
    let key = IntentKey::new("offer-7");
    world.intend(&key).await;
    let state = world.settle(&key).await;
    assert!(matches!(state, IntentState::Done { .. }), "{state:?}\n{}", world.sandbox.request_log());
    world.clock.sleep(lag).await;
    // Whoever asks sees by now whatever was held back.
    world.email().await.search(&MessageQuery::default(), None).await.unwrap();
    let mailbox = world.mailbox();
    assert_eq!((mailbox.sent().len(), mailbox.messages_in("drafts").len()), (1, 0), "{}", world.sandbox.request_log());
    let sends = world.sandbox.calls().into_iter().filter(|call| call.path.ends_with("/send")).count();
    assert_eq!(sends, 1, "{}", world.sandbox.request_log());
}

#[tokio::test(start_paused = true)]
async fn a_mail_whose_copy_shows_late_is_not_sent_twice() {
    for seconds in [0, 20, 100, 200] {
        is_sent_once(Duration::from_secs(seconds)).await;
    }
}
