//! HTML to text, in one pass over the bytes.
//!
//! Written for mail: only what shapes plain text is looked at (blocks, lists, quotations, what is hidden), nothing is
//! kept of the rest, and no tree is built. Time and memory are linear however the elements are nested.

mod element;
mod entity;
mod style;
mod writer;

pub(in crate::email) use self::element::tag_end;
use self::{
    element::{Element, Tag},
    style::Look,
    writer::Writer,
};
use super::clean::cut;

/// How much HTML is converted, in bytes.
const MAX_HTML: usize = 2 * 1024 * 1024;
/// Elements whose size is remembered at a time.
const MAX_SIZES: usize = 500;
const SNIPPET_CHARS: usize = 200;

/// The text a person sees of an HTML body; of its first two megabytes.
///
/// Hidden elements (`display:none`, no size, no opacity …) are left out, unless nothing else is there to be seen.
#[must_use]
pub fn html_to_text(html: &str) -> String {
    let html = cut(html, MAX_HTML);
    match Reader::new(html.len(), true).run(html) {
        Some(text) if !text.is_empty() => text,
        // A hidden element that never ends would take the message with it.
        _ => Reader::new(html.len(), false).run(html).unwrap_or_default(),
    }
}

/// A short beginning of `text` on one line, at most 200 characters.
#[must_use]
pub fn snippet(text: &str) -> String {
    // Newsletters fill their preview with invisible characters.
    let invisible = |letter: &char| {
        matches!(letter, '\u{34f}' | '\u{ad}' | '\u{200b}' | '\u{200c}' | '\u{2007}' | '\u{2060}' | '\u{feff}')
    };
    let mut line = String::with_capacity(text.len().min(SNIPPET_CHARS));
    let (mut count, mut gap) = (0, false);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        // Most are plain words.
        let room = SNIPPET_CHARS.saturating_sub(count + usize::from(gap));
        let word = rest.bytes().take(room).take_while(u8::is_ascii_graphic).count();
        if word > 0 {
            if std::mem::take(&mut gap) {
                line.push(' ');
                count += 1;
            }
            line.push_str(&rest[..word]);
            count += word;
            rest = &rest[word..];
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        if letter <= ' ' || letter > '~' && (letter.is_whitespace() || letter.is_control()) {
            gap = count > 0;
            continue;
        }
        if letter > '~' && invisible(&letter) {
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

/// What is left out until an element ends.
struct Hidden<'a> {
    name: &'a str,
    element: Element,
    /// Elements of that name that are open, itself included.
    open: usize,
}

/// A change between readable and tiny letters, undone where its element ends.
struct Size<'a> {
    name: &'a str,
    open: usize,
    before: bool,
}

struct Reader<'a> {
    out: Writer,
    hide: bool,
    hidden: Option<Hidden<'a>>,
    sizes: Vec<Size<'a>>,
    /// Letters are too small to be seen.
    tiny: bool,
    /// Silent elements that are known to have no end: they are not searched for again.
    endless: Vec<Element>,
}

impl<'a> Reader<'a> {
    fn new(size: usize, hide: bool) -> Self {
        Self { out: Writer::new(size / 4), hide, hidden: None, sizes: Vec::new(), tiny: false, endless: Vec::new() }
    }

