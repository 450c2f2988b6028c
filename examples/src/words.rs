//! What became of a sign-in, in words for the person at the browser.

use std::collections::BTreeSet;

use integration_core::{
    connection::{Capability, Connection},
    error::Remedy,
    oauth::{ConnectOutcome, MismatchReason},
};

/// One or two plain sentences: what happened, and what to do.
#[must_use]
pub fn of(outcome: &ConnectOutcome) -> String {
    match outcome {
        ConnectOutcome::AdminAllowed => {
            "The administrator allowed it; whoever wanted to connect can now try again.".to_owned()
        }
        ConnectOutcome::AdminDeclined => "The administrator did not allow it. Nothing was connected.".to_owned(),
        ConnectOutcome::AwaitingAdminConsent { url, remedy, .. } => {
            format!("{} Nothing was connected so far. The page for the administrator: {url}", told(remedy))
        }
        ConnectOutcome::Expired => "You took too long, so the request ended. Begin again.".to_owned(),
        ConnectOutcome::Granted { connections, .. } => format!("{} is connected.", accounts(connections)),
        ConnectOutcome::GrantedInPart { connections, missing, .. } => {
            let (accounts, missing) = (accounts(connections), list(missing));
            format!(
                "{accounts} is connected, but you left something out: {missing} will not work. Connect again and leave everything ticked to change that."
            )
        }
        ConnectOutcome::Mismatched { reason } => {
            format!(
                "This answer does not belong to a request of ours: {}. Nothing was changed; begin again.",
                mismatch(*reason)
            )
        }
        ConnectOutcome::NeedsAttention { connections, remedy, .. } => {
            format!("{} is connected, but it will not last. {}", accounts(connections), told(remedy))
        }
        ConnectOutcome::OtherAccount { expected, chosen } => {
            format!(
                "You chose {chosen}, but {expected} was to be connected again. Nothing was changed; begin again and choose {expected}."
            )
        }
        ConnectOutcome::OtherBrowser => {
            "This answer came in another browser than the one you began in. Nothing was changed; begin again here."
                .to_owned()
        }
        ConnectOutcome::Refused { missing } => {
            // Nobody who says no thinks of being known as something that was asked for.
            let missing: BTreeSet<_> = missing.iter().copied().filter(|one| *one != Capability::Identity).collect();
            let to = if missing.is_empty() { String::new() } else { format!(" to {}", list(&missing)) };
            format!("You said no{to}. Nothing was connected.")
        }
        ConnectOutcome::Replayed => "This answer was used before. Nothing was changed.".to_owned(),
        ConnectOutcome::ServiceError { error, remedy } => {
            format!("The service could not do it ({error}). {}", told(remedy))
        }
        _ => "The request ended in a way this page does not know. Begin again.".to_owned(),
    }
}

fn accounts(connections: &[Connection]) -> String {
    let labels: Vec<&str> = connections.iter().map(|connection| connection.account.label.as_str()).collect();
    labels.join(" and ")
}

fn list(missing: &BTreeSet<Capability>) -> String {
    let words: Vec<&str> = missing.iter().map(capability).collect();
    words.join(", ")
}

fn capability(capability: &Capability) -> &'static str {
    match capability {
        Capability::CalendarRead => "reading calendars",
        Capability::CalendarWrite => "changing calendars",
        Capability::Identity => "knowing who you are",
        Capability::LedgerRead => "reading the books",
        Capability::LedgerWrite => "changing the books",
        Capability::MailModify => "sorting mail",
        Capability::MailRead => "reading mail",
        Capability::MailSend => "sending mail",
        _ => "something newer than this page",
    }
}

fn mismatch(reason: MismatchReason) -> &'static str {
    match reason {
        MismatchReason::IdToken => "it is about another sign-in",
        MismatchReason::Issuer => "another service answered than the one that was asked",
        MismatchReason::RedirectUri => "it came to another address",
        MismatchReason::State => "its state is unknown",
        _ => "it does not match",
    }
}

fn told(remedy: &Remedy) -> String {
    remedy.to_string()
}

#[cfg(test)]
mod tests {
    use integration_core::error::Actor;

    use super::*;

    #[test]
    fn every_outcome_without_an_account_says_what_to_do_next_or_that_nothing_changed() {
        let remedy = Remedy::new("The app is unknown.", Actor::Operator, "Check the client id.");
        let outcomes = [
            (ConnectOutcome::Expired, "took too long"),
            (ConnectOutcome::Mismatched { reason: MismatchReason::State }, "state is unknown"),
            (ConnectOutcome::Mismatched { reason: MismatchReason::Issuer }, "another service"),
            (ConnectOutcome::OtherAccount { expected: "a@x".into(), chosen: "b@x".into() }, "choose a@x"),
            (ConnectOutcome::OtherBrowser, "another browser"),
            (ConnectOutcome::Refused { missing: [Capability::MailRead].into() }, "said no to reading mail"),
            (ConnectOutcome::Replayed, "used before"),
            (ConnectOutcome::ServiceError { error: "invalid_client".into(), remedy }, "Check the client id."),
        ];
        for (outcome, wanted) in outcomes {
            let told = of(&outcome);
            assert!(told.contains(wanted), "{told}");
        }
    }
}
