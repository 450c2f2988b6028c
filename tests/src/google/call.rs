//! How one request reaches a simulated API: already resolved to an account and its granted scopes.

/// One request to an API, with what its access token stands for.
#[derive(Clone, Debug)]
pub struct ApiCall<'a> {
    /// The mailbox address, in lower case.
    pub account: &'a str,
    /// The client id.
    pub app: &'a str,
    /// The granted scopes, as the service spells them.
    pub scopes: &'a std::collections::BTreeSet<String>,
    /// The instant of the call.
    pub now: chrono::DateTime<chrono::Utc>,
    /// The request itself.
    pub request: &'a http::Request<bytes::Bytes>,
}

/// An answer: status, headers, body.
pub type ApiAnswer = http::Response<bytes::Bytes>;
