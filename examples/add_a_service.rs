//! A complete small connector: Postbox, a mail service made up for this (`src/postbox.rs` is its far side).
//!
//! Each part names the file that it would be in a crate of its own. `CONTRIBUTING.md` walks through them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::Utc;
use futures_util::{StreamExt, TryStreamExt, stream};
use integration_core::{
    Error, ErrorKind, Result,
    connection::{
        Capability, ClientAuthentication, Connector, ConnectorProfile, OAuthEndpoints, OAuthSettings, RemoteAccount,
        ScopeRule, ScopeTable,
    },
    email::{
        Address, Depth, EmailCapabilities, EmailProvider, EmailProviderExt, MailItem, Message, MessageQuery,
        MessageStub, Outgoing, Role, SendKey, SendOptions, Sent, compose, parse,
    },
    http::{
        AuthAction, Body, ByteStream, Call, Cost, Failure, GrantSession, HttpFailure, QuotaScope, QuotaTable,
        QuotaUnit, QuotaWindow, Repeat, ReqwestTransport, Response, Session, Transport,
    },
    hub::Hub,
    ids::{AppId, ItemKey, MessageId, PartId, PartitionId, TenantId, ThreadId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    page::{Page, PageToken},
    store::Stores,
    sync::{
        self, Change, ChangePage, Cursor, Feed, FeedCapabilities, Fetched, Fingerprint, Job, JobOutcome, Next,
        Partition, PartitionPage, Reason, Removal, Revision, Shutdown, Window,
    },
    vault::KeyRing,
};
use integration_examples::{people::CsvDirectory, postbox::PostboxService, words};
use url::Url;

/// What the service says (`wire.rs`): private, and nothing is demanded that its description does not promise.
mod wire {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Deserialize)]
    pub(crate) struct Me {
        pub(crate) id: String,
        pub(crate) address: String,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct List {
        pub(crate) letters: Vec<Stub>,
        pub(crate) more: bool,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Stub {
        pub(crate) id: String,
        #[serde(default)]
        pub(crate) number: i64,
        pub(crate) thread: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Changes {
        pub(crate) changes: Vec<Changed>,
        pub(crate) until: i64,
        pub(crate) more: bool,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Changed {
        pub(crate) id: String,
        pub(crate) number: i64,
        #[serde(default)]
        pub(crate) gone: bool,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Letter {
        pub(crate) id: String,
        pub(crate) number: i64,
        pub(crate) thread: Option<String>,
        pub(crate) place: Option<String>,
        #[serde(default)]
        pub(crate) read: bool,
        pub(crate) at: Option<DateTime<Utc>>,
        pub(crate) raw: String,
    }

    #[derive(Debug, Serialize)]
    pub(crate) struct NewLetter<'a> {
        pub(crate) raw: String,
        pub(crate) thread: Option<&'a str>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Refusal {
        pub(crate) error: String,
    }
}

/// The places of the service and what they mean everywhere.
const PLACES: [(&str, Role); 5] = [
    ("inbox", Role::Inbox),
    ("sent", Role::Sent),
    ("drafts", Role::Drafts),
    ("junk", Role::Junk),
    ("trash", Role::Trash),
];

/// What a letter means (`convert.rs`): pure, no I/O. What cannot be understood gives a reason, for the quarantine.
fn message(letter: &wire::Letter, depth: Depth) -> std::result::Result<Message, Reason> {
    let mut message = parse::message(&raw(letter)?).map_err(|error| Reason::new(error.message()))?;
    message.id.clone_from(&letter.id);
    message.thread = letter.thread.clone().map(ThreadId::new);
    message.received_at = letter.at;
    message.flags.read = letter.read;
    let place = letter.place.as_deref().unwrap_or("inbox");
    // A place that is new to us has no common meaning; the letter is good all the same.
    message.flags.roles = PLACES.iter().filter(|(name, _)| *name == place).map(|(_, role)| *role).collect();
    if depth == Depth::Headers {
        (message.text, message.html, message.calendar) = (String::new(), None, None);
        message.snippet.clear();
        message.attachments.clear();
    }
    Ok(message)
}

fn raw(letter: &wire::Letter) -> std::result::Result<Vec<u8>, Reason> {
    STANDARD.decode(&letter.raw).map_err(|_| Reason::new("the letter is not base64"))
}

/// The one error map (`error.rs`): by the service's reasons first, by status where it gives none.
fn classify(failure: &HttpFailure<'_>) -> Failure {
    let reason = serde_json::from_slice::<wire::Refusal>(failure.body).map(|refusal| refusal.error);
    let error = |kind, text: &str| Error::new(kind, text).with_service("postbox").with_operation(failure.operation);
    match (failure.status.as_u16(), reason.as_deref().unwrap_or_default()) {
        (401, _) => {
            let error = error(ErrorKind::PermissionDenied, "the access token was refused");
            Failure::Unauthorised(error, AuthAction::Refresh)
        }
        (429, _) => Failure::Throttled {
            error: error(ErrorKind::RateLimited, "too many calls"),
            until: failure.retry_after(),
            scope: QuotaScope::AppAndAccount,
        },
        (400 | 422, _) => Failure::Final(error(ErrorKind::InvalidInput, "the service refuses this")),
        (410, "forgotten") => Failure::Final(error(ErrorKind::CursorExpired, "the position is forgotten")),
        (404, _) => Failure::Final(error(ErrorKind::NotFound, "there is no such thing (any more)")),
        (500.., _) => Failure::Transient(error(ErrorKind::Unavailable, "the service failed")),
        _ => Failure::Final(error(ErrorKind::Validation, "the service answered what nobody foresaw")),
    }
}

/// What every call costs, in units.
const CALL: u32 = 1;

/// The limits (`quota.rs`), as data.
fn quota() -> QuotaTable {
    let minute = Duration::from_secs(60);
    let window = QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::Units, 6_000, minute);
    QuotaTable::unlimited("postbox").with_window(window).with_concurrency(4)
}

/// Builds calls (`client.rs`), with their cost and whether they may be repeated: no I/O.
#[derive(Clone, Debug)]
struct Client(Url);

impl Client {
    fn get(&self, operation: &'static str, path: &[&str], query: &[(&str, String)]) -> Result<Call> {
        let mut url = self.at(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = http::Request::get(url.as_str()).body(Bytes::new()).map_err(unbuildable)?;
        Ok(Call::new(operation, request, Cost::units(CALL), Repeat::Safe))
    }

    fn post(&self, operation: &'static str, path: &[&str], body: Vec<u8>, repeat: Repeat) -> Result<Call> {
        let request = http::Request::post(self.at(path)?.as_str()).header("content-type", "application/json");
        let request = request.body(body.into()).map_err(unbuildable)?;
        Ok(Call::new(operation, request, Cost::units(CALL), repeat))
    }

    /// Segments are escaped, so that an id never leaves its place.
    fn at(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.0.clone();
        let unusable = |()| Error::new(ErrorKind::Misconfigured, "the base URL cannot have paths");
        url.path_segments_mut().map_err(unusable)?.pop_if_empty().extend(path);
        Ok(url)
    }
}

fn unbuildable(error: http::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "the request cannot be built").with_service("postbox").with_source(error)
}

/// One app at Postbox (`connector.rs`): endpoints, scopes, accounts.
#[derive(Clone, Debug)]
pub(crate) struct Postbox {
    profile: ConnectorProfile,
    client: Client,
}

impl Postbox {
    pub(crate) fn new(base: &Url) -> Result<Self> {
        let client = Client(base.clone());
        let at = |path| client.get("postbox.endpoint", &[path], &[]).map(|call| call.request().uri().to_string());
        let parse = |text: String| Url::parse(&text).map_err(|_| Error::new(ErrorKind::Misconfigured, "no URL"));
        let endpoints = OAuthEndpoints::new(parse(at("authorise")?)?, parse(at("token")?)?);
        let oauth = OAuthSettings::new(endpoints, "my-client-id", ClientAuthentication::None);
        let scopes = ScopeTable::new(vec![
            ScopeRule::new(Capability::MailRead, &["letters.read"], &[]),
            ScopeRule::new(Capability::MailSend, &["letters.send"], &[]),
        ]);
        let profile = ConnectorProfile::new(AppId::new("postbox"), "postbox", oauth, scopes, quota());
        Ok(Self { profile: profile.with_host(base), client })
    }
}

#[async_trait]
impl Connector for Postbox {
    fn profile(&self) -> &ConnectorProfile {
        &self.profile
    }

    fn classify(&self, failure: &HttpFailure<'_>) -> Failure {
        classify(failure)
    }

    async fn accounts(&self, session: &GrantSession, _: Option<&CallbackQuery>) -> Result<Vec<RemoteAccount>> {
        let me: wire::Me = session.send(self.client.get("postbox.me", &["me"], &[])?).await?.json()?;
        Ok(vec![RemoteAccount::new(me.id, &me.address).with_address(&me.address)])
    }

    fn email(&self, session: Session) -> Result<Arc<dyn EmailProvider>> {
        Ok(Arc::new(PostboxMail::new(session, self.client.clone())))
    }
}

/// How many letters are asked for at a time.
const AT_ONCE: usize = 4;

/// The mailbox of one connection (`mail/mod.rs`).
#[derive(Clone, Debug)]
struct PostboxMail {
    session: Session,
    client: Client,
    capabilities: EmailCapabilities,
}

impl PostboxMail {
    fn new(session: Session, client: Client) -> Self {
        let mut capabilities = EmailCapabilities::default();
        capabilities.send = true;
        capabilities.search_text = true;
        capabilities.threads = true;
        capabilities.raw = true;
        capabilities.stable_ids = true;
        capabilities.exact_content = true;
        Self { session, client, capabilities }
    }

    async fn list(&self, query: &[(&str, String)]) -> Result<wire::List> {
        self.session.send(self.client.get("postbox.letters.list", &["letters"], query)?).await?.json()
    }

    /// Each key once, each with an answer of its own; an error only where nothing at all came back.
    async fn letters<T>(&self, keys: Vec<ItemKey>, depth: Depth, item: fn(Message) -> T) -> Result<Vec<Fetched<T>>> {
        let mut seen = HashSet::new();
        let keys = keys.into_iter().filter(|key| seen.insert(key.clone()));
        let answers = stream::iter(keys).map(|key| self.fetched(key, depth, item)).buffered(AT_ONCE);
        let mut answers: Vec<Fetched<T>> = answers.collect().await;
        if answers.iter().all(|answer| matches!(answer, Fetched::NotYet(..)))
            && let Some(Fetched::NotYet(_, error)) = answers.pop()
        {
            let another = || Error::new(ErrorKind::Unavailable, "no letter came").with_service("postbox");
            return Err(Arc::into_inner(error).unwrap_or_else(another));
        }
        Ok(answers)
    }

    async fn fetched<T>(&self, key: ItemKey, depth: Depth, item: fn(Message) -> T) -> Fetched<T> {
        let answer = match self.letter(key.as_str()).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Fetched::Gone(key),
            Err(error) => return Fetched::NotYet(key, Arc::new(error)),
        };
        let unreadable = |_| Reason::new("the answer is no letter");
        let letter = serde_json::from_slice::<wire::Letter>(&answer.body).map_err(unreadable);
        match letter.and_then(|letter| Ok((letter.number, message(&letter, depth)?))) {
            Ok((number, message)) => Fetched::Present { key, revision: Revision::ordered(number), item: item(message) },
            Err(reason) => Fetched::Malformed { key, raw: answer.body, reason },
        }
    }

    async fn letter(&self, id: &str) -> Result<Response> {
        self.session.send(self.client.get("postbox.letters.get", &["letters", id], &[])?).await
    }

    async fn raw_letter(&self, id: &MessageId) -> Result<Vec<u8>> {
        let letter: wire::Letter = self.letter(id.as_str()).await?.json()?;
        raw(&letter).map_err(|reason| Error::new(ErrorKind::Validation, reason.as_str()).with_service("postbox"))
    }
}

#[async_trait]
impl EmailProvider for PostboxMail {
    fn capabilities(&self) -> &EmailCapabilities {
        &self.capabilities
    }

    fn feed(&self) -> Arc<dyn Feed<Item = MailItem>> {
        Arc::new(PostboxFeed(self.clone()))
    }

    async fn search(&self, query: &MessageQuery, page: Option<&PageToken>) -> Result<Page<MessageStub>> {
        if query.folder.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "Postbox has no folders").with_service("postbox"));
        }
        let mut asked: Vec<(&str, String)> = Vec::new();
        asked.extend(query.page_size.map(|size| ("limit", size.to_string())));
        asked.extend(query.text.clone().map(|text| ("text", text)));
        asked.extend(query.participant.clone().map(|who| ("participant", who)));
        asked.extend(query.message_id.clone().map(|id| ("message_id", id)));
        asked.extend(query.since.map(|at| ("since", at.timestamp_millis().to_string())));
        asked.extend(query.until.map(|at| ("until", at.timestamp_millis().to_string())));
        asked.extend(query.include_junk_and_trash.then(|| ("everything", "true".to_owned())));
        asked.extend(page.map(|page| ("before", page.as_str().to_owned())));
        let list = self.list(&asked).await?;
        let next = list.letters.last().filter(|_| list.more).map(|last| PageToken::new(last.number.to_string()));
        let stub = |stub: wire::Stub| MessageStub::new(MessageId::new(stub.id), stub.thread.map(ThreadId::new));
        Ok(Page::new(list.letters.into_iter().map(stub).collect(), next))
    }

    async fn fetch(&self, ids: &[MessageId], depth: Depth) -> Result<Vec<Fetched<Message>>> {
        self.letters(ids.iter().map(|id| ItemKey::new(id.as_str())).collect(), depth, |message| message).await
    }

    async fn attachment(&self, of: &MessageId, part: &PartId) -> Result<ByteStream> {
        // This service gives letters only whole: a part is cut out of the raw text.
        let missing = || Error::new(ErrorKind::NotFound, "the letter has no such part").with_service("postbox");
        let bytes = parse::attachment(&self.raw_letter(of).await?, part.as_str()).ok_or_else(missing)?;
        Ok(stream::iter([Ok(Bytes::from(bytes))]).boxed())
    }

    async fn raw(&self, id: &MessageId) -> Result<Bytes> {
        self.raw_letter(id).await.map(Bytes::from)
    }

    async fn send(&self, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
        let key = options.key.as_ref().map(SendKey::as_str);
        let raw = compose::compose(mail, key, self.session.parts().clock.now())?;
        let thread = mail.in_reply_to.as_ref().and_then(|parent| parent.thread.as_ref()).map(ThreadId::as_str);
        let body = serde_json::to_vec(&wire::NewLetter { raw: STANDARD.encode(raw), thread })
            .map_err(|error| Error::new(ErrorKind::InvalidInput, "the letter cannot be written").with_source(error))?;
        // The service sends whatever comes: a repeat could send twice. Whoever got no answer asks `find_sent`.
        let call = self.client.post("postbox.letters.send", &["letters"], body, Repeat::Never)?;
        let sent: wire::Stub = self.session.send(call).await?.json()?;
        Ok(Sent::new(MessageId::new(sent.id), sent.thread.map(ThreadId::new), key.map(str::to_owned)))
    }

    async fn find_sent(&self, key: &SendKey) -> Result<Option<Sent>> {
        let key = key.as_str().to_owned();
        let list = self.list(&[("message_id", key.clone()), ("place", "sent".to_owned())]).await?;
        let found = list.letters.into_iter().next();
        Ok(found.map(|stub| Sent::new(MessageId::new(stub.id), stub.thread.map(ThreadId::new), Some(key))))
    }
}

