//! The simulators as a server: what the program `sandbox` and the example of the same name do.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use serde::Serialize;

use crate::{
    GmailSettings, GoogleUrls, GraphSettings, MicrosoftUrls, Sandbox, SandboxSettings, Served,
    google::gmail::QuotaPreset, mail, microsoft::graph,
};

/// The command line.
pub const USAGE: &str = "usage: sandbox --listen 127.0.0.1:PORT [--state FILE] [--mail PATH]... [--person ADDRESS] \
                     [--quota gmail-2026|gmail-classic|outlook|off]... [--project-units UNITS]";
/// Who has the mailbox unless somebody is named.
const PERSON: &str = "alex@example.com";
/// How often the state file is brought up to date.
const SAVE_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    state: Option<PathBuf>,
    mail: Vec<PathBuf>,
    person: Option<String>,
    quota: QuotaPreset,
    project_units: Option<u64>,
    graph_quota: graph::QuotaPreset,
}

/// What is printed: Google's URLs, and Microsoft's two roots `login` and `graph`.
#[derive(Debug, Serialize)]
struct Urls {
    #[serde(flatten)]
    google: GoogleUrls,
    #[serde(flatten)]
    microsoft: MicrosoftUrls,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: ([127, 0, 0, 1], 0).into(),
            state: None,
            mail: vec![],
            person: None,
            quota: QuotaPreset::Off,
            project_units: None,
            graph_quota: graph::QuotaPreset::Off,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--listen" => {
                    let text = value()?;
                    options.listen = text.parse().map_err(|_| format!("{text} is no address with a port"))?;
                }
                "--state" => options.state = Some(value()?.into()),
                "--mail" => options.mail.push(value()?.into()),
                "--person" => options.person = Some(value()?),
                "--quota" => match value()?.as_str() {
                    "outlook" => options.graph_quota = graph::QuotaPreset::Outlook,
                    name => options.quota = quota(name)?,
                },
                "--project-units" => {
                    let units = value()?;
                    let read = units.parse().map_err(|_| format!("{units} is no number of units a minute"))?;
                    options.project_units = Some(read);
                }
                _ => return Err(format!("{word} is unknown")),
            }
        }
        if !options.listen.ip().is_loopback() {
            return Err("the sandbox lets everybody in and only listens on loopback".to_owned());
        }
        Ok(options)
    }
}

fn quota(name: &str) -> Result<QuotaPreset, String> {
    match name {
        "gmail-2026" => Ok(QuotaPreset::Gmail2026),
        "gmail-classic" => Ok(QuotaPreset::Classic),
        "off" => Ok(QuotaPreset::Off),
        _ => Err(format!("{name} is no quota: gmail-2026, gmail-classic, outlook or off")),
    }
}

/// Prints the base URLs as JSON on standard output and serves until the process is asked to stop. Exit code 0 after that,
/// 1 on failure, 2 on wrong usage; what is wrong is one line on standard error.
pub async fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some_and(|first| first == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("sandbox: {wrong} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> io::Result<()> {
    let (sandbox, served) = start(options).await?;
    // Before anybody can know that it runs.
    let stopped = stopped()?;
    println!("{}", serde_json::to_string(&Urls { google: served.base_urls(), microsoft: served.microsoft_urls() })?);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            stopped = &mut stopped => {
                stopped?;
                break;
            }
            () = tokio::time::sleep(SAVE_EVERY) => sandbox.save()?,
        }
    }
    served.shutdown().await;
    sandbox.save()
}

async fn start(options: Options) -> io::Result<(Sandbox, Served)> {
    let (quota, project_units) = (options.quota, options.project_units);
    let gmail = GmailSettings { quota, project_units, ..GmailSettings::default() };
    let graph = GraphSettings { quota: options.graph_quota, ..GraphSettings::default() };
    let builder = Sandbox::google().with_settings(SandboxSettings { gmail, graph, ..SandboxSettings::default() });
    let sandbox = match options.state {
        Some(path) => builder.with_state_file(path).build()?,
        None => builder.build(),
    };
    let person = options.person.unwrap_or_else(|| PERSON.to_owned());
    if !sandbox.people().iter().any(|known| known.address == person.to_lowercase()) {
        sandbox.register_person(&person, "Alex Example");
    }
    if !sandbox.microsoft().people().iter().any(|known| known.mail == person.to_lowercase()) {
        sandbox.microsoft().register_person(&person, "Alex Example");
    }
    let mut messages = Vec::new();
    for path in &options.mail {
        messages.extend(mail::read(path)?);
    }
    if !options.mail.is_empty() {
        // The same mail at both services: whoever reads both has to see that it is one.
        sandbox.microsoft().graph().mailbox(&person).sync_folder(messages.clone(), sandbox.now());
        sandbox.gmail().mailbox(&person).sync_folder(messages, sandbox.now());
    }
    let taken = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { "; port 0 takes a free one" } else { "" };
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}{hint}", options.listen))
    };
    let served = sandbox.serve(options.listen).await.map_err(taken)?;
    Ok((sandbox, served))
}

/// Listens from now on; the future ends when somebody asks the program to stop.
fn stopped() -> io::Result<impl Future<Output = io::Result<()>>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            Ok(())
        })
    }
    #[cfg(not(unix))]
    Ok(tokio::signal::ctrl_c())
}
