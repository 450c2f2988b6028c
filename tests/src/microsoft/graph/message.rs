//! Single messages: reading, moving, deleting.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::answer::{Answered, Refusal, answer, empty, json, ok};
use super::compose::{Hidden, compose};
use super::folders::{RECOVERABLE, TRASH};
use super::mail::Mail;
use super::methods::Op;
use super::render::{Shown, View};
use super::settings::DeleteLands;
use super::state::State;
use super::{Context, Graph};

/// Reads a message, as properties or as raw text.
pub(super) fn read(graph: &Graph, context: &Context<'_>) -> Answered {
    let shown = {
        let mut state = graph.lock();
        let account = state.account(&context.mailbox);
        let stored = account.find(&context.route.id)?;
        Shown::new(account, stored, context.settings.id_letters)
    };
    if context.route.op == Op::MessagesValue {
        let raw = compose(&Mail::read(&shown.stored.source.bytes()), Hidden::Left);
        return Ok(answer(StatusCode::OK, "text/plain", raw));
    }
    context.query.only(&["$select", "$expand"])?;
    let view = View::of(&context.query, &context.prefer, context.access, context.settings.id_letters)?;
    Ok(ok(&with_context(shown.message(&view), context)))
}

fn with_context(mut message: Value, context: &Context<'_>) -> Value {
    message["@odata.context"] = Value::String(context.odata_context("messages/$entity"));
    message
}

/// The message as an action shows it.
pub(super) fn shown(state: &mut State, context: &Context<'_>, number: u64, status: StatusCode) -> Answered {
    let letters = context.settings.id_letters;
    let account = state.account(&context.mailbox);
    let stored = account.messages.get(&number).ok_or_else(Refusal::item_not_found)?;
    let view = View { prefer: context.prefer.clone(), letters, ..View::default() };
    let message = Shown::new(account, stored, letters).message(&view);
    Ok(json(status, &with_context(message, context)))
}

/// Moves or copies a message.
pub(super) fn place(state: &mut State, context: &Context<'_>) -> Answered {
    let body = context.json()?;
    let account = state.account(&context.mailbox);
    let number = account.find(&context.route.id)?.number;
    let destination = member(&body, "destinationId").and_then(Value::as_str).unwrap_or_default();
    let folder = account.folder_number(destination)?;
    let number = if context.route.op == Op::MessagesMove {
        account.relocate(number, folder, context.now_ms);
        number
    } else {
        account.copy(number, folder, context.now_ms).ok_or_else(Refusal::item_not_found)?
    };
    shown(state, context, number, StatusCode::CREATED)
}

/// Deletes a message so that it can be recovered, or for good.
pub(super) fn delete(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(&context.mailbox);
    let stored = account.find(&context.route.id)?;
    let (number, folder) = (stored.number, stored.folder);
    if context.route.op == Op::MessagesPurge || folder == RECOVERABLE {
        account.remove(number);
    } else {
        let lands = match context.settings.delete_lands {
            DeleteLands::DeletedItems if folder != TRASH => TRASH,
            _ => RECOVERABLE,
        };
        account.recycle(number, lands, context.now_ms);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The member of an object, whatever the case of its name.
pub(super) fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The raw message in a body: base64 of MIME.
pub(super) fn mime_body(context: &Context<'_>) -> Result<Option<Bytes>, Refusal> {
    use base64::Engine;
    let kind = context.request.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if !kind.unwrap_or_default().to_ascii_lowercase().starts_with("text/plain") {
        return Ok(None);
    }
    let text: Vec<u8> = context.request.body().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let wrong = || Refusal::new(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.");
    let raw = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| wrong())?;
    let raw = Bytes::from(raw);
    if crate::mime::parse_headers(&raw).0.is_empty() {
        return Err(Refusal::new(400, "ErrorMimeContentInvalid", "The MIME content is invalid."));
    }
    Ok(Some(raw))
}
