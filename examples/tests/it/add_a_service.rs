//! The connector of `add_a_service` against its far side.

#[allow(dead_code, reason = "the example's main is for its program")]
#[path = "../../add_a_service.rs"]
mod example;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use integration_core::{
    ErrorKind, Result,
    conformance::email_provider::{Delivery, MailboxFixture},
    connection::{Capability, Connector},
    email::{
        Address, Depth, EmailProvider, EmailProviderExt, MessageQuery, Outgoing, ReplyTo, Role, SendKey, SendOptions,
    },
    http::{Body, ReqwestTransport, Transport},
    hub::Hub,
    ids::{FolderId, ItemKey, MessageId, PartitionId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::Stores,
    sync::{Change, Cursor, Fetched, Next, Removal, Window},
    vault::KeyRing,
};
use integration_examples::postbox::{PAGE, PostboxService};

use self::example::Postbox;

/// An empty mailbox whose owner and service can be made to act, and the provider on it: what a suite for providers needs.
#[derive(Debug)]
struct Mailbox {
    service: PostboxService,
    provider: Arc<dyn EmailProvider>,
}

async fn fresh() -> Mailbox {
    let service = PostboxService::start().await.unwrap();
    let postbox = Postbox::new(&service.origin()).unwrap();
    let app = postbox.profile().app.clone();
    let hub = Hub::builder(Stores::memory(), Arc::new(KeyRing::generate())).with_connector(postbox).build().unwrap();
    let tenant = TenantId::new("tenant");
    let ask = Authorise::new([Capability::MailRead, Capability::MailSend], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &app, ask).await.unwrap();
    let request = http::Request::get(authorisation.url.as_str()).body(Body::default()).unwrap();
    let answer = ReqwestTransport::new().unwrap().execute(request).await.unwrap();
    let back: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    let completion = hub.complete(&query, &authorisation.binding).await.unwrap();
    let ConnectOutcome::Granted { connections, .. } = completion.outcome else { panic!("{:?}", completion.outcome) };
    Mailbox { service, provider: hub.email(&tenant, &connections[0].id).await.unwrap() }
}

#[async_trait]
impl MailboxFixture for Mailbox {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::clone(&self.provider)
    }

    fn address(&self) -> String {
        "ada@postbox.example".to_owned()
    }

    fn feed_page(&self) -> usize {
        PAGE
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn deliver(&self, mail: Delivery) -> MessageId {
        let at = mail.received_at.unwrap_or_else(Utc::now);
        MessageId::new(self.service.deliver(mail.raw, place(mail.role), mail.read, at))
    }

    async fn deliver_undecodable(&self) -> MessageId {
        MessageId::new(self.service.deliver_nonsense())
    }

    async fn refuse(&self, id: &MessageId) {
        self.service.withhold(id.as_str());
    }

    async fn mark_read(&self, id: &MessageId) {
        self.service.mark_read(id.as_str());
    }

    async fn move_to(&self, id: &MessageId, role: Role) -> MessageId {
        self.service.move_to(id.as_str(), place(role));
        id.clone()
    }

    async fn delete(&self, id: &MessageId) {
        self.service.remove(id.as_str());
    }

    async fn expire_cursors(&self) {
        self.service.forget_changes();
    }

    async fn throttle_once(&self) {
        self.service.throttle(1);
    }

    async fn sent(&self) -> Vec<Bytes> {
        self.service.sent()
    }

    async fn calls(&self) -> u64 {
        self.service.calls()
    }
}

/// What the service calls the place that a role means.
fn place(role: Role) -> &'static str {
    match role {
        Role::Inbox => "inbox",
        Role::Junk => "junk",
        Role::Sent => "sent",
        Role::Trash => "trash",
        other => panic!("nothing is delivered to {other:?}"),
    }
}

mod suite {
    integration_core::email_provider_conformance!(|_: &str| async { Box::new(super::fresh().await) });
}

impl Mailbox {
    fn letter(&self, name: &str) -> String {
        let raw = format!(
            "From: ann@acme.example\r\nTo: ada@postbox.example\r\nSubject: {name}\r\nMessage-ID: <{name}@acme.example>\r\n\r\n{name}\r\n"
        );
        self.service.deliver(raw, "inbox", false, Utc::now())
    }

    async fn head(&self) -> Cursor {
        self.provider.feed().anchor(&letters()).await.unwrap().unwrap()
    }

    /// Everything that changed since, page after page, as (id, is it there).
    async fn changes(&self, since: &Cursor) -> Result<Vec<(String, bool)>> {
        let (mut since, mut all) = (since.clone(), Vec::new());
        loop {
            let page = self.provider.feed().changes(&letters(), &since).await?;
            all.extend(page.changes.into_iter().map(|change| match change {
                Change::Upsert { key, .. } => (key.to_string(), true),
                Change::Removed { key, how: Removal::Gone } => (key.to_string(), false),
                other => panic!("{other:?}"),
            }));
            match page.next {
                Next::More(next) => since = next,
                Next::Done { .. } => return Ok(all),
            }
        }
    }
}

fn letters() -> PartitionId {
    PartitionId::new("letters")
}

#[tokio::test]
async fn the_head_tells_what_arrives_changes_and_goes() {
    let mailbox = fresh().await;
    let before = mailbox.letter("before");
    let head = mailbox.head().await;
    assert!(mailbox.changes(&head).await.unwrap().is_empty());
    let new = mailbox.letter("new");
    mailbox.service.mark_read(&before);
    mailbox.service.remove(&new);
    let changes = mailbox.changes(&head).await.unwrap();
    assert_eq!(changes, [(new.clone(), true), (before, true), (new, false)]);
}