/// The format of both kinds of cursor.
const VERSION: u16 = 1;

/// What can be pulled incrementally (`mail/feed.rs`): the head follows the service's numbers, the snapshot its listing.
#[derive(Clone, Debug)]
struct PostboxFeed(PostboxMail);

impl PostboxFeed {
    async fn since(&self, number: Option<i64>) -> Result<wire::Changes> {
        let query: Vec<(&str, String)> = number.map(|number| ("since", number.to_string())).into_iter().collect();
        let call = self.0.client.get("postbox.changes", &["changes"], &query)?;
        self.0.session.send(call).await?.json()
    }
}

fn head(number: i64) -> Cursor {
    Cursor::new(VERSION, Fingerprint::of(["changes"]), number.to_string())
}

fn listing(window: &Window) -> (Vec<(&'static str, String)>, Fingerprint) {
    let at = |name, at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| (name, at.timestamp_millis().to_string()));
    let query: Vec<(&str, String)> = at("since", window.since).into_iter().chain(at("until", window.until)).collect();
    // A walk must not be continued with another window.
    let made_for = Fingerprint::of(query.iter().map(|(name, value)| format!("{name}={value}")));
    (query, made_for)
}

#[async_trait]
impl Feed for PostboxFeed {
    type Item = MailItem;

