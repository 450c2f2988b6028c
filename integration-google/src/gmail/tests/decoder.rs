use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use integration_core::{ErrorKind, Result};
use proptest::prelude::*;
use serde_json::Value;

use crate::gmail::attachment::Decoder;

/// Decodes `text`, cut into pieces at every `step`.
fn decode(text: &[u8], step: usize) -> Result<Vec<u8>> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for piece in text.chunks(step.max(1)) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

#[test]
fn data_is_found_wherever_it_stands_and_however_it_is_escaped() {
    let table: [(&str, &[u8]); 9] = [
        (r#"{"size":2,"data":"_-A="}"#, &[0xff, 0xe0]),
        (r#" { "data" : "_-A" , "size" : 2 } "#, &[0xff, 0xe0]),
        (r#"{"data":"_-A\u003d"}"#, &[0xff, 0xe0]),
        (r#"{"data":"_-\r\nA\n"}"#, &[0xff, 0xe0]),
        (r#"{"data":"\u005f-A="}"#, &[0xff, 0xe0]),
        (r#"{"x":{"data":"AAAA","y":["]","}",{"z":"\""}]},"data":"_-A="}"#, &[0xff, 0xe0]),
        (r#"{"note":"\"data\":\"AAAA\"","data2":"AAAA","dat":null,"data":"_-A="}"#, &[0xff, 0xe0]),
        (r#"{"data":"_-A=","data":"AAAA"}"#, &[0xff, 0xe0]),
        (r#"{"size":0}"#, &[]),
    ];
    for (text, bytes) in table {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(decode(text.as_bytes(), step).unwrap(), bytes, "{text} by {step}");
        }
    }
}

#[test]
fn an_answer_that_ends_early_is_an_error_at_every_place() {
    let text = br#"{"size":3,"data":"AAEC","x":[1]}"#;
    for end in 0..text.len() {
        assert_eq!(decode(&text[..end], 5).unwrap_err().kind(), ErrorKind::Transport, "{end}");
    }
    assert!(decode(text, 5).is_ok());
}

#[test]
fn what_is_no_base64_or_no_object_is_refused() {
    for text in
        [r#"{"data":"A"}"#, r#"{"data":"AA=A"}"#, r#"{"data":"+/A="}"#, r#"{"data":"\u00e9"}"#, "[]", "x", "{}}"]
    {
        assert_eq!(decode(text.as_bytes(), 3).unwrap_err().kind(), ErrorKind::Validation, "{text}");
    }
}

#[test]
fn memory_stays_constant_over_a_long_answer() {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    decoder.push(b"{\"data\":\"", &mut out).unwrap();
    let piece = "QUJD".repeat(4_001);
    let mut total = 0;
    for _ in 0..200 {
        out.clear();
        decoder.push(&piece.as_bytes()[1..], &mut out).unwrap();
        total += out.len();
        assert!(out.capacity() < 100_000);
    }
    assert!(total > 2_000_000);
}

proptest! {
    #[test]
    fn any_split_gives_what_reading_the_whole_gives(
        bytes in proptest::collection::vec(any::<u8>(), 0..500),
        before in proptest::collection::vec(("[a-e]{1,6}", "\\PC{0,12}"), 0..4),
        step in 1_usize..40,
        padded in any::<bool>(),
        pretty in any::<bool>(),
    ) {
        let data = if padded { URL_SAFE.encode(&bytes) } else { URL_SAFE_NO_PAD.encode(&bytes) };
        let mut object = serde_json::Map::new();
        for (name, value) in before {
            object.insert(name.clone(), serde_json::json!({ "data": value, "list": [value, 1, null] }));
        }
        object.insert("size".to_owned(), bytes.len().into());
        object.insert("data".to_owned(), data.into());
        let value = Value::Object(object);
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert_eq!(decode(&text, step).unwrap(), bytes);
    }

    #[test]
    fn the_split_never_changes_the_outcome(text in "[{}\\[\\]\":,\\\\u0-9a-d= \\n]{0,80}", step in 1_usize..9) {
        let text = format!("{{\"data\":\"{text}");
        let (whole, split) = (decode(text.as_bytes(), 1_000), decode(text.as_bytes(), step));
        prop_assert_eq!(whole.is_ok(), split.is_ok());
        if let (Ok(whole), Ok(split)) = (whole, split) {
            prop_assert_eq!(whole, split);
        }
    }

    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500), step in 1_usize..40) {
        let _ = decode(&bytes, step);
        let _ = decode(&[b"{\"data\":".as_slice(), &bytes].concat(), step);
    }
}
