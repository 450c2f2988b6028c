//! Who and which deal a message is about: JSON lines in, one line out for each.
//!
//! In: `{"from", "to", "cc", "subject", "text", "own_domains", "people": […], "deals": […]}`. Addresses are text
//! (`Ann <ann@acme.example>`) or `{"name", "address"}`, alone or in lists. A person has `id`, `name`, `email` or `emails`,
//! `company`, `deals`; a deal has `id`, `name`, `reference` or `references`, `contacts` (ids of people), `open`.
//! Out: `{"contacts": [{"id", "reason", "confidence"}], "company", "deal", "doubtful": […], "suggested": [{"address", "name",
//! "title", "company", "phones", "urls"}], "suggested_companies": [domain, …], "skip": reason or null}`, or `{"error"}`.

use std::io::{BufRead, Write};

use integration_core::{
    activity::{
        Deal, DirectoryAnswer, Identification, MailPolicy, Match, MatchTarget, NameLists, Person, Suggest, Summary,
        identify,
    },
    email::{
        Address, Message, parse,
        signature::{Detail, Details, Phone},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ask {
    from: Value,
    to: Value,
    cc: Value,
    subject: String,
    text: String,
    headers: std::collections::BTreeMap<String, String>,
    own_domains: Vec<String>,
    people: Vec<AskedPerson>,
    deals: Vec<AskedDeal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskedPerson {
    id: Value,
    name: String,
    #[serde(alias = "address")]
    email: Option<String>,
    #[serde(alias = "addresses")]
    emails: Vec<String>,
    company: Value,
    deals: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct AskedDeal {
    id: Value,
    name: String,
    reference: Option<String>,
    references: Vec<String>,
    #[serde(alias = "people")]
    contacts: Vec<Value>,
    open: bool,
}

impl Default for AskedDeal {
    fn default() -> Self {
        let (name, reference) = (String::new(), None);
        Self { id: Value::Null, name, reference, references: Vec::new(), contacts: Vec::new(), open: true }
    }
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str::<Ask>(&line) {
            Ok(ask) => answer(ask),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn answer(ask: Ask) -> Value {
    let mut message = Message::default();
    (message.subject, message.text) = (ask.subject.clone(), ask.text.clone());
    message.headers.all = ask.headers.clone().into_iter().collect();
    (message.from, message.to, message.cc) = (addresses(&ask.from), addresses(&ask.to), addresses(&ask.cc));
    let own_domains: Vec<String> = ask.own_domains.iter().map(|domain| domain.to_lowercase()).collect();
    let own: Vec<String> = message
        .from
        .iter()
        .filter(|from| from.domain().is_some_and(|own| own_domains.contains(&own)))
        .map(Address::normalised)
        .collect();
    let summary = Summary::of(&message, &own, &own_domains);
    let mut policy = MailPolicy::default();
    policy.suggest = Suggest::Everybody;
    let found = identify(&summary, &directory(ask), &policy, &NameLists::default());
    let matches = &found.findings.matches;
    let only = |wanted: fn(&MatchTarget) -> Option<&String>| {
        matches.iter().filter_map(|one| wanted(&one.target)).max_by_key(|id| std::cmp::Reverse((*id).clone())).cloned()
    };
    // Two deals that the subject names are a tie like any other: neither is guessed here.
    let deals: Vec<&Match> = matches.iter().filter(|one| matches!(one.target, MatchTarget::Deal(_))).collect();
    let tied = deals.iter().copied().filter(|_| deals.len() > 1);
    let doubtful: Vec<&Match> = found.findings.doubtful.iter().chain(tied).collect();
    let contacts: Vec<Value> = matches.iter().filter_map(contact).collect();
    let nothing = matches.is_empty().then_some("no_match");
    json!({
        "contacts": contacts,
        "company": only(|target| if let MatchTarget::Company(id) = target { Some(id) } else { None }),
        "deal": deals.first().filter(|_| deals.len() == 1).and_then(|one| target_deal(&one.target)),
        "doubtful": doubtful,
        "suggested": found.suggested.iter().map(|address| suggestion(address, &summary, &found)).collect::<Vec<_>>(),
        "suggested_companies": found.suggested_companies,
        "skip": found.skip.map(integration_core::activity::SkipReason::as_str).or(nothing),
    })
}

fn telephone(phone: &Phone) -> Value {
    json!({ "value": phone.number.value, "source": phone.number.source, "kind": phone.kind })
}

/// Who may become a contact, with what the signature says of them and the lines it says it in.
fn suggestion(address: &str, summary: &Summary, found: &Identification) -> Value {
    let details = found.details.as_ref().filter(|_| summary.author.as_deref() == Some(address));
    let one = |detail: &Detail| json!({ "value": detail.value, "source": detail.source });
    let written = |read: fn(&Details) -> &Option<Detail>| details.and_then(|all| read(all).as_ref()).map(one);
    let shown = summary.people.get(address).filter(|name| !name.is_empty());
    json!({
        "address": address,
        "name": shown.or(details.and_then(|all| all.name.as_ref()).map(|name| &name.value)),
        "title": written(|all| &all.title),
        "company": written(|all| &all.company),
        "phones": details.map(|all| all.phones.iter().map(telephone).collect::<Vec<_>>()),
        "urls": details.map(|all| all.urls.iter().map(one).collect::<Vec<_>>()),
    })
}

fn target_deal(target: &MatchTarget) -> Option<&String> {
    if let MatchTarget::Deal(id) = target { Some(id) } else { None }
}

fn contact(found: &Match) -> Option<Value> {
    let MatchTarget::Contact(id) = &found.target else { return None };
    Some(json!({ "id": id, "reason": found.reason.as_str(), "confidence": found.confidence }))
}

/// Text, an object, or a list of either.
fn addresses(value: &Value) -> Vec<Address> {
    match value {
        Value::String(text) => parse::addresses(text),
        Value::Array(list) => list.iter().flat_map(addresses).collect(),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let address = text("address").or(text("email")).map(Address::new);
            address
                .map(|one| match text("name") {
                    Some(name) => one.with_name(name),
                    None => one,
                })
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Ids are the host's: numbers are as good as text.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

fn directory(ask: Ask) -> DirectoryAnswer {
    let mut answer = DirectoryAnswer::default();
    for asked in &ask.people {
        let key = id(&asked.id).unwrap_or_else(|| asked.name.clone());
        let mut person = Person::new(&key, &asked.name, asked.email.as_deref().unwrap_or_default());
        person.addresses.extend(asked.emails.iter().map(|email| email.to_lowercase()));
        person.addresses.retain(|address| !address.is_empty());
        person.company = id(&asked.company);
        person.deals = asked.deals.iter().filter_map(id).collect();
        answer.people.push(person);
    }
    for asked in ask.deals {
        let Some(key) = id(&asked.id) else { continue };
        for contact in asked.contacts.iter().filter_map(id).filter(|_| asked.open) {
            let theirs = answer.people.iter_mut().filter(|person| person.id == contact && !person.deals.contains(&key));
            theirs.for_each(|person| person.deals.push(key.clone()));
        }
        // A deal's own id is as good a reference as any, unless it may be a plain number or word.
        let telling =
            key.bytes().any(|byte| byte.is_ascii_digit()) && key.bytes().any(|byte| byte.is_ascii_alphabetic());
        let own = telling.then(|| key.clone());
        let references = asked.references.into_iter().chain(asked.reference).chain(own);
        answer.deals.push(Deal::new(key, asked.name, references));
    }
    answer
}
