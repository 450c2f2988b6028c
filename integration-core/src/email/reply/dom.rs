//! An HTML body as a flat list of nodes: tolerant, linear, and never recursive.

use std::collections::HashMap;

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
        let mut rest = self.source.get(self.name.len() + 1..)?;
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == '/');
            let end = rest.find(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '=' | '>' | '/'))?;
            let (name, after) = rest.split_at(end.max(usize::from(rest.starts_with('='))));
            if name.is_empty() {
                return None;
            }
            let after = after.trim_start();
            let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
                rest = after;
                continue;
            };
            let (value, after) = match value.chars().next()? {
                quote @ ('"' | '\'') => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
                _ => value.split_at(
                    value.find(|letter: char| letter.is_ascii_whitespace() || letter == '>').unwrap_or(value.len()),
                ),
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(value);
            }
            rest = after;
        }
    }
}

const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];
/// Elements whose content is no visible text.
const HIDDEN: [&str; 8] = ["style", "title", "script", "template", "textarea", "svg", "math", "select"];

/// Elements that begin and end a line.
pub(super) const BLOCKS: [&str; 34] = [
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

pub(super) fn read(html: &str) -> Vec<Node<'_>> {
    let mut reader = Reader::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
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
    names: HashMap<String, usize>,
    /// How many elements of each name are open.
    counts: Vec<usize>,
    /// How many `pre` are open.
    kept: usize,
}

impl<'a> Reader<'a> {
    fn text(&mut self, text: &'a str) {
        // Within `pre` each line is a node, for lines have different authors.
        let pieces = if self.kept > 0 { text.split_inclusive('\n').collect() } else { vec![text] };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.push(Kind::Text, piece, "");
        }
    }

    fn push(&mut self, kind: Kind, source: &'a str, name: &'a str) {
        let end = self.nodes.len() + 1;
        self.nodes.push(Node { kind, source, name, end, kept: self.kept > 0 });
    }

    /// Takes the markup at the beginning of `text` and returns what follows it.
    fn markup(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let inside = &text[1..];
        let (closing, named) = inside.strip_prefix('/').map_or((false, inside), |named| (true, named));
        let first = named.bytes().next().unwrap_or(b' ');
        if !first.is_ascii_alphabetic() && !matches!(first, b'!' | b'?') {
            self.push(Kind::Text, &text[..1], "");
            return inside;
        }
        let stop = |letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>' | '<');
        let name_end = named.find(stop).unwrap_or(named.len());
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
        if HIDDEN.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
            return if alone { after } else { after_end(after, name) };
        }
        if VOID.iter().any(|void| void.eq_ignore_ascii_case(name)) {
            self.push(Kind::Void, source, name);
            return after;
        }
        self.start(source, name);
        after
    }

    fn number(&mut self, name: &str) -> usize {
        let next = self.names.len();
        let number = *self.names.entry(name.to_ascii_lowercase()).or_insert(next);
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
            let implied = open.is("p") && BLOCKS.iter().any(|block| name.eq_ignore_ascii_case(block))
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
        let Some(&number) = self.names.get(&name.to_ascii_lowercase()) else { return };
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

/// The document's part made of the chosen leaves: their elements around them, every one closed.
///
/// `chosen` says for each node whether it is a leaf of the part.
pub(super) fn write(nodes: &[Node<'_>], chosen: &[bool]) -> String {
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
