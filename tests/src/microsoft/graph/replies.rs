//! Answers and forwards.

use http::StatusCode;
use serde_json::Value;

use super::answer::{Answered, Refusal};
use super::changes::READ;
use super::folders::DRAFTS;
use super::mail::{Body, Mail, Party, message_ids};
use super::message::{member, mime_body, shown};
use super::methods::Op;
use super::send::{let_go, message_of, save, transmit};
use super::settings::DraftComment;
use super::state::State;
use super::{Context, Graph, drafts, html};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Forward,
    Reply,
    ReplyAll,
}

impl Kind {
    fn of(op: Op) -> Self {
        match op {
            Op::MessagesCreateForward | Op::MessagesForward => Self::Forward,
            Op::MessagesCreateReplyAll | Op::MessagesReplyAll => Self::ReplyAll,
            _ => Self::Reply,
        }
    }
}

/// Makes the draft of an answer.
pub(super) fn create(state: &mut State, context: &Context<'_>) -> Answered {
    let (mail, properties) = answer(state, context, context.settings.draft_comment)?;
    let number = drafts::store(state, context, &mail, DRAFTS, &properties)?;
    let account = state.account(&context.mailbox);
    let conversation = account.find(&context.route.id)?.conversation;
    if let Some(draft) = account.messages.get_mut(&number) {
        draft.conversation = conversation;
    }
    shown(state, context, number, StatusCode::CREATED)
}

/// Answers in one step.
pub(super) fn send(graph: &Graph, context: &Context<'_>) -> Answered {
    let leaving = {
        let state = &mut *graph.lock();
        let (mut mail, properties) = answer(state, context, DraftComment::Kept)?;
        let (copy, leaving) = transmit(state, context, &mut mail)?;
        save(state, context, copy, &properties)?;
        leaving
    };
    Ok(let_go(context, leaving))
}

/// The answer that a request describes. The original is marked as read.
fn answer(state: &mut State, context: &Context<'_>, comment: DraftComment) -> Result<(Mail, Value), Refusal> {
    let account = state.account(&context.mailbox);
    let stored = account.find(&context.route.id)?;
    let (number, original) = (stored.number, Mail::read(&stored.source.bytes()));
    let kind = Kind::of(context.route.op);
    let (mail, properties) = match mime_body(context)? {
        Some(raw) => {
            let mut mail = Mail::read(&raw);
            if mail.header("in-reply-to").is_none() {
                refer(&mut mail, &original);
            }
            (mail, Value::Null)
        }
        None => {
            let body = context.json()?;
            let properties = message_of(&body);
            let said = member(&body, "comment").and_then(Value::as_str);
            if said.is_some() && member(&properties, "body").is_some() {
                return Err(Refusal::invalid("Specify either the comment or the body of the message, not both."));
            }
            let mut mail = begun(&original, kind, &context.mailbox);
            let said = said.filter(|_| comment == DraftComment::Kept).unwrap_or_default();
            mail.body = quoted(&original, said);
            // Forwarding names the recipients beside the message.
            drafts::apply(&mut mail, &recipients_only(&body))?;
            drafts::apply(&mut mail, &properties)?;
            (mail, properties)
        }
    };
    let mut mail = mail;
    account.change(number, context.now_ms, |stored| {
        let mask = if stored.read { 0 } else { READ };
        stored.read = true;
        mask
    });
    drafts::complete(state, &context.mailbox, &mut mail);
    Ok((mail, properties))
}

fn recipients_only(body: &Value) -> Value {
    match member(body, "toRecipients") {
        Some(to) => serde_json::json!({"toRecipients": to}),
        None => Value::Null,
    }
}

/// Says what is answered.
fn refer(mail: &mut Mail, original: &Mail) {
    if original.message_id.is_empty() {
        return;
    }
    let mut references = message_ids(original.header("references").unwrap_or_default());
    references.push(original.message_id.clone());
    mail.set_header("In-Reply-To", &original.message_id);
    mail.set_header("References", &references.join(" "));
}

/// Subject, recipients and references.
fn begun(original: &Mail, kind: Kind, own: &str) -> Mail {
    let mut mail = Mail::default();
    let mark = if kind == Kind::Forward { "FW: " } else { "RE: " };
    let marked = original.subject.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    mail.subject = if marked { original.subject.clone() } else { format!("{mark}{}", original.subject) };
    refer(&mut mail, original);
    if kind == Kind::Forward {
        mail.attachments = original.attachments.clone();
        return mail;
    }
    // What hangs on the original stays there, except what its text shows.
    mail.attachments = original.attachments.iter().filter(|a| a.inline).cloned().collect();
    let answered =
        if original.reply_to.is_empty() { original.from.iter().cloned().collect() } else { original.reply_to.clone() };
    mail.to = answered;
    if kind == Kind::ReplyAll {
        let others = |parties: &[Party], known: &[Party]| -> Vec<Party> {
            let new =
                |p: &&Party| !p.address.eq_ignore_ascii_case(own) && !known.iter().any(|k| k.address == p.address);
            parties.iter().filter(new).cloned().collect()
        };
        let to = others(&original.to, &mail.to);
        mail.to.extend(to);
        mail.cc = others(&original.cc, &mail.to);
    }
    mail
}

/// The comment above the original.
fn quoted(original: &Mail, comment: &str) -> Body {
    let names = |parties: &[Party]| parties.iter().map(name).collect::<Vec<_>>().join("; ");
    let from = original.from.as_ref().map(name).unwrap_or_default();
    let sent = original.date.map(|date| date.format("%A, %B %-d, %Y %-I:%M:%S %p").to_string()).unwrap_or_default();
    let line = |label: &str, value: &str| format!("<b>{label}:</b> {}<br>\r\n", escaped(value));
    let head = [
        line("From", &from),
        line("Sent", &sent),
        line("To", &names(&original.to)),
        line("Subject", &original.subject),
    ];
    let page = original.body.html();
    let inner = html::inside(&page);
    Body::Html(format!(
        "<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body>\r\n\
         <div>{}</div>\r\n<hr tabindex=\"-1\" style=\"display:inline-block; width:98%\">\r\n\
         <div id=\"divRplyFwdMsg\" dir=\"ltr\">{}</div>\r\n<div>{inner}</div>\r\n</body></html>",
        escaped(comment),
        head.concat(),
    ))
}

fn name(party: &Party) -> String {
    if party.name.is_empty() { party.address.clone() } else { format!("{} <{}>", party.name, party.address) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br>\n")
}
