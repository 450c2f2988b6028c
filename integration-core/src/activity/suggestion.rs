//! People who take part and whom the directory does not know.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    lists::NameLists,
    matching::{domain, without_tag},
    model::SkipReason,
    policy::{MailPolicy, Suggest},
    summary::Summary,
};
use crate::{
    email::{Direction, MailKind},
    ids::{ConnectionId, MessageId},
};

/// Messages that a suggestion remembers; more would say nothing new.
const MAX_SOURCES: usize = 20;

/// Somebody who may become a contact.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Suggestion {
    /// The address, lower case.
    pub address: String,
    /// Somebody decided against it: it stays out of the list.
    pub dismissed: bool,
    /// Where the person was seen; the first twenty in the order of connection and message.
    pub sources: Vec<SuggestionSource>,
}

/// A message that suggests somebody.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuggestionSource {
    /// The mailbox.
    pub connection: ConnectionId,
    /// The message.
    pub message: MessageId,
    /// The name shown beside the address; empty if there was none.
    pub name: String,
    /// Whether the owner wrote or was written to.
    pub direction: Option<Direction>,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// What the person put under the message, if they wrote it: [`Suggestion::details`] reads it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
}

impl Suggestion {
    /// The name, as the latest message has it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let named = self.sources.iter().filter(|source| !source.name.is_empty());
        named.max_by_key(|source| source.at).map(|source| source.name.as_str())
    }

    /// The company's domain, if the address says something about one: the registrable part.
    #[must_use]
    pub fn company_domain(&self, lists: &NameLists) -> Option<String> {
        company_domain(&self.address, lists)
    }

    /// What the signatures say of the person, the latest first, each with the message it stands in. Suggestions: a line that
    /// looks like a title may be something else.
    #[cfg(feature = "mail")]
    #[must_use]
    pub fn details(&self) -> Vec<(MessageId, crate::email::signature::Details)> {
        let mut signed: Vec<&SuggestionSource> =
            self.sources.iter().filter(|source| !source.signature.is_empty()).collect();
        signed.sort_by_key(|source| std::cmp::Reverse(source.at));
        let read = |source: &SuggestionSource| {
            let mut sender = crate::email::Address::new(&self.address);
            if !source.name.is_empty() {
                sender = sender.with_name(&source.name);
            }
            (source.message.clone(), crate::email::signature::read(&source.signature, Some(&sender)))
        };
        signed.into_iter().map(read).collect()
    }

    /// Remembers where `address` was met.
    pub(crate) fn meet(&mut self, address: &str, message: &Summary, connection: &ConnectionId, id: &str) {
        address.clone_into(&mut self.address);
        self.note(SuggestionSource {
            connection: connection.clone(),
            message: MessageId::new(id),
            name: message.people.get(address).cloned().unwrap_or_default(),
            direction: message.direction,
            at: message.at,
            signature: if message.author.as_deref() == Some(address) {
                message.signature.clone()
            } else {
                String::new()
            },
        });
    }

    fn note(&mut self, source: SuggestionSource) {
        self.forget(&source.connection, &source.message);
        self.sources.push(source);
        self.sources.sort_by(|left, right| (&left.connection, &left.message).cmp(&(&right.connection, &right.message)));
        self.sources.truncate(MAX_SOURCES);
    }

    pub(crate) fn forget(&mut self, connection: &ConnectionId, message: &MessageId) {
        self.sources.retain(|source| source.connection != *connection || source.message != *message);
    }

    /// Is there anything left to remember?
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty() && !self.dismissed
    }
}

/// The registrable part of the domain that an address says its company by; `None` for a free-mail provider's, and where
/// the address has a number instead of a name.
pub(crate) fn company_domain(address: &str, lists: &NameLists) -> Option<String> {
    let domain = domain(address).filter(|domain| !lists.is_free_mail(domain))?;
    let named = !domain.starts_with('[') && domain.ends_with(char::is_alphabetic);
    named.then(|| psl::domain_str(domain).map(str::to_owned)).flatten()
}

/// Whom a message suggests; `known` are the addresses that the directory has.
pub(crate) fn suggested(
    message: &Summary,
    known: &BTreeSet<String>,
    policy: &MailPolicy,
    barred: Option<SkipReason>,
    lists: &NameLists,
) -> BTreeSet<String> {
    // The never-log list stops suggestions too, and nobody is met in junk, drafts or what machines send.
    let machine = message.is_bulk()
        || [MailKind::Automatic, MailKind::AutoReply, MailKind::Bounce, MailKind::Receipt, MailKind::Complaint]
            .iter()
            .any(|kind| message.kinds.contains_key(kind));
    if barred.is_some() || machine || policy.suggest == Suggest::Nobody {
        return BTreeSet::new();
    }
    let outbound = message.direction == Some(Direction::Outbound);
    let met: Box<dyn Iterator<Item = &String>> = match policy.suggest {
        _ if outbound => Box::new(message.others.iter()),
        Suggest::Everybody => Box::new(message.others.iter().filter(|one| message.author.as_ref() == Some(one))),
        Suggest::Nobody | Suggest::WrittenTo => Box::new(std::iter::empty()),
    };
    let is_known =
        |address: &str| known.contains(address) || without_tag(address).is_some_and(|bare| known.contains(&bare));
    let person = |address: &&String| !is_known(address) && !lists.is_role(address);
    met.filter(person).cloned().collect()
}
