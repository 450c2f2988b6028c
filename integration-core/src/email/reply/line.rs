//! A line as a person sees it, and what can be said about it by itself.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    header,
    sign_off::{self, Closing},
};

/// What the structure of an HTML body says about a line; plain text says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mark {
    #[default]
    None,
    /// Somebody else's words.
    Quote,
    /// From here to the end somebody else's words.
    Rest,
    /// A signature.
    Signature,
    /// Set off like a quote, which writers do with their own text too.
    Soft,
}

/// One line. Its text is trimmed and without quote marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) body: Cow<'a, str>,
    /// The line as written, for plain text.
    pub(super) raw: &'a str,
    /// How many `>` it begins with.
    pub(super) depth: usize,
    pub(super) mark: Mark,
    /// It continues the written line above: the two were one.
    pub(super) glued: bool,
    /// The writer's words and an attribution stand in it and cannot be parted.
    pub(super) shared: bool,
    pub(super) looks: OnceCell<Looks>,
    pub(super) wrote: OnceCell<bool>,
    pub(super) ends: OnceCell<Ends>,
}

/// What a line says by itself; asked in every round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    mobile: bool,
    opens: bool,
    attributes: bool,
    at: bool,
}

/// What a line says at the end of somebody's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    closing: Option<Closing>,
    prose: bool,
}

impl<'a> Line<'a> {
    pub(super) fn plain(raw: &'a str) -> Self {
        let (depth, body) = marks(raw);
        Self { body: Cow::Borrowed(body), raw, depth, ..Self::default() }
    }

    fn looks(&self) -> Looks {
        *self.looks.get_or_init(|| Looks {
            mobile: super::is_mobile(&self.body),
            opens: header::announces(&self.body).is_some() || header::field(&self.body).is_some(),
            attributes: super::attribution::may_end(&self.body),
            at: memchr::memchr(b'@', self.body.as_bytes()).is_some(),
        })
    }

    fn ends(&self) -> Ends {
        *self.ends.get_or_init(|| Ends { closing: sign_off::closing(&self.body), prose: is_prose(&self.body) })
    }

    /// A closing formula.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.ends().closing
    }

    pub(super) fn is_prose(&self) -> bool {
        self.ends().prose
    }

    /// A mobile program's own line.
    pub(super) fn is_mobile(&self) -> bool {
        self.looks().mobile
    }

    /// It announces a quote, or is a field of a header.
    pub(super) fn opens(&self) -> bool {
        self.looks().opens
    }

    /// An attribution may end with it.
    pub(super) fn may_attribute(&self) -> bool {
        self.looks().attributes
    }

    /// It holds a word for "wrote".
    pub(super) fn says_wrote(&self) -> bool {
        *self.wrote.get_or_init(|| super::attribution::wrote(&self.body))
    }

    /// An `@` is in it.
    pub(super) fn has_at(&self) -> bool {
        self.looks().at
    }

    pub(super) fn is_blank(&self) -> bool {
        self.depth == 0 && self.body.is_empty()
    }

    pub(super) fn is_quoted(&self) -> bool {
        self.depth > 0 || self.mark == Mark::Quote
    }

    /// Nothing but a rule ("-----", "_____", "* * *").
    pub(super) fn is_rule(&self) -> bool {
        rule(&self.body)
    }
}

/// Nothing but a rule of at least five strokes.
pub(super) fn rule(text: &str) -> bool {
    let mut count = 0;
    text.chars().all(|letter| {
        count += usize::from(!letter.is_whitespace());
        matches!(letter, '-' | '_' | '=' | '*' | '~' | '\u{2014}' | '\u{2013}' | '\u{2500}' | ' ' | '.')
    }) && count >= 5
}

/// The number of quote marks a line begins with, and the rest, trimmed.
pub(super) fn marks(raw: &str) -> (usize, &str) {
    let text = trim(raw);
    // An arrow or a closing bracket of an address broken over two lines is no quote mark.
    if !text.starts_with(['>', '\u{ff1e}'])
        || text.starts_with(">:")
        || text.ends_with("<<<")
        || indented(raw)
        || header::is_arrowed(text)
    {
        return (0, text);
    }
    let (mut depth, mut rest) = (0, text);
    while let Some(after) = rest.strip_prefix(['>', '\u{ff1e}']) {
        depth += 1;
        rest = after.trim_start_matches([' ', '\t', '\u{a0}']);
    }
    let wraps_attribution =
        depth == 1 && rest.len() < 20 && rest.ends_with([':', '\u{ff1a}']) && super::attribution::wrote(rest);
    if wraps_attribution { (0, text) } else { (depth, rest) }
}

fn indented(raw: &str) -> bool {
    raw.len() - raw.trim_start_matches(' ').len() > 4
}

/// Without white space and the invisible marks that programs put around names and dates.
pub(super) fn trim(text: &str) -> &str {
    // Most lines begin and end with a letter.
    if let (Some(first), Some(last)) = (text.as_bytes().first(), text.as_bytes().last())
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return text;
    }
    let bare = text.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    if bare.is_ascii() {
        return bare;
    }
    bare.trim_matches(|letter: char| letter.is_whitespace() || invisible(letter))
}

