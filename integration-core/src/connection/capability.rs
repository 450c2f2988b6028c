//! Capabilities and the scopes they need.

use std::collections::BTreeSet;

/// A kind of work a person can be asked to allow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Read calendars and events.
    CalendarRead,
    /// Create and change events.
    CalendarWrite,
    /// Who signed in.
    Identity,
    /// Read accounting records.
    LedgerRead,
    /// Create and change accounting records.
    LedgerWrite,
    /// Change labels and folders of messages.
    MailModify,
    /// Read messages.
    MailRead,
    /// Send messages.
    MailSend,
}

/// One row of a scope table: any of `any_of` allows the capability; `request` is what to ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ScopeRule {
    /// What it allows.
    pub capability: Capability,
    /// The scopes to ask for.
    pub request: Vec<String>,
    /// Granted scope sets that suffice: one whole inner list must be granted.
    pub any_of: Vec<Vec<String>>,
}

impl ScopeRule {
    /// `capability` is asked for with `request`, and also allowed by any of the `others` alone.
    #[must_use]
    pub fn new(capability: Capability, request: &[&str], others: &[&str]) -> Self {
        let request: Vec<String> = request.iter().map(|&scope| scope.to_owned()).collect();
        let mut any_of = vec![request.clone()];
        any_of.extend(others.iter().map(|&scope| vec![scope.to_owned()]));
        Self { capability, request, any_of }
    }
}

/// Which scopes allow what, with the service's aliases.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ScopeTable {
    /// The rules.
    pub rules: Vec<ScopeRule>,
    /// Other spellings the service answers with: (as answered, as asked for).
    pub aliases: Vec<(String, String)>,
    /// Asked for always (sign-in scopes).
    pub always: Vec<String>,
    /// Scopes that answers may leave out although they were granted: never missed.
    pub unanswered: Vec<String>,
}

impl ScopeTable {
    /// A table of rules.
    #[must_use]
    pub fn new(rules: Vec<ScopeRule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Adds an alias: the service answers `answered` for `asked`.
    #[must_use]
    pub fn with_alias(mut self, answered: &str, asked: &str) -> Self {
        self.aliases.push((answered.to_owned(), asked.to_owned()));
        self
    }

    /// Scopes that every authorisation asks for.
    #[must_use]
    pub fn with_always(mut self, scopes: &[&str]) -> Self {
        self.always.extend(scopes.iter().map(|&scope| scope.to_owned()));
        self
    }

    /// Scopes that answers may leave out although they were granted.
    #[must_use]
    pub fn with_unanswered(mut self, scopes: &[&str]) -> Self {
        self.unanswered.extend(scopes.iter().map(|&scope| scope.to_owned()));
        self
    }

    /// What of `wanted` is not in `had`, as far as answers tell.
    #[must_use]
    pub fn missing(&self, wanted: &BTreeSet<String>, had: &BTreeSet<String>) -> BTreeSet<String> {
        wanted.difference(had).filter(|scope| !self.unanswered.contains(scope)).cloned().collect()
    }

    /// A scope list in the spelling it is asked for.
    pub fn normalise<'a>(&self, scopes: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let asked = |scope: &str| {
            let alias = self.aliases.iter().find(|(answered, _)| answered == scope);
            alias.map_or_else(|| scope.to_owned(), |(_, asked)| asked.clone())
        };
        scopes.into_iter().filter(|scope| !scope.is_empty()).map(asked).collect()
    }

    /// The scopes to ask for, sign-in scopes included.
    #[must_use]
    pub fn request(&self, capabilities: &BTreeSet<Capability>) -> BTreeSet<String> {
        let rules = self.rules.iter().filter(|rule| capabilities.contains(&rule.capability));
        rules.flat_map(|rule| rule.request.iter()).chain(&self.always).cloned().collect()
    }

    /// What the granted (normalised) scopes allow.
    #[must_use]
    pub fn allowed(&self, granted: &BTreeSet<String>) -> BTreeSet<Capability> {
        let suffices =
            |rule: &&ScopeRule| rule.any_of.iter().any(|all| all.iter().all(|scope| granted.contains(scope)));
        self.rules.iter().filter(suffices).map(|rule| rule.capability).collect()
    }
}