    /// The text; `None` if an element that was hidden never ended.
    fn run(mut self, html: &'a str) -> Option<String> {
        let mut rest = html;
        while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
            self.text(&rest[..at]);
            rest = self.markup(&rest[at..]);
        }
        self.text(rest);
        self.hidden.is_none().then(|| self.out.finish())
    }

    fn text(&mut self, text: &str) {
        if self.hidden.is_none() && !self.tiny && !text.is_empty() {
            entity::decode(text, |piece| self.out.text(piece));
        }
    }

    /// Takes the markup at the beginning of `text` ("<…") and returns what follows it.
    fn markup(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("<!--") {
            return after_comment(comment);
        }
        let Some((tag, after)) = element::tag(text) else {
            self.text("<");
            return &text[1..];
        };
        if let Some(hidden) = &self.hidden
            && hidden.element == Element::Paragraph
            && !tag.closing
            && matches!(tag.element, Element::Paragraph | Element::Block | Element::Margin | Element::Cell)
        {
            // A paragraph ends where the next block begins.
            self.hidden = None;
        }
        if let Some(hidden) = &mut self.hidden {
            if tag.name.eq_ignore_ascii_case(hidden.name) {
                hidden.open = if tag.closing { hidden.open - 1 } else { hidden.open + 1 };
            }
            if hidden.open == 0 {
                self.hidden = None;
            }
            return self.after_silent(&tag, after);
        }
        if tag.element.is_silent() {
            return self.after_silent(&tag, after);
        }
        self.sized(&tag);
        if tag.closing {
            self.out.end(tag.element);
        } else {
            self.start(&tag);
        }
        after
    }

    fn after_silent(&mut self, tag: &Tag<'a>, after: &'a str) -> &'a str {
        // A closing tag without its beginning, and `<svg/>`, have no content.
        if !tag.element.is_silent() || tag.closing || tag.alone || self.endless.contains(&tag.element) {
            return after;
        }
        match after_end(after, tag.name) {
            Some(rest) => rest,
            // Browsers take all the rest for a script; an unclosed title should not cost a whole message.
            None if tag.element.is_code() => "",
            None => {
                self.endless.push(tag.element);
                after
            }
        }
    }

    fn start(&mut self, tag: &Tag<'a>) {
        let look = style::look(tag.attributes);
        if self.hide && look.hidden && !tag.element.is_void() && !tag.alone && !matches!(tag.element, Element::Body) {
            self.hidden = Some(Hidden { name: tag.name, element: tag.element, open: 1 });
            return;
        }
        self.resize(tag, &look);
        self.out.start(tag.element);
        if tag.element == Element::Image
            && !self.tiny
            && let Some(letters) = look.emoji
        {
            self.out.text(letters);
        }
    }

    fn resize(&mut self, tag: &Tag<'a>, look: &Look<'_>) {
        let Some(tiny) = look.tiny.filter(|tiny| *tiny != self.tiny && self.hide) else { return };
        if tag.element.is_void() || tag.alone || self.sizes.len() >= MAX_SIZES {
            return;
        }
        self.sizes.push(Size { name: tag.name, open: 1, before: self.tiny });
        self.tiny = tiny;
    }

    /// Keeps count of the elements that bear the name of the one whose size is in force.
    fn sized(&mut self, tag: &Tag<'a>) {
        let Some(size) = self.sizes.last_mut().filter(|size| size.name.eq_ignore_ascii_case(tag.name)) else { return };
        // Paragraphs do not nest: a second one ends the first.
        let ends = tag.closing || tag.element == Element::Paragraph;
        if !ends {
            size.open += usize::from(!tag.alone);
            return;
        }
        size.open -= 1;
        if size.open == 0 {
            self.tiny = size.before;
            self.sizes.pop();
        }
    }
}

/// What follows the beginning of a comment; one that is never closed takes the rest.
pub(in crate::email) fn after_comment(comment: &str) -> &str {
    if let Some(after) = comment.strip_prefix('>').or_else(|| comment.strip_prefix("->")) {
        return after;
    }
    memchr::memmem::find(comment.as_bytes(), b"-->").map_or("", |end| &comment[end + 3..])
}

/// What follows the end tag of `name`.
pub(in crate::email) fn after_end<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    for at in memchr::memmem::find_iter(text.as_bytes(), b"</") {
        let rest = &text[at + 2..];
        if rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name)) {
            return Some(memchr::memchr(b'>', rest.as_bytes()).map_or("", |end| &rest[end + 1..]));
        }
    }
    None
}
