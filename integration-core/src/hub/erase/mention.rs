//! Finding and blanking somebody's addresses in stored rows.

use bytes::Bytes;

use super::ErasePerson;
use crate::activity::without_tag;

/// What stands in the place of an address.
const BLANK: &str = "erased";

/// Somebody's addresses, lower case.
pub(super) struct Mentions(Vec<String>);

impl Mentions {
    pub(super) fn of(person: &ErasePerson) -> Self {
        Self(person.addresses.iter().filter(|one| !one.is_empty()).cloned().collect())
    }

    pub(super) fn addresses(&self) -> &[String] {
        &self.0
    }

    /// Is it one of them, with or without a tag?
    pub(super) fn is(&self, address: &str) -> bool {
        self.0.iter().any(|one| one == address) || without_tag(address).is_some_and(|bare| self.0.contains(&bare))
    }

    pub(super) fn in_bytes(&self, bytes: &[u8]) -> bool {
        self.in_text(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn in_text(&self, text: &str) -> bool {
        self.next_in(&text.to_ascii_lowercase(), 0).is_some()
    }

    /// The text with every mention blanked.
    pub(super) fn blanked(&self, bytes: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(bytes);
        let (lower, mut blank, mut at) = (text.to_ascii_lowercase(), String::with_capacity(text.len()), 0);
        while let Some((from, to)) = self.next_in(&lower, at) {
            blank.push_str(&text[at..from]);
            blank.push_str(BLANK);
            at = to;
        }
        blank.push_str(&text[at..]);
        blank.into()
    }

    /// The next whole mention: "joann@x.example" does not mention "ann@x.example". Tagged forms count.
    fn next_in(&self, lower: &str, from: usize) -> Option<(usize, usize)> {
        self.0.iter().filter_map(|address| next_of(address, lower, from)).min()
    }
}

fn next_of(address: &str, lower: &str, from: usize) -> Option<(usize, usize)> {
    let (local, domain) = address.rsplit_once('@')?;
    let mut at = from;
    loop {
        let begin = at + lower.get(at..)?.find(local)?;
        at = begin + local.len();
        let before = lower[..begin].chars().next_back();
        let tag = tag_of(&lower[at..]);
        let rest = &lower[at + tag..];
        let whole = rest.strip_prefix('@').and_then(|rest| rest.strip_prefix(domain)).is_some_and(ends);
        if whole && !before.is_some_and(in_local) {
            return Some((begin, at + tag + 1 + domain.len()));
        }
    }
}

/// How long a `+tag` at the beginning is.
fn tag_of(text: &str) -> usize {
    if text.starts_with('+') { text.find(|letter: char| !in_local(letter)).unwrap_or(text.len()) } else { 0 }
}

fn in_local(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '_' | '%' | '+' | '-')
}

/// Does a domain end here?
fn ends(rest: &str) -> bool {
    let mut letters = rest.chars();
    match letters.next() {
        Some('.') => !letters.next().is_some_and(char::is_alphanumeric),
        Some(letter) => !letter.is_alphanumeric() && letter != '-',
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_are_mentions() {
        let mentions = Mentions::of(&ErasePerson::new(["Ann@acme.example"]));
        for text in ["ann@acme.example", "<ANN@Acme.example>.", "\"ann+shop@acme.example\"", "x ann@acme.example."] {
            assert!(mentions.in_text(text), "{text}");
        }
        for text in
            ["joann@acme.example", "ann@acme.example.org", "ann@acme.examples", "ann@acme", "b.ann@acme.example"]
        {
            assert!(!mentions.in_text(text), "{text}");
        }
        assert_eq!(
            mentions.blanked("ü Ann@ACME.example, joann@acme.example".as_bytes()),
            "ü erased, joann@acme.example"
        );
    }
}
