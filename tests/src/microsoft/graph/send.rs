//! Sending: mailboxes among the recipients receive it, the sender keeps a copy.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::{Answered, Refusal, empty};
use super::compose::{Hidden, compose};
use super::folders::{INBOX, SENT};
use super::mail::Mail;
use super::message::member;
use super::methods::Op;
use super::state::State;
use super::stored::{NewMail, Source, Stored};
use super::{Context, Graph, drafts};

const MOST_RECIPIENTS: usize = 500;

/// Mail for addresses that have no mailbox here.
pub(super) type Leaving = Vec<(String, Bytes)>;

/// Sends a draft, or a message that was never one.
pub(super) fn answer(graph: &Graph, context: &Context<'_>) -> Answered {
    let leaving = {
        let state = &mut *graph.lock();
        match context.route.op {
            Op::MessagesSend => draft(state, context)?,
            _ => at_once(state, context)?,
        }
    };
    Ok(let_go(context, leaving))
}

/// Hands on what leaves; says that the message was accepted.
pub(super) fn let_go(context: &Context<'_>, leaving: Leaving) -> crate::call::ApiAnswer {
    if let Some(outbound) = &context.settings.outbound {
        leaving.iter().for_each(|(address, raw)| outbound(address, raw, context.call.now));
    }
    empty(StatusCode::ACCEPTED)
}

fn draft(state: &mut State, context: &Context<'_>) -> Result<Leaving, Refusal> {
    let stored = state.account(&context.mailbox).find(&context.route.id)?.clone();
    if !stored.draft {
        return Err(Refusal::invalid("The message is no draft."));
    }
    let mut mail = Mail::read(&stored.source.bytes());
    let (copy, leaving) = transmit(state, context, &mut mail)?;
    let account = state.account(&context.mailbox);
    let Some(mut sent) = account.take_out(stored.number) else { return Err(Refusal::item_not_found()) };
    drafts::replace(&mut sent, copy);
    sent.moves += 1;
    sent.draft = false;
    sent.received_ms = context.now_ms;
    keep(state, context, sent);
    Ok(leaving)
}

fn at_once(state: &mut State, context: &Context<'_>) -> Result<Leaving, Refusal> {
    let (mut mail, properties) = drafts::requested(state, context, Some("message"))?;
    let keeps = message_body(context).as_ref().and_then(|body| body.get("savetosentitems")).and_then(Value::as_bool);
    let (copy, leaving) = transmit(state, context, &mut mail)?;
    if keeps != Some(false) {
        save(state, context, copy, &properties)?;
    }
    Ok(leaving)
}

/// The members of the body in lower case, if it is an object.
fn message_body(context: &Context<'_>) -> Option<Map<String, Value>> {
    let body: Value = serde_json::from_slice(context.request.body()).ok()?;
    let members = body.as_object()?.iter();
    Some(members.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect())
}

/// Keeps a copy of what was sent without a draft.
pub(super) fn save(state: &mut State, context: &Context<'_>, copy: Bytes, properties: &Value) -> Result<(), Refusal> {
    let (received_ms, now_ms) = (context.now_ms, context.now_ms);
    let new = NewMail { source: Source::Kept(copy), folder: SENT, received_ms, now_ms, read: true, draft: false };
    let mut sent = state.account(&context.mailbox).make(new);
    drafts::mark(&mut sent, properties)?;
    keep(state, context, sent);
    Ok(())
}

/// Puts the copy into the sent items, now or later.
fn keep(state: &mut State, context: &Context<'_>, mut sent: Stored) {
    sent.folder = SENT;
    sent.read = true;
    sent.modified_ms = context.now_ms;
    let lag = i64::try_from(context.settings.sent_lag.as_millis()).unwrap_or(i64::MAX);
    let account = state.account(&context.mailbox);
    if lag == 0 {
        account.put(sent);
    } else {
        account.lagging.push((context.now_ms.saturating_add(lag), sent));
    }
}

/// Brings a message to its recipients; gives the sender's copy and what leaves.
pub(super) fn transmit(state: &mut State, context: &Context<'_>, mail: &mut Mail) -> Result<(Bytes, Leaving), Refusal> {
    let recipients = recipients(mail)?;
    may_send(state, context, mail)?;
    mail.date = Some(context.call.now);
    let copy = compose(mail, Hidden::Left);
    if copy.len() > context.settings.send_size_max {
        let message = "The message exceeds the maximum supported size.";
        return Err(Refusal::new(413, "ErrorMessageSizeExceeded", message));
    }
    let delivered = compose(mail, Hidden::Out);
    let mut leaving = Vec::new();
    for address in recipients {
        match state.accounts.get_mut(&address).filter(|account| !account.disabled) {
            Some(account) => {
                let (received_ms, now_ms) = (context.now_ms, context.now_ms);
                let source = Source::Kept(delivered.clone());
                account.deliver(NewMail { source, folder: INBOX, received_ms, now_ms, read: false, draft: false });
            }
            None => leaving.push((address, delivered.clone())),
        }
    }
    Ok((copy, leaving))
}

fn recipients(mail: &Mail) -> Result<Vec<String>, Refusal> {
    let wrong = |message: &str| Refusal::new(400, "ErrorInvalidRecipients", message);
    let all = mail.recipients();
    let whole = |address: &String| address.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if all.is_empty() || !all.iter().all(whole) {
        return Err(wrong("At least one recipient isn't valid."));
    }
    if all.len() > MOST_RECIPIENTS {
        return Err(wrong("The message has too many recipients."));
    }
    Ok(all)
}

fn may_send(state: &mut State, context: &Context<'_>, mail: &Mail) -> Result<(), Refusal> {
    let account = state.account(&context.mailbox);
    let from = mail.from.as_ref().map(|from| from.address.to_lowercase()).unwrap_or_default();
    if from == account.address || account.send_as.contains(&from) {
        return Ok(());
    }
    let message = "The user account which was used to submit this request does not have the right to send mail on behalf \
                   of the specified sending account.";
    Err(Refusal::new(403, "ErrorSendAsDenied", message))
}

/// The member `message` of an action's body.
pub(super) fn message_of(body: &Value) -> Value {
    member(body, "message").cloned().unwrap_or(Value::Null)
}
