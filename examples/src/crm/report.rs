//! What a run shows at its end.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use integration_core::{
    Error, ErrorKind, Result,
    activity::{Activity, MatchTarget},
    hub::Hub,
    ids::TenantId,
};

use super::{Arguments, Quotas, Service};
use crate::{meter::Meter, people::CsvDirectory, tally::Counts};

/// A run's numbers.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) counts: Counts,
    pub(super) meter: &'a Meter,
    pub(super) took: Duration,
    pub(super) quota: Quotas,
    pub(super) services: &'a [Service],
    pub(super) up_to_date: bool,
}

impl Report<'_> {
    pub(super) async fn print(
        &self,
        hub: &Hub,
        tenant: &TenantId,
        arguments: &Arguments,
        people: Option<&CsvDirectory>,
    ) -> Result<()> {
        let mut activities = hub.activities(tenant).await?;
        activities.sort_by(|left, right| right.summary.at.cmp(&left.summary.at).then(left.id.cmp(&right.id)));
        let new = activities.iter().filter(|activity| self.is_new(activity));
        let (mut contacts, mut deals) = (0, 0);
        for activity in new {
            let has = |wanted: fn(&MatchTarget) -> bool| activity.matches.iter().any(|found| wanted(&found.target));
            contacts += usize::from(has(|target| matches!(target, MatchTarget::Contact(_))));
            deals += usize::from(has(|target| matches!(target, MatchTarget::Deal(_))));
        }
        let mut text = String::new();
        if arguments.json {
            text = format!("{}\n", self.json(contacts, deals));
        } else {
            text.push_str(HEADER);
            for activity in &activities {
                text.push_str(&line(activity, people));
            }
            self.summary(&mut text, contacts, deals);
        }
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads only the beginning has what they wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| {
                Error::new(ErrorKind::InvalidInput, format!("standard output cannot be written: {error}"))
            }),
        }
    }

    fn is_new(&self, activity: &Activity) -> bool {
        activity.sightings.values().flat_map(|copies| copies.keys()).any(|key| self.counts.logged.contains(key))
    }

    fn json(&self, contacts: usize, deals: usize) -> serde_json::Value {
        serde_json::json!({
            "messages": self.counts.messages,
            "activities": self.counts.activities,
            "skipped": self.counts.skipped,
            "quarantined": self.counts.quarantined,
            "contacts_matched": contacts,
            "deals_matched": deals,
            "requests": self.meter.requests(),
            "quota_units": self.meter.units(),
            "duration_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "up_to_date": self.up_to_date,
        })
    }

    fn summary(&self, text: &mut String, contacts: usize, deals: usize) {
        let counts = &self.counts;
        let skipped: Vec<String> = counts.skipped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let all: usize = counts.skipped.values().sum();
        let reasons = if all == 0 { String::new() } else { format!(" ({})", skipped.join(", ")) };
        let gone = if counts.gone == 0 { String::new() } else { format!("; {} gone from the mailbox", counts.gone) };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "\nthis run: {} messages: {} activities ({contacts} with a contact, {deals} with a deal), {all} skipped{reasons}, \
             {} quarantined{gone}",
            counts.messages, counts.activities, counts.quarantined,
        );
        let spent: Vec<String> = self.services.iter().map(|service| self.spent_at(*service)).collect();
        let _ = writeln!(
            text,
            "{} requests, {}; {} ms here{}",
            self.meter.requests(),
            spent.join(", "),
            self.took.as_millis(),
            if self.up_to_date { "; up to date" } else { "" },
        );
    }
}

impl Report<'_> {
    /// The units that a run took of a service, and the time they would take there.
    fn spent_at(&self, service: Service) -> String {
        let (units, allowed) = (self.meter.units_of(&service.app()), self.quota.units_a_minute(service));
        #[allow(clippy::cast_precision_loss, reason = "a time shown to a person")]
        let minutes = units as f64 / f64::from(allowed);
        format!("{units} quota units: {minutes:.1} minutes at {}'s {allowed} units a minute", service.title())
    }
}

const HEADER: &str = "when             kind     who                    deal                   subject                                          why\n";

/// When, kind, who, deal, subject, why.
fn line(activity: &Activity, people: Option<&CsvDirectory>) -> String {
    let summary = &activity.summary;
    let when = summary.at.map_or_else(|| "no date         ".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string());
    let kind = match summary.direction {
        Some(integration_core::email::Direction::Outbound) => "mail out",
        _ => "mail in",
    };
    let find =
        |wanted: fn(&MatchTarget) -> Option<&str>| activity.matches.iter().find_map(|found| wanted(&found.target));
    let contact = find(|target| match target {
        MatchTarget::Contact(id) => Some(id),
        _ => None,
    });
    let company = find(|target| match target {
        MatchTarget::Company(id) => Some(id),
        _ => None,
    });
    let deal = find(|target| match target {
        MatchTarget::Deal(id) => Some(id),
        _ => None,
    });
    let who =
        contact.and_then(|id| people.and_then(|people| people.name_of(id)).or(Some(id))).or(company).unwrap_or("");
    let why = activity.matches.iter().min_by_key(|found| found.reason).map_or("", |found| found.reason.as_str());
    let (deal, subject) = (deal.unwrap_or(""), clipped(&summary.subject, 48));
    format!("{when} {kind:<8} {:<22} {:<22} {subject:<48} {why}\n", clipped(who, 22), clipped(deal, 22))
}

/// Subjects come from strangers: nothing of them may steer the terminal.
fn clipped(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if clean.chars().count() <= width { clean } else { clean.chars().take(width - 1).chain(['…']).collect() }
}
