//! Who and which deal, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    directory::{DirectoryAnswer, DirectoryQuery, Person},
    lists::NameLists,
    review::Verdicts,
    summary::Summary,
};

/// What matched.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchReason {
    /// Somebody looked at it and said so.
    Reviewed,
    /// A token of the subject or of an own plus-address names the deal.
    Reference,
    /// A participant's address is the contact's.
    Address,
    /// A participant's address without its `+tag` is the contact's.
    PlusAddress,
    /// It follows from a matched contact (its company, the only open deal of all matched contacts).
    Contact,
    /// A participant's domain is the company's.
    Domain,
    /// Another message of the conversation matched.
    Thread,
}

impl MatchReason {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Contact => "contact",
            Self::Domain => "domain",
            Self::PlusAddress => "plus_address",
            Self::Reference => "reference",
            Self::Reviewed => "reviewed",
            Self::Thread => "thread",
        }
    }

    /// How sure a match for this reason alone is, in percent, where nothing competes with it.
    #[must_use]
    pub fn confidence(self) -> u8 {
        match self {
            Self::Reviewed | Self::Address => 100,
            Self::Reference => 98,
            Self::PlusAddress => 95,
            Self::Contact => 80,
            Self::Domain => 70,
            Self::Thread => 60,
        }
    }
}

/// A match with its reason.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Match {
    /// What.
    pub target: MatchTarget,
    /// Why: the strongest reason.
    pub reason: MatchReason,
    /// How sure, in percent; halved where others match for the same reason.
    #[serde(default)]
    pub confidence: u8,
    /// The participants' addresses it came through, or `#` and the reference; empty where it is about the message as a whole
    /// (deals of several contacts), and in what was stored before this was noted. Matches of a kind compete where they came
    /// through the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub via: BTreeSet<String>,
}

impl Match {
    /// A match that nothing competes with.
    #[must_use]
    pub fn new(target: MatchTarget, reason: MatchReason) -> Self {
        Self { target, reason, confidence: reason.confidence(), via: BTreeSet::new() }
    }

    fn tied(target: MatchTarget, reason: MatchReason) -> Self {
        Self { confidence: reason.confidence() / 2, ..Self::new(target, reason) }
    }

    fn through(mut self, via: &str) -> Self {
        self.via.insert(via.to_owned());
        self
    }

    /// Can only one of the two be right? They are of one kind and came through the same: the message as a whole, or one of
    /// its participants (`on`, where only one of them is asked about).
    #[cfg(any(test, feature = "oauth"))]
    pub(crate) fn competes_with(&self, other: &Self, on: Option<&str>) -> bool {
        let alike = std::mem::discriminant(&self.target) == std::mem::discriminant(&other.target);
        let mut shared = self.via.intersection(&other.via).filter(|via| on.is_none_or(|on| **via == on));
        let same_way = shared.next().is_some() || self.via.is_empty() && other.via.is_empty();
        alike && self.target != other.target && same_way
    }
}

/// What a message matches by itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Findings {
    /// What it is about. Contacts and companies that tie are all in here: the message belongs to each until somebody decides.
    pub matches: Vec<Match>,
    /// What it may be about: ties and doubtful ones, for the review list. A deal is never guessed, so tied deals are
    /// only in here.
    pub doubtful: Vec<Match>,
}

/// An address without its `+tag`, if it has one.
pub(crate) fn without_tag(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let (base, _) = local.split_once('+')?;
    (!base.is_empty()).then(|| format!("{base}@{domain}"))
}

pub(crate) fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// The one question for a batch of messages.
pub fn question<'a>(messages: impl IntoIterator<Item = &'a Summary>) -> DirectoryQuery {
    let mut ask = DirectoryQuery::default();
    for message in messages {
        ask.references.extend(message.tokens.iter().cloned());
        for address in &message.others {
            ask.domains.extend(domain(address).map(str::to_owned));
            ask.addresses.extend(without_tag(address));
            ask.addresses.insert(address.clone());
        }
    }
    ask
}

