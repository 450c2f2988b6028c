//! Labels.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, empty};
use super::methods::Op;
use super::state::{Account, SYSTEM_LABELS, State};
use super::{Context, message, ok};

const MOST_LABELS: usize = 10_000;

/// A label that the user made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Label {
    pub(super) name: String,
    message_list_visibility: String,
    label_list_visibility: String,
}

impl Label {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            message_list_visibility: "show".into(),
            label_list_visibility: "labelShow".into(),
        }
    }

    fn take(&mut self, body: &Value) -> Result<(), Refusal> {
        let one_of = |field: &str, known: &[&str]| match body.get(field).and_then(Value::as_str) {
            Some(value) if !known.contains(&value) => Err(Refusal::invalid(&format!("Invalid value at '{field}'"))),
            value => Ok(value.map(str::to_owned)),
        };
        if let Some(value) = one_of("messageListVisibility", &["show", "hide"])? {
            self.message_list_visibility = value;
        }
        if let Some(value) = one_of("labelListVisibility", &["labelShow", "labelShowIfUnread", "labelHide"])? {
            self.label_list_visibility = value;
        }
        if let Some(name) = body.get("name").and_then(Value::as_str) {
            name.clone_into(&mut self.name);
        }
        Ok(())
    }
}

pub(super) fn answer(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let id = context.matched.id(0);
    match context.matched.spec.op {
        Op::LabelsList => {
            let system = SYSTEM_LABELS.iter().filter_map(|id| account.show_label(id));
            let own = account.labels.keys().filter_map(|id| account.show_label(id));
            Ok(ok(&json!({"labels": system.chain(own).collect::<Vec<_>>()})))
        }
        Op::LabelsGet => {
            let mut label = account.show_label(id).ok_or_else(Refusal::not_found)?;
            account.count_label(id, &mut label);
            Ok(ok(&label))
        }
        Op::LabelsCreate => {
            let body = message::body(context)?;
            let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
            account.check_name(name, None)?;
            let mut label = Label::named(name);
            label.take(&body)?;
            let id = account.add_label(label);
            Ok(ok(&account.show_label(&id).unwrap_or_default()))
        }
        Op::LabelsUpdate => {
            let body = message::body(context)?;
            let mut label = account.own_label(id)?.clone();
            label.take(&body)?;
            account.check_name(&label.name, Some(id))?;
            account.labels.insert(id.to_owned(), label);
            Ok(ok(&account.show_label(id).unwrap_or_default()))
        }
        _ => {
            account.own_label(id)?;
            let labelled = account.messages.values().filter(|m| m.labels.contains(id)).map(|m| m.id);
            for message in labelled.collect::<Vec<_>>() {
                account.relabel(message, &[], &[id.to_owned()], context.now);
            }
            account.labels.remove(id);
            Ok(empty(StatusCode::NO_CONTENT))
        }
    }
}

impl Account {
    fn own_label(&self, id: &str) -> Result<&Label, Refusal> {
        if SYSTEM_LABELS.contains(&id) {
            return Err(Refusal::invalid("Invalid delete request"));
        }
        self.labels.get(id).ok_or_else(Refusal::not_found)
    }

    fn check_name(&self, name: &str, own: Option<&str>) -> Result<(), Refusal> {
        let reserved = SYSTEM_LABELS.iter().any(|l| l.eq_ignore_ascii_case(name));
        if name.trim().is_empty() || reserved {
            return Err(Refusal::invalid("Invalid label name"));
        }
        let taken = |(id, label): (&String, &Label)| label.name.eq_ignore_ascii_case(name) && Some(id.as_str()) != own;
        if self.labels.iter().any(taken) {
            return Err(Refusal::conflict("Label name exists or conflicts"));
        }
        if self.labels.len() >= MOST_LABELS {
            return Err(Refusal::invalid("Too many labels"));
        }
        Ok(())
    }

    fn add_label(&mut self, label: Label) -> String {
        let number = self.labels.keys().filter_map(|id| id.strip_prefix("Label_")?.parse::<u64>().ok()).max();
        let id = format!("Label_{}", number.unwrap_or(0) + 1);
        self.labels.insert(id.clone(), label);
        id
    }

    /// Creates the label under exactly this id, if it is not known.
    pub(super) fn ensure_label(&mut self, id: &str) {
        if !self.knows_label(id) {
            self.labels.insert(id.to_owned(), Label::named(id));
        }
    }

    fn show_label(&self, id: &str) -> Option<Value> {
        if SYSTEM_LABELS.contains(&id) {
            return Some(json!({"id": id, "name": id, "type": "system"}));
        }
        let label = self.labels.get(id)?;
        Some(json!({"id": id, "name": label.name, "type": "user",
            "messageListVisibility": label.message_list_visibility,
            "labelListVisibility": label.label_list_visibility}))
    }

    fn count_label(&self, id: &str, shown: &mut Value) {
        let labelled: Vec<_> = self.messages.values().filter(|m| m.labels.contains(id)).collect();
        let unread: Vec<_> = labelled.iter().filter(|m| m.labels.contains("UNREAD")).collect();
        let threads = labelled.iter().map(|m| m.thread).collect::<BTreeSet<_>>().len();
        let threads_unread = unread.iter().map(|m| m.thread).collect::<BTreeSet<_>>().len();
        shown["messagesTotal"] = labelled.len().into();
        shown["messagesUnread"] = unread.len().into();
        shown["threadsTotal"] = threads.into();
        shown["threadsUnread"] = threads_unread.into();
    }
}
