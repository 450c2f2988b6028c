//! A large mailbox out of a few real messages: a seeded rewrite of `Message-ID`, `References`, `Date` and sender, and a subject
//! for each conversation.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use integration_testing::{mail, spec};

use crate::people;

/// Headers that are written anew.
const REWRITTEN: [&str; 6] = ["from", "sender", "message-id", "references", "in-reply-to", "date"];
/// Messages of one conversation.
const CONVERSATION: usize = 3;

/// A message and when it came.
pub(crate) struct Letter {
    pub(crate) raw: Bytes,
    pub(crate) at: DateTime<Utc>,
}

/// `count` messages, always the same.
pub(crate) fn letters(count: usize) -> Vec<Letter> {
    let samples = samples();
    let first = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    let letter = |index: usize| {
        let at = first + TimeDelta::minutes(index as i64);
        let raw = rewritten(&samples[index % samples.len()], index, at).into();
        Letter { raw, at }
    };
    (0..count).map(letter).collect()
}

fn samples() -> Vec<Bytes> {
    let folder = spec::shared_folder().join("data/mail");
    match mail::read(&folder) {
        Ok(found) if !found.is_empty() => {
            println!("{} sample messages from {}", found.len(), folder.display());
            found.into_iter().map(|(_, raw)| raw).collect()
        }
        _ => {
            println!("no sample messages at {}: made-up ones are used, and the numbers differ", folder.display());
            (0..40).map(made_up).collect()
        }
    }
}

/// Plain text, or text and HTML with a small file, of a few kilobytes.
fn made_up(number: usize) -> Bytes {
    let text = "It arrived on Tuesday, and the second half is due by the end of the month.\r\n".repeat(5 + number);
    let head = format!("To: alex@example.com\r\nSubject: Delivery {number}\r\nMIME-Version: 1.0\r\n");
    if number.is_multiple_of(2) {
        return format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}").into();
    }
    let html = format!("<html><body><p>{}</p></body></html>", text.replace("\r\n", "<br>\r\n"));
    format!(
        "{head}Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b--\r\n"
    )
    .into()
}

fn message_id(index: usize) -> String {
    format!("<{:016x}.{index}@bench.example>", people::seeded(index as u64))
}

/// `raw` with its own identity, sender and date, and in its conversation.
fn rewritten(raw: &[u8], index: usize, at: DateTime<Utc>) -> Vec<u8> {
    let end = if raw.windows(2).any(|pair| pair == b"\r\n") { "\r\n" } else { "\n" };
    let (from, root) = (people::sender(index), index / CONVERSATION * CONVERSATION);
    let mut head = vec![
        format!("From: {from}"),
        format!("Message-ID: {}", message_id(index)),
        format!("Date: {}", at.format("%a, %d %b %Y %H:%M:%S +0000")),
    ];
    if index > root {
        let before: Vec<String> = (root..index).map(message_id).collect();
        head.push(format!("In-Reply-To: {}", before[before.len() - 1]));
        head.push(format!("References: {}", before.join(" ")));
    }
    let mut message = head.join(end).into_bytes();
    message.extend_from_slice(end.as_bytes());
    let (mut in_head, mut kept) = (true, true);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let folded = line.first().is_some_and(|first| matches!(first, b' ' | b'\t'));
        in_head = in_head && !line.trim_ascii().is_empty();
        if in_head && !folded {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            kept = !REWRITTEN.iter().any(|rewritten| rewritten.as_bytes() == name);
            if name == b"subject" {
                // Services that join what has the same subject shall not make one conversation of all copies.
                message.extend_from_slice(format!("Subject: {root}").as_bytes());
                message.extend_from_slice(&line[name.len() + 1..]);
                continue;
            }
        }
        if !in_head || kept {
            message.extend_from_slice(line);
        }
    }
    message
}
