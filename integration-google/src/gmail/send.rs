//! Sending, and finding out what was sent.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/sending>.

use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, Outgoing, SendKey, SendOptions, Sent, compose},
    ids::{MessageId, ThreadId},
    outbox::SEND_KEY_HEADER,
    sync::Fetched,
};

use super::{Gmail, convert, fetch, query, wire};

/// Where a mail whose `Message-ID` was replaced is looked for.
const LATEST: &str = "newer_than:2d";
/// How many of them: each costs as much as reading it.
const LATEST_COUNT: &str = "25";

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

/// The message that was sent under this key: by its `Message-ID`, else among the latest by the header that carries the key,
/// because Gmail replaces a `Message-ID` at times, and cannot search by another header.
pub(super) async fn find_sent(gmail: &Gmail, key: &SendKey) -> Result<Option<Sent>> {
    let stub = sent(gmail, query::by_message_id(key.as_str()), "1").await?.into_iter().next();
    if let Some(stub) = stub {
        let thread = stub.thread_id.map(ThreadId::new);
        return Ok(Some(Sent::new(MessageId::new(stub.id), thread, Some(key.as_str().to_owned()))));
    }
    let latest = sent(gmail, LATEST.to_owned(), LATEST_COUNT).await?;
    let ids = latest.iter().map(|stub| stub.id.as_str());
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
            _ => {}
        }
    }
    Ok(None)
}

/// What is, or was, in the sent folder; newest first.
async fn sent(gmail: &Gmail, search: String, count: &'static str) -> Result<Vec<wire::Stub>> {
    let parameters = vec![
        ("q", search.into()),
        ("labelIds", "SENT".into()),
        // Deleting it afterwards does not unsend it.
        ("includeSpamTrash", "true".into()),
        ("maxResults", count.into()),
    ];
    let list: wire::MessageList = gmail.session.send(gmail.client.list(parameters)?).await?.json()?;
    Ok(list.messages.iter().filter_map(|stub| serde_json::from_str(stub.get()).ok()).collect())
}
