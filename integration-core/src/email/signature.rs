//! Contact details in a signature, as suggestions.
//!
//! [`read`] takes what [`reply`](super::reply) found to be the signature. Conservative: a detail that could be
//! something else is left out. Each comes with the line it was read from, so that a person can judge.

mod phone;
#[cfg(test)]
mod tests;
// Tables: a word a line would make them unreadable.
#[rustfmt::skip]
mod words;

use serde::{Deserialize, Serialize};

use super::{
    reply::{bare_name, closes, folded, has_address, is_mobile, is_name, is_prose},
    types::Address,
};

/// How many lines are read; cards are short.
const MAX_LINES: usize = 40;
/// Longer lines are no part of a card.
const MAX_BYTES: usize = 300;

/// What a signature says about its writer.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Details {
    /// The writer's name.
    pub name: Option<Detail>,
    /// What the writer does ("Head of Sales").
    pub title: Option<Detail>,
    /// Where the writer works.
    pub company: Option<Detail>,
    /// Telephone numbers, in order, each once.
    pub phones: Vec<Phone>,
    /// Web addresses, in order, each once.
    pub urls: Vec<Detail>,
    /// Mail addresses, in order, each once.
    pub addresses: Vec<Detail>,
    /// The postal address, its lines joined by commas.
    pub postal: Option<Detail>,
}

/// A detail and where it was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Detail {
    /// The detail.
    pub value: String,
    /// The number of its line in the signature, from 0.
    pub line: usize,
    /// The line as written, trimmed.
    pub source: String,
}

/// A telephone number.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phone {
    /// The number as written, without its label.
    pub number: Detail,
    /// What it reaches, by its label.
    pub kind: PhoneKind,
}

/// What a telephone number reaches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhoneKind {
    /// A fax machine.
    Fax,
    /// A mobile telephone.
    Mobile,
    /// A telephone, or no label.
    #[default]
    Phone,
}

/// Reads a signature. What is known of the sender (name and address) confirms the name and the company.
///
/// ```
/// # use integration_core::email::{Address, signature::read};
/// let sender = Address::new("bob@baker.example").with_name("Bob Baker");
/// let details = read("Kind regards,\nBob Baker\nHead of Sales\nBaker Ltd\nTel. +44 20 7946 0018", Some(&sender));
/// assert_eq!(details.title.unwrap().value, "Head of Sales");
/// assert_eq!(details.phones[0].number.value, "+44 20 7946 0018");
/// ```
#[must_use]
pub fn read(signature: &str, sender: Option<&Address>) -> Details {
    let mut reader = Reader { sender, details: Details::default(), last_postal: None };
    let lines = signature.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    for (number, line) in lines.take(MAX_LINES).filter(|(_, line)| line.len() <= MAX_BYTES) {
        // Two sentences into a disclaimer nothing is the writer's own any more.
        if is_prose(line) && !has_address(line) && line.split_whitespace().count() > 20 {
            break;
        }
        if !closes(line) && !is_mobile(line) {
            reader.line(number, line);
        }
    }
    reader.details
}

