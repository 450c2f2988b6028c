//! Lists of mailboxes, as people and programs write them.

use super::{
    clean::{cut, is_refused, one_line},
    words,
};
use crate::email::types::Address;

/// How much of one header value is looked at, in bytes.
pub(super) const MAX_VALUE: usize = 256 * 1024;
const MAX_ADDRESSES: usize = 2_000;
/// No line of a message is longer, so no address is.
const MAX_LINE: usize = 998;
/// Comments that never end, before brackets count as letters.
const MAX_OPEN: usize = 8;

/// The mailboxes of a `From`, `To`, … value as sent.
///
/// Groups are flattened, encoded words decoded; what carries no address is left out. Read as it was meant where that
/// is plain: commas forgotten between mailboxes or left in a name without quotes, semicolons between mailboxes.
#[must_use]
pub fn addresses(header: &str) -> Vec<Address> {
    let line = one_line(cut(header, MAX_VALUE));
    if let Some(address) = alone(&line) {
        return vec![address];
    }
    let mut reader = Reader::default();
    reader.read(&line);
    if reader.found.is_empty() && line.contains("=?") {
        // Some programs encode the address together with the name.
        let decoded = words::decode(&line);
        if decoded.contains('@') && decoded != *line {
            reader = Reader::default();
            reader.read(&decoded);
        }
    }
    reader.found
}

/// The address of a line that is nothing but one, as most are: `Ann Archer <ann@acme.example>`, `"Ann" <…>`, or bare.
pub(super) fn alone(line: &str) -> Option<Address> {
    let Some((before, inside)) = line.split_once('<') else {
        return is_plain(line).then(|| Address::new(line));
    };
    let address = inside.strip_suffix('>').filter(|address| is_plain(address))?;
    let before = before.trim_ascii_end();
    let quoted = before.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = quoted.unwrap_or(before).trim_ascii();
    let letter = |byte: u8| byte == b' ' || byte.is_ascii_graphic() && !matches!(byte, b'"' | b'(' | b'\\' | b'=');
    let apart = |byte: u8| matches!(byte, b',' | b';' | b':') || byte == b'>';
    let simple = name.bytes().all(|byte| letter(byte) && (quoted.is_some() || !apart(byte)));
    if !simple || name.len() > MAX_LINE || quoted.is_none() && name.contains("  ") {
        return None;
    }
    let address = Address::new(address);
    Some(if name.is_empty() { address } else { address.with_name(name) })
}

/// An address of plain letters.
fn is_plain(address: &str) -> bool {
    let mut ats = 0;
    let letters = address.bytes().all(|byte| {
        ats += usize::from(byte == b'@');
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@' | b'+')
    });
    letters && ats == 1 && !address.starts_with('@') && address.len() <= MAX_LINE
}

#[derive(Default)]
struct Reader {
    found: Vec<Address>,
    /// The words before the address, still encoded.
    phrase: String,
    comment: String,
    angle: Option<String>,
    /// A name that ended at a comma without an address: "Lovelace, Ada <…>".
    half: String,
    /// A quote, or a bracket, was found never to be closed: the others of its kind are not searched for again.
    open_quote: bool,
    open_angle: bool,
    /// So many comments were found never to be closed.
    open_comments: usize,
}

impl Reader {
    fn read(&mut self, line: &str) {
        let mut rest = line;
        while let Some(letter) = rest.chars().next() {
            if self.found.len() >= MAX_ADDRESSES {
                return;
            }
            let tail = &rest[letter.len_utf8()..];
            rest = match letter {
                '"' => self.quoted(tail),
                '(' => self.comment(tail),
                '<' => self.angle(tail),
                ',' => {
                    self.finish(true);
                    tail
                }
                ';' => {
                    self.finish(false);
                    self.half.clear();
                    tail
                }
                ':' if !self.phrase.contains('@') && self.angle.is_none() => {
                    // What was read is the name of a group.
                    self.phrase.clear();
                    self.half.clear();
                    tail
                }
                '=' if rest.starts_with("=?") => self.encoded(rest),
                _ if letter.is_whitespace() => {
                    self.blank();
                    tail
                }
                _ => {
                    self.start();
                    self.phrase.push(letter);
                    tail
                }
            };
        }
        self.finish(false);
    }

    fn blank(&mut self) {
        if !self.phrase.is_empty() && !self.phrase.ends_with(' ') {
            self.phrase.push(' ');
        }
    }

    /// A word after an address begins the next mailbox: its comma was forgotten.
    fn start(&mut self) {
        if self.angle.is_some() {
            self.finish(false);
        }
    }

