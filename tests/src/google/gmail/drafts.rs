//! Drafts, as far as sending needs them.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, empty};
use super::methods::Op;
use super::state::{NewMail, Source, State, hex, parse_id};
use super::{Context, message, ok, payload, send, upload};

pub(super) fn answer(state: &mut State, context: &Context<'_>) -> Answered {
    match context.matched.spec.op {
        Op::DraftsList => list(state, context),
        Op::DraftsCreate => create(state, context),
        Op::DraftsSend => dispatch(state, context),
        Op::DraftsGet => {
            let format = message::format(context, true)?;
            let account = state.account(context.account);
            let stored = account.read(draft(account, context.matched.id(0))?, &format)?;
            let shown = payload::message(context.settings, context.account, &stored, &format);
            Ok(ok(&json!({"id": context.matched.id(0), "message": shown})))
        }
        _ => {
            let account = state.account(context.account);
            let id = draft(account, context.matched.id(0))?;
            account.remove(id, context.now);
            Ok(empty(StatusCode::NO_CONTENT))
        }
    }
}

fn draft(account: &super::state::Account, id: &str) -> Result<u64, Refusal> {
    account.drafts.get(id).copied().ok_or_else(Refusal::not_found)
}

/// All drafts on one page; the filters are not imitated.
fn list(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let shown = account.drafts.iter().filter_map(|(id, message)| {
        let stored = account.messages.get(message)?;
        Some(json!({"id": id, "message": {"id": stored.hex(), "threadId": hex(stored.thread)}}))
    });
    let shown: Vec<Value> = shown.take(context.matched.page_size()?).collect();
    let count = shown.len();
    let answer = if shown.is_empty() { json!({}) } else { json!({ "drafts": shown }) };
    let mut answer = answer;
    answer["resultSizeEstimate"] = count.into();
    Ok(ok(&answer))
}

fn create(state: &mut State, context: &Context<'_>) -> Answered {
    let content = match upload::content(state, context, Some("message"))? {
        upload::Received::Answer(answer) => return Ok(answer),
        upload::Received::Whole(content) => content,
    };
    let thread = content.metadata.get("threadId").and_then(Value::as_str).map(parse_id).transpose()?;
    let number = state.next();
    let account = state.account(context.account);
    let labels = BTreeSet::from(["DRAFT".to_owned()]);
    let received_ms = context.now.timestamp_millis();
    let source = Source::Kept(content.raw);
    let message = account.deliver(NewMail { source, labels, received_ms, now: context.now, thread });
    let id = format!("r-{number}");
    account.drafts.insert(id.clone(), message);
    let stub = account.messages.get(&message).map(payload::stub).unwrap_or_default();
    Ok(ok(&json!({"id": id, "message": stub})))
}

fn dispatch(state: &mut State, context: &Context<'_>) -> Answered {
    let body = message::body(context)?;
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
    let account = state.account(context.account);
    let message = draft(account, id)?;
    let stored = account.messages.get(&message).cloned().ok_or_else(Refusal::not_found)?;
    let answer = send::send(state, context, &stored.source.bytes(), Some(stored.thread))?;
    state.account(context.account).remove(message, context.now);
    Ok(answer)
}
