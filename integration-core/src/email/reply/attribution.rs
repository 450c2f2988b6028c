//! "On … wrote:" in many languages, on one line or wrapped over several.

use std::sync::LazyLock;

use super::{
    line::{Line, folded, has_address, invisible},
    words,
};
use crate::email::table::{Table, alone};

static WROTE_ENDS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_ends(alone(words::WROTE)));
static WROTE: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(words::WROTE)));

/// How many lines an attribution may take.
const MAX_LINES: usize = 5;
/// Longer lines are no attributions.
const MAX_BYTES: usize = 600;

/// How sure the reading is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Sure {
    No,
    /// Only if a quote follows.
    IfQuoteFollows,
    Yes,
}

/// The first line of the attribution that ends at `end`, if one does.
pub(super) fn ending_at(lines: &[&Line<'_>], end: usize) -> Option<usize> {
    let last = lines[end];
    if last.body.len() > MAX_BYTES {
        return None;
    }
    if !last.may_attribute() && !last.has_at() {
        return None;
    }
    let quote_follows =
        lines[end + 1..].iter().take(4).find(|line| !line.is_blank()).is_some_and(|line| quoted_or_soft(line));
    if !last.may_attribute() && !quote_follows {
        return None;
    }
    let window = window(lines, end);
    if !may_be_one(lines, &window) {
        return None;
    }
    let mut joined = String::new();
    let mut found = None;
    for start in window {
        joined = joined_with(&lines[start].body, &joined);
        match sure(&joined, &lines[start].body) {
            (Sure::Yes, true) => return Some(start),
            (Sure::Yes, false) => found = found.or(Some(start)),
            (Sure::IfQuoteFollows, opens) if quote_follows => {
                if opens {
                    return Some(start);
                }
                found = found.or(Some(start));
            }
            _ => {}
        }
    }
    found
}

/// Every attribution has a word for "wrote", or an address: a look at the lines before they are joined.
fn may_be_one(lines: &[&Line<'_>], window: &[usize]) -> bool {
    window.iter().any(|&at| lines[at].has_at() || lines[at].says_wrote() || lines[at].body.ends_with('='))
}

fn quoted_or_soft(line: &Line<'_>) -> bool {
    line.is_quoted() || line.mark == super::line::Mark::Soft
}

/// Is the whole line an attribution with the quoted text behind it ("On … wrote: Hello")?
pub(super) fn with_text_behind(line: &str) -> bool {
    if line.len() > 100_000 {
        return false;
    }
    let head = &line[..line.floor_char_boundary(MAX_BYTES)];
    let Some(colon) =
        head.find(">:").map(|at| at + 1).or_else(|| head.find("wrote:").map(|at| at + 5)).or_else(|| wrote_colon(head))
    else {
        return false;
    };
    head[colon + 1..].starts_with(' ') && sure(&head[..=colon], &head[..=colon]) == (Sure::Yes, true)
}

fn wrote_colon(head: &str) -> Option<usize> {
    head.match_indices([':', '\u{ff1a}']).map(|(at, _)| at).filter(|&at| head.is_char_boundary(at + 1)).find(|&at| {
        let from = head[..at].rfind('>').map_or(0, |bracket| bracket + 1);
        from > 0 && wrote(&head[from..at])
    })
}

/// Where in a line an attribution begins that shares the line with the writer's last words.
pub(super) fn within(line: &str) -> Option<usize> {
    if line.len() > MAX_BYTES || !line.ends_with(':') || !line.contains('@') {
        return None;
    }
    let at = line.rmatch_indices("On ").map(|(at, _)| at).find(|&at| at > 0 && line[..at].ends_with([' ', '-']))?;
    let tail = &line[at..];
    // The dashes before it belong to it.
    let at = line[..at].trim_end().trim_end_matches('-').len();
    (at > 0 && sure(tail, tail) == (Sure::Yes, true)).then_some(at)
}

/// Does the text hold a word for "wrote"?
pub(super) fn wrote(text: &str) -> bool {
    wrote_in(&folded(text, MAX_BYTES * 2))
}

fn wrote_in(text: &str) -> bool {
    text.split(separates).any(|word| WROTE.get(word).is_some())
        || !text.is_ascii() && words::WROTE_WITHIN.iter().any(|word| text.contains(word))
}

fn separates(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '"' | '\'' | '|' | '/' | '*' | '-' | '='
        )
}

/// A cheap look, for most lines end none; with an address and a quote below they still may.
pub(super) fn may_end(body: &str) -> bool {
    let body = body_end(body);
    if body.ends_with([':', '\u{ff1a}']) {
        return true;
    }
    (body.ends_with("--") || body.len() < 400 && last_word_wrote(body)) && wrote(body)
}

fn body_end(body: &str) -> &str {
    if body.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == ':') {
        return body;
    }
    body.trim_end_matches(|letter: char| {
        letter.is_whitespace() || invisible(letter) || matches!(letter, '*' | '_' | '=')
    })
}