/// A directory's answer, looked up by what messages carry: a batch of many messages asks it many times.
#[derive(Debug)]
pub struct AnswerIndex<'a> {
    answer: &'a DirectoryAnswer,
    people: BTreeMap<String, Vec<usize>>,
    companies: BTreeMap<String, Vec<usize>>,
    references: BTreeMap<String, Vec<usize>>,
}

impl<'a> AnswerIndex<'a> {
    /// An index of `answer`.
    #[must_use]
    pub fn new(answer: &'a DirectoryAnswer) -> Self {
        let mut index =
            Self { answer, people: BTreeMap::new(), companies: BTreeMap::new(), references: BTreeMap::new() };
        let note = |map: &mut BTreeMap<String, Vec<usize>>, key: &str, at: usize| {
            let places = map.entry(key.to_lowercase()).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        };
        for (at, person) in answer.people.iter().enumerate() {
            person.addresses.iter().for_each(|address| note(&mut index.people, address, at));
        }
        for (at, company) in answer.companies.iter().enumerate() {
            company.domains.iter().for_each(|domain| note(&mut index.companies, domain, at));
        }
        for (at, deal) in answer.deals.iter().enumerate() {
            deal.references.iter().for_each(|reference| note(&mut index.references, reference, at));
        }
        index
    }

    fn people(&self, address: &str) -> Vec<&'a Person> {
        let places = self.people.get(address).into_iter().flatten();
        let mut seen = BTreeSet::new();
        places.map(|&at| &self.answer.people[at]).filter(|person| seen.insert(&person.id)).collect()
    }
}

/// What a message matches by its own participants and tokens. Each target once, with its strongest reason.
#[must_use]
pub fn direct_matches(message: &Summary, answer: &AnswerIndex<'_>, lists: &NameLists) -> Findings {
    let mut found = BTreeSet::new();
    let mut doubtful = BTreeSet::new();
    let mut open: BTreeSet<&String> = BTreeSet::new();
    for address in &message.others {
        let mut reason = MatchReason::Address;
        let mut people = answer.people(address);
        if people.is_empty()
            && let Some(bare) = without_tag(address)
        {
            (reason, people) = (MatchReason::PlusAddress, answer.people(&bare));
        }
        let tie = people.len() > 1;
        for person in people {
            let contact = MatchTarget::Contact(person.id.clone());
            if tie {
                let tied = Match::tied(contact, reason).through(address);
                doubtful.insert(tied.clone());
                found.insert(tied);
            } else {
                found.insert(Match::new(contact, reason).through(address));
            }
            if let Some(company) = &person.company {
                let company = MatchTarget::Company(company.clone());
                found.insert(Match::new(company, MatchReason::Contact).through(address));
            }
            open.extend(&person.deals);
        }
        by_domain(address, answer, lists, &mut found, &mut doubtful);
    }
    deals(message, answer, &open, &mut found, &mut doubtful);
    let matches = strongest(found);
    let mut doubtful = strongest(doubtful);
    doubtful.retain(|one| matches.iter().all(|sure| sure.target != one.target || sure.confidence <= one.confidence));
    Findings { matches, doubtful }
}

fn by_domain(
    address: &str,
    answer: &AnswerIndex<'_>,
    lists: &NameLists,
    found: &mut BTreeSet<Match>,
    doubtful: &mut BTreeSet<Match>,
) {
    let Some(domain) = domain(address).filter(|domain| !lists.is_free_mail(domain)) else { return };
    let places = answer.companies.get(domain).map(Vec::as_slice).unwrap_or_default();
    for &at in places {
        let company = MatchTarget::Company(answer.answer.companies[at].id.clone());
        if places.len() > 1 {
            let tied = Match::tied(company, MatchReason::Domain).through(address);
            doubtful.insert(tied.clone());
            found.insert(tied);
        } else {
            found.insert(Match::new(company, MatchReason::Domain).through(address));
        }
    }
}

