//! Stopping `crm_sync` in the middle.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::run::{Place, Ran, Sandbox, example, number, run};

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(process: &Child) {
    let sent = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn end(process: Child) -> Ran {
    let output = process.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test]
async fn ctrl_c_stops_cleanly_says_how_to_go_on_and_the_next_run_does() {
    let place = Place::with_letters(60);
    let sandbox = Sandbox::start(&[]);
    sandbox.ask("POST", "faults", r#"{"path": "batch", "action": {"delay": {"milliseconds": 300}}}"#).await;
    let mut sync = place.sync();
    sync.args(["--sandbox", &sandbox.origin]);
    let process = start(sync);
    sandbox.batches(2).await;
    interrupt(&process);
    let stopped = end(process);
    let first = stopped.counts();
    assert_eq!((stopped.code, &first["up_to_date"]), (Some(1), &false.into()), "{stopped:?}");
    assert!(stopped.err.contains("run the same command again to go on"), "{stopped:?}");
    sandbox.ask("DELETE", "faults", "").await;
    let second = run(place.sync().args(["--sandbox", &sandbox.origin])).json();
    let (first, second) = (number(&first, "messages"), number(&second, "messages"));
    assert!(first > 0 && second > 0 && first + second == 60, "{first} and then {second}");
}

#[test]
fn a_killed_run_is_finished_by_the_next_one() {
    let place = Place::with_letters(150);
    let mut sync = example("crm_sync");
    sync.current_dir(place.path()).args(["--mail", "mail", "--db", "crm.db", "--people", "people.csv"]);
    let mut process = start(sync);
    // The first line of progress: signed in, and something is waiting.
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.contains("waiting"), "{line}");
    assert_eq!(run(&mut place.sync()).json()["up_to_date"], true);
    let shown = run(example("crm_sync").current_dir(place.path()).args(["--db", "crm.db", "--mail", "mail"]));
    assert_eq!(shown.out.lines().filter(|line| line.contains("Letter ")).count(), 150);
}

#[test]
fn a_simulated_service_that_lost_its_memory_is_signed_in_to_again() {
    let place = Place::with_letters(3);
    run(&mut place.sync()).json();
    std::fs::remove_file(place.at("crm.sandbox.json")).unwrap();
    assert_eq!(run(&mut place.sync()).json()["up_to_date"], true);
    let shown = run(example("crm_sync").current_dir(place.path()).args(["--db", "crm.db", "--mail", "mail"]));
    assert_eq!(shown.out.lines().filter(|line| line.contains("Letter ")).count(), 3, "{shown:?}");
}
