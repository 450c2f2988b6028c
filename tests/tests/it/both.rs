//! One host, one person, a mailbox at each service: what is in both is one activity.

use std::sync::Arc;

use integration_core::{
    connection::Connection,
    hub::Why,
    oauth::Forget,
    store::{MemoryStore, Stores},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};

use crate::{
    service::Service,
    world::{Contacts, OWNER, World, connect_at},
};

/// A mailbox at Google, and one at Microsoft over the same hub.
struct Both {
    world: World,
    second: Connection,
}

impl Both {
    async fn new() -> Self {
        let stores = Stores::from_one(Arc::new(MemoryStore::default()));
        let contacts = Contacts { everybody: true, ..Contacts::default() };
        let world = World::at(Service::Google, stores, contacts, SyncOptions::default()).await;
        let second = connect_at(Service::Microsoft, &world.sandbox, &world.hub, &world.tenant).await;
        Self { world, second }
    }

    async fn sync(&self) {
        self.world.sync().await;
        let job = Job::sync_mail(&self.world.tenant, &self.second.id);
        while let JobOutcome::Continue = self.world.hub.run(job.clone(), &Shutdown::default()).await {}
    }

    /// The same letter arrives in both mailboxes; its ids there.
    fn arrives(&self, number: usize) -> (String, String) {
        let head = format!(
            "From: Bob <bob@acme.example>\nTo: {OWNER}\nSubject: Letter {number}\nMessage-ID: <{number}@acme.example>\n\
             Date: Mon, 02 Nov 2026 10:00:00 +0000"
        );
        let first = self.world.arrives(&head, "Hello.", &["INBOX"]);
        let raw = format!("{}\r\n\r\nHello.\r\n", head.replace('\n', "\r\n"));
        (first, self.world.outlook().deliver(raw, self.world.sandbox.now(), "inbox"))
    }

    /// On the host's timeline, as its sink was told, and in the store.
    async fn shown(&self) -> usize {
        let stored = self.world.hub.activities(&self.world.tenant).await.unwrap().len();
        assert_eq!(stored, self.world.shown());
        stored
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_in_two_mailboxes_is_one_activity_and_goes_with_its_last_copy() {
    let both = Both::new().await;
    let (tenant, hub) = (&both.world.tenant, &both.world.hub);
    let (first, second) = both.arrives(1);
    let (_, kept) = both.arrives(2);
    both.sync().await;
    assert_eq!(both.shown().await, 2);
    let activity = hub.activities(tenant).await.unwrap().remove(0);
    assert_eq!(activity.sightings.len(), 2, "seen in both: {:?}", activity.sightings);
    assert!(matches!(hub.why(tenant, &both.second.id, &second).await.unwrap(), Why::Logged { .. }));
    both.world.remove(&first);
    both.sync().await;
    assert_eq!(both.shown().await, 2, "the other copy is there");
    assert!(both.world.outlook().remove(&second));
    both.sync().await;
    assert_eq!(both.shown().await, 1);
    assert!(matches!(hub.why(tenant, &both.second.id, &kept).await.unwrap(), Why::Logged { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_disconnected_takes_only_what_it_alone_had() {
    let both = Both::new().await;
    let (tenant, hub) = (&both.world.tenant, &both.world.hub);
    both.arrives(1);
    both.world.deliver(7);
    both.world.outlook().deliver(crate::world::letter(8, OWNER), both.world.sandbox.now(), "inbox");
    both.sync().await;
    assert_eq!(both.shown().await, 3);
    hub.disconnect(tenant, &both.second.id, Forget::Everything).await.unwrap();
    both.world.decide_again().await;
    let subjects: Vec<String> =
        hub.activities(tenant).await.unwrap().into_iter().map(|one| one.summary.subject).collect();
    assert_eq!((subjects.len(), both.shown().await), (2, 2), "{subjects:?}");
    assert!(
        subjects.iter().any(|subject| subject == "Letter 1") && subjects.iter().any(|subject| subject == "Number 7")
    );
}
