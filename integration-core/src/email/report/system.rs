//! Is a message a report of a mail system, or do people write about one?

use std::sync::LazyLock;

use super::words;
use crate::email::{
    table::{Table, alone},
    types::{Address, Message},
};

/// Is a message sent by a mail system, to tell what became of another one?
pub(crate) fn is_from_mail_system(message: &Message) -> bool {
    let name = |address: &str| address.split('@').next().unwrap_or_default().to_ascii_lowercase();
    message.from.iter().chain(&message.sender).map(|person| name(&person.address)).any(|local| {
        let local = local.replace(['-', '_', '.'], "");
        SYSTEMS.iter().any(|known| local.starts_with(known)) || is_exchange(&local)
    })
}

/// "…exchange329e71ec88ae4615bbc36ab6ce41109e": one that a server was given when it was set up.
fn is_exchange(local: &str) -> bool {
    const DIGITS: usize = 32;
    local
        .len()
        .checked_sub(DIGITS)
        .and_then(|at| local.split_at_checked(at))
        .is_some_and(|(name, digits)| name.ends_with("exchange") && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// How mail systems call themselves before the `@`, without signs.
const SYSTEMS: [&str; 7] =
    ["mailerdaemon", "postmaster", "maildaemon", "maildeliverysubsystem", "mailsystem", "maildelivery", "mdaemon"];

/// What they are called beside an address of their own.
const NAMES: [&str; 9] = [
    "mail deliver",
    "mailer-daemon",
    "mailer daemon",
    "postmaster",
    "internet mail deliver",
    "mail system",
    "mail transfer",
    "mail administrator",
    "system administrator",
];

/// A system under an address of its own, told by what it is called; and what names no sender at all.
fn is_called_a_system(message: &Message) -> bool {
    let called = |person: &Address| {
        let name = person.name.as_deref().unwrap_or_default().to_lowercase();
        NAMES.iter().any(|known| name.starts_with(known))
    };
    message.from.iter().chain(&message.sender).any(called) || message.from.is_empty()
}

/// Is `message` a report, although it has no part for programs?
///
/// People write about undelivered mail too, forward reports and quote them: without a system behind it nothing is one.
pub(super) fn is_report(message: &Message, text: &str) -> bool {
    let kind = message.headers.get("Content-Type").unwrap_or_default().to_ascii_lowercase();
    if kind.contains("report-type=delivery-status") || kind.contains("report-type=\"delivery-status") {
        return true;
    }
    let system = is_from_mail_system(message);
    // Nobody answers to an empty sender: only systems use it.
    let no_sender = message.headers.get("Return-Path").is_some_and(|path| path.trim() == "<>");
    let answers = message.headers.get("Auto-Submitted").is_some_and(|word| word.starts_with("auto-replied"));
    let generated = message.headers.get("Auto-Submitted").is_some_and(|word| word.starts_with("auto-generated"));
    match (system || no_sender, says_so(&message.subject)) {
        (true, true) => true,
        (true, false) => (system || !answers) && announces(text),
        (false, true) => {
            (generated || kind.starts_with("multipart/report") || is_called_a_system(message))
                && announces(text)
                && message.in_reply_to.is_empty()
        }
        (false, false) => false,
    }
}

/// Does the beginning of `text` say that something was not delivered? Asked of few messages only.
fn announces(text: &str) -> bool {
    let start = text[..text.floor_char_boundary(4 * 1024)].to_lowercase();
    words::delays(&start) || words::speaks(&start) || start.lines().any(words::announces)
}

fn says_so(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    // Most subjects have none of the stems that all of them have.
    let stemmed = |(at, _)| STEMMED.beginnings_of(&subject[at..]).next().is_some();
    subject.char_indices().any(stemmed) && SUBJECTS.iter().any(|known| subject.contains(known))
}

static STEMMED: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&STEMS)));

const STEMS: [&str; 19] = [
    "deliver",
    "return",
    "fail",
    "mail",
    "message",
    "zustell",
    "zugestellt",
    "remis",
    "distribu",
    "entreg",
    "recapito",
    "bestel",
    "エラー",
    "配信",
    "não",
    "recapit",
    "dostarcz",
    "lever",
    "достав",
];

/// Subjects of reports, in the languages of common servers.
const SUBJECTS: [&str; 46] = [
    "undeliver",
    "delivery status notification",
    "returned mail",
    "failure notice",
    "mail delivery fail",
    "delivery failure",
    "delivery has failed",
    "mail delivery system",
    "not be delivered",
    "returned to sender",
    "non-delivery",
    "nondeliverable",
    "nondelivery",
    "mail system error",
    "delivery notification",
    "delivery problem",
    "delivery report",
    "mail failure",
    "failed mail",
    "could not send message",
    "message delayed",
    "delayed mail",
    "unable to deliver",
    "wasn't delivered",
    "message status",
    "unzustellbar",
    "nicht zustellbar",
    "nicht zugestellt",
    "non remis",
    "non distribu",
    "no entregado",
    "no se puede entregar",
    "mancato recapito",
    "onbestelbaar",
    "não entregue",
    "エラー",
    "配信",
    "no se pudo entregar",
    "non recapitabile",
    "niedostarcz",
    "nie można dostarczyć",
    "kan inte levereras",
    "kan ikke leveres",
    "недостав",
    "warning: message",
    "delivery delayed",
];
