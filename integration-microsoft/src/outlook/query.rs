//! [`MessageQuery`] as Graph's filters and searches.
//! Source: <https://learn.microsoft.com/graph/search-query-parameter>.
//!
//! Words and people are a matter of `$search`, which takes no filter beside it and finds the newest 1,000 messages; all
//! else of `$filter`. Whatever the service makes of it, each message is held against the query here: a page may be shorter
//! than it was asked for, and never holds what does not belong to it.
//!
//! A first page that is too much for the service is asked for by half. A further one cannot be: its link carries the size and
//! the position in steps of that size (or a token that says both), and is followed as it came; with another size it would
//! leave messages out or tell them twice, and a position of our own, by time, would do the same to messages of one instant.
//! It is repeated as any other call; where it still fails, the next search begins with smaller pages.

use chrono::{DateTime, SecondsFormat, Utc};
use integration_core::{
    ErrorKind, Result,
    email::{MessageQuery, MessageStub, Role},
    ids::{FolderId, MessageId, ThreadId},
    page::{Page, PageToken},
};

use super::{Outlook, convert, error, folders::Places, pages, wire};
use crate::client::Query;

/// The service's largest page, and what is asked unless somebody asks for another.
const LARGEST: u32 = 1_000;
const USUAL: u32 = 250;

pub(super) async fn search(
    outlook: &Outlook,
    query: &MessageQuery,
    page: Option<&PageToken>,
) -> Result<Page<MessageStub>> {
    let answer = match page {
        Some(page) if outlook.client.is_of_this_mailbox(page.as_str()) => {
            pages::follow(outlook, outlook.client.list_link(page.as_str())?).await?
        }
        Some(_) => return Err(self::error(ErrorKind::InvalidInput, "the page token is none of this mailbox")),
        None => {
            let folder = query.folder.as_ref().map(FolderId::as_str);
            let size = query.page_size.unwrap_or(USUAL).clamp(1, LARGEST);
            pages::ask(outlook, size, |size| outlook.client.list(folder, parameters(query, size))).await?
        }
    };
    let mut answer: wire::Page = answer.json()?;
    let read = |json: &str| serde_json::from_str::<wire::Message>(json).ok().filter(|wire| !wire.id.is_empty());
    let wires: Vec<wire::Message> = answer.value.iter().filter_map(|entry| read(entry.get())).collect();
    let places = outlook.places_of(wires.iter().filter_map(|wire| wire.parent_folder_id.as_deref())).await?;
    let stubs = wires.into_iter().filter(|wire| belongs(wire, query, &places)).map(|wire| {
        let thread = wire.conversation_id.filter(|id| !id.is_empty()).map(ThreadId::new);
        MessageStub::new(MessageId::new(wire.id), thread)
    });
    let stubs = stubs.collect();
    Ok(Page::new(stubs, answer.next().map(PageToken::new)))
}

/// The parameters of a search's first page, of at most `size` messages; the links to the others repeat them.
pub(super) fn parameters(query: &MessageQuery, size: u32) -> Query<'static> {
    let mut parameters: Query<'static> = vec![("$top", size.to_string().into())];
    let words = words(query);
    if !words.is_empty() {
        parameters.push(("$search", format!("\"{words}\"").into()));
    } else if let Some(id) = &query.message_id {
        parameters.push(("$filter", by_message_id(id).into()));
    } else {
        // What is sorted by must be filtered by, and first.
        parameters.push(("$filter", by_time(query.since, query.until).into()));
        parameters.push(("$orderby", "receivedDateTime desc".into()));
    }
    parameters
}

/// The words of a search, in the service's language; empty if neither words nor people are asked for.
fn words(query: &MessageQuery) -> String {
    let mut terms = Vec::new();
    terms.extend(query.text.as_deref().map(one_line).filter(|text| !text.is_empty()));
    terms.extend(query.participant.as_deref().map(|who| format!("participants:{}", word(who))));
    terms.join(" AND ")
}

fn by_time(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> String {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let since = since.map_or_else(|| "1900-01-01T00:00:00Z".to_owned(), text);
    let until = until.map(|until| format!(" and receivedDateTime lt {}", text(until))).unwrap_or_default();
    format!("receivedDateTime ge {since}{until}")
}

/// The filter that finds a message by its `Message-ID`.
pub(super) fn by_message_id(id: &str) -> String {
    format!("internetMessageId eq '<{}>'", literal(id.trim().trim_matches(['<', '>'])))
}

/// A text within quotes of a filter.
pub(super) fn literal(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect::<String>().replace('\'', "''")
}

/// Does the message really match?
fn belongs(wire: &wire::Message, query: &MessageQuery, places: &Places) -> bool {
    let folder = wire.parent_folder_id.as_deref().unwrap_or_default();
    let aside = matches!(places.role(folder), Some(Role::Junk | Role::Trash));
    let asked = query.folder.is_some() || query.include_junk_and_trash;
    let at = convert::instant(wire.received_date_time.as_deref());
    let since = query.since.is_none_or(|since| at.is_none_or(|at| at >= since));
    let until = query.until.is_none_or(|until| at.is_none_or(|at| at < until));
    (asked || !aside) && since && until && is_with(wire, query) && is_named(wire, query)
}

fn is_with(wire: &wire::Message, query: &MessageQuery) -> bool {
    let Some(who) = query.participant.as_deref().map(|who| who.trim().to_lowercase()) else { return true };
    let all = [&wire.to_recipients[..], &wire.cc_recipients, &wire.bcc_recipients];
    let senders = [wire.from.as_slice(), wire.sender.as_slice()];
    all.into_iter().chain(senders).flat_map(convert::people).any(|one| one.normalised() == who)
}

fn is_named(wire: &wire::Message, query: &MessageQuery) -> bool {
    let bare = |id: &str| id.trim().trim_matches(['<', '>']).to_owned();
    let named = wire.internet_message_id.as_deref().map(bare);
    query.message_id.as_deref().is_none_or(|id| named == Some(bare(id)))
}

/// Words that end neither their quotes nor the search.
fn one_line(text: &str) -> String {
    let clean = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '"' || letter == '\\';
    text.split(clean).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// One search word that cannot become anything else.
fn word(text: &str) -> String {
    let ends = |letter: char| letter.is_whitespace() || letter.is_control() || "\"\\():<>".contains(letter);
    text.trim().chars().filter(|letter| !ends(*letter)).collect()
}
