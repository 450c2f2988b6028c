use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Inner, parse};

const KIND: &str = "multipart/mixed; boundary=batch_XYZ";

fn parts(body: &str) -> Vec<Inner> {
    parse(KIND, &Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn brief(parts: &[Inner]) -> Vec<(usize, u16, &str)> {
    parts.iter().map(|part| (part.index, part.status.as_u16(), std::str::from_utf8(&part.body).unwrap())).collect()
}

#[test]
fn every_inner_status_is_seen_and_named_by_its_content_id() {
    let body = "--batch_XYZ\r\nContent-Type: application/http\r\nContent-ID: <response-item-1>\r\n\r\n\
                HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 9\r\n\r\n{\"error\":{}}\r\n\
                --batch_XYZ\r\nContent-Type: application/http\r\nContent-ID: <response-item-0>\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"id\":\"a\"}\r\n--batch_XYZ--\r\n";
    let parts = parts(body);
    assert_eq!(brief(&parts), [(1, 429, "{\"error\":{}}"), (0, 200, "{\"id\":\"a\"}")]);
    assert_eq!(parts[0].headers["retry-after"], "9");
}

#[test]
fn boundaries_come_quoted_and_bare_and_lines_end_either_way() {
    let body = "--b 1\nContent-ID: response-item-7\n\nHTTP/1.1 204 No Content\n\n\n--b 1--";
    for kind in ["multipart/mixed; boundary=\"b 1\"", "Multipart/Mixed; charset=x; Boundary=b 1"] {
        assert_eq!(brief(&parse(kind, &Bytes::from_static(body.as_bytes())).unwrap()), [(7, 204, "")]);
    }
}

#[test]
fn an_answer_that_is_no_multipart_is_none() {
    for kind in ["", "application/json", "text/html; boundary=b", "multipart/mixed", "multipart/mixed; boundary="] {
        assert!(parse(kind, &Bytes::from_static(b"{}")).is_none(), "{kind}");
    }
}

#[test]
fn a_cut_off_part_is_not_believed() {
    assert!(parts("--batch_XYZ\r\nContent-ID: <response-item-0>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{\"id\":\"a").is_empty());
}

#[test]
fn a_part_without_a_usable_name_or_status_is_left_out() {
    let body = "--batch_XYZ\r\nContent-ID: <response-item-x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n\
                --batch_XYZ\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n\
                --batch_XYZ\r\nContent-ID: <response-item-2>\r\n\r\n200 OK\r\n\r\n{}\r\n\
                --batch_XYZ\r\nContent-ID: <response-item-3>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n--batch_XYZ--";
    assert_eq!(brief(&parts(body)), [(3, 200, "{}")]);
}

#[test]
fn the_time_taken_grows_with_the_size_and_not_with_its_square() {
    let hostile = [
        "--batch_XYZ\r\n".repeat(200_000),
        "-".repeat(3_000_000),
        format!("--batch_XYZ\r\n{}", "a: b\r\n".repeat(400_000)),
        "\n".repeat(3_000_000),
    ];
    for body in hostile {
        let begun = Instant::now();
        parts(&body);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

proptest! {
    #[test]
    fn rubbish_never_panics(kind in ".{0,60}", body in proptest::collection::vec(any::<u8>(), 0..2000)) {
        parse(&kind, &Bytes::from(body.clone()));
        let mut framed = b"--batch_XYZ\r\nContent-ID: <response-item-0>\r\n\r\nHTTP/1.1 200 OK\r\n".to_vec();
        framed.extend(body);
        framed.extend(b"\r\n--batch_XYZ--");
        parse(KIND, &Bytes::from(framed));
    }

    #[test]
    fn what_was_put_in_comes_out(bodies in proptest::collection::vec("[ -~]{0,80}[!-~]", 0..12)) {
        let mut text = String::new();
        for (index, body) in bodies.iter().enumerate().rev() {
            text.push_str("--batch_XYZ\r\nContent-Type: application/http\r\n");
            text.push_str(&format!("Content-ID: <response-item-{index}>\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n{body}\r\n"));
        }
        text.push_str("--batch_XYZ--\r\n");
        let mut got = parts(&text);
        got.sort_by_key(|part| part.index);
        let got: Vec<String> = got.iter().map(|part| String::from_utf8(part.body.to_vec()).unwrap()).collect();
        prop_assert_eq!(got, bodies);
    }
}
