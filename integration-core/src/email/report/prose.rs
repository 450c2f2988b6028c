//! Reports in prose, as common mail servers write them.
//!
//! They agree in three things: who sends them, a sentence that announces what failed, and below it the addresses, each
//! on a line of its own with the explanation after it. What is returned of the message follows and is not searched.

use std::sync::LazyLock;

use super::{Bounce, reason::Numbers, recipients, record};
use crate::email::{
    table::{Table, alone},
    types::Message,
};

/// What is read of a report, in bytes.
const MAX_TEXT: usize = 256 * 1024;
const MAX_FOUND: usize = 1_000;

/// The records of a report without a part for programs; `None` if the message is no report.
pub(super) fn bounces(message: &Message) -> Option<Vec<Bounce>> {
    let text = &message.text[..message.text.floor_char_boundary(MAX_TEXT)];
    let failed: Vec<String> = message.headers.get_all("X-Failed-Recipients").flat_map(recipients::all).collect();
    if failed.is_empty() && !is_report(message, text) {
        return None;
    }
    let report = &text[..returned_at(text).unwrap_or(text.len())];
    let delayed = is_delay(message, report);
    let mut found = listed(report);
    if found.is_empty() {
        found = spoken(report, message);
    }
    if !failed.is_empty() {
        // The header decides who failed, the text says why.
        found = failed.into_iter().map(|address| explained(address, &found, report)).collect();
    }
    Some(found.into_iter().map(|found| found.into_bounce(report, delayed)).collect())
}

/// Is a message sent by a mail system, to tell what became of another one?
pub(crate) fn is_from_mail_system(message: &Message) -> bool {
    let name = |address: &str| address.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let senders = message.from.iter().chain(&message.sender);
    senders.map(|person| name(&person.address)).any(|local| {
        let local = local.replace(['-', '_', '.'], "");
        ["mailerdaemon", "postmaster", "maildaemon", "maildeliverysubsystem", "mailsystem", "maildelivery", "mdaemon"]
            .iter()
            .any(|known| local.starts_with(known))
    })
}

fn is_report(message: &Message, text: &str) -> bool {
    let kind = message.headers.get("Content-Type").unwrap_or_default().to_ascii_lowercase();
    if kind.contains("report-type=delivery-status") || kind.contains("report-type=\"delivery-status") {
        return true;
    }
    let subject = message.subject.to_lowercase();
    // Most subjects have none of the stems that all of them have.
    let stemmed = |(at, _)| STEMMED.beginnings_of(&subject[at..]).next().is_some();
    let said = subject.char_indices().any(stemmed) && SUBJECTS.iter().any(|known| subject.contains(known));
    // Asked of few messages only.
    let announced = || {
        let start = text[..text.floor_char_boundary(4 * 1024)].to_lowercase();
        ANNOUNCED.iter().chain(&DELAYED).any(|known| start.contains(known))
            || SPOKEN.iter().any(|known| start.contains(known))
    };
    let system = is_from_mail_system(message);
    // Nobody answers to an empty sender: only systems use it.
    let no_sender = message.headers.get("Return-Path").is_some_and(|path| path.trim() == "<>");
    // People write about undelivered mail too, and quote it.
    let answer = !system && (subject.starts_with("re:") || subject.starts_with("aw:") || subject.starts_with("fwd:"));
    match (system || no_sender, said) {
        (true, true) => true,
        (true, false) => {
            announced() && !message.headers.get("Auto-Submitted").is_some_and(|word| word == "auto-replied" && !system)
        }
        (false, true) => !answer && announced() && message.in_reply_to.is_empty(),
        (false, false) => false,
    }
}

static STEMMED: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&STEMS)));

const STEMS: [&str; 15] = [
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
];

/// Subjects of reports, in the languages of common servers.
const SUBJECTS: [&str; 39] = [
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
    "warning: message",
    "delivery delayed",
];

