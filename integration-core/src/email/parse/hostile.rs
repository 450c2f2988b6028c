//! Hostile messages: no panic, no more memory than a few times their size, no time that grows with its square.

use super::*;
use crate::testing::{assert_linear, fuzz};

const SEEDS: [&[u8]; 6] = [
    b"From: Ann <ann@x.example>\r\nTo: Bob <bob@x.example>, \"C, D\" <c@x.example>\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\
      Date: Mon, 02 Mar 2026 10:30:00 +0200\r\nMessage-ID: <a@x.example>\r\nReferences: <b@x.example> <c@x.example>\r\n\r\nHello\r\n",
    b"From: a@x.example\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\
      Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nplain\r\n--c\r\nContent-Type: text/html; charset=iso-8859-1\r\n\
      Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=FC=DFe</p>=\r\n\r\n--c--\r\n--b\r\nContent-Type: application/pdf\r\n\
      Content-Disposition: attachment; filename*0*=utf-8''%C3%BC; filename*1=ber.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n",
    b"From: MAILER-DAEMON\r\nContent-Type: multipart/report; boundary=r; report-type=delivery-status\r\n\r\n--r\r\n\r\ntext\r\n--r\r\n\
      Content-Type: message/delivery-status\r\n\r\nStatus: 5.1.1\r\n--r\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@x.example\r\n\r\nx\r\n--r--\r\n",
    b"From: a@x.example\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n",
    b"From: a@x.example\nContent-Type: text/html\n\n<table><tr><td>a<td>b</table><ul><li>x<li>y</ul><blockquote>q</blockquote><!-- c --><script>s</script>&amp;",
    b"From: a@x.example\nContent-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 8bit\n\n\x1b$B%F%9%H\x1b(B\n",
];

const WORDS: [&str; 24] = [
    "\r\n",
    "\r\n\r\n",
    "--b\r\n",
    "--b--\r\n",
    "--c\r\n",
    "=?utf-8?Q?",
    "?=",
    "=?",
    "<",
    ">",
    "(",
    "\"",
    "\\",
    ",",
    ";",
    "@",
    "From: ",
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "; a*0*=x''%",
    "<div>",
    "<!--",
    "Date: 99999999999999999999 -9999\r\n",
];

/// What the types promise, and that nothing grows out of nothing.
fn check(raw: &[u8]) {
    let Ok(message) = message(raw) else { return };
    assert!(message.headers.all.len() <= MAX_HEADERS);
    assert!(message.attachments.len() <= mime::MAX_PARTS);
    assert!(message.snippet.chars().count() <= 200);
    let kept = message.text.len() + message.html.as_ref().map_or(0, String::len) + message.subject.len();
    assert!(kept <= 40 * raw.len() + 1_000, "{kept} bytes of text from {}", raw.len());
    for file in message.attachments.iter().take(3) {
        let bytes = attachment(raw, &file.part).expect("what is listed is there");
        assert_eq!(bytes.len() as u64, file.size);
    }
    assert!(serde_json::to_string(&message).is_ok_and(|text| !text.contains("\\u0000")));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    fuzz("mail parser", 3_000, &SEEDS, &WORDS, check);
}

#[test]
fn mutated_header_values_are_read() {
    let seeds: [&[u8]; 4] = [
        b"Ann Example <ann@x.example>, =?utf-8?Q?J=C3=B6rg?= <j@x.example>; Team: a@x, b@x;",
        b"Mon, 02 Mar 2026 10:30:00 +0200 (CEST)",
        b"<a@x.example> <b@x.example>",
        b"=?iso-8859-1?Q?K=F6ln?= =?utf-8?B?4oKs?=",
    ];
    fuzz("header values", 5_000, &seeds, &WORDS, |input| {
        let value = String::from_utf8_lossy(input);
        let _ = (addresses(&value), date(&value), ids(&value));
        let decoded = decode_header(&value);
        assert_eq!(decode_header(&decoded), decoded, "decoding twice changes nothing");
    });
}

#[test]
fn encoded_words_that_peel_off_one_by_one_come_to_an_end() {
    let value = "=?utf-8?Q?".repeat(2_000) + &"?=".repeat(2_000);
    let decoded = decode_header(&value);
    assert_eq!(decode_header(&decoded), decoded);
}

#[test]
fn mutated_html_becomes_text() {
    let seeds: [&[u8]; 2] = [
        b"<html><body><p>One<br>two</p><table><tr><td>a</td></tr></table><pre> x </pre></body></html>",
        b"<ul><li>x<ul><li>y</ul></ul><dl><dt>t<dd>d</dl><h1>h</h1><a href=\"x>y\">z</a>&nbsp;&#x41;&bogus;",
    ];
    let words = ["<", ">", "</", "<p", "<blockquote>", "<li>", "<td>", "</table>", "<!--", "-->", "<svg>", "&", "='"];
    fuzz("HTML", 2_000, &seeds, &words, |input| {
        let html = String::from_utf8_lossy(input);
        let text = html_to_text(&html);
        assert!(text.len() <= 40 * html.len() + 1_000, "{} bytes from {}", text.len(), html.len());
    });
}

