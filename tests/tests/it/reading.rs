//! Core's reading of mail against two others: the sandbox's own, written from the standards alone, and that of
//! `mail-parser` without what core mends.
//!
//! Where the two agree on a field they are taken as right; every difference from them is printed, to be looked at. The
//! samples are not part of this repository: without them the test says so and passes.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use chrono::DateTime;
use integration_core::email::{Address, Message, parse};
use integration_testing::mime::{self, Part};
use mail_parser::MimeHeaders;

/// Of the fields that the two others read alike, core must read this share as they do.
const AIM: f64 = 0.98;

/// A field of a message as one comparable line; `None` if this reading has nothing to say about it.
type Fields = BTreeMap<&'static str, Option<String>>;

fn shared() -> PathBuf {
    env::var_os("INTEGRATION_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from)
}

fn samples(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { samples(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    found.sort();
    found
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn people(list: &[Address]) -> Option<String> {
    Some(list.iter().map(Address::normalised).filter(|address| address.contains('@')).collect::<Vec<_>>().join(" "))
}

fn ours(message: &Message) -> Fields {
    let files = message.attachments.iter();
    let files = files.map(|file| format!("{} {} {}", file.name.as_deref().unwrap_or(""), file.media_type, file.size));
    BTreeMap::from([
        ("subject", Some(folded(&message.subject))),
        ("message id", Some(message.message_id.clone().unwrap_or_default())),
        ("date", Some(message.date.map_or_else(String::new, |date| date.timestamp().to_string()))),
        ("from", people(&message.from)),
        ("to", people(&message.to)),
        ("cc", people(&message.cc)),
        ("text", Some(folded(&message.text))),
        ("attachments", Some(files.collect::<Vec<_>>().join("; "))),
    ])
}

fn theirs(part: &Part) -> Fields {
    let people = |name: &str| {
        let headers = part.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        Some(headers.flat_map(|header| mime::addresses(&header.raw)).collect::<Vec<_>>().join(" "))
    };
    let id = part.header("Message-ID").unwrap_or_default().trim();
    // A date that this reading does not understand may still be one.
    let date = match part.header("Date").map(str::trim).filter(|date| !date.is_empty()) {
        None => Some(String::new()),
        Some(date) => DateTime::parse_from_rfc2822(date).ok().map(|date| date.timestamp().to_string()),
    };
    let mut leaves = Vec::new();
    own_leaves(part, true, &mut leaves);
    let texts = leaves.iter().filter(|(text, leaf)| *text && leaf.mime_type == "text/plain");
    // It knows few charsets.
    let texts: Option<Vec<String>> = texts.map(|(_, leaf)| leaf.text()).collect();
    let has_html = leaves.iter().any(|(text, leaf)| *text && leaf.mime_type == "text/html");
    let text = texts.map(|texts| folded(&texts.join("\n")));
    let files = leaves.iter().filter(|(text, _)| !text);
    let files = files.map(|(_, leaf)| format!("{} {} {}", leaf.file_name(), leaf.mime_type, leaf.decoded_len()));
    BTreeMap::from([
        ("subject", Some(folded(part.header("Subject").unwrap_or_default()))),
        ("message id", Some(id.trim_matches(['<', '>']).to_owned())),
        ("date", date),
        ("from", people("From")),
        ("to", people("To")),
        ("cc", people("Cc")),
        // It makes no text of HTML.
        ("text", text.filter(|text| !text.is_empty() || !has_html)),
        ("attachments", Some(files.collect::<Vec<_>>().join("; "))),
    ])
}

fn literal(raw: &[u8]) -> Option<Fields> {
    let parsed = mail_parser::MessageParser::default().parse(raw)?;
    let people = |list: Option<&mail_parser::Address<'_>>| {
        let all = list.into_iter().flat_map(|list| list.iter()).filter_map(|person| person.address());
        Some(all.map(str::to_lowercase).filter(|address| address.contains('@')).collect::<Vec<_>>().join(" "))
    };
    let texts = parsed.text_body.iter().filter_map(|id| parsed.parts.get(*id as usize));
    let texts = texts.filter_map(|part| match &part.body {
        mail_parser::PartType::Text(text) => Some(text.as_ref()),
        _ => None,
    });
    let files = parsed.attachments().map(|part| {
        let kind = part.content_type().map_or("text/plain".to_owned(), |kind| {
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase()
        });
        format!("{} {kind} {}", part.attachment_name().unwrap_or_default(), part.len())
    });
    let date = parsed.date().filter(|date| date.is_valid()).map(|date| date.to_timestamp());
    Some(BTreeMap::from([
        ("subject", Some(folded(parsed.subject().unwrap_or_default()))),
        ("message id", Some(parsed.message_id().unwrap_or_default().to_owned())),
        ("date", Some(date.map_or_else(String::new, |date| date.to_string()))),
        ("from", people(parsed.from())),
        ("to", people(parsed.to())),
        ("cc", people(parsed.cc())),
        ("text", Some(folded(&texts.collect::<Vec<_>>().join("\n")))),
        ("attachments", Some(files.collect::<Vec<_>>().join("; "))),
    ]))
}

/// The parts of this message itself: what is in an attached message is that one's. With each: is it text?
fn own_leaves<'a>(part: &'a Part, root: bool, found: &mut Vec<(bool, &'a Part)>) {
    if part.is_multipart() && !part.children.is_empty() {
        for child in &part.children {
            own_leaves(child, false, found);
        }
        return;
    }
    let kind = matches!(part.mime_type.as_str(), "text/plain" | "text/html");
    let attached = part.disposition.as_ref().is_some_and(|disposition| disposition.value == "attachment");
    found.push((kind && !attached && (root || part.file_name().is_empty()), part));
}

#[test]
fn core_reads_the_shared_mail_as_two_other_readings_do() {
    let folder = shared().join("data/mail");
    let files = samples(&folder);
    if files.is_empty() {
        println!("no shared mail samples at {}: nothing to compare", folder.display());
        return;
    }
    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for file in &files {
        let raw = fs::read(file).unwrap();
        let message = parse::message(&raw).unwrap();
        let Some(literal) = literal(&raw) else { continue };
        let (ours, theirs) = (ours(&message), theirs(&mime::parse(&Bytes::from(raw))));
        for (field, value) in &theirs {
            let (same, all) = table.entry(field).or_default();
            let Some(value) = value.as_ref().filter(|value| literal[field].as_ref() == Some(value)) else { continue };
            *all += 1;
            if ours[field].as_ref() == Some(value) {
                *same += 1;
            } else {
                let show = |text: &str| text.chars().take(150).collect::<String>();
                println!(
                    "{} {field}\n  core  {}\n  other {}",
                    file.display(),
                    show(ours[field].as_deref().unwrap_or("")),
                    show(value)
                );
            }
        }
    }
    let (same, all) = print(&table, files.len());
    assert!(same as f64 >= AIM * all as f64, "{same} of {all} fields read alike");
}

fn print(table: &BTreeMap<&str, (usize, usize)>, messages: usize) -> (usize, usize) {
    println!("\n{messages} messages\n| field | the others agree on | core reads alike | share |\n|---|---|---|---|");
    let share = |same: usize, all: usize| 100.0 * same as f64 / all.max(1) as f64;
    let (mut sames, mut alls) = (0, 0);
    for (field, (same, all)) in table {
        println!("| {field} | {all} | {same} | {:.1} % |", share(*same, *all));
        sames += same;
        alls += all;
    }
    println!("| all | {alls} | {sames} | {:.1} % |", share(sames, alls));
    (sames, alls)
}
