//! The programs that answer JSON lines: `identify`, `mail_parse`, `reply_split`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::run::example;

/// One answer for each line.
#[track_caller]
fn answers(name: &str, lines: &[String]) -> Vec<Value> {
    let mut command: Command = example(name);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), lines.len(), "{text}");
    answers
}

fn identified(ask: Value) -> Value {
    answers("identify", &[ask.to_string()]).remove(0)
}

#[test]
fn a_stranger_is_suggested_with_what_the_signature_says() {
    let found = identified(json!({
        "from": "Carla Cook <carla@cook.example>",
        "to": "alex@own.example",
        "subject": "Pumps",
        "text": "We need forty pumps.\n\nKind regards,\nCarla Cook\nHead of Purchasing\nCook & Sons Ltd\n\
                 Tel. +44 20 7946 0018\nwww.cook.example",
        "own_domains": ["own.example"],
        "people": [{ "id": "p1", "name": "Ann Archer", "email": "ann@acme.example" }],
    }));
    let suggested = json!([{
        "address": "carla@cook.example",
        "name": "Carla Cook",
        "title": { "value": "Head of Purchasing", "source": "Head of Purchasing" },
        "company": { "value": "Cook & Sons Ltd", "source": "Cook & Sons Ltd" },
        "phones": [{ "kind": "phone", "value": "+44 20 7946 0018", "source": "Tel. +44 20 7946 0018" }],
        "urls": [{ "value": "www.cook.example", "source": "www.cook.example" }],
    }]);
    assert_eq!(found["suggested"], suggested);
    assert_eq!(found["suggested_companies"], json!(["cook.example"]));
    assert_eq!((&found["contacts"], &found["skip"]), (&json!([]), &json!("no_match")));
}

#[test]
fn nobody_is_suggested_for_role_names_lists_and_the_own_company() {
    let own = json!(["own.example"]);
    for ask in [
        json!({ "from": "info@cook.example", "to": "alex@own.example", "text": "Offer", "own_domains": own }),
        json!({ "from": "bea@own.example", "to": "alex@own.example", "text": "Lunch?", "own_domains": own }),
        json!({ "from": "news@shop.example", "to": "alex@own.example", "text": "Sale", "own_domains": own,
                "headers": { "List-Unsubscribe": "<mailto:stop@shop.example>" } }),
    ] {
        assert_eq!(identified(ask.clone())["suggested"], json!([]), "{ask}");
    }
}

#[test]
fn a_known_person_and_a_deals_reference_are_matched_with_their_reasons() {
    let found = identified(json!({
        "from": "ann@acme.example",
        "to": ["alex@own.example"],
        "subject": "Re: offer Q-2026-7",
        "text": "Fine.",
        "own_domains": ["own.example"],
        "people": [{ "id": 1, "name": "Ann", "email": "ann@acme.example" }],
        "deals": [{ "id": "D1", "name": "Pumps", "reference": "Q-2026-7" }],
    }));
    assert_eq!(found["contacts"][0]["id"], "1");
    assert!(found["contacts"][0]["confidence"].is_number() && found["contacts"][0]["reason"].is_string(), "{found}");
    assert_eq!((&found["deal"], &found["skip"], &found["suggested"]), (&json!("D1"), &Value::Null, &json!([])));
}

#[test]
fn a_reply_is_split_and_a_forwarded_message_named() {
    let lines = [
        json!({ "text": "Yes.\n\nBest regards,\nBob Baker\n+44 20 7946 0018\n\n\
                         On 4 May 2026 at 09:12, Ann <ann@acme.example> wrote:\n> Really?" }),
        json!({ "html": "<p>Yes.</p><blockquote type=\"cite\">Really?</blockquote>" }),
        json!({ "text": "For you.\n\nBegin forwarded message:\n\nFrom: Ann <ann@acme.example>\nSubject: Pump\n\
                         Date: 4 May 2026 at 10:00\nTo: Bob <bob@baker.example>\n\nIt leaks." }),
    ];
    let [text, html, forwarded]: [Value; 3] =
        answers("reply_split", &lines.map(|line| line.to_string())).try_into().unwrap();
    assert_eq!((&text["new"], &text["forwarded"]), (&json!("Yes."), &Value::Null));
    assert_eq!(text["signature"], "Best regards,\nBob Baker\n+44 20 7946 0018");
    assert!(text["quoted"].as_str().unwrap().ends_with("> Really?"), "{text}");
    assert_eq!((&html["new"], &html["new_html"]), (&json!("Yes."), &json!("<p>Yes.</p>")));
    assert_eq!((&html["forwarded"], text.get("new_html")), (&Value::Null, None));
    let named = [&forwarded["forwarded"]["from"], &forwarded["forwarded"]["date"], &forwarded["forwarded"]["subject"]];
    assert_eq!(named, ["Ann <ann@acme.example>", "4 May 2026 at 10:00", "Pump"]);
}

#[test]
fn a_line_that_cannot_be_read_is_an_error_of_its_own() {
    let lines = ["no json", "{}", "[1]", r#"{"text":1}"#].map(ToOwned::to_owned);
    let answers = answers("reply_split", &lines);
    assert!(answers.iter().all(|answer| answer["error"].is_string()), "{answers:?}");
}

#[test]
fn a_raw_message_is_read_and_what_is_none_is_an_error_of_its_line() {
    let raw = "From: Ann <ann@acme.example>\r\nTo: bob@baker.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
               Message-ID: <1@acme.example>\r\nDate: Mon, 4 May 2026 10:00:00 +0000\r\nList-Id: <l.acme.example>\r\n\
               Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\
               Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n";
    let lines = [json!({ "raw_b64": STANDARD.encode(raw) }), json!({ "raw_b64": "!" }), json!({})];
    let [read, broken, empty]: [Value; 3] =
        answers("mail_parse", &lines.map(|line| line.to_string())).try_into().unwrap();
    let fields = [&read["subject"], &read["message_id"], &read["date"], &read["text"], &read["list"], &read["auto"]];
    assert_eq!(
        fields,
        [
            &json!("Grüße"),
            &json!("1@acme.example"),
            &json!(1_777_888_800),
            &json!("Hello"),
            &json!(true),
            &json!(false)
        ]
    );
    assert_eq!(read["from"], json!([{ "name": "Ann", "address": "ann@acme.example" }]));
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let attached = json!([{ "name": "a.pdf", "type": "application/pdf", "size": 3, "sha256": sha256 }]);
    assert_eq!((&read["attachments"], &read["bounces"]), (&attached, &json!([])));
    assert!(broken["error"].is_string() && empty["error"].is_string(), "{broken} {empty}");
}
