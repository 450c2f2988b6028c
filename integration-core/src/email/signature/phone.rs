//! Telephone numbers in a line.

use super::PhoneKind;

/// Labels before a number.
const LABELS: [(&str, PhoneKind); 79] = [
    ("d", PhoneKind::Phone),
    ("dd", PhoneKind::Phone),
    ("ddi", PhoneKind::Phone),
    ("did", PhoneKind::Phone),
    ("o", PhoneKind::Phone),
    ("w", PhoneKind::Phone),
    ("off", PhoneKind::Phone),
    ("work", PhoneKind::Phone),
    ("home", PhoneKind::Phone),
    ("main", PhoneKind::Phone),
    ("desk", PhoneKind::Phone),
    ("phones", PhoneKind::Phone),
    ("tlf", PhoneKind::Phone),
    ("tfn", PhoneKind::Phone),
    ("tf", PhoneKind::Phone),
    ("toll", PhoneKind::Phone),
    ("fijo", PhoneKind::Phone),
    ("centralita", PhoneKind::Phone),
    ("zentrale", PhoneKind::Phone),
    ("durchwahl", PhoneKind::Phone),
    ("dw", PhoneKind::Phone),
    ("switchboard", PhoneKind::Phone),
    ("standard", PhoneKind::Phone),
    ("puhelin", PhoneKind::Phone),
    ("vast", PhoneKind::Phone),
    ("pevná", PhoneKind::Phone),
    ("c", PhoneKind::Mobile),
    ("fax", PhoneKind::Fax),
    ("telefax", PhoneKind::Fax),
    ("f", PhoneKind::Fax),
    ("faks", PhoneKind::Fax),
    ("факс", PhoneKind::Fax),
    ("télécopie", PhoneKind::Fax),
    ("传真", PhoneKind::Fax),
    ("mobile", PhoneKind::Mobile),
    ("mobil", PhoneKind::Mobile),
    ("mob", PhoneKind::Mobile),
    ("m", PhoneKind::Mobile),
    ("cell", PhoneKind::Mobile),
    ("handy", PhoneKind::Mobile),
    ("portable", PhoneKind::Mobile),
    ("port", PhoneKind::Mobile),
    ("móvil", PhoneKind::Mobile),
    ("cellulare", PhoneKind::Mobile),
    ("cell.", PhoneKind::Mobile),
    ("celular", PhoneKind::Mobile),
    ("gsm", PhoneKind::Mobile),
    ("kom", PhoneKind::Mobile),
    ("tel. kom", PhoneKind::Mobile),
    ("моб", PhoneKind::Mobile),
    ("мобильный", PhoneKind::Mobile),
    ("携帯", PhoneKind::Mobile),
    ("手机", PhoneKind::Mobile),
    ("휴대폰", PhoneKind::Mobile),
    ("mobiel", PhoneKind::Mobile),
    ("mobiltelefon", PhoneKind::Mobile),
    ("matkapuhelin", PhoneKind::Mobile),
    ("cep", PhoneKind::Mobile),
    ("κινητό", PhoneKind::Mobile),
    ("whatsapp", PhoneKind::Mobile),
    ("tel", PhoneKind::Phone),
    ("phone", PhoneKind::Phone),
    ("telephone", PhoneKind::Phone),
    ("t", PhoneKind::Phone),
    ("p", PhoneKind::Phone),
    ("ph", PhoneKind::Phone),
    ("fon", PhoneKind::Phone),
    ("telefon", PhoneKind::Phone),
    ("téléphone", PhoneKind::Phone),
    ("tél", PhoneKind::Phone),
    ("teléfono", PhoneKind::Phone),
    ("telefono", PhoneKind::Phone),
    ("telefone", PhoneKind::Phone),
    ("telefoon", PhoneKind::Phone),
    ("puh", PhoneKind::Phone),
    ("direct", PhoneKind::Phone),
    ("office", PhoneKind::Phone),
    ("тел", PhoneKind::Phone),
    ("電話", PhoneKind::Phone),
];

/// Words before numbers that reach nobody.
const OTHERS: [&str; 28] = [
    "vat",
    "ust",
    "ustid",
    "id",
    "ident",
    "hrb",
    "hra",
    "iban",
    "bic",
    "siret",
    "siren",
    "rcs",
    "kvk",
    "btw",
    "nip",
    "regon",
    "krs",
    "ico",
    "ičo",
    "dič",
    "cvr",
    "org",
    "abn",
    "acn",
    "no",
    "nr",
    "инн",
    "steuernummer",
];

