//! Scopes: what exists, which are for signing in, and under which name they are answered.

use std::collections::BTreeSet;

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// The scopes the sandbox knows, without their common prefix.
const KNOWN: &str = "userinfo.email userinfo.profile \
    gmail.labels gmail.send gmail.readonly gmail.metadata gmail.modify gmail.compose gmail.insert \
    gmail.settings.basic gmail.settings.sharing \
    calendar calendar.readonly calendar.events calendar.events.readonly calendar.events.owned \
    calendar.events.owned.readonly calendar.acls calendar.acls.readonly calendar.calendars calendar.calendars.readonly \
    calendar.calendarlist calendar.calendarlist.readonly calendar.app.created calendar.events.freebusy \
    calendar.freebusy calendar.events.public.readonly calendar.settings.readonly \
    drive drive.file drive.appdata drive.readonly drive.metadata drive.metadata.readonly drive.meet.readonly \
    drive.scripts contacts contacts.readonly contacts.other.readonly directory.readonly pubsub";

/// A scope under the name that answers use.
pub(super) fn normalise(scope: &str) -> String {
    match scope {
        "email" | "profile" => format!("{PREFIX}userinfo.{scope}"),
        other => other.to_owned(),
    }
}

/// A space-separated list as a set of answered names.
pub(super) fn parse(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(normalise).collect()
}

/// A set as the text of an answer.
pub(super) fn join(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Does Google have this scope?
pub(super) fn is_known(scope: &str) -> bool {
    matches!(scope, "openid" | "https://mail.google.com/")
        || scope.strip_prefix(PREFIX).is_some_and(|name| KNOWN.split_whitespace().any(|known| known == name))
}

/// Is it about who the person is, and hence granted by signing in?
pub(super) fn is_sign_in(scope: &str) -> bool {
    scope == "openid" || scope.strip_prefix(PREFIX).is_some_and(|name| name.starts_with("userinfo."))
}

/// May the id token and userinfo tell the address?
pub(super) fn tells_email(scopes: &BTreeSet<String>) -> bool {
    scopes.contains(&normalise("email"))
}

/// May the id token and userinfo tell the name?
pub(super) fn tells_profile(scopes: &BTreeSet<String>) -> bool {
    scopes.contains(&normalise("profile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_answered_as_full_ones() {
        assert_eq!(join(&parse("email openid")), "https://www.googleapis.com/auth/userinfo.email openid");
    }

    #[test]
    fn an_invented_scope_is_unknown() {
        assert!(is_known("https://www.googleapis.com/auth/gmail.readonly"));
        assert!(!is_known("https://www.googleapis.com/auth/gmail.everything"));
        assert!(!is_known("gmail.readonly"));
    }
}
