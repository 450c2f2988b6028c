//! Lines of plain text.

use super::element::Element;

/// Quotations within quotations; each costs every line within it a few bytes.
const MAX_QUOTES: usize = 20;
/// Lists within lists that are indented.
const MAX_LISTS: usize = 8;

/// What separates the next text from the last.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Gap {
    #[default]
    None,
    Blank,
    Line,
    EmptyLine,
}

#[derive(Default)]
pub(super) struct Writer {
    out: String,
    gap: Gap,
    /// How deep quotations were, at the least, since the gap opened: so deep is its empty line quoted.
    gap_quotes: usize,
    quotes: usize,
    /// Quotations beyond [`MAX_QUOTES`], still to be closed.
    more_quotes: usize,
    /// Open lists: the number of the next item, or 0 for bullets.
    lists: Vec<u32>,
    more_lists: usize,
    preformatted: usize,
    /// A line was begun with a bullet and has no text yet.
    bullet: bool,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        Self { out: String::with_capacity(capacity), ..Self::default() }
    }

    pub(super) fn finish(self) -> String {
        let end = self.out.trim_end().len();
        let mut out = self.out;
        out.truncate(end);
        out
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            return self.lines(text);
        }
        let mut rest = text;
        loop {
            let word = rest.trim_ascii_start();
            if word.len() < rest.len() {
                self.gap = self.gap.max(Gap::Blank);
            }
            let end = word.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(word.len());
            if end == 0 {
                return;
            }
            self.word(&word[..end]);
            rest = &word[end..];
        }
    }

    fn word(&mut self, word: &str) {
        if word.is_ascii() {
            self.separate();
            self.out.push_str(word);
            return;
        }
        for letter in word.chars() {
            match letter {
                // Blanks that do not break are blanks here; one at a line's end is of no use.
                '\u{a0}' | '\u{202f}' | '\u{2007}' => self.gap = self.gap.max(Gap::Blank),
                // Newsletters fill their preview with these.
                '\u{ad}' | '\u{200b}' | '\u{34f}' | '\u{feff}' | '\u{2060}' | '\u{fffe}' | '\u{ffff}' => {}
                '\u{200c}' | '\u{200d}' if self.gap > Gap::None || self.out.is_empty() => {}
                '\u{85}' | '\u{2028}' | '\u{2029}' => self.gap = self.gap.max(Gap::Line),
                _ if letter.is_control() => {}
                _ => {
                    self.separate();
                    self.out.push(letter);
                }
            }
        }
    }

    fn lines(&mut self, text: &str) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                // Empty lines within it stay.
                if self.gap == Gap::Line || self.gap == Gap::EmptyLine {
                    self.gap = Gap::EmptyLine;
                } else {
                    self.gap = Gap::Line;
                }
            }
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() {
                if !line.is_empty() && self.gap == Gap::None {
                    self.gap = Gap::Blank;
                }
                continue;
            }
            self.separate();
            let clean = |letter: &char| *letter == '\t' || !letter.is_control();
            self.out.extend(line.chars().filter(clean).map(|letter| if letter == '\u{a0}' { ' ' } else { letter }));
        }
    }

    fn separate(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if self.out.is_empty() {
            return self.prefix(self.quotes);
        }
        if std::mem::take(&mut self.bullet) {
            // The text of an item stands behind its bullet, in whatever blocks it is wrapped.
            return;
        }
        match gap {
            Gap::None => {}
            Gap::Blank => {
                if !self.out.ends_with(' ') {
                    self.out.push(' ');
                }
            }
            Gap::Line | Gap::EmptyLine => {
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.push('\n');
                if gap == Gap::EmptyLine {
                    self.prefix(self.gap_quotes.min(self.quotes));
                    self.out.truncate(self.out.trim_end_matches(' ').len());
                    self.out.push('\n');
                }
                self.prefix(self.quotes);
            }
        }
    }

    fn prefix(&mut self, quotes: usize) {
        for _ in 0..quotes {
            self.out.push_str("> ");
        }
    }

    pub(super) fn start(&mut self, element: Element) {
        match element {
            Element::Quotation => {
                self.line(Gap::EmptyLine);
                if self.quotes < MAX_QUOTES {
                    self.quotes += 1;
                } else {
                    self.more_quotes += 1;
                }
            }
            Element::OrderedList => self.list(1),
            Element::UnorderedList => self.list(0),
            Element::Item => self.item(),
            Element::Preformatted => {
                self.line(Gap::EmptyLine);
                self.preformatted += 1;
            }
            Element::Break if self.preformatted == 0 => {
                // Two in a row leave an empty line.
                self.line(if self.gap >= Gap::Line { Gap::EmptyLine } else { Gap::Line });
            }
            other => self.around(other),
        }
    }

    pub(super) fn end(&mut self, element: Element) {
        match element {
            Element::Quotation => {
                self.line(Gap::EmptyLine);
                if self.more_quotes > 0 {
                    self.more_quotes -= 1;
                } else {
                    self.quotes = self.quotes.saturating_sub(1);
                }
            }
            Element::OrderedList | Element::UnorderedList => {
                if self.more_lists > 0 {
                    self.more_lists -= 1;
                } else {
                    self.lists.pop();
                }
                self.line(if self.lists.is_empty() { Gap::EmptyLine } else { Gap::Line });
            }
            Element::Item => {
                self.bullet = false;
                self.line(Gap::Line);
            }
            Element::Preformatted => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.line(Gap::EmptyLine);
            }
            other => self.around(other),
        }
    }

    fn around(&mut self, element: Element) {
        match element {
            Element::Block | Element::Body | Element::Rule | Element::Break => self.line(Gap::Line),
            Element::Margin | Element::Paragraph => self.line(Gap::EmptyLine),
            Element::Cell => self.line(Gap::Blank),
            _ => {}
        }
    }

    fn line(&mut self, gap: Gap) {
        self.gap_quotes = if self.gap < Gap::Line { self.quotes } else { self.gap_quotes.min(self.quotes) };
        self.gap = self.gap.max(gap);
    }

    fn list(&mut self, first: u32) {
        self.line(if self.lists.is_empty() { Gap::EmptyLine } else { Gap::Line });
        if self.lists.len() < MAX_LISTS {
            self.lists.push(first);
        } else {
            self.more_lists += 1;
        }
    }

    fn item(&mut self) {
        self.bullet = false;
        self.line(Gap::Line);
        self.separate();
        for _ in 1..self.lists.len() {
            self.out.push_str("  ");
        }
        match self.lists.last_mut() {
            Some(number) if *number > 0 => {
                self.out.push_str(&format!("{number}. "));
                *number = number.saturating_add(1);
            }
            _ => self.out.push_str("* "),
        }
        self.bullet = true;
    }
}
