//! Delta: rounds over the messages of a folder, and the links that carry them on.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, ok};
use super::changes::{Listener, Verdict, What, verdicts};
use super::filter;
use super::ids::checksum;
use super::list::{foreign, take_empty_page};
use super::query::base;
use super::render::{Shown, View};
use super::settings::{DeltaUpdates, GraphSettings, LostDelta, MoveReason, Returned};
use super::state::{Account, State};
use super::stored::message_id;
use super::{Context, Graph};

const OPTIONS: [&str; 7] = ["$select", "$top", "$expand", "$filter", "$orderby", "$skiptoken", "$deltatoken"];
/// How many messages a round tells at most if it was filtered.
const MOST_FILTERED: usize = 5_000;

/// What follows from one start: parameters, and the newest links.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Chain {
    /// The folder; absent for the folders themselves.
    pub(super) folder: Option<u64>,
    pub(super) params: Params,
    pub(super) generation: u64,
    /// Oldest first.
    pub(super) links: VecDeque<(u64, Position)>,
}

/// What the first call asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Params {
    pub(super) select: Option<String>,
    pub(super) expand: Option<String>,
    pub(super) top: Option<usize>,
    /// Received at this time or later.
    pub(super) since_ms: Option<i64>,
    /// One of `created`, `updated`, `deleted`.
    pub(super) change_type: Option<String>,
}

/// How far a round has come.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum Position {
    /// Changes after the tick `since`, of which those up to `told` are told.
    Changes { since: u64, told: u64 },
    /// All messages there are, of which those before `after` are told; changes are counted from `anchor`.
    Everything { anchor: u64, after: Option<(i64, u64)>, told: usize },
}

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Position,
    /// Whether this ends the round.
    pub(super) last: bool,
}

/// An item of a page.
#[derive(Debug)]
enum Item {
    Gone { id: String, what: What },
    Message(Box<Shown>),
    Partly(Box<Shown>, u16),
}

impl Params {
    fn of(context: &Context<'_>) -> Result<Self, Refusal> {
        let query = &context.query;
        query.only(&OPTIONS)?;
        let filter = query.get("$filter").map(filter::parse).transpose()?;
        let unsupported = || Refusal::invalid("Only receivedDateTime ge or gt can be filtered in change tracking.");
        let since_ms = filter.map(|filter| filter::since(&filter).ok_or_else(unsupported)).transpose()?;
        if query.get("$orderby").is_some_and(|by| !by.eq_ignore_ascii_case("receivedDateTime desc")) {
            return Err(Refusal::invalid("Only receivedDateTime desc can be ordered by in change tracking."));
        }
        let own = |name: &str| query.get(name).map(str::to_owned);
        let top = query.get("$top").map(|_| query.top()).transpose()?;
        let change_type = own("changetype");
        if change_type.as_deref().is_some_and(|t| !["created", "updated", "deleted"].contains(&t)) {
            return Err(Refusal::invalid("The change type is not supported."));
        }
        Ok(Self { select: own("$select"), expand: own("$expand"), top, since_ms, change_type })
    }

    fn tells(&self, what: What) -> bool {
        match self.change_type.as_deref() {
            Some("created") => what == What::Came,
            Some("updated") => matches!(what, What::Changed(_)),
            Some("deleted") => matches!(what, What::Deleted | What::Left),
            _ => true,
        }
    }
}

/// One page of a round.
pub(super) fn messages(graph: &Graph, context: &Context<'_>) -> Answered {
    let (view, page, link, foreign_origin) = {
        let state = &mut *graph.lock();
        let empty = take_empty_page(state);
        let settings = context.settings;
        let folder = context.route.folder.as_deref().unwrap_or_default();
        let folder = state.account(&context.mailbox).folder_number(folder)?;
        let (chain, position) = open(state, context, Some(folder))?;
        let params = state.account(&context.mailbox).chains[&chain].params.clone();
        let options = (params.select.as_deref(), params.expand.as_deref());
        let view = View::from_options(options, &context.prefer, context.access, settings.id_letters)?;
        let size = context.prefer.page_size(params.top, 10);
        context.within_page_limit(state, size)?;
        let size = settings.delta_size(size);
        let size = if empty { 0 } else { disordered_size(settings, state.counter, size) };
        let account = state.account(&context.mailbox);
        let reader = Reader { account, folder, params: &params, context, size };
        let page = reader.page(position);
        let link = advance(account, chain, &page, context);
        (view, page, link, state.oddities.foreign_next_link.clone())
    };
    let value: Vec<Value> = page.items.iter().map(|item| item.shown(&view, context.settings)).collect();
    let mut list = json!({"@odata.context": context.odata_context("messages/$delta"), "value": value});
    let (name, link) = if page.last { ("@odata.deltaLink", link) } else { ("@odata.nextLink", link) };
    list[name] = json!(foreign(&link, foreign_origin.as_deref()));
    Ok(ok(&list))
}

