//! Raw RFC 5322 text to [`Message`](super::Message).
