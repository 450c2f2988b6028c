//! Single-value extended properties.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::filter;
use super::mail::Mail;
use super::stored::Stored;

/// Properties that stand for a header of the message.
const HEADERS: [(&str, &str); 3] =
    [("string 0x1035", "Message-ID"), ("string 0x1042", "In-Reply-To"), ("string 0x1039", "References")];
/// All headers as text.
const TRANSPORT: &str = "string 0x007d";

/// The header that a property stands for.
pub(super) fn header(id: &str) -> Option<&'static str> {
    let id = id.to_ascii_lowercase();
    HEADERS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// The ids in `singleValueExtendedProperties($filter=id eq '…' or id eq '…')`.
pub(super) fn asked(expand: &str) -> Result<Vec<String>, Refusal> {
    let inner = expand.split_once('(').map(|(_, rest)| rest.trim().trim_end_matches(')').trim());
    let wrong = || Refusal::invalid("The filter of extended properties must name them by id.");
    let condition =
        inner.and_then(|text| text.split_once('=')).filter(|(name, _)| name.eq_ignore_ascii_case("$filter"));
    let words = filter::literals(condition.ok_or_else(wrong)?.1)?;
    if words.is_empty() { Err(wrong()) } else { Ok(words) }
}

/// The value of a property of a message.
pub(super) fn value(stored: &Stored, mail: &dyn Fn() -> Mail, id: &str) -> Option<String> {
    let own = stored.extended.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
    if let Some((_, value)) = own {
        return Some(value.clone());
    }
    if let Some(name) = header(id) {
        return mail().header(name).map(str::to_owned);
    }
    if id.eq_ignore_ascii_case(TRANSPORT) {
        let lines = mail().headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        return Some(lines.collect());
    }
    None
}

/// Those of the asked properties that the message has.
pub(super) fn shown(stored: &Stored, mail: &Mail, ids: &[String]) -> Vec<Value> {
    let found = ids.iter().filter_map(|id| Some((id, value(stored, &|| mail.clone(), id)?)));
    found.map(|(id, value)| json!({"id": id, "value": value})).collect()
}

/// Reads the properties of a message that a client sent.
pub(super) fn given(message: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let mut found = BTreeMap::new();
    for one in message.as_array().into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str);
        let (Some(id), Some(value)) = (text("id"), text("value")) else {
            return Err(Refusal::invalid("An extended property needs an id and a value."));
        };
        if !well_formed(id) {
            return Err(Refusal::new(400, "ErrorInvalidExtendedProperty", "The extended property id is invalid."));
        }
        found.insert(id.to_owned(), value.to_owned());
    }
    Ok(found)
}

/// `String {guid} Name x`, `String {guid} Id 0x8012` or `String 0x1035`.
fn well_formed(id: &str) -> bool {
    let words: Vec<&str> = id.split_whitespace().collect();
    let tag = |word: &str| word.strip_prefix("0x").is_some_and(|hex| u32::from_str_radix(hex, 16).is_ok());
    let set = |word: &str| word.starts_with('{') && word.ends_with('}') && word.len() == 38;
    match words[..] {
        [_, property] => tag(property),
        [_, guid, "Name", ..] => set(guid) && words.len() > 3,
        [_, guid, "Id", number] => set(guid) && tag(number),
        _ => false,
    }
}
