//! Who signed in, as the service vouched for it.

use std::{collections::BTreeMap, fmt};

/// A signed-in person, from a verified id token.
#[derive(Clone, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The stable id: the claims that [`OAuthSettings::subject`](super::OAuthSettings) names, joined by `/`.
    pub subject: String,
    /// The token's claims that are text. Addresses and names among them may change and are not proved: display only.
    pub claims: BTreeMap<String, String>,
}

impl Identity {
    /// An identity of its parts; for connectors' own tests.
    pub fn new<'a>(subject: impl Into<String>, claims: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { subject: subject.into(), claims }
    }

    /// A claim that is text; an empty one counts as absent.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims hold addresses and names: only which there are is shown.
        f.debug_struct("Identity").field("claims", &self.claims.keys()).finish_non_exhaustive()
    }
}
