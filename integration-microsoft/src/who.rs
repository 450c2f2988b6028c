//! Calls that find out whose mailbox it is.
//! Source: <https://learn.microsoft.com/graph/api/user-get>.

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use integration_core::{
    Error, ErrorKind, Result,
    http::{Call, Cost, Repeat},
};
use url::Url;

/// Names of operations, for errors, spans and metrics.
pub(crate) mod operation {
    pub(crate) const INBOX: &str = "outlook.mailFolders.inbox";
    pub(crate) const ME: &str = "microsoft.me";
    pub(crate) const USER: &str = "microsoft.user";
}

const AGENT: &str = concat!("integration-microsoft/", env!("CARGO_PKG_VERSION"));
const USER_FIELDS: &str = "$select=id,displayName,mail,userPrincipalName";

/// Asks who people are and whether they have a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    graph: Url,
}

impl Who {
    /// Of the Graph whose root is `graph`.
    pub(crate) fn new(graph: &Url) -> Self {
        Self { graph: graph.clone() }
    }

    /// The signed-in person.
    pub(crate) fn me(&self) -> Result<Call> {
        self.get(operation::ME, &["me"], USER_FIELDS)
    }

    /// A person or shared mailbox, by id or user name.
    pub(crate) fn user(&self, name: &str) -> Result<Call> {
        self.get(operation::USER, &["users", name], USER_FIELDS)
    }

    /// The inbox of a mailbox, or of the signed-in person: whether there is one.
    pub(crate) fn inbox(&self, mailbox: Option<&str>) -> Result<Call> {
        let of = mailbox.map_or_else(|| vec!["me"], |mailbox| vec!["users", mailbox]);
        let path: Vec<&str> = of.into_iter().chain(["mailFolders", "inbox"]).collect();
        self.get(operation::INBOX, &path, "$select=id")
    }

    fn get(&self, operation: &'static str, path: &[&str], query: &str) -> Result<Call> {
        let wrong = |message: &str| Error::new(ErrorKind::Misconfigured, message).with_service("microsoft");
        let mut url = self.graph.clone();
        let segments = url.path_segments_mut().map(|mut at| {
            at.pop_if_empty().push("v1.0").extend(path);
        });
        segments.map_err(|()| wrong("`endpoints.graph` cannot have paths"))?;
        url.set_query(Some(query));
        let request = http::Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .body(Bytes::new())
            .map_err(|_| wrong("`endpoints.graph` is no address that can be asked"))?;
        Ok(Call::new(operation, request, Cost::units(1), Repeat::Safe))
    }
}

#[cfg(test)]
mod tests {
    use super::{Url, Who};

    #[test]
    fn a_name_stays_one_segment_whatever_is_in_it() {
        let who = Who::new(&Url::parse("https://graph.example/below/").unwrap());
        let asked = |name| who.user(name).unwrap().request().uri().path().to_owned();
        assert_eq!(asked("ann@example.com"), "/below/v1.0/users/ann@example.com");
        assert_eq!(asked("a/b?c#d"), "/below/v1.0/users/a%2Fb%3Fc%23d");
        let inbox = |mailbox| who.inbox(mailbox).unwrap().request().uri().path().to_owned();
        assert_eq!(inbox(None), "/below/v1.0/me/mailFolders/inbox");
        assert_eq!(inbox(Some("box")), "/below/v1.0/users/box/mailFolders/inbox");
    }
}
