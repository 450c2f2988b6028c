//! Bytes to text: the charset that is declared, where the bytes bear it out, else the one they show.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use mail_parser::decoders::charsets::map::charset_decoder;

use super::guess::{guess, has_japanese_escapes};

/// How many letters of a text outweigh its declared charset when they form valid UTF-8.
const CERTAIN: usize = 4;

/// The text of `bytes`, declared to be in `label` ("" if nothing was declared).
///
/// `hint` is what the rest of the message is written in; it is asked where a declaration is missing or wrong.
pub(super) fn decode(label: &str, bytes: &[u8], hint: Option<&str>) -> String {
    decode_owned(label, Cow::Borrowed(bytes), hint)
}

/// As [`decode`], without a copy where the bytes are the text.
pub(super) fn decode_owned(label: &str, bytes: Cow<'_, [u8]>, hint: Option<&str>) -> String {
    if bytes.is_ascii() && memchr::memchr(0x1b, &bytes).is_none() && !escapes_in_ascii(label) {
        // Seven bits are the same in every other charset.
        return utf8(bytes);
    }
    let label = tidy_label(label);
    let declared = match label.as_str() {
        "" | "ascii" | "us-ascii" | "ansi_x3.4-1968" | "utf-8" | "utf8" | "utf8mb4" | "unicode-1-1-utf-8"
        | "x-unknown" | "unknown" | "unknown-8bit" | "8bit" | "7bit" | "binary" | "default" | "default_charset" => None,
        other => decoder(other),
    };
    let Some(declared) = declared else { return undeclared(&label, bytes, hint) };
    match (std::str::from_utf8(&bytes), declared.is_wide()) {
        // One byte a letter: a foreign text that happens to be valid UTF-8 is practically impossible.
        (Ok(text), Some(false)) if !text.is_ascii() => return without_mark(text).to_owned(),
        (Ok(text), Some(true)) if foreign_letters(text) >= CERTAIN && label != "iso-2022-jp" => {
            return without_mark(text).to_owned();
        }
        _ => {}
    }
    declared.decode(&bytes)
}

