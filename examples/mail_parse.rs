//! Reads messages: one JSON line `{"raw_b64"}` in, one JSON line out, either what the message says or `{"error"}`.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use integration_core::email::{Address, Message, kind, parse, report};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Line {
    raw_b64: String,
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = read(&line).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(out, "{answer}")?;
    }
    out.flush()
}

fn read(line: &str) -> Result<Value, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let letters: String = line.raw_b64.split_whitespace().collect();
    let raw = STANDARD.decode(letters).map_err(|error| error.to_string())?;
    let message = parse::message(&raw).map_err(|error| error.to_string())?;
    let bounces = report::bounces(&message);
    let kind = kind::with_bounces(&message, !bounces.is_empty());
    let bounces: Vec<Value> = bounces
        .iter()
        .map(|bounce| json!({ "recipient": bounce.recipient, "status": bounce.status, "hard": bounce.hard }))
        .collect();
    Ok(json!({
        "subject": message.subject,
        "message_id": message.message_id,
        "date": message.date.map(|date| date.timestamp()),
        "from": people(&message.from),
        "to": people(&message.to),
        "cc": people(&message.cc),
        "text": message.text,
        "attachments": attachments(&message, &raw),
        "bounces": bounces,
        "auto": kind.automatic,
        "list": kind.list || kind.bulk,
    }))
}

fn people(list: &[Address]) -> Vec<Value> {
    list.iter().map(|person| json!({ "name": person.name, "address": person.address })).collect()
}

fn attachments(message: &Message, raw: &[u8]) -> Vec<Value> {
    let mut digests = HashMap::new();
    parse::each_part(raw, |path, bytes| {
        digests.insert(path.to_owned(), hex::encode(Sha256::digest(bytes)));
    });
    let files = message.attachments.iter();
    files
        .map(|file| json!({ "name": file.name, "type": file.media_type, "size": file.size, "sha256": digests.get(&file.part) }))
        .collect()
}
