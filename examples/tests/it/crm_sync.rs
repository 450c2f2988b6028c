//! What `crm_sync` promises.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use crate::run::{Place, Sandbox, example, letter, number, run};

#[test]
fn the_bundled_mailbox_becomes_a_timeline_and_a_second_run_finds_nothing_new() {
    let place = Place::new();
    let mut command = example("crm_sync");
    command.current_dir(place.path()).args(["--json", "--db", "crm.db"]);
    let first = run(&mut command).json();
    assert!((100..=250).contains(&number(&first, "messages")), "{first}");
    assert!(number(&first, "contacts_matched") > 0 && number(&first, "deals_matched") > 0, "{first}");
    assert_eq!((&first["up_to_date"], number(&first, "quarantined")), (&true.into(), 1));
    let second = run(&mut command).json();
    assert_eq!((number(&second, "messages"), number(&second, "requests")), (0, 1), "{second}");
}

#[test]
fn only_the_documented_keys_and_reasons_are_in_the_json() {
    let place = Place::with_letters(1);
    let counts = run(&mut place.sync()).json();
    let keys: BTreeSet<&str> = counts.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = "messages activities skipped quarantined contacts_matched deals_matched requests quota_units duration_ms up_to_date";
    assert_eq!(keys, documented.split(' ').collect());
    let bundled = run(example("crm_sync").current_dir(place.path()).args(["--json", "--db", "other.db"])).json();
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/troubleshooting.md")).unwrap();
    let reasons: Vec<&str> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(
        bundled["skipped"].as_object().unwrap().keys().all(|reason| reasons.contains(&reason.as_str())),
        "{bundled}"
    );
}

