//! Claims challenges. Source: <https://learn.microsoft.com/entra/identity-platform/claims-challenge>.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header::WWW_AUTHENTICATE};
use serde_json::Value;

/// The claims are base64 of either alphabet, with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a challenge demands, as JSON; `None` if it is no such challenge, or cannot be read. Of several headers, the first
/// with claims counts: all fields of a challenge are within one.
pub(super) fn claims(headers: &HeaderMap) -> Option<String> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
        let fields = fields(value.to_str().ok()?);
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let insufficient = field("error").is_some_and(|error| error.eq_ignore_ascii_case("insufficient_claims"));
        decoded(field("claims").filter(|_| insufficient)?)
    })
}

fn decoded(claims: &str) -> Option<String> {
    let standard: String = claims
        .trim()
        .chars()
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            letter => letter,
        })
        .collect();
    let text = String::from_utf8(LENIENT.decode(standard).ok()?).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.is_object().then_some(text)
}

/// `name="value"` and `name=value`, apart from what is between them; names in lower case.
fn fields(text: &str) -> Vec<(String, String)> {
    let (mut fields, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit([' ', ',']).next().unwrap_or_default().to_ascii_lowercase();
        let (value, remaining) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.push((name, value.trim().to_owned()));
        rest = remaining;
    }
    fields
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651?>"}}}"#;

    fn of(values: &[String]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        claims(&headers)
    }

    #[test]
    fn claims_are_read_in_every_spelling_of_base64() {
        for encoded in [STANDARD.encode(CLAIMS), URL_SAFE_NO_PAD.encode(CLAIMS)] {
            let header = format!(
                "Bearer realm=\"\", authorization_uri=\"https://login.example/common?a=b\", error=\"insufficient_claims\", claims=\"{encoded}\""
            );
            assert_eq!(of(&[header]).as_deref(), Some(CLAIMS));
        }
    }

    #[test]
    fn the_challenge_may_be_in_the_second_of_two_headers() {
        let plain = "Bearer realm=\"x\", error=\"invalid_token\"".to_owned();
        let challenge = format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode(CLAIMS));
        assert_eq!(of(&[plain.clone(), challenge]).as_deref(), Some(CLAIMS));
        assert_eq!(of(&[plain]), None);
    }

    #[test]
    fn what_is_no_challenge_or_cannot_be_read_is_none() {
        let encoded = STANDARD.encode(CLAIMS);
        for header in [
            "Bearer".to_owned(),
            "Bearer error=\"insufficient_claims\"".to_owned(),
            format!("Bearer error=\"invalid_token\", claims=\"{encoded}\""),
            "Bearer error=\"insufficient_claims\", claims=\"%%%\"".to_owned(),
            format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode("[1]")),
            "Bearer error=\"insufficient_claims\", claims=\"unclosed".to_owned(),
            "======,\"\"\"".to_owned(),
        ] {
            assert_eq!(of(std::slice::from_ref(&header)), None, "{header}");
        }
    }
}
