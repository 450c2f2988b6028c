//! Callback queries as anybody can type them into a browser.

use crate::{
    ErrorKind,
    oauth::CallbackQuery,
    testing::{assert_linear, fuzz},
};

const SEEDS: [&[u8]; 4] = [
    b"state=abc&code=4%2F0Ab&scope=openid+email&iss=https%3A%2F%2Fid.example",
    b"error=access_denied&error_description=The+user+said+no&state=abc",
    b"state=%ff%fe&code=&code=second&%=&&=x&a=%0d%0a",
    b"state[]=1&state[a]=2&st%61te=3",
];

#[test]
fn mutated_queries_are_read_or_refused() {
    let words = ["&", "=", "%", "%00", "+", "state=", "code=", "&a=b", "%C3%28", "\u{fc}"];
    fuzz("callback query", 5_000, &SEEDS, &words, |input| {
        let text = String::from_utf8_lossy(input);
        match CallbackQuery::parse(&text) {
            Ok(query) => {
                let held = query.get("code").map_or(0, str::len) + query.get("state").map_or(0, str::len);
                // What is no UTF-8 is replaced by three bytes each.
                assert!(held <= 3 * text.len());
                assert!(query.get("code").is_none_or(|code| !code.is_empty()));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
    });
}

#[test]
fn the_first_of_each_name_counts_and_no_value_is_shown() {
    let query = CallbackQuery::parse("st%61te=first&state=second&code=secret").unwrap();
    assert_eq!((query.get("state"), query.get("code")), (Some("first"), Some("secret")));
    assert!(!format!("{query:?}").contains("secret"));
}

#[test]
fn the_time_taken_grows_with_the_size() {
    for (what, piece) in
        [("one value", "a"), ("escapes", "%41"), ("names", "a&"), ("broken escapes", "%"), ("signs", "=")]
    {
        let make = |size: usize| piece.repeat(size / piece.len());
        assert_linear(what, 8_000, make, |text| drop(CallbackQuery::parse(text)));
        assert_linear(what, 2_000_000, make, |text| assert!(CallbackQuery::parse(text).is_err()));
    }
}
