//! Hostile input: nothing is lost, nothing panics, and time grows with the size alone.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{folded, split_html, split_text};
use crate::email::parse::html_to_text;

/// The least of three runs.
fn time(input: &str, split: &dyn Fn(&str)) -> Duration {
    let once = |_| {
        let start = Instant::now();
        split(input);
        start.elapsed()
    };
    (0..3).map(once).min().unwrap()
}

/// Four times the input may take at most twelve times as long: quadratic work would take sixteen.
fn is_linear(name: &str, input: &dyn Fn(usize) -> String, split: &dyn Fn(&str)) {
    let (small, large) = (input(1), input(4));
    let (short, long) = (time(&small, split), time(&large, split));
    assert!(
        long < short * 12 + Duration::from_millis(50),
        "{name}: {} bytes in {short:?}, {} bytes in {long:?}",
        small.len(),
        large.len()
    );
}

#[test]
fn time_grows_with_the_size_of_hostile_text() {
    let unit = 4 * 1024;
    let repeated = |piece: &'static str| move |times: usize| piece.repeat(times * unit / piece.len());
    let pieces = [
        ">",
        "> \n",
        "On … wrote:\n",
        "On 4 May 2026 Ann wrote:\n",
        "On 4 May 2026 Ann wrote:\n> x\n",
        "From: a@b.c\n",
        "From: a@b.c\n\nTo:\n",
        "-----\n",
        "--\n",
        "-- \nx\n",
        "Sent from my iPhone\n",
        "Regards\n",
        "Regards,\nAnn Archer\n",
        "\n",
        "_",
        "____\nx\n",
        ":",
        "@",
        "<",
        "a ",
        "On\n",
        "wrote:\n",
        "<mailto:",
        "> (http://x\n",
        "confidential virus\n\n",
        "4.5.2026 ",
        "-Ann\n",
        "Ann | +44 20 7946 0018\n",
        "PS: x\n",
        "\u{3000}",
        "x\r\n",
        "Begin forwarded message:\n",
        "-----Original Message-----\n> x\n",
        "To: x,\nx@y.z,\n",
    ];
    for piece in pieces {
        is_linear(piece, &repeated(piece), &|text| drop(split_text(text)));
    }
}

#[test]
fn time_grows_with_the_size_of_hostile_html() {
    let unit = 4 * 1024;
    let repeated = |piece: &'static str| move |times: usize| piece.repeat(times * unit / piece.len());
    let pieces = [
        "<blockquote>",
        "<div class=gmail_quote>x",
        "<blockquote type=cite>x",
        "<",
        "<a b=\"",
        "<!--",
        "</div>",
        "<div>x</div>",
        "<p>",
        "<td>",
        "&lt;",
        "<br>x",
        "<div style=\"border-top:solid 1pt;padding:3pt\">",
        "<div id=Signature>x</div>",
        "<pre>x\n",
        "<x y=z",
        "<script>",
        "<p>On 4 May 2026 Ann wrote:</p>",
    ];
    for piece in pieces {
        is_linear(piece, &repeated(piece), &|html| drop(split_html(html)));
    }
}

#[test]
fn a_megabyte_of_nested_quotes_is_split_in_linear_time() {
    for piece in ["<blockquote>", "<blockquote type=cite>x", "<div class=gmail_quote>x", "<title>", "<TABLE><TR><TD>"] {
        let make = |size: usize| piece.repeat(size / piece.len());
        crate::testing::assert_linear(piece, 250_000, make, |html| drop(split_html(html)));
    }
}

/// Every line with text is in one of the parts, as often as it was written.
fn nothing_is_lost(text: &str) {
    let split = split_text(text);
    let mut before: Vec<String> = folded(text).split(' ').map(str::to_owned).collect();
    let mut after: Vec<String> = [&split.new, &split.quoted, &split.signature]
        .iter()
        .flat_map(|part| part.split_whitespace())
        .map(str::to_owned)
        .collect();
    before.retain(|word| !word.is_empty());
    before.sort();
    after.sort();
    assert_eq!(before, after, "{text:?}");
}

