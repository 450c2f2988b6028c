//! Every other example, as the program it is.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use integration_core::http::{Body, ReqwestTransport, Transport};
use serde_json::Value;

use crate::run::{example, run};

#[track_caller]
fn says(command: &mut Command, lines: &[&str]) {
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown: Vec<&str> = ran.out.lines().collect();
    assert_eq!((shown.as_slice(), ran.err.as_str()), (lines, ""));
}

#[test]
fn quickstart_prints_the_one_activity() {
    let ran = run(&mut example("quickstart"));
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");
    assert!(ran.out.starts_with("Ann: Offer ("), "{}", ran.out);
}

#[test]
fn every_end_of_a_sign_in_is_told_in_plain_words() {
    let told = [
        ("grant", vec!["ada@example.com is connected."]),
        (
            "untick",
            vec![
                "ada@example.com is connected, but you left something out: sending mail will not work. Connect again and leave everything ticked to change that.",
            ],
        ),
        ("refuse", vec!["You said no to reading mail, sending mail. Nothing was connected."]),
        ("replay", vec!["ada@example.com is connected.", "This answer was used before. Nothing was changed."]),
        (
            "other-browser",
            vec![
                "This answer came in another browser than the one you began in. Nothing was changed; begin again here.",
            ],
        ),
        (
            "forge",
            vec![
                "This answer does not belong to a request of ours: its state is unknown. Nothing was changed; begin again.",
            ],
        ),
    ];
    for (decision, lines) in told {
        says(example("oauth_connect").args(["--decide", decision]), &lines);
    }
}

#[tokio::test]
async fn a_person_can_open_the_page_and_is_sent_to_the_consent_page() {
    let mut process = example("oauth_connect").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let home = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let get = async |url: &str| {
        let request = http::Request::get(url).body(Body::default()).unwrap();
        ReqwestTransport::new().unwrap().execute(request).await.unwrap()
    };
    assert_eq!(get(&home).await.status(), 200);
    let begun = get(&format!("{home}connect")).await;
    let consent = begun.headers()["location"].to_str().unwrap().to_owned();
    let page = get(&consent).await.into_body().collect(1 << 20).await.unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    for part in ["Sam Example", "type=\"checkbox\"", "value=\"cancel\"", "value=\"allow\""] {
        assert!(page.contains(part), "{page}");
    }
}

#[test]
fn custom_token_store_keeps_the_grant_in_a_file() {
    let ran = run(&mut example("custom_token_store"));
    assert!(ran.code == Some(0) && ran.out.contains("keeps a grant of tenant-1: version "), "{ran:?}");
}

#[test]
fn custom_scheduler_syncs_again_by_itself() {
    let lines = [
        "ada@example.com is connected.",
        "queued: 3",
        "on the timeline: 1",
        "on the timeline: 2",
        "stopped; 3 jobs wait for the next start",
    ];
    says(&mut example("custom_scheduler"), &lines);
}

#[test]
fn add_a_service_connects_syncs_searches_and_sends() {
    let ran = run(&mut example("add_a_service"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let shown: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("timeline")).collect();
    assert_eq!(shown.len(), 4, "two letters, and after one came and one went two again: {}", ran.out);
    assert!(ran.out.contains("found by \"reminder\": 1") && ran.out.contains("sent as letter-"), "{}", ran.out);
}

#[test]
fn the_sandbox_prints_its_urls_and_stops_when_asked() {
    let mut process = example("sandbox").args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let urls: Value = serde_json::from_str(&line).unwrap();
    assert!(urls.as_object().unwrap().values().all(|url| url.as_str().unwrap().starts_with("http://127.0.0.1:")));
    Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((process.wait().unwrap().code(), rest.as_str()), (Some(0), ""));
}

#[test]
fn wrong_usage_of_the_others_is_named_too() {
    run(example("sandbox").arg("--what")).complains(2, "sandbox: --what is unknown");
    run(example("sandbox").args(["--listen", "0.0.0.0:0"])).complains(2, "only listens on loopback");
    run(example("oauth_connect").args(["--decide", "maybe"])).complains(2, "--decide maybe is unknown");
}
