//! What can be wrong about what `crm_sync` is given: one clear line, the right exit code, and nothing lost.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use integration_core::store::{SyncStore, sqlite::SqliteStore};

use crate::run::{Place, Sandbox, example, number, run};

/// A good run afterwards finishes, with all letters on the timeline.
#[track_caller]
fn finishes(place: &Place, activities: u64) {
    assert_eq!(number(&run(&mut place.sync()).json(), "activities"), activities);
}

#[test]
fn wrong_usage_is_named_with_exit_code_2() {
    let place = Place::new();
    for (arguments, wanted) in [
        ("--male mail", "crm_sync: unknown option --male (--help lists the options)"),
        ("--mail", "--mail needs a value"),
        ("--quota lots", "--quota is one of gmail-2026, gmail-classic, outlook, outlook-classic, off, not lots"),
        ("--sandbox nowhere", "--sandbox nowhere is no URL"),
        ("--live bing", "--live does not know bing: it is google or microsoft"),
        ("--service yahoo", "--service"),
        ("--live google --service all", "--live google goes with no other --service"),
        ("--live google --mail mail", "--live goes with neither"),
    ] {
        let mut command = example("crm_sync");
        run(command.current_dir(place.path()).args(arguments.split(' '))).complains(2, wanted);
    }
    assert!(!place.at("crm_sync.db").exists());
}

#[test]
fn mail_that_cannot_be_read_is_named_and_changes_nothing() {
    let place = Place::with_letters(2);
    fs::write(place.at("letter.txt"), "Dear Ada").unwrap();
    run(place.crm().args(["--mail", "nowhere"])).complains(1, "nowhere cannot be read");
    run(place.crm().args(["--mail", "letter.txt"])).complains(1, "letter.txt is no mbox file");
    // A file that its owner may open but nobody can read, also not as root.
    if Path::new("/proc/self/mem").exists() {
        run(place.crm().args(["--mail", "/proc/self/mem"])).complains(1, "/proc/self/mem cannot be read");
    }
    assert!(!place.at("crm.db").exists());
    finishes(&place, 2);
}

#[test]
fn a_list_of_people_that_is_none_is_named_and_changes_nothing() {
    let place = Place::with_letters(1);
    fs::write(place.at("wrong.csv"), "mail,name\nann@acme.example,Ann\n").unwrap();
    fs::write(place.at("short.csv"), "name,email,company,deal\nAnn\n").unwrap();
    for (file, wanted) in [
        ("wrong.csv", "wrong.csv must begin with the line name,email,company,deal"),
        ("short.csv", "short.csv"),
        ("nowhere.csv", "nowhere.csv cannot be read"),
    ] {
        run(place.sync().args(["--people", file])).complains(1, wanted);
    }
    assert!(!place.at("crm.db").exists());
    finishes(&place, 1);
}

#[tokio::test]
async fn a_locked_database_is_waited_for_and_then_named() {
    let place = Place::with_letters(2);
    let store = SqliteStore::open(place.at("crm.db")).await.unwrap();
    let transaction = store.begin(None).await.unwrap();
    let ran = run(&mut place.sync());
    ran.complains(1, "crm.db: the database is locked by another process");
    assert!(ran.err.contains("close the other program and run the same command again"), "{}", ran.err);
    drop(transaction);
    store.close().await.unwrap();
    finishes(&place, 2);
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let place = Place::with_letters(1);
    fs::write(place.at("crm.db"), "Dear diary, this is no database at all.").unwrap();
    run(&mut place.sync()).complains(1, "crm.db: the file is not a SQLite database. Check the configured path.");
    assert_eq!(fs::read_to_string(place.at("crm.db")).unwrap(), "Dear diary, this is no database at all.");
    fs::remove_file(place.at("crm.db")).unwrap();
    finishes(&place, 1);
}

