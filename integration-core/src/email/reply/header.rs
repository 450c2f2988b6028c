//! The header of a quoted message ("From: …", "Sent: …"), and the lines mail programs put above it.

use std::sync::LazyLock;

use super::{
    line::{Line, folded, has_address, rule, trim},
    words::{self, Label},
};
use crate::email::table::Table;

/// How many lines a header may take, with long lists of recipients.
const MAX_LINES: usize = 40;
/// How many lines a single field may be wrapped over.
const MAX_FOLDS: usize = 12;
/// Labels are short.
const MAX_LABEL: usize = 40;

/// A header: its fields in order, and the first line after it.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) fields: Vec<(Label, String)>,
    pub(super) end: usize,
    /// There are empty lines between the fields.
    spaced: bool,
}

impl Header {
    pub(super) fn value(&self, wanted: Label) -> Option<&str> {
        self.fields.iter().find(|(label, _)| *label == wanted).map(|(_, value)| value.as_str())
    }

    fn has(&self, wanted: Label) -> bool {
        self.fields.iter().any(|(label, _)| *label == wanted)
    }

    /// Fields that only a message has, not a timetable or a form.
    fn is_message(&self) -> bool {
        let kinds =
            [Label::From, Label::Date, Label::To, Label::Subject].iter().filter(|&&label| self.has(label)).count();
        let addressed = self
            .fields
            .iter()
            .any(|(label, value)| matches!(label, Label::From | Label::To | Label::Cc) && has_address(value));
        // Mail programs write the time of day; who fills in a form or a timetable mostly does not.
        let timed = || self.value(Label::Date).is_some_and(has_time);
        match kinds {
            4 => addressed || timed(),
            3 => self.has(Label::Date) && (addressed || self.has(Label::From) && timed()),
            2 => addressed && timed(),
            _ => false,
        }
    }
}

/// A time of day, as many languages write it.
fn has_time(date: &str) -> bool {
    let joined = date.as_bytes().windows(3).any(|three| {
        three[0].is_ascii_digit() && matches!(three[1], b':' | b'.' | b'h' | b'H') && three[2].is_ascii_digit()
    });
    joined || ["時", "时", "点", "點", "시", " h ", "kl", "uur", "Uhr"].iter().any(|word| date.contains(word))
}

