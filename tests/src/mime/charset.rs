//! Character sets to UTF-8.

/// Windows-1252, 0x80 to 0x9F; its gaps stay control characters.
const HIGH_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Text in the named character set; `None` if the name is not known here.
///
/// Broken sequences become replacement characters. `iso-8859-1` is read as windows-1252, as mail programs do.
pub fn decode(label: &str, bytes: &[u8]) -> Option<String> {
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    match label.as_str() {
        "utf-8" | "utf8" | "unicode-1-1-utf-8" => Some(String::from_utf8_lossy(strip_mark(bytes)).into_owned()),
        "us-ascii" | "ascii" | "ansi_x3.4-1968" | "" => Some(unlabelled(bytes)),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "l1" | "windows-1252" | "cp1252" | "cp-1252" => {
            Some(bytes.iter().map(|b| western(*b)).collect())
        }
        "iso-8859-15" | "iso8859-15" | "iso_8859-15" | "latin9" | "latin-9" => {
            Some(bytes.iter().map(|b| latin9(*b)).collect())
        }
        "utf-16" | "utf16" => Some(utf16_marked(bytes)),
        "utf-16le" | "utf16le" => Some(utf16(bytes, u16::from_le_bytes)),
        "utf-16be" | "utf16be" => Some(utf16(bytes, u16::from_be_bytes)),
        _ => None,
    }
}

/// Bytes without a stated character set: UTF-8 if they are, else windows-1252.
pub(super) fn unlabelled(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| western(*b)).collect(),
    }
}

fn western(byte: u8) -> char {
    match byte {
        0x80..=0x9f => HIGH_1252[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

fn latin9(byte: u8) -> char {
    match byte {
        0xa4 => '€',
        0xa6 => 'Š',
        0xa8 => 'š',
        0xb4 => 'Ž',
        0xb8 => 'ž',
        0xbc => 'Œ',
        0xbd => 'œ',
        0xbe => 'Ÿ',
        other => char::from(other),
    }
}

fn strip_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn utf16_marked(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a mark RFC 2781 asks for big endian.
        _ => utf16(bytes, u16::from_be_bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if bytes.len() % 2 == 1 {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}
