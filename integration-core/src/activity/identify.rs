//! Who and which deal a message is about, by itself: the pure part of deciding, for hosts that bring their own messages.

use std::collections::BTreeSet;

use super::{
    directory::DirectoryAnswer,
    lists::NameLists,
    mail::barred,
    matching::{AnswerIndex, Findings, direct_matches},
    model::SkipReason,
    policy::MailPolicy,
    suggestion::{company_domain, suggested},
    summary::Summary,
};

/// What a message is about by itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identification {
    /// Contacts, companies and deals, and what is doubtful.
    pub findings: Findings,
    /// Addresses of people who may become contacts, under the policy.
    pub suggested: BTreeSet<String>,
    /// Domains of companies that those people may belong to: no free-mail provider's, no own one.
    pub suggested_companies: BTreeSet<String>,
    /// What the signature says about its writer, if the writer is suggested; each detail with the line it stands in.
    #[cfg(feature = "mail")]
    pub details: Option<crate::email::signature::Details>,
    /// Why it does not come onto the timeline, whatever it matches.
    pub skip: Option<SkipReason>,
    /// The rule behind `skip`, where there is one.
    pub rule: Option<String>,
}

/// Identifies `message` from what the directory answered to its [`question`](super::question). Conversations and
/// verdicts are not looked at.
#[must_use]
pub fn identify(message: &Summary, answer: &DirectoryAnswer, policy: &MailPolicy, lists: &NameLists) -> Identification {
    let index = AnswerIndex::new(answer);
    identify_with(message, answer, &index, policy, lists)
}

pub(super) fn identify_with(
    message: &Summary,
    answer: &DirectoryAnswer,
    index: &AnswerIndex<'_>,
    policy: &MailPolicy,
    lists: &NameLists,
) -> Identification {
    let bar = barred(message, policy);
    let skip = bar.as_ref().map(|bar| bar.reason);
    let known = answer.people.iter().flat_map(|person| &person.addresses).map(|one| one.to_lowercase()).collect();
    let forbidden = skip == Some(SkipReason::NeverLog);
    let suggested = suggested(message, &known, policy, skip, lists);
    Identification {
        suggested_companies: suggested.iter().filter_map(|address| company_domain(address, lists)).collect(),
        #[cfg(feature = "mail")]
        details: details(message, &suggested),
        findings: if forbidden { Findings::default() } else { direct_matches(message, index, lists) },
        suggested,
        skip,
        rule: bar.and_then(|bar| bar.rule),
    }
}

#[cfg(feature = "mail")]
fn details(message: &Summary, suggested: &BTreeSet<String>) -> Option<crate::email::signature::Details> {
    let author = message.author.as_ref().filter(|author| suggested.contains(*author))?;
    if message.signature.is_empty() {
        return None;
    }
    let mut sender = crate::email::Address::new(author);
    if let Some(name) = message.people.get(author).filter(|name| !name.is_empty()) {
        sender = sender.with_name(name);
    }
    Some(crate::email::signature::read(&message.signature, Some(&sender)))
}
