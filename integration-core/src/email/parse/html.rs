//! HTML to text, in linear time.
//!
//! The layout is `html2text`'s. Before it sees the document, a pass over the bytes leaves of it only what matters for
//! plain text: balanced block elements without attributes, nested no deeper than any real mail. What makes layout
//! engines slow (deep nesting, unclosed formatting elements, wide rulers) is gone by then.

use super::{cut, without_nul};

/// How much HTML is converted, in bytes.
const MAX_HTML: usize = 1024 * 1024;
/// Open elements at a time; deeper ones are passed over, their text stays.
const MAX_OPEN: usize = 500;
/// Open elements that indent their lines: each costs every line within it a few bytes.
const MAX_INDENT: usize = 20;
const SNIPPET_CHARS: usize = 200;

/// Elements that shape plain text. All others disappear, their text stays.
const BLOCKS: [&str; 29] = [
    "blockquote",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "li",
    "p",
    "div",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "td",
    "th",
    "pre",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "section",
    "article",
    "header",
    "footer",
    "center",
    "address",
];
/// Elements whose content is no text.
const SILENT: [&str; 8] = ["script", "style", "title", "template", "textarea", "svg", "math", "select"];

/// The text a person sees of an HTML body; of its first megabyte.
#[must_use]
pub fn html_to_text(html: &str) -> String {
    let html = cut(html, MAX_HTML);
    let plain = Simplifier::default().run(html);
    let rendered = super::contained(|| {
        html2text::config::plain_no_decorate()
            .raw_mode(true)
            .no_link_wrapping()
            .allow_width_overflow()
            // Wider than any line, so that nothing is wrapped.
            .string_from_read(plain.as_bytes(), MAX_HTML)
            .ok()
    });
    tidy(&without_nul(rendered.flatten().unwrap_or_else(|| bare(&plain))))
}

/// A short beginning of `text` on one line, at most 200 characters.
#[must_use]
pub fn snippet(text: &str) -> String {
    // Newsletters fill their preview with invisible characters.
    let invisible = |letter: &char| {
        matches!(letter, '\u{34f}' | '\u{ad}' | '\u{200b}' | '\u{200c}' | '\u{2007}' | '\u{2060}' | '\u{feff}')
    };
    let mut line = String::new();
    let (mut count, mut gap) = (0, false);
    for letter in text.chars().filter(|letter| !invisible(letter)) {
        if letter.is_whitespace() || letter.is_control() {
            gap = count > 0;
            continue;
        }
        if count + usize::from(gap) >= SNIPPET_CHARS {
            break;
        }
        if std::mem::take(&mut gap) {
            line.push(' ');
            count += 1;
        }
        line.push(letter);
        count += 1;
    }
    line
}

/// No blanks at line ends, at most one empty line in a row, none at the ends.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !tidy.is_empty() {
            tidy.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        tidy.push_str(line);
    }
    tidy
}

/// The text between the tags, should the layout fail.
fn bare(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, after)| after));
        text.push('\n');
    }
    html_escape::decode_html_entities(&text).into_owned()
}

#[derive(Default)]
struct Simplifier {
    out: String,
    /// Open elements, as positions in [`BLOCKS`].
    open: Vec<usize>,
    /// How many of each are open.
    counts: [usize; BLOCKS.len()],
    indent: usize,
    /// Elements that were passed over and are not closed yet.
    passed: usize,
}

impl Simplifier {
    fn run(mut self, html: &str) -> String {
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            self.out.push_str(&rest[..at]);
            rest = self.markup(&rest[at..]);
        }
        self.out.push_str(rest);
        while let Some(block) = self.open.pop() {
            self.write_end(block);
        }
        self.out
    }

    /// Takes the markup at the beginning of `text` ("<…") and returns what follows it.
    fn markup<'a>(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let inside = &text[1..];
        let (closing, named) = inside.strip_prefix('/').map_or((false, inside), |named| (true, named));
        let first = named.bytes().next().unwrap_or(b' ');
        if !first.is_ascii_alphabetic() && !matches!(first, b'!' | b'?') {
            self.out.push_str("&lt;");
            return inside;
        }
        let Some(end) = tag_end(named) else { return "" };
        let after = &named[end + 1..];
        let name_end = named.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(end).min(end);
        let name = named[..name_end].to_ascii_lowercase();
        if SILENT.contains(&name.as_str()) {
            // A closing tag without its beginning, and `<svg/>`, have no content.
            let alone = closing || named[..end].ends_with('/');
            return if alone { after } else { after_end(after, &name) };
        }
        match (BLOCKS.iter().position(|&block| block == name), closing) {
            (Some(block), true) => self.end(block),
            (Some(block), false) => self.start(block),
            (None, _) if matches!(name.as_str(), "br" | "hr") => self.out.push_str("<br>"),
            (None, _) => {}
        }
        after
    }

    fn start(&mut self, block: usize) {
        self.close_implied(block);
        let indents = indents(block);
        if self.open.len() >= MAX_OPEN || indents && self.indent >= MAX_INDENT {
            self.passed += 1;
            return;
        }
        self.open.push(block);
        self.counts[block] += 1;
        self.indent += usize::from(indents);
        self.out.push('<');
        self.out.push_str(written(block));
        self.out.push('>');
    }

    fn end(&mut self, block: usize) {
        if self.passed > 0 {
            self.passed -= 1;
            return;
        }
        // Only an element that is open is looked for, so the search costs no more than what it closes.
        while self.counts[block] > 0
            && let Some(top) = self.open.pop()
        {
            self.write_end(top);
            if top == block {
                return;
            }
        }
    }

    /// Ends that HTML lets people leave out.
    fn close_implied(&mut self, block: usize) {
        while let Some(&top) = self.open.last() {
            let implied = matches!(
                (BLOCKS[top], BLOCKS[block]),
                ("p", _)
                    | ("li", "li")
                    | ("dt" | "dd", "dt" | "dd")
                    | ("td" | "th", "td" | "th" | "tr" | "tbody" | "tfoot")
                    | ("tr", "tr" | "tbody" | "tfoot")
                    | ("thead" | "tbody", "tbody" | "tfoot")
            );
            if !implied {
                return;
            }
            self.open.pop();
            self.write_end(top);
            // A cell ends at the next cell, but a row within a cell's inner table does not end the outer one.
            if matches!(BLOCKS[block], "li" | "td" | "th") && BLOCKS[top] != "p" {
                return;
            }
        }
    }

    fn write_end(&mut self, block: usize) {
        self.counts[block] -= 1;
        self.indent -= usize::from(indents(block));
        self.out.push_str("</");
        self.out.push_str(written(block));
        self.out.push('>');
    }
}

fn indents(block: usize) -> bool {
    matches!(BLOCKS[block], "blockquote" | "ul" | "ol" | "dl" | "dd")
}

/// Headings would be written with `#`: in plain text they are paragraphs.
fn written(block: usize) -> &'static str {
    match BLOCKS[block] {
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => "p",
        "section" | "article" | "header" | "footer" | "center" | "address" => "div",
        name => name,
    }
}

/// The position of the `>` that ends a tag; one within quotes does not.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    let mut value = false;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') if value => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        // A quote counts only at the beginning of a value.
        value = byte == b'=' || value && byte.is_ascii_whitespace();
    }
    // The quote was never closed: then it was none.
    quote.and_then(|_| tag.find('>'))
}

/// What follows the end tag of `name`.
fn after_end<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}
