//! Where a signature begins at the end of somebody's words.
//!
//! Conservative: what might be new words stays with them.

use std::sync::LazyLock;

use super::{
    card,
    line::{Line, folded, has_address, has_link, has_phone, is_name, is_prose, words},
    mobile, words as tables,
};
use crate::email::table::{Table, alone};

/// How many lines with text are looked at.
const MAX_LINES: usize = 40;
/// How many a signature after a closing formula may have.
const MAX_CARD: usize = 18;
/// How many one below nothing but a rule may have.
const MAX_RULED: usize = 4;
/// Shorter paragraphs disclaim nothing.
const DISCLAIMER_BYTES: usize = 60;
/// Unless a rule sets them apart.
const RULED_DISCLAIMER_BYTES: usize = 30;

/// The first line of the signature with which `lines` end. `above`: are there words of the writer before them?
pub(super) fn begins(lines: &[&Line<'_>], above: bool, sender: Option<&str>) -> Option<usize> {
    let filled: Vec<usize> = (0..lines.len()).rev().filter(|&at| !lines[at].is_blank()).take(MAX_LINES).collect();
    let last = *filled.first()?;
    let oldest = *filled.last()?;
    let tail = Tail { lines, filled, above, whole: oldest };
    if lines[last].is_mobile() {
        return Some(last);
    }
    tail.delimiter()
        .or_else(|| tail.disclaimer())
        .or_else(|| tail.closing())
        .or_else(|| tail.short_name(last))
        .or_else(|| tail.footer())
        .or_else(|| sender.and_then(|name| tail.sender(name)))
        .or_else(|| card::begins(lines, &tail.filled, sender))
}

struct Tail<'a, 'b> {
    lines: &'a [&'a Line<'b>],
    /// Lines with text, from the last upwards.
    filled: Vec<usize>,
    above: bool,
    /// The first line that is looked at.
    whole: usize,
}

impl Tail<'_, '_> {
    fn body(&self, at: usize) -> &str {
        &self.lines[at].body
    }

    /// Are there words before this line?
    fn words_above(&self, at: usize) -> bool {
        self.above || at > self.whole && self.filled.last().is_some_and(|&first| first < at)
    }

    /// Lines with text after the `count` last ones' first, in reading order.
    fn below(&self, count: usize) -> impl Iterator<Item = &str> + Clone {
        self.filled[..count].iter().rev().map(|&at| self.body(at))
    }

    /// `-- ` on a line by itself.
    fn delimiter(&self) -> Option<usize> {
        let mut found = None;
        for (count, &at) in self.filled.iter().enumerate() {
            let body = self.body(at);
            let exact = self.lines[at].raw.trim_end_matches(['\r', '\n']) == "-- ";
            let dashes =
                matches!(body, "-" | "--" | "\u{2014}" | "\u{2013}" | "---" | "- -" | "----" | "\u{2014}\u{2014}");
            if dashes && self.words_above(at) && (exact || self.dashed(count, at)) {
                found = Some(at);
            }
        }
        found
    }

    /// Is what stands below the dashes a signature? A rule between two paragraphs looks the same, so it must begin like
    /// one and hold no sentences, but for a slogan beside something to reach a person by.
    fn dashed(&self, count: usize, at: usize) -> bool {
        let (dashes, below) = (self.body(at), || self.below(count));
        let Some(first) = below().next() else { return dashes != "-" };
        if dashes == "-" {
            return card::below_rule(below());
        }
        let usual = matches!(dashes, "--" | "- -");
        let most = if usual { 14 } else { 8 };
        if count > most {
            return false;
        }
        let begins = card::names(first) || starts_name(first) || is_contact(first) || card::is_role(first);
        let begins = begins || closing(first).is_some() || mobile::is_mobile(first);
        let prose = below().filter(|line| is_prose(line) && !disclaims(line)).count();
        // "Secured with …:" and the link.
        let begins = begins || count <= 3 && prose == 0 && below().any(|line| has_link(&line.to_lowercase()));
        // Around a rule there are empty lines.
        let begins = begins || usual && count <= 4 && prose == 0 && self.filled[count - 1] == at + 1;
        is_footer(first) || begins && (prose == 0 || prose == 1 && usual && below().any(is_contact))
    }

    /// Paragraphs about confidentiality, company registers and the like.
    fn disclaimer(&self) -> Option<usize> {
        let mut found = None;
        let mut count = 0;
        while count < self.filled.len() {
            let mut end = count + 1;
            while end < self.filled.len() && self.filled[end] + 1 == self.filled[end - 1] {
                end += 1;
            }
            let start = self.filled[end - 1];
            let lines = || self.filled[count..end].iter().rev().map(|&at| self.body(at));
            let set_off = self.filled.get(end).is_some_and(|&above| self.lines[above].is_rule());
            let set_off = set_off || end - count > 1 && self.lines[start].is_rule();
            let least = if set_off { RULED_DISCLAIMER_BYTES } else { DISCLAIMER_BYTES };
            let about = lines().map(|line| line.len() + 1).sum::<usize>() > least && {
                let text = lines().collect::<Vec<_>>().join(" ");
                speaks_of_rules(&text) && (set_off || !asks(&text))
            };
            let ruled = found.is_some() && lines().all(super::line::rule);
            if !(about || ruled) || !self.words_above(start) {
                break;
            }
            found = Some(start);
            count = end;
        }
        found
    }

    /// "Best regards" and a few short lines.
    fn closing(&self) -> Option<usize> {
        let mut found = None;
        for (count, &at) in self.filled.iter().enumerate().take(MAX_CARD + 1) {
            // The line just entered must fit a card, or nothing above can begin one.
            if count > 0 && !self.fits(self.filled[count - 1]) {
                break;
            }
            let Some(closing) = self.lines[at].closing() else { continue };
            if !self.words_above(at) {
                continue;
            }
            let contacts = self.below(count).any(is_contact);
            let named = count == 0
                || self.below(count).next().is_some_and(|line| {
                    card::names(line) || is_contact(line) || closing == Closing::Alone && starts_name(line)
                });
            let enough = match closing {
                Closing::Alone => named && (count <= 6 || contacts),
                Closing::Named => count > 0 && contacts,
                Closing::Thanks => {
                    let role = || count <= 6 && self.below(count).skip(1).any(card::is_role);
                    count > 1 && named && (contacts || role())
                }
            };
            if enough {
                found = Some(at);
            }
        }
        found
    }

    fn fits(&self, at: usize) -> bool {
        let body = self.body(at);
        let postscript = || {
            let text = folded(body, 12);
            ["ps:", "p.s", "ps "].iter().any(|start| text.starts_with(start))
        };
        let line = self.lines[at];
        let goes_on = line.is_prose() || body.starts_with(['p', 'P']) && postscript();
        !goes_on || line.closing().is_some()
    }

    /// "-Ann", "/John": a name behind a stroke, as the last line.
    fn short_name(&self, last: usize) -> Option<usize> {
        let body = self.body(last);
        let stroke = body.chars().next()?;
        let name = body.trim_start_matches(['-', '/', '\u{2013}', '\u{2014}', '~']);
        let strokes = body.len() - name.len();
        if strokes == 0
            || strokes > 2 * stroke.len_utf8()
            || !self.words_above(last)
            || words(name) > 3
            || !is_name(name)
        {
            return None;
        }
        let above = last.checked_sub(1).map(|at| self.lines[at]);
        let apart = above.is_none_or(Line::is_blank);
        let item = self.filled.get(1).is_some_and(|&at| self.body(at).starts_with(stroke));
        (!item && (!name.starts_with(' ') || apart)).then_some(last)
    }

    /// What mailing lists, and some programs a writer's card, put below a rule.
    fn footer(&self) -> Option<usize> {
        for (count, &at) in self.filled.iter().enumerate().take(13) {
            let body = self.body(at);
            let ruled = body.len() >= 2 && body.chars().all(|letter| letter == '_') || super::line::rule(body);
            if !ruled || !self.words_above(at) || count == 0 {
                continue;
            }
            let card = count <= MAX_RULED && is_card(self.below(count)) && self.below(count).any(is_contact);
            if card || card::below_rule(self.below(count)) {
                return Some(at);
            }
            let text: Vec<&str> = self.below(count).collect();
            let text = folded(&text.join("\n"), 4_000);
            let list = text.contains("mailing list") || text.contains("unsubscribe") || text.contains("listinfo");
            return (list && (has_link(&text) || has_address(&text))).then_some(at);
        }
        None
    }

    /// The sender's own name, and contact details below it.
    fn sender(&self, name: &str) -> Option<usize> {
        let name = folded(name, 200);
        if words(&name) < 2 {
            return None;
        }
        for (count, &at) in self.filled.iter().enumerate().take(MAX_CARD) {
            if count > 0 && !self.fits(self.filled[count - 1]) {
                return None;
            }
            if count > 0 && is_called(self.body(at), &name) && self.below(count).any(is_contact) && self.words_above(at)
            {
                return Some(at);
            }
        }
        None
    }
}

/// Does the line hold nothing but this name, which is folded?
fn is_called(line: &str, name: &str) -> bool {
    let around = |letter: char| !letter.is_alphanumeric();
    let quick = line.len() < name.len() || line.is_ascii() && name.is_ascii() && !line.contains("  ");
    if quick && !line.trim_matches(around).eq_ignore_ascii_case(name) {
        return false;
    }
    folded(line, 200).trim_matches(around) == name
}

static FORMULAS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(tables::CLOSINGS)));