/// A named deal counts; else the only open one of everybody who takes part. Several are a tie, and none is guessed.
fn deals(
    message: &Summary,
    answer: &AnswerIndex<'_>,
    open: &BTreeSet<&String>,
    found: &mut BTreeSet<Match>,
    doubtful: &mut BTreeSet<Match>,
) {
    let mut named = BTreeSet::new();
    for token in &message.tokens {
        let places = answer.references.get(token).map(Vec::as_slice).unwrap_or_default();
        for &at in places {
            let deal = MatchTarget::Deal(answer.answer.deals[at].id.clone());
            let via = format!("#{token}");
            if places.len() > 1 {
                doubtful.insert(Match::tied(deal, MatchReason::Reference).through(&via));
            } else {
                named.insert(Match::new(deal, MatchReason::Reference).through(&via));
            }
        }
    }
    if !named.is_empty() {
        found.extend(named);
        return;
    }
    for &deal in open {
        let target = MatchTarget::Deal(deal.clone());
        if open.len() == 1 {
            found.insert(Match::new(target, MatchReason::Contact));
        } else {
            doubtful.insert(Match::tied(target, MatchReason::Contact));
        }
    }
}

/// Adds what the rest of the conversation matched, and what somebody decided.
pub(crate) fn settled<'a>(
    direct: &Findings,
    thread: impl IntoIterator<Item = &'a Match>,
    verdicts: &Verdicts,
) -> Findings {
    let has_deal = direct.matches.iter().any(|found| matches!(found.target, MatchTarget::Deal(_)));
    let inherited = thread
        .into_iter()
        // A message that names its own deal does not belong to the conversation's other ones as well.
        .filter(|found| !(has_deal && matches!(found.target, MatchTarget::Deal(_))))
        .map(|found| Match::new(found.target.clone(), MatchReason::Thread));
    let mut found: BTreeSet<Match> = direct.matches.iter().cloned().chain(inherited).collect();
    found.extend(verdicts.accepted().map(|target| Match::new(target.clone(), MatchReason::Reviewed)));
    let mut matches = strongest(found);
    matches.retain(|found| !verdicts.rejects(&found.target));
    let mut doubtful = direct.doubtful.clone();
    doubtful.retain(|one| !verdicts.decides(&one.target));
    Findings { matches, doubtful }
}

