//! Keys of rows: segments whose order is the order of the stored text.

use std::fmt;

/// A row's key within its tenant and space, made of segments.
///
/// Segments are joined by U+001F; a segment's own control characters are escaped, so no two lists of segments share a
/// key, and every key that begins with the same segments lies in one range of the store's byte-wise order.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StateKey(String);

const SEPARATOR: char = '\u{1f}';
const ESCAPE: char = '\u{1e}';

impl StateKey {
    /// A key of `segments`.
    pub fn new<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        let mut text = String::new();
        for (index, segment) in segments.into_iter().enumerate() {
            if index > 0 {
                text.push(SEPARATOR);
            }
            escape(segment.as_ref(), &mut text);
        }
        Self(text)
    }

    /// A key read back from a store, taken as it is.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        self.0.split(SEPARATOR).map(unescape).collect()
    }

    /// This key with one more segment.
    #[must_use]
    pub fn child(&self, segment: impl AsRef<str>) -> Self {
        let mut text = self.0.clone();
        text.push(SEPARATOR);
        escape(segment.as_ref(), &mut text);
        Self(text)
    }

    /// The beginning that all keys below this one share.
    #[must_use]
    pub fn below(&self) -> String {
        format!("{}{SEPARATOR}", self.0)
    }
}

fn escape(segment: &str, into: &mut String) {
    for letter in segment.chars() {
        if letter < ' ' {
            into.push(ESCAPE);
            into.push(char::from(u8::try_from(u32::from(letter)).unwrap_or_default() + b'@'));
        } else {
            into.push(letter);
        }
    }
}

fn unescape(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    let mut letters = segment.chars();
    while let Some(letter) = letters.next() {
        if letter == ESCAPE {
            text.extend(letters.next().and_then(|next| char::from_u32(u32::from(next).checked_sub(64)?)));
        } else {
            text.push(letter);
        }
    }
    text
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(SEPARATOR, "/"))
    }
}

#[cfg(test)]
mod tests {
    use super::StateKey;

    #[test]
    fn segments_survive_whatever_they_contain() {
        let segments = ["a/b", "", "x\u{1f}y\u{1e}z\n\0", "ü"];
        assert_eq!(StateKey::new(segments).segments(), segments);
    }

    #[test]
    fn different_segments_never_share_a_key() {
        assert_ne!(StateKey::new(["a\u{1f}b"]), StateKey::new(["a", "b"]));
    }
}
