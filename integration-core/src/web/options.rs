//! How the pages are set up.

use std::{collections::BTreeSet, time::Duration};

use url::{Position, Url};

use super::strings::{Catalogues, Strings};
use crate::{
    connection::{Capability, ConnectorProfile},
    error::{Error, ErrorKind, Result},
    hub::Hub,
    ids::AppId,
};

/// How long the host may take to say who somebody is.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service that a person can choose.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// With which app.
    pub app: AppId,
    /// What people call the service.
    pub name: String,
    /// What is asked for; the person may still leave some of it out.
    pub capabilities: BTreeSet<Capability>,
}

impl Offer {
    /// Asks for `capabilities` at the service that people call `name`.
    pub fn new(app: AppId, name: impl Into<String>, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self { app, name: name.into(), capabilities: capabilities.into_iter().collect() }
    }
}

/// How the pages are set up. What is wrong in it is said by [`router`](super::router).
#[derive(Clone, Debug)]
pub struct WebOptions {
    pub(super) public_url: Url,
    pub(super) offers: Vec<Offer>,
    pub(super) home: Option<(String, String)>,
    pub(super) embedders: Vec<String>,
    pub(super) form_targets: Vec<Url>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) dark_variables: Vec<(String, String)>,
    pub(super) patience: Duration,
    pub(super) catalogues: Catalogues,
}

impl WebOptions {
    /// Pages that browsers reach below `public_url` (`https://crm.example/accounts`), where the host nests the router. With
    /// `/callback` after it, it is the redirect address to register at every service. HTTPS, or HTTP on loopback.
    #[must_use]
    pub fn new(public_url: Url) -> Self {
        Self {
            public_url,
            offers: Vec::new(),
            home: None,
            embedders: Vec::new(),
            form_targets: Vec::new(),
            variables: Vec::new(),
            dark_variables: Vec::new(),
            patience: PATIENCE,
            catalogues: Catalogues::bundled(),
        }
    }

    /// Adds a service to choose; shown in the order of adding.
    #[must_use]
    pub fn with_offer(mut self, offer: Offer) -> Self {
        self.offers.push(offer);
        self
    }

    /// Adds a link back into the host: its address and its words. Absent: no link.
    #[must_use]
    pub fn with_home(mut self, address: impl Into<String>, words: impl Into<String>) -> Self {
        self.home = Some((address.into(), words.into()));
        self
    }

    /// Lets pages of this origin (`https://crm.example`; `'self'` for our own) show these in a frame. Absent: nobody may. The
    /// services' own pages are then opened outside of the frame: they refuse frames.
    #[must_use]
    pub fn with_embedder(mut self, origin: impl Into<String>) -> Self {
        self.embedders.push(origin.into());
        self
    }

    /// Allows a further origin on the way to a service's sign-in page. Needed only where an app's authorisation address
    /// redirects at once to another origin (an organisation's own sign-in page): browsers stop that way otherwise.
    #[must_use]
    pub fn with_form_target(mut self, origin: Url) -> Self {
        self.form_targets.push(origin);
        self
    }

