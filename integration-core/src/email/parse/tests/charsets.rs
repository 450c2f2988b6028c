//! Text as it was meant, whatever charset was declared.

use super::read;
use crate::email::parse::{decode_header, message};

/// A message with this body, in this charset.
fn body(charset: &str, bytes: &[u8]) -> String {
    let mut raw = b"From: a@x.example\nContent-Type: text/plain".to_vec();
    if !charset.is_empty() {
        raw.extend_from_slice(format!("; charset={charset}").as_bytes());
    }
    raw.extend_from_slice(b"\n\n");
    raw.extend_from_slice(bytes);
    message(&raw).unwrap().text
}

fn encoded(encoding: &'static encoding_rs::Encoding, text: &str) -> Vec<u8> {
    let (bytes, _, lost) = encoding.encode(text);
    assert!(!lost, "{text} is not of {}", encoding.name());
    bytes.into_owned()
}

const JAPANESE: &str = "お世話になっております。見積書を添付いたしますので、ご確認ください。";
const CHINESE: &str = "您好，请查收附件中的报价单，如有问题请随时与我们联系，谢谢。";
const TAIWANESE: &str = "您好，請查收附件中的報價單，如有問題請隨時與我們聯繫，謝謝。";
const KOREAN: &str = "안녕하세요. 견적서를 첨부하오니 확인하여 주시기 바랍니다. 감사합니다.";
const RUSSIAN: &str = "Добрый день! Высылаем вам коммерческое предложение, ждём вашего ответа.";

#[test]
fn ascii_that_is_really_utf_8_is_read_as_such() {
    for declared in ["us-ascii", "", "ascii", "iso-8859-1", "windows-1252", "x-unknown", "no-such-charset"] {
        assert_eq!(body(declared, "Grüße — 5 €".as_bytes()), "Grüße — 5 €", "{declared}");
    }
}

#[test]
fn utf_8_that_is_really_western_is_read_as_such() {
    for declared in ["utf-8", "us-ascii", "", "iso-8859-1", "\"charset=us-ascii\""] {
        assert_eq!(body(declared, b"Gr\xFC\xDFe \x96 5 \x80"), "Grüße – 5 €", "{declared}");
    }
}

#[test]
fn utf_8_with_one_torn_letter_stays_utf_8() {
    assert_eq!(body("utf-8", b"Gr\xC3\xBC\xC3\x9Fe aus K\xC3\xB6ln \xE2\x82"), "Grüße aus Köln \u{fffd}");
}

#[test]
fn declared_charsets_are_believed_where_the_bytes_bear_them_out() {
    let cases: [(&str, &'static encoding_rs::Encoding, &str); 9] = [
        ("shift_jis", encoding_rs::SHIFT_JIS, JAPANESE),
        ("cp932", encoding_rs::SHIFT_JIS, JAPANESE),
        ("euc-jp", encoding_rs::EUC_JP, JAPANESE),
        ("ISO-2022-JP", encoding_rs::ISO_2022_JP, JAPANESE),
        ("gb2312", encoding_rs::GB18030, CHINESE),
        ("big5", encoding_rs::BIG5, TAIWANESE),
        ("ks_c_5601-1987", encoding_rs::EUC_KR, KOREAN),
        ("koi8-r", encoding_rs::KOI8_R, RUSSIAN),
        ("windows-1251", encoding_rs::WINDOWS_1251, RUSSIAN),
    ];
    for (label, encoding, text) in cases {
        assert_eq!(body(label, &encoded(encoding, text)), text, "{label}");
    }
}

#[test]
fn undeclared_charsets_are_told_by_their_letters() {
    let cases: [(&'static encoding_rs::Encoding, &str); 8] = [
        (encoding_rs::SHIFT_JIS, JAPANESE),
        (encoding_rs::EUC_JP, JAPANESE),
        (encoding_rs::ISO_2022_JP, JAPANESE),
        (encoding_rs::GB18030, CHINESE),
        (encoding_rs::BIG5, TAIWANESE),
        (encoding_rs::EUC_KR, KOREAN),
        (encoding_rs::KOI8_R, RUSSIAN),
        (encoding_rs::WINDOWS_1251, RUSSIAN),
    ];
    for (encoding, text) in cases {
        assert_eq!(body("", &encoded(encoding, text)), text, "{}", encoding.name());
    }
    for western in ["Grüße aus München", "Déjà vu à l'été", "El niño comió piñas", "Olá, não há ação"] {
        assert_eq!(body("", &encoded(encoding_rs::WINDOWS_1252, western)), western);
    }
}

#[test]
fn raw_headers_follow_the_charset_of_the_message() {
    let mut raw = b"From: a@x.example\nSubject: ".to_vec();
    raw.extend(encoded(encoding_rs::KOI8_R, "Счёт"));
    raw.extend_from_slice(b"\nContent-Type: text/plain; charset=\"koi8-r\"\n\nx");
    assert_eq!(message(&raw).unwrap().subject, "Счёт");
}

#[test]
fn charsets_of_old_mail_programs_are_known() {
    assert_eq!(body("utf-7", b"Gr+APwA3w-e"), "Grüße");
    assert_eq!(body("hz-gb-2312", b"~{VPND~} ok ~~"), "中文 ok ~");
    assert_eq!(body("iso-2022-kr", b"\x1b$)C\x0eGQ1[\x0f ok"), "한글 ok");
    assert_eq!(body("ibm850", b"Gr\x81\xE1e"), "Grüße");
}

#[test]
fn words_may_be_cut_within_a_letter() {
    assert_eq!(decode_header("=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?="), "Grüße");
    assert_eq!(decode_header("=?UTF-8?Q?Gr=C3?=\r\n =?utf-8?q?=BC=C3=9Fe?="), "Grüße");
    assert_eq!(decode_header("=?utf-8?b?R3LDvM?= =?utf-8?b?OfZQ==?="), "Grüße");
    let (one, two) = ("=?ISO-2022-JP?B?GyRCJUYbKEI=?=", "=?ISO-2022-JP?B?GyRCJTklSBsoQg==?=");
    assert_eq!(decode_header(&format!("{one}\r\n {two}")), "テスト");
}

#[test]
fn words_are_read_as_they_are_written() {
    for (written, read) in [
        ("=?iso-8859-1?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?q?Gr=FC=DFe?=", "Grüße"),
        ("=?utf-8?q?What=3F_?= now", "What?  now"),
        ("=?utf-8?q?What?=3F_now?=", "What?? now"),
        ("=?utf-8?Q?with blanks inside?=", "with blanks inside"),
        ("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("Re:=?utf-8?q?a?=b", "Re:ab"),
        ("=?utf-8?x?a?= =?=?", "=?utf-8?x?a?= =?=?"),
    ] {
        assert_eq!(decode_header(written), read, "{written}");
    }
}

#[test]
fn a_name_with_foreign_letters_belongs_to_its_address() {
    let read =
        read("From: =?utf-8?b?R3LD?=\n =?utf-8?b?vG4=?= <g@x.example>, =?utf-8?q?L=C3=B6w, Ada?= <a@x.example>\n\nx");
    let people: Vec<_> =
        read.from.iter().map(|person| (person.name.as_deref().unwrap(), person.address.as_str())).collect();
    assert_eq!(people, [("Grün", "g@x.example"), ("Löw, Ada", "a@x.example")]);
}
