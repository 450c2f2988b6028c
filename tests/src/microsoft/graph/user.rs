//! Persons, and the translation of ids.

use serde_json::{Value, json};

use super::Context;
use super::answer::{Answered, Refusal, ok};
use super::folder_calls::selected;
use super::ids::{Id, Kind};
use super::message::member;
use super::state::{Account, State};
use super::stored::message_id;

const MOST_IDS: usize = 1_000;

/// Who the person is.
pub(super) fn get(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(&context.mailbox);
    let user = json!({
        "id": account.user_id,
        "displayName": account.display_name,
        "givenName": account.display_name.split(' ').next(),
        "surname": account.display_name.split(' ').nth(1),
        "mail": if account.disabled { Value::Null } else { json!(account.address) },
        "userPrincipalName": account.address,
        "businessPhones": [],
        "jobTitle": Value::Null,
        "mobilePhone": Value::Null,
        "officeLocation": Value::Null,
        "preferredLanguage": Value::Null,
    });
    let mut user = selected(user, context.query.get("$select"));
    user["@odata.context"] = json!(context.odata_context("$entity"));
    Ok(ok(&user))
}

/// Ids that move with their messages into ids that stay, and back.
pub(super) fn translate(state: &mut State, context: &Context<'_>) -> Answered {
    let body = context.json()?;
    let text = |name: &str| member(&body, name).and_then(Value::as_str).unwrap_or_default();
    let immutable = match (text("sourceIdType"), text("targetIdType")) {
        ("restId", "restImmutableEntryId") => true,
        ("restImmutableEntryId", "restId") => false,
        _ => return Err(Refusal::not_imitated("this kind of id")),
    };
    let ids: Vec<&str> =
        member(&body, "inputIds").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.len() > MOST_IDS {
        return Err(Refusal::invalid("At most 1,000 ids can be translated at once."));
    }
    let account = state.account(&context.mailbox);
    let one = |id: &&str| match translated(account, id, immutable, context) {
        Some(target) => json!({"sourceId": id, "targetId": target}),
        None => json!({"sourceId": id, "errorDetails": {"code": "ErrorInvalidId", "message": "The id is invalid."}}),
    };
    let value: Vec<Value> = ids.iter().map(one).collect();
    Ok(ok(&json!({"@odata.context": context.odata_context("translateExchangeIds"), "value": value})))
}

fn translated(account: &Account, id: &str, immutable: bool, context: &Context<'_>) -> Option<String> {
    let wanted = if immutable { Kind::Mutable } else { Kind::Immutable };
    let given = Id::parse(id).ok().filter(|given| given.kind == wanted)?;
    let stored = account.find(id).ok()?;
    let moves = (!immutable).then_some(stored.moves);
    Some(message_id(&account.address, given.number, moves, context.settings.id_letters))
}
