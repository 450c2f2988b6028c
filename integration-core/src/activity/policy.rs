//! What is logged, what is kept, and who is suggested: the host's choices, per tenant and per mailbox.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The choices for a tenant, or for one mailbox where they differ.
///
/// A change is applied to what was decided before as well: stored decisions are looked at again, nothing is fetched.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MailPolicy {
    /// Which messages come onto the timeline.
    pub logging: Logging,
    /// Addresses and domains that are never logged and never suggested.
    pub never_log: NeverLog,
    /// What becomes of newsletters and other bulk mail that people get.
    pub bulk: Bulk,
    /// Who may see a mailbox's messages on the timeline.
    pub visibility: Visibility,
    /// What of a message's content is kept. Narrowing it deletes what is kept already; widening it holds for what arrives
    /// from then on.
    pub keep: Keep,
    /// Whom to suggest as new contacts.
    pub suggest: Suggest,
}

/// Which messages come onto the timeline.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Logging {
    /// Every message with somebody or something of the directory.
    #[default]
    KnownContacts,
    /// None.
    Off,
    /// As `KnownContacts`, but only in conversations in which the mailbox's owner wrote as well.
    RepliesOnly,
}

/// Addresses and domains that are never logged.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NeverLog {
    /// Addresses, lower case; `+tags` of them count as well.
    pub addresses: BTreeSet<String>,
    /// Domains, lower case, their subdomains included.
    pub domains: BTreeSet<String>,
    /// Digests of erased people's addresses (`Hub::erase`): recognised when they come, without being kept. Of them a decision
    /// keeps a pseudonym.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub erased: BTreeSet<String>,
}

/// What addresses of erased people end with.
const PSEUDONYMS: &str = "@erased.invalid";

fn digest(address: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(address))
}

/// What stands for an erased person's address: the same wherever it stood.
pub(crate) fn pseudonym(address: &str) -> String {
    format!("{}{PSEUDONYMS}", &digest(address)[..16])
}

impl NeverLog {
    /// Keeps an erased person out, without keeping the address (lower case).
    #[cfg(feature = "oauth")]
    pub(crate) fn forget(&mut self, address: &str) {
        self.erased.insert(digest(address));
    }

    /// Is it an address of somebody who was erased?
    pub(crate) fn is_erased(&self, address: &str) -> bool {
        let listed = |one: &str| self.erased.contains(&digest(one));
        !self.erased.is_empty()
            && (listed(address) || super::matching::without_tag(address).is_some_and(|bare| listed(&bare)))
    }

    /// The rule that forbids one of these addresses, if any: "never_log:ann@acme.example", "never_log:@acme.example".
    #[must_use]
    pub fn rule<'a>(&self, addresses: impl IntoIterator<Item = &'a String>) -> Option<String> {
        addresses.into_iter().find_map(|address| {
            if address.ends_with(PSEUDONYMS) || self.is_erased(address) {
                return Some("never_log:erased".to_owned());
            }
            let bare = super::matching::without_tag(address);
            let listed = [Some(address.as_str()), bare.as_deref()].into_iter().flatten();
            let listed =
                listed.into_iter().find(|one| self.addresses.contains(*one)).map(|one| format!("never_log:{one}"));
            listed.or_else(|| {
                let (_, domain) = address.rsplit_once('@')?;
                let within = |listed: &&String| {
                    domain.strip_suffix(listed.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                };
                self.domains.iter().find(within).map(|listed| format!("never_log:@{listed}"))
            })
        })
    }
}

/// What becomes of bulk mail.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bulk {
    /// It is logged like any other message.
    Log,
    /// It is skipped.
    #[default]
    Skip,
}

/// Who may see a mailbox's messages; the wider comes first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Visibility {
    /// Everybody of the tenant, whole.
    #[default]
    Everyone,
    /// Everybody sees that there was a message, when, and with whom; not its subject, not its text.
    Metadata,
    /// Only the mailbox's owner sees it at all.
    Owner,
}

/// What of a message's content is kept.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Keep {
    /// Participants, dates, subject; no text.
    Metadata,
    /// A short beginning of the new words too.
    #[default]
    Snippet,
    /// The new words, at most 64 KiB.
    Full,
}

/// Whom to suggest as new contacts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Suggest {
    /// Whoever the owner wrote to, and whoever wrote to the owner.
    Everybody,
    /// Nobody.
    #[default]
    Nobody,
    /// Whoever the owner wrote to.
    WrittenTo,
}

#[cfg(test)]
mod tests {
    use super::NeverLog;

    #[test]
    fn a_domain_covers_its_subdomains_and_nothing_that_only_ends_alike() {
        let never = NeverLog {
            addresses: ["ann@x.example".into()].into(),
            domains: ["acme.example".into()].into(),
            ..NeverLog::default()
        };
        let rule = |address: &str| never.rule([&address.to_owned()]);
        assert_eq!(rule("a@acme.example").as_deref(), Some("never_log:@acme.example"));
        assert_eq!(rule("a@mail.acme.example").as_deref(), Some("never_log:@acme.example"));
        assert_eq!(rule("a@notacme.example"), None);
        assert_eq!(rule("ann+shop@x.example").as_deref(), Some("never_log:ann@x.example"));
        assert_eq!(rule("bob@x.example"), None);
    }
}
