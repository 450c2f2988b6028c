//! The command line.

use std::path::PathBuf;

use url::Url;

use super::{Quotas, Service};

/// The command line in short.
pub const USAGE: &str = "usage: crm_sync [--service google|microsoft|all] [--mail PATH]... [--people FILE.csv] [--db FILE] \
[--quota gmail-2026|gmail-classic|outlook|outlook-classic|off]... [--sandbox URL] [--json] [--live google|microsoft] [--audit | --why MESSAGE_ID]";

/// What is shown on request.
pub const HELP: &str = "
  --service NAME  whose mailbox: google unless given, microsoft, or all: one of each, on one timeline
  --mail PATH     a directory (every file one message, except *.json, *.jsonl and *.md) or an mbox file, loaded into the
                  simulated mailboxes; may be repeated; without it the bundled sample
  --people FILE   your contacts: a CSV file with the columns name,email,company,deal
  --db FILE       where everything is kept; crm_sync.db unless given. The key and the simulated service are kept beside it
  --quota NAME    the limits to keep: gmail-2026 or gmail-classic, outlook or outlook-classic, or off for none anywhere; may be
                  repeated, once for each service. Off unless given (units are counted all the same); where only one
                  service's is given, the other's present limits hold
  --sandbox URL   a running sandbox instead of one of its own; with --mail, the files are loaded into it
  --json          one object with the counts of this run on standard output, and nothing else
  --live NAME     the real service: google, with GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET in the environment, or microsoft,
                  with MICROSOFT_CLIENT_ID, MICROSOFT_CLIENT_SECRET if the app has one, and MICROSOFT_TENANT for who can
                  sign in: common (unless given), organizations, consumers, or an organisation's id or domain
  --audit         syncs, compares the mailbox with the service item by item, and repairs what does not agree
  --why ID        says why a message (its Message-ID, or the service's id) is or is not on the timeline, and exits

exit code: 0 up to date, 1 failed or stopped, 2 wrong usage";

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To be told how to ask.
    Help,
    /// A run.
    Run(Box<Arguments>),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// Whose mailboxes, in the order in which they are synced.
    pub services: Vec<Service>,
    /// Directories or mbox files; empty: the bundled messages, where the mailbox is ours.
    pub mail: Vec<PathBuf>,
    /// The people.
    pub people: Option<PathBuf>,
    /// The database.
    pub db: PathBuf,
    /// The limits to keep; absent: none, and at a real service its own.
    pub quota: Option<Quotas>,
    /// A running sandbox.
    pub sandbox: Option<Url>,
    /// One JSON object on stdout, nothing else.
    pub json: bool,
    /// The real service.
    pub live: bool,
    /// Compare the mailbox with its service.
    pub audit: bool,
    /// Explain this message, and nothing else.
    pub why: Option<String>,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// A sentence that names the mistake.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Asked, String> {
        let mut arguments = arguments.into_iter();
        let (mut services, mut live) = (None, None);
        let mut parsed = Self {
            services: Vec::new(),
            mail: Vec::new(),
            people: None,
            db: PathBuf::from("crm_sync.db"),
            quota: None,
            sandbox: None,
            json: false,
            live: false,
            audit: false,
            why: None,
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--mail" => parsed.mail.push(value()?.into()),
                "--people" => parsed.people = Some(value()?.into()),
                "--db" => parsed.db = value()?.into(),
                "--quota" => parsed.quota = Some(quota(parsed.quota, &value()?)?),
                "--sandbox" => parsed.sandbox = Some(origin(&value()?)?),
                "--json" => parsed.json = true,
                "--audit" => parsed.audit = true,
                "--why" => parsed.why = Some(value()?),
                "--service" => services = Some(chosen(&value()?)?),
                "--live" => live = Some(named("--live", &value()?)?),
                "--help" | "-h" => return Ok(Asked::Help),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        parsed.live = live.is_some();
        parsed.services = match (services, live) {
            (Some(services), Some(live)) if services != [live] => {
                return Err(format!("--live {} goes with no other --service", live.name()));
            }
            (_, Some(live)) => vec![live],
            (services, None) => services.unwrap_or_else(|| vec![Service::Google]),
        };
        if parsed.live && (parsed.sandbox.is_some() || !parsed.mail.is_empty()) {
            return Err("--live goes with neither --sandbox nor --mail".to_owned());
        }
        if parsed.audit && parsed.why.is_some() {
            return Err("--audit and --why are two questions: ask one at a time".to_owned());
        }
        let bundled = parsed.mail.is_empty() && parsed.sandbox.is_none() && !parsed.live;
        if parsed.people.is_none() && bundled {
            parsed.people = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample/people.csv"));
        }
        Ok(Asked::Run(Box::new(parsed)))
    }
}