/// The numbers of a line and what their labels say.
pub(super) fn numbers(line: &str) -> Vec<(&str, PhoneKind)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < line.len() && found.len() < 6 {
        let Some(start) = line[at..]
            .find(|letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '('))
            .map(|start| at + start)
        else {
            break;
        };
        let end = start + run(&line[start..]);
        let number = line[start..end].trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let candidate = &line[start..start + number.len() + extension(&line[start + number.len()..])];
        if let Some(kind) = judged(line, start, number, candidate.len()) {
            found.push((candidate, kind));
        }
        at = end.max(start + candidate.len()).max(start + 1);
    }
    found
}

/// Does the piece begin with a label and hold a number?
pub(super) fn is_labelled(text: &str) -> bool {
    !numbers(text).is_empty()
}

pub(super) fn digits(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

/// How long an extension is that follows a number (" x123", ", ext. 12").
fn extension(after: &str) -> usize {
    const WORDS: [&str; 9] = ["extension", "ext.", "ext", "durchwahl", "dw", "poste", "anexo", "interno", "x"];
    let text = after.trim_start_matches([' ', ',', '\u{a0}', '(']);
    let Some(word) = WORDS.iter().find(|word| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word)))
    else {
        return 0;
    };
    let number = text[word.len()..].trim_start_matches([' ', ':', '.', '\u{a0}']);
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let ends = !number[digits..].starts_with(char::is_alphanumeric);
    if (1..=6).contains(&digits) && ends { after.len() - number.len() + digits } else { 0 }
}

/// How far the characters of a number reach.
fn run(text: &str) -> usize {
    let mut gap = 0;
    let mut end = 0;
    for (at, letter) in text.char_indices() {
        gap = match letter {
            '0'..='9' => 0,
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2011}' | '\u{2013}' if gap < 3 => gap + 1,
            '+' if at == 0 || gap == 1 && text[..at].ends_with('(') => 0,
            _ => break,
        };
        end = at + letter.len_utf8();
    }
    end
}

/// `whole`: the bytes of the number with its extension.
fn judged(line: &str, start: usize, candidate: &str, whole: usize) -> Option<PhoneKind> {
    let count = candidate.bytes().filter(u8::is_ascii_digit).count();
    if !(6..=15).contains(&count) || is_date(candidate) || candidate.matches('/').count() > 2 {
        return None;
    }
    // Part of a word: an order number, a link.
    if line[..start].ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '/' | '=' | '#' | '_')) {
        return None;
    }
    let after = line[start + whole..].chars().next();
    if after.is_some_and(|letter| letter.is_alphabetic() || letter == '@') {
        return None;
    }
    let before = line[..start].trim_end_matches(|letter: char| !letter.is_alphanumeric());
    let word = before
        .rsplit(|letter: char| letter.is_whitespace() || "|/,;()".contains(letter))
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    if OTHERS.contains(&word) {
        return None;
    }
    if let Some((_, kind)) = LABELS.iter().find(|(label, _)| *label == word) {
        return Some(*kind);
    }
    let international = candidate.starts_with('+') || candidate.starts_with("(+") || candidate.starts_with("00");
    let alone = before.is_empty() && after.is_none_or(|letter| !letter.is_alphanumeric())
        || line[..start].trim_end().ends_with('|');
    let grouped = candidate.contains([' ', '-', '.', '(', '/']);
    let national = alone && grouped && count >= 9 && (candidate.starts_with(['0', '(']) || is_american(candidate));
    (international && count >= 8 || national).then_some(PhoneKind::Phone)
}

/// 555-123-4567 and its kin.
fn is_american(candidate: &str) -> bool {
    let groups: Vec<usize> = candidate
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .map(str::len)
        .collect();
    matches!(groups[..], [3, 3, 4] | [1, 3, 3, 4])
}

/// 2026-05-04, 04.05.2026.
fn is_date(candidate: &str) -> bool {
    let groups: Vec<&str> = candidate.split(['-', '.', '/']).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.trim().len()).collect();
    matches!(lengths[..], [4, 2, 2] | [2, 2, 4] | [1, 1, 4] | [1, 2, 4] | [2, 1, 4])
}
