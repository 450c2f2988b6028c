//! What a person reads past is mended.

use super::{pairs, parts, read};
use crate::email::parse::{attachment, date, each_part};

fn at(text: &str) -> Option<String> {
    date(text).map(|date| date.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[test]
fn dates_are_read_as_a_person_would() {
    for (written, meant) in [
        ("Mon, 2 Nov 2026 10:30 +0100", "2026-11-02 09:30:00"),
        ("Mon 2 Nov 2026 10:30:00 +0100", "2026-11-02 09:30:00"),
        ("2 Nov 98 10:30:00 GMT", "1998-11-02 10:30:00"),
        ("2 Nov 26 10:30:00 GMT", "2026-11-02 10:30:00"),
        ("2 Nov 103 10:30:00 GMT", "2003-11-02 10:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 CEST", "2026-11-02 08:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 (CEST)", "2026-11-02 08:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 +0000 (GMT+00:00)", "2026-11-02 10:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 GMT+0100", "2026-11-02 09:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 EST", "2026-11-02 15:30:00"),
        ("Mon, 02 Nov 2026 10:30:00 Nowhere", "2026-11-02 10:30:00"),
        ("2026-11-02T10:30:00Z", "2026-11-02 10:30:00"),
        ("2026-11-02 10:30:00.123+01:00", "2026-11-02 09:30:00"),
        ("Mon Nov  2 10:30:00 2026", "2026-11-02 10:30:00"),
        ("Mon Nov  2 10:30:00 PST 2026", "2026-11-02 18:30:00"),
        ("Monday, November 2, 2026 10:30 PM", "2026-11-02 22:30:00"),
        ("Mo, 2 Okt 2026 10:30:00 +0200", "2026-10-02 08:30:00"),
        ("mar. 3 mars 2026 10:30:00 +0100", "2026-03-03 09:30:00"),
        ("02-Nov-2026 10:30:00", "2026-11-02 10:30:00"),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21 15:55:06"),
        ("Thu, 13 Feb 1969 23:32:54 -0330", "1969-02-14 03:02:54"),
        ("Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31 23:59:59"),
        ("Mon, 2 Nov 2026 12:53:01 +02:00", "2026-11-02 10:53:01"),
        ("Mon, 2 Nov 2026 12.53.01 +0200", "2026-11-02 10:53:01"),
        ("=?utf-8?Q?Mon,_2_Nov_2026_12:53:01_+0200?=", "2026-11-02 10:53:01"),
        ("1717411981", "2024-06-03 10:53:01"),
    ] {
        assert_eq!(at(written).as_deref(), Some(meant), "{written}");
    }
    for nonsense in ["Wed, 15 Dec 2010 59:10 -0500", "Mon, 30 Jun 3609 15:33:50 +0600", "29 Feb 2025 10:00:00", "10:30"]
    {
        assert_eq!(at(nonsense), None, "{nonsense}");
    }
}

#[test]
fn addresses_are_read_as_they_were_meant() {
    let plain = |address: &str| (None, address.to_owned());
    let named = |name: &str, address: &str| (Some(name.to_owned()), address.to_owned());
    for (written, meant) in [
        ("Lovelace, Ada <a@x.example>", vec![named("Lovelace, Ada", "a@x.example")]),
        ("a@x.example b@x.example", vec![plain("a@x.example"), plain("b@x.example")]),
        ("Bob <b@x.example> Eve <e@x.example>", vec![named("Bob", "b@x.example"), named("Eve", "e@x.example")]),
        ("a@x.example; Bob <b@x.example>", vec![plain("a@x.example"), named("Bob", "b@x.example")]),
        ("Big Bug bb@x.example", vec![named("Big Bug", "bb@x.example")]),
        ("\"a@x.example\" <a@x.example>", vec![named("a@x.example", "a@x.example")]),
        ("Pete(A wonderful \\) chap) <pete(his account)@silly.test(his host)>", vec![named("Pete", "pete@silly.test")]),
        (
            "Mary <@route.tld:mary@x.example>, jdoe@test   . example",
            vec![named("Mary", "mary@x.example"), plain("jdoe@test.example")],
        ),
        ("\"john doe\"@x.example", vec![plain("\"john doe\"@x.example")]),
        ("<mailto:a@x.example>", vec![plain("a@x.example")]),
        ("\"Ada \\\"the\\\" Löw\" <a@x.example>", vec![named("Ada \"the\" Löw", "a@x.example")]),
        ("=?utf-8?q?Ada_=3Ca=40x.example=3E?=", vec![named("Ada", "a@x.example")]),
        ("\"Ada <a@x.example>", vec![named("Ada", "a@x.example")]),
        ("<>", vec![]),
        ("Undisclosed-Recipient:@x.example;", vec![]),
    ] {
        assert_eq!(pairs(written), meant, "{written}");
    }
}

#[test]
fn names_of_files_are_whole() {
    let name = |header: &str| {
        let read = read(&format!("From: a@x.example\n{header}\n\nx"));
        read.attachments.first().and_then(|file| file.name.clone()).unwrap_or_default()
    };
    for (header, meant) in [
        ("Content-Disposition: attachment; filename=This is a test.txt", "This is a test.txt"),
        (
            "Content-Type: application/pdf; name=\"=?utf-8?q?Angebot_f=C3=BCr?=\n =?utf-8?q?_Sie.pdf?=\"",
            "Angebot für Sie.pdf",
        ),
        (
            "Content-Disposition: attachment; filename*0*=utf-8''Angebot%20f%C3; filename*1*=%BCr; filename*2=\" Sie.pdf\"",
            "Angebot für Sie.pdf",
        ),
        ("Content-Disposition: attachment; filename*1=\"b.pdf\"; filename*0=\"a\"", "ab.pdf"),
        ("Content-Disposition: attachment; filename=\"plain.pdf\"; filename*=iso-8859-1'de'gr%FCn.pdf", "grün.pdf"),
        ("Content-Type: application/pdf name=\"a.pdf\"", "a.pdf"),
        ("Content-Type: application/pdf; name=\"a;b.pdf\"; name=\"c.pdf\"", "a;b.pdf"),
        ("Content-Type: application/pdf; name=\"never closed.pdf", "never closed.pdf"),
        ("Content-Type: application/x-zip; x-unix-mode=0600;\nname=\"a.zip\"", "a.zip"),
    ] {
        assert_eq!(name(header), meant, "{header}");
    }
}

#[test]
fn a_header_block_with_torn_lines_is_whole() {
    let torn = read("Subject: one\nquite a torn line\n To: nobody\nFrom: a@x.example\n\nbody\n");
    assert_eq!((torn.subject.as_str(), torn.from.len(), torn.text.as_str()), ("one", 1, "body\n"));
    let indented = read(" From: a@x.example\nSubject: s\n\nbody\n");
    assert_eq!((indented.from.len(), indented.subject.as_str()), (1, "s"));
    let unseparated = read("From: a@x.example\nSubject: s\nHello Ada,\n\nbody\n");
    assert_eq!(unseparated.text, "Hello Ada,\n\nbody\n");
}

#[test]
fn a_multipart_shows_its_boundary_if_its_header_does_not() {
    for kind in ["multipart/mixed", "multipart/mixed; boundary=other", "multipart/mixed; boundary=", "multipart"] {
        let read = read(&format!(
            "From: a@x.example\nContent-Type: {kind}\n\npreamble\n--b=1\nContent-Type: text/plain\n\nhello\n--b=1\n\
             Content-Type: image/gif\n\nGIF\n--b=1--\n"
        ));
        assert_eq!((read.text.as_str(), parts(&read)), ("hello", vec![("1", "image/gif", None)]), "{kind}");
    }
}

#[test]
fn a_multipart_that_says_it_is_encoded_is_not() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\nhello\n--b--\n",
    );
    assert_eq!(read.text, "hello");
}

