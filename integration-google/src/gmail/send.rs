//! Sending, and finding out what was sent.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/sending>.

use integration_core::{
    Result,
    email::{Outgoing, SendKey, SendOptions, Sent, compose},
    ids::{MessageId, ThreadId},
};

use super::{Gmail, convert, query, wire};

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

/// The message that was sent under this key.
pub(super) async fn find_sent(gmail: &Gmail, key: &SendKey) -> Result<Option<Sent>> {
    let parameters = vec![
        ("q", query::by_message_id(key.as_str()).into()),
        ("labelIds", "SENT".into()),
        // Deleting it afterwards does not unsend it.
        ("includeSpamTrash", "true".into()),
        ("maxResults", "1".into()),
    ];
    let list: wire::MessageList = gmail.session.send(gmail.client.list(parameters)?).await?.json()?;
    let stub = list.messages.first().and_then(|stub| serde_json::from_str::<wire::Stub>(stub.get()).ok());
    Ok(stub.map(|stub| {
        let thread = stub.thread_id.map(ThreadId::new);
        Sent::new(MessageId::new(stub.id), thread, Some(key.as_str().to_owned()))
    }))
}
