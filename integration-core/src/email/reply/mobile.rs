//! "Sent from my iPhone" and its kin.

use std::sync::LazyLock;

use super::{line::folded, words};
use crate::email::table::{Table, alone};

static BEGINNINGS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(words::SENT_FROM)));
static ENDS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_ends(alone(words::SENT_FROM_ENDS)));

/// Is the line one that a mobile program adds by itself?
pub(in crate::email) fn is_mobile(body: &str) -> bool {
    if body.len() > 300 || body.len() < 6 || body.ends_with(':') {
        return false;
    }
    // Most lines are none, and go no further.
    if !may_be(body) {
        return false;
    }
    let text = folded(body, 200);
    let text = text.trim_matches(frames);
    let begin = BEGINNINGS.beginnings_of(text).next();
    let ends = ENDS.ends(text);
    (begin.is_some() || ends) && names_device(&without_links(body), begin, ends)
}

/// What stands around such a line.
fn frames(letter: char) -> bool {
    matches!(letter, '*' | '_' | '-' | '.' | '!' | ' ' | '\u{2014}' | '(' | ')')
}

/// A look at the edges of a line, before it is folded.
fn may_be(body: &str) -> bool {
    let text = &body[..body.floor_char_boundary(200)];
    let framed = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_alphanumeric());
    let framed = framed(text.as_bytes().first()) || framed(text.as_bytes().last());
    let frame = |letter: char| letter.is_whitespace() || frames(letter);
    let text = if framed { text.trim_matches(frame) } else { text };
    BEGINNINGS.may_begin(text) || ENDS.may_end(text)
}

fn names_device(body: &str, begin: Option<&str>, ends: bool) -> bool {
    let text = folded(body, 200);
    let text = text.trim_matches(frames);
    if text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count() > 14 {
        return false;
    }
    let named_in = |text: &str| words::DEVICES.iter().any(|device| holds(text, device));
    let device = named_in(text);
    let Some(begin) = begin else { return ends && device };
    if device {
        // "Sent from my desk, is easier than my phone" goes on talking.
        let after = text.split_once(", ").map(|(_, after)| after);
        return after.is_none_or(named_in) && !text.contains(" is ")
            || begin.contains("yahoo")
            || text.contains("typo");
    }
    text.get(begin.len()..).is_some_and(|rest| named(rest, body))
}

/// What follows is a product's name: capitals or digits, few words, no comma.
fn named(rest: &str, body: &str) -> bool {
    let begins = rest.is_empty() || rest.starts_with(' ') || !rest.is_ascii();
    let count = rest.split_whitespace().count();
    let capitals =
        body.split_whitespace().skip(2).any(|word| word.chars().next().is_some_and(|letter| letter.is_uppercase()));
    begins && (1..=6).contains(&count) && capitals && !rest.contains(',')
}

/// A word of the text begins with `device`, or is it if it is short; writing without blanks may hold it anywhere.
fn holds(text: &str, device: &str) -> bool {
    if !device.is_ascii() {
        return text.contains(device);
    }
    let letter = |letter: char| letter.is_ascii_alphanumeric();
    text.match_indices(device).any(|(at, _)| {
        !text[..at].ends_with(letter)
            && (device.len() > 5 || device.starts_with("ip") || !text[at + device.len()..].starts_with(letter))
    })
}

/// Without "<https://…>", "(https://…)" and "[…]".
fn without_links(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find(['<', '(', '[']) {
        let close = match rest.as_bytes()[at] {
            b'<' => '>',
            b'(' => ')',
            _ => ']',
        };
        let inside = &rest[at + 1..];
        let end = inside.find(close).unwrap_or(inside.len());
        let link =
            inside[..end].starts_with("http") || inside[..end].contains("://") || inside[..end].starts_with("mailto");
        text.push_str(&rest[..at]);
        text.push(' ');
        if !link {
            text.push_str(&inside[..end]);
            text.push(' ');
        }
        rest = inside.get(end + 1..).unwrap_or("");
    }
    text.push_str(rest);
    text
}