/// The header that begins at `at`, if one does. Under a line that announces it (`announced`) two fields are enough.
pub(super) fn at(lines: &[&Line<'_>], at: usize, announced: bool) -> Option<Header> {
    let header = read(lines, at)?;
    let enough = announced && header.fields.len() >= 2 && (header.has(Label::From) || header.has(Label::Subject));
    (enough || header.is_message()).then_some(header)
}

fn read(lines: &[&Line<'_>], start: usize) -> Option<Header> {
    field(&lines[start].body)?;
    let mut header = Header { fields: Vec::new(), end: start + 1, spaced: false };
    add_fields(&mut header, &lines[start].body);
    let limit = lines.len().min(start + MAX_LINES);
    while header.end < limit {
        let Some(next) = next_field(lines, header.end, limit, &header) else { break };
        header.spaced |= header.fields.len() == 1 && next > header.end && lines[header.end].body.is_empty();
        let folds = lines[header.end..next].iter().map(|line| line.body.as_ref());
        fold(&mut header, folds);
        add_fields(&mut header, &lines[next].body);
        header.end = next + 1;
    }
    last_fold(&mut header, lines, limit);
    header.fields = header.fields.into_iter().map(|(label, value)| (label, clean(&value))).collect();
    Some(header)
}

/// The field of a line; some programs put two on one ("To: Ann Subject: Pump").
fn add_fields(header: &mut Header, body: &str) {
    let mut rest = body;
    while let Some((label, value)) = field(rest) {
        let next = (label != Label::Subject && header.fields.len() < 8).then(|| second_field(value)).flatten();
        let at = next.unwrap_or(value.len());
        header.fields.push((label, value[..at].trim().to_owned()));
        rest = &value[at..];
        if rest.is_empty() {
            return;
        }
    }
}

/// Where in a value another field begins.
fn second_field(value: &str) -> Option<usize> {
    let value = &value[..value.floor_char_boundary(400)];
    value.match_indices([':', '\u{ff1a}']).take(8).find_map(|(colon, _)| {
        let before = value[..colon].trim_end();
        // One program leaves out what was between the value and the next label.
        let glued = before.char_indices().rev().take(MAX_LABEL).find(|(_, letter)| letter.is_uppercase());
        let at = before.rfind(' ').map_or(0, |blank| blank + 1).max(glued.map_or(0, |(at, _)| at));
        if at == 0 {
            return None;
        }
        let capital = before[at..].chars().next().is_some_and(char::is_uppercase) && before.len() - at > 1;
        let known = capital.then(|| label(&folded(&before[at..], MAX_LABEL))).flatten()?;
        (!matches!(known, Label::Other | Label::Cc)).then_some(at)
    })
}

fn fold<'a>(header: &mut Header, folds: impl Iterator<Item = &'a str>) {
    for line in folds.filter(|line| !line.is_empty()) {
        // In a language without a table the date still looks like one.
        if let Some((name, date)) = line.split_once([':', '\u{ff1a}'])
            && words_in(name) <= 2
            && super::attribution::has_date(date)
            && !header.has(Label::Date)
        {
            header.fields.push((Label::Date, date.trim().to_owned()));
            return;
        }
        let Some((_, value)) = header.fields.last_mut() else { return };
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(line);
    }
}

/// The next line with a label, past the folds of the field before it and one empty line.
fn next_field(lines: &[&Line<'_>], from: usize, limit: usize, header: &Header) -> Option<usize> {
    let people = header.fields.last().is_some_and(|(label, _)| matches!(label, Label::To | Label::Cc | Label::From));
    let folds = if people { MAX_FOLDS } else { 2 };
    let mut blank = 0;
    for (count, at) in (from..limit).enumerate() {
        let line = lines[at];
        if line.body.is_empty() {
            blank += 1;
            // Where the first fields follow without an empty line, an empty one ends the header.
            if blank > 1 || header.fields.len() >= 3 && !header.spaced {
                return None;
            }
            continue;
        }
        if let Some((label, _)) = field(&line.body) {
            // A field that was there already begins another header, or text.
            return (label == Label::Other || label == Label::Cc || !header.has(label)).then_some(at);
        }
        if count - blank >= folds || blank > 0 {
            // An empty value stands on the line below its label ("Subject" / "Offer").
            let empty = header.fields.last().is_some_and(|(_, value)| value.is_empty());
            if !(empty && count - blank < 2) {
                return None;
            }
        }
    }
    None
}

/// The last field's value may be wrapped, or stand below its label.
fn last_fold(header: &mut Header, lines: &[&Line<'_>], limit: usize) {
    let Some((label, value)) = header.fields.last() else { return };
    let Some(next) = (header.end < limit).then(|| lines[header.end]) else { return };
    let ends = header.end + 1 >= lines.len() || lines[header.end + 1].body.is_empty();
    let wrapped = value.len() >= 55 && ends && !next.body.is_empty() && next.body.len() < 80;
    let people = matches!(label, Label::To | Label::Cc | Label::From)
        && (next.body.starts_with('<') || value.ends_with(['<', ',', ';']));
    let below = value.is_empty()
        && matches!(label, Label::Subject | Label::To | Label::Cc)
        && ends
        && !next.body.is_empty()
        && header.fields.len() >= 3;
    if (wrapped && *label == Label::Subject || people || below) && !next.body.is_empty() {
        fold(header, std::iter::once(next.body.as_ref()));
        header.end += 1;
    }
}

/// A line with a known label, and its value.
pub(super) fn field(body: &str) -> Option<(Label, &str)> {
    // Most lines have no colon near their beginning.
    memchr::memchr2(b':', 0xef, &body.as_bytes()[..body.len().min(MAX_LABEL * 3)])?;
    let body = body.trim_start_matches(['*', '_', '|', ' ', '\u{a0}', '#']);
    let head = &body[..body.floor_char_boundary(MAX_LABEL + 12)];
    let at = first_colon(head)?;
    let around = |letter: char| letter.is_whitespace() || matches!(letter, '*' | '_' | '|' | '.');
    let name = head[..at].trim_matches(around);
    if !LABELS.may_begin(name) {
        return None;
    }
    let label = label(folded(name, MAX_LABEL * 2).trim_matches(around))?;
    let value = &body[at..];
    Some((label, value.strip_prefix(':').or_else(|| value.strip_prefix('\u{ff1a}')).unwrap_or(value).trim()))
}

/// Where the first colon is, narrow or wide.
fn first_colon(text: &str) -> Option<usize> {
    // The byte with which the wide one begins is rare.
    memchr::memchr2_iter(b':', 0xef, text.as_bytes()).find(|&at| text[at..].starts_with([':', '\u{ff1a}']))
}

static LABELS: LazyLock<Table<Label>> = LazyLock::new(|| {
    let of = |row: &'static (Label, &'static [&'static str])| row.1.iter().map(|name| (*name, row.0));
    Table::of_beginnings(words::LABELS.iter().flat_map(of))
});

fn label(name: &str) -> Option<Label> {
    let found = LABELS.get(name);
    if name.is_ascii() || found.is_some() {
        return found;
    }
    // Chinese and Japanese programs space out two letters to the width of three.
    let squeezed: String = name.chars().filter(|letter| !letter.is_whitespace()).collect();
    LABELS.get(&squeezed)
}

/// A value without stars, `mailto:` doubles and quotes around names.
fn clean(value: &str) -> String {
    let value = value.trim().trim_matches('*').trim();
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("mailto:") {
        let before = rest[..at].trim_end_matches(['[', '<']);
        let opened = rest[..at].len() > before.len();
        let after = &rest[at + "mailto:".len()..];
        let end = after.find([']', '>']).unwrap_or(after.len());
        let address = after[..end].trim();
        text.push_str(before);
        if opened && !(has_address(before) && before.contains(address)) && !address.is_empty() {
            let space = if text.is_empty() || text.ends_with(' ') { "" } else { " " };
            text.push_str(space);
            text.push('<');
            text.push_str(address);
            text.push('>');
        }
        rest = after[end..].strip_prefix([']', '>']).unwrap_or(&after[end..]);
    }
    text.push_str(rest);
    let text: Vec<&str> = text.split_whitespace().collect();
    text.join(" ").replace(">>", ">")
}

/// What a line announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Announced {
    Forwarded,
    Original,
}

/// "-----Original Message-----", "Begin forwarded message:" and their kin.
pub(super) fn announces(body: &str) -> Option<Announced> {
    if body.len() > 200 || body.is_empty() {
        return None;
    }
    let colon = body.trim_end_matches(['*', ' ']).ends_with([':', '\u{ff1a}']);
    // Most lines begin with a letter and end with no colon.
    if !colon && body.starts_with(|first: char| first.is_ascii_alphanumeric() && !matches!(first, 'o' | 'O')) {
        return None;
    }
    if asks_above(body) {
        return Some(Announced::Original);
    }
    let bare = trim(body.trim_matches(|letter: char| {
        matches!(letter, '-' | '_' | '=' | '*' | '~' | ' ' | '\u{2014}' | '\u{2013}' | '>' | '|')
    }));
    let ruled = dashes(body) >= 4 || dashes(body) >= 2 && body.ends_with('-');
    let processed = bare.get(..8).is_some_and(|word| word.eq_ignore_ascii_case("original"));
    if !ruled && !colon && !processed || bare.is_empty() || words_in(bare) > 12 {
        return None;
    }
    let text = folded(bare, 300);
    if ruled {
        let message = words::MESSAGE.iter().any(|stem| text.contains(stem));
        let named = |stems: &[&str]| stems.iter().any(|stem| text.contains(stem));
        if message && named(words::FORWARDED) {
            return Some(Announced::Forwarded);
        }
        if message && named(words::ORIGINAL)
            || matches!(text.as_str(), "original" | "原始邮件" | "reply message" | "antwort nachricht")
        {
            return Some(Announced::Original);
        }
    }
    if ruled && words::FORWARDED_BY.iter().any(|begin| text.starts_with(begin)) {
        return Some(Announced::Forwarded);
    }
    if text.starts_with("original message processed by") {
        return Some(Announced::Original);
    }
    let begins = words::FORWARD_BEGINS
        .iter()
        .any(|begin| text.starts_with(begin) && text.chars().count() <= begin.chars().count() + 30);
    (begins && (colon || ruled)).then_some(Announced::Forwarded)
}

/// Where the header begins that one program puts behind the announcement, all on one line
/// ("----- Forwarded Message ----- From: Ann <ann@acme.example>To: …").
pub(super) fn behind_announcement(raw: &str) -> Option<usize> {
    let body = raw.trim_start();
    if !body.starts_with("----") {
        return None;
    }
    let head = &body[..body.floor_char_boundary(120)];
    let named = head.trim_start_matches('-');
    let rest = named[named.find("---")?..].trim_start_matches('-');
    let end = head.len() - rest.len();
    let header = rest.starts_with([' ', '\u{a0}']) && field(rest.trim_start()).is_some();
    (header && announces(&body[..end]).is_some()).then(|| raw.len() - body.len() + end)
}

/// "##- Please type your reply above this line -##": what helpdesks put on top of the mail that is answered.
fn asks_above(body: &str) -> bool {
    let framed =
        body.starts_with(['#', '-', '=', '*', '_', '~', '\u{2014}']) && body.len() > 20 && words_in(body) <= 18;
    framed && {
        let text = folded(body, 300);
        words::REPLY_ABOVE.iter().any(|asks| text.contains(asks))
    }
}

fn words_in(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Strokes at the beginning of a line.
fn dashes(body: &str) -> usize {
    let strokes = |letter: &char| matches!(letter, '-' | '_' | '=' | '*' | '\u{2014}' | '\u{2013}');
    let stars = body.starts_with('*');
    if stars && !body.starts_with("***") { 0 } else { body.chars().take_while(strokes).count() }
}

/// A line as one program of groupware puts it above an unmarked quote: `>>> Name <address> date >>>`.
pub(super) fn is_arrowed(raw: &str) -> bool {
    let raw = trim(raw);
    raw.starts_with(">>>") && raw.ends_with(">>>") && raw.len() > 12 && super::attribution::has_date(raw)
}

/// A person wrote on top of a rule of a known kind: the rule belongs to what follows.
pub(super) fn above_rules(lines: &[&Line<'_>], start: usize) -> usize {
    let mut from = start;
    let mut at = start;
    while at > 0 {
        at -= 1;
        if lines[at].is_blank() {
            continue;
        }
        if !rule(&lines[at].body) {
            break;
        }
        from = at;
    }
    from
}
