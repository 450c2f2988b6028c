//! What the stores over a relational database have in common.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// A wait in milliseconds, rounded up so that nothing ends too early; at most a century.
pub(super) fn millis(wait: Duration) -> i64 {
    const CENTURY: u128 = 100 * 365 * 86_400_000;
    let millis = wait.as_nanos().div_ceil(1_000_000).min(CENTURY);
    i64::try_from(millis).unwrap_or(i64::MAX)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The first text behind all that begin with `prefix`; `None` if there is none.
pub(super) fn end(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        // A range of characters steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

pub(super) fn refused_before() -> Error {
    Error::new(ErrorKind::Conflict, "an earlier write of this transaction was refused")
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        assert_eq!(end("a").as_deref(), Some("b"));
        assert_eq!(end("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(end(&format!("a{}", char::MAX)).as_deref(), Some("b"));
        assert_eq!(end(""), None);
    }
}