#[test]
fn a_damaged_database_is_named_and_its_backup_goes_on() {
    let place = Place::with_letters(30);
    finishes(&place, 30);
    fs::copy(place.at("crm.db"), place.at("backup.db")).unwrap();
    let mut bytes = fs::read(place.at("crm.db")).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = 0xa5;
    }
    fs::write(place.at("crm.db"), bytes).unwrap();
    run(&mut place.sync()).complains(1, "crm.db: the database file is damaged. Restore it from a backup");
    fs::rename(place.at("backup.db"), place.at("crm.db")).unwrap();
    place.letter(30);
    finishes(&place, 1);
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let place = Place::new();
    let ran = run(example("crm_sync").current_dir(place.path()).args(["--json", "--db", "no/such/crm.db"]));
    ran.complains(1, "the directory no/such does not exist; create it first");
}

#[test]
fn another_key_opens_nothing_and_the_right_one_still_does() {
    const OTHER: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let place = Place::with_letters(1);
    finishes(&place, 1);
    place.letter(1);
    run(place.sync().env("INTEGRATION_KEY", OTHER)).complains(1, "sealed with a key that is not in the key ring");
    run(place.sync().env("INTEGRATION_KEY", "short")).complains(1, "INTEGRATION_KEY: key 1 is not 32 bytes");
    fs::rename(place.at("crm.key"), place.at("hidden")).unwrap();
    run(&mut place.sync()).complains(1, "the key file crm.key is gone");
    fs::rename(place.at("hidden"), place.at("crm.key")).unwrap();
    finishes(&place, 1);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let place = Place::with_letters(1);
    finishes(&place, 1);
    place.letter(1);
    let mode = |mode| fs::set_permissions(place.at("crm.key"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    run(&mut place.sync()).complains(1, "run `chmod 600 crm.key`");
    mode(0o600);
    finishes(&place, 1);
}

/// A file system of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_with_room_the_run_finishes() {
    let place = Place::with_letters(200);
    let Some(disk) = SmallDisk::mount(place.at("disk"), "512k") else {
        println!("file systems cannot be mounted here: nothing was checked");
        return;
    };
    let sync = || {
        let mut command = place.crm();
        command.args(["--mail", "mail", "--db", "disk/crm.db"]);
        command
    };
    let ran = run(&mut sync());
    ran.complains(1, "disk/crm.db: the disk is full");
    disk.grow("64m");
    let ran = run(&mut sync());
    assert_eq!(ran.json()["up_to_date"], true);
    let shown = run(example("crm_sync").current_dir(place.path()).args(["--db", "disk/crm.db", "--mail", "mail"]));
    assert_eq!(shown.out.lines().filter(|line| line.contains("Letter ")).count(), 200);
}

#[test]
fn a_sandbox_that_is_not_there_is_named() {
    let place = Place::with_letters(1);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run(place.sync().args(["--sandbox", &format!("http://{free}")]));
    ran.complains(1, "no sandbox answers at http://127.0.0.1:");
    finishes(&place, 1);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(example("sandbox").args(["--listen", &address])).complains(1, &format!("cannot listen on {address}"));
    run(example("oauth_connect").args(["--listen", &address, "--decide", "grant"]))
        .complains(1, &format!("cannot listen on {address}"));
}

#[tokio::test]
async fn a_service_that_is_unplugged_in_the_middle_is_named_and_the_next_run_finishes() {
    let place = Place::with_letters(60);
    let state = place.at("far.json");
    let arguments = ["--state", state.to_str().unwrap()];
    let mut sandbox = Sandbox::start(&arguments);
    let delay = r#"{"path": "batch", "action": {"delay": {"milliseconds": 500}}}"#;
    sandbox.ask("POST", "faults", delay).await;
    let mut sync = place.sync();
    sync.args(["--sandbox", &sandbox.origin]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = sync.spawn().unwrap();
    sandbox.batches(2).await;
    sandbox.ask("POST", "save", "").await;
    sandbox.kill();
    let output = process.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{told}");
    assert!(told.contains("run the same command again"), "{told}");
    // Plugged in again, at another port.
    let sandbox = Sandbox::start(&arguments);
    assert_eq!(run(place.sync().args(["--sandbox", &sandbox.origin])).json()["up_to_date"], true);
    let shown =
        run(example("crm_sync").current_dir(place.path()).args(["--db", "crm.db", "--sandbox", &sandbox.origin]));
    assert_eq!(shown.out.lines().filter(|line| line.contains("Letter ")).count(), 60);
}