    fn capabilities(&self) -> FeedCapabilities {
        FeedCapabilities::new(20, CALL).with_anchor_first().with_newest_first()
    }

    async fn partitions(&self, _: Option<&Cursor>) -> Result<PartitionPage> {
        Ok(PartitionPage::new(vec![Partition::new(PartitionId::new("letters"), "Letters")], None))
    }

    async fn anchor(&self, _: &PartitionId) -> Result<Option<Cursor>> {
        Ok(Some(head(self.since(None).await?.until)))
    }

    async fn snapshot(&self, _: &PartitionId, window: &Window, at: Option<&Cursor>) -> Result<ChangePage<MailItem>> {
        let (mut query, made_for) = listing(window);
        if let Some(at) = at {
            query.push(("before", at.position(VERSION, &made_for)?.to_owned()));
        }
        let list = self.0.list(&query).await?;
        let next = match list.letters.last() {
            Some(last) if list.more => Next::More(Cursor::new(VERSION, made_for, last.number.to_string())),
            _ => Next::Done { head: None },
        };
        let change = |stub: wire::Stub| Change::Upsert {
            key: ItemKey::new(stub.id),
            group: None,
            revision: Revision::ordered(stub.number),
            body: sync::Body::Deferred,
        };
        Ok(ChangePage::new(list.letters.into_iter().map(change).collect(), next))
    }

