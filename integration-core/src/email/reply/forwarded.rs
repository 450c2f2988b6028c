//! What a forwarded message's header says.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{header::Header, line::folded, scan, words};
use crate::email::parse;

/// A forwarded message: who wrote it, when, about what; as its header in the text says.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Forwarded {
    /// The original sender, as written ("Ann <ann@acme.example>").
    pub from: Option<String>,
    /// When it was sent, as written, in any language.
    pub date: Option<String>,
    /// The same as an instant, where the text names its zone and leaves no doubt.
    pub sent_at: Option<DateTime<Utc>>,
    /// Its subject.
    pub subject: Option<String>,
}

pub(super) fn read(header: &Header) -> Forwarded {
    let [from, date, subject] = scan::values(header).map(|value| value.map(str::to_owned));
    Forwarded { from: from.map(|from| unquoted(&from)), sent_at: date.as_deref().and_then(instant), date, subject }
}

/// Does a subject begin with what programs put before a forwarded one?
pub(super) fn is_forward(subject: &str) -> bool {
    let Some((prefix, _)) = subject.split_once([':', '\u{ff1a}']) else { return false };
    let prefix = folded(prefix, 40);
    words::FORWARD_PREFIXES.contains(&prefix.trim_matches(['[', ' ', '.']))
}

/// A sender's name without the quotes around it.
fn unquoted(from: &str) -> String {
    let Some((name, address)) = from.rsplit_once('<') else { return from.to_owned() };
    let bare = name.trim().trim_matches(['"', '\'']).trim();
    match bare {
        "" => address.trim_end_matches('>').trim().to_owned(),
        bare => format!("{bare} <{address}"),
    }
}

/// A date with a zone that means one instant.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text.trim()) {
        return Some(date.to_utc());
    }
    let zoned = |word: &str| {
        word.len() == 5 && word.starts_with(['+', '-']) && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    };
    let named = text.contains(|letter: char| letter.is_ascii_alphabetic());
    if named
        && text.split_whitespace().any(zoned)
        && let Some(date) = parse::date(text)
    {
        return Some(date);
    }
    written(text)
}

/// "25 October 2021 at 11:17:21 GMT+3", "Monday, October 25, 2021 8:17 AM UTC": English or in ISO order.
fn written(text: &str) -> Option<DateTime<Utc>> {
    let (mut day, mut month, mut year, mut time, mut zone, mut half) = (None, None, None, None, None, None);
    let text = folded(text, 200);
    for word in text.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()) {
        if let Some(clock) = clock(word) {
            time = time.or(Some(clock));
        } else if let Some(offset) = offset(word) {
            zone = zone.or(Some(offset));
        } else if let Some(found) = month_named(word) {
            month = month.or(Some(found));
        } else if matches!(word, "am" | "pm" | "a.m." | "p.m.") {
            half = Some(word.starts_with('p'));
        } else if let Ok(date) = NaiveDate::parse_from_str(word, "%Y-%m-%d") {
            use chrono::Datelike;
            (day, month, year) = (Some(date.day()), Some(date.month()), Some(date.year()));
        } else if let Ok(number) = word.trim_end_matches(['.', 's', 't', 'n', 'd', 'r', 'h']).parse::<u32>() {
            match number {
                1..=31 => day = day.or(Some(number)),
                1970..=2200 => year = year.or(i32::try_from(number).ok()),
                _ => return None,
            }
        }
    }
    let (hour, minute, second) = time?;
    let hour = match half {
        Some(afternoon) if hour <= 12 => hour % 12 + if afternoon { 12 } else { 0 },
        Some(_) => return None,
        None => hour,
    };
    let local = NaiveDate::from_ymd_opt(year?, month?, day?)?.and_hms_opt(hour, minute, second)?;
    local.and_local_timezone(zone?).single().map(|date| date.to_utc())
}

fn clock(word: &str) -> Option<(u32, u32, u32)> {
    let mut parts = word.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = parts.next().unwrap_or("0");
    let number = |text: &str| (text.len() <= 2).then(|| text.parse::<u32>().ok()).flatten();
    (parts.next().is_none() && !hour.is_empty())
        .then(|| Some((number(hour)?, number(minute)?, number(second)?)))
        .flatten()
}

/// "utc", "gmt+3", "+0200": names such as "cst" mean several zones.
fn offset(word: &str) -> Option<FixedOffset> {
    let bare = word.trim_start_matches("gmt").trim_start_matches("utc");
    if bare.is_empty() || word == "z" {
        return FixedOffset::east_opt(0);
    }
    let sign = match bare.chars().next()? {
        '+' => 1,
        '-' | '\u{2212}' => -1,
        _ => return None,
    };
    let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
    let number: i32 = digits.parse().ok()?;
    let minutes = match digits.len() {
        1 | 2 => number * 60,
        3 | 4 => number / 100 * 60 + number % 100,
        _ => return None,
    };
    FixedOffset::east_opt(sign * minutes * 60)
}

fn month_named(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.trim_end_matches('.');
    if word.len() < 3 || !word.is_ascii() {
        return None;
    }
    let found =
        MONTHS.iter().position(|month| month.starts_with(word) || word == "sept" && month.starts_with("sept"))?;
    u32::try_from(found + 1).ok()
}
