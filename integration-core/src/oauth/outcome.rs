//! What became of a sign-in: values that a page can show.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use url::Url;

use crate::{
    connection::{Capability, Connection},
    error::Remedy,
    ids::{AppId, GrantId, TenantId},
};

/// The end of a sign-in.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Completion {
    /// What became of it.
    pub outcome: ConnectOutcome,
    /// Whose sign-in it was; absent unless the browser was the one that began it.
    pub tenant: Option<TenantId>,
    /// With which app; absent likewise, but named after an administrator's answer.
    pub app: Option<AppId>,
    /// What the host gave along ([`Authorise::context`](super::Authorise::context)); absent likewise.
    pub context: Option<String>,
}

/// What became of a sign-in. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum ConnectOutcome {
    /// An administrator says that the app is allowed now. Nothing is connected and nothing is proved by it: whoever wanted to
    /// connect can try again.
    AdminAllowed,
    /// An administrator did not allow the app.
    AdminDeclined,
    /// An administrator has to allow the app first; kept as a record ([`AdminConsent`](super::AdminConsent)).
    AwaitingAdminConsent {
        /// Where the administrator does; to be handed on.
        url: Url,
        /// Why, and what to do.
        remedy: Remedy,
        /// Until when the address is good.
        expires_at: DateTime<Utc>,
    },
    /// The person took too long.
    Expired,
    /// Everything that was asked for.
    Granted {
        /// The grant.
        grant: GrantId,
        /// Its accounts.
        connections: Vec<Connection>,
    },
    /// Connected, but the person left something out.
    GrantedInPart {
        /// The grant.
        grant: GrantId,
        /// Its accounts.
        connections: Vec<Connection>,
        /// What does not work.
        missing: BTreeSet<Capability>,
    },
    /// The callback does not belong to a sign-in of ours.
    Mismatched {
        /// What did not match.
        reason: MismatchReason,
    },
    /// Connected, but somebody has to act before it lasts.
    NeedsAttention {
        /// The grant.
        grant: GrantId,
        /// Its accounts.
        connections: Vec<Connection>,
        /// Who and how.
        remedy: Remedy,
    },
    /// Another account was chosen than the one to be reconnected. Nothing was changed.
    OtherAccount {
        /// The account that was expected, as a person knows it.
        expected: String,
        /// The account that was chosen.
        chosen: String,
    },
    /// The callback came in another browser than the one the sign-in began in. Nothing was changed.
    OtherBrowser,
    /// The person (or the service) said no, or nothing that was asked for was allowed.
    Refused {
        /// What does not work for it.
        missing: BTreeSet<Capability>,
    },
    /// This callback was used before.
    Replayed,
    /// The service failed, or is not set up for this.
    ServiceError {
        /// The service's code, or a word of ours.
        error: String,
        /// Who and how.
        remedy: Remedy,
    },
}

/// What of a callback did not match.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MismatchReason {
    /// The id token is not for this sign-in.
    IdToken,
    /// Another issuer answered than the one that was asked (RFC 9207).
    Issuer,
    /// It came to another address than the one that was asked for.
    RedirectUri,
    /// The state is missing or unknown.
    State,
}
