//! An HTML body as a flat list of nodes: tolerant, linear, and never recursive.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use crate::email::{
    parse::{after_comment, after_end, tag_end},
    table::Table,
};

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
    pub(super) tag: Tag,
    /// The first node that is no descendant.
    pub(super) end: usize,
    /// White space counts (within `pre`).
    pub(super) kept: bool,
    /// It begins and ends a line.
    pub(super) block: bool,
}

impl Node<'_> {
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

/// The elements whose name matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tag {
    Blockquote,
    Br,
    Cell,
    Definition,
    Div,
    Hr,
    Img,
    Item,
    List,
    Option,
    Other,
    P,
    Pre,
    Row,
    Table,
    Tbody,
    Tfoot,
    Thead,
}

/// What an element does to the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// It begins and ends a line.
    Block,
    /// Its content is no visible text.
    Hidden,
    Inline,
    /// It has no content.
    Void,
}

/// A name that is known.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Equal for one name only.
    number: usize,
    tag: Tag,
    role: Role,
}

#[rustfmt::skip]
const NAMES: [(&str, Tag, Role); 61] = [
    ("blockquote", Tag::Blockquote, Role::Block), ("div", Tag::Div, Role::Block), ("p", Tag::P, Role::Block),
    ("pre", Tag::Pre, Role::Block), ("table", Tag::Table, Role::Block), ("tbody", Tag::Tbody, Role::Block),
    ("tfoot", Tag::Tfoot, Role::Block), ("thead", Tag::Thead, Role::Block), ("tr", Tag::Row, Role::Block),
    ("li", Tag::Item, Role::Block), ("ul", Tag::List, Role::Block), ("ol", Tag::List, Role::Block),
    ("dd", Tag::Definition, Role::Block), ("dt", Tag::Definition, Role::Block),
    ("address", Tag::Other, Role::Block), ("article", Tag::Other, Role::Block), ("body", Tag::Other, Role::Block),
    ("center", Tag::Other, Role::Block), ("dl", Tag::Other, Role::Block), ("fieldset", Tag::Other, Role::Block),
    ("footer", Tag::Other, Role::Block), ("form", Tag::Other, Role::Block), ("h1", Tag::Other, Role::Block),
    ("h2", Tag::Other, Role::Block), ("h3", Tag::Other, Role::Block), ("h4", Tag::Other, Role::Block),
    ("h5", Tag::Other, Role::Block), ("h6", Tag::Other, Role::Block), ("header", Tag::Other, Role::Block),
    ("html", Tag::Other, Role::Block), ("includetail", Tag::Other, Role::Block), ("main", Tag::Other, Role::Block),
    ("nav", Tag::Other, Role::Block), ("section", Tag::Other, Role::Block),
    ("td", Tag::Cell, Role::Inline), ("th", Tag::Cell, Role::Inline), ("option", Tag::Option, Role::Inline),
    ("br", Tag::Br, Role::Void), ("hr", Tag::Hr, Role::Void), ("img", Tag::Img, Role::Void),
    ("area", Tag::Other, Role::Void), ("base", Tag::Other, Role::Void), ("col", Tag::Other, Role::Void),
    ("embed", Tag::Other, Role::Void), ("input", Tag::Other, Role::Void), ("link", Tag::Other, Role::Void),
    ("meta", Tag::Other, Role::Void), ("param", Tag::Other, Role::Void), ("source", Tag::Other, Role::Void),
    ("track", Tag::Other, Role::Void), ("wbr", Tag::Other, Role::Void),
    ("style", Tag::Other, Role::Hidden), ("title", Tag::Other, Role::Hidden), ("script", Tag::Other, Role::Hidden),
    ("template", Tag::Other, Role::Hidden), ("textarea", Tag::Other, Role::Hidden), ("svg", Tag::Other, Role::Hidden),
    ("math", Tag::Other, Role::Hidden), ("select", Tag::Other, Role::Hidden),
    // No line and no meaning, but frequent.
    ("span", Tag::Other, Role::Inline), ("font", Tag::Other, Role::Inline),
];

static KNOWN: LazyLock<Table<Known>> = LazyLock::new(|| {
    let known = NAMES.iter().enumerate();
    Table::of_beginnings(known.map(|(number, &(name, tag, role))| (name, Known { number, tag, role })))
});

pub(super) fn read(html: &str) -> Vec<Node<'_>> {
    let mut reader = Reader {
        nodes: Vec::with_capacity(html.len() / 48 + 4),
        open: Vec::new(),
        names: HashMap::new(),
        counts: vec![0; NAMES.len()],
        kept: 0,
        endless: Vec::new(),
    };
    let mut rest = html;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        reader.text(&rest[..at]);
        rest = reader.markup(&rest[at..]);
    }
    reader.text(rest);
    reader.close_all();
    reader.nodes
}

