//! The mailbox as a whole: profile, watch, addresses to send from.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, empty};
use super::state::State;
use super::{Context, message, ok};

const WATCH_MS: i64 = 7 * 24 * 3_600_000;

pub(super) fn profile(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    Ok(ok(&json!({"emailAddress": account.address, "messagesTotal": account.messages.len(),
        "threadsTotal": account.threads.len(), "historyId": account.head.to_string()})))
}

pub(super) fn watch(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let body = message::body(context)?;
    let topic = body.get("topicName").and_then(Value::as_str).unwrap_or_default();
    let parts: Vec<&str> = topic.split('/').collect();
    if !matches!(parts[..], ["projects", project, "topics", name] if !project.is_empty() && !name.is_empty()) {
        return Err(Refusal::invalid(&format!("Invalid topicName does not match projects/*/topics/*: {topic}")));
    }
    let now_ms = context.now.timestamp_millis();
    if account.watch.as_ref().is_some_and(|(other, ends)| other != topic && *ends > now_ms) {
        let message = "Only one user push notification client allowed per developer (call /stop then try again)";
        return Err(Refusal::invalid(message));
    }
    let ends = now_ms + WATCH_MS;
    account.watch = Some((topic.to_owned(), ends));
    Ok(ok(&json!({"historyId": account.head.to_string(), "expiration": ends.to_string()})))
}

pub(super) fn stop(state: &mut State, context: &Context<'_>) -> Answered {
    state.account(context.account).watch = None;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn send_as(context: &Context<'_>) -> Answered {
    Ok(ok(&json!({"sendAs": [{"sendAsEmail": context.account, "displayName": "", "replyToAddress": "",
        "signature": "", "isPrimary": true, "isDefault": true}]})))
}