#[test]
fn the_last_boundary_may_have_something_after_it() {
    let read = read("From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b-->\nmalice\n");
    assert_eq!(read.text, "hello");
}

#[test]
fn text_that_claims_to_be_base64_and_is_not_stays_readable() {
    let plain = "From: a@x.example\nContent-Transfer-Encoding: base64\n\nJust a few words, written as they are.\n";
    assert_eq!(read(plain).text, "Just a few words, written as they are.\n");
    let encoded = "From: a@x.example\nContent-Transfer-Encoding: base64\n\nR3LD\nvMOf\r\nZQ=\n=\n";
    assert_eq!(read(encoded).text, "Grüße");
    let short = "From: a@x.example\nContent-Transfer-Encoding: base64\n\nJust\n\na few words, as they are.\n";
    assert_eq!(read(short).text, "Just\n\na few words, as they are.\n");
}

#[test]
fn what_a_server_added_below_an_encoded_text_is_read_as_it_is() {
    let head = "From: a@x.example\nContent-Transfer-Encoding: base64\n\n";
    let encoded = "R3LDvMOfZSBhdXMgQmVybGluLCBBbm4K";
    let text = read(&format!("{head}{encoded}\n\n-- \nThis email was scanned by Foo\n")).text;
    assert_eq!(text, "Grüße aus Berlin, Ann\n\n\n-- \nThis email was scanned by Foo\n");
    let long = encoded.repeat(400).replace("LCBB", "LCBB\n");
    let text = read(&format!("{head}{long}\n_____\nscanned by Foo")).text;
    assert!(text.ends_with("Ann\n\n\n_____\nscanned by Foo") && text.matches("Berlin").count() == 400, "{text}");
}

