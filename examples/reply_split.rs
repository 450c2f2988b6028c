//! Splits replies: JSON lines on stdin, one answer a line on stdout.
//!
//! `{"text"}` or `{"html"}` in; out, as plain text, `{"new","quoted","signature","forwarded":{"from","date","subject"}|null}`,
//! for HTML with `"new_html"`. A line that cannot be read gives `{"error"}`, and the run goes on.

use std::io::{self, BufRead, BufWriter, Write};

use integration_core::email::reply::{Split, split_html, split_text};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if !line.trim_ascii().is_empty() {
            writeln!(output, "{}", answer(&line))?;
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}

fn answer(line: &[u8]) -> Value {
    let asked: Value = match serde_json::from_slice(line) {
        Ok(asked) => asked,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    match (asked["html"].as_str(), asked["text"].as_str()) {
        (Some(html), _) => parts(&split_html(html)),
        (None, Some(text)) => parts(&split_text(text)),
        (None, None) => json!({ "error": "neither \"text\" nor \"html\"" }),
    }
}

fn parts(split: &Split) -> Value {
    let forwarded = split.forwarded.as_ref();
    let mut parts = json!({
        "new": split.new,
        "quoted": split.quoted,
        "signature": split.signature,
        "forwarded": forwarded.map(|mail| json!({ "from": mail.from, "date": mail.date, "subject": mail.subject })),
    });
    if let Some(html) = &split.new_html {
        parts["new_html"] = html.clone().into();
    }
    parts
}
