//! Dates, as RFC 5322 wants them and as they are written.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::{
    clean::{cut, one_line},
    words,
};

/// No date is longer.
const MAX_DATE: usize = 200;

/// The instant of a `Date` value, if it is a real date between 1900 and 2200.
///
/// Read as a person would: without seconds, with two digits for the year, with the name of a zone, in the form of
/// ISO 8601 or of the C library, with the names of months in the usual languages. Without a zone it is taken as UTC.
#[must_use]
pub fn date(header: &str) -> Option<DateTime<Utc>> {
    let line = one_line(cut(header, MAX_DATE));
    let line = if line.contains("=?") { words::decode(&line).into() } else { line };
    if let Some(instant) = unix_seconds(&line) {
        return Some(instant);
    }
    if let Some(parts) = standard(&line) {
        return parts.instant();
    }
    let mut parts = Parts::default();
    let mut comments = String::new();
    let plain = without_comments(&line, &mut comments);
    parts.read(&plain);
    if parts.offset.is_none() {
        parts.offset = comments.split_whitespace().find_map(zone);
    }
    parts.instant()
}

/// What programs keep instants in, written out; of this century, or it is another number.
fn unix_seconds(line: &str) -> Option<DateTime<Utc>> {
    let seconds = i64::from(digits(line, 9..=10)?);
    DateTime::from_timestamp(seconds, 0).filter(|instant| instant.year() > 2000)
}

/// "Mon, 4 May 2026 10:00:00 +0200", as nearly all are.
fn standard(line: &str) -> Option<Parts> {
    let mut words = line.split(' ');
    let first = words.next()?;
    let day = if first.len() == 4 && first.ends_with(',') { words.next()? } else { first };
    let mut parts = Parts { day: Some(digits(day, 1..=2)?), month: Some(english(words.next()?)?), ..Parts::default() };
    parts.year = i32::try_from(digits(words.next()?, 4..=4)?).ok();
    let (clock, zone) = (words.next()?, words.next()?);
    let mut clock = clock.split(':').map(|number| digits(number, 2..=2));
    parts.time = Some((clock.next()??, clock.next()??, clock.next()??));
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    parts.offset = Some(sign * offset(zone.strip_prefix(['+', '-']).filter(|zone| zone.len() == 4)?)?);
    let comment = |word: &str| word.starts_with('(') && word.ends_with(')');
    (clock.next().is_none() && words.next().is_none_or(comment) && words.next().is_none()).then_some(parts)
}

fn digits(word: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = length.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| word.parse().ok()).flatten()
}

fn without_comments(line: &str, comments: &mut String) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut depth = 0_usize;
    for letter in line.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => comments.push(letter),
        }
    }
    // Blanks may stand around the colons of a time.
    while plain.contains(" :") || plain.contains(": ") {
        plain = plain.replace(" :", ":").replace(": ", ":");
    }
    plain
}

#[derive(Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    time: Option<(u32, u32, u32)>,
    offset: Option<i32>,
    /// A time was written that cannot be.
    broken: bool,
}

