//! Lists of messages.

use serde_json::{Value, json};

use super::answer::{Answered, Refusal, ok};
use super::filter::{self, Filter};
use super::query::base;
use super::render::{Shown, View};
use super::search;
use super::state::Account;
use super::stored::Stored;
use super::{Context, Graph};

const OPTIONS: [&str; 8] = ["$select", "$filter", "$orderby", "$top", "$skip", "$search", "$count", "$expand"];
const MOST_FOUND: usize = 1_000;

/// Which messages, in which order.
struct Wanted {
    filter: Option<Filter>,
    order: (String, bool),
    search: Option<search::Search>,
    skip: usize,
    top: usize,
}

impl Wanted {
    fn of(context: &Context<'_>) -> Result<Self, Refusal> {
        let query = &context.query;
        query.only(&OPTIONS)?;
        let filter = query.get("$filter").map(filter::parse).transpose()?;
        let search = query.get("$search").map(search::parse).transpose()?;
        if search.is_some() && (filter.is_some() || query.get("$orderby").is_some()) {
            let message = "The query parameter '$search' is not supported with '$filter' or '$orderby'.";
            return Err(Refusal::new(400, "SearchWithFilter", message));
        }
        let order = match query.get("$orderby") {
            Some(text) => filter::ordering(text, filter.as_ref())?,
            None if search.is_some() => ("sentdatetime".to_owned(), true),
            None => ("receiveddatetime".to_owned(), true),
        };
        let skip = query.number("$skip")?.unwrap_or(0);
        Ok(Self { filter, order, search, skip, top: context.page_size()? })
    }

    fn fits(&self, account: &Account, stored: &Stored, context: &Context<'_>) -> bool {
        let conversation = |number: u64| account.conversation_id(number, context.settings.id_letters);
        self.filter.as_ref().is_none_or(|filter| filter.fits(stored, &conversation))
            && self.search.as_ref().is_none_or(|search| search.fits(stored))
    }

    /// A page of the messages that are wanted, and whether there are more.
    fn page<'a>(&self, account: &'a Account, folder: Option<u64>, context: &Context<'_>) -> (Vec<&'a Stored>, bool) {
        let order = match folder.and_then(|number| account.folders.get(&number)) {
            Some(folder) => &folder.order,
            None => &account.order,
        };
        let newest = order.iter().rev().filter_map(|(_, number)| account.messages.get(number));
        let fitting = newest.filter(|stored| self.fits(account, stored, context));
        let most = if self.search.is_some() { MOST_FOUND } else { usize::MAX };
        if self.order == ("receiveddatetime".to_owned(), true) {
            return cut(fitting.take(most), self.skip, self.top);
        }
        let mut all: Vec<&Stored> = fitting.collect();
        all.sort_by_cached_key(|stored| filter::sort_key(stored, &self.order.0));
        if self.order.1 {
            all.reverse();
        }
        cut(all.into_iter().take(most), self.skip, self.top)
    }

    fn total(&self, account: &Account, folder: Option<u64>, context: &Context<'_>) -> usize {
        let inside = |stored: &&Stored| folder.is_none_or(|number| stored.folder == number);
        account.messages.values().filter(inside).filter(|stored| self.fits(account, stored, context)).count()
    }
}

fn cut<'a>(all: impl Iterator<Item = &'a Stored>, skip: usize, top: usize) -> (Vec<&'a Stored>, bool) {
    let mut rest = all.skip(skip);
    let page = rest.by_ref().take(top).collect();
    (page, rest.next().is_some())
}

/// Lists the messages of a folder, or of all.
pub(super) fn messages(graph: &Graph, context: &Context<'_>) -> Answered {
    let wanted = Wanted::of(context)?;
    let view = View::of(&context.query, &context.prefer, context.access, context.settings.id_letters)?;
    let (shown, more, total, next_origin, empty) = {
        let mut state = graph.lock();
        context.within_page_limit(&state, wanted.top)?;
        let empty = take_empty_page(&mut state);
        let next_origin = state.oddities.foreign_next_link.clone();
        let account = state.account(&context.mailbox);
        let folder = context.route.folder.as_deref().map(|key| account.folder_number(key)).transpose()?;
        let (page, more) = wanted.page(account, folder, context);
        let total = context.query.flag("$count").then(|| wanted.total(account, folder, context));
        let letters = context.settings.id_letters;
        let shown: Vec<Shown> = page.into_iter().map(|stored| Shown::new(account, stored, letters)).collect();
        (shown, more, total, next_origin, empty && more)
    };
    let value: Vec<Value> = if empty { Vec::new() } else { shown.iter().map(|one| one.message(&view)).collect() };
    let mut list = json!({"@odata.context": context.odata_context("messages")});
    if let Some(total) = total {
        list["@odata.count"] = json!(total);
    }
    let skip = wanted.skip + value.len();
    list["value"] = Value::Array(value);
    if more {
        let base = foreign(&base(context.request), next_origin.as_deref());
        list["@odata.nextLink"] = json!(context.query.next(&base, skip));
    }
    Ok(ok(&list))
}

/// Whether this page is to be empty although there is more.
pub(super) fn take_empty_page(state: &mut super::state::State) -> bool {
    let left = state.oddities.empty_pages;
    state.oddities.empty_pages = left.saturating_sub(1);
    left > 0
}

/// The address at another host, if links are to lead there.
pub(super) fn foreign(address: &str, origin: Option<&str>) -> String {
    let Some(origin) = origin else { return address.to_owned() };
    let path = address.find("://").and_then(|at| address[at + 3..].find('/').map(|slash| &address[at + 3 + slash..]));
    format!("{}{}", origin.trim_end_matches('/'), path.unwrap_or("/"))
}
