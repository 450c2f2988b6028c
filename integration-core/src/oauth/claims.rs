//! Claims requests: what an app asks for with every token, and what a service demands on top of it.

use serde_json::Value;

/// Both as one JSON object; what is demanded wins. What is not JSON is passed on as it came.
pub(super) fn merged(standing: Option<&str>, demanded: Option<&str>) -> Option<String> {
    let (Some(standing), Some(demanded)) = (standing, demanded) else {
        return demanded.or(standing).map(str::to_owned);
    };
    let (Some(mut both), Some(more)) = (object(standing), object(demanded)) else { return Some(demanded.to_owned()) };
    merge(&mut both, more);
    Some(both.to_string())
}

fn object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// `serde_json` refuses anything deeper than 128 levels, so this ends.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::merged;

    #[test]
    fn a_challenge_is_added_to_what_is_asked_for_anyway() {
        let standing = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;
        let demanded = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
        let both: Value = serde_json::from_str(&merged(Some(standing), Some(demanded)).unwrap()).unwrap();
        let expected = json!({ "access_token": {
            "xms_cc": { "values": ["cp1"] }, "nbf": { "essential": true, "value": "1" },
        } });
        assert_eq!(both, expected);
    }

    #[test]
    fn one_alone_stays_as_it_is_and_what_is_not_json_is_passed_on() {
        assert_eq!(merged(None, None), None);
        assert_eq!(merged(Some("{}"), None).as_deref(), Some("{}"));
        assert_eq!(merged(None, Some("more")).as_deref(), Some("more"));
        assert_eq!(merged(Some("{}"), Some("more")).as_deref(), Some("more"));
    }
}