impl Parts {
    fn read(&mut self, line: &str) {
        let words: Vec<&str> =
            line.split([' ', '\t', ',', '\u{a0}']).filter(|word| !word.is_empty()).take(16).collect();
        let months: Vec<Option<u32>> = words.iter().map(|word| month(word)).collect();
        // "mar." is a Tuesday in some languages and March in others: what stands beside a number is the month.
        let number =
            |word: Option<&&str>| word.is_some_and(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
        let beside = |at: &usize| number(at.checked_sub(1).and_then(|at| words.get(at))) && number(words.get(at + 1));
        let named = || (0..words.len()).filter(|&at| months[at].is_some());
        let named = named().find(beside).or_else(|| named().next());
        for (at, word) in words.iter().enumerate() {
            if Some(at) == named {
                self.month = months[at];
            } else {
                self.word(word);
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.time.is_some() && word.starts_with(['+', '-']) {
            self.offset = self.offset.or_else(|| zone(word));
            return;
        }
        if self.is_dotted_clock(word) {
            return self.clock(&word.replace('.', ":"));
        }
        if word.contains(':') {
            let clock = word.split_once('T').filter(|(day, _)| day.contains('-'));
            if let Some((day, clock)) = clock {
                self.hyphenated(day);
                self.clock(clock);
            } else {
                self.clock(word);
            }
            return;
        }
        match word.to_ascii_uppercase().as_str() {
            "AM" | "A.M." => return self.shift(false),
            "PM" | "P.M." => return self.shift(true),
            _ => {}
        }
        let first = word.chars().next().unwrap_or_default();
        if first.is_ascii_digit() && word.contains(['-', '/', '.']) && word.bytes().any(|byte| byte.is_ascii_digit()) {
            self.hyphenated(word.trim_end_matches('.'));
        } else if first.is_ascii_digit() {
            self.number(word);
        } else if self.time.is_some() || matches!(first, '+' | '-') {
            self.offset = self.offset.or_else(|| zone(word));
        }
    }

    /// "12.53.01" behind a whole date.
    fn is_dotted_clock(&self, word: &str) -> bool {
        let dated = self.time.is_none() && self.day.is_some() && self.year.is_some();
        let two = |piece: &str| digits(piece, 1..=2).is_some();
        dated && (2..=3).contains(&word.split('.').count()) && word.split('.').all(two)
    }

    /// "02-Nov-2026", "2026-11-02", "2026/11/02" and, as in most of the world, "02.11.2026" and "02/11/2026".
    fn hyphenated(&mut self, word: &str) {
        let pieces: Vec<&str> = word.split(['-', '/', '.']).collect();
        let [first, second, third] = pieces[..] else { return self.number(pieces[0]) };
        if let Some(month) = month(second) {
            self.month = Some(month);
            self.number(first);
            return self.number(third);
        }
        let (Ok(a), Ok(b), Ok(c)) = (first.parse::<u32>(), second.parse::<u32>(), third.parse::<u32>()) else { return };
        let (year, month, day) = match (first.len(), b) {
            (4, _) => (first, b, c),
            // Only the American order has a day in the middle.
            (_, 13..) => (third, a, b),
            _ if word.contains('/') && a <= 12 => (third, a, b),
            _ => (third, b, a),
        };
        (self.month, self.day) = (Some(month), Some(day));
        self.number(year);
    }

    fn number(&mut self, word: &str) {
        let digits = word.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let Ok(value) = digits.parse::<i32>() else { return };
        if digits.len() <= 2 && self.day.is_none() {
            self.day = u32::try_from(value).ok();
        } else if self.year.is_none() {
            self.year = Some(match digits.len() {
                // Two and three digits as RFC 5322 reads them.
                ..=2 if value < 50 => 2000 + value,
                ..=3 => 1900 + value,
                _ => value,
            });
        }
    }

    fn clock(&mut self, word: &str) {
        let end = word.find(|letter: char| !letter.is_ascii_digit() && letter != ':').unwrap_or(word.len());
        let (clock, mut tail) = word.split_at(end);
        let pieces: Vec<&str> = clock.split(':').collect();
        if let Some(fraction) = tail.strip_prefix(['.', ',']) {
            tail = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
        }
        let number = |at: usize| pieces.get(at).map_or(Some(0), |piece| piece.parse::<u32>().ok());
        let (Some(hour), Some(minute), Some(second)) = (number(0), number(1), number(2)) else {
            self.broken = true;
            return;
        };
        self.time = Some((hour, minute, second));
        match tail.to_ascii_uppercase().as_str() {
            "" => {}
            "AM" => self.shift(false),
            "PM" => self.shift(true),
            zoned => self.offset = self.offset.or_else(|| zone(zoned)),
        }
    }

    fn shift(&mut self, afternoon: bool) {
        if let Some((hour, ..)) = &mut self.time {
            match (afternoon, *hour) {
                (true, 1..=11) => *hour += 12,
                (false, 12) => *hour = 0,
                _ => {}
            }
        }
    }

    fn instant(&self) -> Option<DateTime<Utc>> {
        if self.broken {
            return None;
        }
        let day = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        let (hour, minute, second) = self.time.unwrap_or_default();
        // A leap second is written as 60, the end of a day as 24:00.
        let (day, hour) = if (hour, minute) == (24, 0) { (day.succ_opt()?, 0) } else { (day, hour) };
        let time = NaiveTime::from_hms_opt(hour, minute, if second == 60 { 59 } else { second })?;
        if !(1900..=2200).contains(&day.year()) {
            return None;
        }
        let zone = FixedOffset::east_opt(self.offset.unwrap_or_default())?;
        let local = day.and_time(time).and_local_timezone(Utc).single()?;
        local.checked_sub_signed(TimeDelta::seconds(i64::from(zone.local_minus_utc())))
    }
}

/// The number of a month by the three letters of the standard.
fn english(word: &str) -> Option<u32> {
    const ENGLISH: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let at = ENGLISH.iter().position(|name| word.eq_ignore_ascii_case(name))?;
    u32::try_from(at + 1).ok()
}

/// The number of a month, by its English name or that of the languages mail programs translate it into.
fn month(word: &str) -> Option<u32> {
    let word = word.trim_end_matches('.');
    if word.len() < 3 || word.as_bytes()[0].is_ascii_digit() || !word.chars().all(char::is_alphabetic) {
        return None;
    }
    if let Some(month) = english(word) {
        return Some(month);
    }
    let word = word.to_lowercase();
    // Longer beginnings first, where three letters do not tell.
    const NAMES: [(&str, u32); 41] = [
        ("jui", 7),
        ("juil", 7),
        ("juin", 6),
        ("jan", 1),
        ("feb", 2),
        ("mar", 3),
        ("apr", 4),
        ("may", 5),
        ("jun", 6),
        ("jul", 7),
        ("aug", 8),
        ("sep", 9),
        ("oct", 10),
        ("nov", 11),
        ("dec", 12),
        ("jän", 1),
        ("mär", 3),
        ("mrz", 3),
        ("mai", 5),
        ("okt", 10),
        ("dez", 12),
        ("fév", 2),
        ("fev", 2),
        ("avr", 4),
        ("aoû", 8),
        ("aou", 8),
        ("déc", 12),
        ("ene", 1),
        ("abr", 4),
        ("ago", 8),
        ("dic", 12),
        ("gen", 1),
        ("mag", 5),
        ("giu", 6),
        ("lug", 7),
        ("set", 9),
        ("ott", 10),
        ("out", 10),
        ("mrt", 3),
        ("mei", 5),
        ("maj", 5),
    ];
    let best = NAMES.iter().filter(|(start, _)| word.starts_with(start)).max_by_key(|(start, _)| start.len());
    best.map(|(_, number)| *number)
}

/// Seconds east of Greenwich.
fn zone(word: &str) -> Option<i32> {
    let word = word.trim_matches(['"', '\'', ';', '.']).to_ascii_uppercase();
    let signed = ["GMT", "UTC", "UT"].iter().find_map(|name| word.strip_prefix(name)).filter(|rest| !rest.is_empty());
    let numeric = signed.unwrap_or(&word);
    if let Some(rest) = numeric.strip_prefix(['+', '-']) {
        return offset(rest.trim_start_matches(['+', '-']))
            .map(|ahead| if numeric.starts_with('-') { -ahead } else { ahead });
    }
    if word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return offset(&word);
    }
    let minutes = match word.as_str() {
        "Z" | "UT" | "UTC" | "GMT" | "WET" => 0,
        "EST" => -5 * 60,
        "EDT" => -4 * 60,
        "CST" => -6 * 60,
        "CDT" => -5 * 60,
        "MST" => -7 * 60,
        "MDT" => -6 * 60,
        "PST" => -8 * 60,
        "PDT" => -7 * 60,
        "AKST" => -9 * 60,
        "AKDT" => -8 * 60,
        "HST" => -10 * 60,
        "BRT" | "ART" => -3 * 60,
        "BST" | "CET" | "MET" | "MEZ" | "WEST" | "IST(IRELAND)" => 60,
        "CEST" | "MEST" | "MESZ" | "EET" | "SAST" => 2 * 60,
        "EEST" | "MSK" => 3 * 60,
        "MSD" => 4 * 60,
        "IST" => 5 * 60 + 30,
        "WIB" | "ICT" => 7 * 60,
        "HKT" | "SGT" | "AWST" => 8 * 60,
        "JST" | "KST" => 9 * 60,
        "ACST" => 9 * 60 + 30,
        "AEST" => 10 * 60,
        "AEDT" => 11 * 60,
        "NZST" => 12 * 60,
        "NZDT" => 13 * 60,
        _ => return None,
    };
    Some(minutes * 60)
}

/// "0100", "100", "01:00", "1": what no clock shows is no offset.
fn offset(digits: &str) -> Option<i32> {
    let digits = digits.replace(':', "");
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i32 = digits.parse().ok()?;
    let (hours, minutes) = if digits.len() <= 2 { (value, 0) } else { (value / 100, value % 100) };
    (hours <= 15 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}