/// Sentences that announce a list of addresses.
const ANNOUNCED: [&str; 46] = [
    "following address(es) failed",
    "following addresses failed",
    "following address failed",
    "unable to deliver your message to the following",
    "unable to deliver message to the following",
    "permanent fatal errors",
    "had delivery problems",
    "transient non-fatal errors",
    "delivery errors",
    "following recipient(s) could not be reached",
    "following recipients could not be reached",
    "not be delivered to the following",
    "delivery to the following recipient",
    "cannot be delivered",
    "delivery has failed to these recipients",
    "was not delivered to",
    "undeliverable to the following",
    "wasn't able to deliver your message to the following",
    "not able to deliver your message to the following",
    "could not be delivered to one or more",
    "did not reach",
    "following recipients was rejected",
    "not delivered to the following",
    "couldn't be delivered to the following",
    "user(s) account is disabled",
    "failed to deliver to",
    "unable to deliver the message to",
    "delivery failed to",
    "mail could not be delivered to",
    "following addresses were not",
    "the message was undeliverable",
    "recipients of your message",
    "konnte nicht zugestellt werden",
    "nicht zugestellt werden",
    "n'a pas pu être remis",
    "n'a pu être remis",
    "no se pudo entregar",
    "no se ha podido entregar",
    "non è stato possibile",
    "送信できませんでした",
    "配信できませんでした",
    "deliver the mail to the following",
    "could not be delivered to:",
    "failed recipients",
    "couldn't be delivered",
    "reasons given by the remote",
];

/// Sentences of notices that a message is late.
const DELAYED: [&str; 13] = [
    "has not been delivered to all of its recipients after",
    "warning message only",
    "has been delayed",
    "will keep trying",
    "delivery attempts will continue",
    "no action is required",
    "you do not need to resend",
    "not yet been delivered",
    "still undelivered",
    "will continue to try",
    "will be retried",
    "delivery to the following recipients has been delayed",
    "still being retried",
];

/// Sentences that contain the address themselves.
const SPOKEN: [&str; 21] = [
    "your message to",
    "message wasn't delivered to",
    "unknown user:",
    "undeliverable to",
    "invalid recipient:",
    "wasn't found at",
    "user mailbox exceeds allowed size:",
    "invalid final delivery userid:",
    "delivery failed",
    "user unknown",
    "could not be delivered to",
    "not deliver",
    "no such user",
    "delivery of mail to",
    "was rejected by",
    "does not exist",
    "doesn't exist",
    "recipient address rejected",
    "undeliverable",
    "not be delivered",
    "failed:",
];

/// Lines after which the returned message stands.
const RETURNED: [&str; 22] = [
    "--- below this line is a copy",
    "this is a copy of the message",
    "original message follows",
    "--- original message",
    "----- original message",
    "message header follows",
    "original message headers",
    "--- returned message",
    "----- unsent message",
    "unsent message below",
    "--- the header of the original message",
    "--- undelivered message",
    "copy of your message, including all the headers",
    "returned mail follows",
    "message header:",
    "original headers:",
    "--- the headers of the message",
    "---------- forwarded message",
    "return-path:",
    "your original message",
    "message headers follow",
    "header of the original message",
];

/// What the report returns of the message, as text.
pub(super) fn returned(text: &str) -> Option<&str> {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    returned_at(text).map(|at| &text[at..])
}

fn returned_at(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let lower = line.trim_start_matches(['>', ' ', '\t']).to_lowercase();
        if RETURNED.iter().any(|known| lower.contains(known)) || lower.starts_with("received: from") {
            return Some(at);
        }
        at += line.len();
    }
    None
}

fn is_delay(message: &Message, report: &str) -> bool {
    let subject = message.subject.to_lowercase();
    let start = report[..report.floor_char_boundary(4 * 1024)].to_lowercase();
    subject.starts_with("warning")
        || subject.contains("delay")
        || subject.contains("still being retried")
        || DELAYED.iter().any(|known| start.contains(known))
}

/// An address and what is said about it.
struct Found {
    address: String,
    explanation: String,
}

impl Found {
    fn into_bounce(self, report: &str, delayed: bool) -> Bounce {
        let mut numbers = Numbers::find(&self.explanation);
        let mut explanation = self.explanation;
        if numbers.status.is_none() && numbers.code.is_none() {
            // The conversation with the other server stands apart, in what Sendmail calls the transcript.
            if let Some(line) = transcript(report, &self.address) {
                numbers = Numbers::find(&line);
                explanation = format!("{explanation} {line}");
            }
        }
        if explanation.trim().is_empty() {
            explanation.push_str(&report[..report.floor_char_boundary(1_000)]);
        }
        record(self.address, numbers, &explanation, delayed)
    }
}

/// The answer of the other server that names the address, or the only one there is.
fn transcript(report: &str, address: &str) -> Option<String> {
    let local = address.split('@').next().unwrap_or(address);
    let answers = || {
        let lines = report.lines().map(str::trim);
        lines.filter(|line| {
            line.starts_with("<<< ")
                || line.contains("said:")
                || line.contains("responded:")
                || line.contains(" #")
                || line.starts_with('#')
                || line.starts_with("55")
                || line.starts_with("45")
                || line.starts_with("5.")
        })
    };
    let usable = |line: &&str| {
        let numbers = Numbers::find(line);
        numbers.status.is_some() || numbers.code.is_some()
    };
    answers().filter(usable).find(|line| line.contains(local)).or_else(|| answers().find(usable)).map(str::to_owned)
}

