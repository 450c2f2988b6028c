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
        suggested_companies: companies(message, &suggested, lists),
        #[cfg(feature = "mail")]
        details: details(message, &suggested),
        findings: if forbidden { Findings::default() } else { direct_matches(message, index, lists) },
        suggested,
        skip,
        rule: bar.and_then(|bar| bar.rule),
    }
}

fn companies(message: &Summary, suggested: &BTreeSet<String>, lists: &NameLists) -> BTreeSet<String> {
    // Whoever takes part and is none of the others is one of our own.
    let own = message.people.keys().filter(|address| !message.others.contains(*address));
    let own: BTreeSet<String> = own.filter_map(|address| company_domain(address, lists)).collect();
    let companies = suggested.iter().filter_map(|address| company_domain(address, lists));
    companies.filter(|company| !own.contains(company)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activity::{Person, Suggest},
        email::{Address, Message},
    };

    fn suggested_from(from: &str, own_domains: &[&str]) -> Identification {
        let mut message = Message { from: vec![Address::new(from)], ..Message::default() };
        message.to = vec![Address::new("me@web.de")];
        message.cc = own_domains.iter().map(|own| Address::new(format!("info@{own}"))).collect();
        let own_domains: Vec<String> = own_domains.iter().map(|&own| own.to_owned()).collect();
        let summary = Summary::of(&message, &["me@web.de".to_owned()], &own_domains);
        let people = vec![Person::new("bob", "Bob", "bob@acme.example")];
        let answer = DirectoryAnswer { people, ..DirectoryAnswer::default() };
        let policy = MailPolicy { suggest: Suggest::Everybody, ..MailPolicy::default() };
        identify(&summary, &answer, &policy, &NameLists::default())
    }

    #[test]
    fn a_contact_who_writes_with_a_tag_is_matched_and_not_suggested() {
        let found = suggested_from("bob+news@acme.example", &[]);
        assert_eq!((found.findings.matches.len(), found.suggested.len()), (1, 0));
        assert_eq!(suggested_from("new+news@acme.example", &[]).suggested.len(), 1);
    }

    #[test]
    fn no_own_domain_free_mail_provider_or_number_is_suggested_as_a_company() {
        let companies = |from: &str, own: &[&str]| {
            suggested_from(from, own).suggested_companies.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(companies("joe@mail.baker.example", &[]), "baker.example");
        assert_eq!(companies("joe@mail.baker.example", &["baker.example"]), "");
        assert_eq!(companies("joe@baker.example", &["mail.baker.example"]), "");
        assert_eq!(companies("joe@notbaker.example", &["baker.example"]), "notbaker.example");
        assert_eq!(companies("zed@mail.web.de", &[]), "");
        assert_eq!(companies("zed@[10.0.0.1]", &[]), "");
    }
}
