//! A message as the service keeps it: one body, addresses, attachments.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::html;
use super::ids::checksum;
use crate::mime::{self, Encoding, Header, Part};

/// Headers that a message gets anew whenever it is written.
const WRITTEN: [&str; 14] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
];

/// Somebody with an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) address: String,
}

impl Party {
    pub(super) fn shown(&self) -> Value {
        let name = if self.name.is_empty() { &self.address } else { &self.name };
        json!({"emailAddress": {"name": name, "address": self.address}})
    }
}

/// The one body that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    Html(String),
    Text(String),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Body {
    /// As HTML: a text is put into a page.
    pub(super) fn html(&self) -> String {
        match self {
            Self::Html(html) => html.clone(),
            Self::Text(text) => html::from_text(text),
        }
    }

    /// As text: what a page says.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Html(html) => html::to_text(html),
            Self::Text(text) => text.clone(),
        }
    }
}

/// What hangs on a message.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) content_id: Option<String>,
    pub(super) inline: bool,
    pub(super) kind: AttachmentKind,
    pub(super) content: Content,
}

/// Bytes that are decoded when somebody asks for them: most lists do not.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    encoding: Encoding,
    encoded: Bytes,
}

impl Content {
    pub(super) fn bytes(&self) -> Bytes {
        match self.encoding {
            Encoding::Identity => self.encoded.clone(),
            encoding => Bytes::from(encoding.decode(&self.encoded).into_owned()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.encoding.decoded_len(&self.encoded)
    }
}

impl From<Bytes> for Content {
    fn from(encoded: Bytes) -> Self {
        Self { encoding: Encoding::Identity, encoded }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AttachmentKind {
    File,
    /// A message, in `content` as it was written.
    Item,
    Reference,
}

/// The whole message.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    pub(super) from: Option<Party>,
    pub(super) sender: Option<Party>,
    pub(super) to: Vec<Party>,
    pub(super) cc: Vec<Party>,
    pub(super) bcc: Vec<Party>,
    pub(super) reply_to: Vec<Party>,
    pub(super) subject: String,
    pub(super) date: Option<DateTime<Utc>>,
    /// With angle brackets.
    pub(super) message_id: String,
    pub(super) body: Body,
    pub(super) attachments: Vec<Attachment>,
    /// All headers as they came, decoded.
    pub(super) headers: Vec<(String, String)>,
    /// Method and text of a calendar part.
    pub(super) calendar: Option<(String, String)>,
}

impl Mail {
    /// Reads a raw message.
    pub(super) fn read(raw: &Bytes) -> Self {
        let root = mime::parse(raw);
        let value = |name: &str| root.header(name).unwrap_or_default();
        let parties = |name: &str| all(&root.headers, name).flat_map(|h| parties(&h.value)).collect::<Vec<_>>();
        let mut mail = Self {
            from: parties("from").into_iter().next(),
            sender: parties("sender").into_iter().next(),
            to: parties("to"),
            cc: parties("cc"),
            bcc: parties("bcc"),
            reply_to: parties("reply-to"),
            subject: value("subject").to_owned(),
            date: date(value("date")),
            message_id: value("message-id").trim().to_owned(),
            headers: root.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
            ..Self::default()
        };
        Reader { mail: &mut mail, text: None, html: None }.read(&root);
        mail
    }

    /// The first header of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Headers that are kept when the message is written again.
    pub(super) fn other_headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.headers.iter().filter(|(name, _)| !WRITTEN.iter().any(|written| name.eq_ignore_ascii_case(written)))
    }

    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Everybody the message goes to, lower case, each once.
    pub(super) fn recipients(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for party in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            let address = party.address.to_lowercase();
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found
    }
}

/// Walks the parts of a message.
struct Reader<'a> {
    mail: &'a mut Mail,
    text: Option<String>,
    html: Option<String>,
}

impl Reader<'_> {
    fn read(mut self, root: &Part) {
        self.walk(root, false);
        self.mail.body = match (self.html, self.text) {
            // Of several forms of one text the service keeps the richest.
            (Some(html), _) => Body::Html(html),
            (None, text) => Body::Text(text.unwrap_or_default()),
        };
    }

    fn walk(&mut self, part: &Part, related: bool) {
        if part.is_multipart() {
            let related = part.mime_type == "multipart/related";
            part.children.iter().for_each(|child| self.walk(child, related));
        } else if !self.takes_as_body(part) {
            let attachment = attachment(part, related, self.mail.attachments.len());
            self.mail.attachments.push(attachment);
        }
    }

