//! Who and which deal, and why.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    directory::{DirectoryAnswer, DirectoryQuery},
    model::Summary,
};

/// What matched.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
#[non_exhaustive]
pub enum MatchTarget {
    /// A company of the directory.
    Company(String),
    /// A person of the directory.
    Contact(String),
    /// A deal of the directory.
    Deal(String),
}

/// Why it matched; the strongest reason comes first in order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchReason {
    /// A participant's address is the contact's.
    Address,
    /// A participant's address without its `+tag` is the contact's.
    PlusAddress,
    /// It follows from a matched contact (its company, its only open deal).
    Contact,
    /// A participant's domain is the company's.
    Domain,
    /// Another message of the conversation matched.
    Thread,
}

/// A match with its reason.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Match {
    /// What.
    pub target: MatchTarget,
    /// Why.
    pub reason: MatchReason,
}

/// An address without its `+tag`, if it has one.
fn without_tag(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let (base, _) = local.split_once('+')?;
    (!base.is_empty()).then(|| format!("{base}@{domain}"))
}

fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// The one question for a batch of messages.
pub fn question<'a>(messages: impl IntoIterator<Item = &'a Summary>) -> DirectoryQuery {
    let mut ask = DirectoryQuery::default();
    for address in messages.into_iter().flat_map(|message| &message.others) {
        ask.domains.extend(domain(address).map(str::to_owned));
        ask.addresses.extend(without_tag(address));
        ask.addresses.insert(address.clone());
    }
    ask
}

/// What a message matches by its own participants. Each target once, with its strongest reason.
#[must_use]
pub fn direct_matches(message: &Summary, answer: &DirectoryAnswer) -> Vec<Match> {
    let mut found = BTreeSet::new();
    for address in &message.others {
        let bare = without_tag(address);
        for person in &answer.people {
            let has = |wanted: &str| person.addresses.iter().any(|own| own.eq_ignore_ascii_case(wanted));
            let reason = if has(address) {
                MatchReason::Address
            } else if bare.as_deref().is_some_and(has) {
                MatchReason::PlusAddress
            } else {
                continue;
            };
            found.insert(Match { target: MatchTarget::Contact(person.id.clone()), reason });
            if let Some(company) = &person.company {
                found.insert(Match { target: MatchTarget::Company(company.clone()), reason: MatchReason::Contact });
            }
            // Several open deals are a tie: none is better than a guess.
            if let [deal] = person.deals.as_slice() {
                found.insert(Match { target: MatchTarget::Deal(deal.clone()), reason: MatchReason::Contact });
            }
        }
        for company in &answer.companies {
            if domain(address).is_some_and(|own| company.domains.iter().any(|other| other.eq_ignore_ascii_case(own))) {
                found.insert(Match { target: MatchTarget::Company(company.id.clone()), reason: MatchReason::Domain });
            }
        }
    }
    strongest(found)
}

/// Adds what the rest of the conversation matched.
pub(crate) fn with_thread<'a>(direct: &[Match], thread: impl IntoIterator<Item = &'a Match>) -> Vec<Match> {
    let inherited = thread.into_iter().map(|found| Match { target: found.target.clone(), reason: MatchReason::Thread });
    strongest(direct.iter().cloned().chain(inherited).collect())
}

/// Each target once; the set's order puts the strongest reason of a target first.
pub(super) fn strongest(found: BTreeSet<Match>) -> Vec<Match> {
    let mut kept: Vec<Match> = Vec::with_capacity(found.len());
    for next in found {
        if kept.last().is_none_or(|last| last.target != next.target) {
            kept.push(next);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Company, Person};

    fn message(others: &[&str]) -> Summary {
        Summary { others: others.iter().map(|&other| other.to_owned()).collect(), ..Summary::default() }
    }

    fn answer() -> DirectoryAnswer {
        let mut ann = Person::new("ann", "Ann", "ann@acme.example");
        ann.company = Some("acme".to_owned());
        ann.deals = vec!["d1".to_owned()];
        DirectoryAnswer { people: vec![ann], companies: vec![Company::new("acme", "Acme", "acme.example")] }
    }

    #[test]
    fn an_address_matches_contact_company_and_only_deal() {
        let found = direct_matches(&message(&["ann@acme.example"]), &answer());
        let reasons: Vec<_> = found.iter().map(|found| (found.target.clone(), found.reason)).collect();
        assert_eq!(
            reasons,
            [
                (MatchTarget::Company("acme".into()), MatchReason::Contact),
                (MatchTarget::Contact("ann".into()), MatchReason::Address),
                (MatchTarget::Deal("d1".into()), MatchReason::Contact),
            ]
        );
    }

    #[test]
    fn a_tag_is_ignored_and_said_so() {
        let found = direct_matches(&message(&["ann+sales@acme.example"]), &answer());
        assert!(found.iter().any(|found| found.reason == MatchReason::PlusAddress));
    }

    #[test]
    fn a_stranger_at_a_known_domain_matches_only_the_company() {
        let found = direct_matches(&message(&["new@acme.example"]), &answer());
        assert_eq!(found, [Match { target: MatchTarget::Company("acme".into()), reason: MatchReason::Domain }]);
    }

    #[test]
    fn several_open_deals_are_no_match() {
        let mut answer = answer();
        answer.people[0].deals.push("d2".to_owned());
        let found = direct_matches(&message(&["ann@acme.example"]), &answer);
        assert!(!found.iter().any(|found| matches!(found.target, MatchTarget::Deal(_))));
    }
}
