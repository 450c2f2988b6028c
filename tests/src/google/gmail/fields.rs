//! Partial answers: the `fields` mask.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use super::answer::{Answered, Refusal, json};
use crate::google::call::ApiAnswer;

const MAX_DEPTH: usize = 20;

/// Every field of the answers imitated here: a mask that names another is refused.
const KNOWN: [&str; 57] = [
    "attachmentId",
    "body",
    "color",
    "data",
    "displayName",
    "drafts",
    "emailAddress",
    "expiration",
    "filename",
    "headers",
    "history",
    "historyId",
    "id",
    "internalDate",
    "isDefault",
    "isPrimary",
    "labelIds",
    "labelListVisibility",
    "labels",
    "labelsAdded",
    "labelsRemoved",
    "message",
    "messageListVisibility",
    "messages",
    "messagesAdded",
    "messagesDeleted",
    "messagesTotal",
    "messagesUnread",
    "mimeType",
    "name",
    "nextPageToken",
    "partId",
    "parts",
    "payload",
    "raw",
    "replyToAddress",
    "resultSizeEstimate",
    "sendAs",
    "sendAsEmail",
    "signature",
    "size",
    "sizeEstimate",
    "snippet",
    "threadId",
    "threads",
    "threadsTotal",
    "threadsUnread",
    "type",
    "value",
    "verificationStatus",
    "backgroundColor",
    "textColor",
    "classificationLabelValues",
    "labelId",
    "fields",
    "fieldId",
    "selection",
];

/// A parsed mask; a field without anything below it is taken whole.
#[derive(Debug, Default, PartialEq)]
struct Mask(BTreeMap<String, Self>);

/// Cuts a successful answer down to what the mask names.
pub(super) fn apply(mask: &str, answer: ApiAnswer) -> Answered {
    let wrong = || Refusal::invalid(&format!("Invalid field selection {mask}"));
    let mut chars = mask.chars().peekable();
    let parsed = parse(&mut chars, 0).filter(|_| chars.next().is_none()).ok_or_else(wrong)?;
    let Ok(value) = serde_json::from_slice::<Value>(answer.body()) else { return Ok(answer) };
    Ok(json(answer.status(), &parsed.cut(&value)))
}

fn parse(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Mask> {
    let mut mask = Mask::default();
    if depth > MAX_DEPTH {
        return None;
    }
    loop {
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '*') {
            name.push(c);
        }
        if name != "*" && !KNOWN.contains(&name.as_str()) {
            return None;
        }
        let below = match chars.peek() {
            Some('/') => {
                chars.next();
                parse_path(chars, depth + 1)?
            }
            Some('(') => parse_group(chars, depth + 1)?,
            _ => Mask::default(),
        };
        mask.add(name, below);
        if chars.next_if_eq(&',').is_none() {
            return Some(mask);
        }
    }
}

fn parse_group(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Mask> {
    chars.next();
    let inner = parse(chars, depth)?;
    chars.next_if_eq(&')').map(|_| inner)
}

/// One step after a slash: no commas, they belong to the level above.
fn parse_path(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Mask> {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '*') {
        name.push(c);
    }
    if depth > MAX_DEPTH || (name != "*" && !KNOWN.contains(&name.as_str())) {
        return None;
    }
    let below = match chars.peek() {
        Some('/') => {
            chars.next();
            parse_path(chars, depth + 1)?
        }
        Some('(') => parse_group(chars, depth + 1)?,
        _ => Mask::default(),
    };
    let mut mask = Mask::default();
    mask.add(name, below);
    Some(mask)
}

impl Mask {
    fn add(&mut self, name: String, below: Self) {
        let known = self.0.contains_key(&name);
        let held = self.0.entry(name).or_default();
        if below.0.is_empty() || (known && held.0.is_empty()) {
            held.0.clear();
        } else {
            for (name, deeper) in below.0 {
                held.add(name, deeper);
            }
        }
    }

    fn cut(&self, value: &Value) -> Value {
        match value {
            _ if self.0.is_empty() => value.clone(),
            Value::Array(items) => items.iter().map(|i| self.cut(i)).collect(),
            Value::Object(object) => {
                let kept = object.iter().filter_map(|(name, value)| {
                    let below = self.0.get(name).or_else(|| self.0.get("*"))?;
                    Some((name.clone(), below.cut(value)))
                });
                Value::Object(kept.collect())
            }
            other => other.clone(),
        }
    }
}
