//! Reports in prose, as common mail servers write them.
//!
//! They agree in three things: who sends them, a sentence that announces what failed, and below it the addresses, each
//! on a line of its own with the explanation after it. What is returned of the message follows and is not searched.

use super::{Bounce, reason::Numbers, recipients, record, system, transcript::Transcript, words};
use crate::email::types::Message;

/// What is read of a report, in bytes.
const MAX_TEXT: usize = 256 * 1024;
const MAX_FOUND: usize = 1_000;

/// The records of a report without a part for programs; `None` if the message is no report.
pub(super) fn bounces(message: &Message) -> Option<Vec<Bounce>> {
    let text = &message.text[..message.text.floor_char_boundary(MAX_TEXT)];
    let failed: Vec<String> = message.headers.get_all("X-Failed-Recipients").flat_map(recipients::all).collect();
    if failed.is_empty() && !system::is_report(message, text) {
        return None;
    }
    let report = &text[..returned_at(text).unwrap_or(text.len())];
    let delayed = is_delay(message, report);
    let mut found = listed(report);
    if found.is_empty() {
        found = spoken(report, message);
    }
    let told = !failed.is_empty();
    if told {
        // The header decides who failed, the text says why.
        found = failed.into_iter().map(|address| explained(address, &found, report)).collect();
    }
    let own = |found: &Found| message.to.iter().any(|to| to.address.eq_ignore_ascii_case(&found.address));
    if !told && !found.iter().all(own) {
        // Who gets the report wrote the message: the prose names both.
        found.retain(|found| !own(found));
    }
    let transcript = Transcript::of(report, found.len() == 1);
    Some(found.into_iter().map(|found| found.into_bounce(report, &transcript, delayed)).collect())
}

/// What the report returns of the message, as text.
pub(super) fn returned(text: &str) -> Option<&str> {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    returned_at(text).map(|at| &text[at..])
}

fn returned_at(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let lower = line.trim_start_matches(['>', ' ', '\t']).to_lowercase();
        if words::returns(&lower) || lower.starts_with("received: from") {
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
        || words::delays(&start)
}

/// An address and what is said about it.
struct Found {
    address: String,
    explanation: String,
}

impl Found {
    fn into_bounce(self, report: &str, transcript: &Transcript<'_>, delayed: bool) -> Bounce {
        let mut numbers = Numbers::find(&self.explanation);
        let mut explanation = self.explanation;
        if numbers.status.is_none() && numbers.code.is_none() {
            // The conversation with the other server stands apart, in what Sendmail calls the transcript.
            if let Some(line) = transcript.answer_about(&self.address) {
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

/// Addresses on lines of their own, each with the lines after it.
fn listed(report: &str) -> Vec<Found> {
    let mut listing = Listing::default();
    for line in report.lines() {
        if line.trim().is_empty() {
            listing.after_empty = true;
            continue;
        }
        listing.take(line);
        listing.after_empty = false;
    }
    listing.found
}

/// What was found so far, and what the next line may go on with.
#[derive(Default)]
struct Listing {
    found: Vec<Found>,
    /// Whose explanation the last line was.
    open: Option<usize>,
    announced: bool,
    after_empty: bool,
}

impl Listing {
    fn take(&mut self, line: &str) {
        let trimmed = line.trim();
        let lower = trimmed.to_lowercase();
        if trimmed.starts_with("-----") && !words::announces(&lower) {
            // The next section: a transcript or the like.
            (self.announced, self.open) = (false, None);
        } else if words::announces(&lower) || words::delays(&lower) {
            (self.announced, self.open) = (true, None);
        } else if let Some((address, rest)) = address_line(trimmed, self.announced) {
            self.open = self.name(address, rest);
        } else if self.open.is_some_and(|at| self.goes_on(at, line)) {
            self.explain(trimmed);
        } else {
            self.open = None;
        }
    }

    /// One that is named again is told more of.
    fn name(&mut self, address: String, rest: &str) -> Option<usize> {
        if let Some(known) = self.found.iter().position(|known| known.address.eq_ignore_ascii_case(&address)) {
            self.open = Some(known);
            self.explain(rest);
            return self.open;
        }
        if self.found.len() >= MAX_FOUND {
            return None;
        }
        self.found.push(Found { address, explanation: rest.to_owned() });
        Some(self.found.len() - 1)
    }

    fn goes_on(&self, at: usize, line: &str) -> bool {
        !self.after_empty || self.found[at].explanation.len() <= 12 || line.starts_with([' ', '\t'])
    }

    fn explain(&mut self, words: &str) {
        let Some(found) = self.open.and_then(|at| self.found.get_mut(at)) else { return };
        if found.explanation.len() < 2_000 {
            found.explanation.push(' ');
            found.explanation.push_str(words);
        }
    }
}

/// "<ada@x.example>: reason" anywhere; where addresses were announced also "ada@x.example", "Ada (ada@x.example)" and
/// "'ada@x.example' on 11/26/2026".
fn address_line(line: &str, announced: bool) -> Option<(String, &str)> {
    let line = line.trim_start_matches(['*', '-', '•', '·', ' ']);
    if let Some(inside) = line.strip_prefix('<')
        && let Some((inside, rest)) = inside.split_once('>').filter(|(inside, _)| !inside.contains([' ', '<']))
    {
        let rest = rest.trim_start();
        let address = recipients::bare(inside)?;
        // An address alone may be the sender's.
        let plain = announced || rest.starts_with([':', '(']) || rest.starts_with("...");
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
        let failure = words::speaks(&lower) || words::announces(&lower) || Numbers::find(line).status.is_some();
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
