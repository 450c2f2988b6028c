//! Delivery status notifications (RFC 3464).

use super::{
    Bounce,
    fields::{Block, blocks},
    reason::Numbers,
    recipients, record,
    system::is_from_mail_system,
};
use crate::email::types::Message;

/// The records of the part for programs; `None` if there is none that names a recipient.
pub(super) fn bounces(message: &Message) -> Option<Vec<Bounce>> {
    let parts = message.report_parts.iter().filter(|part| part.media_type.ends_with("delivery-status"));
    let mut named = false;
    let mut found = Vec::new();
    for block in parts.flat_map(|part| blocks(&part.text)) {
        let Some(bounce) = read(&block, &mut named) else { continue };
        found.push(bounce);
    }
    if !named && is_from_mail_system(message) {
        // Some gateways put the fields into the text.
        for block in inside(&message.text) {
            found.extend(read(&block, &mut named));
        }
    }
    named.then_some(found)
}

/// The fields of a delivery status that stands in a text.
fn inside(text: &str) -> Vec<Block> {
    let start = ["Final-Recipient:", "Original-Recipient:"].into_iter().filter_map(|name| text.find(name)).min();
    start.map_or_else(Vec::new, |start| blocks(&text[start..]))
}

/// The record of one block; `named` is set if it is about a recipient at all.
fn read(block: &Block, named: &mut bool) -> Option<Bounce> {
    let last = block.first("Final-Recipient").and_then(recipients::typed);
    let original = block.first("Original-Recipient").and_then(recipients::typed);
    let extra = || block.first("X-Actual-Recipient").and_then(recipients::typed);
    // A final recipient may be a file or a user of the last machine: then the address is the original one.
    let recipient = match (&last, &original) {
        (Some(last), Some(original)) if !last.contains('@') && original.contains('@') => original.clone(),
        (Some(last), _) => last.clone(),
        (None, Some(original)) => original.clone(),
        (None, None) => extra()?,
    };
    *named = true;
    let diagnostic = block.first("Diagnostic-Code").unwrap_or_default();
    let status_field = block.first("Status").unwrap_or_default();
    let mut numbers = Numbers::find(diagnostic);
    numbers.status = Numbers::find(status_field).status.or(numbers.status);
    let word = block.first("Action").unwrap_or_default().to_ascii_lowercase();
    let class = numbers.status.as_deref().and_then(|status| status.bytes().next());
    let delayed = match word.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default() {
        "delivered" | "relayed" | "expanded" | "success" if class != Some(b'5') => return None,
        "delayed" => true,
        "failed" | "failure" => false,
        _ if class == Some(b'2') => return None,
        _ => class == Some(b'4'),
    };
    let explanation = if diagnostic.is_empty() { status_field } else { diagnostic };
    let mut bounce = record(recipient, numbers, explanation, delayed);
    bounce.original_recipient = original.filter(|original| !original.eq_ignore_ascii_case(&bounce.recipient));
    Some(bounce)
}
