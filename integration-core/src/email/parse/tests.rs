mod charsets;
mod repairs;
mod seen;
mod short;

use std::{env, fs, path::PathBuf};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

use super::{addresses, attachment, date, decode_header, html_to_text, ids, message, mime, snippet};
use crate::{
    email::{Address, Message},
    error::ErrorKind,
};

fn read(text: &str) -> Message {
    message(text.as_bytes()).unwrap()
}

fn pairs(header: &str) -> Vec<(Option<String>, String)> {
    addresses(header).into_iter().map(|address| (address.name, address.address)).collect()
}

fn parts(message: &Message) -> Vec<(&str, &str, Option<&str>)> {
    message
        .attachments
        .iter()
        .map(|file| (file.part.as_str(), file.media_type.as_str(), file.name.as_deref()))
        .collect()
}

const MIXED: &str = "From: a@x.example\r\nContent-Type: multipart/mixed; boundary=\"out\"\r\n\r\npreamble\r\n\
    --out\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n\
    --in\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain\r\n\
    --in\r\nContent-Type: multipart/related; boundary=rel\r\n\r\n\
    --rel\r\nContent-Type: text/html\r\n\r\n<p>rich <img src=\"cid:logo@x\"></p>\r\n\
    --rel\r\nContent-Type: image/PNG; name=logo.png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    AAEC\r\nAw==\r\n--rel--\r\n--in--\r\n\
    --out\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''Angebot%20f%C3%BCr%20Sie.pdf\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\n=41b=\r\nc\r\n\
    --out--\r\nepilogue\r\n";

#[test]
fn a_plain_message_is_read() {
    let read = read(
        "Date: Mon, 02 Nov 2026 10:30:00 +0100\r\nFrom: \"Lovelace, Ada\" <Ada@X.example>\r\nTo: a@y.example, B <b@y.example>\r\n\
         Message-ID: <1@x.example>\r\nIn-Reply-To: <0@y.example>\r\nReferences: <00@y.example>\r\n <0@y.example>\r\n\
         Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n\r\nWorld\r\n",
    );
    assert_eq!(read.date.unwrap().to_rfc3339(), "2026-11-02T09:30:00+00:00");
    assert_eq!(read.from, vec![Address::new("Ada@X.example").with_name("Lovelace, Ada")]);
    assert_eq!(read.to, vec![Address::new("a@y.example"), Address::new("b@y.example").with_name("B")]);
    assert_eq!(read.message_id.as_deref(), Some("1@x.example"));
    assert_eq!(read.in_reply_to, ["0@y.example"]);
    assert_eq!(read.references, ["00@y.example", "0@y.example"]);
    assert_eq!(read.subject, "Grüße");
    assert_eq!(read.text, "Hello\n\nWorld\n");
    assert_eq!(read.snippet, "Hello World");
    assert_eq!((read.html, read.calendar, read.attachments.len()), (None, None, 0));
    assert_eq!(read.headers.all.len(), 7);
}

#[test]
fn parts_are_numbered_as_positions_in_the_tree() {
    let read = read(MIXED);
    assert_eq!(read.text, "plain");
    assert_eq!(read.html.as_deref(), Some("<p>rich <img src=\"cid:logo@x\"></p>"));
    assert_eq!(
        parts(&read),
        [("0.1.1", "image/png", Some("logo.png")), ("1", "application/pdf", Some("Angebot für Sie.pdf"))]
    );
    assert_eq!(read.attachments[0].size, 4);
    assert_eq!(read.attachments[0].content_id.as_deref(), Some("logo@x"));
    assert!(read.attachments[0].inline && !read.attachments[1].inline);
}