struct Reader<'a> {
    sender: Option<&'a Address>,
    details: Details,
    /// The last line that was part of the postal address.
    last_postal: Option<usize>,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) {
        let detail = |value: &str| Detail { value: value.to_owned(), line: number, source: line.to_owned() };
        self.reachable(line, &detail);
        for piece in pieces(line) {
            self.piece(piece, &detail);
        }
    }

    /// Telephone numbers, links and mail addresses stand anywhere in a line.
    fn reachable(&mut self, line: &str, detail: &dyn Fn(&str) -> Detail) {
        for (number, kind) in phone::numbers(line) {
            let digits = phone::digits(number);
            if !self.details.phones.iter().any(|known| phone::digits(&known.number.value) == digits) {
                self.details.phones.push(Phone { number: detail(number), kind });
            }
        }
        for word in line.split(|letter: char| letter.is_whitespace() || "<>()[]|,;\"".contains(letter)) {
            let word = word.trim_end_matches(['.', ':', '!', '?']);
            let address = word.strip_prefix("mailto:").unwrap_or(word);
            if let Some(url) = url(word, line).or_else(|| host(word, line)) {
                add(&mut self.details.urls, detail(url));
            } else if is_address(address) {
                add(&mut self.details.addresses, detail(address));
            }
        }
    }

    fn piece(&mut self, piece: &str, detail: &dyn Fn(&str) -> Detail) {
        let text = folded(piece, MAX_BYTES);
        if text.is_empty()
            || has_address(piece)
            || text.contains("://")
            || text.starts_with("www.")
            || phone::is_labelled(&text)
        {
            return;
        }
        if words::REGISTER.iter().any(|word| text.contains(word)) {
            return;
        }
        if self.details.name.is_none()
            && let Some(name) = self.name(piece, &text)
        {
            self.details.name = Some(detail(name));
        } else if is_postal(&text, piece) {
            self.postal(piece, detail(piece));
        } else if self.is_better_company(piece) && self.is_company(piece, &text) {
            self.details.company = Some(detail(piece));
        } else if self.details.title.is_none() && is_title(&text) {
            self.details.title = Some(detail(piece));
        }
    }

    /// The name in a piece, without forms of address, degrees, pronouns, and whom it stands for.
    fn name<'a>(&self, piece: &'a str, text: &str) -> Option<&'a str> {
        let name = titled_name(piece);
        let text = if name.len() == piece.len() { text.to_owned() } else { folded(name, MAX_BYTES) };
        self.is_name(name, &text).then_some(name)
    }

    /// Nothing was found yet, or only what looked like the domain, and this has a legal form.
    fn is_better_company(&self, piece: &str) -> bool {
        self.details.company.as_ref().is_none_or(|found| !has_suffix(&found.value) && has_suffix(piece))
    }

    fn is_name(&self, piece: &str, text: &str) -> bool {
        let known = self.sender.and_then(|sender| sender.name.as_deref()).map(|name| folded(name, 200));
        if known.as_deref().is_some_and(|known| bare(known) == bare(text)) {
            return true;
        }
        let count = piece.split_whitespace().count();
        let plausible = is_name(piece) && (2..=4).contains(&count) && !piece.contains(['-', '/', '&', '.', ','])
            || is_name(piece) && count == 2;
        if !plausible || is_title(text) || has_suffix(piece) || self.named_like_domain(text) {
            return false;
        }
        // Nobody is called by another name in the first line, unless it is a department.
        let first = self.details == Details::default();
        let Some(sender) = self.sender.filter(|sender| sender.name.is_some() || !first) else {
            let part = |word: &str| words::DEPARTMENTS.contains(&word);
            return first && !text.split(' ').any(part);
        };
        // "Robert Baker" confirms "Bob Baker" by its last word, and "r.baker@…" by the address.
        let local = sender.address.split('@').next().unwrap_or_default().to_lowercase();
        let known = known.unwrap_or_default();
        text.split(' ').any(|word| {
            word.chars().count() > 2 && (known.split(' ').any(|other| other == word) || local.contains(word))
        })
    }

    fn is_company(&self, piece: &str, text: &str) -> bool {
        let count = piece.split_whitespace().count();
        let capital = piece.chars().find(|letter| letter.is_alphabetic()).is_some_and(|letter| !letter.is_lowercase());
        count <= 8
            && capital
            && piece.chars().count() <= 70
            && (has_suffix(piece) || count <= 4 && self.named_like_domain(text) && !is_title(text))
    }

    /// "Acme" at ann@acme.example.
    fn named_like_domain(&self, text: &str) -> bool {
        let Some(domain) =
            self.sender.and_then(|sender| sender.address.rsplit_once('@')).map(|(_, domain)| domain.to_lowercase())
        else {
            return false;
        };
        let Some(label) = domain
            .split('.')
            .rev()
            .skip(1)
            .find(|label| label.chars().count() >= 3 && !matches!(*label, "com" | "org" | "net" | "gov" | "edu"))
        else {
            return false;
        };
        let squeezed: String = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
        let label: String = label.chars().filter(|letter| letter.is_alphanumeric()).collect();
        label.len() >= 3 && (squeezed == label || squeezed.starts_with(&label) && label.len() >= 5)
    }

    /// Adjacent lines of an address are one.
    fn postal(&mut self, piece: &str, found: Detail) {
        let line = found.line;
        match &mut self.details.postal {
            None => self.details.postal = Some(found),
            Some(postal) if self.last_postal.is_some_and(|last| last == line || last + 1 == line) => {
                postal.value.push_str(", ");
                postal.value.push_str(piece.trim_matches([',', ' ']));
            }
            Some(_) => return,
        }
        self.last_postal = Some(line);
    }
}

