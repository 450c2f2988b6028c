//! Text as PostgreSQL can keep it: without NUL, and short enough for an index.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Bytes of a key that stay as they are; with tenant and space an index entry has room for them.
const LONGEST: usize = 1_000;
/// Between the beginning of a long key and its hash. U+0001 is always followed by U+0001 or U+0002 elsewhere.
const CUT: &str = "\u{1}\u{3}";

/// `text` without NUL: U+0000 becomes U+0001 U+0001, U+0001 becomes U+0001 U+0002. Order and common beginnings stay.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\0' => safe.push_str("\u{1}\u{1}"),
            '\u{1}' => safe.push_str("\u{1}\u{2}"),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

/// What [`stored`] was given.
pub(super) fn loaded(text: String) -> String {
    if !text.contains('\u{1}') {
        return text;
    }
    let mut original = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        original.push(match letter {
            '\u{1}' if letters.next() == Some('\u{1}') => '\0',
            other => other,
        });
    }
    original
}

/// A key as it is stored.
pub(super) struct StoredKey {
    /// What is indexed and sorted by.
    pub(super) key: String,
    /// The whole of a key that was cut.
    pub(super) full: Option<String>,
}

/// Keys that differ only behind their first thousand bytes come in the order of their hashes, which pages need alone.
pub(super) fn key(text: &str) -> StoredKey {
    let whole = stored(text).into_owned();
    if whole.len() <= LONGEST {
        return StoredKey { key: whole, full: None };
    }
    let hash = hex::encode(Sha256::digest(whole.as_bytes()));
    StoredKey { key: format!("{}{CUT}{hash}", beginning(&whole)), full: Some(whole) }
}

/// The part of a long text that an index holds as it is.
pub(super) fn beginning(whole: &str) -> &str {
    let mut end = whole.len().min(LONGEST);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    &whole[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_key_keeps_its_beginning_and_its_whole() {
        let long = "é".repeat(3_000);
        let StoredKey { key: short, full } = key(&long);
        assert!(short.len() < 1_100 && short.starts_with(&"é".repeat(500)), "{}", short.len());
        assert_eq!(full.as_deref(), Some(&*long));
        assert_ne!(short, key(&format!("{long}x")).key);
    }

    proptest! {
        #[test]
        fn text_comes_back_in_the_same_order_without_nul(one in "[\0-\u{3}ab]{0,6}", other in "[\0-\u{3}ab]{0,6}") {
            prop_assert!(!stored(&one).contains('\0'));
            prop_assert_eq!(loaded(stored(&one).into_owned()), one.clone());
            prop_assert_eq!(stored(&one).cmp(&stored(&other)), one.cmp(&other));
            prop_assert_eq!(stored(&one).starts_with(&*stored(&other)), one.starts_with(&other));
        }
    }
}
