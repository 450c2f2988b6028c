use http::StatusCode;
use proptest::prelude::*;
use serde_json::json;

use super::parse;

#[test]
fn inner_answers_come_in_any_order_with_bodies_of_any_kind() {
    let answer = json!({ "responses": [
        { "id": "2", "status": 404, "headers": { "Content-Type": "application/json" }, "body": { "error": { "code": "x" } } },
        { "id": 0, "status": 200, "headers": null, "body": "RnJvbTogYQ0K\r\nDQo=" },
        { "id": "1", "status": 429, "headers": { "Retry-After": "7", "X-Number": 5, "bad name": "x" } },
        { "id": "3", "status": 200, "body": "not base64!" },
        { "id": "4", "status": 200, "body": null }
    ] });
    let parts = parse(answer.to_string().as_bytes()).unwrap();
    let brief: Vec<(usize, u16, &[u8])> =
        parts.iter().map(|part| (part.index, part.status.as_u16(), &part.body[..])).collect();
    assert_eq!(brief[0], (2, 404, &br#"{"error":{"code":"x"}}"#[..]));
    assert_eq!(brief[1], (0, 200, &b"From: a\r\n\r\n"[..]));
    assert_eq!(brief[2], (1, 429, &b""[..]));
    assert_eq!(brief[3], (3, 200, &b"not base64!"[..]));
    assert_eq!((brief[4].0, parts[4].status), (4, StatusCode::OK));
    assert_eq!(
        (&parts[2].headers["retry-after"], &parts[2].headers["x-number"]),
        (&"7".parse().unwrap(), &"5".parse().unwrap())
    );
}

#[test]
fn what_makes_no_sense_is_left_out_and_counts_as_unanswered() {
    let answer = json!({ "responses": [
        7, {}, { "id": "x", "status": 200 }, { "id": "-1", "status": 200 }, { "id": "0", "status": 7 },
        { "id": "0", "status": "200" }, { "id": null, "status": 200 }, { "id": "1", "status": 204 }
    ] });
    let parts = parse(answer.to_string().as_bytes()).unwrap();
    assert_eq!(parts.iter().map(|part| part.index).collect::<Vec<_>>(), [1]);
    for none in ["", "[]", "<html>", "{}", "{\"responses\":7}", "{\"responses\":[{\"id\":\"1\",\"status\":200}"] {
        assert_eq!(parse(none.as_bytes()), None, "{none}");
    }
}

proptest! {
    #[test]
    fn nothing_that_could_come_panics(text in ".{0,200}", cut in 0_usize..400, body in any::<Vec<u8>>()) {
        let whole = json!({ "responses": [{ "id": "1", "status": 200, "headers": { "A": text }, "body": text }] }).to_string();
        let _ = parse(&whole.as_bytes()[..cut.min(whole.len())]);
        let _ = parse(&body);
        prop_assert_eq!(parse(whole.as_bytes()).map(|parts| parts.len()), Some(1));
    }
}