/// The text of bytes whose charset is not known, or claimed to be UTF-8.
fn undeclared(label: &str, bytes: Cow<'_, [u8]>, hint: Option<&str>) -> String {
    match std::str::from_utf8(&bytes) {
        // Seven bits wide, so that it passes for UTF-8 without being it.
        Ok(_) if !label.starts_with("utf") && has_japanese_escapes(&bytes) => return guess(&bytes),
        Ok(text) if text.starts_with('\u{feff}') => return without_mark(text).to_owned(),
        Ok(_) => return utf8(bytes),
        Err(_) => {}
    }
    let bytes: &[u8] = &bytes;
    if let [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] = bytes {
        return UTF_8.decode(bytes).0.into_owned();
    }
    let claims_utf8 = label.starts_with("utf");
    if claims_utf8 && mostly_utf8(bytes) {
        return String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned();
    }
    let hinted = hint.map(tidy_label).filter(|hint| !hint.contains("ascii") && !hint.starts_with("utf"));
    if let Some(text) = hinted.as_deref().and_then(decoder).and_then(|hinted| hinted.decode_strictly(bytes)) {
        return text;
    }
    if mostly_utf8(bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    guess(bytes)
}

/// Is this declared name one that we can read?
pub(super) fn is_known(label: &str) -> bool {
    decoder(&tidy_label(label)).is_some()
}

fn utf8(bytes: Cow<'_, [u8]>) -> String {
    String::from_utf8(bytes.into_owned()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn escapes_in_ascii(label: &str) -> bool {
    let starts = |name: &str| label.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    ["utf-7", "utf7", "unicode-1-1-utf-7", "hz", "iso-2022", "csiso2022", "utf-16", "ucs-2", "csunicode11utf7"]
        .into_iter()
        .any(starts)
}

fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// "charset=us-ascii", "'utf-8'", "UTF8;" and "utf-8*en" as the name that was meant.
fn tidy_label(label: &str) -> String {
    let label = label.trim().to_ascii_lowercase();
    let label = label.strip_prefix("charset=").unwrap_or(&label);
    let word = label.trim_matches(['"', '\'', ' ', '=', '<', '>']);
    let ends = |letter: char| letter.is_whitespace() || matches!(letter, ';' | ',' | '"' | '*');
    word.split(ends).next().unwrap_or_default().to_owned()
}

enum Decoder {
    /// As the web reads it.
    Web(&'static Encoding),
    /// What the web has given up and mail has not.
    Mail(fn(&[u8]) -> String),
    /// Seven bits with shifts into a set that is otherwise written in eight.
    Shifted(fn(&[u8]) -> Vec<u8>, &'static Encoding),
}

fn decoder(label: &str) -> Option<Decoder> {
    if label.is_empty() {
        return None;
    }
    match label {
        "iso-2022-kr" | "csiso2022kr" => return Some(Decoder::Shifted(unshift_korean, encoding_rs::EUC_KR)),
        "hz-gb-2312" | "hz" => return Some(Decoder::Shifted(unshift_hz, encoding_rs::GBK)),
        _ => {}
    }
    let alias = match label {
        "cp932" | "ms932" | "x-ms-cp932" | "mskanji" | "shift-jis" | "cp943" | "sjis" => "shift_jis",
        "cp949" | "uhc" | "ms949" | "ksc_5601" | "ksc5601" | "x-windows-949" | "ks_c_5601" => "euc-kr",
        "cp936" | "ms936" | "gb-2312" | "gb_2312" | "euc-cn" | "x-euc-cn" | "gb2312-80" => "gbk",
        "cp950" | "ms950" | "big-5" | "x-x-big5" => "big5",
        "eucjp" | "ujis" | "cp51932" | "eucjp-ms" => "euc-jp",
        "cp50220" | "cp50221" | "cp50222" | "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" | "iso-2022-jp-ms"
        | "iso2022-jp" | "iso2022jp" | "jis" => "iso-2022-jp",
        "latin-1"
        | "latin"
        | "latin_1"
        | "iso-8859-1-windows-3.1-latin-1"
        | "8859-1"
        | "iso8859_1"
        | "ansi"
        | "windows1252"
        | "win-1252"
        | "cp-1252"
        | "western" => "windows-1252",
        "windows1251" | "win-1251" | "win1251" | "cp-1251" => "windows-1251",
        "windows1250" | "win-1250" | "cp-1250" => "windows-1250",
        "koi8" | "koi-8" | "koi8r" | "koi-8-r" => "koi8-r",
        "latin9" | "latin-9" | "iso8859_15" => "iso-8859-15",
        "mac" | "macroman" | "x-mac-roman" | "mac-roman" => "macintosh",
        "utf16" | "ucs-2" | "iso-10646-ucs-2" | "unicode" => "utf-16",
        other => other,
    };
    match Encoding::for_label_no_replacement(alias.as_bytes()) {
        Some(encoding) => Some(Decoder::Web(encoding)),
        None => charset_decoder(alias.as_bytes()).map(Decoder::Mail),
    }
}

impl Decoder {
    /// Has it letters of several bytes? `None` where seven bits are not ASCII.
    fn is_wide(&self) -> Option<bool> {
        match self {
            Self::Web(encoding) if encoding.name().starts_with("UTF-16") => None,
            Self::Web(encoding) => Some(!encoding.is_single_byte()),
            Self::Mail(_) | Self::Shifted(..) => None,
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        match self {
            Self::Web(encoding) if *encoding == encoding_rs::ISO_2022_JP => {
                encoding.decode_without_bom_handling(&without_idle_escapes(bytes)).0.into_owned()
            }
            Self::Web(encoding) => encoding.decode(bytes).0.into_owned(),
            Self::Mail(decode) => decode(bytes),
            Self::Shifted(unshift, encoding) => encoding.decode_without_bom_handling(&unshift(bytes)).0.into_owned(),
        }
    }

    fn decode_strictly(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Web(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
            }
            _ => None,
        }
    }
}

/// Joined words and some programs switch charsets twice in a row, which the web's reading takes for an attack.
fn without_idle_escapes(bytes: &[u8]) -> Vec<u8> {
    let escape = |at: usize| matches!(bytes.get(at..at + 3), Some([0x1b, b'(' | b'$', b'A'..=b'Z' | b'@']));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if escape(at) && escape(at + 3) {
            at += 3;
            continue;
        }
        out.push(bytes[at]);
        at += 1;
    }
    out
}

/// ISO-2022-KR: between SO and SI the letters of EUC-KR, without their eighth bit.
fn unshift_korean(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            0x0e => shifted = true,
            0x0f => shifted = false,
            0x1b => rest = rest.strip_prefix(b"$)C").unwrap_or(rest),
            b'\r' | b'\n' => {
                shifted = false;
                out.push(*byte);
            }
            0x21..=0x7e if shifted => out.push(byte | 0x80),
            _ => out.push(*byte),
        }
    }
    out
}

/// HZ: between `~{` and `~}` the letters of GB 2312, without their eighth bit.
fn unshift_hz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail.first()) {
            (b'~', Some(b'{')) => (shifted, rest) = (true, &tail[1..]),
            (b'~', Some(b'}')) => (shifted, rest) = (false, &tail[1..]),
            (b'~', Some(b'~')) => {
                out.push(b'~');
                rest = &tail[1..];
            }
            (b'~', Some(b'\n')) => rest = &tail[1..],
            (0x21..=0x7e, _) if shifted => out.push(byte | 0x80),
            _ => out.push(*byte),
        }
    }
    out
}

fn foreign_letters(text: &str) -> usize {
    text.chars().filter(|letter| !letter.is_ascii()).take(CERTAIN).count()
}

/// A UTF-8 text with a few broken letters (cut at a limit, or two charsets in one).
fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut right, mut wrong) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|letter| !letter.is_ascii()).count();
        wrong += usize::from(!chunk.invalid().is_empty());
    }
    right > wrong
}
