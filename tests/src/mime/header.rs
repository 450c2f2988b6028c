//! Header blocks, encoded words and addresses.

use super::{charset, encoding};

/// Encoded words are short by the standard; a longer one is not looked for.
const MAX_WORD: usize = 2_000;
/// Headers whose decoded names need quotes to stay one name.
const ADDRESS_HEADERS: [&str; 7] = ["from", "to", "cc", "bcc", "reply-to", "sender", "resent-to"];

/// One header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// The name as it was written.
    pub name: String,
    /// The value on one line, encoded words still encoded.
    pub raw: String,
    /// The value on one line, encoded words decoded.
    pub value: String,
}

/// The headers of a block and where the body after it begins.
///
/// A line that is no header ends the block and is the first of the body, except for a mailbox-file `From ` line
/// at the very beginning.
pub fn parse_headers(raw: &[u8]) -> (Vec<Header>, usize) {
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let end = raw[at..].iter().position(|b| *b == b'\n').map_or(raw.len(), |n| at + n + 1);
        let line = trim_line_end(&raw[at..end]);
        if line.is_empty() {
            return (finish(headers), end);
        }
        if matches!(line[0], b' ' | b'\t') {
            if let Some((_, value)) = headers.last_mut() {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some((name, value)) = name_and_value(line) {
            headers.push((name, value.trim_ascii().to_vec()));
        } else if !(at == 0 && (line.starts_with(b"From ") || line.starts_with(b">From "))) {
            return (finish(headers), at);
        }
        at = end;
    }
    (finish(headers), raw.len())
}

fn finish(headers: Vec<(String, Vec<u8>)>) -> Vec<Header> {
    let decode = |(name, bytes): (String, Vec<u8>)| {
        let raw = charset::unlabelled(&bytes).trim().to_owned();
        let address = ADDRESS_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let value = decode_with(&raw, address);
        Header { name, raw, value }
    };
    headers.into_iter().map(decode).collect()
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn name_and_value(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = line[..colon].trim_ascii_end();
    let fits = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
    fits.then(|| (String::from_utf8_lossy(name).into_owned(), &line[colon + 1..]))
}

/// Decodes the encoded words of RFC 2047; text without any comes back unchanged.
pub fn decode_words(text: &str) -> String {
    decode_with(text, false)
}

fn decode_with(text: &str, address: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut pending: Option<(String, Vec<u8>)> = None;
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("=?") {
        let (before, from) = rest.split_at(found);
        let Some((label, bytes, length)) = word(from) else {
            close(&mut out, &mut pending, &mut decoded, address && !quoted);
            quoted ^= before.matches('"').count() % 2 == 1;
            out.push_str(before);
            out.push_str("=?");
            rest = &from[2..];
            continue;
        };
        let adjacent = before.trim().is_empty() && pending.is_some();
        if !adjacent {
            close(&mut out, &mut pending, &mut decoded, address && !quoted);
            quoted ^= before.matches('"').count() % 2 == 1;
            out.push_str(before);
        }
        match &mut pending {
            // A character may be cut in two by neighbouring words of the same character set.
            Some((known, held)) if *known == label => held.extend_from_slice(&bytes),
            _ => {
                settle(&mut pending, &mut decoded);
                pending = Some((label, bytes));
            }
        }
        rest = &from[length..];
    }
    close(&mut out, &mut pending, &mut decoded, address && !quoted);
    out.push_str(rest);
    out
}

fn settle(pending: &mut Option<(String, Vec<u8>)>, decoded: &mut String) {
    if let Some((label, bytes)) = pending.take() {
        decoded.push_str(&charset::decode(&label, &bytes).unwrap_or_else(|| charset::unlabelled(&bytes)));
    }
}

fn close(out: &mut String, pending: &mut Option<(String, Vec<u8>)>, decoded: &mut String, quote: bool) {
    settle(pending, decoded);
    let text: String = decoded.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }).collect();
    decoded.clear();
    if quote && text.contains(['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"']) {
        out.push('"');
        out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
        out.push('"');
    } else {
        out.push_str(&text);
    }
}

/// The encoded word at the beginning: character set, bytes, and how much text it took.
fn word(text: &str) -> Option<(String, Vec<u8>, usize)> {
    let bytes = text.as_bytes();
    let limit = bytes.len().min(MAX_WORD);
    let label_end = 2 + bytes[2..limit].iter().take(60).position(|b| *b == b'?')?;
    let label = std::str::from_utf8(&bytes[2..label_end]).ok()?;
    let label = label.split('*').next().filter(|l| !l.is_empty() && !l.contains(' '))?.to_ascii_lowercase();
    let kind = bytes.get(label_end + 1)?.to_ascii_lowercase();
    if bytes.get(label_end + 2) != Some(&b'?') || !matches!(kind, b'b' | b'q') {
        return None;
    }
    let start = label_end + 3;
    let length = bytes.get(start..limit)?.windows(2).position(|pair| pair == b"?=")?;
    let content = &bytes[start..start + length];
    let decoded = if kind == b'b' { encoding::base64(content) } else { encoding::quoted_printable(content, true) };
    Some((label, decoded, start + length + 2))
}

/// The addresses in a header value, lower case: what stands in angle brackets, or a bare word with an `@`.
pub fn addresses(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut item = String::new();
    let (mut quoted, mut escaped, mut angle) = (false, false, None::<String>);
    for c in value.chars().chain([',']) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => angle = Some(String::new()),
            '>' => {
                item = angle.take().unwrap_or_default();
                push_address(&mut found, &mut item);
            }
            ',' | ';' if angle.is_none() => push_address(&mut found, &mut item),
            _ => angle.as_mut().unwrap_or(&mut item).push(c),
        }
    }
    found
}

fn push_address(found: &mut Vec<String>, item: &mut String) {
    let bare = item.split_whitespace().find(|w| w.contains('@')).unwrap_or_default();
    let bare = bare.rsplit(':').next().unwrap_or_default().trim_matches(['(', ')', '\'']);
    if bare.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty()) {
        found.push(bare.to_lowercase());
    }
    item.clear();
}
