//! The host's people, companies and deals, asked in batches.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;

use crate::{error::Result, ids::TenantId};

/// One batched question.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DirectoryQuery {
    /// Addresses, lower case; a plus-address also without its tag.
    pub addresses: BTreeSet<String>,
    /// Domains, lower case, as they stand in the addresses.
    pub domains: BTreeSet<String>,
    /// Words that may be a deal's reference, lower case: from subjects, and tags of own plus-addresses.
    pub references: BTreeSet<String>,
}

/// A person.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Person {
    /// The host's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// All addresses, primary and further ones.
    pub addresses: Vec<String>,
    /// The host's id of the company, if any.
    pub company: Option<String>,
    /// The host's ids of open deals.
    pub deals: Vec<String>,
}

impl Person {
    /// A person with an address.
    pub fn new(id: impl Into<String>, name: impl Into<String>, address: &str) -> Self {
        Self { id: id.into(), name: name.into(), addresses: vec![address.to_lowercase()], ..Self::default() }
    }
}

/// A company.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Company {
    /// The host's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Its mail domains. Never a free-mail domain: that would match everybody there.
    pub domains: Vec<String>,
}

impl Company {
    /// A company with a mail domain.
    pub fn new(id: impl Into<String>, name: impl Into<String>, domain: &str) -> Self {
        Self { id: id.into(), name: name.into(), domains: vec![domain.to_lowercase()] }
    }
}

/// A deal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Deal {
    /// The host's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// What names it in a subject ("D-2041") or as a tag of an own plus-address; compared without case.
    pub references: Vec<String>,
}

impl Deal {
    /// A deal with its references.
    pub fn new<S: Into<String>>(
        id: impl Into<String>,
        name: impl Into<String>,
        references: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { id: id.into(), name: name.into(), references: references.into_iter().map(Into::into).collect() }
    }
}

/// Everybody and everything the question touches; more does no harm.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DirectoryAnswer {
    /// People with one of the addresses.
    pub people: Vec<Person>,
    /// Companies with one of the domains.
    pub companies: Vec<Company>,
    /// Deals with one of the references.
    pub deals: Vec<Deal>,
}

/// The host's contacts. Asked once per batch of messages, never inside a transaction.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// Answers for one tenant.
    ///
    /// # Errors
    /// Whatever the host reports; the batch is tried again later.
    async fn look_up(&self, tenant: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer>;
}

/// Nobody is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyDirectory;

#[async_trait]
impl Directory for EmptyDirectory {
    async fn look_up(&self, _: &TenantId, _: &DirectoryQuery) -> Result<DirectoryAnswer> {
        Ok(DirectoryAnswer::default())
    }
}
