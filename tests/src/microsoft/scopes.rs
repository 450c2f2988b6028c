//! Scopes and application permissions: what exists, who may consent, and how answers spell it.

use std::collections::BTreeSet;

/// The resource that scopes without one belong to.
pub(super) const GRAPH: &str = "https://graph.microsoft.com/";
/// Everything that is registered with the app.
pub(super) const DEFAULT: &str = ".default";

/// Scopes of signing in; they belong to no resource.
const OIDC: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// Delegated permissions that a person may consent to.
const USER: &str = "User.Read User.ReadBasic.All People.Read \
    Mail.ReadBasic Mail.Read Mail.ReadWrite Mail.Send \
    Mail.Read.Shared Mail.ReadBasic.Shared Mail.ReadWrite.Shared Mail.Send.Shared \
    Calendars.ReadBasic Calendars.Read Calendars.ReadWrite Calendars.Read.Shared Calendars.ReadWrite.Shared \
    MailboxSettings.Read MailboxSettings.ReadWrite MailboxFolder.Read MailboxFolder.ReadWrite MailboxItem.Read \
    Contacts.Read Contacts.ReadWrite Contacts.Read.Shared Contacts.ReadWrite.Shared \
    Tasks.Read Tasks.ReadWrite Chat.Read Chat.ReadWrite OnlineMeetings.Read OnlineMeetings.ReadWrite \
    Files.Read Files.ReadWrite Files.Read.All Files.ReadWrite.All Files.ReadWrite.AppFolder \
    Sites.Read.All Sites.ReadWrite.All";

/// Delegated permissions that only an administrator may consent to.
const ADMIN: &str = "User.Read.All User.ReadWrite.All User.RevokeSessions.All Directory.Read.All";

/// Delegated permissions that people may not consent to where Microsoft manages consent.
const MANAGED: &str = "Files.Read.All Files.ReadWrite.All Sites.Read.All Sites.ReadWrite.All \
    Mail.Read Mail.ReadWrite Mail.ReadBasic Mail.Read.Shared Mail.ReadBasic.Shared Mail.ReadWrite.Shared \
    MailboxItem.Read Calendars.Read Calendars.ReadBasic Calendars.ReadWrite Calendars.Read.Shared \
    Calendars.ReadWrite.Shared Chat.Read Chat.ReadWrite OnlineMeetings.Read OnlineMeetings.ReadWrite \
    MailboxFolder.Read MailboxFolder.ReadWrite MailboxSettings.Read MailboxSettings.ReadWrite Contacts.ReadWrite \
    Contacts.Read.Shared Contacts.ReadWrite.Shared Tasks.Read Tasks.ReadWrite People.Read";

/// Delegated permissions that personal accounts do not have.
const WORK_ONLY: &str = "User.ReadBasic.All People.Read Sites.Read.All Sites.ReadWrite.All \
    Mail.Read.Shared Mail.ReadBasic.Shared Mail.ReadWrite.Shared Mail.Send.Shared Chat.Read Chat.ReadWrite \
    OnlineMeetings.Read OnlineMeetings.ReadWrite";

/// Application permissions.
const ROLES: &str = "Mail.Read Mail.ReadWrite Mail.Send Mail.ReadBasic.All Calendars.Read Calendars.ReadWrite \
    MailboxSettings.Read Contacts.Read Contacts.ReadWrite Files.ReadWrite.All User.Read.All";

/// Why a list of scopes is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrong {
    /// One of another resource than Graph.
    Resource,
    /// One that does not exist, or `.default` beside others.
    Scope,
}

fn listed(list: &'static str, name: &str) -> Option<&'static str> {
    list.split_whitespace().find(|known| known.eq_ignore_ascii_case(name))
}

/// A scope as it is kept: without its resource, in the spelling of the documentation.
fn one(text: &str) -> Result<String, Wrong> {
    let name = match text.get(..GRAPH.len()) {
        Some(resource) if resource.eq_ignore_ascii_case(GRAPH) => &text[GRAPH.len()..],
        _ if text.contains("://") => return Err(Wrong::Resource),
        _ => text,
    };
    let oidc = OIDC.iter().copied().find(|known| known.eq_ignore_ascii_case(name));
    let known = oidc.or_else(|| listed(USER, name)).or_else(|| listed(ADMIN, name));
    known.or_else(|| (name == DEFAULT).then_some(DEFAULT)).map(str::to_owned).ok_or(Wrong::Scope)
}

/// A space-separated list as a set.
pub(super) fn parse(list: &str) -> Result<BTreeSet<String>, Wrong> {
    let scopes = list.split_whitespace().map(one).collect::<Result<BTreeSet<_>, _>>()?;
    let mixed = scopes.contains(DEFAULT) && scopes.iter().any(|scope| scope != DEFAULT && !is_oidc(scope));
    if mixed || scopes.is_empty() { Err(Wrong::Scope) } else { Ok(scopes) }
}

/// Is it about signing in?
pub(super) fn is_oidc(scope: &str) -> bool {
    OIDC.contains(&scope)
}

/// Is it one that personal accounts lack?
pub(super) fn is_for_work(scope: &str) -> bool {
    listed(WORK_ONLY, scope).is_some() || needs_admin(scope)
}

/// Does it need an administrator in every tenant?
pub(super) fn needs_admin(scope: &str) -> bool {
    listed(ADMIN, scope).is_some()
}

/// Is it on the list that Microsoft keeps for tenants that let it manage consent?
pub(super) fn is_managed(scope: &str) -> bool {
    listed(MANAGED, scope).is_some()
}

/// Is it an application permission?
pub(super) fn is_role(name: &str) -> bool {
    ROLES.split_whitespace().any(|known| known == name)
}

/// A scope as an answer spells it with its resource.
pub(super) fn in_full(scope: &str) -> String {
    if is_oidc(scope) { scope.to_owned() } else { format!("{GRAPH}{scope}") }
}

/// A set of names.
pub(super) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_the_same_with_and_without_its_resource_and_in_any_case() {
        assert_eq!(parse("mail.read https://graph.microsoft.com/Mail.Read OpenID"), Ok(set(&["Mail.Read", "openid"])));
    }

    #[test]
    fn what_is_refused_says_why() {
        assert_eq!(parse("https://other.example/Mail.Read"), Err(Wrong::Resource));
        assert_eq!(parse("Mail.Everything"), Err(Wrong::Scope));
        assert_eq!(parse(".default Mail.Read"), Err(Wrong::Scope));
        assert_eq!(parse(" "), Err(Wrong::Scope));
        assert!(parse("https://graph.microsoft.com/.default offline_access").is_ok());
    }

    #[test]
    fn the_lists_of_who_may_consent_name_only_scopes_that_exist() {
        for name in MANAGED.split_whitespace().chain(WORK_ONLY.split_whitespace()) {
            assert!(listed(USER, name).is_some(), "{name}");
        }
        assert!(is_managed("Mail.Read") && !is_managed("Mail.Send") && !is_managed("Contacts.Read"));
    }
}