fn add(list: &mut Vec<Detail>, found: Detail) {
    if list.len() < 20 && !list.iter().any(|known| known.value.eq_ignore_ascii_case(&found.value)) {
        list.push(found);
    }
}

/// What stands between the separators of a line.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.split(['|', '\u{2022}', '\u{b7}', '\t', '\u{2219}', '\u{25cf}'])
        .flat_map(|piece| piece.split(" - "))
        .flat_map(|piece| piece.split(" \u{2013} "))
        .flat_map(|piece| split_title(piece.trim()))
        .map(|piece| {
            piece.trim_matches(|letter: char| letter.is_whitespace() || "*_,;:-\u{2013}\u{2014}/~".contains(letter))
        })
        .filter(|piece| !piece.is_empty())
}

/// "Bob Baker, Head of Sales" is two details.
fn split_title(piece: &str) -> Vec<&str> {
    match piece.split_once(", ") {
        Some((name, title)) if is_name(name) && is_title(&folded(title, MAX_BYTES)) => vec![name, title],
        _ => vec![piece],
    }
}

/// "Dr. Zed Zimmer, PhD (he/him)" without what is not the name.
fn titled_name(piece: &str) -> &str {
    let mut name = bare_name(piece);
    while let Some((word, rest)) = name.split_once(' ')
        && words::FORMS_OF_ADDRESS.contains(&&*folded(word, 40))
    {
        name = rest.trim_start();
    }
    let degree = |word: &str| words::DEGREES.contains(&&*folded(word.trim(), 40));
    while let Some((rest, word)) = name.rsplit_once(',')
        && degree(word)
    {
        name = rest.trim_end();
    }
    name
}

fn bare(text: &str) -> &str {
    text.trim_matches(|letter: char| !letter.is_alphanumeric())
}

fn has_suffix(piece: &str) -> bool {
    let trimmed = |word: &str| word.trim_matches([',', '(', ')']).to_lowercase();
    let tokens: Vec<String> = piece.split_whitespace().map(trimmed).collect();
    let last = tokens.len().saturating_sub(3);
    tokens.len() >= 2 && tokens[last.max(1)..].iter().any(|token| words::SUFFIXES.contains(&token.as_str()))
        || words::SUFFIXES_WITHIN.iter().any(|suffix| piece.contains(suffix))
        || tokens.first().is_some_and(|first| matches!(first.as_str(), "ооо" | "тов" | "ао" | "зао" | "пао"))
}

fn is_title(text: &str) -> bool {
    let count = text.split(' ').count();
    let ends = text.ends_with(['.', '?', '!', ':']) && count > 3;
    let word = |word: &str| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_owned();
    count <= 9
        && !ends
        && (text.split([' ', '/', '-', ',']).map(word).any(|word| words::TITLES.contains(&word.as_str()))
            || words::TITLES_WITHIN.iter().any(|stem| text.contains(stem)))
}

/// Could the line be nothing but a title? Begins with a capital, in few words.
pub(in crate::email) fn is_title_line(line: &str) -> bool {
    let line = line.trim_matches(|letter: char| letter.is_whitespace() || "*_|~".contains(letter));
    let capital = line.chars().next().is_some_and(|letter| letter.is_alphabetic() && !letter.is_lowercase());
    capital && line.split_whitespace().count() <= 6 && !line.ends_with(['.', '!', '?', ':']) && {
        let text = folded(line, 120);
        is_title(&text)
    }
}

