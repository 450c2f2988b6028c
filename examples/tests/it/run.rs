//! Running examples as processes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use integration_core::http::{Body, ReqwestTransport, Transport};
use serde_json::Value;
use tempfile::TempDir;

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

const SERVICES: [&str; 2] = ["GOOGLE", "MICROSOFT"];
const VARIABLES: [&str; 3] = ["CLIENT_ID", "CLIENT_SECRET", "TENANT"];

/// An example. Cargo builds all of them before it runs these tests, unless it was asked for single targets.
pub(crate) fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "{} is not built: {BUILD}", program.display());
    // A test that is built alone leaves the programs as they are.
    assert!(is_fresh(&program), "{} is older than its sources: {BUILD}", program.display());
    let mut command = Command::new(program);
    command.env_remove("INTEGRATION_KEY");
    for (service, what) in SERVICES.iter().flat_map(|service| VARIABLES.map(|what| (service, what))) {
        command.env_remove(format!("{service}_{what}"));
    }
    command.stdin(Stdio::null());
    command
}

const BUILD: &str = "cargo build -p integration-examples --examples";

/// No source that it was built from, as the file beside it lists them, has changed since.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified());
    let (Ok(built), Ok(sources)) = (changed(program), std::fs::read_to_string(program.with_extension("d"))) else {
        return true;
    };
    let mut sources = sources.split_whitespace().skip(1).map(Path::new);
    sources.all(|source| changed(source).is_ok_and(|changed| changed <= built))
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ran {
    /// The counts of a `--json` run that ended well.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.counts()
    }

    /// The one object on standard output.
    #[track_caller]
    pub(crate) fn counts(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        let counts: Value = serde_json::from_str(&self.out).unwrap();
        let skipped: u64 = counts["skipped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let parts = number(&counts, "activities") + skipped + number(&counts, "quarantined");
        assert_eq!(number(&counts, "messages"), parts, "{counts}");
        counts
    }

    /// The program failed with this one line.
    #[track_caller]
    pub(crate) fn complains(&self, code: i32, wanted: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!((self.out.as_str(), self.err.lines().count()), ("", 1), "{self:?}");
        assert!(self.err.contains(wanted), "expected {wanted:?} in {:?}", self.err);
    }
}

#[track_caller]
pub(crate) fn number(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap_or_else(|| panic!("{name} in {counts}"))
}

/// A directory with mail, contacts and a database.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("mail")).unwrap();
        fs::write(place.at("people.csv"), "name,email,company,deal\nAnn,ann@acme.example,Acme,Acme 2027\n").unwrap();
        place
    }

    /// With so many letters in the mail directory.
    pub(crate) fn with_letters(count: usize) -> Self {
        let place = Self::new();
        for number in 0..count {
            place.letter(number);
        }
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A letter from Ann, in a conversation of its own.
    pub(crate) fn letter(&self, number: usize) -> PathBuf {
        let path = self.at("mail").join(format!("{number:04}.eml"));
        fs::write(&path, letter(number)).unwrap();
        path
    }

    /// `crm_sync --json` on the database, with the contacts but no mail of this place.
    pub(crate) fn crm(&self) -> Command {
        let mut command = example("crm_sync");
        command.current_dir(self.path()).args(["--json", "--db", "crm.db", "--people", "people.csv"]);
        command
    }

    /// The same with the mail.
    pub(crate) fn sync(&self) -> Command {
        let mut command = self.crm();
        command.args(["--mail", "mail"]);
        command
    }
}

pub(crate) fn letter(number: usize) -> String {
    format!(
        "From: Ann <ann@acme.example>\r\nTo: ada@northwind-sales.example\r\nSubject: Letter {number}\r\n\
         Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:{:02} +0000\r\n\r\nText {number}.\r\n",
        number % 60
    )
}

/// The example `sandbox` in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Sandbox {
    process: Child,
    pub(crate) origin: String,
}

impl Sandbox {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = example("sandbox");
        let mut process =
            command.args(["--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let urls: Value = serde_json::from_str(&line).unwrap();
        let origin = urls["gmail"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { process, origin }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let url = format!("{}/sandbox/{path}", self.origin);
        let request = http::Request::builder().method(method).uri(url).body(Body::from(body.to_owned())).unwrap();
        let answer = ReqwestTransport::new().unwrap().execute(request).await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        serde_json::from_slice(&answer.into_body().collect(64 << 20).await.unwrap()).unwrap()
    }

    /// Calls and quota units so far.
    pub(crate) async fn books(&self) -> (u64, u64) {
        let books = self.ask("GET", "books", "").await;
        let calls = self.ask("GET", "calls", "").await;
        // Outlook does not count who is asked for by name; a client counts every request to Graph, also inside a batch.
        let people = calls.as_array().unwrap().iter().filter(|call| call["path"] == "/v1.0/me").count() as u64;
        let units = number(&books["gmail"], "units") + number(&books["graph"], "requests") + people;
        (number(&books, "calls"), units)
    }

    /// Waits until so many batches were answered.
    pub(crate) async fn batches(&self, count: u64) {
        for _ in 0..3_000 {
            if number(&self.ask("GET", "books", "").await["gmail"], "batches") >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {count} batches: {}", self.ask("GET", "books", "").await);
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
