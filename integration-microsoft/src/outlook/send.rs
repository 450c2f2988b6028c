//! Sending, and finding out what was sent.
//! Source: <https://learn.microsoft.com/graph/outlook-send-mail-from-other-user> and the pages beside it.
//!
//! There is no key by which the service would recognise a repeated sending. So a mail is put among the drafts first, where
//! nobody sees it but its owner, marked with the key; then that draft is sent. It keeps its id: whether it left is asked
//! by that, and later by the key.

use std::collections::BTreeSet;

use integration_core::{
    Error, ErrorKind, Result,
    email::{LookUp, Outgoing, OutgoingAttachment, SendKey, SendOptions, Sent, compose},
    http::Call,
    ids::{MessageId, ThreadId},
};

use super::{Outlook, convert, error, fetch, query, upload, wire};
use crate::client::{KEY_PROPERTY, LARGEST_PLAIN, Query, operation};

/// How many messages under one key, or one `Message-ID`, are asked for at once.
const FEW: &str = "25";
/// How many pages of them are looked through, empty ones too.
const MAX_PAGES: usize = 50;

/// Sends a message once.
pub(super) async fn send(outlook: &Outlook, mail: &Outgoing, options: &SendOptions) -> Result<Sent> {
    let draft = draft(outlook, mail, options.key.as_ref()).await?;
    if let Err(error) = submit(outlook, &draft.id).await {
        if error.kind() != ErrorKind::OutcomeUnknown {
            discard(outlook, &draft.id).await;
        }
        return Err(error);
    }
    // The copy among what was sent may lag; what is known of the draft stays true of it, but for the Message-ID.
    let sent = state(outlook, &draft.id).await.ok().flatten().filter(|state| state.is_draft == Some(false));
    let mut answer = told(draft);
    answer.message_id = sent.and_then(|sent| told(sent).message_id);
    Ok(answer)
}

/// Puts a message among the drafts, whole and marked. Where that fails nothing is left behind, as far as possible.
pub(super) async fn draft(outlook: &Outlook, mail: &Outgoing, key: Option<&SendKey>) -> Result<wire::Message> {
    let now = outlook.session.parts().clock.now();
    let key = key.map(SendKey::as_str);
    let mut raw = compose::compose(mail, key, now)?;
    let mut files: &[OutgoingAttachment] = &[];
    if raw.len() > LARGEST_PLAIN {
        let mut text = mail.clone();
        files = &mail.attachments;
        text.attachments.clear();
        raw = compose::compose(&text, key, now)?;
    }
    if raw.len() > LARGEST_PLAIN {
        let message = format!("a text of {} bytes is longer than Outlook takes ({LARGEST_PLAIN})", raw.len());
        return Err(error(ErrorKind::InvalidInput, &message).with_operation(operation::CREATE));
    }
    let draft = create(outlook, mail, &raw).await.map_err(unsent)?;
    match finish(outlook, &draft.id, files, key).await {
        Ok(()) => Ok(draft),
        Err(error) => {
            discard(outlook, &draft.id).await;
            Err(unsent(error))
        }
    }
}

/// As an answer where the question lies in this mailbox: it joins that conversation for sure.
async fn create(outlook: &Outlook, mail: &Outgoing, raw: &[u8]) -> Result<wire::Message> {
    let question = question(outlook, mail).await?;
    let call = match &question {
        Some(question) => outlook.client.create_reply(&question.id, raw)?,
        None => outlook.client.create(raw)?,
    };
    let answer = outlook.session.send(call).await;
    // The service takes what is answered for read, also where its answer did not come through.
    if let Some(question) = question.filter(|question| question.is_read == Some(false)) {
        leave_unread(outlook, &question.id).await;
    }
    let draft: wire::Message = answer?.json()?;
    if draft.id.is_empty() {
        return Err(error(ErrorKind::Validation, "the draft came without its id").with_operation(operation::CREATE));
    }
    Ok(draft)
}

