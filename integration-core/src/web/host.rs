//! What the pages ask the host.

use std::fmt;

use async_trait::async_trait;
use axum::http::request::Parts;

use crate::{connection::Connection, error::Result, ids::TenantId};

/// Who is at the browser, as the host's own sign-in knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Visitor {
    /// The host's customer. Everything that the pages show and do is this one's.
    pub tenant: TenantId,
    /// The host's id of the person. A form or a sign-in that one person began is of no use to another.
    pub user: String,
    /// The name to show. Absent: none is shown.
    pub name: Option<String>,
    /// The language to show the pages in (`de`, `en-GB`). Absent: what the browser asks for.
    pub language: Option<String>,
}

impl Visitor {
    /// A person of a tenant.
    pub fn new(tenant: TenantId, user: impl Into<String>) -> Self {
        Self { tenant, user: user.into(), name: None, language: None }
    }

    /// Shows a name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses the language.
    #[must_use]
    pub fn with_language(mut self, tag: impl Into<String>) -> Self {
        self.language = Some(tag.into());
        self
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The person is known but may not do this: 403.
    Forbidden,
    /// Nobody is signed in: the browser is sent to this address of the host's (303), or told so where there is none (401).
    SignIn(Option<String>),
    /// The host cannot say now: 503.
    Unavailable,
}

/// The host, as the pages know it: whose browser this is, and what that person may see.
///
/// Calls are contained: one that panics, or does not come back within [`WebOptions::with_patience`](super::WebOptions), is
/// answered with a page that says to try again.
#[async_trait]
pub trait WebHost: fmt::Debug + Send + Sync + 'static {
    /// Who sends this request: read from the host's own session cookie or whatever its middleware left in the request's
    /// extensions. Nothing else in a request decides whose accounts are shown.
    ///
    /// # Errors
    /// A [`Refusal`] where there is nobody, or somebody who may not.
    async fn visitor(&self, request: &Parts) -> Result<Visitor, Refusal>;

    /// May this person see and change this connection of their tenant? Absent: everybody of a tenant sees all of it.
    fn shows(&self, visitor: &Visitor, connection: &Connection) -> bool {
        let _ = (visitor, connection);
        true
    }

    /// This person has just connected these accounts, for the first time or again: the place to note whose they are. Called
    /// after they were stored; may be called again for the same ones.
    ///
    /// # Errors
    /// Are written to the log; the accounts stay connected.
    async fn connected(&self, visitor: &Visitor, connections: &[Connection]) -> Result<()> {
        let _ = (visitor, connections);
        Ok(())
    }
}
