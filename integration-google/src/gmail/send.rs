//! Sending, and finding out what was sent.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/sending>.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::header::DATE;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, LookUp, Outgoing, SendKey, SendOptions, Sent, compose},
    ids::{MessageId, ThreadId},
    outbox::SEND_KEY_HEADER,
    sync::Fetched,
};

use super::{Gmail, convert, fetch, query, wire};

/// Where a mail whose `Message-ID` was replaced is looked for, if nobody says since when: an outbox gives up after a day.
const LATEST: &str = "newer_than:2d";
/// How exactly Google's clock is known from its answers, and our own where they do not tell.
const BY_THEIR_CLOCK: TimeDelta = TimeDelta::minutes(10);
const BY_OUR_CLOCK: TimeDelta = TimeDelta::minutes(70);
/// How many are listed at once; at a glance, how many of the newest are looked at.
const PAGE: &str = "100";
const GLANCE: &str = "25";
/// How many pages are looked through: each message costs as much as reading it.
const MAX_PAGES: usize = 30;

/// Sends a message once.
pub(super) async fn send(gmail: &Gmail, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
    let parts = gmail.session.parts();
    let raw = compose::compose(mail, options.key.as_ref().map(SendKey::as_str), parts.clock.now())?;
    let boundary = parts.random.token(18);
    let sent: wire::Stub = gmail.session.send(gmail.client.send(&raw, thread(mail), &boundary)?).await?.json()?;
    let message_id = written_id(gmail, &sent.id).await;
    Ok(Sent::new(MessageId::new(sent.id), sent.thread_id.map(ThreadId::new), message_id))
}

/// The conversation to send into. Gmail wants it together with the parent's `Message-ID`, without which the recipient
/// would see a new conversation.
fn thread(mail: &Outgoing) -> Option<&str> {
    let parent = mail.in_reply_to.as_ref().filter(|parent| parent.message_id.is_some())?;
    parent.thread.as_ref().map(ThreadId::as_str)
}

/// The `Message-ID` it really left with: Gmail replaces ours at times. Unknown where the grant only allows sending.
async fn written_id(gmail: &Gmail, id: &str) -> Option<String> {
    let answer = gmail.session.send(gmail.client.message_id(id).ok()?).await.ok()?;
    let message: wire::Message = answer.json().ok()?;
    convert::headers(&message.payload?.headers).message_id
}

/// The message that was sent under this key: by its `Message-ID`, else by the header that carries the key, in all that was
/// sent since: Gmail replaces a `Message-ID` at times, and cannot search by another header. Absent only if nothing that may
/// be it was left out.
pub(super) async fn find_sent(gmail: &Gmail, key: &SendKey) -> Result<Option<Sent>> {
    let mut named = Listing::new(query::by_message_id(key.as_str()), LookUp::Proof);
    while let Some(stubs) = named.next(gmail).await? {
        if let Some(stub) = stubs.into_iter().next() {
            let thread = stub.thread_id.map(ThreadId::new);
            return Ok(Some(Sent::new(MessageId::new(stub.id), thread, Some(key.as_str().to_owned()))));
        }
    }
    let within = key.age().map(|age| {
        let until = key.ended().and_then(|ended| named.ago(gmail, ended, TimeDelta::checked_sub));
        let since = named.ago(gmail, age, TimeDelta::checked_add);
        query::sent_within(since.unwrap_or(DateTime::UNIX_EPOCH), until)
    });
    let mut latest = Listing::new(within.unwrap_or_else(|| LATEST.to_owned()), key.look_up());
    while let Some(stubs) = latest.next(gmail).await? {
        if let Some(sent) = marked(gmail, key, &stubs).await? {
            return Ok(Some(sent));
        }
    }
    Ok(None)
}

/// The one of these messages that carries the key.
async fn marked(gmail: &Gmail, key: &SendKey, stubs: &[wire::Stub]) -> Result<Option<Sent>> {
    let ids = stubs.iter().map(|stub| stub.id.as_str());
    for fetched in fetch::fetch(gmail, ids, Depth::Headers, |message| message).await? {
        match fetched {
            Fetched::Present { item, .. } if item.headers.get(SEND_KEY_HEADER) == Some(key.as_str()) => {
                return Ok(Some(Sent::new(MessageId::new(item.id), item.thread, item.message_id)));
            }
            // One that was not looked at may be the one.
            Fetched::NotYet(_, error) => {
                let message = "the service does not say now what was sent";
                return Err(Error::new(ErrorKind::Unavailable, message).with_service("google").with_source(error));
            }
            Fetched::Malformed { .. } => return Err(cannot_tell("a message that may be the sent one cannot be read")),
            _ => {}
        }
    }
    Ok(None)
}

/// What is, or was, in the sent folder and answers a search; newest first, page by page.
struct Listing {
    search: String,
    look: LookUp,
    page: Option<String>,
    pages: usize,
    ended: bool,
    /// Google's clock, as the latest answer told it.
    told: Option<DateTime<Utc>>,
}

impl Listing {
    fn new(search: String, look: LookUp) -> Self {
        Self { search, look, page: None, pages: 0, ended: false, told: None }
    }

    /// So long ago by Google's clock, and by what that is not exactly known on the safe side.
    fn ago(
        &self,
        gmail: &Gmail,
        age: Duration,
        safely: fn(&TimeDelta, &TimeDelta) -> Option<TimeDelta>,
    ) -> Option<DateTime<Utc>> {
        let ours = || (gmail.session.parts().clock.now(), BY_OUR_CLOCK);
        let (now, doubt) = self.told.map_or_else(ours, |told| (told, BY_THEIR_CLOCK));
        now.checked_sub_signed(safely(&TimeDelta::from_std(age).ok()?, &doubt)?)
    }

    /// The next page, which may be empty without being the last; `None` behind the last.
    async fn next(&mut self, gmail: &Gmail) -> Result<Option<Vec<wire::Stub>>> {
        if self.ended {
            return Ok(None);
        }
        if self.pages == MAX_PAGES {
            return Err(cannot_tell("more was sent since than is looked through"));
        }
        let glance = self.look == LookUp::Glance;
        let mut parameters = vec![
            ("q", self.search.as_str().into()),
            ("labelIds", "SENT".into()),
            // Deleting it afterwards does not unsend it.
            ("includeSpamTrash", "true".into()),
            ("maxResults", if glance { GLANCE } else { PAGE }.into()),
        ];
        parameters.extend(self.page.as_deref().map(|page| ("pageToken", page.into())));
        let answer = gmail.session.send(gmail.client.list(parameters)?).await?;
        let date = answer.headers.get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        self.told = date.map(|date| date.to_utc());
        let list: wire::MessageList = answer.json()?;
        let read = |stub: &str| serde_json::from_str::<wire::Stub>(stub).ok().filter(|stub| !stub.id.is_empty());
        let stubs: Option<Vec<_>> = list.messages.iter().map(|stub| read(stub.get())).collect();
        let stubs = stubs.ok_or_else(|| cannot_tell("a message that may be the sent one is not named"))?;
        self.pages += 1;
        self.ended = glance || list.next_page_token.is_none();
        if !self.ended && list.next_page_token == self.page {
            return Err(cannot_tell("the listing of what was sent does not end"));
        }
        self.page = list.next_page_token;
        Ok(Some(stubs))
    }
}

/// Nobody knows then that it was not sent.
fn cannot_tell(why: &str) -> Error {
    Error::new(ErrorKind::Validation, why).with_service("google")
}
