//! Threads: reading one, and changing all its messages.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, empty};
use super::message::{format, wanted_labels};
use super::methods::Op;
use super::state::{Account, State, hex, parse_id};
use super::{Context, Gmail, ok, payload};

impl Account {
    /// The thread's messages, oldest first.
    pub(super) fn members(&self, thread: u64) -> Result<Vec<u64>, Refusal> {
        let ids = self.threads.get(&thread).ok_or_else(Refusal::not_found)?;
        let mut members: Vec<_> =
            ids.iter().filter_map(|id| self.messages.get(id)).map(|m| (m.received_ms, m.id)).collect();
        members.sort_unstable();
        Ok(members.into_iter().map(|(_, id)| id).collect())
    }

    pub(super) fn thread_history_id(&self, thread: u64) -> u64 {
        let ids = self.threads.get(&thread).into_iter().flatten();
        ids.filter_map(|id| self.messages.get(id)).map(|m| m.history_id).max().unwrap_or(self.head)
    }
}

pub(super) fn get(gmail: &Gmail, context: &Context<'_>) -> Answered {
    let format = format(context, false)?;
    let thread = parse_id(context.matched.id(0))?;
    let (members, history_id) = {
        let mut state = gmail.lock();
        let account = state.account(context.account);
        account.usable()?;
        let ids = account.members(thread)?;
        let members = ids.into_iter().map(|id| account.read(id, &format)).collect::<Result<Vec<_>, _>>()?;
        (members, account.thread_history_id(thread))
    };
    let messages: Vec<Value> =
        members.iter().map(|m| payload::message(context.settings, context.account, m, &format)).collect();
    Ok(ok(&json!({"id": hex(thread), "historyId": history_id.to_string(), "messages": messages})))
}

pub(super) fn change(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(context.account);
    let thread = parse_id(context.matched.id(0))?;
    let members = account.members(thread)?;
    if context.matched.spec.op == Op::ThreadsDelete {
        for id in members {
            account.remove(id, context.now);
        }
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let (add, remove) = wanted_labels(account, context)?;
    for id in &members {
        account.relabel(*id, &add, &remove, context.now);
    }
    let shown = members.iter().filter_map(|id| account.messages.get(id));
    let messages: Vec<Value> = shown.map(|m| Value::Object(payload::stub(m))).collect();
    Ok(ok(
        &json!({"id": hex(thread), "historyId": account.thread_history_id(thread).to_string(), "messages": messages}),
    ))
}
