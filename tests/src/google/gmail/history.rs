//! What changed since a history id.

use serde_json::{Map, Value, json};

use super::answer::{Answered, Refusal};
use super::list::{issue_token, open_token};
use super::state::{Event, Record, State, hex};
use super::{Context, ok};

pub(super) fn list(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let retention = i64::try_from(context.settings.history_retention.as_millis()).unwrap_or(i64::MAX / 4);
    account.forget_history(context.now.timestamp_millis().saturating_sub(retention));
    let wanted = Wanted::read(context)?;
    if let Some(label) = wanted.label.filter(|label| !account.knows_label(label)) {
        return Err(Refusal::invalid(&format!("Invalid label: {label}")));
    }
    let start = context.matched.param("startHistoryId").unwrap_or_default();
    let start: u64 = start.parse().map_err(|_| Refusal::invalid("Invalid startHistoryId"))?;
    if start > account.head {
        return Err(Refusal::invalid("Invalid startHistoryId"));
    }
    let after = open_token(context)?.map_or(start, |(_, id)| id);
    if after < account.floor {
        return Err(Refusal::not_found());
    }
    let size = context.matched.page_size()?;
    // A page is cut before it is filtered, so a page can come without anything on it and yet not be the last.
    let from = account.history.partition_point(|r| r.id <= after);
    let page: Vec<&Record> = account.history.range(from..).take(size).collect();
    let more = account.history.len() - from > size;
    let records: Vec<Value> = page.iter().filter(|r| wanted.accepts(r)).map(|r| show(r)).collect();
    let mut answer = Map::new();
    if !records.is_empty() {
        answer.insert("history".into(), records.into());
    }
    if let Some(last) = page.last().filter(|_| more) {
        answer.insert("nextPageToken".into(), issue_token(context, 0, last.id).into());
    }
    answer.insert("historyId".into(), account.head.to_string().into());
    Ok(ok(&Value::Object(answer)))
}

struct Wanted<'a> {
    events: Vec<Event>,
    label: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(context: &'a Context<'_>) -> Result<Self, Refusal> {
        let event = |name: &&str| match *name {
            "labelAdded" => Ok(Event::LabelsAdded),
            "labelRemoved" => Ok(Event::LabelsRemoved),
            "messageAdded" => Ok(Event::MessageAdded),
            "messageDeleted" => Ok(Event::MessageDeleted),
            other => Err(Refusal::invalid(&format!("Invalid value at 'history_types', \"{other}\""))),
        };
        let events = context.matched.params("historyTypes").iter().map(event).collect::<Result<_, _>>()?;
        Ok(Self { events, label: context.matched.param("labelId") })
    }

    /// With a label, changes of messages that do not carry it are dropped, deletions of them too.
    fn accepts(&self, record: &Record) -> bool {
        let about = |label: &str| record.labels.iter().chain(&record.changed).any(|l| l == label);
        (self.events.is_empty() || self.events.contains(&record.event)) && self.label.is_none_or(about)
    }
}

fn show(record: &Record) -> Value {
    let stub = json!({"id": hex(record.message), "threadId": hex(record.thread)});
    let mut message = stub.clone();
    if !record.labels.is_empty() {
        message["labelIds"] = json!(record.labels);
    }
    let mut entry = json!({"id": record.id.to_string(), "messages": [stub]});
    match record.event {
        Event::MessageAdded => entry["messagesAdded"] = json!([{ "message": message }]),
        Event::MessageDeleted => entry["messagesDeleted"] = json!([{ "message": message }]),
        Event::LabelsAdded => entry["labelsAdded"] = json!([{"message": message, "labelIds": record.changed}]),
        Event::LabelsRemoved => entry["labelsRemoved"] = json!([{"message": message, "labelIds": record.changed}]),
    }
    entry
}
