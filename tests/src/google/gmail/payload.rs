//! A message as the API shows it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::settings::GmailSettings;
use super::state::{Stored, checksum, hex};
use crate::mime::{self, Part};

const SNIPPET_CHARS: usize = 200;
/// As much of an HTML body as may go into a snippet.
const SNIPPET_SOURCE: usize = 64 * 1024;

/// How much of a message is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Full,
    /// Only the headers named, lower case; all if none is.
    Metadata(BTreeSet<String>),
    Minimal,
    Raw,
}

/// The message in the wanted format.
pub(super) fn message(settings: &GmailSettings, account: &str, stored: &Stored, format: &Format) -> Value {
    let raw = stored.source.bytes();
    let tree = mime::parse(&raw);
    let mut object = stub(stored);
    object.insert("snippet".into(), snippet(&tree).into());
    object.insert("historyId".into(), stored.history_id.to_string().into());
    object.insert("internalDate".into(), stored.received_ms.to_string().into());
    object.insert("sizeEstimate".into(), raw.len().into());
    match format {
        Format::Minimal => {}
        Format::Raw => {
            object.insert("raw".into(), URL_SAFE.encode(&raw).into());
        }
        Format::Metadata(names) => {
            object.insert("payload".into(), json!({"mimeType": tree.mime_type, "headers": headers(&tree, names)}));
        }
        Format::Full => {
            let tokens = Tokens { account, message: stored.id, reads: stored.reads };
            object.insert("payload".into(), part(settings, &tree, "", &tokens));
        }
    }
    Value::Object(object)
}

/// Id, thread and labels, as lists and short answers show them.
pub(super) fn stub(stored: &Stored) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".into(), stored.hex().into());
    object.insert("threadId".into(), hex(stored.thread).into());
    if !stored.labels.is_empty() {
        object.insert("labelIds".into(), json!(stored.labels));
    }
    object
}

fn headers(part: &Part, names: &BTreeSet<String>) -> Value {
    let wanted = part.headers.iter().filter(|h| names.is_empty() || names.contains(&h.name.to_ascii_lowercase()));
    wanted.map(|h| json!({"name": h.name, "value": h.value})).collect()
}

fn part(settings: &GmailSettings, node: &Part, id: &str, tokens: &Tokens<'_>) -> Value {
    let mut object = Map::new();
    object.insert("partId".into(), id.into());
    object.insert("mimeType".into(), node.mime_type.clone().into());
    object.insert("filename".into(), node.file_name().into());
    object.insert("headers".into(), headers(node, &BTreeSet::new()));
    object.insert("body".into(), body(settings, node, id, tokens));
    if !node.children.is_empty() {
        let child = |(index, child): (usize, &Part)| part(settings, child, &child_id(id, index), tokens);
        object.insert("parts".into(), node.children.iter().enumerate().map(child).collect());
    }
    Value::Object(object)
}

fn child_id(parent: &str, index: usize) -> String {
    if parent.is_empty() { index.to_string() } else { format!("{parent}.{index}") }
}

fn body(settings: &GmailSettings, node: &Part, id: &str, tokens: &Tokens<'_>) -> Value {
    if node.is_multipart() || (!node.children.is_empty() && !node.is_attachment()) {
        return json!({"size": 0});
    }
    if !shown_as_text(node) {
        let size = node.decoded_len();
        // An empty attachment has nothing to fetch.
        return if size == 0 { json!({"size": 0}) } else { json!({"attachmentId": tokens.issue(id), "size": size}) };
    }
    let text = content(node);
    match text.len() {
        0 => json!({"size": 0}),
        size if size > settings.inline_text_max => json!({"attachmentId": tokens.issue(id), "size": size}),
        size => json!({"size": size, "data": URL_SAFE.encode(&text)}),
    }
}

fn shown_as_text(node: &Part) -> bool {
    node.mime_type.starts_with("text/") && !node.is_attachment()
}

