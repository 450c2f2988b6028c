//! The charset of bytes that do not say theirs, by evidence.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, ISO_2022_JP, KOI8_R, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252,
};

/// How much of a text is looked at, in bytes.
const SAMPLE: usize = 16 * 1024;

/// The text in the most plausible charset; never fails.
pub(super) fn guess(bytes: &[u8]) -> String {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    charset(sample).decode_without_bom_handling(bytes).0.into_owned()
}

fn charset(sample: &[u8]) -> &'static Encoding {
    if has_japanese_escapes(sample) {
        return ISO_2022_JP;
    }
    let runs = Runs::of(sample);
    if runs.bytes == 0 {
        return WINDOWS_1252;
    }
    // Western letters stand alone between plain ones; elsewhere whole words are foreign.
    let foreign_words = runs.bytes >= 2 * runs.count;
    let wide = foreign_words.then(|| best_wide(sample)).flatten();
    match wide {
        Some(wide) => wide,
        None if runs.bytes >= 3 * runs.count && runs.in_letters => cyrillic(sample),
        None => WINDOWS_1252,
    }
}

/// ESC $ B, ESC $ @, ESC ( J and ESC ( I.
pub(super) fn has_japanese_escapes(bytes: &[u8]) -> bool {
    let escape = |at: usize| matches!(bytes.get(at + 1..at + 3), Some([b'$', b'B' | b'@'] | [b'(', b'J' | b'I']));
    memchr::memchr_iter(0x1b, bytes).any(escape)
}

/// Runs of bytes above ASCII.
struct Runs {
    bytes: usize,
    count: usize,
    /// Most are where Cyrillic charsets have letters.
    in_letters: bool,
}

impl Runs {
    fn of(bytes: &[u8]) -> Self {
        let (mut high, mut count, mut letters, mut inside) = (0, 0, 0, false);
        for &byte in bytes {
            let is_high = byte >= 0x80;
            high += usize::from(is_high);
            letters += usize::from(byte >= 0xC0 || matches!(byte, 0xA8 | 0xB8 | 0xA3 | 0xB3));
            count += usize::from(is_high && !inside);
            inside = is_high;
        }
        Self { bytes: high, count, in_letters: letters * 10 >= high * 9 }
    }
}

/// The better of the two usual ones: running text is mostly small letters, and capitals begin words.
fn cyrillic(sample: &[u8]) -> &'static Encoding {
    // What is a small letter in one is a capital in the other.
    let low = sample.iter().filter(|byte| (0xC0..0xE0).contains(*byte)).count();
    let high = sample.iter().filter(|byte| **byte >= 0xE0).count();
    if low > high { KOI8_R } else { WINDOWS_1251 }
}

fn best_wide(sample: &[u8]) -> Option<&'static Encoding> {
    let scored = [
        (SHIFT_JIS, shift_jis(sample)),
        (EUC_JP, euc_jp(sample)),
        (EUC_KR, euc(sample, 0xB0..=0xC8)),
        (GB18030, euc(sample, 0xB0..=0xD7) * 9 / 10),
        (BIG5, big5(sample)),
    ];
    let best = scored.into_iter().max_by_key(|(_, score)| *score)?;
    (best.1 >= 60).then_some(best.0)
}

/// Percent of the letters of two bytes that are common ones; 0 if the bytes are not of this shape at all.
fn pairs(sample: &[u8], kind: impl Fn(u8, u8) -> Option<bool>, alone: impl Fn(u8) -> bool) -> usize {
    let (mut all, mut common, mut wrong) = (0_usize, 0_usize, 0_usize);
    let mut rest = sample;
    while let [lead, tail @ ..] = rest {
        rest = tail;
        if *lead < 0x80 {
            continue;
        }
        if alone(*lead) {
            all += 1;
            continue;
        }
        // A letter torn by the end of the sample says nothing.
        let Some(&trail) = tail.first() else { break };
        match kind(*lead, trail) {
            Some(usual) => {
                all += 1;
                common += usize::from(usual);
                rest = &tail[1..];
            }
            None => wrong += 1,
        }
    }
    if all == 0 || wrong * 50 > all { 0 } else { common * 100 / all }
}

fn shift_jis(sample: &[u8]) -> usize {
    let kind = |lead: u8, trail: u8| {
        let shaped = matches!(lead, 0x81..=0x9F | 0xE0..=0xFC) && matches!(trail, 0x40..=0x7E | 0x80..=0xFC);
        // Kana, punctuation and the first of the two levels of kanji.
        shaped.then_some(matches!(
            (lead, trail),
            (0x82, 0x9F..=0xF1) | (0x83, 0x40..=0x96) | (0x81, _) | (0x88..=0x97, _)
        ))
    };
    pairs(sample, kind, |lead| (0xA1..=0xDF).contains(&lead))
}

fn euc_jp(sample: &[u8]) -> usize {
    let kana = pairs(sample, |lead, trail| euc_shape(lead, trail).then_some(matches!(lead, 0xA4 | 0xA5)), |_| false);
    // Without kana it is Chinese or Korean.
    if kana < 25 {
        0
    } else {
        pairs(sample, |lead, trail| euc_shape(lead, trail).then_some(lead <= 0xCF), |_| false) + 1
    }
}

fn euc(sample: &[u8], common: std::ops::RangeInclusive<u8>) -> usize {
    let kind =
        |lead: u8, trail: u8| euc_shape(lead, trail).then(|| common.contains(&lead) || matches!(lead, 0xA1..=0xA3));
    pairs(sample, kind, |_| false)
}

fn euc_shape(lead: u8, trail: u8) -> bool {
    (0xA1..=0xFE).contains(&lead) && (0xA1..=0xFE).contains(&trail)
}

fn big5(sample: &[u8]) -> usize {
    let kind = |lead: u8, trail: u8| {
        let shaped = (0xA1..=0xF9).contains(&lead) && matches!(trail, 0x40..=0x7E | 0xA1..=0xFE);
        shaped.then_some(matches!(lead, 0xA1 | 0xA4..=0xC6))
    };
    pairs(sample, kind, |_| false)
}
