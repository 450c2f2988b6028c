//! What a service's redirect brought back.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};

/// The query of a callback, parsed at the border: at most 32 KiB and 64 parameters, the first of each name counts.
#[derive(Clone, Default)]
pub struct CallbackQuery(BTreeMap<String, String>);

impl CallbackQuery {
    /// Reads the query string (without `?`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is too large.
    pub fn parse(query: &str) -> Result<Self> {
        if query.len() > 32 * 1024 {
            return Err(Error::new(ErrorKind::InvalidInput, "the callback's query is longer than 32 KiB"));
        }
        let mut parameters = BTreeMap::new();
        for (index, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
            if index >= 64 {
                return Err(Error::new(ErrorKind::InvalidInput, "the callback's query has more than 64 parameters"));
            }
            parameters.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Ok(Self(parameters))
    }

    /// A parameter; an empty one counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for CallbackQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values hold the code: only the names are shown.
        f.debug_set().entries(self.0.keys()).finish()
    }
}