pub(super) fn invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// Lower case, without invisible marks, white space folded; of at most `max` bytes.
pub(in crate::email) fn folded(text: &str, max: usize) -> String {
    let text = &text[..text.floor_char_boundary(max)];
    if is_simple(text) {
        let mut folded = text.to_owned();
        folded.make_ascii_lowercase();
        return folded;
    }
    let mut folded = String::with_capacity(text.len());
    let mut blank = false;
    for letter in text.chars() {
        if letter.is_whitespace() {
            blank = !folded.is_empty();
            continue;
        }
        if invisible(letter) {
            continue;
        }
        if std::mem::take(&mut blank) {
            folded.push(' ');
        }
        match letter {
            '\u{2019}' | '\u{2bc}' | '`' | '\u{b4}' => folded.push('\''),
            _ if letter.is_ascii() => folded.push(letter.to_ascii_lowercase()),
            _ => folded.extend(letter.to_lowercase()),
        }
    }
    folded
}

/// Nothing but ASCII words with one blank between them: only its capitals need folding.
fn is_simple(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Without a way out, which the compiler turns into a few instructions for many bytes.
    let mut odd = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    for &byte in bytes {
        odd |= !(b' '..0x7f).contains(&byte) || byte == b'`';
    }
    for (first, second) in bytes.iter().zip(bytes.iter().skip(1)) {
        odd |= *first == b' ' && *second == b' ';
    }
    !odd
}

/// An address: something@something.something.
pub(in crate::email) fn has_address(text: &str) -> bool {
    text.match_indices('@').take(8).any(|(at, _)| {
        let before =
            text[..at].chars().next_back().is_some_and(|letter| letter.is_alphanumeric() || "_-.'+=".contains(letter));
        let domain: String = text[at + 1..]
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || ".-_".contains(*letter))
            .take(80)
            .collect();
        before && domain.len() > 1
    })
}

/// A web address.
pub(super) fn has_link(folded: &str) -> bool {
    folded.contains("http://") || folded.contains("https://") || folded.contains("www.")
}

/// A telephone number: seven digits or more with nothing but usual separators between them.
pub(super) fn has_phone(text: &str) -> bool {
    if text.bytes().filter(u8::is_ascii_digit).count() < 7 {
        return false;
    }
    let (mut digits, mut gap) = (0, 0);
    for letter in text.chars() {
        match letter {
            '0'..='9' => {
                digits += 1;
                gap = 0;
            }
            ' ' | '-' | '.' | '(' | ')' | '/' | '+' | '\u{a0}' | '\u{2011}' | '\u{2013}' if digits > 0 && gap < 3 => {
                gap += 1
            }
            _ => (digits, gap) = (0, 0),
        }
        if digits >= 7 {
            return true;
        }
    }
    false
}

pub(super) fn words(text: &str) -> usize {
    if !text.is_ascii() {
        return text.split_whitespace().count();
    }
    let (mut count, mut apart) = (0, true);
    for &byte in text.as_bytes() {
        let blank = matches!(byte, b' ' | 9..=13);
        count += usize::from(apart && !blank);
        apart = blank;
    }
    count
}

/// Is this a sentence rather than a line of a business card?
pub(in crate::email) fn is_prose(text: &str) -> bool {
    let wide = if text.is_ascii() { "" } else { text }
        .chars()
        .filter(|letter| matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'))
        .take(31)
        .count();
    if text.ends_with(['?', '\u{ff1f}']) || wide > 30 || text.len() > 160 {
        return true;
    }
    let count = words(text);
    // Whatever else is in the line.
    if count > 14 || count < 5 && wide <= 6 {
        return count > 14;
    }
    if count <= 3 || has_address(text) || text.contains(['|', '\u{2022}', '\u{b7}']) || has_phone(text) {
        return count > 14;
    }
    count > 9 || count >= 5 && text.ends_with(['.', '!', '\u{3002}', ':']) || wide > 6 && text.ends_with('\u{3002}')
}

/// Could this be a person's name?
pub(in crate::email) fn is_name(text: &str) -> bool {
    let text =
        text.trim_matches(|letter: char| "*_-~,/|\u{2013}\u{2014} ".contains(letter)).trim_end_matches(['.', '!']);
    let count = words(text);
    if count == 0
        || count > 6
        || text.len() > 60
        || text.chars().any(|letter| letter.is_ascii_digit() || "?:;@#=<>[]{}".contains(letter))
    {
        return false;
    }
    let capital =
        |word: &str| word.chars().find(|letter| letter.is_alphabetic()).is_none_or(|letter| !letter.is_lowercase());
    let small = |word: &str| {
        matches!(
            word,
            "von"
                | "van"
                | "de"
                | "der"
                | "den"
                | "da"
                | "dos"
                | "di"
                | "del"
                | "la"
                | "zu"
                | "bin"
                | "al"
                | "y"
                | "e"
                | "and"
                | "und"
                | "et"
                | "och"
                | "og"
                | "av"
                | "af"
                | "ter"
                | "te"
                | "du"
                | "le"
                | "i"
                | "&"
        )
    };
    text.split_whitespace().all(|word| capital(word) || small(word))
}