/// Whether somebody has read a message is not for an answer to say. Where that cannot be set right, the answer goes all
/// the same.
async fn leave_unread(outlook: &Outlook, question: &str) {
    let restored = match outlook.client.mark_unread(question) {
        Ok(call) => outlook.session.send(call).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = restored {
        tracing::warn!(error = %error, "a message that is answered counts as read now");
    }
}

/// The message that is answered, if it is in this mailbox.
async fn question(outlook: &Outlook, mail: &Outgoing) -> Result<Option<wire::Message>> {
    let Some(parent) = &mail.in_reply_to else { return Ok(None) };
    let (Some(thread), Some(id)) = (&parent.thread, &parent.message_id) else { return Ok(None) };
    let theirs =
        |one: &wire::Message| one.conversation_id.as_deref() == Some(thread.as_str()) && one.is_draft != Some(true);
    let mut known = Listing::new(outlook, query::by_message_id(id))?;
    while let Some(page) = known.next().await? {
        if let Some(question) = page.into_iter().find(theirs) {
            return Ok(Some(question));
        }
    }
    Ok(None)
}

async fn finish(outlook: &Outlook, draft: &str, files: &[OutgoingAttachment], key: Option<&str>) -> Result<()> {
    if let Some(key) = key {
        let marked = outlook.session.send(outlook.client.mark(draft, key)?).await;
        match marked {
            // The service still works on the draft at times: its version moved on below us.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                outlook.session.send(outlook.client.mark(draft, key)?).await?;
            }
            other => drop(other?),
        }
    }
    for file in files {
        upload::attach(outlook, draft, file).await?;
    }
    Ok(())
}

/// What went wrong before a draft was sent has a known outcome: nothing left.
fn unsent(error: Error) -> Error {
    if error.kind() != ErrorKind::OutcomeUnknown {
        return error;
    }
    let message = "the draft could not be finished; nothing was sent";
    self::error(ErrorKind::Unavailable, message).with_operation(operation::CREATE).with_source(error)
}