const PLAIN: &str = "From: a@x.example\n";

/// (what, where growth is measured from in bytes, the message of about that size)
type Shape = (&'static str, usize, fn(usize) -> String);

fn header(name: &str, piece: &str, size: usize) -> String {
    format!("{PLAIN}{name}: {}\n\nx", piece.repeat(size / piece.len()))
}

fn body(kind: &str, piece: &str, size: usize) -> String {
    format!("{PLAIN}Content-Type: {kind}\n\n{}", piece.repeat(size / piece.len()))
}

fn levels(size: usize) -> String {
    let level = |number: usize| format!("Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n");
    (0..size / 60).fold(PLAIN.to_owned(), |text, number| text + &level(number))
}

/// 100,000 parts, 3,000 levels, a header of 10 MB and the like are among the largest of these.
const SHAPES: [Shape; 40] = [
    // Encodings within encodings, and what comes out of little.
    ("base64 that holds base64", 300_000, |size| {
        let inner = "UVVKRFJFVkc=\n".repeat(size / 13);
        format!("{PLAIN}Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{inner}")
    }),
    ("multiparts that claim to be base64", 45_000, |size| {
        let level = |number: usize| {
            format!(
                "Content-Type: multipart/mixed; boundary=b{number}\nContent-Transfer-Encoding: base64\n\n--b{number}\n"
            )
        };
        (0..size / 90).fold(PLAIN.to_owned(), |text, number| text + &level(number))
    }),
    ("quoted-printable of letters that grow", 300_000, |size| {
        let body = "=80=8E=A4".repeat(size / 9);
        format!(
            "{PLAIN}Content-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n{body}"
        )
    }),
    ("one byte that is three", 300_000, |size| body("text/plain; charset=tis-620", "\u{7f}a", size)),
    ("UTF-7", 250_000, |size| body("text/plain; charset=utf-7", "+2D3cqQ-", size)),
    ("character references", 250_000, |size| body("text/html", "&#128169;&NotEqualTilde;&nbsp;", size)),
    ("NUL bytes", 500_000, |size| format!("{PLAIN}Content-Type: text/html\n\n<p>{}", "a\0".repeat(size / 2))),
    ("scripts", 250_000, |size| body("text/html", "<script>if (a</b) alert('<p>')</script><p>x</p>", size)),
    ("forms", 250_000, |size| {
        body("text/html", "<form action=x><select><option>a</select><textarea>b</textarea><input value=c></form>", size)
    }),
    ("blockquotes", 250_000, |size| body("text/html", "<blockquote>", size)),
    ("parts", 650_000, |size| body("multipart/mixed; boundary=b", "--b\nContent-Type: a/b\n\nx\n", size)),
    ("empty parts", 250_000, |size| body("multipart/mixed; boundary=b", "--b\n", size)),
    ("almost boundaries", 500_000, |size| body("multipart/mixed; boundary=b", "--b-\n", size)),
    ("levels", 45_000, levels),
    ("messages within messages", 500_000, |size| {
        PLAIN.to_owned() + &"Content-Type: message/rfc822\n\n".repeat(size / 30)
    }),
    ("digests", 100_000, |size| body("multipart/digest; boundary=b", "--b\n\nFrom: a@x\n\nx\n", size)),
    ("a header", 2_500_000, |size| header("X-Long", "x", size)),
    ("a folded header", 1_000_000, |size| header("Subject", "x\n ", size)),
    ("header fields", 500_000, |size| {
        PLAIN.to_owned() + &"Received: from a by b; Mon, 02 Mar 2026 10:30:00 +0200\n".repeat(size / 55)
    }),
    ("one line", 2_500_000, |size| format!("{PLAIN}\n{}", "x".repeat(size))),
    ("no line at all", 2_500_000, |size| "x".repeat(size)),
    ("empty lines", 1_000_000, |size| format!("{PLAIN}\n{}", "\n".repeat(size))),
    ("encoded words", 60_000, |size| header("Subject", "=?utf-8?Q?=C3=BC?= ", size)),
    ("unfinished encoded words", 60_000, |size| header("Subject", "=?utf-8?Q?", size)),
    ("encoded words of encoded words", 60_000, |size| {
        header("Subject", "=?utf-8?Q?=3D=3Futf-8=3FQ=3Fx=3F=3D?= ", size)
    }),
    ("addresses", 60_000, |size| header("To", "Ann <a@x.example>, ", size)),
    ("groups", 60_000, |size| header("To", "a:b@x;", size)),
    ("comments", 60_000, |size| header("To", "(", size)),
    ("quotes", 60_000, |size| header("To", "\"a\" ", size)),
    ("recipients' fields", 300_000, |size| PLAIN.to_owned() + &"To: a@x.example, b@x.example\n".repeat(size / 30)),
    ("references", 60_000, |size| header("References", "<a@x.example> ", size)),
    ("open brackets", 60_000, |size| header("References", "<", size)),
    ("parameters", 60_000, |size| header("Content-Type", "text/plain; a=b; ", size)),
    ("continued parameters", 60_000, |size| {
        let pieces: String = (0..size / 22).map(|number| format!("; filename*{number}*=utf-8''%41")).collect();
        format!("{PLAIN}Content-Disposition: attachment{pieces}\n\nx")
    }),
    ("base64", 500_000, |size| {
        format!("{PLAIN}Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n{}", "QUJD".repeat(size / 4))
    }),
    ("quoted-printable", 500_000, |size| {
        format!("{PLAIN}Content-Transfer-Encoding: quoted-printable\n\n{}", "=41=\n".repeat(size / 5))
    }),
    ("changes of charset", 250_000, |size| body("text/plain; charset=iso-2022-jp", "\x1b$B%F\x1b(B", size)),
    ("deep HTML", 24_000, |size| body("text/html", "<div><blockquote>x", size)),
    ("tables in tables", 24_000, |size| body("text/html", "<table><tr><td>x", size)),
    ("unclosed tags", 48_000, |size| body("text/html", "<a b=\"", size)),
];

#[test]
fn the_time_taken_grows_with_the_size_and_not_with_its_square() {
    for (what, size, make) in SHAPES {
        assert_linear(what, size, |size| make(size).into_bytes(), |raw| drop(message(raw)));
    }
}

/// "Clean of what stores and pages refuse": no NUL, no other control character but line end and tab.
fn is_clean(text: &str) -> bool {
    let refused = |letter: char| {
        letter.is_control() && letter != '\n' && letter != '\t' || matches!(letter, '\u{fffe}' | '\u{ffff}')
    };
    !text.contains(refused)
}

#[test]
fn every_text_of_a_message_is_clean_of_what_stores_and_pages_refuse() {
    let dirt = "\0\u{1}\u{8}\u{b}\u{c}\u{1b}\u{7f}\u{80}\u{9f}\u{fffe}\u{ffff}";
    let encoded = "=?utf-8?Q?a=00=01=1B=C2=80b?=";
    let header = format!(
        "From: {encoded} <a{dirt}@x.example>\nSubject: {encoded} {dirt}\nMessage-ID: <{dirt}a@x.example>\nX-Own: {dirt}x"
    );
    let file = "Content-Disposition: attachment; filename*=utf-8''a%00%1Bb.pdf";
    for (kind, text) in [("text/plain", format!("a{dirt}b")), ("text/html", format!("<p>a{dirt}b&#0;&#1;&#x80;</p>"))] {
        let raw = format!(
            "{header}\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: {kind}; charset=utf-8\n\n{text}\n\
             --b\nContent-Type: application/pdf\n{file}\n\nx\n\
             --b\nContent-Type: text/calendar\n\nBEGIN{dirt}\n--b--\n"
        );
        let message = message(raw.as_bytes()).unwrap();
        let html = message.html.clone().unwrap_or_default();
        let texts = [&message.text, &html, &message.subject, &message.snippet, message.calendar.as_ref().unwrap()];
        assert!(texts.iter().all(|text| is_clean(text)), "{texts:?}");
        let people = message.from.iter().flat_map(|one| [Some(one.address.as_str()), one.name.as_deref()]).flatten();
        let files = message.attachments.iter().filter_map(|file| file.name.as_deref());
        let headers = message.headers.all.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for text in people.chain(files).chain(headers).chain(message.message_id.as_deref()) {
            assert!(is_clean(text), "{text:?}");
        }
        let split = crate::email::reply::split(&message);
        assert!([&split.new, &split.quoted, &split.signature].iter().all(|text| is_clean(text)), "{split:?}");
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use std::process::Command;

    use super::*;

    const SHAPE: &str = "INTEGRATION_TEST_SHAPE";
    /// Peak memory beyond what holds the message itself, per byte of it. Most of it is the tree that layouts HTML, and of
    /// that only a megabyte is read.
    const PER_BYTE: usize = 12;
    const BASE: usize = 64 << 20;

    fn kilobytes(field: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Does nothing unless the test below started this process to do it.
    #[test]
    fn one_shape_in_a_process_of_its_own() {
        let Some(shape) = std::env::var(SHAPE).ok().and_then(|shape| shape.parse::<usize>().ok()) else { return };
        let (what, size, make) = SHAPES[shape];
        let raw = make(size * 4).into_bytes();
        let before = kilobytes("VmRSS");
        let _ = message(&raw);
        let peak = kilobytes("VmHWM").saturating_sub(before) * 1024;
        println!("{what}: {peak} bytes for a message of {}", raw.len());
        assert!(peak <= BASE + PER_BYTE * raw.len(), "{what}: {peak} bytes for a message of {}", raw.len());
    }

    #[test]
    fn the_memory_taken_is_a_few_times_the_size() {
        for (shape, (what, ..)) in SHAPES.iter().enumerate() {
            let name = "email::parse::hostile::memory::one_shape_in_a_process_of_its_own";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", name, "--nocapture"]).env(SHAPE, shape.to_string()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains(&format!("{what}: ")), "{text}");
            print!(
                "{}",
                text.lines().find(|line| line.starts_with(what)).map_or(String::new(), |line| format!("{line}\n"))
            );
        }
    }
}
