//! Tags and the elements that matter.

use std::sync::LazyLock;

use crate::email::table::Table;

/// What shapes plain text; everything else is [`Element::Other`], and its text stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Element {
    /// A block without space around it.
    Block,
    Body,
    Break,
    Cell,
    /// Its content is code.
    Code,
    Image,
    Item,
    /// A block with space around it.
    Margin,
    OrderedList,
    Other,
    Paragraph,
    Preformatted,
    Quotation,
    Rule,
    /// Its content is no text.
    Silent(u8),
    UnorderedList,
    /// It has no content.
    Void,
}

static ELEMENTS: LazyLock<Table<Element>> = LazyLock::new(|| Table::of_beginnings(NAMES.iter().copied()));

const NAMES: &[(&str, Element)] = &[
    ("address", Element::Block),
    ("area", Element::Void),
    ("article", Element::Block),
    ("base", Element::Void),
    ("blockquote", Element::Quotation),
    ("body", Element::Body),
    ("br", Element::Break),
    ("caption", Element::Block),
    ("center", Element::Block),
    ("col", Element::Void),
    ("dd", Element::Block),
    ("dir", Element::UnorderedList),
    ("div", Element::Block),
    ("dl", Element::Margin),
    ("dt", Element::Block),
    ("fieldset", Element::Block),
    ("figure", Element::Block),
    ("footer", Element::Block),
    ("form", Element::Block),
    ("h1", Element::Margin),
    ("h2", Element::Margin),
    ("h3", Element::Margin),
    ("h4", Element::Margin),
    ("h5", Element::Margin),
    ("h6", Element::Margin),
    ("header", Element::Block),
    ("hr", Element::Rule),
    ("img", Element::Image),
    ("input", Element::Void),
    ("legend", Element::Block),
    ("li", Element::Item),
    ("link", Element::Void),
    ("main", Element::Block),
    ("math", Element::Silent(0)),
    ("menu", Element::UnorderedList),
    ("meta", Element::Void),
    ("nav", Element::Block),
    ("ol", Element::OrderedList),
    ("p", Element::Paragraph),
    ("pre", Element::Preformatted),
    ("script", Element::Code),
    ("section", Element::Block),
    ("select", Element::Silent(1)),
    ("style", Element::Code),
    ("svg", Element::Silent(2)),
    ("table", Element::Block),
    ("tbody", Element::Block),
    ("td", Element::Cell),
    ("template", Element::Silent(3)),
    ("textarea", Element::Silent(4)),
    ("tfoot", Element::Block),
    ("th", Element::Cell),
    ("thead", Element::Block),
    ("title", Element::Silent(5)),
    ("tr", Element::Block),
    ("ul", Element::UnorderedList),
    ("wbr", Element::Void),
];

impl Element {
    fn named(name: &str) -> Self {
        ELEMENTS.named(name).unwrap_or(Self::Other)
    }

    pub(super) fn is_silent(self) -> bool {
        matches!(self, Self::Silent(_) | Self::Code)
    }

    pub(super) fn is_code(self) -> bool {
        self == Self::Code
    }

    pub(super) fn is_void(self) -> bool {
        matches!(self, Self::Void | Self::Break | Self::Rule | Self::Image)
    }
}

pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    pub(super) element: Element,
    pub(super) closing: bool,
    /// `<br/>`.
    pub(super) alone: bool,
    pub(super) attributes: &'a str,
}

/// The tag at the beginning of `text` ("<…") and what follows it; `None` if the bracket is only a bracket.
pub(super) fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let inside = &text[1..];
    let (closing, named) = inside.strip_prefix('/').map_or((false, inside), |named| (true, named));
    let first = named.bytes().next()?;
    if !first.is_ascii_alphabetic() && !matches!(first, b'!' | b'?') {
        return None;
    }
    let Some(end) = tag_end(named) else {
        // Torn by the end of the message.
        let name = &named[..0];
        return Some((Tag { name, element: Element::Other, closing, alone: true, attributes: "" }, ""));
    };
    let after = &named[end + 1..];
    let bytes = named.as_bytes();
    let name_end = bytes[..end].iter().position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b':' | b'-'));
    let (name, attributes) = named[..end].split_at(name_end.unwrap_or(end));
    let tag = Tag { name, element: Element::named(name), closing, alone: attributes.ends_with('/'), attributes };
    Some((tag, after))
}

/// The position of the `>` that ends a tag; one within quotes does not.
pub(in crate::email) fn tag_end(tag: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'>', b'"', b'\'', &bytes[at..])?;
        if bytes[at] == b'>' {
            return Some(at);
        }
        // A quote counts only at the beginning of a value.
        let value = bytes[..at].iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'=');
        at += 1;
        if value {
            match memchr::memchr(bytes[at - 1], &bytes[at..]) {
                Some(end) => at += end + 1,
                // It was never closed: then it was none.
                None => return memchr::memchr(b'>', &bytes[at..]).map(|end| at + end),
            }
        }
    }
}

/// The attributes of a tag, in order: name and value, entities still encoded.
pub(super) fn attributes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == '/');
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'/');
        // The first byte belongs to the name whatever it is, so that every round makes progress.
        let end = 1 + bytes[1..].iter().position(ends).unwrap_or(bytes.len() - 1);
        let end = rest.ceil_char_boundary(end);
        let (name, tail) = rest.split_at(end);
        let Some(value) = tail.trim_ascii_start().strip_prefix('=') else {
            rest = tail;
            return Some((name, ""));
        };
        let value = value.trim_ascii_start();
        let (value, tail) = match value.as_bytes().first() {
            Some(&quote @ (b'"' | b'\'')) => {
                let inside = &value[1..];
                memchr::memchr(quote, inside.as_bytes())
                    .map_or((inside, ""), |end| (&inside[..end], &inside[end + 1..]))
            }
            _ => {
                let end = value.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(value.len());
                value.split_at(end)
            }
        };
        rest = tail;
        Some((name, value))
    })
}
