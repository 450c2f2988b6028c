//! Drafts, and what can be changed about a message.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::Value;

use super::Context;
use super::answer::{Answered, Refusal};
use super::attachments::{self, REQUEST_MAX};
use super::changes::{CATEGORIES, CONTENT, FLAG, IMPORTANCE, INFERENCE, READ};
use super::compose::{Hidden, compose};
use super::extended;
use super::folders::DRAFTS;
use super::ids::checksum;
use super::mail::{Body, Mail, Party};
use super::message::{member, mime_body, shown};
use super::render::change_key;
use super::state::{Account, State};
use super::stored::{Head, NewMail, Source, Stored};

/// Properties that only a draft lets change.
const ONLY_DRAFTS: [&str; 12] = [
    "subject",
    "body",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "from",
    "sender",
    "internetMessageId",
    "internetMessageHeaders",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
];

/// The mail in a request, from MIME or from properties, with the properties.
pub(super) fn requested(
    state: &mut State,
    context: &Context<'_>,
    inside: Option<&str>,
) -> Result<(Mail, Value), Refusal> {
    if context.request.body().len() > REQUEST_MAX {
        return Err(Refusal::too_large());
    }
    let (mut mail, properties) = match mime_body(context)? {
        Some(raw) => (Mail::read(&raw), Value::Null),
        None => {
            let body = context.json()?;
            let properties = match inside {
                Some(name) => member(&body, name).cloned().unwrap_or(Value::Null),
                None => body,
            };
            let mut mail = Mail::default();
            apply(&mut mail, &properties)?;
            (mail, properties)
        }
    };
    complete(state, &context.mailbox, &mut mail);
    Ok((mail, properties))
}

/// Gives a message its sender and its id.
pub(super) fn complete(state: &mut State, mailbox: &str, mail: &mut Mail) {
    let number = state.next();
    let account = state.account(mailbox);
    if mail.from.is_none() {
        mail.from = Some(Party { name: account.display_name.clone(), address: account.address.clone() });
    }
    if mail.message_id.is_empty() {
        let unique = checksum(format!("{mailbox}/{number}").as_bytes());
        mail.message_id = format!("<AM0PR{unique:016X}{number:X}@AM0PR.eurprd.prod.outlook.com>");
    }
}

/// Makes a draft.
pub(super) fn create(state: &mut State, context: &Context<'_>) -> Answered {
    let folder = match context.route.folder.as_deref() {
        Some(key) => state.account(&context.mailbox).folder_number(key)?,
        None => DRAFTS,
    };
    let (mail, properties) = requested(state, context, None)?;
    let number = store(state, context, &mail, folder, &properties)?;
    shown(state, context, number, StatusCode::CREATED)
}

/// Puts a draft into a folder.
pub(super) fn store(
    state: &mut State,
    context: &Context<'_>,
    mail: &Mail,
    folder: u64,
    properties: &Value,
) -> Result<u64, Refusal> {
    let source = Source::Kept(compose(mail, Hidden::Left));
    let (received_ms, now_ms) = (context.now_ms, context.now_ms);
    let account = state.account(&context.mailbox);
    let mut stored = account.make(NewMail { source, folder, received_ms, now_ms, read: true, draft: true });
    mark(&mut stored, properties)?;
    let number = stored.number;
    account.put(stored);
    Ok(number)
}

/// Changes a message.
pub(super) fn update(state: &mut State, context: &Context<'_>) -> Answered {
    let properties = context.json()?;
    if state.oddities.conflicts > 0 {
        state.oddities.conflicts -= 1;
        return Err(Refusal::conflict());
    }
    let account = state.account(&context.mailbox);
    let stored = account.find(&context.route.id)?.clone();
    let wanted = context.request.headers().get(header::IF_MATCH).and_then(|v| v.to_str().ok());
    if wanted.is_some_and(|tag| tag != "*" && !tag.contains(&change_key(&stored))) {
        return Err(Refusal::conflict());
    }
    let content = ONLY_DRAFTS.iter().find(|name| member(&properties, name).is_some());
    if let Some(name) = content.filter(|_| !stored.draft) {
        let message = format!("The property '{name}' can only be set on drafts.");
        return Err(Refusal::new(400, "ErrorInvalidPropertySet", message));
    }
    let mut changed = stored;
    let mut mask = mark(&mut changed, &properties)?;
    if content.is_some() {
        let mut mail = Mail::read(&changed.source.bytes());
        apply(&mut mail, &properties)?;
        replace(&mut changed, compose(&mail, Hidden::Left));
        mask |= CONTENT;
    }
    let number = changed.number;
    account.change(number, context.now_ms, |stored| {
        *stored = changed;
        mask
    });
    shown(state, context, number, StatusCode::OK)
}

/// Gives a message other bytes.
pub(super) fn replace(stored: &mut Stored, raw: Bytes) {
    stored.head = Some(Arc::new(Head::read(&raw)));
    stored.source = Source::Kept(raw);
}

