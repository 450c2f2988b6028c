//! What a mail system reports about messages: not delivered, complained about, read.
//!
//! Everything is read from a [`Message`], however it was delivered. Where a report has a part for programs
//! ([`Message::report_parts`]) that part decides; mail systems without one are understood by their prose.

mod fields;
mod prose;
mod reason;
mod recipients;
mod standard;
mod system;
#[cfg(test)]
mod tests;
mod transcript;
mod words;

pub(crate) use self::system::is_from_mail_system;
use self::{fields::Block, reason::Numbers};
use crate::email::{parse, types::Message};

/// Records of one report; more is no report that anybody reads.
const MAX_BOUNCES: usize = 1_000;
/// Bytes of [`Bounce::diagnostic`].
const MAX_DIAGNOSTIC: usize = 500;

/// One recipient that a message did not reach, or not yet.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Bounce {
    /// The address that failed, as the reporting system names it.
    pub recipient: String,
    /// The address that was written to, where the report says that it was another one.
    pub original_recipient: Option<String>,
    /// The enhanced status (RFC 3463), like "5.1.1".
    pub status: Option<String>,
    /// The SMTP reply code, like 550.
    pub code: Option<u16>,
    /// The mail system is still trying; otherwise it has given up.
    #[serde(default)]
    pub delayed: bool,
    /// The mail system has given up for a lasting reason; otherwise it is still trying ([`delayed`](Self::delayed)), or a
    /// later message may arrive. The class of its status decides (RFC 3463); without one a full mailbox is soft.
    pub hard: bool,
    /// What is wrong.
    pub reason: BounceReason,
    /// The explanation, as the mail system gave it, on one line; at most 500 bytes.
    pub diagnostic: Option<String>,
    /// `Message-ID` of the message that did not arrive, without angle brackets.
    pub original_id: Option<String>,
}

/// Why a message did not reach a recipient.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BounceReason {
    /// The domain does not exist or takes no mail.
    DomainUnknown,
    /// The mailbox is full.
    MailboxFull,
    /// There is no such mailbox, or it is closed.
    MailboxUnknown,
    /// Something else, or nothing that says what.
    #[default]
    Other,
    /// Refused by a rule: taken for spam, not permitted, not authenticated.
    Policy,
    /// The network or a server failed, or too much came at a time.
    Temporary,
    /// The message is too large.
    TooLarge,
}

/// Somebody marked a message as spam, or the like (RFC 5965).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Complaint {
    /// What it is about: "abuse", "fraud", "not-spam", "opt-out", "virus", "other", "auth-failure".
    pub about: String,
    /// Who complained, where the report says so.
    pub recipients: Vec<String>,
    /// The envelope's sender of the message complained about.
    pub sender: Option<String>,
    /// The system that reports.
    pub reporter: Option<String>,
    /// `Message-ID` of the message complained about, without angle brackets.
    pub original_id: Option<String>,
}

/// A message was shown to its reader, or deleted unread (RFC 8098).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// Who received the message.
    pub recipient: Option<String>,
    /// What became of it: "displayed", "deleted", "dispatched", "processed".
    pub disposition: String,
    /// `Message-ID` of the message, without angle brackets.
    pub original_id: Option<String>,
}

/// The recipients that `message` reports as not reached, each once. Empty if it is no such report.
///
/// A notice of delay gives soft records that are [`delayed`](Bounce::delayed); a report of success gives none.
#[must_use]
pub fn bounces(message: &Message) -> Vec<Bounce> {
    let mut found = standard::bounces(message);
    if found.is_none() {
        found = prose::bounces(message);
    }
    let mut found = found.unwrap_or_default();
    let original_id = if found.is_empty() { None } else { original_id(message) };
    let mut seen = std::collections::HashSet::new();
    found.retain(|bounce| seen.insert(bounce.recipient.to_lowercase()));
    found.truncate(MAX_BOUNCES);
    for bounce in &mut found {
        bounce.original_id = bounce.original_id.take().or_else(|| original_id.clone());
    }
    found
}

/// The complaint that `message` is, if it is one.
#[must_use]
pub fn complaint(message: &Message) -> Option<Complaint> {
    let part = message.report_parts.iter().find(|part| part.media_type == "message/feedback-report")?;
    let block = fields::blocks(&part.text).into_iter().next().unwrap_or_default();
    let people = ["Original-Rcpt-To", "Removal-Recipient"];
    let mut recipients: Vec<String> =
        people.into_iter().flat_map(|name| block.all(name)).filter_map(recipients::bare).collect();
    recipients.dedup();
    Some(Complaint {
        about: block.first("Feedback-Type").map_or_else(|| "abuse".to_owned(), |kind| kind.trim().to_ascii_lowercase()),
        recipients,
        sender: block.first("Original-Mail-From").and_then(recipients::bare),
        reporter: block.first("User-Agent").map(str::to_owned),
        original_id: original_id(message),
    })
}

/// The receipt that `message` is, if it is one.
#[must_use]
pub fn receipt(message: &Message) -> Option<Receipt> {
    let part = message.report_parts.iter().find(|part| part.media_type.ends_with("disposition-notification"))?;
    let block = fields::blocks(&part.text).into_iter().next().unwrap_or_default();
    let disposition = block.first("Disposition").unwrap_or_default();
    let kind = disposition.rsplit(';').next().unwrap_or_default().split('/').next().unwrap_or_default();
    let person = block.first("Final-Recipient").or_else(|| block.first("Original-Recipient"));
    Some(Receipt {
        recipient: person.and_then(recipients::bare),
        disposition: kind.trim().to_ascii_lowercase(),
        original_id: block.first("Original-Message-ID").and_then(parse::message_id).or_else(|| original_id(message)),
    })
}

/// The id of the message that is reported on: from its returned header, else from what the prose quotes of it.
fn original_id(message: &Message) -> Option<String> {
    let returned = message.report_parts.iter().filter(|part| is_header(&part.media_type));
    let named = |text: &str| fields::blocks(text).iter().find_map(id_of);
    returned
        .filter_map(|part| named(&part.text))
        .next()
        .or_else(|| message.report_parts.iter().find_map(|part| named(&part.text)))
        .or_else(|| prose::returned(&message.text).and_then(named))
        .or_else(|| message.in_reply_to.first().cloned())
}

fn id_of(block: &Block) -> Option<String> {
    let names = ["Message-ID", "Original-Message-ID", "X-Original-Message-ID"];
    names.into_iter().find_map(|name| block.first(name)).and_then(parse::message_id)
}

fn is_header(media_type: &str) -> bool {
    media_type.ends_with("headers") || matches!(media_type, "message/rfc822" | "message/global" | "text/rfc822-header")
}

/// A record from what is known about one recipient.
fn record(recipient: String, numbers: Numbers, explanation: &str, delayed: bool) -> Bounce {
    let reason = reason::classify(&numbers, explanation);
    Bounce {
        recipient,
        delayed,
        hard: !delayed && reason::is_lasting(&numbers, reason),
        reason: if delayed && reason == BounceReason::Other { BounceReason::Temporary } else { reason },
        status: numbers.status,
        code: numbers.code,
        diagnostic: shortened(explanation),
        ..Bounce::default()
    }
}

fn shortened(explanation: &str) -> Option<String> {
    let mut line = String::new();
    for word in explanation.split_whitespace() {
        if line.len() + 1 + word.len() > MAX_DIAGNOSTIC {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    (!line.is_empty()).then_some(line)
}
