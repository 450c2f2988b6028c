//! A directory from a CSV file: columns `name,email,company,deal`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    activity::{Company, Directory, DirectoryAnswer, DirectoryQuery, Person},
    ids::TenantId,
};
use serde::Deserialize;

/// Providers whose domain says nothing about a company.
const FREE_MAIL: [&str; 8] =
    ["gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "gmx.de", "web.de"];

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    email: String,
    company: String,
    deal: String,
}

/// People, their companies (with the domains of their people) and their deals.
#[derive(Clone, Debug, Default)]
pub struct CsvDirectory {
    people: Vec<Person>,
    companies: Vec<Company>,
}

impl CsvDirectory {
    /// Reads a file.
    ///
    /// # Errors
    /// `InvalidInput`, naming the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| bad(path, &format!("cannot be read: {error}")))?;
        Self::parse(&bytes).map_err(|problem| bad(path, &problem))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header: Vec<String> =
            reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
        if header != ["name", "email", "company", "deal"] {
            return Err(format!(
                "must begin with the line name,email,company,deal; it begins with {}",
                header.join(",")
            ));
        }
        let mut people: BTreeMap<String, Person> = BTreeMap::new();
        let mut domains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in reader.deserialize() {
            let row: Row = row.map_err(|error| error.to_string())?;
            let address = row.email.to_lowercase();
            let person = people.entry(address.clone()).or_insert_with(|| Person::new(&address, &row.name, &address));
            if !row.company.is_empty() {
                person.company = Some(row.company.clone());
                let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
                let company = domains.entry(row.company).or_default();
                if !domain.is_empty() && !FREE_MAIL.contains(&domain) {
                    company.insert(domain.to_owned());
                }
            }
            if !row.deal.is_empty() && !person.deals.contains(&row.deal) {
                person.deals.push(row.deal);
            }
        }
        let company = |(name, domains): (String, BTreeSet<String>)| {
            let mut company = Company::default();
            (company.id, company.name, company.domains) = (name.clone(), name, domains.into_iter().collect());
            company
        };
        Ok(Self { people: people.into_values().collect(), companies: domains.into_iter().map(company).collect() })
    }

    /// The name of a person.
    #[must_use]
    pub fn name_of(&self, id: &str) -> Option<&str> {
        self.people.iter().find(|person| person.id == id).map(|person| person.name.as_str())
    }
}

fn bad(path: &Path, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{} {problem}", path.display()))
}

#[async_trait]
impl Directory for CsvDirectory {
    async fn look_up(&self, _tenant: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        let known = |person: &&Person| person.addresses.iter().any(|own| ask.addresses.contains(own));
        answer.people = self.people.iter().filter(known).cloned().collect();
        let touched = |company: &&Company| company.domains.iter().any(|own| ask.domains.contains(own));
        answer.companies = self.companies.iter().filter(touched).cloned().collect();
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::CsvDirectory;

    #[test]
    fn a_wrong_header_is_named() {
        let problem = CsvDirectory::parse(b"mail,name\na@b.example,A\n").unwrap_err();
        assert!(problem.contains("name,email,company,deal"), "{problem}");
    }

    #[test]
    fn free_mail_says_nothing_about_a_company() {
        let directory = CsvDirectory::parse(b"name,email,company,deal\nAnn,ann@gmail.com,Acme,\n").unwrap();
        assert!(directory.companies[0].domains.is_empty());
    }
}
