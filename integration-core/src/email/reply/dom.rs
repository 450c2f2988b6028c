//! An HTML body as a flat list of nodes: tolerant, linear, and never recursive.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use super::table::{Table, alone};
use crate::email::parse::{after_comment, after_end, tag_end};

/// What a node is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Element,
    Text,
    /// An element without content.
    Void,
}

/// A node, in the order of the document. Its descendants follow it up to `end`.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) kind: Kind,
    /// The text, or the opening tag with its brackets.
    pub(super) source: &'a str,
    /// The element's name as written.
    pub(super) name: &'a str,
    /// The first node that is no descendant.
    pub(super) end: usize,
    /// White space counts (within `pre`).
    pub(super) kept: bool,
    /// It begins and ends a line.
    pub(super) block: bool,
}

impl Node<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }

    /// The value of an attribute, without its quotes.
    pub(super) fn attribute(&self, wanted: &str) -> Option<&str> {
        self.attributes().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    }

    /// All attributes that have a value: name and value without its quotes.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.source.get(self.name.len() + 1..).unwrap_or_default();
        std::iter::from_fn(move || {
            loop {
                rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == '/');
                let stops = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>' | b'/');
                let end = rest.as_bytes().iter().position(stops)?;
                let (name, after) = rest.split_at(end.max(usize::from(rest.starts_with('='))));
                if name.is_empty() {
                    return None;
                }
                let after = after.trim_start();
                let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
                    rest = after;
                    continue;
                };
                let (value, after) = match value.as_bytes().first()? {
                    quote @ (b'"' | b'\'') => memchr::memchr(*quote, &value.as_bytes()[1..])
                        .map_or((&value[1..], ""), |end| (&value[1..=end], &value[end + 2..])),
                    _ => value.split_at(
                        value.find(|letter: char| letter.is_ascii_whitespace() || letter == '>').unwrap_or(value.len()),
                    ),
                };
                rest = after;
                return Some((name, value));
            }
        })
    }
}

const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];
static VOIDS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&VOID)));
/// Elements whose content is no visible text.
const HIDDEN: [&str; 8] = ["style", "title", "script", "template", "textarea", "svg", "math", "select"];

/// Elements that begin and end a line.
const BLOCKS: [&str; 34] = [
    "address",
    "article",
    "blockquote",
    "body",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "html",
    "includetail",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];

static BLOCK: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&BLOCKS)));

pub(super) fn read(html: &str) -> Vec<Node<'_>> {
    let mut reader = Reader::default();
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        reader.text(&rest[..at]);
        rest = reader.markup(&rest[at..]);
    }
    reader.text(rest);
    reader.close_all();
    reader.nodes
}

