//! Delta over the folders themselves.

use serde_json::{Value, json};

use super::Context;
use super::answer::{Answered, ok};
use super::delta::{Page, Position, advance, open};
use super::folder_calls::selected;
use super::folders::ROOT;
use super::list::foreign;
use super::state::{Account, State};

/// A folder that is there, or one that is gone.
enum Item {
    Folder(u64),
    Gone(u64),
}

/// One page of a round over the folders.
pub(super) fn answer(state: &mut State, context: &Context<'_>) -> Answered {
    let foreign_origin = state.oddities.foreign_next_link.clone();
    let (chain, position) = open(state, context, None)?;
    let account = state.account(&context.mailbox);
    let params = account.chains[&chain].params.clone();
    let size = context.settings.delta_size(context.prefer.page_size(params.top, 100));
    let page = page(account, position, size);
    let link = advance(account, chain, &page, context);
    let letters = context.settings.id_letters;
    let show = |item: &Item| match item {
        Item::Folder(number) => {
            selected(account.show_folder(&account.folders[number], letters), params.select.as_deref())
        }
        Item::Gone(number) => json!({"@removed": {"reason": "deleted"}, "id": account.folder_id(*number, letters)}),
    };
    let value: Vec<Value> = page.items.iter().map(show).collect();
    let mut list = json!({"@odata.context": context.odata_context("mailFolders/$delta"), "value": value});
    list[if page.last { "@odata.deltaLink" } else { "@odata.nextLink" }] =
        json!(foreign(&link, foreign_origin.as_deref()));
    Ok(ok(&list))
}

/// Everything is what changed since the beginning: folders carry the tick of their last change.
fn page(account: &Account, position: Position, size: usize) -> Page<Item> {
    let (since, told, first) = match position {
        Position::Everything { .. } => (0, 0, true),
        Position::Changes { since, told } => (since, told, since == 0),
    };
    let visible =
        account.folders.values().filter(|f| !f.hidden && f.number != ROOT && account.lies_below(f.number, ROOT));
    let changed = visible.filter(|f| f.changed > told).map(|f| (f.changed, f.number, Item::Folder(f.number)));
    let gone = account.gone_folders.range(told + 1..).filter(|_| !first);
    let mut all: Vec<(u64, u64, Item)> =
        changed.chain(gone.map(|(tick, number)| (*tick, *number, Item::Gone(*number)))).collect();
    all.sort_by_key(|(tick, number, _)| (*tick, *number));
    // What has the same tick stays on one page, because the position is a tick.
    let mut end = all.len().min(size.max(1));
    while end < all.len() && all[end].0 == all[end - 1].0 {
        end += 1;
    }
    let last = end == all.len();
    all.truncate(end);
    let told = all.last().map_or(told, |(tick, ..)| *tick);
    let next = if last {
        Position::Changes { since: told.max(1), told: told.max(1) }
    } else {
        Position::Changes { since, told }
    };
    Page { items: all.into_iter().map(|(_, _, item)| item).collect(), next, last }
}