#[test]
fn a_part_is_fetched_by_its_path() {
    assert_eq!(attachment(MIXED.as_bytes(), "0.1.1").unwrap(), [0, 1, 2, 3]);
    assert_eq!(attachment(MIXED.as_bytes(), "1").unwrap(), b"Abc");
    assert_eq!(attachment(MIXED.as_bytes(), "0.0").unwrap(), b"plain");
    for missing in ["", "0", "2", "0.1", "x", "1.0", "0.1.1.0"] {
        assert_eq!(attachment(MIXED.as_bytes(), missing), None, "{missing}");
    }
}

#[test]
fn a_message_that_is_one_file_has_it_as_its_root() {
    let raw =
        "From: a@x.example\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\n";
    let read = read(raw);
    assert_eq!(parts(&read), [("", "application/pdf", Some("a.pdf"))]);
    assert_eq!(read.text, "");
    assert_eq!(attachment(raw.as_bytes(), "").unwrap(), b"ABC");
}

#[test]
fn a_forwarded_message_is_attached_and_its_text_is_not_ours() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nmine\n--b\nContent-Type: message/rfc822\n\n\
         From: other@y.example\nSubject: theirs\nContent-Type: text/html\n\n<p>theirs</p>\n--b--\n",
    );
    assert_eq!(read.text, "mine");
    assert_eq!(read.html, None);
    assert_eq!(parts(&read), [("1", "message/rfc822", None)]);
}

#[test]
fn the_parts_of_a_digest_are_messages() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/digest; boundary=b\n\n--b\n\nFrom: c@y.example\n\none\n--b--\n",
    );
    assert_eq!((read.text.as_str(), parts(&read)), ("", vec![("0", "message/rfc822", None)]));
}

#[test]
fn a_named_text_is_an_attachment_and_a_named_root_is_not() {
    let two = "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nbody\n--b\n\
               Content-Type: text/plain; name=notes.txt\n\nnotes\n--b--\n";
    assert_eq!(parts(&read(two)), [("1", "text/plain", Some("notes.txt"))]);
    let one = "From: a@x.example\nContent-Type: text/plain; name=notes.txt\n\nnotes\n";
    assert_eq!((read(one).text.as_str(), read(one).attachments.len()), ("notes\n", 0));
}

#[test]
fn text_is_made_from_html_where_there_is_none() {
    let read = read(
        "From: a@x.example\nContent-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
         <style>p{}</style><p>Gr=FC=DFe,</p><p>Ada &amp; Kim</p>\n",
    );
    assert_eq!(read.text, "Grüße,\n\nAda & Kim");
    assert!(read.html.unwrap().contains("<style>"));
}

#[test]
fn the_first_calendar_part_is_kept() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nCome\n--b\n\
         Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--b\nContent-Type: text/calendar\n\nsecond\n--b--\n",
    );
    assert_eq!(read.calendar.as_deref(), Some("BEGIN:VCALENDAR"));
    assert_eq!(read.text, "Come");
}

#[test]
fn raw_bytes_in_headers_are_utf_8_else_windows_1252() {
    let latin = message(b"From: J\xFCrgen <j@x.example>\nSubject: 50 \x80 f\xFCr Sie\n\nx").unwrap();
    assert_eq!((latin.subject.as_str(), latin.from[0].name.as_deref()), ("50 € für Sie", Some("Jürgen")));
    assert_eq!(read("From: Jürgen <j@x.example>\nSubject: für\n\nx").subject, "für");
}

#[test]
fn an_unlabelled_eight_bit_text_is_utf_8_else_windows_1252() {
    assert_eq!(message(b"From: a@x.example\n\nf\xFCr 5 \x80").unwrap().text, "für 5 €");
    assert_eq!(message("From: a@x.example\n\nfür".as_bytes()).unwrap().text, "für");
}

#[test]
fn no_nul_survives() {
    let raw = b"From: a\0@x.example\nSubject: a\0b =?utf-8?q?c=00d?=\nX-\0: x\nX-Y: =?utf-8?b?AAAA?=\n\nte\0xt";
    let read = message(raw).unwrap();
    assert_eq!((read.subject.as_str(), read.text.as_str()), ("ab cd", "text"));
    assert!(!serde_json::to_string(&read).unwrap().contains("\\u0000"));
}