    /// Sets a CSS variable: `--integration-accent`, `-accent-text`, `-background`, `-border`, `-font`, `-muted`, `-problem`,
    /// `-radius`, `-surface`, `-text`, `-width`, each beginning with `--integration`. The value is plain: no `;`, braces,
    /// quotes in pairs only, no addresses.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Sets a CSS variable for people who prefer dark pages.
    #[must_use]
    pub fn with_dark_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.dark_variables.push((name.into(), value.into()));
        self
    }

    /// How long the host may take to say who somebody is; 5 s.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds a language, or replaces a bundled one.
    #[must_use]
    pub fn with_strings(mut self, strings: Strings) -> Self {
        self.catalogues.add(strings);
        self
    }

    pub(super) fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    pub(super) fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }

    /// A page's path on the public address.
    pub(super) fn path(&self, page: &str) -> String {
        format!("{}/{page}", self.public_url.path().trim_end_matches('/'))
    }

    /// The address that services send browsers back to.
    pub(super) fn callback(&self) -> String {
        format!("{}/callback", self.public_url[..Position::AfterPath].trim_end_matches('/'))
    }

    pub(super) fn offer(&self, app: &AppId) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.app == *app)
    }

    /// # Errors
    /// `Misconfigured`, naming what is wrong.
    pub(super) fn check(&self, hub: &Hub) -> Result<()> {
        let url = &self.public_url;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !(self.is_secure() || (url.scheme() == "http" && loopback)) {
            return Err(wrong("the public address of the pages must be https (or http on loopback)"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(wrong("the public address of the pages must have no query, fragment or user"));
        }
        for offer in &self.offers {
            let unknown = || wrong(&format!("no connector is registered for the offered app {}", offer.app));
            check_offer(offer, hub.profile(&offer.app).ok_or_else(unknown)?)?;
        }
        for embedder in &self.embedders {
            check_embedder(embedder)?;
        }
        self.variables.iter().chain(&self.dark_variables).try_for_each(|(name, value)| check_variable(name, value))
    }
}

fn check_offer(offer: &Offer, profile: &ConnectorProfile) -> Result<()> {
    match offer.capabilities.iter().find(|&one| !profile.capabilities.contains(one)) {
        Some(unable) => Err(wrong(&format!("the app {} cannot do what is offered: {unable:?}", offer.app))),
        None if offer.capabilities.is_empty() => Err(wrong(&format!("the offer of {} asks for nothing", offer.app))),
        None => Ok(()),
    }
}

/// What goes into a header must not be able to say more than it should.
fn check_embedder(origin: &str) -> Result<()> {
    let is_origin = Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
    if origin == "'self'" || is_origin {
        return Ok(());
    }
    Err(wrong("an embedder is an origin like https://crm.example, without a path, or 'self'"))
}

/// What goes into the style sheet must not be able to end it, or to reach out of it.
fn check_variable(name: &str, value: &str) -> Result<()> {
    let named = name.strip_prefix("--integration-").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
    });
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " #%().,-_'\"/+*".contains(letter);
    let quoted = ['"', '\''].iter().all(|&quote| value.matches(quote).count().is_multiple_of(2));
    let harmless = value.chars().all(plain)
        && quoted
        && !value.contains("/*")
        && !value.contains("*/")
        && !value.to_ascii_lowercase().contains("url");
    match named && harmless && (1..=200).contains(&value.len()) {
        true => Ok(()),
        false => Err(wrong(&format!("the CSS variable {name} has a name or value that is not allowed"))),
    }
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_cannot_say_more_than_a_value() {
        for value in ["#0b57d0", "rgb(10, 20, 30)", "\"Inter\", system-ui, sans-serif", "0.5rem", "calc(1px + 2em)"] {
            check_variable("--integration-accent", value).unwrap();
        }
        for value in [
            "red; } body { display: none",
            "url(https://evil.example)",
            "</style><script>",
            "\"open",
            "a/*",
            "",
            "\\75 rl(x)",
        ] {
            assert!(check_variable("--integration-accent", value).is_err(), "{value}");
        }
        assert!(check_variable("color", "red").is_err());
        assert!(check_variable("--integration-a;b", "red").is_err());
    }

    #[test]
    fn an_embedder_is_an_origin_and_nothing_more() {
        for origin in ["https://crm.example", "http://127.0.0.1:8080", "'self'"] {
            check_embedder(origin).unwrap();
        }
        for origin in ["*", "https://crm.example/path", "https://a.example; script-src *", "https:", "crm.example"] {
            assert!(check_embedder(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn addresses_follow_the_public_one() {
        for (public, callback, status) in [
            ("https://crm.example", "https://crm.example/callback", "/status"),
            ("https://crm.example/a/b/", "https://crm.example/a/b/callback", "/a/b/status"),
            ("http://127.0.0.1:8080/accounts", "http://127.0.0.1:8080/accounts/callback", "/accounts/status"),
        ] {
            let options = WebOptions::new(Url::parse(public).unwrap());
            assert_eq!((options.callback().as_str(), options.path("status").as_str()), (callback, status));
        }
    }
}
