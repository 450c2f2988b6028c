//! Replies of every kind, written by hand in the styles of the programs.

mod hostile;

use chrono::{DateTime, Utc};

use super::{Split, split, split_html, split_text};
use crate::email::{Address, Message};

/// White space folded, as parts are compared.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A case of the text files beside this one: its name, its input, and what is wanted, by part.
struct Case {
    name: String,
    input: String,
    wanted: Vec<(String, String)>,
}

impl Case {
    fn wants(&self, part: &str) -> Option<String> {
        self.wanted.iter().find(|(name, _)| name == part).map(|(_, text)| folded(text))
    }
}

fn cases(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            cases.push(Case { name: name.to_owned(), input: String::new(), wanted: Vec::new() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        let part = line
            .strip_prefix("--- ")
            .filter(|part| ["new", "signature", "from", "date", "subject", "instant"].contains(part));
        if let Some(part) = part {
            case.wanted.push((part.to_owned(), String::new()));
            continue;
        }
        let text = case.wanted.last_mut().map_or(&mut case.input, |(_, text)| text);
        text.push_str(line);
        text.push('\n');
    }
    cases
}

fn wrong(case: &Case, split: &Split) -> Vec<String> {
    let forwarded = split.forwarded.clone().unwrap_or_default();
    let instant = forwarded.sent_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let found = [
        ("new", Some(split.new.clone())),
        ("signature", Some(split.signature.clone())),
        ("from", forwarded.from),
        ("date", forwarded.date),
        ("subject", forwarded.subject),
        ("instant", instant),
    ];
    let differs = |(part, found): (&str, Option<String>)| {
        let wanted = case.wants(part)?;
        let found = folded(&found.unwrap_or_default());
        (found != wanted).then(|| format!("{}: {part} is {found:?}, not {wanted:?}", case.name))
    };
    found.into_iter().filter_map(differs).collect()
}

#[test]
fn html_of_the_common_programs_is_split_by_its_structure() {
    let cases = cases(include_str!("tests/html.txt"));
    assert!(cases.len() >= 100, "{}", cases.len());
    let wrong: Vec<String> = cases.iter().flat_map(|case| wrong(case, &split_html(&case.input))).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn forwarded_mail_is_unwrapped_in_many_languages() {
    let cases = cases(include_str!("tests/forwarded.txt"));
    assert!(cases.len() >= 30, "{}", cases.len());
    let wrong: Vec<String> = cases.iter().flat_map(|case| wrong(case, &split_text(&case.input))).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn letters_are_split_as_a_person_would() {
    let cases = cases(include_str!("tests/text.txt"));
    let wrong: Vec<String> = cases.iter().flat_map(|case| wrong(case, &split_text(&case.input))).collect();
    assert_eq!(wrong, [""; 0]);
}

fn attributions() -> Vec<String> {
    include_str!("tests/attributions.txt").lines().map(|line| line.replace("\\n", "\n")).collect()
}

#[test]
fn attributions_in_thirty_languages_begin_a_marked_quote() {
    for line in attributions().iter().filter(|line| !line.starts_with(">>>")) {
        let split = split_text(&format!("Answer, in a line.\n\n{line}\n\n> Quoted words.\n> More.\n\nAnd below."));
        assert_eq!(split.new, "Answer, in a line.\n\nAnd below.", "{line}");
    }
}

#[test]
fn attributions_in_thirty_languages_begin_an_unmarked_quote() {
    for line in attributions() {
        let split = split_text(&format!("Answer, in a line.\n\n{line}\n\nQuoted words.\nMore."));
        assert_eq!(split.new, "Answer, in a line.", "{line}");
    }
}

#[test]
fn mobile_lines_are_signatures() {
    for line in include_str!("tests/mobile.txt").lines() {
        let split = split_text(&format!("Answer, in a line.\n\n{line}\n"));
        assert_eq!((split.new.as_str(), split.signature.as_str()), ("Answer, in a line.", line));
    }
}

#[test]
fn lines_that_announce_a_quote_begin_it_in_many_languages() {
    for line in include_str!("tests/announced.txt").lines() {
        let split = split_text(&format!("Answer, in a line.\n\n{line}\n\nTheir words."));
        assert_eq!(split.new, "Answer, in a line.", "{line}");
    }
}

#[test]
fn closing_formulas_with_a_name_are_signatures_in_many_languages() {
    for formula in include_str!("tests/closings.txt").lines() {
        let split = split_text(&format!("The offer stands.\n\n{formula}\nBob Baker\n+44 20 7946 0018"));
        assert_eq!(split.new, "The offer stands.", "{formula}");
        assert_eq!(split.signature, format!("{formula}\nBob Baker\n+44 20 7946 0018"));
    }
}

#[test]
fn what_only_resembles_a_quote_or_a_signature_stays_new() {
    for letter in include_str!("tests/kept.txt").split("\n===\n").map(str::trim_end) {
        let split = split_text(letter);
        assert_eq!((split.new.as_str(), split.quoted.as_str(), split.signature.as_str()), (letter, "", ""));
    }
}

#[test]
fn a_header_under_the_writers_words_is_forwarded_only_if_the_subject_says_so() {
    let text = "For you.\n\nFrom: Ann <ann@acme.example>\nSent: Monday, May 4, 2026 9:12 AM\nTo: bob@baker.example\nSubject: Pump\n\nBroken.";
    assert_eq!(split_text(text).forwarded, None);
    let mut message = Message { text: text.to_owned(), subject: "RE: Pump".to_owned(), ..Message::default() };
    assert_eq!(split(&message).forwarded, None);
    message.subject = "WG: Pump".to_owned();
    let forwarded = split(&message).forwarded.unwrap();
    assert_eq!(forwarded.from.as_deref(), Some("Ann <ann@acme.example>"));
    assert_eq!(split(&message).new, "For you.");
}

#[test]
fn the_senders_name_above_contact_details_begins_a_signature() {
    let text = "The parcel left today.\n\nBob Baker\nBox 5, Leeds\n+44 20 7946 0018";
    assert_eq!(split_text(text).new, text);
    let from = vec![Address::new("bob@baker.example").with_name("Bob Baker")];
    let split = split(&Message { text: text.to_owned(), from, ..Message::default() });
    assert_eq!(split.new, "The parcel left today.");
    assert_eq!(split.signature, "Bob Baker\nBox 5, Leeds\n+44 20 7946 0018");
    let other = vec![Address::new("ann@acme.example").with_name("Ann Smith")];
    let text = "The parcel left today.\n\nBob Baker\nBaker Ltd\n+44 20 7946 0018".to_owned();
    let mut message = Message { text: text.clone(), from: other, ..Message::default() };
    assert_eq!(super::split(&message).new, text, "somebody else's card is what is written about");
    message.from.clear();
    assert_eq!(super::split(&message).new, "The parcel left today.");
}

#[test]
fn a_message_is_split_by_its_html_and_by_its_text_where_that_shows_more() {
    let quote = "<div class=\"gmail_quote\"><div class=\"gmail_attr\">Unknown words</div><blockquote class=\"gmail_quote\">old</blockquote></div>";
    let html = Some(format!("<p>new</p>{quote}"));
    let message = Message { text: "new\n\nUnknown words\nold".to_owned(), html, ..Message::default() };
    assert_eq!(split(&message).new, "new");
    let html = Some("<p>new On 4 May 2026 Ann wrote: old</p>".to_owned());
    let message = Message { text: "new\n\nOn 4 May 2026 Ann wrote:\n> old".to_owned(), html, ..Message::default() };
    assert_eq!(split(&message).new, "new");
}

#[test]
fn only_zones_that_mean_one_instant_give_one() {
    let sent = |date: &str| {
        split_text(&format!(
            "Begin forwarded message:\n\nFrom: a@b.example\nDate: {date}\nSubject: x\nTo: c@d.example\n\ny"
        ))
        .forwarded
        .unwrap()
        .sent_at
    };
    let noon: DateTime<Utc> = "2026-05-04T10:00:00Z".parse().unwrap();
    for date in [
        "Mon, 4 May 2026 12:00:00 +0200",
        "4 May 2026 at 12:00:00 GMT+2",
        "May 4, 2026 at 10:00:00 AM UTC",
        "2026-05-04T12:00:00+02:00",
        "Monday, May 4, 2026, 12:00 PM GMT+2",
    ] {
        assert_eq!(sent(date), Some(noon), "{date}");
    }
    for date in [
        "4 May 2026 at 12:00:00 CST",
        "4 May 2026 at 12:00",
        "Monday, May 4, 2026 9:12 AM",
        "32 May 2026 12:00 UTC",
        "4. Mai 2026 um 12:00:00 MESZ",
    ] {
        assert_eq!(sent(date), None, "{date}");
    }
}
