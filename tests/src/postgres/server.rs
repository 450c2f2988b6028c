//! A throw-away server, tied to the life of this process.

use std::{
    fs, io,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use integration_core::clock::{Random, SystemRandom};
use url::Url;

use super::{Unavailable, binaries::binaries};

const INSTALL: &str = "no PostgreSQL binaries (initdb, postgres) were found; install them (Debian: \
                       `apt-get install postgresql`), or set DATABASE_URL to a server";

/// Runs the server for as long as somebody holds the other end of its standard input: a killed test leaves nothing behind.
const KEEPER: &str = r#"
start() {
  "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c max_connections=200 >>"$2/log" 2>&1 </dev/null &
  server=$!
}
start "$1" "$2"
while read -r word; do
  case "$word" in
    stop) kill -INT "$server"; wait "$server" ;;
    start) start "$1" "$2" ;;
  esac
  echo done
done
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

#[derive(Debug)]
pub(super) struct Server {
    directory: PathBuf,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    pub(super) fn start() -> Result<Self, Unavailable> {
        let programs = binaries().ok_or_else(|| Unavailable(INSTALL.to_owned()))?;
        let directory = place()?;
        let user = unprivileged(&directory)?;
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid))?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&directory).process_group(0).env_remove("PGDATA");
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let mut initdb = command(&programs.join("initdb"));
        initdb.args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.stdin(Stdio::null()).output()?;
        if !made.status.success() {
            return Err(Unavailable(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim())));
        }
        let mut keeper = command(Path::new("/bin/sh"));
        keeper.args(["-c", KEEPER, "keeper"]).arg(&programs).arg(&directory);
        let mut process = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let words = process.stdin.take();
        let answers = process.stdout.take().ok_or_else(|| io::Error::other("the keeper has no output"))?;
        let keeper = Keeper { process, words, answers: BufReader::new(answers) };
        Ok(Self { directory, keeper: Mutex::new(keeper) })
    }

    pub(super) fn url(&self) -> Url {
        let text = format!("postgres://postgres@localhost/postgres?host={}", self.directory.display());
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub(super) fn stop(&self) {
        self.say("stop");
    }

    pub(super) fn restart(&self) {
        self.say("start");
    }

    /// The last lines that the server wrote.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    fn say(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let told = keeper.words.as_mut().map(|words| writeln!(words, "{word}"));
        let mut answer = String::new();
        let heard = keeper.answers.read_line(&mut answer);
        assert!(matches!(told, Some(Ok(()))) && heard.is_ok() && answer == "done\n", "the server's keeper is gone");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.words.take());
        let _ = keeper.process.wait();
    }
}

/// A directory that only its owner can enter: the server asks nobody for a password. Its name is short, for a socket's
/// path may not be long.
fn place() -> io::Result<PathBuf> {
    let mut random = [0; 6];
    SystemRandom.fill(&mut random);
    let directory = std::env::temp_dir().join(format!("integration-pg-{}", hex::encode(random)));
    fs::DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

/// Root may not run the server: somebody else's ids then.
fn unprivileged(directory: &Path) -> Result<Option<(u32, u32)>, Unavailable> {
    if fs::metadata(directory)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    let missing =
        || Unavailable("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`".to_owned());
    found.map(Some).ok_or_else(missing)
}