fn last_word_wrote(body: &str) -> bool {
    let body = body_end(body);
    // What is written without blanks between words has its word anywhere in the last one.
    let tail = &body.as_bytes()[body.len().saturating_sub(24)..];
    if tail.is_ascii() && !WROTE_ENDS.may_end(body.trim_end_matches(separates)) {
        return false;
    }
    let ends = |letter: char| letter.is_whitespace() || letter == '>';
    let body = body.trim_end_matches(ends);
    let last = body.rfind(ends).map_or(body, |end| body[end..].trim_start_matches(ends));
    if last.is_ascii() {
        let last = last.trim_matches(separates);
        return !last.is_empty() && last.len() <= 20 && WROTE.get(&last.to_ascii_lowercase()).is_some();
    }
    wrote(last)
}

/// The lines where an attribution that ends at `end` may begin, nearest first.
fn window(lines: &[&Line<'_>], end: usize) -> Vec<usize> {
    let mut starts = vec![end];
    let mut at = end;
    while starts.len() < MAX_LINES && at > 0 {
        let opens_bracket = lines[at].body.starts_with('<');
        at -= 1;
        // A program of one maker breaks the line twice before the address.
        if lines[at].is_blank() && opens_bracket && at > 0 {
            at -= 1;
        }
        let line = lines[at];
        let sentence = line.body.ends_with(['.', '!', '?']) && !line.body.ends_with("p.m.");
        if line.is_blank() || line.is_quoted() || line.body.len() > MAX_BYTES || sentence || line.body.ends_with(':') {
            break;
        }
        starts.push(at);
    }
    starts
}

/// Two wrapped lines as one; a quoted-printable soft break joins without a blank.
fn joined_with(above: &str, below: &str) -> String {
    match above.strip_suffix('=') {
        Some(cut) => format!("{cut}{below}"),
        None if below.is_empty() => above.to_owned(),
        None => format!("{above} {below}"),
    }
}

/// How sure, and whether its first line opens it (a date or "on").
fn sure(joined: &str, first: &str) -> (Sure, bool) {
    let dashed = joined.starts_with("--") && joined.ends_with("--");
    let joined = joined.trim_matches(|letter: char| matches!(letter, '-' | '*' | '_' | '|' | ' ' | '\u{2014}'));
    let mut text = folded(joined, MAX_BYTES * 4);
    if text.contains('=') {
        text = text.replace("=e2=80=af", " ").replace("=20", " ");
    }
    let text = text.as_str();
    let first = folded(first.trim_start_matches(['-', '*', '_', '|', ' ']), MAX_BYTES);
    let (date, address, wrote) = (has_date(text), has_address(text), wrote_in(text));
    let colon = text.ends_with([':', '\u{ff1a}']);
    let opens = opens(&first);
    let ends = colon || dashed || last_word_wrote(text);
    if opens && date && ends && (wrote || address && text.contains(" sent:")) {
        return (Sure::Yes, true);
    }
    if opens && wrote && ends && address {
        return (Sure::Yes, true);
    }
    if date && address && opens && colon && address_near_end(text) {
        return (Sure::Yes, true);
    }
    if wrote && ends && words_of(text) <= 25 && (address || has_time(text) && date || dashed) {
        return (Sure::Yes, false);
    }
    if date && address && (opens || colon) || opens && wrote && ends || wrote && colon && words_of(text) <= 8 {
        return (Sure::IfQuoteFollows, opens);
    }
    (Sure::No, opens)
}

fn words_of(text: &str) -> usize {
    text.split_whitespace().count()
}

/// After the address comes nothing but its bracket and a word or two.
fn address_near_end(text: &str) -> bool {
    text.rfind('@').is_some_and(|at| {
        let tail = text[at..].trim_start_matches(|letter: char| !letter.is_whitespace() && letter != '>');
        tail.chars().count() <= 14 || text[at..].contains("mailto:")
    })
}

/// "on", a weekday or a number, with the day soon after.
fn opens(first: &str) -> bool {
    let mut tokens = first.split_whitespace();
    let Some(head) = tokens.next() else { return false };
    let early = |count: usize| {
        first.split_whitespace().take(count).any(|word| word.contains(|letter: char| letter.is_numeric()))
    };
    let bare = head.trim_matches(|letter: char| !letter.is_alphanumeric());
    if head.starts_with(char::is_numeric) {
        return !head.contains('@') && head.chars().filter(|letter| letter.is_ascii_alphabetic()).count() <= 5;
    }
    if words::ON.contains(&bare) || first.starts_with("in data") || first.starts_with("a las") {
        return early(6);
    }
    let punctuated = head.ends_with([',', '.']) && head.chars().count() <= 16;
    if (punctuated || words::WEEKDAYS.contains(&bare)) && early(4) {
        return true;
    }
    // Chinese and Japanese write "on" and the date in one.
    ["在", "於", "于"].iter().any(|on| head.starts_with(on)) && early(2)
}

/// A year, a time, or a day with its month in numbers.
pub(super) fn has_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, next) = (&text[at..end], bytes.get(end).copied().unwrap_or(b' '));
        let year = number.len() == 4 && (number.starts_with("19") || number.starts_with("20"));
        let apart = at == 0 || !bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'@';
        let after = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if apart && (year || number.len() <= 2 && after && matches!(next, b':' | b'.' | b'/' | b'-' | b'h')) {
            return true;
        }
        at = end;
    }
    false
}

/// A time of day.
fn has_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..bytes.len().saturating_sub(1)).any(|at| {
        matches!(bytes[at], b':' | b'h' | b'.') && bytes[at - 1].is_ascii_digit() && bytes[at + 1].is_ascii_digit()
    })
}
