//! The command line.

use std::path::PathBuf;

/// What is shown after a mistake.
pub const USAGE: &str = "usage: crm_sync [--mail PATH]... [--people FILE.csv] [--db FILE] \
[--quota gmail-2026|gmail-classic|off] [--sandbox URL] [--json] [--live google]";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// Directories or mbox files; empty: the bundled messages.
    pub mail: Vec<PathBuf>,
    /// The people.
    pub people: Option<PathBuf>,
    /// The database.
    pub db: PathBuf,
    /// The quota preset.
    pub quota: String,
    /// A running sandbox.
    pub sandbox: Option<String>,
    /// One JSON object on stdout, nothing else.
    pub json: bool,
    /// The real service.
    pub live: Option<String>,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// A sentence that names the mistake.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut parsed = Self {
            mail: Vec::new(),
            people: None,
            db: PathBuf::from("crm_sync.db"),
            quota: "off".to_owned(),
            sandbox: None,
            json: false,
            live: None,
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--mail" => parsed.mail.push(value()?.into()),
                "--people" => parsed.people = Some(value()?.into()),
                "--db" => parsed.db = value()?.into(),
                "--quota" => parsed.quota = value()?,
                "--sandbox" => parsed.sandbox = Some(value()?),
                "--json" => parsed.json = true,
                "--live" => parsed.live = Some(value()?),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if !["gmail-2026", "gmail-classic", "off"].contains(&parsed.quota.as_str()) {
            return Err(format!("--quota is gmail-2026, gmail-classic or off, not {}", parsed.quota));
        }
        if parsed.live.as_deref().is_some_and(|service| service != "google") {
            return Err("--live knows only google".to_owned());
        }
        if parsed.live.is_some() && (parsed.sandbox.is_some() || !parsed.mail.is_empty()) {
            return Err("--live goes with neither --sandbox nor --mail".to_owned());
        }
        if parsed.people.is_none() && parsed.mail.is_empty() && parsed.live.is_none() {
            parsed.people = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample/people.csv"));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn an_unknown_option_is_named() {
        assert_eq!(parse("--male x").unwrap_err(), "unknown option --male");
    }

    #[test]
    fn a_missing_value_is_named() {
        assert_eq!(parse("--db").unwrap_err(), "--db needs a value");
    }

    #[test]
    fn live_and_sandbox_exclude_each_other() {
        assert!(parse("--live google --sandbox http://127.0.0.1:1").is_err());
    }
}