struct Reader<'a> {
    nodes: Vec<Node<'a>>,
    /// Open elements: their node and the number of their name.
    open: Vec<(usize, usize)>,
    /// The numbers of names that are not known.
    names: HashMap<Cow<'a, str>, usize>,
    /// How many elements of each number are open.
    counts: Vec<usize>,
    /// How many `pre` are open.
    kept: usize,
    /// Hidden elements that are known to have no end: they are not searched for again.
    endless: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn text(&mut self, text: &'a str) {
        // Within `pre` each line is a node, for lines have different authors.
        if self.kept > 0 {
            text.split_inclusive('\n').for_each(|piece| self.push_text(piece));
        } else if !text.is_empty() {
            self.push_text(text);
        }
    }

    fn push_text(&mut self, source: &'a str) {
        self.push(Kind::Text, source, ("", None));
    }

    fn push(&mut self, kind: Kind, source: &'a str, (name, known): (&'a str, Option<Known>)) {
        let end = self.nodes.len() + 1;
        let tag = known.map_or(Tag::Other, |known| known.tag);
        let block = known.is_some_and(|known| known.role == Role::Block);
        self.nodes.push(Node { kind, source, name, tag, end, block, kept: self.kept > 0 });
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
            self.push_text(&text[..1]);
            return inside;
        }
        let stop = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'<');
        let name_end = named.as_bytes().iter().position(stop).unwrap_or(named.len());
        if named[name_end..].starts_with('<') {
            // "a<b" is no tag.
            self.push_text(&text[..1]);
            return inside;
        }
        let Some(end) = tag_end(named) else { return "" };
        let after = &named[end + 1..];
        let name = &named[..name_end.min(end)];
        if matches!(first, b'!' | b'?') {
            return after;
        }
        let known = KNOWN.named(name);
        if closing {
            self.end(name, known);
            return after;
        }
        let source = &text[..end + 2];
        match known {
            Some(Known { role: Role::Hidden, .. }) if named[..end].ends_with('/') => after,
            Some(Known { role: Role::Hidden, number, .. }) => self.after_hidden(number, after),
            Some(Known { role: Role::Void, .. }) => {
                self.push(Kind::Void, source, (name, known));
                after
            }
            _ => {
                self.start(source, (name, known));
                after
            }
        }
    }

    fn after_hidden(&mut self, number: usize, after: &'a str) -> &'a str {
        if self.endless.contains(&number) {
            return after;
        }
        let name = NAMES[number].0;
        match after_end(after, name) {
            Some(rest) => rest,
            // As where the text is made: an unclosed title should not cost a whole message.
            None if matches!(name, "script" | "style") => "",
            None => {
                self.endless.push(number);
                after
            }
        }
    }

    fn number(&mut self, name: &'a str, known: Option<Known>) -> usize {
        if let Some(known) = known {
            return known.number;
        }
        let next = self.counts.len();
        let number = *self.names.entry(lower(name)).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }

    fn start(&mut self, source: &'a str, (name, known): (&'a str, Option<Known>)) {
        if let Some(known) = known {
            self.close_implied(known);
        }
        let number = self.number(name, known);
        self.open.push((self.nodes.len(), number));
        self.counts[number] += 1;
        self.push(Kind::Element, source, (name, known));
        self.kept += usize::from(known.is_some_and(|known| known.tag == Tag::Pre));
    }

    /// Ends that HTML lets people leave out.
    fn close_implied(&mut self, next: Known) {
        let sections = matches!(next.tag, Tag::Tbody | Tag::Tfoot);
        while let Some(&(top, _)) = self.open.last() {
            let open = self.nodes[top].tag;
            let implied = match open {
                Tag::P => next.role == Role::Block,
                Tag::Item | Tag::Definition | Tag::Option => next.tag == open,
                Tag::Cell => sections || matches!(next.tag, Tag::Cell | Tag::Row),
                Tag::Row => sections || next.tag == Tag::Row,
                Tag::Thead | Tag::Tbody => sections,
                _ => false,
            };
            if !implied {
                return;
            }
            self.pop();
            if open != Tag::P && matches!(next.tag, Tag::Item | Tag::Cell) {
                return;
            }
        }
    }

    fn end(&mut self, name: &str, known: Option<Known>) {
        let number = known.map(|known| known.number).or_else(|| self.names.get(&lower(name)).copied());
        let Some(number) = number else { return };
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
        self.kept -= usize::from(self.nodes[node].tag == Tag::Pre);
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
pub(super) fn write(nodes: &[Node<'_>], chosen: impl Fn(usize) -> bool) -> String {
    let mut before = Vec::with_capacity(nodes.len() + 1);
    let (mut count, mut bytes) = (0_u32, 0);
    for (at, node) in nodes.iter().enumerate() {
        before.push(count);
        let leaf = chosen(at) && node.kind != Kind::Element;
        let counts = leaf && (node.kind == Kind::Void || !node.source.trim_ascii_start().trim_start().is_empty());
        count += u32::from(counts);
        bytes += if leaf { node.source.len() } else { 0 };
    }
    before.push(count);
    let mut html = String::with_capacity(bytes * 2);
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        close(nodes, &mut open, at, &mut html);
        let node = &nodes[at];
        if node.kind != Kind::Element {
            match node.kind {
                _ if !chosen(at) => {}
                Kind::Void => start(node, &mut html),
                _ => html.push_str(if node.source == "<" { "&lt;" } else { node.source }),
            }
            at += 1;
            continue;
        }
        let cell = node.tag == Tag::Cell && node.end == at + 1;
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
