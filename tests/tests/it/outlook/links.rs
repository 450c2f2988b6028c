//! Links that lead to another host are never followed: over HTTP, with somebody who listens there.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use integration_core::{
    ErrorKind,
    email::{Address, MessageQuery, Outgoing, OutgoingAttachment, SendOptions},
    sync::JobOutcome,
};
use integration_testing::{SandboxSettings, mail, microsoft::graph::GraphSettings};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};

use super::world::World;

/// Another host, which counts who comes.
struct Elsewhere {
    at: SocketAddr,
    visits: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Elsewhere {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, visits) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 1_024]).await;
            }
        });
        Self { at, visits, task }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.at)
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn never_followed(settings: SandboxSettings) {
    let (elsewhere, world) = (Elsewhere::new().await, World::served(settings).await);
    let all = (0..3).map(|number| world.deliver(number)).collect();
    world.odd(|oddities| oddities.foreign_next_link = Some(elsewhere.origin()));
    for _ in 0..3 {
        match world.slice().await {
            JobOutcome::Failed { error, again_in } => {
                let told = format!("{error:?}");
                assert!(told.contains("leads somewhere else, and is not followed"), "{told}");
                assert!(error.kind() == ErrorKind::Validation && again_in.is_some(), "{told}, {again_in:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((elsewhere.visits(), world.decided().await.len()), (0, 0));
    world.odd(|oddities| oddities.foreign_next_link = None);
    while !matches!(world.slice().await, JobOutcome::Done { .. }) {}
    assert_eq!(world.decided().await, all, "nothing was lost by it");
    assert_eq!(elsewhere.visits(), 0);
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_a_folder_to_another_host_is_told_and_never_followed() {
    never_followed(SandboxSettings::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_the_list_of_folders_to_another_host_is_told_and_never_followed() {
    let graph = GraphSettings { delta_page: Some(2), ..GraphSettings::default() };
    never_followed(SandboxSettings { graph, ..SandboxSettings::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_a_search_to_another_host_is_told_and_never_followed() {
    let (elsewhere, world) = (Elsewhere::new().await, World::served(SandboxSettings::default()).await);
    world.mailbox().on_demand(300, &mail::with_attachment(10));
    world.odd(|oddities| oddities.foreign_next_link = Some(elsewhere.origin()));
    let email = world.email().await;
    let first = email.search(&MessageQuery::default(), None).await;
    let error = match first {
        Err(error) => error,
        Ok(page) => email.search(&MessageQuery::default(), page.next.as_ref()).await.unwrap_err(),
    };
    assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Validation), "{error:?}");
    assert_eq!(elsewhere.visits(), 0);
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_to_no_other_host() {
    let elsewhere = Elsewhere::new().await;
    let graph = GraphSettings { upload_origin: Some(elsewhere.origin()), ..GraphSettings::default() };
    let world = World::served(SandboxSettings { graph, ..SandboxSettings::default() }).await;
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new("bob@acme.example")];
    mail.attachments =
        vec![OutgoingAttachment::new("a.bin", "application/octet-stream", Bytes::from(vec![7; 4 << 20]))];
    let error = world.email().await.send(&mail, &SendOptions::default()).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    assert_eq!((elsewhere.visits(), world.mailbox().sent().len()), (0, 0), "{error:?}");
    assert_eq!(world.mailbox().messages_in("drafts").len(), 0, "nothing is left behind");
    world.shut_down().await;
}