fn chosen(name: &str) -> Result<Vec<Service>, String> {
    if name == "all" { Ok(Service::ALL.to_vec()) } else { named("--service", name).map(|service| vec![service]) }
}

fn named(option: &str, name: &str) -> Result<Service, String> {
    Service::named(name).ok_or_else(|| format!("{option} does not know {name}: it is google or microsoft"))
}

fn quota(given: Option<Quotas>, name: &str) -> Result<Quotas, String> {
    given.unwrap_or_default().with_preset(name).ok_or_else(|| {
        let presets: Vec<&str> = Quotas::presets().collect();
        format!("--quota is one of {}, not {name}", presets.join(", "))
    })
}

fn origin(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("--sandbox {text} is no URL: {error}"))?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    usable.then_some(url).ok_or_else(|| format!("--sandbox {text} is no URL of a server"))
}

#[cfg(test)]
mod tests {
    use integration_google::GmailQuota;
    use integration_microsoft::OutlookQuota;

    use super::{Arguments, Asked, HELP, Quotas, Service, USAGE};

    fn wrong(line: &str) -> String {
        Arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, told) in [
            ("--male x", "unknown option --male"),
            ("--db", "--db needs a value"),
            ("--quota lots", "--quota is one of gmail-2026, gmail-classic, outlook, outlook-classic, off, not lots"),
            ("--sandbox 127.0.0.1:80", "--sandbox 127.0.0.1:80 is no URL: relative URL without a base"),
            ("--sandbox file:///x", "--sandbox file:///x is no URL of a server"),
            ("--live bing", "--live does not know bing: it is google or microsoft"),
            ("--service bing", "--service does not know bing: it is google or microsoft"),
            ("--live google --service all", "--live google goes with no other --service"),
            ("--live google --sandbox http://127.0.0.1:1", "--live goes with neither --sandbox nor --mail"),
            ("--audit --why x", "--audit and --why are two questions: ask one at a time"),
            ("--live google --mail x", "--live goes with neither --sandbox nor --mail"),
        ] {
            assert_eq!(wrong(line), told);
        }
    }

    #[test]
    fn the_mailbox_is_one_of_google_unless_said_otherwise() {
        for (line, services) in [
            ("", &[Service::Google][..]),
            ("--service microsoft", &[Service::Microsoft]),
            ("--live microsoft", &[Service::Microsoft]),
            ("--service all", &Service::ALL),
        ] {
            let asked = Arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap();
            let Asked::Run(arguments) = asked else { panic!("a run was asked for") };
            assert_eq!(arguments.services, services, "{line}");
        }
    }

    #[test]
    fn the_presets_of_both_services_are_known_and_add_up() {
        let (gmail, outlook) = (GmailQuota::default(), OutlookQuota::default());
        for (line, wanted) in [
            ("--quota gmail-classic", (GmailQuota::GmailClassic, outlook)),
            ("--quota outlook-classic", (gmail, OutlookQuota::OutlookClassic)),
            ("--quota outlook-classic --quota gmail-classic", (GmailQuota::GmailClassic, OutlookQuota::OutlookClassic)),
            ("--quota off", (GmailQuota::Off, OutlookQuota::Off)),
        ] {
            let asked = Arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap();
            let Asked::Run(arguments) = asked else { panic!("a run was asked for") };
            let quota = arguments.quota.unwrap();
            assert_eq!((quota.gmail, quota.outlook), wanted, "{line}");
        }
        for preset in Quotas::presets() {
            assert!(USAGE.contains(preset) && HELP.contains(preset), "{preset}");
        }
    }

    #[test]
    fn the_bundled_people_belong_to_the_bundled_mail() {
        for (line, people) in [("", true), ("--mail x", false), ("--live google", false)] {
            let asked = Arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap();
            let Asked::Run(arguments) = asked else { panic!("a run was asked for") };
            assert_eq!(arguments.people.is_some(), people, "{line}");
        }
    }
}
