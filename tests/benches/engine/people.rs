//! Who writes, and whom the host knows.

use std::collections::HashMap;

use async_trait::async_trait;
use integration_core::{
    Result,
    activity::{Company, Directory, DirectoryAnswer, DirectoryQuery, Person},
    ids::TenantId,
};

const PEOPLE: u64 = 600;
const COMPANIES: u64 = 60;

/// A number that looks random and is always the same (SplitMix64).
pub(crate) fn seeded(index: u64) -> u64 {
    let mut word = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn address(person: u64) -> String {
    format!("person{person}@company{}.example", person % COMPANIES)
}

/// Who wrote the message with this number.
pub(crate) fn sender(index: usize) -> String {
    let person = seeded(index as u64) % PEOPLE;
    format!("Person {person} <{}>", address(person))
}

/// Half of the people, each with a company and a deal, and a quarter of the companies.
#[derive(Debug)]
pub(crate) struct Known {
    people: HashMap<String, Person>,
    companies: HashMap<String, Company>,
}

impl Known {
    pub(crate) fn new() -> Self {
        let person = |number: u64| {
            let mut person = Person::new(format!("p{number}"), format!("Person {number}"), &address(number));
            person.company = Some(format!("c{}", number % COMPANIES));
            person.deals = vec![format!("d{}", number % 200)];
            (address(number), person)
        };
        let company = |number: u64| {
            let domain = format!("company{number}.example");
            (domain.clone(), Company::new(format!("c{number}"), format!("Company {number}"), &domain))
        };
        Self {
            people: (0..PEOPLE).filter(|number| seeded(*number).is_multiple_of(2)).map(person).collect(),
            companies: (0..COMPANIES).step_by(4).map(company).collect(),
        }
    }
}

#[async_trait]
impl Directory for Known {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        answer.people = ask.addresses.iter().filter_map(|address| self.people.get(address)).cloned().collect();
        answer.companies = ask.domains.iter().filter_map(|domain| self.companies.get(domain)).cloned().collect();
        Ok(answer)
    }
}