    async fn changes(&self, _: &PartitionId, since: &Cursor) -> Result<ChangePage<MailItem>> {
        let position = since.position(VERSION, &Fingerprint::of(["changes"]))?;
        let number = position.parse().map_err(|_| Error::new(ErrorKind::CursorExpired, "the position is no number"))?;
        let page = self.since(Some(number)).await?;
        let change = |changed: wire::Changed| {
            let key = ItemKey::new(changed.id);
            if changed.gone {
                return Change::Removed { key, how: Removal::Gone };
            }
            Change::Upsert { key, group: None, revision: Revision::ordered(changed.number), body: sync::Body::Deferred }
        };
        let next = head(page.until);
        let next = if page.more { Next::More(next) } else { Next::Done { head: Some(next) } };
        Ok(ChangePage::new(page.changes.into_iter().map(change).collect(), next))
    }

    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<MailItem>>> {
        self.0.letters(keys.to_vec(), Depth::Full, |message| MailItem::Message(Box::new(message))).await
    }
}

/// The hub does the rest: sign-in, tokens, retries, quotas, the sync and the timeline.
#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let service = PostboxService::start().await?;
    let letter = |from: &str, subject: &str| {
        format!(
            "From: {from}\r\nTo: ada@postbox.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@mail.example>\r\n\r\nWell?\r\n"
        )
    };
    service.deliver(letter("ann@acme.example", "Offer"), "inbox", false, Utc::now());
    let gone = service.deliver(letter("ann@acme.example", "Mistake"), "inbox", false, Utc::now());
    let contacts = CsvDirectory::parse(b"name,email,company,deal\nAnn,ann@acme.example,Acme,Acme 2027\n")?;
    let postbox = Postbox::new(&service.origin())?;
    let app = postbox.profile().app.clone();
    let hub = Hub::builder(Stores::memory(), Arc::new(KeyRing::generate()))
        .with_connector(postbox)
        .with_directory(Arc::new(contacts))
        .build()?;

    let tenant = TenantId::new("tenant-1");
    let ask = Authorise::new([Capability::MailRead, Capability::MailSend], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &app, ask).await?;
    let request = http::Request::get(authorisation.url.as_str()).body(Body::default())?;
    let answer = ReqwestTransport::new()?.execute(request).await?;
    let back = answer.headers().get("location").ok_or("Postbox sent nobody back")?.to_str()?.parse::<Url>()?;
    let completion =
        hub.complete(&CallbackQuery::parse(back.query().unwrap_or_default())?, &authorisation.binding).await?;
    println!("{}", words::of(&completion.outcome));
    let ConnectOutcome::Granted { connections, .. } = completion.outcome else { return Err("not granted".into()) };
    let id = &connections[0].id;

    let sync = async || -> std::result::Result<(), Box<dyn std::error::Error>> {
        loop {
            match hub.run(Job::sync_mail(&tenant, id), &Shutdown::default()).await {
                JobOutcome::Continue => {}
                JobOutcome::Failed { error, .. } => return Err(error.into()),
                _ => break,
            }
        }
        for activity in hub.activities(&tenant).await? {
            println!("timeline: {}: {}", activity.summary.from, activity.summary.subject);
        }
        Ok(())
    };
    sync().await?;
    service.deliver(letter("ann@acme.example", "Reminder"), "inbox", false, Utc::now());
    service.remove(&gone);
    sync().await?;

    let mail = hub.email(&tenant, id).await?;
    let mut query = MessageQuery::default();
    query.text = Some("reminder".to_owned());
    let found: Vec<_> = mail.messages(query).try_collect().await?;
    println!("found by \"reminder\": {}", found.len());
    let mut answer = Outgoing::default();
    answer.to = vec![Address::new("ann@acme.example")];
    answer.subject = "Re: Offer".to_owned();
    answer.text = Some("Yes!".to_owned());
    let key = SendKey::new("answer-1@postbox.example");
    let sent = mail.send(&answer, &SendOptions::default().with_key(key.clone())).await?;
    let found = mail.find_sent(&key).await?.ok_or("what was sent is not found")?;
    println!("sent as {}, found as {}", sent.id, found.id);
    Ok(())
}
