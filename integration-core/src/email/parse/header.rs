//! Header values: encoded words, addresses, dates, ids.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Utc};
use mail_parser::{HeaderValue, parsers::MessageStream};

use super::{contained, cut};
use crate::email::types::Address;

/// How much of one header value is looked at, in bytes.
pub(super) const MAX_VALUE: usize = 256 * 1024;
const MAX_ADDRESSES: usize = 2_000;
const MAX_IDS: usize = 1_000;
/// No line of a message is longer, so no address and no id is.
const MAX_LINE: usize = 998;

/// The mailboxes of a `From`, `To`, … value as sent.
///
/// Groups are flattened, encoded words decoded; what carries no address is left out.
#[must_use]
pub fn addresses(header: &str) -> Vec<Address> {
    let line = one_line(cut(header, MAX_VALUE)) + "\n";
    let parsed = contained(|| match MessageStream::new(line.as_bytes()).parse_address() {
        HeaderValue::Address(list) => list.iter().take(MAX_ADDRESSES).filter_map(address).collect(),
        _ => Vec::new(),
    });
    parsed.unwrap_or_default()
}

fn address(parsed: &mail_parser::Addr<'_>) -> Option<Address> {
    let name = parsed.name().map(decode_header).filter(|name| !name.is_empty());
    let Some(written) = parsed.address() else {
        // "MAILER-DAEMON" alone is an address without a domain, "Undisclosed recipients" is only a name.
        let word = name.filter(|name| !name.contains(char::is_whitespace))?;
        return Some(Address::new(cut(&word, MAX_LINE)));
    };
    let written: String = written.chars().filter(|letter| !letter.is_control()).collect();
    let written = written.trim().trim_matches(['<', '>']).trim();
    if written.is_empty() || written.len() > MAX_LINE {
        return None;
    }
    let name = name.map(|name| cut(&name, MAX_LINE).to_owned());
    Some(Address { name, address: written.to_owned() })
}

/// The instant of a `Date` value, if it is a real date between 1970 and 2200.
#[must_use]
pub fn date(header: &str) -> Option<DateTime<Utc>> {
    let line = one_line(cut(header, MAX_LINE)) + "\n";
    let parsed = contained(|| mail_parser::DateTime::parse_rfc822(&line)).flatten()?;
    let day = NaiveDate::from_ymd_opt(parsed.year.into(), parsed.month.into(), parsed.day.into())?;
    // A leap second is written as 60.
    let time = NaiveTime::from_hms_opt(parsed.hour.into(), parsed.minute.into(), u32::from(parsed.second).min(59))?;
    if !(1970..=2200).contains(&day.year()) || parsed.tz_hour > 15 || parsed.tz_minute > 59 || parsed.second > 60 {
        return None;
    }
    let ahead = i32::from(parsed.tz_hour) * 3600 + i32::from(parsed.tz_minute) * 60;
    let zone = FixedOffset::east_opt(if parsed.tz_before_gmt { -ahead } else { ahead })?;
    Some(day.and_time(time).and_local_timezone(zone).single()?.with_timezone(&Utc))
}

/// The ids of a `Message-ID`, `In-Reply-To` or `References` value, in order, without angle brackets.
///
/// Ids written without brackets count if nothing is in brackets.
#[must_use]
pub fn ids(header: &str) -> Vec<String> {
    let header = cut(header, MAX_VALUE);
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some(end) = rest[start..].find('>') else { break };
        // "<<a@b>" happens: the innermost bracket opens.
        let inside = rest[start + 1..start + end].rsplit('<').next().unwrap_or_default();
        found.push(inside.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect());
        rest = &rest[start + end + 1..];
    }
    if found.is_empty() {
        let bare = header.split(|letter: char| letter.is_whitespace() || letter == ',' || letter.is_control());
        let trimmed = bare.map(|word| word.trim_matches(['<', '>', '"']));
        found = trimmed.filter(|word| word.contains('@')).map(str::to_owned).collect();
    }
    found.retain(|id: &String| !id.is_empty() && id.len() <= MAX_LINE);
    found.truncate(MAX_IDS);
    found
}

/// A header value as a person reads it: encoded words (RFC 2047) decoded, one line. Decoding twice changes nothing.
#[must_use]
pub fn decode_header(value: &str) -> String {
    let mut text = one_line(cut(value, MAX_VALUE));
    // Some programs encode twice, none so often.
    for _ in 0..8 {
        if !text.contains("=?") {
            return text;
        }
        let line = text.clone() + "\n";
        let decoded = contained(|| MessageStream::new(line.as_bytes()).parse_unstructured().into_text());
        let Some(decoded) = decoded.flatten().map(|decoded| one_line(&decoded)).filter(|decoded| *decoded != text)
        else {
            return text;
        };
        text = decoded;
    }
    // Made to peel off one word a round, for ever: what is left is not to be decoded by anybody.
    text.replace("=?", "= ?")
}

/// Unfolded and trimmed, without control characters.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut fold = false;
    for letter in text.chars() {
        if letter == '\r' || letter == '\n' {
            fold = true;
            continue;
        }
        if fold {
            fold = false;
            line.push(' ');
            if letter == ' ' || letter == '\t' {
                continue;
            }
        }
        match letter {
            '\0' => {}
            _ if letter.is_control() => line.push(' '),
            _ => line.push(letter),
        }
    }
    line.trim().to_owned()
}