#[derive(Default)]
struct Reader<'a> {
    nodes: Vec<Node<'a>>,
    /// Open elements: their node and the number of their name.
    open: Vec<(usize, usize)>,
    names: HashMap<Cow<'a, str>, usize>,
    /// How many elements of each name are open.
    counts: Vec<usize>,
    /// How many `pre` are open.
    kept: usize,
    /// Hidden elements that are known to have no end: they are not searched for again.
    endless: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn text(&mut self, text: &'a str) {
        // Within `pre` each line is a node, for lines have different authors.
        if self.kept > 0 {
            text.split_inclusive('\n').for_each(|piece| self.push(Kind::Text, piece, ""));
        } else if !text.is_empty() {
            self.push(Kind::Text, text, "");
        }
    }

    fn push(&mut self, kind: Kind, source: &'a str, name: &'a str) {
        let end = self.nodes.len() + 1;
        let block = kind == Kind::Element && BLOCK.holds_name(name);
        self.nodes.push(Node { kind, source, name, end, block, kept: self.kept > 0 });
    }

    /// Takes the markup at the beginning of `text` and returns what follows it.
    fn markup(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("<!--") {
            return after_comment(comment);
        }
        let inside = &text[1..];
        let (closing, named) = inside.strip_prefix('/').map_or((false, inside), |named| (true, named));
        let first = named.bytes().next().unwrap_or(b' ');
        if !first.is_ascii_alphabetic() && !matches!(first, b'!' | b'?') {
            self.push(Kind::Text, &text[..1], "");
            return inside;
        }
        let stop = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'<');
        let name_end = named.as_bytes().iter().position(stop).unwrap_or(named.len());
        if named[name_end..].starts_with('<') {
            // "a<b" is no tag.
            self.push(Kind::Text, &text[..1], "");
            return inside;
        }
        let Some(end) = tag_end(named) else { return "" };
        let after = &named[end + 1..];
        let name = &named[..name_end.min(end)];
        if matches!(first, b'!' | b'?') {
            return after;
        }
        if closing {
            self.end(name);
            return after;
        }
        let source = &text[..end + 2];
        let alone = named[..end].ends_with('/');
        if let Some(hidden) = HIDDEN.iter().find(|hidden| hidden.eq_ignore_ascii_case(name)) {
            return if alone { after } else { self.after_hidden(hidden, after) };
        }
        if VOIDS.holds_name(name) {
            self.push(Kind::Void, source, name);
            return after;
        }
        self.start(source, name);
        after
    }

    fn after_hidden(&mut self, name: &'static str, after: &'a str) -> &'a str {
        if self.endless.contains(&name) {
            return after;
        }
        match after_end(after, name) {
            Some(rest) => rest,
            // As where the text is made: an unclosed title should not cost a whole message.
            None if matches!(name, "script" | "style") => "",
            None => {
                self.endless.push(name);
                after
            }
        }
    }

    fn number(&mut self, name: &'a str) -> usize {
        let next = self.names.len();
        let number = *self.names.entry(lower(name)).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }

    fn start(&mut self, source: &'a str, name: &'a str) {
        self.close_implied(name);
        let number = self.number(name);
        self.open.push((self.nodes.len(), number));
        self.counts[number] += 1;
        self.push(Kind::Element, source, name);
        self.kept += usize::from(name.eq_ignore_ascii_case("pre"));
    }

    /// Ends that HTML lets people leave out.
    fn close_implied(&mut self, name: &str) {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        while let Some(&(top, _)) = self.open.last() {
            let open = &self.nodes[top];
            let implied = open.is("p") && BLOCK.holds_name(name)
                || open.is("li") && is(&["li"])
                || open.is_any(&["dt", "dd"]) && is(&["dt", "dd"])
                || open.is_any(&["td", "th"]) && is(&["td", "th", "tr", "tbody", "tfoot"])
                || open.is("tr") && is(&["tr", "tbody", "tfoot"])
                || open.is_any(&["thead", "tbody"]) && is(&["tbody", "tfoot"])
                || open.is("option") && is(&["option"]);
            let again = !open.is("p") && is(&["li", "td", "th"]);
            if !implied {
                return;
            }
            self.pop();
            if again {
                return;
            }
        }
    }

    fn end(&mut self, name: &str) {
        let Some(&number) = self.names.get(&lower(name)) else { return };
        // Only an element that is open is looked for, so the search costs no more than what it closes.
        while self.counts[number] > 0
            && let Some((_, closed)) = self.pop()
        {
            if closed == number {
                return;
            }
        }
    }

    fn pop(&mut self) -> Option<(usize, usize)> {
        let (node, number) = self.open.pop()?;
        self.counts[number] -= 1;
        self.nodes[node].end = self.nodes.len();
        self.kept -= usize::from(self.nodes[node].is("pre"));
        Some((node, number))
    }

    fn close_all(&mut self) {
        while self.pop().is_some() {}
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

/// The document's part made of the chosen leaves: their elements around them, every one closed.
///
/// `chosen` says for each node whether it is a leaf of the part.
pub(super) fn write(nodes: &[Node<'_>], chosen: &[bool]) -> String {
    if !chosen.contains(&true) {
        return String::new();
    }
    let mut before = Vec::with_capacity(nodes.len() + 1);
    let mut count = 0_usize;
    for (node, chosen) in nodes.iter().zip(chosen) {
        before.push(count);
        let counts = *chosen && (node.kind == Kind::Void || node.kind == Kind::Text && !node.source.trim().is_empty());
        count += usize::from(counts);
    }
    before.push(count);
    let mut html = String::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        close(nodes, &mut open, at, &mut html);
        let node = &nodes[at];
        if node.kind != Kind::Element {
            match node.kind {
                _ if !chosen[at] => {}
                Kind::Void => start(node, &mut html),
                _ => html.push_str(if node.source == "<" { "&lt;" } else { node.source }),
            }
            at += 1;
            continue;
        }
        let cell = node.is_any(&["td", "th"]) && node.end == at + 1;
        if before[node.end] > before[at] || cell && open.last().is_some_and(|&row| before[nodes[row].end] > before[row])
        {
            start(node, &mut html);
            open.push(at);
            at += 1;
        } else {
            at = node.end;
        }
    }
    close(nodes, &mut open, nodes.len(), &mut html);
    html
}

/// An opening tag. One that swallowed the beginning of another is written without its attributes.
fn start(node: &Node<'_>, html: &mut String) {
    let bare = node.source.strip_suffix("/>");
    if node.source[1..].contains('<') {
        html.push('<');
        html.push_str(node.name);
        html.push('>');
    } else {
        html.push_str(bare.unwrap_or(node.source));
        html.push_str(if bare.is_some() { ">" } else { "" });
    }
}

fn close(nodes: &[Node<'_>], open: &mut Vec<usize>, at: usize, html: &mut String) {
    while let Some(&top) = open.last()
        && nodes[top].end <= at
    {
        html.push_str("</");
        html.push_str(nodes[top].name);
        html.push('>');
        open.pop();
    }
}