impl Item {
    fn shown(&self, view: &View, settings: &GraphSettings) -> Value {
        match self {
            Self::Message(shown) => shown.message(view),
            Self::Partly(shown, mask) => shown.partial(view, *mask),
            Self::Gone { id, what } => {
                let moved = *what == What::Left && settings.move_reason == MoveReason::Changed;
                json!({"@removed": {"reason": if moved { "changed" } else { "deleted" }}, "id": id})
            }
        }
    }
}

/// Pages are only about as long as asked for; a seed makes some short or empty.
fn disordered_size(settings: &GraphSettings, number: u64, size: usize) -> usize {
    let Some(seed) = settings.disorder else { return size };
    match checksum(format!("{seed}/{number}/size").as_bytes()) % 6 {
        0 => 0,
        1 => size.div_ceil(2),
        _ => size,
    }
}

struct Reader<'a> {
    account: &'a Account,
    folder: u64,
    params: &'a Params,
    context: &'a Context<'a>,
    size: usize,
}

impl Reader<'_> {
    fn page(&self, position: Position) -> Page<Item> {
        match position {
            Position::Everything { anchor, after, told } => self.everything(anchor, after, told),
            Position::Changes { since, told } => self.changes(since, told),
        }
    }

    fn everything(&self, anchor: u64, after: Option<(i64, u64)>, told: usize) -> Page<Item> {
        let letters = self.context.settings.id_letters;
        let order = &self.account.folders[&self.folder].order;
        let rest = match after {
            Some(key) => order.range(..key),
            None => order.range(..),
        };
        let most = if self.params.since_ms.is_some() { MOST_FILTERED.saturating_sub(told) } else { usize::MAX };
        let since = self.params.since_ms.unwrap_or(i64::MIN);
        let silent = self.params.change_type.as_deref().is_some_and(|t| t != "created");
        let mut rest = rest.rev().filter(|(received, _)| *received >= since && !silent).take(most);
        let keys: Vec<(i64, u64)> = rest.by_ref().take(self.size).copied().collect();
        let last = rest.next().is_none();
        let stored = keys.iter().filter_map(|(_, number)| self.account.messages.get(number));
        let items = stored.map(|stored| Item::Message(Box::new(Shown::new(self.account, stored, letters)))).collect();
        let next = if last {
            Position::Changes { since: anchor, told: anchor }
        } else {
            let after = keys.last().copied().or(after);
            Position::Everything { anchor, after, told: told + keys.len() }
        };
        Page { items: self.repeated(items), next, last }
    }

    fn changes(&self, since: u64, told: u64) -> Page<Item> {
        let settings = self.context.settings;
        let immutable = self.context.prefer.immutable;
        let listener = Listener { immutable, loses_returned: settings.returned == Returned::ToldAsRemoved };
        let folder = &self.account.folders[&self.folder];
        let all = verdicts(&folder.log, since, listener).into_iter().filter(|v| v.tick > told && self.concerns(v));
        let mut rest = all;
        let page: Vec<Verdict> = rest.by_ref().take(self.size).collect();
        let last = rest.next().is_none();
        let told = page.last().map_or(told, |verdict| verdict.tick);
        let end = folder.log.last().map_or(since, |entry| entry.tick.max(since));
        let next = if last { Position::Changes { since: end, told: end } } else { Position::Changes { since, told } };
        let items = self.disordered(page).iter().filter_map(|verdict| self.item(verdict)).collect();
        Page { items, next, last }
    }

    fn concerns(&self, verdict: &Verdict) -> bool {
        let gone = matches!(verdict.what, What::Deleted | What::Left);
        let received = self.account.messages.get(&verdict.message).map(|m| m.received_ms);
        let new_enough = self.params.since_ms.is_none_or(|since| received.is_none_or(|at| at >= since));
        self.params.tells(verdict.what) && (gone || new_enough)
    }

    fn item(&self, verdict: &Verdict) -> Option<Item> {
        let settings = self.context.settings;
        let moves = (!self.context.prefer.immutable).then_some(verdict.moves);
        let gone = |what| {
            let id = message_id(&self.account.address, verdict.message, moves, settings.id_letters);
            Some(Item::Gone { id, what })
        };
        let stored = || {
            let stored = self.account.messages.get(&verdict.message)?;
            Some(Box::new(Shown::new(self.account, stored, settings.id_letters)))
        };
        match verdict.what {
            What::Deleted | What::Left => gone(verdict.what),
            What::Changed(mask) if settings.delta_updates == DeltaUpdates::Partial => {
                Some(Item::Partly(stored()?, mask))
            }
            What::Came | What::Changed(_) => Some(Item::Message(stored()?)),
        }
    }

    /// Changes in another order, some of them twice, if a seed says so.
    fn disordered(&self, mut page: Vec<Verdict>) -> Vec<Verdict> {
        let Some(seed) = self.context.settings.disorder else { return page };
        let spread = |verdict: &Verdict| checksum(format!("{seed}/{}/{}", verdict.message, verdict.tick).as_bytes());
        let twice: Vec<Verdict> = page.iter().filter(|verdict| spread(verdict).is_multiple_of(5)).copied().collect();
        page.sort_by_key(spread);
        page.extend(twice);
        page
    }

    fn repeated(&self, mut items: Vec<Item>) -> Vec<Item> {
        let Some(seed) = self.context.settings.disorder else { return items };
        let repeats =
            checksum(format!("{seed}/{}", self.account.tick + items.len() as u64).as_bytes()).is_multiple_of(2);
        if let (true, Some(Item::Message(first))) = (repeats, items.first()) {
            let again = Item::Message(first.clone());
            items.push(again);
        }
        items
    }
}

