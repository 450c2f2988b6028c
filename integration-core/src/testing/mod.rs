//! Parts for tests: a scripted transport, fixed randomness, a virtual clock, sessions made of them, and hostile input.
//!
//! Exempt from version promises.

mod connector;
mod hostile;
mod parts;
#[cfg(test)]
mod tests;
mod transport;

pub use connector::PlainConnector;
pub use hostile::{assert_linear, fuzz};
pub use parts::{FixedRandom, SeededRandom, StaticCredentials, TestSession, Unlimited, test_session, virtual_clock};
pub use transport::{ScriptedTransport, SeenRequest, Step};
