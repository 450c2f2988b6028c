//! Parts for tests: a scripted transport, fixed randomness, a virtual clock, and sessions made of them.
//!
//! Exempt from version promises.

mod connector;
mod parts;
#[cfg(test)]
mod tests;
mod transport;

pub use connector::PlainConnector;
pub use parts::{FixedRandom, SeededRandom, StaticCredentials, TestSession, Unlimited, test_session, virtual_clock};
pub use transport::{ScriptedTransport, SeenRequest, Step};