#[test]
fn an_audit_agrees_and_why_explains_a_message_shown_or_not() {
    let place = Place::with_letters(3);
    let asked = |words: &[&str]| {
        let mut command = example("crm_sync");
        command.current_dir(place.path()).args(["--db", "crm.db", "--people", "people.csv", "--mail", "mail"]);
        run(command.args(words))
    };
    let text = asked(&["--audit"]).out;
    assert!(text.contains("audit: 3 of 3: 3 on the timeline"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&asked(&["--audit", "--json"]).out).unwrap();
    assert_eq!((&json["complete"], number(&json, "listed"), number(&json["missing"], "count")), (&true.into(), 3, 0));
    let shown = asked(&["--why", "<0@acme.example>"]);
    assert!(shown.out.starts_with("It is on the timeline: "), "{shown:?}");
    let unknown = asked(&["--why", "nobody@acme.example", "--json"]);
    assert_eq!(unknown.out.trim(), r#"{"answer":"unknown"}"#);
}

#[test]
fn files_added_arrive_and_files_gone_are_deleted() {
    let place = Place::with_letters(3);
    assert_eq!(number(&run(&mut place.sync()).json(), "activities"), 3);
    place.letter(3);
    let second = run(&mut place.sync()).json();
    assert_eq!((number(&second, "messages"), number(&second, "activities")), (1, 1), "{second}");
    fs::remove_file(place.at("mail/0001.eml")).unwrap();
    let third = run(example("crm_sync").current_dir(place.path()).args(["--db", "crm.db", "--mail", "mail"]));
    assert!(third.out.contains("this run: 0 messages") && third.out.contains("1 gone from the mailbox"), "{third:?}");
    let shown: Vec<bool> = (0..4).map(|number| third.out.contains(&format!("Letter {number}"))).collect();
    assert_eq!(shown, [true, false, true, true], "{}", third.out);
}

#[test]
fn directories_and_mbox_files_add_up() {
    let place = Place::with_letters(2);
    let mbox: String = (10..13).map(|number| format!("From ann\r\n{}\r\n", letter(number))).collect();
    fs::write(place.at("old.mbox"), mbox).unwrap();
    fs::create_dir(place.at("mail/deep")).unwrap();
    fs::write(place.at("mail/deep/more"), letter(20)).unwrap();
    fs::write(place.at("mail/notes.md"), "no mail").unwrap();
    let counts = run(place.sync().args(["--mail", "old.mbox"])).json();
    assert_eq!(number(&counts, "activities"), 6, "{counts}");
}

#[tokio::test]
async fn requests_and_units_are_those_in_the_books_of_the_service() {
    let place = Place::with_letters(25);
    let sandbox = Sandbox::start(&[]);
    let (mut calls, mut units) = (0, 0);
    for _ in 0..2 {
        let counts = run(place.sync().args(["--sandbox", &sandbox.origin])).json();
        calls += number(&counts, "requests");
        units += number(&counts, "quota_units");
        assert_eq!(sandbox.books().await, (calls, units));
    }
    assert!(calls > 5 && units > 25 * 5, "{calls} calls, {units} units");
}

#[test]
fn the_mail_of_a_running_sandbox_follows_the_files() {
    let place = Place::with_letters(2);
    let sandbox = Sandbox::start(&[]);
    let mut sync = place.sync();
    sync.args(["--sandbox", &sandbox.origin]);
    assert_eq!(number(&run(&mut sync).json(), "activities"), 2);
    place.letter(2);
    fs::remove_file(place.at("mail/0000.eml")).unwrap();
    assert_eq!(number(&run(&mut sync).json(), "messages"), 1);
    let mut plain = example("crm_sync");
    let shown = run(plain.current_dir(place.path()).args(["--db", "crm.db", "--sandbox", &sandbox.origin]));
    let shown: Vec<bool> = (0..3).map(|number| shown.out.contains(&format!("Letter {number}"))).collect();
    assert_eq!(shown, [false, true, true]);
}

#[test]
fn without_mail_a_running_sandbox_shows_what_it_has() {
    let place = Place::with_letters(4);
    let sandbox = Sandbox::start(&["--mail", place.at("mail").to_str().unwrap()]);
    let counts = run(place.crm().args(["--sandbox", &sandbox.origin])).json();
    assert_eq!(number(&counts, "activities"), 4, "{counts}");
}

#[test]
fn a_quota_preset_is_kept_without_being_refused() {
    let place = Place::with_letters(12);
    for preset in ["gmail-2026", "gmail-classic", "outlook", "outlook-classic", "off"] {
        let counts = run(place.sync().args(["--service", "all", "--quota", preset])).json();
        assert_eq!(counts["up_to_date"], true, "{preset}: {counts}");
    }
}

/// `crm_sync` at a service, on a database of its own.
fn at(place: &Place, service: &str) -> Command {
    let mut command = place.sync();
    command.args(["--service", service]);
    command
}

#[test]
fn an_outlook_mailbox_becomes_a_timeline_and_a_second_run_finds_nothing_new() {
    let place = Place::new();
    let mut command = example("crm_sync");
    command.current_dir(place.path()).args(["--json", "--db", "crm.db", "--service", "microsoft"]);
    let first = run(&mut command).json();
    assert!((100..=250).contains(&number(&first, "messages")), "{first}");
    assert!(number(&first, "contacts_matched") > 0 && number(&first, "deals_matched") > 0, "{first}");
    assert_eq!(first["up_to_date"], true);
    let second = run(&mut command).json();
    assert_eq!((number(&second, "messages"), &second["up_to_date"]), (0, &true.into()), "{second}");
    println!("first {first}, second {second}");
}

#[test]
fn a_mail_in_both_mailboxes_is_one_line_of_the_timeline() {
    let place = Place::with_letters(4);
    let counts = run(&mut at(&place, "all")).json();
    assert_eq!(number(&counts, "messages"), 8, "each mailbox has its own copies: {counts}");
    let again = run(&mut at(&place, "all")).json();
    assert_eq!((number(&again, "messages"), &again["up_to_date"]), (0, &true.into()), "{again}");
    let mut plain = example("crm_sync");
    let shown = run(plain.current_dir(place.path()).args(["--db", "crm.db", "--mail", "mail", "--service", "all"])).out;
    for number in 0..4 {
        let lines = shown.lines().filter(|line| line.contains(&format!("Letter {number}"))).count();
        assert_eq!(lines, 1, "{shown}");
    }
    println!("{counts}");
}

#[test]
fn a_mailbox_added_later_brings_only_what_the_other_has_not() {
    let place = Place::with_letters(3);
    assert_eq!(number(&run(&mut at(&place, "google")).json(), "activities"), 3);
    place.letter(3);
    let all = run(&mut at(&place, "all")).json();
    assert_eq!(number(&all, "messages"), 1 + 4, "{all}");
    let shown = run(at(&place, "microsoft").args(["--why", "<3@acme.example>"])).out;
    assert!(shown.contains("logged"), "{shown}");
}

#[test]
fn an_outlook_audit_agrees_and_why_explains_a_message_shown_or_not() {
    let place = Place::with_letters(3);
    let asked = |service: &str, words: &[&str]| {
        let mut command = example("crm_sync");
        command.current_dir(place.path()).args(["--db", "crm.db", "--people", "people.csv", "--mail", "mail"]);
        run(command.args(["--service", service]).args(words))
    };
    let text = asked("microsoft", &["--audit"]).out;
    assert!(text.contains("audit: 3 of 3: 3 on the timeline"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&asked("microsoft", &["--audit", "--json"]).out).unwrap();
    assert_eq!((&json["complete"], number(&json, "listed"), number(&json["missing"], "count")), (&true.into(), 3, 0));
    for service in ["microsoft", "all"] {
        let shown = asked(service, &["--why", "<0@acme.example>"]);
        assert!(shown.out.starts_with("It is on the timeline: "), "{shown:?}");
        let unknown = asked(service, &["--why", "nobody@acme.example", "--json"]);
        assert_eq!(unknown.out.trim(), r#"{"answer":"unknown"}"#);
    }
    let both = asked("all", &["--audit", "--json"]).out;
    let reports: Vec<serde_json::Value> = both.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let agree = |report: &serde_json::Value| report["complete"] == true && number(report, "listed") == 3;
    assert!(reports.len() == 2 && reports.iter().all(agree), "{both}");
}

#[tokio::test]
async fn requests_and_units_are_those_in_the_books_of_both_services() {
    let place = Place::with_letters(25);
    let sandbox = Sandbox::start(&[]);
    let (mut calls, mut units) = (0, 0);
    for service in ["microsoft", "microsoft", "all"] {
        let counts = run(at(&place, service).args(["--sandbox", &sandbox.origin])).json();
        calls += number(&counts, "requests");
        units += number(&counts, "quota_units");
        assert_eq!(sandbox.books().await, (calls, units), "{service}");
        println!("{service}: {counts}");
    }
}

#[test]
fn files_added_to_an_outlook_mailbox_arrive_and_files_gone_are_deleted() {
    let place = Place::with_letters(3);
    assert_eq!(number(&run(&mut at(&place, "microsoft")).json(), "activities"), 3);
    place.letter(3);
    let second = run(&mut at(&place, "microsoft")).json();
    assert_eq!((number(&second, "messages"), number(&second, "activities")), (1, 1), "{second}");
    fs::remove_file(place.at("mail/0001.eml")).unwrap();
    let mut plain = example("crm_sync");
    plain.current_dir(place.path()).args(["--db", "crm.db", "--mail", "mail", "--service", "microsoft"]);
    let third = run(&mut plain);
    assert!(third.out.contains("this run: 0 messages") && third.out.contains("1 gone from the mailbox"), "{third:?}");
    let shown: Vec<bool> = (0..4).map(|number| third.out.contains(&format!("Letter {number}"))).collect();
    assert_eq!(shown, [true, false, true, true], "{}", third.out);
}

/// Where the sample messages lie, if they are there.
fn shared_mail() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("INTEGRATION_SHARED").map_or_else(beside, PathBuf::from);
    Some(shared.join("data/mail")).filter(|mail| mail.is_dir())
}

fn mail_files(directory: &std::path::Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: PathBuf| match path.extension().and_then(|extension| extension.to_str()) {
        _ if path.is_dir() => mail_files(&path),
        Some("json" | "jsonl" | "md") => 0,
        _ => 1,
    };
    entries.map(count).sum()
}

#[test]
fn every_shared_message_ends_as_an_activity_a_stated_skip_or_in_quarantine() {
    let Some(mail) = shared_mail() else {
        println!("the shared sample messages are not here: nothing was checked");
        return;
    };
    let place = Place::new();
    let counts = run(place.crm().arg("--mail").arg(&mail)).json();
    assert_eq!(number(&counts, "messages"), mail_files(&mail), "{counts}");
    println!("{counts}");
}

#[test]
fn piped_output_is_plain_lines_with_the_time_at_google() {
    let place = Place::with_letters(3);
    let ran = run(example("crm_sync").current_dir(place.path()).args(["--mail", "mail", "--people", "people.csv"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.out.contains(['\r', '\u{1b}']) && !ran.err.contains(['\r', '\u{1b}', '█']), "{ran:?}");
    let row = ran.out.lines().find(|line| line.contains("Letter 1")).unwrap();
    for part in ["2026-11-02", "mail in", "Ann", "Acme 2027", "address"] {
        assert!(row.contains(part), "{row}");
    }
    assert!(ran.out.contains("quota units: 0.0 minutes at Google's 6000 units a minute"), "{}", ran.out);
    assert!(ran.err.contains("up to date: 3 done"), "{}", ran.err);
}

#[test]
fn on_a_terminal_there_is_a_progress_bar_and_then_the_timeline() {
    let place = Place::with_letters(3);
    let crm = example("crm_sync");
    let line = format!("{} --mail mail --people people.csv", crm.get_program().to_str().unwrap());
    let mut script = Command::new("script");
    let Ok(output) = script.current_dir(place.path()).args(["-qec", &line, "/dev/null"]).output() else {
        println!("the program script, which pretends to be a terminal, is not here: nothing was checked");
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let (bar, timeline) = (shown.find("█ up to date: 3 done"), shown.find("Letter 2"));
    assert!(bar.is_some() && bar < timeline, "{shown}");
}

#[test]
fn whoever_reads_only_the_beginning_gets_it() {
    let place = Place::with_letters(3);
    let crm = example("crm_sync");
    let line = format!("{} --mail mail | head -1; exit ${{PIPESTATUS[0]}}", crm.get_program().to_str().unwrap());
    let ran = run(Command::new("bash").current_dir(place.path()).args(["-c", &line]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn help_is_no_mistake_and_lists_the_exit_codes() {
    let ran = run(example("crm_sync").arg("--help"));
    assert!(ran.code == Some(0) && ran.out.contains("2 wrong usage"), "{ran:?}");
}