/// Addresses on lines of their own, each with the lines after it.
fn listed(report: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let (mut announced, mut open, mut empty) = (false, false, false);
    for line in report.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            empty = true;
            continue;
        }
        let lower = trimmed.to_lowercase();
        if trimmed.starts_with("-----") && !ANNOUNCED.iter().any(|known| lower.contains(known)) {
            // The next section: a transcript or the like.
            (announced, open) = (false, false);
            continue;
        }
        let announces = ANNOUNCED.iter().chain(&DELAYED).any(|known| lower.contains(known));
        let start = address_line(trimmed, announced);
        if let Some((address, rest)) = start
            && !announces
            && found.len() < MAX_FOUND
        {
            found.push(Found { address, explanation: rest.to_owned() });
            open = true;
        } else if announces {
            announced = true;
            open = false;
        } else if open
            && !(empty
                && found.last().is_some_and(|last| last.explanation.len() > 12)
                && !line.starts_with([' ', '\t']))
        {
            if let Some(last) = found.last_mut()
                && last.explanation.len() < 2_000
            {
                last.explanation.push(' ');
                last.explanation.push_str(trimmed);
            }
        } else {
            open = false;
        }
        empty = false;
    }
    found
}

/// "<ada@x.example>: reason" anywhere; where addresses were announced also "ada@x.example", "Ada (ada@x.example)" and
/// "'ada@x.example' on 11/26/2026".
fn address_line(line: &str, announced: bool) -> Option<(String, &str)> {
    let line = line.trim_start_matches(['*', '-', '•', '·', ' ']);
    if let Some(inside) = line.strip_prefix('<')
        && let Some((inside, rest)) = inside.split_once('>')
    {
        let rest = rest.trim_start();
        let address = recipients::bare(inside)?;
        let plain = rest.is_empty() || rest.starts_with([':', '(']) || rest.starts_with("...") || announced;
        return plain.then(|| (address, rest.trim_start_matches([':', ' ', '.'])));
    }
    if !announced || line.len() > 300 {
        return None;
    }
    let address = recipients::bare(line)?;
    let at = line.find(address.as_str())?;
    let before = line[..at].trim_matches(['"', '\'', '<', '(', '[', ' ', ':']);
    let after = line[at + address.len()..].trim_start_matches(['"', '\'', '>', ')', ']', ' ']);
    let few = |text: &str| text.split_whitespace().count() <= 4 && !text.contains(['.', ',', '=']);
    let ends = after.is_empty()
        || after.starts_with([':', '(', '-', '<', '[', ';'])
        || after.starts_with("on ")
        || after.starts_with("...");
    let tagged = before.to_lowercase();
    let excluded = tagged.starts_with("subject")
        || tagged.starts_with("from")
        || tagged.starts_with("sender")
        || tagged.starts_with("message-id");
    (few(before) && ends && !excluded).then(|| (address, after.trim_start_matches([':', ' ', '-', '.', ';'])))
}

/// An address within a sentence about the failure.
fn spoken(report: &str, message: &Message) -> Vec<Found> {
    let own = |address: &str| message.from.iter().any(|from| from.address.eq_ignore_ascii_case(address));
    let mut found = Vec::new();
    let lines: Vec<&str> = report.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for (at, line) in lines.iter().enumerate() {
        let lower = line.to_lowercase();
        let failure =
            SPOKEN.iter().chain(&ANNOUNCED).any(|known| lower.contains(known)) || Numbers::find(line).status.is_some();
        // The address may stand on the next line of the sentence.
        let next = lines.get(at + 1).filter(|_| failure && !line.contains('@')).copied().unwrap_or_default();
        if !failure {
            continue;
        }
        let sentence = format!("{line} {next}");
        for address in recipients::all(&sentence).into_iter().filter(|address| !own(address)) {
            let explanation = lines[at..lines.len().min(at + 6)].join(" ");
            found.push(Found { address, explanation });
            if found.len() >= 20 {
                return found;
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    found
}

fn explained(address: String, found: &[Found], report: &str) -> Found {
    let said =
        found.iter().find(|found| found.address.eq_ignore_ascii_case(&address)).map(|found| found.explanation.clone());
    let near = || {
        let at = report.find(address.as_str())?;
        let after = &report[at + address.len()..];
        Some(after[..after.floor_char_boundary(600)].to_owned())
    };
    let explanation = said.filter(|said| !said.trim().is_empty()).or_else(near).unwrap_or_default();
    Found { address, explanation }
}
