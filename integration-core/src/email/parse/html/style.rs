//! How an element looks, as far as it decides whether its text is seen.

use super::element::attributes;

/// What the attributes of a tag say.
#[derive(Default)]
pub(super) struct Look<'a> {
    /// Nothing within it is shown.
    pub(super) hidden: bool,
    /// Its letters are too small to be seen, or not; `None` if it does not set their size.
    pub(super) tiny: Option<bool>,
    /// The letters that an image stands for.
    pub(super) emoji: Option<&'a str>,
}

pub(super) fn look(text: &str) -> Look<'_> {
    let mut look = Look::default();
    // Most tags have no attributes.
    if text.len() < 4 {
        return look;
    }
    for (name, value) in attributes(text) {
        match name.len() {
            3 if name.eq_ignore_ascii_case("alt") => look.emoji = emoji(value),
            5 if name.eq_ignore_ascii_case("style") => declarations(value, &mut look),
            6 if name.eq_ignore_ascii_case("hidden") => look.hidden = true,
            _ => {}
        }
    }
    look
}

/// Some mail programs write emoji as images of themselves.
fn emoji(alt: &str) -> Option<&str> {
    let symbol = |letter: char| letter as u32 >= 0x2190 && !letter.is_alphabetic();
    (!alt.is_empty() && alt.len() <= 40 && alt.chars().all(symbol)).then_some(alt)
}

fn declarations(style: &str, look: &mut Look<'_>) {
    for declaration in style.split(';') {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let value = value.split('!').next().unwrap_or_default().trim_ascii_end();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        let has = |wanted: &str| value.eq_ignore_ascii_case(wanted);
        match name.len() {
            7 if is("display") => look.hidden |= has("none"),
            7 if is("opacity") => look.hidden |= number(value).is_some_and(|(value, _)| value < 0.01),
            8 if is("mso-hide") => look.hidden |= has("all"),
            9 if is("font-size") => look.tiny = tiny(value).or(look.tiny),
            10 if is("visibility") => look.hidden |= has("hidden") || has("collapse"),
            10 if is("max-height") => look.hidden |= number(value).is_some_and(|(value, _)| value <= 1.0),
            _ => {}
        }
    }
}

/// "0", "1px", "0.1em": nobody can read that.
fn tiny(value: &str) -> Option<bool> {
    let (size, unit) = number(value)?;
    Some(match unit {
        "em" | "rem" | "EM" => size < 0.1,
        "%" => size < 10.0,
        _ => size <= 1.5,
    })
}

fn number(value: &str) -> Option<(f32, &str)> {
    let end = value.bytes().position(|byte| !byte.is_ascii_digit() && byte != b'.').unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    Some((digits.parse().ok()?, unit.trim_ascii()))
}