#[test]
fn bytes_without_a_header_field_are_no_message() {
    for raw in [
        &b""[..],
        b"\n\n",
        b"just a letter\nwithout anything\n",
        b"\xff\xfe\x00",
        b"Note to self: buy milk",
        b": x\n\n",
    ] {
        assert_eq!(message(raw).unwrap_err().kind(), ErrorKind::Validation, "{raw:?}");
    }
}

#[test]
fn a_header_alone_is_a_message() {
    assert_eq!(read("Subject: only this").subject, "only this");
    assert_eq!(read("\u{feff}\r\nFrom me Mon Nov  2 2026\nSubject: in an mbox\n\nx").subject, "in an mbox");
    assert_eq!(read("Subject: old\rTo: a@x.example\r\rtext\r").text, "text\n");
}

#[test]
fn a_message_above_the_limit_is_refused() {
    let raw = vec![b'x'; super::MAX_BYTES + 1];
    assert_eq!(message(&raw).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(attachment(&raw, ""), None);
}

#[test]
fn a_multipart_without_its_boundary_is_text() {
    assert_eq!(read("From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\nhello\n").text, "hello\n");
    assert_eq!(read("From: a@x.example\nContent-Type: multipart/mixed\n\nhello\n").text, "hello\n");
}

#[test]
fn an_unterminated_multipart_ends_with_the_message() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: image/gif\n\nGIF",
    );
    assert_eq!((read.text.as_str(), parts(&read)), ("hello", vec![("1", "image/gif", None)]));
    assert_eq!(read.attachments[0].size, 3);
}

#[test]
fn a_boundary_that_begins_like_another_is_not_mixed_up() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=bb\n\n\
         --bb\n\none\n--bb--\n--b\nContent-Type: image/gif\n\nGIF\n--b--\n",
    );
    assert_eq!((read.text.as_str(), parts(&read)), ("one", vec![("1", "image/gif", None)]));
}

#[test]
fn headers_are_kept_up_to_their_bounds() {
    let many: String = (0..900).map(|at| format!("X-{at}: {at}\n")).collect();
    let read = read(&format!("{many}Subject: last\nX-Long: {}\n\nx", "y".repeat(100_000)));
    assert_eq!(read.headers.all.len(), 200);
    assert_eq!(read.subject, "last");
    let long = self::read(&format!("X-Long: {}\n\nx", "é".repeat(100_000)));
    assert_eq!(long.headers.get("x-long").unwrap().len(), 8 * 1024);
}

#[test]
fn addresses_are_taken_out_of_groups_and_comments() {
    let plain = |address: &str| (None, address.to_owned());
    let named = |name: &str, address: &str| (Some(name.to_owned()), address.to_owned());
    assert_eq!(
        pairs("Team: a@x.example, B <b@x.example>;, c@x.example"),
        [plain("a@x.example"), named("B", "b@x.example"), plain("c@x.example")]
    );
    assert_eq!(pairs("undisclosed-recipients:;"), []);
    assert_eq!(pairs("Undisclosed Recipients"), []);
    assert_eq!(pairs(""), []);
    assert_eq!(pairs("MAILER-DAEMON"), [plain("MAILER-DAEMON")]);
    assert_eq!(pairs("a@x.example (Ada)"), [named("Ada", "a@x.example")]);
    assert_eq!(pairs("=?utf-8?q?L=C3=B6w=2C_Ada?= <a@x.example>"), [named("Löw, Ada", "a@x.example")]);
    assert_eq!(pairs("\"=?utf-8?b?TMO2dw==?=\" <a@x.example>"), [named("Löw", "a@x.example")]);
    assert_eq!(
        pairs("Ada\r\n Low <a@x.example>,\r\n\tb@x.example"),
        [named("Ada Low", "a@x.example"), plain("b@x.example")]
    );
    assert_eq!(pairs("Ada <a@x.example"), [named("Ada", "a@x.example")]);
}

