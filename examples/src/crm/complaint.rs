//! One line on what went wrong and what to do.

use integration_core::{Error, ErrorKind};

use super::Arguments;

/// One line: what is wrong, and what to do. Nothing that was done is lost by any of it.
#[must_use]
pub fn complaint(error: &Error, arguments: &Arguments) -> String {
    let what = match (error.remedy(), error.message()) {
        (Some(remedy), _) => remedy.to_string(),
        (None, "") => error.to_string(),
        (None, message) => message.to_owned(),
    };
    let line = match error.kind() {
        ErrorKind::Store => format!("{}: {what}{}", arguments.db.display(), hint(error)),
        ErrorKind::InvalidInput | ErrorKind::Misconfigured | ErrorKind::NeedsConsent => what,
        ErrorKind::Transport if error.service().is_none() => what,
        ErrorKind::RateLimited | ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Unavailable => {
            format!("{error}; what is done is kept: run the same command again to go on")
        }
        _ => format!("{error}: {what}"),
    };
    line.replace(char::is_control, " ")
}

fn hint(error: &Error) -> String {
    let cause = std::error::Error::source(error);
    let detail = |cause: &dyn std::error::Error| format!(" ({cause})");
    if error.retryable() {
        "; close the other program and run the same command again".to_owned()
    } else if error.remedy().is_some() {
        String::new()
    } else {
        cause.map(detail).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use integration_core::error::{Actor, Remedy, Retry};

    use super::{super::Asked, Arguments, Error, ErrorKind, complaint};

    fn line(error: &Error) -> String {
        let Ok(Asked::Run(arguments)) = Arguments::parse(["--db", "x.db"].map(str::to_owned)) else { unreachable!() };
        complaint(error, &arguments)
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = Error::new(ErrorKind::Store, "the disk is full").with_remedy(Remedy::new(
            "the disk is full.",
            Actor::Operator,
            "Make room.",
        ));
        assert_eq!(line(&error), "x.db: the disk is full. Make room.");
    }

    #[test]
    fn a_busy_database_may_be_free_later() {
        let error = Error::new(ErrorKind::Store, "the database is locked").with_retry(Retry::Temporary);
        assert_eq!(
            line(&error),
            "x.db: the database is locked; close the other program and run the same command again"
        );
    }

    #[test]
    fn whatever_is_in_it_stays_one_line() {
        assert_eq!(line(&Error::new(ErrorKind::InvalidInput, "a\nb")), "a b");
    }
}
