//! Reading and changing single messages.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, empty};
use super::methods::{Op, metadata_only};
use super::payload::{self, Format, Tokens};
use super::state::{Account, State, Stored, parse_id};
use super::{Context, Gmail, ok};
use crate::mime;

/// Answers what reads bodies, without holding the state meanwhile.
pub(super) fn read(gmail: &Gmail, context: &Context<'_>) -> Answered {
    match context.matched.spec.op {
        Op::AttachmentsGet => attachment(gmail, context),
        Op::ThreadsGet => super::threads::get(gmail, context),
        _ => get(gmail, context),
    }
}

fn get(gmail: &Gmail, context: &Context<'_>) -> Answered {
    let format = format(context, true)?;
    let id = parse_id(context.matched.id(0))?;
    let stored = {
        let mut state = gmail.lock();
        let account = state.account(context.account);
        account.usable()?;
        account.read(id, &format)?
    };
    Ok(ok(&payload::message(context.settings, context.account, &stored, &format)))
}

fn attachment(gmail: &Gmail, context: &Context<'_>) -> Answered {
    let id = parse_id(context.matched.id(0))?;
    let stored = {
        let mut state = gmail.lock();
        let account = state.account(context.account);
        account.usable()?;
        account.messages.get(&id).cloned().ok_or_else(Refusal::not_found)?
    };
    let tokens = Tokens { account: context.account, message: id, reads: stored.reads };
    let part = tokens.open(context.matched.id(1), context.settings.attachment_id_reads);
    let part = part.ok_or_else(|| Refusal::invalid("Invalid attachment token"))?;
    let content = {
        let tree = mime::parse(&stored.source.bytes());
        payload::content(payload::locate(&tree, &part).ok_or_else(Refusal::not_found)?)
    };
    let size = content.len();
    // Built by hand: base64 needs no escaping, and a large one should exist only once.
    let mut body = format!("{{\"size\":{size},\"data\":\"");
    URL_SAFE.encode_string(&content, &mut body);
    body.push_str("\"}");
    Ok(super::answer::answer(StatusCode::OK, "application/json; charset=UTF-8", body.into()))
}

/// The `format` parameter, and what the metadata scope forbids of it.
pub(super) fn format(context: &Context<'_>, raw_allowed: bool) -> Result<Format, Refusal> {
    let matched = context.matched;
    let text = matched.param("format").unwrap_or("full");
    let format = match text.to_ascii_lowercase().as_str() {
        "full" => Format::Full,
        "minimal" => Format::Minimal,
        "metadata" => {
            Format::Metadata(matched.params("metadataHeaders").iter().map(|h| h.to_ascii_lowercase()).collect())
        }
        "raw" if raw_allowed => Format::Raw,
        _ => return Err(Refusal::invalid(&format!("Invalid value at 'format', \"{text}\""))),
    };
    if matches!(format, Format::Full | Format::Raw) && metadata_only(context.scopes) {
        let text = text.to_ascii_uppercase();
        return Err(Refusal::forbidden(&format!("Metadata scope doesn't allow format {text}")));
    }
    Ok(format)
}

impl Account {
    /// A copy of the message to show; counts the read if it will show attachment ids.
    pub(super) fn read(&mut self, id: u64, format: &Format) -> Result<Stored, Refusal> {
        let stored = self.messages.get_mut(&id).ok_or_else(Refusal::not_found)?;
        if *format == Format::Full {
            stored.reads += 1;
        }
        Ok(stored.clone())
    }

    /// What a changed message is answered with.
    pub(super) fn shown(&self, id: u64) -> Answered {
        let stored = self.messages.get(&id).ok_or_else(Refusal::not_found)?;
        Ok(ok(&Value::Object(payload::stub(stored))))
    }
}

/// Modify, trash, untrash and delete of one message.
pub(super) fn change(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let id = parse_id(context.matched.id(0))?;
    if !account.messages.contains_key(&id) {
        return Err(Refusal::not_found());
    }
    if context.matched.spec.op == Op::MessagesDelete {
        account.remove(id, context.now);
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let (add, remove) = wanted_labels(account, context)?;
    account.relabel(id, &add, &remove, context.now);
    account.shown(id)
}

/// The labels that a modify, trash or untrash puts on and takes off.
pub(super) fn wanted_labels(account: &Account, context: &Context<'_>) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let labels = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    match context.matched.spec.op {
        Op::MessagesTrash | Op::ThreadsTrash => Ok((labels(&["TRASH"]), labels(&["INBOX"]))),
        Op::MessagesUntrash | Op::ThreadsUntrash => Ok((Vec::new(), labels(&["TRASH"]))),
        _ => label_lists(account, &body(context)?),
    }
}

fn label_lists(account: &Account, body: &Value) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let add = strings(body, "addLabelIds")?;
    let remove = strings(body, "removeLabelIds")?;
    if add.is_empty() && remove.is_empty() {
        return Err(Refusal::invalid("No label add or removes specified"));
    }
    if add.len() > 100 || remove.len() > 100 {
        return Err(Refusal::invalid("Too many label ids"));
    }
    for label in add.iter().chain(&remove) {
        if !account.knows_label(label) || matches!(label.as_str(), "SENT" | "DRAFT" | "CHAT") {
            return Err(Refusal::invalid(&format!("Invalid label: {label}")));
        }
    }
    let twice: BTreeSet<_> = add.iter().filter(|l| remove.contains(l)).collect();
    if let Some(label) = twice.first() {
        return Err(Refusal::invalid(&format!("Cannot both add and remove the same label: {label}")));
    }
    Ok((add, remove))
}

/// Changes up to a thousand messages; ids that lead nowhere are passed over, as there is no answer to tell.
pub(super) fn change_many(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let body = body(context)?;
    let ids = strings(&body, "ids")?;
    if ids.is_empty() {
        return Err(Refusal::invalid("No message ids specified"));
    }
    if ids.len() > 1000 {
        return Err(Refusal::invalid("Too many message ids"));
    }
    let ids = ids.iter().map(|id| parse_id(id)).collect::<Result<Vec<_>, _>>()?;
    if context.matched.spec.op == Op::BatchDelete {
        for id in ids {
            account.remove(id, context.now);
        }
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let (add, remove) = label_lists(account, &body)?;
    for id in ids {
        account.relabel(id, &add, &remove, context.now);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The JSON body; an absent one is an empty object.
pub(super) fn body(context: &Context<'_>) -> Result<Value, Refusal> {
    parse_body(context.request.body())
}

pub(super) fn parse_body(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    value.filter(Value::is_object).ok_or_else(|| Refusal::bad_request("Parse Error"))
}

fn strings(body: &Value, name: &str) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::invalid(&format!("Invalid value at '{name}'"));
    match body.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|i| i.as_str().map(str::to_owned).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}
