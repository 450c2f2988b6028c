//! One authorised call to an API of the simulated service.

/// The call as the frame hands it on, its token already resolved.
#[derive(Clone, Debug)]
pub struct ApiCall<'a> {
    /// mailbox address, lower case
    pub account: &'a str,
    /// client id
    pub app: &'a str,
    /// granted scopes, long form
    pub scopes: &'a std::collections::BTreeSet<String>,
    /// when it arrived
    pub now: chrono::DateTime<chrono::Utc>,
    /// the request
    pub request: &'a http::Request<bytes::Bytes>,
}

/// The answer.
pub type ApiAnswer = http::Response<bytes::Bytes>;