/// Lines that mean something to the splitter, and others.
fn line() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "",
        "> quoted",
        ">> deeper",
        ">",
        "On 4 May 2026 at 09:12, Ann <ann@acme.example> wrote:",
        "Ann <ann@acme.example>",
        "wrote:",
        "From: Ann <ann@acme.example>",
        "Sent: Monday, May 4, 2026",
        "To: bob@baker.example",
        "Subject: Pump",
        "-----Original Message-----",
        "Begin forwarded message:",
        "_____",
        "-- ",
        "--",
        "Regards,",
        "Bob Baker",
        "+44 20 7946 0018",
        "Sent from my iPhone",
        "-Bob",
        "PS: one more thing",
        "Thanks!",
        "This message is confidential and intended solely for you, and may be privileged.",
        "Yes, that is fine with me, and I will come.",
        "yes",
        "> a quoted line that is long enough to have been wrapped by some program at",
        "lower case goes on",
        "* item",
        "On my machine",
        "Am 4. Mai 2026 schrieb Ann:",
        "> On 4 May 2026 Ann wrote:",
        ">>> Ann <a@b.example> 5/4/2026 9:12 AM >>>",
        "reply On Wed, Apr 4, 2012 at 3:59 PM, bob@example.com wrote:",
    ])
    .prop_map(str::to_owned);
    prop_oneof![6 => known, 1 => "\\PC{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_word_is_lost_and_splitting_the_new_part_again_gives_it_back(lines in prop::collection::vec(line(), 0..24)) {
        let text = lines.join("\n");
        nothing_is_lost(&text);
        let new = split_text(&text).new;
        let again = split_text(&new);
        prop_assert_eq!(&again.new, &new, "{:?}", text);
        prop_assert_eq!((again.quoted, again.signature), (String::new(), String::new()), "{:?}", text);
    }

    #[test]
    fn any_text_is_split_without_losing_a_word(text in "(\\PC|[\n\r\t>:@<*_-]){0,300}") {
        nothing_is_lost(&text);
    }

    #[test]
    fn no_letter_of_any_html_is_lost(html in "(<(/?(div|p|blockquote|b|td|tr|br|pre|li)( class=\"?(gmail_quote|gmail_signature)\"?| type=cite| id=appendonsend)?>)|[a-z ]{0,6}|\n|On 4 May 2026 Ann wrote:|&gt; ){0,40}") {
        let letters = |texts: &[&str]| {
            let mut letters: Vec<char> = texts.iter().flat_map(|text| text.chars()).filter(|letter| letter.is_alphabetic()).collect();
            letters.sort_unstable();
            letters
        };
        let split = split_html(&html);
        let whole = html_to_text(&html);
        prop_assert_eq!(letters(&[&split.new, &split.quoted, &split.signature]), letters(&[&whole]), "{}", html);
    }

    #[test]
    fn any_html_is_split_and_the_new_part_is_balanced(html in "(<(/?(div|p|blockquote|b|td|tr|table|br|pre|li|x)( class=\"?gmail_quote\"?| type=cite| id=appendonsend)?/?>?)?|[a-z ]{0,6}|&lt;|&){0,40}") {
        let new = split_html(&html).new_html.unwrap();
        let mut open: Vec<&str> = Vec::new();
        for tag in new.split('<').skip(1) {
            let name = tag.split(['>', ' ']).next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(name) => prop_assert_eq!(open.pop(), Some(name), "{} from {}", new, html),
                None if !["br", "hr", "col", "img", "wbr"].contains(&name.trim_end_matches('/')) => open.push(name),
                None => {}
            }
        }
        prop_assert_eq!(open, Vec::<&str>::new(), "{} from {}", new, html);
    }
}
