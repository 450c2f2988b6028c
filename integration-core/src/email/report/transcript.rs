//! What other servers answered, where a report tells it apart from the list of those whom the message did not reach.

use std::collections::HashMap;

use super::{reason::Numbers, recipients};

/// A longer conversation is not searched: each address looks through all of it.
const MAX_ANSWERS: usize = 200;
/// Lines after an address that may be the answer about it.
const BELOW: usize = 2;

/// The answers in a report that have numbers.
#[derive(Debug)]
pub(super) struct Transcript<'a> {
    answers: Vec<&'a str>,
    /// By address, lower case: what stands right below it.
    below: HashMap<String, String>,
    /// Whether there is but one address, so that an answer without a name is about it.
    alone: bool,
}

impl<'a> Transcript<'a> {
    pub(super) fn of(report: &'a str, alone: bool) -> Self {
        let lines: Vec<&str> = report.lines().map(str::trim).collect();
        let answers = lines.iter().copied().filter(|line| is_answer(line) && has_numbers(line));
        let answers = answers.take(MAX_ANSWERS).collect();
        Self { answers, below: below(&lines), alone }
    }

    /// The answer of the other server about `address`: that names it, that stands below it, or the only one there can be.
    pub(super) fn answer_about(&self, address: &str) -> Option<String> {
        let named = self.answers.iter().find(|line| names(line, address));
        let only = || self.answers.first().filter(|_| self.alone);
        let below = || self.below.get(&address.to_lowercase());
        named
            .map(|line| (*line).to_owned())
            .or_else(|| below().cloned())
            .or_else(|| only().map(|line| (*line).to_owned()))
    }
}

fn is_answer(line: &str) -> bool {
    line.starts_with("<<< ")
        || line.starts_with(['#', '4', '5'])
        || [" #", "said:", "responded:", "replied:", "returned", "response:", "error:"]
            .iter()
            .any(|word| line.contains(word))
}

fn has_numbers(line: &str) -> bool {
    let numbers = Numbers::find(line);
    numbers.status.is_some() || numbers.code.is_some()
}

/// Does the answer name the address, or the part of it that the server at its domain knows?
fn names(line: &str, address: &str) -> bool {
    let others = recipients::all(line);
    if !others.is_empty() {
        return others.iter().any(|other| other.eq_ignore_ascii_case(address));
    }
    let local = address.split('@').next().unwrap_or(address);
    let edge = |letter: Option<char>| !letter.is_some_and(char::is_alphanumeric);
    line.match_indices(local)
        .any(|(at, _)| edge(line[..at].chars().next_back()) && edge(line[at + local.len()..].chars().next()))
}

/// What has numbers and stands right below a line with nothing but an address.
fn below(lines: &[&str]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(address) = sole_address(line) else { continue };
        let next =
            lines[at + 1..].iter().take(BELOW).take_while(|line| !line.is_empty() && sole_address(line).is_none());
        if let Some(answer) = next.into_iter().find(|line| has_numbers(line)) {
            found.entry(address).or_insert_with(|| (*answer).to_owned());
        }
    }
    found
}

fn sole_address(line: &str) -> Option<String> {
    let inside = line.trim_matches(['<', '>', ':', '"', '\'', ' ']);
    let short = line.len() < 330 && line.contains('@') && !inside.contains(' ');
    let address = recipients::bare(inside).filter(|_| short)?;
    (address.len() == inside.len()).then(|| address.to_lowercase())
}
