//! The mailbox provider of the service crate keeps every promise of the suite, against the sandbox.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use integration_core::{
    conformance::{
        email_provider::{self as suite, Delivery, MailboxFixture},
        saboteur::{CursorRunsAhead, Sabotaged, SkipsAPage},
    },
    connection::Capability,
    email::{EmailProvider, Role},
    hub::Hub,
    ids::{AppId, MessageId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{MemoryStore, Stores},
    testing::{SeededRandom, virtual_clock},
    vault::KeyRing,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, Fault, FaultAction, ORIGIN, Sandbox, google::gmail::Mailbox};

const OWNER: &str = "alex@example.com";
/// What the service answers to a listing, and the provider asks for.
const PAGE: usize = 500;

/// A mailbox in a sandbox of its own, in process and on virtual time.
#[derive(Debug)]
struct InSandbox {
    sandbox: Sandbox,
    mailbox: Mailbox,
    provider: Arc<dyn EmailProvider>,
}

async fn sandboxed() -> InSandbox {
    let (clock, random) = (virtual_clock(), Arc::new(SeededRandom::new(7)));
    let sandbox = Sandbox::google().with_clock(Arc::clone(&clock) as _).build();
    sandbox.register_person(OWNER, "Alex Owner");
    let endpoints = GoogleEndpoints::below(&ORIGIN.parse().unwrap()).unwrap();
    let config = GoogleConfig::desktop("sandbox-client").with_endpoints(endpoints).with_quota(GmailQuota::Off);
    let stores = Stores::from_one(Arc::new(MemoryStore::with_clock(Arc::clone(&clock) as _)));
    let hub = Hub::builder(stores, Arc::new(KeyRing::generate()))
        .with_connector(Google::new(config).unwrap())
        .with_transport(sandbox.transport())
        .with_clock(clock)
        .with_random(random)
        .build()
        .unwrap();
    let provider = connect(&hub, &sandbox).await;
    let mailbox = sandbox.gmail().mailbox(OWNER);
    InSandbox { sandbox, mailbox, provider }
}

async fn fresh(_: &str) -> Box<InSandbox> {
    tokio::time::pause();
    Box::new(sandboxed().await)
}

async fn connect(hub: &Hub, sandbox: &Sandbox) -> Arc<dyn EmailProvider> {
    let tenant = TenantId::new("tenant");
    let wanted = [Capability::Identity, Capability::MailRead, Capability::MailModify, Capability::MailSend];
    let ask = Authorise::new(wanted, "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &AppId::new("google"), ask).await.unwrap();
    let back = sandbox.consent(&authorisation.url, Consent::Grant).unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    match hub.complete(&query, &authorisation.binding).await.unwrap().outcome {
        ConnectOutcome::Granted { connections, .. } => hub.email(&tenant, &connections[0].id).await.unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}

/// The label that says where a message lies.
fn label(role: Role) -> &'static str {
    match role {
        Role::Inbox => "INBOX",
        Role::Junk => "SPAM",
        Role::Sent => "SENT",
        Role::Trash => "TRASH",
        other => panic!("nothing is delivered to {other:?}"),
    }
}

#[async_trait]
impl MailboxFixture for InSandbox {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::clone(&self.provider)
    }

    fn address(&self) -> String {
        OWNER.to_owned()
    }

    fn feed_page(&self) -> usize {
        PAGE
    }

    fn now(&self) -> DateTime<Utc> {
        self.sandbox.now()
    }

    async fn deliver(&self, mail: Delivery) -> MessageId {
        let mut labels = vec![label(mail.role)];
        labels.extend((!mail.read).then_some("UNREAD"));
        let at = mail.received_at.unwrap_or_else(|| self.sandbox.now());
        MessageId::new(self.mailbox.deliver(mail.raw, at, &labels))
    }

    async fn deliver_undecodable(&self) -> MessageId {
        self.deliver(Delivery::new("nothing but text, and not one header field")).await
    }

    /// The one alone, and the next batch: one call in it spoils it.
    async fn refuse(&self, id: &MessageId) {
        let body = r#"{"error":{"code":400,"message":"Refused","errors":[{"reason":"invalidArgument"}]}}"#;
        let refused = |path: &str| Fault::new(FaultAction::status(400, body)).on_path(path);
        self.sandbox.script(refused(&format!("/messages/{id}")).always());
        self.sandbox.script(refused("/batch/gmail/v1"));
    }

    async fn mark_read(&self, id: &MessageId) {
        assert!(self.mailbox.label(id.as_str(), &[], &["UNREAD"], self.sandbox.now()));
    }

    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId {
        let places = [Role::Inbox, Role::Junk, Role::Trash].map(label);
        let left: Vec<&str> = places.into_iter().filter(|place| *place != label(role)).collect();
        assert!(self.mailbox.label(id.as_str(), &[label(role)], &left, self.sandbox.now()));
        id.clone()
    }

    async fn delete(&self, id: &MessageId) {
        assert!(self.mailbox.remove(id.as_str(), self.sandbox.now()));
    }

    async fn expire_cursors(&self) {
        self.mailbox.expire_history();
    }

    async fn throttle_once(&self) {
        let body = r#"{"error":{"code":429,"message":"Too many","errors":[{"reason":"rateLimitExceeded"}]}}"#;
        self.sandbox.script(Fault::new(FaultAction::status(429, body)).on_path("/gmail/v1/"));
    }

    async fn sent(&self) -> Vec<Bytes> {
        let messages = self.mailbox.ids().into_iter().rev().filter_map(|id| self.mailbox.message(&id));
        messages.filter(|message| message.labels.contains("SENT")).map(|message| message.raw).collect()
    }

    async fn calls(&self) -> u64 {
        self.sandbox.books().calls
    }
}

/// Whatever was asked and answered is what the service describes.
impl Drop for InSandbox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.sandbox.assert_conforms();
        }
    }
}

mod gmail {
    integration_core::email_provider_conformance!(super::fresh);
}

#[tokio::test(start_paused = true)]
async fn the_suite_notices_saboteurs_in_front_of_the_real_provider() {
    let fixture = Sabotaged::new(sandboxed().await, SkipsAPage::on);
    let broken = suite::search_pages_through_every_match_once(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "a search pages through every match once");
    let fixture = Sabotaged::new(sandboxed().await, SkipsAPage::on);
    let broken = suite::a_snapshot_lists_every_message_once(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "a snapshot lists every message");
    let fixture = Sabotaged::new(sandboxed().await, CursorRunsAhead::on);
    let broken = suite::no_arrival_is_lost_over_a_pages_border(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "no change is lost over a page's border");
}