    /// An encoded word stays together, whatever commas and brackets it should not contain.
    fn encoded<'a>(&mut self, rest: &'a str) -> &'a str {
        self.start();
        let length = words::word(rest).map_or(2, |word| word.length);
        self.phrase.push_str(&rest[..length]);
        &rest[length..]
    }

    fn quoted<'a>(&mut self, tail: &'a str) -> &'a str {
        let Some((text, after)) = Some(tail).filter(|_| !self.open_quote).and_then(until_quote) else {
            // Never closed: the quote was none.
            self.open_quote = true;
            return tail;
        };
        self.start();
        if after.starts_with('@') {
            // A local part with blanks or the like, written out in full.
            let end = after.find([' ', ',', ';', '<', '>', '(']).unwrap_or(after.len());
            let quoted = &tail[..tail.len() - after.len()];
            self.angle = Some(format!("\"{quoted}{}", &after[..end]));
            return &after[end..];
        }
        self.phrase.push_str(&text);
        after
    }

    fn comment<'a>(&mut self, tail: &'a str) -> &'a str {
        if self.open_comments >= MAX_OPEN {
            return tail;
        }
        let (mut depth, mut escaped) = (1, false);
        let mut text = String::new();
        for (at, letter) in tail.char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' => {
                    escaped = true;
                    continue;
                }
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                if self.comment.is_empty() {
                    self.comment = text;
                }
                self.blank();
                return &tail[at + 1..];
            }
            text.push(letter);
        }
        // Never closed: the bracket was none.
        self.open_comments += 1;
        tail
    }

    fn angle<'a>(&mut self, tail: &'a str) -> &'a str {
        if self.angle.is_some() {
            self.finish(false);
        }
        let mut quoted = false;
        let near = cut(tail, MAX_LINE).find(|letter| {
            quoted ^= letter == '"';
            letter == '>' && !quoted
        });
        let end = near.or_else(|| if self.open_angle { None } else { tail.find('>') });
        self.open_angle |= end.is_none();
        let (inside, after) = match end {
            Some(end) => (&tail[..end], &tail[end + 1..]),
            None => tail.split_at(tail.find([',', ';']).unwrap_or(tail.len())),
        };
        // "<<a@x>>" happens; so does a name in brackets before the address in brackets.
        let inside = inside.rsplit('<').next().unwrap_or_default();
        if inside.contains('@') || !after.contains('<') || inside.is_empty() {
            self.angle = Some(inside.to_owned());
            return after.trim_start_matches('>');
        }
        self.phrase.push_str(inside);
        after
    }

    fn finish(&mut self, comma: bool) {
        let phrase = std::mem::take(&mut self.phrase);
        let phrase = phrase.trim();
        let comment = std::mem::take(&mut self.comment);
        match self.angle.take() {
            Some(angle) => {
                let half = std::mem::take(&mut self.half);
                let name = if half.is_empty() { phrase.to_owned() } else { format!("{half}, {phrase}") };
                self.keep(&angle, if name.is_empty() { &comment } else { &name });
            }
            None if phrase.contains('@') => {
                self.half.clear();
                self.bare(phrase, &comment);
            }
            None if phrase.is_empty() => {}
            None if comma && self.half.is_empty() => phrase.clone_into(&mut self.half),
            None => {
                // "MAILER-DAEMON" alone is an address without a domain, "Undisclosed recipients" is only a name.
                if !comma && !phrase.contains(' ') && self.half.is_empty() && self.found.is_empty() {
                    let word = words::decode(phrase);
                    if !word.contains('@') {
                        self.keep(&word, &comment);
                    }
                }
                self.half.clear();
            }
        }
    }

    /// Words of which some are addresses.
    fn bare(&mut self, phrase: &str, comment: &str) {
        let decoded = if phrase.contains("=?") { words::decode(phrase) } else { phrase.to_owned() };
        let words: Vec<&str> = joined(&decoded).unwrap_or_else(|| decoded.split_whitespace().collect());
        let mut name: Vec<&str> = Vec::new();
        for word in words {
            if !word.contains('@') {
                name.push(word);
                continue;
            }
            let before = name.join(" ");
            self.keep(word, if before.is_empty() { comment } else { &before });
            name.clear();
        }
    }

    fn keep(&mut self, written: &str, name: &str) {
        let Some(address) = tidy(written) else { return };
        let name = words::decode(&one_line(name));
        let bare = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(&name);
        let name = cut(bare.trim(), MAX_LINE).to_owned();
        self.found.push(Address { name: Some(name).filter(|name| !name.is_empty()), address });
    }
}

/// "jdoe @ example . com" is one address, not four words.
fn joined(phrase: &str) -> Option<Vec<&str>> {
    let domain = phrase.split_once('@').map_or("", |(_, domain)| domain);
    let loose = phrase.contains(" @") || domain.starts_with(' ') || domain.contains(" .") || domain.contains(". ");
    (loose && phrase.matches('@').count() == 1).then(|| vec![phrase])
}

/// The text up to the closing quote, without backslashes, and what follows.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => return Some((inside, &text[at + 1..])),
            _ => {}
        }
        inside.push(letter);
    }
    None
}

fn tidy(written: &str) -> Option<String> {
    let written = written.trim();
    // By far the most are plain.
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@' | b'+');
    if written.len() <= MAX_LINE && written.bytes().all(letters) && !written.starts_with('@') && !written.is_empty() {
        return Some(written.to_owned());
    }
    let word = if written.contains("=?") { words::decode(written) } else { written.to_owned() };
    let word = word.strip_prefix("mailto:").unwrap_or(&word);
    // An old-fashioned route stands before a colon.
    let word = if word.starts_with('@') { word.rsplit(':').next().unwrap_or_default() } else { word };
    let word = word.trim_matches(['<', '>', '\'', ',', ';', ' ', ':']);
    let quoted = word.starts_with('"') && word.contains("\"@");
    let mut address = String::with_capacity(word.len());
    let mut depth = 0_usize;
    for letter in word.chars() {
        match letter {
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if depth > 0 || is_refused(letter) => {}
            '"' if !quoted => {}
            _ if letter.is_whitespace() && !quoted => {}
            _ => address.push(letter),
        }
    }
    // "Undisclosed-Recipient:@x.example" is a group that a server took for an address.
    let named = !address.starts_with('@') && !address.contains(":@") && !address.is_empty();
    (named && address.len() <= MAX_LINE).then_some(address)
}
