use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn tree(text: &str) -> Part {
    parse(&Bytes::from(text.replace('\n', "\r\n")))
}

#[test]
fn folded_header_becomes_one_line() {
    let part = tree("Subject: one\n two\n\tthree\n\nbody");
    assert_eq!(part.header("subject"), Some("one two three"));
    assert_eq!(&part.body[..], b"body");
}

#[test]
fn encoded_words_join_and_keep_characters_cut_between_them() {
    assert_eq!(decode_words("=?utf-8?Q?M=C3?= =?UTF-8?Q?=BCller?= & =?iso-8859-1?b?Svxy?="), "Müller & Jür");
    assert_eq!(decode_words("=?nope"), "=?nope");
    assert_eq!(decode_words("a =?x?z?y?= b"), "a =?x?z?y?= b");
}

#[test]
fn decoded_name_with_a_comma_stays_one_address() {
    let part = tree("From: =?utf-8?q?M=C3=BCller=2C_Jan?= <jan@example.com>\n\n");
    assert_eq!(part.header("From"), Some("\"Müller, Jan\" <jan@example.com>"));
    assert_eq!(addresses(part.header("From").unwrap()), ["jan@example.com"]);
}

#[test]
fn addresses_come_out_of_names_groups_and_bare_words() {
    let value = "\"A, b\" <A@x.org>, c@y.org (C), team: d@z.org, <e@z.org>;";
    assert_eq!(addresses(value), ["a@x.org", "c@y.org", "d@z.org", "e@z.org"]);
    assert!(addresses("undisclosed-recipients:;").is_empty());
}

#[test]
fn parameters_follow_rfc_2231_in_pieces_and_with_character_sets() {
    let given = parse_parametrised("attachment; filename*0*=iso-8859-1'de'%dcber; filename*1=\" b.txt\"; size=3");
    assert_eq!(given.value, "attachment");
    assert_eq!(given.params["filename"], "Über b.txt");
    let both = parse_parametrised("attachment; filename=\"f.txt\"; filename*=UTF-8''%c3%a9.txt");
    assert_eq!(both.params["filename"], "é.txt");
    let word = parse_parametrised("a/b (comment; x=y); name=\"=?utf-8?B?w6k=?=\"");
    assert_eq!((word.value.as_str(), word.params["name"].as_str()), ("a/b", "é"));
}

#[test]
fn multipart_divides_at_its_own_boundary_only() {
    let part = tree(
        "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b1\nstill one\n--b  \n\
         Content-Type: text/html\n\n<p>two</p>\n--b--\nepilogue",
    );
    let bodies: Vec<_> = part.children.iter().map(|p| p.body.clone()).collect();
    assert_eq!(bodies, ["one\r\n--b1\r\nstill one", "<p>two</p>"]);
    assert_eq!(part.children[1].mime_type, "text/html");
}

#[test]
fn unclosed_multipart_keeps_its_last_part() {
    let part = tree("Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n\none\n--b\n\ntwo");
    assert_eq!(part.children.len(), 2);
    assert_eq!(&part.children[1].body[..], b"two");
}

#[test]
fn multipart_without_any_boundary_is_shown_as_text() {
    let part = tree("Content-Type: multipart/mixed\n\nlost?");
    assert_eq!((part.mime_type.as_str(), part.text().as_deref()), ("text/plain", Some("lost?")));
}

#[test]
fn attached_message_is_the_child_of_its_part() {
    let part = tree("Content-Type: message/rfc822\n\nSubject: inner\n\nhello");
    assert_eq!(part.children[0].header("subject"), Some("inner"));
}

#[test]
fn bodies_lose_their_transfer_encoding_and_know_their_length() {
    for (encoding, body, want) in [
        ("base64", "SGVs\r\nbG8=", "Hello"),
        ("base64", "SGVsbG8", "Hello"),
        ("base64", "SA==SQ==", "HI"),
        ("quoted-printable", "H=65llo=\r\n you =", "Hello you "),
        ("quoted-printable", "100=ZZ", "100=ZZ"),
        ("8bit", "as is", "as is"),
    ] {
        let part = tree(&format!("Content-Transfer-Encoding: {encoding}\n\n{body}").replace("\r\n", "\n"));
        assert_eq!(part.decoded(), want.as_bytes(), "{encoding} {body}");
        assert_eq!(part.decoded_len(), want.len(), "{encoding} {body}");
    }
}

#[test]
fn character_sets_become_utf_8_and_unknown_ones_are_refused() {
    assert_eq!(decode_charset("windows-1252", b"\x80\xe9").as_deref(), Some("€é"));
    assert_eq!(decode_charset("ISO-8859-15", b"\xa4").as_deref(), Some("€"));
    assert_eq!(decode_charset("utf-16", b"\xff\xfeh\0i\0").as_deref(), Some("hi"));
    assert_eq!(decode_charset("utf-16be", b"\0h\0i").as_deref(), Some("hi"));
    assert_eq!(decode_charset("us-ascii", "é".as_bytes()).as_deref(), Some("é"));
    assert_eq!(decode_charset("klingon", b"x"), None);
}

#[test]
fn line_that_is_no_header_begins_the_body() {
    let part = tree("From me Mon\nSubject: s\nno header here\n\nrest");
    assert_eq!(part.header("subject"), Some("s"));
    assert!(part.body.starts_with(b"no header here"));
}

#[test]
fn depth_and_number_of_parts_are_capped() {
    let mut deep = String::new();
    for level in 0..200 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    assert!(tree(&deep).walk().len() <= MAX_DEPTH + 2);
    let wide = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(20_000));
    assert!(tree(&wide).walk().len() <= MAX_PARTS + 1);
}

#[test]
fn hostile_repetition_is_read_in_linear_time() {
    for piece in ["=?", "=?utf-8?q?", "=", "= ", "\"", "(", "a*0*=", ";", "\n", "\r\n ", "--b\n", "<", ":"] {
        let body = piece.repeat(400_000 / piece.len());
        let head = format!("Content-Type: multipart/mixed; boundary=b; {body}\r\nSubject: {body}\r\n\r\n{body}");
        let raw = Bytes::from(head);
        for part in parse(&raw).walk() {
            part.decoded_len();
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_tree(raw in proptest::collection::vec(any::<u8>(), 0..600)) {
        for part in parse(&Bytes::from(raw)).walk() {
            prop_assert_eq!(part.decoded().len(), part.decoded_len());
            part.text();
            part.file_name();
        }
    }

    #[test]
    fn any_header_text_is_decoded_and_plain_text_is_left_alone(text in "\\PC{0,200}") {
        decode_words(&text);
        addresses(&text);
        parse_parametrised(&text);
        if !text.contains("=?") {
            prop_assert_eq!(decode_words(&text), text);
        }
    }
}