/// The bytes of a part: without its transfer encoding, and shown text in UTF-8 where its character set is known.
pub(super) fn content(node: &Part) -> Bytes {
    let converted = if shown_as_text(node) { node.text() } else { None };
    match converted {
        Some(text) => Bytes::from(text),
        None if node.encoding == mime::Encoding::Identity => node.body.clone(),
        None => Bytes::from(node.decoded().into_owned()),
    }
}

/// The part with that id.
pub(super) fn locate<'a>(tree: &'a Part, id: &str) -> Option<&'a Part> {
    let mut node = tree;
    for index in id.split('.').filter(|i| !i.is_empty()) {
        node = node.children.get(index.parse::<usize>().ok()?)?;
    }
    Some(node)
}

/// Whether the message has a part to be fetched apart from its text.
pub(super) fn has_attachment(tree: &Part) -> bool {
    tree.walk().iter().any(|node| !node.is_multipart() && node.is_attachment())
}

/// Makes and reads attachment ids: a new one at each read of the message.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub(super) account: &'a str,
    pub(super) message: u64,
    pub(super) reads: u64,
}

const TOKEN_MARK: &str = "ANGjdJ";

impl Tokens<'_> {
    fn seal(&self, reads: u64, part: &str) -> String {
        let text = format!("{:x}.{reads}.{part}", self.message);
        format!("{text}/{:016x}", checksum(format!("{}/{text}", self.account).as_bytes()))
    }

    fn issue(&self, part: &str) -> String {
        format!("{TOKEN_MARK}{}", URL_SAFE_NO_PAD.encode(self.seal(self.reads, part)))
    }

    /// The part id in a token that is still good.
    pub(super) fn open(&self, token: &str, lasting: u64) -> Option<String> {
        let text = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN_MARK)?).ok()?;
        let text = String::from_utf8(text).ok()?;
        let mut fields = text.split('/').next()?.splitn(3, '.');
        let (_, reads, part) = (fields.next()?, fields.next()?.parse::<u64>().ok()?, fields.next()?);
        let genuine = self.seal(reads, part) == text;
        (genuine && reads <= self.reads && self.reads - reads <= lasting).then(|| part.to_owned())
    }
}

/// The beginning of the text, HTML-escaped.
pub(super) fn snippet(tree: &Part) -> String {
    let text = first_text(tree, "text/plain").and_then(Part::text).filter(|t| !t.trim().is_empty());
    let text = text.or_else(|| first_text(tree, "text/html").and_then(Part::text).map(|html| visible(&html)));
    let mut out = String::new();
    let mut count = 0;
    for word in text.unwrap_or_default().split_whitespace() {
        count += word.chars().count() + 1;
        if count > SNIPPET_CHARS && !out.is_empty() {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars().take(SNIPPET_CHARS) {
            escape(c, &mut out);
        }
    }
    out
}

fn escape(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        other => out.push(other),
    }
}

/// The first shown text of that type that belongs to the message itself and not to one inside it.
pub(super) fn first_text<'a>(tree: &'a Part, mime_type: &str) -> Option<&'a Part> {
    if tree.mime_type == mime_type && !tree.is_attachment() {
        return Some(tree);
    }
    let own = tree.is_multipart();
    tree.children.iter().filter(|_| own).find_map(|child| first_text(child, mime_type))
}

/// The text between tags, without styles and scripts.
pub(super) fn visible(html: &str) -> String {
    let mut out = String::new();
    let mut hidden: Option<&str> = None;
    let end = (0..=SNIPPET_SOURCE.min(html.len())).rev().find(|at| html.is_char_boundary(*at)).unwrap_or(0);
    for piece in html[..end].split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or(("", piece));
        let tag = tag.get(..8.min(tag.len())).unwrap_or_default().to_ascii_lowercase();
        match hidden {
            Some(closing) if tag.starts_with(closing) => hidden = None,
            Some(_) => continue,
            None if tag.starts_with("style") => hidden = Some("/style"),
            None if tag.starts_with("script") => hidden = Some("/script"),
            None => {}
        }
        if hidden.is_none() {
            out.push(' ');
            out.push_str(text);
        }
    }
    for (entity, c) in [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        out = out.replace(entity, c);
    }
    out
}