/// Could the line be nothing but a company's name, by its legal form?
pub(in crate::email) fn is_company_line(line: &str) -> bool {
    line.split_whitespace().count() <= 7 && has_suffix(line)
}

/// A street with a number, or a postcode with a place.
fn is_postal(text: &str, piece: &str) -> bool {
    let count = text.split(' ').count();
    let digit = text.contains(|letter: char| letter.is_ascii_digit());
    if !digit || !(2..=12).contains(&count) || text.contains('@') {
        return false;
    }
    let token = |word: &str| word.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '.').to_owned();
    let street = text.split([' ', ',']).map(token).any(|word| {
        words::STREETS.contains(&word.trim_end_matches('.'))
            || words::STREET_ENDS.iter().any(|end| word.trim_end_matches('.').ends_with(end) && word.len() > end.len())
    });
    street || postcode(piece)
}

/// Four to six digits, alone or as "SW1A 1AA", beside a word with a capital.
fn postcode(piece: &str) -> bool {
    let tokens: Vec<&str> = piece.split([' ', ',']).filter(|token| !token.is_empty()).collect();
    let capital = |token: &&str| {
        token.chars().next().is_some_and(char::is_uppercase)
            && token.chars().count() > 2
            && !token.contains(|letter: char| letter.is_ascii_digit())
    };
    let code = tokens.iter().any(|token| {
        let token = token.rsplit('-').next().unwrap_or(token);
        (4..=6).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_digit())
            && !matches!(token, "2024" | "2025" | "2026")
    });
    let british = tokens.windows(2).any(|pair| {
        let mixed = |token: &str| {
            token.len() <= 4
                && token.bytes().any(|byte| byte.is_ascii_digit())
                && token.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        };
        mixed(pair[0])
            && pair[0].starts_with(|letter: char| letter.is_ascii_uppercase())
            && mixed(pair[1])
            && pair[1].len() == 3
    });
    tokens.len() <= 8 && (code || british) && tokens.iter().any(capital)
}

fn url<'a>(word: &'a str, line: &str) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let absolute = (lower.starts_with("http://") || lower.starts_with("https://")) && word.len() > 10;
    let host = lower.starts_with("www.") && lower.matches('.').count() >= 2;
    // A bare name of a host counts behind a label.
    let labelled = folded(line, 40);
    let labelled = ["web", "www", "website", "site", "internet", "url", "homepage", "w:", "i:", "сайт"]
        .iter()
        .any(|label| labelled.starts_with(label));
    let bare = labelled
        && !word.contains('@')
        && lower.contains('.')
        && lower.len() > 4
        && !lower.ends_with('.')
        && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-/_".contains(&byte))
        && lower
            .rsplit('.')
            .next()
            .is_some_and(|end| end.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()));
    (absolute || host || bare).then_some(word)
}

/// A host by itself between the separators of its line, with or without a path: "acme.example", "acme.example/ann".
fn host<'a>(word: &'a str, line: &str) -> Option<&'a str> {
    let name = word.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let hostly = name.len() > 4 && name.contains('.') && !name.contains("..") && name.bytes().all(plain);
    if !hostly
        || !line.split(['|', '\u{2022}', '\u{b7}', ' ']).any(|piece| piece.trim_matches(['<', '>', '[', ']']) == word)
    {
        return None;
    }
    // Where a line is a sentence, "Acme.Yes" is a forgotten blank.
    let alone =
        line.split_whitespace().count() == 1 || line.contains(['|', '\u{2022}', '\u{b7}']) || word.contains('/');
    let listed =
        psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes().len() < name.len());
    (alone && listed && word.starts_with(|letter: char| letter.is_lowercase())).then_some(word)
}

fn is_address(word: &str) -> bool {
    let Some((local, domain)) = word.split_once('@') else { return false };
    !local.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.starts_with('.') && has_address(word)
}