/// The chain and position that a call goes on from; a call without a token begins a chain.
pub(super) fn open(state: &mut State, context: &Context<'_>, folder: Option<u64>) -> Result<(u64, Position), Refusal> {
    let token = context.query.get("$skiptoken").or_else(|| context.query.get("$deltatoken"));
    let account = state.account(&context.mailbox);
    let Some(token) = token else {
        let params = Params::of(context)?;
        let anchor = account.tick;
        let position = Position::Everything { anchor, after: None, told: 0 };
        let number = account.chains.last_key_value().map_or(1, |(number, _)| number + 1);
        account.chains.insert(number, Chain { folder, params, generation: 0, links: VecDeque::new() });
        while account.chains.len() > context.settings.delta_chains {
            account.chains.pop_first();
        }
        return Ok((number, position));
    };
    let Some((number, generation)) = read_token(token) else {
        return Err(Refusal::bad_request("Badly formed token."));
    };
    let Some(chain) = account.chains.get(&number).filter(|chain| chain.folder == folder) else {
        let count = state.next();
        return Err(lost(context, &format!("generation={generation}; highest=0"), count));
    };
    let link = chain.links.iter().find(|(known, _)| *known == generation);
    if let Some((_, position)) = link {
        return Ok((number, *position));
    }
    let known: String = chain.links.iter().rev().map(|(known, _)| format!("[{known}]")).collect();
    let text = format!("generation={generation}; highest={} {known}", chain.generation);
    let count = state.next();
    Err(lost(context, &text, count))
}

/// The refusal of a link that leads nowhere any more.
fn lost(context: &Context<'_>, generations: &str, count: u64) -> Refusal {
    let message = format!("The sync state generation is not found; {generations}.");
    let spread = checksum(&count.to_be_bytes());
    let gone = match context.settings.lost_delta {
        LostDelta::Alternate => spread.is_multiple_of(2),
        LostDelta::BadRequest => false,
        LostDelta::Gone => true,
    };
    let code = if (spread / 2).is_multiple_of(2) { "SyncStateNotFound" } else { "syncStateNotFound" };
    let refusal = Refusal::new(if gone { 410 } else { 400 }, code, message);
    if gone { refusal.with_header(header::LOCATION, base(context.request)) } else { refusal }
}

/// Remembers where the next call goes on; gives its address.
pub(super) fn advance<T>(account: &mut Account, chain: u64, page: &Page<T>, context: &Context<'_>) -> String {
    let Some(known) = account.chains.get_mut(&chain) else { return base(context.request) };
    known.generation += 1;
    known.links.push_back((known.generation, page.next));
    while known.links.len() > context.settings.delta_generations.max(1) {
        known.links.pop_front();
    }
    let token = write_token(chain, known.generation);
    let name = if page.last { "$deltatoken" } else { "$skiptoken" };
    format!("{}?{name}={token}", base(context.request))
}

fn write_token(chain: u64, generation: u64) -> String {
    let sum = checksum(format!("{chain}/{generation}").as_bytes());
    let bytes = [chain.to_be_bytes(), generation.to_be_bytes(), sum.to_be_bytes()].concat();
    format!("R0us{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn read_token(token: &str) -> Option<(u64, u64)> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("R0us")?).ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (chain, generation) = (number(0)?, number(8)?);
    (write_token(chain, generation) == token).then_some((chain, generation))
}
