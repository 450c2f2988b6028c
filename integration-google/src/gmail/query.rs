//! [`MessageQuery`] in Gmail's search language.
//! Source: <https://developers.google.com/workspace/gmail/api/guides/filtering>.

use chrono::{DateTime, Utc};
use integration_core::{email::MessageQuery, page::PageToken, sync::Window};

use crate::client::{PAGE, Query};

/// The parameters of `messages.list` for a search.
pub(super) fn search<'a>(query: &'a MessageQuery, page: Option<&'a PageToken>) -> Query<'a> {
    let mut parameters: Query<'a> = Vec::new();
    let terms = terms(query);
    if !terms.is_empty() {
        parameters.push(("q", terms.into()));
    }
    parameters.extend(query.folder.as_ref().map(|folder| ("labelIds", folder.as_str().into())));
    if query.include_junk_and_trash {
        parameters.push(("includeSpamTrash", "true".into()));
    }
    parameters.push(("maxResults", query.page_size.unwrap_or(PAGE).clamp(1, PAGE).to_string().into()));
    parameters.extend(page.map(|page| ("pageToken", page.as_str().into())));
    parameters
}

fn terms(query: &MessageQuery) -> String {
    let mut terms = Vec::new();
    terms.extend(query.text.as_deref().map(one_line).filter(|text| !text.is_empty()));
    terms.extend(query.message_id.as_deref().map(|id| format!("rfc822msgid:{}", word(id))));
    terms.extend(query.participant.as_deref().map(word).map(|who| format!("{{from:{who} to:{who} cc:{who}}}")));
    let window = window(query.since.map(|at| at.timestamp()), query.until.map(|at| at.timestamp()), query.until);
    terms.extend(window);
    terms.join(" ")
}

/// A snapshot's window as search terms; empty for everything.
pub(super) fn window_terms(range: &Window) -> String {
    window(range.since.map(|at| at.timestamp()), range.until.map(|at| at.timestamp()), range.until).join(" ")
}

/// Dates would mean midnight Pacific time: seconds mean what they say. Google does not say whether the limits belong to
/// the range, so the lower one is a second early; fractions of a second are rounded outwards.
fn window(since: Option<i64>, until: Option<i64>, exact: Option<DateTime<Utc>>) -> Vec<String> {
    let part = i64::from(exact.is_some_and(|exact| exact.timestamp_subsec_nanos() > 0));
    let since = since.map(|since| format!("after:{}", since.saturating_sub(1)));
    let until = until.map(|until| format!("before:{}", until.saturating_add(part)));
    since.into_iter().chain(until).collect()
}

/// The terms that find a message by its `Message-ID`.
pub(super) fn by_message_id(id: &str) -> String {
    format!("rfc822msgid:{}", word(id))
}

/// The terms that find what was sent between two instants.
pub(super) fn sent_within(since: DateTime<Utc>, until: Option<DateTime<Utc>>) -> String {
    window(Some(since.timestamp()), until.map(|until| until.timestamp()), until).join(" ")
}

fn one_line(text: &str) -> String {
    text.split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// One search word that cannot become anything else.
fn word(text: &str) -> String {
    let text = text.trim().trim_matches(['<', '>']);
    let ends = |letter: char| letter.is_whitespace() || letter.is_control() || "\"(){}".contains(letter);
    text.chars().filter(|letter| !ends(*letter)).collect()
}