#[test]
fn names_of_files_are_names_and_read_as_they_are_shown() {
    let name = |header: &str| {
        let read = read(&format!("From: a@x.example\nContent-Disposition: attachment; {header}\n\nx"));
        read.attachments[0].name.clone().unwrap_or_default()
    };
    assert_eq!(name("filename*=utf-8''invoice%E2%80%AEfdp.exe"), "invoicefdp.exe");
    assert_eq!(name("filename*=utf-8''..%5C..%5Cetc%2Fpasswd"), "passwd");
    assert_eq!(name("filename=\"/etc/passwd\""), "passwd");
    assert_eq!(name("filename*=utf-8''C%3A%5Cfiles%5Ca.pdf"), "a.pdf");
    assert_eq!(name("filename=\"Offer 5/2026.pdf\""), "Offer 5/2026.pdf");
}

#[test]
fn an_inner_multipart_that_shares_its_boundary_holds_what_follows_it() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; \
         boundary=b\n\n--b\nContent-Type: text/plain\n\nHello\n--b\nContent-Type: text/html\n\n<p>Hello</p>\n--b--\n",
    );
    assert_eq!((read.text.as_str(), read.html.as_deref()), ("Hello", Some("<p>Hello</p>")));
}

#[test]
fn a_text_that_only_points_at_the_html_is_not_the_text() {
    let mail = |plain: &str| {
        let parts = format!("--b\n\n{plain}\n--b\nContent-Type: text/html\n\n<p>The offer stands.</p>\n--b--\n");
        read(&format!("From: a@x.example\nContent-Type: multipart/alternative; boundary=b\n\n{parts}")).text
    };
    assert_eq!(mail("Your client does not support HTML").trim(), "The offer stands.");
    assert_eq!(mail("The offer stands. Yes.").trim(), "The offer stands. Yes.");
}

#[test]
fn a_uuencoded_part_is_decoded_and_a_uuencoded_text_is_kept() {
    let part = "From: a@x.example\nContent-Type: application/octet-stream; name=a.txt\nContent-Transfer-Encoding: x-uuencode\n\n\
                begin 644 a.txt\n#0V%T\n`\nend\n";
    assert_eq!(attachment(part.as_bytes(), "").unwrap(), b"Cat");
    assert_eq!(read(part).attachments[0].size, 3);
    let text = "From: a@x.example\n\nHere it is:\n\nbegin 644 a.txt\n#0V%T\n`\nend\n";
    assert_eq!(read(text).text, "Here it is:\n\nbegin 644 a.txt\n#0V%T\n`\nend\n");
}

#[test]
fn tnef_and_encrypted_mail_are_attachments() {
    let tnef = read("From: a@x.example\nContent-Type: application/ms-tnef; name=winmail.dat\n\nx");
    assert_eq!(parts(&tnef), [("", "application/ms-tnef", Some("winmail.dat"))]);
    let pgp = read(
        "From: a@x.example\nContent-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\n\
         Version: 1\n--b\nContent-Type: application/octet-stream\n\n-----BEGIN PGP MESSAGE-----\n--b--\n",
    );
    assert_eq!((pgp.text.as_str(), pgp.attachments.len()), ("", 2));
    let signed = read(
        "From: a@x.example\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: \
         application/pkcs7-signature; name=smime.p7s\n\nx\n--b--\n",
    );
    assert_eq!((signed.text.as_str(), signed.attachments.len()), ("hello", 1));
}

#[test]
fn each_part_is_handed_on_once() {
    let mut seen = Vec::new();
    each_part(super::MIXED.as_bytes(), |path, bytes| seen.push((path.to_owned(), bytes.len())));
    assert_eq!(seen.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["0.0", "0.1.0", "0.1.1", "1"]);
    assert_eq!(seen[3].1, 3);
}