#[test]
fn dates_are_real_or_absent() {
    let at = |text: &str| date(text).map(|date| date.to_rfc3339());
    assert_eq!(at("Mon, 2 Nov 2026 10:00:00 -0500").as_deref(), Some("2026-11-02T15:00:00+00:00"));
    assert_eq!(at("2 Nov 2026 10:00 GMT (comment)").as_deref(), Some("2026-11-02T10:00:00+00:00"));
    assert_eq!(at("Mon, 2 Nov 2026 10:00:00 +0530").as_deref(), Some("2026-11-02T04:30:00+00:00"));
    for none in
        ["", "yesterday", "31 Feb 2026 10:00:00 +0000", "1 Jan 9999 00:00:00 +0000", "2 Nov 2026 25:00:00 +0000"]
    {
        assert_eq!(at(none), None, "{none:?}");
    }
}

#[test]
fn ids_lose_their_brackets() {
    assert_eq!(ids("<a@x>\r\n <b@x>,<c@x>"), ["a@x", "b@x", "c@x"]);
    assert_eq!(ids("a@x b@x"), ["a@x", "b@x"]);
    assert_eq!(ids("Your message of Monday <a@x>"), ["a@x"]);
    assert_eq!(ids("<<a@x>>"), ["a@x"]);
    assert_eq!(ids("<a\r\n @x>"), ["a@x"]);
    assert_eq!(ids("<> < >"), Vec::<String>::new());
    assert_eq!(ids("<a@x"), ["a@x"]);
}

#[test]
fn encoded_words_are_decoded_even_twice_encoded() {
    assert_eq!(decode_header("=?iso-8859-1?q?Gr=FC=DFe?= aus =?utf-8?b?S8O2bG4=?="), "Grüße aus Köln");
    assert_eq!(decode_header("=?utf-8?q?a?=\r\n =?utf-8?q?b?="), "ab");
    assert_eq!(decode_header("=?us-ascii?q?=3D=3Fus-ascii=3Fq=3Fx=3F=3D?="), "x");
    assert_eq!(decode_header("  plain \t text  "), "plain   text");
    assert_eq!(decode_header("=?utf-8?q?a=0D=0ABcc:_x?="), "a Bcc: x");
    assert_eq!(decode_header("=?broken"), "=?broken");
}

#[test]
fn html_becomes_the_text_a_person_sees() {
    assert_eq!(html_to_text("<ul><li>a<li>b</ul><p>x<br>y"), "* a\n* b\n\nx\ny");
    assert_eq!(html_to_text("<table><tr><td>a</td><td>b</td></tr><tr><td>12</td></tr></table>"), "a b\n12");
    assert_eq!(html_to_text("<blockquote><p>old</p></blockquote>new"), "> old\n\nnew");
    assert_eq!(html_to_text("<h2>Offer</h2><a href='x'>here</a> 1 < 2 &lt;b&gt;"), "Offer\n\nhere 1 < 2 <b>");
    assert_eq!(
        html_to_text("<head><title>t</title><script>if (a</b) {}</script></head>a<!-- > c -->b<?xml?><o:p></o:p>"),
        "ab"
    );
    assert_eq!(html_to_text("<a title=\"a > b\">t</a><p title=it's>u"), "t\n\nu");
    assert_eq!(html_to_text(""), "");
}

#[test]
fn a_snippet_is_one_short_line() {
    assert_eq!(snippet("  a\r\n\tb\u{200c}\u{34f}  c "), "a b c");
    assert_eq!(snippet(&"é ".repeat(1_000)).chars().count(), 199);
    assert_eq!(snippet(&"é".repeat(1_000)).chars().count(), 200);
}

