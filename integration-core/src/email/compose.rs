//! [`Outgoing`](super::Outgoing) to raw RFC 5322 text.
