//! Addresses within reports.

/// No address is longer.
const MAX_ADDRESS: usize = 320;

/// "rfc822; ada@x.example", "RFC822;<ada@x.example>", "LOCAL; ada", "X400; /C=us/A= /S=low/".
pub(super) fn typed(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';').unwrap_or(("", value));
    if kind.trim().eq_ignore_ascii_case("X400") && !address.contains('@') {
        // Its parts have blanks and semicolons.
        let address = address.split_whitespace().collect::<Vec<_>>().join(" ");
        return (!address.is_empty() && address.len() <= MAX_ADDRESS).then_some(address);
    }
    bare(address).or_else(|| {
        let word = address.trim().trim_matches(['<', '>', '"']);
        (!word.is_empty() && word.len() <= MAX_ADDRESS && !word.contains(' ')).then(|| word.to_owned())
    })
}

/// The first address in `text`, without what surrounds it.
pub(super) fn bare(text: &str) -> Option<String> {
    all(text).into_iter().next()
}

/// Every address in `text`, in order.
pub(super) fn all(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let local = text[..at]
            .rfind(|letter: char| !is_local(letter))
            .map_or(0, |end| end + text[end..].chars().next().map_or(1, char::len_utf8));
        let after = &text[at + 1..];
        let end = after.find(|letter: char| !is_domain(letter)).unwrap_or(after.len());
        let (local, domain) =
            (text[local..at].trim_start_matches(['.', '-', '\'', '/', '=']), after[..end].trim_end_matches(['.', '-']));
        let whole = !local.is_empty() && (domain.contains('.') || domain.len() > 1) && !domain.starts_with('.');
        if whole && local.len() + domain.len() < MAX_ADDRESS {
            found.push(format!("{local}@{domain}"));
        }
    }
    found
}

fn is_local(letter: char) -> bool {
    letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(letter)
}

fn is_domain(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '-' || letter == '.'
}
