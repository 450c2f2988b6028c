//! The simulators as a server: prints its base URLs as JSON on standard output and runs until it is interrupted.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use integration_testing::{GmailSettings, Sandbox, SandboxSettings, google::gmail::QuotaPreset, mail};

const USAGE: &str = "usage: sandbox --listen 127.0.0.1:PORT [--state FILE] [--mail PATH]... [--person ADDRESS] \
                     [--quota gmail-2026|gmail-classic|off]";
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
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: ([127, 0, 0, 1], 0).into(),
            state: None,
            mail: vec![],
            person: None,
            quota: QuotaPreset::Off,
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
                "--quota" => options.quota = quota(&value()?)?,
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
        _ => Err(format!("{name} is no quota: gmail-2026, gmail-classic or off")),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> std::io::Result<()> {
    let gmail = GmailSettings { quota: options.quota, ..GmailSettings::default() };
    let builder = Sandbox::google().with_settings(SandboxSettings { gmail, ..SandboxSettings::default() });
    let sandbox = match options.state {
        Some(path) => builder.with_state_file(path).build()?,
        None => builder.build(),
    };
    let person = options.person.unwrap_or_else(|| PERSON.to_owned());
    if !sandbox.people().iter().any(|known| known.address == person.to_lowercase()) {
        sandbox.register_person(&person, "Alex Example");
    }
    let mut messages = Vec::new();
    for path in &options.mail {
        messages.extend(mail::read(path)?);
    }
    if !options.mail.is_empty() {
        sandbox.gmail().mailbox(&person).sync_folder(messages, sandbox.now());
    }
    let served = sandbox.serve(options.listen).await?;
    println!("{}", serde_json::to_string(&served.base_urls())?);
    let stopped = stopped();
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

/// Ends when somebody asks the program to stop.
async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
