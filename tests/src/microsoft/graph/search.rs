//! `$search`: the part of the keyword query language that is imitated.

use super::answer::Refusal;
use super::mail::{Mail, Party};
use super::stored::Stored;

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub(super) struct Search {
    terms: Vec<(Field, String)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Any,
    Attachment,
    Bcc,
    Body,
    Cc,
    From,
    HasAttachment,
    Participants,
    Recipients,
    Subject,
    To,
}

/// Reads a search; it stands in double quotes.
pub(super) fn parse(text: &str) -> Result<Search, Refusal> {
    let inner = text.trim().strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let inner = inner.unwrap_or(text).replace("\\\"", "\"");
    let terms = words(&inner).into_iter().filter(|word| word != "AND").map(|word| term(&word));
    Ok(Search { terms: terms.collect::<Result<_, _>>()? })
}

/// Splits at spaces outside quotes.
fn words(text: &str) -> Vec<String> {
    let (mut found, mut one, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !one.is_empty() {
                    found.push(std::mem::take(&mut one));
                }
            }
            c => one.push(c),
        }
    }
    found
}

fn term(word: &str) -> Result<(Field, String), Refusal> {
    let Some((name, value)) = word.split_once(':') else { return Ok((Field::Any, word.to_lowercase())) };
    let field = match name.to_ascii_lowercase().as_str() {
        "attachment" => Field::Attachment,
        "bcc" => Field::Bcc,
        "body" => Field::Body,
        "cc" => Field::Cc,
        "from" => Field::From,
        "hasattachment" | "hasattachments" => Field::HasAttachment,
        "participants" => Field::Participants,
        "recipients" => Field::Recipients,
        "subject" => Field::Subject,
        "to" => Field::To,
        "importance" | "kind" | "received" | "sent" | "size" => return Err(Refusal::not_imitated("this search field")),
        _ => return Ok((Field::Any, word.to_lowercase())),
    };
    Ok((field, value.to_lowercase()))
}

impl Search {
    /// Whether a message is found.
    pub(super) fn fits(&self, stored: &Stored) -> bool {
        let mail = Mail::read(&stored.source.bytes());
        self.terms.iter().all(|(field, wanted)| fits(&mail, *field, wanted))
    }
}

fn fits(mail: &Mail, field: Field, wanted: &str) -> bool {
    let says = |text: &str| text.to_lowercase().contains(wanted);
    let among = |parties: &[Party]| parties.iter().any(|p| says(&p.name) || says(&p.address));
    let from = || mail.from.as_ref().is_some_and(|p| says(&p.name) || says(&p.address));
    let recipients = || among(&mail.to) || among(&mail.cc) || among(&mail.bcc);
    match field {
        Field::Any => from() || recipients() || says(&mail.subject) || says(&mail.body.text()),
        Field::Attachment => mail.attachments.iter().any(|a| says(&a.name)),
        Field::Bcc => among(&mail.bcc),
        Field::Body => says(&mail.body.text()),
        Field::Cc => among(&mail.cc),
        Field::From => from(),
        Field::HasAttachment => (wanted == "true") == mail.attachments.iter().any(|a| !a.inline),
        Field::Participants => from() || recipients(),
        Field::Recipients => recipients(),
        Field::Subject => says(&mail.subject),
        Field::To => among(&mail.to),
    }
}