fn multipart(depth: usize) -> String {
    let mut raw = String::from("From: a@x.example\n");
    for level in 0..depth {
        raw.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    raw + "\ndeep\n"
}

#[test]
fn a_hundred_thousand_parts_are_cut_off() {
    let raw = format!(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\nContent-Type: a/b\n\nx\n".repeat(100_000)
    );
    assert_eq!(read(&raw).attachments.len(), mime::MAX_PARTS - 1);
    let empty = format!("From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n{}", "--b\n".repeat(100_000));
    assert!(read(&empty).text.len() < 2 * mime::MAX_PARTS);
}

#[test]
fn three_thousand_nested_multiparts_stay_closed_below_the_limit() {
    let read = read(&multipart(3_000));
    assert_eq!(read.attachments.len(), 1);
    assert_eq!(read.attachments[0].part.matches('.').count(), mime::MAX_DEPTH - 1);
    assert_eq!(self::read(&multipart(mime::MAX_DEPTH)).text, "deep\n");
}

#[test]
fn three_hundred_thousand_nested_messages_are_one_attachment() {
    let raw = "From: a@x.example\n".to_owned() + &"Content-Type: message/rfc822\n\n".repeat(300_000);
    assert_eq!(parts(&read(&raw)), [("", "message/rfc822", None)]);
}

#[test]
fn a_header_of_ten_megabytes_is_cut() {
    let raw = format!("To: {}\nSubject: s\n\nx", "a@x.example, ".repeat(800_000));
    let read = read(&raw);
    assert_eq!((read.to.len(), read.subject.as_str()), (2_000, "s"));
    assert!(read.to.iter().all(|address| address.address == "a@x.example"));
    assert!(read.headers.get("to").unwrap().len() <= 8 * 1024);
    for value in ["=?utf-8?q?", "(", "<", "\"", "=?", "a:", "\\", "\u{e4}"] {
        let raw = format!("To: {0}\nFrom: {0}\nSubject: {0}\nContent-Type: {0}\nDate: {0}\n\nx", value.repeat(500_000));
        assert!(message(raw.as_bytes()).is_ok(), "{value}");
    }
}

#[test]
fn a_megabyte_of_nested_html_gives_little_more_than_its_text() {
    let bombs = [
        "<blockquote>x",
        "<div>x",
        "<ul><li>x",
        "<table><tr><td>x",
        "<b a=1><p>x",
        "<p><font size=1>x",
        "<hr>",
        "<!--",
        "<a b=\"",
        "<a b='>",
        "</div><div>x",
        "<svg>",
        "<pre>x",
        "<",
        "&amp;",
        "&",
        "<li>x",
        "<td>x",
        "<dl><dd>x",
        "<script></",
        "<h1>x",
    ];
    for bomb in bombs {
        // The whole megabyte takes seconds without optimisation: once is enough.
        let size = if bomb.starts_with("<blockquote") { 1_048_576 } else { 131_072 };
        let html = bomb.repeat(size / bomb.len());
        let text = html_to_text(&html);
        assert!(text.len() < 12 * size, "{bomb}: {}", text.len());
    }
}

fn seeded(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(42), failure_persistence: None, ..Config::default() }
}

/// Every answer keeps what the type promises.
fn check(raw: &[u8]) {
    let Ok(message) = message(raw) else { return };
    assert!(message.headers.all.len() <= 200);
    assert!(message.headers.all.iter().all(|(name, value)| name.len() <= 256 && value.len() <= 8 * 1024));
    assert!(message.snippet.chars().count() <= 200 && !message.snippet.contains('\n'));
    assert!(message.attachments.len() <= mime::MAX_PARTS);
    assert!(!serde_json::to_string(&message).unwrap().contains("\\u0000"));
    for file in message.attachments.iter().take(5) {
        assert_eq!(attachment(raw, &file.part).unwrap().len() as u64, file.size);
    }
}