/// Each target once; the set's order puts the strongest reason of a target first.
pub(super) fn strongest(found: BTreeSet<Match>) -> Vec<Match> {
    let mut kept: Vec<Match> = Vec::with_capacity(found.len());
    for next in found {
        match kept.last_mut() {
            Some(last) if last.target == next.target => {
                last.confidence = last.confidence.max(next.confidence);
                last.via.extend(next.via);
            }
            _ => kept.push(next),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Company, Deal};

    fn message(others: &[&str]) -> Summary {
        Summary { others: others.iter().map(|&other| other.to_owned()).collect(), ..Summary::default() }
    }

    fn answer() -> DirectoryAnswer {
        let mut ann = Person::new("ann", "Ann", "ann@acme.example");
        ann.company = Some("acme".to_owned());
        ann.deals = vec!["d1".to_owned()];
        let companies = vec![Company::new("acme", "Acme", "acme.example")];
        DirectoryAnswer { people: vec![ann], companies, deals: vec![Deal::new("d9", "Nine", ["D-9"])] }
    }

    fn find(message: &Summary, answer: &DirectoryAnswer) -> Findings {
        direct_matches(message, &AnswerIndex::new(answer), &NameLists::default())
    }

    fn brief(found: &[Match]) -> Vec<(MatchTarget, MatchReason)> {
        found.iter().map(|found| (found.target.clone(), found.reason)).collect()
    }

    fn deal(id: &str) -> MatchTarget {
        MatchTarget::Deal(id.to_owned())
    }

    #[test]
    fn an_address_matches_contact_company_and_only_deal() {
        let found = find(&message(&["ann@acme.example"]), &answer());
        assert_eq!(
            brief(&found.matches),
            [
                (MatchTarget::Company("acme".into()), MatchReason::Contact),
                (MatchTarget::Contact("ann".into()), MatchReason::Address),
                (deal("d1"), MatchReason::Contact),
            ]
        );
        assert!(found.doubtful.is_empty());
    }

    #[test]
    fn a_tag_is_ignored_and_said_so() {
        let found = find(&message(&["ann+sales@acme.example"]), &answer());
        assert!(found.matches.iter().any(|found| found.reason == MatchReason::PlusAddress));
    }

    #[test]
    fn a_stranger_at_a_known_domain_matches_only_the_company() {
        let found = find(&message(&["new@acme.example"]), &answer());
        let company = Match::new(MatchTarget::Company("acme".into()), MatchReason::Domain);
        assert_eq!(found.matches, [company.through("new@acme.example")]);
    }

    #[test]
    fn a_free_mail_domain_matches_no_company_whatever_the_directory_says() {
        let mut answer = answer();
        answer.companies[0].domains.push("web.de".to_owned());
        assert_eq!(find(&message(&["new@web.de"]), &answer), Findings::default());
    }

    #[test]
    fn several_open_deals_are_a_tie_over_all_participants() {
        let mut answer = answer();
        let mut bob = Person::new("bob", "Bob", "bob@acme.example");
        bob.deals = vec!["d2".to_owned()];
        answer.people.push(bob);
        let found = find(&message(&["ann@acme.example", "bob@acme.example"]), &answer);
        assert!(!found.matches.iter().any(|found| matches!(found.target, MatchTarget::Deal(_))));
        assert_eq!(brief(&found.doubtful), [(deal("d1"), MatchReason::Contact), (deal("d2"), MatchReason::Contact)]);
        assert!(found.doubtful.iter().all(|one| one.confidence == 40));
    }

    #[test]
    fn a_named_deal_wins_over_the_contacts_open_one() {
        let mut named = message(&["ann@acme.example"]);
        named.tokens.insert("d-9".to_owned());
        let found = find(&named, &answer());
        let deals: Vec<_> = found.matches.iter().filter(|one| matches!(one.target, MatchTarget::Deal(_))).collect();
        assert_eq!(deals, [&Match::new(deal("d9"), MatchReason::Reference).through("#d-9")]);
    }

    #[test]
    fn two_contacts_with_one_address_are_both_matched_and_up_for_review() {
        let mut answer = answer();
        answer.people.push(Person::new("anne", "Anne", "ann@acme.example"));
        let found = find(&message(&["ann@acme.example"]), &answer);
        let contacts: Vec<u8> = found.doubtful.iter().map(|one| one.confidence).collect();
        assert_eq!(contacts, [50, 50]);
        let mut verdicts = Verdicts::default();
        verdicts.set(MatchTarget::Contact("ann".into()), true);
        verdicts.set(MatchTarget::Contact("anne".into()), false);
        let settled = settled(&found, [], &verdicts);
        assert!(settled.doubtful.is_empty());
        assert!(!settled.matches.iter().any(|one| one.target == MatchTarget::Contact("anne".into())));
        assert!(brief(&settled.matches).contains(&(MatchTarget::Contact("ann".into()), MatchReason::Reviewed)));
    }

    #[test]
    fn candidates_compete_where_they_came_through_the_same_address() {
        let contact = |id: &str, address: &str| {
            Match::tied(MatchTarget::Contact(id.to_owned()), MatchReason::Address).through(address)
        };
        let both = contact("ann", "a@x.example").through("b@x.example");
        let (anne, bob) = (contact("anne", "a@x.example"), contact("bob", "b@x.example"));
        assert!(both.competes_with(&anne, None) && both.competes_with(&bob, None));
        assert!(!anne.competes_with(&bob, None));
        assert!(!both.competes_with(&bob, Some("a@x.example")), "only this participant is asked about");
        let old = |id: &str| Match::tied(deal(id), MatchReason::Contact);
        assert!(old("d1").competes_with(&old("d2"), Some("a@x.example")));
    }

    #[test]
    fn a_match_stored_before_the_way_was_noted_can_be_read() {
        let stored = r#"{"target":{"kind":"deal","id":"d1"},"reason":"contact","confidence":40}"#;
        assert_eq!(serde_json::from_str::<Match>(stored).unwrap(), Match::tied(deal("d1"), MatchReason::Contact));
    }
}
