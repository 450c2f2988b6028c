//! A host on another database, killed again and again, ends with the rows of one that never was.

use std::{path::Path, process::Command, time::Duration};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::run::{Place, Sandbox, example, run};

const LETTERS: usize = 400;

fn host(place: &Path, sandbox: &Sandbox) -> Command {
    let mut command = example("other_driver");
    command.args(["--sandbox", &sandbox.origin, "--folder"]).arg(place);
    command
}

/// The host's own rows, and how far it is.
async fn rows(place: &Path) -> (Vec<(String, String, String)>, Option<i64>) {
    let options = SqliteConnectOptions::new().filename(place.join("host.db"));
    let Ok(mut database) = SqliteConnection::connect_with(&options).await else { return (Vec::new(), None) };
    let rows = sqlx::query_as("SELECT id, author, subject FROM timeline ORDER BY id").fetch_all(&mut database).await;
    let position: Option<(i64,)> =
        sqlx::query_as("SELECT sequence FROM position").fetch_optional(&mut database).await.unwrap_or_default();
    (rows.unwrap_or_default(), position.map(|(sequence,)| sequence))
}

#[tokio::test]
async fn a_killed_host_on_another_database_ends_with_the_rows_of_an_undisturbed_one() {
    let place = Place::with_letters(LETTERS);
    let mail = place.at("mail");
    let sandbox = Sandbox::start(&["--mail", mail.to_str().unwrap(), "--person", "ada@northwind-sales.example"]);
    sandbox.ask("POST", "faults", r#"{"path": "batch", "action": {"delay": {"milliseconds": 60}}}"#).await;
    let (undisturbed, killed) = (place.at("undisturbed"), place.at("killed"));
    let begun = std::time::Instant::now();
    let ran = run(&mut host(&undisturbed, &sandbox));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (whole, expected) = (begun.elapsed(), rows(&undisturbed).await);
    assert_eq!(expected.0.len(), LETTERS);

    let (mut kills, mut seed, mut midway) = (0, 7_u64, 0);
    while kills < 12 {
        let mut process = host(&killed, &sandbox).spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(whole.mul_f64((seed >> 40) as f64 / (1_u64 << 24) as f64 / 2.0)).await;
        if process.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        process.kill().unwrap();
        assert!(!process.wait().unwrap().success(), "killed");
        kills += 1;
        let (found, sequence) = rows(&killed).await;
        midway += usize::from(!found.is_empty() && found.len() < LETTERS);
        assert!(sequence.is_some() || found.is_empty(), "rows without a sequence");
    }
    for _ in 0..3 {
        let ran = run(&mut host(&killed, &sandbox));
        if ran.code == Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let found = rows(&killed).await;
    println!("killed {kills} times, {midway} of them with some of the rows there");
    assert_eq!(found.0, expected.0);
    assert!(kills >= 4 && midway >= 2, "{kills} kills, {midway} midway");
}

#[test]
fn it_runs_by_itself() {
    let ran = run(&mut example("other_driver"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "1 rows at the host, up to batch 1\n"), "{ran:?}");
}
