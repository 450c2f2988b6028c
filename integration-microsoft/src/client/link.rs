//! Links that the service gives to further pages.

use integration_core::{Error, ErrorKind, Result};
use url::Url;

use super::{Client, Root, operation, segment};

impl Client {
    /// What is kept of a link: its part below the version, as the service gave it. Behind another address it is the same
    /// mailbox, so a link outlives a change of the address that Graph is reached by.
    ///
    /// # Errors
    /// `Validation` for a link to anywhere else than Graph.
    pub(crate) fn kept(&self, link: &str, operation: &'static str) -> Result<String> {
        let bases = [Some(self.graph.as_str()), self.own_name.as_deref()];
        let kept = bases.into_iter().flatten().find_map(|base| below(base, link)).filter(|_| !link.starts_with('/'));
        kept.map(str::to_owned).ok_or_else(|| elsewhere(operation))
    }

    /// The address of a link, as it was given or kept.
    ///
    /// # Errors
    /// `Validation` for a link to anywhere else than Graph: it is never followed.
    pub(crate) fn followed(&self, link: &str, operation: &'static str) -> Result<String> {
        let kept = if link.starts_with('/') { link.to_owned() } else { self.kept(link, operation)? };
        let address = [self.graph.as_str(), &kept].concat();
        if below(&self.graph, &address).is_some() { Ok(address) } else { Err(elsewhere(operation)) }
    }

    /// Does a link lead into this mailbox? One that went through a browser may name another.
    pub(crate) fn is_of_this_mailbox(&self, link: &str) -> bool {
        let address = self.followed(link, operation::LIST).ok().and_then(|address| Url::parse(&address).ok());
        let Some((own, there)) = Url::parse(&self.graph).ok().zip(address) else { return false };
        // The parsed path has no steps upwards any more.
        let Some(path) = there.path().strip_prefix(own.path()) else { return false };
        let plain = |text: &str| text.replace("%27", "'").replace("%40", "@").to_lowercase();
        let path = plain(path);
        match &self.root {
            Root::Own => path.starts_with("/me/"),
            Root::Mailbox(id) => {
                let encoded = segment(id).map(|id| plain(&id)).unwrap_or_default();
                [plain(id), encoded].iter().any(|id| {
                    path.starts_with(&format!("/users/{id}/")) || path.starts_with(&format!("/users('{id}')/"))
                })
            }
        }
    }
}

fn elsewhere(operation: &'static str) -> Error {
    let message = "the link to the next page leads somewhere else, and is not followed";
    Error::new(ErrorKind::Validation, message).with_service("microsoft").with_operation(operation)
}

/// The part of `link` that is below `base`, letter by letter.
fn below<'a>(base: &str, link: &'a str) -> Option<&'a str> {
    let (own, there) = (Url::parse(base).ok()?, Url::parse(link).ok()?);
    if own.origin() != there.origin() || !is_plain(&there) || !within(&own, &there) {
        return None;
    }
    let (_, rest) = link.split_once("://")?;
    let path = &rest[rest.find('/')?..];
    path.strip_prefix(own.path()).filter(|rest| rest.starts_with('/'))
}

/// Names and passwords before the host are only there to mislead.
fn is_plain(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.has_host()
}

fn within(own: &Url, there: &Url) -> bool {
    there.path().strip_prefix(own.path()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use integration_core::testing::SeededRandom;

    use super::*;

    fn client() -> Client {
        let client = Client::new(&Url::parse("http://127.0.0.1:8080/below").unwrap(), 20, None);
        client.with_random(Arc::new(SeededRandom::new(1))).named("https://graph.example")
    }

    #[test]
    fn a_link_is_kept_without_the_address_and_followed_at_the_present_one() {
        for given in [
            "http://127.0.0.1:8080/below/v1.0/me/x/delta?$deltatoken=a%2Fb",
            "https://graph.example/v1.0/me/x/delta?$deltatoken=a%2Fb",
        ] {
            let kept = client().kept(given, "op").unwrap();
            assert_eq!(kept, "/me/x/delta?$deltatoken=a%2Fb");
            let followed = "http://127.0.0.1:8080/below/v1.0/me/x/delta?$deltatoken=a%2Fb";
            assert_eq!(
                [client().followed(&kept, "op").unwrap(), client().followed(given, "op").unwrap()],
                [followed; 2]
            );
        }
    }

    #[test]
    fn a_link_into_another_mailbox_is_told_apart() {
        let own = client();
        let named = client().at(Root::Mailbox("team@example.org".to_owned()));
        assert!(own.is_of_this_mailbox("/me/messages?$skip=10"));
        assert!(own.is_of_this_mailbox("https://graph.example/v1.0/me/messages?$skip=10"));
        for other in
            ["/users/ceo@example.org/messages", "/me/../users/x/messages", "/me/%2e%2e/users/x", "/media/x", ""]
        {
            assert!(!own.is_of_this_mailbox(other), "{other}");
        }
        assert!(named.is_of_this_mailbox("/users/team%40example.org/messages?$skip=1"));
        assert!(named.is_of_this_mailbox("/users('team@example.org')/messages?$skip=1"));
        for other in ["/me/messages", "/users/ceo@example.org/messages", "/users/team@example.org.evil/messages"] {
            assert!(!named.is_of_this_mailbox(other), "{other}");
        }
    }

    #[test]
    fn a_link_to_elsewhere_is_neither_kept_nor_followed() {
        for foreign in [
            "https://evil.example/v1.0/me",
            "http://graph.example/v1.0/me",
            "https://graph.example:444/v1.0/me",
            "https://graph.example@evil.example/v1.0/me",
            "https://user@graph.example/v1.0/me",
            "https://graph.example/beta/me",
            "https://graph.example/v1.0",
            "https://graph.example/v1.0/../beta/me",
            "//evil.example/v1.0/me",
            "/v1.0/me",
            "",
        ] {
            assert!(client().kept(foreign, "op").is_err(), "{foreign}");
        }
        for foreign in ["/../../elsewhere", "//../../x", "/%2e%2e/%2E%2E/x", "https://evil.example/v1.0/me"] {
            assert!(client().followed(foreign, "op").is_err(), "{foreign}");
        }
    }
}
