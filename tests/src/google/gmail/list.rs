//! Listing messages and threads, newest first, page by page.

use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::answer::{Answered, Refusal};
use super::methods::metadata_only;
use super::query::Query;
use super::state::{Account, State, Stored, checksum, hex};
use super::{Context, ok, payload};
use crate::mime;

/// What the service answers when it will not count.
const VAGUE_ESTIMATE: usize = 201;

/// The filters of a listing.
#[derive(Debug)]
struct Filter {
    query: Query,
    labels: Vec<String>,
    spam_trash: bool,
}

impl Filter {
    fn read(account: &Account, context: &Context<'_>) -> Result<Self, Refusal> {
        let matched = context.matched;
        let text = matched.param("q").unwrap_or_default();
        if !text.is_empty() && metadata_only(context.scopes) {
            return Err(Refusal::forbidden("Metadata scope does not support 'q' parameter"));
        }
        let labels: Vec<String> = matched.params("labelIds").iter().map(|l| (*l).to_owned()).collect();
        if let Some(unknown) = labels.iter().find(|l| !account.knows_label(l)) {
            return Err(Refusal::invalid(&format!("Invalid label: {unknown}")));
        }
        let query = Query::parse(text);
        let spam_trash = matched.flag("includeSpamTrash")? || query.reaches_spam_trash();
        Ok(Self { query, labels, spam_trash })
    }

    fn accepts(&self, account: &Account, stored: &Stored, context: &Context<'_>) -> bool {
        let has = |label: &str| stored.labels.contains(label);
        let hidden = |label: &str| has(label) && !self.spam_trash && !self.labels.iter().any(|l| l == label);
        !hidden("SPAM")
            && !hidden("TRASH")
            && self.labels.iter().all(|l| has(l))
            && self.query.accepts(account, stored, context.now)
    }
}

pub(super) fn messages(state: &mut State, context: &Context<'_>) -> Answered {
    let account = &*state.account(context.account);
    let filter = Filter::read(account, context)?;
    let found = page(account, context, |stored| filter.accepts(account, stored, context))?;
    let stubs = found.items.iter().map(|m| json!({"id": m.hex(), "threadId": hex(m.thread)})).collect();
    Ok(found.answer("messages", stubs))
}

pub(super) fn threads(state: &mut State, context: &Context<'_>) -> Answered {
    let account = &*state.account(context.account);
    let filter = Filter::read(account, context)?;
    // A thread stands at its newest message that matches; the others are passed over, on every page alike.
    let leads = |stored: &Stored| {
        let newer = |other: &&Stored| (other.received_ms, other.id) > (stored.received_ms, stored.id);
        let members = account.threads.get(&stored.thread).into_iter().flatten();
        let mut later = members.filter_map(|id| account.messages.get(id)).filter(newer);
        filter.accepts(account, stored, context) && !later.any(|m| filter.accepts(account, m, context))
    };
    let found = page(account, context, leads)?;
    let entry = |m: &&Stored| {
        json!({"id": hex(m.thread), "snippet": payload::snippet(&mime::parse(&m.source.bytes())),
            "historyId": account.thread_history_id(m.thread).to_string()})
    };
    let entries = found.items.iter().map(entry).collect();
    Ok(found.answer("threads", entries))
}

struct Found<'a> {
    items: Vec<&'a Stored>,
    next: Option<String>,
}

impl Found<'_> {
    fn answer(&self, name: &str, entries: Vec<Value>) -> crate::google::call::ApiAnswer {
        let mut object = Map::new();
        let count = entries.len();
        if count > 0 {
            object.insert(name.to_owned(), entries.into());
        }
        if let Some(next) = &self.next {
            object.insert("nextPageToken".into(), next.clone().into());
        }
        let estimate = if self.next.is_some() { count.max(VAGUE_ESTIMATE) } else { count };
        object.insert("resultSizeEstimate".into(), estimate.into());
        ok(&Value::Object(object))
    }
}

fn page<'a>(
    account: &'a Account,
    context: &Context<'_>,
    accepts: impl Fn(&Stored) -> bool,
) -> Result<Found<'a>, Refusal> {
    let size = context.matched.page_size()?;
    let before = match open_token(context)? {
        Some((ms, id)) => Bound::Excluded((ms, id)),
        None => Bound::Unbounded,
    };
    let newest_first = account.order.range((Bound::Unbounded, before)).rev();
    let matching = newest_first.filter_map(|(_, id)| account.messages.get(id)).filter(|m| accepts(m));
    let mut items: Vec<&Stored> = matching.take(size + 1).collect();
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|last| issue_token(context, last.received_ms, last.id));
    Ok(Found { items, next })
}

/// A token for the page after a position, bound to mailbox, method and every parameter that shapes the listing.
pub(super) fn issue_token(context: &Context<'_>, a: i64, b: u64) -> String {
    let life = i64::try_from(context.settings.page_token_life.as_millis()).unwrap_or(i64::MAX / 4);
    let ends = context.now.timestamp_millis().saturating_add(life);
    let text = format!("{a}.{b}.{ends}.{:x}", binding(context));
    let seal = checksum(text.as_bytes());
    URL_SAFE_NO_PAD.encode(format!("{text}.{seal:x}"))
}

/// The position in the page token, if one was sent.
pub(super) fn open_token(context: &Context<'_>) -> Result<Option<(i64, u64)>, Refusal> {
    let Some(token) = context.matched.param("pageToken").filter(|t| !t.is_empty()) else { return Ok(None) };
    let opened = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let position = opened.as_deref().and_then(|text| {
        let (text, seal) = text.rsplit_once('.')?;
        let (rest, bound) = text.rsplit_once('.')?;
        let genuine = seal == format!("{:x}", checksum(text.as_bytes())) && bound == format!("{:x}", binding(context));
        let mut fields = rest.splitn(3, '.');
        let (a, b, ends) = (fields.next()?, fields.next()?, fields.next()?);
        let alive = ends.parse::<i64>().ok()? >= context.now.timestamp_millis();
        if genuine && alive { Some((a.parse().ok()?, b.parse().ok()?)) } else { None }
    });
    position.map(Some).ok_or_else(|| Refusal::invalid("Invalid pageToken"))
}

fn binding(context: &Context<'_>) -> u64 {
    let shaping = |name: &str| {
        matches!(
            name,
            "q" | "labelIds" | "labelId" | "includeSpamTrash" | "maxResults" | "historyTypes" | "startHistoryId"
        )
    };
    let mut params: Vec<_> = context.matched.query.iter().filter(|(name, _)| shaping(name)).collect();
    params.sort();
    checksum(format!("{}/{}/{params:?}", context.account, context.matched.spec.id).as_bytes())
}