#[tokio::test]
async fn a_long_absence_is_caught_up_with_in_pages() {
    let mailbox = fresh().await;
    let head = mailbox.head().await;
    let wanted: Vec<(String, bool)> =
        (0..PAGE * 2 + 1).map(|number| (mailbox.letter(&number.to_string()), true)).collect();
    assert_eq!(mailbox.changes(&head).await.unwrap(), wanted);
}

#[tokio::test]
async fn a_forgotten_position_needs_a_new_snapshot() {
    let mailbox = fresh().await;
    let head = mailbox.head().await;
    mailbox.service.forget_changes();
    assert_eq!(mailbox.changes(&head).await.unwrap_err().kind(), ErrorKind::CursorExpired);
    assert!(mailbox.changes(&mailbox.head().await).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_snapshot_walks_every_letter_once_newest_first() {
    let mailbox = fresh().await;
    let mut wanted: Vec<String> = (0..PAGE * 2 + 3).map(|number| mailbox.letter(&number.to_string())).collect();
    wanted.reverse();
    let (mut at, mut found) = (None, Vec::new());
    loop {
        let page = mailbox.provider.feed().snapshot(&letters(), &Window::default(), at.as_ref()).await.unwrap();
        for change in page.changes {
            let Change::Upsert { key, .. } = change else { panic!("{change:?}") };
            found.push(key.to_string());
        }
        match page.next {
            Next::More(next) => at = Some(next),
            Next::Done { .. } => break,
        }
    }
    assert_eq!(found, wanted);
    let window = Window::since(Utc::now());
    let other = mailbox.provider.feed().snapshot(&letters(), &window, at.as_ref()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::CursorExpired, "a walk is not continued with another window");
}

#[tokio::test]
async fn each_letter_is_answered_by_itself() {
    let mailbox = fresh().await;
    let (good, gone) = (mailbox.letter("good"), mailbox.letter("gone"));
    let nonsense = mailbox.service.deliver_nonsense();
    mailbox.service.remove(&gone);
    let keys = [&good, &gone, &nonsense, &good].map(|id| ItemKey::new(id.as_str()));
    let answers = mailbox.provider.feed().fetch(&keys).await.unwrap();
    let told: Vec<String> = answers
        .into_iter()
        .map(|answer| match answer {
            Fetched::Present { key, .. } => format!("{key} is there"),
            Fetched::Gone(key) => format!("{key} is gone"),
            Fetched::Malformed { key, .. } => format!("{key} is nonsense"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [format!("{good} is there"), format!("{gone} is gone"), format!("{nonsense} is nonsense")]);
}

#[tokio::test]
async fn a_letter_carries_its_flags_and_its_parts() {
    let mailbox = fresh().await;
    let raw = "From: ann@acme.example\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
               --b\r\n\r\nHello\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nMSwy\r\n--b--\r\n";
    let id = MessageId::new(mailbox.service.deliver(raw, "junk", true, Utc::now()));
    let Fetched::Present { item, .. } =
        mailbox.provider.fetch(std::slice::from_ref(&id), Depth::Full).await.unwrap().remove(0)
    else {
        panic!("it is there")
    };
    assert!(item.flags.read && item.flags.has(Role::Junk) && item.text.trim() == "Hello", "{item:?}");
    let file = mailbox.provider.attachment(&id, &item.attachments[0].part_id()).await.unwrap();
    let bytes: Vec<bytes::Bytes> = futures_util::TryStreamExt::try_collect(file).await.unwrap();
    assert_eq!(bytes.concat(), b"1,2");
    assert_eq!(mailbox.provider.raw(&id).await.unwrap(), raw);
}

#[tokio::test]
async fn a_search_pages_through_every_match() {
    use futures_util::TryStreamExt;
    let mailbox = fresh().await;
    for number in 0..5 {
        mailbox.letter(&format!("apple{number}"));
        mailbox.letter(&format!("pear{number}"));
    }
    let mut query = MessageQuery::default();
    (query.text, query.page_size) = (Some("Apple3".to_owned()), Some(2));
    let found: Vec<_> = mailbox.provider.messages(query.clone()).try_collect().await.unwrap();
    assert_eq!(found.len(), 1);
    query.text = None;
    let found: Vec<_> = mailbox.provider.messages(query.clone()).try_collect().await.unwrap();
    assert_eq!(found.len(), 10);
    query.folder = Some(FolderId::new("inbox"));
    assert_eq!(mailbox.provider.search(&query, None).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let token = integration_core::page::PageToken::new("no token of ours");
    let refused = mailbox.provider.search(&MessageQuery::default(), Some(&token)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_was_sent_is_found_by_its_key() {
    let mailbox = fresh().await;
    let mut mail = Outgoing::default();
    mail.to = vec![Address::new("ann@acme.example")];
    mail.subject = "Yes".to_owned();
    mail.text = Some("Gladly.".to_owned());
    let mut parent = ReplyTo::default();
    parent.thread = Some(integration_core::ids::ThreadId::new("thread-7"));
    mail.in_reply_to = Some(parent);
    let key = SendKey::new("one@postbox.example");
    assert_eq!(mailbox.provider.find_sent(&key).await.unwrap(), None);
    let sent = mailbox.provider.send(&mail, &SendOptions::default().with_key(key.clone())).await.unwrap();
    assert_eq!(mailbox.provider.find_sent(&key).await.unwrap(), Some(sent.clone()));
    assert_eq!(sent.thread.unwrap().as_str(), "thread-7");
    assert_eq!(mailbox.service.sent().len(), 1);
    assert!(mailbox.service.calls() > 3);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_a_throttled_call_waits() {
    let mailbox = fresh().await;
    mailbox.service.expire_tokens();
    mailbox.service.throttle(1);
    let found = mailbox.provider.search(&MessageQuery::default(), None).await.unwrap();
    assert!(found.items.is_empty());
}