static THANKS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(tables::THANKS)));
static DISCLAIMER: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(tables::DISCLAIMER)));

/// A look at the beginning of a line, before it is folded.
fn may_close(body: &str) -> bool {
    let bare = body.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    FORMULAS.may_begin(bare) || THANKS.may_begin(bare) || FORMULAS.may_begin(body)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closing {
    /// The formula by itself.
    Alone,
    /// "Regards, Ann" on one line.
    Named,
    /// Thanking, which is saying something.
    Thanks,
}

/// Is the line a closing formula or thanks, by itself or with a name?
pub(in crate::email) fn closes(body: &str) -> bool {
    closing(body).is_some()
}

pub(super) fn closing(body: &str) -> Option<Closing> {
    if body.len() > 120 {
        return None;
    }
    if !may_close(body) {
        return None;
    }
    let text = folded(body, 120);
    let bare = text.trim_matches(|letter: char| !letter.is_alphanumeric());
    if bare.is_empty() {
        return None;
    }
    if FORMULAS.get(bare).is_some() {
        // "Best!" and "T" are said in other places too.
        let short = bare.chars().count() <= 2
            && text.len() == bare.len()
            && bare.is_ascii()
            && !body.chars().all(char::is_uppercase);
        return (!short).then_some(Closing::Alone);
    }
    if THANKS.get(bare).is_some() {
        return Some(Closing::Thanks);
    }
    if greets_from(&text, body) {
        return Some(Closing::Alone);
    }
    // In two languages at once.
    let both = bare.split(['/', '|', '\u{2013}']).all(|formula| FORMULAS.get(formula.trim()).is_some());
    if both {
        return Some(Closing::Alone);
    }
    let named = FORMULAS.beginnings_of(&text).any(|formula| {
        let at = formula.len();
        text[at..].starts_with([',', ' ', '.', '!'])
            && formula.chars().count() > 3
            && body.get(at..).is_some_and(is_name)
    });
    named.then_some(Closing::Named)
}

/// "Best regards from Berlin": a formula, and the place or the people it comes from.
fn greets_from(text: &str, body: &str) -> bool {
    const FROM: [&str; 14] =
        ["from", "aus", "vom", "von", "nach", "in", "de", "desde", "da", "dal", "dalla", "uit", "fra", "från"];
    FORMULAS.beginnings_of(text).filter(|formula| formula.chars().count() > 4).any(|formula| {
        let rest = text[formula.len()..].strip_prefix(' ').unwrap_or_default();
        let mut from = rest.trim_end_matches([',', '!', '.']).split(' ');
        let place = body.get(formula.len()..).unwrap_or_default();
        let capital = place.split_whitespace().last().is_some_and(|word| word.starts_with(char::is_uppercase));
        from.next().is_some_and(|word| FROM.contains(&word)) && (1..=4).contains(&from.count()) && capital
    })
}

/// A first name without a capital.
fn starts_name(line: &str) -> bool {
    words(line) == 1
        && line.chars().count() <= 20
        && line.chars().all(|letter| letter.is_alphabetic() || ".!-".contains(letter))
}

/// Something to reach a person by.
pub(super) fn is_contact(line: &str) -> bool {
    has_address(line) || has_phone(line) || has_link(&line.to_lowercase()) || line.contains('|') && words(line) < 14
}

/// Does a paragraph speak about confidentiality, registers, printing or unsubscribing?
pub(super) fn disclaims(paragraph: &str) -> bool {
    paragraph.len() > DISCLAIMER_BYTES && speaks_of_rules(paragraph)
}

fn speaks_of_rules(paragraph: &str) -> bool {
    if !may_disclaim(paragraph) {
        return false;
    }
    let text = folded(paragraph, 3_000);
    let begins = |at: usize| DISCLAIMER.beginnings_of(&text[at..]).next().is_some();
    let starts = std::iter::once(0).chain(text.match_indices([' ', '(', '"', '\'']).map(|(at, _)| at + 1));
    let hits = starts.filter(|&at| begins(at)).take(2).count();
    // One word of that kind happens in any letter; two are the formula.
    hits >= 2 || text.len() > 150 && tables::DISCLAIMER_WITHIN.iter().any(|word| text.contains(word))
}

/// A short paragraph with a question is the writer's, unless it asks not to print.
fn asks(paragraph: &str) -> bool {
    let prints = || ["print", "druck", "imprim", "stamp"].iter().any(|word| folded(paragraph, 400).contains(word));
    paragraph.len() < 240 && paragraph.contains('?') && !prints()
}

/// How services end what they send for somebody.
fn is_footer(line: &str) -> bool {
    const FOOTERS: [&str; 9] = [
        "reply to this email directly",
        "reply to this message directly",
        "you received this",
        "you are receiving this",
        "you're receiving this",
        "you have received this",
        "to unsubscribe",
        "this email was sent",
        "this message was sent",
    ];
    let text = folded(line, 200);
    let sent = || ["message was sent", "mail was sent"].iter().any(|sent| text.contains(sent));
    FOOTERS.iter().any(|footer| text.starts_with(footer)) || text.starts_with("this ") && sent()
}

/// A look at the paragraph's words, before it is folded.
fn may_disclaim(paragraph: &str) -> bool {
    let table = &*DISCLAIMER;
    let (mut hits, mut apart) = (0, true);
    for (at, letter) in paragraph.char_indices() {
        if apart && letter > ' ' {
            hits += usize::from(table.may_begin(&paragraph[at..]));
            if hits > 1 {
                return true;
            }
        }
        apart = !letter.is_alphanumeric();
    }
    false
}

/// Are these lines nothing but a signature: short, and few or with contact details?
pub(super) fn is_card<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> bool {
    let count = lines.clone().count();
    count > 0
        && count <= MAX_CARD
        && lines.clone().all(|line| !is_prose(line) || disclaims(line))
        && (lines.clone().any(is_contact)
            || count <= 3 && lines.clone().all(|line| is_name(line) || mobile::is_mobile(line)))
}
