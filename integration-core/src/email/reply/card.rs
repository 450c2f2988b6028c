//! Business cards: what a signature looks like without a closing formula above it.

use super::{
    line::{Line, folded, has_address, has_link, has_phone, is_name, is_prose, words},
    sign_off::{disclaims, is_contact},
};
use crate::email::signature;

/// How many lines such a card may have.
const MAX_CARD: usize = 14;
/// A slogan below a card is no longer.
const MAX_SLOGAN: usize = 90;

/// What somebody signs with in another's place.
const PROXIES: [&str; 18] = [
    "i. a.",
    "i.a.",
    "i. v.",
    "i.v.",
    "i.a",
    "i.v",
    "ppa.",
    "ppa",
    "pp.",
    "p.p.",
    "p. p.",
    "p.o.",
    "p/o",
    "im auftrag",
    "in vertretung",
    "per pro",
    "per pro.",
    "on behalf of",
];

/// A name as cards have it: without stars, a picture, what stands in brackets behind it, and for whom it stands.
pub(in crate::email) fn bare_name(line: &str) -> &str {
    let mut name = line.trim_matches(|letter: char| letter.is_whitespace() || "*_~|\u{fffc}".contains(letter));
    if name.ends_with(')')
        && let Some((before, _)) = name.split_once('(')
    {
        name = before.trim_end();
    }
    for proxy in PROXIES {
        let begins = name.get(..proxy.len()).is_some_and(|head| head.eq_ignore_ascii_case(proxy));
        if begins && name[proxy.len()..].starts_with([' ', '\u{a0}']) {
            return name[proxy.len()..].trim_start();
        }
    }
    name
}

/// Could the line be a person's name, or what stands before one ("i. A.")?
pub(super) fn names(line: &str) -> bool {
    is_name(bare_name(line)) || PROXIES.iter().any(|proxy| line.trim().eq_ignore_ascii_case(proxy))
}

/// A name and a surname.
fn full_name(line: &str) -> bool {
    let name = bare_name(line);
    (2..=4).contains(&words(name)) && is_name(name) && !signature::is_company_line(name)
}

/// A title or a company.
pub(super) fn is_role(line: &str) -> bool {
    signature::is_title_line(line) || signature::is_company_line(line)
}

/// A telephone number, an address or a link.
fn reaches(line: &str) -> bool {
    has_address(line) || has_phone(line) || has_link(&line.to_lowercase())
}

/// A picture where HTML had one.
fn is_picture(line: &str) -> bool {
    let text = line.trim();
    let bracketed = text.starts_with("[cid:") || text.starts_with("[image") || text.starts_with("[Image");
    bracketed && text.ends_with(']') || !text.is_empty() && text.chars().all(|letter| letter == '\u{fffc}')
}

/// Are the lines below a rule or a dash a card: a name first, then what a card has and no sentences?
pub(super) fn below_rule<'a>(mut lines: impl Iterator<Item = &'a str> + Clone) -> bool {
    let count = lines.clone().count();
    let short = lines.clone().all(|line| !is_prose(line) && !is_item(line));
    let rest = lines.clone().skip(1);
    short
        && (2..=6).contains(&count)
        && lines.next().is_some_and(full_name)
        && rest.clone().all(|line| is_name(bare_name(line)) || is_role(line) || is_contact(line))
}

fn is_item(line: &str) -> bool {
    ["- ", "* ", "\u{2022}", "\u{b7} "].iter().any(|item| line.starts_with(item)) || line.ends_with(['?', ':'])
}

/// The first line of a card at the end of `lines`, of which `filled` have text, from the last upwards.
///
/// A name by itself, a title or company and something to reach it by below it; or two things to reach it by. Where the
/// words above announce somebody's details, and where the sender is called otherwise, they are what is written about.
pub(super) fn begins(lines: &[&Line<'_>], filled: &[usize], sender: Option<&str>) -> Option<usize> {
    let body = |at: usize| -> &str { &lines[at].body };
    let mut slogans = 0;
    for (count, &at) in filled.iter().enumerate().take(MAX_CARD + 1) {
        let above = *filled.get(count + 1)?;
        let line = body(at);
        let below = filled[..count].iter().rev().map(|&at| body(at));
        let apart = above + 1 < at || is_picture(body(above)) || lines[above].is_rule();
        if apart && full_name(line) && is_whole(below) {
            let start = if is_picture(body(above)) { above } else { at };
            let words = filled[count + 1..].iter().find(|&&at| !is_picture(body(at)))?;
            return (!announces(body(*words)) && is_senders(line, sender)).then_some(start);
        }
        if !is_part(lines[at], count == slogans && slogans == 0, &mut slogans) {
            return None;
        }
    }
    None
}

/// May the line stand in a card? One slogan may be the last of it.
fn is_part(line: &Line<'_>, last: bool, slogans: &mut usize) -> bool {
    let body = &*line.body;
    if is_item(body) || line.is_mobile() {
        return line.is_mobile();
    }
    if !line.is_prose() || disclaims(body) {
        return true;
    }
    *slogans += 1;
    last && is_slogan(body)
}

/// A sentence that speaks to nobody.
fn is_slogan(line: &str) -> bool {
    const PERSONAL: [&str; 22] = [
        "i", "i'll", "i'm", "i've", "please", "me", "my", "let", "tomorrow", "today", "ich", "bitte", "mir", "mich",
        "je", "moi", "merci", "yo", "por", "ps", "p.s", "can",
    ];
    let text = folded(line, 200);
    let personal = |word: &str| PERSONAL.contains(&word.trim_matches(|letter: char| !letter.is_alphanumeric()));
    line.len() <= MAX_SLOGAN && !line.contains('?') && !text.split(' ').any(personal)
}

fn is_whole<'a>(below: impl Iterator<Item = &'a str> + Clone) -> bool {
    let reach = below.clone().filter(|line| reaches(line)).count();
    reach >= 2 || reach >= 1 && below.clone().any(is_role)
}

/// Do the words above a card say that it is somebody's they write about?
fn announces(line: &str) -> bool {
    const ABOUT: [&str; 8] =
        ["contact", "reach", "details", "kontakt", "ansprechpartner", "address", "adress", "coordonn"];
    const ONESELF: [&str; 16] =
        ["i", "i'll", "i'm", "me", "my", "us", "we", "we'll", "our", "ich", "mich", "mir", "wir", "uns", "nous", "moi"];
    let text = folded(line, 300);
    let ended = text.ends_with(['.', '!', '?', ',', ')']);
    let edge = |letter: char| !letter.is_alphanumeric() && letter != '\'';
    let about = |word: &str| matches!(word, "his" | "her") || ABOUT.iter().any(|beginning| word.starts_with(beginning));
    // "Contact me any time." is how letters end.
    let of_oneself = || ended && text.split(edge).any(|word| ONESELF.contains(&word));
    text.ends_with([':', '-', '\u{ff1a}']) || text.split(edge).any(about) && !of_oneself()
}

/// Shares a name with the sender, as far as that is known.
fn is_senders(line: &str, sender: Option<&str>) -> bool {
    let Some(sender) = sender.map(|name| folded(name, 200)).filter(|name| words(name) > 1) else { return true };
    let line = folded(bare_name(line), 200);
    let edge = |letter: char| !letter.is_alphanumeric();
    line.split(edge).any(|word| word.len() > 2 && sender.split(edge).any(|other| other == word))
}