    fn takes_as_body(&mut self, part: &Part) -> bool {
        if part.is_attachment() {
            return false;
        }
        let slot = match part.mime_type.as_str() {
            "text/plain" => &mut self.text,
            "text/html" => &mut self.html,
            "text/calendar" if self.mail.calendar.is_none() => {
                let method = part.params.get("method").cloned().unwrap_or_default();
                self.mail.calendar = Some((method.to_uppercase(), text(part)));
                return true;
            }
            _ => return false,
        };
        if slot.is_some() {
            return false;
        }
        *slot = Some(text(part));
        true
    }
}

fn text(part: &Part) -> String {
    part.text().unwrap_or_else(|| String::from_utf8_lossy(&part.decoded()).into_owned())
}

fn attachment(part: &Part, related: bool, position: usize) -> Attachment {
    let content_id = part.header("content-id").map(|id| id.trim().trim_matches(['<', '>']).to_owned());
    let disposed = part.disposition.as_ref().map(|d| d.value.as_str());
    let inline = content_id.is_some() && (disposed == Some("inline") || (related && disposed != Some("attachment")));
    let content = Content { encoding: part.encoding, encoded: part.body.clone() };
    if part.mime_type == "message/rfc822" && !part.children.is_empty() {
        let subject = part.children[0].header("subject").unwrap_or("Untitled").to_owned();
        let content_type = "message/rfc822".to_owned();
        return Attachment { name: subject, content_type, content_id, inline, kind: AttachmentKind::Item, content };
    }
    let name = match part.file_name() {
        "" => format!("ATT{:05}{}", position + 1, ending(&part.mime_type)),
        name => name.to_owned(),
    };
    let content_type = part.mime_type.clone();
    Attachment { name, content_type, content_id, inline, kind: AttachmentKind::File, content }
}

fn ending(mime_type: &str) -> &'static str {
    match mime_type {
        "text/plain" => ".txt",
        "text/html" => ".htm",
        _ => ".dat",
    }
}

impl Attachment {
    /// Tells it from the others of its message; `same` counts equal ones before it.
    pub(super) fn number(&self, same: usize) -> u64 {
        let id = self.content_id.as_deref().unwrap_or_default();
        let text = format!("{}\0{id}\0{}\0{}\0{same}", self.name, self.content.len(), self.content_type);
        checksum(text.as_bytes())
    }
}

/// Numbers all attachments of a message.
pub(super) fn numbered(attachments: &[Attachment]) -> Vec<(u64, &Attachment)> {
    let mut found: Vec<(u64, &Attachment)> = Vec::new();
    for one in attachments {
        let mut same = 0;
        let mut number = one.number(same);
        while found.iter().any(|(known, _)| *known == number) {
            same += 1;
            number = one.number(same);
        }
        found.push((number, one));
    }
    found
}

fn all<'a>(headers: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a Header> {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name))
}

/// The people in an address header, with their names.
pub(super) fn parties(value: &str) -> Vec<Party> {
    pieces(value).iter().filter_map(|piece| party(piece)).collect()
}

/// Splits at commas and semicolons outside quotes and angle brackets; the name of a group is dropped.
fn pieces(value: &str) -> Vec<String> {
    let (mut found, mut one) = (Vec::new(), String::new());
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for c in value.chars().chain([',']) {
        let ends = matches!(c, ',' | ';') && !quoted && !angle;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ':' if !quoted && !angle => {
                one.clear();
                continue;
            }
            _ => {}
        }
        if ends {
            found.push(std::mem::take(&mut one));
        } else {
            one.push(c);
        }
    }
    // A quote that never ends would swallow everything.
    if !one.trim().is_empty() {
        found.push(one.trim_end_matches(',').to_owned());
    }
    found
}

fn party(piece: &str) -> Option<Party> {
    let lower = mime::addresses(piece).into_iter().next()?;
    // As it was written: only the comparison is without regard to case.
    let at = piece.to_ascii_lowercase().find(&lower.to_ascii_lowercase());
    let address = at.and_then(|at| piece.get(at..at + lower.len())).map_or(lower.clone(), str::to_owned);
    let name = match piece.rfind('<') {
        Some(at) => unquoted(piece[..at].trim()),
        None => String::new(),
    };
    Some(Party { name, address })
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// The instant of a `Date` header.
pub(super) fn date(value: &str) -> Option<DateTime<Utc>> {
    let bare = value.split('(').next().unwrap_or_default().trim();
    let date = DateTime::parse_from_rfc2822(bare).ok()?.with_timezone(&Utc);
    (date.timestamp() > 0).then_some(date)
}

/// The ids of messages in a header, with angle brackets.
pub(super) fn message_ids(value: &str) -> Vec<String> {
    let words = value.split(|c: char| c.is_whitespace() || c == ',' || c == '<' || c == '>');
    words.filter(|word| word.contains('@') && !word.contains('(')).map(|word| format!("<{word}>")).collect()
}
