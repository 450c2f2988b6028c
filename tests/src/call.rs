//! One authorised call to an API of a simulated service.

/// The call as the frame hands it on, its token already resolved.
///
/// An application acting for itself (Microsoft's app-only tokens) has no account: `account` is empty, and `scopes`
/// holds the application permissions that were granted instead of a person's scopes.
#[derive(Clone, Debug)]
pub struct ApiCall<'a> {
    /// mailbox address, lower case
    pub account: &'a str,
    /// client id
    pub app: &'a str,
    /// granted scopes, as the service spells them: Google's long form, Microsoft's without the resource (`Mail.Read`)
    pub scopes: &'a std::collections::BTreeSet<String>,
    /// when it arrived
    pub now: chrono::DateTime<chrono::Utc>,
    /// the request
    pub request: &'a http::Request<bytes::Bytes>,
}

/// The answer.
pub type ApiAnswer = http::Response<bytes::Bytes>;
