//! Outlook keeps every promise of the suite that Gmail keeps, against the sandbox.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use integration_core::{
    conformance::{
        email_provider::{self as suite, Delivery, MailboxFixture},
        saboteur::{CursorRunsAhead, MoveIsRemoval, Sabotaged, SkipsAPage},
    },
    email::{EmailProvider, Role},
    ids::MessageId,
};
use integration_microsoft::OutlookQuota;
use integration_testing::{Fault, FaultAction, SandboxSettings, Side, microsoft::graph::Oddity};

use super::world::{OWNER, World};

/// What the provider asks for a page.
const PAGE: usize = 100;

/// A mailbox in a sandbox of its own, in process and on virtual time.
#[derive(Debug)]
struct InSandbox {
    world: World,
    provider: Arc<dyn EmailProvider>,
    spoiled: AtomicBool,
}

async fn sandboxed() -> InSandbox {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    let provider = world.email().await;
    InSandbox { world, provider, spoiled: AtomicBool::new(false) }
}

async fn fresh(_: &str) -> Box<InSandbox> {
    tokio::time::pause();
    Box::new(sandboxed().await)
}

/// The folder that a role is.
fn folder(role: Role) -> &'static str {
    match role {
        Role::Inbox => "inbox",
        Role::Junk => "junkemail",
        Role::Sent => "sentitems",
        Role::Trash => "deleteditems",
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
        self.world.sandbox.now()
    }

    async fn deliver(&self, mail: Delivery) -> MessageId {
        let at = mail.received_at.unwrap_or_else(|| self.world.sandbox.now());
        let id = self.world.mailbox().deliver(mail.raw, at, folder(mail.role));
        if mail.read {
            assert!(self.world.mailbox().mark_read(&id, at));
        }
        MessageId::new(id)
    }

    async fn deliver_undecodable(&self) -> MessageId {
        let id = self.deliver(Delivery::new("Subject: soon odd\r\n\r\ntext")).await;
        assert!(self.world.mailbox().spoil(id.as_str(), Oddity::WrongTypes));
        self.spoiled.store(true, Ordering::Relaxed);
        id
    }

    /// The one alone, and the next batch: one call in it spoils it.
    async fn refuse(&self, id: &MessageId) {
        let body = r#"{"error":{"code":"ErrorInvalidRequest","message":"Refused"}}"#;
        let refused = |path: &str| Fault::new(FaultAction::status(400, body)).on_path(path);
        self.world.sandbox.script(refused(&format!("/messages/{}", id.as_str().replace('=', "%3D"))).always());
        self.world.sandbox.script(refused("/$batch"));
    }

    async fn mark_read(&self, id: &MessageId) {
        assert!(self.world.mailbox().mark_read(id.as_str(), self.world.sandbox.now()));
    }

    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId {
        assert!(self.world.mailbox().move_message(id.as_str(), folder(role), self.world.sandbox.now()));
        id.clone()
    }

    async fn delete(&self, id: &MessageId) {
        assert!(self.world.mailbox().remove(id.as_str()));
    }

    async fn expire_cursors(&self) {
        self.world.mailbox().expire_delta_links();
    }

    async fn throttle_once(&self) {
        let body = r#"{"error":{"code":"TooManyRequests","message":"Too many"}}"#;
        self.world.sandbox.script(Fault::new(FaultAction::status(429, body)).on_path("/v1.0/"));
    }

    async fn sent(&self) -> Vec<Bytes> {
        self.world.mailbox().sent().into_iter().map(|message| message.raw).collect()
    }

    async fn calls(&self) -> u64 {
        self.world.sandbox.books().calls
    }
}

/// Whatever was asked is what the service describes, and whatever was answered, but for what was spoiled.
impl Drop for InSandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let spoiled = self.spoiled.load(Ordering::Relaxed);
        let violations = self.world.sandbox.violations();
        let mut counted = violations.iter().filter(|violation| !spoiled || violation.side == Side::Request);
        assert!(counted.next().is_none(), "{violations:?}\n{}", self.world.sandbox.request_log());
    }
}

mod outlook {
    integration_core::email_provider_conformance!(super::fresh);
}

#[tokio::test(start_paused = true)]
async fn the_suite_notices_saboteurs_in_front_of_the_real_provider() {
    let fixture = Sabotaged::new(sandboxed().await, SkipsAPage::on);
    let broken = suite::search_pages_through_every_match_once(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "a search pages through every match once");
    let fixture = Sabotaged::new(sandboxed().await, CursorRunsAhead::on);
    let broken = suite::no_arrival_is_lost_over_a_pages_border(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "no change is lost over a page's border");
    let fixture = Sabotaged::new(sandboxed().await, MoveIsRemoval::on);
    let broken = suite::a_message_that_moved_is_not_called_gone(&fixture).await.unwrap_err();
    assert_eq!(broken.promise, "a message that only moved is not reported as gone");
}