/// Writes a message anew after a change; false if there is none.
pub(super) fn rewrite(account: &mut Account, number: u64, now_ms: i64, change: impl FnOnce(&mut Mail)) -> bool {
    account.change(number, now_ms, |stored| {
        let mut mail = Mail::read(&stored.source.bytes());
        change(&mut mail);
        replace(stored, compose(&mail, Hidden::Left));
        CONTENT
    })
}

/// Sets what is not in the raw message; says what changed.
pub(super) fn mark(stored: &mut Stored, properties: &Value) -> Result<u16, Refusal> {
    let text = |name: &str| member(properties, name).and_then(Value::as_str);
    let mut mask = 0;
    if let Some(read) = member(properties, "isRead").and_then(Value::as_bool) {
        mask |= set(&mut stored.read, read, READ);
    }
    if let Some(flag) = member(properties, "flag").and_then(|flag| member(flag, "flagStatus")) {
        let flag = one_of(flag.as_str(), &["notFlagged", "complete", "flagged"])?;
        mask |= set(&mut stored.flag, flag, FLAG);
    }
    if let Some(categories) = member(properties, "categories").and_then(Value::as_array) {
        let categories = categories.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        mask |= set(&mut stored.categories, categories, CATEGORIES);
    }
    if let Some(importance) = text("importance") {
        mask |= set(&mut stored.importance, one_of(Some(importance), &["low", "normal", "high"])?, IMPORTANCE);
    }
    if let Some(inference) = text("inferenceClassification") {
        mask |= set(&mut stored.inference, one_of(Some(inference), &["focused", "other"])?, INFERENCE);
    }
    if let Some(given) = member(properties, "singleValueExtendedProperties") {
        stored.extended.extend(extended::given(given)?);
        mask |= CONTENT;
    }
    Ok(mask)
}

fn set<T: PartialEq>(place: &mut T, value: T, mask: u16) -> u16 {
    let changed = *place != value;
    *place = value;
    if changed { mask } else { 0 }
}

fn one_of(value: Option<&str>, known: &[&str]) -> Result<String, Refusal> {
    let found = value.and_then(|value| known.iter().find(|k| k.eq_ignore_ascii_case(value)));
    let wrong = || Refusal::new(400, "ErrorInvalidPropertyValue", "The value is not one of the property's.");
    found.map(|value| (*value).to_owned()).ok_or_else(wrong)
}

/// Sets what is in the raw message.
pub(super) fn apply(mail: &mut Mail, properties: &Value) -> Result<(), Refusal> {
    let get = |name: &str| member(properties, name).filter(|value| !value.is_null());
    if let Some(subject) = get("subject").and_then(Value::as_str) {
        subject.clone_into(&mut mail.subject);
    }
    if let Some(body) = get("body") {
        mail.body = body_of(body);
    }
    for (name, place) in [
        ("toRecipients", &mut mail.to),
        ("ccRecipients", &mut mail.cc),
        ("bccRecipients", &mut mail.bcc),
        ("replyTo", &mut mail.reply_to),
    ] {
        if let Some(given) = get(name) {
            *place = given.as_array().into_iter().flatten().map(recipient).collect::<Result<_, _>>()?;
        }
    }
    if let Some(from) = get("from") {
        mail.from = Some(recipient(from)?);
    }
    if let Some(sender) = get("sender") {
        mail.sender = Some(recipient(sender)?);
    }
    for one in get("internetMessageHeaders").and_then(Value::as_array).into_iter().flatten() {
        let (name, value) = custom_header(one)?;
        mail.set_header(&name, &value);
    }
    for (id, value) in get("singleValueExtendedProperties").map(extended::given).transpose()?.unwrap_or_default() {
        if let Some(name) = extended::header(&id).filter(|name| *name != "Message-ID") {
            mail.set_header(name, &value);
        }
    }
    for one in get("attachments").and_then(Value::as_array).into_iter().flatten() {
        mail.attachments.push(attachments::given(one)?);
    }
    Ok(())
}

fn body_of(body: &Value) -> Body {
    let content = member(body, "content").and_then(Value::as_str).unwrap_or_default().to_owned();
    let html =
        member(body, "contentType").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
    if html { Body::Html(content) } else { Body::Text(content) }
}

fn recipient(value: &Value) -> Result<Party, Refusal> {
    let email = member(value, "emailAddress");
    let text = |name: &str| email.and_then(|email| member(email, name)).and_then(Value::as_str).unwrap_or_default();
    let (name, address) = (text("name").to_owned(), text("address").trim().to_owned());
    if name.is_empty() && address.is_empty() {
        return Err(Refusal::new(400, "ErrorInvalidRecipients", "A recipient has no address."));
    }
    Ok(Party { name, address })
}

fn custom_header(one: &Value) -> Result<(String, String), Refusal> {
    let text = |name: &str| member(one, name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, value) = (text("name"), text("value"));
    if name.to_ascii_lowercase().starts_with("x-") && name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Ok((name, value));
    }
    let message = format!("The internet message header name '{name}' should start with 'x-' or 'X-'.");
    Err(Refusal::new(400, "InvalidInternetMessageHeader", message))
}
