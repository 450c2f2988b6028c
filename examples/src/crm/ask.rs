//! `--why` and `--audit`: questions about a mailbox.

use integration_core::{
    Error, ErrorKind, Result,
    connection::Connection,
    hub::Why,
    sync::{AuditCost, AuditReport, Gap, Job, JobOutcome, Shutdown},
};

use super::{Arguments, Visit};

impl Visit<'_> {
    /// Why a message is, or is not, on the timeline: a mailbox that has it there answers, else the first that knows it.
    pub(super) async fn why(&self, message: &str, arguments: &Arguments) -> Result<()> {
        let mut why = Why::Unknown;
        for service in &arguments.services {
            let connection = self.connect(*service).await?;
            match (self.hub.why(&self.tenant, &connection.id, message).await?, &why) {
                (found @ Why::Logged { .. }, _) => {
                    why = found;
                    break;
                }
                (found, Why::Unknown) => why = found,
                _ => {}
            }
        }
        if arguments.json {
            let answer = serde_json::to_value(&why);
            println!("{}", answer.map_err(|error| Error::new(ErrorKind::Validation, error.to_string()))?);
        } else {
            println!("{}", sentence(&why));
        }
        Ok(())
    }

    /// Compares the mailbox with its service, and repairs what does not agree. False when it was asked to stop.
    pub(super) async fn audit(&self, connection: &Connection, stop: &Shutdown, json: bool) -> Result<bool> {
        let cost = self.hub.audit_cost(&self.tenant, &connection.id).await?;
        if !json {
            println!(
                "audit: {} items known; listing them costs {} calls, {} units",
                cost.items, cost.calls, cost.units
            );
        }
        self.run_audit(connection).await?;
        if !self.sync(connection, stop).await? {
            return Ok(false);
        }
        // A mailbox may be kept in folders, each compared by itself.
        let report = AuditReport::total(&self.hub.audit_reports(&self.tenant, &connection.id).await?);
        if json {
            println!("{}", in_json(&report, cost));
        } else {
            print(&report);
        }
        Ok(true)
    }

    async fn run_audit(&self, connection: &Connection) -> Result<()> {
        match self.hub.run(Job::audit(&self.tenant, &connection.id), &Shutdown::default()).await {
            JobOutcome::Done { again_in: None } => Ok(()),
            JobOutcome::Failed { error, .. } => Err(error),
            _ => Err(Error::new(ErrorKind::Conflict, "another program syncs this mailbox now; try again")),
        }
    }
}

fn sentence(why: &Why) -> String {
    match why {
        Why::Gone => "The service says that it is gone.".to_owned(),
        Why::Logged { matches, .. } => {
            let reasons = matches.iter().map(|found| {
                let target = serde_json::to_value(&found.target).unwrap_or_default();
                let (kind, id) = (target["kind"].as_str().unwrap_or(""), target["id"].as_str().unwrap_or(""));
                format!("{kind} {id} ({}, {} %)", found.reason.as_str(), found.confidence)
            });
            format!("It is on the timeline: {}.", reasons.collect::<Vec<_>>().join(", "))
        }
        Why::Missed => "The service has it and it should be here; --audit fetches it.".to_owned(),
        Why::NotListedYet => "The enumeration has not come to it yet; run the sync.".to_owned(),
        Why::OutsideWindow => "It is outside the time that is synced.".to_owned(),
        Why::Quarantined { reason } => format!("It is in quarantine: {reason}."),
        Why::Skipped { reason, rule, duplicate_of } => {
            let rule = rule.as_ref().map(|rule| format!(", by the rule {rule}")).unwrap_or_default();
            let copy = duplicate_of.as_ref().map(|copy| format!(", shown as {copy}")).unwrap_or_default();
            format!("It is not on the timeline: {}{rule}{copy}.", reason.as_str())
        }
        Why::Unknown => "Neither we nor the service know it.".to_owned(),
        Why::WaitingForQuota => "It is known and waits its turn within the quota.".to_owned(),
    }
}

/// The classes of gaps, with what is done about each.
fn gaps(report: &AuditReport) -> [(&'static str, &'static str, &Gap); 5] {
    [
        ("missing", "fetched", &report.missing),
        ("undecided", "fetched again", &report.undecided),
        ("effect_lost", "decided anew", &report.effect_lost),
        ("index_lost", "listed again", &report.index_lost),
        ("unlisted", "looked for", &report.unlisted),
    ]
}

fn print(report: &AuditReport) {
    let AuditReport { listed, applied, skipped, quarantined, pending, .. } = report;
    let held = listed - report.gaps();
    println!(
        "audit: {held} of {listed}: {applied} on the timeline, {skipped} skipped, {quarantined} in quarantine, {pending} waiting"
    );
    for (class, repair, gap) in gaps(report).into_iter().filter(|(_, _, gap)| gap.count > 0) {
        let keys: Vec<&str> = gap.keys.iter().take(20).map(|key| key.as_str()).collect();
        println!("audit: {} {class}, {repair}: {}", gap.count, keys.join(" "));
    }
}

fn in_json(report: &AuditReport, cost: AuditCost) -> serde_json::Value {
    let class = |gap: &Gap| serde_json::json!({ "count": gap.count, "keys": gap.keys });
    serde_json::json!({
        "listed": report.listed,
        "applied": report.applied,
        "skipped": report.skipped,
        "quarantined": report.quarantined,
        "pending": report.pending,
        "missing": class(&report.missing),
        "undecided": class(&report.undecided),
        "effect_lost": class(&report.effect_lost),
        "index_lost": class(&report.index_lost),
        "unlisted": class(&report.unlisted),
        "complete": report.is_complete(),
        "cost": cost,
    })
}
