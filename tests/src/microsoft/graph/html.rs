//! Bodies as pages and as text.

/// Elements that end a line.
const BLOCKS: [&str; 16] =
    ["address", "blockquote", "br", "dd", "div", "dt", "h1", "h2", "h3", "h4", "hr", "li", "p", "pre", "table", "tr"];
/// Elements whose content nobody sees.
const SILENT: [&str; 4] = ["head", "script", "style", "title"];
/// Elements that a sanitised page does not have, with their content.
const DROPPED: [&str; 4] = ["iframe", "object", "script", "form"];

/// A page that shows a text.
pub(super) fn from_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 200);
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\n' => shown.push_str("<br>\r\n"),
            c => shown.push(c),
        }
    }
    format!(
        "<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n</head><body>\
         <div class=\"PlainText\">{shown}</div></body></html>"
    )
}

/// What a page says, a line for each block.
pub(super) fn to_text(html: &str) -> String {
    let mut out = Lines::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.words(&rest[..at]);
        let Some((tag, after)) = tag(&rest[at..]) else {
            out.words("<");
            rest = &rest[at + 1..];
            continue;
        };
        rest = after;
        if let Some(name) = SILENT.iter().find(|name| tag.name == **name && !tag.closing) {
            rest = after_element(rest, name);
        } else if BLOCKS.contains(&tag.name.as_str()) {
            out.line(&tag);
        } else if tag.name == "td" && tag.closing {
            out.words(" ");
        }
    }
    out.words(rest);
    out.finish()
}

/// The page without what could act.
pub(super) fn sanitised(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let Some((tag, after)) = tag(&rest[at..]) else {
            out.push_str("&lt;");
            rest = &rest[at + 1..];
            continue;
        };
        if DROPPED.contains(&tag.name.as_str()) {
            rest = if tag.closing { after } else { after_element(after, &tag.name) };
            continue;
        }
        out.push_str(&without_actions(&rest[at..rest.len() - after.len()]));
        rest = after;
    }
    out.push_str(rest);
    out
}

struct Tag {
    name: String,
    closing: bool,
}

/// The tag at the beginning, and what follows it; comments are tags without a name.
fn tag(text: &str) -> Option<(Tag, &str)> {
    if let Some(comment) = text.strip_prefix("<!--") {
        let end = comment.find("-->").map_or(comment.len(), |at| at + 3);
        return Some((Tag { name: String::new(), closing: false }, &comment[end..]));
    }
    let end = end_of_tag(text)?;
    let inner = &text[1..end];
    let closing = inner.starts_with('/');
    let name: String = inner.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let declaration = inner.starts_with(['!', '?']);
    (declaration || !name.is_empty()).then(|| (Tag { name: name.to_lowercase(), closing }, &text[end + 1..]))
}

/// Where the `>` stands that is in no quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') if text[..at].trim_end().ends_with('=') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    // Quotes that do not end: the first `>` ends the tag after all.
    text.find('>')
}

/// What follows the end of an element whose content is passed over.
fn after_element<'a>(text: &'a str, name: &str) -> &'a str {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.find(&format!("</{name}")) else { return "" };
    text[at..].find('>').map_or("", |end| &text[at + end + 1..])
}

/// A tag without handlers and addresses that are scripts.
fn without_actions(tag: &str) -> String {
    let lower = tag.to_ascii_lowercase();
    if !lower.contains(" on") && !lower.contains("javascript:") {
        return tag.to_owned();
    }
    let name_end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let body = tag[name_end..].trim_end_matches('>');
    let kept = attributes(body).into_iter().filter(|attribute| {
        let lower = attribute.to_ascii_lowercase();
        !lower.starts_with("on") && !lower.replace(char::is_whitespace, "").contains("javascript:")
    });
    let mut out = tag[..name_end].to_owned();
    kept.for_each(|attribute| out.push_str(&format!(" {attribute}")));
    out.push('>');
    out
}

fn attributes(text: &str) -> Vec<String> {
    let (mut found, mut one, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars().chain([' ']) {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !one.is_empty() {
                    found.push(std::mem::take(&mut one));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        one.push(c);
    }
    found.extend((!one.trim().is_empty()).then(|| one.trim().to_owned()));
    found
}

/// Text in lines, spaces joined.
#[derive(Default)]
struct Lines {
    out: String,
    space: bool,
}

impl Lines {
    fn words(&mut self, text: &str) {
        for c in entities(text).chars() {
            if c.is_whitespace() && c != '\u{a0}' {
                self.space = true;
                continue;
            }
            if self.space && !self.out.is_empty() && !self.out.ends_with('\n') {
                self.out.push(' ');
            }
            self.space = false;
            self.out.push(if c == '\u{a0}' { ' ' } else { c });
        }
    }

    fn line(&mut self, tag: &Tag) {
        let paragraph = tag.name == "p" && tag.closing;
        if tag.name == "br" || (!self.out.is_empty() && !self.out.ends_with('\n')) {
            self.out.push_str("\r\n");
        }
        if paragraph {
            self.out.push_str("\r\n");
        }
        self.space = false;
    }

    fn finish(self) -> String {
        let mut out = self.out;
        while out.contains("\r\n\r\n\r\n") {
            out = out.replace("\r\n\r\n\r\n", "\r\n\r\n");
        }
        out.trim().to_owned()
    }
}

/// The text with its character references resolved.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let end = tail.char_indices().take(12).find(|(_, c)| *c == ';').map(|(end, _)| end);
        match end.and_then(|end| entity(&tail[..end]).map(|c| (c, end))) {
            Some((c, end)) => {
                out.push(c);
                rest = &tail[end + 1..];
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "apos" => '\'',
        "copy" => '©',
        "euro" => '€',
        "gt" => '>',
        "hellip" => '…',
        "ldquo" => '“',
        "lt" => '<',
        "mdash" => '—',
        "nbsp" => '\u{a0}',
        "ndash" => '–',
        "quot" => '"',
        "rdquo" => '”',
        "rsquo" => '’',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        _ => return None,
    })
}

/// What stands in the body of a page; all of it, if it has none.
pub(super) fn inside(html: &str) -> &str {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<body").and_then(|at| Some(at + lower[at..].find('>')? + 1)).unwrap_or(0);
    let end = lower.rfind("</body").filter(|end| *end >= start).unwrap_or(html.len());
    &html[start..end]
}
