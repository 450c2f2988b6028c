//! Addresses of erased people in what others wrote: known by their digests only, so that every address is looked at.

/// What stands in the place of an address.
const BLANK: &str = "erased";

/// The text without the addresses that are `erased` (lower case); `None` if there are none.
pub(super) fn blanked(text: &str, erased: &impl Fn(&str) -> bool) -> Option<String> {
    let (mut blank, mut at) = (String::new(), 0);
    for (sign, _) in text.match_indices('@') {
        if sign < at {
            continue;
        }
        let domain = &text[sign + 1..];
        let domain =
            domain[..domain.find(|letter| !in_domain(letter)).unwrap_or(domain.len())].trim_end_matches(['.', '-']);
        let end = sign + 1 + domain.len();
        if let Some(begin) = begins(&text[at..sign]).map(|begin| at + begin).find(|begin| {
            let address = text[*begin..end].to_lowercase();
            erased(&address)
        }) {
            blank.push_str(&text[at..begin]);
            blank.push_str(BLANK);
            at = end;
        }
    }
    (at > 0).then(|| blank + &text[at..])
}

/// Where the part before the sign may begin: quoting and brackets of the text around it are parts of few addresses.
fn begins(before: &str) -> impl Iterator<Item = usize> {
    let from = |within: fn(char) -> bool| {
        before
            .rfind(|letter| !within(letter))
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8))
    };
    [from(in_odd_local), from(in_local)].into_iter()
}

fn in_domain(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '-')
}

fn in_local(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '_' | '%' | '+' | '-')
}

fn in_odd_local(letter: char) -> bool {
    in_local(letter) || "!#$&'*/=?^`{|}~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_ann(text: &str) -> Option<String> {
        blanked(text, &|address| ["ann@acme.example", "o'ann@acme.example"].contains(&address))
    }

    #[test]
    fn whole_addresses_are_blanked_wherever_they_stand() {
        let told = "Ask Ann@ACME.example. Or <ann@acme.example>, or \"o'ann@acme.example\"!";
        assert_eq!(without_ann(told).unwrap(), "Ask erased. Or <erased>, or \"erased\"!");
        assert_eq!(without_ann("'ann@acme.example'").unwrap(), "'erased'");
        assert_eq!(without_ann("ü ann@acme.example@ann@acme.example ü").unwrap(), "ü erased@erased ü");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["", "@", "joann@acme.example", "ann@acme.example.org", "ann@acme", "x@@y @ z", "ann @acme.example"]
        {
            assert_eq!(without_ann(text), None, "{text}");
        }
    }
}