/// A draft that will not be sent. Where it cannot be taken away it stays among the owner's drafts.
async fn discard(outlook: &Outlook, draft: &str) {
    let discarded = match outlook.client.delete(draft) {
        Ok(call) => outlook.session.send(call).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = discarded {
        tracing::warn!(error = %error, "a draft that was not sent could not be taken away");
    }
}

/// Sends a draft. An unknown outcome is looked up: the same draft cannot leave twice.
async fn submit(outlook: &Outlook, draft: &str) -> Result<()> {
    let unknown = match outlook.session.send(outlook.client.submit(draft)?).await {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => error,
        Err(error) => return Err(error),
    };
    match state(outlook, draft).await {
        Ok(Some(state)) if state.is_draft == Some(false) => return Ok(()),
        Ok(Some(state)) if state.is_draft == Some(true) => {}
        // Not where it was, or not told now: its key will tell.
        Ok(_) | Err(_) => return Err(unknown),
    }
    // It is a draft still. Sent again, it is the same message; what the service refuses now may have left just before.
    match outlook.session.send(outlook.client.submit(draft)?).await {
        Ok(_) => Ok(()),
        Err(_) => Err(unknown),
    }
}

/// What is known of a message now; `None` if it is gone.
async fn state(outlook: &Outlook, id: &str) -> Result<Option<wire::Message>> {
    let paths = [outlook.client.state_path(id)?];
    match fetch::ask(outlook, operation::GET, &paths).await?.pop() {
        Some(fetch::Reply::Body(body)) => serde_json::from_slice(&body).map(Some).map_err(|error| {
            self::error(ErrorKind::Validation, "the state of a message cannot be read").with_source(error)
        }),
        Some(fetch::Reply::NotYet(error)) => Err(error),
        Some(fetch::Reply::Gone) | None => Ok(None),
    }
}

fn told(message: wire::Message) -> Sent {
    let thread = message.conversation_id.filter(|id| !id.is_empty()).map(ThreadId::new);
    let bare = message.internet_message_id.as_deref().and_then(integration_core::email::parse::message_id);
    Sent::new(MessageId::new(message.id), thread, bare)
}

/// The message that was sent under this key: by the mark it carries, else by its `Message-ID`. Absent only if nothing that may
/// be it was left out.
///
/// A draft under the key did not leave; so that it never does, it is taken away before that is proved. At a glance it is let
/// be: it may be about to leave.
pub(super) async fn find_sent(outlook: &Outlook, key: &SendKey) -> Result<Option<Sent>> {
    let marked = format!(
        "singleValueExtendedProperties/any(ep: ep/id eq '{KEY_PROPERTY}' and ep/value eq '{}')",
        query::literal(key.as_str())
    );
    let (mut drafts, mut unclear) = (BTreeSet::new(), false);
    for filter in [marked, query::by_message_id(key.as_str())] {
        let mut listing = Listing::new(outlook, filter)?;
        while let Some(page) = listing.next().await? {
            let (sent, others): (Vec<_>, Vec<_>) = page.into_iter().partition(|one| one.is_draft == Some(false));
            // Always the same one, should a host have used a key twice: the first.
            let at = |one: &wire::Message| (convert::instant(one.received_date_time.as_deref()), one.id.clone());
            if let Some(first) = sent.into_iter().min_by_key(at) {
                return Ok(Some(told(first)));
            }
            unclear |= others.iter().any(|one| one.is_draft.is_none());
            drafts.extend(others.into_iter().map(|draft| draft.id));
        }
    }
    if unclear {
        return Err(cannot_tell("the service does not say whether a message was sent or is a draft"));
    }
    if key.look_up() == LookUp::Proof {
        for draft in drafts {
            outlook.session.send(outlook.client.delete(&draft)?).await?;
        }
    }
    Ok(None)
}

/// What a filter lets through, wherever it lies: deleting it afterwards does not unsend it. Page by page.
struct Listing<'a> {
    outlook: &'a Outlook,
    call: Option<Call>,
    link: Option<String>,
    pages: usize,
}

impl<'a> Listing<'a> {
    fn new(outlook: &'a Outlook, filter: String) -> Result<Self> {
        let parameters: Query<'_> = vec![("$filter", filter.into()), ("$top", FEW.into())];
        let call = Some(outlook.client.list(None, parameters)?);
        Ok(Self { outlook, call, link: None, pages: 0 })
    }

    /// The next page, which may be empty without being the last; `None` behind the last.
    async fn next(&mut self) -> Result<Option<Vec<wire::Message>>> {
        let Some(call) = self.call.take() else { return Ok(None) };
        if self.pages == MAX_PAGES {
            return Err(cannot_tell("more messages carry the key than are looked through"));
        }
        self.pages += 1;
        let mut page: wire::Page = self.outlook.session.send(call).await?.json()?;
        // What cannot be read may be the very message: then nobody knows that it was not sent.
        let read = |json: &str| serde_json::from_str::<wire::Message>(json).ok().filter(|one| !one.id.is_empty());
        let found: Option<Vec<_>> = page.value.iter().map(|entry| read(entry.get())).collect();
        let found = found.ok_or_else(|| cannot_tell("a message that may be the sent one cannot be read"))?;
        if let Some(link) = page.next() {
            if self.link.as_ref() == Some(&link) {
                return Err(cannot_tell("the search for a sent message does not end"));
            }
            self.call = Some(self.outlook.client.list_link(&link)?);
            self.link = Some(link);
        }
        Ok(Some(found))
    }
}

/// Nobody knows then that it was not sent.
fn cannot_tell(why: &str) -> Error {
    error(ErrorKind::Validation, why).with_operation(operation::LIST)
}
