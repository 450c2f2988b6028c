//! Calls about folders.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Context;
use super::answer::{Answered, Refusal, empty, json, ok};
use super::folders::{Folder, ROOT};
use super::message::member;
use super::methods::Op;
use super::query::{base, names};
use super::state::State;

/// Only the properties that were chosen.
pub(super) fn selected(mut folder: Value, select: Option<&str>) -> Value {
    let Some(select) = select else { return folder };
    let chosen = names(select);
    if let Some(members) = folder.as_object_mut() {
        members.retain(|name, _| name == "id" || chosen.iter().any(|c| c.eq_ignore_ascii_case(name)));
    }
    folder
}

/// The folders right below one.
pub(super) fn list(state: &mut State, context: &Context<'_>) -> Answered {
    let query = &context.query;
    query.only(&["$select", "$top", "$skip", "$count", "$filter", "$orderby", "$expand"])?;
    let account = state.account(&context.mailbox);
    let parent = match context.route.folder.as_deref() {
        Some(key) if context.route.op == Op::FoldersChildren => account.folder_number(key)?,
        _ => ROOT,
    };
    let (top, skip) = (context.page_size()?, query.number("$skip")?.unwrap_or(0));
    let hidden = query.flag("includehiddenfolders");
    let name = query.get("$filter").map(named).transpose()?;
    let wanted = |f: &&Folder| (hidden || !f.hidden) && name.as_ref().is_none_or(|n| f.name.eq_ignore_ascii_case(n));
    let mut all: Vec<&Folder> = account.children(parent).filter(wanted).collect();
    all.sort_by_key(|f| f.name.to_lowercase());
    let (total, letters) = (all.len(), context.settings.id_letters);
    let page = all.into_iter().skip(skip).take(top);
    let shown: Vec<Value> = page.map(|f| selected(account.show_folder(f, letters), query.get("$select"))).collect();
    let mut answer = json!({"@odata.context": context.odata_context("mailFolders"), "value": shown});
    if query.flag("$count") {
        answer["@odata.count"] = json!(total);
    }
    if skip + top < total {
        answer["@odata.nextLink"] = json!(query.next(&base(context.request), skip + top));
    }
    Ok(ok(&answer))
}

/// The name in `displayName eq '…'`, the only condition on folders.
fn named(filter: &str) -> Result<String, Refusal> {
    let rest = filter.trim().strip_prefix("displayName eq '").and_then(|rest| rest.strip_suffix('\''));
    rest.map(|name| name.replace("''", "'")).ok_or_else(|| Refusal::not_imitated("this filter of folders"))
}

/// One folder.
pub(super) fn get(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(&context.mailbox);
    let number = account.folder_number(context.route.folder.as_deref().unwrap_or_default())?;
    shown(state, context, number, StatusCode::OK)
}

fn shown(state: &mut State, context: &Context<'_>, number: u64, status: StatusCode) -> Answered {
    let account = state.account(&context.mailbox);
    let folder = account.folders.get(&number).ok_or_else(Refusal::item_not_found)?;
    let folder = account.show_folder(folder, context.settings.id_letters);
    let mut folder = selected(folder, context.query.get("$select"));
    folder["@odata.context"] = json!(context.odata_context("mailFolders/$entity"));
    Ok(json(status, &folder))
}

/// Makes, renames, moves or deletes a folder.
pub(super) fn change(state: &mut State, context: &Context<'_>) -> Answered {
    let key = context.route.folder.as_deref();
    let body = if context.request.method() == Method::DELETE { Value::Null } else { context.json()? };
    let text = |name: &str| member(&body, name).and_then(Value::as_str);
    let account = state.account(&context.mailbox);
    let number = key.map_or(Ok(ROOT), |key| account.folder_number(key))?;
    let (number, status) = match context.route.op {
        Op::FoldersCreate => {
            let hidden = member(&body, "isHidden").and_then(Value::as_bool).unwrap_or_default();
            (account.create_folder(number, text("displayName").unwrap_or_default(), hidden)?, StatusCode::CREATED)
        }
        Op::FoldersUpdate => {
            account.rename_folder(number, text("displayName").unwrap_or_default())?;
            (number, StatusCode::OK)
        }
        Op::FoldersMove => {
            let parent = account.folder_number(text("destinationId").unwrap_or_default())?;
            account.move_folder(number, parent)?;
            (number, StatusCode::CREATED)
        }
        _ => {
            account.delete_folder(number, context.now_ms)?;
            return Ok(empty(StatusCode::NO_CONTENT));
        }
    };
    shown(state, context, number, status)
}