proptest! {
    #![proptest_config(seeded(500))]

    #[test]
    fn any_bytes_are_read_or_refused(raw in prop::collection::vec(any::<u8>(), 0..2_000)) {
        check(&raw);
    }

    #[test]
    fn any_header_value_is_read(value in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut raw = Vec::new();
        for name in ["From", "To", "Date", "Subject", "References", "Content-Type", "Content-Disposition", "Content-ID"] {
            raw.extend([name.as_bytes(), b": ", value.as_bytes(), &bytes, b"\r\n"].concat());
        }
        check(&raw);
        let once = decode_header(&value);
        prop_assert_eq!(decode_header(&once), once);
        let _ = date(&value);
        let _ = ids(&value);
        let _ = addresses(&value);
    }

    #[test]
    fn decoding_words_twice_changes_nothing(words in prop::collection::vec("(=\\?(utf-8|iso-8859-1|x)\\?[qbQB]\\?[ -~]{0,20}\\?=|[ -~é]{0,10})", 0..6)) {
        let once = decode_header(&words.join(" "));
        prop_assert_eq!(decode_header(&once), once);
    }

    #[test]
    fn a_damaged_message_is_read(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..30)) {
        let mut raw = MIXED.as_bytes().to_vec();
        for (place, byte, how) in places {
            let at = place.index(raw.len());
            match how {
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                _ => { raw.drain(at..(at + usize::from(byte)).min(raw.len() - 1).max(at)); }
            }
        }
        check(&raw);
    }

    #[test]
    fn any_html_becomes_text(html in "(<[/!]?(p|div|b|li|ul|td|tr|table|blockquote|script|!--|svg|pre)( a=['\"]?)?>?|&[a-z]{0,3};?|[a-z<> é]{0,5}){0,60}") {
        prop_assert!(!html_to_text(&html).contains('\0'));
    }
}

#[test]
fn every_shared_sample_is_read_or_refused_with_a_reason() {
    let shared = env::var_os("INTEGRATION_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let mail = shared.join("data/mail");
    let Ok(folders) = fs::read_dir(&mail) else {
        println!("no shared mail samples at {}: nothing to read", mail.display());
        return;
    };
    let (mut fine, mut refused) = (0, 0);
    for folder in folders.map(|folder| folder.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let raw = fs::read(&file).unwrap();
            check(&raw);
            match message(&raw) {
                Ok(_) => fine += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Validation, "{}", file.display());
                    println!("refused: {}: {error}", file.display());
                    refused += 1;
                }
            }
        }
    }
    println!("{fine} shared samples read, {refused} refused");
    assert!(fine > 100, "only {fine} read");
}

#[test]
fn the_bundled_mailbox_is_read_but_for_its_one_broken_file() {
    let mail = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/sample/mail");
    let Ok(files) = fs::read_dir(&mail) else {
        println!("no sample mailbox at {}: nothing to read", mail.display());
        return;
    };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut ids = std::collections::HashMap::<String, usize>::new();
    let (mut refused, mut threaded, mut files_attached, mut invitations) = (Vec::new(), 0, 0, 0);
    for file in &files {
        let Ok(message) = message(&fs::read(file).unwrap()) else {
            refused.push(file.file_name().unwrap().to_string_lossy().into_owned());
            continue;
        };
        assert!(message.date.is_some() && !message.from.is_empty(), "{}", file.display());
        assert!(!message.snippet.is_empty() && !message.text.contains('\u{fffd}'), "{}", file.display());
        *ids.entry(message.message_id.unwrap()).or_default() += 1;
        threaded += usize::from(!message.references.is_empty());
        files_attached += message.attachments.len();
        invitations += usize::from(message.calendar.is_some());
    }
    let twice = ids.values().filter(|&&count| count > 1).count();
    println!(
        "{} files, {threaded} answers, {files_attached} attachments, {invitations} invitations, {twice} twice",
        files.len()
    );
    assert!(files.len() <= 250 && files.len() >= 200);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("not-a-message"));
    assert_eq!((invitations, twice), (6, 3));
}
