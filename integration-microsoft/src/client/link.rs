//! Links that the service gives: followed as they are, and only to where it is.

use integration_core::{Error, ErrorKind, Result};
use url::Url;

use super::Client;

impl Client {
    /// `link`, if it leads to this Graph. A token sent along must never reach another host.
    pub(crate) fn followed<'a>(&self, link: &'a str, operation: &'static str) -> Result<&'a str> {
        let own = Url::parse(&self.graph).ok();
        let there = Url::parse(link).ok();
        let same = match (&own, &there) {
            (Some(own), Some(there)) => own.origin() == there.origin() && is_plain(there) && within(own, there),
            _ => false,
        };
        if same {
            return Ok(link);
        }
        let message = "the link to the next page leads somewhere else, and is not followed";
        Err(Error::new(ErrorKind::Validation, message).with_service("microsoft").with_operation(operation))
    }
}

/// Names and passwords before the host are only there to mislead.
fn is_plain(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.has_host()
}

fn within(own: &Url, there: &Url) -> bool {
    there.path().strip_prefix(own.path()).is_some_and(|rest| rest.starts_with('/'))
}
